/**
 * The host object through which the wasm core reaches the world: the JS side of the traits in `src/platform/`.
 * Internal: adapters implement it, programs use `index.d.ts`.
 *
 * A method of type `Soon<T>` may return its value or a promise of it; the core waits only for promises.
 */
export type Soon<T> = T | Promise<T>;

/** Kinds of `HttpError`; `src/platform/http.rs` says for each whether a retry could help. */
export type HttpErrorKind = 'connect' | 'timeout' | 'interrupted' | 'tls' | 'blocked' | 'invalid';

/** Kinds of `StorageError`, as in `src/platform/storage.rs`. */
export type StorageErrorKind = 'notFound' | 'full' | 'denied' | 'locked' | 'unsupported' | 'other';

/** An error of the core as it crosses the boundary and threads. */
export interface PlainError {
  kind: import('./index.d.ts').ErrorCode;
  operation: string;
  message: string;
  retry: boolean;
  status?: number;
  hint?: string;
  exitStatus: number;
}

/** Sends requests. Throws {@link HttpErrorKind} as `{kind, message}`. Follows no redirect, decodes nothing. */
export interface Transport {
  /**
   * Starts a request and returns at once.
   * @param url sent byte for byte
   * @param headers names and values in turn, with line breaks between: each text that crosses costs
   * @param timeoutMillis longest silence: until the headers come, and between two chunks
   * @param wake called with `number` once there is an answer, where the last thing that the exchange gave was `undefined`; not after
   *   `abort`
   */
  send(
    method: string, url: string, headers: string, body: Uint8Array | undefined, timeoutMillis: number, wake: (number: number) => void, number: number,
  ): Exchange;
  /** Closes idle connections and breaks all others. */
  close(): void;
}

/** A request under way. */
export interface Exchange {
  /** Status and headers; `undefined` if they are still to come. */
  head(): Head | undefined;
  /** The next bytes of the body, never none; `undefined` if they are still to come, `null` at a proper end, an error at any other. */
  chunk(): Uint8Array | null | undefined;
  /** The core has copied `Head.body`, whose memory may serve again. */
  taken(): void;
  /** Breaks it off. */
  abort(): void;
}

/** Status and headers of a response. */
export interface Head {
  status: number;
  /** Names and values in turn, with line breaks between, as sent, repeated ones included. */
  headers: string;
  /** Whether the body is gzip, as it was sent. */
  gzip: boolean;
  /** The whole body, where it has come by now: then there is nothing to ask for with `chunk`. */
  body?: Uint8Array;
}

/** What a path is. */
export interface Entry {
  name: string;
  isDir: boolean;
  /** Bytes; 0 for a folder and for a link. */
  size: number;
  /** What a link points at, relative to the folder that it is in. */
  target?: string;
}

/** A file open for writing. */
export interface FileHandle {
  /** Writes all of `bytes`, which is a view of wasm memory: valid only until the call returns. */
  write(bytes: Uint8Array): Soon<void>;
  /** Makes what was written survive a crash of the machine. */
  flush(): Soon<void>;
  close(): Soon<void>;
  /** Gives the file up, whatever its state. Never fails. */
  release(): void;
}

/** A lock that is held. */
export interface Held {
  /** Never fails. */
  release(): void;
}

/** What a worker needs to open the same folder. */
export type FolderDescriptor =
  | { kind: 'node-fs'; path: string }
  | { kind: 'opfs' | 'idb'; name: string }
  | { kind: 'picked'; handle: FileSystemDirectoryHandle }
  /** Reached by the worker that has it only. */
  | { kind: 'memory'; name: string; capacity?: number };

/** One folder. Paths are relative to it. Throws {@link StorageErrorKind} as `{kind, message}`. */
export interface Backend {
  /** Where the folder is, for people. */
  readonly name: string;
  /** Absent where only this thread can reach the folder: then files are transferred without workers. */
  readonly descriptor?: FolderDescriptor;
  stat(path: string): Soon<Entry | undefined>;
  list(path: string): Soon<Entry[]>;
  read(path: string, offset: number, max: number): Soon<Uint8Array>;
  open(path: string, append: boolean): Soon<FileHandle>;
  rename(from: string, to: string): Soon<void>;
  remove(path: string): Soon<void>;
  link(target: string, path: string): Soon<void>;
  usage(): Soon<{ available?: number }>;
  /** Takes the lock of the folder, or of the subfolder `path`; throws `locked` at once where another job has it. */
  lock(path?: string): Soon<Held>;
  /** A file, not read yet; absent where the host has no such thing. */
  blob?(path: string): Soon<Blob>;
  /** Removes the folder and all that is in it; absent where others may keep things in it too. */
  destroy?(): Soon<void>;
}

/** The clock. */
export interface HostClock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** The local zone's offset at `millis`, in minutes east. */
  offsetMinutes(millis: number): number;
  sleep(millis: number): { done(): Promise<void>; cancel(): void };
}

/** Randomness fit for tokens. */
export interface HostRandom {
  /** Fills `bytes`, a view of wasm memory. */
  fill(bytes: Uint8Array): void;
}

/** A signing key as the core knows it. */
export interface SigningKey {
  kid: string | null;
  alg: string;
  /** The client that it is for; absent: any. */
  clientId?: string;
}

/** Signs with keys that wasm never sees. */
export interface HostSigner {
  /** In order of preference. */
  keys(): SigningKey[];
  /** JWS signature of `input` by key number `index`. `input` is a view of wasm memory. */
  sign(index: number, input: Uint8Array): Promise<Uint8Array>;
}

/** `HostToken` of `src/platform/mod.rs`. */
export interface HostToken {
  token: string;
  /** Milliseconds from now; absent: until it is refused. */
  lifeMillis?: number;
}

/** `TransferTask` of `src/platform/transfer.rs`; opaque here but for the number. */
export interface TransferTask {
  file: number;
  [key: string]: unknown;
}

/** `TransferOutcome` of `src/platform/transfer.rs`. */
export type TransferOutcome = { stored: object } | { refused: object } | { broken: object };

/** Called with bytes received and resources seen. */
export type OnProgress = (received: number, resources: number) => void;

/** Runs transfers on workers. */
export interface Transfers {
  start(task: TransferTask, onProgress: OnProgress): { outcome(): Promise<TransferOutcome>; abort(): void };
  /** Makes `text`, valid only until the call returns, a gzip member. Absent, or an error: the core does it by itself. */
  gzip?(text: Uint8Array): Promise<Uint8Array>;
}

/** All seams. */
export interface Host {
  /** Absent: `fetch`, through gloo-net in the core. */
  http?: Transport;
  storage: Backend;
  /** The folder that the job reads from, where it is another one. */
  source?: Backend;
  clock: HostClock;
  random: HostRandom;
  signer?: HostSigner;
  /** A token of the program's; called where the credentials are of the kind `host`. */
  token?(source: number): Promise<HostToken>;
  /** Absent: transfers run where the core runs. */
  transfers?: Transfers;
  event?(event: import('./index.d.ts').Event): void;
  /** Waited for before each request: a promise while the job is paused. */
  resumed?(): Soon<void> | undefined;
}

/** What a wasm file exports, as the glue of wasm-bindgen shows it. */
export interface Core {
  version(): string;
  onPanic(handler: (message: string) => void): void;
  gzip(text: Uint8Array): Uint8Array;
  transfer(host: Host, task: TransferTask, onProgress: OnProgress, cancelled: Promise<unknown>): Promise<TransferOutcome>;
  checkBulk(config: object): void;
  bulk(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./index.d.ts').BulkReport>;
  checkCrawl(config: object): void;
  crawl(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./index.d.ts').CrawlReport>;
  parseIds(name: string, text: string): string[];
  cancelBulk(host: Host, config: object, cancelled: Promise<unknown>): Promise<void>;
  bundle(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./index.d.ts').BundleReport>;
  merge(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./index.d.ts').MergeReport>;
  checkHydrate(config: object): void;
  hydrate(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./index.d.ts').HydrateReport>;
  hydrationTasks(): string[];
  verify(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./index.d.ts').VerifyReport>;
  checkExport(config: object): void;
  managedExport(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./export.d.ts').ExportReport>;
  resetLinks(host: Host, config: object, cancelled: Promise<unknown>): Promise<{ links: number }>;
  single(host: Host, config: object, cancelled: Promise<unknown>): Promise<Uint8Array>;
  patientIds(host: Host, config: object, cancelled: Promise<unknown>): Promise<string[]>;
  groups(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./doctor.d.ts').Group[]>;
  doctor(host: Host, config: object, cancelled: Promise<unknown>): Promise<import('./index.d.ts').DoctorReport>;
  resourceTypes(): { usual: string[]; all: string[] };
  view(host: Pick<Host, 'storage' | 'clock' | 'random'>): Promise<import('./index.d.ts').FolderStatus>;
  Decoder: new () => Decoder;
}

/** Decodes a stored file that is pushed in pieces. */
export interface Decoder {
  push(bytes: Uint8Array): void;
  /** The next decoded bytes; none when more must be pushed first. */
  pull(): Uint8Array;
  /** The last bytes; throws if the file ends too early. */
  finish(): Uint8Array;
  free(): void;
}
