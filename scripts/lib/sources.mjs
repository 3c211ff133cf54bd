// Which files of the repository the checks look at: what git tracks or would track, so nothing built and nothing ignored.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { must, root } from './run.mjs';

let listed;

/** Paths of source files, relative to the root, `/` between parts; those that match `pattern`. */
export async function sourceFiles(pattern) {
  listed ??= must('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { quiet: true });
  const paths = (await listed).split('\0');
  return [...new Set(paths)].filter((path) => pattern.test(path) && existsSync(join(root, path))).sort();
}

/** The lines of one of them. */
export const linesOf = (path) => readFileSync(join(root, path), 'utf8').split('\n');
