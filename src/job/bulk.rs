//! A bulk export into a folder, from plan to clean-up, and from wherever an earlier run of it stopped.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;

use serde_json::Value;

use super::interrupt::{Words, until};
use super::report::BulkReport;
use super::{context, logged};
use crate::auth::{ScopeRequest, assertion};
use crate::bulk::cleanup;
use crate::bulk::download::{Download, Downloaded, Renew};
use crate::bulk::kickoff;
use crate::bulk::manifest::{FileKind, Manifest};
use crate::bulk::poll::{self, PollConfig, Progress};
use crate::bundle;
use crate::config::{BulkConfig, Level, LocalConfig};
use crate::event::{Event, Phase};
use crate::fhir::capability::{Capability, Vendor};
use crate::fhir::instant::{self, FhirTime};
use crate::folder::{FileEntry, FileState, Job, JobState, Log, OutputFolder};
use crate::http::{Client, Retry};
use crate::platform::{Clock, Observer, Platform};
use crate::update::filters::{self, Plan};
use crate::{Error, ErrorKind, Result, fhir};

/// Checks everything that can be checked without a request or a folder.
pub fn check_bulk(config: &BulkConfig) -> Result<()> {
    if config.since.as_deref() == Some("auto") {
        return Err(Error::usage("A bulk export alone has no earlier ones to take a since value from.")
            .with_hint("Give a date, or use a managed export."));
    }
    check(config)
}

/// The same for an export in a managed folder.
pub(super) fn check(config: &BulkConfig) -> Result<()> {
    filters::parse_types(&config.types)?;
    kickoff::validate(config)
}

/// How far ahead of ours a server's clock may be: two years, in milliseconds.
const FUTURE_MILLIS: i64 = 2 * 366 * 86_400_000;

/// Warnings of the same kind that are worth reading.
const MAX_WARNINGS: usize = 20;

/// What tokens must cover.
pub(super) fn scopes(config: &BulkConfig) -> Result<ScopeRequest> {
    let (types, _) = filters::parse_types(&config.types)?;
    Ok(ScopeRequest { types, group: matches!(config.level, Level::Group(_)) })
}

/// Exports into the platform's folder, or carries on with what an earlier run began there. Ends early, with everything kept,
/// when `cancelled` resolves.
///
/// # Errors
/// What stopped the job; [`Error::exit_status`] gives the exit status. Files that could not be had and errors that the server
/// reported are no error here but a [`Verdict`](super::report::Verdict).
pub async fn bulk<P: Platform>(
    platform: &P,
    config: &BulkConfig,
    cancelled: impl Future<Output = ()>,
) -> Result<BulkReport> {
    check_bulk(config)?;
    let words = Words {
        operation: "bulk",
        message: "The export was interrupted; its state is kept.",
        hint: "Do the same again to carry on, or with --cancel to end the job on the server.",
    };
    let opened = OnceCell::new();
    // The files of the last moments are in no ledger yet. It would do without; who looks at the folder would not.
    let stopped = async {
        cancelled.await;
        if let Some(folder) = opened.get().filter(|folder: &&OutputFolder<'_, P>| folder.open_job().is_some()) {
            let _ = folder.save().await;
        }
    };
    until(stopped, words, run(platform, config, &opened)).await
}

async fn run<'p, P: Platform>(
    platform: &'p P,
    config: &BulkConfig,
    opened: &OnceCell<OutputFolder<'p, P>>,
) -> Result<BulkReport> {
    let client = client(platform, config)?;
    let folder = OutputFolder::open(platform).await?;
    let folder = opened.get_or_init(|| folder);
    let here = folder.settle(false).await?;
    platform.observer().event(Event::Phase { phase: Phase::Discover });
    let capability = fhir::metadata::read(&client).await;
    let mut plan = Plan::new(config, &capability)?;
    let run = Run { platform, config, client: &client, folder, capability: &capability, managed: None };
    run.all(&mut plan, here).await
}

/// The client for bulk requests.
pub(super) fn client<'p, P: Platform>(platform: &'p P, config: &BulkConfig) -> Result<Client<'p, P>> {
    Ok(Client::new(platform, &config.server, scopes(config)?)?.with_max_wait(config.max_poll_delay))
}

/// The bulk export of what `config` asks for as a step of another job in the same folder, from wherever an earlier run of it
/// stopped; `here` is what [`OutputFolder::settle`] found. Whether the folder is for it, and complete, is the other job's to say.
pub(super) async fn step<P: Platform>(
    platform: &P,
    config: &BulkConfig,
    folder: &OutputFolder<'_, P>,
    capability: &Capability,
    rules: &Managed<P::Storage>,
    here: usize,
) -> Result<BulkReport> {
    let client = client(platform, config)?;
    if capability.vendor == Vendor::Epic {
        client.identify_to_epic();
    }
    let mut plan = Plan::new(config, capability)?;
    let run = Run { platform, config, client: &client, folder, capability, managed: Some(rules) };
    context::check_request(folder, &run.request())?;
    run.logged(&mut plan, here).await
}

/// Makes the Bundle that was asked for, if one was.
pub(super) async fn bundle<P: Platform>(platform: &P, config: &BulkConfig) -> Result<()> {
    if !config.bundle {
        return Ok(());
    }
    if cfg!(not(feature = "full")) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "bundle",
            "The full WebAssembly file is needed to make a Bundle.",
        ));
    }
    let config = LocalConfig { compress: config.compress, folder: None };
    if let Some(made) = bundle::finish(platform, &config).await? {
        platform.observer().event(Event::Note { message: format!("Bundle file '{}' created.", made.name) });
    }
    Ok(())
}

/// What a managed export adds to the job in its subfolder, which is not `complete` with the last file.
pub(super) struct Managed<S> {
    /// The folders with the Patients as they were before, newest first, back to one with all of them.
    pub(super) before: Vec<S>,
    /// Whether to look for what changed while the server was at work.
    pub(super) reconcile: bool,
}

/// One run of the job: what all its steps need.
pub(super) struct Run<'a, 'p, P: Platform> {
    pub(super) platform: &'p P,
    pub(super) config: &'a BulkConfig,
    pub(super) client: &'a Client<'p, P>,
    pub(super) folder: &'a OutputFolder<'p, P>,
    pub(super) capability: &'a Capability,
    pub(super) managed: Option<&'a Managed<P::Storage>>,
}

impl<'a, P: Platform> Run<'a, '_, P> {
    /// The rules of a managed export, where this is one. The small WebAssembly files have none.
    pub(super) fn managed(&self) -> Option<&'a Managed<P::Storage>> {
        if cfg!(feature = "full") { self.managed } else { None }
    }

    /// Checks the folder against the plan, then does what is left to do. `here`: files that a resumed job has already.
    pub(super) async fn all(&self, plan: &mut Plan, here: usize) -> Result<BulkReport> {
        let folder = self.folder;
        context::check_foreign(folder, plan).await?;
        folder.forget_if_void().await?;
        context::check(&folder.metadata(), self.config, self.capability, plan)?;
        context::check_request(folder, &self.request())?;
        folder.change(|metadata| {
            if metadata.get("bulk-status").is_some() {
                // The job was kicked off with what since meant then.
                context::take_since_types(metadata, plan);
            }
            context::note(metadata, self.capability, plan);
        });
        folder.save().await?;
        self.logged(plan, here).await
    }

    /// Exports, with a log.
    async fn logged(&self, plan: &mut Plan, here: usize) -> Result<BulkReport> {
        let log = Log::new(self.platform, assertion::fresh_jti(self.platform.random()));
        let result = self.export(plan, &log, here).await;
        // What was logged of a failure is worth as much as the rest; the failure itself matters more than a full disk here.
        let closed = log.close().await;
        let report = result?;
        closed?;
        Ok(report)
    }

    pub(super) fn request(&self) -> Value {
        context::request(self.client.base(), self.config)
    }

    pub(super) fn note(&self, message: impl Into<String>) {
        self.platform.observer().event(Event::Note { message: message.into() });
    }

    pub(super) fn warn(&self, code: &str, message: impl Into<String>) {
        self.platform.observer().event(Event::Warning { code: code.to_owned(), message: message.into() });
    }

    /// Everything between plan and report.
    async fn export(&self, plan: &mut Plan, log: &Log<'_, P>, here: usize) -> Result<BulkReport> {
        let mut sum = Downloaded::default();
        let mut first = true;
        // One round, as a rule; another one where a job that the reference began lacks types that it does not ask for.
        while self.resume(log, here).await? || self.begin(plan, log, first).await? {
            first = false;
            let waiting = self.folder.open_job().is_some_and(|job| job.state == JobState::Waiting);
            let broken_off = if waiting { self.wait(log).await? } else { None };
            let downloaded = self.fetch(log).await?;
            sum.fetched += downloaded.fetched;
            sum.received += downloaded.received;
            if self.folder.open_job().is_some() {
                let report = BulkReport::new(&self.folder.ledger(), sum);
                // What the server had listed before it failed is kept, but nothing is done (E11).
                if broken_off.is_some_and(|error| is_final(&error)) {
                    self.forget_job().await?;
                }
                return Ok(report);
            }
        }
        Ok(BulkReport::new(&self.folder.ledger(), sum))
    }

    /// Whether there is a job to carry on with.
    async fn resume(&self, log: &Log<'_, P>, here: usize) -> Result<bool> {
        let Some(status_url) = self.folder.metadata().text("bulk-status").map(str::to_owned) else { return Ok(false) };
        let known = self.folder.open_job().is_some_and(|job| job.status_url == status_url);
        if !known {
            // The reference began this job, so there is no ledger of it.
            let types = self.folder.metadata().get("filters").and_then(Value::as_object).cloned().unwrap_or_default();
            let done = self.folder.metadata().done();
            let types = types.into_iter().map(|(name, _)| name).filter(|name| !done.contains_key(name)).collect();
            let status_url = self.client.resolve(&status_url, self.client.base())?;
            self.folder.change_ledger(|ledger| {
                ledger.jobs.push(Job { status_url, request: self.request(), types, ..Job::default() });
            });
            self.folder.save().await?;
        }
        let id = self.folder.open_job().map(|job| logged::export_id(&job.status_url)).unwrap_or_default();
        log.set_export_id(id);
        self.note("Resuming bulk FHIR export…");
        if here > 0 {
            self.note(format!("{here} files of it are here already."));
        }
        Ok(true)
    }

    /// Waits for the server and takes the manifest into the ledger. An error that comes after some files were listed is
    /// returned as a value: those files can be had all the same.
    async fn wait(&self, log: &Log<'_, P>) -> Result<Option<Error>> {
        self.platform.observer().event(Event::Phase { phase: Phase::Wait });
        let Some(job) = self.folder.open_job() else { return Ok(None) };
        let config = PollConfig::new(self.config, job.separate_status);
        let listed = RefCell::new(None);
        let polled = poll::run(self.client, &job.status_url, &config, async |progress: Progress<'_>| {
            match progress {
                Progress::Manifest(_) => {}
                Progress::Failed { error, reply, listed: manifest } => {
                    logged::status_error(log, self.client, error, reply);
                    *listed.borrow_mut() = Some(manifest.clone());
                }
            }
            log.flush().await
        })
        .await;
        match (polled, listed.into_inner()) {
            (Ok(manifest), _) => {
                self.take_manifest(&manifest, log, None).await?;
                Ok(None)
            }
            (Err(error), Some(manifest)) if !manifest.files.is_empty() => {
                self.take_manifest(&manifest, log, Some(&error)).await?;
                self.warn("manifest-incomplete", format!("The manifest is not whole: {error}"));
                Ok(Some(error))
            }
            (Err(error), _) => {
                if is_final(&error) {
                    self.forget_job().await?;
                }
                Err(error)
            }
        }
    }

    /// The server has lost or failed the job: the next run starts another one.
    async fn forget_job(&self) -> Result<()> {
        self.folder.change(|metadata| metadata.remove("bulk-status"));
        self.folder.change_job(|job| job.end(JobState::Abandoned));
        self.folder.save().await
    }

    async fn take_manifest(&self, manifest: &Manifest, log: &Log<'_, P>, problem: Option<&Error>) -> Result<()> {
        let Some(mut job) = self.folder.open_job() else { return Ok(()) };
        let before = std::mem::take(&mut job.files);
        let mut known: BTreeMap<String, u64> = BTreeMap::new();
        known.extend(before.iter().map(FileEntry::identity).zip(0..));
        job.files = manifest
            .files
            .iter()
            .map(|file| match known.get(&file.identity()) {
                // Listed by an earlier run whose manifest broke off.
                Some(at) => FileEntry { url: file.url.clone(), ..before[*at as usize].clone() },
                None => FileEntry::new(file),
            })
            .collect();
        job.problem = problem.map(|error| error.message.clone());
        job.transaction_time = Some(manifest.transaction_time.clone());
        job.organized = manifest.output_organized_by.is_some();
        job.other_format = (!manifest.is_ndjson())
            .then(|| manifest.output_format.clone().or_else(|| self.config.output_format.clone()).unwrap_or_default());
        job.unusable_entries = manifest.unusable_entries;
        if problem.is_none() {
            job.state = JobState::Downloading;
        }
        self.folder.name_files(&mut job, self.config.compress).await?;
        logged::manifest(log, manifest, problem.is_none());
        if job.since.is_some() && !manifest.tells_deletions && problem.is_none() {
            self.note(
                "The server does not say what was deleted since; export without --since now and then to learn it.",
            );
        }
        if job.files.is_empty() {
            self.note("The server has nothing that matches: the export holds no files.");
        }
        self.folder.change_job(|current| *current = job);
        self.folder.save().await
    }

    /// Fetches what is missing and, if that was everything, ends the job on the server and in the folder.
    async fn fetch(&self, log: &Log<'_, P>) -> Result<Downloaded> {
        self.platform.observer().event(Event::Phase { phase: Phase::Download });
        let renewer = Again { client: self.client, folder: self.folder, config: self.config };
        let download = Download::new(self.platform, self.client, self.folder, log, renewer, self.config);
        let downloaded = match download.run().await {
            Ok(downloaded) => downloaded,
            Err(error) => {
                // What is here is here: a ledger that says so spares the next run some work, but is not needed.
                let _ = self.folder.save().await;
                return Err(error);
            }
        };
        self.platform.observer().event(Event::Phase { phase: Phase::Finish });
        self.check_files();
        self.check_until().await?;
        self.compare_patients().await?;
        self.mark_done();
        if downloaded.failed > 0 {
            self.folder.save().await?;
            if downloaded.unreachable == downloaded.failed {
                return Err(Error::new(
                    ErrorKind::Network,
                    "download",
                    format!(
                        "The server that has the files cannot be reached; {} files are missing.",
                        downloaded.failed
                    ),
                )
                .retryable()
                .with_hint("Do the same again later: it fetches just what is missing."));
            }
            return Ok(downloaded);
        }
        if self.folder.open_job().is_none_or(|job| job.problem.is_some() || job.unusable_entries > 0) {
            self.folder.save().await?;
            return Ok(downloaded);
        }
        if let Some(job) = self.folder.open_job() {
            logged::export_complete(log, &job);
        }
        log.flush().await?;
        self.finish().await?;
        Ok(downloaded)
    }

    /// Says where the files are not what the manifest and the request make one expect. None of it is an error: `count` is a
    /// hint (E06), and servers add types that others refer to (H05, C11).
    fn check_files(&self) {
        let Some(job) = self.folder.open_job() else { return };
        let mut strange = Vec::new();
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for file in job.files.iter().filter(|file| file.kind == FileKind::Output && file.state == FileState::Done) {
            let resources = file.resources.unwrap_or_default();
            if let Some(count) = file.count.filter(|count| *count != resources) {
                let message = format!("{} holds {resources} resources, but the manifest says {count}.", file.name);
                strange.push(("count-mismatch", message));
            }
            match &file.resource_type {
                Some(name) if file.types.is_empty() => *found.entry(name.clone()).or_insert(0) += resources,
                _ => {}
            }
            for (name, count) in &file.types {
                *found.entry(name.clone()).or_insert(0) += count;
                if let Some(expected) = file.resource_type.as_ref().filter(|expected| *expected != name) {
                    let message =
                        format!("{} holds {count} resources of type {name} among its {expected}s.", file.name);
                    strange.push(("stray-type", message));
                }
            }
        }
        let more = strange.len().saturating_sub(MAX_WARNINGS);
        for (code, message) in strange.into_iter().take(MAX_WARNINGS) {
            self.warn(code, message);
        }
        if more > 0 {
            self.warn("more", format!("{more} more files differ from what the manifest says in the same ways."));
        }
        let strays = kickoff::strays(&job.types, found.keys().map(String::as_str));
        if !strays.is_empty() {
            let list: Vec<String> = strays.iter().map(|name| format!("{name} ({})", found[*name])).collect();
            self.warn("type-not-asked", format!("The server sent types that were not asked for: {}.", list.join(", ")));
        }
    }

    /// Types of which every file is here are done, to the server's time (I01, I02).
    fn mark_done(&self) {
        let Some(job) = self.folder.open_job().filter(|job| !job.joins) else { return };
        let missing: Vec<_> = job.missing().map(|(_, file)| file.clone()).collect();
        let unclear = job.problem.is_some()
            || job.unusable_entries > 0
            || missing.iter().any(|file| file.kind != FileKind::Output || file.resource_type.is_none());
        if unclear {
            return;
        }
        let time = self.time_of(&job);
        let of_type = |files: &[FileEntry], t: &String| files.iter().any(|file| file.resource_type.as_ref() == Some(t));
        let came = |t: &String| {
            job.files.iter().any(|file| match &file.resource_type {
                Some(name) => name == t,
                None => file.types.contains_key(t),
            })
        };
        let withheld: Vec<String> = job.withheld.iter().filter(|t| !came(t)).cloned().collect();
        let is_here = |t: &&String| !of_type(&missing, t) && !withheld.contains(t);
        self.folder.change_job(|job| job.withheld.clone_from(&withheld));
        for resource_type in job.types.iter().filter(is_here) {
            self.folder.change(|metadata| metadata.mark_done(resource_type, &time));
        }
    }

    /// The time to which a job's types are done: the server's. One that cannot be read, or is far in the future, would have the
    /// next increments miss everything before it.
    fn time_of(&self, job: &Job) -> String {
        let now = self.platform.clock().now_millis();
        let told = job.transaction_time.as_deref().unwrap_or_default();
        let is_sound = FhirTime::parse(told).is_some_and(|time| time.millis(0) < now + FUTURE_MILLIS);
        instant::iso_of(told).filter(|_| is_sound).unwrap_or_else(|| {
            let what =
                format!("The server's transactionTime, '{told}', cannot be; the time of the kick-off stands in.");
            self.warn("transaction-time", what);
            job.kicked_off.clone().unwrap_or_else(|| crate::folder::metadata::now_iso(self.platform.clock()))
        })
    }

    /// Everything is here: the server may forget the job (G01), and so may we.
    async fn finish(&self) -> Result<()> {
        let Some(job) = self.folder.open_job() else { return Ok(()) };
        self.folder.save().await?;
        if let Some(message) = cleanup::delete(self.client, &job.status_url, Retry::Brief).await.message() {
            self.warn("clean-up", message);
        }
        self.folder.remove_left_over().await?;
        self.folder.change_job(|job| job.end(JobState::Finished));
        self.folder.change(|metadata| metadata.remove("bulk-status"));
        self.folder.save().await
    }
}

/// Reads the manifest again when links have expired.
struct Again<'a, 'p, P: Platform> {
    client: &'a Client<'p, P>,
    folder: &'a OutputFolder<'p, P>,
    config: &'a BulkConfig,
}

impl<P: Platform> Renew for Again<'_, '_, P> {
    async fn renew(&self) -> Result<Manifest> {
        let job = self.folder.open_job().unwrap_or_default();
        let config = PollConfig::new(self.config, job.separate_status);
        poll::run(self.client, &job.status_url, &config, async |_| Ok(())).await
    }
}

/// Whether the server's job will never come to anything, so that a rerun has to start another one.
fn is_final(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Gone | ErrorKind::NotFound) || error.kind == ErrorKind::Server && !error.retry
}
