/**
 * The types of `client.crawl()`.
 */
import type { BulkOptions, Folder } from './index.js';

/** What to crawl: the data of an export, got by searches patient by patient. */
export interface CrawlOptions
  extends Pick<
    BulkOptions,
    'types' | 'typeFilters' | 'defaultFilters' | 'since' | 'sinceMode' | 'compress' | 'maxPollDelay' | 'pollTimeout' | 'signal'
  > {
  /** Where Patients come from, without `ids`: a bulk export of them at this level. Default: `'system'`. */
  level: BulkOptions['level'];
  /** Ids of the patients, or values of an identifier; in place of `level`. An empty list is refused, since it must not mean everybody. */
  ids: readonly string[] | ReadonlySet<string>;
  /** The system of the identifier that `ids` are values of. Without it they are FHIR ids. */
  idSystem: string;
  /** A name of the cohort, for the log. */
  cohortName: string;
  /** Resources on a page (`_count`). Default: as the server likes. */
  count: number;
  /** A folder with Patients of an earlier export, whose data are searched for where `types` has no Patient. Default: the folder itself. */
  source: Folder;
}

/** What came of a crawl. Counts are of the whole folder. */
export interface CrawlReport {
  /**
   * `complete`: everything is here. `withErrors`: the same, but the server reported errors with it. `incomplete`: some patients
   * could not be had; the same job again gets just those.
   */
  verdict: 'complete' | 'withErrors' | 'incomplete';
  /** The exit status of the command line: 0, or 3 where the verdict is not `complete`. */
  exitStatus: 0 | 3;
  /** How many patients there are. */
  patients: number;
  files: number;
  resources: number;
  /** Bytes on disk. */
  bytes: number;
  types: Record<string, { files: number; resources: number }>;
  /** Types that were asked for and have no resources. */
  emptyTypes: string[];
  /** How many patients are missing, by type. */
  missing: Record<string, number>;
  /** The first of them, and why. */
  missingExamples: { type: string; patient: string; problem: string }[];
  /** Ids that the server has no Patient for: they make the crawl incomplete, and the next run asks for just those again. */
  unknownPatients: string[];
  /** Files of the bulk export of Patients that could not be had: then nothing else was tried. */
  patientsProblem: { name: string; url: string; problem: string }[];
  /** Issues of severity `error` or `fatal` that the server reported with resources. */
  errors: number;
  /** The first issues that the server reported with resources, errors first. */
  issues: { severity: string; code: string; text: string }[];
}
