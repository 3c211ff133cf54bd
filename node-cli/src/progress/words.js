import { formatCount, formatDuration, plural } from '../output.js';

/** What a job does in each phase. */
export const PHASES = {
  discover: 'Looking at the server…',
  kickOff: 'Asking for the export…',
  wait: 'Waiting for the server to prepare the files…',
  download: 'Downloading…',
  crawl: 'Searching patient by patient…',
  hydrate: 'Following references…',
  check: 'Checking…',
  finish: 'Finishing…',
};

const REASONS = {
  status: 'waiting',
  retry: 'waiting to try again',
  throttled: 'waiting, since the server asks for fewer requests',
};

/** A wait in words: `40% done (1m so far, waiting for 5m more)`. */
export function describeWait({ reason, left, progress, message }, soFar) {
  const time = soFar === undefined ? `for ${formatDuration(left)}` : `${formatDuration(soFar)} so far, waiting for ${formatDuration(left)} more`;
  const what = progress ?? REASONS[reason] ?? reason;
  const text = soFar === undefined && !progress ? `${what} ${time}` : `${what} (${time})`;
  return message ? `${message} ${capital(text)}` : capital(text);
}

/** How far a step is: `97 of 100, 1,204 resources`. */
export function describeStep({ done, total, resources }) {
  const counted = total === undefined ? formatCount(done) : `${formatCount(done)} of ${formatCount(total)}`;
  return `${counted}, ${plural(resources, 'resource')}`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Text of a server without what could upset a terminal or break a line. */
export function oneLine(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
}
