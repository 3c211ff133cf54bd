// `smart-fetch serve`: the demo page, and a relay to FHIR servers that allow no page of another origin.
import { createServer } from 'node:http';
import { createFiles } from './files.js';
import { DATA_HEADERS, INERT_HEADERS, PAGE_HEADERS, refusal } from './guard.js';
import { createRelay } from './relay.js';

/** The public SMART bulk-data sandbox: it sends no CORS headers on `$export`, status and files. */
export const PUBLIC_SANDBOX = 'https://bulk-data.smarthealthit.org/fhir';

/**
 * Starts the server, on loopback only.
 * @param {object} options
 * @param {string} options.page folder of the built page
 * @param {number} [options.port] 0: any free one
 * @param {string[]} [options.servers] FHIR base URLs whose origins the relay may reach
 * @param {string[]} [options.tokenOrigins] further origins, which may see the credentials for these servers
 * @returns {Promise<{ url: string, close: () => Promise<void> }>}
 */
export async function startServe({ page, port = 0, servers = [PUBLIC_SANDBOX], tokenOrigins }) {
  const relay = createRelay(servers.map((server) => new URL(server)), tokenOrigins);
  const sendFile = createFiles(page);
  let own = port;

  function answer(request, response) {
    const why = refusal(request, own);
    const isData = why !== undefined || request.url.startsWith('/relay/') || request.url === '/serve.json';
    const isInert = /^\/assets\/[\w.-]+\.(css|wasm)$/.test(request.url);
    for (const [name, value] of Object.entries(isData ? DATA_HEADERS : isInert ? INERT_HEADERS : PAGE_HEADERS)) response.setHeader(name, value);
    if (why !== undefined) return response.writeHead(403, { 'content-type': 'text/plain' }).end(`${why}\n`);
    if (request.url.startsWith('/relay/')) return relay.handle(request, response);
    // The secrets of the relay: for the page, in answer to its own request, and nowhere else.
    if (request.url === '/serve.json' && request.headers['sec-fetch-mode'] !== 'navigate') {
      response.writeHead(200, { 'content-type': 'application/json' });
      return response.end(JSON.stringify({ relays: relay.describe(`http://${request.headers.host}`) }));
    }
    return sendFile(request, response);
  }

  const server = createServer((request, response) => {
    response.on('error', () => {});
    Promise.resolve()
      .then(() => answer(request, response))
      .catch(() => response.destroy());
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  own = server.address().port;
  return {
    url: `http://127.0.0.1:${own}`,
    async close() {
      const closed = new Promise((resolve) => {
        server.close(resolve);
      });
      server.closeAllConnections();
      await Promise.all([relay.close(), closed]);
    },
  };
}
