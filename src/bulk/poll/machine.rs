//! The state machine of polling: takes what was seen, says what to do. No clock, no network, no randomness of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::PollConfig;
use crate::bulk::manifest::{Manifest, Merger, NotAManifest, Notice, Page};
use crate::bulk::{refusal, refusal_as};
use crate::fhir::instant::http_date;
use crate::fhir::outcome::{Outcome, clean};
use crate::http::{Reply, redact, wait};
use crate::{Error, ErrorKind, Result};

/// Least wait between two looks (D05).
const FLOOR: Duration = Duration::from_secs(1);
/// Growth of our own delay. Gentle, so that a job of seconds is not overshot by much.
const GROWTH: f64 = 1.5;
/// 429s in a row that are taken as "slow down" (D07).
const MAX_THROTTLED: u32 = 20;
/// Pages in a row without a new file before the chain counts as endless.
const MAX_EMPTY_PAGES: u32 = 1_000;

/// What came back from one look at the status.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// An answer, whatever its status.
    Reply(&'a Reply),
    /// No answer.
    Broken(&'a Error),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Look at [`Poll::url`] again after a while.
    Wait(Pause),
    /// The job is done and [`Poll::manifest`] is whole.
    Done,
    /// The job, or our way to it, has failed. What [`Poll::manifest`] lists by then is final all the same (E11).
    Failed(Error),
}

/// A wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pause {
    /// How long.
    pub wait: Duration,
    /// `status`, `throttled` or `retry`.
    pub reason: &'static str,
    /// `X-Progress`, made fit for showing (D08).
    pub progress: Option<String>,
    /// What there is to say about the wait.
    pub message: Option<String>,
    /// The failure that is waited out, if it is one.
    pub error: Option<Error>,
}

/// The state of polling one job over all pages of its manifest.
#[derive(Debug)]
pub struct Poll {
    config: PollConfig,
    url: String,
    pages_seen: BTreeSet<String>,
    /// Pages in a row that brought no file, and the files known when the page at hand began.
    empty_pages: u32,
    files_before: usize,
    merger: Merger,
    notices: Vec<Notice>,
    started: Option<i64>,
    /// Own delay for answers without `Retry-After`.
    delay: Duration,
    /// Least wait; 429s raise it.
    floor: Duration,
    failures: usize,
    throttled: u32,
}

type Resolve<'a> = &'a dyn Fn(&str, &str) -> Result<String>;

impl Poll {
    /// Begins with the status URL of the kick-off.
    pub fn new(status_url: &str, config: PollConfig) -> Self {
        let floor = FLOOR.min(config.max_delay);
        Self {
            config,
            url: status_url.to_owned(),
            pages_seen: [status_url.to_owned()].into(),
            empty_pages: 0,
            files_before: 0,
            merger: Merger::default(),
            notices: Vec::new(),
            started: None,
            delay: floor,
            floor,
            failures: 0,
            throttled: 0,
        }
    }

    /// What to ask next: the status URL, verbatim, or the page of the manifest that is due.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The manifest as far as it is known: of a finished job, or partial.
    pub fn manifest(&self) -> &Manifest {
        self.merger.manifest()
    }

    /// As [`Poll::manifest`], at the end.
    pub fn into_manifest(self) -> Manifest {
        self.merger.into_manifest()
    }

    /// What the user should know, since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes what was seen at `now` (milliseconds). `random` in `0.0..1.0` is for jitter; `resolve` makes a reference found
    /// at a URL absolute.
    pub fn next(&mut self, seen: Seen<'_>, now: i64, random: f64, resolve: Resolve<'_>) -> Step {
        let started = *self.started.get_or_insert(now);
        let step = match seen {
            Seen::Reply(reply) => self.reply(reply, random, resolve),
            Seen::Broken(error) if error.retry => self.trouble(error.clone(), None),
            Seen::Broken(error) => Step::Failed(error.clone()),
        };
        let waited = Duration::from_millis(u64::try_from(now.saturating_sub(started)).unwrap_or(0));
        match step {
            Step::Wait(_) if waited >= self.config.timeout => Step::Failed(deadline(&self.config)),
            // One last look at the deadline itself.
            Step::Wait(pause) => {
                Step::Wait(Pause { wait: pause.wait.min(self.config.timeout.saturating_sub(waited)), ..pause })
            }
            other => other,
        }
    }

    fn reply(&mut self, reply: &Reply, random: f64, resolve: Resolve<'_>) -> Step {
        let (status, of_job) = match self.job_status(reply) {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::HiddenHeader => return Step::Failed(error),
            Err(error) => return self.trouble(error, reply.retry_after()),
        };
        if status != 429 {
            self.throttled = 0;
        }
        match status {
            202 => self.running(reply, random, resolve),
            200 => self.complete(reply, resolve),
            429 if !of_job => self.slow_down(reply),
            _ => self.refused(reply, status, of_job),
        }
    }

    /// The status that counts, and whether it is that of the job alone (`X-Export-Status`, D12).
    fn job_status(&self, reply: &Reply) -> Result<(u16, bool)> {
        if !self.config.separate_status || reply.status != 200 {
            return Ok((reply.status, false));
        }
        let header = reply.headers.get("x-export-status");
        let leading = |text: &str| text.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok();
        match header.and_then(leading) {
            Some(status @ 100..=599) => Ok((status, true)),
            _ if header.is_none() && reply.headers_filtered => {
                let what = "The browser does not show the X-Export-Status header, which holds the state of the export.";
                Err(Error::new(ErrorKind::HiddenHeader, "status", what)
                    .with_hint("The server must list it in Access-Control-Expose-Headers."))
            }
            _ => {
                let what =
                    "The server agreed to separate-export-status, but sends no X-Export-Status that can be read.";
                Err(Error::new(ErrorKind::Protocol, "status", what))
            }
        }
    }

    fn running(&mut self, reply: &Reply, random: f64, resolve: Resolve<'_>) -> Step {
        self.failures = 0;
        // A partial manifest is welcome whether or not it was asked for (E10). Anything else with a 202 says nothing.
        if !reply.body.is_empty()
            && let Ok(page) = read_page(reply, resolve)
        {
            let next = page.next.clone();
            if let Err(error) = self.record(reply, page) {
                return Step::Failed(error);
            }
            if next.is_some() {
                return self.follow(next);
            }
        }
        let asked = reply.retry_after();
        let own = if asked.is_some() {
            self.floor
        } else {
            let own = self.delay.max(self.floor);
            self.delay = own.mul_f64(GROWTH).min(self.config.max_delay);
            own.mul_f64(1.0 + 0.1 * random).min(self.config.max_delay)
        };
        Step::Wait(Pause {
            wait: wait(own, asked, self.config.max_delay),
            reason: "status",
            progress: progress(reply),
            message: self.capped(asked),
            error: None,
        })
    }

    fn complete(&mut self, reply: &Reply, resolve: Resolve<'_>) -> Step {
        self.failures = 0;
        match read_page(reply, resolve) {
            Ok(page) => {
                let next = page.next.clone();
                match self.record(reply, page) {
                    Ok(()) => self.follow(next),
                    Err(error) => Step::Failed(error),
                }
            }
            // D13: "complete" without a manifest is a failure, whatever else it is.
            Err(NotAManifest::Outcome(outcome)) => Step::Failed(
                Error::new(
                    ErrorKind::Server,
                    "status",
                    format!("The export ended with an OperationOutcome in place of a manifest: {}", outcome.text()),
                )
                .with_status(reply.status),
            ),
            Err(NotAManifest::Other(what)) => Step::Failed(
                Error::new(
                    ErrorKind::Protocol,
                    "status",
                    format!("The server says that the export is complete, but in place of a manifest it sent {what}."),
                )
                .with_status(reply.status)
                .with_hint("Do the same again to look once more."),
            ),
        }
    }

    fn record(&mut self, reply: &Reply, page: Page) -> Result<()> {
        let expires = reply.headers.get("expires").and_then(http_date);
        let notices =
            self.merger.add(&self.url, page, expires).map_err(|why| Error::new(ErrorKind::Protocol, "status", why))?;
        self.notices.extend(notices);
        Ok(())
    }

    /// Goes on to the next page, which is polled like the first (E08, E09), or ends.
    fn follow(&mut self, next: Option<String>) -> Step {
        let Some(next) = next else { return Step::Done };
        let files = self.manifest().files.len();
        self.empty_pages = if files > self.files_before { 0 } else { self.empty_pages + 1 };
        self.files_before = files;
        let circle = !self.pages_seen.insert(next.clone());
        if circle || self.empty_pages > MAX_EMPTY_PAGES {
            let why = if circle { "link in a circle" } else { "go on without end and without files" };
            let message = format!("The pages of the manifest {why} (at {}).", redact::url(&next));
            return Step::Failed(
                Error::new(ErrorKind::Protocol, "status", message)
                    .with_hint("Files listed so far can be fetched, but the server may have more."),
            );
        }
        self.url = next;
        self.delay = FLOOR.min(self.config.max_delay);
        Step::Wait(Pause { reason: "status", ..Pause::default() })
    }

    fn slow_down(&mut self, reply: &Reply) -> Step {
        self.throttled += 1;
        if self.throttled > MAX_THROTTLED {
            let error = refusal("status", reply).retryable();
            return Step::Failed(
                error.with_hint("The server goes on refusing; run the same command again later to resume."),
            );
        }
        self.floor = (self.floor * 2).min(self.config.max_delay);
        self.delay = self.delay.max(self.floor);
        let asked = reply.retry_after();
        Step::Wait(Pause {
            wait: wait(self.floor, asked, self.config.max_delay),
            reason: "throttled",
            progress: None,
            message: Some("The server asks to be polled less often (429).".to_owned()),
            error: Some(refusal("status", reply)),
        })
    }

    fn refused(&mut self, reply: &Reply, status: u16, of_job: bool) -> Step {
        if of_job {
            let mut error = refusal_as("status", reply, status);
            error.kind = ErrorKind::Server;
            return Step::Failed(failed_job(error));
        }
        let mut error = refusal("status", reply);
        let outcome = Outcome::read(&reply.body);
        let transient = outcome.as_ref().is_some_and(Outcome::is_transient);
        match status {
            404 | 410 => {
                error.kind = ErrorKind::Gone;
                Step::Failed(error.with_hint("The server no longer knows this export; start a new one."))
            }
            401 | 403 => Step::Failed(error),
            _ if transient => self.trouble(error, reply.retry_after()),
            408 | 425 | 502 | 503 | 504 => self.trouble(error, reply.retry_after()),
            // With separate status, this tells nothing of the job (D12).
            400.. if self.config.separate_status => self.trouble(error, reply.retry_after()),
            // An OperationOutcome that is not transient is the end of the job (D09); anything else may be a proxy (D11).
            500.. if outcome.is_none() && status != 501 => self.trouble(error, reply.retry_after()),
            400.. => Step::Failed(failed_job(error)),
            _ => {
                error.kind = ErrorKind::Protocol;
                Step::Failed(error.with_hint("The state of an export is told by 200 or 202."))
            }
        }
    }

    /// A failure that may pass: waits the next of the retry delays, or gives up.
    fn trouble(&mut self, error: Error, asked: Option<Duration>) -> Step {
        let Some(own) = self.config.retry_delays.get(self.failures).copied() else {
            let hint = "The export may still go on at the server; run the same command again to resume.";
            return Step::Failed(error.retryable().with_hint(hint));
        };
        self.failures += 1;
        Step::Wait(Pause {
            // The cap is for what servers ask; our own delay was chosen by the user.
            wait: wait(own, asked, self.config.max_delay.max(own)),
            reason: "retry",
            progress: None,
            message: Some(error.message.clone()),
            error: Some(error),
        })
    }

    fn capped(&self, asked: Option<Duration>) -> Option<String> {
        let (asked, cap) = (asked?, self.config.max_delay);
        (asked > cap).then(|| {
            format!("The server asks to wait {}; looking again after {} (--max-poll-delay).", human(asked), human(cap))
        })
    }
}

fn read_page(reply: &Reply, resolve: Resolve<'_>) -> Result<Page, NotAManifest> {
    Page::read(&reply.body, &|reference| {
        resolve(reference, &reply.url).map_err(|e| format!("is of no use: {}", e.message))
    })
}

fn failed_job(error: Error) -> Error {
    error.with_hint("The export has failed on the server; run the command again to start a new one.")
}

fn deadline(config: &PollConfig) -> Error {
    let message = format!(
        "Timed out waiting for the bulk FHIR export to finish. It took longer than {} (--poll-timeout).",
        human(config.timeout)
    );
    Error::new(ErrorKind::Deadline, "status", message)
        .retryable()
        .with_hint("The export may still go on at the server; run the same command again to resume.")
}

fn progress(reply: &Reply) -> Option<String> {
    let text = clean(reply.headers.get("x-progress")?);
    let text = text.trim_matches('"').trim();
    (!text.is_empty()).then(|| text.chars().take(200).collect())
}

/// `90s`, `5m`, `2h`, `30d`.
fn human(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    let (millis_per, unit) = match millis / 1000 {
        ..120 => (1000, "s"),
        120..7200 => (60_000, "m"),
        7200..172_800 => (3_600_000, "h"),
        _ => (86_400_000, "d"),
    };
    let tenths = (millis * 10 + millis_per / 2) / millis_per;
    let fraction = if tenths.is_multiple_of(10) { String::new() } else { format!(".{}", tenths % 10) };
    format!("{}{fraction}{unit}", tenths / 10)
}
