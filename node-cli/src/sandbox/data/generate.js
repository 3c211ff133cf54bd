// Writes generated data as a folder of NDJSON files, patient after patient, so that any number of patients fits.
import fs from 'node:fs';
import path from 'node:path';
import { patientId, patientResources } from './patient.js';
import { Random } from './random.js';
import { referenceResources } from './references.js';
import { exists, mergeLinks, patientCount, revised } from './revision.js';
import { sharedResources } from './shared.js';

const FLUSH = 1 << 18;
const STAMP = '2023-01-01T00:00:00.000+00:00';

/**
 * @param {object} options
 * @param {string} options.folder where the files go; made by the caller
 * @param {number} options.patients how many
 * @param {number} options.seed same seed, same data
 * @param {string} options.base FHIR base URL for absolute references
 * @param {string|null} options.otherOrigin origin of an attachment that lives elsewhere
 * @param {boolean} [options.references] with the resources of references.js as well
 * @param {number} [options.revision] see revision.js; 0: as first exported
 * @param {string} [options.stamp] instant at which the revision's changes were made
 * @param {AbortSignal} [options.signal] ends it early, with an error
 * @returns {Promise<string[]>} references of what has been deleted since the first export
 */
export async function generate({ folder, patients, seed, base, otherOrigin = null, references = false, revision = 0, stamp = STAMP, signal }) {
  const deleted = [];

  const writers = new Map();
  const write = (resource) => {
    const type = resource.resourceType;
    let writer = writers.get(type);
    if (!writer) {
      writer = { fd: fs.openSync(path.join(folder, `${type}.001.ndjson`), 'w'), text: '' };
      writers.set(type, writer);
    }
    writer.text += JSON.stringify(resource) + '\n';
    if (writer.text.length >= FLUSH) flush(writer);
  };
  try {
    for (const resource of sharedResources(new Random(seed, 'shared'), STAMP)) write(resource);
    if (references) for (const resource of referenceResources(new URL(base).origin)) write(resource);
    for (const group of groups(patients, revision, stamp)) write(group);
    for (let n = 1; n <= patientCount(patients, revision); n++) {
      const links = [...linksOf(n, patients), ...mergeLinks(n, revision)];
      const resources = patientResources({ n, random: new Random(seed, n), base, otherOrigin, links });
      const keep = exists(n, revision) ? write : ({ resourceType, id }) => deleted.push(`${resourceType}/${id}`);
      for (const resource of revised(resources, { n, patients, revision, stamp })) keep(resource);
      if (n % 50 === 0) await new Promise(setImmediate);
      signal?.throwIfAborted();
    }
  } finally {
    for (const writer of writers.values()) {
      flush(writer);
      fs.closeSync(writer.fd);
    }
  }
  return deleted;
}

function flush(writer) {
  fs.writeSync(writer.fd, writer.text);
  writer.text = '';
}

/** Every tenth patient is a duplicate that was merged into the one before. */
function linksOf(n, patients) {
  if (n % 10 === 0) return [{ other: { reference: `Patient/${patientId(n - 1)}` }, type: 'replaced-by' }];
  if (n % 10 === 9 && n < patients) return [{ other: { reference: `Patient/${patientId(n + 1)}` }, type: 'replaces' }];
  return [];
}

function* groups(patients, revision, stamp) {
  const cohorts = { all: () => true, 'first-half': (n) => n <= Math.ceil(patients / 2), 'second-half': (n) => n > Math.ceil(patients / 2), nobody: () => false };
  for (const [id, has] of Object.entries(cohorts)) {
    const member = [];
    for (let n = 1; n <= patientCount(patients, revision); n++) if (has(n) && exists(n, revision)) member.push({ entity: { reference: `Patient/${patientId(n)}` } });
    yield {
      resourceType: 'Group', id, meta: { versionId: '1', lastUpdated: revision === 0 ? STAMP : stamp }, type: 'person', actual: true, name: `Sandbox group ${id}`,
      identifier: [{ system: 'http://sandbox.smart-fetch.example/group', value: id }], quantity: member.length, ...(member.length > 0 && { member }),
    };
  }
}
