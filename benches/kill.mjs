// Kills the CLI with SIGKILL at random moments, again and again, and reruns the same command until it is done.
//
//   node benches/kill.mjs [bulk|export|crawl|hydrate|all] [--rounds 100] [--seed 1] [--keep FOLDER] [--cli FILE]
//
// After each kill the folder is looked at: no torn file may have its final name, every link must lead to a complete file, no
// type may be called done that is not, and inputs must be as they were. In the end the folder must hold what a run that
// nobody disturbed leaves, no row more and none less, and `smart-fetch verify` must find nothing wrong with it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure, main, say } from '../scripts/lib/run.mjs';
import { BulkKill } from './kill/bulk.mjs';
import { CrawlKill } from './kill/crawl.mjs';
import { ExportKill } from './kill/export.mjs';
import { HydrateKill } from './kill/hydrate.mjs';
import { ours, randomBy, runOurs, temporaryKinds, verifyProblems } from './kill/run.mjs';

const MODES = { bulk: BulkKill, export: ExportKill, crawl: CrawlKill, hydrate: HydrateKill };
/** After so many kills of one command it is left alone, so that every round ends. */
const KILLS_A_COMMAND = 10;
/** No kill comes earlier: before that, Node is still loading. In ms. */
const EARLIEST = 60;
const TAKEOVER_WAIT = 20_000;

/**
 * @typedef {object} Mode what is killed, and what is looked at. One object serves all rounds.
 * @property {() => Promise<void>} open starts the server and finds out what an undisturbed run leaves
 * @property {() => Promise<void>} close
 * @property {(folder: string, round: number) => AsyncIterable<Command>} commands of a round, each to be run until it is done
 * @property {(folder: string) => string[]} afterKill problems of the folder now
 * @property {(folder: string) => string[]} afterCommand problems of the folder when a command is done
 * @property {() => string} summary what was seen, so that a run that proves nothing shows
 */

/**
 * @typedef {object} Command
 * @property {string[]} args
 * @property {number} [exit] the status with which it ends: 0, or 3 where some patients are made to fail
 * @property {RegExp} [expected] what `verify` says of that
 */

/** Runs one command until it is done, killing it at random. Returns the problems. */
async function killed({ args, exit = 0, expected }, { mode, folder, random, seen }) {
  const problems = [];
  let since = performance.now();
  for (let kills = 0; ; kills += 1) {
    const began = performance.now();
    const spare = kills >= KILLS_A_COMMAND || seen.duration === 0;
    const { code, errors, phase } = await runOurs(args, spare ? null : EARLIEST + random() * Math.max(0, seen.duration - EARLIEST) * 1.1);
    if (code === exit) {
      // The machine may have been busy when it was measured first.
      if (kills === 0) seen.duration = Math.min(seen.duration || Infinity, performance.now() - began);
      break;
    }
    // A kill in the milliseconds in which a lock is taken over: the next run has to wait until that is 10 s old.
    if (code === 1 && /has just taken this folder/.test(errors) && performance.now() - since < TAKEOVER_WAIT) {
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
      kills -= 1;
      continue;
    }
    since = performance.now();
    if (code !== null) return [...problems, `ended with ${code} after ${kills} kills: ${errors}`];
    if (spare) return [...problems, `was killed by somebody else`];
    seen.kills += 1;
    seen.moments.push(phase, ...temporaryKinds(folder));
    problems.push(...mode.afterKill(folder).map((problem) => `after kill ${kills + 1}: ${problem}`));
  }
  return [...problems, ...mode.afterCommand(folder), ...(await verifyProblems(folder, expected))];
}

/** `a 3, b 1`, most first. */
function counted(words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([word, count]) => `${word} ${count}`).join(', ');
}

async function runMode(name, { rounds, seed, keep }) {
  say(name);
  const mode = new MODES[name]();
  const random = randomBy(seed);
  const seen = { kills: 0, commands: 0, durations: new Map(), moments: [] };
  let wrong = 0;
  await mode.open();
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const folder = mkdtempSync(join(keep ?? tmpdir(), `smart-fetch-kill-${name}-`));
      const problems = [];
      let n = 0;
      for await (const command of mode.commands(folder, round)) {
        n += 1;
        // How long a command takes is measured by kind, in the first round, which nobody disturbs.
        const key = `${mode.kind?.(round) ?? ''} ${n}`;
        const timing = { kills: 0, duration: seen.durations.get(key) ?? 0, moments: seen.moments };
        problems.push(...(await killed(command, { mode, folder, random, seen: timing })).map((problem) => `command ${n} ${problem}`));
        seen.durations.set(key, timing.duration);
        seen.kills += timing.kills;
        seen.commands += 1;
      }
      if (problems.length > 0) {
        wrong += 1;
        console.log(`round ${round} (kept: ${folder}):\n  ${problems.slice(0, 10).join('\n  ')}`);
      } else rmSync(folder, { recursive: true });
    }
  } finally {
    await mode.close();
  }
  const [phases, kinds] = [seen.moments.filter((word) => !word.startsWith('.')), seen.moments.filter((word) => word.startsWith('.'))];
  console.log(`${name}: ${rounds} rounds, ${seen.commands} commands, ${seen.kills} kills, ${mode.summary()}; ${wrong} rounds went wrong`);
  console.log(`  killed in phase: ${counted(phases)}\n  with temporary files: ${counted(kinds)}`);
  if (seen.kills === 0) throw new Failure('Nothing was ever killed: the runs were not long enough to prove anything.');
  return wrong;
}

await main(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' }, keep: { type: 'string' }, cli: { type: 'string' } },
  });
  if (values.cli) ours.cli = values.cli;
  const [which = 'bulk'] = positionals;
  const names = which === 'all' ? Object.keys(MODES) : [which];
  if (!names.every((name) => MODES[name])) throw new Failure(`There is no mode '${which}'; choose one of ${Object.keys(MODES).join(', ')} or all.`);
  let wrong = 0;
  for (const name of names) wrong += await runMode(name, { rounds: Number(values.rounds), seed: Number(values.seed), keep: values.keep });
  if (wrong > 0) throw new Failure(`${wrong} rounds went wrong.`);
});
