// Cross-origin access: `full` exposes every header a bulk client reads, `no-expose` answers but hides them (what many
// real servers do), `none` sends nothing and refuses preflights (what the public SMART sandbox does on $export).
const EXPOSED = 'Content-Location, Content-Encoding, Date, ETag, Expires, Link, Location, Preference-Applied, Retry-After, X-Export-Status, X-Progress';

/** Sets the headers of an answer. */
export function corsHeaders(mode, req, res) {
  if (mode === 'none' || !req.headers.origin) return;
  res.setHeader('Access-Control-Allow-Origin', '*');
  if (mode === 'full') res.setHeader('Access-Control-Expose-Headers', EXPOSED);
}

/** Answers a preflight. */
export function preflight(mode, req, res) {
  if (mode === 'none') {
    res.writeHead(400, { 'Content-Type': 'text/plain' }).end('OPTIONS is not supported here.\n');
    return;
  }
  res.writeHead(204, {
    'Access-Control-Allow-Methods': 'GET, HEAD, POST, DELETE, OPTIONS',
    'Access-Control-Allow-Headers': req.headers['access-control-request-headers'] ?? '*',
    'Access-Control-Max-Age': '600',
  }).end();
}
