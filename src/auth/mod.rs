//! Credentials: none, bearer, basic, and SMART Backend Services.
//!
//! | module | what it is for |
//! |---|---|
//! | [`discovery`] | the token endpoint and what it supports |
//! | [`assertion`] | the signed JWT (RFC 7523) that proves who we are |
//! | [`scope`] | what to ask for, and whether it was granted |
//! | [`policy`] | whether a file's URL may see the token |
//! | [`public_jwks`] | the part of a key set that a server may see |

pub mod assertion;
pub mod discovery;
mod jwks;
pub mod policy;
pub mod scope;
mod smart;
mod token;

pub use jwks::public_jwks;
pub use policy::{TokenRule, Withheld, token_rule};
pub use scope::ScopeRequest;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::AuthConfig;
use crate::http::wire::{Credentials, HeaderList, Wire};
use crate::platform::Platform;
use crate::{Error, Result};
use smart::Smart;

/// The credentials of a client.
pub(crate) enum Auth {
    /// None.
    Open,
    /// The same header always, and what of it is secret.
    Fixed { header: (String, String), secrets: Vec<String> },
    /// Tokens by SMART Backend Services.
    Smart(Box<Smart>),
}

impl Auth {
    pub(crate) fn new(config: &AuthConfig, request: ScopeRequest) -> Result<Self> {
        match config {
            AuthConfig::None => Ok(Self::Open),
            AuthConfig::Bearer { token } => {
                let token = token.trim();
                if !is_token(token) {
                    return Err(Error::usage("The bearer token is empty or holds characters that cannot be sent.")
                        .with_hint("Give the token alone, on one line, without 'Bearer'."));
                }
                Ok(Self::Fixed { header: bearer(token), secrets: vec![token.to_owned()] })
            }
            AuthConfig::Basic { user, password } => {
                if user.is_empty() || user.contains(':') || format!("{user}{password}").contains(char::is_control) {
                    return Err(Error::usage(
                        "The user name for HTTP Basic is empty, or holds ':' or a control character.",
                    ));
                }
                let encoded = STANDARD.encode(format!("{user}:{password}"));
                let header = ("Authorization".to_owned(), format!("Basic {encoded}"));
                Ok(Self::Fixed { header, secrets: vec![encoded, password.clone()] })
            }
            AuthConfig::Smart { client_id, token_url, scope } => {
                Ok(Self::Smart(Box::new(Smart::new(client_id, token_url.as_deref(), scope.as_deref(), request)?)))
            }
        }
    }

    /// What must not appear in any text.
    pub(crate) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Open => Vec::new(),
            Self::Fixed { secrets, .. } => secrets.clone(),
            Self::Smart(smart) => smart.secrets(),
        }
    }
}

impl<P: Platform> Credentials<P> for Auth {
    async fn current(&self, wire: &Wire<'_, P>) -> Result<HeaderList> {
        match self {
            Self::Open => Ok(Vec::new()),
            Self::Fixed { header, .. } => Ok(vec![header.clone()]),
            Self::Smart(smart) => Ok(vec![bearer(&smart.token(wire).await?)]),
        }
    }

    fn refused(&self, used: &[(String, String)]) -> bool {
        match self {
            Self::Open | Self::Fixed { .. } => false,
            Self::Smart(smart) => {
                for (_, value) in used.iter().filter(|(name, _)| name == "Authorization") {
                    smart.forget(value.strip_prefix("Bearer ").unwrap_or_default());
                }
                true
            }
        }
    }
}

fn bearer(token: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("Bearer {token}"))
}

/// Whether `token` can be sent in a header: visible ASCII, not empty.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}
