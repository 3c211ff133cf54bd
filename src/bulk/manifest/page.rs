//! One page of a manifest, in whichever version of the standard.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{FileKind, ManifestFile, Notice};
use crate::fhir::outcome::{Outcome, clean, readable};

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `transactionTime`, verbatim.
    pub transaction_time: String,
    /// `requiresAccessToken`; true where it is missing.
    pub requires_access_token: bool,
    /// `outputFormat`
    pub output_format: Option<String>,
    /// `manifestType`
    pub manifest_type: Option<String>,
    /// `outputOrganizedBy`; `""` counts as absent (E13).
    pub output_organized_by: Option<String>,
    /// Whether there is a list `deleted`, even an empty one.
    pub tells_deletions: bool,
    /// Its files.
    pub files: Vec<ManifestFile>,
    /// Entries without a URL that can be fetched.
    pub unusable_entries: u64,
    /// `link` with `relation` `next`, absolute.
    pub next: Option<String>,
    /// What the user should know.
    pub notices: Vec<Notice>,
}

/// Why a body is no manifest (D13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAManifest {
    /// An OperationOutcome.
    Outcome(Outcome),
    /// Anything else; the end of a sentence that began with "The server sent".
    Other(String),
}

impl Page {
    /// Reads a page. `resolve` makes a URL absolute and applies the rewrite rules; its error is the end of a sentence that
    /// began with the URL. Unknown members are ignored (E01).
    pub fn read(body: &[u8], resolve: &dyn Fn(&str) -> Result<String, String>) -> Result<Self, NotAManifest> {
        let other = |what: String| NotAManifest::Other(what);
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(other("an empty body".to_owned()));
        }
        if let Some(outcome) = Outcome::read(body) {
            return Err(NotAManifest::Outcome(outcome));
        }
        let Ok(value) = serde_json::from_slice::<Value>(body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body))
        else {
            let text = readable(body).unwrap_or_default();
            return Err(other(format!("something that is no JSON: {text}")));
        };
        let Some(transaction_time) = value["transactionTime"].as_str().map(str::trim).filter(|t| !t.is_empty()) else {
            return Err(other("JSON without a 'transactionTime', which every manifest has".to_owned()));
        };
        let mut page = Self {
            transaction_time: transaction_time.to_owned(),
            requires_access_token: true,
            output_format: text(&value["outputFormat"]),
            manifest_type: text(&value["manifestType"]),
            output_organized_by: text(&value["outputOrganizedBy"]),
            tells_deletions: value["deleted"].is_array(),
            files: Vec::new(),
            unusable_entries: 0,
            next: None,
            notices: Vec::new(),
        };
        if let Some(required) = flag(&value["requiresAccessToken"]) {
            page.requires_access_token = required;
        } else {
            page.notices.push(Notice::new(
                "requires-access-token",
                "The manifest does not say whether files need the token (requiresAccessToken): it is sent to allowed origins only.",
            ));
        }
        if crate::fhir::instant::FhirTime::parse(transaction_time).is_none() {
            page.notices.push(Notice::new(
                "transaction-time",
                format!("The manifest's transactionTime '{}' is no FHIR instant.", clean(transaction_time)),
            ));
        }
        if let Some(name) = access_extension(&value["extension"]) {
            page.notices.push(extension_notice(&name, "the manifest"));
        }
        let lists = [
            ("output", FileKind::Output),
            ("error", FileKind::Error),
            ("outcome", FileKind::Error),
            ("deleted", FileKind::Deleted),
        ];
        for (list, kind) in lists {
            page.read_list(list, kind, &value[list], resolve);
        }
        page.read_next(&value["link"], resolve);
        Ok(page)
    }

    fn read_list(
        &mut self,
        list: &str,
        kind: FileKind,
        value: &Value,
        resolve: &dyn Fn(&str) -> Result<String, String>,
    ) {
        let entries = match value {
            Value::Array(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                self.unusable(format!("The manifest's '{list}' is no array."));
                &[]
            }
        };
        for (number, entry) in (1..).zip(entries) {
            let url = match entry["url"].as_str().map(resolve) {
                Some(Ok(url)) => url,
                Some(Err(why)) => {
                    self.unusable(format!("The URL of entry {number} of the manifest's '{list}' {why}."));
                    continue;
                }
                None => {
                    self.unusable(format!("Entry {number} of the manifest's '{list}' has no URL."));
                    continue;
                }
            };
            let access_extension = access_extension(&entry["extension"]);
            if let Some(name) = &access_extension {
                self.notices.push(extension_notice(name, &format!("entry {number} of '{list}'")));
            }
            self.files.push(ManifestFile {
                kind,
                url,
                resource_type: text(&entry["type"]),
                requires_access_token: self.requires_access_token,
                count: number_of(&entry["count"]),
                file_size: number_of(&entry["fileSize"]),
                continues_in_file: text(&entry["continuesInFile"]),
                count_severity: severities(&entry["countSeverity"]),
                access_extension,
            });
        }
    }

    fn read_next(&mut self, links: &Value, resolve: &dyn Fn(&str) -> Result<String, String>) {
        let links = match links {
            Value::Array(links) => links.as_slice(),
            Value::Null => &[],
            one => std::slice::from_ref(one),
        };
        let is_next = |link: &&Value| link["relation"].as_str().is_some_and(|r| r.eq_ignore_ascii_case("next"));
        match links.iter().find(is_next).map(|link| link["url"].as_str().map(resolve)) {
            None => {}
            Some(Some(Ok(url))) => self.next = Some(url),
            // The rest of the export is out of reach: never silently.
            Some(Some(Err(why))) => self.unusable(format!("The URL of the manifest's next page {why}.")),
            Some(None) => self.unusable("The manifest's link to its next page has no URL.".to_owned()),
        }
    }

    fn unusable(&mut self, message: String) {
        self.unusable_entries += 1;
        self.notices.push(Notice::new("manifest-entry", message));
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
}

/// A boolean, also as a string (E03).
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn number_of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn severities(value: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for item in value.as_array().into_iter().flatten().take(20) {
        if let (Some(code), Some(count)) = (item["code"].as_str(), number_of(&item["count"])) {
            let sum: &mut u64 = sums.entry(code.to_owned()).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    sums
}

fn extension_notice(name: &str, place: &str) -> Notice {
    Notice::new(
        "access-extension",
        format!(
            "An extension of {place} ('{}') speaks of encryption or authorization in a way that is not known here: files may \
             be refused, or be stored as they come and not be readable.",
            clean(name)
        ),
    )
}

/// The name of an extension that may change how a file is authorized or encrypted. An object (STU1 to STU3) or an array of
/// Extension (STU4), nested to any sane depth.
fn access_extension(value: &Value) -> Option<String> {
    fn look(value: &Value, depth: u8) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        match value {
            Value::Array(list) => list.iter().find_map(|item| look(item, depth)),
            Value::Object(members) => members.iter().find_map(|(key, inner)| {
                let url = (key == "url").then(|| inner.as_str()).flatten();
                [Some(key.as_str()), url]
                    .into_iter()
                    .flatten()
                    .find(|name| is_about_access(name))
                    .map(str::to_owned)
                    .or_else(|| look(inner, depth))
            }),
            _ => None,
        }
    }
    look(value, 8)
}

fn is_about_access(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "encrypt",
        "decrypt",
        "cipher",
        "jwe",
        "authoriz",
        "authentic",
        "accesstoken",
        "access-token",
        "credential",
        "secret",
    ]
    .iter()
    .any(|word| name.contains(word))
}
