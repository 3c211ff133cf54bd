//! What is tried again, and after how long. Pure: the caller sleeps.

use std::time::Duration;

use crate::config::decimal;
use crate::fhir::instant::http_date;
use crate::platform::{HttpError, HttpErrorKind};

/// Reads `Retry-After` (RFC 9110 §10.2.3): seconds, or a date relative to the response's own `Date`. Unix times in seconds
/// or milliseconds, which servers send (D04), are read as dates. `None` for garbage, the negative and the absurd: more
/// than 31 days.
pub fn parse_retry_after(value: Option<&str>, date: Option<&str>, now_millis: i64) -> Option<Duration> {
    const LONGEST: i64 = 31 * 86_400_000;
    let value = value?.trim();
    let server_now = date.and_then(http_date).unwrap_or(now_millis);
    let millis = if let Some(number) = decimal(value) {
        let millis = (number * 1000.0).min(9e15) as i64;
        let year_2001 = 978_307_200_000;
        match millis {
            0..=LONGEST => millis,
            _ if (year_2001..year_2001 * 5).contains(&millis) => millis - server_now,
            _ if (year_2001..year_2001 * 5).contains(&(millis / 1000)) => millis / 1000 - server_now,
            _ => return None,
        }
    } else {
        (http_date(value)? - server_now).max(0)
    };
    (0..=LONGEST).contains(&millis).then(|| Duration::from_millis(millis.unsigned_abs()))
}

/// The wait of DESIGN §6: the longer of our own and what was asked, at most `cap`.
pub fn wait(own: Duration, asked: Option<Duration>, cap: Duration) -> Duration {
    own.max(asked.unwrap_or_default()).min(cap)
}

/// How failures are dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Waits between tries; their number is the number of retries.
    pub delays: Vec<Duration>,
    /// Longest wait that a server may ask for with `Retry-After`.
    pub max_wait: Duration,
}

impl RetryPolicy {
    /// The longest wait that a brief call accepts.
    pub(crate) const LONGEST_BRIEF: Duration = Duration::from_secs(10);

    /// For [`Retry::Brief`](super::Retry::Brief) and for a server that never answered so far, which is more often a wrong
    /// address than an outage: two repeats within seconds, or fewer and faster if the user says so.
    pub(crate) fn brief(&self) -> Self {
        let own = self.delays.iter().copied();
        Self {
            delays: own.zip([1, 5]).map(|(own, short)| own.min(Duration::from_secs(short))).collect(),
            max_wait: self.max_wait,
        }
    }

    /// A fresh count for one call.
    pub fn tries(&self) -> Tries<'_> {
        Tries { policy: self, used: 0, free: 0, seen_successes: None }
    }
}

/// Why a try failed, where another one may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 429 or 503, with what `Retry-After` asks.
    Throttled(Option<Duration>),
    /// Another failure, with what `Retry-After` asks.
    Failed(Option<Duration>),
}

impl Failure {
    /// For a status; `None` if another try would not help.
    pub fn of_status(status: u16, retry_after: Option<Duration>) -> Option<Self> {
        match status {
            429 | 503 => Some(Self::Throttled(retry_after)),
            408 | 500 | 502 | 504 => Some(Self::Failed(retry_after)),
            _ => None,
        }
    }

    /// For a transport error; `None` if another try would not help.
    pub fn of_error(error: &HttpError) -> Option<Self> {
        error.is_transient().then_some(Self::Failed(None))
    }

    /// For a transport error before which nothing was sent.
    pub fn of_unsent(error: &HttpError) -> Option<Self> {
        (error.kind == HttpErrorKind::Connect).then_some(Self::Failed(None))
    }
}

/// A wait before the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How long.
    pub wait: Duration,
    /// Whether nobody else may ask this origin either until then.
    pub gate: bool,
    /// Whether it is because of 429 or 503.
    pub throttled: bool,
}

/// Counts the tries of one call.
#[derive(Debug)]
pub struct Tries<'a> {
    policy: &'a RetryPolicy,
    used: usize,
    free: u32,
    seen_successes: Option<u64>,
}

/// Throttled tries that cost nothing of the retry budget, at most.
const FREE_TRIES: u32 = 20;
/// First wait after a refusal that our own concurrency may have caused.
const FIRST_THROTTLE: Duration = Duration::from_millis(200);
/// Longest such wait.
const LONGEST_THROTTLE: Duration = Duration::from_secs(10);

impl Tries<'_> {
    /// What to do after `failure`: wait and try again, or (`None`) give up. `successes` counts the successes of the origin
    /// so far ([`Politeness::successes`](super::Politeness::successes)); `jitter` is in `0.0..1.0`.
    ///
    /// Being throttled is cheap as long as it gets us anywhere: the first time, while other requests succeed, and when
    /// the server says when to come back, a try costs nothing of the budget and our own wait is short (200 ms, doubling
    /// to 10 s). Otherwise the wait is the next of the policy's delays.
    pub fn after(&mut self, failure: Failure, successes: u64, jitter: f64) -> Option<Pause> {
        let (asked, throttled) = match failure {
            Failure::Throttled(asked) => (asked, true),
            Failure::Failed(asked) => (asked, false),
        };
        if throttled && self.free < FREE_TRIES {
            let moving = self.seen_successes.is_none_or(|seen| successes > seen);
            self.seen_successes = Some(successes);
            if moving || asked.is_some() {
                let own = FIRST_THROTTLE.saturating_mul(1 << self.free.min(6)).min(LONGEST_THROTTLE);
                self.free += 1;
                return Some(self.pause(own, asked, jitter, asked.is_some(), true));
            }
        }
        let own = *self.policy.delays.get(self.used)?;
        self.used += 1;
        Some(self.pause(own, asked, jitter, throttled || asked.is_some(), throttled))
    }

    /// Own delays vary by a fifth either way, so that many clients do not come back at once; what a server asks for is
    /// the least.
    fn pause(&self, own: Duration, asked: Option<Duration>, jitter: f64, gate: bool, throttled: bool) -> Pause {
        let own = own.mul_f64(0.8 + 0.4 * jitter);
        let wait = wait(own, asked, self.policy.max_wait.max(own));
        Pause { wait, gate, throttled }
    }
}
