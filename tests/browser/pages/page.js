// Gives the tests the package.
globalThis.sf = await import('/pkg/index.js');

/** What a promise ends with, as plain data. */
globalThis.ended = (promise) =>
  promise.then(
    (value) => ({ value }),
    (error) => ({ error: { code: error.code, message: error.message, hint: error.hint, retry: error.retry } }),
  );
