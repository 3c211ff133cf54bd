// The few words of DOM that the page needs. Text is always text: nothing of a server is ever read as HTML.

/** @param {string} id */
export const $ = (id) => document.getElementById(id);

/**
 * An element: `h('p', { class: 'hint', onclick }, 'text', child)`. Absent children are left out.
 * @param {string} tag
 * @param {Record<string, any>} [props] `on…` are listeners, `true` and `false` set and leave out, the rest are attributes
 * @param {...any} children
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  fill(element, ...children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** As {@link h}, in SVG. */
export function s(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Puts these children in place of those that are there. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
}

/** Sets a text where it is another one, so that screen readers are not told the same twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Pairs as `<dt>`, `<dd>`. */
export const pairs = (entries) => entries.filter(Boolean).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)));

/** The value of the checked one of radio buttons. */
export const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;

/** Asks; resolves to whether the answer was yes. */
export function confirmed(title, text, yes) {
  const dialog = $('confirm');
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  $('confirm-yes').textContent = yes;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

/**
 * Runs `work` while `button` is off, and shows what it tells or why it failed in `place`. It tells a text, for good news, or
 * `{ text, kind }` with `good`, `warn` or `bad`.
 */
export async function doing(button, place, text, work) {
  if (button.getAttribute('aria-disabled') === 'true') return undefined;
  // Not `disabled`: that would take the focus away from who uses the keyboard.
  button.setAttribute('aria-disabled', 'true');
  place.classList.remove('bad-text', 'good-text', 'warn-text');
  place.textContent = text;
  try {
    const done = await work((more) => say(place, more));
    const { text: told = '', kind = 'good' } = typeof done === 'object' ? done : { text: done };
    place.classList.add(`${kind}-text`);
    place.textContent = told;
    return done;
  } catch (error) {
    place.classList.add('bad-text');
    place.textContent = [error.message, error.hint].filter(Boolean).join(' ');
    return undefined;
  } finally {
    button.removeAttribute('aria-disabled');
  }
}
