/**
 * A folder for a command, which does nothing else meanwhile: its calls may block.
 * @param {string} path
 */
export async function openFolder(path) {
  const { openFolder: open } = await import('smart-fetch');
  return open(path, { blocking: true });
}
