//! The requests of an examination.

use super::PATIENCE;
use crate::Result;
use crate::bulk::kickoff::request::path;
use crate::config::Level;
use crate::http::{Call, Client, Reply, Retry};
use crate::platform::{Method, Platform, Random};

/// The longest body that is of interest.
const MAX_BODY: usize = 16 << 20;

/// Sends them, as a page of `origin` would.
pub(super) struct Probe<'c, 'p, P: Platform> {
    pub(super) client: &'c Client<'p, P>,
    /// `None` in browsers, which say it themselves.
    pub(super) origin: Option<String>,
}

impl<P: Platform> Probe<'_, '_, P> {
    /// Sends a call; nothing is repeated for longer than seconds.
    pub(super) async fn send(&self, call: Call) -> Result<Reply> {
        let mut call = match &self.origin {
            Some(origin) => call.header("Origin", origin.clone()),
            None => call,
        };
        (call.max_body, call.timeout) = (MAX_BODY, PATIENCE);
        if call.retry == Retry::Full {
            call.retry = Retry::Brief;
        }
        self.client.send(call).await
    }

    /// A GET below the base.
    pub(super) fn get(&self, path: &str, accept: &str) -> Call {
        Call::get("doctor", self.client.url(path)).header("Accept", accept)
    }

    /// What a browser asks before it lets a page send `method` with these headers: never with credentials, nor with what
    /// makes a kick-off of it, since servers have taken an OPTIONS for one.
    pub(super) async fn preflight(&self, level: &Level, operation: &str, method: &str, headers: &str) -> Result<Reply> {
        let url = format!("{}{}", self.client.base(), path(level, operation));
        let call = Call::new("doctor", Method::Options, url)
            .header("Accept", "*/*")
            .header("Access-Control-Request-Method", method)
            .header("Access-Control-Request-Headers", headers)
            .open();
        self.send(call).await
    }

    /// A kick-off that cannot be taken, to see how it is refused.
    pub(super) async fn refusable(&self, method: Method, operation: &str) -> Result<Reply> {
        let mut bytes = [0; 8];
        self.client.platform().random().fill(&mut bytes);
        let nobody = Level::Group(format!("smart-fetch-doctor-{:016x}", u64::from_be_bytes(bytes)));
        let mut url = format!("{}{}", self.client.base(), path(&nobody, operation));
        if method == Method::Get {
            url.push_str("?_since=never");
        }
        let mut call = Call::new("doctor", method, url)
            .header("Accept", "application/fhir+json")
            .header("Prefer", "handling=strict")
            .retry(Retry::Never);
        if method == Method::Post {
            let body = r#"{"resourceType":"Parameters","parameter":[{"name":"_since","valueInstant":"never"}]}"#;
            call = call.body("application/fhir+json", body);
        }
        self.send(call).await
    }
}
