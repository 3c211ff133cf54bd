// What `npm test` consists of, in order. A step runs and resolves to how many tests passed and failed; a check of one
// thing counts as one test.
import { availableParallelism } from 'node:os';
import { checkConformance, checkFiles, checkLayers } from './checks.mjs';
import { buildPage } from './page.mjs';
import { Failure, run } from './run.mjs';
import { checkSizes } from './size.mjs';
import { sourceFiles } from './sources.mjs';
import { ensureChromium } from './tools.mjs';
import { assemblePackage, buildWasm, flavours } from './wasm.mjs';

/** A step that is one program ending with 0. */
const program = (command, args, extra = {}) => async (env) => {
  const { code } = await run(command, args, { env: { ...env, ...extra } });
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
};

/** A step that is one check of our own, which returns complaints. */
const check = (body) => async (env) => {
  const complaints = await body(env);
  for (const complaint of complaints) process.stdout.write(`${complaint}\n`);
  return complaints.length === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
};

const sum = (text, pattern) => [...text.matchAll(pattern)].reduce((total, [, number]) => total + Number(number), 0);

/** `cargo test`, its results added up. A test that is ignored counts as failed: every test runs. */
const cargoTests = (args) => async (env) => {
  const { code, output } = await run('cargo', ['test', '--locked', ...args], { env });
  const passed = sum(output, /^test result: .*? (\d+) passed/gm);
  const failed = sum(output, /^test result: .*? (\d+) failed/gm) + sum(output, /^test result: .*? (\d+) ignored/gm);
  // Code that does not compile has no results, and must not pass as "0 failed".
  return { passed, failed: failed === 0 && (code !== 0 || passed === 0) ? 1 : failed };
};

/** node:test over the files of one folder of tests/. */
const nodeTests = (files) => async (env) => {
  const args = ['--test', '--test-reporter=spec', `--test-concurrency=${Math.min(4, availableParallelism())}`, ...files];
  const { code, output } = await run(process.execPath, args, { env, limit: 30 });
  const total = (word) => sum(output, new RegExp(`^[ℹ#] ${word} (\\d+)`, 'gm'));
  const passed = total('pass');
  const failed = total('fail') + total('cancelled') + total('skipped') + total('todo');
  return { passed, failed: failed === 0 && (code !== 0 || passed === 0) ? 1 : failed };
};

/** As nodeTests, with a Chromium at hand. */
const inChromium = (files) => async (env) => nodeTests(files)({ ...env, CHROMIUM: await ensureChromium() });

/** The release files, pkg/ and the page; what the JavaScript suites run against. */
async function build(env) {
  await buildWasm(env);
  assemblePackage();
  await buildPage();
  return { passed: 1, failed: 0 };
}

/** Every step. `group` names a set for --only; a step that `needs` another fails at once when that one did. */
export async function allSteps() {
  const clippy = ['clippy', '--locked', '--all-targets', '--features', 'testing', '--', '-D', 'warnings'];
  const wasmClippy = ({ cargo }) => ['clippy', '--locked', '--lib', '--target', 'wasm32-unknown-unknown', ...cargo, '--', '-D', 'warnings'];
  const steps = [
    { name: 'fmt', group: 'quick', run: program('cargo', ['fmt', '--all', '--check']) },
    { name: 'layers', group: 'quick', run: check(checkLayers) },
    { name: 'files', group: 'quick', run: check(checkFiles) },
    { name: 'clippy', group: 'quick', run: program('cargo', clippy) },
    ...flavours.map((flavour) => ({ name: `clippy-${flavour.name}`, group: 'quick', run: program('cargo', wasmClippy(flavour)) })),
    { name: 'native', group: 'rust', run: cargoTests(['--features', 'testing']) },
    // The other DEFLATE engine has its own way with odd input, so it gets the same tests.
    { name: 'native-miniz', group: 'rust', run: cargoTests(['--no-default-features', '--features', 'miniz,testing', '--lib', '--test', 'native']) },
    { name: 'doc', group: 'rust', run: program('cargo', ['doc', '--locked', '--no-deps', '--features', 'testing'], { RUSTDOCFLAGS: '-D warnings' }) },
    { name: 'build', group: 'js', run: build },
    { name: 'size', group: 'js', needs: 'build', run: check(() => checkSizes()) },
    { name: 'types', group: 'js', needs: 'build', run: program('tsc', ['--project', 'tsconfig.json']) },
  ];
  const tests = await sourceFiles(/^tests\/[^/]+\/.*\.test\.mjs$/);
  for (const name of new Set(tests.map((path) => path.split('/')[1]))) {
    const files = tests.filter((path) => path.startsWith(`tests/${name}/`));
    steps.push({ name, group: 'js', needs: 'build', run: name === 'browser' ? inChromium(files) : nodeTests(files) });
  }
  steps.push({ name: 'conformance', group: 'rust', run: check(checkConformance) });
  return steps;
}

/** The steps that `--only a,b` names, by name or group; without it, all but those that run on request only. */
export function choose(steps, only) {
  if (only === undefined) return steps.filter((step) => !step.onRequest);
  const wanted = only.split(',');
  for (const word of wanted) {
    if (!steps.some(({ name, group }) => name === word || group === word)) {
      const known = [...new Set(steps.flatMap(({ name, group }) => [group, name]))].join(', ');
      throw new Failure(`--only ${word}: no such step. There are: ${known}.`);
    }
  }
  const chosen = new Set(steps.filter(({ name, group }) => wanted.includes(name) || wanted.includes(group)));
  for (const step of chosen) if (step.needs) chosen.add(steps.find(({ name }) => name === step.needs));
  return steps.filter((step) => chosen.has(step));
}
