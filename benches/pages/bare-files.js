onmessage = async ({ data: { url, name } }) => {
  const folder = await navigator.storage.getDirectory();
  const file = await (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle();
  const reader = (await fetch(url)).body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    at += file.write(value, { at });
  }
  file.flush();
  file.close();
  postMessage(at);
};
