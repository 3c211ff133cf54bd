//! What the doctor found.

use serde::Serialize;

use crate::bulk::groups::Group;

/// How well the server can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Usable {
    /// Nothing stands in the way.
    Yes,
    /// It can be used, but something will be missing or has to be worked around.
    WithProblems,
    /// It could not be reached, or refuses.
    No,
}

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// As it should be.
    Good,
    /// Nothing wrong, or not known.
    Note,
    /// Something to know before an export.
    Warning,
    /// An export cannot work like this.
    Failure,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// A stable word for programs: `server`, `smart`, `token`, `access`, `group`, `export`, `kickoff`, `typeFilter`, `browser`, `gzip`,
    /// `retryAfter`, `since`, `filters` or `crawl`.
    pub name: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found, in a phrase.
    pub found: String,
    /// What that means or what to do about it, in sentences; empty where it goes without saying.
    pub meaning: String,
}

/// An export operation that the CapabilityStatement shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportOperation {
    /// `system`, `patient` or `group`.
    pub level: &'static str,
    /// The name to invoke, without `$`.
    pub operation: String,
    /// Major version of the Bulk Data Access IG, 1 to 4, where the definition says it.
    pub version: Option<u8>,
}

/// Plain facts, for programs. `None`: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// `fhirVersion`
    pub fhir_version: Option<String>,
    /// `software.name` and `software.version`
    pub software: Option<String>,
    /// `epic` or `oracle`, whose quirks are known.
    pub vendor: Option<&'static str>,
    /// Where tokens are to be had, by the SMART configuration.
    pub token_url: Option<String>,
    /// The scopes that were granted.
    pub scopes: Option<String>,
    /// Types that were asked for and not granted.
    pub missing_scopes: Vec<String>,
    /// Life of a token in seconds, as the server says.
    pub token_seconds: Option<u64>,
    /// Patients that a search counts.
    pub patients: Option<u64>,
    /// The groups that the server lists, where the one in question was looked for among them.
    pub groups: Vec<Group>,
    /// The export operations that are shown.
    pub exports: Vec<ExportOperation>,
    /// Whether a kick-off by GET is taken.
    pub kickoff_get: Option<bool>,
    /// Whether a kick-off by POST is taken.
    pub kickoff_post: Option<bool>,
    /// Whether `$export` was really started, and deleted again (`--kickoff`).
    pub started: u32,
    /// Whether a comma inside a type filter must be written `%2C`; known from `--kickoff` only.
    pub escaped_commas: Option<bool>,
    /// Whether a page of the origin in question can run an export.
    pub browser: Option<bool>,
    /// Headers that pages cannot read.
    pub hidden_headers: Vec<String>,
    /// Whether answers come as gzip.
    pub gzip: Option<bool>,
    /// `Retry-After`, as sent.
    pub retry_after: Option<String>,
    /// `updated` or `created`: what `--since-mode auto` means here.
    pub since_mode: Option<&'static str>,
    /// Usual types that cannot be searched by patient, as a crawl does.
    pub not_crawlable: Vec<String>,
}

/// What came of an examination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DoctorReport {
    /// How well the server can be used.
    pub usable: Usable,
    /// Exit status of the command line: 0, 3 with problems, 1 if it cannot be used.
    pub exit_status: u8,
    /// The base URL that was examined.
    pub fhir_url: String,
    /// The rows of the table.
    pub checks: Vec<Check>,
    /// Plain facts.
    pub facts: Facts,
    /// Flags that the command for this server needs besides its URL and the credentials, such as `--export-mode crawl`; words in capitals are for
    /// the user to fill in.
    pub flags: Vec<String>,
    /// The command to use; credentials as placeholders. Empty where the server cannot be used.
    pub command: String,
}
