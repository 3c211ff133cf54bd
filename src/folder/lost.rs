//! Files that a folder's state calls done and that are not there as it knows them: gone, or of another size and with other rows.
//! It costs a listing of the folder; nothing is read but what has another size.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{FileKind, LOG};
use super::ledger::{FileEntry, FileState, Job, JobState, Ledger};
use super::log;
use super::metadata::{Kind, Metadata};
use super::rows;
use crate::Result;
use crate::crawl::state::Stage;
use crate::platform::{Platform, Storage};

/// A file that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Its name, or that of the first part that is gone.
    pub(crate) name: String,
    /// The types that are not whole without it.
    pub(crate) types: Vec<String>,
    /// Whether nothing has its name.
    pub(crate) is_gone: bool,
    /// Its name in the ledger.
    entry: String,
    /// Whether its job is under way.
    open: bool,
}

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// What is lost.
    pub(crate) lost: Vec<Lost>,
    /// Files with the rows that they should have, but of another size: something was put into them. With the size.
    pub(crate) grown: Vec<(String, u64)>,
    /// Whether there is no file of data or deletions at all.
    pub(crate) is_empty: bool,
}

/// How closely to look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// Whether to read files of another size. Else they are lost, unless hydration may have put notes into them.
    pub(crate) read: bool,
    /// Whether the folder is one of a managed folder's exports, where no Bundle takes the place of data.
    pub(crate) is_run: bool,
}

/// A file as the ledger has it.
struct Known<'a> {
    names: &'a [String],
    bytes: Option<u64>,
    /// Rows, where there are any to count.
    rows: Option<u64>,
    of: Of<'a>,
}

/// What has brought a file.
enum Of<'a> {
    Job(&'a Job, &'a FileEntry),
    /// The crawl of a type.
    Crawl(&'a String),
}

impl Known<'_> {
    /// The same as lost, where `gone` is not there.
    fn lost(&self, gone: Option<&String>) -> Lost {
        let name = gone.unwrap_or(&self.names[0]).clone();
        let (entry, types, open) = match self.of {
            Of::Job(job, file) => (file.name.clone(), types_of(job, file), !job.is_over()),
            Of::Crawl(resource_type) => (name.clone(), vec![resource_type.clone()], false),
        };
        Lost { name, types, is_gone: gone.is_some(), entry, open }
    }
}

/// What is in the folder, by name, with its size in bytes.
pub(crate) type Sizes = BTreeMap<String, u64>;

/// What the sizes leave open.
pub(crate) struct Doubts {
    found: Look,
    /// Files of another size, their names, rows and size.
    other: Vec<(Lost, Vec<String>, Option<u64>, u64)>,
    /// Types without a ledger, and how many files there are of each.
    unknown: Vec<(String, usize)>,
}

/// Compares what is there with the folder's state.
pub(crate) async fn look<S: Storage>(storage: &S, metadata: &Metadata, ledger: &Ledger, how: How) -> Result<Look> {
    let sizes = sizes(storage).await?;
    doubts(metadata, ledger, &sizes, how).settle(storage, how).await
}

/// Lists the folder.
pub(crate) async fn sizes<S: Storage>(storage: &S) -> Result<Sizes> {
    let mut sizes = Sizes::new();
    for folder in ["", "error", "deleted"] {
        for entry in storage.list(folder).await?.into_iter().filter(|entry| !entry.is_dir) {
            let name = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
            sizes.insert(name, entry.size);
        }
    }
    Ok(sizes)
}

/// Compares what is there with the folder's state as far as that goes without reading.
pub(crate) fn doubts(metadata: &Metadata, ledger: &Ledger, sizes: &Sizes, how: How) -> Doubts {
    let is_data = |name: &String| name.contains(".ndjson") && name != LOG && !name.starts_with("error/");
    let found = Look { is_empty: !sizes.keys().any(is_data), ..Look::default() };
    let mut doubts = Doubts { found, other: Vec::new(), unknown: Vec::new() };
    let has_bundle = ["Bundle.json", "Bundle.json.gz"].iter().any(|name| sizes.contains_key(*name));
    let bundled = has_bundle && !how.is_run;
    // A Bundle is the end of a folder: what it has taken in is not to be fetched again.
    let known = if bundled { Vec::new() } else { known(ledger) };
    for known in known {
        let gone = known.names.iter().find(|name| !sizes.contains_key(*name));
        let size = known.names.iter().filter_map(|name| sizes.get(name)).sum();
        if gone.is_some() {
            doubts.found.lost.push(known.lost(gone));
        } else if known.bytes.is_some_and(|bytes| bytes != size) {
            doubts.other.push((known.lost(None), known.names.to_vec(), known.rows, size));
        }
    }
    // The small WebAssembly files have no room for it.
    if cfg!(feature = "full") && !bundled {
        doubts.unknown = without_ledger(metadata, ledger, sizes);
    }
    doubts
}

/// What should be there.
fn known(ledger: &Ledger) -> Vec<Known<'_>> {
    let mut all = Vec::new();
    // A name that several jobs have had belongs to the last.
    let mut seen = BTreeSet::new();
    for job in ledger.jobs.iter().rev().filter(|job| job.state != JobState::Abandoned) {
        for file in job.files.iter().rev().filter(|file| seen.insert(file.name.as_str())) {
            let has_none = job.organized && file.parts.is_empty();
            if file.state != FileState::Done || file.kind == FileKind::Error || has_none {
                continue;
            }
            let names = if file.parts.is_empty() { std::slice::from_ref(&file.name) } else { &file.parts };
            let rows = file.resources.filter(|_| job.other_format.is_none());
            all.push(Known { names, bytes: file.bytes, rows, of: Of::Job(job, file) });
        }
    }
    let types = ledger.crawl.iter().flat_map(|crawl| &crawl.types);
    for state in types.filter(|state| state.stage == Stage::Done && state.resources > 0) {
        let (names, of) = (std::slice::from_ref(&state.file), Of::Crawl(&state.resource_type));
        all.push(Known { names, bytes: Some(state.bytes), rows: Some(state.resources), of });
    }
    all
}

/// The types of a job that are not whole without a file of it: all, where it cannot be asked for alone.
fn types_of(job: &Job, file: &FileEntry) -> Vec<String> {
    let own = file.resource_type.as_ref().filter(|name| file.kind == FileKind::Output && job.types.contains(name));
    let Some(own) = own.filter(|_| !job.organized) else {
        let other = file.resource_type.iter().filter(|_| job.types.is_empty());
        return job.types.iter().chain(other).cloned().collect();
    };
    let strays = file.types.keys().filter(|name| *name != own && job.types.contains(name));
    std::iter::once(own).chain(strays).cloned().collect()
}

impl Doubts {
    /// Reads what is to be read.
    pub(crate) async fn settle<S: Storage>(self, storage: &S, how: How) -> Result<Look> {
        let Self { mut found, other, unknown } = self;
        for (lost, names, rows, size) in other {
            let is_whole = if how.read {
                rows.is_some() && count(storage, &names).await? == rows
            } else {
                // Where notes are put in; by a program that leaves the ledger as it is.
                size > 0
                    && lost.types.iter().any(|name| matches!(name.as_str(), "DocumentReference" | "DiagnosticReport"))
            };
            if is_whole {
                found.grown.push((lost.entry, size));
            } else {
                found.lost.push(lost);
            }
        }
        if cfg!(not(feature = "full")) || unknown.is_empty() {
            return Ok(found);
        }
        let came = log::files_with_resources(storage).await?;
        for (name, here) in unknown {
            if came.get(&name).is_some_and(|came| *came > here) {
                let entry = format!("{name}.*.ndjson");
                let types = vec![name];
                found.lost.push(Lost { name: entry.clone(), types, is_gone: true, entry, open: false });
            }
        }
        Ok(found)
    }
}

/// How many rows there are; `None` where a file is damaged.
async fn count<S: Storage>(storage: &S, names: &[String]) -> Result<Option<u64>> {
    let mut count = 0;
    for name in names {
        let Some(rows) = rows::count(storage, name).await? else { return Ok(None) };
        count += rows;
    }
    Ok(Some(count))
}

/// Types that the reference has done, which keeps no ledger, and how many files there are of each: a type may truly be empty, but
/// not if the log says that files of it came.
fn without_ledger(metadata: &Metadata, ledger: &Ledger, sizes: &Sizes) -> Vec<(String, usize)> {
    let is_ours = |name: &String| {
        let jobs = ledger.jobs.iter().filter(|job| job.state != JobState::Abandoned);
        let crawled = ledger.crawl.as_ref().is_some_and(|crawl| crawl.of(name).is_some());
        crawled || jobs.flat_map(|job| &job.types).any(|of_job| of_job == name)
    };
    let mut others = Vec::new();
    for (name, _) in metadata.done().into_iter().filter(|(name, _)| !is_ours(name)) {
        let is_of_type = |path: &&String| path.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let here = sizes.keys().filter(is_of_type).count();
        others.push((name, here));
    }
    others
}

/// Takes note of what a look found, so that the next steps of a job fetch what is lost: from the manifest of a job that is under
/// way; else its types are asked for anew. What is left of them then counts as what a job has left that did not end: it stays
/// until the types are here again. Nothing is removed or written.
pub(crate) fn undo(metadata: &mut Metadata, ledger: &mut Ledger, look: &Look) {
    if !look.grown.is_empty() {
        let mut grown = BTreeMap::new();
        grown.extend(look.grown.iter().cloned());
        for file in ledger.jobs.iter_mut().flat_map(|job| &mut job.files) {
            file.bytes = grown.get(&file.name).copied().or(file.bytes);
        }
        for state in ledger.crawl.iter_mut().flat_map(|crawl| &mut crawl.types) {
            state.bytes = grown.get(&state.file).copied().unwrap_or(state.bytes);
        }
    }
    let (mut again, mut pending) = (BTreeSet::new(), BTreeSet::new());
    for lost in &look.lost {
        for name in &lost.types {
            metadata.unmark_done(name);
            metadata.remove("complete");
        }
        if lost.open {
            pending.insert(lost.entry.as_str());
        } else {
            again.extend(lost.types.iter().cloned());
        }
    }
    let files = ledger.jobs.last_mut().into_iter().flat_map(|job| &mut job.files);
    for file in files.filter(|file| pending.contains(file.name.as_str())) {
        // What has the name now is not the file.
        (file.state, file.replaces) = (FileState::Pending, true);
    }
    if again.is_empty() {
        return;
    }
    for job in std::mem::take(&mut ledger.jobs) {
        let (left, job) = split(job, &again);
        ledger.jobs.extend(left);
        ledger.jobs.push(job);
    }
    if let Some(crawl) = &mut ledger.crawl {
        crawl.patients_lost |= again.contains("Patient");
        for name in &again {
            crawl.forget(name);
        }
    }
}

/// What a job has brought of types that are asked for anew, as a job that did not end; and the rest of it.
fn split(mut job: Job, again: &BTreeSet<String>) -> (Option<Job>, Job) {
    if job.state == JobState::Abandoned || !job.types.iter().any(|name| again.contains(name)) {
        return (None, job);
    }
    let is_all = job.types.iter().all(|name| again.contains(name));
    if !job.is_over() {
        // What changed while the ones before it ran: it makes none of their types whole.
        job.types.retain(|name| !job.reconciles || !again.contains(name));
        return (None, job);
    }
    let mut left = Job { state: JobState::Abandoned, files: Vec::new(), problem: None, ..job.clone() };
    left.types.retain(|name| again.contains(name));
    job.types.retain(|name| !again.contains(name));
    let is_left = |file: &FileEntry| {
        let is_output = file.kind == FileKind::Output;
        is_all || is_output && file.resource_type.as_ref().is_some_and(|name| again.contains(name))
    };
    (left.files, job.files) = job.files.into_iter().partition(is_left);
    (Some(left), job)
}

/// Takes the new sizes of files into the ledger into which something was put, by who holds the folder's lock.
pub(crate) async fn note_sizes<P: Platform>(platform: &P, grown: Vec<(String, u64)>) -> Result<()> {
    if grown.is_empty() {
        return Ok(());
    }
    // Of a managed folder, the files are those of its exports: their ledgers learn it when they are read next.
    let Ok(mut metadata) = Metadata::load(platform.storage(), Kind::Output).await else { return Ok(()) };
    if metadata.get(super::ledger::KEY).is_none() {
        return Ok(());
    }
    let Ok(mut ledger) = Ledger::load(&mut metadata) else { return Ok(()) };
    undo(&mut metadata, &mut ledger, &Look { grown, ..Look::default() });
    ledger.store(&mut metadata)?;
    match metadata.render(platform.clock())? {
        Some(text) => super::metadata::write(platform, text).await,
        None => Ok(()),
    }
}
