//! Crawls of servers that ignore the parameter `patient`, and of some that do not, though it may look so.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use smart_fetch::event::Event;
use smart_fetch::job::{self, Verdict};
use smart_fetch::testing::{Host, Reply};

use crate::crawl::{config, crawl, expected, ids, leftovers, metadata, no_faults, serve, statement};
use crate::export::BASE;

/// A page with resources, each of a patient or nobody, and with this `self` link.
fn answer(own: Option<&str>, resources: &[(&str, &str, Option<&str>)]) -> Reply {
    let entry: Vec<Value> = resources
        .iter()
        .map(|(kind, id, patient)| {
            let mut resource = json!({"resourceType": kind, "id": id});
            if let Some(patient) = patient {
                resource["subject"] = json!({"reference": format!("Patient/{patient}")});
            }
            json!({"resource": resource})
        })
        .collect();
    let link: Vec<Value> =
        own.map(|own| json!({"relation": "self", "url": format!("{BASE}/{own}")})).into_iter().collect();
    Reply::json(200, &json!({"resourceType": "Bundle", "type": "searchset", "link": link, "entry": entry}).to_string())
}

/// Everybody's Conditions, whoever is asked for.
fn everybody(own: Option<&str>) -> Reply {
    answer(own, &[("Condition", "c0", Some("p000")), ("Condition", "c1", Some("p001")), ("Condition", "c2", None)])
}

const TYPES: [&str; 3] = ["Patient", "Condition", "Encounter"];

fn searches(host: &Host) -> usize {
    host.http.seen_with("/Condition?").len()
}

fn warnings(host: &Host) -> Vec<String> {
    let warning = |event: Event| match event {
        Event::Warning { code, message } if code == "parameter-ignored" => Some(message),
        _ => None,
    };
    host.events().into_iter().filter_map(warning).collect()
}

#[test]
fn everybodys_resources_for_each_patient_are_not_kept() {
    for (own, at_least) in [
        (Some("Condition"), "p000, p001, p002"),
        (Some("Condition?_count=50"), "p000, p001, p002"),
        (Some("Condition/_search?_format=json"), "p000, p001, p002"),
        (None, "p000, p001, p002, p003, p004"),
        // It says what it does not do.
        (Some("Condition?patient=x"), "p000, p001, p002, p003, p004"),
        (Some("?_getpages=77"), "p000, p001, p002, p003, p004"),
    ] {
        let host = Host::new();
        let ignores = Rc::new(Cell::new(true));
        let now = ignores.clone();
        serve(&host, 30, move |kind, _, _| (kind == "Condition" && now.get()).then(|| everybody(own)));
        let report = crawl(&host, &config(30, &TYPES)).unwrap();
        assert_eq!((report.verdict, report.exit_status), (Verdict::Incomplete, 3), "{own:?}");
        assert_eq!(report.missing.iter().collect::<Vec<_>>(), [(&"Condition".to_owned(), &30)]);
        assert!(!report.types.contains_key("Condition") && report.empty_types.is_empty(), "{:?}", report.types);
        let expected_message = format!(
            "The server seems to ignore the parameter patient for Condition: its answers for the patients {at_least} all begin \
             with Condition/c0. They are not kept. Get Condition by a bulk export, or leave it out; if the server has been mended, \
             do the same again."
        );
        assert_eq!(warnings(&host), [expected_message.as_str()], "{own:?}");
        assert_eq!(report.missing_examples.len(), 1);
        assert_eq!(
            report.missing_examples[0].problem,
            "The server seems to ignore the parameter patient for Condition, so that everybody's would come for each."
        );
        assert_eq!(host.storage.paths(), [".metadata", "Encounter.ndjson", "Patient.ndjson", "log.ndjson"]);
        assert_eq!(ids(&host, "Encounter.ndjson"), expected(0..30), "the others go on");
        let state = metadata(&host);
        assert!(state["done"].get("Condition").is_none() && state.get("complete").is_none(), "{state}");
        assert!(searches(&host) < 20, "{} searches", searches(&host));

        // Again nothing; then all, when the server has learnt it.
        assert_eq!(crawl(&host, &config(30, &TYPES)).unwrap().exit_status, 3);
        ignores.set(false);
        let report = crawl(&host, &config(30, &TYPES)).unwrap();
        assert_eq!((report.verdict, report.exit_status), (Verdict::Complete, 0));
        assert_eq!(ids(&host, "Condition.ndjson"), expected(0..30));
    }
}

#[test]
fn of_three_patients_the_self_link_tells_and_of_two_nothing() {
    let exit_status = |patients, own| {
        let host = Host::new();
        serve(&host, patients, move |kind, _, _| (kind == "Condition").then(|| everybody(own)));
        crawl(&host, &config(patients, &TYPES)).unwrap().exit_status
    };
    assert_eq!(exit_status(3, Some("Condition")), 3);
    assert_eq!(exit_status(3, None), 0, "may be one patient, and two ids merged into it");
    assert_eq!(exit_status(2, Some("Condition")), 0);
}

#[test]
fn what_is_under_way_is_stopped_and_leaves_nothing() {
    let host = Host::new();
    let note = "x".repeat(5 << 20);
    serve(&host, 6, move |kind, _, _| {
        (kind == "Condition").then(|| {
            let resource = json!({"resourceType": "Condition", "id": "c0", "note": [{"text": note}],
                "subject": {"reference": "https://other.example/fhir/Patient/q/_history/2"}});
            let link = json!([{"relation": "next", "url": format!("{BASE}/Condition?patient=p&page=2")}]);
            let bundle = json!({"resourceType": "Bundle", "link": link, "entry": [{"resource": resource}]});
            Reply::json(200, &bundle.to_string())
        })
    });
    let report = crawl(&host, &config(6, &TYPES)).unwrap();
    assert_eq!((report.exit_status, warnings(&host).len()), (3, 1));
    assert_eq!(leftovers(&host), [""; 0]);
    assert_eq!(host.storage.text("Condition.ndjson"), None);
}

#[test]
fn what_an_earlier_run_took_for_good_goes_with_it() {
    let host = Host::new();
    let fails = Rc::new(Cell::new(true));
    let now = fails.clone();
    serve(&host, 3, move |kind, patient, _| {
        let refusal = || Reply::outcome(500, "error", "exception", "not now");
        let fails = now.get() && patient != "p000";
        (kind == "Condition").then(|| if fails { refusal() } else { everybody(Some("Condition")) })
    });
    assert_eq!(crawl(&host, &config(3, &TYPES)).unwrap().missing["Condition"], 2);
    assert_eq!(ids(&host, "Condition.ndjson"), ["c0", "c1", "c2"]);
    fails.set(false);
    let report = crawl(&host, &config(3, &TYPES)).unwrap();
    assert_eq!((report.exit_status, report.missing["Condition"]), (3, 3));
    assert_eq!(host.storage.text("Condition.ndjson"), None);
}

#[test]
fn what_an_earlier_run_got_rightly_stays() {
    let host = Host::new();
    let state = Rc::new(Cell::new(0));
    let now = state.clone();
    serve(&host, 10, move |kind, patient, _| {
        let refusal = || Reply::outcome(500, "error", "exception", "not now");
        match now.get() {
            _ if kind != "Condition" => None,
            0 if patient != "p000" => Some(refusal()),
            1 => Some(everybody(Some("Condition"))),
            _ => None,
        }
    });
    assert_eq!(crawl(&host, &config(10, &TYPES)).unwrap().missing["Condition"], 9);
    state.set(1);
    // As inlining does it.
    let inlined = host.storage.text("Condition.ndjson").unwrap().replace("\"meta\"", "\"inlined\":true,\"meta\"");
    host.storage.put("Condition.ndjson", inlined.as_bytes());
    let report = crawl(&host, &config(10, &TYPES)).unwrap();
    assert_eq!((report.exit_status, report.missing["Condition"], warnings(&host).len()), (3, 9, 1));
    assert_eq!(host.storage.text("Condition.ndjson").unwrap(), inlined);
    assert_eq!(report.types["Condition"].resources, 2);
    let types = metadata(&host)["ledger"]["crawl"]["types"].clone();
    let known = types.as_array().unwrap().iter().find(|state| state["type"] == "Condition").unwrap();
    assert_eq!(known["bytes"], inlined.len(), "its size is that of now: {known}");
    assert_eq!(leftovers(&host), [""; 0]);
    state.set(2);
    assert_eq!(crawl(&host, &config(10, &TYPES)).unwrap().verdict, Verdict::Complete);
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..10));
    assert!(host.storage.text("Condition.ndjson").unwrap().starts_with(&inlined));
}

/// What a server gives that ignores nothing, though it looks a little like it.
fn is_left_alone(what: &str, types: &[&str], fault: impl Fn(&str, &str, u32) -> Option<Reply> + 'static) {
    let host = Host::new();
    serve(&host, 40, fault);
    host.http.on("GET", "/metadata", Reply::json(200, &statement(types).to_string()));
    let report = crawl(&host, &config(40, types)).unwrap();
    assert_eq!((report.verdict, warnings(&host)), (Verdict::Complete, Vec::new()), "{what}");
}

#[test]
fn a_server_that_ignores_nothing_is_left_alone() {
    is_left_alone("nothing special", &TYPES, no_faults);
    for own in [None, Some("Condition?patient=p000"), Some("Condition?subject=Patient/p000")] {
        is_left_alone("three ids merged into p000", &TYPES, move |kind, patient, _| {
            let merged = ["p000", "p001", "p002", "p003"].contains(&patient);
            (kind == "Condition" && merged).then(|| answer(own, &[("Condition", "c0", Some("p000"))]))
        });
    }
    is_left_alone("five that are merged, here and there", &TYPES, |kind, patient, _| {
        let merged = ["p000", "p008", "p016", "p024", "p032"].contains(&patient);
        (kind == "Condition" && merged).then(|| answer(None, &[("Condition", "c0", Some("p000"))]))
    });
    is_left_alone("ids of another kind in references, and short self links", &TYPES, |kind, patient, _| {
        let (id, other) = (format!("c-{patient}"), format!("other-{patient}"));
        (kind == "Condition").then(|| answer(Some("Condition"), &[("Condition", &id, Some(&other))]))
    });
    is_left_alone("included first", &TYPES, |kind, patient, _| {
        let id = format!("c-{patient}");
        let resources = [("Practitioner", "d1", Some("p000")), ("Condition", id.as_str(), Some(patient))];
        (kind == "Condition").then(|| answer(Some("Condition"), &resources))
    });
    for own in [None, Some("Location"), Some("Location?patient=p&_count=2"), Some("pages/123?n=1")] {
        is_left_alone("nobody's", &["Patient", "Location"], move |kind, _, _| {
            (kind == "Location").then(|| answer(own, &[("Location", "main", None)]))
        });
    }
    is_left_alone("of all who are in it", &["Patient", "Account"], |kind, patient, _| {
        (kind == "Account").then(|| {
            let subject = [json!({"reference": "Patient/p000"}), json!({"reference": format!("Patient/{patient}")})];
            let account = json!({"resourceType": "Account", "id": "family", "subject": subject});
            let link = json!([{"relation": "self", "url": "Account?_count=1"}]);
            let bundle = json!({"resourceType": "Bundle", "link": link, "entry": [{"resource": account}]});
            Reply::json(200, &bundle.to_string())
        })
    });
}

#[test]
fn what_is_nobodys_needs_a_self_link_with_other_parameters() {
    let host = Host::new();
    serve(&host, 9, |kind, _, _| {
        (kind == "Location")
            .then(|| answer(Some("Location?_count=9"), &[("Location", "a", None), ("Location", "b", None)]))
    });
    host.http.on("GET", "/metadata", Reply::json(200, &statement(&["Patient", "Location"]).to_string()));
    let report = crawl(&host, &config(9, &["Patient", "Location"])).unwrap();
    assert_eq!((report.exit_status, warnings(&host).len()), (3, 1));
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_of_it_and_loses_nothing() {
    for sound in [false, true] {
        for at in 1.. {
            let host = Host::new();
            let state = Rc::new(Cell::new(0));
            let now = state.clone();
            serve(&host, 8, move |kind, patient, _| match now.get() {
                _ if kind != "Condition" => None,
                0 if patient > "p001" => Some(Reply::outcome(404, "error", "not-found", "not now")),
                0 if sound => None,
                0 | 1 => Some(everybody(Some("Condition"))),
                _ => None,
            });
            assert_eq!(crawl(&host, &config(8, &TYPES[..2])).unwrap().missing["Condition"], 6);
            let host = host.restarted();
            state.set(1);
            host.storage.kill_at(at);
            let config = config(8, &TYPES[..2]);
            let was_killed = host.run_until_killed(job::crawl(&host, &config, std::future::pending())).is_none();
            let host = host.restarted();
            let report = crawl(&host, &config).unwrap();
            assert_eq!(report.exit_status, 3, "killed at {at}");
            let here = ids(&host, "Condition.ndjson");
            // What is right may be gone, too: who is missing says so, and is fetched again.
            let right = expected(0..2);
            assert!(here.is_empty() || sound && here == right, "killed at {at}: {here:?}");
            assert_eq!(report.missing["Condition"], if here.is_empty() { 8 } else { 6 }, "killed at {at}");
            assert!(leftovers(&host).is_empty(), "killed at {at}: {:?}", leftovers(&host));
            state.set(2);
            assert_eq!(crawl(&host, &config).unwrap().verdict, Verdict::Complete, "killed at {at}");
            assert_eq!(ids(&host, "Condition.ndjson"), expected(0..8), "killed at {at}");
            if !was_killed {
                break;
            }
        }
    }
}
