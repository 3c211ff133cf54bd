// The search parameters this server knows: name, kind and where the values are (R4 SearchParameter definitions).
const token = (...paths) => ({ kind: 'token', paths });
const reference = (...paths) => ({ kind: 'reference', paths });
const date = (...paths) => ({ kind: 'date', paths });
const string = (...paths) => ({ kind: 'string', paths });

const COMMON = { _id: { kind: 'id' }, _lastUpdated: { kind: 'updated' } };
const PATIENT = { patient: { kind: 'patient' }, subject: reference('subject', 'patient') };
const CLINICAL = { ...PATIENT, category: token('category'), code: token('code'), status: token('status'), encounter: reference('encounter'), identifier: token('identifier') };

const BY_TYPE = {
  AllergyIntolerance: { ...CLINICAL, date: date('recordedDate'), 'clinical-status': token('clinicalStatus'), recorder: reference('recorder') },
  CarePlan: { ...CLINICAL, date: date('period') },
  CareTeam: { ...PATIENT, category: token('category'), status: token('status'), date: date('period') },
  Condition: { ...CLINICAL, 'clinical-status': token('clinicalStatus'), 'onset-date': date('onsetDateTime', 'onsetPeriod'), 'recorded-date': date('recordedDate') },
  Device: { ...PATIENT, identifier: token('identifier'), status: token('status'), type: token('type'), organization: reference('owner'), location: reference('location') },
  DiagnosticReport: { ...CLINICAL, date: date('effectiveDateTime', 'effectivePeriod'), issued: date('issued'), result: reference('result'), performer: reference('performer') },
  DocumentReference: { ...PATIENT, category: token('category'), type: token('type'), status: token('status'), date: date('date'), period: date('context.period'), encounter: reference('context.encounter'), author: reference('author') },
  Encounter: { ...PATIENT, class: token('class'), type: token('type'), status: token('status'), date: date('period'), identifier: token('identifier'), location: reference('location.location'), participant: reference('participant.individual') },
  EpisodeOfCare: { ...PATIENT, status: token('status'), type: token('type'), date: date('period'), organization: reference('managingOrganization') },
  Immunization: { ...PATIENT, status: token('status'), 'vaccine-code': token('vaccineCode'), date: date('occurrenceDateTime'), location: reference('location') },
  MedicationDispense: { ...PATIENT, status: token('status'), code: token('medicationCodeableConcept'), medication: reference('medicationReference'), whenhandedover: date('whenHandedOver') },
  MedicationRequest: { ...PATIENT, category: token('category'), code: token('medicationCodeableConcept'), intent: token('intent'), status: token('status'), authoredon: date('authoredOn'), encounter: reference('encounter'), medication: reference('medicationReference') },
  Observation: { ...CLINICAL, date: date('effectiveDateTime', 'effectivePeriod', 'effectiveInstant'), issued: date('issued'), specimen: reference('specimen'), performer: reference('performer'), 'has-member': reference('hasMember') },
  Procedure: { ...CLINICAL, date: date('performedDateTime', 'performedPeriod') },
  ServiceRequest: { ...CLINICAL, intent: token('intent'), authored: date('authoredOn'), requester: reference('requester'), specimen: reference('specimen') },
  Specimen: { ...PATIENT, identifier: token('identifier'), status: token('status'), type: token('type'), collected: date('collection.collectedDateTime') },
  Patient: {
    identifier: token('identifier'), active: token('active'), gender: token('gender'), birthdate: date('birthDate'), name: string('name.family', 'name.given', 'name.text'),
    family: string('name.family'), given: string('name.given'), organization: reference('managingOrganization'), 'general-practitioner': reference('generalPractitioner'), link: reference('link.other'),
  },
  Group: { identifier: token('identifier'), name: string('name'), type: token('type'), actual: token('actual'), member: reference('member.entity') },
  Location: { identifier: token('identifier'), name: string('name'), status: token('status'), organization: reference('managingOrganization'), partof: reference('partOf') },
  Medication: { code: token('code'), status: token('status') },
  Organization: { identifier: token('identifier'), name: string('name'), active: token('active'), partof: reference('partOf') },
  Practitioner: { identifier: token('identifier'), active: token('active'), name: string('name.family', 'name.given', 'name.text'), family: string('name.family') },
  PractitionerRole: { active: token('active'), practitioner: reference('practitioner'), organization: reference('organization'), location: reference('location'), specialty: token('specialty') },
  Binary: {},
};

/** Search parameters of a type, by name. Types without their own list have those of a clinical resource. */
export function searchParams(type) {
  return { ...COMMON, ...(BY_TYPE[type] ?? CLINICAL) };
}

/** The type names in CapabilityStatement.rest.resource.searchParam. */
export function fhirKind(kind) {
  return { id: 'token', updated: 'date', patient: 'reference' }[kind] ?? kind;
}
