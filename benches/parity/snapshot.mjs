// What an output folder says, as a list of facts: short lines of text that are the same for two folders when they hold the
// same. What can never be the same twice (times of the run, job ids, durations) is masked; nothing else is.
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;
/** A time within a URL, encoded or not, or encoded twice. */
const EMBEDDED = /(\d{4}-\d{2}-\d{2}T\d{2})(:|%3A|%253A)(\d{2})\2(\d{2}(?:\.\d+)?)(Z|(?:[+-]|%2B|%252B)\d{2}\2\d{2})/g;
/** Headers that belong to the connection, or to how a client asks. */
const OF_CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'content-encoding', 'vary', 'date']);
/** Ours, which the reference keeps but never reads. */
const OURS = new Set(['ledger']);
const DATA = /\.(ndjson|jsonl)(\.gz)?$/;
/** A file's size: the reference counts the characters, we count the bytes. */
const SIZES = new Set(['fileSize', 'bytes']);

/** JSON with sorted keys. Numbers are what a double makes of them, as the reference writes them back. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const fields = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${fields.join(',')}}`;
}

function readText(path) {
  const bytes = readFileSync(path);
  return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
}

const linesOf = (path) => readText(path).split('\n').filter((line) => line.trim() !== '');

/** All resources of the data files at the top of a folder, each with the name of its file. */
export function readResources(folder) {
  const files = readdirSync(folder).filter((name) => DATA.test(name) && name !== 'log.ndjson');
  return files.flatMap((file) => linesOf(join(folder, file)).map((line) => ({ file, resource: JSON.parse(line) })));
}

/**
 * @param {string} folder
 * @param {{since: number, stamps: Set<string>}} clock times from `since` (ms) on are those of the run, but for `stamps`,
 *   which the server's data has
 * @returns {string[]} facts, sorted
 */
export function factsOf(folder, clock) {
  const facts = [];
  const mask = masker(clock);
  const walk = (relative) => {
    for (const name of readdirSync(join(folder, relative)).sort()) {
      const path = relative ? `${relative}/${name}` : name;
      const full = join(folder, path);
      const stat = lstatSync(full);
      if (stat.isSymbolicLink()) facts.push(`${path} -> ${readlinkSync(full)}`);
      else if (stat.isDirectory()) {
        facts.push(`${path}/`);
        walk(path);
      } else facts.push(...factsOfFile(path, full, mask));
    }
  };
  walk('');
  return facts.sort();
}

function factsOfFile(path, full, mask) {
  const name = path.split('/').at(-1);
  if (name === '.metadata') return metadataFacts(path, JSON.parse(readText(full)), mask);
  if (name === 'log.ndjson') return logFacts(path, linesOf(full).map((line) => JSON.parse(line)), mask);
  if (/^Bundle\.json/.test(name)) {
    const { entry, ...head } = JSON.parse(readText(full));
    return [`${path}: ${canonical(mask(head))}`, ...entry.map((one) => `${path} ${canonical(one)}`)];
  }
  if (DATA.test(name)) {
    const lines = linesOf(full);
    if (path.includes('deleted/')) return lines.flatMap((line) => JSON.parse(line).entry.map((entry) => `${path} ${canonical(entry)}`));
    return [`${path}: ${lines.length} rows`, ...lines.map((line) => `${path} ${canonical(JSON.parse(line))}`)];
  }
  return [`${path}: ${readFileSync(full).length} bytes`];
}

/** The items of `_type` in order: the reference sorts them by name, we have the patients first. */
const sortedTypes = (text) => text.replace(/(?<=[?&]_type=)[^&]+/, (list) => list.split('%2C').sort().join('%2C'));

/** Replaces times of the run by a mark that keeps their zone, and job ids in URLs, at any depth. */
function masker({ since, stamps }) {
  const maskTime = (text) => {
    const ms = Date.parse(text);
    if (stamps.has(ms)) return new Date(ms).toISOString();
    return ms >= since ? `(time of the run, ${text.endsWith('Z') ? 'Z' : 'offset'})` : text;
  };
  const mask = (value) => {
    if (Array.isArray(value)) return value.map(mask);
    if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mask(one)]));
    if (typeof value !== 'string') return value;
    if (TIME.test(value)) return maskTime(value);
    const dated = value.replace(EMBEDDED, (text, hour, colon, minutes, seconds, zone) => {
      const time = `${hour}:${minutes}:${seconds}${zone.replace(/^%2[^B]*B/, '+').replaceAll(colon, ':')}`;
      // The same instant: the reference writes it anew, we send it as the server did.
      return maskTime(time) === time ? text : '(time of the run)';
    });
    return sortedTypes(dated).replaceAll(/(?<=\/Group\/[^/]*) (?=[^/]*\/)/g, '%20').replaceAll(/bulkstatus\/[^/"?]+/g, 'bulkstatus/JOB').replaceAll(/bulkfiles\/[^/"?]+\/\d+/g, 'bulkfiles/JOB/N').replaceAll(/\/eyJ[\w-]+\/|bulkfiles\/\d+\./g, '/JOB/').replaceAll(/[0-9a-f]{16,}/g, 'HEX');
  };
  return mask;
}

function metadataFacts(path, metadata, mask) {
  const entries = Object.entries(metadata).filter(([key]) => !OURS.has(key));
  return [
    `${path}: keys ${entries.map(([key]) => key).join(' ')}`,
    ...entries.map(([key, value]) => `${path}: ${key} = ${key === 'version' ? '(version)' : canonical(mask(value))}`),
  ];
}

/** Events in their order; those of downloads, which run side by side, without it. */
function logFacts(path, events, mask) {
  const jobs = [];
  let n = 0;
  return events.map((event) => {
    const { exportId, timestamp, eventId, eventDetail, _clientVersion, ...rest } = event;
    if (!jobs.includes(exportId)) jobs.push(exportId);
    const job = exportId === 'fake-log' ? exportId : `job ${jobs.indexOf(exportId) + 1}`;
    const detail = Object.fromEntries(Object.entries(eventDetail).map(([key, value]) => {
      if (key === 'responseHeaders' && value !== null) return [key, Object.keys(value).filter((name) => !OF_CONNECTION.has(name)).sort()];
      if (SIZES.has(key) || key === 'duration') return [key, typeof value];
      if (key === 'requestParameters' && value._type) return [key, { ...mask(value), _type: value._type.split(',').sort().join() }];
      return [key, mask(value)];
    }));
    if (detail.requestParameters?._since?.startsWith('(')) detail.requestParameters._since = '(time of the run)';
    const fields = `${Object.keys(eventDetail).join(',')}${_clientVersion === undefined ? '' : ' client'}${TIME.test(timestamp) && !timestamp.endsWith('Z') ? '' : ` timestamp ${timestamp}`}`;
    const which = eventId.startsWith('download') ? 'download' : String(++n).padStart(2, '0');
    return `${path}: ${which} ${eventId} of ${job}: ${canonical({ ...detail, ...rest })} [${fields}]`;
  });
}

/** A fact without the names of headers: pages see those that a server exposes to them, other programs see all. */
export const withoutHeaders = (fact) => fact.replace(/"responseHeaders":\[[^\]]*\]/, '"responseHeaders":[]');
