//! The binding of `doctor`.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::convert::{thrown, to_js};
use super::host::{Host, JsPlatform};
use super::{input, until};
use crate::doctor::{self, DoctorConfig};

/// Examines a server (`DoctorConfig`). Resolves to a `DoctorReport`.
#[wasm_bindgen]
pub async fn doctor(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: DoctorConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    let report =
        until("doctor", cancelled, doctor::doctor(&platform, &config)).await.map_err(|error| thrown(&error))?;
    Ok(to_js(&report))
}
