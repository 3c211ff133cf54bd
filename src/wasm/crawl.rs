//! Crawls.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::convert::{thrown, to_js};
use super::host::{Host, JsPlatform};
use super::{input, settled};
use crate::config::ExportConfig;
use crate::crawl::cohort;
use crate::job;

/// Throws a usage error for options (`ExportConfig`) of a crawl that make no sense. Sends nothing.
#[wasm_bindgen(js_name = checkCrawl)]
pub fn check_crawl(config: &JsValue) -> Result<(), JsValue> {
    let config: ExportConfig = input(config)?;
    job::check_crawl(&config).map_err(|error| thrown(&error))
}

/// Runs a crawl (`ExportConfig`) in the host's folder, or carries on with what is there. Resolves to a `CrawlReport`.
#[wasm_bindgen]
pub async fn crawl(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: ExportConfig = input(&config)?;
    let report = job::crawl(&JsPlatform::new(host), &config, settled(cancelled)).await;
    Ok(to_js(&report.map_err(|error| thrown(&error))?))
}

/// The ids in the text of a file called `name`: one a line, or the column `id` (else `mrn`) of a `.csv`.
#[wasm_bindgen(js_name = parseIds)]
pub fn parse_ids(name: &str, text: &str) -> Result<Vec<String>, JsValue> {
    cohort::parse_ids(name, text).map_err(|error| thrown(&error))
}
