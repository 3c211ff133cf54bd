//! A crawl: patients first, then each type by searches patient by patient, from wherever an earlier run stopped.
//!
//! A managed export drives the same steps in a subfolder (`platform.within`):
//!
//! ```text
//! plan.times = Some(times); plan.settle_since(&[]);  // since when, by type, where `since` is `auto`
//! let mut crawl = Crawl::open(&inside, &config, &client, &capability, plan, before, true).await?;
//!                                                 // locks the subfolder, checks and begins its .metadata; `before`: the folders
//!                                                 // with the Patients as they were, to find new ones
//! crawl.patients().await?;                        // Patient is here, and done (or was before, or is not asked for); `newPatients`
//! crawl.types(&|resource_type, patient| ...).await?;  // the other types that are not done; the closure: whether a patient's
//!                                                 // resources of the type are wanted whole, whatever since (a new patient)
//! let report = crawl.finish(true).await?;         // the log and the report; `complete` is the export's to set
//! ```
//!
//! `client` is the REST client ([`rest_client`]), `capability` its CapabilityStatement. The bulk export of Patients has a client of
//! its own.
//!
//! Patients themselves always come whole, whatever `since`: they say whose resources are searched for, and who is new or gone.

use std::cell::Cell;
use std::future::Future;

use serde_json::{Value, json};

use super::crawl_report::CrawlReport;
use super::interrupt::{Words, until};
use super::{bulk, context};
use crate::auth::ScopeRequest;
use crate::config::{BulkConfig, ExportConfig, Level, ServerConfig, SinceMode};
use crate::crawl::cohort;
use crate::crawl::fetch::{By, Fetch, Fetched};
use crate::crawl::plan::{Searches, is_unsearchable};
use crate::crawl::positions::Positions;
use crate::crawl::type_file;
use crate::event::{Event, Phase};
use crate::fhir::capability::Capability;
use crate::fhir::instant::FhirTime;
use crate::folder::layout::{self, PART};
use crate::folder::{Kind, Ledger, Metadata, OutputFolder, log, lost, metadata};
use crate::http::{Client, redact};
use crate::platform::{Observer, Platform, Storage};
use crate::update::{Plan, filters, patients, since};
use crate::{Error, ErrorKind, Result, fhir};

/// Patients at work for each request that may be in flight: while one answer is read, another request is under way.
const WIDTH: usize = 2;
/// Ids that are named in a message.
const EXAMPLES: usize = 20;

/// Checks everything that can be checked without a request or a folder.
pub fn check_crawl(config: &ExportConfig) -> Result<()> {
    if config.bulk.since.as_deref() == Some("auto") {
        return Err(Error::usage("A crawl alone has no earlier ones to take a since value from.")
            .with_hint("Give a date, or use a managed export."));
    }
    bulk::check(&config.bulk)?;
    check_cohort(config)
}

/// Checks what says whose data are meant.
pub(super) fn check_cohort(config: &ExportConfig) -> Result<()> {
    if config.count == Some(0) {
        return Err(Error::usage("--count is 0.").with_hint("Give the number of resources on a page, 1 or more."));
    }
    if config.cohort.id_system.is_some() && config.cohort.ids.is_empty() {
        return Err(
            Error::usage("--id-system is given, but no ids.").with_hint("Give them with --id-list or --id-file.")
        );
    }
    Ok(())
}

/// The server with the credentials for searches.
pub fn rest_server(config: &ExportConfig) -> &ServerConfig {
    config.rest_server.as_ref().unwrap_or(&config.bulk.server)
}

/// The client for searches.
pub fn rest_client<'p, P: Platform>(platform: &'p P, config: &ExportConfig) -> Result<Client<'p, P>> {
    let (mut types, _) = filters::parse_types(&config.bulk.types)?;
    if !config.cohort.ids.is_empty() && !types.iter().any(|t| t == "Patient") {
        types.push("Patient".to_owned());
    }
    let client = Client::new(platform, &rest_server(config).for_reads(), ScopeRequest { types, group: false })?;
    Ok(client.with_max_wait(config.bulk.max_poll_delay))
}

/// Crawls into the platform's folder, or carries on with what an earlier run began there. Ends early, with everything kept, when
/// `cancelled` resolves.
///
/// # Errors
/// What stopped the job. Patients that could not be had, and errors that the server reported, are no error here but a
/// [`Verdict`](super::Verdict).
pub async fn crawl<P: Platform>(
    platform: &P,
    config: &ExportConfig,
    cancelled: impl Future<Output = ()>,
) -> Result<CrawlReport> {
    check_crawl(config)?;
    let words = Words {
        operation: "crawl",
        message: "The crawl was interrupted; its state is kept.",
        hint: "Do the same again to carry on.",
    };
    until(cancelled, words, run(platform, config)).await
}

async fn run<P: Platform>(platform: &P, config: &ExportConfig) -> Result<CrawlReport> {
    let client = rest_client(platform, config)?;
    platform.observer().event(Event::Phase { phase: Phase::Discover });
    let capability = fhir::metadata::read(&client).await;
    let plan = Plan::new(&config.bulk, &capability)?;
    let mut crawl = Crawl::open(platform, config, &client, &capability, plan, Vec::new(), false).await?;
    crawl.patients().await?;
    let new: Vec<String> = {
        let metadata = crawl.folder.metadata();
        let list = metadata.get("newPatients").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    crawl.types(&|_, patient| new.iter().any(|id| id == patient)).await?;
    crawl.finish(false).await
}

/// The ids that were given, in order, each once.
fn ids(config: &ExportConfig) -> Vec<String> {
    let cohort = &config.cohort;
    let plain = |id: &String| {
        let id = id.trim();
        let id = if cohort.id_system.is_none() { id.strip_prefix("Patient/").unwrap_or(id) } else { id };
        id.to_owned()
    };
    let ids = layout::set(&mut cohort.ids.iter().map(plain).filter(|id| !id.is_empty()));
    ids.into_iter().collect()
}

/// Refuses a source folder of which Patients are lost.
async fn require_patients<S: Storage>(source: &S) -> Result<()> {
    // What is no output folder has no state to compare with.
    let Ok(mut metadata) = Metadata::load(source, Kind::Output).await else { return Ok(()) };
    let Ok(ledger) = Ledger::load(&mut metadata) else { return Ok(()) };
    let found = lost::look(source, &metadata, &ledger, lost::How { read: true, is_run: false }).await?;
    match found.lost.iter().find(|lost| lost.types.iter().any(|name| name == "Patient")) {
        None => Ok(()),
        Some(lost) => {
            let what =
                format!("{} of the source folder is missing, or not as it was: not all Patients are there.", lost.name);
            Err(Error::new(ErrorKind::Corrupt, "crawl", what)
                .with_hint("Run the job again that made it: it fetches the file anew."))
        }
    }
}

/// Whether Patients are to be fetched, rather than read from another folder.
fn wants_patients(config: &ExportConfig, plan: &Plan) -> bool {
    plan.types.iter().any(|t| t == "Patient") || !config.cohort.ids.is_empty()
}

/// What makes two crawls the same, beyond the types, filters and `since` that `.metadata` has anyway. Ids only as their
/// fingerprint.
pub(super) fn request(config: &ExportConfig, plan: &Plan, base: &str) -> Value {
    let mut request = json!({"fhirUrl": base});
    let ids = ids(config);
    if !ids.is_empty() {
        request["ids"] = json!(cohort::fingerprint(&ids));
        request["idSystem"] = json!(config.cohort.id_system);
    } else if wants_patients(config, plan) {
        request["level"] = json!(config.bulk.level);
    }
    request
}

/// A crawl under way.
pub struct Crawl<'a, 'p, P: Platform> {
    platform: &'p P,
    config: &'a ExportConfig,
    client: &'a Client<'p, P>,
    capability: &'a Capability,
    plan: Plan,
    folder: OutputFolder<'p, P>,
    /// The folders with the Patients as they were before, newest first, back to one with all of them.
    before: Vec<P::Storage>,
    /// Files of an unfinished bulk export of Patients that are here.
    here: usize,
    /// The patients, once they are known.
    cohort: Vec<String>,
    report: CrawlReport,
    ever_served: Cell<bool>,
}

impl<'a, 'p, P: Platform> Crawl<'a, 'p, P> {
    /// Locks the folder, checks that it is for this crawl, and writes down what it is for. `is_run`: whether it is a run of a
    /// managed folder.
    pub async fn open(
        platform: &'p P,
        config: &'a ExportConfig,
        client: &'a Client<'p, P>,
        capability: &'a Capability,
        mut plan: Plan,
        before: Vec<P::Storage>,
        is_run: bool,
    ) -> Result<Self> {
        let folder = OutputFolder::open(platform).await?;
        let here = folder.settle(is_run).await?;
        context::check_foreign(&folder, &plan).await?;
        folder.forget_if_void().await?;
        context::check(&folder.metadata(), &config.bulk, capability, &mut plan)?;
        // They come whole.
        plan.since_types.retain(|t| t != "Patient");
        let (cohort, report) = (Vec::new(), CrawlReport::default());
        let ever_served = Cell::new(false);
        let crawl =
            Self { platform, config, client, capability, plan, folder, before, here, cohort, report, ever_served };
        crawl.check_request()?;
        crawl.tidy().await?;
        crawl.folder.change(|metadata| context::note(metadata, capability, &crawl.plan));
        let asked = request(config, &crawl.plan, client.base());
        type_file::change(&crawl.folder, |state| state.request = asked);
        crawl.folder.save().await?;
        crawl.note_since();
        Ok(crawl)
    }

    /// The folder, for what comes between patients and types.
    pub fn folder(&self) -> &OutputFolder<'p, P> {
        &self.folder
    }

    /// What is asked for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The ids of the patients; known after [`Crawl::patients`].
    pub fn cohort(&self) -> &[String] {
        &self.cohort
    }

    fn note(&self, message: impl Into<String>) {
        self.platform.observer().event(Event::Note { message: message.into() });
    }

    fn warn(&self, code: &str, message: impl Into<String>) {
        self.platform.observer().event(Event::Warning { code: code.to_owned(), message: message.into() });
    }

    fn check_request(&self) -> Result<()> {
        let ledger = self.folder.ledger();
        let found = ledger.crawl.as_ref().map(|crawl| &crawl.request).filter(|found| !found.is_null());
        let wanted = request(self.config, &self.plan, self.client.base());
        match found {
            Some(found) if *found != wanted => Err(Error::new(
                ErrorKind::Mismatch,
                "open folder",
                format!(
                    "The folder holds a crawl of other patients or another server: {}.",
                    context::differences(&wanted, found)
                ),
            )
            .with_hint("Give the same options as before, or choose another folder.")),
            _ => Ok(()),
        }
    }

    /// Removes what a killed run left and the ledger does not know.
    async fn tidy(&self) -> Result<()> {
        let known = {
            let ledger = self.folder.ledger();
            let types = ledger.crawl.iter().flat_map(|crawl| &crawl.types);
            let parts = types.flat_map(|t| {
                let outcomes = t.outcomes.as_ref().map(|(name, _)| name);
                [t.part.and(Some(&t.file)), outcomes]
            });
            layout::set(&mut parts.flatten().map(|name| format!("{name}{PART}")))
        };
        for path in self.folder.data_files().await? {
            // `Type.ndjson.part` and its like. What a bulk export or hydration has begun is called in other ways.
            let is_ours = path.split('.').nth(1) == Some("ndjson") && path.contains(PART)
                || path.ends_with(&format!(".spill{PART}"));
            if is_ours && !known.contains(&path) {
                self.platform.storage().remove(&path).await?;
            }
        }
        Ok(())
    }

    /// Says from when on.
    fn note_since(&self) {
        let Some(mode) = self.plan.since_mode else { return };
        if mode == SinceMode::Created && self.config.bulk.since_mode == SinceMode::Auto {
            self.note("Server doesn't support 'updated' since mode, defaulting to 'created' instead.");
        }
        match (&self.plan.times, &self.plan.since) {
            (Some(times), _) => {
                let done = self.folder.metadata().done();
                for (resource_type, time) in times.iter().filter(|(t, _)| !done.contains_key(*t)) {
                    self.note(format!("Using since value of '{time}' for {resource_type}."));
                }
            }
            (None, Some(since)) => self.note(format!("Using since value of '{since}'.")),
            (None, None) => {}
        }
        if mode == SinceMode::Created && self.plan.times().is_none_or(|times| !times.is_empty()) {
            self.warn("created-mode", since::created_warning(&self.plan));
        }
    }

    /// Fetches the Patients, if any are to be fetched, and finds out who they are.
    ///
    /// # Errors
    /// `NotFound` if there is nobody.
    pub async fn patients(&mut self) -> Result<()> {
        self.platform.observer().event(Event::Phase { phase: Phase::Crawl });
        let ids = ids(self.config);
        let is_asked = self.plan.types.iter().any(|t| t == "Patient");
        if wants_patients(self.config, &self.plan) {
            // They are done before the job is deleted on the server: a run that was killed in between still has to.
            let is_open = ids.is_empty() && self.folder.metadata().get("bulk-status").is_some();
            // A Bundle has taken the place of the file that they would be added to.
            let unknown = if self.config.bulk.bundle { 0 } else { self.unknown(&ids).len() };
            if unknown > 0 {
                self.note(format!("Asking again for {unknown} IDs that the server did not know."));
            }
            let is_open = is_open || unknown > 0;
            if self.folder.metadata().done().contains_key("Patient") && !is_open {
                if is_asked {
                    self.note("Skipping Patient, already done.");
                }
            } else if ids.is_empty() {
                self.export_patients().await?;
            } else {
                if !is_asked {
                    self.note("Fetching Patients for the provided IDs.");
                }
                let by = By::Id(self.config.cohort.id_system.as_deref());
                let fingerprint = cohort::fingerprint(&ids);
                self.fetch("Patient", &ids, &fingerprint, by, &|_| true).await?;
            }
        }
        let storage =
            if wants_patients(self.config, &self.plan) { self.platform.storage() } else { self.platform.source() };
        if !wants_patients(self.config, &self.plan) {
            // Some of a cohort would pass for all of it.
            require_patients(storage).await?;
        }
        self.cohort = cohort::patients(storage, usize::MAX).await?;
        let patients = self.cohort.len() as u64;
        if patients > 0 {
            type_file::change(&self.folder, |crawl| crawl.patients = patients);
        }
        self.note_unknown(&ids);
        let done = self.folder.metadata().done();
        // A folder in which all is done may hold a Bundle in place of the Patients.
        let is_needed = !self.plan.types.iter().all(|t| done.contains_key(t));
        let is_explained = !self.report.patients_problem.is_empty() || !self.report.unknown_patients.is_empty();
        if self.cohort.is_empty() && is_needed && !is_explained && self.absent() == 0 {
            return Err(Error::new(
                ErrorKind::NotFound,
                "crawl",
                "No cohort patients found in the folder.\nYou must either provide a cohort from a previous export with \
                 --source-dir, --id-list, or --id-file, or export patients in this crawl too.",
            ));
        }
        Ok(())
    }

    /// A bulk export of the Group's Patients, or of all.
    async fn export_patients(&mut self) -> Result<()> {
        let bulk = &self.config.bulk;
        let is_of_patient =
            |filter: &&String| filter.split('?').next().is_some_and(|name| name.eq_ignore_ascii_case("Patient"));
        let config = BulkConfig {
            types: vec!["Patient".to_owned()],
            type_filters: bulk.type_filters.iter().filter(is_of_patient).cloned().collect(),
            since: None,
            bundle: false,
            ..bulk.clone()
        };
        let rules = bulk::Managed { before: std::mem::take(&mut self.before), reconcile: false };
        let report = bulk::step(self.platform, &config, &self.folder, self.capability, &rules, self.here)
            .await
            .map_err(|error| match error.kind {
                ErrorKind::NotFound | ErrorKind::Server if error.operation == "kick-off" => error.with_hint(
                    "Patients are fetched by a bulk export. Where the server has none, say whom you want with --id-list, \
                     --id-file or --source-dir.",
                ),
                _ => error,
            })?;
        self.report.take_patients(&report);
        self.note_new_patients();
        Ok(())
    }

    /// Fetches the other types, as far as they are not done. `whole` says whether a patient's resources of a type are wanted
    /// whatever the time of `since`.
    pub async fn types(&mut self, whole: &dyn Fn(&str, &str) -> bool) -> Result<()> {
        if !self.report.patients_problem.is_empty() {
            // Who they are is not known yet: a crawl of some of them would pass for a crawl of all.
            return Ok(());
        }
        if self.absent() > 0 && self.cohort.is_empty() {
            return Ok(());
        }
        if self.cohort.is_empty() && !self.report.unknown_patients.is_empty() {
            return Ok(());
        }
        let cohort = std::mem::take(&mut self.cohort);
        let fingerprint = cohort::fingerprint(&cohort);
        let result = self.each_type(&cohort, &fingerprint, whole).await;
        self.cohort = cohort;
        result
    }

    /// Patients who could not be had, so that no type is whole.
    fn absent(&self) -> u64 {
        let ledger = self.folder.ledger();
        ledger.crawl.as_ref().and_then(|crawl| crawl.of("Patient")).map_or(0, |state| state.missing)
    }

    async fn each_type(
        &mut self,
        cohort: &[String],
        fingerprint: &str,
        whole: &dyn Fn(&str, &str) -> bool,
    ) -> Result<()> {
        for resource_type in self.plan.types.clone().iter().filter(|t| *t != "Patient") {
            let is_done = self.folder.metadata().done().contains_key(resource_type);
            if is_done && (cohort.is_empty() || !self.lacks_patients(resource_type, fingerprint).await?) {
                self.note(format!("Skipping {resource_type}, already done."));
                continue;
            }
            if is_unsearchable(self.capability, resource_type) {
                self.note(format!(
                    "Skipping {resource_type}, Epic does not support searching by patient, so they will have to be hydrated \
                     instead."
                ));
                let now = metadata::now_iso(self.platform.clock());
                self.folder.change(|metadata| metadata.mark_done(resource_type, &now));
                self.folder.save().await?;
            } else {
                let whole = |patient: &str| whole(resource_type, patient);
                self.fetch(resource_type, cohort, fingerprint, By::Patient, &whole).await?;
            }
        }
        Ok(())
    }

    /// Whether a type is done for those only whom the server knew then, or whose Patients were there before they were lost.
    ///
    /// # Errors
    /// `Mismatch` for a folder in which it is done for other patients.
    async fn lacks_patients(&self, resource_type: &str, fingerprint: &str) -> Result<bool> {
        let found = {
            let ledger = self.folder.ledger();
            let state = ledger.crawl.as_ref().and_then(|crawl| crawl.of(resource_type));
            state.map(|state| state.cohort.clone())
        };
        let Some(found) = found.filter(|found| found != fingerprint) else { return Ok(false) };
        if type_file::beginning(self.platform.storage(), &found).await?.is_some() {
            return Ok(true);
        }
        if type_file::change(&self.folder, |crawl| crawl.patients_lost) {
            // They were fetched again, and are others by now.
            type_file::change(&self.folder, |crawl| crawl.forget(resource_type));
            self.folder.change(|metadata| {
                metadata.unmark_done(resource_type);
                metadata.remove("complete");
            });
            return Ok(true);
        }
        let message = format!("{resource_type} was crawled for other patients than those of now.");
        Err(Error::new(ErrorKind::Mismatch, "open folder", message)
            .with_hint("Choose another folder for other patients, or --source-dir with the Patients of before."))
    }

    /// Fetches one type.
    async fn fetch(
        &mut self,
        resource_type: &str,
        cohort: &[String],
        fingerprint: &str,
        by: By<'_>,
        whole: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        let since = self.plan.since_of(resource_type);
        let searches = Searches::new(&self.plan, self.capability, resource_type, since, self.config.count);
        let fetch = Fetch {
            client: self.client,
            folder: &self.folder,
            resource_type,
            searches: &searches,
            since,
            cohort,
            absent: if matches!(by, By::Patient) { self.absent() } else { 0 },
            fingerprint,
            by,
            whole,
            compress: self.config.bulk.compress,
            may_refuse: !self.plan.named && self.capability.lists(resource_type) != Some(true),
            width: WIDTH * (rest_server(self.config).max_connections.max(1) as usize),
            ever_served: &self.ever_served,
        };
        match fetch.run().await? {
            Fetched::Kept(file) => {
                if resource_type == "Patient" {
                    // Also where some are missing: who is here and new gets a history now, the others when they come.
                    self.compare_patients().await?;
                }
                file.finish().await?;
            }
            Fetched::Ignored => {}
            Fetched::Refused(error) => {
                let message = format!("Skipping {resource_type} because the server does not support it.");
                self.warn("type-refused", format!("{message} {}", redact::text(&error.message)));
                self.plan.drop_type(resource_type);
                self.folder.change(|metadata| context::note(metadata, self.capability, &self.plan));
                self.folder.save().await?;
            }
        }
        Ok(())
    }

    /// Notes the patients that are new since an earlier export, before Patient is done.
    async fn compare_patients(&self) -> Result<()> {
        if self.before.is_empty() {
            return Ok(());
        }
        let new = patients::new_patients(&self.before, self.platform.storage()).await?;
        if !new.is_empty() {
            self.folder.change(|metadata| metadata.set("newPatients", new));
            self.note_new_patients();
        }
        Ok(())
    }

    fn note_new_patients(&self) {
        let count = self.folder.metadata().get("newPatients").and_then(Value::as_array).map_or(0, Vec::len);
        if count > 0 {
            self.note(format!("Count of new patients: {count}."));
        }
    }

    /// The ids that the server had no Patient for when it was asked last.
    fn unknown(&self, ids: &[String]) -> Vec<String> {
        let ledger = self.folder.ledger();
        let state = ledger.crawl.as_ref().and_then(|crawl| crawl.of("Patient"));
        let unknown = state.and_then(|state| Positions::parse(&state.unknown)).unwrap_or_default();
        unknown.iter().filter_map(|position| ids.get(position as usize).cloned()).collect()
    }

    fn note_unknown(&mut self, ids: &[String]) {
        let unknown = self.unknown(ids);
        if unknown.is_empty() {
            return;
        }
        let named: Vec<&str> = unknown.iter().take(EXAMPLES).map(String::as_str).collect();
        let more = if unknown.len() > EXAMPLES { ", …" } else { "" };
        let count = unknown.len();
        self.warn(
            "patient-unknown",
            format!("The server has no Patient for {count} of the ids: {}{more}.", named.join(", ")),
        );
        self.report.unknown_patients = unknown;
    }

    /// Writes the log and, unless `is_step` of an export, whether all is here; says what came of it.
    pub async fn finish(mut self, is_step: bool) -> Result<CrawlReport> {
        self.platform.observer().event(Event::Phase { phase: Phase::Finish });
        let done = self.folder.metadata().done();
        self.log(&done).await?;
        let is_whole = self.plan.types.iter().all(|t| done.contains_key(t));
        type_file::change(&self.folder, |crawl| crawl.patients_lost &= !is_whole);
        if !is_step && is_whole {
            bulk::bundle(self.platform, &self.config.bulk).await?;
            self.folder.change(|metadata| metadata.set("complete", true));
        }
        self.folder.save().await?;
        self.report.read(&self.folder.ledger(), &self.plan.types);
        Ok(self.report)
    }

    /// The bulk export log that an export would have left, so that tools which read it find the time and the group's name.
    async fn log(&self, done: &serde_json::Map<String, Value>) -> Result<()> {
        let times = done.values().filter_map(Value::as_str);
        let instant = |text: &&str| FhirTime::parse(text).map_or(i64::MAX, |time| time.millis(0));
        let Some(time) = times.min_by_key(instant) else { return Ok(()) };
        let group = match (&self.config.cohort.name, &self.config.bulk.level) {
            (Some(name), _) | (None, Level::Group(name)) => format!("Group/{name}/"),
            _ => String::new(),
        };
        let url = redact::url(&self.client.url(&format!("{group}$export")));
        log::stand_in(self.platform, &url, time, [0; 3]).await
    }
}
