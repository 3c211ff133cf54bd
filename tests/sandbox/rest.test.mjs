import assert from 'node:assert/strict';
import test from 'node:test';
import { fixtureFiles, request, resources, sandbox } from './helpers.mjs';

test('search by patient, and paging by next links, loses and repeats nothing', async (t) => {
  const sbx = await sandbox(t);
  const patient = resources('Patient')[1].id;
  const mine = resources('Observation').filter(({ subject }) => subject.reference === `Patient/${patient}`).map(({ id }) => id);
  assert.ok(mine.length > 10);
  const found = [];
  let pages = 0;
  for (let url = `${sbx.url}/Observation?patient=${patient}&_count=7`; url; pages++) {
    const { json } = await request(url);
    assert.equal(json.total, mine.length);
    found.push(...json.entry.map(({ resource }) => resource.id));
    url = json.link.find(({ relation }) => relation === 'next')?.url;
  }
  assert.equal(pages, Math.ceil(mine.length / 7));
  assert.deepEqual(found, mine);
});

test('resources in a Bundle are the stored bytes; so is a read', async (t) => {
  const sbx = await sandbox(t);
  const line = fixtureFiles().get('Patient.001').toString('utf8').split('\n')[0];
  const { id } = JSON.parse(line);
  assert.ok((await request(`${sbx.url}/Patient?_id=${id}`)).text.includes(`"resource":${line}`));
  assert.equal((await request(`${sbx.url}/Patient/${id}`)).text, line);
  const missing = await request(`${sbx.url}/Patient/none`);
  assert.deepEqual([missing.status, missing.json.issue[0].code], [404, 'not-found']);
});

test('search parameters: token, reference, date, identifier, _lastUpdated, alternatives', async (t) => {
  const sbx = await sandbox(t);
  const total = async (query) => (await request(`${sbx.url}/${query}`)).json.total;
  const all = resources('Observation');
  const patient = resources('Patient')[0];
  const mine = all.filter(({ subject }) => subject.reference === `Patient/${patient.id}`);
  const of = (...codes) => mine.filter(({ category }) => codes.includes(category[0].coding[0].code)).length;
  assert.equal(await total(`Observation?patient=Patient/${patient.id}&category=vital-signs,laboratory`), of('vital-signs', 'laboratory'));
  assert.equal(await total(`Observation?patient=${patient.id}&category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory`), of('laboratory'));
  assert.equal(await total(`Observation?patient=${patient.id}&category=urn:other|laboratory`), 0);
  assert.equal(await total('Observation?code=http://loinc.org|8302-2'), all.filter(({ code }) => code.coding[0].code === '8302-2').length);
  assert.equal(await total('Observation?date=ge2015-01-01'), all.filter(({ effectiveDateTime }) => Date.parse(effectiveDateTime) >= Date.UTC(2015)).length);
  assert.equal(await total('Observation?issued=gt2015&issued=lt2017'), all.filter(({ issued }) => Date.parse(issued) >= Date.UTC(2016) && Date.parse(issued) < Date.UTC(2017)).length);
  assert.equal(await total(`Patient?identifier=http://hospital.smarthealthit.org|${patient.id}`), 1);
  assert.equal(await total(`Patient?identifier=urn:other|${patient.id}`), 0);
  assert.equal(await total(`Patient?_id=${patient.id},${resources('Patient')[3].id}`), 2);
  assert.equal(await total('Observation?_lastUpdated=gt2999-01-01'), 0);
  assert.equal(await total('Observation?_lastUpdated=le2999-01-01T00:00:00Z'), all.length);
  assert.equal(await total('Observation?_summary=count'), all.length);
  assert.equal(await total('EpisodeOfCare'), 0);
});

test('POST _search; what a search cannot have is 400', async (t) => {
  const sbx = await sandbox(t, { faults: { noSearchParams: 'category' } });
  const posted = await request(`${sbx.url}/Patient/_search`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'gender=male&_count=3' });
  assert.equal(posted.json.total, resources('Patient').filter(({ gender }) => gender === 'male').length);
  for (const query of ['Observation?category=laboratory', 'Observation?colour=red', 'Observation?date=yesterday', 'Patient?gender:near=x', 'Patient?_count=-1']) {
    const { status, json } = await request(`${sbx.url}/${query}`);
    assert.deepEqual([status, json.resourceType], [400, 'OperationOutcome'], query);
  }
  const { rest: [rest] } = (await request(`${sbx.url}/metadata`)).json;
  assert.ok(!rest.resource.find(({ type }) => type === 'Observation').searchParam.some(({ name }) => name === 'category'));
  assert.ok(rest.resource.find(({ type }) => type === 'Observation').searchParam.some(({ name }) => name === '_lastUpdated'));
});

test('Group: search, read, members', async (t) => {
  const sbx = await sandbox(t);
  const bundle = (await request(`${sbx.url}/Group?name=sandbox`)).json;
  assert.deepEqual(bundle.entry.map(({ resource }) => resource.id).sort(), ['all', 'first-half', 'nobody', 'second-half']);
  assert.equal((await request(`${sbx.url}/Group/all`)).json.member.length, 10);
  assert.equal((await request(`${sbx.url}/Group/none`)).status, 404);
});

test('Binary: raw by its media type, as a resource by FHIR JSON, and everything a note points at', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 12, secondOrigin: true });
  const notes = (await request(`${sbx.url}/DocumentReference?_count=1000`)).json.entry.map(({ resource }) => resource.content[0].attachment);
  const urls = notes.filter(({ url }) => url).map(({ url }) => url);
  assert.ok(notes.some(({ data }) => data) && notes.some(({ contentType }) => !contentType));
  assert.deepEqual(['Binary/', `${sbx.url}/Binary/`, `${sbx.otherOrigin}/attachments/`].map((start) => urls.some((url) => url.startsWith(start))), [true, true, true]);
  for (const { url, size, contentType } of notes.filter((note) => note.url)) {
    const absolute = url.startsWith('http') ? url : `${sbx.url}/${url}`;
    const raw = await request(absolute, { headers: { accept: contentType ?? '*/*' } });
    assert.deepEqual([raw.status, raw.bytes.length], [200, size]);
    if (contentType) assert.equal(raw.headers['content-type'], contentType);
    if (!absolute.includes('/Binary/')) continue;
    const wrapped = (await request(absolute, { headers: { accept: 'application/fhir+json' } })).json;
    assert.equal(wrapped.resourceType, 'Binary');
    assert.deepEqual(Buffer.from(wrapped.data, 'base64'), raw.bytes);
  }
});

test('binaryAsFhir; an attachment elsewhere that asks for a token', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 3, secondOrigin: true, faults: { binaryAsFhir: true, otherOriginToken: true } });
  const { id } = (await request(`${sbx.url}/Binary?_count=1`)).json.entry[0].resource;
  assert.equal((await request(`${sbx.url}/Binary/${id}`, { headers: { accept: 'text/plain' } })).json.resourceType, 'Binary');
  assert.equal((await request(`${sbx.otherOrigin}/attachments/${id}`)).status, 401);
  assert.equal((await request(`${sbx.otherOrigin}/attachments/${id}`, { headers: { authorization: 'Bearer x' } })).status, 200);
});

test('every reference of generated data resolves, but for the foreign one', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 12 });
  const types = (await request(`${sbx.url}/metadata`)).json.rest[0].resource.map(({ type }) => type);
  const known = new Set();
  const references = new Set();
  for (const type of types) {
    const { entry } = (await request(`${sbx.url}/${type}?_count=1000`)).json;
    for (const { resource } of entry) known.add(`${type}/${resource.id}`);
    for (const [, reference] of JSON.stringify(entry).matchAll(/"reference":"([^"]+)"/g)) references.add(reference);
  }
  assert.deepEqual([...references].filter((reference) => !known.has(reference)), ['https://other-ehr.example/fhir/Practitioner/77']);
  const merged = (await request(`${sbx.url}/Patient/pt-000009`)).json.link[0];
  assert.deepEqual(merged, { other: { reference: 'Patient/pt-000010' }, type: 'replaces' });
  assert.equal((await request(`${sbx.url}/PractitionerRole?practitioner=prac-1`)).json.total, 1);
});

test('gzip where asked, cross-origin headers by mode', async (t) => {
  const full = await sandbox(t);
  const preflight = { method: 'OPTIONS', headers: { origin: 'https://app.example', 'access-control-request-headers': 'authorization,prefer' } };
  assert.equal((await request(`${full.url}/Patient`, { headers: { 'accept-encoding': 'gzip' } })).headers['content-encoding'], 'gzip');
  assert.equal((await request(`${full.url}/Patient`, { headers: { 'accept-encoding': 'gzip;q=0' } })).headers['content-encoding'], undefined);
  const allowed = await request(`${full.url}/$export`, preflight);
  assert.deepEqual([allowed.status, allowed.headers['access-control-allow-headers']], [204, 'authorization,prefer']);
  const answer = await request(`${full.url}/Patient?_count=1`, { headers: { origin: 'https://app.example' } });
  assert.match(answer.headers['access-control-expose-headers'], /Content-Location.*Retry-After.*X-Progress/);
  const hidden = await sandbox(t, { cors: 'no-expose' });
  const shy = await request(`${hidden.url}/Patient?_count=1`, { headers: { origin: 'https://app.example' } });
  assert.deepEqual([shy.headers['access-control-allow-origin'], shy.headers['access-control-expose-headers']], ['*', undefined]);
  const none = await sandbox(t, { cors: 'none' });
  assert.equal((await request(`${none.url}/$export`, preflight)).status, 400);
  assert.equal((await request(`${none.url}/Patient?_count=1`, { headers: { origin: 'https://app.example' } })).headers['access-control-allow-origin'], undefined);
});

test('ignoreSearchParams: a search is answered for anybody, and its self link says so', async (t) => {
  const sbx = await sandbox(t, { faults: { ignoreSearchParams: 'Condition.patient,_sort' } });
  const total = async (path) => {
    const { total, link } = await (await fetch(`${sbx.url}/${path}`)).json();
    return [total, link.find(({ relation }) => relation === 'self').url.slice(sbx.url.length + 1)];
  };
  const [all] = await total('Condition');
  assert.deepEqual(await total('Condition?patient=nobody'), [all, 'Condition']);
  assert.deepEqual(await total('Condition?patient=nobody&_count=7&_sort=x'), [all, 'Condition?_count=7']);
  assert.deepEqual(await total('Encounter?patient=nobody'), [0, 'Encounter?patient=nobody']);
});

test('searches about some patients fail, and no others', async (t) => {
  const [ill, well] = resources('Patient').map(({ id }) => id);
  const sbx = await sandbox(t, { faults: { searchFailFor: [ill] } });
  const { status, json } = await request(`${sbx.url}/Condition?patient=Patient/${ill}`);
  assert.deepEqual([status, json.issue[0].code], [500, 'exception']);
  assert.equal((await request(`${sbx.url}/Condition?patient=${well}`)).status, 200);
  assert.equal((await request(`${sbx.url}/Patient?_id=${ill}`)).status, 200);
});
