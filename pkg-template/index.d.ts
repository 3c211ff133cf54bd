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

/** A private key that can sign, in any of the forms in which people have it. */
export type Keys =
  /** A JWK or a JWKS, or their JSON text. In Node also PEM text: PKCS#8, PKCS#1 or SEC1. */
  | string
  | JsonWebKey
  | { keys: JsonWebKey[] }
  /** WebCrypto keys, which need not be extractable. */
  | SigningCryptoKey
  | SigningCryptoKey[];

/** A WebCrypto key for signing, with what the server knows of it. */
export interface SigningCryptoKey {
  key: CryptoKey;
  /** `RS384`, `ES384`, `RS256`, `RS512`, `ES256` or `ES512`. */
  alg: string;
  /** As registered with the server. */
  kid?: string | null;
}

/** How to prove who we are. */
export type Auth =
  | 'none'
  /** A bearer token that was got elsewhere. */
  | { token: string }
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
  /** Further headers, sent to the origin of the FHIR server only. */
  headers?: Record<string, string> | Iterable<[string, string]>;
  /** Origins besides the FHIR server's that may see the token, as `https://host:port`. */
  tokenOrigins?: string[];
  /** Beginnings of URLs from the server, and what to replace them with. */
  rewriteUrls?: Record<string, string> | Iterable<[string, string]>;
  /** Allows credentials over plain http to hosts other than loopback. */
  allowInsecure?: boolean;
  /** Requests in flight at most; default 5. Fewer where the server says so (429, 503). */
  maxConnections?: number;
  /** Waits between tries; their number is the number of retries. Default 1, 2, 4 and 8 minutes. */
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
  /** `patient`: ids, with or without `Patient/`. Not at system level. */
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

/** What a job tells while it runs. Durations are milliseconds, sizes bytes. */
export type Event =
  | { type: 'phase'; phase: 'discover' | 'kickOff' | 'wait' | 'download' | 'finish' }
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
    };

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
}

/** A folder that jobs work in. */
export interface Folder {
  /** Where it is, for people. */
  readonly name: string;
}

/** A client of one FHIR server. */
export class Client {
  /** Throws a usage error where an option is of no known form; sends nothing. */
  constructor(options: ClientOptions);
  /** Starts a bulk export into `folder`, or resumes the one that is there. */
  bulk(folder: Folder, options?: Partial<BulkOptions>): Job<BulkReport>;
  /** Looks at the options without sending anything; rejects with a usage error. */
  checkBulk(options?: Partial<BulkOptions>): Promise<void>;
  /** Cancels the export that was begun in `folder`, on the server too. */
  cancelBulk(folder: Folder): Promise<void>;
  /**
   * Gets one resource, as text in UTF-8 with a final newline, or the bytes of a Binary.
   * @param resource `Type/ID`, with or without `?query`; or an absolute URL below the server's base
   */
  single(resource: string, options?: SingleOptions): Promise<Uint8Array>;
}

/** Opens a folder of the file system (Node); made by the first job in it if it is not there. */
export function openFolder(path: string): Promise<Folder>;

/** A folder in memory, of `capacity` bytes at most: it ends with the program or page. */
export function memoryFolder(options?: { capacity?: number }): Folder;

/** The resource types that are known: those that `all` means, and every one of FHIR R4 to R5. */
export function resourceTypes(): Promise<{ usual: string[]; all: string[] }>;

/**
 * Turns keys into WebCrypto keys that cannot be read back, for `auth.keys`; rejects with a usage error where there is none
 * that can sign.
 */
export function loadKeys(keys: Keys): Promise<SigningCryptoKey[]>;

/** The version of the core. */
export function version(): Promise<string>;
