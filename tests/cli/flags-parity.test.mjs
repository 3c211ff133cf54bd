// Nothing of the Python program's command line is missing here, and everything of ours can stand in a config file.
// The list of the reference is that of its own --help pages: scripts/reference-flags.mjs writes it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS, GLOBAL_FLAGS, parseCommandLine } from '../../node-cli/src/args.js';
import { readSettings } from '../../node-cli/src/config.js';
import { run, scratch } from './support.mjs';

const reference = JSON.parse(readFileSync(new URL('../fixtures/reference/flags.json', import.meta.url), 'utf8'));
/** Flags of the reference that its help pages hide, since they have better names by now. */
const HIDDEN = { export: ['--mrn-file', '--mrn-system'], crawl: ['--mrn-file', '--mrn-system'] };

function helpOf(...args) {
  let text = '';
  parseCommandLine([...args, '--help'], (piece) => { text += piece; }, 120);
  return text;
}

/** The flags of a help page: `--since` -> `{value, short}`. */
function flagsIn(help) {
  const lines = [...help.matchAll(/^ {2}(?:(-\w), )?(--[\w-]+)(?:, (--[\w-]+))?( <[^>]+>| \S+)?(?= {2}|$)/gm)];
  return new Map(lines.map(([, short, name, , value]) => [name, { short, value: value !== undefined }]));
}

test('the list of the reference is whole', () => {
  assert.deepEqual(Object.keys(reference.commands), ['export', 'bulk', 'crawl', 'hydrate', 'single', 'bundle', 'reset-symlinks']);
  assert.equal(Object.keys(reference.commands.export.flags).length, 27);
});

for (const [command, { flags }] of Object.entries(reference.commands)) {
  test(`${command}: each flag of the reference is there, and takes a value where that one does`, () => {
    assert.ok(COMMANDS[command], `there is no command ${command}`);
    const ours = flagsIn(helpOf(command));
    for (const [name, { short, value, choices }] of Object.entries(flags)) {
      const found = name === '--version' ? { value: false } : ours.get(name);
      assert.ok(found, `${command} ${name} is missing`);
      assert.equal(found.value, value, `${command} ${name}`);
      if (short) assert.equal(found.short, short, `${command} ${name}`);
      const flag = COMMANDS[command].flags.find((one) => `--${one.name}` === name);
      for (const choice of choices ?? []) assert.ok(flag.choices.includes(choice), `${command} ${name} ${choice}`);
    }
  });

  test(`${command}: flags that the reference hides are understood, and --version`, async () => {
    for (const name of HIDDEN[command] ?? []) {
      const { given } = parseCommandLine([command, 'x', name, 'value'], assert.fail);
      assert.deepEqual([...given.values()], ['value'], name);
    }
    const { code, stdout } = await run([command, '--version']);
    assert.equal(code, 0);
    assert.match(stdout, /^smart-fetch \d+\.\d+\.\d+/);
  });
}

test('the global flags of the reference stand before the command too', () => {
  for (const [name, { value }] of Object.entries(reference.flags).filter(([name]) => !['--help', '--version'].includes(name))) {
    const { given } = parseCommandLine([name, ...(value ? ['site.toml'] : []), 'single', 'Patient/1'], assert.fail);
    assert.deepEqual([...given.keys()].map((flag) => `--${flag.name}`), [name]);
  }
});

/** A value of each kind as one writes it on the command line; switches have none. */
const SAMPLES = {
  text: 'some text', date: '2024-05-01', list: 'a,b', repeat: 'Condition?code=a,b', duration: '2m', durations: '1m,2m', pair: 'a=b', url: 'https://ehr.example.org/fhir',
  urls: 'https://ehr.example.org/fhir', origin: 'https://files.example.org', rewrite: 'http://inside/fhir=https://outside/fhir', header: 'X-A: 1',
};

function sampleOf({ kind, choices, min, name }) {
  if (choices) return choices[0];
  if (kind === 'integer') return String(Math.max(1, min));
  assert.ok(SAMPLES[kind], `${name}: there is no sample of the kind '${kind}'; add one to this test`);
  return SAMPLES[kind];
}

for (const [command, { flags, operand }] of Object.entries(COMMANDS)) {
  test(`${command}: every flag can be set in a config file, and means the same there`, async (t) => {
    const folder = await scratch(t);
    const file = join(folder, 'site.toml');
    const words = [command, ...(operand ? ['x'] : [])];
    for (const flag of [...GLOBAL_FLAGS.filter(({ name }) => name !== 'config'), ...flags]) {
      const isSwitch = flag.kind === 'switch';
      await writeFile(file, `${flag.name.replaceAll('-', '_')} = ${isSwitch ? 'true' : JSON.stringify(sampleOf(flag))}\n`);
      const { config, ...fromFile } = await readSettings(parseCommandLine([...words, '-c', file], assert.fail));
      const fromLine = await readSettings(parseCommandLine([...words, `--${flag.name}${isSwitch ? '' : `=${sampleOf(flag)}`}`], assert.fail));
      assert.deepEqual(fromFile, fromLine, `--${flag.name}`);
      assert.equal(config, file);
    }
  });

  test(`${command}: a config file with an unknown key is refused by its name`, async (t) => {
    const folder = await scratch(t);
    const file = join(folder, 'site.toml');
    await writeFile(file, 'fhir-url = "https://ehr.example.org/fhir"\nfhir-ulr = "x"\n');
    const { code, stderr } = await run([command, ...(operand ? [join(folder, 'x')] : []), '-c', file]);
    assert.equal(code, 2);
    assert.match(stderr, /unknown key 'fhir-ulr'.*fhir-url/s);
  });
}
