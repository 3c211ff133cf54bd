// An EHR for a year: generated patients whose records change from time to time, written out as the data of the sandbox.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from '../../node-cli/src/sandbox/data/generate.js';
import { patientOf } from '../../node-cli/src/sandbox/data/compartment.js';

const clone = (resource) => JSON.parse(JSON.stringify(resource));

export class World {
  #resources = new Map(); // reference -> resource
  #deleted = [];
  #writes = 0;

  /** @param {{patients: number, later: number, seed: number}} options `later`: patients that exist but are no member yet */
  static async make({ patients, later, seed }) {
    const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-year-'));
    const world = new World();
    await generate({ folder, patients: patients + later, seed, base: 'http://ehr.example/fhir' });
    for (const name of readdirSync(folder)) {
      for (const line of readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean)) world.put(JSON.parse(line));
    }
    rmSync(folder, { recursive: true });
    const ids = world.patients();
    world.waiting = new Map(ids.slice(patients).map((id) => [id, world.#take(id)]));
    return world;
  }

  put(resource) {
    this.#resources.set(`${resource.resourceType}/${resource.id}`, resource);
  }

  patients() {
    return this.ofType('Patient').map(({ id }) => id);
  }

  ofType(type) {
    return [...this.#resources.values()].filter(({ resourceType }) => resourceType === type);
  }

  /** Everything that belongs to a patient, the Patient too. */
  recordOf(patient) {
    return [...this.#resources.values()].filter((resource) => resource.resourceType !== 'Group' && patientOf(resource) === patient);
  }

  #take(patient) {
    const record = this.recordOf(patient);
    for (const { resourceType, id } of record) this.#resources.delete(`${resourceType}/${id}`);
    return record;
  }

  /** A patient joins with everything they have. Without `stamp` it keeps its old dates, as where somebody joins a cohort late. */
  join(patient, stamp) {
    for (const resource of this.waiting.get(patient)) this.put(stamp ? { ...resource, meta: { ...resource.meta, lastUpdated: stamp } } : resource);
    this.waiting.delete(patient);
  }

  /** Changes a resource, which the server stamps. */
  change(type, id, stamp, edit) {
    const resource = clone(this.#resources.get(`${type}/${id}`));
    edit(resource);
    resource.meta = { ...resource.meta, versionId: String(Number(resource.meta.versionId) + 1), lastUpdated: stamp };
    this.put(resource);
  }

  remove(type, id) {
    this.#resources.delete(`${type}/${id}`);
    this.#deleted.push(`${type}/${id}`);
  }

  removePatient(patient) {
    for (const { resourceType, id } of this.#take(patient)) this.#deleted.push(`${resourceType}/${id}`);
  }

  /**
   * Merges a patient into another: both say so, and the record moves. `restamp`: the server stamps what moved; many do not,
   * which is why crawls fetch the whole record of a merged patient.
   */
  merge(from, into, stamp, restamp) {
    const link = (other, type) => [{ other: { reference: `Patient/${other}` }, type }];
    for (const resource of this.recordOf(from).filter(({ resourceType }) => resourceType !== 'Patient')) {
      const moved = JSON.parse(JSON.stringify(resource).replaceAll(`"Patient/${from}"`, `"Patient/${into}"`));
      this.put(restamp ? { ...moved, meta: { ...moved.meta, lastUpdated: stamp } } : moved);
    }
    this.change('Patient', into, stamp, (patient) => { patient.link = [...(patient.link ?? []), ...link(from, 'replaces')]; });
    this.change('Patient', from, stamp, (patient) => { Object.assign(patient, { active: false, link: link(into, 'replaced-by') }); });
  }

  /** The data now as a folder of the sandbox, and what has been deleted so far. */
  write(folder) {
    this.#writes += 1;
    const place = join(folder, String(this.#writes));
    mkdirSync(place, { recursive: true });
    const member = this.patients().map((id) => ({ entity: { reference: `Patient/${id}` } }));
    this.put({ resourceType: 'Group', id: 'all', type: 'person', actual: true, member });
    const texts = new Map();
    for (const resource of this.#resources.values()) texts.set(resource.resourceType, `${texts.get(resource.resourceType) ?? ''}${JSON.stringify(resource)}\n`);
    for (const [type, text] of texts) writeFileSync(join(place, `${type}.001.ndjson`), text);
    return { data: place, deleted: [...this.#deleted] };
  }
}
