//! Where the token endpoint is and what it supports (SMART App Launch, conformance).

use serde_json::Value;

use crate::http::wire::{Anonymous, Wire};
use crate::http::{Call, Reply, Retry, redact, redirect, url};
use crate::platform::Platform;
use crate::{Error, ErrorKind, Result};

/// What is known of the authorization server. A list that is absent says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Where tokens are asked for.
    pub token_url: String,
    /// What the server calls its token endpoint, where `--rewrite-url` changed the address: the assertion's `aud`.
    pub audience: String,
    /// `token_endpoint_auth_signing_alg_values_supported`
    pub algorithms: Option<Vec<String>>,
    /// `token_endpoint_auth_methods_supported`
    pub methods: Option<Vec<String>>,
    /// `capabilities`
    pub capabilities: Option<Vec<String>>,
    /// `scopes_supported`
    pub scopes: Option<Vec<String>>,
}

impl Discovery {
    /// A token endpoint that the user gave.
    pub fn configured(token_url: &str) -> Self {
        Self { token_url: token_url.to_owned(), audience: token_url.to_owned(), ..Self::default() }
    }

    /// Reads a SMART configuration; `None` if it is none or names no token endpoint.
    pub fn from_smart_configuration(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let list = |name: &str| {
            let items = value.get(name)?.as_array()?;
            Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let token_url = value.get("token_endpoint")?.as_str()?.trim();
        Some(Self {
            algorithms: list("token_endpoint_auth_signing_alg_values_supported"),
            methods: list("token_endpoint_auth_methods_supported"),
            capabilities: list("capabilities"),
            scopes: list("scopes_supported"),
            ..Self::configured(token_url)
        })
    }

    /// Reads the `oauth-uris` extension of a CapabilityStatement (A03).
    pub fn from_capability_statement(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let each = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let is = |value: &Value, end: &str| value["url"].as_str().is_some_and(|url| url.ends_with(end));
        let extensions = each(&value, "rest").into_iter().flat_map(|rest| each(&rest["security"], "extension"));
        let mut uris = extensions.filter(|e| is(e, "/oauth-uris")).flat_map(|e| each(&e, "extension"));
        let token = uris.find(|e| e["url"] == "token")?;
        let token_url = ["valueUri", "valueUrl", "valueString"].iter().find_map(|name| token[name].as_str())?;
        Some(Self::configured(token_url.trim()))
    }

    /// What speaks against a `private_key_jwt` that the server refused (A04).
    pub fn doubts(&self) -> Option<String> {
        let lacks =
            |list: &Option<Vec<String>>, word: &str| list.as_ref().is_some_and(|l| !l.iter().any(|x| x == word));
        let methods = lacks(&self.methods, "private_key_jwt");
        let capabilities = lacks(&self.capabilities, "client-confidential-asymmetric");
        match (methods, capabilities) {
            (true, _) => Some("Its SMART configuration does not list private_key_jwt.".to_owned()),
            (false, true) if self.methods.is_none() => {
                Some("Its SMART configuration does not list client-confidential-asymmetric.".to_owned())
            }
            _ => None,
        }
    }
}

/// Asks the server: its SMART configuration, below the base path (A02), else its CapabilityStatement (A03).
pub(crate) async fn discover<P: Platform>(wire: &Wire<'_, P>) -> Result<Discovery> {
    let ask = async |path: &str, accept: &str, retry: Retry| {
        let mut call = Call::get("discovery", format!("{}/{path}", wire.base)).header("Accept", accept).open();
        call.aside = true;
        wire.send(&call.retry(retry), &Anonymous).await
    };
    let tell = |outcome: &Result<Reply>| match outcome {
        Ok(reply) if reply.is_success() => "names none".to_owned(),
        Ok(reply) => format!("answered {}", reply.status),
        Err(error) => format!("failed ({})", error.message.trim_end_matches('.')),
    };
    let usable = |outcome: &Result<Reply>, read: fn(&[u8]) -> Option<Discovery>| match outcome {
        Ok(reply) if reply.is_success() => read(&reply.body).map(|found| (found, reply.url.clone())),
        _ => None,
    };
    let smart = ask(".well-known/smart-configuration", "application/json", Retry::Brief).await;
    if let Some((found, at)) = usable(&smart, Discovery::from_smart_configuration) {
        return placed(wire, found, &at);
    }
    // A browser tells a missing CORS header and a dead server apart by nothing but the other address.
    let retry = if smart.is_ok() { Retry::Brief } else { Retry::Never };
    let metadata = ask("metadata", "application/fhir+json", retry).await;
    if let Some((found, at)) = usable(&metadata, Discovery::from_capability_statement) {
        return placed(wire, found, &at);
    }
    if let (Err(error), Err(_)) = (&smart, &metadata) {
        return Err(error.clone());
    }
    let message = format!(
        "Found no token endpoint of {base}: {base}/.well-known/smart-configuration {}, and {base}/metadata {}.",
        tell(&smart),
        tell(&metadata),
        base = wire.base
    );
    Err(Error::new(ErrorKind::Auth, "discovery", message).with_hint("If you know it, give it with --token-url."))
}

/// Resolves and checks the token endpoint.
fn placed<P: Platform>(wire: &Wire<'_, P>, found: Discovery, at: &str) -> Result<Discovery> {
    let audience = url::resolve(&found.token_url, at).map_err(|why| {
        let message = format!("The server names a token endpoint that {why}: {}.", redact::url(&found.token_url));
        Error::new(ErrorKind::Protocol, "discovery", message).with_hint("If you know it, give it with --token-url.")
    })?;
    let token_url = wire.rewrite(audience.clone())?;
    check_private(&token_url, wire.allow_insecure)?;
    Ok(Discovery { token_url, audience, ..found })
}

/// Assertions and tokens do not go over plain http to other machines.
pub(crate) fn check_private(token_url: &str, allow_insecure: bool) -> Result<()> {
    if url::parse(token_url).is_ok_and(|parts| redirect::is_private(&parts, allow_insecure)) {
        return Ok(());
    }
    let message = format!("The token endpoint {} is plain http, where others can read tokens.", redact::url(token_url));
    Err(Error::new(ErrorKind::Insecure, "token", message)
        .with_hint("On a network that you trust, allow it with --allow-insecure."))
}
