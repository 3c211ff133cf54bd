// What the programs fetch from: nginx where there is one, since it costs the least, else the embedded sandbox.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Failure, root, run } from '../../scripts/lib/run.mjs';

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** For pages of another origin. nginx takes what a location adds in place of what its server adds, so each has it. */
const CORS = `add_header Access-Control-Allow-Origin * always; add_header Access-Control-Expose-Headers * always;
      if ($request_method = OPTIONS) {
        add_header Access-Control-Allow-Origin * always; add_header Access-Control-Allow-Headers '*' always; add_header Access-Control-Allow-Methods '*' always;
        return 204;
      }`;

/** A bulk export that is done from the start needs no program: kick-off, status and manifest are fixed answers. */
function nginxConfig({ port, folder, data, coding }) {
  return `${process.getuid?.() === 0 ? 'user root;' : ''} # else its worker may not read the cache folder
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  types { application/fhir+ndjson ndjson; }
  server {
    listen 127.0.0.1:${port};
    location = /fhir/metadata { ${CORS} default_type application/fhir+json; alias ${folder}/metadata.json; }
    location = /fhir/$export { ${CORS} add_header Content-Location http://127.0.0.1:${port}/status always; return 202; }
    location = /status {
      ${CORS}
      if ($request_method = DELETE) { return 202; }
      default_type application/json; alias ${folder}/manifest.json;
    }
    location /files/ { ${CORS} alias ${data}/; gzip_static ${coding === 'gzip' ? 'on' : 'off'}; gzip_vary on; }
  }
}
`;
}

function writeAnswers({ port, folder, lines }) {
  writeFileSync(join(folder, 'metadata.json'), JSON.stringify({
    resourceType: 'CapabilityStatement', status: 'active', kind: 'instance', fhirVersion: '4.0.1', format: ['json'],
    rest: [{ mode: 'server', resource: [{ type: 'Observation' }] }],
  }));
  const output = [...lines].map(([name, count]) => ({ type: 'Observation', url: `http://127.0.0.1:${port}/files/${name}`, count }));
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({
    transactionTime: new Date().toISOString(), request: `http://127.0.0.1:${port}/fhir/$export`, requiresAccessToken: false, output, error: [],
  }));
}

async function startNginx({ data, coding, cache, lines, version }) {
  const folder = join(cache, 'nginx');
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  writeAnswers({ port, folder, lines });
  writeFileSync(join(folder, 'nginx.conf'), nginxConfig({ port, folder, data, coding }));
  const child = spawn('nginx', ['-e', 'stderr', '-p', folder, '-c', 'nginx.conf'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => { errors = (errors + chunk).slice(-4000); });
  const base = `http://127.0.0.1:${port}/fhir`;
  for (let tries = 0; ; tries += 1) {
    const answer = await fetch(`${base}/metadata`).catch(() => null);
    if (answer?.ok) break;
    if (child.exitCode !== null || tries > 100) throw new Failure(`nginx did not start.\n${errors}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  return { label: version, base, child };
}

async function startSandbox({ data, coding }) {
  const faults = ['pending=0', `coding=${coding === 'gzip' ? 'auto' : 'identity'}`];
  const args = [join(root, 'node-cli/bin/smart-fetch.js'), 'sandbox', '--quiet', '--data', data, ...faults.flatMap((fault) => ['--fault', fault])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const first = createInterface(child.stdout);
  const [base] = await Promise.race([once(first, 'line'), once(child, 'exit').then(() => [])]);
  if (!base) throw new Failure('The sandbox did not start.');
  return { label: 'the embedded sandbox (Node)', base, child };
}

/** The URLs of the files, as any client finds them. */
async function fileUrls(base) {
  const kickoff = await fetch(`${base}/$export?_type=Observation`, { headers: { accept: 'application/fhir+json', prefer: 'respond-async' } });
  const status = kickoff.headers.get('content-location');
  for (let tries = 0; tries < 600; tries += 1) {
    const answer = await fetch(status);
    const text = await answer.text();
    if (answer.status === 200) return JSON.parse(text).output.map(({ url }) => url);
    await new Promise((resolve) => { setTimeout(resolve, 500); });
  }
  throw new Failure('The server took more than 5 minutes to make a manifest.');
}

/**
 * @param {object} options
 * @param {'auto'|'nginx'|'sandbox'} options.kind
 * @param {string} options.data folder of files, with a .gz beside each
 * @param {'gzip'|'identity'} options.coding
 * @param {string} options.cache
 * @param {Map<string, number>} options.lines lines by file name
 * @returns {Promise<{label: string, base: string, fileUrls: () => Promise<string[]>, stop: () => Promise<void>}>}
 */
export async function startServer({ kind, ...options }) {
  const { code, output } = kind === 'sandbox' ? { code: 1 } : await run('nginx', ['-V'], { quiet: true });
  const usable = code === 0 && output.includes('http_gzip_static_module');
  if (kind === 'nginx' && !usable) throw new Failure('--server nginx: there is no nginx with gzip_static on this machine.');
  const { label, base, child } = await (usable ? startNginx({ ...options, version: output.match(/nginx\/[\d.]+/)[0] }) : startSandbox(options));
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill();
    await ended;
  };
  return { label, base, fileUrls: () => fileUrls(base), stop };
}
