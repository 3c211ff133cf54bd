//! Bindings: convert, call, convert back.
//!
//! Each job takes a host object (`Host` of `pkg-template/host.d.ts`) and a promise whose settling cancels it.

#![allow(unreachable_pub)] // wasm_bindgen exports what is `pub`, wherever it stands.

mod convert;
mod fetch;
mod host;
mod http;
mod storage;
mod transfers;

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};
use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use self::convert::{from_js, thrown, to_js};
use self::host::{Host, JsPlatform};
use crate::platform::Platform;
use crate::platform::transfer::{TransferProgress, TransferTask};
use crate::{Error, ErrorKind, Result};

thread_local! {
    static ON_PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// The version of the core.
#[wasm_bindgen]
pub fn version() -> String {
    crate::VERSION.to_owned()
}

/// Sets what is called, with a message, when the core panics. The instance must not be used after that.
#[wasm_bindgen(js_name = onPanic)]
pub fn on_panic(handler: Function) {
    ON_PANIC.set(Some(handler));
    std::panic::set_hook(Box::new(|info| {
        let message = JsValue::from_str(&info.to_string());
        // Taken out, so that a handler that comes back into the core finds none.
        if let Some(handler) = ON_PANIC.take() {
            let _ = handler.call1(&JsValue::UNDEFINED, &message);
        }
    }));
}

/// Runs one try of one file: what a worker does. `task` is a `TransferTask`, `progress` is called with the bytes received
/// and the resources seen; resolves to a `TransferOutcome`.
#[wasm_bindgen]
pub async fn transfer(host: Host, task: JsValue, progress: Function, cancelled: Promise) -> Result<JsValue, JsValue> {
    let task: TransferTask = input("the task", &task)?;
    let platform = JsPlatform::new(host);
    let listener = |seen: TransferProgress| {
        // Whatever a listener throws is its own affair.
        let _ = progress.call2(
            &JsValue::UNDEFINED,
            &JsValue::from_f64(seen.received as f64),
            &JsValue::from_f64(seen.resources as f64),
        );
    };
    let running = crate::ndjson::transfer(platform.http(), platform.storage(), platform.clock(), task, &listener);
    let outcome = until("download", cancelled, running).await.map_err(|error| thrown(&error))?;
    Ok(to_js(&outcome))
}

/// Waits for `running` unless `cancelled` settles first; then `running` is dropped, which aborts all that it started.
async fn until<T>(operation: &str, cancelled: Promise, running: impl Future<Output = Result<T>>) -> Result<T> {
    match select(pin!(running), JsFuture::from(cancelled)).await {
        Either::Left((output, _)) => output,
        Either::Right(_) => Err(Error::new(ErrorKind::Cancelled, operation, "Cancelled.")),
    }
}

/// An argument, or a usage error that names it.
fn input<T: serde::de::DeserializeOwned>(what: &str, value: &JsValue) -> Result<T, JsValue> {
    from_js(value).map_err(|message| thrown(&Error::usage(format!("There is something wrong with {what}: {message}."))))
}
