// A browsable sample of the resources of a type.
import { fill, h } from './dom.js';
import { dateOf } from './dates.js';
import { readSome } from './reading.js';

const SHOWN = 50;

const textOf = (concept) => concept?.text ?? concept?.coding?.find(({ display }) => display)?.display ?? concept?.coding?.[0]?.code;

/** A few words that tell a resource from the next one. */
function describe(resource) {
  const [name] = Array.isArray(resource.name) ? resource.name : [];
  const person = name && (name.text ?? [...(name.given ?? []), name.family].filter(Boolean).join(' '));
  const code = resource.code ?? resource.vaccineCode ?? resource.medicationCodeableConcept ?? resource.type?.[0] ?? resource.type ?? resource.category?.[0];
  return person || textOf(code) || (typeof resource.name === 'string' && resource.name) || resource.status || resource.resourceType;
}

/**
 * Shows the first resources of a type: a list, and the one that is chosen in full.
 * @param {HTMLElement} place
 */
export async function showSample(place, folder, type, signal) {
  fill(place, h('p', { class: 'hint' }, 'Reading…'));
  const resources = [];
  for await (const resource of readSome(folder, type, { limit: SHOWN, signal })) resources.push(resource);
  if (signal.aborted) return;
  if (resources.length === 0) return void fill(place, h('p', { class: 'hint' }, 'There are no resources.'));
  const whole = h('pre', { tabindex: '0', role: 'region', 'aria-label': 'The resource that is chosen, as JSON' });
  const buttons = resources.map((resource) => {
    const button = h(
      'button',
      { type: 'button', onclick: () => choose(resource, button) },
      h('span', {}, describe(resource)),
      h('small', {}, [resource.id, dateOf(resource)].filter(Boolean).join(' · ')),
    );
    return button;
  });
  function choose(resource, button) {
    for (const other of buttons) other.setAttribute('aria-current', String(other === button));
    whole.textContent = JSON.stringify(resource, null, 2);
    whole.scrollTop = 0;
  }
  choose(resources[0], buttons[0]);
  const list = h('ul', { class: 'sample-list', 'aria-label': `${type} resources` }, ...buttons.map((button) => h('li', {}, button)));
  fill(place, list, whole);
}
