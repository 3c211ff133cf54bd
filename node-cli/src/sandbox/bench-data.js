// Writes a folder of large Observation files for benchmarks: `Observation.001.ndjson` … and a `.gz` sibling of each, so
// that the sandbox sends both codings straight from disk. Deterministic; gzip makes about a seventh of it, as of the
// records of real EHRs. Files that are there with the right size are kept.
//
//   node node-cli/src/sandbox/bench-data.js --out DIR [--files 20] [--bytes 1e9] [--seed 1]
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';
import { Random } from './data/random.js';
import { LABS, VITALS } from './data/vocab.js';

const PIECE = 1 << 20;
const CODES = [...LABS, ...VITALS];
const CATEGORY = 'http://terminology.hl7.org/CodeSystem/observation-category';

function uuid(random) {
  const word = () => Math.floor(random.next() * 0x100000000).toString(16).padStart(8, '0');
  const [a, b, c, d] = [word(), word(), word(), word()];
  return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-${c.slice(0, 4)}-${c.slice(4)}${d}`;
}

/** One Observation as a line. Patient and encounter change every six lines, as in an export in patient order. */
function observation(random, visit) {
  const code = random.pick(CODES);
  const kind = LABS.includes(code) ? 'laboratory' : 'vital-signs';
  const time = new Date(visit.at + random.int(0, 86_399_999)).toISOString();
  return `{"resourceType":"Observation","id":"${uuid(random)}","meta":{"versionId":"${random.int(1, 9)}","lastUpdated":"${time.slice(0, -1)}+00:00"},"identifier":[{"system":"urn:oid:1.2.840.114350.1.13","value":"${uuid(random)}"}],"status":"final",`
    + `"category":[{"coding":[{"system":"${CATEGORY}","code":"${kind}","display":"${kind}"}]}],`
    + `"code":{"coding":[{"system":"http://loinc.org","code":"${code.code}","display":"${code.display}"}],"text":"${code.display}"},`
    + `"subject":{"reference":"Patient/${visit.patient}"},"encounter":{"reference":"Encounter/${visit.encounter}"},`
    + `"effectiveDateTime":"${time.slice(0, 19)}-04:00","issued":"${time.slice(0, 19)}.${random.int(100, 999)}-04:00",`
    + `"performer":[{"reference":"Practitioner/${uuid(random)}"}],`
    + `"specimen":{"reference":"Specimen/${uuid(random)}"},"valueQuantity":{"value":${(random.next() * 200).toFixed(random.int(1, 12))},"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}\n`;
}

function* pieces(random, bytes) {
  let text = '';
  let written = 0;
  let visit = null;
  for (let n = 0; written + text.length < bytes; n++) {
    if (n % 6 === 0) visit = { patient: uuid(random), encounter: uuid(random), at: Date.UTC(2010 + random.int(0, 13), random.int(0, 11), random.int(1, 28)) };
    text += observation(random, visit);
    if (text.length < PIECE) continue;
    written += text.length; // all ASCII
    yield Buffer.from(text, 'latin1');
    text = '';
  }
  if (text) yield Buffer.from(text, 'latin1');
}

/** Writes one file and its compressed sibling at the same time, each piece once. */
async function writeFile(plainPath, random, bytes) {
  const plain = fs.createWriteStream(`${plainPath}.part`);
  const gzip = createGzip({ level: 6 });
  const packed = pipeline(gzip, fs.createWriteStream(`${plainPath}.gz.part`));
  for (const piece of pieces(random, bytes)) {
    if (!plain.write(piece)) await once(plain, 'drain');
    if (!gzip.write(piece)) await once(gzip, 'drain');
  }
  plain.end();
  gzip.end();
  await Promise.all([once(plain, 'finish'), packed]);
  fs.renameSync(`${plainPath}.part`, plainPath);
  fs.renameSync(`${plainPath}.gz.part`, `${plainPath}.gz`);
}

/**
 * @param {object} options
 * @param {string} options.out folder, made if missing
 * @param {number} options.files how many
 * @param {number} options.bytes of all plain files together (each ends with the line that reaches its share)
 * @param {number} [options.seed]
 * @returns {Promise<{plain: number, packed: number}>} bytes of the plain and of the compressed files
 */
export async function makeBenchData({ out, files, bytes, seed = 1 }) {
  const sizes = { plain: 0, packed: 0 };
  const share = Math.floor(bytes / files);
  const marker = path.join(out, 'bench-data.json');
  const settings = JSON.stringify({ files, share, seed, format: 1 });
  fs.mkdirSync(out, { recursive: true });
  const known = fs.existsSync(marker) && fs.readFileSync(marker, 'utf8') === settings;
  if (!known) {
    for (const name of fs.readdirSync(out)) if (/^Observation\.\d+\.ndjson/.test(name)) fs.rmSync(path.join(out, name));
    fs.writeFileSync(marker, settings);
  }
  for (let n = 1; n <= files; n++) {
    const plainPath = path.join(out, `Observation.${String(n).padStart(3, '0')}.ndjson`);
    if (!fs.existsSync(`${plainPath}.gz`)) await writeFile(plainPath, new Random(seed, 'bench', n), share);
    sizes.plain += fs.statSync(plainPath).size;
    sizes.packed += fs.statSync(`${plainPath}.gz`).size;
  }
  return sizes;
}

if (process.argv[1] && fileURLToPath(import.meta.url) === fs.realpathSync(process.argv[1])) {
  const { values } = parseArgs({ options: { out: { type: 'string' }, files: { type: 'string', default: '20' }, bytes: { type: 'string', default: '1e9' }, seed: { type: 'string', default: '1' } } });
  const [files, bytes, seed] = [values.files, values.bytes, values.seed].map(Number);
  if (!values.out || !Number.isInteger(files) || files < 1 || !(bytes > 0) || !Number.isInteger(seed)) {
    console.error('Usage: bench-data.js --out DIR [--files 20] [--bytes 1e9] [--seed 1]');
    process.exit(2);
  }
  const { plain, packed } = await makeBenchData({ out: values.out, files, bytes, seed });
  console.log(`${values.out}: ${files} files, ${plain} bytes, ${packed} bytes gzipped (${(plain / packed).toFixed(2)}:1)`);
}
