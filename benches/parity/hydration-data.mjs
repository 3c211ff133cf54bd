// The data of the sandbox in which every hydration task finds something, alone in a folder.
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { referenceResources } from '../../node-cli/src/sandbox/data/references.js';

/** Type filters that keep the targets of hydrated clinical types out of the export itself; Observation has its default one. */
export const FILTERS = ['EpisodeOfCare?status=active', 'Specimen?status=available'];
export { referenceTargets as targetsOf } from '../../node-cli/src/sandbox/data/references.js';

/**
 * Writes the folder.
 * @param {string} folder
 * @param {string} origin of the server that will serve it, for absolute attachment URLs
 */
export function writeHydrationData(folder, origin) {
  mkdirSync(folder, { recursive: true });
  for (const resource of referenceResources(origin)) appendFileSync(join(folder, `${resource.resourceType}.001.ndjson`), `${JSON.stringify(resource)}\n`);
}
