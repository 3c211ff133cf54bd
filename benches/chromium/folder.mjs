// Folders between disk and OPFS, whole: with what a job left half done, and links as the index that stands for them there.
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const INDEX = '.links.json';

/** Puts what is at `path` into the folder `name` of the page's site. A folder that is not there is not made. */
export async function writeFolder(page, path, name) {
  if (!existsSync(path)) return;
  await page.evaluate(write, { name });
  const links = {};
  for (const one of readdirSync(path, { recursive: true })) {
    const stat = lstatSync(join(path, one));
    if (stat.isSymbolicLink()) links[one] = readlinkSync(join(path, one));
    else await page.evaluate(write, { name, path: one, content: stat.isDirectory() ? undefined : readFileSync(join(path, one)).toString('base64') });
  }
  if (Object.keys(links).length > 0) await page.evaluate(write, { name, path: INDEX, content: Buffer.from(JSON.stringify(links)).toString('base64') });
}

/** In the page: a file, or a folder where there is no content. */
async function write({ name, path = '', content }) {
  let folder = await navigator.storage.getDirectory();
  const segments = ['smart-fetch', encodeURIComponent(name), ...path.split('/')].filter(Boolean);
  const file = content === undefined ? undefined : segments.pop();
  for (const segment of segments) folder = await folder.getDirectoryHandle(segment, { create: true });
  if (file === undefined) return;
  const writer = await (await folder.getFileHandle(file, { create: true })).createWritable();
  await writer.write(Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)));
  await writer.close();
}

/** Puts the folder `name` of the page's site at `path`, in the place of what is there. */
export async function readFolder(page, name, path) {
  const entries = await page.evaluate(list, name);
  if (!entries) return;
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  for (const { path: one, isDir } of entries) {
    const target = join(path, one);
    if (isDir) {
      mkdirSync(target, { recursive: true });
      continue;
    }
    const bytes = Buffer.from(await page.evaluate(read, { name, path: one }), 'base64');
    if (one === INDEX) for (const [link, leads] of Object.entries(JSON.parse(bytes))) symlinkSync(leads, join(path, link));
    else {
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, bytes);
    }
  }
}

/** In the page: all files and folders; nothing if there is no such folder. */
async function list(name) {
  const found = [];
  const walk = async (folder, prefix) => {
    for await (const [child, handle] of folder.entries()) {
      const isDir = handle.kind === 'directory';
      found.push({ path: prefix + child, isDir });
      if (isDir) await walk(handle, `${prefix}${child}/`);
    }
  };
  try {
    const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('smart-fetch');
    await walk(await home.getDirectoryHandle(encodeURIComponent(name)), '');
  } catch (error) {
    if (error.name === 'NotFoundError') return undefined;
    throw error;
  }
  return found;
}

/** In the page: a file, in base64. */
async function read({ name, path }) {
  let folder = await navigator.storage.getDirectory();
  const segments = ['smart-fetch', encodeURIComponent(name), ...path.split('/')];
  const file = segments.pop();
  for (const segment of segments) folder = await folder.getDirectoryHandle(segment);
  const blob = await (await folder.getFileHandle(file)).getFile();
  const reader = new FileReader();
  await new Promise((resolve, reject) => {
    Object.assign(reader, { onload: resolve, onerror: reject });
    reader.readAsDataURL(blob);
  });
  return reader.result.slice(reader.result.indexOf(',') + 1);
}
