//! The one error type of the crate.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request made no sense: a wrong flag, value or combination. Found before anything was sent.
    Usage,
    /// Credentials are missing, were refused, or do not cover what was asked (401, 403, OAuth errors).
    Auth,
    /// The server says there is no such thing (404).
    NotFound,
    /// The job or file existed and is gone (410, or a 404 for a job that was running).
    Gone,
    /// The server refused or failed the request (other 4xx and 5xx), with its own words in the message.
    Server,
    /// The server broke the protocol: no `Content-Location`, HTML for FHIR, a manifest that is none.
    Protocol,
    /// The server could not be reached, or the connection broke, and retries did not help.
    Network,
    /// A header that is needed is hidden by CORS; the message names the header and the server setting that cures it.
    HiddenHeader,
    /// A token would have gone where it must not go (plain http, another origin).
    Insecure,
    /// The disk or the browser's quota is full.
    Quota,
    /// Reading or writing the folder failed.
    Storage,
    /// Another job holds the folder.
    Locked,
    /// The folder holds something else: another kind, other filters, another server.
    Mismatch,
    /// Data that was received or stored is damaged: a torn file, a wrong count, broken JSON.
    Corrupt,
    /// The host lacks something that is needed.
    Unsupported,
    /// A deadline set by the caller passed.
    Deadline,
    /// The caller cancelled the job.
    Cancelled,
}

/// An error: its kind, what was being done, what happened to what, and what to do next. Boxed, because it is part of nearly
/// every result, and moving what is large on every way out makes much code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Error(Box<ErrorInfo>);

/// What an [`Error`] says; read through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorInfo {
    /// What the caller can act on.
    pub kind: ErrorKind,
    /// The step that failed, such as `kick-off` or `download`.
    pub operation: String,
    /// One sentence or more, without any token, key or query of a signed URL. Options are called by their flags, here and in
    /// all that is told: hosts other than the command line put their own names in the place of those.
    pub message: String,
    /// Whether doing the same again later could help.
    pub retry: bool,
    /// The HTTP status that caused it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What to do next, shown after the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Error {
    /// An error of `kind` in `operation`; not worth a retry unless [`Error::retryable`] says so.
    pub fn new(kind: ErrorKind, operation: impl Into<String>, message: impl Into<String>) -> Self {
        let (operation, message) = (operation.into(), message.into());
        Self(Box::new(ErrorInfo { kind, operation, message, retry: false, status: None, hint: None }))
    }

    /// A usage error: exit status 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, "options", message)
    }

    /// Marks the error as one that a later try could cure.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retry = true;
        self
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, of another step.
    #[must_use]
    pub(crate) fn in_operation(mut self, operation: &str) -> Self {
        operation.clone_into(&mut self.operation);
        self
    }

    /// The same error in other words.
    #[must_use]
    pub(crate) fn reworded(mut self, words: impl FnOnce(&str) -> String) -> Self {
        self.message = words(&self.message);
        self
    }

    /// The exit status of DESIGN §6: 2 usage, 130 cancelled, else 1.
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage => 2,
            ErrorKind::Cancelled => 130,
            _ => 1,
        }
    }
}

impl Deref for Error {
    type Target = ErrorInfo;

    fn deref(&self) -> &ErrorInfo {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut ErrorInfo {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
