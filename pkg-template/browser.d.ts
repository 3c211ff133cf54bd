/**
 * Taking data along, and what only browsers have: picked folders, downloads, quota.
 */
import type { Folder } from './index.js';

/**
 * A folder that the user has picked: what `showDirectoryPicker()` resolves to, `FileSystemDirectoryHandle`. Named by what it has, so
 * that programs without the types of browsers (`lib: dom`) compile.
 */
export interface DirectoryHandle {
  readonly kind: 'directory';
  readonly name: string;
  getDirectoryHandle(name: string, options?: { create?: boolean }): Promise<DirectoryHandle>;
  getFileHandle(name: string, options?: { create?: boolean }): Promise<{ readonly kind: 'file'; readonly name: string }>;
  removeEntry(name: string, options?: { recursive?: boolean }): Promise<void>;
}

/** Progress of something that copies files. Sizes in bytes. */
export interface CopyProgress {
  name: string;
  files: number;
  bytes: number;
}

/** Options of what copies files. */
export interface CopyOptions {
  onProgress?: (progress: CopyProgress) => void;
  /** Breaks it off. What is copied whole stays. */
  signal?: AbortSignal;
}

/**
 * Browsers only. Lets the user save a folder as one ZIP file: streamed into a place of the user's choice where the browser has
 * a save dialog (call it in a click), else gathered in OPFS and downloaded.
 */
export function saveZip(folder: Folder, options?: CopyOptions & { fileName?: string }): Promise<void>;

/** Browsers only. Downloads one file, as stored or `decode`d. */
export function saveFile(folder: Folder, name: string, options?: { decode?: boolean; fileName?: string }): Promise<void>;

/**
 * Copies a folder into another one, or (browsers) into one that the user has picked, in the layout of the command line, which can
 * carry on with it. Rejects with `mismatch` if an export is there already.
 */
export function copyFolder(from: Folder, to: Folder | DirectoryHandle, options?: CopyOptions): Promise<{ files: number; bytes: number }>;

/**
 * Takes in a folder that the command line (or the Python smart-fetch) has made: another folder, the files of
 * `<input type="file" webkitdirectory>`, or (browsers) a picked directory. Rejects with `mismatch` if `folder` holds an export already.
 */
export function importFolder(
  folder: Folder,
  source: Folder | DirectoryHandle | Iterable<File>,
  options?: CopyOptions,
): Promise<{ files: number; bytes: number }>;

/** Browsers only. How much this site stores, in bytes, and whether the browser promised not to evict it. */
export function storageUsage(): Promise<{ usage?: number; quota?: number; persisted: boolean }>;

/** Browsers only. Asks the browser not to evict the data; best in a click. */
export function persist(): Promise<boolean>;
