// The checks of our own rules. Each resolves to a list of complaints, `path:line: what and why`; empty is good.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { must, root } from './run.mjs';
import { linesOf, sourceFiles } from './sources.mjs';

const PLATFORM =
  /\b(web_sys|js_sys|wasm_bindgen|gloo_net|tokio|SystemTime)\b|\bstd::(fs|net|thread|process)\b|\bInstant::now\b|\b(println|eprintln|dbg)!/;

/** Only src/wasm/ may name the platform. Comments and strings count: what is not named is not needed. */
export async function checkLayers() {
  const complaints = [];
  for (const path of await sourceFiles(/^src\/(?!wasm\/).*\.rs$/)) {
    linesOf(path).forEach((line, index) => {
      const found = line.match(PLATFORM);
      if (found) complaints.push(`${path}:${index + 1}: ${found[0]} belongs in src/wasm/ or behind a seam of src/platform/`);
    });
  }
  return complaints;
}

const HARD_CAP = 600;

const LEFT_UNDONE = [
  [/\b(TODO|FIXME|XXX)\b|\b(todo|unimplemented)!\(/, 'is left undone: finish it, or open an issue and say so there'],
  [/#\[ignore|\b(test|it|describe|suite)\.(skip|only|todo)\b|\b(skip|only|todo): *true\b/, 'hides a test: every test runs, every time'],
];

/** No file grows past the cap, and nothing is left undone or switched off. */
export async function checkFiles() {
  const complaints = [];
  for (const path of await sourceFiles(/\.(rs|js|mjs|ts)$/)) {
    if (path.includes('/fixtures/')) continue;
    const lines = linesOf(path);
    const count = lines.length - (lines.at(-1) === '' ? 1 : 0);
    if (count > HARD_CAP) complaints.push(`${path}: ${count} lines; the cap is ${HARD_CAP}, so it is time for two files`);
    // This file names the words that it looks for.
    if (path === 'scripts/lib/checks.mjs') continue;
    lines.forEach((line, index) => {
      for (const [pattern, why] of LEFT_UNDONE) {
        const found = line.match(pattern);
        if (found) complaints.push(`${path}:${index + 1}: ${found[0]} ${why}`);
      }
    });
  }
  return complaints;
}

/** Every conformance requirement (A01 to I08) has a test that bears its id in its name. */
export async function checkConformance(env) {
  const groups = JSON.parse(readFileSync(join(root, 'scripts/conformance-ids.json'), 'utf8'));
  const listed = await must('cargo', ['test', '--locked', '--features', 'testing', '--', '--list'], { env, quiet: true });
  const names = listed.split('\n').filter((line) => line.endsWith(': test'));
  for (const path of await sourceFiles(/^tests\/.*\.test\.mjs$/)) {
    for (const [, , name] of linesOf(path).join('\n').matchAll(/\b(?:test|it|describe|suite)\(\s*(['"`])(.*?)\1/gs)) names.push(name);
  }
  const complaints = [];
  for (const [letter, count] of Object.entries(groups)) {
    for (let number = 1; number <= count; number += 1) {
      const id = letter + String(number).padStart(2, '0');
      const bearsId = new RegExp(`(^|[^a-z0-9])${id}([^a-z0-9]|$)`, 'i');
      if (!names.some((name) => bearsId.test(name))) complaints.push(`${id}: no test has it in its name`);
    }
  }
  return complaints;
}
