//! Managed exports that crawl: increments, new, merged and deleted patients, and cohorts that change.

use serde_json::json;
use smart_fetch::config::{ExportConfig, ExportMode, Level};
use smart_fetch::job::{self, Verdict};
use smart_fetch::testing::Reply;

use crate::ehr::*;

const TYPES: &str = "Patient,Condition";

fn of(patient: &str) -> serde_json::Value {
    json!({"subject": {"reference": format!("Patient/{patient}")}})
}

fn start() -> Ehr {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z");
    ehr.put("Patient/p1", json!({})).put("Patient/p2", json!({})).put("Patient/p3", json!({}));
    ehr.put("Condition/c1", of("p1")).put("Condition/c2", of("p2")).put("Condition/c3", of("p3"));
    ehr
}

fn crawl(mut config: ExportConfig) -> ExportConfig {
    config.mode = ExportMode::Crawl;
    config
}

fn searches(host: &smart_fetch::testing::Host) -> Vec<String> {
    let seen = host.http.seen_with("/Condition?").into_iter();
    let mut seen: Vec<String> =
        seen.map(|seen| seen.request.url.split_once("/Condition?").unwrap().1.replace("%3A", ":")).collect();
    seen.sort();
    seen
}

/// A crawl of the patients with these ids.
fn of_ids(ids: &[&str], config: ExportConfig) -> ExportConfig {
    let mut config = crawl(config);
    config.cohort.ids = ids.iter().map(|id| (*id).to_owned()).collect();
    config
}

#[test]
fn a_year_of_crawls_ends_in_what_a_full_one_gives() {
    let ehr = start();
    let host = ehr.host();
    let report = export(&host, &crawl(named(config(TYPES), "one"))).unwrap();
    assert_eq!((report.exit_status, report.mode, report.links), (0, ExportMode::Crawl, 3));
    assert!(host.storage.paths().contains(&"Condition.001.ndjson -> 001.one/Condition.ndjson".to_owned()));
    assert_eq!(
        metadata(&host, "001.one")["done"]["Condition"],
        "2026-01-01T00:00:00+00:00",
        "the newest that was seen"
    );

    // p4 comes with a history, p3 goes, p2 takes over what p3 had, c1 changes.
    ehr.put("Patient/p4", json!({})).put("Condition/old", of("p4"));
    ehr.at("2026-02-01T00:00:00Z").delete("Patient/p3");
    ehr.put("Patient/p2", json!({"link": [{"type": "replaces", "other": {"reference": "Patient/p3"}}]}));
    ehr.put("Condition/c1", json!({"v": 2, "subject": {"reference": "Patient/p1"}}));
    ehr.0.borrow_mut().resources.get_mut("Condition/c3").unwrap().0["subject"]["reference"] = json!("Patient/p2");
    let report = export(&host, &crawl(named(auto(TYPES), "two"))).unwrap();
    assert_eq!((report.exit_status, report.new_patients), (0, 2));
    assert_eq!(metadata(&host, "002.two")["newPatients"], json!(["p2", "p4"]));
    let asked = searches(&host);
    assert!(asked.contains(&"patient=p1&_lastUpdated=gt2026-01-01T00:00:00%2B00:00".to_owned()), "{asked:?}");
    assert_eq!(asked.iter().filter(|url| *url == "patient=p4").count(), 1, "{asked:?}");
    let said = notes(&host);
    assert!(said.contains(&"Count of new patients: 2.".to_owned()), "{said:?}");
    assert!(said.contains(&"Count of deleted patients: 1.".to_owned()), "{said:?}");
    assert!(said.contains(&"Using since value of '2026-01-01T00:00:00+00:00' for Condition.".to_owned()), "{said:?}");
    assert!(host.storage.text("002.two/deleted/Bundle.Patient.ndjson").unwrap().contains("\"Patient/p3\""));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));

    // A type more, and a full run at last.
    ehr.at("2026-03-01T00:00:00Z").put("Encounter/e1", of("p1")).put("Condition/c5", of("p4"));
    export(&host, &crawl(named(auto("Patient,Condition,Encounter"), "three"))).unwrap();
    assert_eq!(metadata(&host, "003.three")["sinceResources"], json!(["Condition"]));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition", "Encounter"]));
    ehr.at("2026-04-01T00:00:00Z").delete("Condition/c2");
    let report = export(&host, &crawl(named(config(TYPES), "four"))).unwrap();
    assert_eq!(report.gone.get("Condition"), Some(&1));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition", "Encounter"]));
    // Bulk goes on where a crawl ended, and the other way round.
    ehr.at("2026-05-01T00:00:00Z").put("Condition/c6", of("p1"));
    assert_eq!(export(&host, &named(auto(TYPES), "five")).unwrap().mode, ExportMode::Bulk);
    ehr.at("2026-06-01T00:00:00Z").put("Condition/c7", of("p1"));
    export(&host, &crawl(named(auto(TYPES), "six"))).unwrap();
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition", "Encounter"]));
}

#[test]
fn epic_crawls_unless_told_otherwise() {
    let ehr = start();
    let host = smart_fetch::testing::Host::new();
    let mut capability = capability();
    capability["software"] = json!({"name": "Epic"});
    ehr.serve(&host, &capability);
    let report = export(&host, &named(config(TYPES), "one")).unwrap();
    assert_eq!(report.mode, ExportMode::Crawl);
    assert!(notes(&host).iter().any(|note| note.starts_with("Epic server detected. Defaulting to a 'crawl'")));
    let mut bulk = named(config(TYPES), "two");
    bulk.mode = ExportMode::Bulk;
    assert_eq!(export(&host, &bulk).unwrap().mode, ExportMode::Bulk);
}

#[test]
fn ids_mean_a_crawl_of_these_patients_and_no_others() {
    let ehr = start();
    let host = ehr.host();
    let mut some = named(config(TYPES), "one");
    some.cohort.ids = vec!["p2".into()];
    for level in [Level::System, Level::Group("all".into())] {
        let mut bulk = ExportConfig { mode: ExportMode::Bulk, ..some.clone() };
        bulk.bulk.level = level;
        let error = export(&host, &bulk).unwrap_err();
        assert_eq!((error.exit_status(), host.http.seen().len()), (2, 0), "{error}");
    }
    assert_eq!(export(&host, &some).unwrap().mode, ExportMode::Crawl);
    assert_eq!(seen_by_reader(&host).into_keys().collect::<Vec<_>>(), ["Condition/c2", "Patient/p2"]);
    assert!(host.http.seen_with("$export").is_empty());
}

#[test]
fn a_try_that_nothing_came_of_binds_nobody() {
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        let ehr = start();
        let host = ehr.host();
        host.http.on("GET", "/Group/nosuch/", Reply::outcome(404, "error", "not-found", "no such group"));
        let wrong = |config: ExportConfig| {
            let mut config = ExportConfig { mode, ..config };
            config.bulk.level = Level::Group("nosuch".into());
            config
        };
        assert_eq!(export(&host, &wrong(config("Patient"))).unwrap_err().status, Some(404));
        assert_eq!(export(&host, &wrong(named(config(TYPES), "one"))).unwrap_err().status, Some(404));
        let right = ExportConfig { mode, ..named(config("Patient,Condition,Encounter"), "one") };
        let report = export(&host, &right).unwrap();
        assert_eq!((report.exit_status, report.folder.as_str()), (0, "002.one"), "{mode:?}");
        let metadata: serde_json::Value = serde_json::from_str(&host.storage.text(".metadata").unwrap()).unwrap();
        assert_eq!(metadata["group"], serde_json::Value::Null);
        // From now on it is for all patients.
        let error = export(&host, &wrong(config(TYPES))).unwrap_err();
        assert!(error.message.contains("is for a different Group"), "{error}");
    }
}

#[test]
fn after_increments_only_who_is_new_counts_as_new() {
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        let ehr = start();
        let host = ehr.host();
        export(&host, &named(config(TYPES), "one")).unwrap();
        ehr.at("2026-02-01T00:00:00Z").put("Condition/c4", of("p1"));
        export(&host, &named(auto(TYPES), "two")).unwrap();
        ehr.at("2026-03-01T00:00:00Z").put("Patient/p4", json!({})).delete("Patient/p3");
        assert_eq!(export(&host, &named(auto(TYPES), "three")).unwrap().new_patients, 1);
        // p3 comes back.
        ehr.at("2026-04-01T00:00:00Z").put("Patient/p3", json!({})).put("Patient/p5", json!({}));
        let report = export(&host, &ExportConfig { mode, ..named(config(TYPES), "four") }).unwrap();
        assert_eq!((report.new_patients, metadata(&host, "004.four")["newPatients"].clone()), (2, json!(["p3", "p5"])));
    }
}

#[test]
fn an_id_that_nobody_has_holds_up_nothing_and_gets_a_history_when_it_is_known() {
    let ehr = start();
    let host = ehr.host();
    let ids = ["p1", "p2", "p3", "p4"];
    let report = export(&host, &of_ids(&ids, named(config(TYPES), "one"))).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::Incomplete, 3));
    assert_eq!(metadata(&host, "001.one")["complete"], true);
    // A slip in the ids is no news of anybody's end.
    let slip = export(&host, &of_ids(&["q1", "q2"], named(config(TYPES), "slip"))).unwrap();
    assert_eq!((slip.exit_status, slip.gone.len(), metadata(&host, "002.slip").get("complete")), (3, 0, None));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c4", of("p1"));
    assert_eq!(export(&host, &of_ids(&ids, named(auto(TYPES), "two"))).unwrap().exit_status, 3);
    assert_eq!(metadata(&host, "003.two")["complete"], true);
    // With a history from before.
    ehr.at("2025-01-01T00:00:00Z").put("Patient/p4", json!({})).put("Condition/old", of("p4"));
    ehr.at("2026-03-01T00:00:00Z");
    let report = export(&host, &of_ids(&ids, named(auto(TYPES), "three"))).unwrap();
    assert_eq!((report.exit_status, report.new_patients), (0, 1));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
}

#[test]
fn a_patient_that_cannot_be_had_hides_nothing_and_is_asked_for_again() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &crawl(named(config(TYPES), "one"))).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c1", json!({"v": 2, "subject": {"reference": "Patient/p1"}}));
    ehr.delete("Condition/c3");
    ehr.0.borrow_mut().broken = vec!["p2".into()];
    let report = export(&host, &crawl(named(config(TYPES), "two"))).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::Incomplete, 3));
    assert_eq!(report.gone.get("Condition"), None, "what is missing may not be deleted");
    assert!(seen_by_reader(&host).contains_key("Condition/c2"), "{:?}", links(&host));
    assert_eq!(metadata(&host, "002.two").get("complete"), None);
    ehr.0.borrow_mut().broken.clear();
    let before = searches(&host).len();
    let report = export(&host, &crawl(named(config(TYPES), "two"))).unwrap();
    assert_eq!((report.exit_status, searches(&host).len() - before), (0, 1));
    assert_eq!(report.gone.get("Condition"), Some(&1));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
}

#[test]
fn a_cohort_that_grows_gets_the_history_of_who_is_new() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &of_ids(&["p1"], named(config("Condition"), "one"))).unwrap();
    assert_eq!(searches(&host), ["patient=p1"]);
    ehr.at("2026-02-01T00:00:00Z");
    let report = export(&host, &of_ids(&["p1", "p2"], auto("Condition"))).unwrap();
    assert_eq!(report.new_patients, 1);
    assert!(searches(&host).contains(&"patient=p2".to_owned()), "{:?}", searches(&host));
    assert_eq!(seen_by_reader(&host).keys().filter(|name| name.starts_with("Condition/")).count(), 2);
    // A crawl of some is nothing that a bulk export of all could go on from.
    let error = export(&host, &named(auto("Condition"), "three")).unwrap_err();
    assert!(error.to_string().starts_with("Could not detect a since value"), "{error}");
    // Other patients without a word about a name: another subfolder.
    assert_eq!(export(&host, &of_ids(&["p3"], config("Condition"))).unwrap().folder, "003.2026-01-01");
}

#[test]
fn a_kill_of_an_increment_at_any_storage_call_loses_nobody() {
    let ehr = start();
    let base = ehr.0.borrow().resources.clone();
    let first = |host: &smart_fetch::testing::Host| export(host, &crawl(named(config(TYPES), "one"))).unwrap();
    let second = |host: &smart_fetch::testing::Host| {
        host.run_until_killed(job::export(host, &crawl(named(auto(TYPES), "two")), std::future::pending()))
    };
    // A new patient with a history, a change, and one who goes.
    ehr.put("Patient/p4", json!({})).put("Condition/old", of("p4"));
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c1", json!({"v": 2, "subject": {"reference": "Patient/p1"}}));
    ehr.delete("Patient/p3").delete("Condition/c3");
    let now = ehr.0.borrow().resources.clone();
    let begin = || {
        let host = ehr.host();
        ehr.0.borrow_mut().resources = base.clone();
        ehr.at("2026-01-01T00:00:00Z");
        first(&host);
        ehr.0.borrow_mut().resources = now.clone();
        ehr.at("2026-02-01T00:00:00Z");
        host
    };
    let whole = begin();
    let before = whole.storage.calls();
    second(&whole).unwrap().unwrap();
    let calls = whole.storage.calls() - before;
    let expected = seen_by_reader(&whole);
    assert_eq!(metadata(&whole, "002.two")["newPatients"], json!(["p4"]));
    assert!(expected.contains_key("Condition/old") && !expected.contains_key("Patient/p3") && calls > 80, "{calls}");
    for call in 1..=calls {
        let host = begin();
        host.storage.kill_at(call);
        assert!(second(&host).is_none(), "call {call}");
        host.storage.revive();
        let seen = seen_by_reader(&host);
        assert!(
            ["Condition/c1", "Condition/c2", "Patient/p1"].iter().all(|name| seen.contains_key(*name)),
            "call {call}"
        );
        let host = host.restarted();
        let report = second(&host).unwrap().unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!((report.exit_status, report.folder.as_str()), (0, "002.two"), "call {call}");
        assert_eq!(metadata(&host, "002.two")["newPatients"], json!(["p4"]), "call {call}");
        assert_eq!(seen_by_reader(&host), expected, "call {call}");
        assert_eq!(host.storage.paths(), whole.storage.paths(), "call {call}");
    }
}

#[test]
fn a_clock_ahead_of_the_servers_and_a_copy_that_lags_lose_no_change() {
    // Nothing new was seen: what is new may not have come to this copy of the data yet.
    let ehr = start();
    let host = ehr.host();
    export(&host, &crawl(named(config(TYPES), "one"))).unwrap();
    export(&host, &crawl(named(auto(TYPES), "two"))).unwrap();
    ehr.at("2026-01-01T20:00:00Z").put("Condition/late", of("p1"));
    export(&host, &crawl(named(auto(TYPES), "three"))).unwrap();
    assert!(seen_by_reader(&host).contains_key("Condition/late"), "{:?}", searches(&host));

    // The server's clock is an hour behind ours, and data change while patients are asked for one after the other.
    let ehr = start();
    let host = ehr.host();
    let (data, turn) = (ehr.clone(), std::cell::Cell::new(0));
    host.http.off("GET", "/metadata").on(
        "GET",
        "/metadata",
        smart_fetch::testing::Reply::json(200, &capability().to_string())
            .header("Date", "Fri, 02 Jan 2026 02:04:05 GMT"),
    );
    host.http.on_call("GET", "/Condition?", move |request| {
        let reply = data.0.borrow().search(&request.url);
        turn.set(turn.get() + 1);
        match turn.get() {
            // Of a patient who was asked for already, then of one who was not.
            1 => drop(
                data.at("2026-01-02T02:04:20Z")
                    .put("Condition/c1", json!({"v": 2, "subject": {"reference": "Patient/p1"}})),
            ),
            2 => drop(
                data.at("2026-01-02T02:04:40Z")
                    .put("Condition/c3", json!({"v": 2, "subject": {"reference": "Patient/p3"}})),
            ),
            _ => {}
        }
        reply
    });
    let mut one = crawl(named(config(TYPES), "one"));
    one.bulk.server.max_connections = 1;
    export(&host, &one).unwrap();
    export(&host, &crawl(named(auto(TYPES), "two"))).unwrap();
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]), "{:?}", searches(&host));
}

#[test]
fn a_new_patient_whose_patient_comes_late_gets_a_history() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &of_ids(&["p1"], named(config(TYPES), "one"))).unwrap();
    // p2 and p3 are new, and p3 cannot be had.
    ehr.at("2026-02-01T00:00:00Z");
    let (data, broken) = (ehr.clone(), std::rc::Rc::new(std::cell::Cell::new(true)));
    let is_broken = broken.clone();
    host.http.on_call("GET", "/Patient?", move |request| {
        let hit = is_broken.get() && query(&request.url, "_id").unwrap().contains("p3");
        match hit {
            true => smart_fetch::testing::Reply::outcome(500, "error", "processing", "not now"),
            false => data.0.borrow().search(&request.url),
        }
    });
    let second = of_ids(&["p1", "p2", "p3"], named(auto(TYPES), "two"));
    assert_eq!(export(&host, &second).unwrap().exit_status, 3);
    assert!(seen_by_reader(&host).contains_key("Condition/c2"), "the others are not kept waiting");
    broken.set(false);
    let report = export(&host, &second).unwrap();
    assert_eq!((report.exit_status, report.new_patients), (0, 2));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]), "{:?}", searches(&host));
}

#[test]
fn one_patient_who_can_never_be_had_keeps_no_increment_from_the_others() {
    let ehr = start();
    let host = ehr.host();
    let day = |number: i64| host.clock.set_millis(1_767_323_045_000 + number * 86_400_000);
    export(&host, &crawl(config(TYPES))).unwrap();
    ehr.0.borrow_mut().broken = vec!["p2".into()];
    day(1);
    ehr.at("2026-01-03T00:00:00Z").put("Condition/two", of("p2"));
    let report = export(&host, &crawl(auto(TYPES))).unwrap();
    assert_eq!((report.exit_status, report.folder.as_str()), (3, "002.2026-01-02"));
    // Again on the same day: just who is missing.
    let before = searches(&host).len();
    let report = export(&host, &crawl(auto(TYPES))).unwrap();
    assert_eq!((report.folder.as_str(), searches(&host).len() - before), ("002.2026-01-02", 1));
    // On another day, what is new by then.
    day(2);
    ehr.at("2026-01-04T00:00:00Z").put("Condition/new", of("p1"));
    let report = export(&host, &crawl(auto(TYPES))).unwrap();
    assert_eq!((report.exit_status, report.folder.as_str()), (3, "003.2026-01-03"));
    assert!(seen_by_reader(&host).contains_key("Condition/new"));
    day(3);
    ehr.0.borrow_mut().broken.clear();
    assert_eq!(crate::hostile::verify(&host).problem_count, 4, "two are not complete, and lack a patient");
    let report = export(&host, &crawl(auto(TYPES))).unwrap();
    assert_eq!((report.exit_status, report.folder.as_str()), (0, "004.2026-01-04"));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
    // What they lack is in the later one.
    assert_eq!(crate::hostile::verify(&host).problems, []);
    let (merged, report) = crate::hostile::merge(&host);
    assert_eq!((merged, report.problems), (ehr.state(&["Patient", "Condition"]), Vec::<String>::new()));
}

#[test]
fn an_increment_of_a_server_that_ignores_the_patient_takes_nothing_and_the_next_run_misses_nothing() {
    // The run is carried on with, or another one begun.
    for last in ["two", "three"] {
        let ehr = start();
        for id in ["p4", "p5", "p6"] {
            ehr.put(&format!("Patient/{id}"), json!({})).put(&format!("Condition/c-{id}"), of(id));
        }
        let host = ehr.host();
        assert_eq!(export(&host, &crawl(named(config(TYPES), "one"))).unwrap().exit_status, 0);
        let before = ehr.state(&["Patient", "Condition"]);

        ehr.at("2026-02-01T00:00:00Z").put("Condition/c7", of("p1")).put("Condition/c8", of("p2"));
        ehr.0.borrow_mut().ignores_patient = true;
        for _ in 0..2 {
            let report = export(&host, &crawl(named(auto(TYPES), "two"))).unwrap();
            assert_eq!((report.exit_status, report.verdict), (3, Verdict::Incomplete));
            let crawled = report.crawl.unwrap();
            assert_eq!(crawled.missing["Condition"], 6);
            assert!(crawled.missing_examples[0].problem.contains("ignore the parameter patient for Condition"));
            assert_eq!(host.storage.text("002.two/Condition.ndjson"), None);
            assert!(metadata(&host, "002.two")["done"].get("Condition").is_none());
            assert_eq!(seen_by_reader(&host), before);
        }
        ehr.0.borrow_mut().ignores_patient = false;
        let report = export(&host, &crawl(named(auto(TYPES), last))).unwrap();
        assert_eq!((report.exit_status, report.crawl.unwrap().types["Condition"].resources), (0, 2), "{last}");
        assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]), "{last}");
    }
}
