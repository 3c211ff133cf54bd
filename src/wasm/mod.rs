//! Bindings: convert, call, convert back.
//!
//! Without the feature `full` only what every page and worker needs is bound: bulk exports, transfers, a look into folders. What is
//! not bound is not linked, so that those files are half as large.
//!
//! Each job takes a host object (`Host` of `pkg-template/host.d.ts`) and a promise whose settling cancels it.

#![allow(unreachable_pub)] // wasm_bindgen exports what is `pub`, wherever it stands.

mod convert;
#[cfg(feature = "full")]
mod crawl;
#[cfg(feature = "full")]
mod doctor;
#[cfg(feature = "full")]
mod export;
mod fetch;
#[cfg(feature = "full")]
mod folder;
mod host;
mod http;
#[cfg(feature = "full")]
mod hydrate;
#[cfg(feature = "full")]
mod patients;
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
use crate::config::BulkConfig;
use crate::fhir::resource_type;
use crate::job::{self, SingleConfig};
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
    let task: TransferTask = input(&task)?;
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

/// `text` as one gzip member: what a worker does for a job that writes rows.
#[wasm_bindgen]
pub fn gzip(text: &[u8]) -> Vec<u8> {
    crate::ndjson::gzip(text)
}

/// Throws a usage error for options (`BulkConfig`) that make no sense. Sends nothing.
#[wasm_bindgen(js_name = checkBulk)]
pub fn check_bulk(config: &JsValue) -> Result<(), JsValue> {
    let config: BulkConfig = input(config)?;
    job::check_bulk(&config).map_err(|error| thrown(&error))
}

/// Runs a bulk export (`BulkConfig`) in the host's folder, or carries on with what is there. Resolves to a `BulkReport`.
#[wasm_bindgen]
pub async fn bulk(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: BulkConfig = input(&config)?;
    let report =
        job::bulk(&JsPlatform::new(host), &config, settled(cancelled)).await.map_err(|error| thrown(&error))?;
    Ok(to_js(&report))
}

/// Cancels the folder's export on the server.
#[wasm_bindgen(js_name = cancelBulk)]
pub async fn cancel_bulk(host: Host, config: JsValue) -> Result<(), JsValue> {
    let config: BulkConfig = input(&config)?;
    job::cancel_bulk(&JsPlatform::new(host), &config).await.map_err(|error| thrown(&error))
}

/// Gets one resource (`SingleConfig`): JSON, or the bytes of a Binary.
#[wasm_bindgen]
pub async fn single(host: Host, config: JsValue, cancelled: Promise) -> Result<Vec<u8>, JsValue> {
    let config: SingleConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    until("single", cancelled, job::single(&platform, &config)).await.map_err(|error| thrown(&error))
}

/// The resource types that are known: those that `all` means, in the reference's order, and every one.
#[wasm_bindgen(js_name = resourceTypes)]
pub fn resource_types() -> JsValue {
    #[derive(serde::Serialize)]
    struct Types {
        usual: &'static [&'static str],
        all: &'static [&'static str],
    }
    to_js(&Types { usual: &resource_type::DEFAULT, all: resource_type::ALL })
}

/// What the host's folder holds (`FolderView`). Changes nothing and takes no lock.
#[wasm_bindgen]
pub async fn view(host: Host) -> Result<JsValue, JsValue> {
    let view = crate::folder::view::view(&JsPlatform::new(host)).await.map_err(|error| thrown(&error))?;
    Ok(to_js(&view))
}

/// Decodes a stored file, gzip or plain, that is pushed in pieces.
#[wasm_bindgen]
#[derive(Default)]
pub struct Decoder(crate::ndjson::Decoder);

#[wasm_bindgen]
impl Decoder {
    /// A decoder of one file.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    /// The next decoded bytes; none when more must be pushed first.
    pub fn pull(&mut self) -> Result<Vec<u8>, JsValue> {
        self.0.pull().map(<[u8]>::to_vec).map_err(|error| thrown(&error))
    }

    /// Ends the file, after everything was pulled; throws if it ends too early. Returns the last bytes.
    pub fn finish(&mut self) -> Result<Vec<u8>, JsValue> {
        self.0.finish().map(<[u8]>::to_vec).map_err(|error| thrown(&error))
    }
}

/// Resolves when `cancelled` settles, however it does.
async fn settled(cancelled: Promise) {
    let _ = JsFuture::from(cancelled).await;
}

/// Waits for `running` unless `cancelled` settles first; then `running` is dropped, which aborts all that it started.
async fn until<T>(operation: &str, cancelled: Promise, running: impl Future<Output = Result<T>>) -> Result<T> {
    match select(pin!(running), JsFuture::from(cancelled)).await {
        Either::Left((output, _)) => output,
        Either::Right(_) => Err(Error::new(ErrorKind::Cancelled, operation, "Cancelled.")),
    }
}

/// The options, or a usage error that says what is wrong with them.
fn input<T: serde::de::DeserializeOwned>(value: &JsValue) -> Result<T, JsValue> {
    let words = |message: String| format!("The options are wrong: {}.", message.trim_end_matches('.'));
    from_js(value).map_err(|message| thrown(&Error::usage(words(message))))
}
