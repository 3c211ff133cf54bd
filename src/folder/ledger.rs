//! The ledger: what was asked of which server, and what became of each file. It is one more key of `.metadata`, so that the
//! set of files stays that of the reference (DESIGN §5).
//!
//! A file that has its final name is complete, since only a checked file is given it; so the ledger may lag behind the folder
//! and need not be written for each of 20,000 files. The exception are names that were there before the job began
//! ([`FileEntry::replaces`]): for those only the ledger counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::metadata::Metadata;
use crate::bulk::manifest::{FileKind, ManifestFile, identity};
use crate::crawl::state::CrawlState;
use crate::fhir::instant::is_before;
use crate::platform::transfer::{BadLine, Issue};
use crate::{Error, ErrorKind, Result};

/// The key in `.metadata`.
pub(super) const KEY: &str = "ledger";
/// The form of the ledger. A change of it needs a migration here.
const FORMAT: u64 = 1;

/// Where a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// Kicked off; the manifest is not whole yet.
    #[default]
    Waiting,
    /// The manifest is whole; files may be missing.
    Downloading,
    /// Everything that the server offered is here, and the job was cleaned up.
    Finished,
    /// The server lost the job, or it was cancelled.
    Abandoned,
}

/// Where a file stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileState {
    /// To be fetched.
    #[default]
    Pending,
    /// Complete, under its name.
    Done,
    /// Could not be had in the last run; the next one tries again.
    Failed,
}

/// One file of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// Where it is, byte for byte. Without its query once the job is finished, since that may be signed.
    pub url: String,
    /// Which list of the manifest it stands in.
    pub kind: FileKind,
    /// The type that the manifest gives.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Whether it wants the token.
    #[serde(default)]
    pub requires_access_token: bool,
    /// Its name in the folder. Files that are split by type have a part each, named when they are done.
    pub name: String,
    /// The names of the parts of an organized file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Resources that the manifest announces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Where it stands.
    #[serde(default)]
    pub state: FileState,
    /// Whether a file had the name before: then only the ledger says whether this one is here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaces: bool,
    /// Bytes on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes of its rows, without any compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded: Option<u64>,
    /// Resources in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<u64>,
    /// An extension of its entry that speaks of encryption or authorization and that we do not know (E15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_extension: Option<String>,
    /// Resources by type, where they are not all of the type that the manifest gives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, u64>,
    /// Lines that are no resource.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_lines: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<BadLine>,
    /// OperationOutcome issues of severity `error` or `fatal` in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errors: u64,
    /// The first issues in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Issue>,
    /// Why it could not be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature that serde asks for.
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl FileEntry {
    /// A file that is to be fetched; it has no name yet.
    pub fn new(file: &ManifestFile) -> Self {
        Self {
            url: file.url.clone(),
            kind: file.kind,
            resource_type: file.safe_type().map(str::to_owned),
            requires_access_token: file.requires_access_token,
            name: String::new(),
            parts: Vec::new(),
            count: file.count,
            state: FileState::Pending,
            replaces: false,
            bytes: None,
            decoded: None,
            resources: None,
            access_extension: file.access_extension.clone(),
            types: BTreeMap::new(),
            bad_lines: 0,
            bad: Vec::new(),
            errors: 0,
            issues: Vec::new(),
            problem: None,
        }
    }
}

impl FileEntry {
    /// What tells the file apart from others, as [`ManifestFile::identity`] does.
    pub fn identity(&self) -> String {
        identity(self.kind, &self.url)
    }
}

/// One export job on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
pub struct Job {
    /// The status URL. Without its query once the job is over.
    pub status_url: String,
    /// What was asked: base, level, parameters. A run that asks something else does not resume this job (I08).
    pub request: Value,
    /// Whether status is reported apart from the HTTP status (`separate-export-status`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub separate_status: bool,
    /// When the kick-off was sent, by the server's clock where it told the time, else by ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kicked_off: Option<String>,
    /// `_since`, where it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether it fetches what changed while the jobs before it ran.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reconciles: bool,
    /// Whether it fetches what patients who are new had before, and nothing of others: no type is done by it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub joins: bool,
    /// The server's `transactionTime`, verbatim (I01).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_time: Option<String>,
    /// Whether the files are grouped under headers (`outputOrganizedBy`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub organized: bool,
    /// The form of the files where it is not NDJSON (E16): they are kept unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_format: Option<String>,
    /// Entries of the manifest that have no URL to fetch.
    #[serde(skip_serializing_if = "is_zero")]
    pub unusable_entries: u64,
    /// Why the manifest is not whole, where it broke off after some files were listed (E11).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Where the job stands.
    pub state: JobState,
    /// Types that the job covers.
    pub types: Vec<String>,
    /// Those of them that the token does not cover, and that did not come: they are not done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<String>,
    /// The files, in manifest order.
    pub files: Vec<FileEntry>,
}

impl Job {
    /// Files that are not here yet.
    pub fn missing(&self) -> impl Iterator<Item = (usize, &FileEntry)> {
        self.files.iter().enumerate().filter(|(_, file)| file.state != FileState::Done)
    }

    /// Whether the job is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, JobState::Finished | JobState::Abandoned)
    }

    /// Ends the job: nothing will be fetched for it any more, so what may be signed is dropped.
    pub fn end(&mut self, state: JobState) {
        self.state = state;
        self.status_url = without_query(&self.status_url);
        for file in &mut self.files {
            file.url = without_query(&file.url);
        }
    }
}

fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// All jobs of a folder, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    format: u64,
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The crawl, where the folder is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crawl: Option<CrawlState>,
}

impl Ledger {
    /// Reads the ledger from `.metadata`; an empty one if there is none.
    ///
    /// Takes the files out of `metadata`, where they are not needed twice.
    pub fn load(metadata: &mut Metadata) -> Result<Self> {
        let Some(value) = metadata.get(KEY) else { return Ok(Self { format: FORMAT, ..Self::default() }) };
        let wrong = |what: String| {
            Error::new(ErrorKind::Mismatch, "open folder", what)
                .with_hint("Use the version of smart-fetch that wrote it, or choose another folder.")
        };
        let format = value.get("format").and_then(Value::as_u64);
        if format != Some(FORMAT) {
            return Err(wrong("The folder's ledger was written by a newer version of smart-fetch.".to_owned()));
        }
        let mut ledger: Self = crate::value::read(value.clone())
            .map_err(|e| wrong(format!("The ledger in the folder's .metadata file cannot be read: {e}.")))?;
        ledger.take_back(metadata);
        Ok(ledger)
    }

    /// Takes the files of the jobs back from [`Ledger::store`].
    pub(super) fn take_back(&mut self, metadata: &mut Metadata) {
        for (job, files) in self.jobs.iter_mut().zip(metadata.take_files()) {
            job.files = files;
        }
    }

    /// The types of the jobs that are finished and not reconciled, and the earliest moment at which the server may have looked
    /// at its data for them. Jobs after one that reconciles fetched what was lost.
    pub fn to_reconcile(&self) -> Option<(Vec<String>, String)> {
        let (mut types, mut earliest) = (Vec::new(), None::<&String>);
        for job in self.jobs.iter().filter(|job| job.state == JobState::Finished && !job.joins) {
            if job.reconciles {
                (types, earliest) = (Vec::new(), None);
                continue;
            }
            types.extend(job.types.iter().filter(|t| !job.withheld.contains(t)).cloned());
            for time in job.kicked_off.iter().chain(&job.transaction_time) {
                if earliest.is_none_or(|earliest| is_before(time, earliest)) {
                    earliest = Some(time);
                }
            }
        }
        earliest.filter(|_| !types.is_empty()).map(|time| (types, time.clone()))
    }

    /// Puts the ledger into `.metadata`: the files of its jobs are there, not here, from now on.
    pub fn store(&mut self, metadata: &mut Metadata) -> Result<()> {
        metadata.set_files(self.jobs.iter_mut().map(|job| std::mem::take(&mut job.files)).collect());
        let value = serde_json::to_value(&*self).map_err(|e| {
            Error::new(ErrorKind::Storage, "save state", format!("The ledger could not be written: {e}."))
        })?;
        metadata.set(KEY, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b15_a_job_that_is_over_keeps_no_signed_query() {
        let mut job = Job { status_url: "https://ehr.example/status?job=1&sig=secret".into(), ..Job::default() };
        let file = serde_json::json!({"kind": "output", "url": "https://files.example/a?sig=secret", "requiresAccessToken": false});
        job.files.push(FileEntry::new(&serde_json::from_value(file).expect("a file")));
        job.end(JobState::Finished);
        let text = serde_json::to_string(&job).expect("json");
        assert!(!text.contains("secret"), "{text}");
    }
}
