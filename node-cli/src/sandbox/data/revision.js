// What happened in the EHR since the data was first exported, for testing updates. Each revision r, on generated data:
// - r patients more than at first, with full records;
// - patient 1 moved house, patient 2 had one more Observation a revision;
// - patient 3 was merged into patient 1;
// - patient 4 and everything about them is gone (and reported as deleted).
import { patientId } from './patient.js';

/** Whether a patient still exists. */
export const exists = (n, revision) => revision === 0 || n !== 4;

/** How many patient numbers are in use. */
export const patientCount = (patients, revision) => patients + revision;

/** `Patient.link` entries that the merge adds. */
export function mergeLinks(n, revision) {
  if (revision === 0) return [];
  if (n === 1) return [{ other: { reference: `Patient/${patientId(3)}` }, type: 'replaces' }];
  if (n === 3) return [{ other: { reference: `Patient/${patientId(1)}` }, type: 'replaced-by' }];
  return [];
}

/**
 * The resources of patient `n` as they are at the revision; what changed carries `stamp` as `meta.lastUpdated`.
 * @param {Iterable<object>} resources as first exported, with the merge links in place
 */
export function* revised(resources, { n, patients, revision, stamp }) {
  let last = null;
  for (const resource of resources) {
    const isPatient = resource.resourceType === 'Patient';
    const changed = revision > 0 && (n > patients || (isPatient && (n === 1 || n === 3)));
    if (changed) resource.meta = { ...resource.meta, versionId: String(revision + 1), lastUpdated: stamp };
    if (changed && isPatient && n === 1) resource.address[0].line = [`${revision} New Street`];
    if (resource.resourceType === 'Observation') last = resource;
    yield resource;
  }
  if (n !== 2) return;
  for (let r = 1; r <= revision; r++) {
    yield { ...last, id: `${patientId(n)}-obs-revision-${r}`, meta: { versionId: '1', lastUpdated: stamp }, effectiveDateTime: stamp, issued: stamp };
  }
}
