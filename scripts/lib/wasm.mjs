// The WebAssembly files (DESIGN: numbers behind the choices): `simd` for every current engine, with zlib-rs, and `base`, without
// SIMD and with miniz_oxide, which the loader takes where SIMD does not validate. Each there is twice: with what pages and
// workers need from the start, and `full`, with all jobs, which is loaded when one of those is started.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Failure, must, root, say, seconds, targetDir } from './run.mjs';

/** What differs between the files. `cargo` holds the arguments that clippy and the build share. */
export const flavours = [
  { name: 'full_simd', simd: true, cargo: [] },
  { name: 'full_base', simd: false, cargo: ['--no-default-features', '--features', 'miniz,full'] },
  { name: 'simd', simd: true, cargo: ['--no-default-features', '--features', 'zlib-rs'] },
  { name: 'base', simd: false, cargo: ['--no-default-features', '--features', 'miniz'] },
];

/** Where the loader of the package reads the files in a clone. Built, never committed. */
const out = join(root, 'pkg-template/wasm');
const stamp = join(out, '.inputs.json');

const INPUTS = ['src', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', '.cargo/config.toml', 'package-lock.json', 'scripts/lib/wasm.mjs', 'scripts/lib/tools.mjs'];

const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

function filesUnder(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** One hash over the contents of everything that the files are built from. */
function hashInputs() {
  const hash = createHash('sha256');
  for (const file of INPUTS.flatMap((input) => filesUnder(join(root, input)))) {
    hash.update(`${relative(root, file)} ${sha(readFileSync(file))}\n`);
  }
  return hash.digest('hex');
}

const hashOutputs = () =>
  Object.fromEntries(readdirSync(out).filter((name) => !name.startsWith('.')).sort().map((name) => [name, sha(readFileSync(join(out, name)))]));

/** True when pkg-template/wasm holds just what these sources built, untouched since. */
function isCurrent(inputs) {
  if (!existsSync(stamp)) return false;
  const built = JSON.parse(readFileSync(stamp, 'utf8'));
  return built.inputs === inputs && JSON.stringify(built.outputs) === JSON.stringify(hashOutputs());
}

/** Builds one file into a folder of its own and returns that folder. */
async function buildFlavour({ name, simd, cargo }, env, mode = 'release') {
  // What is built for the same engine shares its dependencies.
  const folder = join(targetDir, `wasm-${simd ? 'simd' : 'base'}`);
  const result = join(folder, `out-${name}`);
  rmSync(result, { recursive: true, force: true });
  // Panic messages hold the paths of sources: what we publish must not name the builder's home.
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry/src');
  // The standard library's are local where rustup's rust-src component is installed.
  const library = join(realpathSync((await must('rustc', ['--print', 'sysroot'], { quiet: true })).trim()), 'lib/rustlib/src/rust');
  const places = [[registry, 'crates'], [library, 'rust'], [root, 'smart-fetch']];
  const flags = [...(simd ? ['-Ctarget-feature=+simd128'] : []), ...places.map(([path, name]) => `--remap-path-prefix=${path}=${name}`)];
  const args = ['build', root, `--${mode}`, '--target', 'web', '--mode', 'no-install', '--no-pack', '--no-gitignore'];
  await must('wasm-pack', [...args, '--out-dir', result, '--out-name', `smart_fetch_${name}`, '--', '--locked', ...cargo], {
    // A target folder for each engine, because different flags would otherwise rebuild everything at each turn. The encoded form
    // of the flags allows blanks in paths and goes before any RUSTFLAGS of the user.
    env: { ...env, CARGO_TARGET_DIR: folder, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') },
  });
  return result;
}

/** Starts the release file in Node: a build that ends with 0 is no proof that the module lives. */
async function smokeTest(folder, { name, simd }, env) {
  const file = join(folder, `smart_fetch_${name}_bg.wasm`);
  const glue = await import(pathToFileURL(join(folder, `smart_fetch_${name}.js`)).href);
  glue.initSync({ module: readFileSync(file) });
  const [, expected] = readFileSync(join(root, 'Cargo.toml'), 'utf8').match(/^version = "([^"]+)"/m);
  const version = glue.version();
  if (version !== expected) throw new Failure(`${basename(file)} says version ${version}, Cargo.toml says ${expected}.`);
  const text = await must('wasm-dis', [file], { env, quiet: true });
  if (/\bv128\./.test(text) !== simd) {
    throw new Failure(`${basename(file)} ${simd ? 'holds no' : 'holds'} SIMD instructions.`);
  }
}

/** Builds, tries and places the files, unless nothing they depend on has changed. */
export async function buildWasm(env) {
  const inputs = hashInputs();
  if (isCurrent(inputs)) {
    say('WebAssembly files are up to date');
    return;
  }
  const built = [];
  for (const flavour of flavours) {
    say(`WebAssembly: ${flavour.name}`);
    const started = Date.now();
    const folder = await buildFlavour(flavour, env);
    await smokeTest(folder, flavour, env);
    built.push(folder);
    process.stdout.write(`${flavour.name} built and started in ${seconds(Date.now() - started)}\n`);
  }
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  for (const folder of built) cpSync(folder, out, { recursive: true });
  writeFileSync(stamp, JSON.stringify({ inputs, outputs: hashOutputs() }));
}

/**
 * Builds one file without optimising it, which stands in for the others. The stamp of the release files goes, so that the tests
 * build those again.
 */
export async function buildForDevelopment(env) {
  const [whole, ...others] = flavours;
  const folder = await buildFlavour(whole, env, 'dev');
  rmSync(out, { recursive: true, force: true });
  cpSync(folder, out, { recursive: true });
  for (const { name } of others) {
    for (const ending of ['.js', '.d.ts', '_bg.wasm']) cpSync(join(out, `smart_fetch_${whole.name}${ending}`), join(out, `smart_fetch_${name}${ending}`));
  }
}

/**
 * Assembles pkg/, ready for `npm pack`: the hand-written package around the built files. The command line's package gets the
 * same README and licence.
 */
export function assemblePackage() {
  const pkg = join(root, 'pkg');
  rmSync(pkg, { recursive: true, force: true });
  cpSync(join(root, 'pkg-template'), pkg, { recursive: true, filter: (path) => !/node_modules$|\.inputs\.json$/.test(path) });
  cpSync(join(root, 'CHANGELOG.md'), join(pkg, 'CHANGELOG.md'));
  const readme = readFileSync(join(root, 'README.md'), 'utf8').replace(/<!-- repository\b.*?<!-- \/repository -->\n\n?/gs, '');
  for (const folder of [pkg, join(root, 'node-cli')]) {
    writeFileSync(join(folder, 'README.md'), readme);
    cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  }
}
