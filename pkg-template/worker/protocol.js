/**
 * What crosses between the job and its transfer workers. Plain data only.
 *
 * @typedef {{ type: 'transfer', id: number, task: import('../host.d.ts').TransferTask }
 *   | { type: 'abort', id: number }
 *   | { type: 'gzip', id: number, text: Uint8Array }} Request
 *
 * @typedef {{ type: 'progress', id: number, received: number, resources: number }
 *   | { type: 'outcome', id: number, outcome: import('../host.d.ts').TransferOutcome }
 *   | { type: 'member', id: number, member: Uint8Array, text: Uint8Array }
 *   | { type: 'failed', id: number, error: unknown }
 *   | { type: 'panic', message: string }} Reply
 */

/** Shortest time between two progress messages of a transfer, in milliseconds. */
export const PROGRESS_INTERVAL = 100;
