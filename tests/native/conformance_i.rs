//! Conformance group I: incremental exports.

use serde_json::json;
use smart_fetch::ErrorKind;
use smart_fetch::config::Level;
use smart_fetch::event::Event;
use smart_fetch::job;
use smart_fetch::testing::Reply;

use crate::ehr::*;

fn start(time: &str) -> Ehr {
    let ehr = Ehr::new();
    ehr.at(time).put("Patient/p1", json!({})).put("Patient/p2", json!({})).put("Condition/c1", json!({}));
    ehr
}

#[test]
fn i01_since_is_the_servers_transaction_time_verbatim() {
    // An hour off our clock, more digits than we count in, a zone of its own.
    let ehr = start("2026-01-02T09:34:05.1234567+05:30");
    let host = ehr.host();
    export(&host, &named(config("Patient,Condition"), "one")).unwrap();
    assert_eq!(metadata(&host, "001.one")["done"]["Patient"], "2026-01-02T09:34:05.123456+05:30", "for the reference");
    export(&host, &named(auto("Patient,Condition"), "two")).unwrap();
    assert_eq!(asked(&host, "_since")[1].as_deref(), Some("2026-01-02T09:34:05.1234567+05:30"));
}

#[test]
fn i02_the_watermark_moves_only_with_files_that_are_here() {
    let ehr = start("2026-01-01T00:00:00Z");
    let host = ehr.host();
    export(&host, &named(config("Patient,Condition"), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c2", json!({}));
    ehr.0.borrow_mut().broken = vec!["Condition.1".into()];
    assert_eq!(export(&host, &named(auto("Patient,Condition"), "two")).unwrap().exit_status, 3);
    // Another increment asks from where the last whole one of each type ended.
    ehr.at("2026-03-01T00:00:00Z");
    let report = export(&host, &named(auto("Patient,Condition"), "three")).unwrap();
    assert_eq!(report.since["Condition"], "2026-01-01T00:00:00Z");
    assert_eq!(report.since["Patient"], "2026-02-01T00:00:00Z");
    assert_eq!(asked(&host, "_since")[2].as_deref(), Some("2026-01-01T00:00:00Z"), "one for all: the earlier");
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
    // So does one after a run that was killed before anything of it was whole.
    ehr.at("2026-04-01T00:00:00Z");
    host.storage.kill_at(20);
    assert!(
        host.run_until_killed(job::export(&host, &named(auto("Patient"), "four"), std::future::pending())).is_none()
    );
    let host = host.restarted();
    export(&host, &named(auto("Patient"), "five")).unwrap();
    assert_eq!(asked(&host, "_since").last().unwrap().as_deref(), Some("2026-03-01T00:00:00Z"));
}

#[test]
fn i03_what_comes_again_changes_nothing() {
    // Bounds are inclusive: what changed at that very moment comes twice.
    let ehr = start("2026-01-01T00:00:00Z");
    let host = ehr.host();
    export(&host, &named(config("Patient,Condition"), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z");
    let report = export(&host, &named(auto("Patient,Condition"), "two")).unwrap();
    assert_eq!(report.bulk.unwrap().resources, 3, "all of it again");
    assert_eq!((report.exit_status, report.new_patients), (0, 0));
    assert_eq!(seen_by_reader(&host), ehr.state(&["Patient", "Condition"]));
}

#[test]
fn i04_since_is_an_instant_on_the_wire_and_its_plus_is_escaped() {
    let ehr = start("2026-01-01T00:00:00+02:00");
    let host = ehr.host();
    export(&host, &named(config("Patient"), "one")).unwrap();
    export(&host, &named(auto("Patient"), "two")).unwrap();
    let mut dated = named(config("Patient"), "three");
    dated.bulk.since = Some("2026-01-15".into());
    export(&host, &dated).unwrap();
    let sent = [None, Some("2026-01-01T00:00:00+02:00".into()), Some("2026-01-15T00:00:00-05:00".into())];
    assert_eq!(asked(&host, "_since"), sent);
    assert!(host.http.seen_with("$export").iter().all(|seen| !seen.request.url.contains('+')));
    let mut wrong = config("Patient");
    wrong.bulk.since = Some("last week".into());
    assert_eq!(export(&host, &wrong).unwrap_err().kind, ErrorKind::Usage);
}

#[test]
fn i05_a_manifest_without_deletions_proves_nothing() {
    let ehr = start("2026-01-01T00:00:00Z");
    let host = ehr.host();
    let told = |host: &smart_fetch::testing::Host| {
        notes(host).iter().any(|note| note.contains("does not say what was deleted"))
    };
    export(&host, &named(config("Patient"), "one")).unwrap();
    export(&host, &named(auto("Patient"), "two")).unwrap();
    assert!(!told(&host), "an empty list says that there are none");
    ehr.0.borrow_mut().silent_on_deletions = true;
    export(&host, &named(config("Patient"), "three")).unwrap();
    assert!(!told(&host), "nor are any due in a full export");
    export(&host, &named(auto("Patient"), "four")).unwrap();
    assert!(told(&host));
}

#[test]
fn i06_patients_that_are_new_to_a_group_are_named_for_who_fetches_their_history() {
    let ehr = start("2026-01-01T00:00:00Z");
    let host = ehr.host();
    let of_group = |mut config: smart_fetch::config::ExportConfig| {
        config.bulk.level = Level::Group("G1".into());
        config
    };
    export(&host, &of_group(named(config("Patient,Condition"), "one"))).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Patient/joiner", json!({}));
    let report = export(&host, &of_group(named(auto("Patient,Condition"), "two"))).unwrap();
    assert_eq!(report.new_patients, 1);
    assert_eq!(metadata(&host, "002.two")["newPatients"], json!(["joiner"]));
    let kick_offs = host.http.seen_with("/Group/G1/$export");
    assert_eq!(kick_offs.len(), 2, "what was asked for is not widened without being told to");
}

#[test]
fn i06_what_patients_who_are_new_to_a_group_had_before_is_fetched_on_demand() {
    for (refuses, killed) in [(false, None), (true, None), (false, Some(())), (true, Some(()))] {
        let mut at = 1;
        loop {
            let ehr = start("2026-01-01T00:00:00Z");
            let host = ehr.host();
            let of_group = |mut config: smart_fetch::config::ExportConfig| {
                config.bulk.level = Level::Group("G1".into());
                config.reconcile = true;
                config
            };
            export(&host, &of_group(named(config("Patient,Condition"), "one"))).unwrap();
            let asked_first = host.http.seen().len();
            ehr.at("2026-02-01T00:00:00Z").put("Patient/joiner", json!({})).put("Condition/new", json!({}));
            host.http.on_call("POST", "/Group/G1/$export", move |request| {
                let body = String::from_utf8(request.body.clone().unwrap_or_default()).unwrap();
                assert!(
                    body.contains("Patient/joiner") && !body.contains("Patient/p1") && !body.contains("_since"),
                    "{body}"
                );
                if refuses {
                    return Reply::outcome(400, "error", "not-supported", "no patient here");
                }
                Reply::new(202).header("Content-Location", "https://ehr.example/joined/1")
            });
            let manifest = json!({"transactionTime": "2026-02-02T00:00:00Z", "requiresAccessToken": false, "error": [],
                "output": [{"type": "Condition", "url": "https://ehr.example/old/c"}]});
            host.http.on_call("GET", "/joined/1", move |_| Reply::json(200, &manifest.to_string()));
            host.http.on_call("DELETE", "/joined/1", |_| Reply::new(202));
            host.http
                .on_call("GET", "/old/c", |_| Reply::ndjson("{\"resourceType\":\"Condition\",\"id\":\"of-old\"}\n"));
            let update = of_group(named(auto("Patient,Condition"), "two"));
            let mut ended = true;
            let host = if killed.is_some() {
                host.storage.kill_at(at);
                ended = host.run_until_killed(job::export(&host, &update, std::future::pending())).is_some();
                host.restarted()
            } else {
                host
            };
            let report = export(&host, &update).unwrap();
            assert_eq!((report.new_patients, report.exit_status), (1, 0), "killed at {at}");
            let state = metadata(&host, "002.two");
            assert_eq!(state["done"]["Condition"], "2026-02-01T00:00:00+00:00", "killed at {at}: the watermark stays");
            assert_eq!(state["complete"], true, "killed at {at}");
            let mut rows: Vec<String> = host
                .storage
                .paths()
                .iter()
                .filter(|path| path.starts_with("002.two/Condition") && !path.contains(" -> "))
                .flat_map(|path| host.storage.text(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
                .collect();
            rows.sort();
            // What changed meanwhile comes twice.
            rows.dedup();
            assert_eq!(
                rows.iter().filter(|row| row.contains("of-old")).count(),
                usize::from(!refuses),
                "killed at {at}: {rows:?}"
            );
            assert_eq!(rows.iter().filter(|row| row.contains("\"new\"")).count(), 1, "killed at {at}: {rows:?}");
            if killed.is_none() {
                assert_eq!(host.warnings().contains(&"new-patients".to_owned()), refuses);
                let lines: Vec<String> = host.http.seen()[asked_first..]
                    .iter()
                    .map(|seen| seen.line())
                    .filter(|line| line.contains("$export"))
                    .collect();
                let order: Vec<bool> = lines.iter().map(|line| line.starts_with("POST")).collect();
                assert_eq!(
                    order,
                    [false, true, false],
                    "the increment, the joiners, what changed meanwhile: {lines:?}"
                );
                break;
            }
            if ended {
                break;
            }
            at += 3;
        }
    }
}

#[test]
fn i07_what_comes_from_after_until_is_told() {
    let ehr = start("2026-03-01T12:00:00Z");
    let host = ehr.host();
    let mut config = named(config("Patient"), "one");
    config.bulk.until = Some("2026-03-01".into());
    export(&host, &config).unwrap();
    assert!(!host.warnings().contains(&"until-ignored".to_owned()), "the day is in it");
    config.nickname = Some("two".into());
    config.bulk.until = Some("2026-02-28".into());
    export(&host, &config).unwrap();
    let told = host.events().into_iter().find_map(|event| match event {
        Event::Warning { code, message } if code == "until-ignored" => Some(message),
        _ => None,
    });
    assert!(told.unwrap().starts_with("2 resources were changed after '2026-02-28T23:59:59.999-05:00'"));
    // And no increment goes on from the end of a window.
    config.bulk.since = Some("auto".into());
    assert_eq!(export(&host, &config).unwrap_err().kind, ErrorKind::Usage);
}

#[test]
fn i08_the_watermark_holds_for_what_was_asked_only() {
    let ehr = start("2026-01-01T00:00:00Z");
    let host = ehr.host();
    export(&host, &named(config("Patient,Condition"), "one")).unwrap();
    let refused = |config: &smart_fetch::config::ExportConfig| export(&host, config).unwrap_err().to_string();
    let no_since = "Could not detect a since value";
    // Other filters.
    let mut filtered = named(auto("Condition"), "x");
    filtered.bulk.type_filters = vec!["Condition?category=problem".into()];
    assert!(refused(&filtered).starts_with(no_since));
    // Another level, and other elements: not what the folder holds.
    let mut level = named(auto("Patient"), "x");
    level.bulk.level = Level::Patient;
    assert!(refused(&level).starts_with(no_since));
    let mut elements = named(auto("Patient"), "x");
    elements.bulk.elements = vec!["id".into()];
    assert!(refused(&elements).starts_with(no_since));
    // A type more: all of it.
    export(&host, &named(auto("Patient,Condition,Encounter"), "two")).unwrap();
    assert_eq!(asked(&host, "_since"), [None, None]);
    // A window that was left out is not skipped: since a later date than there are data to.
    ehr.at("2026-06-01T00:00:00Z");
    let mut later = named(config("Patient"), "three");
    later.bulk.since = Some("2026-05-01T00:00:00Z".into());
    export(&host, &later).unwrap();
    export(&host, &named(auto("Patient"), "four")).unwrap();
    assert_eq!(asked(&host, "_since").last().unwrap().as_deref(), Some("2026-01-01T00:00:00Z"));
}
