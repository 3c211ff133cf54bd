// Faults of discovery, kick-off, status, manifest and REST: each does what it says.
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { encodeSegment, FaultError, parseFaults, startSandbox } from '../../node-cli/src/sandbox/index.js';
import { kickoff, linesOf, manifestOf, postKickoff, request, resources, sandbox } from './helpers.mjs';

test('parseFaults checks names and values', async () => {
  assert.deepEqual(parseFaults(['pending=3', 'fileFail=502,reset', 'exportOperation=none']), { pending: '3', fileFail: '502,reset', exportOperation: 'none' });
  for (const bad of ['pending', 'pneding=3', 'pending=many', 'cutFraming=torn', 'empty=yes', 'fileFail=oops', 'fileFail=50', 'lines=bom,holes']) {
    assert.throws(() => parseFaults([bad]), FaultError, bad);
  }
  await assert.rejects(startSandbox({ faults: { pneding: 1 } }), /There is no fault "pneding"/);
});

test('a base URL segment sets faults for its requests; unknown keys are refused', async (t) => {
  const sbx = await sandbox(t);
  const base = (values) => `${sbx.origin}/${encodeSegment(values)}/fhir`;
  const broken = await request(`${base({ metadataFail: '500*' })}/metadata`);
  assert.equal(broken.status, 500);
  assert.equal((await request(`${sbx.url}/metadata`)).status, 200);
  for (const url of [base({ metdataFail: '500' }), base({ pending: 'x' }), base([1]), `${sbx.origin}/nonsense/fhir`]) {
    const { status, json } = await request(`${url}/metadata`);
    assert.deepEqual([status, json.issue[0].code], [400, 'invalid'], url);
  }
  const started = await kickoff(sbx, '', '_type=Patient', { base: base({ pending: 1, retryAfter: '9' }) });
  assert.ok(started.headers['content-location'].startsWith(`${sbx.url}/bulkstatus/`), 'no segment after the kick-off');
  assert.equal((await request(started.headers['content-location'])).headers['retry-after'], '9');
});

test('a job keeps the faults of its kick-off', async (t) => {
  const sbx = await sandbox(t, { faults: { stu: 4, kickoffMethods: 'both' } });
  const url = (await kickoff(sbx)).headers['content-location'];
  sbx.setFaults({ statusFail: '500*' });
  assert.ok((await request(url)).json.outcome);
});

test('metadataFail, wellKnownFail, wellKnownOmit, unlisted, oauthUris', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { metadataFail: '404,401:html,200:html,reset', wellKnownFail: '404,200:html', unlisted: 'Device,Immunization', oauthUris: false, wellKnownOmit: 'scopes_supported' } });
  assert.equal((await request(`${sbx.url}/metadata`)).status, 404);
  const html = await request(`${sbx.url}/metadata`);
  assert.deepEqual([html.status, html.headers['content-type']], [401, 'text/html; charset=utf-8']);
  assert.equal((await request(`${sbx.url}/metadata`)).headers['content-type'], 'text/html; charset=utf-8');
  await assert.rejects(request(`${sbx.url}/metadata`), { code: 'ECONNRESET' });
  const { rest: [rest] } = (await request(`${sbx.url}/metadata`)).json;
  const types = rest.resource.map(({ type }) => type);
  assert.ok(types.includes('Patient') && types.includes('Group') && !types.includes('Device') && !types.includes('Immunization'));
  assert.equal(rest.security.extension, undefined);
  assert.deepEqual([(await request(`${sbx.url}/.well-known/smart-configuration`)).status, (await request(`${sbx.url}/.well-known/smart-configuration`)).text[0]], [404, '<']);
  const wellKnown = (await request(`${sbx.url}/.well-known/smart-configuration`)).json;
  assert.deepEqual([wellKnown.scopes_supported, typeof wellKnown.token_endpoint], [undefined, 'string']);
});

test('unlisted types export all the same', async (t) => {
  const sbx = await sandbox(t, { faults: { unlisted: ['Device'] } });
  assert.deepEqual((await manifestOf(sbx, '', '_type=Device')).output.map(({ count }) => count), [1]);
});

test('exportOperation and notSupported', async (t) => {
  const sbx = await sandbox(t);
  const rest = async (faults) => {
    sbx.setFaults(faults);
    return (await request(`${sbx.url}/metadata`)).json.rest[0];
  };
  const group = ({ resource }) => resource.find(({ type }) => type === 'Group').operation;
  const standard = await rest({});
  assert.deepEqual([standard.operation[0].name, group(standard)[0].definition], ['export', 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export|2.0.0']);
  const only = await rest({ exportOperation: 'rest-only', stu: 1 });
  assert.deepEqual([only.operation.length, group(only)], [3, undefined]);
  assert.deepEqual(group(await rest({ exportOperation: 'export-v4' })).map(({ name }) => name), ['export', 'export-v4']);
  assert.equal(group(await rest({ exportOperation: 'vendor' }))[0].definition, 'OperationDefinition/vendor-group-export');
  assert.equal((await rest({ exportOperation: 'none' })).operation, undefined);
  const marked = (await rest({ notSupported: 'Device,Observation.code' })).resource;
  const url = 'http://hl7.org/fhir/uv/bulkdata/StructureDefinition/operation-not-supported';
  assert.equal(marked.find(({ type }) => type === 'Device').extension[0].url, url);
  assert.equal(marked.find(({ type }) => type === 'Observation').searchParam.find(({ name }) => name === 'code').extension[0].url, url);
});

test('kickoffFail: 429 with Retry-After, 500, 503, an OperationOutcome, 200', async (t) => {
  const sbx = await sandbox(t, { faults: { kickoffFail: '429,500:processing,503:html,400:not-supported,200', failRetryAfter: '7' } });
  const seen = [];
  for (let n = 0; n < 6; n++) seen.push(await kickoff(sbx));
  assert.deepEqual(seen.map(({ status }) => status), [429, 500, 503, 400, 200, 202]);
  assert.deepEqual(seen.map(({ headers }) => headers['retry-after']), ['7', undefined, '7', undefined, undefined, undefined]);
  assert.deepEqual([seen[1].json.issue[0].code, seen[2].text[0], seen[3].json.issue[0].code, seen[4].json.issue[0].severity], ['processing', '<', 'not-supported', 'information']);
});

test('kickoffMethods and methodRefusal', async (t) => {
  const sbx = await sandbox(t, { faults: { kickoffMethods: 'post', methodRefusal: 404 } });
  assert.equal((await kickoff(sbx)).status, 404);
  assert.equal((await postKickoff(sbx, '', [])).status, 202);
  sbx.setFaults({ kickoffMethods: 'get', methodRefusal: 501 });
  assert.deepEqual([(await kickoff(sbx)).status, (await postKickoff(sbx, '', [])).status], [202, 501]);
});

test('contentLocation: none, relative, on another origin', async (t) => {
  const sbx = await sandbox(t, { faults: { contentLocation: 'none' } });
  assert.equal((await kickoff(sbx)).headers['content-location'], undefined);
  sbx.setFaults({ contentLocation: 'relative' });
  assert.match((await kickoff(sbx)).headers['content-location'], /^\/fhir\/bulkstatus\//);
  sbx.setFaults({ contentLocation: 'other-origin', pending: 0 });
  assert.equal(sbx.otherOrigin, null);
  const url = (await kickoff(sbx)).headers['content-location'];
  assert.ok(url.startsWith(`${sbx.otherOrigin}/`) && sbx.otherOrigin !== sbx.origin);
  const { status, json } = await request(url);
  assert.deepEqual([status, json.output.length], [200, 19]);
  assert.equal((await request(json.output[0].url)).status, 200);
});

test('kickoffOutcome, refuseParams, ignoreParams, oneAtATime', async (t) => {
  const sbx = await sandbox(t, { faults: { kickoffOutcome: true, refuseParams: '_elements', ignoreParams: '_typeFilter' } });
  assert.equal((await kickoff(sbx)).json.resourceType, 'OperationOutcome');
  assert.equal((await kickoff(sbx, '', '_elements=id')).status, 400);
  const lenient = await manifestOf(sbx, '', '_type=Patient&_elements=id', { headers: { prefer: 'respond-async,handling=lenient' } });
  assert.equal(lenient.error.length, 1);
  assert.match((await linesOf(lenient.error[0]))[0], /_elements is not supported/);
  assert.ok(Object.keys(JSON.parse((await linesOf(lenient.output[0]))[0])).length > 4, 'not a subset');
  const all = resources('Patient').length;
  assert.equal((await manifestOf(sbx, '', '_type=Patient&_typeFilter=Patient%3Fgender%3Dmale')).output[0].count, all);
  const busy = await sandbox(t, { faults: { oneAtATime: true, pending: 1 } });
  const first = (await kickoff(busy)).headers['content-location'];
  assert.deepEqual([(await kickoff(busy)).status, (await request(first)).status, (await request(first)).status, (await kickoff(busy)).status], [429, 202, 200, 202]);
});

test('splitTypeFilter: a comma inside a filter in POST', async (t) => {
  const sbx = await sandbox(t);
  const parameter = [{ name: '_type', valueString: 'Observation' }, { name: '_typeFilter', valueString: 'Observation?category=laboratory,vital-signs' }];
  assert.equal((await postKickoff(sbx, '', parameter)).status, 400);
  sbx.setFaults({ splitTypeFilter: false });
  assert.equal((await postKickoff(sbx, '', parameter)).status, 202);
});

test('retryAfter: forms of the header', async (t) => {
  const sbx = await sandbox(t);
  const header = async (retryAfter) => {
    sbx.setFaults({ pending: 1, retryAfter });
    return (await request((await kickoff(sbx, '', '_type=Patient')).headers['content-location'])).headers['retry-after'];
  };
  for (const value of ['120', '-5', 'soon', '7200', '1795250282997']) assert.equal(await header(value), value);
  assert.equal(await header('none'), undefined);
  assert.ok(Math.abs(Date.parse(await header('date+300')) - Date.now() - 300_000) < 5000);
  assert.ok(Math.abs(Number(await header('epoch-s')) - Date.now() / 1000 - 300) < 5);
  assert.ok(Math.abs(Number(await header('epoch-ms')) - Date.now() - 300_000) < 5000);
});

test('xProgress and statusFail', async (t) => {
  const sbx = await sandbox(t, { faults: { pending: 1, xProgress: '"75%" of it', statusFail: '429,500:transient,502,reset,ok,413:html,200:empty,200:html,200:processing,404*' } });
  const url = (await kickoff(sbx)).headers['content-location'];
  const seen = [];
  for (let n = 0; n < 11; n++) seen.push(await request(url).catch(({ code }) => ({ status: code })));
  assert.deepEqual(seen.map(({ status }) => status), [429, 500, 502, 'ECONNRESET', 202, 413, 200, 200, 200, 404, 404]);
  assert.equal(seen[1].json.issue[0].code, 'transient');
  assert.equal(seen[4].headers['x-progress'], '"75%" of it');
  assert.deepEqual([seen[2].text[0], seen[5].text[0], seen[6].text, seen[7].text[0], seen[8].json.issue[0].code], ['<', '<', '', '<', 'processing']);
});

test('statusRedirect to the other origin', async (t) => {
  const sbx = await sandbox(t, { auth: 'bearer', secrets: { bearer: 'canary' }, faults: { statusRedirect: 307 } });
  const headers = { authorization: 'Bearer canary' };
  const redirect = await request((await kickoff(sbx, '', '', { headers })).headers['content-location']);
  assert.equal(redirect.status, 307);
  assert.ok(redirect.headers.location.startsWith(sbx.otherOrigin));
  assert.equal((await request(redirect.headers.location)).status, 200, 'no token there');
});

test('separateStatus and exportStatusFinal: job state in X-Export-Status', async (t) => {
  const sbx = await sandbox(t, { faults: { separateStatus: true, pending: 2, partialManifests: true } });
  const headers = { prefer: 'respond-async, separate-export-status' };
  const started = await kickoff(sbx, '', '', { headers });
  assert.match(started.headers['preference-applied'], /separate-export-status/);
  const first = await request(started.headers['content-location']);
  const second = await request(started.headers['content-location']);
  const third = await request(started.headers['content-location']);
  assert.deepEqual([first, second, third].map((one) => [one.status, one.headers['x-export-status']]), [[200, '202 Accepted'], [200, '202 Accepted'], [200, '200 OK']]);
  assert.equal(third.json.output.length, 19);
  sbx.setFaults({ separateStatus: true, pending: 0, exportStatusFinal: 500 });
  const failed = await request((await kickoff(sbx, '', '', { headers })).headers['content-location']);
  assert.deepEqual([failed.status, failed.headers['x-export-status'], failed.json.issue[0].severity], [200, '500 Failed', 'error']);
  const plain = await kickoff(sbx);
  assert.equal(plain.headers['preference-applied'], undefined, 'only where asked');
});

test('partialManifests on 202', async (t) => {
  const sbx = await sandbox(t, { faults: { partialManifests: true, pending: 2 } });
  const url = (await kickoff(sbx)).headers['content-location'];
  const partial = await request(url);
  assert.deepEqual([partial.status, partial.json.output.length, partial.json.link], [202, 10, undefined]);
  await request(url);
  const whole = (await request(url)).json.output;
  assert.deepEqual(whole.slice(0, 10), partial.json.output, 'listed files are final');
});

test('stu: shapes of the manifest', async (t) => {
  const sbx = await sandbox(t);
  const keys = async (stu) => {
    sbx.setFaults({ stu, pending: 0, kickoffMethods: 'both', errors: 1 });
    const manifest = await manifestOf(sbx, '', '_type=Patient');
    return [Object.keys(manifest), manifest];
  };
  assert.deepEqual((await keys(1))[0], ['transactionTime', 'request', 'requiresAccessToken', 'output', 'error']);
  assert.deepEqual((await keys(2))[0], ['transactionTime', 'request', 'requiresAccessToken', 'output', 'error', 'deleted']);
  assert.deepEqual((await keys(3))[0], ['transactionTime', 'request', 'requiresAccessToken', 'outputOrganizedBy', 'output', 'error', 'deleted', 'link']);
  const [four, manifest] = await keys(4);
  assert.deepEqual(four, ['transactionTime', 'requiresAccessToken', 'outputFormat', 'outputOrganizedBy', 'output', 'outcome', 'deleted', 'link']);
  assert.deepEqual([manifest.output[0].type, manifest.outcome[0].type], ['Patient', undefined]);
});

test('STU4: POST only, under the advertised name, without comma lists', async (t) => {
  const sbx = await sandbox(t, { faults: { stu: 4, exportOperation: 'export-v4' } });
  assert.equal((await kickoff(sbx)).status, 404, '$export is $export-v4 here');
  const headers = { accept: 'application/fhir+json', prefer: 'respond-async' };
  const body = (...types) => JSON.stringify({ resourceType: 'Parameters', parameter: types.map((valueString) => ({ name: '_type', valueString })) });
  const url = `${sbx.url}/$export-v4`;
  assert.equal((await request(url, { headers })).status, 405);
  const post = (...types) => request(url, { method: 'POST', headers: { ...headers, 'content-type': 'application/fhir+json' }, body: body(...types) });
  assert.deepEqual([(await post('Patient', 'Device')).status, (await post('Patient,Device')).status], [202, 400]);
});

test('manifestPage, repeatErrors, pagePending, pageFail, driftingTime, cyclicLink', async (t) => {
  const sbx = await sandbox(t, { faults: { manifestPage: 8, errors: 1, repeatErrors: true, pagePending: 2, driftingTime: true } });
  const pages = [await manifestOf(sbx)];
  const next = ({ link }) => link.find(({ relation }) => relation === 'next')?.url;
  while (next(pages.at(-1))) {
    const url = next(pages.at(-1));
    assert.deepEqual([(await request(url)).status, (await request(url)).status], [202, 202]);
    pages.push((await request(url)).json);
  }
  assert.deepEqual(pages.map(({ output }) => output.length), [8, 8, 3]);
  assert.equal(new Set(pages.flatMap(({ output }) => output.map(({ url }) => url))).size, 19);
  assert.equal(new Set(pages.map(({ error }) => error[0].url)).size, 1);
  assert.equal(new Set(pages.map(({ transactionTime }) => transactionTime)).size, 3);
  sbx.setFaults({ pending: 0, manifestPage: 10, emptyPage: 1 });
  const start = await manifestOf(sbx);
  const rest = (await request(next(start))).json;
  assert.deepEqual([start.output.length, rest.output.length, (await request(next(rest))).json.output.length], [0, 10, 9]);
  sbx.setFaults({ pending: 0, manifestPage: 10, cyclicLink: true, pageFail: '500:processing' });
  const first = await manifestOf(sbx);
  const failed = await request(next(first));
  assert.deepEqual([failed.status, failed.json.issue[0].code], [500, 'processing']);
  const second = (await request(next(first))).json;
  const again = (await request(next(second))).json;
  assert.deepEqual([second.output.length, again], [9, first]);
});

test('manifestOmit, manifestExtension, manifestType, manifestFormat, requiresAccessToken', async (t) => {
  const sbx = await sandbox(t);
  const manifest = (faults) => {
    sbx.setFaults({ pending: 0, ...faults });
    return manifestOf(sbx, '', '_type=Patient');
  };
  assert.deepEqual(Object.keys(await manifest({ manifestOmit: 'request,error,deleted,transactionTime' })), ['requiresAccessToken', 'output']);
  assert.deepEqual((await manifest({ manifestExtension: 'object' })).output[0].extension, { 'https://example.org/extra-property': true });
  assert.ok(Array.isArray((await manifest({ manifestExtension: 'array' })).extension));
  assert.match((await manifest({ manifestExtension: 'decrypt-key' })).output[0].extension[0].url, /decryption-key/);
  const odd = await manifest({ manifestType: 'export', manifestFormat: 'text/csv' });
  assert.deepEqual([odd.manifestType, odd.outputFormat], ['export', 'text/csv']);
  for (const [value, expected] of [['auto', false], ['true', true], ['false', false], ['string', 'true'], ['absent', undefined]]) {
    assert.equal((await manifest({ requiresAccessToken: value })).requiresAccessToken, expected);
  }
});

test('expires, empty, urlStyle, sameBasename, hostileTypes, duplicateEntries, continuation', async (t) => {
  const sbx = await sandbox(t, { faults: { expires: 'garbage' } });
  const status = async (faults, query = '') => {
    sbx.setFaults({ pending: 0, ...faults });
    return request((await kickoff(sbx, '', query)).headers['content-location']);
  };
  const expires = async (value) => (await status({ expires: value })).headers.expires;
  assert.deepEqual([await expires('none'), await expires('garbage')], [undefined, 'when the moon is full']);
  assert.match(await expires('iso'), /^\d{4}-\d\d-\d\dT/);
  assert.match(await expires('date'), /GMT$/);
  assert.deepEqual((await status({ empty: true })).json.output, []);
  const relative = (await status({ urlStyle: 'relative' })).json.output[0].url;
  assert.match(relative, /^\/fhir\/bulkfiles\//);
  assert.equal((await request(sbx.origin + relative)).status, 200);
  assert.match((await status({ urlStyle: 'file' })).json.output[0].url, /^file:\/\/\/fhir/);
  const same = (await status({ sameBasename: true })).json.output;
  assert.deepEqual([new Set(same.map(({ url }) => path.basename(url))).size, new Set(same.map(({ url }) => url)).size], [1, 19]);
  assert.equal((await status({ hostileTypes: true })).json.output[0].type, '../../x');
  const twice = (await status({ duplicateEntries: true })).json.output;
  assert.deepEqual([twice.length, twice[0]], [38, twice[1]]);
  const dangling = (await status({ danglingContinuation: true })).json.output;
  assert.ok(dangling.slice(0, -1).every(({ continuesInFile }) => continuesInFile === undefined));
  assert.equal((await request(dangling.at(-1).continuesInFile)).status, 404);
});

test('countOff, noCounts, errorCount, fileSize, errors, errorSeverity', async (t) => {
  const sbx = await sandbox(t);
  const manifest = (faults) => {
    sbx.setFaults({ pending: 0, ...faults });
    return manifestOf(sbx, '', '_type=Patient');
  };
  assert.equal((await manifest({ countOff: 1 })).output[0].count, 11);
  assert.equal((await manifest({ noCounts: true })).output[0].count, undefined);
  const entry = (await manifest({ fileSize: 'right' })).output[0];
  assert.equal(entry.fileSize, (await request(entry.url)).bytes.length);
  assert.equal((await manifest({ fileSize: 'right', page: 5 })).output.reduce((sum, { fileSize }) => sum + fileSize, 0), entry.fileSize);
  assert.notEqual((await manifest({ fileSize: 'wrong' })).output[0].fileSize, entry.fileSize);
  const { error } = await manifest({ errors: 3, errorSeverity: 'error+warning', errorCount: 639 });
  assert.deepEqual(error.map(({ count }) => count), [639, 639, 639]);
  const severities = [];
  for (const one of error) severities.push(JSON.parse((await linesOf(one))[0]).issue[0].severity);
  assert.deepEqual(severities, ['error', 'warning', 'error']);
});

test('deleted and deletedPost: part of the rows as transaction Bundles, only with _since', async (t) => {
  const sbx = await sandbox(t, { faults: { deleted: 30, deletedPost: true } });
  assert.deepEqual((await manifestOf(sbx, '', '_type=Patient')).deleted, []);
  const { output, deleted } = await manifestOf(sbx, '', '_type=Patient&_since=2000-01-01T00:00:00Z');
  assert.deepEqual([output[0].count, deleted.length, deleted[0].count], [7, 1, 2]);
  const entries = (await linesOf(deleted[0])).flatMap((line) => JSON.parse(line).entry);
  const gone = entries.filter(({ request: { method } }) => method === 'DELETE').map(({ request: { url } }) => url);
  const kept = (await linesOf(output[0])).map((line) => `Patient/${JSON.parse(line).id}`);
  assert.deepEqual([...gone, ...kept].sort(), resources('Patient').map(({ id }) => `Patient/${id}`).sort());
  assert.equal(entries.filter(({ request: { method } }) => method === 'POST').length, 1);
});

test('deleteStatus', async (t) => {
  const sbx = await sandbox(t);
  for (const [code, later] of [[202, 404], [200, 404], [204, 404], [404, 404], [500, 200]]) {
    sbx.setFaults({ pending: 0, deleteStatus: code });
    const url = (await kickoff(sbx, '', '_type=Patient')).headers['content-location'];
    assert.deepEqual([(await request(url, { method: 'DELETE' })).status, (await request(url)).status], [code, later]);
  }
});

test('searchFail, readFail, groupFail, searchPage, latency', async (t) => {
  const sbx = await sandbox(t, { faults: { searchFail: '504', readFail: '500', groupFail: '403*', searchPage: 4, latency: 120 } });
  assert.equal((await request(`${sbx.url}/Patient`)).status, 504);
  const page = await request(`${sbx.url}/Patient`);
  assert.deepEqual([page.json.entry.length, page.json.total], [4, 10]);
  const one = `${sbx.url}/Patient/${resources('Patient')[0].id}`;
  assert.deepEqual([(await request(one)).status, (await request(one)).status], [500, 200]);
  assert.deepEqual([(await request(`${sbx.url}/Group`)).status, (await request(`${sbx.url}/Group/all`)).status, (await kickoff(sbx, '/Group/all')).status], [403, 403, 202]);
  const before = Date.now();
  await request(`${sbx.url}/metadata`);
  assert.ok(Date.now() - before >= 115);
});
