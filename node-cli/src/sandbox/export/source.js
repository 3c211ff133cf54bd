// The bytes of a planned file, read from the tables in large pieces.
import fs from 'node:fs';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';

const read = promisify(fs.read);
const PIECE = 1 << 19;
const NEWLINE = Buffer.from('\n');

function* rowNumbers({ rows, from, to }) {
  if (rows) yield* rows;
  else for (let row = from; row < to; row++) yield row;
}

/** Rows next to one another on disk, joined up to a piece: `{fd, start, end}`, the line end of the last excluded. */
function* runs(segment) {
  const { table } = segment;
  let run = null;
  for (const row of rowNumbers(segment)) {
    const start = table.start(row);
    const end = table.end(row);
    const { fd } = table.fileOf(row);
    if (run && run.fd === fd && start === run.end + 1 && end - run.start < PIECE) {
      run.end = end;
      continue;
    }
    if (run) yield run;
    run = { fd, start, end };
  }
  if (run) yield run;
}

async function* pieces(file) {
  for (const segment of file.segments) {
    if (segment.make) {
      for (const line of segment.make()) yield Buffer.from(`${line}\n`);
      continue;
    }
    for (const { fd, start, end } of runs(segment)) {
      for (let at = start; at < end; at += PIECE) {
        const length = Math.min(PIECE, end - at);
        const piece = Buffer.allocUnsafe(length + 1);
        await read(fd, piece, 0, length, at);
        piece[length] = NEWLINE[0];
        yield at + length === end ? piece : piece.subarray(0, length);
      }
    }
  }
}

/** The file's bytes, uncoded and undamaged; `range` (first byte, byte after the last) for part of them. */
export function fileStream(file, range) {
  if (file.whole) {
    return fs.createReadStream(file.whole.path, { highWaterMark: PIECE, ...(range && { start: range[0], end: range[1] - 1 }) });
  }
  return Readable.from(range ? slice(pieces(file), range) : pieces(file), { objectMode: false, highWaterMark: PIECE });
}

/** Bytes `[from, to)` of a sequence of buffers. */
export async function* slice(buffers, [from, to]) {
  let at = 0;
  for await (const buffer of buffers) {
    const start = Math.max(0, from - at);
    const end = Math.min(buffer.length, to - at);
    if (start < end) yield buffer.subarray(start, end);
    at += buffer.length;
    if (at >= to) return;
  }
}

/** Length of {@link fileStream} in bytes. */
export function fileBytes(file) {
  if (file.whole) return file.whole.bytes;
  let total = 0;
  for (const segment of file.segments) {
    if (segment.make) for (const line of segment.make()) total += Buffer.byteLength(line) + 1;
    else for (const row of rowNumbers(segment)) total += segment.table.length(row) + 1;
  }
  return total;
}

/** Splits buffers into lines without their line ends. Blank ones are dropped. */
export async function* linesOf(buffers) {
  let rest = [];
  for await (const buffer of buffers) {
    let from = 0;
    for (let at = buffer.indexOf(10); at !== -1; at = buffer.indexOf(10, from)) {
      const line = rest.length > 0 ? Buffer.concat([...rest, buffer.subarray(from, at)]) : buffer.subarray(from, at);
      rest = [];
      from = at + 1;
      if (line.length > 0) yield line;
    }
    if (from < buffer.length) rest.push(buffer.subarray(from));
  }
  if (rest.length > 0) yield Buffer.concat(rest);
}
