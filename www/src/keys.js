// Sign-in: what the form says, as the package's `auth`.
import { $, chosen, doing } from './dom.js';
import { engine } from './engine.js';

/** One key for this browser is enough: what it may do is decided by the client ID that it is registered for. */
const NAME = 'demo-page';

const storedKey = async () => (await (await engine()).storedKeys()).find(({ name }) => name === NAME);

function showKey(key) {
  $('field-public').hidden = false;
  $('public-key').value = JSON.stringify({ keys: [key.publicJwk] }, null, 2);
  $('make-key').hidden = true;
}

/** Fits the fields to the choices. */
export async function showSignIn() {
  const auth = chosen('auth');
  for (const part of document.querySelectorAll('[data-auth]')) part.hidden = part.dataset.auth !== auth;
  const kind = chosen('key');
  for (const part of document.querySelectorAll('[data-key]')) part.hidden = part.dataset.key !== kind;
  if (auth !== 'smart' || kind !== 'made' || !$('field-public').hidden) return;
  const key = await storedKey().catch(() => undefined);
  if (key) showKey(key);
}

export function setUpKeys() {
  $('make-key').addEventListener('click', () =>
    doing($('make-key'), $('key-result'), 'Making a key…', async () => {
      showKey((await storedKey()) ?? (await (await engine()).createKey(NAME)));
      $('public-key').focus();
      return 'The key is kept in this browser. Register the public key below with the server, for your client ID.';
    }),
  );
}

/** A mistake in the form, with the field to go to. */
export class FormError extends Error {
  constructor(message, field) {
    super(message);
    this.field = field;
  }
}

function needed(id, message) {
  const value = $(id).value.trim();
  if (value === '') throw new FormError(message, id);
  return value;
}

/** @returns {Promise<import('smart-fetch').Auth>} */
export async function readSignIn() {
  const auth = chosen('auth');
  if (auth === 'none') return 'none';
  if (auth === 'token') return { token: needed('token', 'The access token is missing.') };
  const clientId = needed('client-id', 'The client ID is missing. The server’s operator gives it when you register.');
  if (chosen('key') === 'pasted') return { clientId, keys: needed('jwks', 'The private key is missing. Paste a JWK or a JWKS.') };
  const key = await storedKey();
  if (!key) throw new FormError('There is no key yet. Make one and register its public part with the server.', 'make-key');
  return { clientId, keys: key };
}
