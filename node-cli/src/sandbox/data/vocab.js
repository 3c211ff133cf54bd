// Codes and names the generator draws from. Real code systems, invented people.
export const FAMILY = ['Abbott', 'Bergström', 'Castañeda', 'Dvořák', 'Eriksen', 'Fujimoto', 'García', 'Hughes', 'Ibrahim', 'Jansen', 'Kowalski', 'Lindqvist', 'Müller', 'Nguyen', 'Okafor', 'Petrov', 'Quispe', 'Rossi', 'Søndergaard', 'Tanaka'];
export const GIVEN = ['Ada', 'Björn', 'Chloé', 'Dmitri', 'Elif', 'Fatima', 'George', 'Hana', 'Inés', 'Jürgen', 'Keiko', 'Lars', 'Mónica', 'Noah', 'Olu', 'Priya', 'Ramón', 'Siobhán', 'Thandi', 'Zoë'];
export const STREETS = ['Hand Trail', 'Ledner Way', 'Orchard Street', 'Mill Lane', 'Harbour Road'];

const snomed = (code, display) => ({ system: 'http://snomed.info/sct', code, display });
const loinc = (code, display) => ({ system: 'http://loinc.org', code, display });
const rxnorm = (code, display) => ({ system: 'http://www.nlm.nih.gov/research/umls/rxnorm', code, display });

export const CONDITIONS = [snomed('38341003', 'Hypertensive disorder'), snomed('44054006', 'Diabetes mellitus type 2'), snomed('195967001', 'Asthma'), snomed('55822004', 'Hyperlipidemia'), snomed('40055000', 'Chronic sinusitis'), snomed('444814009', 'Viral sinusitis')];
export const ALLERGIES = [snomed('91936005', 'Allergy to penicillin'), snomed('91935009', 'Allergy to peanut'), snomed('418689008', 'Allergy to grass pollen'), snomed('232347008', 'Allergy to dander')];
export const PROCEDURES = [snomed('430193006', 'Medication reconciliation'), snomed('76601001', 'Intramuscular injection'), snomed('23426006', 'Measurement of respiratory function'), snomed('73761001', 'Colonoscopy')];
export const ENCOUNTERS = [snomed('162673000', 'General examination of patient'), snomed('185345009', 'Encounter for symptom'), snomed('50849002', 'Emergency room admission')];
export const DEVICES = [snomed('72506001', 'Implantable defibrillator'), snomed('14106009', 'Cardiac pacemaker')];
export const SPECIMENS = [snomed('119297000', 'Blood specimen'), snomed('122575003', 'Urine specimen')];
export const MEDICATIONS = [rxnorm('313820', 'Acetaminophen 160 MG Chewable Tablet'), rxnorm('860975', 'Metformin 500 MG'), rxnorm('314076', 'Lisinopril 10 MG'), rxnorm('617312', 'Atorvastatin 20 MG'), rxnorm('745679', 'Albuterol 0.09 MG/ACTUAT')];
export const VACCINES = [['140', 'Influenza, seasonal, injectable, preservative free'], ['207', 'COVID-19, mRNA, LNP-S'], ['113', 'Td (adult), adsorbed']]
  .map(([code, display]) => ({ system: 'http://hl7.org/fhir/sid/cvx', code, display }));
export const LABS = [loinc('4548-4', 'Hemoglobin A1c'), loinc('2339-0', 'Glucose'), loinc('2093-3', 'Cholesterol'), loinc('38483-4', 'Creatinine'), loinc('6298-4', 'Potassium')];
export const VITALS = [loinc('8302-2', 'Body Height'), loinc('29463-7', 'Body Weight'), loinc('8867-4', 'Heart rate')];
export const PANEL = loinc('85354-9', 'Blood pressure panel');
export const NOTES = [loinc('34117-2', 'History and physical note'), loinc('18842-5', 'Discharge summary'), loinc('11506-3', 'Progress note')];
export const SPECIALTIES = [['207Q00000X', 'Family Medicine'], ['207R00000X', 'Internal Medicine'], ['208000000X', 'Pediatrics']]
  .map(([code, display]) => ({ system: 'http://nucc.org/provider-taxonomy', code, display }));

export const concept = (coding) => ({ coding: [coding], text: coding.display });
export const category = (system, code) => [{ coding: [{ system: `http://terminology.hl7.org/CodeSystem/${system}`, code, display: code }] }];
