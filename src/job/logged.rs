//! Events of the bulk export log, with the details that the reference gives, and without anything secret.

use serde_json::{Value, json};

use crate::Error;
use crate::bulk::kickoff::Attempt;
use crate::bulk::manifest::{FileKind, Manifest};
use crate::fhir::capability::Capability;
use crate::folder::{FileEntry, Job, Log};
use crate::http::{Client, Reply, redact};
use crate::platform::Platform;
use crate::platform::http::Headers;

/// A kick-off, answered or not.
pub(super) fn kickoff<P: Platform>(
    log: &Log<'_, P>,
    client: &Client<'_, P>,
    capability: &Capability,
    attempt: &Attempt,
) {
    if let Ok(begun) = &attempt.result {
        log.set_export_id(export_id(&begun.status_url));
    }
    let error = attempt.result.as_ref().err();
    let body = error.map(|error| match serde_json::from_slice::<Value>(&attempt.body) {
        Ok(json) => redacted(client, json),
        Err(_) if attempt.status.is_none() => json!(error.message),
        Err(_) => json!(client.redact(&String::from_utf8_lossy(&attempt.body))),
    });
    log.event(
        "kickoff",
        &json!({
            "exportUrl": attempt.export_url,
            "softwareName": capability.software_name,
            "softwareVersion": capability.software_version,
            "softwareReleaseDate": capability.software_release_date,
            "fhirVersion": capability.fhir_version,
            "requestParameters": attempt.parameters,
            "errorCode": error.and(attempt.status),
            "errorBody": body,
            "responseHeaders": attempt.status.map(|_| headers(client, &attempt.headers)),
        }),
    );
}

/// A look at the status that failed, for good or not.
pub(super) fn status_error<P: Platform>(
    log: &Log<'_, P>,
    client: &Client<'_, P>,
    error: &Error,
    reply: Option<&Reply>,
) {
    log.event(
        "status_error",
        &json!({
            "body": reply.map(|reply| client.redact(&reply.text())),
            "code": reply.map(|reply| reply.status),
            "message": error.message,
            "responseHeaders": reply.map(|reply| headers(client, &reply.headers)),
        }),
    );
}

/// A manifest, all pages merged; `whole` if none is missing.
pub(super) fn manifest<P: Platform>(log: &Log<'_, P>, manifest: &Manifest, whole: bool) {
    let count = |kind| manifest.of_kind(kind).count();
    let time = &manifest.transaction_time;
    let (output, deleted, error) = (count(FileKind::Output), count(FileKind::Deleted), count(FileKind::Error));
    if whole {
        log.event("status_complete", &json!({"transactionTime": time}));
    }
    log.event(
        "status_page_complete",
        &json!({
            "transactionTime": time,
            "outputFileCount": output,
            "deletedFileCount": deleted,
            "errorFileCount": error,
        }),
    );
    log.event(
        "manifest_complete",
        &json!({
            "transactionTime": time,
            "totalOutputFileCount": output,
            "totalDeletedFileCount": deleted,
            "totalErrorFileCount": error,
            "totalManifests": manifest.pages,
        }),
    );
}

/// Everything of a job is here. Counted are all its files, those of errors and deletions too, and what was received, decoded: so
/// the reference and SMART's bulk-data-client do it.
pub(super) fn export_complete<P: Platform>(log: &Log<'_, P>, job: &Job) {
    let sum = |count: fn(&FileEntry) -> Option<u64>| job.files.iter().filter_map(count).sum::<u64>();
    log.event(
        "export_complete",
        &json!({
            "files": job.files.len(),
            "resources": sum(|file| file.resources),
            // An earlier version has not noted it.
            "bytes": sum(|file| file.decoded.or(file.bytes)),
            "attachments": null,
            "duration": log.duration(),
        }),
    );
}

/// Response headers with lower-case names, repeated ones joined.
fn headers<P: Platform>(client: &Client<'_, P>, headers: &Headers) -> Value {
    let mut value = json!({});
    for (name, text) in &headers.0 {
        let name = name.to_ascii_lowercase();
        let text = match name.as_str() {
            "set-cookie" | "www-authenticate" | "authorization" => continue,
            "content-location" | "location" => redact::url(text),
            _ => client.redact(text),
        };
        let joined = value[&name].as_str().map(|before| format!("{before}, {text}"));
        value[&name] = json!(joined.unwrap_or(text));
    }
    value
}

/// A JSON body without secrets.
fn redacted<P: Platform>(client: &Client<'_, P>, value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(client.redact(&text)),
        Value::Array(list) => list.into_iter().map(|item| redacted(client, item)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, item)| (key, redacted(client, item))).collect(),
        other => other,
    }
}

/// The status URL as an id for the log: without its query, which may be signed, but still one id a job.
pub(super) fn export_id(status_url: &str) -> String {
    let Some((url, query)) = status_url.split_once('?') else { return status_url.to_owned() };
    let hash = query
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{url}#{hash:016x}")
}
