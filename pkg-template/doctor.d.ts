/**
 * The types of `client.doctor()`.
 */

/** What to examine a server for. */
export interface DoctorOptions {
  /** The level that an export would have. Default: `'system'`. */
  level?: 'system' | 'patient' | { group: string };
  /** The types that one would export. Default: all. */
  types?: string[];
  /**
   * The origin of the web page that would use the server; what stands in its way counts as a problem then. In a browser it is
   * the page itself.
   */
  origin?: string;
  /** Really start exports; each is deleted at once. */
  kickoff?: boolean;
  /** Breaks it off when it aborts. */
  signal?: AbortSignal;
}

/** A Group, as one chooses it. */
export interface Group {
  id: string;
  name?: string;
  /** Members, as the server counts them. */
  quantity?: number;
}

/** One finding. */
export interface DoctorCheck {
  name:
    | 'server'
    | 'smart'
    | 'token'
    | 'access'
    | 'group'
    | 'export'
    | 'kickoff'
    | 'trial'
    | 'typeFilter'
    | 'browser'
    | 'gzip'
    | 'retryAfter'
    | 'since'
    | 'filters'
    | 'crawl';
  /** `note`: nothing wrong, or not known. `warning`: to know before an export. `failure`: an export cannot work like this. */
  state: 'good' | 'note' | 'warning' | 'failure';
  /** What was found, in a phrase. */
  found: string;
  /** What that means or what to do about it; empty where it goes without saying. */
  meaning: string;
}

/** What came of an examination. */
export interface DoctorReport {
  usable: 'yes' | 'withProblems' | 'no';
  /** The exit status of the command line: 0, 3 with problems, 1 where the server cannot be used. */
  exitStatus: 0 | 1 | 3;
  fhirUrl: string;
  checks: DoctorCheck[];
  /** Plain facts; `null` is not known. */
  facts: {
    fhirVersion: string | null;
    software: string | null;
    vendor: 'epic' | 'oracle' | null;
    tokenUrl: string | null;
    /** Scopes that were granted. */
    scopes: string | null;
    /** Types that were asked for and not granted. */
    missingScopes: string[];
    tokenSeconds: number | null;
    /** Patients that a search counts. */
    patients: number | null;
    /** The groups that the server lists, where the one in question was looked for among them. */
    groups: Group[];
    /** Export operations that the CapabilityStatement shows. */
    exports: { level: 'system' | 'patient' | 'group'; operation: string; version: number | null }[];
    kickoffGet: boolean | null;
    kickoffPost: boolean | null;
    /** Exports that were started, and deleted again. */
    started: number;
    /** Whether a comma inside a type filter must be written `%2C`; known after a kick-off only. */
    escapedCommas: boolean | null;
    /** Whether a web page can run an export. */
    browser: boolean | null;
    /** Headers that pages cannot read. */
    hiddenHeaders: string[];
    gzip: boolean | null;
    /** `Retry-After`, as sent. */
    retryAfter: string | null;
    /** What `sinceMode: 'auto'` means here. */
    sinceMode: 'updated' | 'created' | null;
    /** Usual types that cannot be searched by patient, as a crawl does. */
    notCrawlable: string[];
  };
  /** Flags that the command for this server needs besides its URL and the credentials. */
  flags: string[];
  /** The command to use, with placeholders for credentials; empty where the server cannot be used. */
  command: string;
}
