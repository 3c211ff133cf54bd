// What the doctor says of a server, as a table in plain words.
import { fill, h } from './dom.js';

/** How the findings are called. */
const TITLES = {
  server: 'Server', smart: 'Sign-in offered', token: 'Sign-in', access: 'Searches', export: 'Bulk export', kickoff: 'Asking for an export', trial: 'A trial export',
  typeFilter: 'Type filters', browser: 'Use by web pages', gzip: 'Compression', retryAfter: 'Waiting', since: 'Changes since a date', filters: 'Usual filters', crawl: 'Crawl',
};
const STATES = { good: ['good', 'Good'], note: ['', 'Note'], warning: ['warn', 'Know this'], failure: ['bad', 'In the way'] };

/** In a sentence, whether the server can be used, and whether that is good. */
export const VERDICTS = {
  yes: { text: 'This server is ready for exports.', kind: 'good' },
  withProblems: { text: 'This server can be used; know what the table says.', kind: 'warn' },
  no: { text: 'This server cannot be used like this; the table says why.', kind: 'bad' },
};

/** @param {HTMLElement} place @param {import('smart-fetch').DoctorReport} report */
export function showFindings(place, report) {
  const rows = report.checks.map(({ name, state, found, meaning }) => {
    const [kind, word] = STATES[state];
    return h('tr', {}, h('th', { scope: 'row' }, TITLES[name] ?? name, h('span', { class: `tag ${kind}` }, word)), h('td', {}, h('p', {}, found), meaning && h('p', { class: 'hint' }, meaning)));
  });
  const head = h('thead', { class: 'unseen' }, h('tr', {}, h('th', { scope: 'col' }, 'What was looked at'), h('th', { scope: 'col' }, 'What was found')));
  fill(place, h('table', { class: 'findings' }, h('caption', { class: 'unseen' }, 'What the server can do'), head, h('tbody', {}, ...rows)));
}
