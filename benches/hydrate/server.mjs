// A server of single resources that answers at once: `GET {base}/Type/id` and `Type?_id=a,b`, each resource made on the spot.
// A program of its own, so that its work is not that of who measures. Prints its base URL; `--search` lists searches by `_id`.
import http from 'node:http';

const search = process.argv.includes('--search');
const FILLER = 'x'.repeat(600);
const resource = (type, id) => `{"resourceType":"${type}","id":"${id}","status":"active","code":{"text":"${FILLER}"}}`;
const listed = (type) => ({ type, interaction: [{ code: 'read' }, { code: 'search-type' }], searchParam: search ? [{ name: '_id', type: 'token' }] : [] });
const capability = JSON.stringify({
  resourceType: 'CapabilityStatement', status: 'active', kind: 'instance', fhirVersion: '4.0.1', format: ['json'],
  rest: [{ mode: 'server', resource: ['Medication', 'MedicationRequest', 'Practitioner'].map(listed) }],
});

function answer(url) {
  const [path, query = ''] = url.split('?');
  if (path === '/fhir/metadata') return capability;
  const [, , type, id] = path.split('/');
  if (id) return resource(type, id);
  const ids = new URLSearchParams(query).get('_id').split(',');
  return `{"resourceType":"Bundle","type":"searchset","entry":[${ids.map((one) => `{"resource":${resource(type, one)}}`).join(',')}]}`;
}

const server = http.createServer((request, response) => {
  const body = answer(request.url);
  response.writeHead(200, { 'Content-Type': 'application/fhir+json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/fhir`));
