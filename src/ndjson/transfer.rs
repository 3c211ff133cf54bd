//! One try of one file.

use crate::platform::transfer::{TransferOutcome, TransferProgress, TransferTask};
use crate::platform::{Clock, Http, Storage, Transfers};
use crate::{Error, ErrorKind, Result};

/// Fetches `task.url` into `task.path`, checking every byte on the way. Runs at the far end of [`Transfers`].
pub async fn transfer<H: Http, S: Storage, C: Clock>(
    _http: &H,
    _storage: &S,
    _clock: &C,
    task: TransferTask,
    _progress: &dyn Fn(TransferProgress),
) -> Result<TransferOutcome> {
    Err(Error::new(ErrorKind::Unsupported, "download", format!("{task:?}")))
}

/// Runs transfers where the job runs: for hosts without workers, and for tests.
pub struct InPlace<H, S, C> {
    http: H,
    storage: S,
    clock: C,
}

impl<H, S, C> InPlace<H, S, C> {
    /// Transfers over `http` into `storage`.
    pub fn new(http: H, storage: S, clock: C) -> Self {
        Self { http, storage, clock }
    }
}

impl<H: Http, S: Storage, C: Clock> Transfers for InPlace<H, S, C> {
    async fn transfer(&self, task: TransferTask, progress: &dyn Fn(TransferProgress)) -> Result<TransferOutcome> {
        transfer(&self.http, &self.storage, &self.clock, task, progress).await
    }
}
