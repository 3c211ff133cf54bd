//! Whether there is a folder at all, for jobs that read one.

use crate::platform::Storage;
use crate::{Error, Result};

/// Sees to it that the folder that a job reads is there, before anything is made or sent: a name that was mistyped must not pass
/// for a folder in which there is nothing to do. An empty folder is one. `label`: what the caller calls it.
///
/// # Errors
/// A usage error.
pub(crate) async fn require<S: Storage>(storage: &S, label: Option<&str>) -> Result<()> {
    let wrong = |message: String| {
        Err(Error::usage(message).with_hint("Give a folder that an export, a crawl or a merge has made."))
    };
    match storage.stat("").await? {
        Some(entry) if entry.is_dir => Ok(()),
        Some(_) => wrong(format!("Expected a folder, but '{}' is a file.", label.unwrap_or("it"))),
        None => wrong(label.map_or_else(
            || "There is no such folder.".to_owned(),
            |label| format!("Local folder '{label}' does not exist."),
        )),
    }
}
