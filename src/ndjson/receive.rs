//! Pulls the body of a file, and takes up a broken one again where that is safe (F08, F10).

use std::time::Duration;

use super::request::{self, Part, Sent};
use crate::Result;
use crate::platform::http::Headers;
use crate::platform::transfer::TransferTask;
use crate::platform::{Body, BodyCoding, Clock, Http, HttpError, HttpErrorKind, Response};

/// How often a body is taken up again without any byte in between.
const MAX_RESUMES: u32 = 3;

/// The wait before.
const PAUSE: Duration = Duration::from_secs(1);

/// The body of one file.
pub(super) struct Receiver<'a, H: Http, C: Clock> {
    http: &'a H,
    clock: &'a C,
    task: &'a TransferTask,
    /// The response before it was last taken up.
    body: H::Body,
    /// Bytes received.
    pub(super) received: u64,
    /// `Content-Length`, where it counts these bytes.
    length: Option<u64>,
    /// What to ask the server for a part with; `None` if a part could be of another file.
    validator: Option<String>,
    resumes: u32,
}

impl<'a, H: Http, C: Clock> Receiver<'a, H, C> {
    /// Pulls the body of `response`, the answer to a request for all of `task`'s file.
    pub(super) fn new(http: &'a H, clock: &'a C, task: &'a TransferTask, response: Response<H::Body>) -> Self {
        let counted = response.coding != BodyCoding::DecodedByHost;
        let length = response.headers.get("content-length").filter(|_| counted);
        Self {
            http,
            clock,
            task,
            length: length.and_then(|text| text.trim().parse().ok()),
            validator: validator(&response),
            body: response.body,
            received: 0,
            resumes: 0,
        }
    }

    /// The next chunk; `None` at the end of a body that is as long as announced.
    pub(super) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            let error = match self.body.chunk().await {
                Ok(Some(chunk)) => {
                    self.received += chunk.len() as u64;
                    self.resumes = 0;
                    return Ok(Some(chunk));
                }
                Ok(None) => match self.length {
                    Some(length) if self.received != length => {
                        let message = format!("{} of {length} bytes came", self.received);
                        HttpError::new(HttpErrorKind::Interrupted, message)
                    }
                    _ => return Ok(None),
                },
                Err(error) => error,
            };
            self.resume(error).await?;
        }
    }

    /// Asks for the rest after `error`; the error itself if that cannot be.
    async fn resume(&mut self, error: HttpError) -> Result<(), HttpError> {
        let broken = matches!(error.kind, HttpErrorKind::Interrupted | HttpErrorKind::Timeout);
        let too_long = self.length.is_some_and(|length| self.received >= length);
        let Some(validator) = self.validator.clone().filter(|_| broken && !too_long && self.received > 0) else {
            return Err(error);
        };
        while self.resumes < MAX_RESUMES {
            self.resumes += 1;
            self.clock.sleep(PAUSE).await;
            let part = Part::From(self.received, &validator);
            match request::send(self.http, self.task, &part).await {
                Ok(Sent::Answer(response)) if self.continues(&response, &validator) => {
                    self.body = response.body;
                    return Ok(());
                }
                // Not reached: worth another try. Anything else is another file, or no file: it starts anew.
                Ok(Sent::Failed(_)) => {}
                _ => return Err(error),
            }
        }
        Err(error)
    }

    /// Whether a response is the rest of this very file.
    fn continues(&self, response: &Response<H::Body>, validator: &str) -> bool {
        let range = response.headers.get("content-range").and_then(content_range);
        let same_file =
            response.headers.get("etag").is_none_or(|etag| !validator.starts_with('"') || etag == validator);
        let fits = |(from, to, total): (u64, u64, Option<u64>)| {
            // The range has to reach to the end, or the next break would go unseen.
            let to_the_end = total.is_some_and(|total| to + 1 == total);
            let same_length = self.length.is_none_or(|length| total == Some(length));
            from == self.received && to_the_end && same_length
        };
        response.status == 206 && response.coding == BodyCoding::Identity && same_file && range.is_some_and(fits)
    }
}

/// The validator of a response whose body can be had in parts: identity coding, `Accept-Ranges: bytes`, and a strong ETag
/// or a date (RFC 9110 §13.1.5, §14).
fn validator<B>(response: &Response<B>) -> Option<String> {
    let headers = &response.headers;
    let ranges = headers.get("accept-ranges").is_some_and(|value| value.eq_ignore_ascii_case("bytes"));
    if response.coding != BodyCoding::Identity || !ranges || is_encoded(headers) {
        return None;
    }
    let etag = headers.get("etag").filter(|etag| etag.starts_with('"'));
    etag.or_else(|| strong_date(headers)).map(str::to_owned)
}

/// `Last-Modified`, if it is a strong validator: it differs from `Date`, so the file was not changed in the second in which
/// it was sent (RFC 9110 §8.8.2.2).
fn strong_date(headers: &Headers) -> Option<&str> {
    let modified = headers.get("last-modified")?;
    headers.get("date").is_some_and(|date| date != modified).then_some(modified)
}

/// Whether the headers name a content coding.
pub(super) fn is_encoded(headers: &Headers) -> bool {
    headers.all("content-encoding").any(|value| !value.is_empty() && !value.eq_ignore_ascii_case("identity"))
}

/// `bytes FROM-TO/TOTAL`.
fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?, total.parse().ok()))
}
