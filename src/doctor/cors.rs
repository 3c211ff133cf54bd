//! What of a server a web page may use, by its headers (Fetch standard, CORS protocol). Pure.

use crate::platform::http::Headers;

/// Headers of answers that a page sees without being told that it may.
const VISIBLE: [&str; 7] =
    ["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"];

/// Whether a page of `origin` may read the answer.
pub fn allows(headers: &Headers, origin: &str) -> bool {
    headers.get("access-control-allow-origin").map(str::trim).is_some_and(|value| value == "*" || value == origin)
}

/// Which of `names` the answer hides from pages.
pub fn hidden<'a>(headers: &Headers, names: &[&'a str]) -> Vec<&'a str> {
    let is_hidden = |name: &&str| {
        !VISIBLE.iter().any(|known| name.eq_ignore_ascii_case(known))
            && !lists(headers, "access-control-expose-headers", name)
    };
    names.iter().copied().filter(is_hidden).collect()
}

/// Which of `names` a page may not send after this answer to a preflight. `*` does not stand for Authorization.
pub fn denied<'a>(headers: &Headers, names: &[&'a str]) -> Vec<&'a str> {
    let list = "access-control-allow-headers";
    let may_send = |name: &str| match name {
        "Authorization" => named(headers, list, name),
        _ => lists(headers, list, name),
    };
    names.iter().copied().filter(|name| !may_send(name)).collect()
}

/// Whether a page may use DELETE after this answer to a preflight. GET and POST need no leave.
pub fn allows_delete(headers: &Headers) -> bool {
    lists(headers, "access-control-allow-methods", "DELETE")
}

/// In a page: whether the answer shows anything that it would hide by default.
pub fn shows_more(headers: &Headers) -> bool {
    headers.0.iter().any(|(name, _)| !VISIBLE.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

fn lists(headers: &Headers, list: &str, name: &str) -> bool {
    named(headers, list, "*") || named(headers, list, name)
}

fn named(headers: &Headers, list: &str, name: &str) -> bool {
    headers.all(list).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> Headers {
        Headers(list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_star_stands_for_all_but_authorization() {
        let star = headers(&[
            ("Access-Control-Allow-Headers", "*"),
            ("access-control-expose-headers", "*"),
            ("Access-Control-Allow-Origin", "*"),
        ]);
        assert!(allows(&star, "https://app.example"));
        assert_eq!(denied(&star, &["Authorization", "Prefer"]), ["Authorization"]);
        assert!(hidden(&star, &["Content-Location"]).is_empty());
    }

    #[test]
    fn lists_are_read_whatever_their_case_and_over_several_headers() {
        let some = headers(&[
            ("Access-Control-Allow-Origin", "https://app.example"),
            ("Access-Control-Expose-Headers", "content-location"),
            ("Access-Control-Expose-Headers", "Retry-After , ETag"),
            ("Access-Control-Allow-Methods", "GET, delete"),
        ]);
        assert!(allows(&some, "https://app.example") && !allows(&some, "https://other.example"));
        assert_eq!(hidden(&some, &["Content-Location", "Retry-After", "X-Progress", "Expires"]), ["X-Progress"]);
        assert!(allows_delete(&some) && !allows_delete(&headers(&[])));
        assert!(
            !shows_more(&headers(&[("content-type", "x"), ("Expires", "x")])) && shows_more(&headers(&[("date", "x")]))
        );
    }
}
