// The parts of the demo page that need no browser: dates, words, and how a run ended.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf, dateOf } from '../../www/src/dates.js';
import { resumeWord, verdictOf } from '../../www/src/verdict.js';
import { describe } from '../../www/src/ways.js';
import { bytes, count, duration, fileProblem, plural, wait } from '../../www/src/words.js';

test('the date of a resource is when it happened, before when it was written down', () => {
  assert.equal(dateOf({ effectiveDateTime: '2021-03-04T10:00:00Z', issued: '2022-01-01', meta: { lastUpdated: '2024-01-01T00:00:00Z' } }), '2021-03');
  assert.equal(dateOf({ period: { start: '1999-12-31' } }), '1999-12');
  assert.equal(dateOf({ birthDate: '1970' }), '1970');
  assert.equal(dateOf({ meta: { lastUpdated: '2024-01-01T00:00:00Z' } }), '2024-01');
  for (const none of [{}, { date: 'soon' }, { date: 7 }, { period: {} }, { period: 'x' }]) assert.equal(dateOf(none), undefined);
});

test('columns have no gaps, go by month only where all is within some years, and hold every resource', () => {
  assert.deepEqual(columnsOf(new Map([['2023-11', 2], ['2024-02', 1]])), { unit: 'month', columns: [['2023-11', 2], ['2023-12', 0], ['2024-01', 0], ['2024-02', 1]] });
  assert.deepEqual(columnsOf(new Map([['2020-01', 2], ['2023', 1]])), { unit: 'year', columns: [['2020', 2], ['2021', 0], ['2022', 0], ['2023', 1]] });
  assert.deepEqual(columnsOf(new Map([['1990-05', 1], ['1990-07', 4], ['2023-01', 1]])).columns.filter(([, number]) => number > 0), [['1990', 5], ['2023', 1]]);
  assert.deepEqual(columnsOf(new Map([['0001-01', 1], ['9999-12', 2]])).columns, [['0001', 1], ['9999', 2]]);
  assert.deepEqual(columnsOf(new Map()), { unit: 'year', columns: [] });
});

test('numbers as people read them', () => {
  assert.deepEqual([0, 999, 1000, 1449, 99_400, 999_499, 999_500, 1_500_000, 12e9].map(bytes), ['0 bytes', '999 bytes', '1 KB', '1.4 KB', '99.4 KB', '999 KB', '1 MB', '1.5 MB', '12 GB']);
  assert.deepEqual([0, 4999, 60_000, 130_000, 3_600_000, 5_400_000].map(duration), ['0 s', '5 s', '1 min', '2 min 10 s', '1 h', '1 h 30 min']);
  assert.deepEqual([count(1234567), plural(1, 'file'), plural(0, 'file')], ['1,234,567', '1 file', '0 files']);
  assert.equal(fileProblem('https://a.example/f/1?… answered 503: busy'), 'the server answered 503: busy.');
  assert.equal(wait({ reason: 'status', left: 5000, progress: '40% done' }), 'The server says: 40% done. Asking again in 5 s.');
  assert.equal(wait({ reason: 'retry', left: 60_000, message: 'The server answered 503.' }), 'The server answered 503. Trying again in 1 min.');
});

const none = { verdict: 'complete', failed: [], bad: [], unknown: [], patients: 0, missing: {}, examples: [], references: 0, failures: [], deletions: 0 };
const run = { state: 'finished', request: {}, types: [], transactionTime: '2026-01-01T00:00:00Z', files: 2, missing: 0, resources: 9, bytes: 9, errors: 0 };
const file = { name: 'Patient.001.ndjson.gz', kind: 'output', type: 'Patient' };

test('a run is called good only where nothing is missing and nothing went wrong', () => {
  const done = { kind: 'output', complete: true, runs: [run], files: [file] };
  const kindOf = (facts) => verdictOf({ status: done, run, outcome: none, ...facts })[0];
  assert.equal(kindOf({}), 'good');
  assert.equal(kindOf({ outcome: undefined }), 'good');
  for (const outcome of [{ unknown: ['x'] }, { references: 1 }, { missing: { Condition: 2 } }, { failed: [{ name: 'a', problem: 'b' }] }, { verdict: 'withErrors' }]) {
    assert.equal(kindOf({ outcome: { ...none, ...outcome } }), 'warn', JSON.stringify(outcome));
  }
  assert.equal(kindOf({ run: { ...run, errors: 1 } }), 'warn');
  assert.equal(kindOf({ isEmpty: true }), 'warn');
  const listed = { ...file, kind: 'error', name: '001.x/error/OperationOutcome.hydration.ndjson.gz' };
  assert.equal(kindOf({ status: { ...done, files: [file, listed] } }), 'warn');
  const problem = { title: 'T', text: 't.' };
  const nothing = { complete: false, runs: [], files: [] };
  assert.deepEqual(verdictOf({ status: nothing, problem }), ['bad', 'The export failed, and nothing is here.', 'T: t.']);
  assert.equal(resumeWord({ managed: false, status: nothing, problem }), 'Try again');
  assert.match(verdictOf({ status: { ...done, complete: false }, run: { ...run, state: 'downloading', missing: 1 }, problem })[1], /1 file of 2 is missing/);
  const managed = { kind: 'managed', complete: false, runs: [], files: [file], exports: [{ complete: true, runs: [run] }] };
  assert.equal(kindOf({ status: managed }), 'good');
  assert.equal(kindOf({ status: { ...managed, exports: [{ complete: true, runs: [{ ...run, errors: 2 }] }] } }), 'warn');
  assert.equal(kindOf({ status: { ...managed, exports: [{ complete: false, runs: [] }] } }), 'warn');
});

test('runs of one server are told apart', () => {
  const options = { level: { group: '7' }, types: ['Patient', 'Condition'] };
  assert.equal(describe({ options }), 'One bulk export · group 7 · Patient, Condition');
  assert.equal(describe({ way: 'crawl', hydrate: true, options: { ...options, ids: ['a', 'b'], types: [] } }), 'A crawl, patient by patient · 2 patients · usual types · with what is referred to');
});
