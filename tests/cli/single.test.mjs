// `smart-fetch single`: one resource on standard output, as the server has it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { BIN, run } from './support.mjs';
import { QUICK, sandbox } from './server.mjs';

const PATIENT = '{"resourceType":"Patient","id":"1","name":[{"family":"Núñez"}],"extension":[],"multipleBirthInteger":1.10}';

async function serve(t, body, status = 200) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request);
    const answer = request.url === '/fhir/metadata' ? '{"resourceType":"CapabilityStatement"}' : body;
    response.writeHead(request.url === '/fhir/metadata' ? 200 : status, { 'content-type': 'application/fhir+json' }).end(answer);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => {
    server.once('listening', resolve);
  });
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}/fhir`, requests };
}

test('JSON is laid out, or compact; numbers keep their digits', async (t) => {
  const { url, requests } = await serve(t, PATIENT);
  const pretty = await run(['single', 'Patient/1?_elements=a%2Bb', '--fhir-url', url, '--header', 'X-A: b']);
  assert.equal(pretty.code, 0, pretty.stderr);
  assert.equal(
    pretty.stdout,
    '{\n  "resourceType": "Patient",\n  "id": "1",\n  "name": [\n    {\n      "family": "Núñez"\n    }\n  ],\n  "extension": [],\n  "multipleBirthInteger": 1.10\n}\n',
  );
  const asked = requests.find((request) => request.url.includes('Patient'));
  assert.equal(asked.url, '/fhir/Patient/1?_elements=a%2Bb');
  assert.equal(asked.headers['x-a'], 'b');
  const compact = await run(['single', 'Patient/1', '--fhir-url', url, '--compact']);
  assert.deepEqual([compact.code, compact.stdout], [0, `${PATIENT}\n`]);
});

test('--binary prints the data of a Binary, every byte of it, and JSON for anything else', async (t) => {
  const bytes = Buffer.from([0, 255, 10, 13, 128, 65]);
  const { url } = await serve(t, JSON.stringify({ resourceType: 'Binary', contentType: 'application/pdf', data: bytes.toString('base64') }));
  const { code, stdout } = await runForBytes(['single', 'Binary/1', '--fhir-url', url, '--binary']);
  assert.equal(code, 0);
  assert.ok(bytes.equals(stdout));
  const other = await serve(t, PATIENT);
  const json = await run(['single', 'Patient/1', '--fhir-url', other.url, '--binary', '--compact']);
  assert.equal(json.stdout, `${PATIENT}\n`);
});

async function runForBytes(args) {
  const child = spawn(process.execPath, [BIN, ...args]);
  const chunks = [];
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  const code = await new Promise((resolve) => {
    child.once('close', resolve);
  });
  return { code, stdout: Buffer.concat(chunks) };
}

test('a resource that is not there, an answer that is no JSON: exit 1 with the words of the server', async (t) => {
  const missing = await serve(t, '{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"No such patient."}}]}', 404);
  const first = await run(['single', 'Patient/none', '--fhir-url', missing.url, ...QUICK.slice(0, 2)]);
  assert.equal(first.code, 1);
  assert.match(first.stderr, /\[404\] No such patient\./);
  assert.equal(first.stdout, '');
  const html = await serve(t, '<html>Welcome</html>');
  const second = await run(['single', 'Patient/1', '--fhir-url', html.url]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /JSON/);
});

test('an address elsewhere is refused: the credentials would go with it', async () => {
  for (const address of ['http://other.example.org/Patient/1', '/Patient/1', '../Patient/1']) {
    const { code, stderr } = await run(['single', address, '--fhir-url', 'http://127.0.0.1:9/fhir', '--bearer-token', 'canary']);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /is not on the server/);
    assert.doesNotMatch(stderr, /canary/);
  }
});

test('it uses the general credentials, and reads what the sandbox has', async (t) => {
  const server = await sandbox(t, { auth: 'basic', secrets: { user: 'me', password: 'pw' } });
  const { code, stdout, stderr } = await run(['single', 'Patient?_summary=count', '--fhir-url', server.url, '--basic-user', 'me', '--basic-passwd', 'pw']);
  assert.equal(code, 0, stderr);
  assert.ok(JSON.parse(stdout).total > 0);
});
