//! Managed folders over time, where servers, tokens and users do what nobody expects: nothing is lost, and nothing that is still
//! there is called deleted.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use smart_fetch::config::{AuthConfig, ExportConfig, ExportMode, Level, LocalConfig};
use smart_fetch::job::Verdict;
use smart_fetch::merge::MergeReport;
use smart_fetch::platform::SigningKey;
use smart_fetch::testing::{Host, Reply};
use smart_fetch::verify::VerifyReport;

use crate::ehr::*;

const TYPES: &str = "Patient,Condition";

fn filtered(filters: &[&str], nickname: &str) -> ExportConfig {
    let mut config = named(config("Condition"), nickname);
    config.bulk.type_filters = filters.iter().map(|filter| format!("Condition?{filter}")).collect();
    config
}

#[test]
fn what_fewer_filters_leave_out_is_not_deleted() {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z");
    ehr.put("Condition/a", json!({"code": "a"})).put("Condition/a2", json!({"code": "a"}));
    ehr.put("Condition/b", json!({"code": "b"}));
    let host = ehr.host();
    export(&host, &filtered(&["code=a", "code=b"], "both")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").delete("Condition/a2");
    let report = export(&host, &filtered(&["code=a"], "one")).unwrap();
    assert_eq!(report.gone.get("Condition"), None, "which of them had code a is not known");
    assert!(seen_by_reader(&host).contains_key("Condition/b"), "{:?}", seen_by_reader(&host));
    // The same filters as before: now it is known.
    ehr.at("2026-03-01T00:00:00Z").put("Condition/a", json!({"code": "c"}));
    let report = export(&host, &filtered(&["code=a"], "one again")).unwrap();
    assert_eq!(report.gone.get("Condition"), Some(&1));
}

#[test]
fn a_bulk_export_does_not_go_on_from_a_crawl_of_some_patients_that_the_folder_had() {
    let of = |patient: &str| json!({"subject": {"reference": format!("Patient/{patient}")}});
    let ehr = Ehr::new();
    ehr.at("2025-01-01T00:00:00Z").put("Patient/p1", json!({})).put("Patient/p2", json!({}));
    ehr.put("Condition/c2", of("p2")).at("2026-01-01T00:00:00Z").put("Condition/c1", of("p1"));
    let host = ehr.host();
    let crawl = |config: ExportConfig| ExportConfig { mode: ExportMode::Crawl, ..config };
    let mut some = crawl(named(config("Patient"), "one"));
    some.cohort.ids = vec!["p1".into()];
    export(&host, &some).unwrap();
    // Its patients are those of the export before.
    export(&host, &crawl(named(config("Condition"), "two"))).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c3", of("p2"));
    let result = export(&host, &named(auto("Condition"), "three"));
    let seen = seen_by_reader(&host);
    assert!(result.is_err() || seen.contains_key("Condition/c2"), "{seen:?}");
}

#[test]
fn an_export_of_some_patients_or_elements_takes_no_others_place() {
    for narrow in [
        |config: &mut ExportConfig| config.bulk.patients = vec!["Patient/p1".into()],
        |config: &mut ExportConfig| config.bulk.elements = vec!["id".into()],
        |config: &mut ExportConfig| config.bulk.until = Some("2020-01-01".into()),
    ] {
        let ehr = Ehr::new();
        ehr.at("2026-01-01T00:00:00Z")
            .put("Patient/p1", json!({}))
            .put("Condition/c1", json!({}))
            .put("Condition/c2", json!({}));
        let host = ehr.host();
        host.http.on_call("POST", "$export", {
            let data = ehr.0.clone();
            move |_| data.borrow_mut().export("https://ehr.example/fhir/$export?_type=Patient,Condition")
        });
        let part = |nickname: &str| {
            let mut config = named(config(TYPES), nickname);
            config.bulk.level = Level::Patient;
            narrow(&mut config);
            config
        };
        let whole = |mut config: ExportConfig| {
            config.bulk.level = Level::Patient;
            config
        };
        export(&host, &whole(named(config(TYPES), "one"))).unwrap();
        ehr.at("2026-02-01T00:00:00Z");
        let kept = ehr.0.borrow_mut().resources.remove("Condition/c2").unwrap();
        let report = export(&host, &part("two")).unwrap();
        assert!(report.gone.is_empty(), "{:?}", report.gone);
        assert!(seen_by_reader(&host).contains_key("Condition/c2"), "{:?}", links(&host));
        ehr.0.borrow_mut().resources.insert("Condition/c2".into(), kept);
        let crawl = ExportConfig { mode: ExportMode::Crawl, ..whole(auto(TYPES)) };
        export(&host, &crawl).unwrap();
        let searches = host.http.seen_with("/Condition?").into_iter().map(|seen| seen.request.url);
        let searches: Vec<String> = searches.collect();
        assert!(searches.len() == 1 && searches[0].contains("gt2026-01-01"), "since the whole one: {searches:?}");
    }
}

/// Tokens for some types only, and exports that leave the others out without a word.
fn narrow(host: &Host, ehr: &Ehr, granted: &'static str) {
    let configuration = json!({"token_endpoint": "https://ehr.example/token"});
    host.http.on("GET", "/.well-known/smart-configuration", Reply::json(200, &configuration.to_string()));
    let grant = json!({"access_token": "t", "token_type": "bearer", "expires_in": 300, "scope": granted});
    host.http.on_call("POST", "https://ehr.example/token", move |_| Reply::json(200, &grant.to_string()));
    let data = ehr.0.clone();
    host.http.on_call("GET", "$export", move |request| {
        let types = query(&request.url, "_type").unwrap();
        let covered: Vec<&str> = types.split(',').filter(|t| granted.contains(&format!("/{t}."))).collect();
        let since = query(&request.url, "_since").map(|since| format!("&_since={since}")).unwrap_or_default();
        data.borrow_mut().export(&format!("{BASE}/$export?_type={}{since}", covered.join(",")))
    });
}

fn smart(mut config: ExportConfig) -> ExportConfig {
    config.bulk.server.auth = AuthConfig::Smart { client_id: "c".into(), token_url: None, scope: None };
    config
}

#[test]
fn a_type_that_the_token_does_not_cover_is_neither_done_nor_deleted() {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z").put("Patient/p1", json!({})).put("Condition/c1", json!({}));
    let host = || {
        let mut host = ehr.host();
        host.signer.keys = vec![SigningKey { alg: "ES384".into(), ..SigningKey::default() }];
        host
    };
    // First narrow, then whole.
    let first = host();
    narrow(&first, &ehr, "system/Patient.rs");
    let report = export(&first, &smart(named(config(TYPES), "one"))).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::Incomplete, 3));
    let bulk = report.bulk.unwrap();
    assert_eq!(bulk.failed.iter().map(|failed| failed.name.as_str()).collect::<Vec<_>>(), ["Condition"]);
    assert!(bulk.empty_types.is_empty());
    let state = metadata(&first, "001.one");
    assert_eq!((state["done"].get("Condition"), state.get("complete")), (None, None), "{state}");
    assert_eq!(first.http.seen_with("$export").len(), 1, "asked once");
    ehr.at("2026-02-01T00:00:00Z");
    let report = export(&first, &smart(named(auto(TYPES), "two"))).unwrap();
    assert_eq!(
        (report.exit_status, asked(&first, "_since").last().unwrap().as_deref()),
        (3, None),
        "whole, for its sake"
    );
    narrow(&first, &ehr, "system/Patient.rs system/Condition.rs");
    let report = export(&first, &smart(named(auto(TYPES), "two"))).unwrap();
    assert_eq!((report.exit_status, report.bulk.unwrap().failed.len()), (0, 0));
    assert_eq!(asked(&first, "_type").last().unwrap().as_deref(), Some("Condition"), "just what was missing");
    assert_eq!(metadata(&first, "002.two")["complete"], true);
    assert_eq!(seen_by_reader(&first), ehr.state(&["Patient", "Condition"]));

    // First whole, then narrow: what is there stays.
    let second = host();
    narrow(&second, &ehr, "system/*.rs /Patient. /Condition.");
    assert_eq!(export(&second, &smart(named(config(TYPES), "one"))).unwrap().exit_status, 0);
    narrow(&second, &ehr, "system/Patient.rs");
    let mut reconciling = smart(named(config(TYPES), "two"));
    reconciling.reconcile = true;
    let report = export(&second, &reconciling).unwrap();
    assert_eq!((report.exit_status, report.gone.get("Condition")), (3, None));
    assert_eq!(metadata(&second, "002.two")["done"].get("Condition"), None);
    assert_eq!(seen_by_reader(&second), ehr.state(&["Patient", "Condition"]));
}

/// What a job leaves anywhere: its result, its events, its files.
fn traces(host: &Host, result: &dyn std::fmt::Debug) -> String {
    let files: Vec<String> = host.storage.paths();
    let texts = files.iter().filter_map(|path| host.storage.text(path));
    format!("{result:?}\n{:?}\n{}", host.events(), texts.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_server_that_repeats_the_token_at_any_step_gets_it_written_nowhere() {
    const CANARY: &str = "c4n4ry.t0ken";
    let steps = [
        ("GET", "/metadata"),
        ("GET", "$export"),
        ("GET", "/jobs/"),
        ("GET", "/files/Condition"),
        ("GET", "/files/"),
        ("DELETE", "/jobs/"),
        ("GET", "/Condition?"),
        ("GET", "/Patient?"),
        ("GET", "/Practitioner/"),
        ("GET", "/Binary/"),
    ];
    let mut leaks = Vec::new();
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        for (method, step) in steps {
            for status in [200, 400, 401, 403, 404, 500] {
                let ehr = Ehr::new();
                let of = json!({"subject": {"reference": "Patient/p1"}, "recorder": {"reference": "Practitioner/d"}});
                ehr.at("2026-01-01T00:00:00Z").put("Patient/p1", json!({})).put("Condition/c1", of);
                let attachment = json!({"url": "Binary/b", "contentType": "text/plain"});
                ehr.put("DocumentReference/d1", json!({"content": [{"attachment": attachment}]}));
                let host = ehr.host();
                let bundle = step == "/Condition?" && status == 200 && mode == ExportMode::Crawl;
                let issue = json!({"severity": "error", "code": "security", "diagnostics": format!("bad {CANARY}"),
                    "details": {"text": format!("no session ({CANARY})")}});
                let mut echo = json!({"resourceType": "OperationOutcome", "issue": [issue]});
                if bundle {
                    echo = json!({"resourceType": "Bundle", "entry": [{"resource": echo}]});
                }
                let echo = echo.to_string();
                host.http.on_call(method, step, move |_| {
                    Reply::json(status, &echo).header("X-Echo", CANARY).header("WWW-Authenticate", CANARY)
                });
                let mut config = ExportConfig { mode, ..named(config(TYPES), "one") };
                if mode == ExportMode::Bulk {
                    config.bulk.types.push("DocumentReference".into());
                }
                config.hydration_tasks = vec!["practitioner".into(), "inline".into()];
                config.bulk.server.auth = AuthConfig::Bearer { token: CANARY.into() };
                let result = export(&host, &config);
                let left = traces(&host, &result);
                for line in left.lines().flat_map(|line| line.split("}, ")).filter(|line| line.contains(CANARY)) {
                    leaks.push(format!("{mode:?} {method} {step} {status}: {line}"));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n"));
}

#[test]
fn a_server_whose_clock_was_years_ahead_once_is_asked_for_what_came_since() {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z").put("Patient/p1", json!({})).put("Condition/c1", json!({}));
    let host = ehr.host();
    // Only the manifest's time is wrong.
    ehr.at("2062-01-01T00:00:00Z");
    let report = export(&host, &named(config(TYPES), "one")).unwrap();
    assert_eq!(report.exit_status, 0);
    assert!(host.warnings().contains(&"transaction-time".to_owned()), "{:?}", host.warnings());
    let state = metadata(&host, "001.one");
    assert_eq!(state["done"]["Condition"], state["ledger"]["jobs"][0]["kickedOff"]);
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c2", json!({}));
    export(&host, &named(auto(TYPES), "two")).unwrap();
    assert!(seen_by_reader(&host).contains_key("Condition/c2"), "{:?}", asked(&host, "_since"));
}

#[test]
fn what_is_deleted_while_an_export_runs_is_gone_after_reconciling() {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z")
        .put("Patient/p1", json!({}))
        .put("Condition/c1", json!({}))
        .put("Condition/c2", json!({}));
    let host = ehr.host();
    ehr.0.borrow_mut().meanwhile = Some(Box::new(|data| {
        data.now = "2026-01-03T00:10:00Z".into();
        data.resources.remove("Condition/c1");
        data.deleted.push(("Condition/c1".into(), data.now.clone()));
        // Deleted, and there again.
        data.put("Condition/c2", json!({"v": 2}));
        data.deleted.push(("Condition/c2".into(), "2026-01-03T00:05:00Z".into()));
    }));
    let mut config = named(config(TYPES), "one");
    config.reconcile = true;
    assert_eq!(export(&host, &config).unwrap().exit_status, 0);
    assert_eq!(merged(&host), ehr.state(&["Patient", "Condition"]));
}

/// What a merge of the folder holds.
pub fn merged(host: &Host) -> BTreeMap<String, Value> {
    merge(host).0
}

/// The same, and what it says.
pub fn merge(host: &Host) -> (BTreeMap<String, Value>, MergeReport) {
    let mut target = Host::new();
    target.source = Some(host.storage.clone());
    let config = LocalConfig { compress: false, folder: None };
    let report = target.run(smart_fetch::merge::merge(&target, &config)).unwrap();
    let files = target.storage.paths().into_iter().filter(|path| path.ends_with(".ndjson") && path != "log.ndjson");
    let texts: Vec<String> = files.map(|path| target.storage.text(&path).unwrap()).collect();
    let rows = texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let name = |row: &Value| format!("{}/{}", row["resourceType"].as_str().unwrap(), row["id"].as_str().unwrap());
    (rows.map(|row| (name(&row), row)).collect(), report)
}

#[test]
fn a_disk_that_is_full_at_any_byte_loses_nothing_and_the_same_command_ends_right() {
    let of = |patient: &str| json!({"subject": {"reference": format!("Patient/{patient}")}});
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        let ehr = Ehr::new();
        let begin = || {
            let host = ehr.host();
            ehr.0.borrow_mut().resources.clear();
            ehr.0.borrow_mut().deleted.clear();
            ehr.at("2026-01-01T00:00:00Z").put("Patient/p1", json!({})).put("Patient/p2", json!({}));
            ehr.put("Condition/c1", of("p1")).put("Condition/c2", of("p2"));
            export(&host, &ExportConfig { mode, ..named(config(TYPES), "one") }).unwrap();
            ehr.at("2026-02-01T00:00:00Z")
                .put("Patient/p3", json!({}))
                .put("Condition/c3", of("p3"))
                .delete("Condition/c2");
            host
        };
        let second = ExportConfig { mode, ..named(config(TYPES), "two") };
        let used = |host: &Host| -> u64 {
            let paths = host.storage.paths().into_iter().filter(|path| !path.contains(" -> "));
            paths.map(|path| host.storage.bytes(&path).unwrap().len() as u64).sum()
        };
        let whole = begin();
        let before = used(&whole);
        export(&whole, &second).unwrap();
        let expected = (whole.storage.paths(), seen_by_reader(&whole));
        let most = used(&whole) - before;
        let mut full = 0;
        for room in (0..2 * most).step_by(173) {
            let host = begin();
            host.storage.set_capacity(Some(before + room));
            let result = export(&host, &second);
            if let Err(error) = &result {
                full += 1;
                assert_eq!(error.kind, smart_fetch::ErrorKind::Quota, "{mode:?} {room}: {error}");
            }
            let seen = seen_by_reader(&host);
            assert!(
                ["Patient/p1", "Patient/p2", "Condition/c1"].iter().all(|name| seen.contains_key(*name)),
                "{mode:?} {room}"
            );
            host.storage.set_capacity(None);
            let report = export(&host, &second).unwrap_or_else(|error| panic!("{mode:?} {room}: {error}"));
            assert_eq!(report.exit_status, 0, "{mode:?} {room}");
            assert_eq!((host.storage.paths(), seen_by_reader(&host)), expected, "{mode:?} {room}");
            assert_eq!(verify(&host).problems, [], "{mode:?} {room}");
        }
        assert!(full > 7, "{mode:?} {full}");
    }
}

pub fn verify(host: &Host) -> VerifyReport {
    host.run(smart_fetch::verify::verify(host, None)).unwrap()
}

#[test]
fn a_type_that_is_gone_as_a_whole_is_told() {
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        let of = json!({"subject": {"reference": "Patient/p1"}});
        let ehr = Ehr::new();
        ehr.at("2026-01-01T00:00:00Z").put("Patient/p1", json!({}));
        ehr.put("Condition/c1", of.clone()).put("Condition/c2", of);
        let host = ehr.host();
        export(&host, &ExportConfig { mode, ..named(config(TYPES), "one") }).unwrap();
        ehr.at("2026-02-01T00:00:00Z").delete("Condition/c1");
        export(&host, &ExportConfig { mode, ..named(config(TYPES), "two") }).unwrap();
        assert!(!host.warnings().contains(&"all-gone".to_owned()));
        ehr.at("2026-03-01T00:00:00Z").delete("Condition/c2");
        let report = export(&host, &ExportConfig { mode, ..named(config(TYPES), "three") }).unwrap();
        assert_eq!(report.gone.get("Condition"), Some(&1));
        assert!(host.warnings().contains(&"all-gone".to_owned()), "a server that leaves a type out looks like that");
    }
}

#[test]
fn a_crawl_of_some_ids_takes_no_place_of_an_export_of_all() {
    let of = |patient: &str| json!({"subject": {"reference": format!("Patient/{patient}")}});
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z").put("Patient/p1", json!({})).put("Patient/p2", json!({}));
    ehr.put("Condition/c1", of("p1")).put("Condition/c2", of("p2"));
    let host = ehr.host();
    export(&host, &named(config(TYPES), "one")).unwrap();
    let of_ids = |ids: &[&str], nickname: &str| {
        let mut config = ExportConfig { mode: ExportMode::Crawl, ..named(config(TYPES), nickname) };
        config.cohort.ids = ids.iter().map(|id| (*id).to_owned()).collect();
        config
    };
    let report = export(&host, &of_ids(&["p1"], "two")).unwrap();
    assert!(report.gone.is_empty(), "{:?}", report.gone);
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
    assert_eq!(merged(&host), ehr.state(&["Patient", "Condition"]));
    // What came since the one of all is shown with it.
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c3", of("p2"));
    export(&host, &named(auto(TYPES), "three")).unwrap();
    assert_eq!(merged(&host), ehr.state(&["Patient", "Condition"]));
    // Among themselves, the newest counts, as ever: the cohort is what was asked for.
    export(&host, &of_ids(&["p1", "p2"], "four")).unwrap();
    assert!(export(&host, &of_ids(&["p2"], "five")).unwrap().gone.is_empty());
    let shown = links(&host);
    assert!(shown.iter().all(|link| !link.contains("004.four")), "{shown:?}");
    assert_eq!(merged(&host), ehr.state(&["Patient", "Condition"]));
    // And one of all takes the place of every other.
    export(&host, &named(config(TYPES), "six")).unwrap();
    assert!(links(&host).iter().all(|link| link.contains("006.six")), "{:?}", links(&host));
}
