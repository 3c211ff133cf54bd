// What the command line has from the package, it has from `package.mjs` beside this file.
export const resolve = (specifier, context, next) =>
  (specifier === 'smart-fetch' ? { url: new URL('package.mjs', import.meta.url).href, shortCircuit: true } : next(specifier, context));
