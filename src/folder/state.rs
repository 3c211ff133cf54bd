//! An output folder at work: its `.metadata` and ledger in memory, written back often enough, and what a crash left behind.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeSet;

use super::history::UNLISTED;
use super::layout::{self, PART};
use super::ledger::{FileEntry, FileState, Job, Ledger};
use super::lost;
use super::metadata::{self, Kind, Metadata};
use crate::event::Event;
use crate::hydrate::unfinished;
use crate::platform::transfer::FileFacts;
use crate::platform::{Clock, Observer, Platform, Storage};
use crate::{ErrorKind, Result, ndjson};

/// Shortest time between two writes of the ledger on account of finished files.
const SAVE_EVERY_MILLIS: i64 = 500;

/// Lost files that are named one by one.
const NAMED: usize = 20;

/// An output folder, open and locked.
pub struct OutputFolder<'p, P: Platform> {
    platform: &'p P,
    metadata: RefCell<Metadata>,
    ledger: RefCell<Ledger>,
    due: Cell<i64>,
    saving: futures_util::lock::Mutex<()>,
    _lock: <P::Storage as Storage>::Lock,
}

impl<'p, P: Platform> OutputFolder<'p, P> {
    /// Locks the folder and reads its state.
    ///
    /// # Errors
    /// `Locked` if another job has it, `Mismatch` if it is no output folder.
    pub async fn open(platform: &'p P) -> Result<Self> {
        // A first look, so that a folder that is none of ours is left as it is. What looks damaged may just be written.
        Metadata::load(platform.storage(), Kind::Output).await.map(drop).or_else(|error| match error.kind {
            ErrorKind::Corrupt => Ok(()),
            _ => Err(error),
        })?;
        let lock = metadata::lock(platform.storage()).await?;
        // Read again under the lock: the job that had it may have written, even where there was nothing before.
        let mut metadata = Metadata::load(platform.storage(), Kind::Output).await?;
        let ledger = Ledger::load(&mut metadata)?;
        Ok(Self {
            platform,
            metadata: RefCell::new(metadata),
            ledger: RefCell::new(ledger),
            due: Cell::new(0),
            saving: futures_util::lock::Mutex::new(()),
            _lock: lock,
        })
    }

    /// Forgets what the folder was begun for if nothing came of it, such as an export of a Group that the server does not know.
    pub async fn forget_if_void(&self) -> Result<()> {
        let has_begun = has_begun(&self.metadata(), &self.ledger());
        if !has_begun && files(self.platform.storage()).await?.is_empty() {
            self.change(|metadata| {
                for key in ["filters", "since", "sinceMode", "sinceResources", UNLISTED] {
                    metadata.remove(key);
                }
            });
            self.change_ledger(|ledger| ledger.crawl = None);
        }
        Ok(())
    }

    /// The state as `.metadata` has it.
    pub fn metadata(&self) -> Ref<'_, Metadata> {
        self.metadata.borrow()
    }

    /// Changes the state; [`OutputFolder::save`] writes it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Metadata) -> T) -> T {
        change(&mut self.metadata.borrow_mut())
    }

    /// The ledger.
    pub fn ledger(&self) -> Ref<'_, Ledger> {
        self.ledger.borrow()
    }

    /// Changes the ledger; [`OutputFolder::save`] writes it.
    pub fn change_ledger<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        change(&mut self.ledger.borrow_mut())
    }

    /// The last job, if there is one that is not over.
    pub fn open_job(&self) -> Option<Job> {
        self.ledger().jobs.last().filter(|job| !job.is_over()).cloned()
    }

    /// Changes the last job.
    pub fn change_job<T>(&self, change: impl FnOnce(&mut Job) -> T) -> Option<T> {
        self.ledger.borrow_mut().jobs.last_mut().map(change)
    }

    /// Writes the state now.
    pub async fn save(&self) -> Result<()> {
        let _turn = self.saving.lock().await;
        let began = self.platform.clock().now_millis();
        let text = {
            let mut metadata = self.metadata.borrow_mut();
            let mut ledger = self.ledger.borrow_mut();
            let stored = ledger.store(&mut metadata);
            let text = stored.and_then(|()| metadata.render(self.platform.clock()));
            ledger.take_back(&mut metadata);
            text?
        };
        if let Some(text) = text
            && let Err(error) = metadata::write(self.platform, text).await
        {
            self.metadata.borrow_mut().not_written();
            return Err(error);
        }
        // A ledger of 20,000 files takes a while to write: then it is written less often.
        let now = self.platform.clock().now_millis();
        self.due.set(now + SAVE_EVERY_MILLIS.max(20 * (now - began)));
        Ok(())
    }

    /// Writes the state if the last write is some time ago.
    pub async fn save_if_due(&self) -> Result<()> {
        if self.platform.clock().now_millis() < self.due.get() { Ok(()) } else { self.save().await }
    }

    /// The paths of all files in the root, `error/` and `deleted/`, but those that describe the folder, and those that a
    /// hydration will go on with.
    pub async fn data_files(&self) -> Result<BTreeSet<String>> {
        let mut paths = files(self.platform.storage()).await?;
        for path in unfinished(self.platform.storage()).await? {
            paths.remove(&path);
        }
        Ok(paths)
    }

    /// After a crash: removes temporary files, and finds files of the last job that are complete though the ledger does not
    /// say so yet. What the ledger calls done and is not there, or not as it was, is to be fetched again, with all of its type
    /// where its job is over; nothing of that is written before [`OutputFolder::save`]. `is_run`: whether this is a run of a managed folder, where no Bundle
    /// takes the place of data. Returns how many files are here.
    pub async fn settle(&self, is_run: bool) -> Result<usize> {
        let how = lost::How { read: true, is_run };
        let sizes = lost::sizes(self.platform.storage()).await?;
        let doubts = lost::doubts(&self.metadata(), &self.ledger(), &sizes, how);
        let found = doubts.settle(self.platform.storage(), how).await?;
        self.tell_lost(&found.lost);
        lost::undo(&mut self.metadata.borrow_mut(), &mut self.ledger.borrow_mut(), &found);
        let mut present = self.data_files().await?;
        let ours =
            layout::set(&mut self.ledger().jobs.iter().flat_map(|job| job.files.iter().map(|file| file.name.clone())));
        let is_leftover = |path: &&String| path.split_once(PART).is_some_and(|(name, _)| ours.contains(name));
        let leftovers: Vec<_> = present.iter().filter(is_leftover).cloned().collect();
        for path in leftovers {
            self.platform.storage().remove(&path).await?;
            present.remove(&path);
        }
        let Some(job) = self.open_job() else { return Ok(0) };
        let mut here = 0;
        for (index, file) in job.files.iter().enumerate() {
            let names: Vec<&String> =
                if file.parts.is_empty() { vec![&file.name] } else { file.parts.iter().collect() };
            let exists = names.iter().all(|name| present.contains(*name));
            let state = match (file.state, exists) {
                // An organized file without any resource has no parts and leaves nothing.
                (FileState::Done, true) => FileState::Done,
                (FileState::Done, false) if job.organized && file.parts.is_empty() => FileState::Done,
                (FileState::Pending | FileState::Failed, true) if !file.replaces && !job.organized => {
                    self.recognise(&job, index).await?
                }
                _ => FileState::Pending,
            };
            here += usize::from(state == FileState::Done);
            self.change_job(|job| job.files[index].state = state);
        }
        Ok(here)
    }

    /// Names what is lost.
    fn tell_lost(&self, lost: &[lost::Lost]) {
        let warn = |message| {
            self.platform.observer().event(Event::Warning { code: "files-lost".to_owned(), message });
        };
        for lost in lost.iter().take(NAMED) {
            let types = lost.types.join(", ");
            warn(format!("{} is missing, or not as it was: {types} will be fetched again.", lost.name));
        }
        if lost.len() > NAMED {
            warn(format!("{} more files are missing, or not as they were.", lost.len() - NAMED));
        }
    }

    /// A file with its final name that the ledger does not know to be done: ours, unless another program left it torn.
    async fn recognise(&self, job: &Job, index: usize) -> Result<FileState> {
        let file = &job.files[index];
        let content = crate::bulk::download::content_of(job, file.kind);
        let expect = ndjson::Expect { content, resource_type: file.resource_type.as_deref(), subsetted: false };
        match ndjson::check_file(self.platform.storage(), &file.name, &expect).await {
            Ok(facts) => {
                self.change_job(|job| note_facts(&mut job.files[index], &facts));
                Ok(FileState::Done)
            }
            Err(error) if error.kind == ErrorKind::Corrupt => Ok(FileState::Pending),
            Err(error) => Err(error),
        }
    }

    /// Removes what given-up jobs left of types that a later one has brought: those are whole without it. What such a job had
    /// brought whole of other types is done, and stays.
    pub async fn remove_left_over(&self) -> Result<()> {
        fn names(file: &FileEntry) -> impl Iterator<Item = &String> {
            file.parts.iter().chain([&file.name])
        }
        let stale: Vec<String> = {
            let ledger = self.ledger();
            let (left, kept): (Vec<&Job>, Vec<&Job>) =
                ledger.jobs.iter().partition(|job| job.state == super::JobState::Abandoned);
            let is_brought =
                |name: &String| kept.iter().any(|job| job.types.contains(name) && !job.withheld.contains(name));
            let is_done = |file: &&FileEntry| file.state == FileState::Done;
            let kept_files = kept.iter().flat_map(|job| &job.files).filter(is_done);
            let kept_names = layout::set(&mut kept_files.flat_map(names).cloned());
            let mut stale = Vec::new();
            for job in &left {
                let is_covered = job.types.iter().all(is_brought);
                for file in job.files.iter().filter(is_done) {
                    let is_output = file.kind == super::layout::FileKind::Output && file.types.is_empty();
                    let is_stale = match file.resource_type.as_ref().filter(|_| is_output) {
                        Some(name) => is_covered || is_brought(name),
                        None => is_covered,
                    };
                    stale.extend(names(file).filter(|name| is_stale && !kept_names.contains(*name)).cloned());
                }
            }
            stale
        };
        for name in stale {
            self.platform.storage().remove(&name).await?;
        }
        Ok(())
    }

    /// Gives names to files that have none yet. Files of types that this job exports replace what an unfinished run left.
    pub async fn name_files(&self, job: &mut Job, compress: bool) -> Result<()> {
        let present = self.data_files().await?;
        let ours = {
            let ledger = self.ledger();
            let unfinished = ledger.jobs.iter().filter(|j| j.state == super::JobState::Abandoned);
            layout::set(&mut unfinished.flat_map(|j| j.files.iter().map(|f| f.name.clone())))
        };
        let may_replace = |path: &str| {
            if job.reconciles || job.joins {
                return false;
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            let resource_type = name.split('.').next().unwrap_or_default();
            ours.contains(path) || !path.contains('/') && job.types.iter().any(|wanted| wanted == resource_type)
        };
        let given = job.files.iter().map(|file| file.name.clone()).filter(|name| !name.is_empty());
        let kept = present.iter().filter(|path| !may_replace(path)).cloned().chain(given);
        let mut namer = layout::Namer::new(&layout::ending(job.other_format.as_deref(), compress), kept);
        if job.organized {
            // Which types a file will be split into is not known yet: its number must be free for all of them.
            namer = namer.after(present.iter().map(|path| layout::number(path)).max().unwrap_or_default());
        }
        for file in job.files.iter_mut().filter(|file| file.name.is_empty()) {
            file.name = namer.name(file.kind, file.resource_type.as_deref());
            file.replaces = present.contains(&file.name) || present.contains(&layout::other_compression(&file.name));
        }
        Ok(())
    }
}

/// Whether a server has taken on what a folder was begun for, or something of it is here.
fn has_begun(metadata: &Metadata, ledger: &Ledger) -> bool {
    let mut types = ledger.crawl.iter().flat_map(|crawl| &crawl.types);
    types.any(|state| state.bytes > 0 || state.part.is_some() || state.outcomes.is_some())
        || !ledger.jobs.is_empty()
        || !metadata.done().is_empty()
        || ["bulk-status", "complete"].iter().any(|key| metadata.get(key).is_some())
}

/// Whether nothing came of what a folder was begun for.
pub async fn is_void<S: Storage>(storage: &S, metadata: &Metadata, ledger: &Ledger) -> Result<bool> {
    Ok(!has_begun(metadata, ledger) && files(storage).await?.is_empty())
}

/// The paths of all files in the root, `error/` and `deleted/`, but those that describe the folder.
async fn files<S: Storage>(storage: &S) -> Result<BTreeSet<String>> {
    let is_data = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        !name.starts_with('.') && name != layout::LOG
    };
    Ok(lost::sizes(storage).await?.into_keys().filter(is_data).collect())
}

/// Notes in the ledger what a file turned out to hold.
pub fn note_facts(file: &mut FileEntry, facts: &FileFacts) {
    file.state = FileState::Done;
    file.bytes = Some(facts.stored);
    file.decoded = Some(facts.decoded);
    file.resources = Some(facts.resources);
    let as_expected = facts.types.keys().all(|name| Some(name) == file.resource_type.as_ref());
    if !as_expected {
        file.types.clone_from(&facts.types);
    }
    file.bad_lines = facts.bad_lines;
    file.bad.clone_from(&facts.bad);
    file.errors = ["error", "fatal"].iter().filter_map(|severity| facts.severities.get(*severity)).sum();
    file.issues.clone_from(&facts.issues);
    file.problem = None;
}
