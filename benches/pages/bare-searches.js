onmessage = async ({ data: urls }) => {
  let bytes = 0;
  const work = async () => {
    for (let url = urls.shift(); url; url = urls.shift()) bytes += (await (await fetch(url, { cache: 'no-store' })).arrayBuffer()).byteLength;
  };
  await Promise.all(Array.from({ length: 5 }, work));
  postMessage(bytes);
};
