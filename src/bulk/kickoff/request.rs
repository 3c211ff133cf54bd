//! Kick-off parameters as a GET or a POST.

use serde_json::{Map, Value, json};

use super::KickoffParams;
use crate::config::Level;
use crate::fhir::capability::{Operation, Stu};
use crate::http::Call;
use crate::http::Retry;
use crate::platform::Method;

/// The system of `includeAssociatedData` codes (STU4).
const ASSOCIATED_DATA: &str = "http://hl7.org/fhir/uv/bulkdata/CodeSystem/include-associated-data";

/// A kick-off request, with what the bulk export log says of it.
pub struct KickoffRequest {
    /// The call.
    pub call: Call,
    /// The parameters by name, lists joined by commas, without `patient` (whose ids are identifying).
    pub parameters: Map<String, Value>,
}

/// Builds the request to invoke `operation` below `base` (C01 to C04).
pub fn build(base: &str, params: &KickoffParams, operation: &Operation, method: Method) -> KickoffRequest {
    let mut url = format!("{}{}", base.trim_end_matches('/'), path(&params.level, &operation.name));
    let mut call = Call::new("kick-off", method, "");
    call.headers = headers(params);
    if method == Method::Post {
        let body = parameters(params, operation.stu.unwrap_or(Stu::Stu3));
        call = call.body("application/fhir+json", body.to_string());
    } else {
        let query = query(params);
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
    }
    call.url = url;
    // A kick-off starts a job: it is never repeated where the server may have acted on it (C14).
    call.retry = Retry::BeforeSending;
    KickoffRequest { call, parameters: logged(params) }
}

/// `/$export`, `/Patient/$export`, `/Group/{id}/$export` (C04).
pub fn path(level: &Level, operation: &str) -> String {
    match level {
        Level::System => format!("/${operation}"),
        Level::Patient => format!("/Patient/${operation}"),
        Level::Group(id) => format!("/Group/{}/${operation}", encode(id)),
    }
}

/// `Accept` exactly as the sandbox compares it (C02), and all preferences in one header (C03, C12, C15).
fn headers(params: &KickoffParams) -> Vec<(String, String)> {
    let mut prefer = "respond-async".to_owned();
    if params.lenient {
        prefer.push_str(", handling=lenient");
    }
    if params.separate_export_status {
        prefer.push_str(", separate-export-status");
    }
    vec![("Accept".to_owned(), "application/fhir+json".to_owned()), ("Prefer".to_owned(), prefer)]
}

/// Every value percent-encoded (C08), lists joined by commas as STU1 has it (C07). `patient` has no GET form (C05).
pub fn query(params: &KickoffParams) -> String {
    let pairs = pairs(params);
    let encoded: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    encoded.join("&")
}

fn pairs(params: &KickoffParams) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            pairs.push((name.to_owned(), value));
        }
    };
    add("_type", params.types.join(","));
    add("_typeFilter", params.type_filters.iter().map(|f| protect_commas(f)).collect::<Vec<_>>().join(","));
    add("_since", params.since.clone().unwrap_or_default());
    add("_until", params.until.clone().unwrap_or_default());
    add("_elements", params.elements.join(","));
    add("includeAssociatedData", params.include_associated_data.join(","));
    add("organizeOutputBy", params.organize_output_by.clone().unwrap_or_default());
    add("allowPartialManifests", if params.allow_partial_manifests { "true".to_owned() } else { String::new() });
    add("_outputFormat", params.output_format.clone().unwrap_or_default());
    pairs.extend(params.extra.iter().cloned());
    pairs
}

/// The `Parameters` resource of a POST: one entry a value (C06, C07).
pub fn parameters(params: &KickoffParams, stu: Stu) -> Value {
    let mut entries = Vec::new();
    let mut add = |name: &str, value: Value| entries.push(entry(name, value));
    for name in &params.types {
        add("_type", json!({"valueString": name}));
    }
    for filter in &params.type_filters {
        // Only servers before STU4 may take a comma for the end of a filter (C09).
        let filter = if stu == Stu::Stu4 { filter.clone() } else { protect_commas(filter) };
        add("_typeFilter", json!({"valueString": filter}));
    }
    for (name, value) in [("_since", &params.since), ("_until", &params.until)] {
        if let Some(value) = value {
            add(name, json!({"valueInstant": value}));
        }
    }
    for element in &params.elements {
        add("_elements", json!({"valueString": element}));
    }
    for reference in &params.patients {
        add("patient", json!({"valueReference": {"reference": reference}}));
    }
    for code in &params.include_associated_data {
        add("includeAssociatedData", associated_data(code, stu));
    }
    if let Some(value) = &params.organize_output_by {
        add("organizeOutputBy", json!({"valueString": value}));
    }
    if params.allow_partial_manifests {
        add("allowPartialManifests", json!({"valueBoolean": true}));
    }
    if let Some(value) = &params.output_format {
        add("_outputFormat", json!({"valueString": value}));
    }
    for (name, value) in &params.extra {
        add(name, extra(name, value, stu));
    }
    json!({"resourceType": "Parameters", "parameter": entries})
}

fn entry(name: &str, value: Value) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), name.into());
    if let Value::Object(value) = value {
        entry.extend(value);
    }
    Value::Object(entry)
}

/// A Coding in STU4, whose own codes have a system; a code in STU2 and STU3; a string before (C06).
fn associated_data(code: &str, stu: Stu) -> Value {
    match stu {
        Stu::Stu1 => json!({"valueString": code}),
        Stu::Stu2 | Stu::Stu3 => json!({"valueCode": code}),
        Stu::Stu4 if code.starts_with('_') => json!({"valueCoding": {"code": code}}),
        Stu::Stu4 => json!({"valueCoding": {"system": ASSOCIATED_DATA, "code": code}}),
    }
}

/// The value of a parameter given by name: typed where the standard types it, else a string.
fn extra(name: &str, value: &str, stu: Stu) -> Value {
    match name {
        "_since" | "_until" => json!({"valueInstant": value}),
        "allowPartialManifests" => json!({"valueBoolean": value == "true"}),
        "_minimumFileSize" | "_maximumFileSize" => {
            json!({"valuePositiveInt": value.parse::<u64>().unwrap_or_default()})
        }
        "includeAssociatedData" => associated_data(value, stu),
        _ => json!({"valueString": value}),
    }
}

fn logged(params: &KickoffParams) -> Map<String, Value> {
    pairs(params).into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// Commas inside a filter as `%2C`, for servers that split the list at each comma (C09).
fn protect_commas(filter: &str) -> String {
    match filter.split_once('?') {
        Some((name, query)) => format!("{name}?{}", query.replace(',', "%2C")),
        None => filter.to_owned(),
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}
