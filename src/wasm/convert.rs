//! Values across the boundary. Plain data crosses as JSON: the same form as `--progress json` and the config file, with
//! serde_json's messages for wrong input, and no second serialiser in the file. Bytes never cross this way.

use js_sys::{Error as JsError, JSON, Promise, Reflect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::{Error, Result};

/// A JS object from `value`.
pub(super) fn to_js<T: Serialize>(value: &T) -> JsValue {
    // Plain structs with string keys always serialise, and what serde_json writes always parses.
    serde_json::to_value(value)
        .ok()
        .and_then(|value| JSON::parse(&value.to_string()).ok())
        .unwrap_or(JsValue::UNDEFINED)
}

/// A value from a JS object. Keys whose value is `undefined` count as absent. The error is a sentence.
pub(super) fn from_js<T: DeserializeOwned>(value: &JsValue) -> Result<T, String> {
    let text = JSON::stringify(value).map_err(|error| text(&error))?;
    let text = text.as_string().ok_or_else(|| "the value cannot be written as JSON".to_owned())?;
    // Through a Value, as the ledger is: one reader for each type in the file, not one for each kind of source.
    let value: Value = serde_json::from_slice(text.as_bytes()).map_err(|error| error.to_string())?;
    crate::value::read(value)
}

/// What was thrown, in words. JS may throw anything.
pub(super) fn text(thrown: &JsValue) -> String {
    if let Some(error) = thrown.dyn_ref::<JsError>() {
        return String::from(error.message());
    }
    let message = property(thrown, "message").or_else(|| thrown.as_string());
    message.unwrap_or_else(|| format!("{thrown:?}"))
}

/// A property that is a string.
pub(super) fn property(value: &JsValue, name: &str) -> Option<String> {
    // Reflect::get throws where `value` is no object: then there is no such property.
    Reflect::get(value, &JsValue::from_str(name)).ok()?.as_string()
}

/// The `kind` of a thrown `{kind, message}`, if it is one that `T` knows.
pub(super) fn kind<T: DeserializeOwned>(thrown: &JsValue) -> Option<T> {
    crate::value::read(Value::String(property(thrown, "kind")?)).ok()
}

/// Waits for a promise; a host that has the value at hand may return it as it is, which saves a turn of the event loop.
pub(super) async fn settle(returned: Result<JsValue, JsValue>) -> Result<JsValue, JsValue> {
    match returned?.dyn_into::<Promise>() {
        Ok(promise) => JsFuture::from(promise).await,
        Err(value) => Ok(value),
    }
}

/// What is thrown to JS: our error as a plain object, with the exit status; `errors.js` makes a `SmartFetchError` of it.
pub(super) fn thrown(error: &Error) -> JsValue {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Thrown<'a> {
        #[serde(flatten)]
        error: &'a Error,
        exit_status: u8,
    }
    to_js(&Thrown { error, exit_status: error.exit_status() })
}
