//! The transfer seam: one try of one file, from a URL into a temporary file, on whatever worker the host chooses.
//!
//! Everything that needs to know of other requests (retries, waits, politeness, tokens, names) stays with the job;
//! what crosses to a worker and back are the plain types below. `ndjson::transfer` is what runs at the other end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::HttpError;
use crate::Result;
use crate::http::relay::Relay;

/// What a file is expected to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// Resources.
    Resources,
    /// OperationOutcomes (`error` or `outcome` of the manifest): their issues are read.
    Outcomes,
    /// Transaction Bundles of deletions.
    Deletions,
    /// Resources grouped under `Parameters` headers (`organizeOutputBy`): split by type, headers left out.
    Organized,
    /// Anything: kept as it is, not read as NDJSON.
    Opaque,
}

/// One try of one file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferTask {
    /// Number of the file within the job.
    pub file: u32,
    /// Where it is, byte for byte.
    pub url: String,
    /// Headers to send to the origin of `url`, those with credentials not included.
    pub headers: Vec<(String, String)>,
    /// `Authorization` and further headers that are secret, sent only to `credential_origins`.
    pub credentials: Vec<(String, String)>,
    /// Origins (`https://host:port`) that may see the credentials, redirects included.
    pub credential_origins: Vec<String>,
    /// Whether credentials may go over plain http to a host that is not loopback.
    pub allow_insecure: bool,
    /// What goes between us and the server.
    #[serde(default)]
    pub relay: Relay,
    /// Where to write. For [`Content::Organized`] it is a prefix: each type has a file `{path}.{type}`.
    pub path: String,
    /// Store as gzip (as received, or encoded) or plain.
    pub compress: bool,
    /// What is expected.
    pub content: Content,
    /// The type that the manifest gives, for [`Content::Resources`].
    pub resource_type: Option<String>,
    /// Whether `_elements` was asked, so that `SUBSETTED` tags are looked for (H11).
    pub elements: bool,
    /// Longest silence, in milliseconds.
    pub timeout_millis: u64,
}

impl std::fmt::Debug for TransferTask {
    /// Without URL query and credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TransferTask({} {} -> {})", self.file, self.url.split('?').next().unwrap_or_default(), self.path)
    }
}

/// A line that is no FHIR resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// An issue of an OperationOutcome that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// `fatal`, `error`, `warning`, `information` or `success`.
    pub severity: String,
    /// The issue type code.
    pub code: String,
    /// `details.text` or `diagnostics`, redacted.
    pub text: String,
}

/// What a file turned out to hold. Counts are of this file only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileFacts {
    /// Bytes received, as they came over the wire where the host shows them.
    pub received: u64,
    /// Bytes of NDJSON after decoding.
    pub decoded: u64,
    /// Bytes stored.
    pub stored: u64,
    /// Lines that are not blank, header lines of organized files left out.
    pub resources: u64,
    /// Resources by type.
    pub types: BTreeMap<String, u64>,
    /// Lines that are no JSON object with a `resourceType`.
    pub bad_lines: u64,
    /// The first of them, at most 20.
    pub bad: Vec<BadLine>,
    /// Issues by severity, over all OperationOutcomes of the file.
    pub severities: BTreeMap<String, u64>,
    /// The first issues, at most 20, errors first.
    pub issues: Vec<Issue>,
    /// Deletions whose `request.method` is not DELETE or that have no `Type/id` (H10).
    pub odd_deletions: u64,
    /// Bundle entries that are proper deletions.
    pub deletions: u64,
    /// Resources tagged `SUBSETTED` (H11); only looked for when `_elements` was asked.
    pub subsetted: u64,
    /// For organized files: the types that were written, each with its stored bytes, in order of appearance.
    pub parts: Vec<(String, u64)>,
}

/// How a try of a file ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TransferOutcome {
    /// The whole body is at the task's path, decoded without error, flushed and closed.
    Stored(FileFacts),
    /// The server answered with something else than the file. Nothing is left at the task's path.
    #[serde(rename_all = "camelCase")]
    Refused {
        /// HTTP status; 200 when the body was not what it should be (HTML, an OperationOutcome for a file).
        status: u16,
        /// `Retry-After`, as sent.
        retry_after: Option<String>,
        /// `Date`, as sent.
        date: Option<String>,
        /// What the server says, as text, redacted and short.
        text: String,
        /// Whether an OperationOutcome called it transient.
        transient: bool,
    },
    /// The connection failed or the body was torn. Nothing is left at the task's path.
    Broken {
        /// What happened.
        error: HttpError,
        /// Bytes received before.
        received: u64,
    },
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferProgress {
    /// Number of the file within the job.
    pub file: u32,
    /// Bytes received.
    pub received: u64,
    /// Resources seen.
    pub resources: u64,
}

/// Runs transfers, as many at once as it is given.
pub trait Transfers {
    /// Runs one try. An `Err` is a failure on our side: storage, or a token that may not be sent. Dropping the future
    /// aborts the transfer.
    async fn transfer(&self, task: TransferTask, progress: &dyn Fn(TransferProgress)) -> Result<TransferOutcome>;
}

/// The longest silence that tasks use unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
