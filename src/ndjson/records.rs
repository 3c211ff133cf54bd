//! The few records whose content is read: OperationOutcomes, deletions, subset tags.

use serde_json::Value;

use crate::fhir::outcome::clean;
use crate::platform::transfer::Issue;

/// A line as JSON. What is no UTF-8 in it is replaced.
fn read(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(String::from_utf8_lossy(text).as_bytes()).ok()
}

/// The items of a list; none where it is absent, `None` where it is something else.
fn list<'a>(value: &'a Value, name: &str) -> Option<&'a [Value]> {
    value.get(name).map_or(Some(&[]), |list| list.as_array().map(Vec::as_slice))
}

/// A text; empty where it is absent, `None` where it is something else.
fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).map_or(Some(""), Value::as_str)
}

/// The issues of an OperationOutcome; one error that says so if it cannot be read, so that none is ever lost.
pub(super) fn issues(text: Option<&[u8]>) -> Vec<Issue> {
    let unreadable =
        |text: &str| vec![Issue { severity: "error".to_owned(), code: "structure".to_owned(), text: text.to_owned() }];
    let Some(text) = text else {
        return unreadable("an OperationOutcome that is too long to read");
    };
    let issues = read(text).and_then(|outcome| list(&outcome, "issue")?.iter().map(issue).collect());
    issues.unwrap_or_else(|| unreadable("an OperationOutcome whose issues cannot be read"))
}

fn issue(issue: &Value) -> Option<Issue> {
    let (details, diagnostics) = (text(&issue["details"], "text")?, text(issue, "diagnostics")?);
    issue.is_object().then_some(Issue {
        severity: known_severity(text(issue, "severity")?).to_owned(),
        code: clean(text(issue, "code")?),
        text: clean(if details.is_empty() { diagnostics } else { details }),
    })
}

/// The severity, if it is one; else the issue counts as an error.
fn known_severity(severity: &str) -> &str {
    if matches!(severity, "fatal" | "error" | "warning" | "information" | "success") { severity } else { "error" }
}

/// Entries of a deletion Bundle that are proper (`DELETE` of `Type/id`), and those that are not. A Bundle that cannot be
/// read, or has no entry, counts as one that is not.
pub(super) fn deletions(text: Option<&[u8]>) -> (u64, u64) {
    let bundle = text.and_then(read).unwrap_or_default();
    let entries = list(&bundle, "entry").unwrap_or_default();
    if entries.is_empty() {
        return (0, 1);
    }
    let proper = entries.iter().filter(|entry| is_deletion(&entry["request"])).count() as u64;
    (proper, entries.len() as u64 - proper)
}

fn is_deletion(request: &Value) -> bool {
    let is_id = |id: &str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    let target = request["url"].as_str().and_then(|url| url.split_once('/'));
    request["method"] == "DELETE"
        && target.is_some_and(|(kind, id)| super::json::is_type_name(kind.as_bytes()) && is_id(id))
}

/// Whether a resource is tagged as holding only some of its elements (H11). One too long to read is taken as whole.
pub(super) fn is_subsetted(text: Option<&[u8]>) -> bool {
    // Most resources are told by a look for the letter of the word that is rarest in JSON.
    let has_word =
        |text: &&[u8]| memchr::memchr_iter(b'B', text).any(|at| at >= 2 && text[at - 2..].starts_with(b"SUBSETTED"));
    let resource = text.filter(has_word).and_then(read).unwrap_or_default();
    list(&resource["meta"], "tag").unwrap_or_default().iter().any(|tag| tag["code"] == "SUBSETTED")
}

/// Whether a line is the header of a block in an organized file (E14, H12).
pub(super) fn is_block_header(text: &[u8]) -> bool {
    let parameters: Value = serde_json::from_slice(text).unwrap_or_default();
    parameters["resourceType"] == "Parameters"
        && list(&parameters, "parameter")
            .unwrap_or_default()
            .iter()
            .any(|parameter| parameter["name"] == "header" && !parameter["valueReference"].is_null())
}
