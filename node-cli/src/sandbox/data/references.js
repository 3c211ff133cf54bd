// Data in which every hydration task of Python smart-fetch 1.0.3 has something that only it can find: for each of its
// reference paths a resource of the input type that holds nothing else, and a target of its own. The table is written from the
// reference's behaviour, not from our core's, so that an error in the one cannot hide in the other.

const PRACTITIONER = ['Practitioner', 'PractitionerRole'];
const PERFORMER = [...PRACTITIONER, 'Organization'];

/** Input type, path (`*` marks a list), output types. 67 of the tasks; inlining is the other two. */
export const PATHS = [
  ['DocumentReference', 'context.encounter*', ['EpisodeOfCare']], ['Encounter', 'episodeOfCare*', ['EpisodeOfCare']],
  ['MedicationDispense', 'context', ['EpisodeOfCare']], ['MedicationDispense', 'medicationReference', ['Medication']],
  ['MedicationRequest', 'medicationReference', ['Medication']], ['DiagnosticReport', 'result*', ['Observation']],
  ['Observation', 'hasMember*', ['Observation']], ['DiagnosticReport', 'specimen*', ['Specimen']], ['Observation', 'specimen', ['Specimen']],
  ['ServiceRequest', 'specimen*', ['Specimen']],
  ['AllergyIntolerance', 'recorder', PRACTITIONER], ['AllergyIntolerance', 'asserter', PRACTITIONER],
  ['Condition', 'recorder', PRACTITIONER], ['Condition', 'asserter', PRACTITIONER],
  ['DiagnosticReport', 'performer*', PERFORMER], ['DiagnosticReport', 'resultsInterpreter*', PERFORMER],
  ['DocumentReference', 'subject', PRACTITIONER], ['DocumentReference', 'author*', PERFORMER], ['DocumentReference', 'authenticator', PERFORMER],
  ['DocumentReference', 'custodian', ['Organization']], ['Encounter', 'participant*.individual', PRACTITIONER],
  ['Encounter', 'hospitalization.origin', ['Location', 'Organization']], ['Encounter', 'hospitalization.destination', ['Location', 'Organization']],
  ['Encounter', 'location*.location', ['Location']], ['Encounter', 'serviceProvider', ['Organization']],
  ['EpisodeOfCare', 'careManager', PRACTITIONER], ['EpisodeOfCare', 'managingOrganization', ['Organization']],
  ['Immunization', 'performer*.actor', PERFORMER], ['Immunization', 'location', ['Location']], ['Immunization', 'manufacturer', ['Organization']],
  ['Immunization', 'protocolApplied*.authority', ['Organization']],
  ['MedicationDispense', 'performer*.actor', PERFORMER], ['MedicationDispense', 'receiver*', ['Practitioner']],
  ['MedicationDispense', 'substitution.responsibleParty*', PRACTITIONER], ['MedicationDispense', 'location', ['Location']],
  ['MedicationDispense', 'destination', ['Location']], ['MedicationRequest', 'reportedReference', PERFORMER],
  ['MedicationRequest', 'requester', PERFORMER], ['MedicationRequest', 'performer', PERFORMER], ['MedicationRequest', 'recorder', PRACTITIONER],
  ['MedicationRequest', 'dispenseRequest.performer', ['Organization']], ['Observation', 'performer*', PERFORMER], ['Observation', 'subject', ['Location']],
  ['Patient', 'generalPractitioner*', PERFORMER], ['Patient', 'contact*.organization', ['Organization']], ['Patient', 'managingOrganization', ['Organization']],
  ['Procedure', 'recorder', PRACTITIONER], ['Procedure', 'asserter', PRACTITIONER], ['Procedure', 'performer*.actor', PERFORMER],
  ['Procedure', 'performer*.onBehalfOf', ['Organization']], ['Procedure', 'location', ['Location']],
  ['ServiceRequest', 'requester', PERFORMER], ['ServiceRequest', 'performer*', PERFORMER], ['ServiceRequest', 'subject', ['Location']],
  ['ServiceRequest', 'locationReference*', ['Location']], ['Specimen', 'collection.collector', PRACTITIONER], ['Specimen', 'subject', ['Location']],
  ['Device', 'location', ['Location']], ['Device', 'owner', ['Organization']], ['DiagnosticReport', 'subject', ['Location']],
  ['Location', 'managingOrganization', ['Organization']], ['Location', 'partOf', ['Location']], ['Organization', 'partOf', ['Organization']],
  ['Practitioner', 'qualification*.issuer', ['Organization']], ['PractitionerRole', 'practitioner', ['Practitioner']],
  ['PractitionerRole', 'organization', ['Organization']], ['PractitionerRole', 'location*', ['Location']],
];

/** Types that no bulk export brings, so that their own paths have to hang on something that hydration finds first. */
const HYDRATED = new Set(['Practitioner', 'PractitionerRole', 'Location', 'Organization', 'Medication']);
/** What tells clinical resources that a bulk export is asked for from those that only hydration is to find. */
const KEPT = {
  EpisodeOfCare: { status: 'active' }, Specimen: { status: 'available' }, Observation: { category: [{ coding: [{ code: 'laboratory' }] }] },
};

/** `{a: [{b: {reference}}]}` for `a*.b`. */
function holding(path, reference) {
  const [head, ...rest] = path.split('.');
  const value = rest.length > 0 ? holding(rest.join('.'), reference) : { reference };
  return { [head.replace('*', '')]: head.endsWith('*') ? [value] : value };
}

const slug = (text) => text.replaceAll(/[*.]+/g, '-').replace(/-$/, '').toLowerCase();

/** References of all that only hydration finds. */
export const referenceTargets = () => make('').targets;

/**
 * The resources.
 * @param {string} origin of the server, for absolute attachment URLs
 */
export function* referenceResources(origin) {
  for (const list of make(origin).rows.values()) yield* list;
}

function make(origin) {
  const rows = new Map();
  const targets = [];
  const add = (resource) => {
    const list = rows.get(resource.resourceType) ?? [];
    list.push({ ...resource, meta: { lastUpdated: '2024-01-02T03:04:05Z' } });
    rows.set(resource.resourceType, list);
    return `${resource.resourceType}/${resource.id}`;
  };
  add({ resourceType: 'Patient', id: 'pat' });
  const owned = (type) => (['Patient', ...HYDRATED].includes(type) ? {} : { patient: { reference: 'Patient/pat' } });
  for (const [input, path, outputs] of PATHS) {
    for (const output of outputs) {
      const id = `${slug(input)}-${slug(path)}-${slug(output)}`;
      const target = add({ resourceType: output, id: `t-${id}`.slice(0, 64) });
      targets.push(target);
      const source = add({ resourceType: input, id: `s-${id}`.slice(0, 64), ...owned(input), ...KEPT[input], ...holding(path, target) });
      // What no export brings is found through a resource that one does bring.
      if (HYDRATED.has(input)) {
        const [from, by] = { Location: ['Immunization', 'location'], Organization: ['Immunization', 'manufacturer'] }[input] ?? ['Procedure', 'performer*.actor'];
        add({ resourceType: from, id: `h-${id}`.slice(0, 64), ...owned(from), ...holding(by, source) });
        targets.push(source);
      }
    }
  }
  special(add, targets);
  attachments(add, origin);
  return { rows, targets };
}

/** Chains, loops, roles found by search, numbers and letters, and references that lead nowhere. */
function special(add, targets) {
  const patient = { reference: 'Patient/pat' };
  const found = (resource) => targets.push(add(resource));
  for (let depth = 1; depth <= 4; depth += 1) {
    found({ resourceType: 'Organization', id: `deep-${depth}`, partOf: { reference: `Organization/deep-${(depth % 4) + 1}` } });
    found({ resourceType: 'Location', id: `deep-${depth}`, partOf: { reference: `Location/deep-${(depth % 4) + 1}` } });
    found({ resourceType: 'Observation', id: `deep-${depth}`, hasMember: [{ reference: `Observation/deep-${(depth % 4) + 1}` }, { reference: 'Observation/deep-1' }] });
  }
  add({ resourceType: 'Device', id: 'chains', patient, owner: { reference: 'Organization/deep-1' }, location: { reference: 'Location/deep-1' } });
  add({ resourceType: 'DiagnosticReport', id: 'chains', patient, result: [{ reference: 'Observation/deep-1' }] });
  // Roles that nothing refers to: only the search by practitioner has them.
  for (const n of [1, 2, 3]) found({ resourceType: 'PractitionerRole', id: `searched-${n}`, practitioner: { reference: 'Practitioner/with-roles' } });
  found({ resourceType: 'Practitioner', id: 'with-roles', name: [{ family: 'Nuñez \u2028 "quoted"' }] });
  add({ resourceType: 'Condition', id: 'with-roles', patient, recorder: { reference: 'Practitioner/with-roles' } });
  const nowhere = ['Practitioner/missing', '#contained', 'urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0', 'https://other-ehr.example/fhir/Practitioner/77', 'Practitioner', 'Patient/pat'];
  add({ resourceType: 'Procedure', id: 'nowhere', patient, contained: [{ resourceType: 'Practitioner', id: 'contained' }], performer: nowhere.map((reference) => ({ actor: { reference } })) });
  add({ resourceType: 'Procedure', id: 'display', patient, recorder: { display: 'no reference' }, performer: [{}] });
}

/** Notes of every kind that inlining has to tell apart. */
function attachments(add, origin) {
  const binary = (id, contentType, text) => add({ resourceType: 'Binary', id, contentType, data: Buffer.from(text).toString('base64') });
  binary('note-text', 'text/plain', 'A note: ü\n');
  binary('note-html', 'text/html; charset=ISO-8859-1', '<p>note</p>');
  binary('note-xhtml', 'application/xhtml+xml', '<html xmlns="http://www.w3.org/1999/xhtml"/>');
  binary('note-pdf', 'application/pdf', '%PDF-1.4');
  binary('note-wrong', 'application/json', '{}');
  const kinds = [
    { contentType: 'text/plain', url: 'Binary/note-text' }, { contentType: 'text/html', url: 'Binary/note-html', title: 'kept' },
    { contentType: 'application/xhtml+xml; charset=utf-8', url: 'Binary/note-xhtml' }, { contentType: 'application/pdf', url: 'Binary/note-pdf' },
    { contentType: 'text/plain', url: 'Binary/note-wrong' }, { contentType: 'text/plain', url: 'Binary/none' }, { contentType: 'text/plain' },
    { url: 'Binary/note-text' }, { contentType: 'text/plain', data: 'YWxyZWFkeQ==', url: 'Binary/note-text' }, { contentType: 'TEXT/Plain', url: 'Binary/note-text' },
    { contentType: 'text/plain', url: `${origin}/attachments/note-text` },
  ];
  kinds.forEach((attachment, n) => {
    add({ resourceType: 'DocumentReference', id: `note-${n}`, subject: { reference: 'Patient/pat' }, content: [{ attachment }, { attachment: { contentType: 'text/plain', data: 'b2s=' } }] });
    add({ resourceType: 'DiagnosticReport', id: `note-${n}`, subject: { reference: 'Patient/pat' }, presentedForm: [attachment] });
  });
  add({ resourceType: 'DocumentReference', id: 'note-empty', subject: { reference: 'Patient/pat' }, content: [{}] });
}
