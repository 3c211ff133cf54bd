/**
 * smart-fetch: gets FHIR data out of an EHR by Bulk Data `$export`.
 *
 * ```js
 * import { Client, openFolder } from 'smart-fetch';
 *
 * const client = new Client({ fhirUrl: 'https://ehr.example/fhir', auth: { clientId: 'app', keys: await readFile('key.jwks', 'utf8') } });
 * const job = client.bulk(await openFolder('export'), { types: ['Patient', 'Condition'] });
 * for await (const event of job) if (event.type === 'fileFinished') console.log(event.name, event.resources);
 * const report = await job.result;
 * ```
 *
 * Everything that is done with a folder can be interrupted at any moment and started again: only what is missing is fetched.
 */

import type { DirectoryHandle } from './browser.js';
import type { CrawlOptions, CrawlReport } from './crawl.js';
import type { DoctorOptions, DoctorReport, Group } from './doctor.js';
import type { ExportOptions, ExportReport, FolderExport } from './export.js';
import type { HydrateOptions, HydrateReport, HydrationTask } from './hydrate.js';
import type { Keys } from './keys.js';

/** What went wrong, by what the caller can do about it. */
export type ErrorCode =
  /** The request made no sense; found before anything was sent. */
  | 'usage'
  /** Credentials are missing, were refused, or do not cover what was asked. */
  | 'auth'
  /** The server says there is no such thing (404). */
  | 'notFound'
  /** The job or file existed and is gone. */
  | 'gone'
  /** The server refused or failed the request, with its own words in the message. */
  | 'server'
  /** The server broke the protocol. */
  | 'protocol'
  /** The server could not be reached, or the connection broke, and retries did not help. */
  | 'network'
  /** A browser hides a header that is needed; the message names the server setting that cures it. */
  | 'hiddenHeader'
  /** A token would have gone where it must not go. */
  | 'insecure'
  /** The disk or the browser's quota is full. */
  | 'quota'
  /** Reading or writing the folder failed. */
  | 'storage'
  /** Another job holds the folder. */
  | 'locked'
  /** The folder holds something else: another kind, other filters, another server. */
  | 'mismatch'
  /** Data that was received or stored is damaged. */
  | 'corrupt'
  /** The host lacks something that is needed. */
  | 'unsupported'
  /** A deadline set by the caller passed. */
  | 'deadline'
  /** The caller cancelled the job. */
  | 'cancelled'
  /** A fault of smart-fetch itself. */
  | 'internal';

/** What every call and job rejects with. */
export class SmartFetchError extends Error {
  readonly code: ErrorCode;
  /** The step that failed, such as `kick-off` or `download`. */
  readonly operation: string;
  /** What to do next; a sentence to show after the message. */
  readonly hint?: string;
  /** Whether doing the same again later could help. */
  readonly retry: boolean;
  /** The HTTP status that caused it, if one did. */
  readonly status?: number;
  /** The exit status of the command line: 2 usage, 130 cancelled, else 1. */
  readonly exitStatus: number;
}

/** `0.2s`, `5m`, `1h`, `30d`, `250ms`, or a number of seconds. */
export type Duration = string | number;

/**
 * Gives a bearer token, now or later. Called when a job begins, when the token is about to expire, and when the server has refused
 * it (401); once at a time. `again`: the job has had a token before and cannot use it any more. What it throws ends the job with the code `auth`; what is done is kept. Tokens are neither logged nor stored.
 */
export type TokenSource = (request: { again: boolean }) => Token | Promise<Token>;

/** A token; with the seconds that it is good for from now on, where that is known. */
export type Token = string | { token: string; expiresIn?: number };

/** How to prove who we are. */
export type Auth =
  | 'none'
  /** A bearer token that was got elsewhere, or a function that gives one. */
  | { token: string | TokenSource }
  /** HTTP Basic. */
  | { user: string; password: string }
  /** SMART Backend Services. The key becomes a WebCrypto key that cannot be read back, and never enters wasm. */
  | {
      clientId: string;
      keys: Keys;
      /** Token endpoint, where the server's SMART configuration does not say it. */
      tokenUrl?: string;
      /** Scopes to ask for, verbatim, in place of those worked out from the types. */
      scope?: string;
    };

/** A server and how to deal with it. */
export interface ClientOptions {
  /** FHIR base URL, with or without a trailing slash. */
  fhirUrl: string;
  /** Default: `'none'`. */
  auth?: Auth;
  /** Credentials for bulk exports, where the server wants others for them. Default: `auth`. */
  bulkAuth?: Auth;
  /** Further headers, sent to the origin of the FHIR server only. */
  headers?: Record<string, string> | Iterable<[string, string]>;
  /** Origins besides the FHIR server's that may see the token, as `https://host:port`. */
  tokenOrigins?: string[];
  /** Beginnings of URLs from the server, and what to replace them with. */
  rewriteUrls?: Record<string, string> | Iterable<[string, string]>;
  /**
   * A relay for servers that allow no page of this origin, such as that of `smart-fetch serve`. `fhirUrl` stays the server's own URL, which
   * decides who may see credentials and which the folder is for. `routes`: prefixes of URLs and what stands in their place at the
   * relay, both with a slash at the end; `headers`: for the relay alone.
   */
  relay?: {
    routes: Record<string, string> | Iterable<[string, string]>;
    headers?: Record<string, string> | Iterable<[string, string]>;
  };
  /** Allows credentials over plain http to hosts other than loopback. */
  allowInsecure?: boolean;
  /** Requests in flight at most; default 5. Fewer where the server says so (429, 503). */
  maxConnections?: number;
  /** Waits between tries; their number is the number of retries. Default: 1, 2, 4 and 8 minutes for a bulk export, 1 and 1 for searches and reads. */
  retryDelays?: Duration[];
  /** Workers that files are spread over (Node); 0: none. Default: the number of cores, at most 4. */
  workers?: number;
}

/** What to export. */
export interface BulkOptions {
  /** Default: `'system'`. */
  level: 'system' | 'patient' | { group: string };
  /** Resource types; comma lists and `all` are understood. Default: all. */
  types: string[];
  /** `Type?query`, each; several for one type are alternatives. */
  typeFilters: string[];
  /** Whether the default filters (Observation categories) apply. Default: true. */
  defaultFilters: boolean;
  /** Only what changed since then: a FHIR date or instant. */
  since: string;
  /** Which date `since` looks at. Default: `'auto'`, updated where the server can, else created. */
  sinceMode: 'auto' | 'updated' | 'created';
  /** `_until` */
  until: string;
  /** `_elements` */
  elements: string[];
  /** `patient`: ids, with or without `Patient/`. Not at system level. An empty list is refused, since it must not mean everybody. */
  patients: string[];
  /** `includeAssociatedData` */
  includeAssociatedData: string[];
  /** `organizeOutputBy` */
  organizeOutputBy: string;
  /** `_outputFormat`; left out unless given. */
  outputFormat: string;
  /** `allowPartialManifests` */
  allowPartialManifests: boolean;
  /** `Prefer: handling=lenient` */
  lenient: boolean;
  /** `Prefer: separate-export-status` (STU4) */
  separateExportStatus: boolean;
  /** Further parameters of the kick-off. */
  params: Record<string, string> | Iterable<[string, string]>;
  /** Default: `'auto'`, GET first where the server's version is older than STU4. */
  kickoffMethod: 'auto' | 'get' | 'post';
  /** Store files as gzip. Default: true. */
  compress: boolean;
  /** Make one Bundle of all data files at the end, as {@link bundle} does. Default: false. */
  bundle: boolean;
  /** Longest wait between two looks at the status. Default: `'5m'`. */
  maxPollDelay: Duration;
  /** Give up waiting for the server after this long; the job can be resumed. Default: `'30d'`. */
  pollTimeout: Duration;
  /** Cancels the job when it aborts. */
  signal: AbortSignal;
}

/** How to get one resource. */
export interface SingleOptions {
  /** The bytes of a Binary rather than its JSON. */
  binary?: boolean;
  /** JSON on one line. */
  compact?: boolean;
  /** Breaks it off when it aborts. */
  signal?: AbortSignal;
}

export type { CrawlOptions, CrawlReport } from './crawl.js';
export type { HydrateOptions, HydrateReport, HydrationCount, HydrationTask } from './hydrate.js';
export type { DoctorCheck, DoctorOptions, DoctorReport, Group } from './doctor.js';
export type { ExportOptions, ExportReport, FolderExport } from './export.js';

/** What a job tells while it runs. Durations are milliseconds, sizes bytes. */
export type Event =
  | { type: 'phase'; phase: 'discover' | 'kickOff' | 'wait' | 'download' | 'crawl' | 'hydrate' | 'check' | 'finish' }
  /** Something worth a line in a log. */
  | { type: 'note'; message: string }
  /** Something to look at, though the job goes on. `code` is a stable word for programs. */
  | { type: 'warning'; code: string; message: string }
  /** The job is waiting on purpose: for the server (`status`), before another try (`retry`), out of politeness (`throttled`). */
  | { type: 'waiting'; reason: 'status' | 'retry' | 'throttled'; millis: number; progress?: string; message?: string }
  | { type: 'kickedOff'; statusUrl: string }
  /** A manifest, or one more page of it, was read. `resources` as announced, where it is. */
  | { type: 'manifest'; transactionTime: string; files: number; resources?: number }
  | { type: 'fileStarted'; file: number; name: string; expected?: number }
  | { type: 'fileProgress'; file: number; received: number; resources: number }
  /** A file is complete, checked and has its final name. */
  | { type: 'fileFinished'; file: number; name: string; bytes: number; received: number; resources: number }
  /** A try of a file failed; it is tried again unless `last`. */
  | { type: 'fileFailed'; file: number; name: string; message: string; last: boolean }
  | {
      type: 'totals';
      filesDone: number;
      files: number;
      /** Bytes received in this run. */
      received: number;
      resources: number;
      /** Requests in flight, and how many may be. */
      active: number;
      limit: number;
    }
  /** How far a step other than the download of files is; when it has ended, `done` equals `total`. */
  | { type: 'progress'; task: string; done: number; total?: number; resources: number }
  /** A hydration task has ended. */
  | { type: 'hydrated'; report: HydrationTask };

export { Tally, type TallyFile } from './tally.js';

/** What came of a bulk export. Counts are of the whole folder unless said otherwise. */
export interface BulkReport {
  /**
   * `complete`: everything is here. `withErrors`: everything that the server offered is here, but it reported errors or sent
   * lines that are no resources. `incomplete`: some files could not be had; the same job again gets just those.
   */
  verdict: 'complete' | 'withErrors' | 'incomplete';
  /** The exit status of the command line: 0, or 3 where the verdict is not `complete`. */
  exitStatus: 0 | 3;
  /** The server's `transactionTime`, verbatim; of the last job where there were several. */
  transactionTime?: string;
  /** Files of all kinds. */
  files: number;
  /** Resources in the output files. */
  resources: number;
  /** Bytes on disk. */
  bytes: number;
  /** By type of the output files. */
  types: Record<string, { files: number; resources: number }>;
  /** Types that were asked for and have no resources. */
  emptyTypes: string[];
  /** Files that this run fetched. */
  fetched: number;
  /** Files that could not be had. `url` is without its query. */
  failed: { name: string; url: string; problem: string }[];
  /** Issues of severity `error` or `fatal` that the server reported. */
  errors: number;
  /** The first issues that the server reported, errors first. */
  issues: { severity: string; code: string; text: string }[];
  /** Lines that are no resources. */
  badLines: number;
  /** The first of them, as `file:line: reason`. */
  bad: string[];
  /** Bundles of deletions. */
  deletions: number;
}

/** A job under way. */
export interface Job<Report> extends AsyncIterable<Event> {
  /** How it ended. Rejects with a {@link SmartFetchError}; so does the iteration of the events. */
  readonly result: Promise<Report>;
  /** Stops the job. What it has done is kept, so that it can be resumed; `result` rejects with the code `cancelled`. */
  cancel(): void;
  /** Sends no further request until `resume`; what is in flight goes on to its end. */
  pause(): void;
  /** Goes on after `pause`. */
  resume(): void;
  readonly paused: boolean;
}

/**
 * Where a folder is kept: `opfs` the browser's private file system, `idb` IndexedDB, `picked` a folder that the user picked,
 * `memory` nowhere, `node-fs` the file system of Node.
 */
export type StorageKind = 'opfs' | 'idb' | 'picked' | 'memory' | 'node-fs';

/** A data file that is complete. */
export interface FolderFile {
  /** Its path in the folder, such as `Patient.001.ndjson.gz` or `error/OperationOutcome.001.ndjson.gz`. */
  name: string;
  /** Data, what the server reported besides, or deletions. */
  kind: 'output' | 'error' | 'deleted';
  /** The resource type that its name says. */
  type: string;
  /** Bytes on disk; of a link, those of the file that it leads to. */
  bytes?: number;
  /** Resources in it; absent where no ledger says it, as for files of other programs. */
  resources?: number;
}

/** One export job of a folder. Counts are of its files that are here. */
export interface FolderRun {
  /** `waiting` for the server, `downloading` (files may be missing), `finished`, or `abandoned` (lost or cancelled). */
  state: 'waiting' | 'downloading' | 'finished' | 'abandoned';
  /** What was asked: `fhirUrl`, `level` and parameters. */
  request: { fhirUrl?: string; level?: unknown; [parameter: string]: unknown };
  types: string[];
  transactionTime?: string;
  /** Files that the server offered. */
  files: number;
  /** Those of them that are not here, on disk. */
  missing: number;
  resources: number;
  bytes: number;
  /** Issues of severity `error` or `fatal` that the server reported. */
  errors: number;
}

/** What a folder holds, and how far it is. */
export interface FolderStatus {
  /** Absent where no job has been at work yet. */
  kind?: 'output' | 'managed';
  /** Whether everything that was asked for is here; of a managed folder: with its newest export. */
  complete: boolean;
  /**
   * Files that it has had and that are not there, or not as they were, with the types that are not whole without them; of a
   * managed folder, those of its newest export and those that links lead to. The same job again fetches what it can of them.
   */
  missing: { name: string; types: string[] }[];
  /** When its state was written last: local time, ISO 8601. */
  timestamp?: string;
  /** The export jobs, the oldest first. A job can be resumed while the last one is `waiting` or `downloading`. */
  runs: FolderRun[];
  /** The exports of a managed folder, the oldest first. */
  exports?: FolderExport[];
  files: FolderFile[];
}

/** A file of a folder. Nothing is read before it is asked for. */
export interface StoredFile {
  readonly name: string;
  /** Its bytes, read as fast as they are taken. `decode`: without the gzip that it may be stored as, checksums checked. */
  stream(options?: { decode?: boolean }): ReadableStream<Uint8Array>;
  /** Its bytes as stored: on disk, not in memory, where the storage allows it (`opfs`, `picked`). */
  blob(): Promise<Blob>;
  /** Its text, decoded. For small files. */
  text(): Promise<string>;
}

/** A folder that jobs work in. It can be read while a job is at work in it. */
export interface Folder {
  /** Where it is, for people. */
  readonly name: string;
  readonly storage: StorageKind;
  /** Why it is kept there, in a sentence. */
  readonly reason?: string;
  /** Something that the user must know, such as that data in memory will be lost. */
  readonly warning?: string;
  /** What is in it, and how far it is. */
  status(): Promise<FolderStatus>;
  /**
   * The data files that are complete, by kind and name. Of a managed folder the links to what is current, and `error/` and
   * `deleted/` of its newest export.
   */
  files(): Promise<FolderFile[]>;
  /** Files and resources of the output, by type; `resources` is absent where it is not known for each file. */
  types(): Promise<Record<string, { files: number; resources?: number }>>;
  /**
   * The resources of a type, parsed one by one; memory stays flat. A line that is no JSON throws (code `corrupt`) unless
   * `onBadLine` takes it; so does a file that is missing, unless `onMissing` takes its name. `Resource` is what they are taken
   * for, unchecked: `resources<Patient>('Patient')`.
   *
   * In a managed folder these are the rows of the newest whole export and of all increments since: several versions of a
   * resource that has changed, the newest last in its export's order, and also what was deleted since. For one current version
   * of each, {@link merge} the folder into another one and read that.
   */
  resources<Resource = any>(
    type: string,
    options?: {
      kind?: FolderFile['kind'];
      onBadLine?: (file: string, line: number, text: string) => void;
      onMissing?: (file: string) => void;
    },
  ): AsyncGenerator<Resource, void, void>;
  /** A file by its name in `files()`; also `.metadata` and `log.ndjson`. */
  file(name: string): StoredFile;
  /** Removes everything that smart-fetch has put into it. Rejects with `locked` while a job is at work. */
  remove(): Promise<void>;
}

/** A client of one FHIR server. */
export class Client {
  /** Throws a usage error where an option is of no known form; sends nothing. */
  constructor(options: ClientOptions);
  /**
   * The ids of the patients that a search finds, each once: a cohort for a crawl.
   * @param query such as `general-practitioner=Practitioner/1`; empty for all that may be seen
   */
  patientIds(query: string, options?: { signal?: AbortSignal }): Promise<string[]>;
  /**
   * The groups that the server lists, for `level: { group }`. A group that it does not list can be exported all the same.
   * @param query such as `name=x`; without it all
   */
  groups(query?: string, options?: { signal?: AbortSignal }): Promise<Group[]>;
  /**
   * Examines the server: what it can do, what stands in the way of an export, and the command to use. Starts no export unless
   * `kickoff` is set. A server that cannot be reached or used is a report, not an error.
   */
  doctor(options?: DoctorOptions): Promise<DoctorReport>;
  /** Starts a bulk export into `folder`, or resumes the one that is there. */
  bulk(folder: Folder, options?: Partial<BulkOptions>): Job<BulkReport>;
  /** Looks at the options without sending anything; rejects with a usage error. */
  checkBulk(options?: Partial<BulkOptions>): Promise<void>;
  /** Starts a crawl into `folder`, or resumes the one that is there: the data of an export, by searches patient by patient. */
  crawl(folder: Folder, options?: Partial<CrawlOptions>): Job<CrawlReport>;
  /** Looks at the options of a crawl without sending anything; rejects with a usage error. */
  checkCrawl(options?: Partial<CrawlOptions>): Promise<void>;
  /**
   * Fetches what the resources in `folder` refer to: practitioners, locations, medications, notes and the like. Goes on where
   * an earlier run stopped. In an empty folder there is nothing to do; one that is not there is a usage error.
   */
  hydrate(folder: Folder, options?: Partial<HydrateOptions>): Job<HydrateReport>;
  /** Looks at the options of a hydration without sending anything; rejects with a usage error. */
  checkHydrate(options?: Partial<HydrateOptions>): Promise<void>;
  /**
   * Starts the next export of the managed folder `folder`: in a numbered subfolder, with all that belongs to it (hydration,
   * deletions, links to what is current). Or resumes the last one, if it is not finished and has the same options.
   */
  export(folder: Folder, options?: Partial<ExportOptions>): Job<ExportReport>;
  /** Looks at the options of a managed export without sending anything; rejects with a usage error. */
  checkExport(options?: Partial<ExportOptions>): Promise<void>;
  /** Cancels the export that was begun in `folder`, on the server too. */
  cancelBulk(folder: Folder): Promise<void>;
  /**
   * Gets one resource, as text in UTF-8 with a final newline, or the bytes of a Binary.
   * @param resource `Type/ID`, with or without `?query`; or an absolute URL below the server's base
   */
  single(resource: string, options?: SingleOptions): Promise<Uint8Array>;
}

export { SmartAppClient, fromSmartClient, type SmartSession } from './session.js';

/**
 * Opens a folder; made by the first job in it if it is not there.
 *
 * In Node `name` is a path. In browsers it is a name of your choice for a folder that the browser keeps for this site, or a
 * folder that the user has picked (`showDirectoryPicker({ mode: 'readwrite' })`; Chromium only). `storage: 'auto'` (default)
 * takes the best that really works: OPFS, else IndexedDB, else memory; a folder that is there already stays where it is. The
 * browser is asked not to evict the data (`persist()`).
 *
 * With `blocking` in Node, calls of the file system block the thread, all but flushing: faster for a program that does nothing else
 * meanwhile, as the command line.
 */
export function openFolder(
  name: string | DirectoryHandle,
  options?: { storage?: 'auto' | 'opfs' | 'idb' | 'memory'; blocking?: boolean },
): Promise<Folder>;

/** All folders that this browser keeps for the site; in Node those below a path (default: the current one). */
export function folders(path?: string): Promise<Folder[]>;

/** A folder in memory, of `capacity` bytes at most: it ends with the program or page. */
export function memoryFolder(options?: { capacity?: number }): Folder;

export * from './folder-tools.js';

/**
 * The ids in the text of a file called `name`: one a line, or the column `id` (else `mrn`) of a `.csv`. Rejects with a usage
 * error where a `.csv` has no such column.
 */
export function parseIds(name: string, text: string): Promise<string[]>;

/** The names of groups of hydration tasks, in the order in which they run. */
export function hydrationTasks(): Promise<string[]>;

/** Makes the links of a managed folder to what is current anew (not normally needed). */
export function resetLinks(folder: Folder, options?: { signal?: AbortSignal }): Job<{ links: number }>;

/** The resource types that are known: those that `all` means, and every one of FHIR R4 to R5. */
export function resourceTypes(): Promise<{ usual: string[]; all: string[] }>;

/**
 * Sets what messages call the options. By themselves they call them as this package does; a page with a form calls them by what
 * stands beside the fields: `nameOptions((option) => labels[option] ?? option)`. `option` is `since`, `auth.token`, `level.group`
 * and so on; `flag` what the command line calls it.
 */
export function nameOptions(name: (option: string, flag: string) => string): void;

/**
 * A folder as a ZIP file (Zip64 where needed), the same layout as on disk; made while it is read, whatever its size. Data
 * files are stored as they are, since they are compressed already.
 */
export function zip(folder: Folder): ReadableStream<Uint8Array>;

/** The version of the core. */
export function version(): Promise<string>;

export * from './browser.js';
export * from './keys.js';
