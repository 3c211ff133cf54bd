//! A managed export: the next one of a folder that is kept up to date for years. Chooses how and since when, has it done in a
//! numbered subfolder, completes it, works out what is gone, and links what is current.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use serde::Serialize;
use serde_json::Value;

use super::crawl::{self, Crawl};
use super::crawl_report::CrawlReport;
use super::hydrate::{HydrateReport, after_export, check_hydrate};
use super::interrupt::{Words, until};
use super::report::{BulkReport, Verdict};
use super::{bulk, context};
use crate::config::{ExportConfig, ExportMode, HydrateConfig};
use crate::event::{Event, Phase};
use crate::fhir::capability::{Capability, Vendor};
use crate::folder::history::{self, Export};
use crate::folder::managed::{ManagedFolder, check_nickname, today};
use crate::folder::{OutputFolder, layout, links};
use crate::platform::{Observer, Platform, Storage};
use crate::update::{Plan, deletions, since};
use crate::{Error, ErrorKind, Result, fhir};

/// What came of a managed export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportReport {
    /// The subfolder, such as `002.2026-11-21`.
    pub folder: String,
    /// Whether it was there before.
    pub resumed: bool,
    /// Whether it was complete before, so that there was nothing to export.
    pub was_complete: bool,
    /// How the data were got.
    pub mode: ExportMode,
    /// How it ended: the worst of all steps.
    pub verdict: Verdict,
    /// 0, or 3 where the verdict is not `complete` (DESIGN §6).
    pub exit_status: u8,
    /// Since when, by type, where `since` was `auto`. Types that came whole are not in it.
    pub since: BTreeMap<String, String>,
    /// Patients that are new since an earlier export, merged ones included.
    pub new_patients: u64,
    /// By type, resources that earlier exports had and this full one has not.
    pub gone: BTreeMap<String, u64>,
    /// Links to what is current, in the folder.
    pub links: u64,
    /// Files that are gone and that nothing later has made up for, each with what to do, in words.
    pub lacking: Vec<String>,
    /// The bulk export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulk: Option<BulkReport>,
    /// The crawl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crawl: Option<CrawlReport>,
    /// What was fetched besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hydration: Option<HydrateReport>,
}

/// Checks everything that can be checked without a request or a folder.
pub fn check_export(config: &ExportConfig) -> Result<()> {
    if let Some(nickname) = &config.nickname {
        check_nickname(nickname)?;
    }
    if config.bulk.until.is_some() && config.bulk.since.as_deref() == Some("auto") {
        return Err(Error::usage("An end (until) and the since value 'auto' exclude each other.")
            .with_hint("Later exports would take what came after that end for fetched."));
    }
    if config.bulk.bundle {
        return Err(Error::usage(
            "A managed folder keeps its files as they are, so that no Bundle can take their place.",
        ));
    }
    if config.mode == ExportMode::Bulk && !config.cohort.ids.is_empty() {
        return Err(Error::usage("A bulk export cannot be limited to a list of ids.").with_hint(
            "Leave out the export mode, so that these patients are crawled; or leave out the ids, and export a Group.",
        ));
    }
    check_hydrate(&hydration(config))?;
    crawl::check_cohort(config)?;
    bulk::check(&config.bulk)
}

fn hydration(config: &ExportConfig) -> HydrateConfig {
    HydrateConfig {
        server: config.rest_server.as_ref().unwrap_or(&config.bulk.server).clone(),
        tasks: config.hydration_tasks.clone(),
        mimetypes: config.mimetypes.clone(),
        compress: config.bulk.compress,
        ..HydrateConfig::default()
    }
}

/// Exports into the platform's managed folder, or carries on with what is there. Ends early, with everything kept, when
/// `cancelled` resolves.
///
/// # Errors
/// What stopped the job; [`Error::exit_status`] gives the exit status. What could not be had of data that the server offers is
/// no error here but a [`Verdict`].
pub async fn export<P: Platform>(
    platform: &P,
    config: &ExportConfig,
    cancelled: impl Future<Output = ()>,
) -> Result<ExportReport> {
    check_export(config)?;
    let words = Words {
        operation: "export",
        message: "The export was interrupted; its state is kept.",
        hint: "Do the same again to carry on.",
    };
    until(cancelled, words, run(platform, config)).await
}

fn note(platform: &impl Platform, message: String) {
    platform.observer().event(Event::Note { message });
}

fn warn(platform: &impl Platform, code: &str, message: String) {
    platform.observer().event(Event::Warning { code: code.to_owned(), message });
}

async fn run<P: Platform>(platform: &P, config: &ExportConfig) -> Result<ExportReport> {
    let server = &config.bulk.server;
    let mut managed = ManagedFolder::open(platform).await?;
    let history = history::load(platform.storage()).await?;
    if !history.is_empty() && history.iter().all(|export| export.is_void) {
        managed.forget();
    }
    managed.check(&server.fhir_url, &config.bulk.level)?;
    let client = bulk::client(platform, &config.bulk)?;
    platform.observer().event(Event::Phase { phase: Phase::Discover });
    let capability = fhir::metadata::read(&client).await;
    let mut report = ExportReport { mode: choose_mode(platform, config, &capability), ..ExportReport::default() };

    let is_crawl = report.mode == ExportMode::Crawl;
    let mut plan = Plan::new(&config.bulk, &capability)?;
    let request = if is_crawl {
        crawl::request(config, &plan, client.base())
    } else {
        context::request(client.base(), &config.bulk)
    };
    let chosen = Choice { platform, config, capability: &capability, history: &history, request: &request, is_crawl };
    let current = chosen.resumable(&mut plan)?;
    set_since(platform, &history, &mut plan, Some(&request).filter(|_| !is_crawl), current)?;
    report.since = plan.times.clone().unwrap_or_default();
    report.resumed = current.is_some();
    report.was_complete = current.is_some_and(Export::is_complete);
    report.folder = match current {
        Some(export) => export.folder.name.clone(),
        None => managed.new_name(history.first().map(|newest| &newest.folder), config.nickname.as_deref()),
    };
    managed.begin(&server.fhir_url, &config.bulk.level).await?;
    note(
        platform,
        match (current, &config.nickname) {
            (None, _) => format!("Creating new subfolder '{}'.", report.folder),
            (Some(_), Some(_)) => format!("Re-using existing subfolder '{}' with the same nickname.", report.folder),
            (Some(_), None) => format!("Re-using existing subfolder '{}' with similar arguments.", report.folder),
        },
    );

    let inside = platform.within(&report.folder);
    let others: Vec<&Export> = history.iter().filter(|export| export.folder.name != report.folder).collect();
    let before = patients_before(platform, &others, &plan, is_crawl);
    if is_crawl {
        // Its platform is where it writes.
        let bulk_client = &client;
        let client = crawl::rest_client(&inside, config)?;
        client.take_clock_of(bulk_client);
        if capability.vendor == Vendor::Epic {
            client.identify_to_epic();
        }
        let mut crawl = Crawl::open(&inside, config, &client, &capability, plan.clone(), before, true).await?;
        crawl.patients().await?;
        let new = new_patients(&others, &plan, crawl.folder().metadata().get("newPatients"));
        let is_new = |t: &str, patient: &str| new.get(t).is_some_and(|ids| ids.contains(patient));
        crawl.types(&is_new).await?;
        plan = crawl.plan().clone();
        let done = crawl.finish(true).await?;
        (report.verdict, report.exit_status) = (done.verdict, done.exit_status);
        report.crawl = Some(done);
    } else {
        let folder = OutputFolder::open(&inside).await?;
        let here = folder.settle(true).await?;
        let managed = Some(&bulk::Managed { before, reconcile: config.reconcile });
        let capability = &capability;
        let job = bulk::Run {
            platform: &inside,
            config: &config.bulk,
            client: &client,
            folder: &folder,
            capability,
            managed,
        };
        let done = job.all(&mut plan, here).await?;
        (report.verdict, report.exit_status) = (done.verdict, done.exit_status);
        report.bulk = Some(done);
    }
    finish(platform, config, &plan, &mut report).await?;
    Ok(report)
}

/// The folders with the Patients as they were before, newest first, back to one with all of them.
fn patients_before<P: Platform>(platform: &P, others: &[&Export], plan: &Plan, is_crawl: bool) -> Vec<P::Storage> {
    // Of a cohort of ids, Patients are there whether they are asked for or not.
    let is_asked = !is_crawl || plan.types.iter().any(|t| t == "Patient");
    let has_patients = |export: &&&Export| {
        if is_asked { since::matches(export, plan, "Patient", None) } else { export.done("Patient").is_some() }
    };
    let mut before = Vec::new();
    for export in others.iter().filter(has_patients) {
        before.push(platform.storage().within(&export.folder.name));
        if !export.is_since("Patient") {
            break;
        }
    }
    before
}

/// By type, the patients whose history is to be fetched, whatever since: those that are new with this export (`own`), and those
/// that others found since the type was exported last.
fn new_patients(others: &[&Export], plan: &Plan, own: Option<&Value>) -> BTreeMap<String, BTreeSet<String>> {
    let own = own.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let own = layout::set(&mut own.map(str::to_owned));
    let mut new = BTreeMap::new();
    for resource_type in &plan.types {
        let mut ids = own.clone();
        let later = others.iter().take_while(|export| !since::matches(export, plan, resource_type, None));
        ids.extend(later.flat_map(|export| export.new_patients()).map(str::to_owned));
        new.insert(resource_type.clone(), ids);
    }
    new
}

/// Bulk unless told otherwise; but a bulk export cannot be limited to a list of ids, and Epic's looks into the live system, so that
/// a crawl is faster. (The reference's takes no notice of ids, and gets everybody.)
fn choose_mode(platform: &impl Platform, config: &ExportConfig, capability: &Capability) -> ExportMode {
    let why = match config.mode {
        ExportMode::Auto if capability.vendor == Vendor::Epic => {
            "Epic server detected. Defaulting to a 'crawl' instead of a 'bulk' export for non-Patient resources."
        }
        ExportMode::Auto if !config.cohort.ids.is_empty() => {
            "Ids of patients were given. Defaulting to a 'crawl' instead of a 'bulk' export."
        }
        ExportMode::Auto => return ExportMode::Bulk,
        mode => return mode,
    };
    note(platform, why.to_owned());
    ExportMode::Crawl
}

/// Works out what `since: auto` means.
fn set_since(
    platform: &impl Platform,
    history: &[Export],
    plan: &mut Plan,
    request: Option<&Value>,
    current: Option<&Export>,
) -> Result<()> {
    if plan.since.as_deref() != Some("auto") {
        return Ok(());
    }
    let times = since::auto(history, plan, request);
    if times.is_empty() {
        // Earlier exports of something else are no reason to fetch all. One of which all is lost is fetched again.
        let is_other = |export: &&Export| current.is_none_or(|current| current.folder != export.folder);
        if history.iter().filter(is_other).any(|export| !export.metadata.done().is_empty()) {
            let message = "Could not detect a since value to use from previous exports.";
            return Err(Error::new(ErrorKind::NotFound, "options", message)
                .with_hint("Try without a --since parameter, or provide a specific timestamp."));
        }
        // Where there are none, it would be an increment to nothing: unlike the reference, which fails, all of it, so that one
        // command does from the first run on.
        note(platform, "No earlier export to detect a since value from: everything is exported.".to_owned());
    }
    let is_left = |t: &&String| current.is_none_or(|export| export.done(t).is_none());
    // In a crawl each type has a time of its own.
    let together = if request.is_some() { plan.types.iter().filter(is_left).cloned().collect() } else { Vec::new() };
    plan.times = Some(times);
    plan.settle_since(&together);
    Ok(())
}

/// Which subfolder to work in.
struct Choice<'a, P: Platform> {
    platform: &'a P,
    config: &'a ExportConfig,
    capability: &'a Capability,
    history: &'a [Export],
    request: &'a Value,
    is_crawl: bool,
}

impl<'a, P: Platform> Choice<'a, P> {
    /// The subfolder to carry on with, as the reference chooses it: the newest, if it has the nickname, or without one if it
    /// was begun with the same arguments. `plan` takes over what the user left open.
    fn resumable(&self, plan: &mut Plan) -> Result<Option<&'a Export>> {
        let Some(newest) = self.history.first() else { return Ok(None) };
        if let Some(nickname) = &self.config.nickname {
            let Some(found) = self.history.iter().find(|export| export.folder.nickname() == nickname) else {
                return Ok(None);
            };
            if found.folder.number != newest.folder.number {
                let message =
                    format!("Existing subfolder '{}' with the same nickname is too old to resume.", found.folder.name);
                return Err(Error::new(ErrorKind::Mismatch, "open folder", message).with_hint("Choose a new nickname."));
            }
            if !found.is_void {
                context::check(&found.metadata, &self.config.bulk, self.capability, plan)?;
            }
            return Ok(Some(found));
        }
        if newest.is_void && !newest.metadata.is_empty() {
            return Ok(Some(newest));
        }
        if newest.metadata.is_empty() {
            // Ours, from a moment ago, if it was made at all: nothing is in it.
            let is_ours = newest.folder.nickname() == today(self.platform.clock());
            return Ok(is_ours.then_some(newest));
        }
        let mut adjusted = plan.clone();
        let fits = context::check(&newest.metadata, &self.config.bulk, self.capability, &mut adjusted).is_ok();
        let found = if self.is_crawl { &newest.crawled } else { &newest.request };
        let is_same = found.as_ref().is_none_or(|found| found == self.request);
        // An increment that is done is followed by another one. Unlike the reference's, it is done with its last step.
        // Nor does it wait for patients who may never be had: on another day, what is new by then is asked for, of them too.
        let is_over = || {
            newest.is_complete() && adjusted.types.iter().all(|t| newest.done(t).is_some())
                || newest.lacks_patients_of_before(&adjusted.types, &today(self.platform.clock()))
        };
        if !fits || !is_same || plan.since.as_deref() == Some("auto") && is_over() {
            return Ok(None);
        }
        *plan = adjusted;
        Ok(Some(newest))
    }
}

/// What follows the data: hydration, deletions, links, and the mark that all is done.
async fn finish<P: Platform>(
    platform: &P,
    config: &ExportConfig,
    plan: &Plan,
    report: &mut ExportReport,
) -> Result<()> {
    let inside = platform.within(&report.folder);
    let hydrated = after_export(&inside, &hydration(config), &plan.types).await?;
    let history = history::load(platform.storage()).await?;
    let Some(current) = history.iter().find(|export| export.folder.name == report.folder) else { return Ok(()) };
    report.new_patients = current.new_patients().count() as u64;
    note_gone(platform, config, plan, &history, current, report).await?;
    report.links = links::renew(platform).await?;
    let is_settled = || report.crawl.as_ref().is_some_and(CrawlReport::is_settled);
    if current.lost.is_empty() && (report.verdict != Verdict::Incomplete || is_settled()) {
        let folder = OutputFolder::open(&inside).await?;
        folder.change(|metadata| metadata.set("complete", true));
        folder.save().await?;
    }
    // What references lead to and could not be had makes no export unfinished: it may never be had.
    if hydrated.verdict > report.verdict {
        (report.verdict, report.exit_status) = (hydrated.verdict, hydrated.exit_status);
    }
    tell_lacking(platform, plan, &history, report);
    report.hydration = (!hydrated.tasks.is_empty()).then_some(hydrated);
    Ok(())
}

/// An export, not before the last full one, of which files of a type are lost.
fn lost_before<'a>(history: &'a [Export], resource_type: &str, current: &Export) -> Option<&'a Export> {
    let is_full = |export: &&Export| export.done(resource_type).is_some() && !export.is_since(resource_type);
    let others = history.iter().filter(|export| export.folder != current.folder);
    others.take_while(|export| !is_full(export)).find(|export| export.is_lost(resource_type))
}

/// Names what is lost of the types that were asked for, and what nothing has made up for.
fn tell_lacking<P: Platform>(platform: &P, plan: &Plan, history: &[Export], report: &mut ExportReport) {
    for finding in history::findings(history).into_iter().filter(|finding| finding.matters) {
        let export = &history[finding.export];
        let Some(file) = finding.file else { continue };
        let mut lost = export.lost.iter().filter(|lost| lost.name == file).flat_map(|lost| &lost.types);
        if lost.any(|name| plan.types.contains(name)) {
            let message = format!("{}/{file} {}.", export.folder.name, finding.text);
            warn(platform, "files-lost", message.clone());
            report.lacking.push(message);
            (report.verdict, report.exit_status) = (Verdict::Incomplete, 3);
        }
    }
}

/// Notes what earlier exports had and this one has not, by type, where it is a full one.
async fn note_gone<P: Platform>(
    platform: &P,
    config: &ExportConfig,
    plan: &Plan,
    history: &[Export],
    current: &Export,
    report: &mut ExportReport,
) -> Result<()> {
    let storage = platform.storage();
    let inside = storage.within(&current.folder.name);
    for resource_type in plan.types.iter().filter(|t| !current.is_since(t) && current.done(t).is_some()) {
        let back = since::back_to_full(history, plan, resource_type, current);
        let past: Vec<P::Storage> = back.iter().map(|export| storage.within(&export.folder.name)).collect();
        if let Some(export) = lost_before(history, resource_type, current) {
            let message = format!(
                "Which {resource_type}s are gone that only {} had is not known, since files of it are missing.",
                export.folder.name
            );
            warn(platform, "deletions-unknown", message);
        }
        if past.is_empty() {
            continue;
        }
        let has_errors = report.bulk.as_ref().is_some_and(|bulk| bulk.errors + bulk.bad_lines > 0)
            || report.crawl.as_ref().is_some_and(|crawl| crawl.errors > 0);
        if has_errors {
            let message =
                "Deletions are not worked out, since this export has errors: what is missing may not be deleted.";
            warn(platform, "deletions-unknown", message.to_owned());
            return Ok(());
        }
        platform.observer().event(Event::Phase { phase: Phase::Check });
        let count = deletions::note(resource_type, &past, &inside, config.bulk.compress).await?;
        if count > 0 {
            let types =
                report.bulk.as_ref().map(|bulk| &bulk.types).or(report.crawl.as_ref().map(|crawl| &crawl.types));
            if types.is_some_and(|types| types.get(resource_type).is_none_or(|here| here.resources == 0)) {
                let message = format!(
                    "This export has no {resource_type} at all, so that all {count} of earlier ones are noted as deleted. If \
                     the server left them out, remove {} and export again.",
                    current.folder.name
                );
                warn(platform, "all-gone", message);
            }
            if resource_type == "Patient" && report.crawl.is_some() {
                note(platform, format!("Count of deleted patients: {count}."));
            }
            report.gone.insert(resource_type.clone(), count);
        }
    }
    Ok(())
}
