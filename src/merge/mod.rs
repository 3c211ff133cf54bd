//! The current state of a managed folder in a folder of its own: all exports applied in order, deletions too.
//!
//! | of two versions of a resource | counts |
//! |---|---|
//! | from different exports | the one of the later export |
//! | from one export | the one with the later `meta.lastUpdated`; else the one that comes later in the order of files |
//! | a deletion | ends what earlier exports gave |
//! | a Patient who left the cohort (`deleted/Bundle.Patient.*`) | goes with all that has it as its subject or patient |
//!
//! Of each type, the exports count that the folder's links lead to: a whole one stands for all before it. Rows are copied byte
//! for byte. Memory: a bit per row, and 24 MB of entries that are sorted; the rest of the entries is on disk (24 bytes a row,
//! while it runs).

mod choose;
mod copy;
mod plan;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::plan::Plan;
use crate::config::LocalConfig;
use crate::event::{Event, Phase};
use crate::fhir::instant::FhirTime;
use crate::folder::layout::{LOG, PART};
use crate::folder::metadata::{self, Kind, Metadata};
use crate::folder::{Job, JobState, Ledger, data_files, log, present};
use crate::job::TypeCount;
use crate::platform::{Observer, Platform, Storage, StorageErrorKind};
use crate::{Error, ErrorKind, Result};

/// Entries that are being sorted. Its folder is ours.
const TEMPORARY: &str = ".merge/entries";

/// The key in `.metadata` of a folder that a merge has made: what of.
const MARK: &str = "merge";

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MergeReport {
    /// 0, or 3 where something could not be taken in.
    pub exit_status: u8,
    /// The exports that were merged, oldest first.
    pub runs: Vec<String>,
    /// By type.
    pub types: BTreeMap<String, TypeCount>,
    /// Resources in the result.
    pub resources: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Rows that were read: all versions of all resources.
    pub rows: u64,
    /// Deletions that were read.
    pub deletions: u64,
    /// Rows that are no resources, or no deletions, and are left out.
    pub bad_lines: u64,
    /// The first of them, as `file:line: reason`.
    pub bad: Vec<String>,
    /// What else keeps the result from being all that there is.
    pub problems: Vec<String>,
    /// What does not, though an export was not finished, or lacks files: later exports have what was in it.
    pub notes: Vec<String>,
}

/// Merges the managed folder [`Platform::source`] into the platform's folder, which must be empty or an earlier merge of the
/// same folder. Interrupted, it is done by running it again.
///
/// # Errors
/// `Usage` without such a folder, `Mismatch` where the folders are not what they should be, `Corrupt` where a file is damaged.
pub async fn merge<P: Platform>(platform: &P, config: &LocalConfig) -> Result<MergeReport> {
    let source = platform.source();
    present::require(source, config.folder.as_deref()).await?;
    let managed = Metadata::load(source, Kind::Managed).await?;
    if managed.is_empty() {
        let message = "The folder does not look like a SMART Fetch managed export folder.";
        return Err(Error::new(ErrorKind::Mismatch, "merge", message)
            .with_hint("Give the folder that holds the numbered subfolders."));
    }
    // So that no export changes it meanwhile. A folder that nobody can write needs no lock.
    let _reading = match source.lock().await {
        Ok(lock) => Some(lock),
        Err(error) if error.kind == StorageErrorKind::Denied => None,
        Err(error) => return Err(error.into()),
    };
    let mark = json!({ "fhirUrl": managed.get("fhir-url"), "group": managed.get("group") });
    check_target(platform, &mark).await?;
    let _writing = platform.storage().lock().await?;
    let mut state = check_target(platform, &mark).await?;
    platform.observer().event(Event::Phase { phase: Phase::Check });
    for key in ["complete", "ledger", "done", "filters"] {
        state.remove(key);
    }
    state.set(MARK, mark);
    save(platform, &mut state).await?;
    clean(platform.storage()).await?;

    let base = managed.text("fhir-url").unwrap_or_default();
    let mut report = MergeReport::default();
    let result = run(platform, base, config, &mut report).await;
    // Whatever happened: what is temporary goes. The reason for a failure matters more than what goes wrong here.
    let cleaned = clean(platform.storage()).await;
    let (plan, files) = result?;
    cleaned?;
    report.exit_status = if report.problems.is_empty() && report.bad_lines == 0 { 0 } else { 3 };
    finish(platform, &managed, &mut state, &plan, files, &report).await?;
    Ok(report)
}

/// Both passes. The plan, and the files that were made.
async fn run<P: Platform>(
    platform: &P,
    base: &str,
    config: &LocalConfig,
    report: &mut MergeReport,
) -> Result<(Plan, Vec<copy::Made>)> {
    let source = platform.source();
    let mut plan = Plan::load(source).await?;
    report.problems = std::mem::take(&mut plan.problems);
    report.notes = std::mem::take(&mut plan.notes);
    report.runs = plan.runs.iter().map(|run| run.export.folder.name.clone()).collect();
    let chosen = choose::choose(platform, source, &mut plan, base, report).await?;
    report.rows = chosen.rows;
    let made = copy::copy(platform, source, &plan, &chosen, config.compress).await?;
    for copy::Made { resource_type, file, .. } in &made {
        report.types.insert(resource_type.clone(), TypeCount { files: 1, resources: file.resources });
        report.resources += file.resources;
        report.bytes += file.bytes;
    }
    Ok((plan, made))
}

/// Refuses a folder that holds anything but an earlier merge of the same.
async fn check_target<P: Platform>(platform: &P, mark: &Value) -> Result<Metadata> {
    let mismatch = |message: &str| {
        Err(Error::new(ErrorKind::Mismatch, "merge", message).with_hint("Give an empty folder to merge into."))
    };
    let state = Metadata::load(platform.storage(), Kind::Output).await?;
    match state.get(MARK) {
        Some(earlier) if earlier == mark => Ok(state),
        Some(_) => mismatch("The folder to merge into holds a merge of another folder."),
        None if !state.is_empty() => mismatch("The folder to merge into holds an export."),
        None => {
            let entries = platform.storage().list("").await?;
            if entries.iter().any(|entry| !entry.name.starts_with('.')) {
                return mismatch("The folder to merge into is not empty.");
            }
            Ok(state)
        }
    }
}

/// Removes temporary files.
async fn clean<S: Storage>(storage: &S) -> Result<()> {
    storage.remove(TEMPORARY).await?;
    storage.remove(TEMPORARY.split('/').next().unwrap_or_default()).await?;
    for entry in storage.list("").await? {
        if entry.name.ends_with(PART) {
            storage.remove(&entry.name).await?;
        }
    }
    Ok(())
}

async fn save<P: Platform>(platform: &P, state: &mut Metadata) -> Result<()> {
    match state.render(platform.clock())? {
        Some(text) => metadata::write(platform, text).await,
        None => Ok(()),
    }
}

/// Removes what an earlier merge made and this one did not, and writes state and log, so that the folder is one like any
/// other export's.
async fn finish<P: Platform>(
    platform: &P,
    managed: &Metadata,
    state: &mut Metadata,
    plan: &Plan,
    made: Vec<copy::Made>,
    report: &MergeReport,
) -> Result<()> {
    let storage = platform.storage();
    platform.observer().event(Event::Phase { phase: Phase::Finish });
    for file in data_files(storage, "").await? {
        if made.iter().all(|made| made.file.name != file.path) {
            storage.remove(&file.path).await?;
        }
    }
    storage.remove(LOG).await?;
    let mut filters = Map::new();
    let mut earliest: Option<&str> = None;
    for (resource_type, export) in plan.asked() {
        filters.insert(resource_type.to_owned(), export.filters(resource_type).into_iter().flatten().collect());
        if let Some(time) = export.done(resource_type) {
            state.mark_done(resource_type, time);
            let millis = |time: &str| FhirTime::parse(time).map(|time| time.millis(0));
            earliest = Some(earliest.filter(|earliest| millis(earliest) <= millis(time)).unwrap_or(time));
        }
    }
    state.set("filters", filters);
    state.set("since", Value::Null);
    let mut ledger = Ledger::load(state)?;
    let entries = made.iter().map(|made| {
        json!({
            "url": "", "kind": "output", "type": made.resource_type, "name": made.file.name, "state": "done",
            "bytes": made.file.bytes, "decoded": made.decoded, "resources": made.file.resources,
        })
    });
    let files = crate::value::read(entries.collect()).unwrap_or_default();
    ledger.jobs.push(Job {
        request: json!({ "fhirUrl": managed.get("fhir-url"), "merged": report.runs }),
        transaction_time: earliest.map(str::to_owned),
        state: JobState::Finished,
        types: made.iter().map(|made| made.resource_type.clone()).collect(),
        files,
        ..Job::default()
    });
    ledger.store(state)?;
    if let Some(time) = earliest {
        let base = managed.text("fhir-url").unwrap_or_default().trim_end_matches('/');
        let group = managed.text("group").map(|group| format!("/Group/{group}")).unwrap_or_default();
        let decoded = made.iter().map(|made| made.decoded).sum();
        let counts = [made.len() as u64, report.resources, decoded];
        log::stand_in(platform, &format!("{base}{group}/$export"), time, counts).await?;
    }
    state.set("complete", report.problems.is_empty());
    save(platform, state).await
}
