//! What the server says to a kick-off.

use super::Kickoff;
use crate::bulk::refusal;
use crate::fhir::outcome::{Outcome, readable};
use crate::http::{Reply, redact};
use crate::platform::Method;
use crate::{Error, ErrorKind, Result};

/// Reads the answer (C13 to C15). `resolve` makes the status URL absolute; `separate_asked` is whether
/// `separate-export-status` was asked for.
pub(super) fn read(
    reply: &Reply,
    method: Method,
    separate_asked: bool,
    resolve: impl Fn(&str) -> Result<String>,
) -> Result<Kickoff> {
    match reply.status {
        202 => {}
        status if status >= 400 => return Err(refusal("kick-off", reply)),
        status => {
            let text = readable(&reply.body).map_or_else(String::new, |text| format!(" It sent: {text}"));
            let message = format!("Unexpected status code {status} from the bulk FHIR export server.{text}");
            return Err(Error::new(ErrorKind::Protocol, "kick-off", message)
                .with_status(status)
                .with_hint("An export is accepted with 202; check that the FHIR URL is that of the FHIR API itself."));
        }
    }
    let Some(location) = reply.headers.get("content-location").map(str::trim).filter(|l| !l.is_empty()) else {
        return Err(no_location(reply));
    };
    let status_url = resolve(location)?;
    let applied = reply
        .headers
        .all("preference-applied")
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("separate-export-status"));
    Ok(Kickoff {
        status_url,
        method,
        server_messages: Outcome::read(&reply.body).unwrap_or_default().issues,
        separate_status: separate_asked && applied,
    })
}

fn no_location(reply: &Reply) -> Error {
    let url = redact::url(&reply.url);
    if reply.headers_filtered {
        let message = format!(
            "The server accepted the export ({url}), but the browser does not show the Content-Location header, which says \
             where to ask for its state."
        );
        return Error::new(ErrorKind::HiddenHeader, "kick-off", message).with_status(202).with_hint(
            "The server must send 'Access-Control-Expose-Headers: Content-Location, Retry-After, X-Progress, Expires' with its \
             answers; until it does, use the command line, or the relay of 'smart-fetch serve'.",
        );
    }
    let message = format!(
        "The server accepted the export ({url}) without a Content-Location header, so nobody can ask for its state."
    );
    Error::new(ErrorKind::Protocol, "kick-off", message)
        .with_status(202)
        .with_hint("That is a fault of the server, or of a proxy that drops the header.")
}
