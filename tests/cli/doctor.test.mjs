// `smart-fetch doctor`: the verdict on the sandbox in its modes, the command to use, and that nothing is started unasked.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { filesBelow, printed, run, scratch, start } from './support.mjs';
import { sandbox } from './server.mjs';

const ORIGIN = ['--origin', 'https://app.example'];

async function report(args) {
  const { code, stdout, stderr } = await run(['doctor', ...args, '--json']);
  const parsed = JSON.parse(stdout);
  assert.equal(stderr, '');
  assert.equal(parsed.exitStatus, code);
  return { ...parsed, check: (name) => parsed.checks.find((check) => check.name === name) };
}

/** Flags for the credentials of a sandbox, the key in a file. */
async function credentials(t, server) {
  const folder = await scratch(t);
  const key = join(folder, 'key.jwks');
  await writeFile(key, JSON.stringify(server.client.jwks));
  return ['--smart-client-id', server.client.clientId, '--smart-key', key];
}

const accepted = (server) => server.requests.filter(({ status, method }) => status === 202 && method !== 'DELETE');

for (const auth of ['none', 'smart']) {
  for (const [cors, browser, hidden] of [['full', true, []], ['no-expose', false, ['Content-Location', 'Retry-After', 'X-Progress', 'Link']], ['none', false, []]]) {
    test(`the sandbox with auth ${auth} and CORS ${cors}`, async (t) => {
      const server = await sandbox(t, { auth, cors });
      const login = auth === 'smart' ? await credentials(t, server) : [];
      const plain = await report([server.url, ...login]);
      assert.deepEqual([plain.usable, plain.exitStatus], ['yes', 0], JSON.stringify(plain, null, 1));
      const { facts } = plain;
      assert.deepEqual([facts.fhirVersion, facts.software, facts.patients], ['4.0.1', 'smart-fetch sandbox 1.0.0', 10]);
      assert.deepEqual(facts.exports.map(({ level, version }) => `${level} ${version}`), ['system 2', 'patient 2', 'group 2']);
      assert.deepEqual([facts.kickoffGet, facts.kickoffPost, facts.gzip, facts.sinceMode, facts.started], [true, true, true, 'updated', 0]);
      assert.deepEqual([facts.browser, facts.hiddenHeaders], [browser, hidden]);
      if (auth === 'smart') {
        assert.deepEqual([facts.scopes, facts.missingScopes, facts.tokenSeconds, facts.tokenUrl], ['system/*.rs', [], 300, server.client.tokenUrl]);
      }
      // Asked for a web page, what stands in its way is a problem.
      const page = await report([server.url, ...login, ...ORIGIN]);
      assert.deepEqual([page.usable, page.exitStatus], browser ? ['yes', 0] : ['withProblems', 3]);
      assert.equal(accepted(server).length, 0, 'no export was started');
    });
  }
}

test('without credentials, or with wrong ones, a server that wants them is not usable', async (t) => {
  const server = await sandbox(t, { auth: 'smart' });
  const open = await report([server.url]);
  assert.deepEqual([open.usable, open.exitStatus, open.command], ['no', 1, '']);
  assert.match(open.check('access').meaning, /--smart-client-id/);
  const wrong = await report([server.url, '--bearer-token', 'made-up-token']);
  assert.equal(wrong.exitStatus, 1);
  assert.doesNotMatch(JSON.stringify(wrong), /made-up-token/);
  server.setFaults({ tokenFail: '401:invalid_client*' });
  const refused = await report([server.url, ...(await credentials(t, server))]);
  assert.deepEqual([refused.exitStatus, refused.check('token').state], [1, 'failure']);
});

test('a narrower token, types that it does not cover', async (t) => {
  const server = await sandbox(t, { auth: 'smart', faults: { grantScope: 'system/Patient.rs' } });
  const found = await report([server.url, ...(await credentials(t, server)), '--type', 'Patient,Condition']);
  assert.deepEqual([found.exitStatus, found.facts.missingScopes], [3, ['Condition']]);
});

test('--kickoff starts exports and deletes every one; commas, methods and Retry-After are known then', async (t) => {
  const server = await sandbox(t, { auth: 'smart', faults: { pending: 3, retryAfter: '120' } });
  const found = await report([server.url, ...(await credentials(t, server)), '--kickoff']);
  assert.deepEqual([found.usable, found.facts.escapedCommas, found.facts.retryAfter], ['yes', true, '120']);
  const started = accepted(server).filter(({ url }) => url.includes('$export'));
  assert.ok(started.length >= 1);
  assert.equal(found.facts.started, started.length);
  assert.equal(server.requests.filter(({ method, status }) => method === 'DELETE' && status === 202).length, started.length);

  server.setFaults({ kickoffMethods: 'post', stu: 3 });
  const post = await report([server.url, ...(await credentials(t, server)), '--kickoff', '--group', 'all']);
  assert.deepEqual([post.facts.kickoffGet, post.facts.kickoffPost, post.exitStatus], [false, true, 0]);
  server.setFaults({ kickoffFail: '403*' });
  const refused = await report([server.url, ...(await credentials(t, server)), '--kickoff']);
  assert.deepEqual([refused.usable, refused.check('trial').state], ['no', 'failure']);
});

test('interrupted with --kickoff, it leaves no export behind; without, it ends at once', async (t) => {
  const server = await sandbox(t, { faults: { latency: 200 } });
  const tried = start(['doctor', server.url, '--kickoff']);
  await printed(tried, () => accepted(server).length > 0);
  tried.child.kill('SIGINT');
  const { stderr } = await tried.ended;
  assert.match(stderr, /cancelled first/);
  const started = accepted(server).filter(({ url }) => url.includes('$export')).length;
  assert.equal(server.requests.filter(({ method, status }) => method === 'DELETE' && status === 202).length, started);
  server.setFaults({ metadataFail: 'hang*' });
  server.clearRequests();
  const waiting = start(['doctor', server.url]);
  await printed(waiting, () => server.requests.length > 0);
  waiting.child.kill('SIGINT');
  assert.equal((await waiting.ended).code, 130);
});

test('the table says what it means and ends with the command, credentials as given and secrets hidden', async (t) => {
  const server = await sandbox(t, { auth: 'smart' });
  const login = await credentials(t, server);
  const { code, stdout } = await run(['doctor', server.url, ...login, '--group', 'all', '--header', 'X-Key: canary-value', '--type=Patient']);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^Server +ok +FHIR 4\.0\.1, smart-fetch sandbox 1\.0\.0$/m);
  assert.match(stdout, /^Token +ok +granted for 300 seconds: /m);
  assert.match(stdout, /^This server is ready for exports\.$/m);
  const command = stdout.trimEnd().split('\n').at(-1);
  const flags = `export OUTPUT_DIR --fhir-url ${server.url} ${login.join(' ')} --header 'X-Key: …' --group all --type Patient`;
  assert.ok(command.endsWith(flags), command);
  assert.doesNotMatch(stdout, /canary/);
  assert.ok(stdout.split('\n').every((line) => line.length <= 120 || line.includes('export OUTPUT_DIR')), 'fits a terminal');
});

test('a server that is not there is exit status 1; a URL that is none, 2', async () => {
  const nobody = await report(['http://127.0.0.1:9/fhir', '--retry-delays', '10ms']);
  assert.deepEqual([nobody.usable, nobody.exitStatus, nobody.checks.length], ['no', 1, 1]);
  assert.match(nobody.check('server').found, /^No answer from http:\/\/127\.0\.0\.1:9\/fhir\/metadata/);
  const { code, stderr } = await run(['doctor', 'ehr.example']);
  assert.deepEqual([code, /It should look like https:/.test(stderr)], [2, true], stderr);
  const missing = await run(['doctor']);
  assert.deepEqual([missing.code, /--fhir-url is required/.test(missing.stderr)], [2, true], missing.stderr);
});

/** Runs the command that the doctor recommends, its placeholders filled in. */
async function follow(command, values) {
  const words = command.slice(command.indexOf(' export ') + 1).split(' ').map((word) => values[word] ?? word);
  return run([...words, '--retry-delays', '10ms', '--max-poll-delay', '100ms', '--hydration-tasks', 'none']);
}

test('the command that is recommended works: for a group, with SMART credentials, and as a crawl where there is no $export', async (t) => {
  const server = await sandbox(t, { auth: 'smart' });
  const login = await credentials(t, server);
  for (const flags of [[], ['--group', 'first-half'], ['--level', 'patient', '--type', 'Patient,Condition']]) {
    const { command, usable } = await report([server.url, ...login, ...flags]);
    const folder = await scratch(t);
    const { code, stderr } = await follow(command, { OUTPUT_DIR: folder });
    assert.deepEqual([usable, code], ['yes', 0], `${command}\n${stderr}`);
    assert.ok((await filesBelow(folder)).some((name) => /Patient.*ndjson\.gz$/.test(name)));
  }
  const bare = await sandbox(t);
  bare.setFaults({ exportOperation: 'none', kickoffMethods: 'post', methodRefusal: 404, kickoffFail: '404*' });
  const crawl = await report([bare.url]);
  assert.deepEqual([crawl.exitStatus, crawl.check('export').state, crawl.flags], [3, 'warning', ['--export-mode', 'crawl', '--id-file', 'PATIENT_IDS']]);
  const folder = await scratch(t);
  const ids = join(folder, 'ids.txt');
  const { entry } = await (await fetch(`${bare.url}/Patient?_count=2`)).json();
  await writeFile(ids, entry.map(({ resource }) => resource.id).join('\n'));
  const { code, stderr } = await follow(crawl.command, { OUTPUT_DIR: join(folder, 'out'), PATIENT_IDS: ids });
  assert.equal(code, 0, stderr);
});

test('groups are listed, and one that is not there is no success', async (t) => {
  const server = await sandbox(t);
  const listed = await run(['doctor', server.url, '--groups']);
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /^all +.*10 members$/m);
  const groups = JSON.parse((await run(['doctor', server.url, '--groups', '--json'])).stdout);
  assert.ok(groups.some(({ id }) => id === 'all'));
  const there = await report([server.url, '--group', 'all']);
  assert.deepEqual([there.exitStatus, there.check('group').state], [0, 'good']);
  const wrong = await report([server.url, '--group', 'nosuch']);
  assert.deepEqual([wrong.exitStatus, wrong.command, wrong.check('group').state], [1, '', 'failure']);
  assert.match(wrong.check('group').found, /^the server lists .*all/);
});
