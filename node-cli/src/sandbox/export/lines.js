// Changes to the lines of a file: `_elements`, and the damage of the `lines` fault.
const NEWLINE = Buffer.from('\n');

/** `['bad-json:2', 'bom']` to a map of damage to argument. */
export function parseDamage(list) {
  return new Map(list.map((item) => {
    const [name, argument = ''] = item.split(':');
    return [name, argument];
  }));
}

/** Keeps the elements asked for and what FHIR requires, and tags the resource SUBSETTED. */
export function subsetted(line, elements) {
  const resource = JSON.parse(line.toString('utf8'));
  const wanted = new Set(['resourceType', 'id', 'meta']);
  for (const element of elements) {
    const [type, name] = element.includes('.') ? element.split('.') : [resource.resourceType, element];
    if (type === resource.resourceType) wanted.add(name);
  }
  const subset = Object.fromEntries(Object.entries(resource).filter(([name]) => wanted.has(name)));
  const tag = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };
  subset.meta = { ...subset.meta, tag: [...(subset.meta?.tag ?? []), tag] };
  return Buffer.from(JSON.stringify(subset));
}

/** Lines (without ends) to bytes, damaged as asked. `elements`: `_elements`, empty for whole resources. */
export async function* damagedLines(lines, damage, elements) {
  const end = damage.has('crlf') ? Buffer.from('\r\n') : NEWLINE;
  let number = 0;
  let before = null; // the line end that is due before the next line
  function* put(...parts) {
    if (before) yield before;
    yield* parts;
    before = end;
  }
  if (damage.has('bom')) yield Buffer.from([0xef, 0xbb, 0xbf]);
  if (damage.has('blank-lines')) yield end;
  for await (const original of lines) {
    number++;
    const line = elements.length > 0 ? subsetted(original, elements) : original;
    if (Number(damage.get('bad-json')) === number) yield* put(line.subarray(0, Math.ceil(line.length / 2)));
    else if (number === 1 && damage.has('untyped')) yield* put(Buffer.from(JSON.stringify({ ...JSON.parse(line.toString('utf8')), resourceType: undefined })));
    else if (number === 1) yield* put(...withExtension(line, damage));
    else yield* put(line);
    if (damage.has('duplicates')) yield* put(line);
    if (damage.has('blank-lines') && number % 2 === 0) yield end;
    if (damage.has('stray') && number === 1) yield* put(Buffer.from(JSON.stringify({ resourceType: damage.get('stray') || 'Basic', id: 'stray-1' })));
  }
  if (damage.has('outcome')) {
    yield* put(Buffer.from('{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception","diagnostics":"Sandbox problem among the data."}]}'));
  }
  if (before && !damage.has('no-final-newline')) yield before;
}

/** Adds an extension with awkward values behind the first brace, valid FHIR on every resource. */
function* withExtension(line, damage) {
  const values = [];
  const value = (...parts) => values.push([Buffer.from('{"url":"http://sandbox.smart-fetch.example/x",'), ...parts, Buffer.from('}')]);
  if (damage.has('u2028')) value(Buffer.from('"valueString":"one\u2028two\u2029three\u0085four"'));
  if (damage.has('decimals')) value(Buffer.from('"valueDecimal":1.10},{"url":"http://sandbox.smart-fetch.example/y","valueDecimal":12345678901234567890.1230'));
  if (damage.has('invalid-utf8')) value(Buffer.from('"valueString":"caf'), Buffer.from([0xe9, 0xff]), Buffer.from('"'));
  if (damage.has('long-line')) {
    const piece = Buffer.alloc(65536, 'x');
    const pieces = [];
    for (let left = Number(damage.get('long-line')) || 20_000_000; left > 0; left -= piece.length) pieces.push(left < piece.length ? piece.subarray(0, left) : piece);
    value(Buffer.from('"valueString":"'), ...pieces, Buffer.from('"'));
  }
  if (values.length === 0) {
    yield line;
    return;
  }
  yield Buffer.from('{"_implicitRules":{"extension":[');
  for (const [index, parts] of values.entries()) {
    if (index > 0) yield Buffer.from(',');
    yield* parts;
  }
  yield Buffer.from(']},');
  yield line.subarray(line.indexOf('{') + 1);
}
