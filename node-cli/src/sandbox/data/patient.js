// One generated patient with everything in the record. References follow every path that the hydration tasks of the
// reference client walk (practitioners, roles, locations, organizations, medications, specimens, result and member
// observations, episodes of care, notes inline and by URL).
import { createHash } from 'node:crypto';
import { SHARED } from './shared.js';
import * as vocab from './vocab.js';

const { concept, category } = vocab;
const DAY = 86_400_000;
const REFERENCE_DAY = Date.UTC(2024, 0, 1);
const iso = (ms) => new Date(ms).toISOString().replace('Z', '+00:00');
const ref = (type, id) => ({ reference: `${type}/${id}` });

export const patientId = (n) => `pt-${String(n).padStart(6, '0')}`;

/**
 * Every resource of patient `n`.
 * @param {object} context
 * @param {number} context.n from 1
 * @param {import('./random.js').Random} context.random
 * @param {string} context.base FHIR base URL, for the few absolute references and attachment URLs
 * @param {string|null} context.otherOrigin second origin of the server, for an attachment that lives elsewhere
 * @param {object[]} context.links `Patient.link` entries (merged patients)
 */
export function* patientResources({ n, random, base, otherOrigin, links }) {
  const id = patientId(n);
  const subject = ref('Patient', id);
  const birth = REFERENCE_DAY - random.int(1, 32_000) * DAY;
  let serial = 0;
  const head = (type, short, at) => ({
    resourceType: type, id: `${id}-${short}-${++serial}`, meta: { versionId: '1', lastUpdated: iso(at + 3_600_000) },
  });
  const practitioner = () => ref('Practitioner', `prac-${random.int(1, SHARED.practitioners)}`);
  const role = () => ref('PractitionerRole', `role-${random.int(1, SHARED.roles)}`);
  const organization = () => ref('Organization', `org-${random.int(1, SHARED.organizations)}`);
  const location = () => ref('Location', `loc-${random.int(1, SHARED.locations)}`);

  yield {
    resourceType: 'Patient', id, meta: { versionId: '1', lastUpdated: iso(REFERENCE_DAY - random.int(0, 700) * DAY) },
    identifier: [{ type: { text: 'MRN' }, system: 'http://hospital.smarthealthit.org', value: `MRN${100000 + n}` }],
    active: !links.some((link) => link.type === 'replaced-by'),
    name: [{ use: 'official', family: random.pick(vocab.FAMILY), given: [random.pick(vocab.GIVEN)] }],
    gender: random.pick(['female', 'male', 'other', 'unknown']), birthDate: iso(birth).slice(0, 10),
    address: [{ line: [`${random.int(1, 999)} ${random.pick(vocab.STREETS)}`], city: 'Boston', state: 'MA', country: 'US' }],
    contact: [{ relationship: [{ text: 'Insurer' }], organization: organization() }],
    generalPractitioner: n % 7 === 3 ? [practitioner(), { reference: 'https://other-ehr.example/fhir/Practitioner/77' }] : [practitioner()],
    managingOrganization: organization(),
    ...(links.length > 0 && { link: links }),
  };

  const episode = {
    ...head('EpisodeOfCare', 'eoc', REFERENCE_DAY - 700 * DAY), status: 'active', patient: subject,
    managingOrganization: organization(), careManager: practitioner(), period: { start: iso(REFERENCE_DAY - 700 * DAY) },
  };
  yield episode;
  yield {
    ...head('Device', 'dev', REFERENCE_DAY - 500 * DAY), status: 'active', type: concept(random.pick(vocab.DEVICES)),
    patient: subject, owner: organization(), location: location(),
  };
  if (random.chance(0.5)) {
    yield {
      ...head('AllergyIntolerance', 'alg', REFERENCE_DAY - 600 * DAY), clinicalStatus: category('allergyintolerance-clinical', 'active')[0],
      category: ['environment'], code: concept(random.pick(vocab.ALLERGIES)), patient: subject,
      recordedDate: iso(REFERENCE_DAY - 600 * DAY), recorder: practitioner(), asserter: role(),
    };
  }

  for (let visit = random.int(2, 4); visit > 0; visit--) {
    const at = REFERENCE_DAY - random.int(1, 690) * DAY - random.int(0, 86_399_999);
    const when = iso(at);
    const encounter = {
      ...head('Encounter', 'enc', at), status: 'finished', class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: visit === 1 ? 'IMP' : 'AMB' },
      type: [concept(random.pick(vocab.ENCOUNTERS))], subject, episodeOfCare: [ref('EpisodeOfCare', episode.id)],
      participant: [{ individual: practitioner() }], period: { start: when, end: iso(at + 1_800_000) },
      ...(visit === 1 && { hospitalization: { origin: location(), destination: organization() } }),
      location: [{ location: location() }], serviceProvider: organization(),
    };
    yield encounter;
    const context = { subject, encounter: ref('Encounter', encounter.id) };

    yield {
      ...head('Condition', 'con', at), clinicalStatus: category('condition-clinical', 'active')[0], category: category('condition-category', 'encounter-diagnosis'),
      code: concept(random.pick(vocab.CONDITIONS)), ...context, onsetDateTime: when, recordedDate: when, recorder: practitioner(), asserter: practitioner(),
    };

    const members = [];
    for (const [code, value] of [['8480-6', random.int(95, 160)], ['8462-4', random.int(55, 100)]]) {
      const member = {
        ...head('Observation', 'obs', at), status: 'final', code: concept({ system: 'http://loinc.org', code, display: code === '8480-6' ? 'Systolic' : 'Diastolic' }),
        ...context, effectiveDateTime: when, issued: iso(at + 139), performer: [role()], valueQuantity: { value, unit: 'mm[Hg]' },
      };
      members.push(ref('Observation', member.id)); // no category: only hydration finds these behind the default filter
      yield member;
    }
    yield {
      ...head('Observation', 'obs', at), status: 'final', category: category('observation-category', 'vital-signs'), code: concept(vocab.PANEL),
      ...context, effectiveDateTime: when, issued: iso(at + 139), performer: [practitioner()], hasMember: members,
    };
    for (const code of vocab.VITALS) {
      yield {
        ...head('Observation', 'obs', at), status: 'final', category: category('observation-category', 'vital-signs'), code: concept(code),
        ...context, effectiveDateTime: when, issued: iso(at + 139), performer: [practitioner()], valueQuantity: { value: random.int(400, 19000) / 10, unit: '1' },
      };
    }

    const specimen = {
      ...head('Specimen', 'spc', at), status: 'available', type: concept(random.pick(vocab.SPECIMENS)), subject,
      receivedTime: when, collection: { collector: practitioner(), collectedDateTime: when },
    };
    yield specimen;
    const order = {
      ...head('ServiceRequest', 'srv', at), status: 'completed', intent: 'order', code: concept(vocab.LABS[0]), ...context, authoredOn: when,
      requester: practitioner(), performer: [organization()], locationReference: [location()], specimen: [ref('Specimen', specimen.id)],
    };
    yield order;
    const results = [];
    for (let lab = random.int(1, 3); lab > 0; lab--) { // the third has no category: for hydration to find
      const result = {
        ...head('Observation', 'obs', at), status: 'final', ...(lab < 3 && { category: category('observation-category', 'laboratory') }),
        code: concept(random.pick(vocab.LABS)), ...context, basedOn: [ref('ServiceRequest', order.id)], effectiveDateTime: when, issued: iso(at + 139),
        performer: [organization()], specimen: ref('Specimen', specimen.id), valueQuantity: { value: random.int(30, 2400) / 10, unit: 'mg/dL' },
      };
      results.push(ref('Observation', result.id));
      yield result;
    }
    const reportText = `Laboratory report of ${id}, ${when.slice(0, 10)}.`;
    yield {
      ...head('DiagnosticReport', 'rep', at), status: 'final', category: category('v2-0074', 'LAB'), code: concept(random.pick(vocab.LABS)), ...context,
      effectiveDateTime: when, issued: iso(at + 139), performer: [organization()], resultsInterpreter: [practitioner()],
      specimen: [ref('Specimen', specimen.id)], result: results,
      presentedForm: [{ contentType: 'text/plain', data: Buffer.from(reportText).toString('base64') }],
    };

    const byReference = random.chance(0.5);
    const medication = byReference
      ? { medicationReference: ref('Medication', `med-${random.int(1, SHARED.medications)}`) }
      : { medicationCodeableConcept: concept(random.pick(vocab.MEDICATIONS)) };
    const prescription = {
      ...head('MedicationRequest', 'mrx', at), status: 'completed', intent: 'order', category: category('medicationrequest-category', 'outpatient'),
      ...medication, ...context, authoredOn: when, requester: practitioner(), performer: organization(), recorder: role(),
      dispenseRequest: { performer: organization() },
    };
    yield prescription;
    yield {
      ...head('MedicationDispense', 'mdi', at), status: 'completed', ...medication, subject, context: ref('EpisodeOfCare', episode.id),
      performer: [{ actor: practitioner() }], location: location(), destination: location(), authorizingPrescription: [ref('MedicationRequest', prescription.id)],
      whenHandedOver: when, receiver: [practitioner()], substitution: { wasSubstituted: false, responsibleParty: [role()] },
    };
    yield {
      ...head('Immunization', 'imm', at), status: 'completed', vaccineCode: concept(random.pick(vocab.VACCINES)), patient: subject, encounter: context.encounter,
      occurrenceDateTime: when, primarySource: true, location: location(), manufacturer: organization(), performer: [{ actor: practitioner() }],
      protocolApplied: [{ authority: organization(), doseNumberPositiveInt: 1 }],
    };
    yield {
      ...head('Procedure', 'pro', at), status: 'completed', code: concept(random.pick(vocab.PROCEDURES)), ...context, performedDateTime: when,
      recorder: practitioner(), asserter: practitioner(), performer: [{ actor: practitioner(), onBehalfOf: organization() }], location: location(),
    };
    yield* note({ at, when, subject, encounter, visit, n, head, practitioner, organization, base, otherOrigin });
  }
}

/** A clinical note, its text inline or in a Binary: plain, HTML, XHTML and PDF take turns. */
function* note({ at, when, subject, encounter, visit, n, head, practitioner, organization, base, otherOrigin }) {
  const binary = head('Binary', 'bin', at);
  const text = `Note on ${subject.reference}, ${when.slice(0, 10)}: feels well; Größe & Gewicht unverändert.`;
  const [contentType, content] = [
    ['text/plain', text], ['text/html', `<html><body><p>${text.replace('&', '&amp;')}</p></body></html>`],
    ['application/xhtml+xml', `<html xmlns="http://www.w3.org/1999/xhtml"><body><p>${text.replace('&', '&amp;')}</p></body></html>`],
    ['application/pdf', `%PDF-1.4\n% ${text}\n%%EOF\n`],
  ][(n + visit) % 4];
  const bytes = Buffer.from(content);
  const url = [`Binary/${binary.id}`, `${base}/Binary/${binary.id}`, `${otherOrigin ?? base.replace(/\/[^/]*$/, '')}/attachments/${binary.id}`][n % 3];
  const inline = (n + visit) % 5 === 0;
  yield {
    ...head('DocumentReference', 'doc', at), status: 'current', type: concept(vocab.NOTES[n % vocab.NOTES.length]), category: category('us-core-documentreference-category', 'clinical-note'),
    subject, date: when, author: [practitioner(), organization()], authenticator: practitioner(), custodian: organization(),
    content: [{
      attachment: inline
        ? { contentType, data: bytes.toString('base64') }
        : { ...(n % 6 !== 5 && { contentType }), url, size: bytes.length, hash: createHash('sha1').update(bytes).digest('base64') },
    }],
    context: { encounter: [{ reference: `Encounter/${encounter.id}` }], period: { start: when } },
  };
  if (!inline) yield { ...binary, contentType, securityContext: subject, data: bytes.toString('base64') };
}
