//! Public keys out of a key set (RFC 7517, RFC 7518 §6).

use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// The public part of a JWKS (B01), for registering with a server: of each key `kty kid use alg key_ops` and `n e` or
/// `crv x y`. Takes a key set or a single key. Keys other than RSA and EC are left out; a key without `kid`, or with one that
/// another key has, is an error, since a server could not tell them apart.
pub fn public_jwks(jwks_json: &str) -> Result<String> {
    let wrong =
        |why: &str| Error::usage(format!("The key set {why}.")).with_hint("It must be a JWKS or a JWK (RFC 7517).");
    // serde_json's own message may quote the text, which holds keys.
    let value: Value = serde_json::from_slice(jwks_json.as_bytes()).map_err(|_| wrong("is no JSON"))?;
    let keys = match &value {
        Value::Object(set) if set.contains_key("keys") => {
            set["keys"].as_array().ok_or_else(|| wrong("has a 'keys' that is no list"))?.clone()
        }
        Value::Object(key) if key.contains_key("kty") => vec![value.clone()],
        _ => return Err(wrong("is neither a key set nor a key")),
    };
    let mut public: Vec<Value> = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let text = |name: &str| key.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let members: &[&str] = match text("kty") {
            Some("RSA") => &["n", "e"],
            Some("EC") => &["crv", "x", "y"],
            Some(_) => continue,
            None => return Err(wrong(&format!("has no 'kty' in key {}", index + 1))),
        };
        let kid = text("kid").ok_or_else(|| wrong(&format!("has no 'kid' in key {}", index + 1)))?;
        if public.iter().any(|other| other["kid"] == kid) {
            return Err(wrong(&format!("has two keys with the kid '{kid}'")));
        }
        let mut out = Map::new();
        for name in ["kty", "kid", "use", "alg"] {
            if let Some(value) = text(name) {
                out.insert(name.to_owned(), json!(value));
            }
        }
        // A public key verifies.
        out.insert("key_ops".to_owned(), json!(["verify"]));
        for name in members {
            let value = text(name).ok_or_else(|| wrong(&format!("has no '{name}' in key '{kid}'")))?;
            out.insert((*name).to_owned(), json!(value));
        }
        public.push(Value::Object(out));
    }
    if public.is_empty() {
        return Err(wrong("holds no RSA or EC key"));
    }
    Ok(json!({"keys": public}).to_string())
}
