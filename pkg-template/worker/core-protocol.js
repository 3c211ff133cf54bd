/**
 * What crosses between a page and the worker that has the core. Plain data only; errors as `PlainError`.
 */
import { SmartFetchError } from '../errors.js';

/**
 * @typedef {{ type: 'call', id: number, method: string, args: any[] }
 *   | { type: 'cancel', id: number }
 *   | { type: 'pause', id: number, paused: boolean }
 *   | { type: 'token', id: number, question: number, token?: import('../host.d.ts').HostToken, problem?: string }} Request
 *
 * @typedef {{ type: 'alive', lock: string }
 *   | { type: 'event', id: number, event: any }
 *   | { type: 'askToken', id: number, question: number, source: number }
 *   | { type: 'result', id: number, value: any }
 *   | { type: 'failed', id: number, error: import('../host.d.ts').PlainError }
 *   | { type: 'panic', message: string }} Reply
 */

/**
 * An error as plain data.
 * @param {any} thrown
 * @param {string} operation
 * @returns {import('../host.d.ts').PlainError}
 */
export function plain(thrown, operation) {
  const { code, message, hint, retry, status, exitStatus, operation: where } = SmartFetchError.from(thrown, operation);
  return { kind: code, operation: where, message, hint, retry, status, exitStatus };
}
