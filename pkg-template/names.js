/**
 * What messages call the options. The core calls them by the flags of its command line (`src/error.rs`), which other callers do
 * not have: for them the name takes the place of the flag.
 */

/** Options that are not called as their flags are. */
const NAMES = /** @type {Record<string, string>} */ ({
  'allow-insecure': 'allowInsecure',
  'attachments-dir': 'attachmentsDir',
  'basic-passwd': 'auth.password',
  'basic-user': 'auth.user',
  'bearer-token': 'auth.token',
  'cancel': 'cancelBulk()',
  'export-mode': 'mode',
  'fhir-url': 'fhirUrl',
  'group': 'level.group',
  'header': 'headers',
  'hydration-tasks': 'hydrationTasks',
  'id-file': 'ids',
  'id-list': 'ids',
  'id-system': 'idSystem',
  'kickoff-method': 'kickoffMethod',
  'max-poll-delay': 'maxPollDelay',
  'param': 'params',
  'patient': 'patients',
  'poll-timeout': 'pollTimeout',
  'rewrite-url': 'rewriteUrls',
  'since-mode': 'sinceMode',
  'smart-client-id': 'auth.clientId',
  'smart-key': 'auth.keys',
  'source-dir': 'source',
  'token-origin': 'tokenOrigins',
  'token-url': 'auth.tokenUrl',
  'type': 'types',
  'type help': 'resourceTypes()',
  'type-filter': 'typeFilters',
});

/** Those that have the name of their flag. */
const SAME = new Set(['count', 'elements', 'kickoff', 'level', 'nickname', 'reconcile', 'since', 'until']);

/** @type {(option: string, flag: string) => string} */
let name = (option) => option;

/**
 * Sets what messages call the options.
 * @param {(option: string, flag: string) => string} how
 */
export function nameOptions(how) {
  name = how;
}

/** The option of the package that a flag stands for; nothing for flags of other programs in a message. @param {string} flag */
export function optionOf(flag) {
  const word = flag.slice(2);
  return Object.hasOwn(NAMES, word) ? NAMES[word] : SAME.has(word) ? word : undefined;
}

/**
 * A text of the core's, with the names of options in place of flags.
 * @param {string} text
 */
export function worded(text) {
  const named = text.replace(/(?<![\w-])--(?:type help|[a-z][a-z-]*[a-z])(?![\w-])/g, (flag) => {
    const option = optionOf(flag);
    return option === undefined ? flag : name(option, flag);
  });
  // Two flags may be one option.
  return named === text ? text : named.replace(/(\S+), (\S+),? or \2(?=[\s.])/g, '$1 or $2').replace(/(\S+)(?: or|,) \1(?=[\s.,])/g, '$1');
}

/**
 * The same for all texts of a report.
 * @template T
 * @param {T} value
 * @returns {T}
 */
export function wordedAll(value) {
  if (typeof value === 'string') return /** @type {any} */ (worded(value));
  if (Array.isArray(value)) return /** @type {any} */ (value.map(wordedAll));
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return /** @type {any} */ (Object.fromEntries(Object.entries(value).map(([key, one]) => [key, wordedAll(one)])));
}
