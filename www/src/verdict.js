// How a run ended, in a title and a sentence: from what is in its folder, and from what was kept of its report.
import { count, plural } from './words.js';

/** Whether anything at all is in the folder. */
export const hasAny = ({ files, exports = [] }) => files.length > 0 || exports.some(({ complete }) => complete);

/** What the button is called that goes on with a run. */
export const resumeWord = ({ managed, status, problem }) =>
  problem && !hasAny(status) ? 'Try again' : managed && status.exports?.at(-1)?.complete ? 'Get what changed' : 'Resume';

/**
 * @param {object} facts
 * @param {import('smart-fetch').FolderStatus} facts.status
 * @param {import('./ways.js').Outcome} [facts.outcome]
 * @param {{ title: string, text: string, hint?: string }} [facts.problem] why it ended, where that was no end of its own
 * @param {import('smart-fetch').FolderRun} [facts.run] the last job
 * @param {boolean} [facts.isEmpty] whether it is known that there is no resource
 * @returns {['good' | 'warn' | 'bad', string, string]} kind, title, text
 */
export function verdictOf({ status, outcome, problem, run, isEmpty = false }) {
  if (problem && !hasAny(status)) {
    return ['bad', 'The export failed, and nothing is here.', [`${problem.title}: ${problem.text}`, problem.hint].filter(Boolean).join(' ')];
  }
  const lack = lacking(status, outcome);
  if (status.kind === 'managed') return ofManaged(status, lack);
  if (!status.complete) return ofUnfinished(run, outcome, problem);
  if (lack) return ['warn', `The export is complete, but ${lack}.`, 'Everything else is here. See “Errors and deletions” below.'];
  if (outcome?.verdict === 'withErrors' || (run?.errors ?? 0) > 0) {
    return ['warn', 'The export is complete, but the server reported problems.', 'Everything that it offered is here. See “Errors and deletions” below.'];
  }
  if (isEmpty) {
    return ['warn', 'The export is complete, and empty.', 'The server has nothing that fits: perhaps the group has no members, the types are not there, or the date is too late.'];
  }
  if (!run) return ['good', 'The export is complete.', 'So says what made this folder. “Verify” reads every file.'];
  // What a bulk export announces has a time.
  const isCrawl = run.transactionTime === undefined;
  const checked = 'Every file was checked: whole, and each line a resource of its type';
  return ['good', 'The export is complete.', isCrawl ? `${checked}; every patient was asked for.` : `${checked}. Nothing that the server announced is missing.`];
}

/** What was not to be had though the export has ended, as the end of a sentence. */
function lacking({ files, exports = [] }, outcome) {
  const parts = [];
  if (outcome?.unknown.length > 0) parts.push(`the server does not know ${plural(outcome.unknown.length, 'patient')} of those that were asked for`);
  const patients = Math.max(0, ...Object.values(outcome?.missing ?? {}));
  if (patients > 0) parts.push(`${plural(patients, 'patient')} could not be fetched whole`);
  if (outcome?.failed.length > 0) parts.push(`${plural(outcome.failed.length, 'file')} could not be had`);
  // The list of them is in the folder, whoever made it.
  const isListed = files.some(({ kind, name }) => kind === 'error' && name.includes('OperationOutcome.hydration.'));
  if (outcome?.references > 0) parts.push(`${plural(outcome.references, 'reference')} could not be followed`);
  else if (isListed) parts.push('some references could not be followed');
  return parts.join(', and ');
}

function ofManaged({ exports = [] }, lack) {
  const last = exports.at(-1);
  if (last?.complete === false) {
    return ['warn', `The last export is not finished${lack ? `: ${lack}` : ''}.`, exports.length > 1 ? 'What is current is from those before it. Resume it to get just what is missing.' : 'Resume it to get just what is missing.'];
  }
  const errors = last?.runs.reduce((sum, { errors: found }) => sum + found, 0) ?? 0;
  const title = 'This folder is kept up to date';
  const text = 'Below is what is current, from all exports in it. “Get what changed” asks the server for what is new, changed or deleted since.';
  if (lack) return ['warn', `${title}, but ${lack}.`, `See “Errors and deletions” below. ${text}`];
  if (errors > 0) return ['warn', `${title}, but the server reported problems with the last export.`, `See “Errors and deletions” below. ${text}`];
  return ['good', `${title}.`, text];
}

function ofUnfinished(run, outcome, problem) {
  const why = problem ? `It ended with: ${problem.title}. ` : '';
  if (run?.state === 'waiting') return ['warn', 'The export is not finished: the server was still preparing the files.', `${why}Resume it to go on waiting.`];
  const missing = run?.missing ?? 0;
  const unknown = outcome?.unknown.length ?? 0;
  if (missing === 0 && unknown > 0) {
    return ['warn', `The export is not complete: the server does not know ${plural(unknown, 'patient')} of those that were asked for.`, 'They are named below. The rest is here and checked.'];
  }
  const what = missing > 0 ? `: ${plural(missing, 'file')} of ${count(run.files)} ${missing === 1 ? 'is' : 'are'} missing` : '';
  return ['warn', `The export is not finished${what}.`, `${why}What is here is complete and checked. Resume it to get just what is missing.`];
}
