//! `--cancel`: ends a job on the server that a folder still waits for.

use crate::bulk::cleanup;
use crate::config::BulkConfig;
use crate::event::Event;
use crate::folder::{JobState, OutputFolder};
use crate::http::{Client, Retry};
use crate::platform::{Observer, Platform};
use crate::{Error, ErrorKind, Result};

/// Cancels the folder's job on the server. What was fetched stays; the next run starts a new job.
///
/// # Errors
/// `NotFound` if the folder waits for no job.
pub async fn cancel_bulk<P: Platform>(platform: &P, config: &BulkConfig) -> Result<()> {
    let folder = OutputFolder::open(platform).await?;
    let Some(status_url) = folder.metadata().text("bulk-status").map(str::to_owned) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            "cancel",
            "You provided --cancel but no in-progress bulk export was found in the folder.",
        ));
    };
    let client =
        Client::new(platform, &config.server, super::bulk::scopes(config)?)?.with_max_wait(config.max_poll_delay);
    let status_url = client.resolve(&status_url, client.base())?;
    let deleted = cleanup::delete(&client, &status_url, Retry::Full).await;
    if deleted.is_gone() {
        folder.change(|metadata| metadata.remove("bulk-status"));
        folder.change_job(|job| job.end(JobState::Abandoned));
        folder.save().await?;
        platform.observer().event(Event::Note { message: "The export job was cancelled.".into() });
        return Ok(());
    }
    let message = deleted.message().unwrap_or_default();
    Err(Error::new(ErrorKind::Server, "cancel", message).with_hint("Do the same again later."))
}
