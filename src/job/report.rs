//! What came of a job, read off the ledger: the same for the run that fetched the data and for one that finds it done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bulk::download::Downloaded;
use crate::bulk::manifest::FileKind;
use crate::folder::{FileState, Job, Ledger};
use crate::http::redact;
use crate::platform::transfer::Issue;

/// How a job ended, from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Everything is here.
    #[default]
    Complete,
    /// Everything that the server offered is here, but it reported errors, or sent lines that are no resources.
    WithErrors,
    /// Some files could not be had; the same job again gets just those.
    Incomplete,
}

/// Files and resources of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeCount {
    /// Files.
    pub files: u64,
    /// Resources.
    pub resources: u64,
}

/// A file that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedFile {
    /// The name that it would have.
    pub name: String,
    /// Where it is, without the query.
    pub url: String,
    /// Why.
    pub problem: String,
}

/// What came of a bulk export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkReport {
    /// How it ended.
    pub verdict: Verdict,
    /// 0, or 3 where the verdict is not `complete` (DESIGN §6).
    pub exit_status: u8,
    /// The server's `transactionTime`, verbatim; of the last job where there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_time: Option<String>,
    /// Files here, of all kinds.
    pub files: u64,
    /// Resources in the output files.
    pub resources: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// By type of the output files.
    pub types: BTreeMap<String, TypeCount>,
    /// Types that were asked for and have no resources.
    pub empty_types: Vec<String>,
    /// Files that this run fetched.
    pub fetched: u64,
    /// Bytes that this run received for them.
    pub received: u64,
    /// Files that could not be had.
    pub failed: Vec<FailedFile>,
    /// Issues of severity `error` or `fatal` that the server reported.
    pub errors: u64,
    /// The first issues that the server reported, errors first.
    pub issues: Vec<Issue>,
    /// Lines that are no resources, in all files.
    pub bad_lines: u64,
    /// The first of them, as `file:line: reason`.
    pub bad: Vec<String>,
    /// Bundles of deletions.
    pub deletions: u64,
}

/// How many examples a report names.
const EXAMPLES: usize = 20;

impl BulkReport {
    /// Reads the report off the ledger; `this_run` is what the run at hand added.
    pub fn new(ledger: &Ledger, this_run: Downloaded) -> Self {
        let Downloaded { fetched, received, .. } = this_run;
        let mut report = Self { fetched, received, ..Self::default() };
        for job in ledger.jobs.iter().filter(|job| job.state != crate::folder::JobState::Abandoned) {
            if job.transaction_time.is_some() && !job.joins {
                report.transaction_time.clone_from(&job.transaction_time);
            }
            report.failed.extend(missing_from_manifest(job));
            for file in &job.files {
                if file.state != FileState::Done {
                    report.failed.push(FailedFile {
                        name: file.name.clone(),
                        url: redact::url(&file.url),
                        problem: file.problem.clone().unwrap_or_else(|| "It was not fetched.".to_owned()),
                    });
                    continue;
                }
                if let Some(extension) = &file.access_extension {
                    report.errors += 1;
                    report.issues.push(Issue {
                        severity: "error".to_owned(),
                        code: "not-supported".to_owned(),
                        text: format!(
                            "{} may be unreadable: its manifest entry has the extension {extension}.",
                            file.name
                        ),
                    });
                }
                report.files += 1;
                report.bytes += file.bytes.unwrap_or_default();
                report.errors += file.errors;
                report.bad_lines += file.bad_lines;
                let room = EXAMPLES.saturating_sub(report.bad.len());
                let shown = file.bad.iter().take(room).map(|bad| format!("{}:{}: {}", file.name, bad.line, bad.reason));
                report.bad.extend(shown);
                report.issues.extend(file.issues.iter().cloned());
                let resources = file.resources.unwrap_or_default();
                match file.kind {
                    FileKind::Output => {
                        report.resources += resources;
                        let types = match &file.resource_type {
                            Some(name) if file.types.is_empty() => vec![(name.clone(), resources)],
                            _ => file.types.clone().into_iter().collect(),
                        };
                        for (name, resources) in types {
                            let count = report.types.entry(name).or_default();
                            count.files += 1;
                            count.resources += resources;
                        }
                    }
                    FileKind::Deleted => report.deletions += resources,
                    FileKind::Error => {}
                }
            }
            let here = |t: &String| report.types.get(t).is_some_and(|count| count.resources > 0);
            let withheld = |t: &String| job.withheld.contains(t);
            let missing = |t: &String| job.missing().any(|(_, file)| file.resource_type.as_ref() == Some(t));
            let empty = job.types.iter().filter(|t| !here(t) && !missing(t) && !withheld(t));
            report.empty_types = empty.cloned().collect();
        }
        let issues = std::mem::take(&mut report.issues).into_iter();
        let (errors, others): (Vec<_>, Vec<_>) = issues.partition(|i| matches!(i.severity.as_str(), "fatal" | "error"));
        report.issues = errors;
        report.issues.extend(others);
        report.issues.dedup();
        report.issues.truncate(EXAMPLES);
        report.verdict = if !report.failed.is_empty() {
            Verdict::Incomplete
        } else if report.errors > 0 || report.bad_lines > 0 {
            Verdict::WithErrors
        } else {
            Verdict::Complete
        };
        report.exit_status = if report.verdict == Verdict::Complete { 0 } else { 3 };
        report
    }
}

/// What the server should have listed, as far as that is known.
fn missing_from_manifest(job: &Job) -> impl Iterator<Item = FailedFile> {
    let failed =
        |name: &str, problem: String| FailedFile { name: name.to_owned(), url: redact::url(&job.status_url), problem };
    let entries = job.unusable_entries;
    let unusable = (entries > 0).then(|| format!("{entries} entries of the manifest have no URL to fetch."));
    let problems = job.problem.iter().cloned().chain(unusable).map(move |problem| failed("manifest", problem));
    let withheld = job.withheld.iter().filter(|_| job.is_over());
    let why = "The token does not cover it, and the server sent none of it.";
    problems.chain(withheld.map(move |name| failed(name, why.to_owned())))
}
