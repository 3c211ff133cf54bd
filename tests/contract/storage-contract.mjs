// What every storage backend must do: the clauses of the Storage trait (src/platform/storage.rs), as tests.
//
// `test` is a test function whose callback gets a context with `after`; `create(t)` makes an empty folder and resolves to
// `{ backend, again() }`, where `again` opens the same folder once more, as another job would.
import assert from 'node:assert/strict';

const bytes = (text) => new TextEncoder().encode(text);
const text = (data) => new TextDecoder().decode(data);

/** Asserts that something throws an error of `kind`. */
export async function fails(kind, work) {
  try {
    await work();
  } catch (error) {
    assert.equal(error.kind, kind, `${error.kind}: ${error.message}`);
    assert.ok(error.message.length > 5, 'an error says what happened');
    return error;
  }
  return assert.fail(`no error where ${kind} was expected`);
}

export async function put(backend, path, content, append = false) {
  const file = await backend.open(path, append);
  await file.write(typeof content === 'string' ? bytes(content) : content);
  await file.flush();
  await file.close();
}

export const get = async (backend, path) => text(await backend.read(path, 0, 1 << 20));

const names = async (backend, path) => (await backend.list(path)).map(({ name }) => name).sort();

export function storageContract({ test, create }) {
  test('stat: a file, a folder, the root, nothing', async (t) => {
    const { backend } = await create(t);
    await put(backend, 'sub/a.txt', 'hello');
    assert.deepEqual(await backend.stat('sub/a.txt'), { name: 'a.txt', isDir: false, size: 5 });
    assert.deepEqual(await backend.stat('sub'), { name: 'sub', isDir: true, size: 0 });
    assert.equal((await backend.stat('')).isDir, true);
    assert.equal(await backend.stat('none'), undefined);
    assert.equal(await backend.stat('none/deeper'), undefined);
  });

  test('list: entries of one folder, none of a missing one', async (t) => {
    const { backend } = await create(t);
    assert.deepEqual(await backend.list(''), []);
    assert.deepEqual(await backend.list('none'), []);
    for (const path of ['.metadata', 'b.txt', 'sub/c.txt', 'sub/deep/d.txt']) await put(backend, path, path);
    assert.deepEqual(await names(backend, ''), ['.metadata', 'b.txt', 'sub']);
    assert.deepEqual(await names(backend, 'sub'), ['c.txt', 'deep']);
    const [c] = (await backend.list('sub')).filter(({ name }) => name === 'c.txt');
    assert.deepEqual(c, { name: 'c.txt', isDir: false, size: 9 });
  });

  test('list: a thousand files', async (t) => {
    const { backend } = await create(t);
    for (let i = 0; i < 1000; i++) await put(backend, `many/${i}`, '');
    assert.equal((await backend.list('many')).length, 1000);
  });

  test('read: ranges, and not beyond the end', async (t) => {
    const { backend } = await create(t);
    await put(backend, 'a', '0123456789');
    await put(backend, 'a', 'abc', true);
    assert.equal(text(await backend.read('a', 0, 100)), '0123456789abc');
    assert.equal(text(await backend.read('a', 8, 4)), '89ab');
    assert.equal(text(await backend.read('a', 12, 100)), 'c');
    assert.equal((await backend.read('a', 13, 10)).length, 0);
    assert.equal((await backend.read('a', 500, 10)).length, 0);
    await fails('notFound', () => backend.read('none', 0, 10));
  });

  test('open: creates empty, appends, makes folders, keeps bytes as they are', async (t) => {
    const { backend } = await create(t);
    const odd = Uint8Array.from({ length: 256 }, (_, i) => i);
    await put(backend, 'x/y/z/odd', odd);
    assert.deepEqual([...(await backend.read('x/y/z/odd', 0, 999))], [...odd]);
    await put(backend, 'a', 'first, and long');
    await put(backend, 'a', 'second');
    assert.equal(await get(backend, 'a'), 'second');
    await put(backend, 'a', ' third', true);
    assert.equal(await get(backend, 'a'), 'second third');
    await put(backend, 'new', 'from nothing', true);
    assert.equal(await get(backend, 'new'), 'from nothing');
  });

  test('write: the bytes are taken before the call returns', async (t) => {
    const { backend } = await create(t);
    const file = await backend.open('a', false);
    const view = bytes('ABCDEF');
    const done = file.write(view);
    view.fill(0);
    await done;
    await file.close();
    assert.equal(await get(backend, 'a'), 'ABCDEF');
  });

  test('write: many and large ones, in order', async (t) => {
    const { backend } = await create(t);
    const file = await backend.open('a', false);
    const block = new Uint8Array(256 * 1024);
    for (let i = 0; i < 20; i++) await file.write(block.fill(i));
    await file.flush();
    await file.close();
    assert.equal((await backend.stat('a')).size, 20 * block.length);
    for (let i = 0; i < 20; i++) assert.deepEqual([...new Set(await backend.read('a', i * block.length, block.length))], [i]);
  });

  test('write: many files of a new folder at once', async (t) => {
    const { backend } = await create(t);
    await Promise.all(Array.from({ length: 50 }, (_, i) => put(backend, `new/deep/${i}`, `${i}`)));
    assert.equal((await backend.list('new/deep')).length, 50);
    assert.equal(await get(backend, 'new/deep/49'), '49');
  });

  test('release: a file that is given up takes no other with it', async (t) => {
    const { backend } = await create(t);
    const file = await backend.open('a', false);
    await file.write(bytes('half'));
    file.release();
    await put(backend, 'a', 'whole');
    assert.equal(await get(backend, 'a'), 'whole');
  });

  test('rename: replaces, crosses folders, and needs a source', async (t) => {
    const { backend } = await create(t);
    await put(backend, 'a.part', 'new');
    await put(backend, 'a', 'old');
    await backend.rename('a.part', 'a');
    assert.equal(await get(backend, 'a'), 'new');
    assert.equal(await backend.stat('a.part'), undefined);
    await backend.rename('a', 'sub/deep/b');
    assert.equal(await get(backend, 'sub/deep/b'), 'new');
    assert.deepEqual(await names(backend, ''), ['sub']);
    await fails('notFound', () => backend.rename('none/a', 'other/b'));
    assert.deepEqual(await names(backend, ''), ['sub'], 'a failed rename leaves nothing');
  });

  test('remove: a file, an empty folder, nothing; not a folder that holds something', async (t) => {
    const { backend } = await create(t);
    await put(backend, 'sub/a', 'x');
    await assert.rejects(async () => backend.remove('sub'));
    assert.equal(await get(backend, 'sub/a'), 'x');
    await backend.remove('sub/a');
    await backend.remove('sub/a');
    await backend.remove('sub');
    await backend.remove('none/at/all');
    assert.deepEqual(await backend.list(''), []);
  });

  test('link: shows the other file, is replaced, and never replaces a file', async (t) => {
    const { backend } = await create(t);
    await put(backend, '001.run/Patient.001.ndjson', 'one');
    await put(backend, '002.run/Patient.001.ndjson', 'two');
    await backend.link('001.run/Patient.001.ndjson', 'Patient.001.ndjson');
    assert.equal(await get(backend, 'Patient.001.ndjson'), 'one');
    assert.deepEqual(await backend.stat('Patient.001.ndjson'), {
      name: 'Patient.001.ndjson',
      isDir: false,
      size: 0,
      target: '001.run/Patient.001.ndjson',
    });
    const [link] = (await backend.list('')).filter(({ name }) => name === 'Patient.001.ndjson');
    assert.equal(link.target, '001.run/Patient.001.ndjson');
    await backend.link('002.run/Patient.001.ndjson', 'Patient.001.ndjson');
    assert.equal(await get(backend, 'Patient.001.ndjson'), 'two');
    assert.deepEqual(await names(backend, ''), ['001.run', '002.run', 'Patient.001.ndjson']);
    await backend.link('001.run/Patient.001.ndjson', 'Patient.002.ndjson');
    await backend.rename('Patient.002.ndjson', 'Patient.001.ndjson');
    assert.deepEqual(await names(backend, ''), ['001.run', '002.run', 'Patient.001.ndjson'], 'the link itself has moved');
    assert.equal((await backend.stat('Patient.001.ndjson')).target, '001.run/Patient.001.ndjson');
    await fails('notFound', () => backend.rename('Patient.002.ndjson', 'Patient.001.ndjson'));
    await backend.remove('Patient.001.ndjson');
    assert.equal(await get(backend, '002.run/Patient.001.ndjson'), 'two', 'what it showed stays');
    await fails('other', () => backend.link('001.run/Patient.001.ndjson', '002.run/Patient.001.ndjson'));
    assert.equal(await get(backend, '002.run/Patient.001.ndjson'), 'two');
    await fails('denied', () => backend.link('../../outside', 'sub/link'));
  });

  test('nothing is written through a link', async (t) => {
    const { backend } = await create(t);
    await put(backend, 'real', 'kept');
    await backend.link('real', 'link');
    await fails('denied', () => backend.open('link', false));
    assert.equal(await get(backend, 'real'), 'kept');
  });

  test('paths that lead out of the folder are refused', async (t) => {
    const { backend } = await create(t);
    for (const path of ['../a', '/tmp/a', 'a/../../b', 'a\\..\\b', 'a\0b']) {
      await fails('denied', async () => backend.open(path, false));
      await fails('denied', async () => backend.read(path, 0, 1));
      await fails('denied', async () => backend.remove(path));
      await put(backend, 'src', 'x');
      await fails('denied', async () => backend.rename('src', path));
    }
  });

  test('usage: says how much room there is, where it knows', async (t) => {
    const { backend } = await create(t);
    const { available } = await backend.usage();
    assert.ok(available === undefined || (Number.isSafeInteger(available) && available > 0));
  });

  test('lock: for one job at a time', async (t) => {
    const { backend, again } = await create(t);
    const lock = await backend.lock();
    await fails('locked', () => backend.lock());
    await fails('locked', async () => (await again()).lock());
    lock.release();
    const other = await (await again()).lock();
    lock.release(); // Once more: it must not take the lock of the other.
    await fails('locked', () => backend.lock());
    other.release();
    (await backend.lock()).release();
    assert.deepEqual(await backend.list(''), []);
  });

  test('lock: a subfolder has one of its own', async (t) => {
    const { backend, again } = await create(t);
    await put(backend, '001.run/a', 'x');
    const [whole, part] = [await backend.lock(), await backend.lock('001.run')];
    await fails('locked', async () => (await again()).lock('001.run'));
    part.release();
    await fails('locked', async () => (await again()).lock());
    (await (await again()).lock('001.run')).release();
    whole.release();
    assert.deepEqual(await names(backend, '001.run'), ['a']);
  });

  test('lock: of many that ask at once, one gets it', async (t) => {
    const { again } = await create(t);
    for (let round = 0; round < 20; round++) {
      const tries = await Promise.allSettled(Array.from({ length: 8 }, async () => (await again()).lock()));
      const got = tries.filter(({ status }) => status === 'fulfilled');
      assert.equal(got.length, 1);
      got[0].value.release();
    }
  });
}
