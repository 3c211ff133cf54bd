/**
 * NDJSON as resources.
 */
import { SmartFetchError } from './errors.js';

/**
 * The resources of one file.
 * @param {string} file for messages
 * @param {AsyncIterable<Uint8Array>} chunks decoded
 * @param {(file: string, line: number, text: string) => void} [onBadLine] takes lines that are no JSON; without it they throw
 */
export async function* resourcesOf(file, chunks, onBadLine) {
  const decoder = new TextDecoder();
  let number = 0;
  let rest = '';
  /** @param {string} line */
  const parse = (line) => {
    number++;
    if (line.trim() === '') return undefined;
    try {
      return JSON.parse(line);
    } catch {
      if (onBadLine) {
        onBadLine(file, number, line);
        return undefined;
      }
      throw new SmartFetchError({
        kind: 'corrupt',
        operation: 'read file',
        // Without the line: it is clinical.
        message: `${file}:${number}: the line is no JSON.`,
        hint: 'It is kept as the server sent it. Give onBadLine to go on after such lines.',
        retry: false,
        exitStatus: 1,
      });
    }
  };
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines[lines.length - 1];
    for (let i = 0; i < lines.length - 1; i++) {
      const resource = parse(lines[i]);
      if (resource !== undefined) yield resource;
    }
  }
  const last = parse(rest + decoder.decode());
  if (last !== undefined) yield last;
}
