//! `merge`: a managed folder's exports, applied in order, are what a whole export would give.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::config::LocalConfig;
use smart_fetch::event::Event;
use smart_fetch::merge::{MergeReport, merge};
use smart_fetch::testing::{Host, MemoryStorage};

use crate::ehr::{self, Ehr};
use crate::ndjson::gzip;

/// A managed folder of which exports are put in one by one.
struct Managed {
    storage: MemoryStorage,
    runs: usize,
}

impl Managed {
    fn new() -> Self {
        let storage = MemoryStorage::new();
        let metadata = json!({"fhir-url": "https://ehr.example/fhir", "group": "G1", "kind": "managed"});
        storage.put(".metadata", metadata.to_string());
        Self { storage, runs: 0 }
    }

    /// An export that is done. `since`: the types of which only what is new was asked for.
    fn run(&mut self, types: &[&str], since: &[&str], files: &[(&str, String)]) -> String {
        self.runs += 1;
        let name = format!("{:03}.run", self.runs);
        let filters: Value = types.iter().map(|name| ((*name).to_owned(), json!([]))).collect();
        let time = format!("2026-01-{:02}T00:00:00+00:00", self.runs);
        let done: Value = types.iter().map(|name| ((*name).to_owned(), json!(time))).collect();
        let metadata = json!({"kind": "output", "filters": filters, "since": null, "sinceResources": since, "done": done,
            "complete": true});
        self.storage.put(&format!("{name}/.metadata"), metadata.to_string());
        for (file, text) in files {
            let bytes = if file.ends_with("gz") { gzip(text.as_bytes()) } else { text.clone().into_bytes() };
            self.storage.put(&format!("{name}/{file}"), bytes);
        }
        name
    }
}

fn row(kind: &str, id: &str, version: u64) -> String {
    format!(
        "{{\"resourceType\":\"{kind}\",\"id\":\"{id}\",\"meta\":{{\"lastUpdated\":\"2026-01-01T00:00:00.{version:03}Z\"}},\"v\":{version}}}\n"
    )
}

fn deletion(targets: &[&str]) -> String {
    let entries: Vec<Value> =
        targets.iter().map(|target| json!({"request": {"method": "DELETE", "url": target}})).collect();
    format!("{}\n", json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
}

fn host(source: &MemoryStorage, out: &MemoryStorage) -> Host {
    let mut host = Host::with_storage(out.clone());
    host.source = Some(source.clone());
    host
}

fn run(source: &MemoryStorage, out: &MemoryStorage) -> smart_fetch::Result<MergeReport> {
    let host = host(source, out);
    host.run(merge(&host, &LocalConfig::default()))
}

/// Every row of the result by file, and what is in them: `Type/id` and version.
fn state(out: &MemoryStorage) -> BTreeMap<String, BTreeSet<String>> {
    let files = out.paths().into_iter().filter(|path| path.contains(".ndjson") && path != "log.ndjson");
    files
        .map(|path| {
            let text = out.text(&path).unwrap();
            let rows: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
            let set: BTreeSet<String> = rows.iter().cloned().collect();
            assert_eq!(set.len(), rows.len(), "{path} has a row twice");
            (path, set)
        })
        .collect()
}

fn set(rows: &[String]) -> BTreeSet<String> {
    rows.iter().cloned().collect()
}

#[test]
fn exports_are_applied_in_order_deletions_too() {
    let mut managed = Managed::new();
    let all = ["Patient", "Condition"];
    managed.run(
        &all,
        &[],
        &[
            ("Patient.001.ndjson.gz", row("Patient", "1", 1) + &row("Patient", "2", 1)),
            ("Patient.002.ndjson.gz", row("Patient", "3", 1)),
            ("Condition.001.ndjson", row("Condition", "1", 1) + "\n" + &row("Condition", "2", 1)),
            ("error/OperationOutcome.001.ndjson", row("OperationOutcome", "1", 1)),
        ],
    );
    managed.run(
        &all,
        &all,
        &[
            // Later in time, but the older version by its date: what the server says last counts.
            ("Patient.001.ndjson.gz", row("Patient", "2", 0) + &row("Patient", "4", 2)),
            ("deleted/Bundle.001.ndjson.gz", deletion(&["Patient/1", "Condition/2"]) + &deletion(&["Patient/4"])),
        ],
    );
    managed.run(
        &all,
        &all,
        &[
            ("Condition.001.ndjson.gz", row("Condition", "2", 3)),
            ("deleted/Bundle.Patient.ndjson", deletion(&["Patient/3"])),
        ],
    );
    let out = MemoryStorage::new();
    let report = run(&managed.storage, &out).unwrap();
    assert_eq!(
        state(&out),
        BTreeMap::from([
            // A deletion is of what was there before: Patient/4 came with the same export and stays.
            ("Patient.001.ndjson.gz".to_owned(), set(&[row("Patient", "2", 0), row("Patient", "4", 2)])),
            ("Condition.001.ndjson.gz".to_owned(), set(&[row("Condition", "1", 1), row("Condition", "2", 3)])),
        ])
    );
    assert_eq!((report.exit_status, report.resources, report.rows, report.deletions), (0, 4, 8, 4));
    assert_eq!(report.runs, ["001.run", "002.run", "003.run"]);
    assert_eq!(report.types["Patient"].resources, 2);
    let metadata: Value = serde_json::from_str(&out.text(".metadata").unwrap()).unwrap();
    assert_eq!((&metadata["kind"], &metadata["complete"]), (&json!("output"), &json!(true)));
    assert_eq!(metadata["done"]["Condition"], "2026-01-03T00:00:00+00:00");
    assert_eq!(metadata["ledger"]["jobs"][0]["files"][1]["resources"], 2);
    let log = out.text("log.ndjson").unwrap();
    let events: Vec<Value> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["eventId"].clone()).collect();
    assert_eq!(events, ["kickoff", "status_complete", "status_page_complete", "manifest_complete", "export_complete"]);
    assert!(log.contains("https://ehr.example/fhir/Group/G1/$export"));
    let rows: usize =
        ["Condition", "Patient"].map(|name| out.text(&format!("{name}.001.ndjson.gz")).unwrap().len()).iter().sum();
    assert!(log.contains(&format!("\"bytes\":{rows},")), "{log}");
}

#[test]
fn within_an_export_the_later_date_counts_then_the_later_place() {
    let mut managed = Managed::new();
    let undated = "{\"resourceType\":\"Observation\",\"id\":\"3\",\"v\":1}\n{\"resourceType\":\"Observation\",\"id\":\"3\",\"v\":2}\n";
    managed.run(
        &["Observation"],
        &[],
        &[
            ("Observation.001.ndjson", row("Observation", "1", 5) + &row("Observation", "2", 1) + undated),
            ("Observation.members.ndjson", row("Observation", "1", 4) + &row("Observation", "2", 2)),
        ],
    );
    let out = MemoryStorage::new();
    run(&managed.storage, &out).unwrap();
    let text = out.text("Observation.001.ndjson.gz").unwrap();
    let expected = row("Observation", "1", 5) + undated.lines().nth(1).unwrap() + "\n" + &row("Observation", "2", 2);
    assert_eq!(text, expected, "in the order of the files");
}

#[test]
fn a_whole_export_stands_for_all_before_it_and_a_filtered_or_unfinished_one_does_not() {
    let mut managed = Managed::new();
    let files = |n: &str| {
        [("Patient.001.ndjson", row("Patient", n, 1)), ("Practitioner.referenced.ndjson", row("Practitioner", n, 1))]
    };
    managed.run(&["Patient"], &[], &files("1"));
    managed.run(&["Patient"], &[], &files("2"));
    let filtered = managed.run(&["Patient"], &[], &files("3"));
    managed.storage.put(
        &format!("{filtered}/.metadata"),
        json!({"kind": "output", "filters": {"Patient": ["active=true"]},
        "sinceResources": [], "done": {"Patient": "2026-01-03"}, "complete": true})
        .to_string(),
    );
    let unfinished = managed.run(&["Patient"], &[], &files("4"));
    managed.storage.put(
        &format!("{unfinished}/.metadata"),
        json!({"kind": "output", "filters": {"Patient": []},
        "sinceResources": [], "done": {}})
        .to_string(),
    );
    let out = MemoryStorage::new();
    let report = run(&managed.storage, &out).unwrap();
    let rows = |kind: &str, ids: &[&str]| ids.iter().map(|id| row(kind, id, 1)).collect::<BTreeSet<_>>();
    assert_eq!(state(&out)["Patient.001.ndjson.gz"], rows("Patient", &["2", "3", "4"]));
    assert_eq!(state(&out)["Practitioner.001.ndjson.gz"], rows("Practitioner", &["2", "3", "4"]));
    assert_eq!(report.exit_status, 3);
    assert!(report.problems[0].contains("004.run is not complete"), "{:?}", report.problems);
    let metadata: Value = serde_json::from_str(&out.text(".metadata").unwrap()).unwrap();
    assert_eq!(metadata["complete"], false);
}

#[test]
fn what_is_of_a_patient_who_left_goes_with_it() {
    let of = |kind: &str, id: &str, element: &str, reference: &str| {
        format!("{{\"resourceType\":\"{kind}\",\"id\":\"{id}\",\"{element}\":{{\"reference\":\"{reference}\"}}}}\n")
    };
    let mut managed = Managed::new();
    let types = ["Patient", "Condition", "Device"];
    managed.run(
        &types,
        &[],
        &[
            ("Patient.001.ndjson", row("Patient", "1", 1) + &row("Patient", "2", 1)),
            (
                "Condition.001.ndjson",
                of("Condition", "1", "subject", "Patient/1")
                    + &of("Condition", "2", "subject", "Patient/2")
                    + &of("Condition", "3", "subject", "https://ehr.example/fhir/Patient/1/_history/2"),
            ),
            ("Device.001.ndjson", of("Device", "1", "patient", "Patient/1") + &of("Device", "2", "owner", "Patient/1")),
        ],
    );
    // A newer version of a resource of the patient who goes must not bring back the older one.
    managed.run(&types, &types, &[("Condition.001.ndjson", of("Condition", "2", "subject", "Patient/1"))]);
    managed.run(&types, &types, &[("deleted/Bundle.Patient.ndjson", deletion(&["Patient/1"]))]);
    // The patient comes back, with some data.
    managed.run(
        &types,
        &types,
        &[
            ("Patient.001.ndjson", row("Patient", "1", 9)),
            ("Condition.001.ndjson", of("Condition", "9", "subject", "Patient/1")),
        ],
    );
    let out = MemoryStorage::new();
    run(&managed.storage, &out).unwrap();
    assert_eq!(
        state(&out),
        BTreeMap::from([
            ("Patient.001.ndjson.gz".to_owned(), set(&[row("Patient", "2", 1), row("Patient", "1", 9)])),
            ("Condition.001.ndjson.gz".to_owned(), set(&[of("Condition", "9", "subject", "Patient/1")])),
            ("Device.001.ndjson.gz".to_owned(), set(&[of("Device", "2", "owner", "Patient/1")])),
        ])
    );
}

#[test]
fn what_a_server_says_is_deleted_takes_nothing_along() {
    let condition =
        "{\"resourceType\":\"Condition\",\"id\":\"1\",\"subject\":{\"reference\":\"Patient/1\"}}\n".to_owned();
    let mut managed = Managed::new();
    let types = ["Patient", "Condition"];
    managed.run(
        &types,
        &[],
        &[("Patient.001.ndjson", row("Patient", "1", 1)), ("Condition.001.ndjson", condition.clone())],
    );
    managed.run(&types, &types, &[("deleted/Bundle.001.ndjson", deletion(&["Patient/1"]))]);
    let out = MemoryStorage::new();
    run(&managed.storage, &out).unwrap();
    assert_eq!(state(&out), BTreeMap::from([("Condition.001.ndjson.gz".to_owned(), set(&[condition]))]));
}

#[test]
fn a_year_of_exports_merged_is_what_the_server_has() {
    let ehr = Ehr::new();
    let host = ehr.host();
    let types = ["Patient", "Condition", "Encounter"];
    let of = |patient: &str| json!({"subject": {"reference": format!("Patient/{patient}")}});
    ehr.at("2026-01-01T00:00:00Z")
        .put("Patient/p1", json!({}))
        .put("Patient/p2", json!({}))
        .put("Patient/p3", json!({}));
    ehr.put("Condition/c1", of("p1")).put("Condition/c2", of("p2")).put("Condition/c3", of("p3"));
    ehr::export(&host, &ehr::named(ehr::config("Patient,Condition"), "january")).unwrap();
    ehr.at("2026-05-01T00:00:00Z").put("Patient/p4", json!({})).put("Condition/c1", of("p4")).delete("Condition/c2");
    ehr::export(&host, &ehr::named(ehr::auto("Patient,Condition"), "may")).unwrap();
    ehr.at("2026-09-01T00:00:00Z").delete("Patient/p3").delete("Condition/c3").put("Encounter/e1", json!({}));
    ehr::export(&host, &ehr::named(ehr::auto("Patient,Condition,Encounter"), "september")).unwrap();
    ehr.at("2026-12-01T00:00:00Z").delete("Encounter/e1").put("Encounter/e2", of("p1")).delete("Patient/p2");
    ehr::export(&host, &ehr::named(ehr::auto("Patient,Condition,Encounter"), "december")).unwrap();
    let out = MemoryStorage::new();
    let report = run(&host.storage, &out).unwrap();
    assert_eq!((report.exit_status, report.runs.len()), (0, 4), "{report:?}");
    let merged: BTreeMap<String, Value> = state(&out)
        .into_values()
        .flatten()
        .map(|line| {
            let resource: Value = serde_json::from_str(&line).unwrap();
            let name = |key: &str| resource[key].as_str().unwrap().to_owned();
            (format!("{}/{}", name("resourceType"), name("id")), resource)
        })
        .collect();
    assert_eq!(merged, ehr.state(&types));
    assert_eq!(merged.len(), 4);
}

#[test]
fn a_year_of_made_up_changes_ends_as_the_server_did() {
    for seed in 1..=20_u64 {
        let mut seed = seed;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let types = ["Condition", "Observation", "Patient"];
        let mut server = BTreeMap::<(&str, u64), u64>::new();
        let mut managed = Managed::new();
        for version in 1..=12 {
            let (mut changed, mut deleted) = (BTreeSet::new(), BTreeSet::new());
            for _ in 0..next(60) {
                let one = (types[next(3) as usize], next(40));
                if next(3) == 0 {
                    if server.remove(&one).is_some() {
                        deleted.insert(one);
                    }
                    changed.remove(&one);
                } else {
                    server.insert(one, version);
                    deleted.remove(&one);
                    changed.insert(one);
                }
            }
            let is_since = version > 1 && next(4) > 0;
            let mut files = BTreeMap::<String, String>::new();
            for (&(kind, id), &version) in &server {
                if !is_since || changed.contains(&(kind, id)) {
                    let file = format!("{kind}.{:03}.ndjson{}", next(3) + 1, if next(2) == 0 { "" } else { ".gz" });
                    files.entry(file).or_default().push_str(&row(kind, &id.to_string(), version));
                }
            }
            let gone: Vec<String> = deleted.iter().map(|(kind, id)| format!("{kind}/{id}")).collect();
            if !gone.is_empty() && is_since {
                let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
                files.insert("deleted/Bundle.001.ndjson".to_owned(), deletion(&gone));
            }
            let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
            managed.run(&types, if is_since { &types } else { &[] }, &files);
        }
        let out = MemoryStorage::new();
        run(&managed.storage, &out).unwrap();
        let mut expected = BTreeMap::<String, BTreeSet<String>>::new();
        for (&(kind, id), &version) in &server {
            expected.entry(format!("{kind}.001.ndjson.gz")).or_default().insert(row(kind, &id.to_string(), version));
        }
        assert_eq!(state(&out), expected);
    }
}

fn small() -> Managed {
    let mut managed = Managed::new();
    managed.run(
        &["Patient", "Device"],
        &[],
        &[
            ("Patient.001.ndjson.gz", (0..50).map(|n| row("Patient", &n.to_string(), 1)).collect()),
            ("Device.001.ndjson.gz", row("Device", "1", 1)),
        ],
    );
    managed.run(
        &["Patient", "Device"],
        &["Patient", "Device"],
        &[("Patient.001.ndjson.gz", row("Patient", "7", 2)), ("deleted/Bundle.001.ndjson", deletion(&["Device/1"]))],
    );
    managed
}

#[test]
fn killed_anywhere_a_rerun_ends_right_and_the_source_is_never_touched() {
    let managed = small();
    let before: Vec<_> =
        managed.storage.paths().into_iter().map(|path| (path.clone(), managed.storage.bytes(&path))).collect();
    let whole = MemoryStorage::new();
    whole.kill_at(u64::MAX);
    run(&managed.storage, &whole).unwrap();
    let (expected, paths) = (state(&whole), whole.paths());
    assert_eq!(expected["Patient.001.ndjson.gz"].len(), 50);
    assert_eq!(paths, [".metadata", "Patient.001.ndjson.gz", "log.ndjson"]);
    for call in 1..=whole.calls() {
        let out = MemoryStorage::new();
        out.kill_at(call);
        let host = host(&managed.storage, &out);
        assert!(host.run_until_killed(merge(&host, &LocalConfig::default())).is_none());
        out.revive();
        managed.storage.revive();
        let complete = out.text(".metadata").is_some_and(|text| text.contains("\"complete\": true"));
        assert!(!complete || state(&out) == expected, "kill at {call}");
        run(&managed.storage, &out).unwrap_or_else(|error| panic!("kill at {call}: {error}"));
        assert_eq!(state(&out), expected, "kill at {call}");
        assert_eq!(out.paths(), paths, "kill at {call}");
    }
    let after: Vec<_> =
        managed.storage.paths().into_iter().map(|path| (path.clone(), managed.storage.bytes(&path))).collect();
    assert!(before == after);
}

#[test]
fn merging_again_after_another_export_brings_the_result_up_to_date() {
    let mut managed = small();
    let out = MemoryStorage::new();
    run(&managed.storage, &out).unwrap();
    managed.run(&["Patient", "Device"], &[], &[("Device.001.ndjson.gz", row("Device", "2", 3))]);
    run(&managed.storage, &out).unwrap();
    assert_eq!(state(&out), BTreeMap::from([("Device.001.ndjson.gz".to_owned(), set(&[row("Device", "2", 3)]))]));
    assert_eq!(out.text("log.ndjson").unwrap().lines().count(), 5);
}

#[test]
fn folders_that_are_not_what_they_should_be() {
    let managed = small();
    let error = |source: &MemoryStorage, out: &MemoryStorage| {
        let before = out.paths();
        let error = run(source, out).unwrap_err();
        assert_eq!(out.paths(), before, "nothing is touched");
        (error.kind, error.message.clone())
    };
    let mismatch = |message: &str| (ErrorKind::Mismatch, message.to_owned());
    let empty = MemoryStorage::new;
    assert_eq!(
        error(&empty(), &empty()),
        mismatch("The folder does not look like a SMART Fetch managed export folder.")
    );
    let output = empty();
    output.put(".metadata", r#"{"kind":"output"}"#);
    assert_eq!(error(&output, &empty()), mismatch("The folder is not a managed folder, but an output folder."));
    assert_eq!(error(&managed.storage, &output), mismatch("The folder to merge into holds an export."));
    assert_eq!(
        error(&managed.storage, &managed.storage),
        mismatch("The folder is not an output folder, but a managed folder.")
    );
    let foreign = empty();
    foreign.put("notes.txt", "mine");
    assert_eq!(error(&managed.storage, &foreign), mismatch("The folder to merge into is not empty."));
    let other = empty();
    run(&managed.storage, &other).unwrap();
    let another = Managed::new();
    another.storage.put(".metadata", r#"{"kind":"managed","fhir-url":"https://other.example","group":null}"#);
    assert_eq!(error(&another.storage, &other), mismatch("The folder to merge into holds a merge of another folder."));
}

#[test]
fn what_cannot_be_taken_in_is_named_and_a_torn_file_is_an_error() {
    let mut managed = small();
    let name = managed.run(
        &["Patient"],
        &["Patient"],
        &[
            (
                "Patient.001.ndjson",
                row("Patient", "99", 3) + "{\"resourceType\":\"Patient\"\n[]\n" + "{\"resourceType\":\"Patient\"}\n",
            ),
            ("deleted/Bundle.001.ndjson", deletion(&["Patient?name=x"]) + "{}\n"),
            ("what.ndjson", "[]".to_owned()),
        ],
    );
    let out = MemoryStorage::new();
    let report = run(&managed.storage, &out).unwrap();
    assert_eq!((report.exit_status, report.bad_lines), (3, 4));
    assert!(report.bad[0].starts_with("003.run/deleted/Bundle.001.ndjson:1: no deletion"), "{:?}", report.bad);
    assert!(report.bad[2].starts_with("003.run/Patient.001.ndjson:2: "), "{:?}", report.bad);
    assert!(report.problems[0].starts_with("003.run/what.ndjson is left out"), "{:?}", report.problems);
    assert_eq!(state(&out)["Patient.001.ndjson.gz"].len(), 52, "the one without an id, too");
    let torn = gzip(row("Patient", "1", 1).repeat(100).as_bytes());
    managed.storage.put(&format!("{name}/Patient.002.ndjson.gz"), &torn[..torn.len() - 5]);
    let error = run(&managed.storage, &out).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.starts_with("003.run/Patient.002.ndjson.gz is damaged"), "{error}");
    assert!(!out.paths().iter().any(|path| path.contains(".part") || path.contains(".merge")), "{:?}", out.paths());
}

#[test]
fn a_merge_tells_how_far_it_is() {
    let managed = small();
    let out = MemoryStorage::new();
    let host = host(&managed.storage, &out);
    host.run(merge(&host, &LocalConfig { compress: false, folder: None })).unwrap();
    assert!(out.paths().contains(&"Patient.001.ndjson".to_owned()));
    let last = |wanted: &str| {
        host.events().into_iter().rev().find_map(|event| match event {
            Event::Progress { task, done, total, resources } if task == wanted => Some((done, total, resources)),
            _ => None,
        })
    };
    assert_eq!(last("Comparing versions"), Some((3, Some(3), 52)));
    assert_eq!(last("Merging"), Some((3, Some(3), 50)));
}
