// REST: search with paging, reads, Binary. Bundles are put together from the stored lines, which are never re-encoded.
import { HttpError, FHIR_JSON, playStep, sendBody, sendJson } from './reply.js';
import { SHARED_TYPES } from './data/compartment.js';
import { pathValues } from './search/paths.js';
import { parseQuery } from './search/query.js';

const PAGE = 100;
const MAX_PAGE = 1000;
const SEARCH_MODE = Buffer.from(',"search":{"mode":"match"}}');

/** `GET {base}/{type}?…` and `POST {base}/{type}/_search`; `params` are those of URL and body together. */
export async function search(ctx, type, params) {
  const step = (type === 'Group' ? ctx.faults.step('groupFail') : null) ?? ctx.faults.step('searchFail');
  if (step) return playStep(ctx, step);
  const about = params.get('patient')?.replace(/^Patient\//, '');
  if (ctx.faults.searchFailFor.includes(about)) throw new HttpError(500, 'exception', `The record of Patient/${about} cannot be read.`);
  const patient = ctx.checkAccess(type, 'search');
  await checkPatient(ctx, patient, type);
  const isIgnored = ([key]) => ctx.faults.ignoreSearchParams.some((name) => name === key || name === `${type}.${key}`);
  params = new URLSearchParams([...params].filter((pair) => !isIgnored(pair)));
  const offset = wholeNumber(params, '_offset', 0);
  const count = Math.min(MAX_PAGE, wholeNumber(params, '_count', ctx.faults.searchPage || PAGE));
  const hits = type === 'Group' ? await findGroups(ctx, params) : await findRows(ctx, type, params, patient);
  if (params.get('_summary') === 'count' || params.get('_count') === '0') {
    return sendJson(ctx, 200, { resourceType: 'Bundle', type: 'searchset', total: hits.total });
  }
  const self = `${ctx.base}/${type}${queryOf(params)}`;
  const link = [{ relation: 'self', url: self }];
  if (offset + count < hits.total) {
    const next = new URLSearchParams(params);
    next.set('_count', String(count));
    next.set('_offset', String(offset + count));
    link.push({ relation: 'next', url: `${ctx.base}/${type}${queryOf(next)}` });
  }
  const head = JSON.stringify({ resourceType: 'Bundle', id: `search-${ctx.serial()}`, type: 'searchset', total: hits.total, link });
  const parts = [];
  for (let n = offset; n < Math.min(offset + count, hits.total); n++) {
    const fullUrl = Buffer.from(`${parts.length ? ',' : ''}{"fullUrl":${JSON.stringify(`${ctx.base}/${type}/${hits.id(n)}`)},"resource":`);
    parts.push(fullUrl, hits.line(n), SEARCH_MODE);
  }
  const body = parts.length === 0
    ? Buffer.from(head)
    : Buffer.concat([Buffer.from(`${head.slice(0, -1)},"entry":[`), ...parts, Buffer.from(']}')]);
  sendBody(ctx, 200, FHIR_JSON, body);
}

function wholeNumber(params, name, otherwise) {
  const value = params.get(name);
  if (value === null) return otherwise;
  if (!/^\d{1,9}$/.test(value)) throw new HttpError(400, 'invalid', `${name} must be a whole number, not "${value}".`);
  return Number(value);
}

const queryOf = (params) => (params.size > 0 ? `?${params}` : '');

/**
 * Refuses what a token for one patient can see nothing of. Resources of nobody (practitioners, places) can be seen, but no
 * groups; of Binary only what a note of the patient points at, which a search cannot tell.
 */
async function checkPatient(ctx, patient, type, id) {
  if (patient === null) return;
  const store = await ctx.store();
  const mine = async (name) => (await (await store.table(name))?.indexed())?.rowsByPatient.get(patient) ?? [];
  if (!SHARED_TYPES.has(type)) {
    const table = await store.table(type);
    if (id === undefined || (await mine(type)).some((row) => table.ids[row] === id)) return;
  } else if (type === 'Binary') {
    for (const [name, path] of [['DocumentReference', 'content.attachment.url'], ['DiagnosticReport', 'presentedForm.url']]) {
      const table = await store.table(name);
      if (id !== undefined && (await mine(name)).some((row) => table.values(row, path).some((url) => url.endsWith(`Binary/${id}`)))) return;
    }
  } else if (type !== 'Group') return;
  throw new HttpError(403, 'forbidden', `The token is for Patient/${patient}, and ${id === undefined ? `a search for ${type}` : `${type}/${id}`} is not about that patient.`);
}

async function findRows(ctx, type, params, patient) {
  const options = { unsupported: ctx.faults.noSearchParams, lenient: /handling=lenient/.test(ctx.req.headers.prefer ?? '') };
  const asked = new URLSearchParams(params);
  if (ctx.faults.alwaysWhole.includes(type)) asked.delete('_lastUpdated');
  const query = parseQuery(type, asked, options);
  const table = await (await ctx.store()).table(type);
  if (!table) return { total: 0 };
  let rows = await query.rows(table);
  if (patient !== null && !SHARED_TYPES.has(type)) {
    const mine = new Set(table.rowsByPatient.get(patient));
    rows = rows.filter((row) => mine.has(row));
  }
  return { total: rows.length, id: (n) => table.ids[rows[n]], line: (n) => table.line(rows[n]) };
}

/** Groups may be made up (see Store.groups), so they are searched in memory. */
async function findGroups(ctx, params) {
  const groups = [...(await (await ctx.store()).groups()).values()].map(({ resource }) => resource);
  const table = new MemoryTable(groups);
  const rows = await parseQuery('Group', params, { unsupported: ctx.faults.noSearchParams }).rows(table);
  return { total: rows.length, id: (n) => groups[rows[n]].id, line: (n) => Buffer.from(JSON.stringify(groups[rows[n]])) };
}

/** The part of Table that a query needs, over resources in memory. */
class MemoryTable {
  constructor(resources) {
    this.resources = resources;
    this.count = resources.length;
    this.rowById = new Map(resources.map(({ id }, row) => [id, row]));
    this.rowsByPatient = new Map();
  }

  async indexed() {
    return this;
  }

  resource(row) {
    return this.resources[row];
  }

  values(row, path) {
    return pathValues(this.resources[row], path);
  }

  updated(row) {
    return Date.parse(this.resources[row].meta?.lastUpdated ?? 0);
  }
}

/** `GET {base}/{type}/{id}` */
export async function read(ctx, type, id) {
  const step = (type === 'Group' ? ctx.faults.step('groupFail') : null) ?? ctx.faults.step('readFail', `${type}/${id}`);
  if (step) return playStep(ctx, step);
  await checkPatient(ctx, ctx.checkAccess(type, 'read'), type, id);
  const store = await ctx.store();
  const line = type === 'Group' ? groupLine(await store.groups(), id) : await store.read(type, id);
  if (line === null) throw new HttpError(404, 'not-found', `There is no ${type}/${id}.`);
  if (type === 'Binary' && !ctx.faults.binaryAsFhir && !wantsFhir(ctx.req)) return sendRaw(ctx, JSON.parse(line.toString('utf8')));
  sendBody(ctx, 200, FHIR_JSON, line);
}

function groupLine(groups, id) {
  const group = groups.get(id);
  return group ? Buffer.from(JSON.stringify(group.resource)) : null;
}

/** R4 section 2.36.1: FHIR media types get the resource, anything else the content itself. */
function wantsFhir(req) {
  return /application\/(?:fhir\+)?json/.test(req.headers.accept ?? '');
}

function sendRaw(ctx, { contentType, data }) {
  sendBody(ctx, 200, contentType ?? 'application/octet-stream', Buffer.from(data ?? '', 'base64'), { 'X-Content-Type-Options': 'nosniff' });
}

/** An attachment that is not under the FHIR base (absolute URLs in generated notes): the Binary's content. */
export async function attachment(ctx, id) {
  if (!ctx.onMain && ctx.faults.otherOriginToken && !ctx.req.headers.authorization) return playStep(ctx, { status: 401 });
  const line = await (await ctx.store()).read('Binary', id);
  if (line === null) throw new HttpError(404, 'not-found', `There is no attachment ${id}.`);
  return sendRaw(ctx, JSON.parse(line.toString('utf8')));
}
