//! A scripted server with one export, for tests of whole jobs.

use std::time::Duration;

use serde_json::{Value, json};
use smart_fetch::config::BulkConfig;
use smart_fetch::job::{self, BulkReport};
use smart_fetch::testing::{Host, Reply};
use smart_fetch::{Error, Result};

pub const BASE: &str = "https://ehr.example/fhir";
pub const STATUS: &str = "https://ehr.example/jobs/1";
pub const TIME: &str = "2026-01-01T00:00:00.123Z";

/// `n` resources of a type, one a line.
pub fn lines(resource_type: &str, n: usize) -> String {
    (0..n).map(|i| format!("{{\"resourceType\":\"{resource_type}\",\"id\":\"{resource_type}-{i}\"}}\n")).collect()
}

/// An entry of a manifest and what its URL serves.
#[derive(Clone)]
pub struct Served {
    pub list: &'static str,
    pub name: String,
    pub entry: Value,
    pub body: String,
}

pub fn served(resource_type: &str, name: &str, n: usize) -> Served {
    Served {
        list: "output",
        name: name.to_owned(),
        entry: json!({"type": resource_type, "url": url(name), "count": n}),
        body: lines(resource_type, n),
    }
}

pub fn url(name: &str) -> String {
    format!("https://ehr.example/files/{name}")
}

pub fn manifest(files: &[Served]) -> Value {
    let list = |which: &str| files.iter().filter(|f| f.list == which).map(|f| f.entry.clone()).collect::<Vec<_>>();
    json!({
        "transactionTime": TIME,
        "request": format!("{BASE}/$export"),
        "requiresAccessToken": false,
        "output": list("output"),
        "error": list("error"),
        "deleted": list("deleted"),
    })
}

pub fn capability() -> Value {
    let types = ["Patient", "Condition", "Observation", "Group"];
    let params = json!([{"name": "_lastUpdated"}, {"name": "category"}]);
    json!({
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "software": {"name": "Scripted", "version": "1"},
        "rest": [{
            "mode": "server",
            "resource": types.map(|t| json!({"type": t, "searchParam": params})),
            "operation": [{"name": "export", "definition": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export|2.0.0"}],
        }],
    })
}

/// Scripts a server that serves `files` after one poll.
pub fn serve(host: &Host, files: &[Served]) {
    host.http
        .on("GET", "/metadata", Reply::json(200, &capability().to_string()))
        .on("GET", "$export", Reply::new(202).header("Content-Location", STATUS))
        .on("GET", "/jobs/1", Reply::new(202).header("Retry-After", "2").header("X-Progress", "half"))
        .on("GET", "/jobs/1", Reply::bytes(200, "application/json", manifest(files).to_string()))
        .on("DELETE", "/jobs/1", Reply::new(202));
    for file in files {
        host.http.on("GET", &format!("/files/{}", file.name), Reply::ndjson(&file.body));
    }
}

/// The usual export: two files of Patient, one of Condition.
pub fn usual() -> Vec<Served> {
    vec![served("Patient", "p1", 3), served("Patient", "p2", 2), served("Condition", "c1", 4)]
}

pub fn config() -> BulkConfig {
    let mut config = BulkConfig { types: vec!["Patient,Condition".into()], ..BulkConfig::default() };
    config.server.fhir_url = BASE.into();
    config.server.retry_delays = Some(vec![Duration::from_secs(60), Duration::from_secs(120)]);
    config
}

pub fn export(host: &Host, config: &BulkConfig) -> Result<BulkReport> {
    host.run(job::bulk(host, config, std::future::pending()))
}

/// The same; `None` if it was killed.
pub fn export_until_killed(host: &Host, config: &BulkConfig) -> Option<Result<BulkReport, Error>> {
    host.run_until_killed(job::bulk(host, config, std::future::pending()))
}

pub fn metadata(host: &Host) -> Value {
    serde_json::from_str(&host.storage.text(".metadata").expect("a .metadata")).expect("json")
}

/// The events of `log.ndjson` as `(eventId, eventDetail)`.
pub fn log(host: &Host) -> Vec<(String, Value)> {
    let text = host.storage.text("log.ndjson").unwrap_or_default();
    let parse = |line: &str| serde_json::from_str::<Value>(line).expect("a line of JSON");
    text.lines().map(parse).map(|v| (v["eventId"].as_str().unwrap().to_owned(), v["eventDetail"].clone())).collect()
}

/// How often each file was asked for.
pub fn fetches(host: &Host, name: &str) -> usize {
    host.http.seen_with(&format!("GET {}", url(name))).len()
}
