//! The exports in a managed folder, as their `.metadata` tell: what was asked, how far each type is, and as of when.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::ledger::{JobState, Ledger};
use super::links::active_of;
use super::lost::{self, How, Lost};
use super::managed::{Subfolder, subfolders};
use super::metadata::{Kind, Metadata};
use super::state::is_void;
use crate::Result;
use crate::crawl::state::Stage;
use crate::fhir::instant;
use crate::platform::Storage;

/// Filters of types that the CapabilityStatement does not list. There in every folder that we have written to: the key
/// `filters` is the reference's, which compares it as a whole, and has only types that are listed. In the file it stands in the
/// ledger.
pub const UNLISTED: &str = "unlistedFilters";

/// One export.
pub struct Export {
    /// Where it is.
    pub folder: Subfolder,
    /// Its `.metadata`, without the ledger.
    pub metadata: Metadata,
    /// What its last job asked, where the ledger says it: base, level, parameters.
    pub request: Option<Value>,
    /// The same of a crawl: base, cohort.
    pub crawled: Option<Value>,
    /// By type, the server's `transactionTime` to which it is done, verbatim (I01).
    times: Map<String, Value>,
    /// Types of which a bulk job has brought some files, but not all.
    torn: BTreeSet<String>,
    /// Files of what changed while it ran: newer than its others.
    later: BTreeSet<String>,
    /// By type that lacks some patients though everybody was asked, the day on which its crawl began.
    lacking: Map<String, Value>,
    /// Whether nothing came of it: no server has taken it on, and nothing is here.
    pub is_void: bool,
    /// Files that it has had and that are not there, or not as they were. Their types are not done.
    pub(crate) lost: Vec<Lost>,
    /// By type, since when it was asked for, where that is on record.
    since: Map<String, Value>,
    /// Whether there is no data file in it.
    is_empty: bool,
}

/// All exports, newest first.
///
/// # Errors
/// `Corrupt` or `Mismatch` for a subfolder whose state cannot be read, which the message names.
pub async fn load<S: Storage>(storage: &S) -> Result<Vec<Export>> {
    let mut exports = Vec::new();
    for folder in subfolders(storage).await? {
        let export = Export::load(&storage.within(&folder.name), folder.clone()).await;
        exports.push(export.map_err(|error| error.reworded(|message| format!("{}: {message}", folder.name)))?);
    }
    Ok(exports)
}

/// Whether what an export lacks has come with later ones, which ask for it from the time before it on. `exports`: newest first.
pub fn is_made_up_for(exports: &[Export], index: usize) -> bool {
    let (later, export) = (&exports[..index], &exports[index]);
    let has = |later: &Export, t: &str| {
        let is_open = !later.is_since(t) || later.metadata.text("since") == Some("auto");
        let is_of_same = later.is_of_ids() != Some(true) || later.crawled == export.crawled;
        later.done(t).is_some() && is_open && is_of_same && later.is_alike(export, t)
    };
    let mut lacking = export.types().filter(|t| export.done(t).is_none()).peekable();
    lacking.peek().is_some() && lacking.all(|t| later.iter().any(|later| has(later, t)))
}

impl Export {
    async fn load<S: Storage>(inside: &S, folder: Subfolder) -> Result<Self> {
        let mut metadata = Metadata::load(inside, Kind::Output).await?;
        let ledger = Ledger::load(&mut metadata)?;
        let is_void = is_void(inside, &metadata, &ledger).await?;
        let look = lost::look(inside, &metadata, &ledger, How { read: true, is_run: true }).await?;
        // 20,000 files a subfolder, over years: only what is needed stays in memory.
        metadata.remove("ledger");
        let (mut times, mut torn, mut later) = (Map::new(), BTreeSet::new(), BTreeSet::new());
        let (done, mut since) = (metadata.done(), Map::new());
        for state in ledger.crawl.iter().flat_map(|crawl| &crawl.types) {
            since.extend(state.since.iter().map(|time| (state.resource_type.clone(), Value::from(time.clone()))));
        }
        for job in &ledger.jobs {
            if !job.reconciles && job.state != JobState::Abandoned {
                let time = job.since.clone();
                since.extend(job.types.iter().filter_map(|name| Some((name.clone(), Value::from(time.clone()?)))));
            }
            for file in job.files.iter().filter(|_| job.reconciles) {
                later.extend(file.parts.iter().chain([&file.name]).cloned());
            }
            for resource_type in &job.types {
                match (&job.transaction_time, done.get(resource_type)) {
                    (Some(time), Some(to)) if instant::iso_of(time).as_deref() == to.as_str() => {
                        times.insert(resource_type.clone(), Value::from(time.clone()));
                    }
                    (_, None) => {
                        torn.insert(resource_type.clone());
                    }
                    _ => {}
                }
            }
        }
        if metadata.get("bulk-status").is_some() {
            // The reference's job, of which there is no ledger.
            let types = metadata.get("filters").and_then(Value::as_object).into_iter().flatten();
            torn.extend(types.filter(|(name, _)| !done.contains_key(*name)).map(|(name, _)| name.clone()));
        }
        let request = ledger.jobs.iter().rfind(|job| job.state != JobState::Abandoned).map(|job| job.request.clone());
        let mut lacking = Map::new();
        for state in ledger.crawl.iter().flat_map(|crawl| &crawl.types).filter(|state| state.stage == Stage::Partial) {
            lacking.insert(state.resource_type.clone(), Value::from(state.start.get(..10)));
        }
        let crawled = ledger.crawl.map(|crawl| crawl.request).filter(|request| !request.is_null());
        let (lost, is_empty) = (look.lost, look.is_empty);
        Ok(Self { folder, metadata, request, crawled, times, torn, later, lacking, is_void, lost, since, is_empty })
    }

    /// The filters of a type (none: all of it); `None` if the export is not about the type.
    pub fn filters(&self, resource_type: &str) -> Option<BTreeSet<&str>> {
        let of = |key: &str| self.metadata.get(key).and_then(|filters| filters.get(resource_type));
        let list = of("filters").or_else(|| of(UNLISTED))?.as_array()?;
        let mut filters = BTreeSet::new();
        for filter in list.iter().filter_map(Value::as_str) {
            filters.insert(filter);
        }
        Some(filters)
    }

    /// Whether it is of ids that were given, rather than of all or a Group; `None` where that is not on record, as the
    /// reference has none.
    pub fn is_of_ids(&self) -> Option<bool> {
        match &self.crawled {
            Some(crawl) if crawl.get("ids").is_some() => Some(true),
            Some(crawl) => crawl.get("level").map(|_| false),
            None => self.request.as_ref().map(|_| false),
        }
    }

    /// What narrows a bulk export beside filters and time: some patients, some elements, an end.
    pub fn narrowing(&self) -> impl Iterator<Item = Option<&Value>> {
        ["patients", "elements", "until"].into_iter().map(|key| self.request.as_ref()?.get(key))
    }

    /// Whether the same of a type was asked for as in another export, but for the time and whose it is.
    pub fn is_alike(&self, other: &Export, resource_type: &str) -> bool {
        self.filters(resource_type) == other.filters(resource_type) && self.narrowing().eq(other.narrowing())
    }

    /// The types that were asked for.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        let of = |key: &str| self.metadata.get(key).and_then(Value::as_object).into_iter().flatten();
        of("filters").chain(of(UNLISTED)).map(|(name, _)| name.as_str())
    }

    /// The time to which a type is done, as `.metadata` has it.
    pub fn done(&self, resource_type: &str) -> Option<&str> {
        self.metadata.get("done")?.get(resource_type)?.as_str().filter(|_| !self.is_lost(resource_type))
    }

    /// Whether a type was done, and files of it are lost.
    pub fn is_lost(&self, resource_type: &str) -> bool {
        self.lost.iter().any(|lost| lost.types.iter().any(|name| name == resource_type))
    }

    /// Since when a type was asked for, where it did not come whole and that is on record.
    pub fn since(&self, resource_type: &str) -> Option<&str> {
        let given = || self.metadata.text("since").filter(|since| *since != "auto");
        let recorded = || self.since.get(resource_type).and_then(Value::as_str);
        if self.is_since(resource_type) { recorded().or_else(given) } else { None }
    }

    /// The same as the server wrote it, where that is on record.
    pub fn watermark(&self, resource_type: &str) -> Option<&str> {
        let verbatim = || self.times.get(resource_type).and_then(Value::as_str);
        self.done(resource_type).map(|done| verbatim().unwrap_or(done))
    }

    /// Whether only what is new of a type was asked for.
    pub fn is_since(&self, resource_type: &str) -> bool {
        self.texts("sinceResources").any(|name| name == resource_type)
    }

    /// Ids of patients that were new to the folder with this export.
    pub fn new_patients(&self) -> impl Iterator<Item = &str> {
        self.texts("newPatients")
    }

    /// Whether everything was done that belongs to the export, and is there.
    pub fn is_complete(&self) -> bool {
        self.is_finished() && self.lost.is_empty()
    }

    fn is_finished(&self) -> bool {
        self.metadata.get("complete").and_then(Value::as_bool).unwrap_or_default()
    }

    /// Whether a file, by its path in the export's folder, is of what changed while the export ran.
    pub fn is_later(&self, path: &str) -> bool {
        self.later.contains(path)
    }

    /// Whether all that these types lack is patients who could not be had on a day before `today`.
    pub fn lacks_patients_of_before(&self, types: &[String], today: &str) -> bool {
        let is_old = |t: &String| self.lacking.get(t).and_then(Value::as_str).is_some_and(|day| day < today);
        let mut left = types.iter().filter(|t| self.done(t).is_none()).peekable();
        left.peek().is_some() && left.all(is_old)
    }

    /// Whether some files of a type are here that a resumed job may replace or remove.
    pub fn is_torn(&self, resource_type: &str) -> bool {
        self.torn.contains(resource_type)
    }

    fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.metadata.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// Something that is wrong with an export of a managed folder, or not worth a worry.
pub(crate) struct Finding {
    /// Which, of all exports.
    pub(crate) export: usize,
    /// The file that it is about, in the export's folder; none: all of it.
    pub(crate) file: Option<String>,
    /// The end of a sentence that begins with the file or the export.
    pub(crate) text: String,
    /// Whether what is current lacks something because of it.
    pub(crate) matters: bool,
}

/// What is wrong with the exports (newest first): what is lost, and what was not finished. What later exports have brought all the same does not
/// matter any more.
pub(crate) fn findings(exports: &[Export]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, export) in exports.iter().enumerate().rev() {
        for lost in &export.lost {
            let types: Vec<&str> =
                lost.types.iter().map(String::as_str).filter(|t| is_needed(exports, index, t)).collect();
            let text = if types.is_empty() {
                "is missing, or not as it was; later exports have what was in it".to_owned()
            } else {
                format!("is missing, or not as it was: {}", cure(index, &types.join(", ")))
            };
            found.push(Finding { export: index, file: Some(lost.name.clone()), text, matters: !types.is_empty() });
        }
        if !export.is_finished() {
            let (text, matters) = unfinished(exports, index);
            found.push(Finding { export: index, file: None, text, matters });
        }
    }
    found
}

/// What to do about a file of the export in this place.
pub(crate) fn cure(index: usize, types: &str) -> String {
    if index == 0 {
        return "run its export again, which fetches it anew".to_owned();
    }
    let what = if types.is_empty() { "all" } else { types };
    format!("its export is too old to go on with; restore it from a backup, or export {what} once more without --since")
}

/// Whether what is current lacks a type because of an export in which files of it are lost.
pub(crate) fn is_needed(exports: &[Export], index: usize, resource_type: &str) -> bool {
    if !active_of(exports, resource_type).contains(&index) {
        return false;
    }
    let lost = &exports[index];
    let is_whole = |export: &&Export| {
        export.done(resource_type).is_some()
            && export.is_alike(lost, resource_type)
            && export.is_of_ids() == lost.is_of_ids()
    };
    let before = exports[index + 1..].iter().filter(is_whole).filter_map(|export| export.watermark(resource_type));
    let Some(before) = before.reduce(|a, b| if instant::is_before(a, b) { b } else { a }) else { return true };
    // One that went back to before it has brought what was in it.
    let goes_back =
        |export: &Export| export.since(resource_type).is_some_and(|since| !instant::is_before(before, since));
    !exports[..index].iter().filter(is_whole).any(goes_back)
}

/// What to say of an export that was not finished, and whether something is missing for it.
fn unfinished(exports: &[Export], index: usize) -> (String, bool) {
    let export = &exports[index];
    if index == 0 {
        return ("is not complete: run its export again".to_owned(), true);
    }
    let is_missing = |t: &&str| export.done(t).is_none() && !export.is_lost(t) && !has_later(exports, index, t);
    let missing: Vec<&str> = export.types().filter(is_missing).collect();
    let is_settled = missing.is_empty() || is_made_up_for(exports, index);
    if !is_settled {
        let what = missing.join(", ");
        return (format!("is not complete, and too old to go on with: export {what} anew"), true);
    }
    let is_current = |resource_type: &str| active_of(exports, resource_type).contains(&index);
    let mut types = export.types().peekable();
    let has_types = types.peek().is_some();
    if has_types && types.all(|t| export.done(t).is_some()) && export.types().any(is_current) {
        let text = "is not complete, and too old to go on with: what its resources refer to may be missing; export all \
                    once more without --since";
        return (text.to_owned(), true);
    }
    let text = if export.is_empty {
        "was not finished, and nothing is in it: it may be deleted"
    } else {
        "was not finished; later exports have what it lacks"
    };
    (text.to_owned(), false)
}

/// Whether a later export has all of a type, as it was to be in the one in this place.
fn has_later(exports: &[Export], index: usize, resource_type: &str) -> bool {
    let export = &exports[index];
    exports[..index].iter().any(|later| later.done(resource_type).is_some() && later.is_alike(export, resource_type))
}
