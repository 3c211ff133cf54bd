// Running other programs: one place for the repository's root, output, time limits and error text.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the repository. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Where cargo builds; the WebAssembly files get folders of their own in it. */
export const targetDir = process.env.CARGO_TARGET_DIR ?? join(root, 'target');

/** An error whose message is all that the user needs; printed without a stack. */
export class Failure extends Error {}

/** A heading for one piece of work. */
export function say(text) {
  process.stdout.write(`\n== ${text}\n`);
}

/** Seconds as people read them: `4.2 s`, `3 min 05 s`. */
export function seconds(ms) {
  const total = ms / 1000;
  if (total < 60) return `${total.toFixed(1)} s`;
  return `${Math.floor(total / 60)} min ${String(Math.floor(total % 60)).padStart(2, '0')} s`;
}

/**
 * Runs a program in the repository and resolves to `{ code, output }`, never rejecting for what the program does.
 * Output is shown as it comes unless `quiet`. After `limit` minutes the program and its children are killed: a hanging
 * test must end as a failure, not as a hanging build.
 */
export function run(command, args, { env = process.env, cwd = root, quiet = false, limit = 60 } = {}) {
  return new Promise((resolve) => {
    // A process group of its own, so that the limit also ends what the program started.
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const chunks = [];
    const end = (signal) => {
      try {
        process.kill(-child.pid, signal);
      } catch {
        // Already gone.
      }
    };
    const timer = setTimeout(() => {
      chunks.push(Buffer.from(`\nkilled after ${limit} minutes: ${command} ${args.join(' ')}\n`));
      end('SIGKILL');
    }, limit * 60_000);
    const interrupt = () => {
      end('SIGTERM');
      process.exit(130);
    };
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.on('data', (chunk) => {
        chunks.push(chunk);
        if (!quiet) to.write(chunk);
      });
    }
    const done = (code, text) => {
      clearTimeout(timer);
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
      resolve({ code, output: Buffer.concat(chunks).toString('utf8') + text });
    };
    child.on('error', (error) => done(127, error.message));
    child.on('close', (code, signal) => done(code ?? 1, signal ? `\nended by ${signal}\n` : ''));
  });
}

/** As `run`, but throws a `Failure` that shows the output when the program does not end with 0. */
export async function must(command, args, options = {}) {
  const result = await run(command, args, options);
  if (result.code !== 0) {
    const shown = options.quiet ? `\n${result.output.trim()}` : '';
    throw new Failure(`${command} ${args.join(' ')} ended with ${result.code}.${shown}`);
  }
  return result.output;
}

/** Runs a script's main function: prints failures plainly and sets the exit status. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    process.stderr.write(`\n${error instanceof Failure ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
