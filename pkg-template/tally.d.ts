/**
 * The types of `Tally`.
 */
import type { Event } from './index.js';

/** A file of a {@link Tally}. */
export interface TallyFile {
  name: string;
  /** Resources that the manifest announces. */
  expected?: number;
  /** Bytes received. */
  received: number;
  resources: number;
  /** `again`: a try failed, and there will be another one. */
  state: 'active' | 'again' | 'done' | 'failed';
  /** When the try began, by the tally's clock. */
  since: number;
}

/** Where a job stands, gathered from its events: for progress bars and pages. Takes little memory whatever the number of files. */
export class Tally {
  /** @param now milliseconds that only grow; default: `performance.now` */
  constructor(now?: () => number);
  take(event: Event): void;
  readonly now: () => number;
  readonly started: number;
  /** Milliseconds since it was made. */
  readonly elapsed: number;
  readonly phase?: string;
  /** Files under way and the last ones, by number. */
  readonly files: Map<number, TallyFile>;
  /** Those of them that are under way. */
  readonly active: TallyFile[];
  readonly filesDone: number;
  readonly filesKnown: number;
  /** Bytes received in this run. */
  readonly received: number;
  readonly resources: number;
  /** Resources that the manifest announced, if it did. */
  readonly expected?: number;
  /** Requests in flight, and how many may be. */
  readonly inFlight: number;
  readonly limit: number;
  /** When the wait for the server began, if it is under way. */
  readonly waitingSince?: number;
  /** The step under way besides the download of files. */
  readonly step?: Extract<Event, { type: 'progress' }>;
  /** Bytes a second, lately; absent before there is one. */
  readonly rate?: number;
  /** The part of the phase that is done, 0 to 1; absent where nobody knows. */
  readonly share?: number;
  /** The wait that ends last, with the milliseconds left. */
  readonly wait?: { reason: string; until: number; left: number; progress?: string; message?: string };
}
