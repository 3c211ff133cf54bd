#!/usr/bin/env node
// Our command line with its jobs in Chromium: the folder goes into OPFS, a page runs the job, the folder comes back. For programs that
// compare command lines (`parity.mjs --browser`).
import { register } from 'node:module';

register('./resolve.mjs', import.meta.url);
const { main } = await import('../../node-cli/src/run.js');
process.exitCode = await main(process.argv.slice(2));
