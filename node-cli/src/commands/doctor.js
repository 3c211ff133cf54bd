import { allFlags } from '../args.js';
import { EXIT, UsageError } from '../exit-codes.js';
import { onInterrupt, repeatCommand } from '../interrupt.js';
import { plural } from '../output.js';
import { oneLine } from '../progress/words.js';
import { openClient } from '../server.js';
import { wrap } from '../wrap.js';

/** How the findings are called in the table. */
const TITLES = {
  server: 'Server', smart: 'SMART', token: 'Token', access: 'Searches', group: 'Group', export: 'Export', kickoff: 'Kick-off', trial: 'Trial', typeFilter: 'Type filters',
  browser: 'Web pages', gzip: 'Compression', retryAfter: 'Waiting', since: 'Since', filters: 'Default filters', crawl: 'Crawl',
};
const STATES = { good: 'ok', note: '-', warning: 'WARNING', failure: 'FAILED' };
const WIDTHS = { title: 15, state: 7 };
const VERDICTS = {
  yes: 'This server is ready for exports.',
  withProblems: 'This server can be used, with the problems above.',
  no: 'This server cannot be used like this.',
};
/** Flags that the recommended command has from the report, or not at all. */
const OWN = new Set(['json', 'kickoff', 'groups', 'origin', 'fhir-url', 'level', 'group', 'type', 'quiet', 'verbose']);

/**
 * Examines a server.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, argv, output }) {
  const { group, level } = settings;
  if (group !== undefined && level !== undefined) throw new UsageError('--group and --level exclude each other');
  const client = await openClient({ ...settings, 'fhir-url': operand ?? settings['fhir-url'] }, settings.groups ? 'both' : 'bulk');
  const interrupted = new AbortController();
  const stop = () => {
    // An export that has been started must not be left behind.
    if (settings.kickoff) output.error('What was started is cancelled first. To end at once, interrupt again.');
    else interrupted.abort();
  };
  const off = onInterrupt(stop, () => process.exit(EXIT.interrupted));
  try {
    if (settings.groups) return printGroups(await client.groups('', { signal: interrupted.signal }), settings.json, output);
    const report = await client.doctor({
      level: group === undefined ? level : { group }, types: settings.type, origin: settings.origin?.at(-1), kickoff: settings.kickoff, signal: interrupted.signal,
    });
    const command = report.usable === 'no' ? '' : exactCommand(argv, operand, report);
    if (settings.json) output.line(JSON.stringify({ ...report, command }, null, 2));
    else print(report, command, output);
    return report.exitStatus;
  } finally {
    off();
  }
}

/** The groups there are, for `--group`. */
function printGroups(groups, json, output) {
  if (json) output.line(JSON.stringify(groups, null, 2));
  else if (groups.length === 0) output.line('The server lists no groups. A group whose ID is known can be exported all the same.');
  else {
    const width = Math.max(...groups.map(({ id }) => oneLine(id).length));
    const more = ({ name, quantity }) => [name && oneLine(name), quantity !== undefined && plural(quantity, 'member')].filter(Boolean).join(', ');
    for (const group of groups) output.line(`${oneLine(group.id).padEnd(width)}  ${more(group)}`.trimEnd());
  }
  return EXIT.complete;
}

function print(report, command, output) {
  const indent = WIDTHS.title + WIDTHS.state + 4;
  const width = Math.min(Math.max(output.stdout.columns ?? 100, 60), 120) - indent;
  output.line(`${report.fhirUrl}\n`);
  for (const { name, state, found, meaning } of report.checks) {
    const [first, ...more] = [...wrap(found, width), ...(meaning ? wrap(meaning, width) : [])];
    output.line(`${TITLES[name].padEnd(WIDTHS.title)}  ${STATES[state].padEnd(WIDTHS.state)}  ${first}`);
    for (const line of more) output.line(' '.repeat(indent) + line);
  }
  output.line(`\n${VERDICTS[report.usable]}`);
  if (command) output.line(`\nUse:\n  ${command}`);
}

/** The command to use, with the flags for server and credentials as they were given. */
function exactCommand(argv, operand, { fhirUrl, flags }) {
  const known = allFlags();
  const words = ['export', 'OUTPUT_DIR', '--fhir-url', fhirUrl];
  for (let at = argv.indexOf('doctor') + 1; at < argv.length; at += 1) {
    if (argv[at] === operand) continue;
    const [, name, value] = /^--([a-z-]+)(=.*)?$/s.exec(argv[at]) ?? [];
    const flag = known.get(name) ?? [...known.values()].find(({ short }) => short === argv[at]);
    const taken = flag && flag.kind !== 'switch' && value === undefined ? 2 : 1;
    if (!OWN.has(flag?.name)) words.push(...argv.slice(at, at + taken));
    at += taken - 1;
  }
  const before = argv.slice(0, argv.indexOf('doctor'));
  return repeatCommand([...before, ...words, ...flags]);
}
