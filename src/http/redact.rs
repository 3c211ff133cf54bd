//! Text without secrets (B15): for messages, events, logs and state.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

const GONE: &str = "[redacted]";

/// Members and parameters whose values are secret, after `=` or `:`.
const NAMES: [&str; 13] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_assertion",
    "client_secret",
    "assertion",
    "password",
    "api_key",
    "apikey",
    "x-api-key",
    "authorization",
    "x-amz-signature",
    "x-amz-security-token",
];

/// Names that are common words too, secret only after `=`.
const SHORT_NAMES: [&str; 5] = ["token", "secret", "sig", "signature", "key"];

/// Private members of a JWK (RFC 7518 §6).
const JWK_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

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

/// The text without what looks like a secret: queries of URLs, JWTs, `Bearer …`, `Basic …`, values of secret members and
/// parameters, private parts of keys.
pub fn text(text: &str) -> String {
    let text = without_pem(text);
    let text = without_queries(&text);
    let text = without_values(&text);
    without_words(&text)
}

/// As [`text`], and without `secrets` wherever they stand. Secrets of less than four characters are left: they would only
/// garble the text.
pub fn known(text: &str, secrets: &[String]) -> String {
    self::text(&only(text, secrets))
}

/// Without `secrets`, and else as it is; JSON may write `\/` for their `/`.
pub fn only(text: &str, secrets: &[String]) -> String {
    let secrets = secrets.iter().filter(|secret| secret.len() >= 4);
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, GONE).replace(&secret.replace('/', "\\/"), GONE))
}

fn without_pem(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN") {
        out.push_str(&rest[..start]);
        out.push_str(GONE);
        let tail = &rest[start..];
        let end = tail.find("-----END").map(|end| end + 8);
        let close = end.and_then(|end| tail[end..].find("-----").map(|close| end + close + 5));
        rest = close.or(end).map_or("", |end| &tail[end..]);
    }
    out + rest
}

fn without_queries(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start = word_start(&rest[..at], |c| c.is_ascii_alphanumeric());
        let ends = |c: char| c.is_whitespace() || "\"'<>`{}|\\^".contains(c);
        let end = rest[at..].find(ends).map_or(rest.len(), |length| at + length);
        // The punctuation of the sentence around it.
        let end = at + 3 + rest[at + 3..end].trim_end_matches([',', '.', ';', ':', ')', ']']).len();
        out.push_str(&rest[..start]);
        out.push_str(&url(&rest[start..end]));
        rest = &rest[end..];
    }
    out + rest
}

/// Where the word begins that `text` ends with.
fn word_start(text: &str, in_word: impl Fn(char) -> bool) -> usize {
    text.char_indices().rev().take_while(|(_, c)| in_word(*c)).last().map_or(text.len(), |(index, _)| index)
}

/// Replaces values of secret names: `name=value`, `name: value`, `"name":"value"`.
fn without_values(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(offset) = lower[at..].find([':', '=']) {
        let sign = at + offset;
        at = sign + 1;
        if sign < done {
            continue;
        }
        let before = lower[..sign].trim_end();
        let quoted = before.ends_with(['"', '\'']);
        let before = before.trim_end_matches(['"', '\'', '\\']);
        let name_start = word_start(before, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let name = &before[name_start..];
        let value_start = at + text[at..].len() - text[at..].trim_start_matches([' ', '"', '\'', '\\']).len();
        let length = text[value_start..]
            .find(|c: char| c.is_whitespace() || "\"'\\&,;}<>".contains(c))
            .unwrap_or(text.len() - value_start);
        let secret = NAMES.contains(&name)
            || (SHORT_NAMES.contains(&name) && &lower[sign..=sign] == "=")
            || (quoted && length >= 16 && JWK_MEMBERS.contains(&name));
        let scheme = matches!(&lower[value_start..value_start + length], "bearer" | "basic");
        if secret && length > 0 && !scheme {
            out.push_str(&text[done..value_start]);
            out.push_str(GONE);
            done = value_start + length;
            at = at.max(done);
        }
    }
    out + &text[done..]
}

/// Replaces words that are JWTs, and what follows `Bearer` and `Basic`.
fn without_words(text: &str) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "-_.=+/~".contains(c);
    let mut out = String::new();
    let mut previous = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        if length == 0 {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            if !rest.starts_with(' ') {
                previous.clear();
            }
            out.push_str(&rest[..first]);
            rest = &rest[first..];
            continue;
        }
        let word = &rest[..length];
        let jwt = word.starts_with("eyJ") && word.len() >= 20;
        let bearer = previous == "bearer" && word.len() >= 8;
        let basic = previous == "basic"
            && STANDARD_NO_PAD.decode(word.trim_end_matches(['=', '.'])).is_ok_and(|pair| pair.contains(&b':'));
        out.push_str(if jwt || bearer || basic { GONE } else { word });
        previous = word.to_ascii_lowercase();
        rest = &rest[length..];
    }
    out
}
