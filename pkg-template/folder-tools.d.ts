/**
 * What is done with a folder as a whole: Bundle, merge, verify. No server is asked.
 */
import type { Folder, Job } from './index.js';

/** How to make a Bundle. */
export interface BundleOptions {
  /** `Bundle.json.gz` rather than `Bundle.json`. Default: true. */
  compress?: boolean;
  /** What to call the folder in messages. Default: its name. */
  folder?: string;
  /** Breaks it off when it aborts; then nothing is removed. */
  signal?: AbortSignal;
}

/** What {@link bundle} has made. */
export interface BundleReport {
  /** `Bundle.json.gz` or `Bundle.json`. */
  name: string;
  /** Bytes on disk. */
  bytes: number;
  resources: number;
  /** The files that it took the place of. */
  sources: string[];
}

/**
 * Makes one Bundle (type `collection`) of all data files of a folder, in their place: they are removed once it is complete on
 * disk, and a call after a crash ends what was begun. `error/`, `deleted/` and the log stay. Rejects with `notFound` where
 * there is no data file, `mismatch` for a managed folder ({@link merge} it first) and where there is a Bundle already, `corrupt` where a row is no resource; nothing is removed then.
 */
export function bundle(folder: Folder, options?: BundleOptions): Job<BundleReport>;

/** How to merge. */
export interface MergeOptions {
  /** Store files as gzip. Default: true. */
  compress?: boolean;
  /** Breaks it off when it aborts. */
  signal?: AbortSignal;
}

/** What {@link merge} has made. */
export interface MergeReport {
  /** 0, or 3 where something could not be taken in. */
  exitStatus: 0 | 3;
  /** The exports that were merged, oldest first. */
  runs: string[];
  types: Record<string, { files: number; resources: number }>;
  /** Resources in the result. */
  resources: number;
  /** Bytes on disk. */
  bytes: number;
  /** Rows that were read: all versions of all resources. */
  rows: number;
  /** Deletions that were read. */
  deletions: number;
  /** Rows that are no resources, or no deletions, and are left out. */
  badLines: number;
  /** The first of them, as `file:line: reason`. */
  bad: string[];
  /** What else keeps the result from being all that there is: files that are lost, exports that were not finished. */
  problems: string[];
  /** What does not, though it is not as it should be: later exports have what was in it. */
  notes: string[];
}

/**
 * Puts the current state of a managed folder into another one, with the files of an ordinary export: all exports in order,
 * deletions too, one version of each resource, byte for byte. The later export counts, within one the later
 * `meta.lastUpdated`; a whole export of a type stands for all before it; with a Patient who left the cohort goes what has
 * it as its subject or patient. `out` must be empty, or an earlier merge of the same folder, which is brought up to date. Interrupted, it is done
 * by calling it again. Memory stays flat; it needs 24 bytes of disk a row while it runs.
 */
export function merge(folder: Folder, out: Folder, options?: MergeOptions): Job<MergeReport>;

/** How to check a folder. */
export interface VerifyOptions {
  /** Another folder for temporary files, if memory does not do (above a million ids). Default: the folder itself. */
  temporary?: Folder;
  /** Breaks it off when it aborts. */
  signal?: AbortSignal;
}

/** What {@link verify} has found. */
export interface VerifyReport {
  /** 0, or 3 where there is a problem. */
  exitStatus: 0 | 3;
  kind: 'output' | 'managed';
  /** The exports in a managed folder, oldest first. */
  runs: string[];
  /** Data files, those of errors and deletions included. */
  files: number;
  /** Bytes in them. */
  bytes: number;
  /** Rows that are resources, in all files. */
  resources: number;
  /** By type, of the data. */
  types: Record<string, { files: number; resources: number }>;
  /** By type, how often a resource is there once more in the same export. No problem: servers repeat resources. */
  duplicates: Record<string, number>;
  /** By type that is referred to: resources that are not in the folder, and references to them. No problem either. */
  dangling: { type: string; targets: number; references: number }[];
  /** How many problems there are. */
  problemCount: number;
  /** The first of them; `problem` is the end of a sentence that begins with the path, and says what to do. */
  problems: { path: string; problem: string }[];
  /** What is no problem though it is not as it should be: later exports have what was in it. */
  notes: string[];
}

/**
 * Checks a folder, or a managed one with all its exports and links, against what it says of itself: every file is there and
 * whole, each line a resource of the right type, counts are right, nothing is left over from an interrupted run. Changes
 * nothing. Memory stays flat: temporary files hold the ids of more than a million resources. Rejects with `locked` while a job
 * is at work.
 */
export function verify(folder: Folder, options?: VerifyOptions): Job<VerifyReport>;
