//! What came of a crawl, read off the ledger: the same for the run that fetched the data and for one that finds it done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::{BulkReport, FailedFile, TypeCount, Verdict};
use crate::crawl::state::Missing;
use crate::folder::Ledger;
use crate::platform::transfer::Issue;

/// How many examples a report names.
const EXAMPLES: usize = 20;

/// What came of a crawl.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrawlReport {
    /// How it ended.
    pub verdict: Verdict,
    /// 0, or 3 where the verdict is not `complete` (DESIGN §6).
    pub exit_status: u8,
    /// How many patients there are.
    pub patients: u64,
    /// Files here.
    pub files: u64,
    /// Resources in them.
    pub resources: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// By type.
    pub types: BTreeMap<String, TypeCount>,
    /// Types that were asked for and have no resources.
    pub empty_types: Vec<String>,
    /// How many patients are missing, by type.
    pub missing: BTreeMap<String, u64>,
    /// The first of them, and why.
    pub missing_examples: Vec<Missing>,
    /// Ids that the server has no Patient for; they make the crawl incomplete, and the next run asks for them again.
    pub unknown_patients: Vec<String>,
    /// Files of the bulk export of Patients that could not be had: then nothing else was tried.
    pub patients_problem: Vec<FailedFile>,
    /// Issues of severity `error` or `fatal` that the server reported with resources.
    pub errors: u64,
    /// The first issues that the server reported with resources, errors first.
    pub issues: Vec<Issue>,
}

impl CrawlReport {
    /// Takes over what came of the bulk export of Patients.
    pub(super) fn take_patients(&mut self, bulk: &BulkReport) {
        self.patients_problem.clone_from(&bulk.failed);
    }

    /// Whether everything is here of those whom the server knows.
    fn has_all(&self) -> bool {
        self.missing.is_empty() && self.patients_problem.is_empty()
    }

    /// Whether no later run is due: a patient whom the server does not know keeps no folder from being complete, but nobody at
    /// all does.
    pub(super) fn is_settled(&self) -> bool {
        self.has_all() && (self.patients > 0 || self.unknown_patients.is_empty())
    }

    /// Reads the ledger.
    pub(super) fn read(&mut self, ledger: &Ledger, types: &[String]) {
        let bulk = BulkReport::new(ledger, crate::bulk::download::Downloaded::default());
        (self.files, self.resources, self.bytes) = (bulk.files, bulk.resources, bulk.bytes);
        (self.types, self.errors, self.issues) = (bulk.types, bulk.errors + bulk.bad_lines, bulk.issues);
        let Some(crawl) = &ledger.crawl else { return };
        self.patients = crawl.patients;
        for state in &crawl.types {
            self.errors += state.errors;
            self.issues.extend(state.issues.iter().cloned());
            if state.missing > 0 {
                self.missing.insert(state.resource_type.clone(), state.missing);
            }
            self.missing_examples.extend(state.examples.iter().cloned());
            if state.bytes == 0 {
                continue;
            }
            self.files += 1;
            self.bytes += state.bytes;
            self.resources += state.resources;
            let count = self.types.entry(state.resource_type.clone()).or_default();
            count.files += 1;
            count.resources += state.resources;
        }
        let is_empty = |t: &&String| !self.types.contains_key(*t) && !self.missing.contains_key(*t);
        self.empty_types = types.iter().filter(is_empty).cloned().collect();
        self.missing_examples.truncate(EXAMPLES);
        let issues = std::mem::take(&mut self.issues).into_iter();
        let (errors, others): (Vec<_>, Vec<_>) = issues.partition(|i| matches!(i.severity.as_str(), "fatal" | "error"));
        self.issues = errors;
        self.issues.extend(others);
        self.issues.dedup();
        self.issues.truncate(EXAMPLES);
        self.verdict = if !self.has_all() || !self.unknown_patients.is_empty() {
            Verdict::Incomplete
        } else if self.errors > 0 {
            Verdict::WithErrors
        } else {
            Verdict::Complete
        };
        self.exit_status = if self.verdict == Verdict::Complete { 0 } else { 3 };
    }
}
