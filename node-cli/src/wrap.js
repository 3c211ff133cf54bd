/**
 * A text as lines of at most `width`, broken between words.
 * @param {string} text
 * @param {number} width
 */
export function wrap(text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

/**
 * Lines of a help text within `width`: what goes on in a further line stands below where it began. Command lines stay whole, to
 * be pasted.
 * @param {string} text
 * @param {number} width
 */
export function wrapHelp(text, width) {
  const lines = text.split('\n').flatMap((line) => {
    if (line.length <= width || /^ +smart-fetch /.test(line)) return [line];
    const [lead] = /^ *(\d+ +)?/.exec(line);
    const [first, ...more] = wrap(line.slice(lead.length), Math.max(20, width - lead.length));
    return [lead + first, ...more.map((part) => ' '.repeat(lead.length) + part)];
  });
  return lines.join('\n');
}
