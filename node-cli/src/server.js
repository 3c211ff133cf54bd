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
 * @param {'bulk'|'rest'} purpose
 */
export async function openClient(settings, purpose) {
  if (settings['fhir-url'] === undefined) throw new UsageError('--fhir-url is required');
  const options = { auth: await readCredentials(settings, purpose) };
  for (const [flag, name] of Object.entries(SAME)) {
    if (settings[flag] !== undefined) options[name] = settings[flag];
  }
  const { Client } = await import('smart-fetch');
  return new Client(options);
}
