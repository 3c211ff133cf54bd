// SMART scopes: v1 `system/Type.read`, v2 `system/Type.rs`; the same at the levels `user` and `patient`.
const SCOPE = /^(system|user|patient)\/(\*|[A-Z][A-Za-z]+)\.(?:(read|write|\*)|(c?r?u?d?s?)(\?[^\s]*)?)$/;

/** What an app may ask for besides data (SMART App Launch, scopes for requesting context and identity). */
export const CONTEXT_SCOPES = ['launch', 'launch/patient', 'openid', 'fhirUser', 'profile', 'offline_access', 'online_access'];

/**
 * Scopes of a request that a server of this dialect understands.
 * @param {string} requested @param {'both'|'v1'|'v2'} dialect @param {string[]} levels that this kind of client may have
 * @param {string[]} words scopes besides those for data
 */
export function grant(requested, dialect, levels = ['system'], words = []) {
  const scopes = [];
  const refused = [];
  for (const scope of requested.split(/\s+/).filter(Boolean)) {
    const match = SCOPE.exec(scope);
    const v1 = match?.[3] !== undefined;
    const v2 = Boolean(match?.[4]);
    const spoken = (v1 && dialect !== 'v2') || (v2 && dialect !== 'v1');
    (words.includes(scope) || (spoken && levels.includes(match[1])) ? scopes : refused).push(scope);
  }
  return { scopes, refused };
}

/** Whether scopes (null: no restriction) of these levels allow `action` ('read' or 'search') on a type. */
export function covers(scopes, type, action, levels = ['system', 'user']) {
  if (scopes === null) return true;
  const letter = action === 'read' ? 'r' : 's';
  return scopes.some((scope) => {
    const match = SCOPE.exec(scope);
    if (!match || !levels.includes(match[1]) || (match[2] !== '*' && match[2] !== type)) return false;
    return match[3] ? match[3] !== 'write' : match[4].includes(letter);
  });
}

/** Whether scopes (null: no restriction) are for the data of one patient alone. */
export function forOnePatient(scopes) {
  return scopes !== null && !scopes.some((scope) => /^(system|user)\//.test(scope));
}
