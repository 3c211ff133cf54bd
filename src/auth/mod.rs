//! Credentials: none, bearer, basic, and SMART Backend Services.

use crate::Result;
use crate::config::AuthConfig;

/// What a SMART token must cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeRequest {
    /// Resource types that will be read; empty: all.
    pub types: Vec<String>,
    /// Whether a Group is read (group level: B09).
    pub group: bool,
}

/// The client's credentials.
pub(crate) struct Auth {
    _config: AuthConfig,
    _scopes: ScopeRequest,
}

impl Auth {
    pub(crate) fn new(config: &AuthConfig, scopes: ScopeRequest) -> Result<Self> {
        Ok(Self { _config: config.clone(), _scopes: scopes })
    }
}

/// The public part of a JWKS (B01): only `kty kid use alg key_ops n e crv x y`, each key checked to be an RSA or EC key with
/// a unique `kid`. For registering with a server.
pub fn public_jwks(jwks_json: &str) -> Result<String> {
    let _ = jwks_json;
    Err(crate::Error::new(crate::ErrorKind::Unsupported, "keys", "not yet"))
}
