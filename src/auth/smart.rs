//! SMART Backend Services: the token and its cache.

use std::cell::RefCell;
use std::rc::Rc;

use super::cache::Cache;
use super::discovery::{Discovery, check_private, discover};
use super::scope::{Dialect, ScopeRequest};
use super::token::request;
use crate::http::url;
use crate::http::wire::Wire;
use crate::platform::Platform;
use crate::{Error, Result};

/// A client of SMART Backend Services.
pub(crate) struct Smart {
    pub(super) client_id: String,
    token_url: Option<String>,
    /// Scopes to ask for verbatim.
    pub(super) scope: Option<String>,
    pub(super) request: ScopeRequest,
    server: RefCell<Option<Rc<Discovery>>>,
    pub(super) cache: Cache,
    pub(super) memory: RefCell<Memory>,
}

/// What a token is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The scopes, as the server tells them; as asked for where it does not.
    pub scopes: String,
    /// What was asked for and not granted: types, and other scopes verbatim.
    pub missing: Vec<String>,
    /// Its life in seconds, where the server says it.
    pub seconds: Option<u64>,
}

/// What was learnt from earlier answers of the token endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Which of the scope candidates works.
    pub(super) candidate: usize,
    /// What to add to our clock, in milliseconds, to get the server's (B07).
    pub(super) skew_millis: i64,
    /// Whether a token was ever granted.
    pub(super) granted: bool,
    /// What the last token is good for.
    pub(super) last: Option<Granted>,
    /// The last warning about narrower scopes.
    pub(super) warned: Option<Vec<String>>,
}

impl Smart {
    pub(super) fn new(
        client_id: &str,
        token_url: Option<&str>,
        scope: Option<&str>,
        request: ScopeRequest,
    ) -> Result<Self> {
        let client_id = client_id.trim();
        if client_id.is_empty() || client_id.contains(char::is_control) {
            return Err(Error::usage("The SMART client id is empty or holds a control character."));
        }
        if let Some(Err(why)) = token_url.map(url::parse) {
            return Err(Error::usage(format!("The token URL {why}."))
                .with_hint("It should look like https://ehr.example.com/oauth2/token."));
        }
        Ok(Self {
            client_id: client_id.to_owned(),
            token_url: token_url.map(str::to_owned),
            scope: scope.map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned),
            request,
            server: RefCell::default(),
            cache: Cache::default(),
            memory: RefCell::default(),
        })
    }

    /// A token that is valid for a while: the cached one, or a new one.
    pub(super) async fn token<P: Platform>(&self, wire: &Wire<'_, P>) -> Result<String> {
        let fresh = async {
            let known = self.server.borrow().clone();
            let server = match (known, &self.token_url) {
                (Some(server), _) => server,
                (None, Some(token_url)) => {
                    check_private(token_url, wire.allow_insecure)?;
                    Rc::new(Discovery::configured(token_url))
                }
                (None, None) => Rc::new(discover(wire).await?),
            };
            self.server.replace(Some(server.clone()));
            request(self, wire, &server).await
        };
        self.cache.token(wire, fresh).await
    }

    /// What the token must cover, as scopes; `asked` where that is not known better.
    pub(super) fn wanted(&self, asked: &str) -> String {
        match self.request.needed() {
            types if types.is_empty() || self.scope.is_some() => asked.to_owned(),
            types => types.iter().map(|name| Dialect::V2.read(name)).collect::<Vec<_>>().join(" "),
        }
    }
}
