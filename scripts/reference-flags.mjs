// Writes tests/fixtures/reference/flags.json: the commands and flags of Python smart-fetch, as its own --help pages list them.
//
//   node scripts/reference-flags.mjs
//
// The reference is installed into the tool cache if it is not there. tests/cli/flags-parity.test.mjs reads the list.
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PYTHON_VERSION, ensurePython } from '../benches/lib/programs.mjs';
import { Failure, main, root, run } from './lib/run.mjs';

const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench');
/** Wide enough that no option is broken over two lines. */
const ENV = { ...process.env, COLUMNS: '400' };

/** `  --config PATH, -c PATH  help` and `  --verbose, -v  help`, as argparse prints them. */
const OPTION = /^ {2}(-\S.*?)(?: {2,}.*)?$/;

function flagsOf(help) {
  const flags = {};
  for (const line of help.split('\n')) {
    const names = OPTION.exec(line)?.[1];
    if (!names) continue;
    const forms = names.split(', ').map((form) => form.split(' '));
    const long = forms.find(([name]) => name.startsWith('--'));
    const short = forms.find(([name]) => /^-\w$/.test(name));
    flags[long[0]] = { ...(short && { short: short[0] }), value: long.length > 1, ...(/^\{.*\}$/.test(long[1]) && { choices: long[1].slice(1, -1).split(',') }) };
  }
  return flags;
}

await main(async () => {
  const python = await ensurePython(CACHE);
  if (!python) throw new Failure(`Python smart-fetch ${PYTHON_VERSION} could not be installed; it needs python3 with venv, and pip.`);
  const help = async (...args) => (await run(python, [...args, '--help'], { env: ENV, quiet: true })).output;
  const top = await help();
  const names = [...top.matchAll(/^ {4}(\S+) {2,}\S/gm)].map(([, name]) => name);
  const commands = {};
  for (const name of names) {
    const text = await help(name);
    commands[name] = { operand: /^positional arguments:\n {2}(\S+)/m.exec(text)?.[1], flags: flagsOf(text) };
  }
  const path = join(root, 'tests/fixtures/reference/flags.json');
  writeFileSync(path, `${JSON.stringify({ version: PYTHON_VERSION, flags: flagsOf(top), commands }, null, 1)}\n`);
  console.log(`${path}: ${names.join(', ')}`);
});
