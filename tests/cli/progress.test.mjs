// What is shown of a job's events, on a terminal and in a log.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Output } from '../../node-cli/src/output.js';
import { openProgress } from '../../node-cli/src/progress.js';

/** Two outputs that remember; the second one a terminal of `columns`, or none. */
function outputs(columns) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  if (columns) Object.assign(stderr, { isTTY: true, columns, rows: 24 });
  const got = { stdout: '', stderr: '' };
  stdout.on('data', (data) => (got.stdout += data));
  stderr.on('data', (data) => (got.stderr += data));
  return { got, output: new Output(stdout, stderr) };
}

/** The events of an export of `count` files, two under way at a time. */
function* exportOf(count) {
  yield { type: 'phase', phase: 'discover' };
  yield { type: 'phase', phase: 'discover' };
  yield { type: 'phase', phase: 'wait' };
  yield { type: 'kickedOff', statusUrl: 'http://h/status/1' };
  yield { type: 'waiting', reason: 'status', millis: 60_000, progress: '40% done' };
  yield { type: 'manifest', transactionTime: '2024-05-01T00:00:00Z', files: count, resources: count * 10 };
  yield { type: 'phase', phase: 'download' };
  for (let file = 0; file < count; file += 1) {
    const name = `Patient.${String(file + 1).padStart(3, '0')}.ndjson.gz`;
    yield { type: 'fileStarted', file, name, expected: 10 };
    yield { type: 'fileProgress', file, received: 500, resources: 5 };
    yield { type: 'totals', filesDone: file, files: count, received: file * 1000 + 500, resources: file * 10 + 5, active: 2, limit: 5 };
    yield { type: 'fileFinished', file, name, bytes: 1000, received: 1000, resources: 10 };
  }
  yield { type: 'totals', filesDone: count, files: count, received: count * 1000, resources: count * 10, active: 0, limit: 5 };
  yield { type: 'phase', phase: 'finish' };
}

const settle = (millis) =>
  new Promise((resolve) => {
    setTimeout(resolve, millis);
  });

test('plain: phases, the wait in the words of the server, each of a few files', async () => {
  const { got, output } = outputs();
  const progress = await openProgress('auto', output);
  for (const event of exportOf(2)) progress.event(event);
  progress.event({ type: 'warning', code: 'count-mismatch', message: 'Patient.001 holds 9.' });
  progress.stop();
  await settle(5);
  const lines = got.stderr.trimEnd().split('\n').map((line) => line.replace(/^\d\d:\d\d:\d\d /, '@ '));
  assert.deepEqual(lines, [
    '@ Looking at the server…',
    '@ Waiting for the server to prepare the files…',
    '@ 40% done (0s so far, waiting for 1m more)',
    '@ The server offers 2 files with 20 resources, as of 2024-05-01T00:00:00Z.',
    '@ Downloading…',
    '  Downloaded Patient.001.ndjson.gz (1KB)',
    '  Downloaded Patient.002.ndjson.gz (1KB)',
    '@ Finishing…',
    'Warning: Patient.001 holds 9.',
  ]);
  assert.equal(got.stdout, '');
});

test('plain: many files are not listed one by one, unless asked for', async () => {
  for (const [verbose, expected] of [
    [false, 0],
    [true, 300],
  ]) {
    const { got, output } = outputs();
    const progress = await openProgress('plain', output, { verbose });
    for (const event of exportOf(300)) progress.event(event);
    await settle(5);
    assert.equal(got.stderr.match(/Downloaded/g)?.length ?? 0, expected);
  }
});

test('plain: a failed try is told when it is the last one, or when asked for', async () => {
  for (const [verbose, last, shown] of [
    [false, false, false],
    [false, true, true],
    [true, false, true],
  ]) {
    const { got, output } = outputs();
    (await openProgress('plain', output, { verbose })).event({ type: 'fileFailed', file: 1, name: 'Patient.001.ndjson.gz', message: 'Cut off.', last });
    await settle(5);
    assert.equal(got.stderr.includes('Patient.001.ndjson.gz: Cut off.'), shown);
  }
});

test('json: one event a line on standard output; warnings on standard error too; an end', async () => {
  const { got, output } = outputs();
  const progress = await openProgress('json', output, { quiet: true });
  const events = [...exportOf(2), { type: 'warning', code: 'x', message: 'Look.' }];
  for (const event of events) progress.event(event);
  progress.end({ type: 'finished', exitStatus: 0 });
  await settle(5);
  assert.deepEqual(got.stdout.trimEnd().split('\n').map(JSON.parse), [...events, { type: 'finished', exitStatus: 0 }]);
  assert.equal(got.stderr, 'Warning: Look.\n');
});

test('json: a reader that does not read gets every lasting event, and no heap of passing ones', async () => {
  const { got, output } = outputs();
  output.stdout.pause();
  const progress = await openProgress('json', output);
  for (const event of exportOf(5_000)) progress.event(event);
  output.stdout.resume();
  await settle(20);
  const types = got.stdout.trimEnd().split('\n').map((line) => JSON.parse(line).type);
  assert.equal(types.filter((type) => type === 'fileFinished').length, 5_000);
  assert.ok(types.filter((type) => type === 'fileProgress' || type === 'totals').length < 1_000);
});

test('none and quiet: warnings alone', async () => {
  for (const [mode, talk] of [
    ['none', {}],
    ['bar', { quiet: true }],
  ]) {
    const { got, output } = outputs(80);
    const progress = await openProgress(mode, output, talk);
    for (const event of exportOf(2)) progress.event(event);
    progress.event({ type: 'warning', code: 'x', message: 'Look.' });
    await settle(5);
    assert.deepEqual(got, { stdout: '', stderr: 'Warning: Look.\n' });
  }
});

test('bars: the files that take their time, the wait and the whole, within the width of the terminal', async (t) => {
  const { got, output } = outputs(90);
  const progress = await openProgress('auto', output);
  t.after(() => progress.stop());
  const [first] = [...exportOf(3)].filter((event) => event.type === 'fileStarted');
  for (const event of exportOf(3)) {
    if (event.type === 'phase' && event.phase === 'download') await settle(200);
    if (event.type === 'fileFinished') break;
    progress.event(event);
  }
  assert.match(got.stderr, /40% done \(0(\.\d)?s so far, waiting for 1m more\)/);
  await settle(700);
  const screen = got.stderr;
  assert.ok(screen.includes(first.name), 'the file is shown');
  assert.match(screen, /░ +16% 0\/3 files, 5 resources/);
  progress.event({ type: 'warning', code: 'x', message: 'Look here.' });
  progress.stop();
  progress.message('The end.');
  await settle(5);
  assert.ok(got.stderr.includes('Warning: Look here.\n'), 'what was held is told before the bars go');
  assert.ok(got.stderr.endsWith('The end.\n'));
  const drawn = got.stderr.replace(/\u001b\[[?\d;]*[A-Za-z]/g, '').split(/[\r\n]/);
  assert.ok(drawn.every((line) => line.length < 90 * 3), 'lines are cut');
});

test('bars where there is no terminal: lines for a log, whoever asks for bars', async () => {
  const { got, output } = outputs();
  const progress = await openProgress('bar', output);
  for (const event of exportOf(2)) progress.event(event);
  await settle(300);
  progress.stop();
  await settle(5);
  assert.match(got.stderr, /Downloading…\n {2}Downloaded Patient\.001\.ndjson\.gz \(1KB\)\n/);
  assert.doesNotMatch(got.stderr, /\u001b|░/);
});

test('bars: at 80 and at 40 columns, the figures that matter are not cut off', async () => {
  for (const [columns, expected] of [
    [80, [/^ {2}DocumentReference\.001\.ndjson\.gz {4}50% 705\.9KB, 12,345\/24,690 resources$/m, /^█+░+ {2}50% 0\/3 files, 12,345 resources, 705\.9KB(, 5\/5 requests)?, [\ds.]+$/m]],
    [40, [/^ {2}DocumentRef… {2}50% 705\.9KB, /m, /^█+░+ {2}50% 0\/3 files/m]],
  ]) {
    const { got, output } = outputs(columns);
    const progress = await openProgress('auto', output);
    progress.event({ type: 'manifest', transactionTime: '2024-05-01T00:00:00Z', files: 3, resources: 24_690 });
    progress.event({ type: 'phase', phase: 'download' });
    progress.event({ type: 'fileStarted', file: 0, name: 'DocumentReference.001.ndjson.gz', expected: 24_690 });
    progress.event({ type: 'fileProgress', file: 0, received: 722_842, resources: 12_345 });
    progress.event({ type: 'totals', filesDone: 0, files: 3, received: 722_842, resources: 12_345, active: 5, limit: 5 });
    await settle(800);
    progress.event({ type: 'progress', task: 'Downloading referenced Medications from MedicationRequests', done: 97, total: 100, resources: 1204 });
    await settle(300);
    progress.stop();
    await settle(5);
    const drawn = got.stderr.replace(/\u001b\[[?\d;]*[A-Za-z]/g, '\n').split(/[\r\n]+/);
    for (const line of expected) assert.match(drawn.join('\n'), line);
    assert.ok(drawn.every((line) => line.length < columns), `nothing is wider than ${columns} columns`);
    if (columns === 80) assert.match(drawn.join('\n'), /97% Downloading .*…: 97 of 100, 1,204 resources, [\ds.]+$/m);
  }
});

test('bars: 20,000 small files cost no more than moments', async () => {
  const { output } = outputs(100);
  const progress = await openProgress('bar', output);
  const before = process.cpuUsage();
  for (const event of exportOf(20_000)) progress.event(event);
  progress.stop();
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 1_500_000, `took ${(user + system) / 1000} ms`);
});
