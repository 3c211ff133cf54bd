//! The few records whose content is read: OperationOutcomes, deletions, subset tags.

use serde::Deserialize;

use crate::fhir::outcome::clean;
use crate::platform::transfer::Issue;

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    issue: Vec<OutcomeIssue>,
}

#[derive(Deserialize)]
struct OutcomeIssue {
    #[serde(default)]
    severity: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    details: Details,
    #[serde(default)]
    diagnostics: String,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    text: String,
}

/// The issues of an OperationOutcome; one error that says so if it cannot be read, so that none is ever lost.
pub(super) fn issues(text: Option<&[u8]>) -> Vec<Issue> {
    let unreadable =
        |text: &str| vec![Issue { severity: "error".to_owned(), code: "structure".to_owned(), text: text.to_owned() }];
    let Some(text) = text else {
        return unreadable("an OperationOutcome that is too long to read");
    };
    let Ok(outcome) = serde_json::from_str::<Outcome>(&String::from_utf8_lossy(text)) else {
        return unreadable("an OperationOutcome whose issues cannot be read");
    };
    let issue = |issue: OutcomeIssue| Issue {
        severity: known_severity(&issue.severity).to_owned(),
        code: clean(&issue.code),
        text: clean(if issue.details.text.is_empty() { &issue.diagnostics } else { &issue.details.text }),
    };
    outcome.issue.into_iter().map(issue).collect()
}

/// The severity, if it is one; else the issue counts as an error.
fn known_severity(severity: &str) -> &str {
    if matches!(severity, "fatal" | "error" | "warning" | "information" | "success") { severity } else { "error" }
}

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    request: EntryRequest,
}

#[derive(Default, Deserialize)]
struct EntryRequest {
    #[serde(default)]
    method: String,
    #[serde(default)]
    url: String,
}

/// Entries of a deletion Bundle that are proper (`DELETE` of `Type/id`), and those that are not. A Bundle that cannot be
/// read, or has no entry, counts as one that is not.
pub(super) fn deletions(text: Option<&[u8]>) -> (u64, u64) {
    let bundle = text.and_then(|text| serde_json::from_str::<Bundle>(&String::from_utf8_lossy(text)).ok());
    let Some(bundle) = bundle.filter(|bundle| !bundle.entry.is_empty()) else {
        return (0, 1);
    };
    let proper = bundle.entry.iter().filter(|entry| is_deletion(&entry.request)).count() as u64;
    (proper, bundle.entry.len() as u64 - proper)
}

fn is_deletion(request: &EntryRequest) -> bool {
    let is_id = |id: &str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    request.method == "DELETE"
        && request.url.split_once('/').is_some_and(|(kind, id)| super::json::is_type_name(kind.as_bytes()) && is_id(id))
}

#[derive(Deserialize)]
struct Tagged {
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    tag: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    code: String,
}

/// Whether a resource is tagged as holding only some of its elements (H11). One too long to read is taken as whole.
pub(super) fn is_subsetted(text: Option<&[u8]>) -> bool {
    let has_word = text.filter(|text| memchr::memmem::find(text, b"SUBSETTED").is_some());
    has_word
        .and_then(|text| serde_json::from_str::<Tagged>(&String::from_utf8_lossy(text)).ok())
        .is_some_and(|resource| resource.meta.tag.iter().any(|tag| tag.code == "SUBSETTED"))
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(default)]
    parameter: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "valueReference")]
    value_reference: Option<serde::de::IgnoredAny>,
}

/// Whether a line is the header of a block in an organized file (E14, H12).
pub(super) fn is_block_header(text: &[u8]) -> bool {
    serde_json::from_slice::<Parameters>(text).is_ok_and(|parameters| {
        parameters.resource_type == "Parameters"
            && parameters.parameter.iter().any(|p| p.name == "header" && p.value_reference.is_some())
    })
}
