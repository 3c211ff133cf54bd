//! Calls without knowledge of how credentials come about: hops, retries, bodies.

use std::cell::Cell;

use super::relay::Relay;
use super::retry::{Failure, Pause, RetryPolicy};
use super::{Call, CallAuth, Permit, Politeness, Presented, Reply, Retry, parse_retry_after, redact, redirect, url};
use crate::event::Event;
use crate::fhir::instant::http_date;
use crate::ndjson::Decoder;
use crate::platform::{Body, BodyCoding, Clock, HttpError, HttpErrorKind, Method, Observer, Platform, Random, Request};
use crate::{Error, ErrorKind, Result};

/// Headers, credentials among them.
pub(crate) type HeaderList = Vec<(String, String)>;

/// Where the credentials of a call come from.
pub(crate) trait Credentials<P: Platform> {
    /// The credentials to send now.
    async fn current(&self, wire: &Wire<'_, P>) -> Result<HeaderList>;
    /// A 401 was the answer to `used`; whether one more try makes sense.
    fn refused(&self, used: &[(String, String)]) -> bool;
}

/// No credentials.
pub(crate) struct Anonymous;

impl<P: Platform> Credentials<P> for Anonymous {
    async fn current(&self, _wire: &Wire<'_, P>) -> Result<HeaderList> {
        Ok(Vec::new())
    }

    fn refused(&self, _used: &[(String, String)]) -> bool {
        false
    }
}

/// Everything of a client but its credentials.
pub(crate) struct Wire<'p, P: Platform> {
    pub(crate) platform: &'p P,
    pub(crate) base: String,
    /// The origin of `base`.
    pub(crate) origin: String,
    pub(crate) allow_insecure: bool,
    /// For `origin` only.
    pub(crate) headers: HeaderList,
    pub(crate) epic_client_id: Option<String>,
    pub(crate) is_epic: Cell<bool>,
    /// Origins that may see credentials.
    pub(crate) origins: Vec<String>,
    pub(crate) rewrite_urls: Vec<(String, String)>,
    pub(crate) relay: Relay,
    pub(crate) politeness: Politeness<'p, P>,
    pub(crate) retry: RetryPolicy,
    /// How far the FHIR server's clock is behind ours, in milliseconds, where it has told.
    pub(crate) behind: Cell<Option<i64>>,
}

/// How one try ended: with an answer, or without.
type Attempt<'a, P> = std::result::Result<(Reply, Permit<'a, P>), HttpError>;

impl<P: Platform> Wire<'_, P> {
    /// Makes a call, with retries.
    pub(crate) async fn send(&self, call: &Call, credentials: &impl Credentials<P>) -> Result<Reply> {
        let brief = self.retry.brief();
        let mut tries = if call.retry == Retry::Brief { brief.tries() } else { self.retry.tries() };
        let mut first_contact = brief.tries();
        let mut renewed = false;
        let mut count = 0;
        loop {
            let headers = match call.auth {
                CallAuth::Fhir => credentials.current(self).await?,
                CallAuth::None => Vec::new(),
            };
            count += 1;
            let (pause, what) = match self.once(call, &headers, true).await? {
                Ok((reply, permit)) if reply.status == 401 => {
                    permit.succeeded();
                    if renewed || reply.credentials != Presented::Sent || !credentials.refused(&headers) {
                        return Ok(reply);
                    }
                    renewed = true;
                    continue;
                }
                Ok((reply, permit)) => {
                    renewed = false;
                    let failure = failure_of_reply(call.retry, &reply);
                    let pause = failure.and_then(|f| tries.after(f, self.successes(&reply.url), self.jitter()));
                    let pause = pause.filter(|p| call.retry != Retry::Brief || p.wait <= RetryPolicy::LONGEST_BRIEF);
                    self.settle(permit, &reply, pause);
                    match pause {
                        None => return Ok(reply),
                        Some(pause) => (pause, format!("{} answered {}", redact::url(&reply.url), reply.status)),
                    }
                }
                Err(error) => {
                    let reached = self.politeness.answered(&call.url);
                    let tries =
                        if reached || error.kind == HttpErrorKind::Timeout { &mut tries } else { &mut first_contact };
                    let pause = failure_of_error(call.retry, &error).and_then(|f| tries.after(f, 0, self.jitter()));
                    match pause {
                        None => return Err(no_answer(call.operation, &call.url, &error, count)),
                        Some(pause) => (pause, format!("No answer from {}: {error}", redact::url(&call.url))),
                    }
                }
            };
            self.pause(pause, format!("{what} ({}).", call.operation)).await;
        }
    }

    /// One try: the hops of one request. With `follow` off, a redirect is the answer.
    pub(crate) async fn once(
        &self,
        call: &Call,
        credentials: &[(String, String)],
        follow: bool,
    ) -> Result<Attempt<'_, P>> {
        let (mut method, mut body, mut target) = (call.method, call.body.clone(), call.url.clone());
        for _ in 0..=redirect::MAX_HOPS {
            let politeness = &self.politeness;
            let permit =
                if call.aside { politeness.admit_aside(&target).await } else { politeness.admit(&target).await };
            let may_send = || redirect::may_send_credentials(&target, &self.origins, self.allow_insecure);
            let presented = match credentials {
                [] => Presented::Nothing,
                _ if may_send() => Presented::Sent,
                _ => Presented::Withheld,
            };
            let mut request = Request::new(method, target.clone());
            request.timeout = call.timeout;
            request.headers = self.request_headers(call, &target, body.is_some());
            if presented == Presented::Sent {
                request.headers.extend_from_slice(credentials);
            }
            request.body.clone_from(&body);
            let mut response = match self.relay.send(self.platform.http(), request).await {
                Ok(response) => response,
                Err(error) => return Ok(Err(error)),
            };
            permit.answered();
            let location =
                response.headers.get("location").filter(|_| follow && redirect::is_redirect(response.status));
            if let Some(location) = location {
                let next = self.next_hop(&target, location, call.operation)?;
                if response.status == 303 {
                    (method, body) = (Method::Get, None);
                }
                if body.is_some() && !redirect::may_send_credentials(&next, &self.origins, self.allow_insecure) {
                    return Err(body_astray(call.operation, &target, &next));
                }
                permit.succeeded();
                target = next;
                continue;
            }
            let at_millis = self.platform.clock().now_millis();
            if self.behind.get().is_none() && self.is_fhir_origin(&target) {
                self.behind.set(response.headers.get("date").and_then(http_date).map(|date| at_millis - date));
            }
            let too_large = || too_large(call.operation, &target, call.max_body);
            let (coding, mut body, mut pieces) = (response.coding, Vec::new(), Vec::new());
            if call.in_pieces && (200..300).contains(&response.status) {
                match read_pieces(&mut response.body, coding, call.max_body).await {
                    Ok(read) => pieces = read.ok_or_else(too_large)?,
                    Err(error) => return Ok(Err(error)),
                }
            } else {
                match read(&mut response.body, coding, call.max_body).await {
                    Ok(read) => body = read.ok_or_else(too_large)?,
                    Err(error) => return Ok(Err(error)),
                }
            }
            let reply = Reply {
                status: response.status,
                headers: response.headers,
                headers_filtered: response.headers_filtered,
                url: response.final_url.unwrap_or(target),
                body,
                pieces,
                at_millis,
                credentials: presented,
            };
            return Ok(Ok((reply, permit)));
        }
        let message = format!("{} redirects more than {} times.", redact::url(&call.url), redirect::MAX_HOPS);
        Err(Error::new(ErrorKind::Protocol, call.operation, message))
    }

    fn request_headers(&self, call: &Call, target: &str, has_body: bool) -> HeaderList {
        let mut headers = vec![("Accept-Encoding".to_owned(), "gzip".to_owned())];
        let wanted = |name: &str| has_body || !name.eq_ignore_ascii_case("content-type");
        headers.extend(call.headers.iter().filter(|(name, _)| wanted(name)).cloned());
        if self.is_fhir_origin(target) {
            let own = self.fhir_headers();
            headers.retain(|(name, _)| !own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
            headers.extend(own);
        }
        headers
    }

    /// See [`Client::fhir_headers`](super::Client::fhir_headers).
    pub(crate) fn fhir_headers(&self) -> HeaderList {
        let mut headers = self.headers.clone();
        if let Some(id) = self.epic_client_id.as_ref().filter(|_| self.is_epic.get()) {
            headers.push(("Epic-Client-ID".to_owned(), id.clone()));
        }
        headers
    }

    pub(crate) fn is_fhir_origin(&self, url: &str) -> bool {
        // As it is written in the base URL, or else by what it means.
        url::root(url) == url::root(&self.base) || url::origin(url).is_some_and(|origin| origin == self.origin)
    }

    fn next_hop(&self, from: &str, location: &str, operation: &'static str) -> Result<String> {
        let target = url::resolve(location, from).map_err(|why| redirect::bad_target(from, why));
        let next = redirect::checked(from, self.rewrite(target?)?);
        next.map_err(|error| error.in_operation(operation))
    }

    /// Applies `--rewrite-url`.
    pub(crate) fn rewrite(&self, target: String) -> Result<String> {
        let rest_after = |from: &str| {
            let rest = target.strip_prefix(from)?;
            // `https://a` is no prefix of `https://a.example`.
            (from.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
        };
        let found = self.rewrite_urls.iter().find_map(|(from, to)| Some((to, rest_after(from)?)));
        let Some((to, rest)) = found else { return Ok(target) };
        let rewritten = format!("{to}{rest}");
        match url::parse(&rewritten) {
            Ok(_) => Ok(rewritten),
            Err(why) => {
                let shown = redact::url(&rewritten);
                Err(Error::usage(format!("--rewrite-url makes '{shown}' of an address of the server, which {why}.")))
            }
        }
    }

    /// Tells politeness how a request went.
    pub(crate) fn settle(&self, permit: Permit<'_, P>, reply: &Reply, pause: Option<Pause>) {
        match (reply.status, pause) {
            (429 | 503, Some(pause)) => permit.throttled(pause.gate.then_some(pause.wait)),
            (429 | 503, None) => permit.throttled(reply.retry_after().map(|asked| asked.min(self.retry.max_wait))),
            (408 | 500 | 502 | 504, _) => {}
            _ => permit.succeeded(),
        }
    }

    /// Says that we wait, and waits.
    pub(crate) async fn pause(&self, pause: Pause, message: String) {
        let reason = if pause.throttled { "throttled" } else { "retry" };
        self.platform.observer().event(Event::Waiting {
            reason: reason.to_owned(),
            millis: u64::try_from(pause.wait.as_millis()).unwrap_or(u64::MAX),
            progress: None,
            message: Some(redact::text(&message)),
        });
        self.platform.clock().sleep(pause.wait).await;
    }

    pub(crate) fn successes(&self, url: &str) -> u64 {
        self.politeness.successes(url)
    }

    /// A random number in `0.0..1.0`.
    pub(crate) fn jitter(&self) -> f64 {
        let mut bytes = [0; 4];
        self.platform.random().fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0
    }
}

fn failure_of_reply(retry: Retry, reply: &Reply) -> Option<Failure> {
    let asked = parse_retry_after(reply.headers.get("retry-after"), reply.headers.get("date"), reply.at_millis);
    match retry {
        Retry::Never => None,
        Retry::Full => Failure::of_status(reply.status, asked),
        Retry::Brief => Failure::of_status(reply.status, asked).map(|_| Failure::Failed(asked)),
        Retry::BeforeSending => {
            Failure::of_status(reply.status, asked).filter(|f| matches!(f, Failure::Throttled(Some(_))))
        }
    }
}

fn failure_of_error(retry: Retry, error: &HttpError) -> Option<Failure> {
    match retry {
        Retry::Never => None,
        Retry::Full | Retry::Brief => Failure::of_error(error),
        Retry::BeforeSending => Failure::of_unsent(error),
    }
}

/// Reads a body of at most `max` bytes, before and after decoding; `None` if it is longer.
async fn read(body: &mut impl Body, coding: BodyCoding, max: usize) -> std::result::Result<Option<Vec<u8>>, HttpError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        if bytes.len() + chunk.len() > max {
            return Ok(None);
        }
        // One piece, as a rule: then it is the body as it is.
        if bytes.is_empty() {
            bytes = chunk;
        } else {
            bytes.extend_from_slice(&chunk);
        }
    }
    if coding != BodyCoding::Gzip || bytes.is_empty() {
        return Ok(Some(bytes));
    }
    crate::ndjson::gunzip(&bytes, max)
        .map_err(|why| HttpError::new(HttpErrorKind::Interrupted, format!("the gzip body is damaged: {why}")))
}

/// As [`read`], in the pieces in which the body comes.
async fn read_pieces(
    body: &mut impl Body,
    coding: BodyCoding,
    max: usize,
) -> std::result::Result<Option<Vec<Vec<u8>>>, HttpError> {
    let damaged = |error: Error| HttpError::new(HttpErrorKind::Interrupted, error.message.clone());
    let mut decoder = (coding == BodyCoding::Gzip).then(Decoder::default);
    let (mut pieces, mut received, mut total) = (Vec::new(), 0, 0);
    while let Some(chunk) = body.chunk().await? {
        received += chunk.len();
        let Some(decoder) = &mut decoder else {
            total += chunk.len();
            pieces.push(chunk);
            if total > max {
                return Ok(None);
            }
            continue;
        };
        decoder.push(&chunk);
        loop {
            let plain = decoder.pull().map_err(damaged)?;
            total += plain.len();
            if plain.is_empty() {
                break;
            }
            if total > max {
                return Ok(None);
            }
            pieces.push(plain.to_vec());
        }
    }
    if let Some(decoder) = decoder.as_mut().filter(|_| received > 0) {
        pieces.push(decoder.finish().map_err(damaged)?.to_vec());
    }
    Ok(Some(pieces))
}

/// The error for a call that got no answer.
pub(crate) fn no_answer(operation: &'static str, url: &str, error: &HttpError, count: u32) -> Error {
    let tried = if count > 1 { format!(" (tried {count} times)") } else { String::new() };
    let message = format!("No answer from {}: {}{tried}.", redact::url(url), redact::text(&error.message));
    let (kind, hint) = match error.kind {
        HttpErrorKind::Connect => (ErrorKind::Network, "Check the address, the network and the proxy settings."),
        HttpErrorKind::Timeout | HttpErrorKind::Interrupted => (ErrorKind::Network, "Run the same again later."),
        HttpErrorKind::Tls => (
            ErrorKind::Network,
            "The certificate or TLS version (1.2 at least) is not acceptable; a private CA can be added with NODE_EXTRA_CA_CERTS.",
        ),
        HttpErrorKind::Blocked => (
            ErrorKind::Network,
            "The browser blocked the request: the server must allow this page's origin (CORS), or the network is down.",
        ),
        HttpErrorKind::Invalid => (ErrorKind::Protocol, "The address or a header cannot be sent."),
    };
    let result = Error::new(kind, operation, message).with_hint(hint);
    if error.is_transient() { result.retryable() } else { result }
}

fn too_large(operation: &'static str, url: &str, max: usize) -> Error {
    let message =
        format!("The answer of {} is larger than {max} bytes, which no such answer should be.", redact::url(url));
    Error::new(ErrorKind::Protocol, operation, message)
}

fn body_astray(operation: &'static str, from: &str, to: &str) -> Error {
    let message = format!(
        "{} redirects to {}, and the request's body is not sent to another origin.",
        redact::url(from),
        redact::url(to)
    );
    let origin = url::origin(to).unwrap_or_default();
    Error::new(ErrorKind::Insecure, operation, message)
        .with_hint(format!("If that origin belongs to the server, allow it with --token-origin {origin}."))
}
