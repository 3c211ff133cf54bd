// Where a job stands, gathered from its events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tally } from '../../pkg-template/tally.js';

test('a tally of events: files, share, rate and the wait under way', () => {
  let now = 0;
  const tally = new Tally(() => now);
  const take = (...events) => events.forEach((event) => tally.take(event));
  take({ type: 'phase', phase: 'wait' }, { type: 'waiting', reason: 'status', millis: 1000 });
  assert.equal(tally.wait.left, 1000);
  assert.equal(tally.share, undefined);
  now = 1000;
  assert.equal(tally.wait, undefined, 'it is over');
  take({ type: 'manifest', files: 4, resources: 200 }, { type: 'phase', phase: 'download' }, { type: 'fileStarted', file: 1, name: 'a', expected: 50 });
  take({ type: 'totals', filesDone: 0, files: 4, received: 0, resources: 0 });
  now = 3000;
  take({ type: 'fileProgress', file: 1, received: 10_000, resources: 50 }, { type: 'totals', filesDone: 0, files: 4, received: 10_000, resources: 50 });
  assert.equal(tally.rate, 5000);
  assert.equal(tally.share, 0.25);
  take({ type: 'fileFailed', file: 1, name: 'a', message: 'cut', last: false });
  assert.equal(tally.files.get(1).state, 'again');
  take({ type: 'fileStarted', file: 1, name: 'a' }, { type: 'fileFinished', file: 1, name: 'a', bytes: 9, received: 10_000, resources: 50 });
  assert.deepEqual([tally.files.get(1).state, tally.files.get(1).resources], ['done', 50]);
  for (let file = 2; file < 20_000; file += 1) take({ type: 'fileStarted', file, name: `${file}` }, { type: 'fileFinished', file, name: `${file}`, bytes: 1, received: 1, resources: 1 });
  assert.ok(tally.files.size < 100, 'any number of files takes little');
  assert.ok(tally.files.has(19_999));
  take({ type: 'phase', phase: 'crawl' }, { type: 'progress', task: 'Crawling Conditions', done: 1, total: 4, resources: 9 });
  assert.equal(tally.share, 0.25);
  take({ type: 'waiting', reason: 'retry', millis: 500 }, { type: 'waiting', reason: 'throttled', millis: 900 });
  assert.deepEqual([tally.wait.reason, tally.wait.left], ['throttled', 900]);
  take({ type: 'phase', phase: 'finish' });
  assert.equal(tally.share, 1);
});
