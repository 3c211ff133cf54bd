//! Fetching the files of a job: which next, how often, with which token; what is here stays here whatever becomes of the rest.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use futures_util::lock::Mutex;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;

use super::manifest::{Manifest, ManifestFile};
use super::room;
use crate::auth::{TokenRule, Withheld};
use crate::event::Event;
use crate::folder::layout::{self, FileKind, PART};
use crate::folder::state::{OutputFolder, note_facts};
use crate::folder::{FileEntry, FileState, Job, Log};
use crate::http::{self, Client, Failure, Pause, Permit, Tries, redact};
use crate::platform::transfer::{
    Content, DEFAULT_TIMEOUT, FileFacts, TransferOutcome, TransferProgress, TransferTask, Transfers,
};
use crate::platform::{Clock, HttpErrorKind, Observer, Platform, Storage};
use crate::{ErrorKind, Result};

/// Shortest time between two `Totals` events, in milliseconds.
const TOTALS_EVERY_MILLIS: i64 = 100;

/// What a file of `kind` is expected to hold.
pub fn content_of(job: &Job, kind: FileKind) -> Content {
    match kind {
        FileKind::Error => Content::Outcomes,
        FileKind::Deleted => Content::Deletions,
        FileKind::Output if job.other_format.is_some() => Content::Opaque,
        FileKind::Output if job.organized => Content::Organized,
        FileKind::Output => Content::Resources,
    }
}

/// Gives files that are missing the URLs that a fresh reading of their manifest has for them: by URL without its signature,
/// or, where the list has the same kinds and types in the same order, by place.
fn renew_urls(files: &mut [FileEntry], fresh: &Manifest) {
    let mut by_identity: BTreeMap<String, u64> = BTreeMap::new();
    by_identity.extend(fresh.files.iter().map(ManifestFile::identity).zip(0..));
    let same_shape = files.len() == fresh.files.len()
        && files
            .iter()
            .zip(&fresh.files)
            .all(|(old, new)| (old.kind, old.resource_type.as_deref()) == (new.kind, new.safe_type()));
    for (index, file) in files.iter_mut().enumerate().filter(|(_, file)| file.state != FileState::Done) {
        if let Some(at) = by_identity.get(&file.identity()) {
            file.url.clone_from(&fresh.files[*at as usize].url);
        } else if same_shape {
            file.url.clone_from(&fresh.files[index].url);
        }
    }
}

/// How to get a fresh manifest when links have expired.
pub trait Renew {
    /// Reads the manifest again.
    async fn renew(&self) -> Result<Manifest>;
}

/// One file under way: how often it was tried.
struct Try<'a> {
    index: usize,
    tries: Tries<'a>,
    unauthorized: bool,
    renewed: bool,
}

enum Step<'a> {
    Transfer(Try<'a>),
    Wait(Try<'a>, Pause, String),
    /// Writing the ledger. Not in the loop itself: while that waits, no file goes on, not even one that is writing the ledger
    /// and holds what the loop waits for.
    Save,
}

enum Ended<'a> {
    Stored,
    Saved,
    Slept(Try<'a>),
    /// Try again now, since what stood in the way was cured.
    Again(Try<'a>),
    Later(Try<'a>, Pause, String),
    Failed(Try<'a>, Problem),
}

struct Problem {
    message: String,
    unreachable: bool,
}

/// Fetches what is missing of the folder's last job.
pub struct Download<'a, 'p, P: Platform, R: Renew> {
    platform: &'p P,
    client: &'a Client<'p, P>,
    folder: &'a OutputFolder<'p, P>,
    log: &'a Log<'p, P>,
    renewer: R,
    compress: bool,
    elements: bool,
    connections: usize,
    renewals: Mutex<u32>,
    live: RefCell<Live>,
}

/// Counts for `Totals`.
#[derive(Default)]
struct Live {
    files: u64,
    done: u64,
    finished_bytes: u64,
    finished_resources: u64,
    running: Vec<TransferProgress>,
    told: i64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// Files that are here now and were not before.
    pub fetched: u64,
    /// Bytes received for them.
    pub received: u64,
    /// Files that could not be had.
    pub failed: u64,
    /// Those of them that failed because their server could not be reached.
    pub unreachable: u64,
}

impl<'a, 'p, P: Platform, R: Renew> Download<'a, 'p, P, R> {
    /// A download into `folder`, at most `connections` files at once.
    pub fn new(
        platform: &'p P,
        client: &'a Client<'p, P>,
        folder: &'a OutputFolder<'p, P>,
        log: &'a Log<'p, P>,
        renewer: R,
        config: &crate::config::BulkConfig,
    ) -> Self {
        Self {
            platform,
            client,
            folder,
            log,
            renewer,
            compress: config.compress,
            elements: !config.elements.is_empty(),
            connections: config.server.max_connections.max(1) as usize,
            renewals: Mutex::new(0),
            live: RefCell::default(),
        }
    }

    /// Fetches everything that is missing. Files that cannot be had are recorded in the ledger; an error is a failure on our
    /// side, such as a full disk, after which nothing more can be fetched.
    pub async fn run(&self) -> Result<Downloaded> {
        self.fetch_all().await.map_err(|error| {
            if error.kind != ErrorKind::Quota {
                return error;
            }
            let live = self.live.borrow();
            let under_way = live.running.iter().map(|one| (one.received, one.resources));
            self.with_job(|job| room::say_missing(error, job, under_way))
        })
    }

    async fn fetch_all(&self) -> Result<Downloaded> {
        let mut ready: VecDeque<Try<'_>> = VecDeque::new();
        self.folder.change_job(|job| {
            let mut live = self.live.borrow_mut();
            live.files = job.files.len() as u64;
            for (index, file) in job.files.iter().enumerate() {
                if file.state == FileState::Done {
                    live.done += 1;
                    live.finished_resources += file.resources.unwrap_or_default();
                } else {
                    let tries = self.client.retry().tries();
                    ready.push_back(Try { index, tries, unauthorized: false, renewed: false });
                }
            }
        });
        let mut result = Downloaded::default();
        let mut running = FuturesUnordered::new();
        let mut active = 0;
        loop {
            while active < self.connections
                && let Some(next) = ready.pop_front()
            {
                active += 1;
                running.push(self.step(Step::Transfer(next)));
            }
            let Some(ended) = running.next().await else { break };
            let ended = ended?;
            active -= usize::from(!matches!(ended, Ended::Slept(_) | Ended::Saved));
            match ended {
                Ended::Stored => result.fetched += 1,
                Ended::Saved => {}
                Ended::Slept(again) => ready.push_back(again),
                Ended::Again(again) => ready.push_front(again),
                Ended::Later(again, pause, message) => {
                    self.tell_failed(again.index, &message, false);
                    running.push(self.step(Step::Wait(again, pause, message)));
                }
                Ended::Failed(given_up, problem) => {
                    result.failed += 1;
                    result.unreachable += u64::from(problem.unreachable);
                    self.tell_failed(given_up.index, &problem.message, true);
                    self.folder.change_job(|job| {
                        let file = &mut job.files[given_up.index];
                        file.state = FileState::Failed;
                        file.problem = Some(problem.message);
                    });
                    running.push(self.step(Step::Save));
                }
            }
            self.totals(false);
        }
        self.totals(true);
        result.received = self.live.borrow().finished_bytes;
        self.log.flush().await?;
        self.folder.save().await?;
        Ok(result)
    }

    fn with_job<T>(&self, read: impl FnOnce(&Job) -> T) -> T {
        self.folder.ledger().jobs.last().map_or_else(|| unreachable!("a download is of a job"), read)
    }

    fn entry(&self, index: usize) -> FileEntry {
        self.with_job(|job| job.files[index].clone())
    }

    fn task(&self, index: usize, file: &FileEntry, credentials: Vec<(String, String)>) -> TransferTask {
        let (content, format) = self.with_job(|job| (content_of(job, file.kind), job.other_format.clone()));
        let mut headers = vec![("Accept".to_owned(), format.unwrap_or_else(|| "application/fhir+ndjson".to_owned()))];
        if self.client.is_fhir_origin(&file.url) {
            headers.extend(self.client.fhir_headers());
        }
        TransferTask {
            file: index as u32,
            url: file.url.clone(),
            headers,
            credentials,
            credential_origins: self.client.credential_origins(),
            allow_insecure: self.client.allow_insecure(),
            relay: self.client.relay(),
            path: format!("{}{PART}", file.name),
            compress: self.compress,
            content,
            resource_type: file.resource_type.clone(),
            elements: self.elements,
            timeout_millis: DEFAULT_TIMEOUT.as_millis() as u64,
        }
    }

    async fn step<'t>(&'t self, step: Step<'t>) -> Result<Ended<'t>> {
        match step {
            Step::Wait(again, pause, message) => {
                self.client.pause(pause, format!("{}.", message.trim_end_matches('.'))).await;
                Ok(Ended::Slept(again))
            }
            Step::Save => self.folder.save_if_due().await.map(|()| Ended::Saved),
            Step::Transfer(attempt) => self.attempt(attempt).await,
        }
    }

    async fn attempt<'t>(&'t self, mut attempt: Try<'t>) -> Result<Ended<'t>> {
        let index = attempt.index;
        let file = self.entry(index);
        let permit = self.client.politeness().admit(&file.url).await;
        let rule = self.client.token_rule(file.requires_access_token, &file.url);
        let credentials = match rule {
            // Where it may not go over plain http, the transfer itself refuses; without credentials all is well.
            TokenRule::Send | TokenRule::Withhold(Withheld::PlainHttp) => self.client.credentials().await?,
            TokenRule::Withhold(Withheld::NotWanted | Withheld::OtherOrigin) => Vec::new(),
        };
        let task = self.task(index, &file, credentials.clone());
        self.log.event(
            "download_request",
            &json!({"fileUrl": redact::url(&file.url), "itemType": layout::item_type(file.kind), "resourceType": file.resource_type}),
        );
        self.platform.observer().event(Event::FileStarted {
            file: index as u32,
            name: file.name.clone(),
            expected: file.count,
        });
        let outcome = self.platform.transfers().transfer(task, &|progress| self.progress(progress)).await;
        self.live.borrow_mut().running.retain(|other| other.file != index as u32);
        match outcome? {
            TransferOutcome::Stored(facts) => {
                permit.succeeded();
                self.commit(index, &file, &facts).await?;
                Ok(Ended::Stored)
            }
            TransferOutcome::Broken { error, .. } => {
                let text = self.client.redact(&error.message);
                self.log_error(&file, None, &text);
                let problem = Problem {
                    message: format!("No whole answer from {}: {text}.", redact::url(&file.url)),
                    unreachable: error.kind == HttpErrorKind::Connect,
                };
                Ok(self.again_or_not(attempt, permit, &file.url, Failure::of_error(&error), problem))
            }
            TransferOutcome::Refused { status, retry_after, date, text, transient } => {
                let text = self.client.redact(&text);
                self.log_error(&file, Some(status), &text);
                let colon = if text.is_empty() { "" } else { ": " };
                let hint = match status {
                    401 | 403 => self.client.withheld_hint(rule, &file.url),
                    _ => String::new(),
                };
                let message = format!("{} answered {status}{colon}{text}{hint}", redact::url(&file.url));
                let problem = Problem { message, unreachable: false };
                let now = self.platform.clock().now_millis();
                let asked = http::parse_retry_after(retry_after.as_deref(), date.as_deref(), now);
                let failure = match status {
                    401 if rule == TokenRule::Send
                        && !attempt.unauthorized
                        && self.client.credentials_refused(&credentials) =>
                    {
                        attempt.unauthorized = true;
                        return Ok(Ended::Again(attempt));
                    }
                    403 | 404 | 410 if !attempt.renewed => {
                        attempt.renewed = true;
                        drop(permit);
                        let fresh = self.renew(index, &file.url).await;
                        return Ok(if fresh { Ended::Again(attempt) } else { Ended::Failed(attempt, problem) });
                    }
                    _ => Failure::of_status(status, asked).or(transient.then_some(Failure::Failed(asked))),
                };
                Ok(self.again_or_not(attempt, permit, &file.url, failure, problem))
            }
        }
    }

    /// Another try after a pause, or the end of it.
    fn again_or_not<'t>(
        &'t self,
        mut attempt: Try<'t>,
        permit: Permit<'_, P>,
        url: &str,
        failure: Option<Failure>,
        problem: Problem,
    ) -> Ended<'t> {
        let Some(pause) = failure.and_then(|failure| self.client.next_try(&mut attempt.tries, failure, url)) else {
            return Ended::Failed(attempt, problem);
        };
        if pause.throttled {
            permit.throttled(pause.gate.then_some(pause.wait));
        }
        attempt.unauthorized = false;
        Ended::Later(attempt, pause, problem.message)
    }

    /// Gives a complete file its final name, and takes it into the ledger.
    async fn commit(&self, index: usize, file: &FileEntry, facts: &FileFacts) -> Result<()> {
        let storage = self.platform.storage();
        let temporary = format!("{}{PART}", file.name);
        let mut parts = Vec::new();
        if self.is_organized(file) {
            for (resource_type, _) in &facts.parts {
                let name = Self::part_name(file, resource_type);
                storage.rename(&format!("{temporary}.{resource_type}"), &name).await?;
                parts.push(name);
            }
        } else {
            storage.rename(&temporary, &file.name).await?;
            if file.replaces {
                storage.remove(&layout::other_compression(&file.name)).await?;
            }
        }
        self.folder.change_job(|job| {
            let file = &mut job.files[index];
            note_facts(file, facts);
            file.parts = parts;
        });
        {
            let mut live = self.live.borrow_mut();
            live.done += 1;
            live.finished_bytes += facts.received;
            live.finished_resources += facts.resources;
        }
        self.log.event(
            "download_complete",
            &json!({"fileUrl": redact::url(&file.url), "resourceCount": facts.resources, "fileSize": facts.decoded}),
        );
        self.platform.observer().event(Event::FileFinished {
            file: index as u32,
            name: file.name.clone(),
            bytes: facts.stored,
            received: facts.received,
            resources: facts.resources,
        });
        if file.replaces || self.is_organized(file) {
            // Only the ledger says that this file is the new one.
            self.folder.save().await?;
        }
        self.log.flush().await?;
        self.folder.save_if_due().await
    }

    fn is_organized(&self, file: &FileEntry) -> bool {
        self.with_job(|job| content_of(job, file.kind) == Content::Organized)
    }

    /// `Resource.001.ndjson.gz` split by type: its Conditions are in `Condition.001.ndjson.gz`.
    fn part_name(file: &FileEntry, resource_type: &str) -> String {
        let rest = file.name.split_once('.').map_or("ndjson", |(_, rest)| rest);
        let safe = crate::fhir::resource_type::is_safe(resource_type);
        format!("{}.{rest}", if safe { resource_type } else { "Resource" })
    }

    /// Reads the manifest again for fresh links, once for all files that find theirs dead. True if this file has a new one.
    async fn renew(&self, index: usize, dead: &str) -> bool {
        let mut renewals = self.renewals.lock().await;
        if self.entry(index).url != dead {
            return true;
        }
        *renewals += 1;
        match self.renewer.renew().await {
            Ok(manifest) => {
                self.folder.change_job(|job| renew_urls(&mut job.files, &manifest));
                self.entry(index).url != dead
            }
            Err(error) => {
                self.platform.observer().event(Event::Warning {
                    code: "renewal-failed".into(),
                    message: format!("A link has expired, and the manifest could not be read again: {error}"),
                });
                false
            }
        }
    }

    fn log_error(&self, file: &FileEntry, status: Option<u16>, text: &str) {
        self.log.event(
            "download_error",
            &json!({"fileUrl": redact::url(&file.url), "body": text, "code": status, "message": text, "responseHeaders": null}),
        );
    }

    fn tell_failed(&self, index: usize, message: &str, last: bool) {
        let name = self.entry(index).name;
        self.platform.observer().event(Event::FileFailed {
            file: index as u32,
            name,
            message: message.to_owned(),
            last,
        });
    }

    fn progress(&self, progress: TransferProgress) {
        {
            let mut live = self.live.borrow_mut();
            match live.running.iter_mut().find(|other| other.file == progress.file) {
                Some(other) => *other = progress,
                None => live.running.push(progress),
            }
        }
        let TransferProgress { file, received, resources } = progress;
        self.platform.observer().event(Event::FileProgress { file, received, resources });
        self.totals(false);
    }

    fn totals(&self, now: bool) {
        let time = self.platform.clock().now_millis();
        let mut live = self.live.borrow_mut();
        if !now && time - live.told < TOTALS_EVERY_MILLIS {
            return;
        }
        live.told = time;
        let event = Event::Totals {
            files_done: live.done,
            files: live.files,
            received: live.finished_bytes + live.running.iter().map(|p| p.received).sum::<u64>(),
            resources: live.finished_resources + live.running.iter().map(|p| p.resources).sum::<u64>(),
            active: live.running.len() as u32,
            limit: self.client.politeness().limit(self.client.base()),
        };
        drop(live);
        self.platform.observer().event(event);
    }
}
