import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { UsageError } from './exit-codes.js';
import { describeSystemError } from './output.js';

/** A value that can only be meant as a path: a mistyped one must not go to the server as if it were a token. */
const PATH_LIKE = /^(\.{0,2}|~)\/|^[A-Za-z]:[\\/]/;
const KEY_FILES = new Set(['.jwks', '.jwk', '.json', '.pem']);

/**
 * Works out the credentials of a command from its settings, reading the files that they name.
 * @param {Record<string, any>} settings
 * @param {'bulk'|'rest'} purpose bulk exports may have a client of their own; each falls back to the other
 * @returns {Promise<{auth: import('smart-fetch').Auth, keyName?: string}>} `keyName`: how to call the key in a message
 */
export async function readCredentials(settings, purpose) {
  const basic = settings['basic-user'] ?? settings['basic-passwd'];
  const bearer = settings['bearer-token'];
  const smart = smartPair(settings, purpose);
  // A lone client id is no method of its own: some servers want it beside a token.
  if ([basic, bearer, smart.key].filter(Boolean).length > 1) {
    throw new UsageError('Multiple authentication methods have been specified. Double check your arguments.');
  }
  if (bearer) return { auth: { token: await valueOrFile('bearer-token', bearer) } };
  if (basic) return { auth: await basicAuth(settings) };
  if (!smart.id && !smart.key) return { auth: 'none' };
  if (!smart.id || !smart.key) {
    throw new UsageError('You must provide both a SMART client ID and a SMART key to connect to a SMART FHIR server.');
  }
  const clientId = await valueOrFile(smart.idFlag, smart.id);
  const { keys, keyName } = await readKey(smart.keyFlag, smart.key);
  return { auth: { clientId, keys, ...(settings['token-url'] && { tokenUrl: settings['token-url'] }) }, keyName };
}

async function basicAuth(settings) {
  const user = settings['basic-user'];
  const password = settings['basic-passwd'];
  if (!user || !password) {
    throw new UsageError('You must provide both a Basic user and a Basic password to connect to a Basic auth server.');
  }
  // RFC 7617 §2: the first colon ends the user name.
  if (user.includes(':')) throw new UsageError('--basic-user must not contain a colon.');
  return { user, password: await valueOrFile('basic-passwd', password) };
}

/** The client id and key for a purpose. A bulk value that is missing is taken from the general pair; the general pair only as a whole from the bulk one. */
function smartPair(settings, purpose) {
  const of = (prefix) => ({
    id: settings[`${prefix}client-id`],
    idFlag: `${prefix}client-id`,
    key: settings[`${prefix}key`],
    keyFlag: `${prefix}key`,
  });
  const bulk = of('bulk-smart-');
  const rest = of('smart-');
  if (purpose === 'rest') return rest.id || rest.key ? rest : bulk;
  return {
    ...(bulk.id ? bulk : rest),
    key: bulk.key ?? rest.key,
    keyFlag: bulk.key ? bulk.keyFlag : rest.keyFlag,
  };
}

/** The text of the file that `value` names, trimmed; else `value` itself. No message repeats the value: it may be the secret. */
async function valueOrFile(flag, value) {
  const isFile = await stat(value).then(
    (found) => !found.isDirectory(),
    () => false,
  );
  if (!isFile) {
    if (!PATH_LIKE.test(value)) return value.trim();
    throw new UsageError(
      `--${flag} looks like a path, but no such file can be read. A value that begins like a path must be put into a file.`,
    );
  }
  const text = (await readText(flag, value)).trim();
  if (text === '') throw new UsageError(`--${flag}: the file '${value}' is empty.`);
  if (/[\r\n]/.test(text)) throw new UsageError(`--${flag}: the file '${value}' holds more than one line.`);
  return text;
}

/** The text of a private key: inline JSON, or a file known by its extension. */
async function readKey(flag, value) {
  if (value.trimStart().startsWith('{')) return { keys: value, keyName: `--${flag}` };
  if (!KEY_FILES.has(extname(value).toLowerCase())) {
    // A key pasted in place of its file's name would else be printed.
    const name = /-----BEGIN|[\r\n]/.test(value) || value.length > 1000 ? '' : ` '${value}'`;
    throw new UsageError(`--${flag}: unrecognized private key file${name} (must end in .jwks, .jwk, .json or .pem).`);
  }
  return { keys: await readText(flag, value), keyName: `--${flag}: '${value}'` };
}

async function readText(flag, path) {
  try {
    return (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    throw new UsageError(`--${flag}: could not read '${path}': ${describeSystemError(error)}.`);
  }
}
