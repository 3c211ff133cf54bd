import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { FIXTURE, fixtureFiles, kickoff, linesOf, manifestOf, postKickoff, request, resources, sandbox } from './helpers.mjs';

const names = (manifest) => manifest.output.map(({ url }) => path.basename(url, '.ndjson'));

test('system level: every file of the folder, byte for byte, identity and gzip', async (t) => {
  const sbx = await sandbox(t);
  const expected = fixtureFiles();
  const manifest = await manifestOf(sbx);
  assert.deepEqual(names(manifest).sort(), [...expected.keys()]);
  for (const entry of manifest.output) {
    const bytes = expected.get(path.basename(entry.url, '.ndjson'));
    const plain = await request(entry.url);
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(Number(plain.headers['content-length']), bytes.length);
    assert.deepEqual(plain.bytes, bytes);
    const packed = await request(entry.url, { headers: { 'accept-encoding': 'gzip, deflate' } });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.deepEqual(gunzipSync(packed.bytes), bytes);
    assert.equal(entry.count, bytes.toString('utf8').split('\n').length - 1);
  }
});

test('Patient level has the shared resources too; Group level the members only', async (t) => {
  const sbx = await sandbox(t);
  const patients = await manifestOf(sbx, '/Patient');
  assert.deepEqual(names(patients).sort(), [...fixtureFiles().keys()]);
  const groups = (await request(`${sbx.url}/Group`)).json.entry.map(({ resource }) => resource);
  const half = groups.find(({ id }) => id === 'first-half');
  const members = new Set(half.member.map(({ entity }) => entity.reference));
  assert.equal(members.size, 5);
  const manifest = await manifestOf(sbx, '/Group/first-half');
  assert.ok(!manifest.output.some(({ type }) => ['Organization', 'Practitioner', 'Group'].includes(type)));
  for (const entry of manifest.output) {
    const lines = (await linesOf(entry)).map((line) => JSON.parse(line));
    assert.equal(lines.length, entry.count);
    for (const line of lines) {
      const owner = line.resourceType === 'Patient' ? `Patient/${line.id}` : (line.subject ?? line.patient).reference;
      assert.ok(members.has(owner), `${line.resourceType}/${line.id} of ${owner}`);
    }
  }
  const conditions = manifest.output.find(({ type }) => type === 'Condition').count;
  assert.equal(conditions, resources('Condition').filter(({ subject }) => members.has(subject.reference)).length);
});

test('a group without members exports nothing; an unknown one is 404', async (t) => {
  const sbx = await sandbox(t);
  assert.deepEqual((await manifestOf(sbx, '/Group/nobody')).output, []);
  const unknown = await kickoff(sbx, '/Group/none-such');
  assert.equal(unknown.status, 404);
  assert.equal(unknown.json.issue[0].code, 'not-found');
});

test('lines of a part are exactly lines of the folder', async (t) => {
  const sbx = await sandbox(t, { faults: { page: 100 } });
  const { output } = await manifestOf(sbx, '', '_type=Observation');
  assert.deepEqual(output.map(({ count }) => count), [...Array(10).fill(100), 6]);
  const sent = [];
  for (const entry of output) sent.push((await request(entry.url)).bytes);
  const expected = fixtureFiles();
  assert.deepEqual(Buffer.concat(sent), Buffer.concat([expected.get('Observation.001'), expected.get('Observation.002')]));
});

test('_type: repeated or by comma; what the server has none of is refused', async (t) => {
  const sbx = await sandbox(t);
  assert.deepEqual(names(await manifestOf(sbx, '', '_type=Patient,Device')).sort(), ['Device.001', 'Patient.001']);
  assert.deepEqual(names(await manifestOf(sbx, '', '_type=Patient&_type=Device')).sort(), ['Device.001', 'Patient.001']);
  const refused = await kickoff(sbx, '', '_type=Patient,EpisodeOfCare');
  assert.equal(refused.status, 400);
  assert.match(refused.json.issue[0].diagnostics, /EpisodeOfCare/);
  const lenient = await kickoff(sbx, '', '_type=Patient,EpisodeOfCare', { headers: { prefer: 'respond-async, handling=lenient' } });
  assert.equal(lenient.status, 202);
  assert.match(lenient.json.issue[1].diagnostics, /EpisodeOfCare/);
});

test('_typeFilter: alternatives of one type, commas written %2C', async (t) => {
  const sbx = await sandbox(t);
  const count = async (query) => (await manifestOf(sbx, '', query)).output.reduce((sum, entry) => sum + entry.count, 0);
  const having = (...codes) => resources('Observation').filter(({ category }) => codes.includes(category[0].coding[0].code)).length;
  const filter = (text) => `_typeFilter=${encodeURIComponent(text)}`;
  assert.ok(having('vital-signs') > 0 && having('laboratory') > 0);
  assert.equal(await count(`_type=Observation&${filter('Observation?category=vital-signs')}`), having('vital-signs'));
  assert.equal(await count(`_type=Observation&${filter('Observation?category=vital-signs')}&${filter('Observation?category=laboratory')}`), having('vital-signs', 'laboratory'));
  assert.equal(await count(`_type=Observation&${filter('Observation?category=vital-signs%2Claboratory')}`), having('vital-signs', 'laboratory'));
  assert.equal((await kickoff(sbx, '', `_type=Observation&${filter('Observation?category=vital-signs,laboratory')}`)).status, 400);
  for (const bad of ['Observation', 'Observation?_count=3', 'Observation?colour=red', 'Patient?gender=male']) {
    assert.equal((await kickoff(sbx, '', `_type=Observation&${filter(bad)}`)).status, 400, bad);
  }
});

test('_since and _until go by lastUpdated; instants only', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 8 });
  const all = (await manifestOf(sbx, '', '_type=Observation')).output[0];
  const times = (await linesOf(all)).map((line) => Date.parse(JSON.parse(line).meta.lastUpdated)).sort();
  const middle = new Date(times[Math.floor(times.length / 2)]).toISOString();
  const after = (await manifestOf(sbx, '', `_type=Observation&_since=${middle}`)).output[0].count;
  const before = (await manifestOf(sbx, '', `_type=Observation&_until=${middle}`)).output[0].count;
  assert.equal(after, times.filter((time) => time >= Date.parse(middle)).length);
  assert.equal(before + after, all.count);
  for (const bad of ['2020-01-01', '2020-01-01T00:00:00+05:00', '2999-01-01T00:00:00Z']) {
    assert.equal((await kickoff(sbx, '', `_since=${bad}`)).status, 400, `${bad} (a raw + is a space)`);
  }
  assert.equal((await kickoff(sbx, '', `_since=${encodeURIComponent('2020-01-01T00:00:00+05:00')}`)).status, 202);
});

test('_elements: subset, tagged', async (t) => {
  const sbx = await sandbox(t);
  const { output } = await manifestOf(sbx, '', '_type=Patient&_elements=id,Patient.gender');
  for (const line of await linesOf(output[0])) {
    const resource = JSON.parse(line);
    assert.deepEqual(Object.keys(resource).sort(), ['gender', 'id', 'meta', 'resourceType']);
    assert.equal(resource.meta.tag[0].code, 'SUBSETTED');
  }
});

test('POST: Parameters with typed values, patient cohorts', async (t) => {
  const sbx = await sandbox(t);
  const id = resources('Patient')[0].id;
  const started = await postKickoff(sbx, '/Patient', [
    { name: '_type', valueString: 'Patient' }, { name: '_type', valueString: 'Condition' }, { name: 'patient', valueReference: { reference: `Patient/${id}` } },
  ]);
  assert.equal(started.status, 202);
  const { output } = (await request(started.headers['content-location'])).json;
  assert.deepEqual(output.map(({ count }) => count), [1, resources('Condition').filter(({ subject }) => subject.reference === `Patient/${id}`).length]);
  const patient = { name: 'patient', valueReference: { reference: `Patient/${id}` } };
  assert.equal((await postKickoff(sbx, '', [patient])).status, 400, 'not at system level');
  assert.equal((await postKickoff(sbx, '/Patient', [{ name: '_since', valueString: '2020-01-01T00:00:00Z' }])).status, 400, 'wrong value type');
  assert.equal((await postKickoff(sbx, '/Group/second-half', [patient])).status, 400, 'not a member');
  assert.equal((await kickoff(sbx, '/Patient', `patient=${id}`)).status, 400, 'not in GET');
});

test('the headers of a kick-off are asked for exactly', async (t) => {
  const sbx = await sandbox(t);
  for (const headers of [{ accept: 'application/json' }, { accept: 'application/fhir+json, */*' }, { prefer: 'return=minimal' }]) {
    assert.equal((await kickoff(sbx, '', '', { headers })).status, 400);
  }
  assert.equal((await kickoff(sbx, '', '', { headers: { prefer: 'respond-async, handling=lenient' } })).status, 202);
});

test('status: 202 with progress and Retry-After, then the manifest; DELETE, then 404', async (t) => {
  const sbx = await sandbox(t, { faults: { pending: 2 } });
  const url = (await kickoff(sbx)).headers['content-location'];
  for (const progress of ['33% complete', '66% complete']) {
    const running = await request(url);
    assert.deepEqual([running.status, running.headers['retry-after'], running.headers['x-progress']], [202, '1', progress]);
  }
  const done = await request(url);
  assert.equal(done.status, 200);
  assert.ok(Date.parse(done.headers.expires) > Date.now());
  assert.deepEqual(Object.keys(done.json), ['transactionTime', 'request', 'requiresAccessToken', 'output', 'error', 'deleted']);
  assert.equal(done.json.requiresAccessToken, false);
  assert.equal((await request(url, { method: 'DELETE' })).status, 202);
  const after = await request(url);
  assert.deepEqual([after.status, after.json.resourceType], [404, 'OperationOutcome']);
  assert.equal((await request(done.json.output[0].url)).status, 404);
});

test('organizeOutputBy=Patient: blocks behind headers, continued in the next file', async (t) => {
  const sbx = await sandbox(t, { faults: { page: 700 } });
  const { output, outputOrganizedBy } = await manifestOf(sbx, '/Patient', 'organizeOutputBy=Patient&_type=Patient,Observation');
  assert.equal(outputOrganizedBy, 'Patient');
  assert.ok(output.length > 1 && output.every((entry) => entry.type === undefined));
  let patient = null;
  let total = 0;
  for (const [index, entry] of output.entries()) {
    if (index > 0 && output[index - 1].continuesInFile) assert.equal(output[index - 1].continuesInFile, entry.url);
    let lines = 0;
    for (const line of (await linesOf(entry)).map((text) => JSON.parse(text))) {
      if (line.resourceType === 'Parameters') {
        if (lines === 0 && index > 0 && output[index - 1].continuesInFile) assert.equal(line.parameter[0].valueReference.reference, patient);
        patient = line.parameter[0].valueReference.reference;
        continue;
      }
      assert.equal(line.resourceType === 'Patient' ? `Patient/${line.id}` : line.subject.reference, patient);
      lines++;
    }
    assert.equal(lines, entry.count);
    total += lines;
  }
  assert.equal(total, resources('Patient').length + resources('Observation').length);
  assert.ok(output.some(({ continuesInFile }) => continuesInFile));
});

test('generated data: the same for the same seed, all types there', async (t) => {
  const [one, two, three] = [await sandbox(t, { data: undefined, port: 0 }), await sandbox(t, { data: undefined }), await sandbox(t, { data: undefined, seed: 2 })];
  const contents = async (sbx) => {
    const { output } = await manifestOf(sbx);
    const types = {};
    for (const entry of output) types[entry.type] = (await request(entry.url)).text.replaceAll(sbx.origin, '');
    return types;
  };
  const [a, b, c] = [await contents(one), await contents(two), await contents(three)];
  assert.deepEqual(a, b);
  assert.notDeepEqual(a, c);
  assert.deepEqual(Object.keys(a).sort(), ['AllergyIntolerance', 'Binary', 'Condition', 'Device', 'DiagnosticReport', 'DocumentReference', 'Encounter', 'EpisodeOfCare', 'Group',
    'Immunization', 'Location', 'Medication', 'MedicationDispense', 'MedicationRequest', 'Observation', 'Organization', 'Patient', 'Practitioner', 'PractitionerRole', 'Procedure', 'ServiceRequest', 'Specimen']);
});

test('setData with a revision: new, changed, merged and deleted patients, stamped now', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 6 });
  const first = await manifestOf(sbx, '', '_type=Patient,Observation,Condition');
  const ids = async (manifest, type) => (await linesOf(manifest.output.find((entry) => entry.type === type))).map((line) => JSON.parse(line).id);
  const since = `_since=${encodeURIComponent(first.transactionTime)}`;
  assert.deepEqual((await manifestOf(sbx, '', `_type=Patient,Observation&${since}`)).output, []);
  const [patientsBefore, conditionsBefore] = [await ids(first, 'Patient'), await ids(first, 'Condition')];

  await sbx.setData({ revision: 1 });
  const update = await manifestOf(sbx, '', `_type=Patient,Observation,Condition&${since}`);
  assert.deepEqual(await ids(update, 'Patient'), ['pt-000001', 'pt-000003', 'pt-000007']);
  const observations = await ids(update, 'Observation');
  assert.ok(observations.includes('pt-000002-obs-revision-1') && observations.some((id) => id.startsWith('pt-000007-')));
  assert.ok(observations.every((id) => /^pt-00000[27]-/.test(id)));
  const deleted = (await linesOf(update.deleted[0])).flatMap((line) => JSON.parse(line).entry.map((entry) => entry.request.url));
  assert.ok(deleted.includes('Patient/pt-000004') && deleted.some((url) => url.startsWith('Condition/pt-000004-')));
  assert.ok(deleted.every((url) => /^(Patient|Observation|Condition)\/pt-000004/.test(url)));

  const whole = await manifestOf(sbx, '', '_type=Patient,Condition');
  assert.deepEqual(await ids(whole, 'Patient'), [...patientsBefore.filter((id) => id !== 'pt-000004'), 'pt-000007']);
  assert.deepEqual((await ids(whole, 'Condition')).filter((id) => !id.startsWith('pt-000007')), conditionsBefore.filter((id) => !id.startsWith('pt-000004')));
  const links = (await linesOf(whole.output[0])).map((line) => JSON.parse(line)).filter(({ link }) => link).map(({ id, link: [{ type, other }] }) => [id, type, other.reference]);
  assert.deepEqual(links, [['pt-000001', 'replaces', 'Patient/pt-000003'], ['pt-000003', 'replaced-by', 'Patient/pt-000001']]);
  assert.equal((await linesOf(first.output[0])).length, 6, 'an old job still has its old data');
});

test('setData with a stamp and with another folder: changes and deletions at a time of choice', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 3 });
  await sbx.setData({ revision: 1, stamp: '2025-03-01T00:00:00.000+00:00' });
  const types = '_type=Patient,Condition';
  assert.deepEqual((await manifestOf(sbx, '', `${types}&_since=2025-03-02T00:00:00Z`)).output, []);
  const update = await manifestOf(sbx, '', `${types}&_since=2025-02-28T00:00:00Z`);
  assert.ok((await linesOf(update.output[0])).every((line) => JSON.parse(line).meta.lastUpdated === '2025-03-01T00:00:00.000+00:00'));

  await sbx.setData({ data: FIXTURE, deleted: ['Patient/gone', 'Observation/gone'], stamp: '2025-06-01T00:00:00Z' });
  const deleted = async (since) => (await manifestOf(sbx, '', `${types}&_since=${since}`)).deleted ?? [];
  assert.deepEqual(await deleted('2025-07-01T00:00:00Z'), []);
  assert.match((await linesOf((await deleted('2025-05-01T00:00:00Z'))[0])).join(), /"url":"Patient\/gone"/);
});

test('alwaysWhole: all Patients come whatever _since and _lastUpdated say, other types do not', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 3, faults: { alwaysWhole: 'Patient' } });
  const { output } = await manifestOf(sbx, '', '_type=Patient,Condition&_since=2025-01-01T00:00:00Z');
  assert.deepEqual(output.map(({ type, count }) => [type, count]), [['Patient', 3]]);
  const found = async (query) => (await request(`${sbx.url}/${query}`)).json.total;
  assert.equal(await found('Patient?_id=pt-000001&_lastUpdated=gt2025-01-01'), 1);
  assert.equal(await found('Condition?patient=pt-000001&_lastUpdated=gt2025-01-01'), 0);
});
