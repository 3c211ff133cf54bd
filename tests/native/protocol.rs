//! What the tests of kick-off, polling and manifests share.

use std::time::Duration;

use serde_json::{Value, json};
use smart_fetch::auth::ScopeRequest;
use smart_fetch::bulk::kickoff::{self, Attempt, KickoffParams, validate};
use smart_fetch::bulk::manifest::Manifest;
use smart_fetch::bulk::poll::{self, PollConfig, Progress};
use smart_fetch::config::{AuthConfig, BulkConfig, KickoffMethod, Level, ServerConfig};
use smart_fetch::fhir::{capability::Capability, metadata};
use smart_fetch::http::Client;
use smart_fetch::testing::{Host, Reply, Seen};
use smart_fetch::{ErrorKind, Result};

pub(crate) const BASE: &str = "https://ehr.example/a/fhir";
pub(crate) const STATUS: &str = "https://ehr.example/status/1";
/// A STU3 manifest of one file.
pub(crate) const MANIFEST: &str = r#"{"transactionTime":"2026-01-01T00:00:00.123Z","request":"x","requiresAccessToken":true,
    "output":[{"type":"Patient","url":"https://ehr.example/files/1"}],"error":[]}"#;

pub(crate) fn server() -> ServerConfig {
    ServerConfig { fhir_url: BASE.into(), ..ServerConfig::default() }
}

pub(crate) fn with_token() -> ServerConfig {
    ServerConfig { auth: AuthConfig::Bearer { token: "tok-secret-1".into() }, ..server() }
}

pub(crate) fn client<'h>(host: &'h Host, server: &ServerConfig) -> Client<'h, Host> {
    Client::new(host, server, ScopeRequest::default()).unwrap()
}

pub(crate) fn config() -> BulkConfig {
    BulkConfig { server: server(), ..BulkConfig::default() }
}

/// The parameters of `config`, with its types and filters as they are.
pub(crate) fn params(config: &BulkConfig) -> Result<KickoffParams> {
    KickoffParams::new(config, config.types.clone(), config.type_filters.clone(), config.since.as_deref(), |_| -300)
}

pub(crate) fn capability(statement: serde_json::Value) -> Capability {
    Capability::read(statement.to_string().as_bytes()).unwrap()
}

/// A statement that advertises `operations` (`name`, `definition`) at system level.
pub(crate) fn advertising(operations: &[(&str, &str)]) -> Capability {
    let list: Vec<_> =
        operations.iter().map(|(name, url)| serde_json::json!({"name": name, "definition": url})).collect();
    capability(serde_json::json!({
        "resourceType": "CapabilityStatement",
        "rest": [{"mode": "server", "operation": list}],
    }))
}

pub(crate) fn stu4() -> Capability {
    advertising(&[("export", "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export|4.0.0")])
}

pub(crate) fn kick_off(host: &Host, config: &BulkConfig, capability: &Capability) -> Attempt {
    let params = params(config).unwrap();
    let client = client(host, &config.server);
    host.run(kickoff::run(&client, capability, &params, config.kickoff_method))
}

/// Reads the capability first, as a job does.
pub(crate) fn discover_and_kick_off(host: &Host, config: &BulkConfig) -> Attempt {
    let client = client(host, &config.server);
    let params = params(config).unwrap();
    host.run(async {
        let capability = metadata::read(&client).await;
        kickoff::run(&client, &capability, &params, config.kickoff_method).await
    })
}

pub(crate) fn poll_config() -> PollConfig {
    PollConfig::new(&config(), false)
}

pub(crate) fn poll_with(host: &Host, server: &ServerConfig, config: &PollConfig) -> Result<Manifest> {
    let client = client(host, server);
    host.run(poll::run(&client, STATUS, config, async |_| Ok(())))
}

pub(crate) fn poll(host: &Host) -> Result<Manifest> {
    poll_with(host, &server(), &poll_config())
}

/// Polls, and returns the URLs listed at each [`Progress::Manifest`] as well.
pub(crate) fn poll_listening(host: &Host) -> (Result<Manifest>, Vec<Vec<String>>) {
    let client = client(host, &server());
    let mut lists = Vec::new();
    let result = host.run(poll::run(&client, STATUS, &poll_config(), async |progress: Progress<'_>| {
        if let Progress::Manifest(manifest) = progress {
            lists.push(urls(manifest));
        }
        Ok(())
    }));
    (result, lists)
}

pub(crate) fn urls(manifest: &Manifest) -> Vec<String> {
    manifest.files.iter().map(|file| file.url.clone()).collect()
}

/// The gaps between requests, in seconds.
pub(crate) fn gaps(seen: &[Seen]) -> Vec<f64> {
    seen.windows(2).map(|pair| (pair[1].at - pair[0].at) as f64 / 1000.0).collect()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn group(id: &str) -> BulkConfig {
    BulkConfig { level: Level::Group(id.into()), ..config() }
}

pub(crate) fn by(method: KickoffMethod) -> BulkConfig {
    BulkConfig { kickoff_method: method, types: vec!["Patient".into(), "Condition".into()], ..config() }
}

pub(crate) fn accepted() -> Reply {
    Reply::new(202).header("Content-Location", STATUS)
}

/// A server that takes `method` only and answers `refusal` to the other one.
pub(crate) fn taking(method: &str, refusal: u16) -> Host {
    let host = Host::new();
    host.http.on("GET", "$export", Reply::new(refusal)).on("POST", "$export", Reply::new(refusal));
    host.http.off(method, "$export").on(method, "$export", accepted());
    host
}

pub(crate) fn usage(config: &BulkConfig) -> String {
    let error = validate(config).unwrap_err();
    assert_eq!((error.kind, error.exit_status()), (ErrorKind::Usage, 2));
    error.to_string()
}

pub(crate) fn filtered(types: &[&str], filters: &[&str]) -> BulkConfig {
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    BulkConfig { types: owned(types), type_filters: owned(filters), ..config() }
}

/// A request with everything in it.
pub(crate) fn everything() -> BulkConfig {
    BulkConfig {
        level: Level::Patient,
        since: Some("2026-01-02T03:04:05.123+05:30".into()),
        until: Some("2026-02-01T00:00:00Z".into()),
        elements: vec!["id,Patient.name".into()],
        patients: vec!["1".into(), "Patient/2".into()],
        include_associated_data: vec!["LatestProvenanceResources".into(), "_mine".into()],
        organize_output_by: Some("Patient".into()),
        output_format: Some("ndjson".into()),
        allow_partial_manifests: true,
        params: vec![("_minimumFileSize".into(), "10".into()), ("x".into(), "a&b".into())],
        ..filtered(&["Patient", "Condition"], &["Condition?code=a,b", "Condition?onset-date=gt2020"])
    }
}

pub(crate) const TIME: &str = "2026-01-01T00:00:00.123Z";

/// A manifest with `more` members.
pub(crate) fn manifest(more: Value) -> Value {
    let mut value = json!({"transactionTime": TIME, "requiresAccessToken": true});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

pub(crate) fn file(name: &str) -> Value {
    json!({"type": "Patient", "url": format!("https://ehr.example/files/{name}")})
}

pub(crate) fn ok(value: &Value) -> Reply {
    Reply::json(200, &value.to_string())
}

/// Reads one manifest; returns it with the codes of the warnings.
pub(crate) fn read(value: &Value) -> (Manifest, Vec<String>) {
    let host = Host::new();
    host.http.on("GET", "/status/1", ok(value));
    (poll(&host).unwrap(), host.warnings())
}

pub(crate) fn names(manifest: &Manifest) -> Vec<String> {
    urls(manifest).iter().map(|url| url.rsplit('/').next().unwrap().to_owned()).collect()
}
