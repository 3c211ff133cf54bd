//! `bundle`, and exports with a Bundle as their last step.

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::bundle::{BundleReport, bundle};
use smart_fetch::config::{BulkConfig, LocalConfig};
use smart_fetch::testing::{Host, MemoryStorage};

use crate::export::{config, export, export_until_killed, serve, usual};
use crate::ndjson::gzip;

fn plain() -> LocalConfig {
    LocalConfig { compress: false, folder: Some("out/".into()) }
}

fn run(storage: &MemoryStorage, config: &LocalConfig) -> smart_fetch::Result<BundleReport> {
    let host = Host::with_storage(storage.clone());
    host.run(bundle(&host, config))
}

fn disk() -> MemoryStorage {
    let storage = MemoryStorage::new();
    storage.put(
        "Patient.001.ndjson",
        "{\"resourceType\":\"Patient\",\"id\":\"p1\",\"n\":1.10}\n\n{ \"resourceType\": \"Patient\" }",
    );
    storage.put("Condition.001.ndjson.gz", gzip(b"{\"resourceType\":\"Condition\",\"id\":\"\xc3\xa9\\u00e9\"}\r\n"));
    storage.put("error/OperationOutcome.001.ndjson", "{\"resourceType\":\"OperationOutcome\"}\n");
    storage.put("log.ndjson", "{}\n");
    storage
}

/// As the reference writes it (`samples/x-bundle`), but for the bytes of rows, which are kept.
const EXPECTED: &str = r#"{
  "resourceType": "Bundle",
  "meta": {
    "profile": ["http://hl7.org/fhir/R4/StructureDefinition/Bundle"]
  },
  "type": "collection",
  "timestamp": "TIME",
  "entry": [
    {"resource": {"resourceType":"Condition","id":"é\u00e9"}},
    {"resource": {"resourceType":"Patient","id":"p1","n":1.10}},
    {"resource": { "resourceType": "Patient" }}
  ]
}
"#;

#[test]
fn a_bundle_takes_the_place_of_the_data_files() {
    for config in [plain(), LocalConfig::default()] {
        let storage = disk();
        let report = run(&storage, &config).unwrap();
        let name = if config.compress { "Bundle.json.gz" } else { "Bundle.json" };
        assert_eq!((report.name.as_str(), report.resources), (name, 3));
        assert_eq!(report.sources, ["Condition.001.ndjson.gz", "Patient.001.ndjson"]);
        assert_eq!(report.bytes, storage.bytes(name).unwrap().len() as u64);
        assert_eq!(storage.paths(), [name, "error/OperationOutcome.001.ndjson", "log.ndjson"]);
        let text = storage.text(name).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let time = value["timestamp"].as_str().unwrap();
        assert!(time.starts_with("2026-01-0") && time.len() == 25, "{time}");
        assert_eq!(text, EXPECTED.replace("TIME", time));
    }
}

#[test]
fn what_it_says_where_there_is_nothing_to_do() {
    let storage = disk();
    storage.put("Bundle.json", "kept");
    let error = run(&storage, &plain()).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Mismatch, "Bundle file 'out/Bundle.json' already exists.")
    );
    assert_eq!(storage.text("Bundle.json").unwrap(), "kept");
    assert!(storage.bytes("Patient.001.ndjson").is_some());
    let empty = MemoryStorage::new();
    empty.put("log.ndjson", "{}");
    let error = run(&empty, &plain()).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::NotFound, "No FHIR files found in 'out/'."));
}

#[test]
fn a_row_that_is_no_resource_or_a_torn_file_removes_nothing() {
    let torn = gzip(&b"{\"resourceType\":\"Patient\"}\n".repeat(100));
    let cases: [(&str, Vec<u8>, &str); 4] = [
        (
            "Patient.002.ndjson",
            b"{\"resourceType\":\"Patient\"}\n{\"a\":".to_vec(),
            "Patient.002.ndjson, line 2, is no resource: it ends",
        ),
        ("Patient.002.ndjson", b"[]".to_vec(), "line 1, is no resource"),
        ("Patient.002.ndjson.gz", torn[..torn.len() - 1].to_vec(), "Patient.002.ndjson.gz is damaged"),
        ("words.ndjson", b"word".to_vec(), "words.ndjson, line 1"),
    ];
    for (path, bytes, message) in cases {
        let storage = disk();
        storage.put(path, bytes);
        let before = storage.paths();
        let error = run(&storage, &plain()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.contains(message), "{error}");
        assert_eq!(storage.paths(), before);
    }
}

#[test]
fn killed_anywhere_a_rerun_ends_right() {
    let whole = disk();
    whole.kill_at(u64::MAX);
    run(&whole, &plain()).unwrap();
    for call in 1..=whole.calls() {
        let storage = disk();
        storage.kill_at(call);
        let host = Host::with_storage(storage.clone());
        assert!(host.run_until_killed(bundle(&host, &plain())).is_none());
        storage.revive();
        let has_sources =
            ["Patient.001.ndjson", "Condition.001.ndjson.gz"].iter().all(|path| storage.bytes(path).is_some());
        if let Some(text) = storage.text("Bundle.json") {
            assert_eq!(
                serde_json::from_str::<Value>(&text).unwrap()["entry"].as_array().unwrap().len(),
                3,
                "kill at {call}"
            );
        } else {
            assert!(has_sources, "kill at {call}");
        }
        match run(&storage, &plain()) {
            Ok(report) => assert_eq!(report.resources, 3),
            // All had been done but letting go of the lock.
            Err(error) => {
                assert!(error.message.ends_with("already exists.") && !has_sources, "kill at {call}: {error}")
            }
        }
        assert_eq!(
            storage.paths(),
            ["Bundle.json", "error/OperationOutcome.001.ndjson", "log.ndjson"],
            "kill at {call}"
        );
    }
}

#[test]
fn an_export_may_end_in_a_bundle() {
    let host = Host::new();
    serve(&host, &usual());
    let config = BulkConfig { bundle: true, ..config() };
    let report = export(&host, &config).unwrap();
    assert_eq!(report.resources, 9);
    assert_eq!(host.storage.paths(), [".metadata", "Bundle.json.gz", "log.ndjson"]);
    let value: Value = serde_json::from_str(&host.storage.text("Bundle.json.gz").unwrap()).unwrap();
    assert_eq!(value["entry"].as_array().unwrap().len(), 9);
    // Again: it stays, and nothing is fetched.
    let again = host.restarted();
    let requests = again.http.seen_with("$export").len();
    export(&again, &config).unwrap();
    assert_eq!(again.storage.paths(), [".metadata", "Bundle.json.gz", "log.ndjson"]);
    assert_eq!(again.http.seen_with("$export").len(), requests);
    // A type more: what the Bundle holds is not lost.
    again.storage.put("Device.001.ndjson", "{\"resourceType\":\"Device\"}\n");
    let error = export(&again.restarted(), &config).unwrap_err();
    assert!(error.message.contains("Bundle file 'Bundle.json.gz' already exists."), "{error}");
    assert_eq!(serde_json::from_str::<Value>(&host.storage.text("Bundle.json.gz").unwrap()).unwrap(), value);
}

#[test]
fn an_export_with_a_bundle_killed_anywhere_ends_right() {
    let config = BulkConfig { bundle: true, ..config() };
    let whole = Host::new();
    serve(&whole, &usual());
    whole.storage.kill_at(u64::MAX);
    export(&whole, &config).unwrap();
    let calls = whole.storage.calls();
    for call in calls / 2..=calls {
        let host = Host::new();
        serve(&host, &usual());
        host.storage.kill_at(call);
        assert!(export_until_killed(&host, &config).is_none());
        let again = host.restarted();
        export(&again, &config).unwrap_or_else(|error| panic!("kill at {call}: {error}"));
        assert_eq!(again.storage.paths(), [".metadata", "Bundle.json.gz", "log.ndjson"], "kill at {call}");
        let value: Value = serde_json::from_str(&again.storage.text("Bundle.json.gz").unwrap()).unwrap();
        assert_eq!(value["entry"].as_array().unwrap().len(), 9, "kill at {call}");
        let metadata: Value = serde_json::from_str(&again.storage.text(".metadata").unwrap()).unwrap();
        assert_eq!(metadata["complete"], json!(true));
    }
}
