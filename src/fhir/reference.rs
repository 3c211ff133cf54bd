//! Literal references, wherever they stand in a resource.

use std::borrow::Cow;

use super::raw::{Raw, string_end};
use super::resource_type::is_safe;

/// The values of all keys `reference`, at any depth.
pub fn references(resource: Raw<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    const KEY: &[u8] = b"\"reference\"";
    let text = resource.bytes();
    // Found by its one letter that is rare. Inside of a string the quotes would have backslashes, and as a value the word is
    // followed by no colon.
    memchr::memchr_iter(b'f', text).filter_map(move |at| {
        let value = text.get(at.checked_sub(3)?..)?.strip_prefix(KEY)?;
        let value = value.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        value.first().filter(|byte| **byte == b'"')?;
        Raw::new(&value[..string_end(value, 0)?]).text()
    })
}

/// Type and id of the resource of this server that a reference leads to, with or without a version. `None` for contained
/// resources, `urn:`, conditional references, and other servers; `base` is this one's base URL.
pub fn local<'a>(reference: &'a str, base: &str) -> Option<(&'a str, &'a str)> {
    let base = base.trim_end_matches('/');
    let path = match reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')) {
        Some(path) if !base.is_empty() => path,
        _ => reference,
    };
    let (kind, id) = path.split_once('/')?;
    let id = id.split_once("/_history/").map_or(id, |(id, _)| id);
    (is_safe(kind) && !id.is_empty() && !id.contains(['/', '?', '#'])).then_some((kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_at_any_depth() {
        let text =
            br##"{"subject":{"reference":"Patient/1"},"a":[{"reference" : "B\/2"},{"reference":{"reference":"C/3"}}],
            "note":"a \"reference\": \"No/1\"","reference":"#x","code":"reference","reference":7,"reference":"open"##;
        let found: Vec<_> = references(Raw::new(text)).collect();
        assert_eq!(found, ["Patient/1", "B/2", "C/3", "#x"]);
    }

    #[test]
    fn local_references_have_a_type_and_an_id() {
        let base = "https://ehr.example/fhir/";
        for reference in ["Patient/1", "https://ehr.example/fhir/Patient/1", "Patient/1/_history/3"] {
            assert_eq!(local(reference, base), Some(("Patient", "1")), "{reference}");
        }
        for reference in [
            "",
            "1",
            "#p",
            "Patient?identifier=1",
            "urn:uuid:1",
            "patient/1",
            "Patient/",
            "Patient/1/x",
            "/Patient/1",
            "https://ehr.example/fhirx/Patient/1",
            "https://other.example/fhir/Patient/1",
            "Patient/1?x=y",
        ] {
            assert_eq!(local(reference, base), None, "{reference}");
        }
        assert_eq!(local("https://ehr.example/fhir/Patient/1", ""), None);
        assert_eq!(local("Patient/1", ""), Some(("Patient", "1")));
    }
}
