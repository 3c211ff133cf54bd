//! The binding of `patient_ids`.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::convert::thrown;
use super::host::{Host, JsPlatform};
use super::{input, until};
use crate::job::{self, PatientsConfig};

/// The ids of the patients that a search finds (`PatientsConfig`).
#[wasm_bindgen(js_name = patientIds)]
pub async fn patient_ids(host: Host, config: JsValue, cancelled: Promise) -> Result<Vec<String>, JsValue> {
    let config: PatientsConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    until("patients", cancelled, job::patient_ids(&platform, &config)).await.map_err(|error| thrown(&error))
}
