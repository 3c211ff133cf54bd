// Kick-off parameters, from a query string (GET) or a Parameters resource (POST).
import { HttpError } from '../reply.js';
import { instant } from '../search/dates.js';
import { parseQuery, RESULT_PARAMS } from '../search/query.js';

const bad = (text, code = 'invalid') => new HttpError(400, code, text);
const FORMATS = ['application/fhir+ndjson', 'application/ndjson', 'ndjson'];
const ASSOCIATED = ['LatestProvenanceResources', 'RelevantProvenanceResources'];

// Parameter -> keys its value may have in a Parameters resource.
const VALUES = {
  _type: ['valueString', 'valueCode'], _typeFilter: ['valueString'], _elements: ['valueString'], _since: ['valueInstant'], _until: ['valueInstant'],
  _outputFormat: ['valueString', 'valueCode'], organizeOutputBy: ['valueString', 'valueCode'], allowPartialManifests: ['valueBoolean'],
  patient: ['valueReference'], includeAssociatedData: ['valueString', 'valueCode', 'valueCoding'],
  _minimumFileSize: ['valueInteger', 'valueInteger64', 'valuePositiveInt'], _maximumFileSize: ['valueInteger', 'valueInteger64', 'valuePositiveInt'],
};

/** The raw values by name, and whether they came in a Parameters resource. */
function rawValues(ctx) {
  const values = new Map();
  const add = (name, value) => values.set(name, [...(values.get(name) ?? []), value]);
  for (const [name, value] of ctx.url.searchParams) add(name, value);
  if (ctx.req.method === 'GET') return values;
  if (!/^application\/(fhir\+)?json/.test(ctx.req.headers['content-type'] ?? '')) {
    throw new HttpError(415, 'not-supported', 'A kick-off by POST has a Parameters resource as application/fhir+json.');
  }
  let body;
  try {
    body = JSON.parse(ctx.body.toString('utf8'));
  } catch {
    throw bad('The body is not JSON.', 'structure');
  }
  if (body?.resourceType !== 'Parameters') throw bad('The body must be a Parameters resource.', 'structure');
  for (const entry of body.parameter ?? []) {
    const key = Object.keys(entry).find((name) => name.startsWith('value'));
    const allowed = VALUES[entry.name];
    if (allowed && !allowed.includes(key)) throw bad(`Parameter ${entry.name} takes ${allowed.join(' or ')}, not ${key ?? 'nothing'}.`);
    const value = entry[key];
    add(entry.name, key === 'valueReference' ? value?.reference : key === 'valueCoding' ? value?.code : String(value));
  }
  return values;
}

/**
 * Reads and checks the parameters of a kick-off.
 * @param {object} ctx request
 * @param {'system'|'patient'|'group'} level
 * @param {string[]} available types there are resources of
 */
export function kickoffParams(ctx, level, available) {
  const { faults } = ctx;
  const post = ctx.req.method === 'POST';
  const lenient = /(?:^|[,;\s])handling=lenient(?:$|[,;\s])/.test(ctx.req.headers.prefer ?? '');
  const values = rawValues(ctx);
  const issues = [];
  const refuse = (text, code) => {
    if (!lenient) throw bad(text, code);
    issues.push(text);
  };
  for (const name of [...values.keys()]) {
    if (faults.ignoreParams.includes(name)) values.delete(name);
    else if (faults.refuseParams.includes(name) || !VALUES[name]) {
      refuse(`Parameter ${name} is not supported.`, 'not-supported');
      values.delete(name);
    }
  }
  const joined = faults.stu < 4 || !post; // STU4 forbids joining by comma
  const list = (name) => {
    const given = values.get(name) ?? [];
    if (!joined && given.some((value) => value.includes(','))) throw bad(`Parameter ${name} takes one value an entry, not a comma-separated list.`);
    return given.flatMap((value) => (joined ? value.split(',') : [value])).map((value) => value.trim()).filter(Boolean);
  };
  const one = (name) => {
    const given = values.get(name) ?? [];
    if (given.length > 1) throw bad(`Parameter ${name} must be given once.`);
    return given[0] ?? null;
  };
  const time = (name) => {
    const given = one(name);
    if (given === null) return null;
    const ms = instant(given);
    if (ms === null) throw bad(`${name} must be an instant with seconds and zone, not "${given}".`);
    if (name === '_since' && ms > ctx.now()) throw bad('_since lies in the future.');
    return ms;
  };

  const types = values.has('_type') ? [...new Set(list('_type'))] : null;
  for (const type of types ?? []) {
    if (!available.includes(type)) refuse(`The requested resource type "${type}" is not available on this server.`, 'not-supported');
  }
  const format = one('_outputFormat');
  if (format !== null && !FORMATS.includes(format)) throw bad(`_outputFormat "${format}" is not supported; use ${FORMATS[0]}.`, 'not-supported');
  const organizeBy = one('organizeOutputBy');
  if (organizeBy !== null && organizeBy !== 'Patient') throw bad(`organizeOutputBy "${organizeBy}" is not supported; use Patient.`, 'not-supported');
  const associated = list('includeAssociatedData');
  for (const code of associated) if (!ASSOCIATED.includes(code)) refuse(`includeAssociatedData "${code}" is not supported.`, 'not-supported');
  const partial = one('allowPartialManifests');
  if (partial !== null && !['true', 'false'].includes(partial)) throw bad('allowPartialManifests must be true or false.');

  return {
    types: types?.filter((type) => available.includes(type)) ?? null,
    typeFilters: typeFilters(values.get('_typeFilter') ?? [], { types, split: !post || (joined && faults.splitTypeFilter), faults, lenient }),
    since: time('_since'),
    until: time('_until'),
    elements: list('_elements'),
    patients: patientsOf(values.get('patient') ?? [], level, post),
    organized: organizeBy === 'Patient',
    provenance: associated.length > 0,
    issues,
  };
}

/**
 * `Type?query` strings to queries by type; several of one type are alternatives. Where commas separate filters, a
 * comma inside one has to be written %2C: the query is decoded after the split.
 */
function typeFilters(given, { types, split, faults, lenient }) {
  const filters = new Map();
  for (const filter of given.flatMap((value) => (split ? value.split(',') : [value]))) {
    const match = /^([A-Z][A-Za-z]+)\?(.+)$/s.exec(filter);
    if (!match) throw bad(`_typeFilter "${filter}" is not of the form Type?query (write a comma inside a query as %2C).`);
    const [, type, query] = match;
    if (types && !types.includes(type)) throw bad(`_typeFilter "${filter}" is about a type that _type does not ask for.`);
    const params = new URLSearchParams(query);
    for (const name of params.keys()) {
      if (RESULT_PARAMS.has(name.split(':')[0])) throw bad(`_typeFilter must not hold ${name}.`);
    }
    const parsed = parseQuery(type, params, { unsupported: faults.noSearchParams, lenient });
    filters.set(type, [...(filters.get(type) ?? []), parsed]);
  }
  return filters;
}

function patientsOf(given, level, post) {
  if (given.length === 0) return null;
  if (!post) throw bad('Parameter patient is for POST only.');
  if (level === 'system') throw bad('Parameter patient is not for a system-level export.');
  return given.map((reference) => {
    const match = /^(?:.*\/)?Patient\/([A-Za-z0-9.-]{1,64})$/.exec(reference ?? '');
    if (!match) throw bad(`Parameter patient must be a reference Patient/id, not "${reference}".`);
    return match[1];
  });
}
