//! What a crawl asks for, of whom, and what it makes of the answers.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::config::{AuthConfig, CohortConfig, ExportConfig, Level, SinceMode};
use smart_fetch::event::Event;
use smart_fetch::job::{self, Verdict};
use smart_fetch::testing::{Host, MemoryStorage, Reply};

use crate::crawl::{bundle, config, crawl, expected, ids, leftovers, metadata, no_faults, serve, statement};
use crate::export::BASE;

#[test]
fn types_that_nobody_named_are_left_out_where_the_server_refuses_them() {
    let host = Host::new();
    serve(&host, 3, |kind, _, _| {
        let known = ["Patient", "Condition", "Encounter", "Device"];
        (!known.contains(&kind)).then(|| Reply::outcome(404, "error", "not-supported", "unknown type"))
    });
    let report = crawl(&host, &config(3, &[])).unwrap();
    assert_eq!((report.verdict, report.types.len()), (Verdict::Complete, 4));
    // Device is not listed, but there: none is left out on the word of the CapabilityStatement alone.
    assert_eq!(ids(&host, "Device.ndjson"), expected(0..3));
    let state = metadata(&host);
    let filters: Vec<&String> = state["filters"].as_object().unwrap().keys().collect();
    assert_eq!(filters, ["Patient", "Encounter", "Condition"]);
    assert!(
        state["ledger"]["unlistedFilters"].get("Device").is_some()
            && state["ledger"]["unlistedFilters"].get("Specimen").is_none()
    );
    assert!(host.storage.text("error/OperationOutcome.ndjson").is_none(), "a type that is left out is no error");
    // A named one is asked for, and missed.
    let host = Host::new();
    serve(&host, 3, |kind, _, _| {
        (kind == "Device").then(|| Reply::outcome(404, "error", "not-supported", "unknown type"))
    });
    assert_eq!(crawl(&host, &config(3, &["Patient", "Device"])).unwrap().exit_status, 3);
}

#[test]
fn epic_is_not_asked_for_what_it_cannot_search() {
    let host = Host::new();
    serve(&host, 2, no_faults);
    let mut epic = statement(&["Patient", "Specimen", "EpisodeOfCare", "Condition"]);
    epic["software"] = json!({"name": "Epic"});
    host.http.off("GET", "/metadata").on("GET", "/metadata", Reply::json(200, &epic.to_string()));
    crawl(&host, &config(2, &["Patient", "Specimen", "EpisodeOfCare", "Condition"])).unwrap();
    assert!(host.http.seen_with("Specimen").is_empty() && host.http.seen_with("EpisodeOfCare").is_empty());
    assert_eq!(metadata(&host)["done"].as_object().unwrap().len(), 4);
    let message =
        "Skipping Specimen, Epic does not support searching by patient, so they will have to be hydrated instead.";
    assert!(host.events().contains(&Event::Note { message: message.into() }));
}

#[test]
fn created_and_updated_since_and_new_patients_without() {
    let of = |mode: SinceMode| {
        let host = Host::new();
        serve(&host, 2, no_faults);
        let mut listed = statement(&["Patient", "Condition", "Encounter"]);
        listed["rest"][0]["resource"][1]["searchParam"] = json!([{"name": "recorded-date"}]);
        host.http.off("GET", "/metadata").on("GET", "/metadata", Reply::json(200, &listed.to_string()));
        let mut config = config(2, &["Patient", "Condition", "Encounter"]);
        config.bulk.since = Some("2025-01-01T00:00:00+01:00".into());
        config.bulk.since_mode = mode;
        crawl(&host, &config).unwrap();
        let urls: Vec<String> =
            host.http.seen_with("patient=p000").iter().map(|seen| seen.request.url.clone()).collect();
        let state = metadata(&host);
        let patients = host.http.seen_with("Patient?")[0].request.url.clone();
        assert!(!patients.contains("2025"), "patients come whole: {patients}");
        (urls[0].clone(), urls[2].clone(), state["sinceMode"].clone(), state["sinceResources"].clone())
    };
    let base = |rest: &str| format!("{BASE}/{rest}");
    let (encounter, condition, mode, types) = of(SinceMode::Auto);
    assert_eq!(encounter, base("Encounter?patient=p000&_lastUpdated=gt2025-01-01T00:00:00%2B01:00"));
    assert_eq!(condition, base("Condition?patient=p000&_lastUpdated=gt2025-01-01T00:00:00%2B01:00"));
    assert_eq!((mode, types), (json!("updated"), json!(["Condition", "Encounter"])));
    let (encounter, condition, mode, types) = of(SinceMode::Created);
    assert_eq!(encounter, base("Encounter?patient=p000"));
    assert_eq!(condition, base("Condition?patient=p000&recorded-date=gt2025-01-01T00:00:00%2B01:00"));
    assert_eq!((mode, types), (json!("created"), json!(["Condition"])));
}

#[test]
fn a_new_patients_history_comes_whole() {
    let host = Host::new();
    serve(&host, 2, no_faults);
    let mut config = config(2, &["Patient", "Condition"]);
    config.bulk.since = Some("2025-01-01".into());
    host.storage.put(
        ".metadata",
        json!({"filters": {"Patient": [], "Condition": []}, "since": "2025-01-01", "sinceMode": "updated",
        "kind": "output", "newPatients": ["p001"], "done": {"Patient": "2025-02-02T00:00:00+00:00"}})
        .to_string(),
    );
    host.storage.put(
        "Patient.ndjson.gz",
        gz("{\"resourceType\":\"Patient\",\"id\":\"p000\"}\n{\"resourceType\":\"Patient\",\"id\":\"p001\"}\n"),
    );
    crawl(&host, &config).unwrap();
    let url = |patient: &str| host.http.seen_with(&format!("Condition?patient={patient}"))[0].request.url.clone();
    assert_eq!(url("p000"), format!("{BASE}/Condition?patient=p000&_lastUpdated=gt2025-01-01"));
    assert_eq!(url("p001"), format!("{BASE}/Condition?patient=p001"));
    assert!(host.http.seen_with("Patient?").is_empty(), "Patient is done, by another program");
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_cohort_may_come_from_another_folder() {
    let mut host = Host::new();
    serve(&host, 5, no_faults);
    let source = MemoryStorage::new();
    source.put("Patient.001.ndjson.gz", gz("{\"resourceType\":\"Patient\",\"id\":\"p002\"}\n"));
    source.put(
        "Patient.002.ndjson",
        "{\"resourceType\":\"Patient\",\"id\":\"p004\"}\n{\"resourceType\":\"Group\",\"id\":\"g\"}",
    );
    host.source = Some(source);
    let config = config(0, &["Condition"]);
    let report = crawl(&host, &config).unwrap();
    assert_eq!(report.patients, 2);
    assert_eq!(ids(&host, "Condition.ndjson"), expected([2, 4].into_iter()));
    // Nobody there: that is told, and nothing is done.
    let empty = Host::new();
    serve(&empty, 5, no_faults);
    let error = crawl(&empty, &config).unwrap_err();
    assert!(error.message.starts_with("No cohort patients found in "), "{error}");
    assert_eq!(error.exit_status(), 1);
}

#[test]
fn a_folder_is_not_mixed_with_other_patients() {
    let host = Host::new();
    serve(&host, 5, no_faults);
    crawl(&host, &config(3, &["Patient", "Condition"])).unwrap();
    let host = host.restarted();
    let error = crawl(&host, &config(4, &["Patient", "Condition"])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mismatch);
    // The same cohort folder, but with somebody more in it.
    let mut host = Host::new();
    serve(&host, 5, no_faults);
    let source = MemoryStorage::new();
    source.put("Patient.001.ndjson", "{\"resourceType\":\"Patient\",\"id\":\"p002\"}\n");
    host.source = Some(source.clone());
    crawl(&host, &config(0, &["Condition"])).unwrap();
    source.put("Patient.002.ndjson", "{\"resourceType\":\"Patient\",\"id\":\"p003\"}\n");
    let mut again = host.restarted();
    again.source = Some(source);
    assert_eq!(crawl(&again, &config(0, &["Condition"])).unwrap_err().kind, ErrorKind::Mismatch);
}

#[test]
fn ids_that_nobody_has_are_named() {
    let host = Host::new();
    serve(&host, 3, no_faults);
    let mut config = config(3, &["Patient", "Condition"]);
    config.cohort.ids.extend(["nobody".into(), "Patient/p001".into(), String::new()]);
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.verdict, report.unknown_patients), (Verdict::Incomplete, vec!["nobody".to_owned()]));
    assert_eq!(host.http.seen_with("Patient?_id=nobody").len(), 2, "in the list, and on its own");
    assert_eq!(ids(&host, "Patient.ndjson"), ["p000", "p001", "p002"]);
    assert!(host.warnings().contains(&"patient-unknown".to_owned()));
}

/// A server of four patients, the last of whom it knows only when told.
fn late_patient(host: &Host) -> Rc<Cell<bool>> {
    let knows = Rc::new(Cell::new(false));
    let is_known = knows.clone();
    serve(host, 4, move |kind, id, _| {
        let hit = kind == "Patient" && id.contains("p003") && !is_known.get();
        let rest: Vec<String> = id.split(',').filter(|id| *id != "p003").map(str::to_owned).collect();
        hit.then(|| Reply::json(200, &bundle("Patient", &rest, None)))
    });
    knows
}

#[test]
fn ids_that_nobody_has_are_asked_for_again_alone_and_come_with_all_that_is_theirs() {
    let host = Host::new();
    let knows = late_patient(&host);
    let config = config(4, &["Patient", "Condition"]);
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.patients), (Verdict::Incomplete, 3, 3));
    let state = metadata(&host);
    assert_eq!((&state["complete"], state["done"].as_object().unwrap().len()), (&json!(true), 2), "nobody else waits");
    for _ in 0..2 {
        let seen = host.http.seen().len();
        let again = crawl(&host, &config).unwrap();
        assert_eq!((again.exit_status, again.unknown_patients), (3, vec!["p003".to_owned()]));
        assert_eq!(host.http.seen().len() - seen, 2, "CapabilityStatement, p003");
        assert_eq!(metadata(&host)["done"], state["done"]);
    }
    knows.set(true);
    let seen = host.http.seen_with("Condition?").len();
    let whole = crawl(&host, &config).unwrap();
    assert_eq!((whole.verdict, whole.patients, whole.unknown_patients.len()), (Verdict::Complete, 4, 0));
    assert_eq!(host.http.seen_with("Condition?").len() - seen, 2, "two pages, of p003");
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..4));
    assert_eq!(metadata(&host)["done"], state["done"], "the others are not newer for it");
    assert_eq!(crawl(&host, &config).unwrap().exit_status, 0);
}

#[test]
fn a_kill_while_a_patient_is_added_loses_and_doubles_nothing() {
    let config = config(4, &["Patient", "Condition"]);
    let begin = || {
        let host = Host::new();
        let knows = late_patient(&host);
        crawl(&host, &config).unwrap();
        knows.set(true);
        host
    };
    let whole = begin();
    let before = whole.storage.calls();
    crawl(&whole, &config).unwrap();
    let calls = whole.storage.calls() - before;
    assert!(calls > 30, "{calls}");
    for call in 1..=calls {
        let host = begin();
        host.storage.kill_at(call);
        assert!(host.run_until_killed(job::crawl(&host, &config, std::future::pending())).is_none(), "call {call}");
        host.storage.revive();
        let host = host.restarted();
        let report = crawl(&host, &config).unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!((report.verdict, report.patients), (Verdict::Complete, 4), "call {call}");
        assert_eq!(ids(&host, "Condition.ndjson"), expected(0..4), "call {call}");
        assert_eq!(host.storage.paths(), whole.storage.paths(), "call {call}");
    }
}

#[test]
fn nobody_at_all_is_no_success() {
    for types in [&["Patient"][..], &["Patient", "Condition"]] {
        let host = Host::new();
        serve(&host, 3, no_faults);
        let mut config = config(0, types);
        config.cohort.ids = vec!["x1".into(), "x2".into()];
        for _ in 0..2 {
            let report = crawl(&host, &config).unwrap();
            assert_eq!(
                (report.verdict, report.exit_status, report.unknown_patients.len()),
                (Verdict::Incomplete, 3, 2)
            );
            assert_eq!((metadata(&host).get("done"), metadata(&host).get("complete")), (None, None));
        }
    }
}

#[test]
fn a_server_that_takes_one_id_a_search_gets_them_singly() {
    for refusal in [Reply::json(200, &bundle("Patient", &[], None)), Reply::outcome(400, "error", "invalid", "one id")]
    {
        let host = Host::new();
        serve(&host, 100, move |kind, id, _| (kind == "Patient" && id.contains(',')).then(|| refusal.clone()));
        crawl(&host, &config(100, &["Patient"])).unwrap();
        assert_eq!(ids(&host, "Patient.ndjson").len(), 100);
        assert!(host.http.seen_with("Patient?_id=").len() <= 103);
    }
}

#[test]
fn patients_by_an_identifier_are_told_apart_by_it() {
    let host = Host::new();
    host.http.on("GET", "/metadata", Reply::json(200, &statement(&["Patient"]).to_string()));
    host.http.on_call("GET", "/fhir/Patient?identifier=", |request| {
        let both = request.url.contains("urn:mrn|1,urn:mrn|2");
        let one = |id: &str, mrn: &str| {
            json!({"resource": {"resourceType": "Patient", "id": id,
            "identifier": [{"system": "urn:other", "value": "1"}, {"system": "urn:mrn", "value": mrn}]}})
        };
        let entry = if both { vec![one("a", "1"), one("x", "77")] } else { vec![one("b", "2")] };
        Reply::json(200, &json!({"resourceType": "Bundle", "entry": entry}).to_string())
    });
    let mut config = config(0, &["Patient"]);
    config.cohort = CohortConfig { ids: vec!["1".into(), "2".into()], id_system: Some("urn:mrn".into()), name: None };
    crawl(&host, &config).unwrap();
    assert_eq!(ids(&host, "Patient.ndjson"), ["a", "b"], "whom nobody asked for is not taken");
}

#[test]
fn several_filters_are_alternatives() {
    let host = Host::new();
    serve(&host, 2, no_faults);
    let mut config = config(2, &["Patient", "Condition"]);
    config.bulk.type_filters = vec!["Condition?code=a,b".into(), "Condition?code=c".into()];
    let report = crawl(&host, &config).unwrap();
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..2), "what both find is taken once");
    assert_eq!(report.types["Condition"].resources, 4);
    assert_eq!(host.http.seen_with("Condition?patient=p001&code=a,b").len(), 2);
}

/// A server whose Conditions of `p000` are what `pages` answers to each URL.
fn paged(pages: impl Fn(&str) -> Reply + 'static) -> (Host, ExportConfig) {
    let host = Host::new();
    serve(&host, 1, no_faults);
    host.http.on_call("GET", "/fhir/Condition", move |request| pages(&request.url));
    (host, config(1, &["Patient", "Condition"]))
}

fn page(ids: &[&str], next: Option<&str>) -> Reply {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    Reply::json(200, &bundle("Condition", &ids, next))
}

#[test]
fn next_links_may_be_relative() {
    let (host, config) = paged(|url| match url.split_once("page=").map(|(_, page)| page) {
        None => page(&["a"], Some("?patient=p000&page=2")),
        Some("2") => page(&["b", "a"], Some("Condition?page=3")),
        Some("3") => page(&["c"], Some("/fhir/Condition?page=4")),
        _ => page(&["d"], None),
    });
    crawl(&host, &config).unwrap();
    assert_eq!(ids(&host, "Condition.ndjson"), ["a", "b", "c", "d"], "what two pages show is taken once");
}

#[test]
fn next_links_in_a_circle_end() {
    // To itself: nobody knows whether that was all.
    let (host, config) = paged(|url| page(&["a"], Some(url)));
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.exit_status, report.missing["Condition"]), (3, 1));
    assert!(report.missing_examples[0].problem.contains("in a circle"));
    assert_eq!(host.http.seen_with("Condition?").len(), 1);
    // To itself, but the server says how many there are.
    let (host, config) = paged(|url| {
        let mut whole: Value =
            serde_json::from_str(&bundle("Condition", &["a".into(), "b".into()], Some(url))).unwrap();
        whole["total"] = json!(2);
        Reply::json(200, &whole.to_string())
    });
    assert_eq!(crawl(&host, &config).unwrap().verdict, Verdict::Complete);
    assert_eq!(ids(&host, "Condition.ndjson"), ["a", "b"]);
    assert!(host.warnings().contains(&"paging-loop".to_owned()));
    // A next link without an address: it may be a clumsy way to say that there is none.
    for link in [json!({"relation": "next"}), json!({"relation": "next", "url": ""})] {
        let (host, config) = paged(move |_| {
            let mut whole: Value = serde_json::from_str(&bundle("Condition", &["a".into()], None)).unwrap();
            whole["link"] = json!([link]);
            Reply::json(200, &whole.to_string())
        });
        crawl(&host, &config).unwrap();
        assert_eq!((ids(&host, "Condition.ndjson").len(), host.warnings()), (1, vec!["next-link".to_owned()]));
    }
    // Ever new addresses for the same page.
    let turn = Cell::new(0);
    let (host, config) = paged(move |_| {
        turn.set(turn.get() + 1);
        page(&["a", "b"], Some(&format!("{BASE}/Condition?turn={}", turn.get())))
    });
    assert_eq!(crawl(&host, &config).unwrap().missing["Condition"], 1);
    assert!(host.http.seen_with("Condition?").len() < 30);
}

#[test]
fn a_next_link_to_another_origin_gets_no_token() {
    let (host, mut config) = paged(|_| page(&["a"], Some("https://pages.example/next?page=2")));
    host.http.on("GET", "https://pages.example/next", page(&["b"], None));
    config.bulk.server.auth = AuthConfig::Bearer { token: "very-secret".into() };
    crawl(&host, &config).unwrap();
    assert_eq!(ids(&host, "Condition.ndjson"), ["a", "b"]);
    assert_eq!(host.http.seen_with("Condition?")[0].header("authorization"), Some("Bearer very-secret"));
    assert_eq!(host.http.seen_with("pages.example")[0].header("authorization"), None);
}

#[test]
fn outcomes_among_the_entries_are_kept_apart() {
    let (host, config) = paged(|_| {
        let outcome = |severity: &str| {
            json!({"resource": {"resourceType": "OperationOutcome",
            "issue": [{"severity": severity, "code": "x", "diagnostics": severity}]}, "search": {"mode": "outcome"}})
        };
        let entry =
            [outcome("warning"), json!({"resource": {"resourceType": "Condition", "id": "a"}}), outcome("error")];
        Reply::json(200, &json!({"resourceType": "Bundle", "entry": entry}).to_string())
    });
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.errors), (Verdict::WithErrors, 3, 1));
    assert_eq!(report.issues.iter().map(|issue| issue.text.as_str()).collect::<Vec<_>>(), ["error", "warning"]);
    assert_eq!(host.storage.text("error/OperationOutcome.ndjson").unwrap().lines().count(), 2);
    assert_eq!(metadata(&host)["complete"], true, "everything that the server offered is here");
}

#[test]
fn h04_rows_are_what_the_server_sent() {
    let resource = "{\"resourceType\":\"Condition\" ,\"id\":\"a\",\"x\":1.10,\"big\":123456789012345678901234567890,\"t\":\"\\u00e9é\u{2028}\"}";
    let (host, config) = paged(move |_| {
        let pretty = resource.replace(" ,", "\n , ");
        Reply::json(
            200,
            &format!(
                "{{\"resourceType\":\"Bundle\",\"entry\":[\n{{\"resource\":{resource}}},{{\"resource\":{pretty}}}]}}"
            ),
        )
    });
    crawl(&host, &config).unwrap();
    let text = host.storage.text("Condition.ndjson").unwrap();
    assert_eq!(text, format!("{resource}\n{}\n", resource.replace(" ,", ",")));
}

#[test]
fn a_patient_with_more_than_fits_into_memory_is_no_trouble() {
    let many = |url: &str| -> usize { url.split_once("page=").map_or(0, |(_, page)| page.parse().unwrap()) };
    let broken = Rc::new(Cell::new(true));
    let fails = broken.clone();
    let (host, config) = paged(move |url| {
        let number = many(url);
        if number == 5 && fails.get() {
            return Reply::new(404);
        }
        let filler = "x".repeat(100_000);
        let entry: Vec<Value> = (0..20)
            .map(|i| json!({"resource": {"resourceType": "Condition", "id": format!("{number:02}-{i:02}"), "note": filler}}))
            .collect();
        let url = format!("{BASE}/Condition?page={}", number + 1);
        let link: Vec<Value> = (number < 8).then(|| json!({"relation": "next", "url": url})).into_iter().collect();
        Reply::json(200, &json!({"resourceType": "Bundle", "link": link, "entry": entry}).to_string())
    });
    // It fails after 10 MB: nothing of it is taken, nothing stays.
    assert_eq!(crawl(&host, &config).unwrap().missing["Condition"], 1);
    assert!(host.storage.text("Condition.ndjson").is_none() && leftovers(&host).is_empty());
    broken.set(false);
    let host = host.restarted();
    assert_eq!(crawl(&host, &config).unwrap().verdict, Verdict::Complete);
    assert_eq!(ids(&host, "Condition.ndjson").len(), 180);
    assert!(leftovers(&host).is_empty());
}

#[test]
fn patients_of_a_group_come_by_a_bulk_export_with_its_own_credentials() {
    let host = Host::new();
    serve(&host, 2, no_faults);
    let file = crate::export::Served {
        body: "{\"resourceType\":\"Patient\",\"id\":\"p000\"}\n{\"resourceType\":\"Patient\",\"id\":\"p001\"}\n".into(),
        ..crate::export::served("Patient", "patients", 2)
    };
    crate::export::serve(&host, &[file]);
    let mut config = config(0, &["Patient", "Condition"]);
    config.bulk.level = Level::Group("G1".into());
    config.bulk.since = Some("2025-01-01".into());
    config.rest_server = Some(config.bulk.server.clone());
    config.bulk.server.auth = AuthConfig::Bearer { token: "bulk-token".into() };
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.patients, report.files, report.verdict), (2, 2, Verdict::Complete));
    assert_eq!(report.types["Patient"].resources, 2);
    let kickoff = &host.http.seen_with("/Group/G1/$export")[0];
    assert!(kickoff.request.url.ends_with("_type=Patient"), "{}", kickoff.request.url);
    assert_eq!(kickoff.header("authorization"), Some("Bearer bulk-token"));
    assert_eq!(host.http.seen_with("Condition?patient=p000")[0].header("authorization"), None);
    let state = metadata(&host);
    assert_eq!(state["done"]["Patient"], "2026-01-01T00:00:00.123000+00:00", "the server's transactionTime");
    assert_eq!(state["complete"], true);
    let log = host.storage.text("log.ndjson").unwrap();
    assert!(log.contains(r#""exportId":"fake-log""#) && log.contains(crate::export::STATUS));
    assert!(log.contains(&format!("{BASE}/Group/G1/$export\",\"softwareName\":null")), "{log}");
}

#[test]
fn a_kill_while_patients_are_exported_leaves_no_job_behind() {
    let mut at = 1;
    loop {
        let host = Host::new();
        serve(&host, 2, no_faults);
        let file = crate::export::Served {
            body: "{\"resourceType\":\"Patient\",\"id\":\"p000\"}\n{\"resourceType\":\"Patient\",\"id\":\"p001\"}\n"
                .into(),
            ..crate::export::served("Patient", "patients", 2)
        };
        crate::export::serve(&host, &[file]);
        let mut config = config(0, &["Patient", "Condition"]);
        config.bulk.level = Level::Group("G1".into());
        host.storage.kill_at(at);
        let was_killed =
            host.run_until_killed(smart_fetch::job::crawl(&host, &config, std::future::pending())).is_none();
        let host = host.restarted();
        crawl(&host, &config).unwrap();
        let state = metadata(&host);
        assert!(state.get("bulk-status").is_none(), "killed at {at}: {state}");
        assert_eq!(state["complete"], true, "killed at {at}");
        assert!(!host.http.seen_with("DELETE").is_empty(), "killed at {at}");
        if !was_killed {
            break;
        }
        at += 1;
    }
}

#[test]
fn patients_that_cannot_be_had_whole_stop_everything_else() {
    let host = Host::new();
    serve(&host, 2, no_faults);
    let config = config(0, &["Patient", "Condition"]);
    let (one, two) = (crate::export::served("Patient", "one", 1), crate::export::served("Patient", "two", 1));
    crate::export::serve(&host, &[one, two]);
    host.http.off("GET", "/files/two").on("GET", "/files/two", Reply::new(404));
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.exit_status, report.patients_problem.len()), (3, 1));
    assert!(host.http.seen_with("Condition?").is_empty());
    assert!(metadata(&host)["complete"].is_null());
}

#[test]
fn one_patient_whom_the_server_refuses_costs_no_type_that_it_does_not_list() {
    let host = Host::new();
    serve(&host, 12, |kind, patient, _| match kind {
        "Patient" | "Condition" | "Encounter" => None,
        "Device" if patient != "p000" => None,
        _ => Some(Reply::outcome(404, "error", "not-found", "nothing like that")),
    });
    let report = crawl(&host, &config(12, &[])).unwrap();
    assert_eq!(ids(&host, "Device.ndjson"), expected(1..12));
    assert_eq!((report.exit_status, report.missing.get("Device")), (3, Some(&1)));
    assert!(host.http.seen_with("/Specimen?").len() < 12, "a type that it does not have is soon left out");
}

#[test]
fn a_type_that_answers_401_costs_no_other() {
    let host = Host::new();
    serve(&host, 30, |kind, _, _| (kind == "Condition").then(|| Reply::new(401)));
    let mut config = config(30, &["Patient", "Condition", "Observation"]);
    config.bulk.server.auth = AuthConfig::Bearer { token: "for-some-types".into() };
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.exit_status, report.missing["Condition"]), (3, 30));
    assert_eq!(ids(&host, "Observation.ndjson"), expected(0..30));
    // A token that ends within a type is another matter: nothing more can be had with it.
    let host = Host::new();
    let left = Cell::new(40);
    serve(&host, 100, move |kind, _, _| {
        left.set(left.get() - i32::from(kind == "Condition"));
        (left.get() < 0).then(|| Reply::new(401))
    });
    let error = crawl(&host, &crate::crawl::config(100, &["Patient", "Condition", "Observation"])).unwrap_err();
    assert_eq!(error.status, Some(401));
    assert!(host.http.seen_with("/Observation?").is_empty());
}

#[test]
fn a_search_that_brings_less_than_its_total_is_told() {
    let (host, config) = paged(|_| {
        let mut whole: Value = serde_json::from_str(&bundle("Condition", &["a".into(), "b".into()], None)).unwrap();
        whole["total"] = json!(100);
        Reply::json(200, &whole.to_string())
    });
    crawl(&host, &config).unwrap();
    assert_eq!(host.warnings(), ["total-mismatch"]);
    // What is announced and comes is no news; nor is a total of what comes with the matches.
    let (host, config) = paged(|_| {
        let mut whole: Value = serde_json::from_str(&bundle("Condition", &["a".into(), "b".into()], None)).unwrap();
        whole["total"] = json!(3);
        let outcome = json!({"resource": {"resourceType": "OperationOutcome", "issue": []}});
        whole["entry"].as_array_mut().unwrap().push(outcome);
        Reply::json(200, &whole.to_string())
    });
    crawl(&host, &config).unwrap();
    assert!(host.warnings().is_empty(), "{:?}", host.warnings());
}

#[test]
fn a_patient_who_cannot_be_had_at_first_is_had_with_all_types_by_the_next_run() {
    let broken = Rc::new(Cell::new(true));
    let host = Host::new();
    let is_broken = broken.clone();
    serve(&host, 6, move |kind, ids, _| {
        let hit = is_broken.get() && kind == "Patient" && ids.split(',').any(|id| id == "p003");
        let other = is_broken.get() && kind == "Condition" && ids == "p001";
        (hit || other).then(|| Reply::outcome(500, "error", "processing", "not now"))
    });
    let config = config(6, &["Patient", "Condition"]);
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.exit_status, report.missing["Patient"], report.missing["Condition"]), (3, 1, 2));
    assert_eq!(metadata(&host)["done"], Value::Null, "nothing is done without that patient");
    broken.set(false);
    let before = host.http.seen_with("/Condition?").len();
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.exit_status, ids(&host, "Patient.ndjson").len()), (0, 6));
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..6));
    // Two pages each of those two.
    assert_eq!(host.http.seen_with("/Condition?").len() - before, 4);
    assert_eq!(metadata(&host)["complete"], true);
}
