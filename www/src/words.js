// Numbers, times and failures in plain words.

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB'];

/** `812 KB`, `1.4 MB` */
export function bytes(amount) {
  let unit = 0;
  let rest = amount ?? 0;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${rest >= 99.5 || unit === 0 ? Math.round(rest) : rest.toFixed(1).replace(/\.0$/, '')} ${UNITS[unit]}`;
}

/** `12,345` */
export const count = (number) => (number ?? 0).toLocaleString('en-US');

/** `1 file`, `2 files` */
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? '' : 's'}`;

/** `5 s`, `2 min 10 s`, `1 h 5 min` */
export function duration(millis) {
  const seconds = Math.max(0, Math.round(millis / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 60)} h`;
}

/** `21 Nov 2026, 11:05` */
export const when = (time) => new Date(time).toLocaleString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' });

/** The phases of a job, and what the page says in each. */
export const PHASES = [
  ['discover', 'Look at the server', 'Looking at the server…'],
  ['kickOff', 'Ask for the export', 'Asking for the export…'],
  ['wait', 'Server prepares files', 'The server is preparing the files…'],
  ['download', 'Download', 'Downloading…'],
  ['crawl', 'Search', 'Searching, patient by patient…'],
  ['hydrate', 'Fetch what is referred to', 'Fetching what the resources refer to…'],
  ['finish', 'Finish', 'Finishing…'],
];

/** A wait, as a sentence. */
export function wait({ reason, left, progress, message }) {
  const time = duration(left);
  if (reason === 'status') return `${progress ? `The server says: ${progress}. ` : ''}Asking again in ${time}.`;
  if (reason === 'throttled') return `${message ? `${message} ` : ''}The server asks for fewer requests; going on in ${time}.`;
  return `${message ? `${message} ` : ''}Trying again in ${time}.`;
}

/** Where a file is, without what makes its address long. */
export const host = (url) => (URL.canParse(url) ? new URL(url).host : url);

/** What went wrong with a file, as a sentence without its long address: the name stands before it. */
export const fileProblem = (message) => message.replace(/^https?:\/\/\S+ /, 'the server ').replace(/[^.!?…]$/, '$&.');

const TITLES = {
  auth: 'The server did not accept the sign-in',
  blocked: 'The browser could not use this server',
  cancelled: 'Stopped',
  corrupt: 'Damaged data was received',
  deadline: 'The server took too long',
  gone: 'The export is no longer on the server',
  hiddenHeader: 'The browser hides a part of the server’s answer',
  insecure: 'Stopped to protect a secret',
  internal: 'This is a fault of smart-fetch',
  locked: 'Another tab is at work on this run',
  mismatch: 'This run was begun with other settings',
  network: 'The server could not be reached',
  notFound: 'The server has no such thing',
  quota: 'The storage of this browser is full',
  storage: 'The storage of this browser failed',
  unsupported: 'This browser lacks something that is needed',
  usage: 'Something in the form needs another look',
};

// A browser says "failed to fetch" and no more, whether the server is down or forbids pages of other origins to use it.
const BLIND =
  'A server must allow web pages of other origins to use it (CORS), and many FHIR servers do not. A browser does not tell a page whether that is the reason, or whether the server is down. If it is up, the relay on your own machine gets round it:';

/**
 * A failure for people: a title, what happened, what to do, and the command of the relay where that would help.
 * @param {any} error
 * @param {{ server: string, relayed: boolean }} at
 */
export function explain(error, { server, relayed }) {
  const blind = isForeign(server, relayed) && (error.code === 'hiddenHeader' || error.code === 'blocked' || (error.code === 'network' && !error.status));
  return {
    title: TITLES[blind && error.code === 'network' ? 'blocked' : error.code] ?? 'The export could not be finished',
    text: error.message,
    hint: blind && error.code !== 'hiddenHeader' ? BLIND : error.hint,
    command: blind ? relayCommand(server) : undefined,
  };
}

const isForeign = (server, relayed) => !relayed && URL.canParse(server) && new URL(server).origin !== location.origin;
const relayCommand = (server) => `smart-fetch serve --server ${server}`;

/**
 * What to say while the first request is tried again and again: a job waits for minutes before it gives up.
 * @returns {{ text: string, hint: string, command: string } | undefined} nothing where the browser is not blind
 */
export function explainSilence({ reason, message }, { server, relayed }) {
  if (reason !== 'retry' || !/^No answer/.test(message ?? '') || !isForeign(server, relayed)) return undefined;
  return { text: 'The browser gets no answer from this server. It goes on trying.', hint: BLIND, command: relayCommand(server) };
}
