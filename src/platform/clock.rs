//! Time and randomness.

use std::time::Duration;

/// The clock. Nothing in the core waits or asks for the time in any other way, so every wait is testable in virtual time.
pub trait Clock {
    /// Milliseconds since the Unix epoch, UTC.
    fn now_millis(&self) -> i64;

    /// The local zone's offset from UTC at `millis`, in minutes east.
    fn offset_minutes(&self, millis: i64) -> i32;

    /// Resolves after `duration`; may be days.
    async fn sleep(&self, duration: Duration);
}

/// A source of randomness that is fit for `jti` values.
pub trait Random {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
