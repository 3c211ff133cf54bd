//! The bindings that find whose data there are: patients, groups.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::convert::{thrown, to_js};
use super::host::{Host, JsPlatform};
use super::{input, until};
use crate::bulk::groups::{self, GroupsConfig};
use crate::job::{self, PatientsConfig};

/// The ids of the patients that a search finds (`PatientsConfig`).
#[wasm_bindgen(js_name = patientIds)]
pub async fn patient_ids(host: Host, config: JsValue, cancelled: Promise) -> Result<Vec<String>, JsValue> {
    let config: PatientsConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    until("patients", cancelled, job::patient_ids(&platform, &config)).await.map_err(|error| thrown(&error))
}

/// The groups that a server lists (`GroupsConfig`), as a list of `Group`.
#[wasm_bindgen]
pub async fn groups(host: Host, config: JsValue, cancelled: Promise) -> Result<JsValue, JsValue> {
    let config: GroupsConfig = input(&config)?;
    let platform = JsPlatform::new(host);
    let found = until("groups", cancelled, groups::list(&platform, &config)).await;
    Ok(to_js(&found.map_err(|error| thrown(&error))?))
}
