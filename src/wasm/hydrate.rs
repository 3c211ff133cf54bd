//! Hydration.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use super::convert::{thrown, to_js};
use super::host::{Host, JsPlatform};
use super::input;
use crate::config::HydrateConfig;
use crate::hydrate::tasks::GROUPS;
use crate::job;

/// Throws a usage error for options (`HydrateConfig`) that make no sense. Sends nothing.
#[wasm_bindgen(js_name = checkHydrate)]
pub fn check_hydrate(config: &JsValue) -> Result<(), JsValue> {
    let config: HydrateConfig = input(config)?;
    job::check_hydrate(&config).map_err(|error| thrown(&error))
}

/// Fetches what the resources in the host's folder refer to (`HydrateConfig`). Resolves to a `HydrateReport`.
#[wasm_bindgen]
pub async fn hydrate(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: HydrateConfig = input(&config)?;
    let cancelled = async {
        // However it settles.
        let _ = JsFuture::from(cancelled).await;
    };
    let report = job::hydrate(&JsPlatform::new(host), &config, cancelled).await.map_err(|error| thrown(&error))?;
    Ok(to_js(&report))
}

/// The names of groups of hydration tasks, in the order in which they run.
#[wasm_bindgen(js_name = hydrationTasks)]
pub fn hydration_tasks() -> JsValue {
    to_js(&GROUPS)
}
