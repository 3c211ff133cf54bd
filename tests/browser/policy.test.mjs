// The content policy that README names is all that a page needs to allow; with less, the error says what is missing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { openPage, startBrowser, startSite } from './support.mjs';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const [documented] = /^script-src 'self'.*$/m.exec(readme);

async function exported(t, policy) {
  const sandbox = await startSandbox({ patients: 3, faults: { pending: 0 } });
  t.after(() => sandbox.close());
  const site = await startSite(t, { policy: `default-src 'none'; ${policy.replace('https://ehr.example.com', new URL(sandbox.url).origin)}` });
  const context = await startBrowser(t);
  await context.addInitScript(() => {
    globalThis.violations = [];
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => globalThis.violations.push(`${violatedDirective} ${blockedURI}`));
  });
  const page = await openPage(context, site);
  return page.evaluate(async (fhirUrl) => {
    const { Client, openFolder } = globalThis.sf;
    const ended = await globalThis.ended(new Client({ fhirUrl }).bulk(await openFolder('policy'), { types: ['Patient'] }).result);
    return { ...ended, violations: globalThis.violations };
  }, sandbox.url);
}

test('with the policy that README names, and nothing else allowed, an export works', async (t) => {
  assert.match(documented, /https:\/\/ehr\.example\.com/);
  const { value, error, violations } = await exported(t, documented);
  assert.equal(value?.verdict, 'complete', JSON.stringify(error));
  assert.deepEqual(violations, []);
});

test('a policy that keeps the WebAssembly out is named as what to look at', async (t) => {
  for (const [policy, directive] of [[documented.replace("connect-src 'self'", 'connect-src'), /connect-src 'self'/], [documented.replace(" 'wasm-unsafe-eval'", ''), /wasm-unsafe-eval/]]) {
    const { error } = await exported(t, policy);
    assert.equal(error?.code, 'unsupported', policy);
    assert.match(error.hint, directive);
  }
});
