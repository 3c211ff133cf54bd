//! SMART Backend Services: the token and its cache.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::lock::Mutex;

use super::discovery::{Discovery, check_private, discover};
use super::scope::{Dialect, ScopeRequest};
use super::token::{Grant, request};
use crate::http::url;
use crate::http::wire::Wire;
use crate::platform::{Clock, Platform};
use crate::{Error, Result};

/// A client of SMART Backend Services.
pub(crate) struct Smart {
    pub(super) client_id: String,
    token_url: Option<String>,
    /// Scopes to ask for verbatim.
    pub(super) scope: Option<String>,
    pub(super) request: ScopeRequest,
    state: RefCell<State>,
    /// Held while a token is asked for, so that many files at once ask for one.
    flight: Mutex<()>,
    pub(super) memory: RefCell<Memory>,
}

#[derive(Default)]
struct State {
    server: Option<Rc<Discovery>>,
    token: Option<Grant>,
    /// The token before, which a server may still echo.
    previous: Option<String>,
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
            state: RefCell::default(),
            flight: Mutex::new(()),
            memory: RefCell::default(),
        })
    }

    /// A token that is valid for a while: the cached one, or a new one.
    pub(super) async fn token<P: Platform>(&self, wire: &Wire<'_, P>) -> Result<String> {
        if let Some(token) = self.cached(wire) {
            return Ok(token);
        }
        let _flight = self.flight.lock().await;
        if let Some(token) = self.cached(wire) {
            return Ok(token);
        }
        let known = self.state.borrow().server.clone();
        let server = match (known, &self.token_url) {
            (Some(server), _) => server,
            (None, Some(token_url)) => {
                check_private(token_url, wire.allow_insecure)?;
                Rc::new(Discovery::configured(token_url))
            }
            (None, None) => Rc::new(discover(wire).await?),
        };
        self.state.borrow_mut().server = Some(server.clone());
        let grant = request(self, wire, &server).await?;
        let token = grant.token.clone();
        let mut state = self.state.borrow_mut();
        state.previous = state.token.replace(grant).map(|old| old.token).or_else(|| state.previous.take());
        Ok(token)
    }

    /// What the token must cover, as scopes; `asked` where that is not known better.
    pub(super) fn wanted(&self, asked: &str) -> String {
        match self.request.needed() {
            types if types.is_empty() || self.scope.is_some() => asked.to_owned(),
            types => types.iter().map(|name| Dialect::V2.read(name)).collect::<Vec<_>>().join(" "),
        }
    }

    fn cached<P: Platform>(&self, wire: &Wire<'_, P>) -> Option<String> {
        let now = wire.platform.clock().now_millis();
        self.state.borrow().token.as_ref().filter(|grant| now < grant.refresh_at).map(|grant| grant.token.clone())
    }

    /// Drops `token` if it is the cached one.
    pub(super) fn forget(&self, token: &str) {
        let mut state = self.state.borrow_mut();
        if let Some(grant) = state.token.take_if(|grant| grant.token == token) {
            state.previous = Some(grant.token);
        }
    }

    pub(super) fn secrets(&self) -> Vec<String> {
        let state = self.state.borrow();
        state.token.iter().map(|grant| grant.token.clone()).chain(state.previous.clone()).collect()
    }
}
