//! Files that are gone, or damaged, after their run was done: never counted as there, never taken for deletions, and fetched
//! again by the same command.

use serde_json::json;
use smart_fetch::bundle::bundle;
use smart_fetch::config::{ExportConfig, ExportMode, LocalConfig};
use smart_fetch::folder::view;
use smart_fetch::merge::{MergeReport, merge};
use smart_fetch::testing::{Host, MemoryStorage};
use smart_fetch::verify::{VerifyReport, verify};
use smart_fetch::{ErrorKind, job};

use crate::ehr::*;

const TYPES: &str = "Patient,Condition";

fn start() -> Ehr {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z");
    for n in 1..=3 {
        ehr.put(&format!("Patient/p{n}"), json!({}));
        ehr.put(&format!("Condition/c{n}"), json!({"subject": {"reference": format!("Patient/p{n}")}}));
    }
    ehr
}

fn crawl(config: ExportConfig) -> ExportConfig {
    in_mode(ExportMode::Crawl, config)
}

fn verified(host: &Host) -> VerifyReport {
    host.run(verify(host, None)).unwrap()
}

fn problems(host: &Host) -> Vec<String> {
    verified(host).problems.into_iter().map(|found| format!("{} {}", found.path, found.problem)).collect()
}

fn merged(host: &Host) -> (MergeReport, MemoryStorage) {
    let out = MemoryStorage::new();
    let mut merging = Host::with_storage(out.clone());
    merging.source = Some(host.storage.clone());
    (merging.run(merge(&merging, &LocalConfig::default())).unwrap(), out)
}

/// That everything is there, nothing was called deleted, and nobody complains.
fn assert_cured(host: &Host, ehr: &Ehr) {
    // A kill may cost the log half a line.
    let found: Vec<String> =
        problems(host).into_iter().filter(|found| !found.contains("log.ndjson has a line")).collect();
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(seen_by_reader(host), ehr.state(&["Patient", "Condition"]));
    let paths = host.storage.paths();
    assert!(!paths.iter().any(|path| path.contains("deleted/")), "{paths:?}");
    let (report, _) = merged(host);
    assert_eq!((report.exit_status, report.resources), (0, ehr.state(&["Patient", "Condition"]).len() as u64));
    assert!(host.run(view::view(host)).unwrap().exports.last().unwrap().complete);
}

fn in_mode(mode: ExportMode, mut config: ExportConfig) -> ExportConfig {
    config.mode = mode;
    config
}

/// A folder with two exports of all; the second has one more Condition.
fn exported_twice(mode: ExportMode) -> (Ehr, Host) {
    let ehr = start();
    let host = ehr.host();
    export(&host, &in_mode(mode, named(config(TYPES), "one"))).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c4", json!({"subject": {"reference": "Patient/p1"}}));
    export(&host, &in_mode(mode, named(config(TYPES), "two"))).unwrap();
    (ehr, host)
}

/// The ways to lose a file.
fn ways() -> [fn(&MemoryStorage, &str); 3] {
    [
        |disk, path| disk.take(path),
        |disk, path| disk.put(path, ""),
        // To the line, so that what is left of a plain file looks whole.
        |disk, path| {
            let text = disk.text(path).unwrap();
            let cut = text.find('\n').map_or(0, |at| at + 1);
            disk.put(path, if cut == text.len() { String::new() } else { text[..cut].to_owned() });
        },
    ]
}

#[test]
fn a_managed_export_fetches_again_what_was_lost_of_its_newest_run_and_calls_nothing_deleted() {
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        for way in ways() {
            let (ehr, host) = exported_twice(mode);
            assert_cured(&host, &ehr);
            let paths = host.storage.paths();
            let lost = paths.iter().find(|path| path.starts_with("002.two/Condition.")).unwrap();
            way(&host.storage, lost);

            assert!(!host.run(view::view(&host)).unwrap().exports[1].complete);
            let (report, _) = merged(&host);
            assert_eq!(report.exit_status, 3, "{report:?}");
            assert!(report.problems.iter().any(|problem| problem.contains(lost.as_str())), "{:?}", report.problems);
            assert!(problems(&host).iter().any(|problem| problem.starts_with(lost.as_str())), "{:?}", problems(&host));

            let again = host.restarted();
            let report = export(&again, &in_mode(mode, named(config(TYPES), "two"))).unwrap();
            assert_eq!((report.exit_status, report.gone.len(), report.folder.as_str()), (0, 0, "002.two"));
            assert_cured(&again, &ehr);
        }
    }
}

#[test]
fn the_patients_of_a_crawl_come_again_and_with_them_whoever_is_new() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &crawl(named(config(TYPES), "one"))).unwrap();
    let lost: Vec<String> =
        host.storage.paths().into_iter().filter(|path| path.starts_with("001.one/Patient.")).collect();
    host.storage.take(&lost[0]);
    ehr.at("2026-02-01T00:00:00Z").put("Patient/p4", json!({}));
    ehr.put("Condition/c4", json!({"subject": {"reference": "Patient/p4"}}));
    let again = host.restarted();
    assert_eq!(export(&again, &crawl(named(config(TYPES), "one"))).unwrap().exit_status, 0);
    assert_cured(&again, &ehr);
}

#[test]
fn an_increment_that_was_lost_is_made_up_for_by_the_next_one() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &named(config(TYPES), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c4", json!({}));
    export(&host, &named(auto(TYPES), "two")).unwrap();
    ehr.at("2026-03-01T00:00:00Z").put("Condition/c5", json!({}));
    export(&host, &named(auto(TYPES), "three")).unwrap();
    assert_cured(&host, &ehr);
    host.storage.take("002.two/Condition.001.ndjson");
    let (report, _) = merged(&host);
    assert_eq!(report.exit_status, 3);
    assert!(report.problems[0].contains("002.two/Condition.001.ndjson"), "{:?}", report.problems);

    ehr.at("2026-04-01T00:00:00Z").put("Condition/c6", json!({}));
    let again = host.restarted();
    let report = export(&again, &named(auto(TYPES), "four")).unwrap();
    assert_eq!(report.since["Condition"], "2026-01-01T00:00:00Z", "from before what was lost");
    assert_eq!((report.exit_status, report.gone.len()), (0, 0));
    assert_cured(&again, &ehr);
    ehr.at("2026-05-01T00:00:00Z").put("Condition/c7", json!({}));
    let report = export(&again, &named(auto(TYPES), "five")).unwrap();
    assert_eq!(report.since["Condition"], "2026-04-01T00:00:00Z", "once");
    assert_cured(&again, &ehr);
}

#[test]
fn what_only_an_earlier_run_had_is_named_and_a_full_export_makes_up_for_it() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &named(config(TYPES), "one")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c4", json!({})).put("Patient/p9", json!({}));
    export(&host, &named(auto(TYPES), "two")).unwrap();
    host.storage.take("001.one/Condition.001.ndjson");
    let again = host.restarted();
    let report = export(&again, &named(auto("Patient"), "three")).unwrap();
    assert_eq!(report.exit_status, 0, "it is not about Conditions");
    let report = export(&again, &named(auto(TYPES), "two")).unwrap_err();
    assert!(report.message.contains("too old to resume"), "{report}");
    assert!(problems(&again).iter().any(|problem| problem.starts_with("001.one/Condition.001.ndjson")));
    ehr.at("2026-03-01T00:00:00Z");
    let report = export(&again, &named(config(TYPES), "four")).unwrap();
    assert_eq!((report.exit_status, report.gone.len()), (0, 0));
    assert_cured(&again, &ehr);
}

#[test]
fn damage_that_only_reading_shows_is_cured_by_following_the_advice() {
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        let ehr = start();
        let host = ehr.host();
        let with = |mut config: ExportConfig| {
            config.bulk.compress = true;
            in_mode(mode, config)
        };
        export(&host, &with(named(config(TYPES), "one"))).unwrap();
        ehr.at("2026-02-01T00:00:00Z");
        export(&host, &with(named(config(TYPES), "two"))).unwrap();
        let paths = host.storage.paths();
        let lost = paths.iter().find(|path| path.starts_with("002.two/Condition.")).unwrap();
        let mut bytes = host.storage.bytes(lost).unwrap();
        let last = bytes.len() - 6;
        bytes[last] ^= 1;
        host.storage.put(lost, bytes);
        let named_problems = problems(&host);
        let told = named_problems.iter().find(|problem| problem.starts_with(lost.as_str())).unwrap();
        assert!(told.contains("damaged") && told.contains("remove it, then run its export again"), "{told}");
        let mut merging = Host::with_storage(MemoryStorage::new());
        merging.source = Some(host.storage.clone());
        let error = merging.run(merge(&merging, &LocalConfig::default())).unwrap_err();
        assert!(error.to_string().contains("Remove it and run the same job again"), "{error}");

        host.storage.take(lost);
        let again = host.restarted();
        let report = export(&again, &with(named(config(TYPES), "two"))).unwrap();
        assert_eq!((report.exit_status, report.gone.len()), (0, 0));
        assert_eq!(problems(&again), Vec::<String>::new());
        assert_eq!(merged(&again).0.resources, 6);
        assert!(!again.storage.paths().iter().any(|path| path.contains("deleted/")));
    }
}

#[test]
fn a_bulk_export_gets_just_the_types_that_were_lost() {
    for way in ways() {
        let ehr = start();
        let host = ehr.host();
        let config = config(TYPES).bulk;
        let bulk = |host: &Host| host.run(job::bulk(host, &config, std::future::pending()));
        assert_eq!(bulk(&host).unwrap().exit_status, 0);
        // Two files: one is lost, the other one goes when both have come again.
        ehr.0.borrow_mut().page = 100;
        way(&host.storage, "Patient.001.ndjson");
        assert!(!host.run(view::view(&host)).unwrap().complete);
        let again = host.restarted();
        let report = bulk(&again).unwrap();
        assert_eq!((report.exit_status, report.types["Patient"].resources, report.resources), (0, 3, 6));
        assert_eq!(asked(&again, "_type").last().unwrap().as_deref(), Some("Patient"));
        assert!(again.warnings().contains(&"files-lost".to_owned()), "{:?}", again.warnings());
        assert!(!again.storage.paths().contains(&"Patient.002.ndjson".to_owned()), "{:?}", again.storage.paths());
        assert_eq!(problems(&again), Vec::<String>::new());
        assert!(again.run(view::view(&again)).unwrap().complete);
    }
}

#[test]
fn a_bulk_export_that_cannot_be_repeated_loses_no_more() {
    let ehr = start();
    let host = ehr.host();
    let config = config(TYPES).bulk;
    host.run(job::bulk(&host, &config, std::future::pending())).unwrap();
    host.storage.take("Patient.001.ndjson");
    let other = host.storage.text("Patient.002.ndjson").unwrap();
    let down = Host::with_storage(host.storage.clone());
    assert!(down.run(job::bulk(&down, &config, std::future::pending())).is_err());
    assert_eq!(host.storage.text("Patient.002.ndjson").unwrap(), other);
    assert!(!down.run(view::view(&down)).unwrap().complete);
}

#[test]
fn repairing_survives_a_kill_at_every_moment() {
    for mode in [ExportMode::Bulk, ExportMode::Crawl] {
        let mut at = 1;
        loop {
            let (ehr, host) = exported_twice(mode);
            let paths = host.storage.paths();
            let lost = paths.iter().find(|path| path.starts_with("002.two/Condition.")).unwrap();
            host.storage.take(lost);
            let killed = host.restarted();
            killed.storage.kill_at(at);
            let config = in_mode(mode, named(config(TYPES), "two"));
            let ended = killed.run_until_killed(job::export(&killed, &config, std::future::pending()));
            killed.storage.revive();
            if ended.is_some() {
                assert!(at > 20, "{at}");
                break;
            }
            let again = killed.restarted();
            let report = export(&again, &config).unwrap();
            assert_eq!((report.exit_status, report.gone.len()), (0, 0), "killed at {at}");
            assert_cured(&again, &ehr);
            at += 1;
        }
    }
}

#[test]
fn a_first_try_that_failed_and_has_nothing_in_it_is_no_obstacle() {
    let ehr = start();
    let host = ehr.host();
    let mut wrong = crawl(config(TYPES));
    wrong.cohort.ids = vec!["nobody".into()];
    wrong.nickname = Some("wrong".into());
    assert!(export(&host, &wrong).map_or(true, |report| report.exit_status != 0 || report.crawl.is_some()));
    ehr.at("2026-02-01T00:00:00Z");
    let storage = host.storage.clone();
    let mut state = metadata(&host, "001.wrong");
    for key in ["complete", "done"] {
        state.as_object_mut().unwrap().remove(key);
    }
    storage.put("001.wrong/.metadata", state.to_string());
    for path in storage.paths() {
        if path.starts_with("001.wrong/") && path.contains(".ndjson") {
            storage.take(&path);
        }
    }
    export(&host, &named(config(TYPES), "right")).unwrap();
    assert_cured(&host, &ehr);
    assert!(merged(&host).0.notes[0].contains("001.wrong"));
    assert!(verified(&host).notes[0].contains("001.wrong"));
}

#[test]
fn a_managed_folder_is_not_bundled() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &config(TYPES)).unwrap();
    let before = host.storage.paths();
    let error = host.run(bundle(&host, &LocalConfig::default())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mismatch);
    assert!(error.to_string().contains("merge"), "{error}");
    assert_eq!(host.storage.paths(), before);
}

#[test]
fn what_python_left_without_a_ledger_is_judged_by_its_log() {
    let ehr = start();
    ehr.0.borrow_mut().page = 100;
    let host = ehr.host();
    let event = |id: &str, detail: serde_json::Value| {
        format!("{}\n", json!({"exportId": "x", "eventId": id, "eventDetail": detail}))
    };
    let mut log = String::new();
    for (url, kind, count) in [("u1", "Patient", 3), ("u2", "Condition", 3), ("u3", "Encounter", 0)] {
        log += &event("download_request", json!({"fileUrl": url, "itemType": "output", "resourceType": kind}));
        log += &event("download_complete", json!({"fileUrl": url, "resourceCount": count, "fileSize": 1}));
    }
    let time = "2026-01-01T00:00:00+00:00";
    let state = json!({
        "filters": {"Condition": [], "Encounter": [], "Patient": []}, "since": null, "kind": "output", "complete": true,
        "done": {"Condition": time, "Encounter": time, "Patient": time},
    });
    let patient = host.storage.clone();
    patient.put("Patient.001.ndjson", "{\"resourceType\":\"Patient\",\"id\":\"p1\"}\n".repeat(3));
    patient.put("log.ndjson", log);
    patient.put(".metadata", state.to_string());
    let config = config("Patient,Condition,Encounter").bulk;
    let report = host.run(job::bulk(&host, &config, std::future::pending())).unwrap();
    assert_eq!(report.exit_status, 0);
    assert_eq!(asked(&host, "_type"), [Some("Condition".to_owned())], "Encounter is empty, Patient is there");
    assert_eq!(host.storage.text("Condition.001.ndjson").unwrap().lines().count(), 3);
    assert_eq!(problems(&host), Vec::<String>::new());
}

#[test]
fn a_crawl_of_another_folders_patients_needs_all_of_them() {
    let ehr = start();
    let source = ehr.host();
    let patients = config("Patient").bulk;
    source.run(job::bulk(&source, &patients, std::future::pending())).unwrap();
    let mut host = ehr.host();
    host.source = Some(source.storage.clone());
    let wanted = config("Condition");
    source.storage.take("Patient.002.ndjson");
    let error = host.run(job::crawl(&host, &wanted, std::future::pending())).unwrap_err();
    assert!(error.message.contains("Patient.002.ndjson of the source folder is missing"), "{error}");
    source.run(job::bulk(&source, &patients, std::future::pending())).unwrap();
    assert_eq!(host.run(job::crawl(&host, &wanted, std::future::pending())).unwrap().resources, 3);
}

#[test]
fn notes_that_hydration_put_into_a_file_are_no_loss() {
    let ehr = start();
    let host = ehr.host();
    let bulk = config(TYPES).bulk;
    host.run(job::bulk(&host, &bulk, std::future::pending())).unwrap();
    // By a program that keeps no ledger: the same rows, in other bytes.
    let text = host.storage.text("Condition.001.ndjson").unwrap().replace("\"subject\"", "\"more\":1,\"subject\"");
    host.storage.put("Condition.001.ndjson", text.clone());
    let report = host.run(job::bulk(&host, &bulk, std::future::pending())).unwrap();
    assert_eq!((report.exit_status, report.fetched, asked(&host, "_type").len()), (0, 0, 1));
    assert_eq!(host.storage.text("Condition.001.ndjson").unwrap(), text);
    assert!(host.run(view::view(&host)).unwrap().complete, "its size is on record now");
}

#[test]
fn all_of_the_only_export_is_fetched_again_by_the_command_of_an_increment() {
    let ehr = start();
    let host = ehr.host();
    export(&host, &auto(TYPES)).unwrap();
    for path in host.storage.paths().iter().filter(|path| path.starts_with("001.") && path.contains(".ndjson")) {
        host.storage.take(path);
    }
    let again = host.restarted();
    let report = export(&again, &auto(TYPES)).unwrap();
    assert_eq!((report.exit_status, report.resumed), (0, true));
    assert_cured(&again, &ehr);
}
