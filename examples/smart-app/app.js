// A SMART app that gets the chart of the patient in context and reads it back. With a bundler: from 'smart-fetch'.
/* global FHIR */
import { fromSmartClient, openFolder, saveZip } from './smart-fetch/index.js';

const element = (id) => document.getElementById(id);
const LATEST = 10;

async function start() {
  const session = await FHIR.oauth2.ready();
  const client = fromSmartClient(session);
  if (client.patient === null) throw new Error('The EHR has not said which patient this is about.');
  // One folder for each patient of each server. It is there again when the app is opened next time.
  const folder = await openFolder(`chart ${new URL(session.state.serverUrl).host} ${client.patient}`);
  if (folder.warning) element('status').textContent = folder.warning;

  element('patient').textContent = describe(await session.patient.read());
  element('export').disabled = false;
  element('export').onclick = () => get(client, folder);
  element('save').onclick = () => saveZip(folder).catch(tell);
  element('remove').onclick = async () => {
    await folder.remove();
    element('chart').hidden = true;
    element('status').textContent = 'Nothing is kept on this device any more.';
    element('export').focus();
  };
  if ((await folder.status()).complete) await show(folder);
}

/** Gets the chart, or what is missing of it. */
async function get(client, folder) {
  const [button, cancel, bar, status] = ['export', 'cancel', 'bar', 'status'].map(element);
  element('problem').hidden = true;
  button.disabled = true;
  const job = client.crawl(folder, { ids: [client.patient], defaultFilters: false });
  cancel.onclick = () => job.cancel();
  cancel.hidden = bar.hidden = false;
  status.textContent = 'Asking the EHR…';
  let resources = 0;
  try {
    for await (const event of job) {
      if (event.type === 'fileFinished') resources += event.resources;
      if (event.type === 'progress') status.textContent = `${event.task}: ${resources + event.resources} resources so far`;
      if (event.type === 'waiting') status.textContent = event.message ?? 'Waiting for the EHR…';
    }
    const report = await job.result;
    status.textContent = `${report.resources} resources are on this device${report.verdict === 'incomplete' ? '; some could not be had, try again' : ''}.`;
    await show(folder);
  } catch (error) {
    status.textContent = '';
    if (error.code === 'cancelled') status.textContent = 'Stopped. What came is kept; the next try goes on from there.';
    else tell(error);
  } finally {
    cancel.hidden = bar.hidden = true;
    button.disabled = false;
  }
}

/** Reads the chart back. Resources come one by one, however many there are. */
async function show(folder) {
  const types = Object.entries(await folder.types()).filter(([, { resources }]) => resources !== 0);
  element('types').replaceChildren(...types.map(([type, { resources }]) => row(type, resources)));
  const conditions = [];
  for await (const { code, onsetDateTime } of folder.resources('Condition')) conditions.push(item(textOf(code), dateOf(onsetDateTime)));
  element('conditions').replaceChildren(...orNone(conditions));
  let latest = [];
  for await (const observation of folder.resources('Observation')) {
    latest.push(observation);
    if (latest.length > 10 * LATEST) latest = newest(latest);
  }
  const lines = newest(latest).map((one) => item(`${textOf(one.code)}${valueOf(one)}`, dateOf(one.effectiveDateTime)));
  element('observations').replaceChildren(...orNone(lines));
  element('chart').hidden = false;
}

const newest = (observations) =>
  observations.sort((a, b) => (b.effectiveDateTime ?? '').localeCompare(a.effectiveDateTime ?? '')).slice(0, LATEST);

const textOf = (concept) => concept?.text ?? concept?.coding?.[0]?.display ?? 'without a name';
const dateOf = (date) => (date ? new Date(date).toLocaleDateString() : '');
const valueOf = ({ valueQuantity: value }) => (value ? `: ${Number(value.value?.toFixed?.(2) ?? value.value)} ${value.unit ?? ''}` : '');

function describe({ name: [name] = [], birthDate, gender }) {
  const full = name?.text ?? [...(name?.given ?? []), name?.family].filter(Boolean).join(' ');
  return [full, gender, birthDate && `born ${birthDate}`].filter(Boolean).join(', ');
}

function row(type, count) {
  const [line, name, number] = ['tr', 'th', 'td'].map((tag) => document.createElement(tag));
  name.scope = 'row';
  name.textContent = type;
  number.className = 'number';
  number.textContent = count?.toLocaleString() ?? '?';
  line.append(name, number);
  return line;
}

function item(text, date) {
  const [line, small] = ['li', 'small'].map((tag) => document.createElement(tag));
  small.textContent = date;
  line.append(text, ' ', small);
  return line;
}

const orNone = (lines) => (lines.length > 0 ? lines : [item('None', '')]);

function tell(error) {
  const problem = element('problem');
  problem.textContent = [error.message, error.hint].filter(Boolean).join(' ');
  problem.hidden = false;
}

await start().catch(tell);
