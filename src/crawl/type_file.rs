//! The file of one type while it grows: its rows, its OperationOutcomes, and the ledger that says who is in it.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;

use super::chain::Harvest;
use super::cohort;
use super::fetch::Fetch;
use super::positions::Positions;
use super::scope::Scope;
use super::state::{CrawlState, Missing, Stage, TypeState};
use super::watermark::Newest;
use crate::fhir::instant;
use crate::folder::layout::{self, PART};
use crate::folder::{OutputFolder, RowWriter, rows};
use crate::platform::{Clock, Platform, Storage};
use crate::{ErrorKind, Result};

/// Least time between two checkpoints; each ends a gzip member and waits for the disk.
const CHECKPOINT_MILLIS: i64 = 2_000;
/// A checkpoint may take one part in so many of the time.
const CHECKPOINT_SHARE: i64 = 20;

/// One type's file.
pub struct TypeFile<'a, 'p, P: Platform> {
    platform: &'p P,
    folder: &'a OutputFolder<'p, P>,
    pub(super) state: TypeState,
    pub(super) done: Positions,
    pub(super) failed: Positions,
    /// Ids that the server has no Patient for; they are among those who are done.
    pub(super) unknown: Positions,
    /// Whether it has a Patient for any.
    knows_nobody: bool,
    pub(super) newest: Newest,
    /// What is seen of the answers.
    pub(super) scope: Rc<RefCell<Scope>>,
    /// What is in the file that has the name, where it is known.
    named: Option<TypeState>,
    rows: Option<RowWriter<'p, P::Storage>>,
    outcomes: Option<RowWriter<'p, P::Storage>>,
    outcomes_name: String,
    /// Whether `.metadata` has a checkpoint of this run, so that giving the files their names must be announced there.
    known: bool,
    due: i64,
}

impl<'a, 'p, P: Platform> TypeFile<'a, 'p, P> {
    /// Opens the file where the ledger says that it stands; from the start where there is nothing, or nothing that fits.
    pub(super) async fn open(fetch: &Fetch<'a, 'p, P>) -> Result<Self> {
        let Fetch { client, folder, resource_type, fingerprint, .. } = *fetch;
        let platform = client.platform();
        let known = folder.ledger().crawl.as_ref().and_then(|crawl| crawl.of(resource_type)).cloned();
        let storage = platform.storage();
        if let Some(mut state) = known {
            let until = folder.metadata().done().get(resource_type).and_then(Value::as_str).map(str::to_owned);
            if let Some(time) = until.filter(|_| state.stage == Stage::Done) {
                state.reopen(&time);
                folder.change(|metadata| metadata.unmark_done(resource_type));
            }
            if state.cohort != fingerprint {
                follow(fetch, &mut state).await?;
            }
            let fits = state.cohort == fingerprint && state.stage != Stage::Done;
            if fits && let Some(file) = Self::resume(platform, folder, state.clone()).await? {
                return Ok(file);
            }
            // What it says is not so: patients have changed, or the files.
            for name in [Some(&state.file), state.outcomes.as_ref().map(|(name, _)| name)].into_iter().flatten() {
                storage.remove(&format!("{name}{PART}")).await?;
            }
            change(folder, |crawl| crawl.forget(resource_type));
            folder.save().await?;
        }
        let began = client.earliest_now();
        let state = TypeState {
            resource_type: resource_type.to_owned(),
            cohort: fingerprint.to_owned(),
            start: instant::iso(began, platform.clock().offset_minutes(began)),
            since: fetch.since.map(str::to_owned),
            // Where nothing is new, it is complete to the time of before: the server may be a copy that lags behind.
            newest: fetch.since.map(str::to_owned),
            file: format!("{resource_type}{}", layout::ending(None, fetch.compress)),
            ..TypeState::default()
        };
        Ok(Self::over(platform, folder, state, Positions::default(), Positions::default()))
    }

    fn over(
        platform: &'p P,
        folder: &'a OutputFolder<'p, P>,
        state: TypeState,
        done: Positions,
        failed: Positions,
    ) -> Self {
        Self {
            platform,
            folder,
            newest: Newest::from_text(state.newest.as_deref()),
            scope: Rc::new(RefCell::new(Scope::from_value(&state.scope))),
            named: Some(state.clone()).filter(|state| state.bytes > 0 && state.part.is_none()),
            state,
            done,
            failed,
            unknown: Positions::default(),
            knows_nobody: false,
            rows: None,
            outcomes: None,
            outcomes_name: String::new(),
            known: false,
            due: platform.clock().now_millis() + CHECKPOINT_MILLIS,
        }
    }

    /// Goes on where `state` says that the type stands; `None` if the files are not as it says.
    async fn resume(platform: &'p P, folder: &'a OutputFolder<'p, P>, state: TypeState) -> Result<Option<Self>> {
        let storage = platform.storage();
        let Some((mut done, failed)) = state.positions() else { return Ok(None) };
        let Some(mut unknown) = Positions::parse(&state.unknown) else { return Ok(None) };
        if state.stage == Stage::Partial {
            // The server may know them by now.
            std::mem::take(&mut unknown).iter().for_each(|position| done.remove(position));
        }
        let mut file = Self::over(platform, folder, state, done, failed);
        file.unknown = unknown;
        let size = storage.stat(&file.state.file).await?.map(|entry| entry.size);
        let is_closing = file.state.stage == Stage::Closing;
        if let Some((name, length)) = file.state.outcomes.clone() {
            file.outcomes = resume(storage, &name, length).await?;
            let named = is_closing && storage.stat(&name).await?.is_some();
            if file.outcomes.is_none() && !named {
                return Ok(None);
            }
        }
        match file.state.part {
            Some(length) => {
                file.rows = resume(storage, &file.state.file, length).await?;
                if file.rows.is_none() && !(is_closing && size == Some(length)) {
                    return Ok(None);
                }
                if file.rows.is_none() {
                    file.state.bytes = length;
                    file.state.part = None;
                }
            }
            None if file.state.bytes > 0 && size != Some(file.state.bytes) => match size {
                // Hydration puts notes into the rows.
                Some(size) if rows::count(storage, &file.state.file).await? == Some(file.state.resources) => {
                    file.state.bytes = size;
                }
                // Another program has replaced it.
                _ => return Ok(None),
            },
            None => {}
        }
        file.known = true;
        Ok(Some(file))
    }

    /// Whether an earlier run asked everybody, and only the names were left to give.
    pub(super) fn is_closing(&self) -> bool {
        self.state.stage == Stage::Closing
    }

    /// Adds what came of a patient's searches.
    pub(super) async fn add(&mut self, harvest: &mut Harvest) -> Result<()> {
        let storage = self.platform.storage();
        if self.rows.is_none() {
            let name = &self.state.file;
            let extends = self.state.bytes > 0;
            let writer = if extends {
                RowWriter::extend(storage, name).await?
            } else {
                RowWriter::create(storage, name).await?
            };
            self.rows = Some(writer);
        }
        match &mut self.rows {
            Some(rows) => harvest.add_to(storage, rows).await,
            None => Ok(()),
        }
    }

    /// Adds an OperationOutcome to those of the folder.
    pub(super) async fn outcome(&mut self, row: &[u8]) -> Result<()> {
        if self.outcomes.is_none() {
            let storage = self.platform.storage();
            let ending =
                layout::ending(None, std::path::Path::new(&self.state.file).extension().is_some_and(|e| e == "gz"));
            let mut name = format!("error/OperationOutcome{ending}");
            let other = layout::other_compression(&name);
            if storage.stat(&name).await?.is_none() && storage.stat(&other).await?.is_some() {
                name = other;
            }
            self.outcomes = Some(RowWriter::extend(storage, &name).await?);
            self.outcomes_name = name;
        }
        match &mut self.outcomes {
            Some(outcomes) => outcomes.row(row).await,
            None => Ok(()),
        }
    }

    /// Makes what is here safe, if the last time was some time ago.
    pub(super) async fn checkpoint_if_due(&mut self) -> Result<()> {
        if self.platform.clock().now_millis() < self.due { Ok(()) } else { self.checkpoint(Stage::Begun).await }
    }

    /// Makes what is here safe: a rerun goes on from here.
    pub(super) async fn checkpoint(&mut self, stage: Stage) -> Result<()> {
        let clock = self.platform.clock();
        let began = clock.now_millis();
        if let Some(rows) = &mut self.rows {
            self.state.part = Some(rows.checkpoint().await?);
        }
        if let Some(outcomes) = &mut self.outcomes {
            let length = outcomes.checkpoint().await?;
            let name = self.state.outcomes.take().map_or_else(|| self.outcomes_name.clone(), |(name, _)| name);
            self.state.outcomes = Some((name, length));
        }
        self.state.stage = stage;
        self.note_positions();
        self.save().await?;
        self.known = true;
        let now = clock.now_millis();
        self.due = now + CHECKPOINT_MILLIS.max(CHECKPOINT_SHARE * (now - began));
        Ok(())
    }

    fn note_positions(&mut self) {
        self.state.done = self.done.to_string();
        self.state.failed = self.failed.to_string();
        self.state.unknown = self.unknown.to_string();
        self.state.newest = self.newest.text().map(str::to_owned);
        self.state.scope = self.scope.borrow().to_value();
    }

    async fn save(&self) -> Result<()> {
        change(self.folder, |crawl| crawl.set(self.state.clone()));
        self.folder.save().await
    }

    /// Everybody was asked: the files get their names. [`TypeFile::finish`] is due after it.
    pub(super) async fn close(&mut self, patients: u64) -> Result<()> {
        let storage = self.platform.storage();
        let fresh = self.state.bytes == 0;
        // Without this, a kill between the names and the ledger would have the rows added once more. A file that is
        // made anew is just replaced by the next try.
        if (self.known || !fresh || self.outcomes.is_some()) && (self.rows.is_some() || self.outcomes.is_some()) {
            self.checkpoint(Stage::Closing).await?;
        }
        if let Some(outcomes) = self.outcomes.take() {
            outcomes.commit().await?;
        }
        let other = layout::other_compression(&self.state.file);
        if let Some(rows) = self.rows.take() {
            self.state.bytes = rows.commit().await?.bytes;
            storage.remove(&other).await?;
        } else if fresh && self.state.bytes == 0 {
            // What an earlier try of another kind left is not what is here now: nothing.
            storage.remove(&self.state.file).await?;
            storage.remove(&other).await?;
        }
        self.state.part = None;
        self.state.outcomes = None;
        self.state.missing = patients.saturating_sub(self.done.len());
        self.knows_nobody = !self.unknown.is_empty() && self.unknown.len() == patients;
        Ok(())
    }

    /// Whether nobody is missing. Ids that the server does not know are not missing, unless they are all that was asked for:
    /// then a slip is more likely than that everybody is gone.
    pub(crate) fn is_whole(&self) -> bool {
        self.state.missing == 0 && !self.knows_nobody
    }

    /// The type is done if nobody is missing; else the next run goes on.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.note_positions();
        if self.is_whole() {
            let time = self.state.until.take().unwrap_or_else(|| self.newest.or_start(&self.state.start));
            self.folder.change(|metadata| metadata.mark_done(&self.state.resource_type, &time));
            self.state.end();
        } else {
            self.state.stage = Stage::Partial;
        }
        self.save().await
    }

    /// The server answers for anybody: nothing stays of what this run got, nor of what earlier ones did if they had such answers,
    /// for one of `patients`. `missing` is to be told of those who are missing then.
    pub(super) async fn void(mut self, patients: &[u32], missing: Missing, everybody: u64) -> Result<()> {
        let storage = self.platform.storage();
        self.discard().await;
        let (resource_type, file) = (self.state.resource_type.clone(), self.state.file.clone());
        // Of searches that were under way.
        for path in self.folder.data_files().await? {
            if path.starts_with(&format!("{resource_type}.")) && path.ends_with(&format!(".spill{PART}")) {
                storage.remove(&path).await?;
            }
        }
        let is_sound = |(done, _): &(Positions, Positions)| !patients.iter().any(|position| done.contains(*position));
        let sound =
            self.named.and_then(|state| state.positions().filter(is_sound).map(|(done, _)| (state, done.len())));
        let (mut state, done) = if let Some((state, done)) = sound {
            // Hydration may have made it longer than it was.
            (TypeState { bytes: self.state.bytes, ..state }, done)
        } else {
            storage.remove(&layout::other_compression(&file)).await?;
            storage.remove(&file).await?;
            let TypeState { cohort, start, since, .. } = self.state;
            let newest = since.clone();
            (TypeState { resource_type, cohort, start, since, newest, file, ..TypeState::default() }, 0)
        };
        state.stage = Stage::Partial;
        state.missing = everybody.saturating_sub(done);
        state.examples = vec![missing];
        // The next run looks anew.
        state.scope = Value::Null;
        change(self.folder, |crawl| crawl.set(state));
        self.folder.save().await
    }

    async fn discard(&mut self) {
        for writer in [self.rows.take(), self.outcomes.take()].into_iter().flatten() {
            writer.discard().await;
        }
    }

    /// The server does not know the type: nothing of it stays.
    pub(super) async fn drop_type(mut self) -> Result<()> {
        self.discard().await;
        change(self.folder, |crawl| crawl.forget(&self.state.resource_type));
        self.folder.save().await
    }
}

/// Takes a state over to a cohort that has grown by Patients who could not be had before: they come last in their file, so
/// that the cohort of before is the beginning of it.
async fn follow<P: Platform>(fetch: &Fetch<'_, '_, P>, state: &mut TypeState) -> Result<()> {
    let before = beginning(fetch.client.platform().storage(), &state.cohort).await?;
    let Some((before, old)) = before.zip(state.positions()) else { return Ok(()) };
    let (mut done, mut failed) = (Positions::default(), Positions::default());
    for (id, place) in before.iter().zip(0..) {
        let Ok(now) = fetch.cohort.binary_search(id) else { return Ok(()) };
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        if old.0.contains(place) {
            done.insert(now);
        }
        if old.1.contains(place) {
            failed.insert(now);
        }
    }
    (state.done, state.failed) = (done.to_string(), failed.to_string());
    // Its places are those of before.
    state.scope = Value::Null;
    fetch.fingerprint.clone_into(&mut state.cohort);
    Ok(())
}

/// The cohort that has the fingerprint, if the Patients here began with it.
pub(crate) async fn beginning<S: Storage>(storage: &S, fingerprint: &str) -> Result<Option<Vec<String>>> {
    let before = cohort::patients(storage, cohort::count(fingerprint) as usize).await?;
    Ok(Some(before).filter(|before| cohort::fingerprint(before) == fingerprint))
}

/// Changes the crawl's part of the ledger.
pub(crate) fn change<P: Platform, T>(folder: &OutputFolder<'_, P>, change: impl FnOnce(&mut CrawlState) -> T) -> T {
    folder.change_ledger(|ledger| change(ledger.crawl.get_or_insert_default()))
}

/// The `.part` file of `name` cut back to `length`; `None` if it is not there, or not whole.
async fn resume<'p, S: Storage>(storage: &'p S, name: &str, length: u64) -> Result<Option<RowWriter<'p, S>>> {
    if storage.stat(&format!("{name}{PART}")).await?.is_none() {
        return Ok(None);
    }
    match RowWriter::resume(storage, name, length).await {
        Err(error) if error.kind == ErrorKind::Corrupt => Ok(None),
        other => other,
    }
}
