//! Transfers on the host's pool of workers.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

use super::convert::{from_js, settle, text, to_js};
use super::host::JsClock;
use super::http::HostHttp;
use super::storage::JsStorage;
use crate::ndjson::InPlace;
use crate::platform::Transfers;
use crate::platform::transfer::{TransferOutcome, TransferProgress, TransferTask};
use crate::{Error, ErrorKind, Result};

#[wasm_bindgen]
extern "C" {
    /// `TransferPool` of `host.d.ts`.
    #[derive(Clone)]
    pub(super) type Pool;
    #[wasm_bindgen(method, catch)]
    fn start(this: &Pool, task: &JsValue, progress: &Closure<dyn Fn(f64, f64)>) -> Result<Running, JsValue>;

    /// Resolves to `text` as a gzip member. The bytes are a view of wasm memory, valid until it returns.
    #[wasm_bindgen(method, catch)]
    pub(super) fn gzip(this: &Pool, text: &[u8]) -> Result<Promise, JsValue>;

    /// A transfer under way on a worker.
    type Running;
    #[wasm_bindgen(method, catch)]
    fn outcome(this: &Running) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn abort(this: &Running) -> Result<(), JsValue>;
}

/// The host's pool, or no workers at all.
#[derive(Clone)]
pub(super) enum HostTransfers {
    /// With the folder that tasks are in.
    Pool(Pool, JsStorage),
    InPlace(InPlace<HostHttp, JsStorage, JsClock>),
}

/// Aborts the transfer when it is dropped before its end.
struct Guard {
    running: Running,
    ended: Cell<bool>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended.get() {
            // Nobody is left to be told.
            let _ = self.running.abort();
        }
    }
}

/// The latest progress, and who waits for it. The listener is only borrowed, so JS cannot call it itself.
#[derive(Default)]
struct Latest {
    progress: Cell<Option<(f64, f64)>>,
    waker: RefCell<Option<Waker>>,
}

async fn on_pool(
    pool: &Pool,
    task: &TransferTask,
    progress: &dyn Fn(TransferProgress),
) -> Result<TransferOutcome, JsValue> {
    let latest = Rc::new(Latest::default());
    let listener = {
        let latest = latest.clone();
        Closure::<dyn Fn(f64, f64)>::new(move |received, resources| {
            latest.progress.set(Some((received, resources)));
            if let Some(waker) = latest.waker.borrow_mut().take() {
                waker.wake();
            }
        })
    };
    let guard = Guard { running: pool.start(&to_js(task), &listener)?, ended: Cell::new(false) };
    let mut outcome = pin!(settle(guard.running.outcome()));
    let settled = poll_fn(|context| {
        *latest.waker.borrow_mut() = Some(context.waker().clone());
        if let Some((received, resources)) = latest.progress.take() {
            #[allow(clippy::cast_sign_loss)] // Counts.
            progress(TransferProgress { file: task.file, received: received as u64, resources: resources as u64 });
        }
        outcome.as_mut().poll(context)
    })
    .await;
    guard.ended.set(true);
    from_js(&settled?).map_err(|message| JsValue::from_str(&message))
}

impl HostTransfers {
    /// The same, at work in `storage`.
    pub(super) fn within(&self, http: &HostHttp, storage: &JsStorage, clock: &JsClock) -> Self {
        match self {
            Self::Pool(pool, _) => Self::Pool(pool.clone(), storage.clone()),
            Self::InPlace(_) => Self::InPlace(InPlace::new(http.clone(), storage.clone(), clock.clone())),
        }
    }
}

impl Transfers for HostTransfers {
    async fn transfer(&self, mut task: TransferTask, progress: &dyn Fn(TransferProgress)) -> Result<TransferOutcome> {
        match self {
            Self::InPlace(transfers) => transfers.transfer(task, progress).await,
            Self::Pool(pool, storage) => {
                task.path = storage.full(&task.path);
                on_pool(pool, &task, progress).await.map_err(|thrown| {
                    // The far end throws our own error, as `thrown` made it; anything else is a fault of the pool.
                    from_js(&thrown).unwrap_or_else(|_| Error::new(ErrorKind::Unsupported, "download", text(&thrown)))
                })
            }
        }
    }
}
