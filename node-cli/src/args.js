import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { UsageError } from './exit-codes.js';
import { AUTHENTICATION, BULK, CRAWL, EXPORT, HYDRATE, LOCAL_OUTPUT, SERVER, grouped } from './flag-lists.js';
import { didYouMean } from './nearest.js';
import { wrap, wrapHelp } from './wrap.js';

/** The version of the command line, which is that of the core it was built with. */
export const VERSION = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;

const MAX_HELP_WIDTH = 120;
/** On a terminal narrower than this, what an option does stands below it rather than beside it. */
const NARROW_HELP = 76;
const REPEATED = new Set(['list', 'repeat', 'pair', 'origin', 'rewrite', 'header', 'urls']);

/** @typedef {import('./flags.js').Flag} Flag */

/** @type {Flag[]} Flags of every command, before or after its name. */
export const GLOBAL_FLAGS = [
  { name: 'config', short: '-c', value: 'FILE', kind: 'text', help: 'TOML file with settings: any long flag by its name; the command line wins' },
  { name: 'verbose', short: '-v', kind: 'switch', help: 'say more: every file, wait, retry and hydration task' },
  { name: 'quiet', short: '-q', kind: 'switch', help: 'say nothing but warnings and errors' },
];

/**
 * The commands: their flags and help texts.
 * @type {Record<string, {summary: string, description: string, operand?: string, flags: Flag[], after: string}>}
 */
export const COMMANDS = {
  export: {
    summary: 'run a managed export',
    description: 'Keeps OUTPUT_DIR up to date: each run exports into a numbered subfolder, fetches what its resources refer to, works out what is gone, and links what is current. Run the same command again after any interruption: it goes on where it stopped. With --since auto the same command does for each run, the first one included, as from cron; without it, another full export needs another --nickname.',
    operand: 'OUTPUT_DIR',
    flags: [...EXPORT, ...SERVER, ...AUTHENTICATION],
    after: `Examples:
  smart-fetch export data -c site.toml --group 123 --since auto
  smart-fetch export data -c site.toml --group 123 --nickname full-2027
  smart-fetch export data -c site.toml --export-mode crawl --id-file mrns.csv --id-system urn:oid:1.2.3 --nickname march

Exit status:
  0    complete
  1    failed; run the same command again where the message says so
  2    wrong usage: nothing was sent, nothing was written
  3    finished, but the server reported errors, or some files, patients or references could not be had
  130  interrupted; the state is kept`,
  },
  bulk: {
    summary: 'run a bulk export into a folder',
    description: 'Runs a bulk export ($export) and keeps its files in OUTPUT_DIR. Run the same command again after any interruption: it goes on where it stopped.',
    operand: 'OUTPUT_DIR',
    flags: [...BULK, ...SERVER, ...AUTHENTICATION],
    after: `Examples:
  smart-fetch bulk out --fhir-url https://ehr.example.org/fhir --smart-client-id my-app --smart-key key.jwks --group 123
  smart-fetch bulk out --fhir-url http://127.0.0.1:8080/fhir --type Patient,Condition --since 2024-05-01
  smart-fetch bulk out -c site.toml --progress json

Exit status:
  0    complete
  1    failed; run the same command again where the message says so
  2    wrong usage: nothing was sent, nothing was written
  3    finished, but the server reported errors, or some files could not be had
  130  interrupted; the state is kept`,
  },
  crawl: {
    summary: 'run a crawl (REST alternative to bulk export)',
    description: 'Searches for the data of a cohort, patient by patient, and keeps them in OUTPUT_DIR. The Patients come from a bulk export of the Group (or the whole system), from the ids given, or from the files of an earlier export. Run the same command again after any interruption, or if patients could not be had: it gets just what is missing.',
    operand: 'OUTPUT_DIR',
    flags: [...CRAWL, ...SERVER, ...AUTHENTICATION],
    after: `Examples:
  smart-fetch crawl out --fhir-url https://ehr.example.org/fhir --smart-client-id my-app --smart-key key.jwks --group 123
  smart-fetch crawl out -c site.toml --id-file mrns.csv --id-system urn:oid:1.2.3 --type Patient,Condition
  smart-fetch crawl more -c site.toml --source-dir out --type Procedure --since 2024-05-01

Exit status:
  0    complete
  1    failed; run the same command again where the message says so
  2    wrong usage: nothing was sent, nothing was written
  3    finished, but the server reported errors, or some patients could not be had
  130  interrupted; the state is kept`,
  },
  hydrate: {
    summary: 'fetch what the resources of a folder refer to',
    description: 'Fetches practitioners, locations, medications, notes and the like that the resources in OUTPUT_DIR refer to, into the same folder. Run the same command again after any interruption, or to try again what could not be had: nothing is fetched twice.',
    operand: 'OUTPUT_DIR',
    flags: [...HYDRATE, ...SERVER, ...AUTHENTICATION],
    after: `Examples:
  smart-fetch hydrate out --fhir-url https://ehr.example.org/fhir --smart-client-id my-app --smart-key key.jwks
  smart-fetch hydrate out -c site.toml --tasks practitioner,inline --mimetypes text/plain,application/pdf
  smart-fetch hydrate out -c site.toml --tasks inline --attachments-dir attachments

Exit status:
  0    complete
  1    failed; run the same command again where the message says so
  2    wrong usage: nothing was sent, nothing was written
  3    finished, but some references or notes could not be had
  130  interrupted; what was fetched is kept`,
  },
  single: {
    summary: 'print a single resource',
    description: 'Requests one resource, or the result of a search, and prints its JSON on standard output.',
    operand: 'TYPE/ID',
    flags: [
      ...grouped('Output:', [
        { name: 'binary', kind: 'switch', help: 'if the resource is a Binary, print the data in it rather than JSON' },
        { name: 'compact', kind: 'switch', help: 'print JSON in compact mode (all on one line)' },
      ]),
      ...SERVER,
      ...AUTHENTICATION,
    ],
    after: `Examples:
  smart-fetch single Patient/123 --fhir-url https://ehr.example.org/fhir --bearer-token token.txt
  smart-fetch single 'Observation?patient=123&category=laboratory' -c site.toml --compact
  smart-fetch single Binary/note-7 -c site.toml --binary > note.pdf`,
  },
  status: {
    summary: 'say what a folder holds, and how far it is',
    description: 'Shows what the folder of an export holds by type, or which exports a managed folder has, and whether everything is there. Goes by what the folder says of itself, so that it takes moments whatever the size, also while a job is at work; verify looks into the files.',
    operand: 'DIR',
    flags: grouped('Output:', [{ name: 'json', kind: 'switch', help: 'print it as JSON' }]),
    after: `Examples:
  smart-fetch status out
  smart-fetch status out --quiet || smart-fetch bulk out -c site.toml
  smart-fetch status data --json | jq '.exports[-1]'

Exit status:
  0  complete; of a managed folder: its last export is
  3  not complete, or there is no export`,
  },
  verify: {
    summary: 'check a folder',
    description: 'Checks the folder of an export, or a managed folder with all its exports and links: every file is there and whole, each line is a resource of the right type, counts are right, nothing is left over from an interrupted run. Changes nothing.',
    operand: 'DIR',
    flags: [
      ...grouped('Output:', [
        { name: 'json', kind: 'switch', help: 'print what was found as JSON' },
        { name: 'temp', value: 'DIR', kind: 'text', help: 'folder for temporary files of large checks (default: DIR/.verify, removed at the end)' },
      ]),
      ...LOCAL_OUTPUT.filter(({ name }) => name === 'progress'),
    ],
    after: `Resources that are there more than once in an export, and references to what is not in the folder, are counted but are no problem: servers give out both.

Examples:
  smart-fetch verify out
  smart-fetch verify out --json | jq .problems

Exit status:
  0  nothing is wrong
  3  something is wrong (named on standard error)`,
  },
  merge: {
    summary: 'put the current state of a managed folder into another one',
    description: 'Applies all exports of the managed folder DIR in order, deletions too, and puts the latest version of each resource into another folder: as a whole new export would. DIR is only read.',
    operand: 'DIR',
    flags: [{ name: 'out', value: 'DIR', kind: 'text', group: 'Output:', help: 'folder to merge into: an empty one, or an earlier merge of DIR, which is brought up to date' }, ...LOCAL_OUTPUT],
    after: `Of two versions of a resource the one of the later export counts; within one export that with the later meta.lastUpdated. A whole export of a type stands for all before it. With a Patient who left the cohort goes what has it as its subject or patient.

Examples:
  smart-fetch merge out --out current
  smart-fetch merge out --out current --no-compression

Exit status:
  0  done
  3  done, but something could not be merged: an unfinished export, lost files, or rows that are no resources (named)`,
  },
  bundle: {
    summary: 'make one Bundle of the files in a folder',
    description: 'Makes one Bundle of all FHIR data in DIR. Caution: this will delete all current FHIR data in the folder, replacing it with the Bundle file. Nothing is deleted before the Bundle is complete. A managed folder has to be merged first (smart-fetch merge).',
    operand: 'DIR',
    flags: LOCAL_OUTPUT,
    after: `Examples:
  smart-fetch bundle out
  smart-fetch bundle out --no-compression`,
  },
  doctor: {
    summary: 'examine a server: what it can do, and the command to use',
    description: 'Examines a FHIR server: CapabilityStatement, SMART configuration, token and scopes, export levels, kick-off, what web pages may use (CORS), searches. Prints what was found, what it means, and the command to use. It starts no export unless told to with --kickoff.',
    operand: 'URL',
    flags: [
      ...grouped('What to look at:', [
        { name: 'level', value: 'LEVEL', kind: 'choice', choices: ['system', 'patient'], help: 'level that an export would have: system (default) or patient' },
        { name: 'group', value: 'ID', kind: 'text', help: 'the Group that would be exported' },
        { name: 'type', value: 'TYPES', kind: 'list', help: 'the types that would be exported, comma separated (default: all)' },
        { name: 'origin', value: 'ORIGIN', kind: 'origin', help: 'a web page of this origin would use the server, such as https://app.example.org: what stands in its way is a problem then' },
        { name: 'groups', kind: 'switch', help: 'only list the groups that there are' },
        { name: 'kickoff', kind: 'switch', help: 'really start exports, a few small ones, and cancel each at once: shows how type filters and status answers work' },
        { name: 'json', kind: 'switch', help: 'print the report as JSON' },
      ]),
      ...SERVER,
      ...AUTHENTICATION,
    ],
    after: `Examples:
  smart-fetch doctor https://ehr.example.org/fhir
  smart-fetch doctor https://ehr.example.org/fhir --smart-client-id my-app --smart-key key.jwks --group 123
  smart-fetch doctor https://ehr.example.org/fhir --origin https://app.example.org --json

Exit status:
  0    usable
  1    not reachable, or not usable like this
  2    wrong usage: nothing was sent
  3    usable, with problems that are named`,
  },
  keygen: {
    summary: 'make keys for SMART Backend Services',
    description: 'Makes private keys for SMART Backend Services and keeps them in FILE, a JWKS that --smart-key takes and only you can read. Prints the public keys, a JWKS to be registered with the server.',
    operand: 'FILE',
    flags: grouped('Keys:', [
      { name: 'alg', value: 'NAMES', kind: 'list', choices: ['ES384', 'RS384'], help: 'ES384 (an EC key), RS384 (an RSA key), or both, comma separated (default: both, of which each server takes one that it knows)' },
    ]),
    after: `Examples:
  smart-fetch keygen key.jwks > public.jwks
  smart-fetch keygen key.jwks --alg RS384

Exit status:
  0  done
  1  FILE could not be written
  2  wrong usage, or FILE is there already: nothing was written`,
  },
  'reset-symlinks': {
    summary: 'reset managed export symlinks (not normally needed)',
    description: 'Makes the links in OUTPUT_DIR, a folder of managed exports, to what is current anew. Needed after changes in its subfolders that were not made by an export.',
    operand: 'OUTPUT_DIR',
    flags: [],
    after: `Example:
  smart-fetch reset-symlinks data`,
  },
  sandbox: {
    summary: 'run a small FHIR server to try things out',
    description: 'Runs a small FHIR R4 server with bulk export, search and SMART Backend Services on this machine, until it is ended by Ctrl-C or SIGTERM. It prints its base URL on the first line of standard output once it listens.',
    flags: grouped('Sandbox:', [
      { name: 'port', value: 'N', kind: 'integer', min: 0, max: 65535, help: 'port to listen on (default: a free one)' },
      { name: 'host', value: 'HOST', kind: 'text', help: 'address to listen on (default 127.0.0.1)' },
      { name: 'data', value: 'DIR', kind: 'text', help: 'serve the NDJSON files of this folder (default: generated patients)' },
      { name: 'patients', value: 'N', kind: 'integer', min: 0, help: 'number of patients to generate' },
      { name: 'seed', value: 'S', kind: 'integer', min: 0, help: 'seed for generating them; the same seed gives the same data' },
      { name: 'references', kind: 'switch', help: 'generate something for each hydration task to find as well' },
      { name: 'cors', value: 'MODE', kind: 'choice', choices: ['full', 'no-expose', 'none'], help: 'what browsers get to see: full (default), no-expose or none' },
      { name: 'auth', value: 'MODE', kind: 'choice', choices: ['none', 'smart'], help: 'none (default), or SMART: Backend Services and App Launch' },
      { name: 'jwks', value: 'FILE', kind: 'text', help: "with --auth smart: keys of a client, registered as 'smart-fetch'" },
      { name: 'fault', value: 'NAME=VALUE', kind: 'repeat', help: "misbehave in a given way, such as 'pending=3'; can be given several times; '--fault help' lists them" },
    ]),
    after: `Examples:
  smart-fetch sandbox --port 8080
  smart-fetch sandbox --data folder/with/ndjson --auth smart --jwks key.jwks
  smart-fetch sandbox --patients 1000 --fault fileFail=503*2 --fault pending=3`,
  },
  serve: {
    summary: 'show the demo page, and relay it to FHIR servers',
    description: 'Serves a web page that runs exports in the browser, and relays its requests to FHIR servers that do not allow web pages to use them (CORS). Only this machine can reach it, until it is ended by Ctrl-C or SIGTERM. It prints its URL on the first line of standard output once it listens.',
    flags: grouped('Page:', [
      { name: 'port', value: 'N', kind: 'integer', min: 0, max: 65535, help: 'port to listen on (default 8484; 0: a free one). The browser keeps the runs of each port apart' },
      { name: 'server', value: 'URL', kind: 'urls', help: 'FHIR server, or other server that it points at, that the relay may reach (default: the public SMART sandbox); can be given several times' },
      { name: 'token-origin', value: 'ORIGIN', kind: 'origin', help: 'another origin that the relay may reach and that may see the access token, such as a file server; can be given several times' },
      { name: 'allow-insecure', kind: 'switch', help: 'let the relay use plain http to hosts other than this one' },
    ]),
    after: `Examples:
  smart-fetch serve
  smart-fetch serve --server https://ehr.example.org/fhir --server https://files.example.org`,
  },
};

/**
 * Every flag that any command has, by all its names: what a config file may hold. Where commands differ about a flag, it is
 * that of `command`, if one is given.
 * @param {string} [command]
 */
export function allFlags(command) {
  const flags = [...Object.values(COMMANDS).flatMap((one) => one.flags), ...(COMMANDS[command]?.flags ?? []), ...GLOBAL_FLAGS];
  return new Map(flags.flatMap((flag) => [flag.name, flag.alias].filter(Boolean).map((name) => [name, flag])));
}

/**
 * @typedef {object} CommandLine
 * @property {string} command name of the command
 * @property {string} [operand] what it works on
 * @property {Map<Flag, unknown>} given values as given, unchecked: `true`, a text or a list of texts
 */

/**
 * Takes a command line apart. Help and version go to `write`; then there is nothing to do and the result is undefined.
 * @param {string[]} argv
 * @param {(text: string) => void} write
 * @param {number} [columns] width of the terminal
 * @returns {CommandLine | undefined}
 */
export function parseCommandLine(argv, write, columns = 80) {
  let parsed;
  const helpWidth = Math.min(columns, MAX_HELP_WIDTH);
  const program = new Command('smart-fetch')
    .description('Gets FHIR data out of an EHR and keeps it in a folder, verified and resumable.')
    .usage('COMMAND [options]')
    .version(`smart-fetch ${VERSION}`, '--version', 'show the version and exit')
    .helpOption('-h, --help', 'show this help and exit')
    .helpCommand(false)
    .configureHelp({
      helpWidth,
      minWidthToWrap: 20,
      showGlobalOptions: true,
      subcommandTerm: (command) => command.name(),
      ...(helpWidth < NARROW_HELP && { formatItem: (term, _, text) => [`  ${term}`, ...wrap(text, helpWidth - 6).map((line) => `      ${line}`)].join('\n') }),
    })
    .configureOutput({ writeOut: write, writeErr: () => {}, outputError: () => {} })
    .exitOverride()
    .showSuggestionAfterError(false)
    .addHelpText('after', wrapHelp("\nSee 'smart-fetch COMMAND --help' for the flags of a command.", helpWidth))
    // So that an unknown command is named rather than its first flag.
    .allowUnknownOption()
    .argument('[command]')
    .argument('[rest...]')
    .action(() => {
      throw noCommand(program.args[0]);
    });
  for (const flag of GLOBAL_FLAGS) program.addOption(toOption(flag));

  for (const [name, { summary, description, operand, flags, after }] of Object.entries(COMMANDS)) {
    const command = program
      .command(name)
      .summary(summary)
      .description(description)
      .usage(operand ? `[options] ${operand}` : '[options]')
      .exitOverride((error) => {
        throw Object.assign(error, { command: name });
      })
      .addHelpText('after', wrapHelp(`\n${after}`, helpWidth))
      .action((...args) => {
        parsed = { command: name, operand: operand && args[0], given: givenValues(command, flags, program) };
      });
    if (operand) command.argument('[operand]');
    for (const flag of flags) {
      command.addOption(toOption(flag));
      if (flag.alias) command.addOption(toOption({ ...flag, name: flag.alias }).hideHelp());
    }
  }

  // As git and npm have it: `help COMMAND` is `COMMAND --help`.
  const words = argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv;
  if (words.length > 1 && words !== argv && !Object.hasOwn(COMMANDS, words[0])) throw noCommand(words[0]);
  try {
    program.parse(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw usageError(error);
  }
  return parsed;
}

/** The values that stand on the command line, by flag. */
function givenValues(command, flags, program) {
  const given = new Map();
  for (const [owner, list] of [
    [program, GLOBAL_FLAGS],
    [command, flags],
  ]) {
    for (const flag of list) {
      for (const called of [flag.name, flag.alias].filter(Boolean)) {
        const name = toOption({ ...flag, name: called }).attributeName();
        if (owner.getOptionValueSource(name) !== 'cli') continue;
        if (given.has(flag)) throw new UsageError(`--${called} is the same as --${flag.name}; give one of them`);
        given.set(flag, flag.kind === 'switch' ? true : owner.getOptionValue(name));
      }
    }
  }
  return given;
}

/** @param {Flag} flag */
function toOption(flag) {
  const short = flag.short ? `${flag.short}, ` : '';
  const option = new Option(`${short}--${flag.name}${flag.value ? ` <${flag.value}>` : ''}`, flag.help);
  if (flag.group) option.helpGroup(flag.group);
  // Checked later, together with what a config file says: one set of rules and messages for both.
  if (REPEATED.has(flag.kind)) option.argParser((value, earlier = []) => [...earlier, value]);
  return option;
}

function noCommand(first) {
  const names = Object.keys(COMMANDS);
  if (first === undefined) return new UsageError(`a command is missing: ${names.join(', ')}`);
  if (first.startsWith('-')) return new UsageError(`unknown option '${nameOnly(first)}'`);
  return new UsageError(`unknown command '${first}'${didYouMean(first, names) || `; there are ${names.join(', ')}`}`);
}

/** Commander's complaint in our words. */
function usageError({ code, message, command }) {
  if (code === 'commander.unknownOption') {
    const name = nameOnly(/'(.*)'/s.exec(message)[1]);
    const names = [...COMMANDS[command].flags, ...GLOBAL_FLAGS].map((flag) => flag.name);
    const hint = name.startsWith('--') ? didYouMean(name.slice(2), names, '--') : '';
    return new UsageError(`unknown option '${name}'${hint}`, command);
  }
  if (code === 'commander.optionMissingArgument') {
    return new UsageError(`${/--[a-z-]+/.exec(message)[0]} needs a value`, command);
  }
  if (code === 'commander.excessArguments') {
    const { operand } = COMMANDS[command];
    return new UsageError(operand ? `there is more than one ${operand}` : 'it takes flags only', command);
  }
  return new UsageError(message.replace(/^error: /, ''), command);
}

/** `--flag=value` without the value, which might be a secret. */
function nameOnly(flag) {
  return flag.split('=', 1)[0];
}
