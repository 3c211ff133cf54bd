//! Bulk Data `$export`: kick-off, status, manifest, download, clean-up.

pub mod cleanup;
pub mod download;
pub mod groups;
pub mod kickoff;
pub mod manifest;
pub mod poll;
mod room;

use crate::fhir::outcome;
use crate::http::{Presented, Reply, redact};
use crate::{Error, ErrorKind};

/// The error for an answer that refuses, with the server's own words (C14, D10).
pub(crate) fn refusal(operation: &'static str, reply: &Reply) -> Error {
    refusal_as(operation, reply, reply.status)
}

/// As [`refusal`], for a status that was told in another way than as that of the answer.
pub(crate) fn refusal_as(operation: &'static str, reply: &Reply, status: u16) -> Error {
    let kind = match status {
        401 | 403 => ErrorKind::Auth,
        404 => ErrorKind::NotFound,
        410 => ErrorKind::Gone,
        _ => ErrorKind::Server,
    };
    let text = outcome::readable(&reply.body).unwrap_or_else(|| "The server gives no reason.".to_owned());
    let message = format!("An error occurred when connecting to \"{}\": [{status}] {text}", redact::url(&reply.url));
    let error = Error::new(kind, operation, message).with_status(status);
    match status {
        401 if reply.credentials == Presented::Nothing => {
            error.with_hint("Give credentials: --smart-client-id with --smart-key, --bearer-token, or --basic-user.")
        }
        401 if reply.credentials == Presented::Withheld => error.with_hint(
            "The request went without the token, because that origin is not the FHIR server's; allow it with --token-origin \
             if you trust it.",
        ),
        401 => error.with_hint("Check the credentials and their registration with the server."),
        403 => error.with_hint("The credentials are valid but not allowed to do this; check the scopes that were granted."),
        _ => error,
    }
}
