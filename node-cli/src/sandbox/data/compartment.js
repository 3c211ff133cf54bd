// Which patient a resource belongs to, and when it last changed.
import { pathValues } from '../search/paths.js';

// Elements that put a resource into the patient compartment (R4 CompartmentDefinition-patient), for the types this
// server is likely to hold; `subject` and `patient` cover nearly all of them.
const ELEMENTS = ['subject', 'patient', 'beneficiary', 'individual', 'for', 'target', 'participant.actor'];

/** Types that belong to no single patient: exported at Patient level, and at Group level when `_type` names them. */
export const SHARED_TYPES = new Set([
  'Binary', 'Endpoint', 'Group', 'HealthcareService', 'Location', 'Medication', 'Organization', 'Practitioner',
  'PractitionerRole', 'Substance',
]);

/** The id of the patient whose compartment holds the resource, or null. */
export function patientOf(resource) {
  if (resource.resourceType === 'Patient') return resource.id;
  if (SHARED_TYPES.has(resource.resourceType)) return null;
  for (const element of ELEMENTS) {
    for (const value of pathValues(resource, element)) {
      const id = patientId(value?.reference);
      if (id !== null) return id;
    }
  }
  return null;
}

/** `Patient/x`, `http://host/fhir/Patient/x` or `Patient/x/_history/1` to `x`; anything else to null. */
export function patientId(reference) {
  const match = typeof reference === 'string' && /(?:^|\/)Patient\/([A-Za-z0-9.-]{1,64})(?:\/_history\/|$)/.exec(reference);
  return match ? match[1] : null;
}

/** `meta.lastUpdated` in ms since 1970, or null. */
export function updatedOf(resource) {
  const time = Date.parse(resource.meta?.lastUpdated ?? '');
  return Number.isNaN(time) ? null : time;
}
