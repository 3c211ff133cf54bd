//! One type, patient by patient, into its file.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::chain::{Asked, Chains, Harvest, Problem, Wanted, lines};
use super::plan::Searches;
use super::scope::{Ignored, Scope};
use super::state::Missing;
use super::type_file::TypeFile;
use super::watermark::Newest;
use crate::event::Event;
use crate::folder::OutputFolder;
use crate::folder::layout::PART;
use crate::http::Client;
use crate::platform::{Clock, Observer, Platform};
use crate::{Error, ErrorKind, Result};

/// Ids in one search for Patients.
const BATCH: usize = 40;
/// Failures in a row after which a type is given up for this run, or the server if it cannot be reached.
const MAX_STREAK: u32 = 20;
/// Patients for whom a server refuses a type that it does not list, before it is taken not to have it.
const REFUSALS: u32 = 5;
/// Least time between two [`Event::Progress`].
const PROGRESS_MILLIS: i64 = 100;
/// Warnings of one kind that are worth reading, and patients that are named.
const EXAMPLES: usize = 20;
/// Why a patient is missing whom no search was for.
const NOT_ASKED: &str = "It was not asked for, since too many searches before it had failed.";

/// How patients are asked for.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// Resources of a patient, by the patient's id.
    Patient,
    /// Patients themselves, by id, or by an identifier of this system.
    Id(Option<&'a str>),
}

/// What to fetch.
pub struct Fetch<'a, 'p, P: Platform> {
    /// The REST client.
    pub client: &'a Client<'p, P>,
    /// The output folder.
    pub folder: &'a OutputFolder<'p, P>,
    /// The type.
    pub resource_type: &'a str,
    /// How it is searched.
    pub searches: &'a Searches,
    /// Since when, if it does not come whole.
    pub since: Option<&'a str>,
    /// The patients, in order.
    pub cohort: &'a [String],
    /// How many there are besides, who cannot be asked for yet: their Patients could not be had.
    pub absent: u64,
    /// What tells them from others.
    pub fingerprint: &'a str,
    /// How they are asked for.
    pub by: By<'a>,
    /// Whether a patient's resources are wanted whatever the time of `since`.
    pub whole: &'a dyn Fn(&str) -> bool,
    /// Store as gzip.
    pub compress: bool,
    /// Whether the type may be left out if the server refuses it.
    pub may_refuse: bool,
    /// Patients whose searches are at work at once; how many requests are in flight is the client's to limit.
    pub width: usize,
    /// Whether this crawl has got any answer that serves.
    pub ever_served: &'a Cell<bool>,
}

/// What came of it.
pub enum Fetched<'a, 'p, P: Platform> {
    /// The type's file has its name; the ledger does not know yet.
    Kept(Box<TypeFile<'a, 'p, P>>),
    /// The server knows no such type, or no such search.
    Refused(Error),
    /// It answers for anybody, whoever is asked for. This has been said, and everybody noted as missing.
    Ignored,
}

/// What came of some patients, who were asked for at once.
struct Part {
    positions: Vec<u32>,
    harvest: Harvest,
    /// For a search by ids: whether there is such a Patient.
    found: bool,
}

/// A type at work.
struct Work<'a, 'b, 'p, P: Platform> {
    fetch: &'b Fetch<'a, 'p, P>,
    file: TypeFile<'a, 'p, P>,
    streak: u32,
    served: bool,
    warned: usize,
    progress_due: i64,
}

/// Whether to go on.
enum Next {
    On,
    GiveUp,
    Refused(Error),
    Ignored(Ignored),
}

impl<'a, 'p, P: Platform> Fetch<'a, 'p, P> {
    /// Fetches whoever is not here yet, and gives the file its name; it is to be finished then.
    ///
    /// # Errors
    /// What stops the whole crawl; what is here is safe then.
    pub async fn run(&self) -> Result<Fetched<'a, 'p, P>> {
        let file = TypeFile::open(self).await?;
        let mut work = Work { fetch: self, file, streak: 0, served: false, warned: 0, progress_due: 0 };
        let ended = if work.file.is_closing() { Ok(Next::On) } else { work.all().await };
        match ended {
            Ok(Next::Refused(error)) => {
                work.file.drop_type().await?;
                return Ok(Fetched::Refused(error));
            }
            Ok(Next::Ignored(ignored)) => {
                let missing = work.ignored(&ignored);
                work.file.void(&ignored.patients, missing, self.patients()).await?;
                return Ok(Fetched::Ignored);
            }
            Ok(Next::On | Next::GiveUp) => {}
            Err(error) => {
                // A full disk may fail this too; then the last checkpoint counts.
                let _ = work.file.checkpoint(super::state::Stage::Begun).await;
                return Err(error);
            }
        }
        work.note_missing();
        work.tell(true);
        let mut file = work.file;
        file.close(self.patients()).await?;
        Ok(Fetched::Kept(Box::new(file)))
    }

    /// Asks for some patients. Several are asked for in one search, where the server can do that.
    async fn unit(
        &self,
        mut positions: Vec<u32>,
        singly: &Cell<bool>,
        scope: &RefCell<Scope>,
        newest: Newest,
    ) -> Result<Vec<Part>> {
        let mut chains = Chains { client: self.client, resource_type: self.resource_type, asked: None };
        let spill = |position: u32| format!("{}.{position}.spill{PART}", self.resource_type);
        let By::Id(system) = self.by else {
            let id = self.id(positions[0]);
            let searches = self.searches.of_patient(id, (self.whole)(id));
            chains.asked = Some(Asked { id, position: positions[0], scope });
            let (harvest, _) = chains.run(&searches, &spill(positions[0]), None, newest).await?;
            return Ok(vec![Part { positions, harvest, found: true }]);
        };
        let mut parts = Vec::new();
        let together = positions.len() > 1 && !singly.get();
        if together {
            let wanted = Wanted { ids: positions.iter().map(|p| self.id(*p)).collect(), system };
            let searches = self.searches.of_ids(wanted.ids.iter().copied(), system);
            let (mut harvest, found) =
                chains.run(&searches, &spill(positions[0]), Some(&wanted), newest.clone()).await?;
            if let Some(Problem { error, .. }) = &harvest.problem {
                let may_be_the_list = error.status.is_some_and(|status| !matches!(status, 401 | 403 | 429 | 503));
                if !may_be_the_list {
                    return Ok(vec![Part { positions, harvest, found: true }]);
                }
                harvest.discard(self.client.platform().storage()).await?;
                singly.set(true);
            } else if !found.is_empty() {
                let (here, rest) = positions.into_iter().partition(|p| found.contains(self.id(*p)));
                parts.push(Part { positions: here, harvest, found: true });
                positions = rest;
            }
        }
        let none = parts.is_empty();
        for position in positions {
            let wanted = Wanted { ids: BTreeSet::from([self.id(position)]), system };
            let searches = self.searches.of_ids(wanted.ids.iter().copied(), system);
            let (harvest, found) = chains.run(&searches, &spill(position), Some(&wanted), newest.clone()).await?;
            let found = !found.is_empty();
            // A server that takes a list for one id finds nobody.
            singly.set(singly.get() || together && none && found);
            parts.push(Part { positions: vec![position], harvest, found });
        }
        Ok(parts)
    }

    /// How many patients there are.
    fn patients(&self) -> u64 {
        self.cohort.len() as u64 + self.absent
    }

    fn id(&self, position: u32) -> &'a str {
        self.cohort.get(position as usize).map_or("", String::as_str)
    }
}

impl<P: Platform> Work<'_, '_, '_, P> {
    /// Asks for everybody who is not here.
    async fn all(&mut self) -> Result<Next> {
        let fetch = self.fetch;
        let everybody = 0..u32::try_from(fetch.cohort.len()).unwrap_or(u32::MAX);
        let waiting: Vec<u32> = everybody.filter(|p| !self.file.done.contains(*p)).collect();
        // Those who failed before come last, so that they keep nobody else waiting.
        let (failed, fresh): (Vec<u32>, Vec<u32>) = waiting.into_iter().partition(|p| self.file.failed.contains(*p));
        let batch = if matches!(fetch.by, By::Id(_)) { BATCH } else { 1 };
        let mut waiting: VecDeque<Vec<u32>> =
            fresh.chunks(batch).chain(failed.chunks(1)).map(<[u32]>::to_vec).collect();
        let (singly, scope) = (Cell::new(false), self.file.scope.clone());
        let mut running = FuturesUnordered::new();
        self.file.state.examples.clear();
        self.tell(false);
        loop {
            while running.len() < fetch.width
                && let Some(positions) = waiting.pop_front()
            {
                running.push(fetch.unit(positions, &singly, &scope, self.file.newest.clone()));
            }
            let Some(parts) = running.next().await else { break };
            for part in parts? {
                match self.take(part).await? {
                    Next::On => {}
                    stop => return Ok(stop),
                }
            }
            self.file.checkpoint_if_due().await?;
            self.tell(false);
        }
        Ok(Next::On)
    }

    /// Takes what came of some patients.
    async fn take(&mut self, part: Part) -> Result<Next> {
        let Part { positions, mut harvest, found } = part;
        let storage = self.fetch.client.platform().storage();
        if let Some(ignored) = harvest.ignored.take() {
            return Ok(Next::Ignored(ignored));
        }
        if let Some(problem) = harvest.problem.take() {
            harvest.discard(storage).await?;
            return self.fail(&positions, problem).await;
        }
        self.streak = 0;
        self.served = true;
        self.fetch.ever_served.set(true);
        if let Some((code, message)) = harvest.warning.take() {
            self.warn(code, message);
        }
        for line in lines(&std::mem::take(&mut harvest.outcomes)) {
            self.file.outcome(line).await?;
        }
        let state = &mut self.file.state;
        state.resources += harvest.resources;
        state.errors += harvest.errors;
        state.issues.append(&mut harvest.issues);
        state.issues.truncate(EXAMPLES);
        self.file.newest.merge(std::mem::take(&mut harvest.newest));
        if harvest.resources > 0 {
            self.file.add(&mut harvest).await?;
        }
        for position in positions {
            self.file.done.insert(position);
            self.file.failed.remove(position);
            if !found {
                self.file.unknown.insert(position);
            }
        }
        Ok(Next::On)
    }

    /// Notes who could not be had.
    async fn fail(&mut self, positions: &[u32], problem: Problem) -> Result<Next> {
        let client = self.fetch.client;
        let Problem { error, outcome } = &problem;
        // Not for one patient's sake: it may be the patient whom the server does not know.
        let is_refusal = matches!(error.status, Some(400 | 404 | 405 | 422 | 501));
        let is_enough = self.streak + 1 >= REFUSALS.min(u32::try_from(self.fetch.cohort.len()).unwrap_or(REFUSALS));
        if self.fetch.may_refuse && is_refusal && is_enough && !self.served && self.file.done.is_empty() {
            return Ok(Next::Refused(error.clone()));
        }
        let unreachable = error.kind == ErrorKind::Network && !client.politeness().answered(client.base());
        if unreachable || error.status == Some(401) && !self.fetch.ever_served.get() {
            return Err(error.clone());
        }
        for position in positions {
            if self.file.state.examples.len() < EXAMPLES {
                let patient = self.fetch.id(*position).to_owned();
                let problem = client.redact(&error.message);
                let resource_type = self.fetch.resource_type.to_owned();
                self.file.state.examples.push(Missing { resource_type, patient, problem });
            }
            // Who failed in an earlier run is in the file of outcomes already.
            if !self.file.failed.contains(*position) {
                let made;
                let row = if let Some(outcome) = outcome {
                    outcome
                } else {
                    made = made_up(&client.redact(&error.message));
                    &made
                };
                self.file.outcome(row).await?;
                self.file.failed.insert(*position);
            }
        }
        self.streak += 1;
        if self.streak < MAX_STREAK {
            return Ok(Next::On);
        }
        // Where the type was never served, the token may be good for the others.
        if error.kind == ErrorKind::Network || error.status == Some(401) && self.served {
            let hint = "What was received is kept. Do the same again later: it carries on where this one stopped.";
            return Err(error.clone().with_hint(hint));
        }
        let what = format!("Giving up on {} for now: {MAX_STREAK} searches in a row failed.", self.fetch.resource_type);
        self.warn("type-given-up", format!("{what} The last one: {}", error.message));
        Ok(Next::GiveUp)
    }

    /// Says that the server answers for anybody.
    fn ignored(&mut self, ignored: &Ignored) -> Missing {
        let resource_type = self.fetch.resource_type;
        let patients: Vec<&str> = ignored.patients.iter().map(|position| self.fetch.id(*position)).collect();
        let problem = format!("The server seems to ignore the parameter patient for {resource_type}");
        let message = format!(
            "{problem}: its answers for the patients {} all begin with {resource_type}/{}. They are not kept. Get {resource_type} \
             by a bulk export, or leave it out; if the server has been mended, do the same again.",
            patients.join(", "),
            ignored.id,
        );
        self.warn("parameter-ignored", message);
        self.file.state.resources = 0;
        self.tell(true);
        let patient = patients.first().copied().unwrap_or_default().to_owned();
        Missing {
            resource_type: resource_type.to_owned(),
            patient,
            problem: format!("{problem}, so that everybody's would come for each."),
        }
    }

    /// Names patients that nobody asked for, after a type was given up.
    fn note_missing(&mut self) {
        let fetch = self.fetch;
        let is_missing = |p: &u32| !self.file.done.contains(*p) && !self.file.failed.contains(*p);
        let room = EXAMPLES.saturating_sub(self.file.state.examples.len());
        let everybody = 0..u32::try_from(fetch.cohort.len()).unwrap_or(u32::MAX);
        let named = everybody.filter(is_missing).take(room).map(|position| Missing {
            resource_type: fetch.resource_type.to_owned(),
            patient: fetch.id(position).to_owned(),
            problem: NOT_ASKED.to_owned(),
        });
        let named: Vec<Missing> = named.collect();
        self.file.state.examples.extend(named);
    }

    fn warn(&mut self, code: &str, message: String) {
        self.warned += 1;
        if self.warned <= EXAMPLES {
            self.fetch.client.platform().observer().event(Event::Warning { code: code.to_owned(), message });
        }
    }

    /// Says how far we are, or that this was all.
    fn tell(&mut self, ended: bool) {
        let platform = self.fetch.client.platform();
        let time = platform.clock().now_millis();
        if !ended && time < self.progress_due {
            return;
        }
        self.progress_due = time + PROGRESS_MILLIS;
        let total = self.fetch.cohort.len() as u64;
        platform.observer().event(Event::Progress {
            task: format!("Crawling {}s", self.fetch.resource_type),
            done: if ended { total } else { self.file.done.len() + self.file.failed.len() },
            total: Some(total),
            resources: self.file.state.resources,
        });
    }
}

/// An OperationOutcome in the reference's form for a failure that came without one.
fn made_up(message: &str) -> Vec<u8> {
    let issue = serde_json::json!({"severity": "error", "code": "exception", "diagnostics": message});
    serde_json::json!({"resourceType": "OperationOutcome", "issue": [issue]}).to_string().into_bytes()
}
