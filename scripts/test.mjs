// `npm test`: sets the machine up, runs every suite, and ends with a line `N passed, M failed`.
// `npm test -- --only native,cli` runs some of it; `--list` names the steps.
import { parseArgs } from 'node:util';
import { main, say, seconds } from './lib/run.mjs';
import { allSteps, choose } from './lib/steps.mjs';
import { ensureBuildTools } from './lib/tools.mjs';

async function runStep(step, results, env) {
  say(step.name);
  const started = Date.now();
  let result = { passed: 0, failed: 1 };
  if (results.some(({ name, failed }) => name === step.needs && failed > 0)) {
    process.stdout.write(`not run, because ${step.needs} failed\n`);
  } else {
    try {
      result = await step.run(env);
    } catch (error) {
      process.stdout.write(`${error.message}\n`);
    }
  }
  return { name: step.name, ...result, took: Date.now() - started };
}

await main(async () => {
  const { values } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean' } } });
  const steps = await allSteps();
  if (values.list) {
    for (const { group, name, onRequest } of steps) console.log(`${group.padEnd(8)}${name}${onRequest ? ' (only by name)' : ''}`);
    return;
  }
  const chosen = choose(steps, values.only);
  const started = Date.now();
  const env = await ensureBuildTools();
  const results = [{ name: 'set-up', passed: 0, failed: 0, took: Date.now() - started }];
  for (const step of chosen) results.push(await runStep(step, results, env));

  say('summary');
  for (const { name, passed, failed, took } of results) {
    const verdict = failed > 0 ? 'FAILED' : 'ok';
    console.log(`${name.padEnd(16)}${verdict.padEnd(8)}${String(passed).padStart(6)} passed${String(failed).padStart(6)} failed  ${seconds(took)}`);
  }
  const total = (key) => results.reduce((all, result) => all + result[key], 0);
  console.log(`total time ${seconds(Date.now() - started)}`);
  console.log(`${total('passed')} passed, ${total('failed')} failed`);
  if (total('failed') > 0) process.exitCode = 1;
});
