// Set-up on a machine that has only rustup, Node, npm, git and a C compiler. Tools built from source go to a cache outside
// the clone, so that a second clone has them at once. Nothing here reaches past the crate and npm registries and rustup.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Failure, must, root, run, say, seconds } from './run.mjs';

const WASM_PACK = '0.15.1';

const read = (path) => readFileSync(join(root, path), 'utf8');

/** The version of a crate in Cargo.lock. The wasm-bindgen CLI has to equal the crate exactly. */
export function lockedVersion(crate) {
  const found = read('Cargo.lock').match(new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`));
  if (!found) throw new Failure(`Cargo.lock does not name ${crate}.`);
  return found[1];
}

async function versionOf(command, env) {
  const { code, output } = await run(command, ['--version'], { env, quiet: true });
  return code === 0 ? output.trim() : '';
}

/** The toolchain of rust-toolchain.toml, with its components and the WebAssembly target. */
export async function ensureRust() {
  if (!(await versionOf('rustup'))) {
    throw new Failure('rustup was not found. Install it from https://rustup.rs, open a new shell, and run this again.');
  }
  // rustup installs a toolchain file's channel on first use; releases that do not are told to.
  if (!(await versionOf('cargo'))) await must('rustup', ['toolchain', 'install']);
  const targets = await must('rustup', ['target', 'list', '--installed'], { quiet: true });
  if (!targets.includes('wasm32-unknown-unknown')) await must('rustup', ['target', 'add', 'wasm32-unknown-unknown']);
  const components = await must('rustup', ['component', 'list', '--installed'], { quiet: true });
  for (const name of ['rustfmt', 'clippy']) {
    if (!components.includes(name)) await must('rustup', ['component', 'add', name]);
  }
}

/** `npm ci` when node_modules is missing or older than the lock file. */
export async function ensureNpm() {
  const stamp = join(root, 'node_modules/.installed-lock');
  const lock = createHash('sha256').update(read('package-lock.json')).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('npm ci');
  await must('npm', ['ci', '--no-audit', '--no-fund']);
  writeFileSync(stamp, lock);
}

/** The folder of `binary` from `crate`: from PATH if it has just that version, else from the cache, built there once. */
async function ensureCargoTool(crate, binary, version) {
  const isRight = (text) => text.split(/\s+/).includes(version);
  if (isRight(await versionOf(binary))) return undefined;
  const cache = process.env.SMART_FETCH_TOOLS ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/tools');
  const home = join(cache, `${crate}-${version}`);
  const bin = join(home, 'bin');
  if (!isRight(await versionOf(join(bin, binary)))) {
    say(`cargo install ${crate} ${version} into ${home} (once per machine)`);
    const started = Date.now();
    // Without --locked: the lock files inside these crates may pin a version that a mirror does not have (yet). Our
    // flags and target folder are not theirs.
    const { CARGO_TARGET_DIR, RUSTFLAGS, ...env } = process.env;
    await must('cargo', ['install', crate, '--version', version, '--root', home, '--force'], { env, limit: 45 });
    process.stdout.write(`${crate} ${version} built in ${seconds(Date.now() - started)}\n`);
  }
  return bin;
}

/**
 * Everything that a build needs. Resolves to the environment to run it with: the pinned tools come first on PATH, above
 * all `wasm-opt`, because the old one that Debian ships exits with 0 and writes a module that dies when it is started.
 */
export async function ensureBuildTools() {
  await ensureRust();
  await ensureNpm();
  const folders = [join(root, 'node_modules/.bin')];
  for (const [crate, binary, version] of [
    ['wasm-bindgen-cli', 'wasm-bindgen', lockedVersion('wasm-bindgen')],
    ['wasm-pack', 'wasm-pack', WASM_PACK],
  ]) {
    const folder = await ensureCargoTool(crate, binary, version);
    if (folder) folders.push(folder);
  }
  const env = { ...process.env, PATH: [...folders, process.env.PATH].join(delimiter) };
  const wanted = JSON.parse(read('package.json')).devDependencies.binaryen.split('.')[0];
  const found = await versionOf('wasm-opt', env);
  if (!found.includes(`version ${wanted}`)) {
    throw new Failure(`wasm-opt is "${found}", not binaryen ${wanted}. Run \`npm ci\` and try again.`);
  }
  return env;
}

/** The path of a Chromium for browser tests; installs Debian's when it is missing and we may. */
export async function ensureChromium() {
  const names = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter(Boolean);
  const find = async () => {
    for (const name of names) if (await versionOf(name)) return name;
    return undefined;
  };
  const found = await find();
  if (found) return found;
  if (process.getuid?.() === 0 && (await versionOf('apt-get'))) {
    say('apt-get install chromium');
    await must('apt-get', ['update'], { quiet: true });
    await must('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      quiet: true,
    });
    const installed = await find();
    if (installed) return installed;
  }
  throw new Failure('Browser tests need Chromium. Install it, or set CHROMIUM to the path of its program, and run this again.');
}
