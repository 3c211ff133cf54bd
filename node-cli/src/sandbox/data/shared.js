// Generated resources that belong to no patient: who treats them, where, with what.
import { concept, FAMILY, GIVEN, MEDICATIONS, SPECIALTIES } from './vocab.js';

export const SHARED = { organizations: 6, practitioners: 8, roles: 8, locations: 7, medications: MEDICATIONS.length };

/** @param {import('./random.js').Random} random @param {string} stamp `meta.lastUpdated` of all of them */
export function* sharedResources(random, stamp) {
  const meta = { versionId: '1', lastUpdated: stamp };
  for (let n = 1; n <= SHARED.organizations; n++) {
    yield {
      resourceType: 'Organization', id: `org-${n}`, meta, active: true,
      identifier: [{ system: 'http://sandbox.smart-fetch.example/organization', value: `${1000 + n}` }],
      name: n === 1 ? 'Sandbox Health System' : `Sandbox Clinic ${n}`,
      ...(n > 1 && { partOf: { reference: `Organization/org-${Math.floor(n / 2)}` } }),
    };
  }
  for (let n = 1; n <= SHARED.locations; n++) {
    yield {
      resourceType: 'Location', id: `loc-${n}`, meta, status: 'active', name: n === 1 ? 'Main building' : `Ward ${n}`,
      managingOrganization: { reference: `Organization/org-${1 + (n % SHARED.organizations)}` },
      ...(n > 1 && { partOf: { reference: `Location/loc-${Math.floor(n / 2)}` } }),
    };
  }
  for (let n = 1; n <= SHARED.practitioners; n++) {
    yield {
      resourceType: 'Practitioner', id: `prac-${n}`, meta, active: true,
      identifier: [{ system: 'http://hl7.org/fhir/sid/us-npi', value: `${9999900000 + n}` }],
      name: [{ family: random.pick(FAMILY), given: [random.pick(GIVEN)], prefix: ['Dr.'] }],
      qualification: [{ code: { text: 'MD' }, issuer: { reference: 'Organization/org-1' } }],
    };
  }
  for (let n = 1; n <= SHARED.roles; n++) {
    const specialty = random.pick(SPECIALTIES);
    yield {
      resourceType: 'PractitionerRole', id: `role-${n}`, meta, active: true,
      practitioner: { reference: `Practitioner/prac-${n}` },
      organization: { reference: `Organization/org-${1 + (n % SHARED.organizations)}` },
      specialty: [concept(specialty)], location: [{ reference: `Location/loc-${1 + (n % SHARED.locations)}` }],
    };
  }
  for (let n = 1; n <= SHARED.medications; n++) {
    yield { resourceType: 'Medication', id: `med-${n}`, meta, status: 'active', code: concept(MEDICATIONS[n - 1]) };
  }
}
