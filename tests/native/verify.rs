//! `verify`: what is right is found right, and what is wrong is named; nothing is changed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::event::Event;
use smart_fetch::testing::{Host, MemoryStorage, Reply};
use smart_fetch::verify::{Dangling, VerifyReport, verify};

use crate::ehr::{self, Ehr};
use crate::export::{Served, config, export, lines, serve, url, usual};
use crate::ndjson::gzip;

fn run(storage: &MemoryStorage) -> smart_fetch::Result<VerifyReport> {
    let before: Vec<_> = storage.paths().into_iter().map(|path| (path.clone(), storage.bytes(&path))).collect();
    let host = Host::with_storage(storage.clone());
    let report = host.run(verify(&host, None));
    let after: Vec<_> = storage.paths().into_iter().map(|path| (path.clone(), storage.bytes(&path))).collect();
    assert!(before == after, "nothing is changed");
    report
}

/// What is wrong with a folder, as `path problem`.
fn problems(storage: &MemoryStorage) -> Vec<String> {
    let report = run(storage).unwrap();
    assert_eq!(report.exit_status, if report.problems.is_empty() { 0 } else { 3 });
    assert_eq!(report.problem_count, report.problems.len() as u64);
    report.problems.into_iter().map(|problem| format!("{} {}", problem.path, problem.problem)).collect()
}

/// An export that is complete.
fn exported() -> MemoryStorage {
    let host = Host::new();
    let mut files = usual();
    let error =
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "informational"}]});
    files.push(Served {
        list: "error",
        name: "e1".into(),
        entry: json!({"type": "OperationOutcome", "url": url("e1")}),
        body: format!("{error}\n"),
    });
    serve(&host, &files);
    export(&host, &config()).unwrap();
    host.storage
}

fn damaged(damage: impl FnOnce(&MemoryStorage)) -> Vec<String> {
    let storage = exported();
    damage(&storage);
    problems(&storage)
}

#[test]
fn a_good_export_is_good() {
    let storage = exported();
    let report = run(&storage).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.exit_status, report.kind.as_str(), report.files, report.resources), (0, "output", 4, 10));
    assert_eq!((report.types["Patient"].files, report.types["Patient"].resources), (2, 5));
    assert_eq!((report.types["Condition"].files, report.types["Condition"].resources), (1, 4));
    assert_eq!(report.types.len(), 2);
    // Both files of the script begin to count at 0.
    assert_eq!(report.duplicates, BTreeMap::from([("Patient".to_owned(), 2)]));
    storage.set_read_only(true);
    assert_eq!(run(&storage).unwrap(), report, "a folder that cannot be written is checked all the same");
}

#[test]
fn what_a_killed_process_left_of_its_lock_is_no_part_of_the_export() {
    let storage = exported();
    let report = run(&storage).unwrap();
    let data: usize = [
        "Condition.001.ndjson.gz",
        "Patient.001.ndjson.gz",
        "Patient.002.ndjson.gz",
        "error/OperationOutcome.001.ndjson.gz",
    ]
    .iter()
    .map(|name| storage.bytes(name).unwrap().len())
    .sum();
    assert_eq!(report.bytes, data as u64, "bytes are those of the data files");
    storage.put(".lock.00000000-0000-4000-8000-000000000003", "{\"pid\":1");
    assert_eq!(run(&storage).unwrap(), report);
}

#[test]
fn each_damage_is_named() {
    let expect = |found: Vec<String>, words: &[&str]| {
        assert_eq!(found.len(), words.len(), "{found:?}");
        for (found, words) in found.iter().zip(words) {
            assert!(found.starts_with(words), "{found}");
        }
    };
    expect(
        damaged(|disk| disk.take("Patient.002.ndjson.gz")),
        &["Patient.002.ndjson.gz is missing, though the export has had it"],
    );
    expect(
        damaged(|disk| disk.take("error/OperationOutcome.001.ndjson.gz")),
        &["error/OperationOutcome.001.ndjson.gz is missing"],
    );
    expect(
        damaged(|disk| {
            let bytes = disk.bytes("Patient.001.ndjson.gz").unwrap();
            disk.put("Patient.001.ndjson.gz", &bytes[..bytes.len() - 1]);
        }),
        &["Patient.001.ndjson.gz is damaged: it ends early"],
    );
    expect(
        damaged(|disk| disk.put("Patient.001.ndjson.gz", gzip(lines("Patient", 2).as_bytes()))),
        &["Patient.001.ndjson.gz holds 2 rows, but 3 were received"],
    );
    expect(
        damaged(|disk| {
            let text =
                "{\"resourceType\":\"Patient\",\"id\":\"1\"}\nbroken\n{\"resourceType\":\"Device\",\"id\":\"1\"}\n";
            disk.put("Patient.001.ndjson.gz", gzip(text.as_bytes()));
        }),
        &[
            "Patient.001.ndjson.gz has 1 line that is no resource; line 2: not a JSON object",
            "Patient.001.ndjson.gz holds 1 resource of type Device",
        ],
    );
    expect(
        damaged(|disk| {
            disk.put("Patient.003.ndjson.gz.part", "half");
            disk.put(".metadata.tmp", "half");
        }),
        &[".metadata.tmp was left by", "Patient.003.ndjson.gz.part was left by a run that was interrupted"],
    );
    expect(damaged(|disk| disk.put(".metadata", "{")), &[".metadata cannot be read: "]);
    expect(
        damaged(|disk| {
            let text = disk.text(".metadata").unwrap().replace("\"complete\": true", "\"complete\": false");
            disk.put(".metadata", text);
        }),
        &[".metadata says that the export is not complete"],
    );
    expect(
        damaged(|disk| disk.put("log.ndjson", disk.text("log.ndjson").unwrap() + "{\"torn")),
        &["log.ndjson has a line that is no JSON"],
    );
    // A copy, of which links and merges would make use.
    expect(
        damaged(|disk| disk.put("Patient.007.ndjson.gz", disk.bytes("Patient.001.ndjson.gz").unwrap())),
        &["Patient.007.ndjson.gz is none of the files that were received"],
    );
    // Hydration adds files of its own.
    expect(damaged(|disk| disk.put("Patient.referenced.ndjson", lines("Patient", 1))), &[]);
    expect(
        damaged(|disk| disk.put("deleted/Bundle.001.ndjson", lines("Patient", 1))),
        &["deleted/Bundle.001.ndjson holds 1 resource of type Patient"],
    );
}

#[test]
fn an_export_under_way_or_with_files_missing_is_not_complete() {
    let host = Host::new();
    let files = usual();
    host.http.on("GET", &format!("/files/{}", files[1].name), Reply::new(404));
    serve(&host, &files);
    let report = export(&host, &config()).unwrap();
    assert_eq!(report.exit_status, 3);
    let found = problems(&host.storage);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("not complete") && found[1].starts_with("Patient.002.ndjson.gz is missing: "),
        "{found:?}"
    );
}

#[test]
fn a_crawl_is_compared_with_its_ledger_of_patients() {
    let host = Host::new();
    let refused = |kind: &str, patient: &str, _: u32| {
        (kind == "Condition" && patient == "p001").then(|| Reply::outcome(500, "error", "exception", "database down"))
    };
    crate::crawl::serve(&host, 4, refused);
    let types = ["Patient", "Condition", "Encounter"];
    let report = crate::crawl::crawl(&host, &crate::crawl::config(4, &types)).unwrap();
    assert_eq!(report.exit_status, 3);
    let found = problems(&host.storage);
    let expected = [
        ".metadata says that the export is not complete: run it again",
        "Condition.ndjson lacks what 1 patients have: run the crawl again",
    ];
    assert_eq!(found, expected);
    host.storage.put("Encounter.ndjson", lines("Encounter", 7));
    let expected = "Encounter.ndjson holds 7 rows, but 8 were received";
    assert!(problems(&host.storage).iter().any(|found| found.starts_with(expected)));
    host.storage.take("Encounter.ndjson");
    let expected = "Encounter.ndjson is missing, though the export has had it";
    assert!(problems(&host.storage).iter().any(|found| found.starts_with(expected)));
}

#[test]
fn a_folder_of_the_reference_is_compared_with_its_log() {
    let storage = MemoryStorage::new();
    storage.put(".metadata", r#"{"kind":"output","complete":true}"#);
    storage.put("Patient.001.ndjson", lines("Patient", 3));
    storage.put("Practitioner.referenced.ndjson", lines("Practitioner", 7));
    let event =
        |id: &str, detail: Value| format!("{}\n", json!({"exportId": "x", "eventId": id, "eventDetail": detail}));
    let log = |count: u64| {
        event("download_request", json!({"fileUrl": "u", "itemType": "output", "resourceType": "Patient"}))
            + &event("download_complete", json!({"fileUrl": "u", "resourceCount": count, "fileSize": 1}))
    };
    storage.put("log.ndjson", log(3));
    assert_eq!(problems(&storage), Vec::<String>::new());
    storage.put("log.ndjson", log(4));
    assert_eq!(
        problems(&storage),
        ["log.ndjson says that 4 resources of type Patient were received, but the files hold 3"]
    );
}

#[test]
fn duplicates_and_dangling_references_are_counted_and_are_no_fault() {
    let storage = MemoryStorage::new();
    storage.put(
        "Patient.001.ndjson",
        "{\"resourceType\":\"Patient\",\"id\":\"1\",\"x\":{\"reference\":\"Practitioner/7\"}}\n",
    );
    let condition = |id: &str, reference: &str| {
        format!("{{\"resourceType\":\"Condition\",\"id\":\"{id}\",\"subject\":{{\"reference\":\"{reference}\"}}}}\n")
    };
    let rows = [
        condition("1", "Patient/1"),
        condition("1", "Patient/1/_history/2"),
        condition("2", "Patient/2"),
        condition("3", "Patient/2"),
        condition("4", "#contained"),
        condition("5", "https://other.example/fhir/Patient/9"),
    ];
    storage.put("Condition.001.ndjson", rows.concat());
    let report = run(&storage).unwrap();
    assert_eq!(report.exit_status, 0);
    assert_eq!(report.duplicates, BTreeMap::from([("Condition".to_owned(), 1)]));
    let dangling = |kind: &str, targets, references| Dangling { resource_type: kind.into(), targets, references };
    assert_eq!(report.dangling, [dangling("Patient", 1, 2), dangling("Practitioner", 1, 1)]);
}

#[test]
fn a_bundle_stands_for_the_files_that_it_replaced() {
    let host = Host::new();
    serve(&host, &usual());
    export(&host, &smart_fetch::config::BulkConfig { bundle: true, ..config() }).unwrap();
    let report = run(&host.storage).unwrap();
    assert_eq!((report.problems.len(), report.files, report.resources), (0, 1, 9), "{:?}", report.problems);
    assert_eq!(report.types["Patient"].resources, 5);
    let text = host.storage.text("Bundle.json.gz").unwrap();
    let fewer: Vec<&str> = text.lines().filter(|line| !line.contains("Condition-0")).collect();
    host.storage.put("Bundle.json.gz", gzip(fewer.join("\n").as_bytes()));
    assert_eq!(problems(&host.storage), ["Bundle.json.gz holds 8 resources, but the files that it replaces held 9"]);
}

#[test]
fn a_managed_folder_is_checked_with_its_exports_and_links() {
    let ehr = Ehr::new();
    let host = ehr.host();
    let of = |patient: &str| json!({"subject": {"reference": format!("{}/Patient/{patient}", ehr::BASE)}});
    ehr.at("2026-01-01T00:00:00Z")
        .put("Patient/p1", json!({}))
        .put("Condition/c1", of("p1"))
        .put("Condition/c2", of("p9"));
    ehr.at("2026-01-02T00:00:00Z");
    ehr::export(&host, &ehr::named(ehr::config("Patient,Condition"), "one")).unwrap();
    ehr.at("2026-05-01T00:00:00Z").put("Condition/c3", of("p1")).delete("Condition/c1");
    ehr::export(&host, &ehr::named(ehr::auto("Patient,Condition"), "two")).unwrap();
    let disk = host.storage.clone();
    let report = run(&disk).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.kind.as_str(), report.runs.len(), report.types["Condition"].resources), ("managed", 2, 3));
    assert_eq!(report.dangling, [Dangling { resource_type: "Patient".into(), targets: 1, references: 1 }]);
    assert_eq!(report.duplicates, BTreeMap::new(), "the same resource in two exports is no duplicate");

    let link =
        disk.paths().into_iter().find_map(|path| path.split_once(" -> ").map(|(name, _)| name.to_owned())).unwrap();
    disk.take(&link);
    disk.put("Patient.009.ndjson", "");
    Host::with_storage(disk.clone()).run(async {
        use smart_fetch::platform::Storage;
        disk.link("001.one/Patient.001.ndjson", "Device.001.ndjson").await.unwrap();
    });
    disk.put("002.two/Condition.001.ndjson", "");
    let found = problems(&disk);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("Device.001.ndjson leads to 001.one/Patient.001.ndjson, which is not current"),
        "{found:?}"
    );
    assert!(found[1].starts_with(&format!("{link} is missing: make the links anew")), "{found:?}");
    assert!(found[2].starts_with("002.two/Condition.001.ndjson holds 0 rows, but 1 were received"), "{found:?}");
}

#[test]
fn where_there_is_nothing_to_check() {
    let storage = MemoryStorage::new();
    assert_eq!(run(&storage).unwrap_err().kind, ErrorKind::NotFound);
    storage.put("notes.txt", "mine");
    assert_eq!(run(&storage).unwrap_err().kind, ErrorKind::NotFound);
    let storage = exported();
    let host = Host::with_storage(storage.clone());
    host.run(async {
        use smart_fetch::platform::Storage;
        let _lock = storage.lock().await.unwrap();
        assert_eq!(verify(&host, None).await.unwrap_err().kind, ErrorKind::Locked);
    });
}

#[test]
fn it_tells_how_far_it_is() {
    let storage = exported();
    let host = Host::with_storage(storage);
    host.run(verify(&host, None)).unwrap();
    let last = host.events().into_iter().rev().find_map(|event| match event {
        Event::Progress { task, done, total, resources } => Some((task, done, total, resources)),
        _ => None,
    });
    assert_eq!(last, Some(("Checking".to_owned(), 4, Some(4), 10)));
}
