// What the server can be told to do wrong, and the settings of what it may do differently. One table; README.md
// documents each with the ids of the conformance checklist it serves.

/** Raised for a fault nobody knows or a value it cannot have; the message names it. */
export class FaultError extends Error {}

const script = (doc) => ({ kind: 'script', initial: '', doc });
const int = (initial, doc) => ({ kind: 'int', initial, doc });
const number = (initial, doc) => ({ kind: 'number', initial, doc });
const bool = (doc, initial = false) => ({ kind: 'bool', initial, doc });
const list = (doc) => ({ kind: 'list', initial: [], doc });
const text = (initial, doc) => ({ kind: 'text', initial, doc });
const oneOf = (values, doc) => ({ kind: 'enum', values, initial: values[0], doc });

const DAMAGES = new Set(['bom', 'blank-lines', 'no-final-newline', 'crlf', 'u2028', 'bad-json', 'long-line', 'stray', 'duplicates', 'invalid-utf8', 'outcome', 'decimals', 'untyped']);

/** Every fault: name, kind of value, initial value, what it does. */
export const FAULTS = {
  // Discovery
  metadataFail: script('answers of GET metadata'),
  wellKnownFail: script('answers of GET .well-known/smart-configuration'),
  wellKnownOmit: list('keys left out of the SMART configuration'),
  unlisted: list('types that the CapabilityStatement does not list, though they export'),
  noSearchParams: list('search parameters that are not listed and answer 400'),
  exportOperation: oneOf(['standard', 'rest-only', 'export-v4', 'vendor', 'none'], 'how the CapabilityStatement shows $export'),
  notSupported: list('types, or Type.param, marked with the operation-not-supported extension'),
  oauthUris: bool('CapabilityStatement carries the oauth-uris extension', true),
  // Authorization
  tokenFail: script('answers of the token endpoint; a body name such as invalid_scope is the OAuth error'),
  expiresIn: int(300, 'life of a token in seconds'),
  omitExpiresIn: bool('token answer has no expires_in'),
  scopeDialect: oneOf(['both', 'v1', 'v2'], 'SMART scope syntax that is understood'),
  algs: { kind: 'list', initial: ['RS384', 'ES384'], doc: 'signing algorithms listed and accepted' },
  grantScope: text('', 'scope granted instead of the one asked for'),
  tokenType: text('bearer', 'token_type of the token answer'),
  launchPatient: text('', 'id of the patient that apps are launched with, so that nobody is asked'),
  clockSkew: int(0, 'seconds the server clock is ahead (negative: behind)'),
  html401: bool('401 answers are text/html without WWW-Authenticate'),
  // Kick-off
  kickoffFail: script('answers of the kick-off'),
  kickoffMethods: oneOf(['auto', 'both', 'get', 'post'], 'methods accepted; auto: POST alone with stu=4, else both'),
  methodRefusal: int(405, 'status for the other method'),
  contentLocation: oneOf(['absolute', 'none', 'relative', 'other-origin'], 'form of Content-Location'),
  kickoffOutcome: bool('the 202 carries an OperationOutcome'),
  refuseParams: list('kick-off parameters refused with 400 unless handling=lenient'),
  ignoreParams: list('kick-off parameters silently ignored'),
  splitTypeFilter: bool('_typeFilter is split at commas even in POST, as older servers do', true),
  oneAtATime: bool('429 while another job is running'),
  // Status
  stu: int(2, 'version of the IG whose manifest is answered (1 to 4)'),
  pending: int(1, 'polls answered 202 before the job is done'),
  retryAfter: text('1', 'Retry-After of 202: as given, or date+N, epoch-s, epoch-ms, none'),
  failRetryAfter: text('1', 'Retry-After of 429 and 503 in scripts, same forms'),
  xProgress: text('auto', 'X-Progress: auto, none, or this text'),
  statusFail: script('answers of the status request'),
  statusRedirect: int(0, 'status redirects (this code) to the other origin'),
  separateStatus: bool('honours Prefer: separate-export-status'),
  exportStatusFinal: int(200, 'X-Export-Status at the end, where it is separate'),
  partialManifests: bool('202 carries a partial manifest'),
  // Manifest
  page: int(0, 'resources a file; 0: as in the data folder'),
  manifestPage: int(0, 'output entries a manifest page, by link next; 0: one page'),
  pageFail: script('answers of each manifest page after the first'),
  pagePending: int(0, '202 answers of each manifest page after the first'),
  emptyPage: int(0, 'a manifest page without output is put in at this number'),
  repeatErrors: bool('error files are listed on every page'),
  cyclicLink: bool('last page links to the first'),
  driftingTime: bool('transactionTime differs from page to page'),
  manifestOmit: list('keys left out of the manifest'),
  manifestExtension: oneOf(['none', 'object', 'array', 'decrypt-key'], 'extension in manifest and entries'),
  requiresAccessToken: oneOf(['auto', 'true', 'false', 'string', 'absent'], 'the flag; auto: whether the job was authorized'),
  manifestType: text('', 'manifestType'),
  manifestFormat: text('', 'outputFormat'),
  expires: oneOf(['date', 'iso', 'garbage', 'none'], 'Expires of the manifest'),
  empty: bool('manifest without files'),
  urlStyle: oneOf(['absolute', 'relative', 'file'], 'form of file URLs; file: a file: URL'),
  sameBasename: bool('all file URLs end alike'),
  hostileTypes: bool('entries have types such as ../../x'),
  duplicateEntries: bool('each output entry is listed twice'),
  countOff: int(0, 'added to each count'),
  noCounts: bool('entries have no count'),
  errorCount: int(-1, 'count of error entries; -1: right'),
  fileSize: oneOf(['none', 'right', 'wrong'], 'fileSize of entries'),
  errors: int(0, 'error files'),
  errorSeverity: text('error', 'severities of the issues in error files, in turn, with +'),
  deleted: number(0, 'percent of rows reported in deleted (needs _since)'),
  deletedPost: bool('deleted Bundles hold a POST entry too'),
  danglingContinuation: bool('continuesInFile of the last file names a file that does not exist'),
  alwaysWhole: list('types of which all resources come, whatever _since or _lastUpdated says (some servers do so with Patient)'),
  // Files
  onlyFiles: list('numbers (from 1) of the files that the file faults below concern; empty: all'),
  fileFail: script('answers of each file'),
  fileRedirect: int(0, 'files redirect with this code'),
  redirectTo: oneOf(['other-origin', 'same-origin'], 'where files redirect to'),
  redirectLoop: bool('files redirect to themselves'),
  crossOrigin: bool('file URLs are on the other origin'),
  otherOriginToken: bool('the other origin asks for the token'),
  presigned: bool('file URLs are signed; any Authorization is answered 400'),
  expireLinks: int(0, 'first URL of each file answers this; the manifest read again has fresh ones'),
  maxInFlight: int(0, 'files in flight above this are answered 429'),
  latency: int(0, 'ms before each answer'),
  byteRate: int(0, 'bytes a second and file'),
  cut: number(-1, 'bodies end at this percentage'),
  cutFraming: oneOf(['length', 'chunked', 'close', 'short', 'gzip', 'stall'], 'how a cut body is framed: short and gzip have a Content-Length that fits, stall keeps the connection open'),
  cutTimes: int(1, 'times each file is cut'),
  coding: oneOf(['auto', 'identity', 'gzip', 'stored-gz', 'multi-member-gzip', 'stored-multi-member-gzip'], 'coding of file bodies'),
  contentType: text('application/fhir+ndjson', 'Content-Type of files'),
  lines: { kind: 'damage', initial: [], doc: 'damage to lines: bom, blank-lines, no-final-newline, crlf, u2028, bad-json:LINE, long-line:BYTES, stray:TYPE, duplicates, invalid-utf8, outcome, decimals, untyped' },
  binaryWrapper: bool('files are answered as a FHIR Binary resource'),
  unasked206: bool('files are answered 206 with their first half'),
  ranges: bool('files honour Range'),
  deleteStatus: int(202, 'answer of DELETE'),
  // REST
  searchFail: script('answers of each search'),
  ignoreSearchParams: list('search parameters, or Type.param, that are ignored, and left out of the self link'),
  searchFailFor: list('ids of patients whose searches (patient=ID) answer 500'),
  readFail: script('answers of each read'),
  binaryAsFhir: bool('GET Binary answers the FHIR resource whatever the Accept header'),
  groupFail: script('answers of reads and searches of Group'),
  searchPage: int(0, 'entries a search page where the client asks for none; 0: 100'),
};

const SCRIPT_PART = /^(?:(ok|reset|hang)|(\d{3})(?::([\w-]+))?)(?:\*(\d*))?$/;

/** `429*2,500:transient,reset,ok,404*` to steps; `*` alone means for ever. */
function parseScript(name, value) {
  const steps = [];
  for (const part of value.split(',').map((one) => one.trim()).filter(Boolean)) {
    const match = SCRIPT_PART.exec(part);
    if (!match) {
      throw new FaultError(`Fault ${name}: "${part}" is no script step. Write a status (502), a status and a body (500:transient, 200:html, 204:empty), reset, hang or ok, each with *N for N times or * for ever.`);
    }
    const [, word, status, body, times] = match;
    steps.push({ word, status: status && Number(status), body, times: times === undefined ? 1 : times === '' ? Infinity : Number(times) });
  }
  return steps;
}

const items = (value) => (Array.isArray(value) ? value.map(String) : String(value).split(',').map((one) => one.trim()).filter(Boolean));

function parseValue(name, value) {
  const fault = FAULTS[name];
  const wrong = (expected) => new FaultError(`Fault ${name} takes ${expected}, not ${JSON.stringify(value)}.`);
  switch (fault.kind) {
    case 'script':
      return parseScript(name, String(value));
    case 'int':
      if (!/^-?\d+$/.test(String(value))) throw wrong('a whole number');
      return Number(value);
    case 'number':
      if (value === '' || !Number.isFinite(Number(value))) throw wrong('a number');
      return Number(value);
    case 'bool':
      if (!['true', 'false'].includes(String(value))) throw wrong('true or false');
      return String(value) === 'true';
    case 'list':
      return items(value);
    case 'damage': {
      const unknown = items(value).find((item) => !DAMAGES.has(item.split(':')[0]));
      if (unknown !== undefined) throw wrong(`some of ${[...DAMAGES].join(', ')}`);
      return items(value);
    }
    case 'enum':
      if (!fault.values.includes(String(value))) throw wrong(`one of ${fault.values.join(', ')}`);
      return String(value);
    default:
      return String(value);
  }
}

/** A set of fault values with what has been used up of its scripts. */
export class FaultSet {
  #used = new Map();

  /** @param {object} given fault values by name, as strings or typed @param {FaultSet} [below] values for the rest */
  constructor(given = {}, below) {
    this.given = { ...below?.given, ...given };
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(FAULTS, name)) throw new FaultError(`There is no fault "${name}". Known: ${Object.keys(FAULTS).join(', ')}.`);
    }
    for (const [name, { initial }] of Object.entries(FAULTS)) {
      this[name] = parseValue(name, Object.hasOwn(this.given, name) ? this.given[name] : initial);
    }
  }

  /** The same values with nothing used up: what a job keeps from its kick-off. */
  frozen() {
    return new FaultSet(this.given);
  }

  /** How often `name` was asked before for `key`; counts this one. */
  count(name, key = '') {
    const id = `${name}/${key}`;
    const before = this.#used.get(id) ?? 0;
    this.#used.set(id, before + 1);
    return before;
  }

  /** The script step due for this request, or null for the normal answer. */
  step(name, key = '') {
    if (this[name].length === 0) return null;
    let before = this.count(name, key);
    for (const step of this[name]) {
      if (before < step.times) return step.word === 'ok' ? null : step;
      before -= step.times;
    }
    return null;
  }

  /** Whether the file faults concern file number `n` (from 1). */
  concerns(n) {
    return this.onlyFiles.length === 0 || this.onlyFiles.includes(String(n));
  }

  get methods() {
    if (this.kickoffMethods === 'auto') return this.stu >= 4 ? ['POST'] : ['GET', 'POST'];
    return { both: ['GET', 'POST'], get: ['GET'], post: ['POST'] }[this.kickoffMethods];
  }
}

/**
 * Turns the `name=value` strings of `--fault` flags into the object that `startSandbox({ faults })` takes.
 * @param {string[]} strings
 * @returns {Record<string, string>}
 * @throws {FaultError} for a string without `=`, an unknown name, a value of the wrong kind
 */
export function parseFaults(strings) {
  const faults = {};
  for (const string of strings) {
    const at = string.indexOf('=');
    if (at < 1) throw new FaultError(`--fault takes name=value, not "${string}".`);
    faults[string.slice(0, at)] = string.slice(at + 1);
  }
  new FaultSet(faults); // checks names and values
  return faults;
}

/** Decodes a base URL segment, base64url (or base64) of a JSON object of faults, laid over those `below`. */
export function decodeSegment(segment, below) {
  let values;
  try {
    values = JSON.parse(Buffer.from(decodeURIComponent(segment), 'base64').toString('utf8'));
  } catch {
    throw new FaultError(`The base URL segment "${segment}" is not base64url of JSON.`);
  }
  if (values === null || typeof values !== 'object' || Array.isArray(values)) {
    throw new FaultError('The base URL segment must hold a JSON object of faults.');
  }
  return new FaultSet(values, below);
}

/** The base URL segment for faults. */
export function encodeSegment(faults) {
  return Buffer.from(JSON.stringify(faults)).toString('base64url');
}
