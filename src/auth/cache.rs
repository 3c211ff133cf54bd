//! The token at hand, whoever grants it.

use std::cell::RefCell;
use std::future::Future;

use futures_util::lock::Mutex;

use crate::Result;
use crate::http::wire::Wire;
use crate::platform::{Clock, Platform};

/// A token and when to stop using it.
pub(super) struct Grant {
    pub(super) token: String,
    /// In our clock's milliseconds: shortly before it expires.
    refresh_at: i64,
}

impl Grant {
    /// A token that was asked for at `asked_at` and is good for `life` seconds; until it is refused where that is not known.
    pub(super) fn new(token: String, asked_at: i64, life: Option<f64>) -> Self {
        // A request that begins with the token must not arrive after its end.
        let usable = |life: f64| ((life - (life * 0.2).min(30.0)) * 1000.0) as i64;
        Self { token, refresh_at: life.map_or(i64::MAX, |life| asked_at + usable(life)) }
    }
}

/// Keeps a token, and sees to it that many requests at once ask for one.
#[derive(Default)]
pub(crate) struct Cache {
    token: RefCell<Option<Grant>>,
    /// The token before, which a server may still echo.
    previous: RefCell<Option<String>>,
    /// Held while a token is asked for.
    flight: Mutex<()>,
}

impl Cache {
    /// The token at hand, or the one that `fresh` gets.
    pub(super) async fn token<P: Platform>(
        &self,
        wire: &Wire<'_, P>,
        fresh: impl Future<Output = Result<Grant>>,
    ) -> Result<String> {
        if let Some(token) = self.at_hand(wire) {
            return Ok(token);
        }
        let _flight = self.flight.lock().await;
        if let Some(token) = self.at_hand(wire) {
            return Ok(token);
        }
        let grant = fresh.await?;
        let token = grant.token.clone();
        if let Some(old) = self.token.replace(Some(grant)) {
            self.previous.replace(Some(old.token));
        }
        Ok(token)
    }

    fn at_hand<P: Platform>(&self, wire: &Wire<'_, P>) -> Option<String> {
        let now = wire.platform.clock().now_millis();
        self.token.borrow().as_ref().filter(|grant| now < grant.refresh_at).map(|grant| grant.token.clone())
    }

    /// Drops `token` if it is the one at hand.
    pub(super) fn forget(&self, token: &str) {
        if let Some(grant) = self.token.borrow_mut().take_if(|grant| grant.token == token) {
            self.previous.replace(Some(grant.token));
        }
    }

    pub(super) fn secrets(&self) -> Vec<String> {
        let token = self.token.borrow().as_ref().map(|grant| grant.token.clone());
        token.into_iter().chain(self.previous.borrow().clone()).collect()
    }
}
