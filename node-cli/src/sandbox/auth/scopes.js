// SMART scopes: v1 `system/Type.read`, v2 `system/Type.rs`.
const SCOPE = /^system\/(\*|[A-Z][A-Za-z]+)\.(?:(read|write|\*)|(c?r?u?d?s?)(\?[^\s]*)?)$/;

/** Scopes of a request that a server of this dialect understands. */
export function grant(requested, dialect) {
  const scopes = [];
  const refused = [];
  for (const scope of requested.split(/\s+/).filter(Boolean)) {
    const match = SCOPE.exec(scope);
    const v1 = match?.[2] !== undefined;
    const v2 = Boolean(match?.[3]);
    const known = (v1 && dialect !== 'v2') || (v2 && dialect !== 'v1');
    (known ? scopes : refused).push(scope);
  }
  return { scopes, refused };
}

/** Whether scopes (null: no restriction) allow `action` ('read' or 'search') on a type. */
export function covers(scopes, type, action) {
  if (scopes === null) return true;
  const letter = action === 'read' ? 'r' : 's';
  return scopes.some((scope) => {
    const match = SCOPE.exec(scope);
    if (!match || (match[1] !== '*' && match[1] !== type)) return false;
    return match[2] ? match[2] !== 'write' : match[3].includes(letter);
  });
}
