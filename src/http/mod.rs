//! The client over the [`Http`](crate::platform::Http) seam: retry, backoff, `Retry-After`, politeness, credentials, redirects, redaction.
//!
//! | module | what it is for |
//! |---|---|
//! | [`url`] | http(s) URLs: parts, origin, resolving references; bytes are kept |
//! | [`redirect`] | where a redirect may lead, and who may see credentials |
//! | [`relay`] | servers that a web page reaches through a relay |
//! | [`retry`] | what is tried again and after how long |
//! | [`politeness`] | how many requests at once, and when none |
//! | [`redact`] | text without secrets |

mod client;
pub mod politeness;
pub mod redact;
pub mod redirect;
pub mod relay;
pub mod retry;
pub mod url;
pub(crate) mod wire;

pub use client::Client;
pub use politeness::{Permit, Politeness};
pub use retry::{Failure, Pause, RetryPolicy, Tries, parse_retry_after, wait};

use std::time::Duration;

use crate::platform::Method;
use crate::platform::http::Headers;

/// Who a call speaks as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAuth {
    /// Without credentials, wherever it goes. Custom headers still go to the FHIR origin.
    None,
    /// With the client's credentials, at each hop where they may go (DESIGN §7).
    Fhir,
}

/// What a call does about failures. A 401 is answered with one fresh token in every case (B13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Repeats after transport errors and 408, 429, 500, 502, 503, 504, as long as the policy says.
    Full,
    /// For what is only a hint: at most two repeats within seconds.
    Brief,
    /// For a request that must not be acted on twice (a POST kick-off): repeats only if nothing was sent, or after a 429
    /// or 503 with `Retry-After`.
    BeforeSending,
    /// The caller waits by itself (status polls).
    Never,
}

/// One call: a request and how to make it.
#[derive(Clone)]
pub struct Call {
    /// The step, for errors: `kick-off`, `status`, …
    pub operation: &'static str,
    /// Method.
    pub method: Method,
    /// Absolute URL.
    pub url: String,
    /// Headers besides those of the client.
    pub headers: Vec<(String, String)>,
    /// The body, if any. It is never sent on to an origin that may not see credentials.
    pub body: Option<Vec<u8>>,
    /// Who the call speaks as.
    pub auth: CallAuth,
    /// What happens after a failure.
    pub retry: Retry,
    /// The longest body that is taken, after decoding, in bytes.
    pub max_body: usize,
    /// The longest silence of the server.
    pub timeout: Duration,
    /// Whether the call takes no place among the requests in flight: others that hold theirs wait for it.
    pub(crate) aside: bool,
    /// Whether the body of a success is kept in the pieces in which it comes ([`Reply::pieces`]): a large one would be held
    /// twice while one piece is made of it.
    pub(crate) in_pieces: bool,
}

impl Call {
    /// A call with credentials, full retries, and at most 16 MiB in reply.
    pub fn new(operation: &'static str, method: Method, url: impl Into<String>) -> Self {
        Self {
            operation,
            method,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            auth: CallAuth::Fhir,
            retry: Retry::Full,
            max_body: 16 << 20,
            timeout: Duration::from_secs(300),
            aside: false,
            in_pieces: false,
        }
    }

    /// A GET.
    pub fn get(operation: &'static str, url: impl Into<String>) -> Self {
        Self::new(operation, Method::Get, url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut call = self.header("Content-Type", content_type);
        call.body = Some(body.into());
        call
    }

    /// Sets what happens after a failure.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sends no credentials.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.auth = CallAuth::None;
        self
    }
}

/// What an answer's request showed of the client's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// They were sent.
    Sent,
    /// The origin may not see them.
    Withheld,
    /// There are none, or the call is made without.
    Nothing,
}

/// The final answer to a call, whatever its status.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers that the host shows.
    pub headers: Headers,
    /// Whether CORS may have hidden headers, so that a missing one proves nothing.
    pub headers_filtered: bool,
    /// Where the answer came from, after redirects.
    pub url: String,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// The body, where the call asked for it in pieces.
    pub pieces: Vec<Vec<u8>>,
    /// When the headers came, in milliseconds since the epoch.
    pub at_millis: i64,
    /// Whether the last request carried credentials.
    pub credentials: Presented,
}

impl Reply {
    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text, wrong UTF-8 replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// How long the server asks to wait (`Retry-After`), if it asks for something sane.
    pub fn retry_after(&self) -> Option<Duration> {
        parse_retry_after(self.headers.get("retry-after"), self.headers.get("date"), self.at_millis)
    }
}

impl std::fmt::Debug for Reply {
    /// Without headers and body.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({} {})", self.status, redact::url(&self.url))
    }
}
