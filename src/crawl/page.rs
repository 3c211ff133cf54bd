//! One page of a search: a searchset Bundle, looked through as the text that came.

use std::borrow::Cow;

use crate::fhir::outcome;
use crate::fhir::raw::{self, Raw};

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page<'a> {
    /// The resources of its entries, OperationOutcomes among them.
    pub resources: Vec<Raw<'a>>,
    /// The link to the next page, as sent.
    pub next: Option<Cow<'a, str>>,
    /// How many matches there are on all pages, where the server says it.
    pub total: Option<u64>,
}

impl<'a> Page<'a> {
    /// Reads a page; an error is the end of a sentence that began with "The server sent".
    pub fn read(body: &'a [u8]) -> Result<Self, String> {
        let shown = || outcome::readable(body).unwrap_or_else(|| "nothing".to_owned());
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        match raw::check(body) {
            Ok(kind) if kind == "Bundle" => {}
            Ok(_) => return Err(format!("something that is no Bundle: {}", shown())),
            Err(why) => return Err(format!("something that is no FHIR resource ({why}): {}", shown())),
        }
        let mut page = Self::default();
        for (key, value) in Raw::new(body).fields() {
            match key.bytes() {
                b"\"entry\"" => page.resources.extend(value.items().filter_map(|entry| entry.get("resource"))),
                b"\"link\"" => {
                    let next = |link: &Raw<'a>| link.get("relation").is_some_and(|relation| relation.is_text("next"));
                    let link = value.items().find(next).and_then(|link| link.get("url")).and_then(Raw::text);
                    page.next = link.filter(|url| !url.is_empty());
                }
                b"\"total\"" => page.total = std::str::from_utf8(value.bytes()).ok().and_then(|n| n.parse().ok()),
                _ => {}
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_its_resources_byte_for_byte() {
        let body = br#"{"resourceType":"Bundle","type":"searchset","total":7,
            "link":[{"relation":"self","url":"x"},{"relation":"next","url":"\/fhir?page=2&a=\u0026"}],
            "entry":[{"fullUrl":"u","resource":{"resourceType":"Condition","n":1.10},"search":{"mode":"match"}},
            {"response":{}},{"resource":{"resourceType":"OperationOutcome"}}]}"#;
        let page = Page::read(body).unwrap();
        assert_eq!(page.resources[0].bytes(), br#"{"resourceType":"Condition","n":1.10}"#);
        assert_eq!((page.resources.len(), page.total), (2, Some(7)));
        assert_eq!(page.next.as_deref(), Some("/fhir?page=2&a=&"));
    }

    #[test]
    fn anything_else_is_told_apart() {
        let error = |body: &[u8]| Page::read(body).unwrap_err();
        assert!(error(b"<html><body>Log in</body></html>").ends_with(": Log in"));
        assert!(
            error(br#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Cond"#).contains("ends early")
        );
        assert_eq!(
            error(br#"{"resourceType":"Patient"}"#),
            r#"something that is no Bundle: {"resourceType":"Patient"}"#
        );
        assert!(error(b"").contains("it is empty"));
    }

    #[test]
    fn an_empty_page_is_one_too() {
        let page = Page::read(b"\xef\xbb\xbf{\"resourceType\":\"Bundle\",\"total\":0}").unwrap();
        assert_eq!(page, Page { total: Some(0), ..Page::default() });
    }
}
