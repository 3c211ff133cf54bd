// The command as a user gets it: packed, installed beside the package elsewhere, and started by its name.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { deadLinks, installed, program, root } from './install.mjs';

test('the installed command starts by its name, and holds no tests or fixtures', (t) => {
  const { app, packed } = installed(t, 'node-cli', 'pkg');
  const { version } = JSON.parse(readFileSync(join(root, 'node-cli/package.json'), 'utf8'));
  const said = program(join(app, 'node_modules/.bin/smart-fetch'), ['--version'], { cwd: app });
  assert.match(said, new RegExp(`(^|\\s)${version.replaceAll('.', '\\.')}$`));
  assert.ok(packed.includes('page/index.html'), 'the page that `serve` hosts');
  assert.deepEqual(packed.filter((path) => !/^(bin|page|src)\//.test(path)), ['LICENSE', 'README.md', 'package.json']);
  assert.deepEqual(deadLinks(join(app, 'node_modules/smart-fetch-cli'), packed), []);
});
