import { existsSync } from 'node:fs';
import { basename, relative } from 'node:path';
import { allFlags } from './args.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Calls `first` at the first request to stop and `second` at each further one, until the returned function is called.
 * @param {() => void} first
 * @param {() => void} second
 */
export function onInterrupt(first, second) {
  let seen = 0;
  const listener = () => {
    seen += 1;
    if (seen === 1) first();
    else second();
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
}

/**
 * The command line that does the same again, fit for pasting into a shell. Secrets that stood on it are replaced by `…`.
 * @param {string[]} argv
 * @param {string[]} more flags to add
 */
export function repeatCommand(argv, more = []) {
  const flags = allFlags();
  const words = [];
  let hidden;
  for (const word of argv) {
    const [, name, value] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? [];
    const flag = flags.get(name);
    if (hidden) {
      words.push(quote(withoutSecret(hidden, word)));
      hidden = undefined;
    } else if (flag?.secret && value !== undefined) {
      words.push(quote(`--${name}=${withoutSecret(flag, value)}`));
    } else {
      words.push(quote(word));
      if (flag?.secret) hidden = flag;
    }
  }
  return [...program(), ...words, ...more.filter((flag) => !argv.includes(flag))].join(' ');
}

function withoutSecret(flag, value) {
  if (flag.kind === 'header') return `${value.split(':', 1)[0]}: …`;
  return existsSync(value) ? value : '…';
}

/** How this program was called: by the command that npm installs, or as a script. */
function program() {
  const script = process.argv[1];
  return script.endsWith('.js') ? ['node', quote(relative('', script))] : [basename(script)];
}

function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
