/**
 * The types of `client.export()`.
 */
import type { CrawlReport } from './crawl.js';
import type { HydrateReport } from './hydrate.js';
import type { BulkOptions, BulkReport, FolderRun } from './index.js';

/** What the next export of a managed folder gets, and how. */
export interface ExportOptions extends Omit<BulkOptions, 'bundle'> {
  /** Default: `'auto'`, a bulk export, but a crawl of `ids`, and where the vendor's bulk export is slow (Epic). */
  mode: 'auto' | 'bulk' | 'crawl';
  /** The name of the subfolder after its number. Default: the local date. */
  nickname: string;
  /** As in bulk exports, or `'auto'`: since the newest earlier exports, by type; all of it where there is no earlier export. */
  since: string;
  /** Ids of patients to crawl, or values of an identifier; in place of `level`. Not with `mode: 'bulk'`; an empty list is refused. */
  ids: readonly string[] | ReadonlySet<string>;
  /** The system of the identifier that `ids` are values of. Without it they are FHIR ids. */
  idSystem: string;
  /** A name of the cohort, for the log. */
  cohortName: string;
  /** Resources on a page of a search (`_count`). Default: as the server likes. */
  count: number;
  /** Hydration tasks; comma lists, `all` and `none` are understood. Default: all. */
  hydrationTasks: string[];
  /** Media types of notes to inline. Default: text, HTML and XHTML. */
  mimetypes: string[];
  /** After a bulk export, look for what changed while it ran, and for what new patients of the group had before `since`. Default: false. */
  reconcile: boolean;
}

/** What came of a managed export. */
export interface ExportReport {
  /** The subfolder, such as `002.2026-11-21`. */
  folder: string;
  /** Whether it was there before. */
  resumed: boolean;
  /** Whether it was complete before, so that there was nothing to export: another `nickname`, or `since`, makes a new one. */
  wasComplete: boolean;
  /** How the data were got. */
  mode: 'bulk' | 'crawl';
  /** How it ended: the worst of all steps. */
  verdict: 'complete' | 'withErrors' | 'incomplete';
  /** The exit status of the command line: 0, or 3 where the verdict is not `complete`. */
  exitStatus: 0 | 3;
  /** Since when, by type, where `since` was `auto`. Types that came whole are not in it. */
  since: Record<string, string>;
  /** Patients that are new since an earlier export, merged ones included. */
  newPatients: number;
  /** By type, resources that earlier exports had and this full one has not. */
  gone: Record<string, number>;
  /** Links to what is current. */
  links: number;
  /** Files of earlier exports that are gone and that nothing later has made up for, each with what to do; `incomplete` then. */
  lacking: string[];
  /** The bulk export. */
  bulk?: BulkReport;
  /** The crawl. */
  crawl?: CrawlReport;
  /** What was fetched besides. */
  hydration?: HydrateReport;
}

/** One export in a managed folder. */
export interface FolderExport {
  /** Its subfolder. */
  folder: string;
  /** Whether everything that belongs to it was done, and is there. */
  complete: boolean;
  /** Since when it was asked for, as it was given; absent for all. */
  since?: string;
  /** The time to which each type is done, ISO 8601. */
  done: Record<string, string>;
  /** Patients that were new to the folder with it. */
  newPatients: number;
  /** When its state was written last: local time, ISO 8601. */
  timestamp?: string;
  /** Its jobs, the oldest first. */
  runs: FolderRun[];
}
