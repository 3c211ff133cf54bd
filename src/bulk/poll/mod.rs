//! Waiting for the server: looks at the status until the manifest is whole.

mod machine;

use std::time::Duration;

pub use machine::{Pause, Poll, Seen, Step};

use crate::bulk::manifest::Manifest;
use crate::config::BulkConfig;
use crate::event::Event;
use crate::http::{Call, Client, Reply, Retry};
use crate::platform::{Clock, Observer, Platform};
use crate::{Error, Result};

/// The longest manifest that is taken, in bytes: some 200,000 files with signed URLs.
const MAX_MANIFEST: usize = 256 << 20;

/// How to poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollConfig {
    /// Longest wait between two looks.
    pub max_delay: Duration,
    /// Give up after this long.
    pub timeout: Duration,
    /// Waits after failures that may pass; their number is the number of retries.
    pub retry_delays: Vec<Duration>,
    /// Whether `separate-export-status` was agreed on.
    pub separate_status: bool,
}

impl PollConfig {
    /// As configured; `separate_status` comes from the kick-off.
    pub fn new(config: &BulkConfig, separate_status: bool) -> Self {
        Self {
            max_delay: config.max_poll_delay,
            timeout: config.poll_timeout,
            retry_delays: config.server.retry_delays(),
            separate_status,
        }
    }
}

/// What happened while polling; for the bulk export log and for starting downloads early.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The server listed more files, or one more page was read. What is listed is final.
    Manifest(&'a Manifest),
    /// A look at the status failed, for good or not.
    Failed {
        /// What went wrong.
        error: &'a Error,
        /// The answer, if there was one.
        reply: Option<&'a Reply>,
        /// What was listed so far. It is final, even if the rest cannot be had (E11).
        listed: &'a Manifest,
    },
}

/// Polls `status_url` until the job is done and returns the whole manifest, all pages merged. `on_progress` is awaited at
/// each event. On an error, what the last [`Progress::Failed`] shows as listed is final, but the run is incomplete (E11). Dropping
/// the future stops polling at once and loses nothing (D15).
pub async fn run<P: Platform>(
    client: &Client<'_, P>,
    status_url: &str,
    config: &PollConfig,
    mut on_progress: impl AsyncFnMut(Progress<'_>) -> Result<()>,
) -> Result<Manifest> {
    let observer = client.platform().observer();
    let resolve = |reference: &str, against: &str| client.resolve(reference, against);
    let mut poll = Poll::new(status_url, config.clone());
    let mut known = (0, 0);
    loop {
        let mut call = Call::get("status", poll.url()).header("Accept", "application/json").retry(Retry::Never);
        call.max_body = MAX_MANIFEST;
        let answer = client.send(call).await;
        let seen = match &answer {
            Ok(reply) => Seen::Reply(reply),
            Err(error) => Seen::Broken(error),
        };
        let step = poll.next(seen, client.platform().clock().now_millis(), client.jitter(), &resolve);
        let step = redacted(client, step);
        for notice in poll.take_notices() {
            observer.event(Event::Warning { code: notice.code.to_owned(), message: client.redact(&notice.message) });
        }
        let manifest = poll.manifest();
        if known != (manifest.files.len(), manifest.pages) {
            known = (manifest.files.len(), manifest.pages);
            observer.event(Event::Manifest {
                transaction_time: manifest.transaction_time.clone(),
                files: manifest.files.len() as u64,
                resources: manifest.announced(),
            });
            on_progress(Progress::Manifest(manifest)).await?;
        }
        let reply = answer.as_ref().ok();
        match step {
            Step::Done => return Ok(poll.into_manifest()),
            Step::Failed(error) => {
                on_progress(Progress::Failed { error: &error, reply, listed: poll.manifest() }).await?;
                return Err(error);
            }
            Step::Wait(pause) => {
                if let Some(error) = &pause.error {
                    on_progress(Progress::Failed { error, reply, listed: poll.manifest() }).await?;
                }
                pause_for(client, pause).await;
            }
        }
    }
}

/// Without secrets that a server may echo (B15).
fn redacted<P: Platform>(client: &Client<'_, P>, step: Step) -> Step {
    let clean = |error: Error| error.reworded(|message| client.redact(message));
    match step {
        Step::Failed(error) => Step::Failed(clean(error)),
        Step::Wait(pause) => Step::Wait(Pause {
            progress: pause.progress.map(|text| client.redact(&text)),
            message: pause.message.map(|text| client.redact(&text)),
            error: pause.error.map(clean),
            ..pause
        }),
        Step::Done => Step::Done,
    }
}

async fn pause_for<P: Platform>(client: &Client<'_, P>, pause: Pause) {
    if pause.wait.is_zero() {
        return;
    }
    client.platform().observer().event(Event::Waiting {
        reason: pause.reason.to_owned(),
        millis: u64::try_from(pause.wait.as_millis()).unwrap_or(u64::MAX),
        progress: pause.progress,
        message: pause.message,
    });
    client.platform().clock().sleep(pause.wait).await;
}
