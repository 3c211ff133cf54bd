//! The client assertion: a JWT for `private_key_jwt` (RFC 7523; SMART App Launch, client-confidential-asymmetric).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::platform::{Random, SigningKey};

/// Seconds that an assertion lives: a server whose clock is a minute behind still sees at most the allowed 300 (B07).
pub const LIFETIME: i64 = 240;

/// The key to sign with: the client's first one whose algorithm the server lists (A04). A server that lists nothing, or
/// nothing that we have, gets the client's first key; `false` then tells the second case.
pub fn choose(keys: &[SigningKey], client_id: &str, listed: Option<&[String]>) -> Option<(usize, bool)> {
    let listed = listed.filter(|list| !list.is_empty());
    let is_ours = |key: &SigningKey| key.client_id.as_deref().is_none_or(|id| id == client_id);
    let first = keys.iter().position(is_ours)?;
    let Some(listed) = listed else { return Some((first, true)) };
    let fitting = keys.iter().position(|key| is_ours(key) && listed.contains(&key.alg));
    Some(fitting.map_or((first, false), |index| (index, true)))
}

/// The signing input (RFC 7515 §5.1). Claims are those that SMART asks for and no more: an `iat` or `nbf` would lie in the
/// future of a server whose clock is behind. There is no `jku`, since it may only be the registered JWKS URL (B04).
pub fn signing_input(key: &SigningKey, client_id: &str, audience: &str, jti: &str, now_millis: i64) -> String {
    let mut header = json!({"alg": key.alg, "typ": "JWT"});
    if let Some(kid) = &key.kid {
        header["kid"] = json!(kid);
    }
    let expiry = now_millis.div_euclid(1000) + LIFETIME;
    let claims = json!({"iss": client_id, "sub": client_id, "aud": audience, "exp": expiry, "jti": jti});
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// Input and signature as a compact JWS.
pub fn compact(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A `jti` that was never used: 128 random bits.
pub fn fresh_jti(random: &impl Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
