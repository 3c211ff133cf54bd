//! Whole bulk exports in virtual time: folder, resume, verdicts.

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::config::Level;
use smart_fetch::event::{Event, Phase};
use smart_fetch::job::{self, Verdict};
use smart_fetch::platform::HttpErrorKind;
use smart_fetch::testing::{Host, Reply};

use crate::export::*;

#[test]
fn an_export_leaves_files_state_and_log_as_the_reference_does() {
    let host = Host::new();
    serve(&host, &usual());
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.files, report.resources), (Verdict::Complete, 0, 3, 9));
    assert!(report.fetched == 3 && report.received > 0);
    let notes =
        host.events().into_iter().filter_map(|e| if let Event::Note { message } = e { Some(message) } else { None });
    assert!(!notes.into_iter().any(|note| note.contains("already done")), "nothing was done before");
    assert_eq!(
        host.storage.paths(),
        [".metadata", "Condition.001.ndjson.gz", "Patient.001.ndjson.gz", "Patient.002.ndjson.gz", "log.ndjson"]
    );
    assert_eq!(host.storage.text("Patient.001.ndjson.gz").unwrap(), lines("Patient", 3));
    let metadata = metadata(&host);
    assert_eq!(metadata["kind"], "output");
    assert_eq!(metadata["filters"], json!({"Patient": [], "Condition": []}));
    assert_eq!(metadata["since"], json!(null));
    assert_eq!(metadata["done"]["Patient"], "2026-01-01T00:00:00.123000+00:00");
    assert_eq!(metadata["complete"], true);
    assert!(metadata.get("bulk-status").is_none(), "{metadata}");
    assert_eq!(metadata["timestamp"].as_str().unwrap().len(), "2026-01-01T22:04:07-05:00".len());
    let ids: Vec<String> = log(&host).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids[..4], ["kickoff", "status_complete", "status_page_complete", "manifest_complete"]);
    assert_eq!(ids.iter().filter(|id| *id == "download_complete").count(), 3);
    assert_eq!(ids.last().unwrap(), "export_complete");
    assert_eq!(host.http.seen_with("DELETE").len(), 1);
}

#[test]
fn a_done_folder_is_left_alone() {
    let host = Host::new();
    serve(&host, &usual());
    export(&host, &config()).unwrap();
    let before = host.http.seen().len();
    let again = host.restarted();
    let report = export(&again, &config()).unwrap();
    assert_eq!((report.verdict, report.resources, report.fetched), (Verdict::Complete, 9, 0));
    let asked: Vec<String> = again.http.seen()[before..].iter().map(|seen| seen.line()).collect();
    assert!(asked.iter().all(|line| line.ends_with("/metadata")), "{asked:?}");
}

#[test]
fn a_kill_at_every_storage_call_loses_nothing_and_fetches_nothing_complete_twice() {
    let files = usual();
    let whole = Host::new();
    serve(&whole, &files);
    whole.storage.kill_at(u64::MAX);
    export(&whole, &config()).unwrap();
    let calls = whole.storage.calls();
    assert!(calls > 30, "{calls}");
    for call in 1..=calls {
        let host = Host::new();
        serve(&host, &files);
        host.storage.kill_at(call);
        assert!(export_until_killed(&host, &config()).is_none(), "call {call} did not kill");
        for path in host.storage.paths().iter().filter(|path| path.ends_with(".gz")) {
            assert!(host.storage.text(path).is_some(), "kill at {call}: {path} is torn");
        }
        let complete: Vec<&str> = [("Patient.001", "p1"), ("Patient.002", "p2"), ("Condition.001", "c1")]
            .into_iter()
            .filter(|(stem, _)| host.storage.bytes(&format!("{stem}.ndjson.gz")).is_some())
            .map(|(_, name)| name)
            .collect();
        let again = host.restarted();
        let report = export(&again, &config()).unwrap_or_else(|error| panic!("kill at {call}: {error}"));
        assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9), "kill at {call}");
        for name in complete {
            assert_eq!(fetches(&again, name), 1, "kill at {call}: {name} was complete and fetched again");
        }
        assert_eq!(again.storage.text("Patient.002.ndjson.gz").unwrap(), lines("Patient", 2), "kill at {call}");
        let paths = again.storage.paths();
        assert_eq!(paths.len(), 5, "kill at {call}: {paths:?}");
        // As the reference and SMART's bulk-data-client count: what was received, decoded, whatever it takes on disk.
        let text = again.storage.text("log.ndjson").unwrap();
        let line = text.lines().rfind(|line| line.contains("export_complete")).unwrap();
        let end = &serde_json::from_str::<Value>(line).unwrap()["eventDetail"];
        let received: usize = files.iter().map(|file| file.body.len()).sum();
        assert_eq!((&end["files"], &end["resources"], &end["bytes"]), (&json!(3), &json!(9), &json!(received)));
        // A kick-off whose answer was not written down yet cannot be known; there is no third.
        assert!(again.http.seen_with("$export").len() <= 2, "kill at {call}");
    }
}

#[test]
fn c17_a_killed_wait_is_resumed_without_a_second_kick_off() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.off("GET", "/jobs/1").on_call("GET", "/jobs/1", |_| Reply::new(202).header("Retry-After", "100"));
    let mut limited = config();
    limited.poll_timeout = std::time::Duration::from_secs(1000);
    let error = export(&host, &limited).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Deadline);
    assert_eq!(metadata(&host)["bulk-status"], STATUS);
    let again = host.restarted();
    serve(&again, &usual());
    again.http.off("GET", "/jobs/1");
    again.http.on("GET", "/jobs/1", Reply::bytes(200, "application/json", manifest(&usual()).to_string()));
    assert_eq!(export(&again, &limited).unwrap().verdict, Verdict::Complete);
    assert_eq!(again.http.seen_with("$export").len(), 1);
}

#[test]
fn e06_a_wrong_count_warns_and_keeps_the_data() {
    let host = Host::new();
    let mut files = usual();
    files[0].entry["count"] = json!(4);
    serve(&host, &files);
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9));
    assert!(host.warnings().contains(&"count-mismatch".to_owned()));
}

#[test]
fn e12_expired_links_are_renewed_once_from_the_manifest() {
    let host = Host::new();
    let files = usual();
    serve(&host, &files);
    let mut fresh = files.clone();
    for file in &mut fresh {
        file.entry["url"] = json!(format!("https://ehr.example/fresh/{}", file.name));
        host.http.on("GET", &format!("/fresh/{}", file.name), Reply::ndjson(&file.body));
    }
    host.http.on("GET", "/jobs/1", Reply::bytes(200, "application/json", manifest(&fresh).to_string()));
    for dead in ["p2", "c1"] {
        host.http
            .on_call("GET", &format!("/files/{dead}"), |_| Reply::outcome(403, "error", "expired", "link expired"));
    }
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9));
    assert_eq!(host.http.seen_with("/fresh/").len(), 2, "p1 is not fetched again");
    assert_eq!(host.http.seen_with("GET https://ehr.example/jobs/1").len(), 3, "the manifest is read again once");
}

#[test]
fn e17_no_files_is_a_success_that_says_so() {
    let host = Host::new();
    serve(&host, &[]);
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.files), (Verdict::Complete, 0));
    let said = |event: &Event| matches!(event, Event::Note { message } if message.contains("no files"));
    assert!(host.events().iter().any(said));
    assert_eq!(metadata(&host)["complete"], true);
}

#[test]
fn e17_errors_that_the_server_reports_are_a_partial_success_that_is_not_repeated() {
    let host = Host::new();
    let mut files = usual();
    let outcome = json!({"resourceType": "OperationOutcome", "issue": [
        {"severity": "error", "code": "exception", "details": {"text": "lost some Conditions"}},
        {"severity": "information", "code": "informational", "diagnostics": "all is well"},
    ]});
    files.push(Served {
        list: "error",
        name: "e1".into(),
        entry: json!({"type": "OperationOutcome", "url": url("e1")}),
        body: outcome.to_string(),
    });
    serve(&host, &files);
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.errors), (Verdict::WithErrors, 3, 1));
    assert_eq!(report.issues[0].text, "lost some Conditions");
    assert!(host.storage.bytes("error/OperationOutcome.001.ndjson.gz").is_some());
    let rows: u64 = log(&host).iter().filter_map(|(_, detail)| detail["resourceCount"].as_u64()).sum();
    assert_eq!(log(&host).last().unwrap().1["resources"], rows, "the log counts the rows of all files, errors too");
    assert_eq!(metadata(&host)["complete"], true);
    let before = host.http.seen().len();
    let again = host.restarted();
    let report = export(&again, &config()).unwrap();
    assert_eq!(report.verdict, Verdict::WithErrors, "the verdict stays");
    assert!(again.http.seen()[before..].iter().all(|seen| seen.line().ends_with("/metadata")));
}

#[test]
fn f09_a_file_is_tried_again_after_502_reset_and_429() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.off("GET", "/files/p1");
    host.http
        .on("GET", "/files/p1", Reply::bytes(502, "text/html", "<h1>Bad gateway</h1>"))
        .on("GET", "/files/p1", Reply::error(HttpErrorKind::Interrupted))
        .on("GET", "/files/p1", Reply::new(429).header("Retry-After", "7"))
        .on("GET", "/files/p1", Reply::ndjson(&lines("Patient", 3)));
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9));
    assert_eq!(fetches(&host, "p1"), 4);
    assert_eq!(fetches(&host, "p2"), 1);
    let seen = host.http.seen_with(&url("p1"));
    assert!(seen[3].at - seen[2].at >= 7000, "Retry-After is kept");
}

#[test]
fn f09_a_pause_before_a_file_is_tried_again_is_told_once() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.off("GET", "/files/p1");
    host.http
        .on("GET", "/files/p1", Reply::outcome(429, "error", "throttled", "slow down").header("Retry-After", "20"))
        .on("GET", "/files/p1", Reply::new(502))
        .on("GET", "/files/p1", Reply::ndjson(&lines("Patient", 3)));
    assert_eq!(export(&host, &config()).unwrap().verdict, Verdict::Complete);
    let waits: Vec<(String, u64, String)> = host
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Waiting { reason, millis, message, .. } if reason != "status" => {
                Some((reason, millis, message.unwrap()))
            }
            _ => None,
        })
        .collect();
    let seen = host.http.seen_with(&url("p1"));
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert_eq!((waits[0].0.as_str(), waits[0].1), ("throttled", 20_000));
    assert_eq!(waits[0].2, format!("{} answered 429: slow down.", url("p1")));
    assert_eq!(waits[1].0, "retry");
    for (pair, wait) in seen.windows(2).zip(&waits) {
        assert_eq!(pair[1].at - pair[0].at, wait.1 as i64, "it was told how long");
    }
}

#[test]
fn c17_a_job_whose_files_are_listed_is_resumed_without_a_word_of_waiting() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/files/p2", |_| Reply::new(410));
    assert_eq!(export(&host, &config()).unwrap().verdict, Verdict::Incomplete);
    let phases = |host: &Host| -> Vec<Phase> {
        host.events()
            .into_iter()
            .filter_map(|e| if let Event::Phase { phase } = e { Some(phase) } else { None })
            .collect()
    };
    assert!(phases(&host).contains(&Phase::Wait));
    let again = host.restarted();
    export(&again, &config()).unwrap();
    assert_eq!(phases(&again), [Phase::Discover, Phase::Download, Phase::Finish]);
    assert!(!again.events().iter().any(|e| matches!(e, Event::Waiting { .. })));
}

#[test]
fn f09_no_more_requests_are_in_flight_than_allowed() {
    let host = Host::new();
    let files: Vec<Served> = (0..40).map(|i| served("Patient", &format!("n{i}x"), 1)).collect();
    serve(&host, &files);
    for file in &files {
        let slow = Reply::ndjson(&file.body).after(std::time::Duration::from_secs(1));
        host.http.off("GET", &format!("/files/{}", file.name));
        host.http.on("GET", &format!("/files/{}", file.name), slow);
    }
    let mut config = config();
    config.server.max_connections = 4;
    assert_eq!(export(&host, &config).unwrap().resources, 40);
    assert_eq!(host.http.max_active(), 4);
}

#[test]
fn f11_a_file_that_cannot_be_had_costs_no_other_and_is_all_that_the_next_run_fetches() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/files/p2", |_| Reply::outcome(410, "error", "expired", "file is gone"));
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.resources), (Verdict::Incomplete, 3, 7));
    assert!(report.empty_types.is_empty(), "a type with a missing file is not empty: {:?}", report.empty_types);
    assert_eq!(report.failed[0].name, "Patient.002.ndjson.gz");
    assert!(report.failed[0].problem.contains("file is gone"), "{:?}", report.failed);
    let state = metadata(&host);
    assert_eq!(state["bulk-status"], STATUS);
    assert_eq!(state["done"], json!({"Condition": "2026-01-01T00:00:00.123000+00:00"}), "i02: Patient is not done");
    assert!(state.get("complete").is_none());
    assert!(host.http.seen_with("DELETE").is_empty(), "g01: nothing is deleted before all is here");

    let again = host.restarted();
    again.http.on_call("GET", "/files/p2", |_| Reply::ndjson(&lines("Patient", 2)));
    let report = export(&again, &config()).unwrap();
    assert_eq!((report.verdict, report.resources, report.fetched), (Verdict::Complete, 9, 1));
    assert_eq!((fetches(&again, "p1"), fetches(&again, "c1")), (1, 1));
    assert_eq!(again.http.seen_with("$export").len(), 1);
}

#[test]
fn g01_the_job_is_deleted_only_when_everything_is_here() {
    let host = Host::new();
    serve(&host, &usual());
    export(&host, &config()).unwrap();
    let seen = host.http.seen();
    let delete = seen.iter().position(|s| s.line().starts_with("DELETE")).unwrap();
    assert!(seen[..delete].iter().filter(|s| s.line().contains("/files/")).count() == 3);
    assert_eq!(delete, seen.len() - 1, "g02: the status is not asked again");
}

#[test]
fn h03_a_line_that_is_no_resource_is_kept_and_said() {
    let host = Host::new();
    let mut files = usual();
    files[0].body = format!("{}{{\"resourceType\":\n{}", lines("Patient", 1), lines("Patient", 1));
    serve(&host, &files);
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.bad_lines), (Verdict::WithErrors, 3, 1));
    assert!(report.bad[0].starts_with("Patient.001.ndjson.gz:2:"), "{:?}", report.bad);
    assert_eq!(host.storage.text("Patient.001.ndjson.gz").unwrap(), files[0].body, "bytes are kept");
}

#[test]
fn i08_a_folder_of_another_group_is_refused() {
    let host = Host::new();
    serve(&host, &usual());
    export(&host, &config()).unwrap();
    let mut other = config();
    other.level = Level::Group("7".into());
    let error = export(&host.restarted(), &other).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mismatch);
    assert!(error.message.contains("level expected to be group 7, but found system."), "{error}");
    other = config();
    other.types = vec!["Patient".into()];
    let error = export(&host.restarted(), &other).unwrap_err();
    assert!(
        error.message.contains("Expected:\n  Patient (no filter)\n\nbut found:\n  Condition (no filter)"),
        "{error}"
    );
}

#[test]
fn a_full_disk_stops_cleanly_and_the_next_run_carries_on() {
    let host = Host::new();
    let big: String =
        (0..2000).map(|i| format!("{{\"resourceType\":\"Patient\",\"id\":\"{}\"}}\n", i * 7919 % 100_003)).collect();
    let mut files = usual();
    files[1].body = big.clone();
    files[1].entry["count"] = json!(2000);
    serve(&host, &files);
    host.storage.set_capacity(Some(5000));
    let error = export(&host, &config()).unwrap_err();
    assert_eq!((error.kind, error.exit_status()), (ErrorKind::Quota, 1));
    assert!(host.storage.bytes("Patient.002.ndjson.gz").is_none());
    // What is here says how much a resource takes.
    let here: Vec<String> = host.storage.paths().into_iter().filter(|path| path.ends_with(".ndjson.gz")).collect();
    let bytes: usize = here.iter().map(|path| host.storage.bytes(path).unwrap().len()).sum();
    let resources: usize = here.iter().map(|path| host.storage.text(path).unwrap().lines().count()).sum();
    let (missing, rest) =
        (3 - here.len(), files.iter().map(|file| file.body.lines().count()).sum::<usize>() - resources);
    let needed = (bytes * rest / resources).div_ceil(1000);
    let about = format!("{missing} of 3 files are not here yet; they need about {needed} KB.");
    assert!(error.message.ends_with(&about), "{} / {about}", error.message);
    assert!(error.hint.as_ref().unwrap().starts_with("Free about "), "{error:?}");
    let again = host.restarted();
    again.storage.set_capacity(None);
    assert_eq!(export(&again, &config()).unwrap().verdict, Verdict::Complete);
    assert_eq!(again.storage.text("Patient.002.ndjson.gz").unwrap(), big);
}

#[test]
fn a_read_only_folder_is_an_error_before_the_kick_off() {
    let host = Host::new();
    serve(&host, &usual());
    host.storage.set_read_only(true);
    let error = export(&host, &config()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Storage);
    assert!(host.http.seen_with("$export").is_empty());
}

#[test]
fn a_folder_of_another_kind_is_refused_and_untouched() {
    let host = Host::new();
    serve(&host, &usual());
    host.storage.put(".metadata", r#"{"kind": "managed"}"#);
    let error = export(&host, &config()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mismatch);
    assert!(error.message.contains("is not an output folder, but a managed folder"), "{error}");
    assert_eq!(host.storage.paths(), [".metadata"]);
}

#[test]
fn a_second_job_in_the_same_folder_is_refused() {
    let host = Host::new();
    serve(&host, &usual());
    let held = host.run(async { smart_fetch::platform::Storage::lock(&host.storage).await.unwrap() });
    let error = export(&host, &config()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Locked);
    drop(held);
    assert_eq!(export(&host, &config()).unwrap().verdict, Verdict::Complete);
}

#[test]
fn d15_a_cancelled_job_keeps_its_state_and_says_how_to_go_on() {
    use smart_fetch::platform::Clock;
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/jobs/1", |_| Reply::new(202).header("Retry-After", "100"));
    let clock = host.clock.clone();
    let stop = async move { clock.sleep(std::time::Duration::from_secs(30)).await };
    let error = host.run(job::bulk(&host, &config(), stop)).unwrap_err();
    assert_eq!((error.kind, error.exit_status()), (ErrorKind::Cancelled, 130));
    assert!(error.hint.as_ref().unwrap().contains("--cancel"));
    assert_eq!(metadata(&host)["bulk-status"], STATUS);
}

#[test]
fn cancel_deletes_the_job_on_the_server_and_the_next_run_starts_another() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/files/p2", |_| Reply::new(410));
    export(&host, &config()).unwrap();
    let cancelling = host.restarted();
    cancelling.run(job::cancel_bulk(&cancelling, &config())).unwrap();
    assert_eq!(cancelling.http.seen_with("DELETE").len(), 1);
    assert!(metadata(&cancelling).get("bulk-status").is_none());
    let error = cancelling.restarted();
    let error = error.run(job::cancel_bulk(&error, &config())).unwrap_err();
    assert!(error.message.contains("no in-progress bulk export was found"), "{error}");
    let again = cancelling.restarted();
    again.http.on_call("GET", "/files/p2", |_| Reply::ndjson(&lines("Patient", 2)));
    assert_eq!(export(&again, &config()).unwrap().verdict, Verdict::Complete);
    assert_eq!(again.http.seen_with("$export").len(), 2);
}

#[test]
fn a_job_that_the_reference_began_is_carried_on_with() {
    let host = Host::new();
    serve(&host, &usual());
    host.storage.put(
        ".metadata",
        json!({
            "filters": {"Patient": [], "Condition": []}, "since": null, "kind": "output",
            "timestamp": "2026-01-01T00:00:00+00:00", "version": "1.0.3", "bulk-status": STATUS,
        })
        .to_string(),
    );
    host.storage.put("Patient.001.ndjson.gz", "torn");
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9));
    assert!(host.http.seen_with("$export").is_empty());
    assert_eq!(host.storage.text("Patient.001.ndjson.gz").unwrap(), lines("Patient", 3));
}

#[test]
fn types_that_the_server_refuses_are_dropped_and_named_unless_the_user_named_them() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.off("GET", "$export").on_call("GET", "$export", |request| {
        if request.url.contains("EpisodeOfCare") {
            return Reply::outcome(400, "error", "processing", "The resource type EpisodeOfCare is not available");
        }
        Reply::new(202).header("Content-Location", STATUS)
    });
    let mut all = config();
    all.types = Vec::new();
    export(&host, &all).unwrap();
    assert!(host.warnings().contains(&"type-refused".to_owned()));
    let last = host.http.seen_with("$export").last().unwrap().line();
    assert!(last.contains("Device") && last.contains("Immunization"), "unlisted types are asked for: {last}");
    let state = metadata(&host);
    assert_eq!(state["filters"].as_object().unwrap().len(), 3, "the reference knows only what is listed: {state}");
    assert!(state["ledger"]["unlistedFilters"].get("Device").is_some());
    assert!(state["ledger"]["unlistedFilters"].get("EpisodeOfCare").is_none());
    assert!(state["done"].get("Device").is_some() && state["done"].get("EpisodeOfCare").is_none());
    let again = host.restarted();
    export(&again, &all).unwrap();
    assert_eq!(again.http.seen_with("$export").len(), 2, "what was refused is not asked for again");

    let named = Host::new();
    serve(&named, &usual());
    named
        .http
        .on_call("GET", "$export", |_| Reply::outcome(400, "error", "processing", "EpisodeOfCare is not available"));
    let mut one = config();
    one.types = vec!["EpisodeOfCare".into()];
    assert_eq!(export(&named, &one).unwrap_err().kind, ErrorKind::Server);
}

#[test]
fn a_job_that_the_server_lost_is_forgotten_so_that_the_next_run_can_start() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/jobs/1", |_| Reply::outcome(404, "error", "not-found", "no such job"));
    let error = export(&host, &config()).unwrap_err();
    assert_eq!(error.exit_status(), 1);
    assert!(metadata(&host).get("bulk-status").is_none());
    let again = host.restarted();
    again.http.off("GET", "/jobs/1");
    again.http.on("GET", "/jobs/1", Reply::bytes(200, "application/json", manifest(&usual()).to_string()));
    assert_eq!(export(&again, &config()).unwrap().verdict, Verdict::Complete);
}

#[test]
fn files_on_a_server_that_cannot_be_reached_end_in_a_network_error_that_can_be_resumed() {
    for unreachable in [&["p1", "p2", "c1"][..], &["p2", "c1"]] {
        let host = Host::new();
        serve(&host, &usual());
        for name in unreachable {
            host.http.on_call("GET", &format!("/files/{name}"), |_| Reply::error(HttpErrorKind::Connect));
        }
        let error = export(&host, &config()).unwrap_err();
        assert_eq!((error.kind, error.retry, error.exit_status()), (ErrorKind::Network, true, 1));
        let again = host.restarted();
        serve(&again, &usual());
        for file in usual() {
            again.http.on_call("GET", &format!("/files/{}", file.name), move |_| Reply::ndjson(&file.body));
        }
        assert_eq!(export(&again, &config()).unwrap().verdict, Verdict::Complete);
        assert_eq!(again.http.seen_with("$export").len(), 1);
    }
}

#[test]
fn c17_nobody_hears_of_a_job_before_its_status_url_is_on_disk() {
    // Whatever storage call the job is killed in: where the event was seen, the URL is there.
    for call in 1..60 {
        let host = Host::new();
        serve(&host, &usual());
        host.storage.kill_at(call);
        let _ = export_until_killed(&host, &config());
        if host.events().iter().any(|event| matches!(event, Event::KickedOff { .. })) {
            let state = metadata(&host);
            assert!(
                state.get("bulk-status").is_some() || state["ledger"]["jobs"][0]["state"] == "finished",
                "kill at {call}: {state}"
            );
        }
    }
}

#[test]
fn files_of_unknown_origin_are_not_replaced() {
    let host = Host::new();
    serve(&host, &usual());
    host.storage.put("Patient.001.ndjson.gz", "precious");
    host.storage.put("notes.txt", "harmless");
    let error = export(&host, &config()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mismatch);
    assert!(error.message.contains("Patient.001.ndjson.gz"), "{error}");
    assert_eq!(host.storage.text("notes.txt").unwrap(), "harmless");
    assert_eq!(host.storage.bytes("Patient.001.ndjson.gz").unwrap(), b"precious");
    assert!(host.http.seen_with("$export").is_empty());
}

#[test]
fn cancelling_waits_no_longer_than_it_is_told_to() {
    use smart_fetch::platform::Clock;
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/files/p2", |_| Reply::new(410));
    export(&host, &config()).unwrap();
    let mut busy = Some(Reply::new(429).header("Retry-After", "200"));
    host.http.off("DELETE", "/jobs/1");
    host.http.on_call("DELETE", "/jobs/1", move |_| busy.take().unwrap_or_else(|| Reply::new(202)));
    let mut config = config();
    config.max_poll_delay = std::time::Duration::from_secs(70);
    let begin = host.clock.now_millis();
    host.run(job::cancel_bulk(&host, &config)).unwrap();
    let waited = host.clock.now_millis() - begin;
    assert!((50_000..100_000).contains(&waited), "{waited}");
}

#[test]
fn what_a_cancelled_export_had_brought_whole_is_kept() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/files/c1", |_| Reply::new(404));
    let report = export(&host, &config()).unwrap();
    assert_eq!(report.verdict, Verdict::Incomplete);
    assert!(metadata(&host)["done"].get("Patient").is_some(), "all files of Patient are here");
    host.run(job::cancel_bulk(&host, &config())).unwrap();
    // What is left is Condition.
    serve(&host, &[served("Condition", "c9", 4)]);
    host.http.off("GET", "/jobs/1");
    serve(&host, &[served("Condition", "c9", 4)]);
    let report = export(&host, &config()).unwrap();
    assert_eq!(report.verdict, Verdict::Complete);
    let paths = host.storage.paths();
    assert!(paths.contains(&"Patient.001.ndjson.gz".to_owned()), "{paths:?}");
    assert!(paths.contains(&"Condition.001.ndjson.gz".to_owned()), "{paths:?}");
}
