// Folders of a page on disk, and folders of the command line in a page, by the ways that users have: a ZIP file out, a picked folder in.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { unzip } from './unzip.mjs';

/** Unpacks a folder of the page at `path`, with its links as links. */
export async function toDisk(page, name, path, storage = 'opfs') {
  const text = await page.evaluate(
    async ([name, storage]) => {
      const folder = await globalThis.sf.openFolder(name, { storage });
      const blob = await new Response(globalThis.sf.zip(folder)).blob();
      const reader = Object.assign(new FileReader(), {});
      await new Promise((resolve, reject) => {
        Object.assign(reader, { onload: resolve, onerror: reject });
        reader.readAsDataURL(blob);
      });
      return reader.result.slice(reader.result.indexOf(',') + 1);
    },
    [name, storage],
  );
  mkdirSync(path, { recursive: true });
  for (const [name, bytes] of unzip(Buffer.from(text, 'base64'))) {
    if (name === '.links.json') {
      for (const [link, target] of Object.entries(JSON.parse(bytes))) symlinkSync(target, join(path, link));
      continue;
    }
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), bytes);
  }
}

/** Takes the folder at `path` into the page as `name`. */
export async function fromDisk(page, path, name, storage = 'opfs') {
  await page.evaluate(() => document.body.replaceChildren(Object.assign(document.createElement('input'), { type: 'file', webkitdirectory: true })));
  await page.locator('input').setInputFiles(path);
  return page.evaluate(
    async ([name, storage]) => globalThis.sf.importFolder(await globalThis.sf.openFolder(name, { storage }), document.querySelector('input').files),
    [name, storage],
  );
}
