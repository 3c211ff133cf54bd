import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { allFlags, COMMANDS, GLOBAL_FLAGS } from './args.js';
import { UsageError } from './exit-codes.js';
import { readValue } from './flags.js';
import { didYouMean } from './nearest.js';
import { describeSystemError } from './output.js';

/** Settings that make no sense in a file. */
const NOT_IN_FILE = new Set(['config']);

/**
 * The settings of one run: the command line over the config file. What neither names is left out, so that defaults live
 * in one place, the core.
 * @param {import('./args.js').CommandLine} commandLine
 * @returns {Promise<Record<string, any>>} checked values by flag name, such as `{'fhir-url': 'https://…'}`
 */
export async function readSettings({ command, given }) {
  const settings = {};
  const fromLine = (flag) => readValue(flag, given.get(flag), `--${flag.name}`);
  const config = [...given.keys()].find((flag) => flag.name === 'config');
  if (config) {
    const wanted = new Set([...GLOBAL_FLAGS, ...COMMANDS[command].flags].map((flag) => flag.name));
    for (const [name, value] of await readConfigFile(fromLine(config), command)) {
      // A file may serve several commands, each taking what it knows.
      if (wanted.has(name)) settings[name] = value;
    }
  }
  for (const flag of given.keys()) settings[flag.name] = fromLine(flag);
  if (settings.verbose && settings.quiet) throw new UsageError('--verbose and --quiet exclude each other');
  return settings;
}

/**
 * Reads a TOML file of settings: long flag names as keys, `_` for `-` allowed, at top level.
 * @param {string} path
 * @param {string} command whose flags they are to be, where commands differ
 * @returns {Promise<Map<string, any>>} checked values by flag name
 */
export async function readConfigFile(path, command) {
  const table = await readToml(path);
  const flags = allFlags(command);
  const settings = new Map();
  for (const [key, raw] of Object.entries(table)) {
    const called = key.replaceAll('_', '-');
    const flag = NOT_IN_FILE.has(called) ? undefined : flags.get(called);
    if (!flag) throw new UsageError(unknownKey(path, key, called, flags));
    const { name } = flag;
    if (settings.has(name)) throw new UsageError(`Config file '${path}' sets '${name}' twice`);
    settings.set(name, readValue(flag, raw, `${key} in ${basename(path)}`));
  }
  return settings;
}

async function readToml(path) {
  let text;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`Could not read the config file '${path}': ${describeSystemError(error)}`);
  }
  // Loaded where there is a file.
  const { parse, TomlError } = await import('smol-toml');
  try {
    return parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // Its first line only: the lines below it quote the file, which may hold secrets.
    const reason = error.message.split('\n', 1)[0].replace(/^Invalid TOML document: /, '');
    throw new UsageError(`Config file '${path}' is not valid TOML: line ${error.line}, column ${error.column}: ${reason}`);
  }
}

function unknownKey(path, key, name, flags) {
  const names = [...flags.keys()].filter((known) => !NOT_IN_FILE.has(known));
  const hint = didYouMean(name, names) || '; a key is the name of a flag without its dashes, such as fhir-url';
  return `Config file '${path}' has an unknown key '${key}'${hint}`;
}
