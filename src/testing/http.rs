//! Scripted HTTP: replies by method and part of the URL, every request kept.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::VirtualClock;
use crate::platform::http::Headers;
use crate::platform::{Body, BodyCoding, Clock, Http, HttpError, HttpErrorKind, Request, Response};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body, in the chunks in which it comes.
    pub chunks: Vec<Vec<u8>>,
    /// Whether the connection breaks after the last chunk.
    pub cut: bool,
    /// A transport error in place of a response.
    pub error: Option<HttpError>,
    /// Time until the headers come.
    pub delay: Duration,
    /// Time before each chunk.
    pub chunk_delay: Duration,
    /// Whether the host hides headers (CORS).
    pub headers_filtered: bool,
    /// Whether the host has undone the coding (a browser).
    pub decoded_by_host: bool,
}

impl Reply {
    /// An empty reply.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            chunks: Vec::new(),
            cut: false,
            error: None,
            delay: Duration::ZERO,
            chunk_delay: Duration::ZERO,
            headers_filtered: false,
            decoded_by_host: false,
        }
    }

    /// A reply with a body in one chunk.
    pub fn bytes(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut reply = Self::new(status).header("Content-Type", content_type);
        if !body.is_empty() {
            reply.chunks.push(body);
        }
        reply
    }

    /// `application/fhir+json`.
    pub fn json(status: u16, body: &str) -> Self {
        Self::bytes(status, "application/fhir+json", body)
    }

    /// `application/fhir+ndjson`, status 200.
    pub fn ndjson(body: &str) -> Self {
        Self::bytes(200, "application/fhir+ndjson", body)
    }

    /// An OperationOutcome with one issue.
    pub fn outcome(status: u16, severity: &str, code: &str, text: &str) -> Self {
        let issue = serde_json::json!({"severity": severity, "code": code, "diagnostics": text});
        Self::json(status, &serde_json::json!({"resourceType": "OperationOutcome", "issue": [issue]}).to_string())
    }

    /// A transport error.
    pub fn error(kind: HttpErrorKind) -> Self {
        let mut reply = Self::new(0);
        reply.error = Some(HttpError::new(kind, format!("scripted {kind:?}")));
        reply
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the headers come after `delay`.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the body in chunks of `size` bytes, `gap` apart.
    #[must_use]
    pub fn in_chunks(mut self, size: usize, gap: Duration) -> Self {
        let all = self.chunks.concat();
        self.chunks = all.chunks(size).map(<[u8]>::to_vec).collect();
        self.chunk_delay = gap;
        self
    }

    /// Breaks the connection after the first `bytes` bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        let mut all = self.chunks.concat();
        all.truncate(bytes);
        self.chunks = if all.is_empty() { Vec::new() } else { vec![all] };
        self.cut = true;
        self
    }
}

/// A request that was seen.
#[derive(Clone)]
pub struct Seen {
    /// The request.
    pub request: Request,
    /// When, in milliseconds of virtual time.
    pub at: i64,
}

impl Seen {
    /// The first value of a request header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The request body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.request.body.as_deref().unwrap_or_default()).into_owned()
    }

    /// `GET https://…`
    pub fn line(&self) -> String {
        format!("{} {}", method(&self.request), self.request.url)
    }
}

type Handler = Box<dyn FnMut(&Request) -> Reply>;

enum Action {
    Queue(VecDeque<Reply>),
    Call(Handler),
}

struct Route {
    method: String,
    pattern: String,
    action: Action,
}

#[derive(Default)]
struct Inner {
    routes: Vec<Route>,
    seen: Vec<Seen>,
    active: u32,
    max_active: u32,
    busy: Option<(u32, Reply)>,
}

/// A server by script. Clones share the script.
#[derive(Clone)]
pub struct ScriptedHttp {
    clock: VirtualClock,
    inner: Rc<RefCell<Inner>>,
}

fn method(request: &Request) -> &'static str {
    match request.method {
        crate::platform::Method::Get => "GET",
        crate::platform::Method::Post => "POST",
        crate::platform::Method::Delete => "DELETE",
        crate::platform::Method::Options => "OPTIONS",
    }
}

impl ScriptedHttp {
    /// A server that answers 404 to everything.
    pub fn new(clock: VirtualClock) -> Self {
        Self { clock, inner: Rc::default() }
    }

    /// Answers requests of `method` whose URL contains `pattern`; the longest pattern wins. Several replies for the same
    /// pair are used in order, the last one again and again.
    pub fn on(&self, method: &str, pattern: &str, reply: Reply) -> &Self {
        let mut inner = self.inner.borrow_mut();
        for route in &mut inner.routes {
            if route.method == method && route.pattern == pattern {
                match &mut route.action {
                    Action::Queue(queue) => queue.push_back(reply),
                    Action::Call(_) => route.action = Action::Queue([reply].into()),
                }
                return self;
            }
        }
        inner.routes.push(Route {
            method: method.into(),
            pattern: pattern.into(),
            action: Action::Queue([reply].into()),
        });
        drop(inner);
        self
    }

    /// As [`ScriptedHttp::on`], with a function that makes the replies. Replaces what was said for the same pair.
    pub fn on_call(&self, method: &str, pattern: &str, handler: impl FnMut(&Request) -> Reply + 'static) -> &Self {
        let mut inner = self.inner.borrow_mut();
        inner.routes.retain(|r| r.method != method || r.pattern != pattern);
        inner.routes.push(Route {
            method: method.into(),
            pattern: pattern.into(),
            action: Action::Call(Box::new(handler)),
        });
        drop(inner);
        self
    }

    /// Forgets what was said for a pair.
    pub fn off(&self, method: &str, pattern: &str) -> &Self {
        self.inner.borrow_mut().routes.retain(|r| r.method != method || r.pattern != pattern);
        self
    }

    /// Answers `reply` to whatever comes while `most` requests are in flight.
    pub fn busy_above(&self, most: u32, reply: Reply) -> &Self {
        self.inner.borrow_mut().busy = Some((most, reply));
        self
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner.borrow().seen.clone()
    }

    /// The requests so far whose `GET https://…` line contains `pattern`.
    pub fn seen_with(&self, pattern: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|s| s.line().contains(pattern)).collect()
    }

    /// The most requests that were in flight at once, until the end of their bodies.
    pub fn max_active(&self) -> u32 {
        self.inner.borrow().max_active
    }
}

/// Counts a request as in flight until its body is dropped.
struct Flight(Rc<RefCell<Inner>>);

impl Flight {
    fn new(inner: &Rc<RefCell<Inner>>) -> Self {
        let mut borrowed = inner.borrow_mut();
        borrowed.active += 1;
        borrowed.max_active = borrowed.max_active.max(borrowed.active);
        drop(borrowed);
        Self(inner.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.borrow_mut().active -= 1;
    }
}

/// The body of a scripted reply.
pub struct ScriptedBody {
    clock: VirtualClock,
    chunks: VecDeque<Vec<u8>>,
    cut: bool,
    gap: Duration,
    timeout: Duration,
    _flight: Option<Flight>,
}

impl Body for ScriptedBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        if self.gap > self.timeout && !self.chunks.is_empty() {
            self.clock.sleep(self.timeout).await;
            return Err(HttpError::new(HttpErrorKind::Timeout, "no data in time"));
        }
        if !self.gap.is_zero() {
            self.clock.sleep(self.gap).await;
        }
        match self.chunks.pop_front() {
            Some(chunk) => Ok(Some(chunk)),
            None if self.cut => Err(HttpError::new(HttpErrorKind::Interrupted, "the connection was closed early")),
            None => Ok(None),
        }
    }
}

impl Http for ScriptedHttp {
    type Body = ScriptedBody;

    async fn send(&self, request: Request) -> Result<Response<ScriptedBody>, HttpError> {
        let busy = {
            let inner = self.inner.borrow();
            inner.busy.as_ref().filter(|(most, _)| inner.active >= *most).map(|(_, reply)| reply.clone())
        };
        // What is turned away takes no place.
        let flight = busy.is_none().then(|| Flight::new(&self.inner));
        let timeout = request.timeout;
        let scripted = || {
            let mut inner = self.inner.borrow_mut();
            let best = inner
                .routes
                .iter_mut()
                .filter(|r| r.method == method(&request) && request.url.contains(&r.pattern))
                .max_by_key(|r| r.pattern.len());
            match best.map(|r| &mut r.action) {
                None => Reply::bytes(404, "text/plain", "not scripted"),
                Some(Action::Queue(queue)) if queue.len() > 1 => queue.pop_front().unwrap(),
                Some(Action::Queue(queue)) => queue[0].clone(),
                Some(Action::Call(handler)) => handler(&request),
            }
        };
        self.inner.borrow_mut().seen.push(Seen { request: request.clone(), at: self.clock.now_millis() });
        let reply = busy.unwrap_or_else(scripted);
        if reply.delay > timeout {
            self.clock.sleep(timeout).await;
            return Err(HttpError::new(HttpErrorKind::Timeout, "no answer in time"));
        }
        self.clock.sleep(reply.delay).await;
        if let Some(error) = reply.error {
            return Err(error);
        }
        let headers = Headers(reply.headers);
        let coding = if reply.decoded_by_host {
            BodyCoding::DecodedByHost
        } else if headers.get("content-encoding").is_some_and(|v| v.eq_ignore_ascii_case("gzip")) {
            BodyCoding::Gzip
        } else {
            BodyCoding::Identity
        };
        Ok(Response {
            status: reply.status,
            headers,
            headers_filtered: reply.headers_filtered,
            final_url: None,
            coding,
            body: ScriptedBody {
                clock: self.clock.clone(),
                chunks: reply.chunks.into(),
                cut: reply.cut,
                gap: reply.chunk_delay,
                timeout,
                _flight: flight,
            },
        })
    }
}
