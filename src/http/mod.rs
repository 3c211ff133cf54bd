//! The HTTP client: retry, backoff, `Retry-After`, politeness, redirects, redaction.
