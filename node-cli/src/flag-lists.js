/**
 * Flags that several commands have.
 * @typedef {import('./flags.js').Flag} Flag
 */

/** @type {Flag[]} */
export const SERVER = grouped('Server:', [
  { name: 'fhir-url', value: 'URL', kind: 'url', help: 'FHIR server base URL' },
  { name: 'token-url', value: 'URL', kind: 'url', help: 'FHIR server token URL, only needed if the server does not provide it' },
  { name: 'header', value: "'K: V'", kind: 'header', secret: 'value', help: 'further request header, sent to the FHIR origin only; can be given several times' },
  { name: 'token-origin', value: 'ORIGIN', kind: 'origin', help: 'another origin that may see the access token, such as a file server; can be given several times' },
  { name: 'rewrite-url', value: 'FROM=TO', kind: 'rewrite', help: 'replace the beginning of URLs that the server gives out wrongly; can be given several times' },
  { name: 'allow-insecure', kind: 'switch', help: 'let credentials go over plain http to hosts other than this one' },
  { name: 'max-connections', value: 'N', kind: 'integer', min: 1, help: 'requests in flight at most (default 5); fewer while the server answers 429 or 503' },
  { name: 'retry-delays', value: 'LIST', kind: 'durations', help: 'waits between tries, comma separated (default 1m,2m,4m,8m for a bulk export; 1m,1m for searches and reads)' },
]);

/** @type {Flag[]} */
export const AUTHENTICATION = grouped('Authentication:', [
  { name: 'smart-client-id', value: 'ID', kind: 'text', help: 'client ID for SMART Backend Services, or a file that holds it' },
  { name: 'smart-key', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'private key for it: a .jwks, .jwk, .json or .pem file' },
  { name: 'bulk-smart-client-id', value: 'ID', kind: 'text', help: 'client ID for bulk export, only needed if your EHR uses separate bulk credentials' },
  { name: 'bulk-smart-key', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'private key for bulk export, only needed if your EHR uses separate bulk credentials' },
  { name: 'basic-user', value: 'USER', kind: 'text', help: 'user name for Basic authentication' },
  { name: 'basic-passwd', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'password file for Basic authentication' },
  { name: 'bearer-token', value: 'FILE', kind: 'text', secret: 'unless-file', help: 'token file for Bearer authentication' },
]);

/** Which types, filtered how, since when. @type {Flag[]} */
export const TYPES = [
  { name: 'type', value: 'TYPES', kind: 'list', help: "only these resource types, comma separated (default: all usual ones; '--type help' lists them)" },
  { name: 'type-filter', value: 'FILTER', kind: 'repeat', help: "search filter for a type, such as 'Condition?code=1234'; can be given several times, then as alternatives" },
  { name: 'no-default-filters', kind: 'switch', help: 'no filters besides those given (by default Observations are limited to the usual categories)' },
  { name: 'since', value: 'TIMESTAMP', kind: 'date', help: 'only data since this date, such as 2024-05-01 or 2024-05-01T10:00:00Z' },
  { name: 'since-mode', value: 'MODE', kind: 'choice', choices: ['auto', 'updated', 'created'], help: 'what --since looks at: auto (default; updated if the server can), updated or created' },
];

/** @type {Flag[]} */
export const OUTPUT = grouped('Output:', [
  { name: 'no-compression', kind: 'switch', help: 'do not gzip the files (which saves ~90% of their size, but some tools cannot read it)' },
  { name: 'workers', value: 'N', kind: 'integer', min: 0, help: 'threads that check and compress files (default: the number of cores, 4 at most)' },
  { name: 'progress', value: 'HOW', kind: 'choice', choices: ['auto', 'bar', 'plain', 'json', 'none'], help: 'auto (default: bar on a terminal, else plain), bar (on a terminal only), plain, json (events on standard output) or none' },
]);

/** The same for commands that only work on what is there. @type {Flag[]} */
export const LOCAL_OUTPUT = OUTPUT.filter(({ name }) => name !== 'workers');

/** @type {Flag[]} */
export const BUNDLE = grouped('Output:', [
  { name: 'bundle', kind: 'switch', help: 'turn all the files into one big Bundle at the end (removing them once it is complete)' },
]);

/** How to ask for a bulk export. @type {Flag[]} */
export const KICK_OFF = grouped('How to ask for it:', [
  { name: 'kickoff-method', value: 'METHOD', kind: 'choice', choices: ['auto', 'get', 'post'], help: 'HTTP method of the kick-off: auto (default), get or post' },
  { name: 'lenient', kind: 'switch', help: 'ask the server to ignore parameters that it does not know' },
  { name: 'organize-output-by', value: 'TYPE', kind: 'text', help: 'have the output organised by this type, such as Patient' },
  { name: 'output-format', value: 'FORMAT', kind: 'text', help: '_outputFormat to ask for, such as application/fhir+ndjson (default: not sent)' },
  { name: 'allow-partial-manifests', kind: 'switch', help: 'let the server give out files before the export is complete' },
  { name: 'separate-export-status', kind: 'switch', help: 'ask an STU4 server to tell the end of the export in a header of its own (Prefer: separate-export-status)' },
  { name: 'param', value: 'NAME=VALUE', kind: 'pair', help: 'further kick-off parameter; can be given several times' },
  { name: 'max-poll-delay', value: 'TIME', kind: 'duration', help: 'longest wait between two looks at the status (default 5m)' },
  { name: 'poll-timeout', value: 'TIME', kind: 'duration', help: 'give up waiting for the server after this long (default 30d); a later run goes on' },
]);

/** @type {Flag[]} */
export const BULK = [
  ...grouped('What to export:', [
    { name: 'level', value: 'LEVEL', kind: 'choice', choices: ['system', 'patient'], help: 'level of the export: system (default) or patient' },
    { name: 'group', value: 'ID', kind: 'text', help: 'export this Group' },
    { name: 'patient', value: 'IDS', kind: 'list', help: 'only these patients, comma separated; not at system level' },
    ...TYPES,
    { name: 'until', value: 'TIMESTAMP', kind: 'date', help: 'only data up to this date' },
    { name: 'elements', value: 'NAMES', kind: 'list', help: 'only these elements, comma separated, such as id,Patient.birthDate' },
    { name: 'include-associated-data', value: 'CODES', kind: 'list', help: 'associated data to include, such as LatestProvenanceResources' },
  ]),
  ...KICK_OFF,
  ...grouped('How to ask for it:', [
    { name: 'cancel', kind: 'switch', help: 'cancel the interrupted export of OUTPUT_DIR on the server' },
  ]),
  ...OUTPUT,
  ...BUNDLE,
];

/** Whose data: of commands that may go patient by patient. @type {Flag[]} */
export const COHORT = grouped('Cohort:', [
  { name: 'group', value: 'GROUP', kind: 'text', help: 'a FHIR Group to export (default is whole system)' },
  { name: 'group-nickname', value: 'NAME', kind: 'text', help: 'a human-friendly name for the cohort, used in log files and such' },
  { name: 'id-list', value: 'IDS', kind: 'text', help: 'list of IDs/MRNs to export (instead of a Group), comma separated' },
  { name: 'id-file', alias: 'mrn-file', value: 'PATH', kind: 'text', help: "file with IDs/MRNs to export (instead of a Group), one per line (or a .csv with an 'id' or 'mrn' column)" },
  { name: 'id-system', alias: 'mrn-system', value: 'SYSTEM', kind: 'text', help: 'system URI of the identifier to look for; if not set, FHIR IDs will be used' },
]);

/** Whose data, which of them, and how to search for them. @type {Flag[]} */
export const CRAWL = [
  ...COHORT,
  ...grouped('Cohort:', [
    { name: 'source-dir', value: 'DIR', kind: 'text', help: 'folder with existing Patient resources, to use as a cohort (defaults to output folder)' },
  ]),
  ...grouped('What to export:', TYPES),
  ...grouped('How to ask for it:', [
    { name: 'count', value: 'N', kind: 'integer', min: 1, help: 'resources on a page of a search (default: as the server likes)' },
    ...KICK_OFF.filter(({ name }) => ['max-poll-delay', 'poll-timeout'].includes(name)),
  ]),
  ...OUTPUT,
  ...BUNDLE,
];

/** @type {Flag[]} */
export const EXPORT = [
  ...COHORT,
  ...grouped('Cohort:', [
    { name: 'level', value: 'LEVEL', kind: 'choice', choices: ['system', 'patient'], help: 'level of a bulk export without --group: system (default) or patient' },
  ]),
  ...grouped('What to export:', [
    ...TYPES.map((flag) => (flag.name === 'since' ? { ...flag, help: "only get data since this date (provide 'auto' to detect the date from previous exports; all of it where there are none)" } : flag)),
    { name: 'nickname', value: 'NAME', kind: 'text', help: "nickname for this export's subfolder (default: the date)" },
    { name: 'hydration-tasks', value: 'NAMES', kind: 'list', help: "which hydration tasks to run (comma separated, defaults to 'all', use 'help' to see list)" },
    { name: 'mimetypes', value: 'MIMES', kind: 'list', help: 'mimetypes to inline, comma separated (default is text, HTML, and XHTML)' },
  ]),
  ...grouped('How to ask for it:', [
    { name: 'export-mode', value: 'MODE', kind: 'choice', choices: ['auto', 'bulk', 'crawl'], help: 'how to export data (default is bulk if server supports it well, crawl for a list of IDs)' },
    { name: 'reconcile', kind: 'switch', help: 'after a bulk export, look for what changed while it ran, and for what new patients of the group had before --since' },
    { name: 'count', value: 'N', kind: 'integer', min: 1, help: 'resources on a page of a search (default: as the server likes)' },
  ]),
  ...KICK_OFF.filter(({ name }) => !['organize-output-by', 'output-format'].includes(name)),
  ...OUTPUT,
];

/** What to fetch that the resources of a folder refer to. @type {Flag[]} */
export const HYDRATE = [
  ...grouped('What to fetch:', [
    { name: 'tasks', value: 'NAMES', kind: 'list', help: "which hydration tasks to run (comma separated, defaults to 'all', use 'help' to see list)" },
    { name: 'source-dir', value: 'DIR', kind: 'text', help: 'folder with your existing source resources (defaults to output folder)' },
    { name: 'mimetypes', value: 'MIMES', kind: 'list', help: 'mimetypes to inline, comma separated (default is text, HTML, and XHTML)' },
    { name: 'attachments-dir', value: 'DIR', kind: 'text', help: 'a subfolder of the output folder, to store attachments of other types in as files, named by the SHA-1 hash that their row has' },
  ]),
  ...LOCAL_OUTPUT,
];

/** The same flags, under a heading in the help text. */
export function grouped(group, flags) {
  return flags.map((flag) => ({ ...flag, group }));
}
