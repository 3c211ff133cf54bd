// Charts that are tables too: who cannot see the bars reads the numbers.
import { fill, h, s } from './dom.js';
import { count } from './words.js';

/**
 * Bars beside names, as a table.
 * @param {HTMLElement} place
 * @param {string} caption
 * @param {[string, number | undefined][]} rows without a number where it is not known
 * @param {string} [note]
 */
export function bars(place, caption, rows, note) {
  if (rows.length === 0) return fill(place, h('p', { class: 'hint' }, 'There are no resources.'));
  const most = Math.max(1, ...rows.map(([, number]) => number ?? 0));
  return fill(
    place,
    note && h('p', { class: 'hint' }, note),
    h(
      'table',
      { class: 'bars' },
      h('caption', { class: 'unseen' }, caption),
      h('thead', { class: 'unseen' }, h('tr', {}, h('th', { scope: 'col' }, 'Type'), h('td', {}), h('th', { scope: 'col' }, 'Resources'))),
      h('tbody', {}, ...rows.map(([name, number]) => {
        const bar = h('span', { class: 'bar' }, h('span'));
        bar.firstChild.style.width = `${((number ?? 0) / most) * 100}%`;
        return h('tr', {}, h('th', { scope: 'row' }, name), h('td', { 'aria-hidden': 'true' }, bar), h('td', { class: 'number' }, number === undefined ? '–' : count(number)));
      })),
    ),
  );
}

const [HEIGHT, BOTTOM] = [260, 24];
/** Room that a name below a column needs, what is between two included; and its own. */
const [NAME, LETTERS] = [68, 50];
/** Widest column: one alone is no wall. */
const WIDEST = 72;

/**
 * Columns over time, with the same numbers as a table below.
 * @param {HTMLElement} place
 * @param {string} label
 * @param {{ unit: string, columns: [string, number][], note?: string }} data
 */
export function timeline(place, label, { unit, columns, note }) {
  if (columns.length === 0) return fill(place, h('p', { class: 'hint' }, note ?? 'None of these resources has a date.'));
  const most = Math.max(...columns.map(([, number]) => number));
  // As wide as there is room, so that the text keeps its size.
  const width = Math.max(260, Math.round(place.clientWidth) || 560);
  const step = width / columns.length;
  const tall = HEIGHT - BOTTOM - 16;
  const every = Math.ceil(NAME / step);
  const shapes = [s('line', { class: 'grid', x1: 0, x2: width, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }), s('text', { x: 0, y: 10 }, count(most))];
  columns.forEach(([name, number], index) => {
    const size = number === 0 ? 0 : Math.max(2, (number / most) * tall);
    const gap = Math.min(4, step * 0.2);
    const bar = s('rect', { x: index * step + gap / 2, y: HEIGHT - BOTTOM - size, width: Math.min(WIDEST, step - gap), height: size, rx: Math.min(3, step / 6) });
    bar.append(s('title', {}, `${name}: ${count(number)}`));
    shapes.push(bar);
    if (index % every === 0 && index * step + LETTERS <= width) shapes.push(s('text', { x: index * step, y: HEIGHT - 6 }, name));
  });
  const image = s('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': `${label}, by ${unit}. The table below has the numbers.` }, ...shapes);
  const rows = columns.filter(([, number]) => number > 0).map(([name, number]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', { class: 'number' }, count(number))));
  const head = h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, unit === 'year' ? 'Year' : 'Month'), h('th', { scope: 'col', class: 'number' }, 'Resources')));
  return fill(
    place,
    h('figure', { class: 'timeline' }, image, note && h('figcaption', { class: 'hint' }, note),
      h('details', {}, h('summary', {}, 'As a table'), h('table', {}, h('caption', { class: 'unseen' }, label), head, h('tbody', {}, ...rows)))),
  );
}
