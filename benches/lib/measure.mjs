// Runs a program and measures it: seconds from its start to its end, and the resident memory of its process tree.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** How often memory is looked at, in ms. The kernel keeps the peak, so that only the last moments can be missed. */
const EVERY = 20;

function readProc(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process has ended
  }
}

/** Peak resident bytes of a process and of all its children now alive. Threads are in their process's figure. */
export function peakOf(pid) {
  const [, kilobytes = 0] = readProc(`/proc/${pid}/status`).match(/^VmHWM:\s+(\d+) kB/m) ?? [];
  const children = readProc(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean);
  return children.reduce((sum, child) => sum + peakOf(child), Number(kilobytes) * 1024);
}

/**
 * @param {string[]} command program and arguments
 * @returns {Promise<{code: number|null, errors: string, seconds: number, peak: number|null}>} `peak` in bytes; null where
 *   the system has no /proc
 */
export function measure([program, ...args]) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    let peak = 0;
    const timer = setInterval(() => { peak = Math.max(peak, peakOf(child.pid)); }, EVERY);
    child.stdout.resume();
    child.stderr.on('data', (chunk) => { errors = (errors + chunk).slice(-4000); });
    child.on('error', reject);
    child.on('exit', () => clearInterval(timer));
    let seconds;
    child.on('exit', () => { seconds = (performance.now() - began) / 1000; });
    child.on('close', (code) => resolve({ code, errors, seconds, peak: peak || null }));
  });
}
