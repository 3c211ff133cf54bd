//! OperationOutcome, and what to show of any other body that comes with an error.

use serde_json::Value;

pub use crate::platform::transfer::Issue;

/// The issue type `transient` and its children (FHIR R4 `issue-type`): the same request may succeed later (D09).
const TRANSIENT: [&str; 7] = ["transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"];

/// The longest text taken from a server, in characters.
const MAX_TEXT: usize = 1_000;

/// An OperationOutcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its issues, at most 100.
    pub issues: Vec<Issue>,
}

impl Outcome {
    /// Recognises an OperationOutcome by the body, JSON or XML, whatever the content type says (D10).
    pub fn read(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.starts_with('{') {
            return serde_json::from_slice(text.as_bytes()).ok().as_ref().and_then(Self::from_json);
        }
        (text.starts_with('<') && text.contains("<OperationOutcome")).then(|| Self::from_xml(text))
    }

    /// Reads a parsed resource; `None` if it is no OperationOutcome.
    pub fn from_json(value: &Value) -> Option<Self> {
        if value["resourceType"].as_str() != Some("OperationOutcome") {
            return None;
        }
        let issues = value["issue"].as_array().into_iter().flatten().take(100).map(issue).collect();
        Some(Self { issues })
    }

    fn from_xml(text: &str) -> Self {
        let read = |part: &str| {
            let details = attribute(part, "text").or_else(|| attribute(part, "display"));
            let diagnostics = attribute(part, "diagnostics");
            let code = attribute(part, "code").unwrap_or_default();
            Issue {
                severity: attribute(part, "severity").unwrap_or_else(|| "error".to_owned()),
                text: issue_text(details.as_deref(), diagnostics.as_deref(), &code),
                code,
            }
        };
        Self { issues: text.split("<issue>").skip(1).take(100).map(read).collect() }
    }

    /// Whether it reports a failure: severity `fatal` or `error`.
    pub fn is_error(&self) -> bool {
        self.issues.iter().any(is_error)
    }

    /// Whether it says "try again later": some issue has a transient code, and no error has another one.
    pub fn is_transient(&self) -> bool {
        let transient = |issue: &Issue| TRANSIENT.contains(&issue.code.as_str());
        self.issues.iter().any(transient) && self.issues.iter().filter(|i| is_error(i)).all(transient)
    }

    /// Every issue in one line, errors first.
    pub fn text(&self) -> String {
        let (errors, others): (Vec<_>, Vec<_>) = self.issues.iter().partition(|issue| is_error(issue));
        let mut parts: Vec<&str> = Vec::new();
        for issue in errors.into_iter().chain(others) {
            if !parts.contains(&issue.text.as_str()) {
                parts.push(&issue.text);
            }
        }
        if parts.is_empty() { "an OperationOutcome without issues".to_owned() } else { parts.join("; ") }
    }
}

fn is_error(issue: &Issue) -> bool {
    matches!(issue.severity.as_str(), "fatal" | "error")
}

fn issue(value: &Value) -> Issue {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let coding = &value["details"]["coding"][0];
    let details =
        text(&value["details"]["text"]).or_else(|| text(&coding["display"])).or_else(|| text(&coding["code"]));
    let code = text(&value["code"]).unwrap_or_default();
    Issue {
        // An issue that does not say how bad it is counts as an error.
        severity: text(&value["severity"]).unwrap_or_else(|| "error".to_owned()),
        text: issue_text(details.as_deref(), value["diagnostics"].as_str(), &code),
        code,
    }
}

fn issue_text(details: Option<&str>, diagnostics: Option<&str>, code: &str) -> String {
    let given = |text: Option<&str>| text.map(clean).filter(|t| !t.is_empty());
    match (given(details), given(diagnostics)) {
        (Some(details), Some(more)) if !details.contains(&more) => format!("{details} ({more})"),
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) if code.is_empty() => "no details given".to_owned(),
        (None, None) => clean(code),
    }
}

/// What to show of a body that came with an error: the issues of an OperationOutcome, the members of an OAuth or problem
/// JSON, the text of a page, else its beginning. One line, without control characters, secrets left out; `None` if empty.
pub fn readable(body: &[u8]) -> Option<String> {
    // An error page needs no more than this to be understood; an outcome is read whole.
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    if let Some(outcome) = Outcome::read(body) {
        return Some(outcome.text());
    }
    let shown = if let Ok(value) = serde_json::from_slice::<Value>(text.as_bytes()) {
        of_json(&value).unwrap_or_else(|| text.to_owned())
    } else if text.starts_with('<') {
        without_tags(text)
    } else {
        text.to_owned()
    };
    let shown = clean(&shown);
    (!shown.is_empty()).then_some(shown)
}

fn of_json(value: &Value) -> Option<String> {
    let member = |name: &str| value[name].as_str().filter(|t| !t.trim().is_empty());
    if let (Some(error), Some(description)) = (member("error"), member("error_description")) {
        return Some(format!("{error}: {description}"));
    }
    for name in ["error_description", "message", "detail", "title", "error"] {
        if let Some(text) = member(name) {
            return Some(text.to_owned());
        }
    }
    value["error"]["message"].as_str().map(str::to_owned)
}

fn without_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        out.push(' ');
        rest = &rest[start..];
        let skip = ["script", "style"].into_iter().find_map(|name| {
            let open = rest.get(1..=name.len())?;
            open.eq_ignore_ascii_case(name).then(|| rest.to_ascii_lowercase().find(&format!("</{name}")))?
        });
        rest = &rest[skip.unwrap_or(0)..];
        match rest.find('>') {
            Some(end) => rest = &rest[end + 1..],
            None => rest = "",
        }
        if out.len() > 4 * MAX_TEXT {
            rest = "";
        }
    }
    out.push_str(rest);
    unescape(&out)
}

fn unescape(text: &str) -> String {
    // `&amp;` last, so that nothing is undone twice.
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The `value` attribute of the first element called `name` in a piece of FHIR XML.
fn attribute(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name} value="))?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(value, _)| unescape(value))
}

/// A server's text made fit for a terminal and a log: one line, no control characters, bounded, no secrets.
pub fn clean(text: &str) -> String {
    let mut out = String::new();
    let bounded: String = text.chars().take(8 * MAX_TEXT).collect();
    for word in bounded.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    let out = crate::http::redact::text(&out);
    match out.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &out[..end]),
        None => out,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_details_then_diagnostics_then_code() {
        let body = br#"{"resourceType":"OperationOutcome","issue":[
            {"severity":"warning","code":"value","diagnostics":"odd"},
            {"severity":"error","code":"invalid","details":{"text":"bad _type"},"diagnostics":"Foo is unknown"},
            {"severity":"error","code":"security"}]}"#;
        let outcome = Outcome::read(body).unwrap();
        assert_eq!(outcome.text(), "bad _type (Foo is unknown); security; odd");
        assert!(outcome.is_error() && !outcome.is_transient());
    }

    #[test]
    fn transient_needs_every_error_to_be_transient() {
        let read = |codes: &[&str]| {
            let issue: Vec<_> = codes.iter().map(|c| serde_json::json!({"severity": "error", "code": c})).collect();
            let value = serde_json::json!({"resourceType": "OperationOutcome", "issue": issue});
            Outcome::from_json(&value).unwrap().is_transient()
        };
        for code in TRANSIENT {
            assert!(read(&[code]), "{code}");
        }
        assert!(!read(&["processing"]) && !read(&["transient", "processing"]) && !read(&[]));
    }

    #[test]
    fn xml_outcomes_are_read_too() {
        let body =
            b"<?xml version='1.0'?><OperationOutcome xmlns=\"http://hl7.org/fhir\"><issue><severity value=\"error\"/>\
            <code value=\"transient\"/><diagnostics value=\"come &lt;later&gt;\"/></issue></OperationOutcome>";
        let outcome = Outcome::read(body).unwrap();
        assert!(outcome.is_transient());
        assert_eq!(outcome.text(), "come <later>");
    }

    #[test]
    fn other_bodies_are_shown_as_text() {
        let html = b"<!DOCTYPE html><html><head><style>p{}</style><title>502</title></head><body><p>Bad\n gateway</p><script>x()</script></body>";
        assert_eq!(readable(html).unwrap(), "502 Bad gateway");
        assert_eq!(readable(b" Too many files\x1b[31m ").unwrap(), "Too many files [31m");
        assert_eq!(
            readable(br#"{"error":"invalid_client","error_description":"no such client"}"#).unwrap(),
            "invalid_client: no such client"
        );
        assert_eq!(readable(b"\n"), None);
        assert!(readable(&vec![b'x'; 1 << 20]).unwrap().chars().count() <= MAX_TEXT + 1);
    }
}
