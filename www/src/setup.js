// The form: what to export from where.
import { $, chosen, doing, fill, h, pairs } from './dom.js';
import { engine } from './engine.js';
import { FormError, readSignIn, setUpKeys, showSignIn } from './keys.js';
import { showFindings, VERDICTS } from './doctor.js';
import { checkOrder, WAYS } from './ways.js';
import { chosenServer, route, showAddress, showServers } from './servers.js';
import { bytes, explain, host, plural } from './words.js';

/** The types that the command line exports unless told otherwise. */
const TYPES = [
  'Patient', 'Encounter', 'AllergyIntolerance', 'Condition', 'Device', 'DiagnosticReport', 'DocumentReference', 'EpisodeOfCare', 'Immunization',
  'MedicationDispense', 'MedicationRequest', 'Observation', 'Procedure', 'ServiceRequest', 'Specimen',
];
const LEVELS = { system: 'Everything on the server', patient: 'All patients', group: 'A group' };

const words = (text) => text.split(/[\s,]+/).filter(Boolean);
const boxes = () => [...$('types').querySelectorAll('input')];

/**
 * Sets the form up.
 * @param {(order: { server: string, relayed: boolean, client: any, order: object, remember: object }) => void} start
 */
export function setUp(start) {
  fill($('types'), ...TYPES.map((type) => h('label', { class: 'type' }, h('input', { type: 'checkbox', value: type, checked: true }), type)));
  const form = $('setup');
  form.addEventListener('change', () => {
    $('setup-problem').hidden = true;
    showAddress(chosen('server'));
    $('field-group').hidden = chosen('level') !== 'group';
    $('field-ids').hidden = chosen('way') !== 'crawl';
    showSignIn();
    showBrief();
  });
  form.addEventListener('input', ({ target }) => {
    // It is looked at again when the form is sent.
    target.removeAttribute('aria-invalid');
    showBrief();
  });
  for (const [id, on] of [['types-all', true], ['types-none', false]]) {
    $(id).addEventListener('click', () => {
      for (const box of boxes()) box.checked = on;
      showBrief();
    });
  }
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText($(button.dataset.copy).value);
      button.textContent = 'Copied';
    });
  }
  setUpKeys();
  $('check').addEventListener('click', () => doing($('check'), $('check-result'), 'Asking the server…', check));
  $('find-groups').addEventListener('click', () => doing($('find-groups'), $('group-result'), 'Asking the server…', findGroups));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit(start);
  });
  showServers().then(() => form.dispatchEvent(new Event('change')));
}

function readServer() {
  const address = chosenServer(chosen('server'));
  if (!/^https?:\/\/./i.test(address.trim()) || !URL.canParse(address.trim())) {
    throw new FormError('The FHIR base URL is missing or no URL. It looks like https://ehr.example.org/fhir.', 'url');
  }
  return route(address);
}

async function readClient(more = {}) {
  const at = readServer();
  const auth = await readSignIn();
  const { Client } = await engine();
  return { ...at, client: new Client({ ...at.options, auth, ...more }) };
}

/** Asks for one thing at once; the waits between tries are for jobs, not for somebody who looks at the page. */
async function ask(question) {
  const { client, ...at } = await readClient({ retryDelays: [] });
  try {
    return await question(client);
  } catch (error) {
    if (error.code === undefined) throw error;
    const { title, text, command, hint } = explain(error, at);
    throw Object.assign(new Error(`${title}: ${text}`, { cause: error }), { hint: [hint, command].filter(Boolean).join(' ') });
  }
}

async function check() {
  fill($('findings'));
  const { client, server, relayed } = await readClient({ retryDelays: [] });
  const group = chosen('level') === 'group' && $('group').value.trim();
  const level = group ? { group } : chosen('level') === 'patient' ? 'patient' : 'system';
  const report = await client.doctor({ level, types: readTypes() });
  showFindings($('findings'), report);
  const blind = report.usable === 'no' && explain({ code: 'network', message: '' }, { server, relayed });
  const { text, kind } = VERDICTS[report.usable];
  return { text: [text, blind && blind.command && `If it is up: ${blind.command}`].filter(Boolean).join(' '), kind };
}

async function findGroups() {
  const groups = await ask((client) => client.groups());
  const text = ({ name, quantity }) => [name, quantity === undefined ? undefined : `${quantity} members`].filter(Boolean).join(', ');
  fill($('groups'), ...groups.map((group) => h('option', { value: group.id, label: text(group) || group.id })));
  if (groups.length === 0) return 'The server lists no groups. If you know the ID of one, type it in.';
  if ($('group').value === '') $('group').value = groups[0].id;
  showBrief();
  const named = groups.slice(0, 5).map((group) => `${group.id}${text(group) ? ` (${text(group)})` : ''}`);
  return `${groups.length === 1 ? '1 group' : `${groups.length} groups`}: ${named.join(', ')}${groups.length > 5 ? ' …' : ''}`;
}

/** The chosen types; none where they are all the usual ones, which the core finds by itself, with the server's own list taken into account. */
function readTypes() {
  const picked = boxes().filter(({ checked }) => checked).map(({ value }) => value);
  const types = [...picked, ...words($('more-types').value)];
  return picked.length === TYPES.length && types.length === picked.length ? undefined : types;
}

/** What was filled in: the way, and options of the package for it. */
function readOrder() {
  const group = $('group').value.trim();
  const level = chosen('level');
  if (level === 'group' && group === '') throw new FormError('The group is missing. Type in its ID, or look for groups.', 'group');
  const types = readTypes();
  if (types?.length === 0) throw new FormError('No resource type is chosen.', 'more-types');
  const way = chosen('way');
  const ids = way === 'crawl' ? words($('ids').value) : [];
  return {
    way,
    hydrate: $('hydrate').checked,
    options: {
      level: level === 'group' ? { group } : level,
      types: types ?? [],
      typeFilters: $('filters').value.split('\n').map((line) => line.trim()).filter(Boolean),
      defaultFilters: $('default-filters').checked,
      compress: $('compress').checked,
      ...($('since').value && { since: $('since').value }),
      ...(ids.length > 0 && { ids }),
    },
  };
}

/** The same, for people, beside the button. */
function showBrief() {
  const picked = boxes().filter(({ checked }) => checked).length;
  const more = words($('more-types').value).length;
  const level = chosen('level');
  const server = chosenServer(chosen('server'));
  const types = picked === TYPES.length && more === 0 ? 'All usual types' : `${picked + more} ${picked + more === 1 ? 'type' : 'types'}`;
  fill($('brief'), ...pairs([
    ['From', host(server?.trim() ?? '') || 'no server yet'],
    ['How', WAYS[chosen('way')]],
    ['Whose data', chosen('way') === 'crawl' && words($('ids').value).length > 0 ? plural(words($('ids').value).length, 'patient') : level === 'group' && $('group').value ? `Group ${$('group').value}` : LEVELS[level]],
    ['Types', types],
    $('since').value && ['Changed since', $('since').value],
  ]));
}

async function submit(start) {
  const [problem, button] = [$('setup-problem'), $('start')];
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  for (const field of document.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
  problem.hidden = true;
  try {
    const order = readOrder();
    const { client, server, relayed } = await readClient();
    await checkOrder(client, order);
    const remember = { server, auth: chosen('auth'), clientId: $('client-id').value, key: chosen('key'), ...order };
    start({ server, relayed, client, order, remember });
  } catch (error) {
    problem.hidden = false;
    fill(problem, h('strong', {}, error.message), error.hint && h('span', {}, error.hint), error.code === 'internal' && h('span', {}, 'Please report this.'));
    const field = error.field && $(error.field);
    field?.setAttribute('aria-invalid', 'true');
    (field ?? problem).focus();
  } finally {
    button.removeAttribute('aria-disabled');
  }
}

/** Fills the form with what a run was begun with, to resume it. Tokens and pasted keys were not kept. */
export function fillIn({ server, auth, clientId, key, way = 'once', hydrate = false, options }) {
  const radio = (name, value) => document.querySelector(`input[name="${name}"][value="${value}"]`);
  const behind = [...document.querySelectorAll('input[name="server"]')].find(({ value, disabled }) => !disabled && value.startsWith('relay:') && chosenServer(value) === server);
  (behind ?? radio('server', 'other')).checked = true;
  if (!behind) $('url').value = server;
  radio('auth', auth).checked = true;
  $('client-id').value = clientId ?? '';
  if (key) radio('key', key).checked = true;
  radio('way', way).checked = true;
  $('hydrate').checked = hydrate;
  $('ids').value = (options.ids ?? []).join('\n');
  radio('level', typeof options.level === 'object' ? 'group' : options.level).checked = true;
  $('group').value = options.level.group ?? '';
  for (const box of boxes()) box.checked = options.types.length === 0 || options.types.includes(box.value);
  $('more-types').value = options.types.filter((type) => !TYPES.includes(type)).join(', ');
  $('filters').value = options.typeFilters.join('\n');
  $('default-filters').checked = options.defaultFilters;
  $('compress').checked = options.compress;
  $('since').value = options.since ?? '';
  $('setup').dispatchEvent(new Event('change'));
}

/** Says how much room there is. */
export async function showRoom() {
  const { usage, quota, persisted } = await (await engine()).storageUsage();
  if (quota === undefined) return;
  const keeps = persisted ? 'It promised to keep the data.' : 'It may remove the data when space runs out: save what matters.';
  $('storage-hint').textContent = `This browser lets the page store ${bytes(quota - (usage ?? 0))} more. ${keeps}`;
}
