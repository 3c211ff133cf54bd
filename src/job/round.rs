//! The beginning of each round of a bulk export: what is left to ask for, and asking for it.

use serde_json::Value;

use super::bulk::Run;
use super::{bulk, context, logged};
use crate::auth::scope;
use crate::bulk::kickoff::{self, KickoffParams};
use crate::bulk::manifest::FileKind;
use crate::config::{BulkConfig, Level, SinceMode};
use crate::event::{Event, Phase};
use crate::fhir::instant::{self, Edge};
use crate::fhir::raw::Raw;
use crate::folder::{FileEntry, FileState, Job, JobState, Log, Rows};
use crate::http::redact;
use crate::platform::{Clock, Observer, Platform};
use crate::update::{Plan, patients, since};
use crate::{Error, Result};

impl<P: Platform> Run<'_, '_, P> {
    /// Kicks off what is not done yet. False if nothing is left to do, which makes the folder complete.
    pub(super) async fn begin(&self, plan: &mut Plan, log: &Log<'_, P>, first: bool) -> Result<bool> {
        loop {
            let done = self.folder.metadata().done();
            let mut types: Vec<String> = plan.types.iter().filter(|t| !done.contains_key(*t)).cloned().collect();
            if !first {
                // Once a run.
                types.retain(|t| !self.folder.ledger().jobs.iter().any(|job| job.withheld.contains(t)));
            }
            let is_whole = plan.types.iter().all(|t| done.contains_key(t));
            if types.is_empty() {
                for resource_type in plan.types.iter().filter(|_| first) {
                    self.note(format!("Skipping {resource_type}, already done."));
                }
                if self.managed().is_none() {
                    if !is_whole {
                        return Ok(false);
                    }
                    bulk::bundle(self.platform, self.config).await?;
                    self.folder.change(|metadata| metadata.set("complete", true));
                    self.folder.save().await?;
                    return Ok(false);
                }
                return Ok(self.join(plan, log).await? || self.reconcile(plan, log).await?);
            }
            let types = self.at_once(plan, types);
            self.platform.observer().event(Event::Phase { phase: Phase::KickOff });
            let filters = plan.wire_filters(&types, self.capability);
            for message in self.capability.not_supported(&types, &filters) {
                self.warn("not-supported", message);
            }
            let kick_off = self.kick_off(self.config, types.clone(), filters, plan.wire_since(&types), log).await?;
            let job = match kick_off {
                Ok(job) => job,
                Err(error) => {
                    log.flush().await?;
                    let refused = self.refused_types(plan, &types, &error);
                    if refused.is_empty() {
                        return Err(error);
                    }
                    for resource_type in refused {
                        self.warn(
                            "type-refused",
                            format!("Skipping {resource_type} because the server does not support it."),
                        );
                        plan.drop_type(&resource_type);
                    }
                    self.folder.change(|metadata| context::note(metadata, self.capability, plan));
                    continue;
                }
            };
            if plan.times().is_some() {
                // What since has an effect on depends on what is asked for together, which is known only now.
                plan.settle_since(&types);
                self.folder.change(|metadata| context::note(metadata, self.capability, plan));
            }
            self.tell_since(plan, &types);
            for resource_type in plan.types.iter().filter(|t| done.contains_key(*t)) {
                self.note(format!("Skipping {resource_type}, already done."));
            }
            self.enter(job).await?;
            return Ok(true);
        }
    }

    /// Says from when on `types` are asked for.
    fn tell_since(&self, plan: &Plan, types: &[String]) {
        let Some(mode) = plan.since_mode else { return };
        if mode == SinceMode::Created && self.config.since_mode == SinceMode::Auto {
            self.note("Server doesn't support 'updated' since mode, defaulting to 'created' instead.");
        }
        for line in plan.since_lines(types) {
            self.note(line);
        }
        if mode == SinceMode::Created && plan.times().is_none_or(|times| !times.is_empty()) {
            self.warn("created-mode", since::created_warning(plan));
        }
    }

    /// Sends the kick-off. The outer error is one of options; the inner one comes of the request, which the log then has.
    async fn kick_off(
        &self,
        config: &BulkConfig,
        types: Vec<String>,
        filters: Vec<String>,
        since: Option<&str>,
        log: &Log<'_, P>,
    ) -> Result<Result<Job>> {
        let clock = self.platform.clock();
        let zone = |millis| clock.offset_minutes(millis);
        let params = KickoffParams::new(config, types.clone(), filters, since, zone)?;
        let sent = clock.now_millis();
        let outcome = kickoff::run(self.client, self.capability, &params, self.config.kickoff_method).await;
        logged::kickoff(log, self.client, self.capability, &outcome);
        // As the server's clock had it, or earlier.
        let by_server = outcome.headers.get("date").and_then(instant::http_date);
        let sent = by_server.map_or(sent, |date| sent.min(date - (clock.now_millis() - sent)));
        Ok(outcome.result.map(|begun| Job {
            status_url: begun.status_url,
            separate_status: begun.separate_status,
            request: self.request(),
            kicked_off: Some(instant::iso(sent, 0)),
            since: params.since.clone(),
            withheld: self.withheld(&types),
            types,
            ..Job::default()
        }))
    }

    /// The types that the token does not cover (B10): a server may leave them out without a word.
    fn withheld(&self, types: &[String]) -> Vec<String> {
        let granted = self.client.granted().filter(|granted| scope::is_readable(&granted.scopes));
        let missing = granted.map(|granted| granted.missing).unwrap_or_default();
        types.iter().filter(|t| missing.contains(t)).cloned().collect()
    }

    /// Takes a job into the ledger.
    async fn enter(&self, job: Job) -> Result<()> {
        let status_url = job.status_url.clone();
        self.folder.change_ledger(|ledger| {
            // What was withheld before is asked for again now.
            ledger
                .jobs
                .iter_mut()
                .for_each(|before| before.withheld.retain(|t| job.reconciles || job.joins || !job.types.contains(t)));
            ledger.jobs.push(job);
        });
        self.folder.change(|metadata| {
            metadata.set("bulk-status", status_url.clone());
            metadata.remove("complete");
        });
        // Before anything else: a second job for the same data is what servers punish (C17).
        self.folder.save().await?;
        self.platform.observer().event(Event::KickedOff { status_url: redact::url(&status_url) });
        self.note("Starting bulk FHIR export…");
        Ok(())
    }

    /// After everything is here: a second, small export of what changed since the kick-off, where that is wanted and was not
    /// done yet. The server's snapshot may be older than such changes, and the next increment may be a year away.
    async fn reconcile(&self, plan: &Plan, log: &Log<'_, P>) -> Result<bool> {
        // Said outright, since the optimiser does not find it out: the small WebAssembly files are without what follows.
        if cfg!(not(feature = "full")) {
            return Ok(false);
        }
        let wanted = self.managed().is_some_and(|managed| managed.reconcile);
        let Some((types, since)) = self.folder.ledger().to_reconcile().filter(|_| wanted) else { return Ok(false) };
        self.note(format!("Looking for what changed since '{since}', while the export ran."));
        let filters = plan.filters_without_since(&types);
        match self.kick_off(self.config, types, filters, Some(&since), log).await? {
            Ok(job) => self.enter(Job { reconciles: true, withheld: Vec::new(), ..job }).await.map(|()| true),
            Err(error) if matches!(error.status, Some(400..500)) => {
                self.warn("reconcile", format!("What changed while the export ran cannot be had: {error}"));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The same for what patients who are new to a group had before the time of an increment: with `_since`, the server MAY send
    /// it, and need not. They are asked for by themselves, whole (I06). In an export of the whole system nobody joins.
    async fn join(&self, plan: &Plan, log: &Log<'_, P>) -> Result<bool> {
        if cfg!(not(feature = "full")) {
            return Ok(false);
        }
        let wanted = self.managed().is_some_and(|managed| managed.reconcile) && self.config.level != Level::System;
        let (patients, types) = {
            let metadata = self.folder.metadata();
            let new = metadata.get("newPatients").and_then(Value::as_array).into_iter().flatten();
            let of_since = |t: &&String| plan.since_types.contains(t) && t.as_str() != "Patient";
            let patients: Vec<String> = new.filter_map(Value::as_str).map(str::to_owned).collect();
            (patients, plan.types.iter().filter(of_since).cloned().collect::<Vec<_>>())
        };
        // Had, or refused: this comes before what changed meanwhile.
        let is_past = |job: &Job| (job.joins || job.reconciles) && job.state != JobState::Abandoned;
        let is_over = self.folder.ledger().jobs.iter().any(is_past);
        if !wanted || is_over || patients.is_empty() || types.is_empty() {
            return Ok(false);
        }
        self.note(format!("Looking for what new patients had before: {}.", patients.len()));
        let filters = plan.filters_without_since(&types);
        let config = BulkConfig { patients, since: None, ..self.config.clone() };
        match self.kick_off(&config, types, filters, None, log).await? {
            Ok(job) => self.enter(Job { joins: true, withheld: Vec::new(), ..job }).await.map(|()| true),
            Err(error) if matches!(error.status, Some(400..=499 | 501)) => {
                let message =
                    format!("What new patients had before cannot be had, but by an export without --since: {error}");
                self.warn("new-patients", message);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// What to ask for first. Where `since` is `auto`, a type without an earlier export makes all come whole (I08). One that the
    /// reference would not ask for, and nobody named, is not worth that: it gets a job of its own.
    fn at_once(&self, plan: &Plan, types: Vec<String>) -> Vec<String> {
        let Some(times) = plan.times() else { return types };
        let is_extra = |t: &&String| self.is_extra(plan, t) && !times.contains_key(*t);
        let others: Vec<String> = types.iter().filter(|t| !is_extra(t)).cloned().collect();
        if others.is_empty() { types } else { others }
    }

    /// Whether a type is asked for although the server does not list it, and nobody named it.
    fn is_extra(&self, plan: &Plan, resource_type: &str) -> bool {
        !plan.named && self.capability.lists(resource_type) == Some(false)
    }

    /// The types that a refused kick-off goes without: of those that nobody named and the server does not list, the ones that
    /// its error names; all of them if it names none.
    fn refused_types(&self, plan: &Plan, types: &[String], error: &Error) -> Vec<String> {
        if plan.named || !matches!(error.status, Some(400 | 404 | 422 | 501)) {
            return Vec::new();
        }
        let is_named =
            |t: &&String| error.message.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == t.as_str());
        let named: Vec<String> = types.iter().filter(is_named).cloned().collect();
        let unlisted = types.iter().filter(|t| self.is_extra(plan, t)).cloned();
        let refused: Vec<String> = if named.is_empty() { unlisted.collect() } else { named };
        // All of them only where there is something else in the export.
        let rest = plan.types.len() - refused.len();
        let is_whole = refused.len() == types.len() && !(rest > 0 && types.iter().all(|t| self.is_extra(plan, t)));
        if is_whole { Vec::new() } else { refused }
    }

    /// Notes the patients that are new since an earlier export, before Patient is done.
    pub(super) async fn compare_patients(&self) -> Result<()> {
        if cfg!(not(feature = "full")) {
            return Ok(());
        }
        let Some(managed) = self.managed().filter(|managed| !managed.before.is_empty()) else { return Ok(()) };
        let is_here = |job: &Job| {
            let missing = job.missing().any(|(_, file)| file.resource_type.as_deref() == Some("Patient"));
            job.types.iter().any(|t| t == "Patient") && !job.reconciles && !missing
        };
        let Some(job) = self.folder.open_job().filter(is_here) else { return Ok(()) };
        let new = patients::new_patients(&managed.before, self.platform.storage()).await?;
        if new.is_empty() {
            return Ok(());
        }
        if job.since.is_some() && !managed.reconcile && matches!(self.config.level, Level::Group(_)) {
            let message = "The server may have left out what patients who are new to the group had before";
            self.note(format!("{message}, {} of them; --reconcile fetches it.", new.len()));
        }
        self.folder.change(|metadata| metadata.set("newPatients", new));
        Ok(())
    }

    /// Looks whether the server has kept to `_until` where that was asked for: versions before STU3 know no such parameter, and
    /// some servers ignore it (I07).
    pub(super) async fn check_until(&self) -> Result<()> {
        let zone = |millis| self.platform.clock().offset_minutes(millis);
        let until = self.config.until.as_deref().and_then(|until| instant::widen(until, Edge::End, zone));
        let (Some(until), Some(job)) = (until, self.folder.open_job()) else { return Ok(()) };
        let mut later = 0_u64;
        let is_output = |file: &&FileEntry| file.kind == FileKind::Output && file.state == FileState::Done;
        for file in job.files.iter().filter(is_output).filter(|_| job.other_format.is_none()) {
            for name in if file.parts.is_empty() { std::slice::from_ref(&file.name) } else { &file.parts } {
                let mut rows = Rows::open(self.platform.storage(), name);
                while let Some(row) = rows.next().await? {
                    let updated =
                        Raw::new(row).get("meta").and_then(|meta| meta.get("lastUpdated")).and_then(Raw::text);
                    later += u64::from(updated.is_some_and(|updated| instant::is_before(&until, &updated)));
                }
            }
        }
        if later > 0 {
            let message =
                format!("{later} resources were changed after '{until}': the server does not keep to --until.");
            self.warn("until-ignored", message);
        }
        Ok(())
    }
}
