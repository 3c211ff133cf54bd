//! Jobs that the user may stop at any moment.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};

use crate::{Error, ErrorKind, Result};

/// What is said of a job that was stopped.
pub(super) struct Words {
    /// The job, for programs.
    pub(super) operation: &'static str,
    /// What happened.
    pub(super) message: &'static str,
    /// What to do next.
    pub(super) hint: &'static str,
}

/// Runs a job to its end, unless `cancelled` resolves first. Then it is dropped, which aborts what it started; a folder needs no
/// farewell, since it can be resumed after any crash.
pub(super) async fn until<T>(
    cancelled: impl Future<Output = ()>,
    words: Words,
    running: impl Future<Output = Result<T>>,
) -> Result<T> {
    match select(pin!(running), pin!(cancelled)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => {
            Err(Error::new(ErrorKind::Cancelled, words.operation, words.message).retryable().with_hint(words.hint))
        }
    }
}
