//! Whole bulk exports in virtual time: what a manifest may say besides a list of files, tokens for files, the watermark.

use std::time::Duration;

use serde_json::json;
use smart_fetch::job::Verdict;
use smart_fetch::testing::{Host, Reply};

use crate::export::*;

#[test]
fn e10_files_that_a_partial_manifest_listed_are_fetched_once_and_none_is_lost() {
    let host = Host::new();
    let files = usual();
    serve(&host, &files);
    host.http.off("GET", "/jobs/1");
    let part = |files: &[Served]| manifest(files).to_string();
    host.http
        .on("GET", "/jobs/1", Reply::bytes(202, "application/json", part(&files[..1])).header("Retry-After", "1"))
        .on("GET", "/jobs/1", Reply::bytes(202, "application/json", part(&files[..2])).header("Retry-After", "1"))
        .on("GET", "/jobs/1", Reply::bytes(200, "application/json", part(&files)));
    let mut partial = config();
    partial.allow_partial_manifests = true;
    let report = export(&host, &partial).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9));
    assert_eq!((fetches(&host, "p1"), fetches(&host, "p2"), fetches(&host, "c1")), (1, 1, 1));
}

#[test]
fn e11_a_manifest_that_breaks_off_gives_what_it_listed_but_nothing_is_done() {
    let host = Host::new();
    let files = usual();
    serve(&host, &files);
    let mut first = manifest(&files[..2]);
    first["link"] = json!([{"relation": "next", "url": "https://ehr.example/jobs/1/page2"}]);
    host.http.off("GET", "/jobs/1");
    host.http.on("GET", "/jobs/1", Reply::bytes(200, "application/json", first.to_string())).on(
        "GET",
        "/jobs/1/page2",
        Reply::outcome(500, "error", "processing", "page 2 is lost"),
    );
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.resources), (Verdict::Incomplete, 3, 5));
    assert!(report.failed[0].problem.contains("page 2 is lost"), "{:?}", report.failed);
    let state = metadata(&host);
    assert!(state.get("done").is_none() && state.get("complete").is_none(), "{state}");
    assert!(host.http.seen_with("DELETE").is_empty());

    // The server has failed the job, so the next run starts another one; nothing is doubled or left over.
    let again = host.restarted();
    again.http.off("GET", "/jobs/1").off("GET", "/jobs/1/page2");
    again.http.on("GET", "/jobs/1", Reply::bytes(200, "application/json", manifest(&files).to_string()));
    let report = export(&again, &config()).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9));
    let data: Vec<_> = again.storage.paths().into_iter().filter(|path| path.ends_with(".gz")).collect();
    assert_eq!(data, ["Condition.001.ndjson.gz", "Patient.001.ndjson.gz", "Patient.002.ndjson.gz"]);
}

#[test]
fn f04_tokens_go_to_files_only_where_the_manifest_asks_for_them() {
    for wanted in [true, false] {
        let host = Host::new();
        let files = usual();
        serve(&host, &files);
        let mut list = manifest(&files);
        list["requiresAccessToken"] = json!(wanted);
        host.http.off("GET", "/jobs/1").on("GET", "/jobs/1", Reply::bytes(200, "application/json", list.to_string()));
        let mut bearer = config();
        bearer.server.auth = smart_fetch::config::AuthConfig::Bearer { token: "canary-token".into() };
        export(&host, &bearer).unwrap();
        for seen in host.http.seen_with("/files/") {
            assert_eq!(seen.header("authorization").is_some(), wanted, "{}", seen.line());
        }
        let stored = format!("{}{}", host.storage.text(".metadata").unwrap(), host.storage.text("log.ndjson").unwrap());
        assert!(!stored.contains("canary"), "b15: {stored}");
        assert!(!format!("{:?}", host.events()).contains("canary"), "b15");
    }
}

#[test]
fn f11_a_token_that_dies_between_files_is_replaced() {
    let host = Host::new();
    let files = usual();
    serve(&host, &files);
    let mut list = manifest(&files);
    list["requiresAccessToken"] = json!(true);
    host.http.off("GET", "/jobs/1").on("GET", "/jobs/1", Reply::bytes(200, "application/json", list.to_string()));
    let mut refused = false;
    host.http.on_call("GET", "/files/p2", move |_| {
        if std::mem::replace(&mut refused, true) { Reply::ndjson(&lines("Patient", 2)) } else { Reply::new(401) }
    });
    let mut tokens = 0;
    host.http.on_call("GET", ".well-known/smart-configuration", |_| {
        Reply::json(200, r#"{"token_endpoint": "https://ehr.example/token"}"#)
    });
    host.http.on_call("POST", "/token", move |_| {
        tokens += 1;
        let body = json!({"access_token": format!("token-{tokens}"), "token_type": "bearer", "expires_in": 300});
        Reply::json(200, &body.to_string())
    });
    let mut host = host;
    host.signer.keys =
        vec![smart_fetch::platform::SigningKey { kid: Some("k".into()), alg: "ES384".into(), client_id: None }];
    let mut smart = config();
    smart.server.auth = smart_fetch::config::AuthConfig::Smart { client_id: "me".into(), token_url: None, scope: None };
    let report = export(&host, &smart).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 9));
    let tries = host.http.seen_with("/files/p2");
    let bearer: Vec<_> = tries.iter().map(|seen| seen.header("authorization").unwrap_or_default().to_owned()).collect();
    assert_eq!(bearer, ["Bearer token-1", "Bearer token-2"]);
}

#[test]
fn i01_i02_the_watermark_is_the_servers_time_and_moves_only_when_all_is_here() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/files/c1", |_| Reply::new(404));
    export(&host, &config()).unwrap();
    let done = metadata(&host)["done"].clone();
    assert_eq!(done, json!({"Patient": "2026-01-01T00:00:00.123000+00:00"}));
    let ledger = &metadata(&host)["ledger"]["jobs"][0];
    assert_eq!(ledger["transactionTime"], TIME, "verbatim");
}

#[test]
fn c16_a_form_that_is_not_ndjson_is_kept_unread() {
    let host = Host::new();
    let mut files = usual();
    files[2].body = "id,code\n1,2\n".into();
    serve(&host, &files);
    let mut list = manifest(&files);
    list["outputFormat"] = json!("text/csv");
    host.http.off("GET", "/jobs/1").on("GET", "/jobs/1", Reply::bytes(200, "application/json", list.to_string()));
    let mut csv = config();
    csv.output_format = Some("text/csv".into());
    let report = export(&host, &csv).unwrap();
    assert_eq!((report.verdict, report.bad_lines), (Verdict::Complete, 0));
    assert_eq!(host.storage.text("Condition.001.csv.gz").unwrap(), "id,code\n1,2\n");
    assert_eq!(host.http.seen_with("/files/c1")[0].header("accept"), Some("text/csv"));
}

#[test]
fn h12_organized_files_are_split_by_type_without_their_headers() {
    let host = Host::new();
    let header = r#"{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/Patient-0"}}]}"#;
    let body = format!("{header}\n{}{}", lines("Patient", 1), lines("Condition", 2));
    let mut files = usual();
    files.truncate(1);
    files[0].body = body;
    files[0].entry = json!({"url": url("p1"), "count": 3});
    serve(&host, &files);
    let mut list = manifest(&files);
    list["outputOrganizedBy"] = json!("Patient");
    host.http.off("GET", "/jobs/1").on("GET", "/jobs/1", Reply::bytes(200, "application/json", list.to_string()));
    let mut organized = config();
    organized.organize_output_by = Some("Patient".into());
    let report = export(&host, &organized).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 3));
    assert_eq!((report.types["Condition"].resources, report.types["Patient"].resources), (2, 1));
    assert_eq!(host.storage.text("Condition.001.ndjson.gz").unwrap(), lines("Condition", 2));
    assert_eq!(host.storage.text("Patient.001.ndjson.gz").unwrap(), lines("Patient", 1));
    let again = host.restarted();
    assert_eq!(export(&again, &organized).unwrap().fetched, 0);
}

#[test]
fn types_that_the_reference_does_not_ask_for_are_added_to_its_folder() {
    let host = Host::new();
    serve(&host, &usual());
    let category = "category=social-history,vital-signs,imaging,laboratory,survey,exam,procedure,therapy,activity";
    let done = "2026-01-01T00:00:00+00:00";
    host.storage.put(
        ".metadata",
        json!({
            "filters": {"Patient": [], "Condition": [], "Observation": [category]}, "since": null, "kind": "output",
            "timestamp": done, "version": "1.0.3", "done": {"Patient": done, "Condition": done, "Observation": done}, "complete": true,
        })
        .to_string(),
    );
    let mut all = config();
    all.types = Vec::new();
    export(&host, &all).unwrap();
    let asked = host.http.seen_with("$export");
    assert_eq!(asked.len(), 1);
    let line = asked[0].line();
    assert!(line.contains("Device") && line.contains("Immunization") && !line.contains("Observation"), "{line}");
    let state = metadata(&host);
    assert_eq!(state["filters"], json!({"Patient": [], "Condition": [], "Observation": [category]}));
    assert_eq!(state["done"]["Patient"], done, "what was done stays as it was");
    assert!(state["done"].get("Device").is_some());
}

#[test]
fn c11_h05_types_outside_of_the_request_and_of_the_manifest_are_kept_and_said() {
    let host = Host::new();
    let mut files = usual();
    files[0].body += &lines("Group", 2);
    files[0].entry["count"] = json!(5);
    files.push(served("Organization", "o1", 2));
    serve(&host, &files);
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.resources), (Verdict::Complete, 13));
    assert_eq!((report.types["Patient"].resources, report.types["Group"].resources), (5, 2));
    let warnings = host.warnings();
    assert!(
        warnings.contains(&"stray-type".to_owned()) && warnings.contains(&"type-not-asked".to_owned()),
        "{warnings:?}"
    );
}

#[test]
fn e15_a_file_that_may_be_encrypted_is_no_plain_success() {
    let host = Host::new();
    let mut files = usual();
    files[0].entry["extension"] = json!([{"url": "https://ehr.example/decrypt-key", "valueString": "x"}]);
    serve(&host, &files);
    let report = export(&host, &config()).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::WithErrors, 3));
    assert!(report.issues[0].text.contains("decrypt-key"), "{:?}", report.issues);
}

#[test]
fn a_file_given_up_while_the_ledger_is_written_for_another_stops_nothing() {
    // A slow disk, and every moment in which the refusal can come while p1 is moved into place and written down.
    for millis in (0..300).step_by(5) {
        let host = Host::new();
        host.storage.set_slow(host.clock.clone(), Duration::from_millis(10));
        serve(&host, &usual());
        let second = Duration::from_secs(1);
        host.http.off("GET", "/files/p1").on("GET", "/files/p1", Reply::ndjson(&lines("Patient", 3)).after(second));
        host.http.on_call("GET", "/files/c1", move |_| Reply::new(400).after(second + Duration::from_millis(millis)));
        let report = export(&host, &config()).unwrap();
        assert_eq!((report.verdict, report.resources, report.failed.len()), (Verdict::Incomplete, 5, 1));
    }
}
