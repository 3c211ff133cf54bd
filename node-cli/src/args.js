import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { UsageError } from './exit-codes.js';
import { didYouMean } from './nearest.js';

/** The version of the command line, which is that of the core it was built with. */
export const VERSION = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;

const MAX_HELP_WIDTH = 120;
const REPEATED = new Set(['list', 'repeat', 'pair', 'origin', 'rewrite', 'header', 'urls']);

/** @typedef {import('./flags.js').Flag} Flag */

/** @type {Flag[]} Flags of every command, before or after its name. */
export const GLOBAL_FLAGS = [
  { name: 'config', short: '-c', value: 'FILE', kind: 'text', help: 'TOML file with settings: any long flag by its name; the command line wins' },
  { name: 'verbose', short: '-v', kind: 'switch', help: 'say more: every file, wait and retry' },
  { name: 'quiet', short: '-q', kind: 'switch', help: 'say nothing but warnings and errors' },
];

/** @type {Flag[]} */
const SERVER = grouped('Server:', [
  { name: 'fhir-url', value: 'URL', kind: 'url', help: 'FHIR server base URL' },
  { name: 'token-url', value: 'URL', kind: 'url', help: 'FHIR server token URL, only needed if the server does not provide it' },
  { name: 'header', value: "'K: V'", kind: 'header', secret: 'value', help: 'further request header, sent to the FHIR origin only; can be given several times' },
  { name: 'token-origin', value: 'ORIGIN', kind: 'origin', help: 'another origin that may see the access token, such as a file server; can be given several times' },
  { name: 'rewrite-url', value: 'FROM=TO', kind: 'rewrite', help: 'replace the beginning of URLs that the server gives out wrongly; can be given several times' },
  { name: 'allow-insecure', kind: 'switch', help: 'let credentials go over plain http to hosts other than this one' },
  { name: 'max-connections', value: 'N', kind: 'integer', min: 1, help: 'requests in flight at most (default 5); fewer while the server answers 429 or 503' },
  { name: 'retry-delays', value: 'LIST', kind: 'durations', help: 'waits between tries, comma separated (default 1m,2m,4m,8m)' },
]);

/** @type {Flag[]} */
const AUTHENTICATION = grouped('Authentication:', [
  { name: 'smart-client-id', value: 'ID', kind: 'text', help: 'client ID for SMART Backend Services, or a file that holds it' },
  { name: 'smart-key', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'private key for it: a .jwks, .jwk, .json or .pem file' },
  { name: 'bulk-smart-client-id', value: 'ID', kind: 'text', help: 'client ID for bulk export, only needed if your EHR uses separate bulk credentials' },
  { name: 'bulk-smart-key', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'private key for bulk export, only needed if your EHR uses separate bulk credentials' },
  { name: 'basic-user', value: 'USER', kind: 'text', help: 'user name for Basic authentication' },
  { name: 'basic-passwd', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'password file for Basic authentication' },
  { name: 'bearer-token', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'token file for Bearer authentication' },
]);

/** @type {Flag[]} */
const BULK = [
  ...grouped('What to export:', [
    { name: 'level', value: 'LEVEL', kind: 'choice', choices: ['system', 'patient'], help: 'level of the export: system (default) or patient' },
    { name: 'group', value: 'ID', kind: 'text', help: 'export this Group' },
    { name: 'patient', value: 'IDS', kind: 'list', help: 'only these patients, comma separated; not at system level' },
    { name: 'type', value: 'TYPES', kind: 'list', help: "only these resource types, comma separated (default: all usual ones; '--type help' lists them)" },
    { name: 'type-filter', value: 'FILTER', kind: 'repeat', help: "search filter for a type, such as 'Condition?code=1234'; can be given several times, then as alternatives" },
    { name: 'no-default-filters', kind: 'switch', help: 'no filters besides those given (by default Observations are limited to the usual categories)' },
    { name: 'since', value: 'TIMESTAMP', kind: 'date', help: 'only data since this date, such as 2024-05-01 or 2024-05-01T10:00:00Z' },
    { name: 'since-mode', value: 'MODE', kind: 'choice', choices: ['auto', 'updated', 'created'], help: 'what --since looks at: auto (default; updated if the server can), updated or created' },
    { name: 'until', value: 'TIMESTAMP', kind: 'date', help: 'only data up to this date' },
    { name: 'elements', value: 'NAMES', kind: 'list', help: 'only these elements, comma separated, such as id,Patient.birthDate' },
    { name: 'include-associated-data', value: 'CODES', kind: 'list', help: 'associated data to include, such as LatestProvenanceResources' },
  ]),
  ...grouped('How to ask for it:', [
    { name: 'kickoff-method', value: 'METHOD', kind: 'choice', choices: ['auto', 'get', 'post'], help: 'HTTP method of the kick-off: auto (default), get or post' },
    { name: 'lenient', kind: 'switch', help: 'ask the server to ignore parameters that it does not know' },
    { name: 'organize-output-by', value: 'TYPE', kind: 'text', help: 'have the output organised by this type, such as Patient' },
    { name: 'output-format', value: 'FORMAT', kind: 'text', help: '_outputFormat to ask for, such as application/fhir+ndjson (default: not sent)' },
    { name: 'allow-partial-manifests', kind: 'switch', help: 'let the server give out files before the export is complete' },
    { name: 'separate-export-status', kind: 'switch', help: 'ask an STU4 server to tell the end of the export in a header of its own (Prefer: separate-export-status)' },
    { name: 'param', value: 'NAME=VALUE', kind: 'pair', help: 'further kick-off parameter; can be given several times' },
    { name: 'max-poll-delay', value: 'TIME', kind: 'duration', help: 'longest wait between two looks at the status (default 5m)' },
    { name: 'poll-timeout', value: 'TIME', kind: 'duration', help: 'give up waiting for the server after this long (default 30d); a later run goes on' },
    { name: 'cancel', kind: 'switch', help: 'cancel the interrupted export of OUTPUT_DIR on the server' },
  ]),
  ...grouped('Output:', [
    { name: 'no-compression', kind: 'switch', help: 'do not gzip the files (which saves ~90% of their size, but some tools cannot read it)' },
    { name: 'workers', value: 'N', kind: 'integer', min: 0, help: 'threads that check and compress files (default: the number of cores, 4 at most)' },
    { name: 'progress', value: 'HOW', kind: 'choice', choices: ['auto', 'bar', 'plain', 'json', 'none'], help: 'auto (default: bar on a terminal, else plain), bar, plain, json (events on standard output) or none' },
  ]),
];

/**
 * The commands: their flags and help texts.
 * @type {Record<string, {summary: string, description: string, operand?: string, flags: Flag[], after: string}>}
 */
export const COMMANDS = {
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
  sandbox: {
    summary: 'run a small FHIR server to try things out',
    description: 'Runs a small FHIR R4 server with bulk export, search and SMART Backend Services on this machine, until it is ended by Ctrl-C or SIGTERM. It prints its base URL on the first line of standard output once it listens.',
    flags: grouped('Sandbox:', [
      { name: 'port', value: 'N', kind: 'integer', min: 0, max: 65535, help: 'port to listen on (default: a free one)' },
      { name: 'host', value: 'HOST', kind: 'text', help: 'address to listen on (default 127.0.0.1)' },
      { name: 'data', value: 'DIR', kind: 'text', help: 'serve the NDJSON files of this folder (default: generated patients)' },
      { name: 'patients', value: 'N', kind: 'integer', min: 0, help: 'number of patients to generate' },
      { name: 'seed', value: 'S', kind: 'integer', min: 0, help: 'seed for generating them; the same seed gives the same data' },
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
      { name: 'allow-insecure', kind: 'switch', help: 'let the relay use plain http to hosts other than this one' },
    ]),
    after: `Examples:
  smart-fetch serve
  smart-fetch serve --server https://ehr.example.org/fhir --server https://files.example.org`,
  },
};

/** Every flag that any command has, by name: what a config file may hold. */
export function allFlags() {
  return new Map([...GLOBAL_FLAGS, ...Object.values(COMMANDS).flatMap((command) => command.flags)].map((flag) => [flag.name, flag]));
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
  const program = new Command('smart-fetch')
    .description('Gets FHIR data out of an EHR and keeps it in a folder, verified and resumable.')
    .usage('COMMAND [options]')
    .version(`smart-fetch ${VERSION}`, '--version', 'show the version and exit')
    .helpOption('-h, --help', 'show this help and exit')
    .helpCommand(false)
    .configureHelp({ helpWidth: Math.min(columns, MAX_HELP_WIDTH), showGlobalOptions: true, subcommandTerm: (command) => command.name() })
    .configureOutput({ writeOut: write, writeErr: () => {}, outputError: () => {} })
    .exitOverride()
    .showSuggestionAfterError(false)
    .addHelpText('after', "\nSee 'smart-fetch COMMAND --help' for the flags of a command.")
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
      .addHelpText('after', `\n${after}`)
      .action((...args) => {
        parsed = { command: name, operand: operand && args[0], given: givenValues(command, flags, program) };
      });
    if (operand) command.argument('[operand]');
    for (const flag of flags) command.addOption(toOption(flag));
    if (name === 'bulk') command.addOption(new Option('--bundle').hideHelp());
  }

  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw usageError(error);
  }
  return parsed;
}

/** The values that stand on the command line, by flag. */
function givenValues(command, flags, program) {
  if (command.getOptionValue('bundle')) {
    throw new UsageError('--bundle is not in this version; export without it: the NDJSON files hold the same resources');
  }
  const given = new Map();
  for (const [owner, list] of [
    [program, GLOBAL_FLAGS],
    [command, flags],
  ]) {
    for (const flag of list) {
      const name = toOption(flag).attributeName();
      if (owner.getOptionValueSource(name) !== 'cli') continue;
      given.set(flag, flag.kind === 'switch' ? true : owner.getOptionValue(name));
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

function grouped(group, flags) {
  return flags.map((flag) => ({ ...flag, group }));
}

function noCommand(first) {
  const names = Object.keys(COMMANDS);
  if (first === undefined) return new UsageError(`a command is missing: ${names.join(', ')}`);
  if (first.startsWith('-')) return new UsageError(`unknown option '${nameOnly(first)}'`);
  return new UsageError(`unknown command '${first}'${didYouMean(first, names)}; there are ${names.join(', ')}`);
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
