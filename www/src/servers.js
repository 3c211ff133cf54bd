// The servers to choose from: those behind the relay that serves this page, and any that the browser reaches by itself.
import { $, fill, h } from './dom.js';
import { host } from './words.js';

const PUBLIC_SANDBOX = 'https://bulk-data.smarthealthit.org/fhir';
const LOCAL_SANDBOX = 'http://127.0.0.1:8080/fhir';

/** What `smart-fetch serve` says of its relay; nothing on a static host. @type {any[]} */
let relays = [];
/** Whether `smart-fetch serve` has this page. */
let isServed = false;

async function readRelays() {
  try {
    const answer = await fetch('./serve.json', { headers: { accept: 'application/json' }, cache: 'no-store' });
    if (answer.ok) ({ relays } = await answer.json());
    isServed = answer.ok;
  } catch {
    // A static host, which has none.
  }
}

function choice(value, title, text, more = {}) {
  return h('label', { class: 'choice' }, h('input', { type: 'radio', name: 'server', value, ...more }), h('span', {}, h('strong', {}, title), h('small', {}, text)));
}

/** Shows the choices. */
export async function showServers() {
  await readRelays();
  const behind = relays.map(({ server }, index) =>
    server === PUBLIC_SANDBOX
      ? choice(`relay:${index}`, 'Public SMART sandbox', 'bulk-data.smarthealthit.org, synthetic patients; through the relay of this page')
      : choice(`relay:${index}`, host(server), `${server}, through the relay of this page`),
  );
  const how = isServed
    ? `Start this page’s server with “--server ${PUBLIC_SANDBOX}” too, so that its relay reaches it`
    : 'Run “smart-fetch serve”, which relays it, and open the address that it prints';
  const missing = relays.some(({ server }) => server === PUBLIC_SANDBOX)
    ? []
    : [choice('none', 'Public SMART sandbox', `It allows no web page to use it. ${how}`, { disabled: true })];
  fill(
    $('servers'),
    ...behind,
    ...missing,
    choice('local', 'Sandbox on this machine', 'A small FHIR server for trying things out; start it with “smart-fetch sandbox --port 8080”'),
    choice('other', 'Another server', 'Your own; it must allow web pages to use it (CORS), or be named to the relay'),
  );
  const first = $('servers').querySelector('input:not(:disabled)');
  first.checked = true;
}

/** Fits the field of the address to the choice, and what is said of the way that the data take. */
export function showAddress(value) {
  const { relayed } = route(chosenServer(value) ?? '');
  $('path').textContent = relayed
    ? 'The data goes from the FHIR server through the relay on your own machine, which keeps nothing, to this browser’s own storage, and nowhere else: no account, no tracking.'
    : 'The data goes from the FHIR server to this browser’s own storage, and nowhere else: no server in between, no account, no tracking.';
  const own = value === 'local' || value === 'other';
  $('field-url').hidden = !own;
  const url = $('url');
  if (value === 'local' && url.value === '') url.value = LOCAL_SANDBOX;
  if (value === 'other' && url.value === LOCAL_SANDBOX) url.value = '';
  const hint = value === 'local' ? 'What the sandbox printed when it started.' : 'The base URL, as in the documentation of the server.';
  if ($('url-hint').textContent !== hint) $('url-hint').textContent = hint;
}

/**
 * How to reach the server with this address: straight, or through the relay if it is behind it.
 * @param {string} server
 * @returns {{ server: string, relayed: boolean, options: object }}
 */
export function route(server) {
  const base = server.trim().replace(/\/+$/, '');
  if (URL.canParse(base)) {
    const relay = relays.find((candidate) => new URL(candidate.server).origin === new URL(base).origin);
    if (relay) {
      const { rewriteUrls: routes, headers, tokenOrigins } = relay;
      return { server: base, relayed: true, options: { fhirUrl: base, relay: { routes, headers }, tokenOrigins } };
    }
  }
  return { server: base, relayed: false, options: { fhirUrl: base } };
}

/** The address that is chosen at the moment. */
export function chosenServer(value) {
  return value?.startsWith('relay:') ? relays[Number(value.slice(6))].server : $('url').value;
}
