//! One output folder: what its state says, what is there, and whether they agree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::advice::Advice;
use super::ids::Ids;
use super::{VerifyReport, log};
use crate::bulk::manifest::FileKind;
use crate::crawl::state::Stage;
use crate::fhir::raw::{Raw, check};
use crate::folder::layout::{self, METADATA, PART};
use crate::folder::metadata::{Kind, Metadata};
use crate::folder::{DataFile, FileState, Job, JobState, Ledger, Rows, data_files};
use crate::platform::{Platform, Storage};
use crate::progress::Steps;
use crate::{ErrorKind, Result};

/// Begins a line of a Bundle's that holds a resource.
const ENTRY: &[u8] = b"{\"resource\": ";

/// An output folder, looked at but not read yet.
pub(super) struct Output {
    /// Before the paths of its files, in what is told.
    pub(super) prefix: String,
    /// Its data files, those of errors and deletions included.
    pub(super) files: Vec<DataFile>,
    metadata: Option<Metadata>,
    ledger: Ledger,
    /// The Bundle that has taken the place of the data files.
    bundle: Option<String>,
    /// What is there, with its size in bytes.
    sizes: BTreeMap<String, u64>,
    /// Whether what it lacks has come with later exports.
    pub(super) is_made_up_for: bool,
}

/// What a file turned out to hold.
#[derive(Default)]
struct Found {
    rows: u64,
    types: BTreeMap<String, u64>,
    bad: u64,
    first_bad: String,
}

impl Output {
    /// Looks at the folder that `inside` is at work in.
    pub(super) async fn look<P: Platform>(inside: &P, prefix: &str, report: &mut VerifyReport) -> Result<Self> {
        let storage = inside.storage();
        let at = |path: &str| format!("{prefix}{path}");
        let state = Metadata::load(storage, Kind::Output).await;
        let (metadata, ledger) =
            match state.and_then(|mut metadata| Ledger::load(&mut metadata).map(|ledger| (metadata, ledger))) {
                Ok((metadata, ledger)) => (Some(metadata).filter(|metadata| !metadata.is_empty()), ledger),
                Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Mismatch) => {
                    report.problem(at(METADATA), format!("cannot be read: {}", error.message));
                    (None, Ledger::default())
                }
                Err(error) => return Err(error),
            };
        let (mut files, mut sizes) = (Vec::new(), BTreeMap::new());
        for folder in ["", "error", "deleted"] {
            files.extend(data_files(storage, folder).await?);
            for entry in storage.list(folder).await?.into_iter().filter(|entry| !entry.is_dir) {
                let name = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
                let is_temporary = name.contains(PART) || name.strip_suffix(".tmp").is_some();
                if is_temporary {
                    report.problem(at(&name), "was left by a run that was interrupted");
                }
                sizes.insert(name, entry.size);
            }
        }
        let bundle =
            ["Bundle.json", "Bundle.json.gz"].into_iter().find(|name| sizes.contains_key(*name)).map(str::to_owned);
        Ok(Self { prefix: prefix.to_owned(), files, metadata, ledger, bundle, sizes, is_made_up_for: false })
    }

    /// Whether there is nothing that an export has made.
    pub(super) fn is_empty(&self) -> bool {
        self.metadata.is_none() && self.files.is_empty() && !self.sizes.contains_key(METADATA) && self.bundle.is_none()
    }

    /// Whether a file is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sizes.contains_key(name)
    }

    /// The server's base URL, where the ledger says it.
    pub(super) fn base(&self) -> Option<String> {
        let jobs = self.ledger.jobs.iter().rev().map(|job| &job.request);
        let mut requests = jobs.chain(self.ledger.crawl.iter().map(|crawl| &crawl.request));
        requests.find_map(|request| request.get("fhirUrl")?.as_str()).map(str::to_owned)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Reads everything.
    pub(super) async fn check<P: Platform>(
        &self,
        inside: &P,
        advice: &Advice<'_>,
        ids: &mut Ids<'_, P::Storage>,
        steps: &Steps<'_, P>,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let storage = inside.storage();
        if !advice.is_managed() {
            self.check_state(report);
        }
        let mut read = BTreeMap::new();
        for file in &self.files {
            report.files += 1;
            report.bytes += self.sizes.get(&file.path).copied().unwrap_or_default();
            let is_data = !file.path.contains('/');
            let ids = is_data.then_some(&mut *ids);
            let cure = || advice.of_damaged(file, &self.ledger);
            if let Some(found) = self.read(storage, &file.path, ids, steps, &cure, report).await? {
                if is_data {
                    for (kind, count) in &found.types {
                        report.types.entry(kind.clone()).or_default().resources += count;
                    }
                    report.types.entry(file.resource_type.clone().unwrap_or_default()).or_default().files += 1;
                }
                report.resources += found.rows - found.bad;
                self.judge(file, &found, report);
                read.insert(file.path.clone(), found.rows);
            }
            steps.file();
        }
        report.types.remove("");
        let bundled = self.check_ledger(&read, advice, report);
        // Whose ledger there is none of is compared with the log.
        let has_ledger = !self.ledger.jobs.is_empty() || self.ledger.crawl.is_some();
        let to_compare = (!has_ledger && self.bundle.is_none()).then_some(&read);
        log::check(storage, &self.prefix, to_compare, report).await?;
        let Some(name) = &self.bundle else { return Ok(()) };
        let cure = || "export into another folder".to_owned();
        if let Some(found) = self.read(storage, name, Some(ids), steps, &cure, report).await? {
            report.files += 1;
            report.bytes += self.sizes.get(name).copied().unwrap_or_default();
            report.resources += found.rows;
            for (kind, count) in found.types {
                report.types.entry(kind).or_default().resources += count;
            }
            if found.bad > 0 || (bundled > 0 && bundled != found.rows) {
                let text = format!("holds {} resources, but the files that it replaces held {bundled}", found.rows);
                report.problem(self.at(name), text);
            }
        }
        Ok(())
    }

    /// What the state itself says is missing.
    fn check_state(&self, report: &mut VerifyReport) {
        let Some(metadata) = &self.metadata else { return };
        if metadata.get("complete").and_then(Value::as_bool) != Some(true) && !self.is_made_up_for {
            report.problem(self.at(METADATA), "says that the export is not complete: run it again");
        }
    }

    /// Compares the ledger's files with what was read. Returns how many resources are in files that a Bundle has replaced.
    fn check_ledger(&self, read: &BTreeMap<String, u64>, advice: &Advice<'_>, report: &mut VerifyReport) -> u64 {
        let mut bundled = 0;
        // A name that several jobs have had belongs to the last.
        let mut seen = BTreeSet::new();
        for job in self.ledger.jobs.iter().rev().filter(|job| job.state != JobState::Abandoned) {
            for file in job.files.iter().rev().filter(|file| seen.insert(file.name.clone())) {
                let names = if file.parts.is_empty() { std::slice::from_ref(&file.name) } else { &file.parts };
                if file.state != FileState::Done {
                    // The ledger may lag behind: what has its name is whole.
                    let is_here = !file.replaces && !job.organized && self.sizes.contains_key(&file.name);
                    if is_here {
                        continue;
                    }
                    let why = file.problem.as_deref().unwrap_or("it was not fetched yet");
                    report.problem(self.at(&file.name), format!("is missing: {why}"));
                    continue;
                }
                if job.organized && file.parts.is_empty() {
                    continue;
                }
                let is_bundled = self.bundle.is_some() && file.kind == FileKind::Output;
                let gone: Vec<&String> = names.iter().filter(|name| !self.sizes.contains_key(*name)).collect();
                if is_bundled && gone.len() == names.len() {
                    bundled += file.resources.unwrap_or_default();
                    continue;
                }
                let is_error = file.kind == FileKind::Error;
                let cure = advice.cure(file.resource_type.as_deref().filter(|_| file.kind == FileKind::Output));
                // What is lost of a managed folder is told with what it means for what is current.
                for name in gone.iter().filter(|_| is_error || !advice.is_managed()) {
                    let cure =
                        if is_error { "nothing brings it back but an export into another folder" } else { &cure };
                    report.problem(self.at(name), format!("is missing, though the export has had it: {cure}"));
                }
                let rows: Option<u64> = names.iter().map(|name| read.get(name)).sum();
                if let (Some(rows), Some(resources)) = (rows, file.resources)
                    && rows != resources
                {
                    let text = format!("holds {rows} rows, but {resources} were received; remove it, then {cure}");
                    report.problem(self.at(&names.join(", ")), text);
                }
            }
        }
        self.check_strangers(report);
        bundled + self.check_crawl(read, advice, report)
    }

    /// Files with names like those of the export, which it does not know: copies, as a rule.
    fn check_strangers(&self, report: &mut VerifyReport) {
        let finished = || self.ledger.jobs.iter().filter(|job| job.state == JobState::Finished);
        let jobs = self.ledger.jobs.iter().flat_map(|job| &job.files);
        let known = layout::set(&mut jobs.flat_map(|file| file.parts.iter().chain([&file.name])).cloned());
        for file in self.files.iter().filter(|file| !file.path.contains('/') && layout::number(&file.path) > 0) {
            let kind = file.path.split('.').next().unwrap_or_default();
            let is_ours = finished().any(|job| job.types.iter().any(|name| name == kind));
            if is_ours && !known.contains(&file.path) {
                report.problem(self.at(&file.path), "is none of the files that were received: move it away");
            }
        }
    }

    /// The same for what was crawled, where there is a file a type.
    fn check_crawl(&self, read: &BTreeMap<String, u64>, advice: &Advice<'_>, report: &mut VerifyReport) -> u64 {
        let mut bundled = 0;
        for state in self.ledger.crawl.iter().flat_map(|crawl| &crawl.types) {
            let name = if state.file.is_empty() { &state.resource_type } else { &state.file };
            match state.stage {
                Stage::Begun | Stage::Closing => {
                    report.problem(self.at(name), "is missing: its crawl was interrupted; run it again");
                    continue;
                }
                Stage::Partial if self.is_made_up_for => {}
                Stage::Partial => {
                    let text = match state.missing {
                        0 => "is empty: the server knows none of the ids that were given".to_owned(),
                        missing => format!("lacks what {missing} patients have: run the crawl again"),
                    };
                    report.problem(self.at(name), text);
                }
                Stage::Done => {}
            }
            if let Some(rows) = read.get(name).filter(|rows| **rows != state.resources) {
                let cure = advice.cure(Some(&state.resource_type));
                let due = state.resources;
                let text = format!("holds {rows} rows, but {due} were received; remove it, then {cure}");
                report.problem(self.at(name), text);
            } else if state.resources > 0 && !self.sizes.contains_key(name) {
                if self.bundle.is_some() {
                    bundled += state.resources;
                } else if !advice.is_managed() || state.stage != Stage::Done {
                    let cure = advice.cure(Some(&state.resource_type));
                    report.problem(self.at(name), format!("is missing, though the export has had it: {cure}"));
                }
            }
        }
        bundled
    }

    /// Whether a file holds what it should.
    fn judge(&self, file: &DataFile, found: &Found, report: &mut VerifyReport) {
        if found.bad > 0 {
            let lines = if found.bad == 1 { "1 line that is" } else { "lines that are" };
            let count = if found.bad == 1 { String::new() } else { format!("{} ", found.bad) };
            report.problem(self.at(&file.path), format!("has {count}{lines} no resource; {}", found.first_bad));
        }
        let job_file = |job: &Job| job.files.iter().find(|known| known.name == file.path).cloned();
        // Searches may bring other types along (`_include`).
        let is_crawled = self.ledger.crawl.iter().flat_map(|crawl| &crawl.types).any(|state| state.file == file.path);
        let known = self.ledger.jobs.iter().rev().find_map(job_file).map(|known| known.types).unwrap_or_default();
        let expected = match file.path.split_once('/').map(|(folder, _)| folder) {
            Some("error") => Some("OperationOutcome"),
            Some("deleted") => Some("Bundle"),
            _ => file.resource_type.as_deref(),
        };
        for (kind, count) in &found.types {
            if expected.is_some_and(|expected| expected != kind) && !known.contains_key(kind) && !is_crawled {
                let plural = if *count == 1 { "" } else { "s" };
                report.problem(self.at(&file.path), format!("holds {count} resource{plural} of type {kind}"));
            }
        }
    }

    /// Reads a file through; nothing if it is damaged, which is a problem.
    async fn read<P: Platform>(
        &self,
        storage: &P::Storage,
        path: &str,
        mut ids: Option<&mut Ids<'_, P::Storage>>,
        steps: &Steps<'_, P>,
        cure: &dyn Fn() -> String,
        report: &mut VerifyReport,
    ) -> Result<Option<Found>> {
        let is_bundle = self.bundle.as_deref() == Some(path);
        let mut found = Found::default();
        let mut rows = Rows::open(storage, path);
        loop {
            let row = match rows.next().await {
                Ok(Some(row)) if is_bundle => {
                    let Some(entry) = row.strip_prefix(ENTRY) else { continue };
                    let entry = entry.strip_suffix(b",").unwrap_or(entry);
                    entry.strip_suffix(b"}").unwrap_or(entry)
                }
                Ok(Some(row)) => row,
                Ok(None) => return Ok(Some(found)),
                Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                    let text = error.message.strip_prefix(path).unwrap_or(&error.message);
                    let text = text.trim().trim_end_matches('.');
                    report.problem(self.at(path), format!("{text}; {}", cure()));
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            found.rows += 1;
            steps.row();
            match check(row) {
                Ok(kind) => {
                    if let Some(ids) = &mut ids {
                        ids.add(&kind, Raw::new(row)).await?;
                    }
                    if let Some(count) = found.types.get_mut(&kind) {
                        *count += 1;
                    } else {
                        found.types.insert(kind, 1);
                    }
                }
                Err(what) => {
                    found.bad += 1;
                    if found.bad == 1 {
                        found.first_bad = format!("line {}: {what}", rows.line());
                    }
                }
            }
        }
    }
}
