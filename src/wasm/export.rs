//! Managed exports.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::convert::{thrown, to_js};
use super::host::{Host, JsPlatform};
use super::{input, settled, until};
use crate::config::{ExportConfig, LocalConfig};
use crate::job;

/// Throws a usage error for options (`ExportConfig`) that make no sense. Sends nothing.
#[wasm_bindgen(js_name = checkExport)]
pub fn check_export(config: &JsValue) -> Result<(), JsValue> {
    let config: ExportConfig = input(config)?;
    job::check_export(&config).map_err(|error| thrown(&error))
}

/// Runs a managed export (`ExportConfig`) in the host's folder. Resolves to an `ExportReport`. `export` is a word of JavaScript.
#[wasm_bindgen(js_name = managedExport)]
pub async fn export(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: ExportConfig = input(&config)?;
    let report = job::export(&JsPlatform::new(host), &config, settled(cancelled)).await;
    Ok(to_js(&report.map_err(|error| thrown(&error))?))
}

/// Makes the links of the host's managed folder (`LocalConfig`) anew; resolves to `{ links }`.
#[wasm_bindgen(js_name = resetLinks)]
pub async fn reset_links(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: LocalConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    let made = until("links", cancelled, crate::folder::links::reset(&platform, config.folder.as_deref())).await;
    let links = made.map_err(|error| thrown(&error))?;
    Ok(to_js(&serde_json::json!({ "links": links })))
}
