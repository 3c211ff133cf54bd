// Runs a scenario: the same steps in several folders (lanes), each step of a lane by one of the two programs. The first
// lane is the reference alone; the others have to end, step by step, with the same facts.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Failure } from '../../scripts/lib/run.mjs';
import { canonical, factsOf, readResources, withoutHeaders } from './snapshot.mjs';
import { targetsOf, writeHydrationData } from './hydration-data.mjs';

/** A zone with a changing offset, and a terminal so wide that the reference breaks no line. */
const ENV = { ...process.env, TZ: 'America/New_York', COLUMNS: '400', NO_COLOR: '1' };
const LIMIT = 300_000;
/** The folders of the scenarios in a message: our core does not know how they are called. */
const FOLDER = /^'?(out|plain|none|empty)\b[^:]*$/;

/** Runs a program to its end. */
function runProgram([program, ...args], cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: ENV, stdio: ['ignore', 'pipe', 'pipe'] });
    const got = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => { got[name] += text; });
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, ...got });
    });
  });
}

/**
 * @typedef {object} Step
 * @property {string[]} args without `--fhir-url` and credentials, which are added; the working directory holds `out`
 * @property {boolean} [offline] nothing is added
 * @property {(server: {sandbox: object, stamp: (time: string) => void}) => Promise<void>} [server] changes the server, once for all lanes
 * @property {(folder: string) => void} [before] changes the folder of each lane
 * @property {number} [ours] exit status that ours may have where the reference has 0
 * @property {boolean} [usage] a folder that is not there: 1 of the reference's, a usage error (2) of ours
 * @property {boolean} [stdout] standard output has to be the same text
 * @property {boolean} [json] standard output has to be the same JSON: the reference writes letters beyond ASCII as \u escapes
 * @property {boolean} [ownWords] what goes to standard error may differ
 *
 * @typedef {object} Scenario
 * @property {string} name
 * @property {Step[]} steps
 * @property {object} [server] options of startSandbox
 * @property {boolean} [hydration] serve the data of hydration-data.mjs
 * @property {string} [allTargets] folder in which the reference must have found every target of that data at the end
 * @property {string[]} [lanes] a letter a step, p or o; default all p and all o
 * @property {[RegExp, string][]} [known] facts that knowingly differ, each with the reason
 */

/**
 * @param {Scenario} scenario
 * @param {{python: string, cli: string, folder: string, data?: string, url?: string, self?: boolean, browser?: boolean}} options `browser`: `cli` works in one; `self`: the reference in the place of
 *   ours, which shows what it does not do the same way twice
 * @returns {Promise<{lane: string, step: number, only: string[], missing: string[], known: Set<string>}[]>} differences
 */
export async function runScenario(scenario, { python, cli, folder, data, url, self = false, browser = false }) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const clock = { since: Math.floor(Date.now() / 1000) * 1000, stamps: new Set() };
  const sandbox = url ? null : await openServer(scenario, folder, data);
  const credentials = sandbox?.client ? writeKey(folder, sandbox) : [];
  const lanes = scenario.lanes ?? ['p', 'o'].map((letter) => letter.repeat(scenario.steps.length));
  const differences = [];
  try {
    for (const [n, step] of scenario.steps.entries()) {
      await step.server?.({ sandbox, stamp: (time) => clock.stamps.add(Date.parse(time)) });
      let first = null;
      for (const lane of lanes) {
        const place = join(folder, lane);
        mkdirSync(place, { recursive: true });
        step.before?.(place);
        const program = self || lane[n] === 'p' ? [python] : [process.execPath, cli];
        const args = step.offline ? step.args : [...step.args, '--fhir-url', url ?? sandbox.url, ...credentials];
        const result = await runProgram([...program, ...args], place);
        writeFileSync(join(folder, `${lane}.${n + 1}.txt`), `$ smart-fetch ${args.join(' ')}\n${result.stdout}\n--- stderr\n${result.stderr}\n--- exit ${result.code}\n`);
        const found = factsOf(place, clock);
        const facts = [...(browser ? found.map(withoutHeaders) : found), ...factsOfRun(step, result)];
        if (!first) {
          first = { facts, result };
          continue;
        }
        const word = sameError(step, first.result, result);
        if (word) facts.push(`the message lacks '${word}' where it should be: ${flat(result.stderr)} (Python: ${flat(first.result.stderr)})`);
        differences.push({ lane, step: n + 1, ...compare(first.facts, facts, scenario.known ?? []) });
      }
    }
  } finally {
    await sandbox?.close();
  }
  if (scenario.allTargets) requireTargets(join(folder, lanes[0], scenario.allTargets));
  return differences;
}

/** Data that leaves out a task would prove nothing of it. */
function requireTargets(folder) {
  const resources = readResources(folder).filter(({ file }) => !/\.001\./.test(file));
  const found = new Set(resources.map(({ resource }) => `${resource.resourceType}/${resource.id}`));
  const missing = targetsOf().filter((target) => !found.has(target));
  if (missing.length > 0) throw new Failure(`The reference hydrated no ${missing.join(', ')}: the data does not exercise these tasks.`);
}

async function openServer({ server = {}, hydration }, folder, data) {
  const options = { patients: 6, seed: 11, ...(data && !server.patients && { data }), ...server, faults: { pending: 0, ...server.faults } };
  if (!hydration) return startSandbox(options);
  const probe = await startSandbox({ patients: 0 }); // the data names the server it will be on
  const port = Number(new URL(probe.url).port);
  await probe.close();
  writeHydrationData(join(folder, 'data'), `http://127.0.0.1:${port}`);
  return startSandbox({ ...options, port, data: join(folder, 'data') });
}

function writeKey(folder, { client }) {
  const path = join(folder, 'key.jwks');
  writeFileSync(path, JSON.stringify({ keys: [client.keys.RS384.jwk] }), { mode: 0o600 });
  return ['--smart-client-id', client.clientId, '--smart-key', path];
}

function factsOfRun(step, { code, stdout }) {
  const asMeant = step.usage ? [1, 2] : step.ours === undefined ? [] : [0, step.ours];
  const facts = [`exit ${asMeant.includes(code) ? '(as meant)' : code}`];
  if (step.stdout) facts.push(`stdout: ${flat(stdout)}`);
  if (step.json) facts.push(`stdout: ${canonical({ ...JSON.parse(stdout), id: '' })}`);
  return facts;
}

/** What the reference says when it fails has to be in what we say, word for word but for folders and the query of a URL. */
function sameError(step, wanted, got) {
  if (wanted.code === 0 || step.ours !== undefined || step.ownWords) return null;
  const words = (text) => flat(text.replaceAll(/\?[^"\s]*"/g, '?"')).replaceAll('%20', ' ').toLowerCase().split(' ');
  const said = words(got.stderr);
  let from = 0;
  for (const word of words(wanted.stderr).filter((one) => !FOLDER.test(one) && one !== 'folder')) {
    const at = said.findIndex((one, n) => n >= from && one.replace(/[.:;]$/, '') === word.replace(/[.:;]$/, ''));
    if (at === -1) return word;
    from = at + 1;
  }
  return null;
}

/** Text as a reader compares it: without rules and the breaks of lines. */
const flat = (text) => text.replaceAll('─', '').split(/\s+/).filter(Boolean).join(' ');

/** What is in only one of two lists of facts, each fact counted. */
function compare(wanted, got, known) {
  const counts = new Map();
  for (const fact of wanted) counts.set(fact, (counts.get(fact) ?? 0) + 1);
  for (const fact of got) counts.set(fact, (counts.get(fact) ?? 0) - 1);
  const result = { missing: [], only: [], known: new Set() };
  for (const [fact, count] of counts) {
    if (count === 0) continue;
    const reason = known.find(([pattern]) => pattern.test(fact))?.[1];
    if (reason) result.known.add(reason);
    else (count > 0 ? result.missing : result.only).push(Math.abs(count) > 1 ? `${fact} (${Math.abs(count)} times)` : fact);
  }
  return result;
}
