//! What a folder holds, for who wants to read it: no lock is taken and nothing is changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::layout::{self, FileKind};
use super::ledger::{FileEntry, FileState, Job, JobState, Ledger};
use super::lost::{self, How};
use super::managed::subfolders;
use super::metadata::Metadata;
use crate::Result;
use crate::crawl::state::{CrawlState, Stage};
use crate::fhir::resource_type::{ALL, is_safe};
use crate::platform::{Platform, Storage};

/// One data file that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileView {
    /// Its path in the folder.
    pub name: String,
    /// Data, errors or deletions.
    pub kind: FileKind,
    /// The resource type that its name says.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Bytes on disk; of a link, those of the file that it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Resources in it, where the ledger says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<u64>,
}

/// A file that is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingFile {
    /// Its path in the folder.
    pub name: String,
    /// The types that are not whole without it.
    pub types: Vec<String>,
}

/// One export job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Where it stands.
    pub state: JobState,
    /// What was asked.
    pub request: serde_json::Value,
    /// The types that it covers.
    pub types: Vec<String>,
    /// The server's `transactionTime`, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_time: Option<String>,
    /// Files in the manifest.
    pub files: usize,
    /// Those that are not here.
    pub missing: usize,
    /// Resources in those that are.
    pub resources: u64,
    /// Bytes of those that are.
    pub bytes: u64,
    /// Issues of severity `error` or `fatal` that the server reported.
    pub errors: u64,
}

/// One export in a managed folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportView {
    /// Its subfolder.
    pub folder: String,
    /// Whether everything that belongs to it was done, and is there.
    pub complete: bool,
    /// Since when it was asked for, as the user wrote it; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The time to which each type is done, ISO 8601.
    pub done: serde_json::Map<String, serde_json::Value>,
    /// Patients that were new to the folder with it.
    pub new_patients: u64,
    /// When its state was written last: local time, ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Its jobs, in order.
    pub runs: Vec<RunView>,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FolderView {
    /// `output` or `managed`; absent where nothing has been written yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether everything that was asked for is here; of a managed folder: with its newest export.
    pub complete: bool,
    /// Files that it has had and that are not there, or not as they were; of a managed folder, those of its newest export and
    /// those that links lead to.
    pub missing: Vec<MissingFile>,
    /// When its state was written last: local time, ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The export jobs, in order.
    pub runs: Vec<RunView>,
    /// The exports of a managed folder, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<ExportView>,
    /// Complete data files, by name.
    pub files: Vec<FileView>,
}

/// Looks at a folder.
///
/// # Errors
/// `Corrupt` where `.metadata` is no JSON object, `Mismatch` where a newer version wrote it.
pub async fn view<P: Platform>(platform: &P) -> Result<FolderView> {
    let storage = platform.storage();
    let mut seen = look(storage, false).await?;
    let is_managed = seen.metadata.text("kind") == Some("managed");
    let mut exports: Vec<ExportView> = Vec::new();
    let linked = layout::set(&mut seen.files.iter().filter_map(|found| found.target.clone()));
    // Not by way of the history, which knows much more: this is in the small WebAssembly files.
    for subfolder in if is_managed { subfolders(storage).await? } else { Vec::new() } {
        let inside = look(&storage.within(&subfolder.name), true).await?;
        let mut facts: BTreeMap<String, FileView> = BTreeMap::new();
        for Found { mut file, .. } in inside.files {
            file.name = format!("{}/{}", subfolder.name, file.name);
            if file.kind == FileKind::Output {
                facts.insert(file.name.clone(), file);
            } else if exports.is_empty() {
                // Of the newest: what earlier ones could not have may be here now.
                seen.files.push(Found { file, target: None });
            }
        }
        for Found { file, target } in &mut seen.files {
            if let Some(facts) = target.as_ref().and_then(|target| facts.get(target)) {
                (file.bytes, file.resources) = (facts.bytes, facts.resources);
            }
        }
        let is_newest = exports.is_empty();
        let mut view = export(subfolder.name, &inside.metadata, inside.runs);
        view.complete &= inside.missing.is_empty();
        for mut missing in inside.missing {
            missing.name = format!("{}/{}", view.folder, missing.name);
            if is_newest || linked.contains(&missing.name) {
                seen.missing.push(missing);
            }
        }
        exports.insert(0, view);
    }
    let mut files: Vec<FileView> = seen.files.into_iter().map(|found| found.file).collect();
    files.sort_unstable_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(FolderView {
        kind: seen.metadata.text("kind").map(str::to_owned),
        complete: seen.missing.is_empty()
            && if is_managed {
                exports.last().is_some_and(|newest| newest.complete)
            } else {
                is_complete(&seen.metadata)
            },
        missing: seen.missing,
        timestamp: seen.metadata.text("timestamp").map(str::to_owned),
        exports,
        runs: seen.runs,
        files,
    })
}

/// A data file, and where it leads to if it is a link.
struct Found {
    file: FileView,
    target: Option<String>,
}

/// One folder, without those in it.
struct Seen {
    metadata: Metadata,
    runs: Vec<RunView>,
    files: Vec<Found>,
    missing: Vec<MissingFile>,
}

/// `is_run`: whether it is an export of a managed folder.
async fn look<S: Storage>(storage: &S, is_run: bool) -> Result<Seen> {
    let mut metadata = Metadata::load_any(storage).await?;
    let ledger = Ledger::load(&mut metadata)?;
    // Files of an unfinished job that had their name before it began: there may be an older one of that name.
    let (mut unclear, mut known) = (BTreeSet::<String>::new(), BTreeMap::<String, u64>::new());
    for file in ledger.jobs.iter().flat_map(|job| &job.files) {
        if file.replaces && file.state != FileState::Done {
            unclear.insert(file.name.clone());
        }
        if let Some(resources) = file.resources {
            known.insert(file.name.clone(), resources);
        }
    }
    for state in ledger.crawl.iter().flat_map(|crawl| &crawl.types).filter(|state| state.bytes > 0) {
        known.insert(state.file.clone(), state.resources);
    }
    let (mut files, mut sizes, mut all) = (Vec::new(), BTreeMap::<String, u64>::new(), lost::Sizes::new());
    for (folder, kind) in [("", FileKind::Output), ("error/", FileKind::Error), ("deleted/", FileKind::Deleted)] {
        for entry in storage.list(folder.trim_end_matches('/')).await? {
            if entry.is_dir {
                continue;
            }
            let name = format!("{folder}{}", entry.name);
            all.insert(name.clone(), entry.size);
            let Some(resource_type) = data_type(&entry.name) else { continue };
            if unclear.contains(name.as_str()) {
                continue;
            }
            sizes.insert(name.clone(), entry.size);
            let (resources, resource_type) = (known.get(&name).copied(), resource_type.to_owned());
            let bytes = (entry.size > 0).then_some(entry.size);
            let file = FileView { name, kind, resource_type, bytes, resources };
            files.push(Found { file, target: entry.target });
        }
    }
    let jobs = ledger.jobs.iter().map(|job| run(job, &sizes));
    let runs = jobs.chain(ledger.crawl.iter().map(crawl)).collect();
    let how = How { read: false, is_run };
    let found = lost::doubts(&metadata, &ledger, &all, how).settle(storage, how).await?;
    let mut missing = Vec::new();
    for lost in found.lost {
        missing.push(MissingFile { name: lost.name, types: lost.types });
    }
    Ok(Seen { metadata, runs, files, missing })
}

fn export(folder: String, metadata: &Metadata, runs: Vec<RunView>) -> ExportView {
    let new = metadata.get("newPatients").and_then(serde_json::Value::as_array);
    ExportView {
        folder,
        complete: is_complete(metadata),
        since: metadata.text("since").map(str::to_owned),
        done: metadata.done(),
        new_patients: new.map_or(0, Vec::len) as u64,
        timestamp: metadata.text("timestamp").map(str::to_owned),
        runs,
    }
}

fn is_complete(metadata: &Metadata) -> bool {
    metadata.get("complete").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

/// A job; `sizes`: what is in its folder. The ledger may lag behind: a file that has its name is complete.
fn run(job: &Job, sizes: &BTreeMap<String, u64>) -> RunView {
    let here = |file: &FileEntry| match file.state {
        FileState::Done => file.bytes,
        _ if job.organized => None,
        _ => sizes.get(&file.name).copied(),
    };
    let is_missing = |file: &&FileEntry| file.state != FileState::Done && here(file).is_none();
    RunView {
        state: job.state,
        request: job.request.clone(),
        types: job.types.clone(),
        transaction_time: job.transaction_time.clone(),
        files: job.files.len(),
        missing: job.files.iter().filter(is_missing).count(),
        resources: job
            .files
            .iter()
            .filter(|file| file.kind == FileKind::Output)
            .filter_map(|file| file.resources)
            .sum(),
        bytes: job.files.iter().filter_map(here).sum(),
        errors: job.files.iter().map(|file| file.errors).sum(),
    }
}

/// A crawl, as a run whose files are its types.
fn crawl(crawl: &CrawlState) -> RunView {
    let types = || crawl.types.iter();
    let missing = types().filter(|state| state.stage != Stage::Done).count();
    RunView {
        state: if missing == 0 { JobState::Finished } else { JobState::Downloading },
        request: crawl.request.clone(),
        types: types().map(|state| state.resource_type.clone()).collect(),
        transaction_time: None,
        files: crawl.types.len(),
        missing,
        resources: types().map(|state| state.resources).sum(),
        bytes: types().map(|state| state.bytes).sum(),
        errors: types().map(|state| state.errors).sum(),
    }
}

/// The type in the name of a data file: `Type.001.ndjson.gz` of any type, `Type.ndjson.gz` or `Type.word.ndjson.gz` of one that
/// FHIR has. Nothing for any other name.
fn data_type(name: &str) -> Option<&str> {
    let mut parts = name.split('.');
    let resource_type = parts.next().filter(|word| is_safe(word))?;
    let has_number = parts.next().is_some_and(|n| n.len() >= 3 && n.bytes().all(|b| b.is_ascii_digit()));
    let is_numbered = has_number && parts.next().is_some();
    let is_data = is_numbered || ALL.contains(&resource_type) && name.contains(".ndjson");
    (is_data && !name.contains(layout::PART)).then_some(resource_type)
}

#[cfg(test)]
mod tests {
    use super::data_type;

    #[test]
    fn data_files_are_known_by_their_names() {
        assert_eq!(data_type("Patient.001.ndjson.gz"), Some("Patient"));
        assert_eq!(data_type("Observation.1234.ndjson"), Some("Observation"));
        assert_eq!(data_type("Patient.ndjson"), Some("Patient"));
        assert_eq!(data_type("Medication.referenced.ndjson.gz"), Some("Medication"));
        for other in
            ["Patient.001.ndjson.gz.part", ".metadata", "log.ndjson", "Patient.ndjson.part", "001.first", "a b.001.x"]
        {
            assert_eq!(data_type(other), None, "{other}");
        }
    }
}
