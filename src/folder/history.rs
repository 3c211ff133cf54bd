//! The exports in a managed folder, as their `.metadata` tell: what was asked, how far each type is, and as of when.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::ledger::{JobState, Ledger};
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
        let is_alike = later.filters(t) == export.filters(t) && later.narrowing().eq(export.narrowing());
        later.done(t).is_some() && is_open && is_of_same && is_alike
    };
    let mut lacking = export.types().filter(|t| export.done(t).is_none()).peekable();
    lacking.peek().is_some() && lacking.all(|t| later.iter().any(|later| has(later, t)))
}

impl Export {
    async fn load<S: Storage>(inside: &S, folder: Subfolder) -> Result<Self> {
        let mut metadata = Metadata::load(inside, Kind::Output).await?;
        let ledger = Ledger::load(&metadata)?;
        let is_void = is_void(inside, &metadata, &ledger).await?;
        // 20,000 files a subfolder, over years: only what is needed stays in memory.
        metadata.remove("ledger");
        let (mut times, mut torn, mut later) = (Map::new(), BTreeSet::new(), BTreeSet::new());
        let done = metadata.done();
        for job in &ledger.jobs {
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
        Ok(Self { folder, metadata, request, crawled, times, torn, later, lacking, is_void })
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

    /// The types that were asked for.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        let of = |key: &str| self.metadata.get(key).and_then(Value::as_object).into_iter().flatten();
        of("filters").chain(of(UNLISTED)).map(|(name, _)| name.as_str())
    }

    /// The time to which a type is done, as `.metadata` has it.
    pub fn done(&self, resource_type: &str) -> Option<&str> {
        self.metadata.get("done")?.get(resource_type)?.as_str()
    }

    /// The same as the server wrote it, where that is on record.
    pub fn watermark(&self, resource_type: &str) -> Option<&str> {
        self.times.get(resource_type).and_then(Value::as_str).or_else(|| self.done(resource_type))
    }

    /// Whether only what is new of a type was asked for.
    pub fn is_since(&self, resource_type: &str) -> bool {
        self.texts("sinceResources").any(|name| name == resource_type)
    }

    /// Ids of patients that were new to the folder with this export.
    pub fn new_patients(&self) -> impl Iterator<Item = &str> {
        self.texts("newPatients")
    }

    /// Whether everything was done that belongs to the export.
    pub fn is_complete(&self) -> bool {
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
