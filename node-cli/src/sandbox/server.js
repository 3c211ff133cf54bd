// The HTTP listeners and the routes.
import http from 'node:http';
import https from 'node:https';
import { AuthServer } from './auth/server.js';
import { corsHeaders, preflight } from './cors.js';
import { sendKeys } from './auth/launch.js';
import { Jobs } from './export/jobs.js';
import { kickoff } from './export/kickoff.js';
import { sendFile } from './export/files.js';
import { remove, status } from './export/status.js';
import { decodeSegment, FaultError, FaultSet } from './faults.js';
import { capabilityStatement, smartConfiguration } from './metadata.js';
import { Answered, HttpError, playStep, sendBody, sendJson, sendOutcome } from './reply.js';
import { RequestLog, Stats } from './requests.js';
import { attachment, read, search } from './rest.js';

const MAX_BODY = 10_000_000;
const MAX_SEGMENTS = 200;
const ID = /^[A-Za-z0-9.-]{1,64}$/;
const TYPE = /^[A-Z][A-Za-z]+$/;

export class SandboxServer {
  #listeners = [];
  #other = null;
  #segments = new Map();
  #serial = 0;
  #closing = new AbortController();
  #oldStores = [];

  /**
   * @param {object} options
   * @param {string} options.host @param {number} options.port @param {string} options.basePath path of the FHIR base
   * @param {'full'|'no-expose'|'none'} options.cors @param {string} options.auth mode @param {object} options.secrets
   * @param {object} options.faults @param {(server: SandboxServer) => Promise<object>} options.openStore
   * @param {number} options.keepRequests @param {object|null} options.tls options of https.createServer
   * @param {boolean} options.otherTls the second listener has TLS too, where the first has
   * @param {(route: string) => Promise<void> | undefined} [options.hold] what each answer waits for
   */
  constructor(options) {
    this.options = options;
    this.faults = new FaultSet(options.faults);
    this.auth = new AuthServer(options.auth, options.secrets);
    this.jobs = new Jobs();
    this.log = new RequestLog(options.keepRequests);
    this.stats = new Stats();
    this.origin = null;
    this.otherOriginUrl = null;
  }

  /** Aborts when the server closes. */
  get signal() {
    return this.#closing.signal;
  }

  async start() {
    this.origin = await this.#listen(this.options.port, true);
    if (this.options.secondOrigin) await this.otherOrigin();
  }

  /** The origin of the second listener, which is opened on first use. */
  otherOrigin() {
    this.#other ??= this.#listen(0, false).then((origin) => { this.otherOriginUrl = origin; return origin; });
    return this.#other;
  }

  async #listen(port, onMain) {
    const { host } = this.options;
    const tls = onMain || this.options.otherTls ? this.options.tls : null;
    const handler = (req, res) => { this.#handle(req, res, onMain); };
    const server = tls ? https.createServer(tls, handler) : http.createServer(handler);
    server.keepAliveTimeout = 65_000;
    server.requestTimeout = 0;
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    this.#listeners.push(server);
    const name = host.includes(':') ? `[${host}]` : host === '0.0.0.0' ? '127.0.0.1' : host;
    return `${tls ? 'https' : 'http'}://${name}:${server.address().port}`;
  }

  store() {
    this.storePromise ??= this.options.openStore(this);
    return this.storePromise;
  }

  /** Serves other data from now on. Jobs keep what they were started with, so the old store stays open. */
  setStore(openStore) {
    if (this.storePromise) this.#oldStores.push(this.storePromise);
    this.options.openStore = openStore;
    this.storePromise = openStore(this);
    return this.storePromise;
  }

  setFaults(faults) {
    this.faults = new FaultSet(faults);
    this.#segments.clear();
  }

  async close() {
    this.#closing.abort(new HttpError(503, 'transient', 'The sandbox is closing.'));
    for (const server of this.#listeners) {
      server.close();
      server.closeAllConnections();
    }
    await this.jobs.settled();
    for (const promise of [...this.#oldStores, this.storePromise]) await promise?.then((store) => store.close(), () => {});
  }

  now() {
    return Date.now() + this.faults.clockSkew * 1000;
  }

  async #handle(req, res, onMain) {
    const entry = this.log.add(req, onMain ? this.origin : this.otherOriginUrl);
    const ctx = { req, res, onMain, auth: this.auth, jobs: this.jobs, faults: this.faults };
    let end = () => {};
    res.once('close', () => {
      entry.status = ctx.status ?? res.statusCode;
      end();
    });
    corsHeaders(this.options.cors, req, res);
    if (req.method === 'OPTIONS') return preflight(this.options.cors, req, res);
    try {
      const route = this.#route(ctx);
      end = this.stats.begin(route.name);
      ctx.filesInFlight = this.stats.routes.files?.inFlight ?? 0;
      if (this.faults.clockSkew !== 0) res.setHeader('Date', new Date(this.now()).toUTCString());
      if (req.method === 'POST') {
        ctx.body = await readBody(req);
        RequestLog.body(entry, ctx.body);
      }
      if (ctx.faults.latency > 0) await new Promise((resolve) => { setTimeout(resolve, ctx.faults.latency); });
      await this.options.hold?.(route.name);
      await route.run(ctx);
    } catch (error) {
      if (!(error instanceof Answered)) answerError(ctx, error);
    }
    return undefined;
  }

  /** Fills the context with where the request goes, and finds its handler: `{name, run}`. */
  #route(ctx) {
    const { req } = ctx;
    const host = /^[\w.:[\]-]+$/.test(req.headers.host ?? '') && ctx.onMain ? req.headers.host : null;
    ctx.origin = host ? `${this.options.tls ? 'https' : 'http'}://${host}` : this.origin;
    ctx.url = new URL(`http://sandbox${req.url}`);
    ctx.rootPath = this.options.basePath;
    ctx.now = () => this.now();
    ctx.serial = () => ++this.#serial;
    ctx.store = () => this.store();
    ctx.otherOrigin = () => this.otherOrigin();
    ctx.access = () => this.auth.check(ctx);
    ctx.checkAccess = (type, action) => this.auth.requireScope(ctx.access(), type, action);
    const path = ctx.url.pathname;
    if (path === '/auth/token') return { name: 'token', run: () => this.#token(ctx) };
    const launch = this.auth.mode === 'smart' && req.method === 'GET' ? {
      '/auth/authorize': () => this.auth.launch.authorize(ctx), '/auth/launch': () => this.auth.launch.fromEhr(ctx), '/auth/jwks': () => sendKeys(ctx, this.auth.launch),
    }[path] : undefined;
    if (launch) return { name: path.slice('/auth/'.length), run: launch };
    if (path === '/auth/register' && req.method === 'POST') return { name: 'register', run: () => this.#register(ctx) };
    const found = /^\/attachments\/([^/]+)$/.exec(path);
    if (found) return { name: 'attachment', run: () => attachment(ctx, found[1]) };
    this.#enterBase(ctx, path);
    return (ctx.onMain ? this.#fhirRoute(ctx) : this.#jobRoute(ctx)) ?? { name: 'unknown', run: () => sendOutcome(ctx, 404, 'not-found', `There is nothing at ${req.method} ${path}.`) };
  }

  /** Finds the FHIR base in the path, with or without a segment of faults before it. */
  #enterBase(ctx, path) {
    const root = this.options.basePath;
    if (path === root || path.startsWith(`${root}/`)) {
      ctx.base = ctx.origin + root;
      ctx.path = path.slice(root.length);
      return;
    }
    const match = /^\/([^/]+)(\/.*)$/.exec(path);
    if (!match || !(match[2] === root || match[2].startsWith(`${root}/`))) {
      ctx.path = null;
      return;
    }
    let faults = this.#segments.get(match[1]);
    if (!faults) {
      if (this.#segments.size >= MAX_SEGMENTS) this.#segments.clear();
      faults = decodeSegment(match[1], this.faults);
      this.#segments.set(match[1], faults);
    }
    ctx.faults = faults;
    ctx.base = `${ctx.origin}/${match[1]}${root}`;
    ctx.path = match[2].slice(root.length);
  }

  #jobRoute(ctx) {
    const [, area, id, n] = (ctx.path ?? '').split('/');
    const job = this.jobs.get(id);
    const { method } = ctx.req;
    const get = method === 'GET' || method === 'HEAD';
    if (area === 'bulkstatus' && get) return { name: 'status', run: () => status(ctx, job) };
    if (area === 'bulkstatus' && method === 'DELETE') return { name: 'delete', run: () => remove(ctx, job) };
    if (area === 'bulkfiles' && get) return { name: 'files', run: () => sendFile(ctx, job, Number(n)) };
    return null;
  }

  #fhirRoute(ctx) {
    const { path, req: { method } } = ctx;
    if (path === null) return null;
    const get = method === 'GET' || method === 'HEAD';
    const exportName = ctx.faults.exportOperation === 'export-v4' && ctx.faults.stu >= 4 ? '$export-v4' : '$export';
    const parts = path.split('/').slice(1).map(decodeURIComponent);
    const [type, id] = parts;
    if (path === '/metadata' && get) return { name: 'metadata', run: () => this.#metadata(ctx) };
    if (path === '/.well-known/smart-configuration' && get) return { name: 'well-known', run: () => this.#wellKnown(ctx) };
    const level = { [exportName]: 'system', [`Patient/${exportName}`]: 'patient', [`Group/${id}/${exportName}`]: 'group' }[parts.join('/')];
    if (level) return { name: 'kickoff', run: () => kickoff(ctx, level, id) };
    const job = this.#jobRoute(ctx);
    if (job) return job;
    if (!TYPE.test(type ?? '')) return null;
    if (parts.length === 1 && get) return { name: 'search', run: () => search(ctx, type, ctx.url.searchParams) };
    if (parts.length === 2 && id === '_search' && method === 'POST') return { name: 'search', run: () => search(ctx, type, formOf(ctx)) };
    if (parts.length === 2 && ID.test(id) && get) return { name: 'read', run: () => read(ctx, type, id) };
    return null;
  }

  async #metadata(ctx) {
    const step = ctx.faults.step('metadataFail');
    if (step) return playStep(ctx, step);
    const types = (await this.store()).types();
    const auth = this.auth.mode === 'smart' ? `${ctx.origin}/auth` : null;
    return sendJson(ctx, 200, capabilityStatement({ base: ctx.base, types, faults: ctx.faults, auth }));
  }

  #wellKnown(ctx) {
    const step = ctx.faults.step('wellKnownFail');
    if (step) return playStep(ctx, step);
    if (this.auth.mode !== 'smart') return sendOutcome(ctx, 404, 'not-found', 'This server needs no SMART authorization.');
    return sendJson(ctx, 200, smartConfiguration({ base: ctx.base, auth: `${ctx.origin}/auth`, faults: ctx.faults }), {}, 'application/json');
  }

  #token(ctx) {
    if (this.auth.mode !== 'smart') return sendOutcome(ctx, 404, 'not-found', 'This server issues no tokens.');
    ctx.form = new URLSearchParams(ctx.body?.toString('utf8'));
    return this.auth.handleToken(ctx, `${ctx.origin}/auth/token`);
  }

  #register(ctx) {
    if (/^application\/x-www-form-urlencoded/.test(ctx.req.headers['content-type'] ?? '')) ctx.form = new URLSearchParams(ctx.body.toString('utf8'));
    return sendBody(ctx, 200, 'text/plain', this.auth.registerFrom(ctx.form?.get('jwks') ?? ctx.body.toString('utf8')));
  }
}

/** URL and form parameters of a POST _search together. */
function formOf(ctx) {
  if (!/^application\/x-www-form-urlencoded/.test(ctx.req.headers['content-type'] ?? '')) {
    throw new HttpError(415, 'not-supported', 'POST _search has its parameters as application/x-www-form-urlencoded.');
  }
  return new URLSearchParams([...ctx.url.searchParams, ...new URLSearchParams(ctx.body.toString('utf8'))]);
}

async function readBody(req) {
  const chunks = [];
  let total = 0;
  for await (const chunk of req) {
    total += chunk.length;
    if (total > MAX_BODY) throw new HttpError(413, 'too-long', `The body has more than ${MAX_BODY} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function answerError(ctx, error) {
  if (ctx.res.headersSent || ctx.res.destroyed) {
    ctx.res.destroy();
    return;
  }
  if (error instanceof HttpError) sendOutcome(ctx, error.status, error.code, error.message, error.headers);
  else if (error instanceof FaultError) sendOutcome(ctx, 400, 'invalid', error.message);
  else if (error instanceof URIError) sendOutcome(ctx, 400, 'invalid', 'The path is not valid percent-encoding.');
  else {
    console.error('sandbox:', error);
    sendOutcome(ctx, 500, 'exception', `The sandbox failed: ${error.message}`);
  }
}
