/**
 * The types of `client.hydrate()`.
 */
import type { Folder } from './index.js';

/** What to fetch of what the resources of a folder refer to. */
export interface HydrateOptions {
  /** Groups of tasks ({@link hydrationTasks}), in any case; comma lists, `'all'`, `'none'`. Default: all. */
  tasks: string[];
  /** Media types of notes to put into DocumentReferences and DiagnosticReports. Default: text, HTML and XHTML. */
  mimetypes: string[];
  /** A subfolder in which attachments of other types are stored as files, named by their SHA-1 hash. Default: they are left alone. */
  attachmentsDir: string;
  /** Store new files as gzip. Default: true. */
  compress: boolean;
  /** A folder with the resources to look through. Default: the folder itself. Notes are always put into the folder's own files. */
  source: Folder;
  /** What to call the folder that is looked through in messages. Default: its name. */
  folder: string;
  /** Ends the job as {@link Job.cancel} does. */
  signal: AbortSignal;
}

/** How many resources were looked through, and how many references or attachments they have; of one kind. */
export interface HydrationCount {
  resources: number;
  items: number;
}

/** What a hydration task did. */
export interface HydrationTask {
  /** Its name, such as `medreq-med`. */
  task: string;
  /** The type that it read, and the one that it wrote. */
  input: string;
  output: string;
  /** Whether it put attachments into its input. */
  inlines: boolean;
  /** Whether there was nothing to read. */
  skipped: boolean;
  total: HydrationCount;
  /** Were here before. */
  alreadyDone: HydrationCount;
  newlyDone: HydrationCount;
  /** The server said no, or sent something else. */
  fatalErrors: HydrationCount;
  /** Could not be had after several tries. */
  retryErrors: HydrationCount;
  /** References to other servers, which were not followed. */
  foreign: number;
}

/** What came of a hydration. */
export interface HydrateReport {
  /** `incomplete`: some references or attachments could not be had; the same job again tries just those. */
  verdict: 'complete' | 'incomplete';
  /** The exit status of the command line: 0, or 3 where the verdict is `incomplete`. */
  exitStatus: 0 | 3;
  /** What each task did, in the order in which they ran. */
  tasks: HydrationTask[];
  /** How many references and attachments could not be had; `error/OperationOutcome.hydration.ndjson` lists them. */
  failed: number;
  /** The first of them, in words. */
  failures: string[];
  /** References to other servers, which were not followed. */
  foreign: number;
}
