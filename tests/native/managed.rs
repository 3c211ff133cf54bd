//! Managed exports: subfolders, links, increments, deletions, and kills at any moment.

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::config::Level;
use smart_fetch::job::{self, Verdict};

use crate::ehr::*;

const TYPES: &str = "Patient,Condition";

fn start() -> Ehr {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z");
    ehr.put("Patient/p1", json!({})).put("Patient/p2", json!({})).put("Patient/p3", json!({}));
    ehr.put("Condition/c1", json!({})).put("Condition/c2", json!({}));
    ehr
}

#[test]
fn a_first_export_leaves_what_the_reference_does() {
    let ehr = start();
    let host = ehr.host();
    let report = export(&host, &named(config(TYPES), "one")).unwrap();
    assert_eq!((report.folder.as_str(), report.resumed, report.links, report.exit_status), ("001.one", false, 3, 0));
    assert!(notes(&host).contains(&"Creating new subfolder '001.one'.".to_owned()));
    let root = metadata(&host, "");
    assert_eq!(
        root.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["fhir-url", "group", "kind", "timestamp", "version"]
    );
    assert_eq!((&root["fhir-url"], &root["group"], &root["kind"]), (&json!(BASE), &json!(null), &json!("managed")));
    let inside = metadata(&host, "001.one");
    assert_eq!(inside["kind"], "output");
    assert_eq!(inside["complete"], true);
    assert_eq!(
        inside["done"],
        json!({"Patient": "2026-01-01T00:00:00+00:00", "Condition": "2026-01-01T00:00:00+00:00"})
    );
    assert_eq!(inside.get("newPatients"), None, "nothing to compare with");
    assert_eq!(
        links(&host),
        [
            "Condition.001.ndjson -> 001.one/Condition.001.ndjson",
            "Patient.001.ndjson -> 001.one/Patient.001.ndjson",
            "Patient.002.ndjson -> 001.one/Patient.002.ndjson",
        ]
    );
}

#[test]
fn the_last_subfolder_is_used_again_or_refused_as_the_reference_does() {
    let ehr = start();
    let host = ehr.host();
    assert_eq!(export(&host, &config(TYPES)).unwrap().folder, "001.2026-01-01", "the local date");
    let again = host.restarted();
    let report = export(&again, &config(TYPES)).unwrap();
    assert!(report.resumed && report.was_complete && report.folder == "001.2026-01-01");
    assert_eq!(report.bulk.unwrap().fetched, 0);
    let said = notes(&again);
    assert!(
        said.contains(&"Re-using existing subfolder '001.2026-01-01' with similar arguments.".to_owned()),
        "{said:?}"
    );
    assert!(said.contains(&"Skipping Condition, already done.".to_owned()));
    assert_eq!(export(&again, &config("Patient")).unwrap().folder, "002.2026-01-01", "other types");
    assert_eq!(export(&again, &named(config("Patient"), "x")).unwrap().folder, "003.x", "another name");
    let report = export(&again, &named(config("Patient"), "x")).unwrap();
    assert!(report.resumed);
    assert!(notes(&again).contains(&"Re-using existing subfolder '003.x' with the same nickname.".to_owned()));
    let error = export(&again, &named(config(TYPES), "x")).unwrap_err();
    assert!(error.message.contains("different set of types and/or filters"), "{error}");
    let error = export(&again, &named(config(TYPES), "2026-01-01")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Existing subfolder '002.2026-01-01' with the same nickname is too old to resume. Choose a new nickname."
    );
}

#[test]
fn a_folder_of_another_server_group_or_kind_is_refused_before_any_request() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &config(TYPES)).unwrap();
    let requests = host.http.seen().len();
    let mut other = config(TYPES);
    other.bulk.level = Level::Group("G1".into());
    let error = export(&host, &other).unwrap_err();
    assert_eq!(error.message, "Target folder .metadata is for a different Group.\nExpected G1, but found None.");
    let mut other = config(TYPES);
    other.bulk.server.fhir_url = "https://other.example/fhir".into();
    let error = export(&host, &other).unwrap_err();
    assert!(error.message.starts_with("Target folder .metadata is for a different FHIR URL.\nExpected https://other."));
    let mut same = config(TYPES);
    same.bulk.server.fhir_url = format!("{BASE}/");
    assert_eq!(host.http.seen().len(), requests);
    assert!(export(&host, &same).is_ok(), "a final slash makes no difference");
    let inside = smart_fetch::platform::Platform::within(&host, "001.2026-01-01");
    let error = inside.run(job::export(&inside, &config(TYPES), std::future::pending())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mismatch);
    assert!(error.message.contains("not a managed folder, but an output folder"), "{error}");
    assert_eq!(inside.storage.paths(), host.storage.paths());
}

#[test]
fn increments_ask_for_what_is_new_and_links_show_both() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &named(config(TYPES), "full")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c1", json!({"note": "changed"})).put("Condition/c3", json!({}));
    ehr.put("Patient/p4", json!({}));
    let report = export(&host, &named(auto(TYPES), "inc")).unwrap();
    assert_eq!(asked(&host, "_since"), [None, Some("2026-01-01T00:00:00Z".into())], "verbatim (I01)");
    assert!(notes(&host).contains(&"Using since value of '2026-01-01T00:00:00Z'.".to_owned()));
    assert_eq!((report.folder.as_str(), report.new_patients), ("002.inc", 1));
    let inside = metadata(&host, "002.inc");
    assert_eq!((&inside["since"], &inside["sinceMode"]), (&json!("auto"), &json!("updated")));
    assert_eq!(inside["sinceResources"], json!(["Condition", "Patient"]));
    assert_eq!(inside["newPatients"], json!(["p4"]));
    assert!(links(&host).contains(&"Condition.002.ndjson -> 002.inc/Condition.001.ndjson".to_owned()));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
    // Done increments are followed by others.
    ehr.at("2026-03-01T00:00:00Z");
    assert_eq!(export(&host, &auto(TYPES)).unwrap().folder, "003.2026-01-01");
    assert_eq!(asked(&host, "_since").last().unwrap().as_deref(), Some("2026-02-01T00:00:00Z"));
}

#[test]
fn a_new_full_export_takes_the_place_of_all_before_and_names_what_is_gone() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &named(config(TYPES), "full")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c9", json!({}));
    export(&host, &named(auto(TYPES), "inc")).unwrap();
    ehr.at("2026-03-01T00:00:00Z").delete("Condition/c9").delete("Patient/p2");
    let report = export(&host, &named(config(TYPES), "again")).unwrap();
    assert_eq!(serde_json::to_value(&report.gone).unwrap(), json!({"Condition": 1, "Patient": 1}));
    assert_eq!(
        host.storage.text("003.again/deleted/Bundle.Condition.ndjson").unwrap(),
        "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{\"request\":{\"method\":\"DELETE\",\"url\":\"Condition/c9\"}}]}\n"
    );
    assert!(links(&host).iter().all(|link| link.contains("-> 003.again/")), "{:?}", links(&host));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
}

#[test]
fn filtered_exports_stay_until_a_full_one_covers_them() {
    let ehr = start();
    let host = ehr.host();
    let filtered = |filter: &str, name: &str| {
        let mut config = named(config("Condition"), name);
        config.bulk.type_filters = vec![format!("Condition?{filter}")];
        config
    };
    ehr.put("Condition/a", json!({"code": "a"})).put("Condition/b", json!({"code": "b"}));
    export(&host, &filtered("code=a", "a")).unwrap();
    export(&host, &filtered("code=b", "b")).unwrap();
    let targets = |host: &smart_fetch::testing::Host| -> Vec<String> {
        links(host)
            .iter()
            .map(|link| link.split_once(" -> ").unwrap().1.split('/').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(targets(&host), ["001.a", "002.b"]);
    export(&host, &filtered("code=a", "a2")).unwrap();
    assert_eq!(targets(&host), ["002.b", "003.a2"]);
    export(&host, &named(config("Condition"), "all")).unwrap();
    assert_eq!(targets(&host), ["004.all", "004.all"]);
    export(&host, &filtered("code=b", "b2")).unwrap();
    assert_eq!(targets(&host), ["004.all", "004.all", "005.b2"], "newer than the full one, so beside it");
}

#[test]
fn types_beyond_the_usual_ones_and_uninvited_ones_get_links_too() {
    let ehr = start();
    ehr.put("Practitioner/d1", json!({})).put("Coverage/v1", json!({}));
    let host = ehr.host();
    export(&host, &named(config("Patient,Practitioner,Coverage"), "one")).unwrap();
    assert!(links(&host).contains(&"Coverage.001.ndjson -> 001.one/Coverage.001.ndjson".to_owned()));
    assert!(links(&host).contains(&"Practitioner.001.ndjson -> 001.one/Practitioner.001.ndjson".to_owned()));
    host.storage.put("001.one/Provenance.001.ndjson", "{\"resourceType\":\"Provenance\",\"id\":\"x\"}\n");
    host.run(smart_fetch::folder::links::reset(&host, None)).unwrap();
    assert!(links(&host).contains(&"Provenance.001.ndjson -> 001.one/Provenance.001.ndjson".to_owned()));
}

#[test]
fn a_kill_while_links_change_shows_no_file_twice_and_hides_none() {
    use smart_fetch::platform::Storage;
    let made = || {
        let ehr = start();
        let host = ehr.host();
        export(&host, &named(config("Condition"), "one")).unwrap();
        export(&host, &named(config("Condition"), "two")).unwrap();
        // Every file as it was linked to, and as it is to be: two come, two go, two move, two change places.
        for name in ["a", "b", "c", "d"] {
            host.storage
                .put(&format!("002.two/Condition.{name}.ndjson"), "{\"resourceType\":\"Condition\",\"id\":\"x\"}\n");
        }
        let old =
            ["002.two/Condition.c", "001.one/Condition.001", "002.two/Condition.b", "002.two/Condition.a", "gone/x"];
        host.run(async {
            for (number, target) in old.iter().enumerate() {
                let name = format!("Condition.{:03}.ndjson", number + 3);
                host.storage.link(&format!("{target}.ndjson"), &name).await.unwrap();
            }
        });
        host
    };
    let targets = |host: &smart_fetch::testing::Host| -> Vec<String> {
        links(host).iter().map(|link| link.split_once(" -> ").unwrap().1.to_owned()).collect()
    };
    let host = made();
    let before = targets(&host);
    host.run(smart_fetch::folder::links::reset(&host, None)).unwrap();
    let after = targets(&host);
    assert!(after.len() > 4, "{after:?}");
    for at in 1.. {
        let host = made();
        host.storage.kill_at(at);
        let ended = host.run_until_killed(smart_fetch::folder::links::reset(&host, None)).is_some();
        host.storage.revive();
        let mut seen = targets(&host);
        let kept = before.iter().filter(|target| after.contains(target));
        assert!(kept.clone().all(|target| seen.contains(target)), "killed at {at}: {seen:?} of {before:?}");
        seen.sort();
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "killed at {at}: {seen:?}");
        host.run(smart_fetch::folder::links::reset(&host, None)).unwrap();
        assert_eq!(targets(&host), after, "killed at {at}");
        if ended {
            break;
        }
    }
    // In a circle, which no run leaves.
    host.run(async {
        for (number, target) in [(2, "c"), (3, "a"), (4, "b")] {
            let name = format!("Condition.{number:03}.ndjson");
            host.storage.link(&format!("002.two/Condition.{target}.ndjson"), &name).await.unwrap();
        }
    });
    assert_ne!(targets(&host), after);
    host.run(smart_fetch::folder::links::reset(&host, None)).unwrap();
    assert_eq!(targets(&host), after);
}

#[test]
fn links_are_made_anew_on_demand_and_nothing_else_is_touched() {
    let ehr = start();
    let host = ehr.host();
    let error = host.run(smart_fetch::folder::links::reset(&host, None)).unwrap_err();
    assert!(error.message.contains("does not look like a SMART Fetch managed export folder"), "{error}");
    export(&host, &named(config(TYPES), "one")).unwrap();
    let whole = links(&host);
    host.run(async {
        use smart_fetch::platform::Storage;
        host.storage.remove("Condition.001.ndjson").await.unwrap();
        host.storage.link("gone/x", "Patient.009.ndjson").await.unwrap();
        host.storage.link("elsewhere", "mine.txt").await.unwrap();
    });
    host.storage.put("Patient.csv", "mine");
    assert_eq!(host.run(smart_fetch::folder::links::reset(&host, None)).unwrap(), 3);
    assert!(links(&host).iter().filter(|link| !link.starts_with("mine.txt")).eq(&whole));
    assert_eq!(host.storage.text("Patient.csv").unwrap(), "mine");
    assert!(links(&host).contains(&"mine.txt -> elsewhere".to_owned()));
    // A file where a link would be is not replaced.
    host.run(async { smart_fetch::platform::Storage::remove(&host.storage, "Patient.001.ndjson").await.unwrap() });
    host.storage.put("Patient.001.ndjson", "precious");
    let error = host.run(smart_fetch::folder::links::reset(&host, None)).unwrap_err();
    assert!(error.message.contains("Patient.001.ndjson"), "{error}");
    assert_eq!(host.storage.text("Patient.001.ndjson").unwrap(), "precious");
}

#[test]
fn errors_that_the_server_reports_leave_a_linked_and_done_export_but_no_deletions() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &named(config(TYPES), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").delete("Condition/c1");
    ehr.0.borrow_mut().error = Some("one page of Conditions failed".into());
    let report = export(&host, &named(config(TYPES), "two")).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::WithErrors, 3));
    assert!(report.gone.is_empty() && host.warnings().contains(&"deletions-unknown".to_owned()));
    assert_eq!(metadata(&host, "002.two")["complete"], true);
    assert!(links(&host).iter().all(|link| link.contains("-> 002.two/")));
    let kick_offs = host.http.seen_with("$export").len();
    let again = export(&host, &named(config(TYPES), "two")).unwrap();
    assert_eq!((again.exit_status, host.http.seen_with("$export").len()), (3, kick_offs), "nothing is asked again");
}

#[test]
fn files_that_could_not_be_had_hide_nothing_and_move_no_watermark() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &named(config(TYPES), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c3", json!({})).put("Patient/p1", json!({"active": true}));
    ehr.0.borrow_mut().broken = vec!["Condition.1.1".into()];
    let report = export(&host, &named(config(TYPES), "two")).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::Incomplete, 3));
    assert_eq!(metadata(&host, "002.two").get("complete"), None);
    let shown = links(&host);
    assert!(shown.contains(&"Condition.001.ndjson -> 001.one/Condition.001.ndjson".to_owned()), "{shown:?}");
    assert!(shown.contains(&"Patient.001.ndjson -> 002.two/Patient.001.ndjson".to_owned()), "{shown:?}");
    let inside = metadata(&host, "002.two");
    assert_eq!(
        (inside["done"].get("Condition"), &inside["done"]["Patient"]),
        (None, &json!("2026-02-01T00:00:00+00:00"))
    );
    // The same command gets just what is missing.
    ehr.0.borrow_mut().broken.clear();
    let kick_offs = host.http.seen_with("$export").len();
    let report = export(&host, &named(config(TYPES), "two")).unwrap();
    assert_eq!((report.exit_status, report.bulk.unwrap().fetched), (0, 1));
    assert_eq!(host.http.seen_with("$export").len(), kick_offs);
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
}

#[test]
fn what_changes_while_the_server_is_at_work_is_had_on_demand() {
    let ehr = start();
    let host = ehr.host();
    ehr.0.borrow_mut().meanwhile = Some(Box::new(|data| {
        data.now = "2026-01-01T00:10:00Z".into();
        data.put("Condition/c1", json!({"note": "changed meanwhile"}));
        data.put("Condition/late", json!({}));
    }));
    let mut config = named(config(TYPES), "one");
    config.reconcile = true;
    let report = export(&host, &config).unwrap();
    assert_eq!(asked(&host, "_since"), [None, Some("2026-01-01T00:00:00Z".into())]);
    assert_eq!(report.exit_status, 0);
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
    assert_eq!(metadata(&host, "001.one")["done"]["Condition"], "2026-01-01T00:10:00+00:00");
    let paths = host.storage.paths();
    assert!(paths.contains(&"001.one/Condition.002.ndjson".to_owned()), "beside the first: {paths:?}");
    // It is done once.
    let kick_offs = host.http.seen_with("$export").len();
    export(&host, &config).unwrap();
    assert_eq!(host.http.seen_with("$export").len(), kick_offs);
}

#[test]
fn created_mode_says_what_it_cannot_see() {
    let ehr = start();
    let host = smart_fetch::testing::Host::new();
    let mut capability = capability();
    let resources = capability["rest"][0]["resource"].as_array_mut().unwrap();
    for resource in resources {
        resource["searchParam"] = json!([{"name": "recorded-date"}]);
    }
    ehr.serve(&host, &capability);
    export(&host, &named(config(TYPES), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/new", json!({"recorded-date": "2026-01-15"}));
    let report = export(&host, &named(auto(TYPES), "two")).unwrap();
    assert_eq!(asked(&host, "_since"), [None, None]);
    assert_eq!(asked(&host, "_typeFilter")[1].as_deref(), Some("Condition?recorded-date=gt2026-01-01T00:00:00Z"));
    let said = notes(&host);
    assert!(said.contains(&"Server doesn't support 'updated' since mode, defaulting to 'created' instead.".to_owned()));
    assert!(said.contains(&"Using since value of '2026-01-01T00:00:00Z' for Condition.".to_owned()), "{said:?}");
    let told = host.events().into_iter().find_map(|event| match event {
        smart_fetch::event::Event::Warning { code, message } if code == "created-mode" => Some(message),
        _ => None,
    });
    let told = told.unwrap();
    assert!(
        told.contains("of Condition, it misses what was changed") && told.contains("come whole: Patient."),
        "{told}"
    );
    assert_eq!(metadata(&host, "002.two")["sinceResources"], json!(["Condition"]));
    assert_eq!(report.exit_status, 0);
}

#[test]
fn types_that_nobody_asked_for_make_no_increment_a_full_export() {
    let ehr = start();
    let host = ehr.host();
    // It exports what it lists; later, Devices too.
    let with_devices = std::rc::Rc::new(std::cell::Cell::new(false));
    let (data, devices) = (ehr.0.clone(), with_devices.clone());
    host.http.on_call("GET", "$export", move |request| {
        let types = query(&request.url, "_type").unwrap();
        let known = |t: &&str| {
            ["Patient", "Encounter", "Condition", "Observation"].contains(t) || *t == "Device" && devices.get()
        };
        match types.split(',').find(|t| !known(t)) {
            Some(other) => {
                smart_fetch::testing::Reply::outcome(400, "error", "invalid", &format!("there is no {other} here"))
            }
            None => data.borrow_mut().export(&request.url),
        }
    });
    let types = |at: usize| asked(&host, "_type")[at].clone().unwrap();
    let report = export(&host, &named(config("all"), "one")).unwrap();
    assert_eq!(report.exit_status, 0);
    with_devices.set(true);
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c9", json!({})).put("Device/d1", json!({}));
    let before = asked(&host, "_type").len();
    let report = export(&host, &named(auto("all"), "two")).unwrap();
    assert_eq!(report.exit_status, 0);
    assert_eq!(types(before), "Patient,Encounter,Condition,Observation");
    assert_eq!(asked(&host, "_since")[before].as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(types(asked(&host, "_type").len() - 1), "Device");
    assert_eq!(asked(&host, "_since").last().unwrap(), &None, "all of them");
    let inside = metadata(&host, "002.two");
    assert_eq!(inside["sinceResources"], json!(["Condition", "Encounter", "Observation", "Patient"]));
    assert_eq!(inside["done"].as_object().unwrap().len(), 5);
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition", "Device"]));
}

/// Three exports over a year: new, changed, deleted, merged patients; a type added later; a filter taken away.
#[test]
fn a_year_of_changes_ends_in_what_a_full_export_gives() {
    let ehr = start();
    let host = ehr.host();
    let filtered = |mut config: smart_fetch::config::ExportConfig| {
        config.bulk.type_filters = vec!["Condition?category=problem".into()];
        config
    };
    for (id, category) in [("c1", "problem"), ("c2", "problem"), ("c3", "other"), ("c4", "problem")] {
        ehr.put(&format!("Condition/{id}"), json!({"category": category, "subject": {"reference": "Patient/p1"}}));
    }
    export(&host, &filtered(named(config(TYPES), "january"))).unwrap();

    ehr.at("2026-05-01T00:00:00Z").put("Patient/p4", json!({})).put("Patient/p2", json!({"active": false}));
    ehr.put("Condition/c5", json!({"category": "problem"})).put("Condition/c1", json!({"category": "problem", "v": 2}));
    ehr.delete("Condition/c2");
    let report = export(&host, &filtered(named(auto(TYPES), "may"))).unwrap();
    assert_eq!(report.since["Condition"], "2026-01-01T00:00:00Z");
    assert_eq!(metadata(&host, "002.may")["newPatients"], json!(["p4"]));

    // Patient p3 is merged into p4 and gone; a type more; the filter of Condition is gone.
    ehr.at("2026-09-01T00:00:00Z");
    let link = json!([{"type": "replaces", "other": {"reference": "Patient/p3"}}]);
    ehr.put("Patient/p4", json!({"link": link})).delete("Patient/p3").delete("Condition/c4");
    ehr.put("Condition/c6", json!({"category": "other"})).put("Encounter/e1", json!({})).put("Encounter/e2", json!({}));
    let all = "Patient,Condition,Encounter";
    let report = export(&host, &named(auto(all), "september")).unwrap();
    assert_eq!(report.since.keys().collect::<Vec<_>>(), ["Patient"]);
    assert_eq!(asked(&host, "_since")[2], None, "one _since for all, so none (I08)");
    let inside = metadata(&host, "003.september");
    assert_eq!(inside["sinceResources"], json!([]), "it came whole");
    assert_eq!(inside["newPatients"], json!(["p4"]), "merged");
    let types = ["Patient", "Condition", "Encounter"];
    assert_eq!(seen_by_reader(&host), ehr.state(&types));

    ehr.at("2026-12-01T00:00:00Z").delete("Encounter/e1").put("Encounter/e3", json!({})).delete("Patient/p1");
    let report = export(&host, &named(auto(all), "december")).unwrap();
    assert_eq!(report.since.len(), 3);
    assert_eq!(seen_by_reader(&host), ehr.state(&types));

    let fresh = ehr.host();
    export(&fresh, &config(all)).unwrap();
    assert_eq!(seen_by_reader(&fresh), seen_by_reader(&host));
}

#[test]
fn a_kill_at_any_storage_call_loses_nothing_and_leaves_links_that_lead_somewhere() {
    let ehr = start();
    let first = |host: &smart_fetch::testing::Host| {
        ehr.0.borrow_mut().now = "2026-01-01T00:00:00Z".into();
        host.run_until_killed(job::export(host, &named(config(TYPES), "one"), std::future::pending()))
    };
    let types = ["Patient", "Condition"];
    let base = ehr.state(&types);
    // The second export: a full one, so that links are replaced and deletions worked out.
    let second = |host: &smart_fetch::testing::Host| {
        ehr.0.borrow_mut().now = "2026-02-01T00:00:00Z".into();
        host.run_until_killed(job::export(host, &named(config(TYPES), "two"), std::future::pending()))
    };
    let mut before = ehr.host();
    first(&before).unwrap().unwrap();
    let calls_first = before.storage.calls();
    ehr.at("2026-02-01T00:00:00Z")
        .delete("Condition/c1")
        .put("Condition/c7", json!({}))
        .put("Patient/p1", json!({"v": 2}));
    second(&before).unwrap().unwrap();
    let (calls, expected) = (before.storage.calls() - calls_first, before.storage.paths());
    let after = ehr.state(&types);
    assert_eq!(seen_by_reader(&before), after);
    assert!(calls > 60, "{calls}");
    for call in 1..=calls {
        before = ehr.host();
        let now = std::mem::take(&mut ehr.0.borrow_mut().resources);
        ehr.0.borrow_mut().resources = base
            .iter()
            .map(|(name, resource)| (name.clone(), (resource.clone(), "2026-01-01T00:00:00Z".into())))
            .collect();
        first(&before).unwrap().unwrap();
        ehr.0.borrow_mut().resources = now;
        let host = before.restarted();
        host.storage.kill_at(call);
        assert!(second(&host).is_none(), "call {call}");
        host.storage.revive();
        // Every link leads to a whole file, and nothing that was there has gone out of sight but what is deleted.
        let seen = seen_by_reader(&host);
        for name in base.keys().filter(|name| after.contains_key(*name)) {
            assert!(seen.contains_key(name), "call {call}: {name}");
        }
        let host = host.restarted();
        let report = second(&host).unwrap().unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!((report.exit_status, report.folder.as_str()), (0, "002.two"), "call {call}");
        assert_eq!(host.storage.paths(), expected, "call {call}");
        assert_eq!(seen_by_reader(&host), after, "call {call}");
    }
}

#[test]
fn an_unfinished_increment_is_carried_on_with_also_when_only_its_last_steps_are_missing() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &named(config(TYPES), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c3", json!({}));
    export(&host, &auto(TYPES)).unwrap();
    let mut state: Value = metadata(&host, "002.2026-01-01");
    state.as_object_mut().unwrap().remove("complete");
    host.storage.put("002.2026-01-01/.metadata", state.to_string());
    let report = export(&host, &auto(TYPES)).unwrap();
    assert!(report.resumed && report.folder.starts_with("002."), "{report:?}");
    assert_eq!(metadata(&host, "002.2026-01-01")["complete"], true);
    assert!(!export(&host, &auto(TYPES)).unwrap().resumed);
}

#[test]
fn since_auto_without_an_earlier_export_is_all_of_it_also_after_a_kill_at_any_storage_call() {
    let ehr = start();
    let types = ["Patient", "Condition"];
    let run = |host: &smart_fetch::testing::Host| {
        ehr.0.borrow_mut().now = "2026-01-01T00:00:00Z".into();
        host.run_until_killed(job::export(host, &auto(TYPES), std::future::pending()))
    };
    let host = ehr.host();
    let report = run(&host).unwrap().unwrap();
    assert_eq!((report.since.len(), report.resumed, report.exit_status), (0, false, 0));
    assert!(
        notes(&host).contains(&"No earlier export to detect a since value from: everything is exported.".to_owned())
    );
    assert_eq!(asked(&host, "_since"), [None]);
    let inside = metadata(&host, "001.2026-01-01");
    assert_eq!((&inside["since"], &inside["sinceResources"]), (&json!("auto"), &json!([])), "on record as whole");
    assert_eq!(seen_by_reader(&host), ehr.state(&types));
    let (calls, expected) = (host.storage.calls(), host.storage.paths());
    for call in 1..=calls {
        let host = ehr.host();
        host.storage.kill_at(call);
        assert!(run(&host).is_none(), "call {call}");
        host.storage.revive();
        let host = host.restarted();
        let report = run(&host).unwrap().unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!(report.exit_status, 0, "call {call}");
        // Killed with its very last write, it is complete: then the next one is an increment, without anything new.
        let is_over = report.folder.starts_with("002.");
        assert!(!is_over || !report.since.is_empty(), "call {call}");
        assert!(is_over || host.storage.paths() == expected, "call {call}: {:?}", host.storage.paths());
        assert_eq!(seen_by_reader(&host), ehr.state(&types), "call {call}");
    }
    // The same command, later: what changed.
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c3", json!({}));
    let report = export(&host, &auto(TYPES)).unwrap();
    assert_eq!((report.since.len(), report.resumed), (2, false));
    assert_eq!(asked(&host, "_since").last().unwrap().as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(seen_by_reader(&host), ehr.state(&types));
}

#[test]
fn since_auto_after_a_try_that_got_nothing_is_all_of_it_and_after_exports_of_something_else_an_error() {
    let ehr = start();
    let host = ehr.host();
    host.storage
        .put(".metadata", json!({"kind": "managed", "fhir-url": BASE, "group": null, "version": "1.0.3"}).to_string());
    host.storage.put(
        "001.2025-12-31/.metadata",
        json!({"filters": {"Patient": []}, "since": null, "kind": "output", "version": "1.0.3"}).to_string(),
    );
    let report = export(&host, &auto(TYPES)).unwrap();
    assert_eq!((report.folder.as_str(), report.since.len()), ("001.2025-12-31", 0), "what holds nothing is taken over");
    assert_eq!(asked(&host, "_since"), [None]);
    let mut other = auto(TYPES);
    other.bulk.level = Level::Patient;
    let error = export(&host, &other).unwrap_err();
    assert!(error.to_string().starts_with("Could not detect a since value to use from previous exports."), "{error}");
}
