/**
 * Keeps a worker small. What sockets read lies outside of V8's heap, so that V8 sees no reason to collect it before tens of
 * megabytes have gathered: measured with four workers on plain bodies, 288 MB in all without this and 226 MB with it.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How many bytes of buffers may wait to be collected. */
const LIMIT = 4 * 1024 * 1024;

/** How often to look, in milliseconds. */
const INTERVAL = 20;

/** Collects young objects, which takes about a millisecond, whenever enough buffers have gathered. */
export function keepTidy() {
  // A context made after the flag was set has the function; the flag changes nothing else.
  setFlagsFromString('--expose-gc');
  /** @type {(options: { type: 'minor' }) => void} */
  const collect = runInNewContext('gc');
  setInterval(() => {
    if (process.memoryUsage().arrayBuffers > LIMIT) collect({ type: 'minor' });
  }, INTERVAL).unref();
}
