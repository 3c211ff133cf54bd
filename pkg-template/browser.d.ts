/**
 * Taking data along, and what only browsers have: downloads, quota, keys that live there.
 */
import type { Folder, SigningCryptoKey } from './index.js';

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
export function copyFolder(from: Folder, to: Folder | FileSystemDirectoryHandle, options?: CopyOptions): Promise<{ files: number; bytes: number }>;

/**
 * Takes in a folder that the command line (or the Python smart-fetch) has made: another folder, the files of
 * `<input type="file" webkitdirectory>`, or (browsers) a picked directory. Rejects with `mismatch` if `folder` holds an export already.
 */
export function importFolder(
  folder: Folder,
  source: Folder | FileSystemDirectoryHandle | Iterable<File>,
  options?: CopyOptions,
): Promise<{ files: number; bytes: number }>;

/** Browsers only. How much this site stores, in bytes, and whether the browser promised not to evict it. */
export function storageUsage(): Promise<{ usage?: number; quota?: number; persisted: boolean }>;

/** Browsers only. Asks the browser not to evict the data; best in a click. */
export function persist(): Promise<boolean>;

/** A signing key that lives in this browser, as `auth.keys` takes it. Its private part cannot be read by any script. */
export interface StoredKey extends SigningCryptoKey {
  readonly name: string;
  readonly kid: string;
  /** The public part, to be registered with the server. */
  readonly publicJwk: JsonWebKey & { kid: string; alg: string };
}

/** Browsers only. Makes a key and keeps it under `name`; `alg` is ES384 by default. Rejects if the name is taken. */
export function createKey(name: string, options?: { alg?: 'ES384' | 'RS384'; kid?: string }): Promise<StoredKey>;

/** Browsers only. Keeps a private JWK (or the first usable one of a JWKS) under `name`, not readable any more. */
export function importKey(name: string, jwk: JsonWebKey | { keys: JsonWebKey[] } | string): Promise<StoredKey>;

/** Browsers only. The keys that this browser keeps for the site. */
export function storedKeys(): Promise<StoredKey[]>;

/** Browsers only. Forgets a key; it cannot be brought back. */
export function removeKey(name: string): Promise<void>;
