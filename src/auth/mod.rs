//! Credentials: none, bearer, basic, SMART Backend Services, and tokens of the program that the core runs in.
//!
//! | module | what it is for |
//! |---|---|
//! | [`discovery`] | the token endpoint and what it supports |
//! | [`assertion`] | the signed JWT (RFC 7523) that proves who we are |
//! | [`scope`] | what to ask for, and whether it was granted |
//! | [`policy`] | whether a file's URL may see the token |
//! | [`public_jwks`] | the part of a key set that a server may see |

pub mod assertion;
mod cache;
pub mod discovery;
mod jwks;
pub mod policy;
pub mod scope;
mod smart;
mod token;

pub use jwks::public_jwks;
pub use policy::{TokenRule, Withheld, token_rule};
pub use scope::ScopeRequest;
pub use smart::Granted;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::AuthConfig;
use crate::http::redact;
use crate::http::wire::{Credentials, HeaderList, Wire};
use crate::platform::{Clock, Platform, Signer};
use crate::{Error, ErrorKind, Result};
use cache::{Cache, Grant};
use smart::Smart;

/// The credentials of a client.
pub(crate) enum Auth {
    /// None.
    Open,
    /// The same header always, and what of it is secret.
    Fixed { header: (String, String), secrets: Vec<String> },
    /// Tokens by SMART Backend Services.
    Smart(Box<Smart>),
    /// Tokens that the host gives when asked.
    Host { source: usize, cache: Box<Cache> },
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
            AuthConfig::Host { source } => Ok(Self::Host { source: *source, cache: Box::default() }),
        }
    }

    /// What the last token of SMART Backend Services is good for.
    pub(crate) fn granted(&self) -> Option<Granted> {
        match self {
            Self::Smart(smart) => smart.memory.borrow().last.clone(),
            _ => None,
        }
    }

    /// What must not appear in any text.
    pub(crate) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Open => Vec::new(),
            Self::Fixed { secrets, .. } => secrets.clone(),
            Self::Smart(smart) => smart.cache.secrets(),
            Self::Host { cache, .. } => cache.secrets(),
        }
    }
}

impl<P: Platform> Credentials<P> for Auth {
    async fn current(&self, wire: &Wire<'_, P>) -> Result<HeaderList> {
        match self {
            Self::Open => Ok(Vec::new()),
            Self::Fixed { header, .. } => Ok(vec![header.clone()]),
            Self::Smart(smart) => Ok(vec![bearer(&smart.token(wire).await?)]),
            Self::Host { source, cache } => Ok(vec![bearer(&cache.token(wire, ask_host(*source, wire)).await?)]),
        }
    }

    fn refused(&self, used: &[(String, String)]) -> bool {
        let cache = match self {
            Self::Open | Self::Fixed { .. } => return false,
            Self::Smart(smart) => &smart.cache,
            Self::Host { cache, .. } => cache,
        };
        for (_, value) in used.iter().filter(|(name, _)| name == "Authorization") {
            cache.forget(value.strip_prefix("Bearer ").unwrap_or_default());
        }
        true
    }
}

/// A token of the host's.
async fn ask_host<P: Platform>(source: usize, wire: &Wire<'_, P>) -> Result<Grant> {
    let platform = wire.platform;
    let asked_at = platform.clock().now_millis();
    let failed = |why: &str| {
        Error::new(ErrorKind::Auth, "token", format!("The function that gives the token {why}."))
            .with_hint("What is in the folder is kept: sign in again, then do the same again to resume.")
    };
    let given = platform.signer().token(source).await;
    let given = given.map_err(|why| failed(&format!("failed: {}", redact::text(why.trim_end_matches('.')))))?;
    let token = given.token.trim();
    if !is_token(token) {
        return Err(failed("gave none, or one that cannot be sent"));
    }
    let life = given.life_millis.filter(|life| *life > 0).map(|life| life as f64 / 1000.0);
    Ok(Grant::new(token.to_owned(), asked_at, life))
}

fn bearer(token: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("Bearer {token}"))
}

/// Whether `token` can be sent in a header: visible ASCII, not empty.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}
