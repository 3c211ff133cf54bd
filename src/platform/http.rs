//! The HTTP seam: one request, one response. Redirects, retries and tokens are the core's business.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Request methods that the core uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// DELETE
    Delete,
    /// OPTIONS: what a browser asks before it lets a page send a request. Hosts that are browsers need not be able to send it.
    Options,
}

/// One request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Absolute http(s) URL, sent byte for byte as given (F12: signed URLs).
    pub url: String,
    /// Header names and values, in order; names in the case in which they are sent.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Vec<u8>>,
    /// Longest silence: until the headers come, and between two chunks of the body.
    pub timeout: Duration,
}

impl Request {
    /// A request without headers and body, and a timeout of five minutes.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: None, timeout: Duration::from_secs(300) }
    }

    /// A GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }
}

impl std::fmt::Debug for Request {
    /// Without header values, body and query: any of them may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        write!(f, "Request({:?} {url})", self.method)
    }
}

/// What the adapter has done to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BodyCoding {
    /// As sent, no coding on the wire.
    Identity,
    /// The host has undone a coding (browsers): lengths in headers say nothing about these bytes.
    DecodedByHost,
    /// Raw gzip, as received.
    Gzip,
}

/// Headers of a response. Lookup ignores case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every value of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// One response: a status is never an error here.
#[derive(Debug)]
pub struct Response<B> {
    /// HTTP status.
    pub status: u16,
    /// Headers that the host shows.
    pub headers: Headers,
    /// Whether CORS may have hidden headers, so that a missing one proves nothing.
    pub headers_filtered: bool,
    /// The URL after redirects that the host followed on its own (browsers); `None` where it follows none.
    pub final_url: Option<String>,
    /// What the adapter has done to the body.
    pub coding: BodyCoding,
    /// The body. Dropping it aborts the transfer.
    pub body: B,
}

/// A body, pulled chunk by chunk.
pub trait Body {
    /// The next chunk, never empty; `None` at a *proper* end. An end before `Content-Length` or before the last chunk of a
    /// chunked body is [`HttpErrorKind::Interrupted`].
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError>;
}

/// Sends requests.
pub trait Http {
    /// The body of a response.
    type Body: Body;

    /// Sends `request`; resolves when the headers are there. Follows no redirect where the host allows that.
    async fn send(&self, request: Request) -> Result<Response<Self::Body>, HttpError>;
}

/// Why no (whole) response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// Name not found, connection refused or unreachable. Nothing was sent: always safe to retry.
    Connect,
    /// Silence for longer than the request's timeout. Retry, though the server may have acted on a POST.
    Timeout,
    /// The connection broke after the request was sent, or the body ended early. As `Timeout`.
    Interrupted,
    /// The certificate or the TLS version is not acceptable. A retry does not help.
    Tls,
    /// A browser refused (CORS, mixed content, content policy) and says no more. A retry may help, since browsers report
    /// lost networks in the same way.
    Blocked,
    /// The URL or a header cannot be sent. A retry does not help.
    Invalid,
}

/// A transport error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    /// Says whether a retry could help.
    pub kind: HttpErrorKind,
    /// A short text from the host, without header values.
    pub message: String,
}

impl HttpError {
    /// An error of `kind`.
    pub fn new(kind: HttpErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        !matches!(self.kind, HttpErrorKind::Tls | HttpErrorKind::Invalid)
    }
}
