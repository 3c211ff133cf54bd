// `npm run build`: the two WebAssembly files into pkg-template/wasm/, and pkg/, ready for `npm pack`; the demo page into
// node-cli/page/. With `--dev` just one file, not optimised, in seconds: for trying things out with the CLI.
import { buildPage } from './lib/page.mjs';
import { Failure, main } from './lib/run.mjs';
import { checkSizes } from './lib/size.mjs';
import { ensureBuildTools } from './lib/tools.mjs';
import { assemblePackage, buildForDevelopment, buildWasm } from './lib/wasm.mjs';

await main(async () => {
  if (process.argv.includes('--dev')) return buildForDevelopment(await ensureBuildTools());
  await buildWasm(await ensureBuildTools());
  assemblePackage();
  await buildPage();
  const over = checkSizes();
  if (over.length > 0) throw new Failure(over.join('\n'));
});
