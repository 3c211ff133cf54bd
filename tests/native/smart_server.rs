//! A SMART server by script, for tests of authorization.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use smart_fetch::Result;
use smart_fetch::auth::ScopeRequest;
use smart_fetch::config::{AuthConfig, ServerConfig};
use smart_fetch::http::{Call, Client, Reply as Answer};
use smart_fetch::platform::SigningKey;
use smart_fetch::testing::{Host, Reply, Seen};

pub(crate) const BASE: &str = "https://ehr.example/x/fhir";
pub(crate) const TOKEN_URL: &str = "https://ehr.example/auth/token";

/// A host with an ES384 key.
pub(crate) fn host() -> Host {
    let mut host = Host::new();
    host.signer.keys = vec![key("ec-key", "ES384")];
    host
}

pub(crate) fn key(kid: &str, alg: &str) -> SigningKey {
    SigningKey { kid: Some(kid.to_owned()), alg: alg.to_owned(), ..SigningKey::default() }
}

/// A server with SMART credentials.
pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        fhir_url: BASE.to_owned(),
        auth: AuthConfig::Smart { client_id: "client-1".to_owned(), token_url: None, scope: None },
        ..ServerConfig::default()
    }
}

pub(crate) fn types(names: &[&str]) -> ScopeRequest {
    ScopeRequest { types: names.iter().map(|n| (*n).to_owned()).collect(), group: false }
}

/// Serves a SMART configuration with `more` members.
pub(crate) fn serve_configuration(host: &Host, more: Value) {
    let mut configuration = json!({"token_endpoint": TOKEN_URL});
    for (name, value) in more.as_object().unwrap() {
        configuration[name] = value.clone();
    }
    let path = "https://ehr.example/x/fhir/.well-known/smart-configuration";
    host.http.on("GET", path, Reply::bytes(200, "application/json", configuration.to_string()));
}

/// Grants `token-1`, `token-2`, …, each for `expires_in` seconds, with all scopes asked for.
pub(crate) fn serve_tokens(host: &Host, expires_in: u32) {
    let count = Cell::new(0);
    host.http.on_call("POST", TOKEN_URL, move |request| {
        count.set(count.get() + 1);
        let form = form(&String::from_utf8_lossy(request.body.as_deref().unwrap()));
        let body = json!({
            "access_token": format!("token-{}", count.get()), "token_type": "bearer", "expires_in": expires_in,
            "scope": form["scope"],
        });
        Reply::bytes(200, "application/json", body.to_string())
    });
}

/// A grant with further members.
pub(crate) fn grant(more: Value) -> Reply {
    let mut body = json!({"access_token": "granted", "token_type": "bearer", "expires_in": 300});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    Reply::bytes(200, "application/json", body.to_string())
}

/// An OAuth error.
pub(crate) fn refusal(status: u16, code: &str, description: &str) -> Reply {
    let body = json!({"error": code, "error_description": description});
    Reply::bytes(status, "application/json", body.to_string())
}

/// Serves FHIR requests: 200 with the tokens that `good` accepts, else 401.
pub(crate) fn serve_fhir(host: &Host, good: impl Fn(&str) -> bool + 'static) -> Rc<RefCell<Vec<String>>> {
    let tokens = Rc::new(RefCell::new(Vec::new()));
    let seen = tokens.clone();
    host.http.on_call("GET", "/x/fhir/Patient", move |request| {
        let token = request.headers.iter().find(|(name, _)| name == "Authorization").map(|(_, v)| v.clone());
        let token = token.unwrap_or_default();
        tokens.borrow_mut().push(token.clone());
        if good(&token) { Reply::json(200, "{}") } else { Reply::bytes(401, "text/html", "<p>no</p>") }
    });
    seen
}

/// One GET of `Patient` by a new client.
pub(crate) fn get(host: &Host, config: &ServerConfig, scopes: ScopeRequest) -> Result<Answer> {
    host.run(async { Client::new(host, config, scopes)?.send(Call::get("test", format!("{BASE}/Patient"))).await })
}

pub(crate) fn token_requests(host: &Host) -> Vec<Seen> {
    host.http.seen_with(&format!("POST {TOKEN_URL}"))
}

/// A form, decoded.
pub(crate) fn form(body: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let mut out = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                }
                _ => out.push(byte),
            }
        }
        String::from_utf8(out).unwrap()
    };
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (decode(n), decode(v))).collect()
}

/// Header, claims and signature of the assertion in a token request.
pub(crate) fn assertion(request: &Seen) -> (Value, Value, Vec<u8>) {
    let form = form(&request.text());
    let parts: Vec<Vec<u8>> = form["client_assertion"].split('.').map(|p| URL_SAFE_NO_PAD.decode(p).unwrap()).collect();
    assert_eq!(parts.len(), 3);
    (serde_json::from_slice(&parts[0]).unwrap(), serde_json::from_slice(&parts[1]).unwrap(), parts[2].clone())
}
