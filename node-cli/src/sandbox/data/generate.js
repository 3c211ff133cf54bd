// Writes generated data as a folder of NDJSON files, patient after patient, so that any number of patients fits.
import fs from 'node:fs';
import path from 'node:path';
import { patientId, patientResources } from './patient.js';
import { Random } from './random.js';
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
 */
export async function generate({ folder, patients, seed, base, otherOrigin = null }) {
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
    for (const group of groups(patients)) write(group);
    for (let n = 1; n <= patients; n++) {
      const random = new Random(seed, n);
      for (const resource of patientResources({ n, random, base, otherOrigin, links: linksOf(n, patients) })) write(resource);
      if (n % 50 === 0) await new Promise(setImmediate);
    }
  } finally {
    for (const writer of writers.values()) {
      flush(writer);
      fs.closeSync(writer.fd);
    }
  }
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

function* groups(patients) {
  const cohorts = { all: () => true, 'first-half': (n) => n <= Math.ceil(patients / 2), 'second-half': (n) => n > Math.ceil(patients / 2), nobody: () => false };
  for (const [id, has] of Object.entries(cohorts)) {
    const member = [];
    for (let n = 1; n <= patients; n++) if (has(n)) member.push({ entity: { reference: `Patient/${patientId(n)}` } });
    yield {
      resourceType: 'Group', id, meta: { versionId: '1', lastUpdated: STAMP }, type: 'person', actual: true, name: `Sandbox group ${id}`,
      identifier: [{ system: 'http://sandbox.smart-fetch.example/group', value: id }], quantity: member.length, ...(member.length > 0 && { member }),
    };
  }
}
