// The raw limit in Node: fetches URLs over five connections, as they come, and drops every byte.
//
//   node raw.mjs CODING URL…
import { Agent, request } from 'undici';

const [coding, ...urls] = process.argv.slice(2);
const dispatcher = new Agent({ connections: 5 });
const waiting = [...urls];

async function work() {
  for (let url = waiting.shift(); url; url = waiting.shift()) {
    const { statusCode, body } = await request(url, { dispatcher, headers: { 'accept-encoding': coding } });
    if (statusCode !== 200) throw new Error(`${url}: ${statusCode}`);
    for await (const chunk of body) void chunk;
  }
}

await Promise.all(Array.from({ length: 5 }, work));
await dispatcher.close();
