// The kick-off request: checks it and starts a job.
import { covers, forOnePatient } from '../auth/scopes.js';
import { HttpError, outcomeOf, playStep, sendJson, sendOutcome } from '../reply.js';
import { Job } from './jobs.js';
import { kickoffParams } from './params.js';
import { planFiles } from './plan.js';

/**
 * `GET|POST {base}/$export`, `{base}/Patient/$export`, `{base}/Group/{id}/$export`
 * @param {object} ctx request @param {'system'|'patient'|'group'} level @param {string} [groupId]
 */
export async function kickoff(ctx, level, groupId) {
  const { req, faults } = ctx;
  if (!faults.methods.includes(req.method)) {
    return sendOutcome(ctx, faults.methodRefusal, 'not-supported', `$export does not take ${req.method} here.`, { Allow: faults.methods.join(', ') });
  }
  const access = ctx.access();
  const step = faults.step('kickoffFail');
  if (step) return playStep(ctx, step);
  checkHeaders(req);
  if (faults.oneAtATime && ctx.jobs.anyRunning()) {
    return playStep(ctx, { status: 429 });
  }
  const store = await ctx.store();
  const members = await membersOf(store, level, groupId);
  const params = kickoffParams(ctx, level, store.types());
  if (forOnePatient(access.scopes)) throw new HttpError(403, 'forbidden', 'The scopes granted are for one patient; $export needs those of a system or a user.');
  const scopes = (type) => covers(access.scopes, type, 'read');
  const outside = (params.types ?? []).filter((type) => !scopes(type));
  if (outside.length > 0 && faults.grantScope === '') {
    throw new HttpError(403, 'forbidden', `The scopes granted do not cover ${outside.join(', ')}.`);
  }
  const wanted = await patientsWithin(store, members, params.patients);
  const job = ctx.jobs.add(new Job({
    now: ctx.now(),
    level,
    request: `${ctx.base}${ctx.path}${req.method === 'GET' ? ctx.url.search : ''}`,
    params,
    faults: faults.frozen(),
    secure: access.scopes !== null || ctx.auth.mode !== 'none',
    separate: faults.separateStatus && /separate-export-status/.test(req.headers.prefer ?? ''),
    plan: () => planFiles({ store, level, members: wanted, params, faults, scopes }),
  }));
  if (job.separate) ctx.res.setHeader('Preference-Applied', 'respond-async, separate-export-status');
  const location = await contentLocation(ctx, job);
  if (location) ctx.res.setHeader('Content-Location', location);
  if (faults.kickoffOutcome || params.issues.length > 0) {
    const outcome = outcomeOf('information', 'informational', 'The export has been started.');
    for (const text of params.issues) outcome.issue.push({ severity: 'warning', code: 'not-supported', diagnostics: `Ignored: ${text}` });
    return sendJson(ctx, 202, outcome);
  }
  return ctx.res.writeHead(202, { 'Content-Length': 0 }).end();
}

/** As strict as the public SMART sandbox: exact Accept, respond-async required. */
function checkHeaders(req) {
  if (req.headers.accept !== 'application/fhir+json') {
    throw new HttpError(400, 'invalid', `A kick-off has the header "Accept: application/fhir+json", not "${req.headers.accept ?? ''}".`);
  }
  const preferences = (req.headers.prefer ?? '').split(/[,;]/).map((one) => one.trim().toLowerCase());
  if (!preferences.includes('respond-async')) throw new HttpError(400, 'invalid', 'A kick-off has the header "Prefer: respond-async".');
}

/** Ids of the patients exported, or null for all. */
async function membersOf(store, level, groupId) {
  if (level !== 'group') return null;
  const group = (await store.groups()).get(groupId);
  if (!group) throw new HttpError(404, 'not-found', `There is no Group/${groupId}.`);
  return group.members;
}

async function patientsWithin(store, members, asked) {
  if (!asked) return members;
  const table = await store.table('Patient');
  const known = members ?? (table ? (await table.indexed()).rowById : new Map());
  const missing = asked.filter((id) => !known.has(id));
  if (missing.length > 0) throw new HttpError(400, 'not-found', `These patients are unknown or no members of the group: ${missing.join(', ')}.`);
  return new Set(asked);
}

async function contentLocation(ctx, job) {
  const path = `${ctx.rootPath}/bulkstatus/${job.id}`;
  switch (job.faults.contentLocation) {
    case 'none': return null;
    case 'relative': return path;
    case 'other-origin': return (await ctx.otherOrigin()) + path;
    default: return ctx.origin + path;
  }
}
