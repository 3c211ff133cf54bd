//! Sends the request for a file: headers, credentials and redirects of one try.

use crate::http::{redact, redirect, url};
use crate::platform::http::Headers;
use crate::platform::transfer::TransferTask;
use crate::platform::{Http, HttpError, HttpErrorKind, Request, Response};
use crate::{Error, ErrorKind, Result};

/// How sending went.
pub(super) enum Sent<B> {
    /// An answer that is no redirect.
    Answer(Response<B>),
    /// A redirect that is not followed: its status and why.
    Stopped(u16, String),
    /// No answer.
    Failed(HttpError),
}

/// Which part of the file is asked for.
pub(super) enum Part<'a> {
    /// All of it; gzip is welcome.
    Whole,
    /// From this byte on, if the file is still the one with this validator.
    From(u64, &'a str),
}

/// Sends the request for `task`'s file and follows redirects. Credentials are decided on anew at each hop (F05).
pub(super) async fn send<H: Http>(http: &H, task: &TransferTask, part: &Part<'_>) -> Result<Sent<H::Body>> {
    if let Err(why) = url::parse(&task.url) {
        // F12: a manifest may name a file: URL, or worse.
        let message = format!("the address {why}");
        return Ok(Sent::Failed(HttpError::new(HttpErrorKind::Invalid, message)));
    }
    refuse_open_wire(task)?;
    let mut target = task.url.clone();
    let mut hops = 0;
    loop {
        let response = match task.relay.send(http, request(task, &target, part)).await {
            Ok(response) => response,
            Err(error) => return Ok(Sent::Failed(error)),
        };
        if !redirect::is_redirect(response.status) {
            return Ok(Sent::Answer(response));
        }
        let Some(location) = response.headers.get("location") else {
            return Ok(Sent::Stopped(response.status, "a redirect without a Location".to_owned()));
        };
        if hops == redirect::MAX_HOPS {
            return Ok(Sent::Stopped(response.status, format!("more than {} redirects", redirect::MAX_HOPS)));
        }
        hops += 1;
        target = match redirect::next_hop(&target, location) {
            Ok(target) => target,
            Err(error) => return Ok(Sent::Stopped(response.status, error.message.clone())),
        };
    }
}

/// A file that asks for a token over plain http is not fetched at all: without the token it would only be refused.
fn refuse_open_wire(task: &TransferTask) -> Result<()> {
    let trusted = url::origin(&task.url).is_some_and(|origin| task.credential_origins.contains(&origin));
    let may = redirect::may_send_credentials(&task.url, &task.credential_origins, task.allow_insecure);
    if task.credentials.is_empty() || !trusted || may {
        return Ok(());
    }
    let message = format!("{} is plain http, and the token would be open to read on the way.", redact::url(&task.url));
    Err(Error::new(ErrorKind::Insecure, "download", message)
        .with_hint("Use https, or allow it with --allow-insecure where the network is trusted."))
}

fn request(task: &TransferTask, target: &str, part: &Part<'_>) -> Request {
    let given = Headers(task.headers.clone());
    let accept = given.get("accept").unwrap_or("application/fhir+ndjson");
    let mut request = Request::get(target).header("Accept", accept);
    request.timeout = std::time::Duration::from_millis(task.timeout_millis);
    match part {
        Part::Whole => request = request.header("Accept-Encoding", "gzip"),
        Part::From(offset, validator) => {
            request = request
                .header("Accept-Encoding", "identity")
                .header("Range", format!("bytes={offset}-"))
                .header("If-Range", *validator);
        }
    }
    if url::origin(target) == url::origin(&task.url) {
        let ours = ["accept", "accept-encoding", "range", "if-range"];
        let is_ours = |name: &str| ours.iter().any(|own| own.eq_ignore_ascii_case(name));
        request.headers.extend(task.headers.iter().filter(|(name, _)| !is_ours(name)).cloned());
    }
    if redirect::may_send_credentials(target, &task.credential_origins, task.allow_insecure) {
        request.headers.extend(task.credentials.iter().cloned());
    }
    request
}
