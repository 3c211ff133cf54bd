// The programs compared, and what they need.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root, run, say } from '../../scripts/lib/run.mjs';

/** How the server sends files. */
export const CODINGS = ['gzip', 'identity'];
export const PROGRAMS = ['ours', 'python', 'node', 'curl'];
export const PYTHON_VERSION = '1.0.3';

const works = async (command, args) => (await run(command, args, { quiet: true })).code === 0;

/** Both exporters are asked the same; there is no filter, because the data is all of one kind. */
const exportArgs = ({ base, out }) => ['bulk', out, '--fhir-url', base, '--type', 'Observation', '--no-default-filters'];

/** The reference in a venv of its own, installed once; resolves to the path of its program, or to null. */
export async function ensurePython(cache) {
  const venv = join(cache, `python-${PYTHON_VERSION}`);
  const program = join(venv, 'bin/smart-fetch');
  if (existsSync(program) && (await works(program, ['--version']))) return program;
  say(`pip install smart-fetch==${PYTHON_VERSION} (once per machine)`);
  mkdirSync(cache, { recursive: true });
  if (!(await works('python3', ['-m', 'venv', '--clear', venv]))) return null;
  if (!(await works(join(venv, 'bin/python'), ['-m', 'pip', 'install', '--quiet', `smart-fetch==${PYTHON_VERSION}`]))) return null;
  return program;
}

/**
 * @typedef {object} Program
 * @property {string} name @property {string} label
 * @property {boolean} keeps whether it leaves the resources in the output folder
 * @property {(run: {base: string, urls: string[], out: string, coding: string, workers?: number}) => string[]} command
 */

/**
 * Those of the programs that there are, made ready, and a note for each that is missing.
 * @returns {Promise<{programs: Program[], notes: string[]}>}
 */
export async function choosePrograms(names, cache) {
  const programs = [];
  const notes = [];
  // The raw limits come first: they also bring the files into the page cache.
  if (names.includes('node')) {
    const script = fileURLToPath(new URL('raw.mjs', import.meta.url));
    programs.push({ name: 'node', label: 'raw limit, Node (undici)', keeps: false, command: ({ urls, coding }) => [process.execPath, script, coding, ...urls] });
  }
  if (names.includes('curl')) {
    const flags = ['--silent', '--show-error', '--fail', '--parallel', '--parallel-max', '5'];
    if (await works('curl', [...flags, '--version'])) {
      programs.push({
        name: 'curl', label: 'raw limit, curl', keeps: false,
        command: ({ urls, coding }) => ['curl', ...flags, '-H', `Accept-Encoding: ${coding}`, ...urls.flatMap((url) => ['-o', '/dev/null', url])],
      });
    } else notes.push('curl (7.66 or later) was not found: left out.');
  }
  if (names.includes('ours')) {
    const cli = join(root, 'node-cli/bin/smart-fetch.js');
    programs.push({
      name: 'ours', label: 'smart-fetch (this)', keeps: true,
      command: (job) => [process.execPath, cli, ...exportArgs(job), '--progress', 'none', ...(job.workers ? ['--workers', String(job.workers)] : [])],
    });
  }
  if (names.includes('python')) {
    const program = await ensurePython(cache);
    if (program) programs.push({ name: 'python', label: `Python smart-fetch ${PYTHON_VERSION}`, keeps: true, command: (job) => [program, ...exportArgs(job)] });
    else notes.push(`Python smart-fetch ${PYTHON_VERSION} could not be installed (it needs python3 with venv, and pip): left out, so there are no ratios to it.`);
  }
  return { programs, notes };
}
