//! Hydration: what an export left out, fetched while access lasts.

use std::future::Future;

use serde::Serialize;

use super::interrupt::{Words, until};
use super::report::Verdict;
use crate::auth::ScopeRequest;
use crate::config::HydrateConfig;
use crate::event::{Event, Phase};
use crate::fhir;
use crate::folder::{Ledger, Metadata, metadata, present};
use crate::http::Client;
use crate::hydrate::tasks::{self, Kind, Task};
use crate::hydrate::{Run, TaskReport};
use crate::platform::{Observer, Platform, Storage};
use crate::{Error, ErrorKind, Result};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HydrateReport {
    /// Complete, or incomplete: then some references or attachments could not be had.
    pub verdict: Verdict,
    /// What each task did, in the order in which they ran.
    pub tasks: Vec<TaskReport>,
    /// References and attachments that could not be had. `error/OperationOutcome.hydration.ndjson` lists them, and the next
    /// run tries them again.
    pub failed: u64,
    /// The first of them, in words.
    pub failures: Vec<String>,
    /// References to other servers, which were not followed.
    pub foreign: u64,
    /// 0, or 3 if something could not be had.
    pub exit_status: u8,
}

/// Checks everything that can be checked without a request or a folder.
pub fn check_hydrate(config: &HydrateConfig) -> Result<()> {
    tasks::select(&config.tasks)?;
    if let Some(folder) = &config.attachments_dir {
        let plain = |name: &str| !matches!(name, "" | "." | ".." | "error" | "deleted") && !name.starts_with('.');
        if folder.contains('\\') || folder.contains(':') || !folder.split('/').all(plain) {
            return Err(Error::usage(format!(
                "The attachments folder '{folder}' is no folder inside the output folder."
            ))
            .with_hint("Give the name of a subfolder, such as attachments."));
        }
    }
    Ok(())
}

/// Runs each task once, in the order of the table, on the files of the platform's source folder; attachments are put into the
/// files of the platform's folder, where everything is written. Ends early, with what was fetched kept, when `cancelled`
/// resolves.
///
/// # Errors
/// `Usage` without a folder to read, else what stopped it. References that could not be had are no error, but counted in the report.
pub async fn hydrate<P: Platform>(
    platform: &P,
    config: &HydrateConfig,
    cancelled: impl Future<Output = ()>,
) -> Result<HydrateReport> {
    check_hydrate(config)?;
    present::require(platform.source(), config.folder.as_deref()).await?;
    let running = async {
        let (source, own) = (platform.source(), platform.storage());
        check_server(source, &config.server.fhir_url).await?;
        if !std::ptr::eq(source, own) {
            check_server(own, &config.server.fhir_url).await?;
        }
        let mut rest = tasks::select(&config.tasks)?.into_iter();
        run(platform, config, platform.source(), &mut || rest.next()).await
    };
    let words = Words {
        operation: "hydrate",
        message: "Hydration was interrupted; what was fetched is kept.",
        hint: "Do the same again to carry on.",
    };
    until(cancelled, words, running).await
}

/// Refuses a folder with data of another server. Whose the data are that another program has brought is not on record.
async fn check_server<S: Storage>(storage: &S, fhir_url: &str) -> Result<()> {
    let mut metadata = Metadata::load_any(storage).await?;
    let ledger = Ledger::load(&mut metadata)?;
    let asked = ledger.jobs.iter().map(|job| &job.request).chain(ledger.crawl.iter().map(|crawl| &crawl.request));
    let expected = fhir_url.trim().trim_end_matches('/');
    for request in asked {
        if let Some(found) = request.get("fhirUrl").and_then(serde_json::Value::as_str)
            && found != expected
        {
            let message = format!("The folder is for a different FHIR URL.\nExpected {expected}\nBut found {found}");
            return Err(Error::new(ErrorKind::Mismatch, "open folder", message)
                .with_hint("Its references lead to that server: give its URL, or choose another folder."));
        }
    }
    Ok(())
}

/// Hydrates what an export left in the platform's folder: the tasks that read one of the `exported` types, then those that
/// read what the first ones brought anew, until nothing new appears. Takes the lock of the folder. Dropped, it leaves what was
/// fetched in a form from which the next call goes on.
///
/// # Errors
/// As [`hydrate`].
pub async fn after_export<P: Platform>(
    platform: &P,
    config: &HydrateConfig,
    exported: &[String],
) -> Result<HydrateReport> {
    check_hydrate(config)?;
    let all = tasks::select(&config.tasks)?;
    let mut passes = Passes::new(exported);
    run(platform, config, platform.storage(), &mut || passes.next(&all)).await
}

/// The tasks of an export, in passes: what a pass may have brought of a new type is looked through by the next one.
struct Passes {
    seen: Vec<String>,
    now: Vec<String>,
    next: Vec<String>,
    at: usize,
}

impl Passes {
    fn new(exported: &[String]) -> Self {
        Self { seen: exported.to_vec(), now: exported.to_vec(), next: Vec::new(), at: 0 }
    }

    fn next(&mut self, tasks: &[&'static Task]) -> Option<&'static Task> {
        while !self.now.is_empty() {
            while let Some(task) = tasks.get(self.at) {
                self.at += 1;
                if self.now.iter().any(|name| name == task.input) {
                    if !self.seen.iter().chain(&self.next).any(|name| name == task.output) {
                        self.next.push(task.output.to_owned());
                    }
                    return Some(task);
                }
            }
            self.at = 0;
            self.now = std::mem::take(&mut self.next);
            self.seen.extend_from_slice(&self.now);
        }
        None
    }
}

async fn run<P: Platform>(
    platform: &P,
    config: &HydrateConfig,
    source: &P::Storage,
    next: &mut dyn FnMut() -> Option<&'static Task>,
) -> Result<HydrateReport> {
    let Some(first) = next() else { return Ok(HydrateReport::default()) };
    let client = Client::new(platform, &config.server.for_reads(), scopes(config)?)?;
    // Where there is nothing to read, nothing is written, not even a folder for the lock.
    let is_empty = source.list("").await?.is_empty();
    let _lock = if is_empty { None } else { Some(metadata::lock(platform.storage()).await?) };
    platform.observer().event(Event::Phase { phase: Phase::Discover });
    let capability = fhir::metadata::read(&client).await;
    platform.observer().event(Event::Phase { phase: Phase::Hydrate });
    let mut run = Run::new(&client, &capability, config).await?;
    let mut task = Some(first);
    while let Some(due) = task {
        if let Err(error) = run.task(due, source).await {
            run.give_up().await;
            return Err(error);
        }
        task = next();
    }
    let ended = run.end().await?;
    if ended.foreign > 0 {
        let message = match ended.foreign {
            1 => "1 reference leads to another server; it was not followed.".to_owned(),
            many => format!("{many} references lead to other servers; they were not followed."),
        };
        platform.observer().event(Event::Warning { code: "foreign-references".to_owned(), message });
    }
    let complete = ended.failed == 0;
    Ok(HydrateReport {
        verdict: if complete { Verdict::Complete } else { Verdict::Incomplete },
        tasks: ended.tasks,
        failed: ended.failed,
        failures: ended.failures,
        foreign: ended.foreign,
        exit_status: if complete { 0 } else { 3 },
    })
}

/// What tokens must cover.
fn scopes(config: &HydrateConfig) -> Result<ScopeRequest> {
    let mut types: Vec<String> = Vec::new();
    for task in tasks::select(&config.tasks)? {
        let wanted = if task.kind == Kind::Inline { "Binary" } else { task.output };
        if !types.iter().any(|name| name == wanted) {
            types.push(wanted.to_owned());
        }
    }
    Ok(ScopeRequest { types, group: false })
}
