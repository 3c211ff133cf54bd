//! DELETE of the status URL: cancels a job, or frees what a finished one occupies (G01, G02).

use crate::Error;
use crate::bulk::refusal;
use crate::http::{Call, Client, Retry};
use crate::platform::{Method, Platform};

/// How a DELETE went. After any of them nobody should ask for the status again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The server took it (202, 200 or 204).
    Deleted,
    /// There was nothing left (404, 410), which some servers say of every finished job.
    AlreadyGone,
    /// It did not work. Never fatal to an export that is finished.
    Failed(Error),
}

impl Cleanup {
    /// What to tell the user; `None` where there is nothing worth a line.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Deleted | Self::AlreadyGone => None,
            Self::Failed(error) => Some(format!("Failed to clean up export job on the server side: {error}")),
        }
    }

    /// Whether the server has forgotten the job.
    pub fn is_gone(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// Sends the DELETE, with the token where it may go. Call it after success only when every file is verified on disk.
/// `retry` is [`Retry::Full`] for a cancellation that the user waits for, [`Retry::Brief`] after a finished export.
pub async fn delete<P: Platform>(client: &Client<'_, P>, status_url: &str, retry: Retry) -> Cleanup {
    let call = Call::new("clean-up", Method::Delete, status_url).header("Accept", "application/fhir+json").retry(retry);
    match client.send(call).await {
        Ok(reply) if reply.is_success() => Cleanup::Deleted,
        Ok(reply) if matches!(reply.status, 404 | 410) => Cleanup::AlreadyGone,
        Ok(reply) => Cleanup::Failed(refusal("clean-up", &reply)),
        Err(error) => Cleanup::Failed(error),
    }
}
