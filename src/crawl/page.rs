//! One page of a search: a searchset Bundle, looked through as the text that came.

use std::borrow::Cow;

use crate::fhir::outcome;
use crate::fhir::raw::{self, Raw};
use crate::fhir::walk::Walker;

/// A resource of a page, and what is looked up in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The resource.
    pub resource: Raw<'a>,
    /// `resourceType`
    pub kind: Option<Raw<'a>>,
    /// `id`
    pub id: Option<Raw<'a>>,
    /// `meta`
    pub meta: Option<Raw<'a>>,
    /// The date of creation.
    pub created: Option<Raw<'a>>,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page<'a> {
    /// The resources of its entries, OperationOutcomes among them.
    pub resources: Vec<Found<'a>>,
    /// The links.
    links: Option<Raw<'a>>,
    /// The link to the next page, as sent; empty if it has no address.
    pub next: Option<Cow<'a, str>>,
    /// How many matches there are on all pages, where the server says it.
    pub total: Option<u64>,
}

impl<'a> Page<'a> {
    /// Reads a page; `created` is the element with the date of creation. An error is the end of a sentence that began with
    /// "The server sent".
    pub fn read(body: &'a [u8], created: Option<&str>) -> Result<Self, String> {
        let mut page = Self::default();
        if page.walk(body, created).is_some() {
            return Ok(page);
        }
        let shown = outcome::readable(body).unwrap_or_else(|| "nothing".to_owned());
        match raw::check(body) {
            Ok(_) => Err(format!("something that is no Bundle: {shown}")),
            Err(why) => Err(format!("something that is no FHIR resource ({why}): {shown}")),
        }
    }

    /// The address of the first link of this relation, if there is such a link.
    pub fn link(&self, relation: &str) -> Option<Option<Raw<'a>>> {
        let mut links = self.links?.items();
        let link = links.find(|link| link.get("relation").is_some_and(|found| found.is_text(relation)))?;
        Some(link.get("url"))
    }

    /// `None` if it is no Bundle, or no JSON.
    fn walk(&mut self, body: &'a [u8], created: Option<&str>) -> Option<()> {
        let mut walker = Walker::new(body);
        let mut is_bundle = false;
        if !walker.object() {
            return None;
        }
        while let Some(key) = walker.key()? {
            match key {
                b"\"entry\"" if walker.array() => {
                    self.resources.reserve(32);
                    while walker.item()? {
                        self.entry(&mut walker, created)?;
                    }
                }
                b"\"link\"" => {
                    self.links = Some(walker.value()?);
                    self.next = self.link("next").map(|url| url.and_then(Raw::text).unwrap_or_default());
                }
                b"\"total\"" => {
                    let total = std::str::from_utf8(walker.value()?.bytes()).ok();
                    self.total = total.and_then(|total| total.parse().ok());
                }
                b"\"resourceType\"" => is_bundle = walker.value()?.is_text("Bundle"),
                _ => {
                    walker.value()?;
                }
            }
        }
        (is_bundle && walker.is_at_end()).then_some(())
    }

    /// Reads the entry that comes next.
    fn entry(&mut self, walker: &mut Walker<'a>, created: Option<&str>) -> Option<()> {
        if !walker.object() {
            walker.value()?;
            return Some(());
        }
        while let Some(key) = walker.key()? {
            let start = walker.place();
            if key != b"\"resource\"" || !walker.object() {
                walker.value()?;
                continue;
            }
            let (mut kind, mut id, mut meta, mut date) = (None, None, None, None);
            while let Some(key) = walker.key()? {
                let value = Some(walker.value()?);
                match key {
                    b"\"resourceType\"" => kind = value,
                    b"\"id\"" => id = value,
                    b"\"meta\"" => meta = value,
                    _ if created.is_some_and(|name| is_name(key, name)) => date = value,
                    _ => {}
                }
            }
            self.resources.push(Found { resource: walker.since(start), kind, id, meta, created: date });
        }
        Some(())
    }
}

/// Whether a key, with its quotes, is `name`.
fn is_name(key: &[u8], name: &str) -> bool {
    key.len() == name.len() + 2 && &key[1..=name.len()] == name.as_bytes()
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
            {"response":{}},{"resource": {"a":[{"id":"no"}], "id" : "x","meta":{"lastUpdated":"2020"},"date":"2021" } }]}"#;
        let page = Page::read(body, Some("date")).unwrap();
        assert_eq!(page.resources[0].resource.bytes(), br#"{"resourceType":"Condition","n":1.10}"#);
        assert!(page.resources[0].kind.is_some_and(|kind| kind.is_text("Condition")) && page.resources[0].id.is_none());
        let second = &page.resources[1];
        assert!(second.resource.bytes().starts_with(br#"{"a":"#) && second.resource.bytes().ends_with(br#""2021" }"#));
        assert!(second.id.is_some_and(|id| id.is_text("x")) && second.created.is_some_and(|date| date.is_text("2021")));
        assert_eq!(second.meta.map(Raw::bytes), Some(&br#"{"lastUpdated":"2020"}"#[..]));
        assert_eq!((page.resources.len(), page.total), (2, Some(7)));
        assert_eq!(page.next.as_deref(), Some("/fhir?page=2&a=&"));
    }

    #[test]
    fn anything_else_is_told_apart() {
        let error = |body: &[u8]| Page::read(body, None).unwrap_err();
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
        for entry in ["", ",\"entry\":[]", ",\"entry\":null", ",\"entry\":[{}, 1,{\"resource\":7}]"] {
            let body = format!("\u{feff}{{\"resourceType\":\"Bundle\",\"total\":0{entry}}}");
            assert_eq!(
                Page::read(body.as_bytes(), None).unwrap(),
                Page { total: Some(0), ..Page::default() },
                "{entry}"
            );
        }
    }
}
