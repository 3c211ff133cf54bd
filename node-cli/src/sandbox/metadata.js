// CapabilityStatement and SMART configuration.
import { CONTEXT_SCOPES } from './auth/scopes.js';
import { fhirKind, searchParams } from './search/params.js';

const OPERATIONS = 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition';
const NOT_SUPPORTED = 'http://hl7.org/fhir/uv/bulkdata/StructureDefinition/operation-not-supported';
const START = new Date().toISOString();

/** Types that appear in the CapabilityStatement: those with data, less the hidden ones; Group is always there. */
export function listedTypes(types, faults) {
  return [...new Set([...types, 'Group'])].filter((type) => !faults.unlisted.includes(type)).sort();
}

export function capabilityStatement({ base, types, faults, auth }) {
  const level = (name) => operation(name, faults);
  const rest = {
    mode: 'server',
    security: auth ? security(auth, faults) : undefined,
    resource: listedTypes(types, faults).map((type) => resourceOf(type, faults, level)),
    operation: faults.exportOperation === 'rest-only'
      ? [...level('export'), ...level('patient-export'), ...level('group-export')]
      : level('export'),
  };
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: START, kind: 'instance', fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'json'], publisher: 'smart-fetch',
    software: { name: 'smart-fetch sandbox', version: '1.0.0', releaseDate: '2026-01-01' },
    implementation: { description: 'FHIR server for developing and testing against; no real patients', url: base },
    instantiates: ['http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data'],
    rest: [rest],
  };
}

/** The operation entry that the `exportOperation` setting asks for; name: export, patient-export or group-export. */
function operation(name, { exportOperation, stu }) {
  const version = { 1: '1.0.0', 2: '2.0.0', 3: '3.0.0', 4: '4.0.0' }[stu] ?? '2.0.0';
  switch (exportOperation) {
    case 'none': return undefined;
    case 'vendor': return [{ name: 'export', definition: `OperationDefinition/vendor-${name}` }];
    case 'export-v4': return [{ name: 'export', definition: `${OPERATIONS}/${name}|3.0.0` }, { name: 'export-v4', definition: `${OPERATIONS}/${name}|4.0.0` }];
    default: return [{ name: 'export', definition: `${OPERATIONS}/${name}|${version}` }];
  }
}

function resourceOf(type, faults, level) {
  const unsupported = (what) => (faults.notSupported.includes(what) ? [{ url: NOT_SUPPORTED, valueBoolean: true }] : undefined);
  const byLevel = faults.exportOperation === 'rest-only' ? undefined : { Patient: level('patient-export'), Group: level('group-export') }[type];
  return {
    extension: unsupported(type),
    type,
    interaction: [{ code: 'read' }, { code: 'search-type' }],
    searchParam: Object.entries(searchParams(type))
      .filter(([name]) => !faults.noSearchParams.includes(name))
      .map(([name, { kind }]) => ({ extension: unsupported(`${type}.${name}`), name, type: fhirKind(kind) })),
    operation: byLevel,
  };
}

function security(auth, { oauthUris }) {
  return {
    service: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' }] }],
    extension: oauthUris
      ? [{ url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris', extension: [{ url: 'token', valueUri: `${auth}/token` }, { url: 'authorize', valueUri: `${auth}/authorize` }] }]
      : undefined,
  };
}

export function smartConfiguration({ base, auth, faults }) {
  const levels = ['system', 'user', 'patient'];
  const configuration = {
    issuer: base,
    jwks_uri: `${auth}/jwks`,
    authorization_endpoint: `${auth}/authorize`,
    token_endpoint: `${auth}/token`,
    registration_endpoint: `${auth}/register`,
    grant_types_supported: ['authorization_code', 'client_credentials'],
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: faults.algs,
    scopes_supported: [
      ...(faults.scopeDialect !== 'v1' ? levels.map((level) => `${level}/*.rs`) : []),
      ...(faults.scopeDialect !== 'v2' ? levels.map((level) => `${level}/*.read`) : []),
      ...CONTEXT_SCOPES,
    ],
    capabilities: [
      'client-confidential-asymmetric', 'client-public', 'launch-ehr', 'launch-standalone', 'context-ehr-patient', 'context-standalone-patient',
      'permission-patient', 'permission-user', 'permission-offline', 'permission-online', 'sso-openid-connect',
      ...(faults.scopeDialect !== 'v1' ? ['permission-v2'] : []),
      ...(faults.scopeDialect !== 'v2' ? ['permission-v1'] : []),
    ],
  };
  for (const key of faults.wellKnownOmit) delete configuration[key];
  return configuration;
}
