//! Jobs on what is in a folder already. None of them sends anything.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::convert::{thrown, to_js};
use super::host::{Host, JsPlatform};
use super::{input, until};
use crate::config::LocalConfig;

/// Makes a Bundle of the host's folder (`LocalConfig`); resolves to a `BundleReport`.
#[wasm_bindgen]
pub async fn bundle(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: LocalConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    let report = until("bundle", cancelled, crate::bundle::bundle(&platform, &config)).await;
    Ok(to_js(&report.map_err(|error| thrown(&error))?))
}

/// Merges the managed folder that is the host's source into the host's folder (`LocalConfig`); resolves to a `MergeReport`.
#[wasm_bindgen]
pub async fn merge(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: LocalConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    let report = until("merge", cancelled, crate::merge::merge(&platform, &config)).await;
    Ok(to_js(&report.map_err(|error| thrown(&error))?))
}

/// Checks the host's folder (`LocalConfig`); resolves to a `VerifyReport`. Temporary files go into the host's source, if it gives one.
#[wasm_bindgen]
pub async fn verify(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: LocalConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    let report = until("verify", cancelled, crate::verify::verify(&platform, config.folder.as_deref())).await;
    Ok(to_js(&report.map_err(|error| thrown(&error))?))
}
