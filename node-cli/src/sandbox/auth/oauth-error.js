/** An error in OAuth's own form (RFC 6749 §4.1.2.1, §5.2). */
export class OAuthError extends Error {
  constructor(error, description, status = 400) {
    super(description);
    Object.assign(this, { error, status });
  }
}
