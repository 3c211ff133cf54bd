//! How many requests go to an origin at once, and when none do. Shared by all requests of a client.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::url;
use crate::platform::{Clock, Platform};

/// Limits the requests in flight to each origin.
///
/// The limit starts at the maximum. Each 429 or 503 was one request too many, so the limit becomes one less than what was
/// in flight: of five requests to a server that takes three, two are refused, and the limit is three. (Halving would
/// overshoot and then cost further refusals to find three again.) A server that refuses everything is soon at one.
///
/// What was refused is tried again after a run of successes, twice as long each time, and not before twenty times the
/// wait that the last refusal cost everybody; so that a server with a hard limit is not bothered again and again. Once it
/// holds, the limit grows by one each round. `Retry-After` closes the gate of the origin for everybody.
pub struct Politeness<'p, P: Platform> {
    platform: &'p P,
    max: u32,
    origins: RefCell<HashMap<String, Rc<RefCell<Origin>>>>,
    /// The same by scheme and authority as URLs have them: several may mean one origin.
    roots: RefCell<HashMap<String, Rc<RefCell<Origin>>>>,
}

/// Successes before a refused level is tried again, at first and at most.
const FIRST_PROBE: u32 = 16;
const LAST_PROBE: u32 = 4096;

#[derive(Debug)]
struct Origin {
    limit: u32,
    active: u32,
    /// The most that were in flight since the limit was last cut. Not what is in flight when a refusal arrives: others
    /// may have ended meanwhile.
    peak: u32,
    /// The least number in flight that is known to be too many.
    refused: Option<u32>,
    /// Successes at the current limit.
    run: u32,
    /// Successes needed before `refused` is tried again.
    probe: u32,
    /// Not before this time, in milliseconds.
    probe_at: i64,
    gate_until: i64,
    successes: u64,
    answered: bool,
    queue: VecDeque<(u64, Option<Waker>)>,
    next_ticket: u64,
}

impl Origin {
    fn grow(&mut self, max: u32, now: i64) {
        self.successes += 1;
        self.run = self.run.saturating_add(1);
        if self.refused.is_some_and(|refused| self.limit >= refused) && self.run >= self.limit.saturating_mul(2) {
            // It is not refused any more.
            self.refused = None;
            self.probe = FIRST_PROBE;
        }
        let is_probe = self.refused.is_some_and(|refused| self.limit + 1 >= refused);
        let ripe = if is_probe {
            self.run >= self.probe.max(self.limit) && now >= self.probe_at
        } else {
            self.run >= self.limit
        };
        if self.limit < max && ripe {
            self.limit += 1;
            self.run = 0;
        }
    }

    fn cut(&mut self, gate_millis: i64, now: i64) {
        if self.refused.is_some_and(|refused| self.limit >= refused) {
            self.probe = (self.probe * 2).min(LAST_PROBE);
        }
        self.limit = self.limit.min(self.peak).saturating_sub(1).max(1);
        self.peak = self.limit;
        self.refused = Some(self.limit + 1);
        self.run = 0;
        self.probe_at = now.saturating_add(gate_millis.saturating_mul(20));
        self.gate_until = self.gate_until.max(now.saturating_add(gate_millis));
    }
}

/// Wakes whoever is next, outside of any borrow: a waker may run the task at once.
fn wake_front(origin: &Rc<RefCell<Origin>>) {
    let waker = origin.borrow_mut().queue.front_mut().and_then(|(_, waker)| waker.take());
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<'p, P: Platform> Politeness<'p, P> {
    /// At most `max` requests in flight to each origin, at least 1.
    pub fn new(platform: &'p P, max: u32) -> Self {
        Self { platform, max: max.max(1), origins: RefCell::default(), roots: RefCell::default() }
    }

    /// Waits until a request to the origin of `url` may go, first come, first served.
    pub async fn admit(&self, url: &str) -> Permit<'_, P> {
        let origin = self.origin(url);
        let ticket = Ticket::draw(&origin);
        loop {
            poll_fn(|context| {
                let mut state = origin.borrow_mut();
                let free = state.active < state.limit;
                if free && state.queue.front().is_some_and(|(id, _)| *id == ticket.id) {
                    return Poll::Ready(());
                }
                if let Some(entry) = state.queue.iter_mut().find(|(id, _)| *id == ticket.id) {
                    entry.1 = Some(context.waker().clone());
                }
                Poll::Pending
            })
            .await;
            // What is in flight goes on; everybody else waits behind the first in the queue.
            self.platform.resumed().await;
            if !self.closed_for(&origin).await {
                break;
            }
        }
        {
            let mut state = origin.borrow_mut();
            state.active += 1;
            state.peak = state.peak.max(state.active);
        }
        drop(ticket);
        Permit { politeness: self, origin }
    }

    /// As [`Politeness::admit`], for the request of a token: only the gate is waited for. Whoever holds a place may need
    /// the token to go on, so that waiting for a place could be for ever.
    pub(crate) async fn admit_aside(&self, url: &str) -> Permit<'_, P> {
        let origin = self.origin(url);
        while self.closed_for(&origin).await {}
        origin.borrow_mut().active += 1;
        Permit { politeness: self, origin }
    }

    /// Waits for the gate; whether it was closed.
    async fn closed_for(&self, origin: &RefCell<Origin>) -> bool {
        let closed = origin.borrow().gate_until - self.platform.clock().now_millis();
        if closed > 0 {
            self.platform.clock().sleep(Duration::from_millis(closed.unsigned_abs())).await;
        }
        closed > 0
    }

    /// Requests to the origin of `url` that may be in flight at the moment.
    pub fn limit(&self, url: &str) -> u32 {
        self.origin(url).borrow().limit
    }

    /// Requests in flight, over all origins.
    pub fn active(&self) -> u32 {
        self.origins.borrow().values().map(|origin| origin.borrow().active).sum()
    }

    /// Successful requests to the origin of `url` so far.
    pub fn successes(&self, url: &str) -> u64 {
        self.origin(url).borrow().successes
    }

    /// Whether the origin of `url` ever answered.
    pub fn answered(&self, url: &str) -> bool {
        self.origin(url).borrow().answered
    }

    fn origin(&self, url: &str) -> Rc<RefCell<Origin>> {
        // Each request asks several times; which origin it is need not be read off the URL each time.
        let root = url::root(url);
        if let Some(origin) = self.roots.borrow().get(root) {
            return origin.clone();
        }
        let origin = self.of_origin(url);
        self.roots.borrow_mut().insert(root.to_owned(), origin.clone());
        origin
    }

    fn of_origin(&self, url: &str) -> Rc<RefCell<Origin>> {
        let key = url::origin(url).unwrap_or_default();
        let fresh = || {
            Rc::new(RefCell::new(Origin {
                limit: self.max,
                active: 0,
                peak: 0,
                refused: None,
                run: 0,
                probe: FIRST_PROBE,
                probe_at: 0,
                gate_until: 0,
                successes: 0,
                answered: false,
                queue: VecDeque::new(),
                next_ticket: 0,
            }))
        };
        self.origins.borrow_mut().entry(key).or_insert_with(fresh).clone()
    }
}

/// A place in the queue; leaves it when dropped, admitted or not.
struct Ticket<'a> {
    origin: &'a Rc<RefCell<Origin>>,
    id: u64,
}

impl<'a> Ticket<'a> {
    fn draw(origin: &'a Rc<RefCell<Origin>>) -> Self {
        let mut state = origin.borrow_mut();
        let id = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back((id, None));
        Self { origin, id }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.origin.borrow_mut().queue.retain(|(id, _)| *id != self.id);
        wake_front(self.origin);
    }
}

/// Leave to have one request in flight, until its body is read. Dropped without a word it says nothing about the server.
pub struct Permit<'a, P: Platform> {
    politeness: &'a Politeness<'a, P>,
    origin: Rc<RefCell<Origin>>,
}

impl<P: Platform> Permit<'_, P> {
    /// The server served the request, whatever the status was besides 429 and 5xx.
    pub fn succeeded(self) {
        self.answered();
        let now = self.politeness.platform.clock().now_millis();
        self.origin.borrow_mut().grow(self.politeness.max, now);
    }

    /// The server answered 429 or 503. With `gate`, nobody asks this origin for that long.
    pub fn throttled(self, gate: Option<Duration>) {
        self.answered();
        let now = self.politeness.platform.clock().now_millis();
        let gate = gate.map_or(0, |gate| i64::try_from(gate.as_millis()).unwrap_or(i64::MAX));
        self.origin.borrow_mut().cut(gate, now);
    }

    /// The server is there, whatever it answered.
    pub fn answered(&self) {
        self.origin.borrow_mut().answered = true;
    }
}

impl<P: Platform> Drop for Permit<'_, P> {
    fn drop(&mut self) {
        self.origin.borrow_mut().active -= 1;
        wake_front(&self.origin);
    }
}
