import { readCredentials } from './credentials.js';
import { UsageError } from './exit-codes.js';

/** Flags that mean an option of `Client`, whose value they have as it is. */
const SAME = {
  'fhir-url': 'fhirUrl',
  'header': 'headers',
  'token-origin': 'tokenOrigins',
  'rewrite-url': 'rewriteUrls',
  'allow-insecure': 'allowInsecure',
  'max-connections': 'maxConnections',
  'retry-delays': 'retryDelays',
  'workers': 'workers',
};

/**
 * A client for the server of the settings. What is not set stays out, so that the core's defaults hold.
 * @param {Record<string, any>} settings
 * @param {'bulk'|'rest'|'both'} purpose `both`: bulk exports by the credentials for them, all else by the general ones
 */
export async function openClient(settings, purpose) {
  if (settings['fhir-url'] === undefined) throw new UsageError('--fhir-url is required');
  const { Client, loadKeys } = await import('smart-fetch');
  const credentials = async (one) => {
    const { auth, keyName } = await readCredentials(settings, one);
    return keyName === undefined ? auth : { ...auth, keys: await named(keyName, loadKeys(auth.keys)) };
  };
  const options = { auth: await credentials(purpose === 'bulk' ? 'bulk' : 'rest') };
  if (purpose === 'both') options.bulkAuth = await credentials('bulk');
  for (const [flag, name] of Object.entries(SAME)) {
    if (settings[flag] !== undefined) options[name] = settings[flag];
  }
  return new Client(options);
}

/** The keys, or a message that says whose they are. */
async function named(keyName, loading) {
  try {
    return await loading;
  } catch (error) {
    throw new UsageError(`${keyName}: ${[error.message, error.hint].filter(Boolean).join(' ')}`);
  }
}
