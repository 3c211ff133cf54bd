//! The client: one server, its credentials, and how to talk to it.

use std::cell::Cell;
use std::time::Duration;

use super::relay::Relay;
use super::retry::{Failure, Pause, RetryPolicy, Tries};
use super::wire::{Credentials, Wire};
use super::{Call, Politeness, Reply, redact, redirect, url};
use crate::auth::{self, Auth, ScopeRequest, TokenRule, Withheld};
use crate::config::{AuthConfig, ServerConfig};
use crate::platform::{Clock, Platform};
use crate::{Error, ErrorKind, Result};

/// Talks to one FHIR server, its token endpoint, and whatever they point at.
pub struct Client<'p, P: Platform> {
    wire: Wire<'p, P>,
    auth: Auth,
}

impl<'p, P: Platform> Client<'p, P> {
    /// A client for `server`. `scopes` says what SMART tokens must cover.
    ///
    /// Fails with [`ErrorKind::Usage`] on a base URL, origin or header that cannot be used, and with
    /// [`ErrorKind::Insecure`] where credentials would go over plain http to another machine.
    pub fn new(platform: &'p P, server: &ServerConfig, scopes: ScopeRequest) -> Result<Self> {
        let base = server.fhir_url.trim().trim_end_matches('/').to_owned();
        let parts = url::parse(&base).map_err(|why| {
            Error::usage(format!("The FHIR URL '{}' {why}.", redact::url(&server.fhir_url)))
                .with_hint("It should look like https://ehr.example.com/fhir/r4.")
        })?;
        if !parts.tail.is_empty() {
            return Err(Error::usage(format!("The FHIR URL '{}' has a query or a fragment.", redact::url(&base)))
                .with_hint("Give the base URL alone, such as https://ehr.example.com/fhir/r4."));
        }
        let origin = parts.origin();
        let secret = server.auth != AuthConfig::None || !server.headers.is_empty();
        if secret && !redirect::is_private(&parts, server.allow_insecure) {
            let message = format!("Credentials for {base} would go over plain http, where others can read them.");
            return Err(Error::new(ErrorKind::Insecure, "options", message)
                .with_hint("Use an https URL; or, on a network that you trust, --allow-insecure."));
        }
        let mut origins = vec![origin.clone()];
        for text in &server.token_origins {
            let allowed = url::parse(text.trim()).map_err(|why| {
                Error::usage(format!("The token origin '{}' {why}.", redact::url(text)))
                    .with_hint("It should look like https://files.example.com.")
            })?;
            origins.push(allowed.origin());
        }
        check_headers(&server.headers)?;
        check_headers(&server.relay.headers)?;
        let names_authorization = server.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if names_authorization && server.auth != AuthConfig::None {
            return Err(Error::usage("There are two kinds of credentials: an Authorization header and others.")
                .with_hint("Give one of them."));
        }
        let wire = Wire {
            platform,
            base,
            origin,
            allow_insecure: server.allow_insecure,
            headers: server.headers.clone(),
            epic_client_id: match &server.auth {
                AuthConfig::Smart { client_id, .. } => Some(client_id.clone()),
                _ => None,
            },
            is_epic: Cell::new(false),
            origins,
            rewrite_urls: server.rewrite_urls.clone(),
            relay: server.relay.clone(),
            politeness: Politeness::new(platform, server.max_connections),
            retry: RetryPolicy { delays: server.retry_delays(), max_wait: Duration::from_secs(300) },
            behind: Cell::new(None),
        };
        Ok(Self { wire, auth: Auth::new(&server.auth, scopes)? })
    }

    /// Sets the longest wait that a server may ask for with `Retry-After` (`--max-poll-delay`); 5 minutes unless set.
    #[must_use]
    pub fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.wire.retry.max_wait = max_wait;
        self
    }

    /// The host.
    pub fn platform(&self) -> &'p P {
        self.wire.platform
    }

    /// Now, in milliseconds since the epoch: by our clock, or by the server's where that is behind.
    pub fn earliest_now(&self) -> i64 {
        self.wire.platform.clock().now_millis() - self.wire.behind.get().unwrap_or_default().max(0)
    }

    /// Takes over what another client of the same server knows of its clock.
    pub fn take_clock_of(&self, other: &Client<'_, P>) {
        self.wire.behind.set(other.wire.behind.get());
    }

    /// A random number in `0.0..1.0`.
    pub fn jitter(&self) -> f64 {
        self.wire.jitter()
    }

    /// The FHIR base URL, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.wire.base
    }

    /// `path` below the base.
    pub fn url(&self, path: &str) -> String {
        match path.trim_start_matches('/') {
            "" => self.wire.base.clone(),
            path => format!("{}/{path}", self.wire.base),
        }
    }

    /// An absolute URL out of what a server wrote at `against`: absolute references byte for byte (F12), relative ones
    /// resolved; then `--rewrite-url` applies. Only http and https.
    pub fn resolve(&self, reference: &str, against: &str) -> Result<String> {
        let target = url::resolve(reference, against).map_err(|why| {
            Error::new(
                ErrorKind::Protocol,
                "url",
                format!("The server gave an address that {why}: {}.", redact::url(reference)),
            )
        })?;
        self.wire.rewrite(target)
    }

    /// Makes a call: politeness, credentials, redirects, retries, one fresh token after a 401, a bounded body. Any final
    /// status is a [`Reply`].
    ///
    /// Fails with [`ErrorKind::Network`] if no answer came in the end, [`ErrorKind::Auth`] if no token was to be had,
    /// [`ErrorKind::Insecure`] and [`ErrorKind::Protocol`] for redirects that are not followed and bodies that are too long.
    pub async fn send(&self, call: Call) -> Result<Reply> {
        let mut reply = self.wire.send(&call, &self.auth).await?;
        // Servers repeat what they were sent, and what they say of an error is written in many places.
        let head = reply.pieces.first().unwrap_or(&reply.body);
        let head = String::from_utf8_lossy(&head[..head.len().min(200)]);
        if !reply.is_success() || head.contains("OperationOutcome") {
            reply.body = self.without_secrets(reply.body);
            if !reply.pieces.is_empty() {
                reply.pieces = vec![self.without_secrets(reply.pieces.concat())];
            }
        }
        Ok(reply)
    }

    /// What a server said, without this client's secrets; byte for byte if it holds none.
    pub fn without_secrets(&self, said: Vec<u8>) -> Vec<u8> {
        let secrets = self.secrets();
        if secrets.is_empty() {
            return said;
        }
        let text = String::from_utf8_lossy(&said);
        let clean = redact::only(&text, &secrets);
        if clean == text { said } else { clean.into_bytes() }
    }

    /// The current `Authorization` header, refreshed when it is about to expire; empty for an open server. For
    /// [`TransferTask::credentials`](crate::platform::transfer::TransferTask::credentials).
    pub async fn credentials(&self) -> Result<Vec<(String, String)>> {
        self.auth.current(&self.wire).await
    }

    /// What the last token is good for, where it was got by SMART Backend Services.
    pub fn granted(&self) -> Option<auth::Granted> {
        self.auth.granted()
    }

    /// A 401 was the answer to `used`: the cached token is dropped if it is still that one. Returns whether other
    /// credentials can be had, so that one more try makes sense (B13).
    pub fn credentials_refused(&self, used: &[(String, String)]) -> bool {
        Credentials::<P>::refused(&self.auth, used)
    }

    /// Origins that may see the credentials: the FHIR server's and `--token-origin`.
    pub fn credential_origins(&self) -> Vec<String> {
        self.wire.origins.clone()
    }

    /// Whether the token goes to a file at `url`; `required` is the manifest's `requiresAccessToken` (F04, F06).
    pub fn token_rule(&self, required: bool, url: &str) -> TokenRule {
        auth::token_rule(Some(required), url, &self.wire.origins, self.wire.allow_insecure)
    }

    /// What to add to the message about a 401 or 403 where `rule` may be why; empty if it is not.
    pub fn withheld_hint(&self, rule: TokenRule, url: &str) -> String {
        match (rule, url::origin(url)) {
            (TokenRule::Withhold(Withheld::OtherOrigin), Some(origin)) if !matches!(self.auth, Auth::Open) => format!(
                " (the token was not sent, since {origin} is not the server's; allow it with --token-origin {origin})"
            ),
            _ => String::new(),
        }
    }

    /// Whether credentials may go over plain http to other machines.
    pub fn allow_insecure(&self) -> bool {
        self.wire.allow_insecure
    }

    /// Headers for the FHIR origin only: `--header`, and `Epic-Client-ID` once [`Client::identify_to_epic`] was called.
    pub fn fhir_headers(&self) -> Vec<(String, String)> {
        self.wire.fhir_headers()
    }

    /// What goes between us and the servers.
    pub fn relay(&self) -> Relay {
        self.wire.relay.clone()
    }

    /// The server is Epic's: it wants the client id with each request.
    pub fn identify_to_epic(&self) {
        self.wire.is_epic.set(true);
    }

    /// Whether `url` is on the FHIR server's origin.
    pub fn is_fhir_origin(&self, url: &str) -> bool {
        self.wire.is_fhir_origin(url)
    }

    /// Who may ask when. File transfers take their permits here.
    pub fn politeness(&self) -> &Politeness<'p, P> {
        &self.wire.politeness
    }

    /// How failures are dealt with. File transfers count their tries by it.
    pub fn retry(&self) -> &RetryPolicy {
        &self.wire.retry
    }

    /// What to do after a try of a request to `url` failed: the pause before the next one, or `None` to give up.
    pub fn next_try(&self, tries: &mut Tries<'_>, failure: Failure, url: &str) -> Option<Pause> {
        tries.after(failure, self.wire.successes(url), self.wire.jitter())
    }

    /// Says that we wait ([`Event::Waiting`](crate::event::Event::Waiting) with `message`, a full sentence), and waits.
    pub async fn pause(&self, pause: Pause, message: String) {
        self.wire.pause(pause, self.redact(&message)).await;
    }

    /// `text` without secrets: what looks like one, and this client's own wherever they stand (a server may echo them).
    pub fn redact(&self, text: &str) -> String {
        redact::known(text, &self.secrets())
    }

    fn secrets(&self) -> Vec<String> {
        let mut secrets = self.auth.secrets();
        // Shorter ones are hardly keys, and would garble the text.
        let headers = self.wire.headers.iter().chain(&self.wire.relay.headers);
        secrets.extend(headers.map(|(_, value)| value.clone()).filter(|value| value.len() >= 8));
        secrets
    }
}

/// Header names must be tokens and values visible ASCII (RFC 9110 §5), so that nothing can be smuggled in.
fn check_headers(headers: &[(String, String)]) -> Result<()> {
    for (name, value) in headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(Error::usage(format!("'{name}' is no header name; write --header 'Name: value'.")));
        }
        if value.chars().any(|c| (c < ' ' && c != '\t') || c > '~') {
            return Err(Error::usage(format!(
                "The value of the header '{name}' holds characters that cannot be sent."
            )));
        }
    }
    Ok(())
}
