//! The token request (SMART App Launch, backend-services; RFC 6749 §5).

use std::time::Duration;

use serde_json::Value;

use super::cache::Grant;
use super::discovery::Discovery;
use super::smart::{Granted, Smart};
use super::{assertion, is_token, scope};
use crate::event::Event;
use crate::fhir::instant::{self, http_date};
use crate::http::retry::{Failure, Pause};
use crate::http::wire::{Wire, no_answer};
use crate::http::{Call, Reply, redact, redirect};
use crate::platform::{Clock, Method, Observer, Platform, Signer};
use crate::{Error, ErrorKind, Result};

/// Life of a token whose server does not say, in seconds (B12).
const ASSUMED_LIFE: f64 = 60.0;
/// Clocks further apart than this are the likely reason of a refusal, in milliseconds.
const SKEW: i64 = 30_000;
/// A token endpoint that granted before and now refuses is asked again this often: Epic answers 400 now and then.
const FLAKY_TRIES: u32 = 2;

/// Asks for a token until there is one, or no hope. Each try has its own assertion (B06).
pub(super) async fn request<P: Platform>(smart: &Smart, wire: &Wire<'_, P>, server: &Discovery) -> Result<Grant> {
    let candidates = match &smart.scope {
        Some(verbatim) => vec![verbatim.clone()],
        None => smart.request.candidates(server),
    };
    let brief = wire.retry.brief();
    let (mut tries, mut first_contact) = (wire.retry.tries(), brief.tries());
    let (mut count, mut flaky) = (0, 0);
    loop {
        let asked_at = wire.platform.clock().now_millis();
        let index = smart.memory.borrow().candidate.min(candidates.len() - 1);
        let call = token_call(smart, wire, server, &candidates[index]).await?;
        count += 1;
        let (reply, permit) = match wire.once(&call, &[], false).await? {
            Ok(answer) => answer,
            Err(error) => {
                let reached = wire.politeness.answered(&server.token_url);
                let tries = if reached { &mut tries } else { &mut first_contact };
                match Failure::of_error(&error).and_then(|f| tries.after(f, 0, wire.jitter())) {
                    None => return Err(no_answer("token", &server.token_url, &error, count)),
                    Some(pause) => wire.pause(pause, format!("No answer from the token endpoint: {error}.")).await,
                }
                continue;
            }
        };
        let failure = Failure::of_status(reply.status, reply.retry_after());
        let pause = failure.and_then(|f| tries.after(f, wire.successes(&server.token_url), wire.jitter()));
        wire.settle(permit, &reply, pause);
        if let Some(pause) = pause {
            wire.pause(pause, format!("The token endpoint answered {}.", reply.status)).await;
            continue;
        }
        if reply.is_success() {
            let asked = &candidates[index];
            let (grant, granted, seconds) = read_grant(&reply, asked_at)?;
            // RFC 6749 §5.1: a scope that is not told is what was asked for.
            let granted = granted.unwrap_or_else(|| asked.clone());
            let missing = scope::missing(&smart.wanted(asked), &granted);
            let mut memory = smart.memory.borrow_mut();
            // Nothing at all was granted, and the dialect was a guess: servers that do not know it leave it out.
            let nothing = scope::missing(asked, &granted).len() == asked.split_whitespace().count();
            if nothing && !memory.granted && index + 1 < candidates.len() {
                memory.candidate = index + 1;
                continue;
            }
            memory.granted = true;
            memory.last = Some(Granted { scopes: granted, missing: missing.clone(), seconds });
            if !missing.is_empty() && memory.warned.as_ref() != Some(&missing) {
                warn_narrowed(wire, &missing);
                memory.warned = Some(missing);
            }
            return Ok(grant);
        }
        let refusal = Refusal::read(&reply);
        let skew = skew(&reply);
        {
            let mut memory = smart.memory.borrow_mut();
            if refusal.code == "invalid_scope" && !memory.granted && index + 1 < candidates.len() {
                memory.candidate = index + 1;
                continue;
            }
            if skew.abs() > SKEW && memory.skew_millis == 0 && refusal.is_about_assertion() {
                memory.skew_millis = skew;
                continue;
            }
        }
        if smart.memory.borrow().granted && refusal.is_about_assertion() && flaky < FLAKY_TRIES {
            let wait = Duration::from_secs(1 + 4 * u64::from(flaky));
            flaky += 1;
            let pause = Pause { wait, gate: false, throttled: false };
            wire.pause(pause, format!("The token endpoint, which granted before, answered {}.", refusal.code)).await;
            continue;
        }
        return Err(refusal.into_error(smart, wire, server, &candidates[index], skew));
    }
}

/// The request (B03), with a fresh assertion (B04, B05).
async fn token_call<P: Platform>(smart: &Smart, wire: &Wire<'_, P>, server: &Discovery, scope: &str) -> Result<Call> {
    let signer = wire.platform.signer();
    let keys = signer.keys();
    let Some((index, _)) = assertion::choose(&keys, &smart.client_id, server.algorithms.as_deref()) else {
        return Err(Error::usage("SMART Backend Services need a private key, and there is none.")
            .with_hint("Give a JWKS or PEM file with --smart-key."));
    };
    let now = wire.platform.clock().now_millis() + smart.memory.borrow().skew_millis;
    let jti = assertion::fresh_jti(wire.platform.random());
    let input = assertion::signing_input(&keys[index], &smart.client_id, &server.audience, &jti, now);
    let signature = signer.sign(index, input.as_bytes()).await.map_err(|why| {
        let message = format!("Signing with the {} key failed: {}", keys[index].alg, redact::text(&why));
        Error::new(ErrorKind::Auth, "token", message).with_hint("Check the key given with --smart-key.")
    })?;
    let form = form(&[
        ("scope", scope),
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion::compact(&input, &signature)),
    ]);
    let mut call = Call::new("token", Method::Post, server.token_url.clone())
        .header("Accept", "application/json")
        .body("application/x-www-form-urlencoded", form)
        .open();
    call.max_body = 1 << 20;
    call.aside = true;
    Ok(call)
}

/// `application/x-www-form-urlencoded`.
fn form(pairs: &[(&str, &str)]) -> String {
    let hex = |digit: u8| char::from_digit(digit.into(), 16).unwrap_or_default().to_ascii_uppercase();
    let encode = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b' ' => out.push('+'),
                b if b.is_ascii_alphanumeric() || b"*-._".contains(&b) => out.push(b as char),
                b => out.extend(['%', hex(b >> 4), hex(b & 15)]),
            }
        }
        out
    };
    pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// Reads a token response; also returns the granted scope and the life in seconds, where they are told.
fn read_grant(reply: &Reply, asked_at: i64) -> Result<(Grant, Option<String>, Option<u64>)> {
    let wrong = |why: &str| {
        let message = format!("The token endpoint {} answered {} with {why}.", redact::url(&reply.url), reply.status);
        Error::new(ErrorKind::Protocol, "token", message)
    };
    // serde_json's own message may quote the body, which holds the token.
    let value: Value = serde_json::from_slice(&reply.body).map_err(|_| {
        wrong("something that is no JSON").with_hint("Check that it is the token URL, not a login page.")
    })?;
    let token =
        value["access_token"].as_str().filter(|token| is_token(token)).ok_or_else(|| wrong("no access_token"))?;
    if value.get("token_type").and_then(Value::as_str).is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(wrong("a token_type other than bearer"));
    }
    let life = match &value["expires_in"] {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => crate::config::decimal(text.trim()),
        _ => None,
    };
    let told = life.filter(|life| *life > 0.0 && life.is_finite());
    let grant = Grant::new(token.to_owned(), asked_at, Some(told.unwrap_or(ASSUMED_LIFE).min(86_400.0)));
    Ok((grant, value["scope"].as_str().map(str::to_owned), told.map(whole)))
}

/// Positive and bounded, so that nothing is lost but the fraction.
#[allow(clippy::cast_sign_loss)]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

fn warn_narrowed<P: Platform>(wire: &Wire<'_, P>, missing: &[String]) {
    let message = format!(
        "The server granted less than was asked for: {}. It may leave such resources out without a word.",
        missing.join(", ")
    );
    wire.platform.observer().event(Event::Warning { code: "scope-narrowed".to_owned(), message });
}

/// How far the server's clock is ahead of ours, in milliseconds; 0 if it does not say.
fn skew(reply: &Reply) -> i64 {
    reply.headers.get("date").and_then(http_date).map_or(0, |date| date - reply.at_millis)
}

/// An answer that grants nothing (RFC 6749 §5.2).
struct Refusal {
    status: u16,
    /// `invalid_client` and so on; the status where there is no code.
    code: String,
    description: String,
    location: Option<String>,
}

impl Refusal {
    fn read(reply: &Reply) -> Self {
        let value: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |name: &str| value[name].as_str().unwrap_or_default().chars().take(500).collect::<String>();
        let code = Some(text("error")).filter(|code| !code.is_empty()).unwrap_or_else(|| reply.status.to_string());
        let location = reply.headers.get("location").filter(|_| redirect::is_redirect(reply.status)).map(redact::url);
        Self { status: reply.status, code, description: text("error_description"), location }
    }

    /// Whether the assertion itself may be what was refused.
    fn is_about_assertion(&self) -> bool {
        (400..500).contains(&self.status)
            && !matches!(self.code.as_str(), "invalid_scope" | "unauthorized_client" | "unsupported_grant_type")
    }

    fn into_error<P: Platform>(
        self,
        smart: &Smart,
        wire: &Wire<'_, P>,
        server: &Discovery,
        scope: &str,
        skew: i64,
    ) -> Error {
        let at = redact::url(&server.token_url);
        let words = redact::known(&self.description, &smart.cache.secrets());
        let words = if words.is_empty() { String::new() } else { format!(": {}", words.trim_end_matches('.')) };
        let keys = wire.platform.signer().keys();
        let chosen = assertion::choose(&keys, &smart.client_id, server.algorithms.as_deref());
        let key = chosen.map_or_else(String::new, |(index, _)| {
            let key = &keys[index];
            key.kid.as_ref().map_or_else(|| key.alg.clone(), |kid| format!("{}, kid '{kid}'", key.alg))
        });
        // Some servers hand out ids of a thousand characters.
        let id: String = smart.client_id.chars().take(60).collect();
        let id = if id.len() < smart.client_id.len() { id + "…" } else { id };
        let mut hints = vec![match self.code.as_str() {
            "invalid_client" => {
                format!(
                    "Check that the client id '{id}' is registered there, with the public part of this key ({key})."
                )
            }
            "invalid_grant" | "invalid_request" => format!(
                "The server did not accept the signed assertion; check the client id '{id}', the key ({key}) and the token URL."
            ),
            "invalid_scope" => {
                format!("It does not grant '{scope}' to this client; ask for other types, or set the scope yourself.")
            }
            "unauthorized_client" => {
                "This client may not use the client credentials grant; its registration must be for backend services."
                    .to_owned()
            }
            _ if self.location.is_some() => {
                "The signed assertion is not sent on; give the right address with --token-url.".to_owned()
            }
            _ => "Check the token URL, the client id and the key.".to_owned(),
        }];
        if skew.abs() > SKEW {
            let (fast, seconds) = (if skew < 0 { "ahead of" } else { "behind" }, skew.abs() / 1000);
            let local = instant::iso(wire.platform.clock().now_millis(), 0);
            let theirs = instant::iso(wire.platform.clock().now_millis() + skew, 0);
            hints.push(format!(
                "This machine's clock ({local}) is {seconds} s {fast} the server's ({theirs}): correct it."
            ));
        }
        if let Some((_, false)) = chosen {
            let listed = server.algorithms.as_deref().unwrap_or_default().join(", ");
            hints.push(format!("The server lists only {listed} for signatures, and no key is of that kind."));
        }
        hints.extend(server.doubts());
        let to = self.location.map_or_else(String::new, |to| format!(" (a redirect to {to})"));
        let message = format!("The token endpoint {at} refused: {}{to}{words}.", self.code);
        Error::new(ErrorKind::Auth, "token", message).with_status(self.status).with_hint(hints.join(" "))
    }
}
