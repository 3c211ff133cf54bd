//! `doctor` against servers by script: each finding, and that nothing is started unless it is asked for.

use std::time::Duration;

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::config::{AuthConfig, Level, ServerConfig};
use smart_fetch::doctor::{Check, DoctorConfig, DoctorReport, State, Usable, doctor};
use smart_fetch::platform::HttpErrorKind;
use smart_fetch::testing::{Host, Reply};

use crate::smart_server;

const BASE: &str = "https://ehr.example/fhir";

fn config() -> DoctorConfig {
    let server = ServerConfig { fhir_url: BASE.into(), ..ServerConfig::default() };
    DoctorConfig { server, ..DoctorConfig::default() }
}

fn examine(host: &Host, config: &DoctorConfig) -> DoctorReport {
    host.run(doctor(host, config)).unwrap()
}

fn check<'r>(report: &'r DoctorReport, name: &str) -> &'r Check {
    report.checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no {name}: {report:#?}"))
}

fn statement() -> Value {
    let operation = |name: &str| json!([{"name": "export", "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{name}|2.0.0")}]);
    let params = json!([{"name": "_lastUpdated"}, {"name": "patient"}, {"name": "category"}]);
    json!({
        "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "software": {"name": "Scripted", "version": "1"},
        "rest": [{"mode": "server", "operation": operation("export"), "resource": [
            {"type": "Patient", "searchParam": params, "operation": operation("patient-export")},
            {"type": "Group", "operation": operation("group-export")},
            {"type": "Observation", "searchParam": params},
        ]}],
    })
}

/// Every header that a page needs.
fn open_to_pages(reply: Reply) -> Reply {
    reply
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Expose-Headers", "Content-Location, Retry-After, X-Progress, Link")
        .header("Access-Control-Allow-Headers", "authorization, prefer")
        .header("Access-Control-Allow-Methods", "GET, POST, DELETE")
}

fn refused() -> Reply {
    Reply::outcome(400, "error", "invalid", "Prefer: respond-async is missing")
}

/// A good server; `with` dresses each answer.
fn serve(host: &Host, with: impl Fn(Reply) -> Reply) {
    host.http
        .on("GET", "/fhir/metadata", with(Reply::json(200, &statement().to_string())))
        .on("GET", "/smart-configuration", with(Reply::new(404)))
        .on("GET", "/Patient?_summary=count", with(Reply::json(200, r#"{"resourceType":"Bundle","total":7}"#)))
        .on("OPTIONS", "/fhir/$export", with(Reply::new(204)))
        .on("GET", "/Group/smart-fetch-doctor-", with(refused()))
        .on("POST", "/Group/smart-fetch-doctor-", with(refused()));
}

#[test]
fn a_good_server_is_usable_and_nothing_is_started() {
    let host = Host::new();
    serve(&host, open_to_pages);
    let report = examine(&host, &config());
    assert_eq!((report.usable, report.exit_status), (Usable::Yes, 0), "{report:#?}");
    assert_eq!(report.command, format!("smart-fetch export OUTPUT_DIR --fhir-url {BASE}"));
    let facts = &report.facts;
    assert_eq!((facts.patients, facts.since_mode, facts.browser), (Some(7), Some("updated"), Some(true)));
    assert_eq!((facts.kickoff_get, facts.kickoff_post, facts.started), (Some(true), Some(true), 0));
    assert_eq!(check(&report, "export").found, "system (STU2), patient (STU2), group (STU2)");
    assert_eq!(check(&report, "crawl").state, State::Good);

    for seen in host.http.seen() {
        let line = seen.line();
        assert!(seen.header("prefer").is_none_or(|prefer| !prefer.contains("respond-async")), "{line}");
        if line.contains("$export") && !line.starts_with("OPTIONS") {
            assert!(line.contains("/Group/smart-fetch-doctor-"), "only a Group that nobody has: {line}");
        }
        if line.starts_with("OPTIONS") {
            // A server that takes every method for a kick-off would need these.
            assert_eq!(
                (seen.header("prefer"), seen.header("accept"), seen.header("authorization")),
                (None, Some("*/*"), None)
            );
        }
    }
}

#[test]
fn a_group_that_is_not_there_is_a_failure_that_names_those_there_are() {
    let group = |id: &str, name: &str| json!({"resource": {"resourceType": "Group", "id": id, "name": name}});
    let listed = json!({"resourceType": "Bundle", "entry": [group("a", "Adults"), group("b", "Babies")]});
    let of = |id: &str| DoctorConfig { level: Level::Group(id.into()), ..config() };
    let host = Host::new();
    serve(&host, open_to_pages);
    host.http.on("GET", "/fhir/Group/a", open_to_pages(Reply::json(200, r#"{"resourceType":"Group","id":"a"}"#)));
    host.http.on("GET", "/fhir/Group/", open_to_pages(Reply::new(404)));
    host.http.on("GET", "/fhir/Group", open_to_pages(Reply::json(200, &listed.to_string())));
    let report = examine(&host, &of("a"));
    assert_eq!((report.usable, check(&report, "group").state), (Usable::Yes, State::Good), "{report:#?}");
    let report = examine(&host, &of("nosuch"));
    assert_eq!((report.usable, report.exit_status, report.command.as_str()), (Usable::No, 1, ""), "{report:#?}");
    assert_eq!(check(&report, "group").found, "the server lists a (Adults), b (Babies)");
    assert_eq!(report.facts.groups.len(), 2);
    // A server that shows no groups may export them.
    let host = Host::new();
    serve(&host, open_to_pages);
    host.http.on("GET", "/fhir/Group", open_to_pages(Reply::new(403)));
    let report = examine(&host, &of("a"));
    assert_eq!((report.usable, check(&report, "group").state), (Usable::Yes, State::Note), "{report:#?}");
}

#[test]
fn a_server_that_is_not_there_is_a_report_with_the_reason() {
    let host = Host::new();
    host.http.on("GET", "/fhir/metadata", Reply::error(HttpErrorKind::Connect));
    let report = examine(&host, &config());
    assert_eq!((report.usable, report.exit_status, report.command.as_str()), (Usable::No, 1, ""));
    assert_eq!(report.checks.len(), 1);
    assert!(check(&report, "server").found.starts_with("No answer from"), "{report:#?}");
    assert!(host.clock_millis() - Host::new().clock_millis() < 60_000, "not the minutes of an export");
}

#[test]
fn a_server_that_is_silent_is_not_waited_for_as_an_export_would() {
    let host = Host::new();
    host.http.on("GET", "/fhir/metadata", Reply::json(200, "{}").after(Duration::from_secs(3600)));
    let report = examine(&host, &config());
    assert_eq!(report.exit_status, 1, "{report:#?}");
    assert!(host.clock_millis() - Host::new().clock_millis() < 120_000);
}

#[test]
fn a_search_that_wants_criteria_is_one() {
    let host = Host::new();
    serve(&host, open_to_pages);
    host.http.off("GET", "/Patient?_summary=count");
    host.http.on(
        "GET",
        "/Patient?_summary=count",
        Reply::outcome(400, "error", "required", "name or birthdate is required"),
    );
    let report = examine(&host, &config());
    assert_eq!((report.usable, check(&report, "access").state), (Usable::Yes, State::Note), "{report:#?}");
    assert_eq!(check(&report, "crawl").state, State::Good);
}

#[test]
fn options_that_make_no_sense_are_an_error_before_anything_is_sent() {
    let host = Host::new();
    let mut config = config();
    config.server.fhir_url = "ehr.example".into();
    assert_eq!(host.run(doctor(&host, &config)).unwrap_err().kind, ErrorKind::Usage);
    config.server.fhir_url = "http://ehr.example/fhir".into();
    config.server.auth = AuthConfig::Bearer { token: "canary".into() };
    assert_eq!(host.run(doctor(&host, &config)).unwrap_err().kind, ErrorKind::Insecure);
    assert!(host.http.seen().is_empty());
}

#[test]
fn a_server_without_cors_is_fine_for_the_command_line_and_a_problem_for_a_page() {
    let host = Host::new();
    serve(&host, |reply| reply);
    let report = examine(&host, &config());
    assert_eq!((report.exit_status, check(&report, "browser").state), (0, State::Note), "{report:#?}");
    assert_eq!(report.facts.browser, Some(false));
    assert!(check(&report, "browser").meaning.contains("smart-fetch serve --server https://ehr.example/fhir"));
    let for_a_page = DoctorConfig { origin: Some("https://app.example".into()), ..config() };
    let report = examine(&host, &for_a_page);
    assert_eq!((report.usable, check(&report, "browser").state), (Usable::WithProblems, State::Warning));
}

#[test]
fn cors_on_metadata_alone_is_not_taken_for_cors_on_export() {
    let host = Host::new();
    serve(&host, |reply| reply);
    host.http.off("GET", "/fhir/metadata");
    host.http.on("GET", "/fhir/metadata", open_to_pages(Reply::json(200, &statement().to_string())));
    let report = examine(&host, &config());
    assert_eq!(report.facts.browser, Some(false));
    assert!(check(&report, "browser").found.contains("$export"), "{report:#?}");
}

#[test]
fn hidden_headers_and_headers_that_may_not_be_sent_are_named() {
    let host = Host::new();
    serve(&host, |reply| {
        reply.header("Access-Control-Allow-Origin", "https://app.example").header("Access-Control-Allow-Headers", "*")
    });
    let report = examine(&host, &config());
    assert_eq!(report.facts.browser, Some(false));
    assert_eq!(report.facts.hidden_headers, ["Content-Location", "Retry-After", "X-Progress", "Link"]);

    let mut with_token = config();
    with_token.server.auth = AuthConfig::Bearer { token: "canary-token".into() };
    let report = examine(&host, &with_token);
    // `*` does not stand for Authorization.
    assert!(check(&report, "browser").found.contains("lacks Authorization"), "{report:#?}");
    assert!(!format!("{report:?}").contains("canary"), "{report:#?}");
    let elsewhere = DoctorConfig { origin: Some("https://other.example".into()), ..config() };
    assert!(check(&examine(&host, &elsewhere), "browser").found.contains("Access-Control-Allow-Origin on metadata"));
}

#[test]
fn credentials_that_are_missing_or_refused_make_it_unusable() {
    let host = Host::new();
    serve(&host, open_to_pages);
    for (method, path) in [
        ("GET", "/Patient?_summary=count"),
        ("GET", "/Group/smart-fetch-doctor-"),
        ("POST", "/Group/smart-fetch-doctor-"),
    ] {
        host.http.off(method, path);
        host.http.on(method, path, Reply::outcome(401, "error", "login", "who are you"));
    }
    let report = examine(&host, &config());
    assert_eq!((report.usable, report.exit_status), (Usable::No, 1));
    assert!(check(&report, "access").meaning.contains("--smart-client-id"), "{report:#?}");
    assert!(check(&report, "kickoff").found.contains("who are you"));
    assert_eq!(check(&report, "kickoff").state, State::Failure);
}

#[test]
fn a_token_with_narrower_scopes_is_a_problem_that_is_named() {
    let host = smart_server::host();
    let base = smart_server::BASE;
    host.http.on("GET", "/x/fhir/metadata", Reply::json(200, &statement().to_string()));
    smart_server::serve_configuration(&host, json!({"scopes_supported": ["system/*.rs"]}));
    host.http.on(
        "POST",
        smart_server::TOKEN_URL,
        smart_server::grant(json!({"access_token": "a-token", "scope": "system/Patient.rs"})),
    );
    host.http.on("GET", "/Patient?_summary=count", Reply::json(200, r#"{"resourceType":"Bundle","total":1}"#));
    host.http.on("GET", "/Group/smart-fetch-doctor-", refused()).on(
        "POST",
        "/Group/smart-fetch-doctor-",
        Reply::new(405),
    );
    let asked = DoctorConfig {
        server: smart_server::config(),
        types: vec!["Patient,Condition".into()],
        ..DoctorConfig::default()
    };
    let report = examine(&host, &asked);
    assert_eq!((report.usable, report.exit_status), (Usable::WithProblems, 3), "{report:#?}");
    assert_eq!(report.facts.missing_scopes, ["Condition"]);
    assert_eq!(report.facts.token_seconds, Some(300));
    assert!(check(&report, "token").meaning.starts_with("Not granted: Condition."));
    assert_eq!((report.facts.kickoff_get, report.facts.kickoff_post), (Some(true), Some(false)));
    let command = format!(
        "smart-fetch export OUTPUT_DIR --fhir-url {base} --smart-client-id CLIENT_ID --smart-key KEY_FILE --type Patient,Condition"
    );
    assert_eq!(report.command, command);
}

#[test]
fn a_refused_token_is_a_failure_in_the_servers_words() {
    let host = smart_server::host();
    host.http.on("GET", "/x/fhir/metadata", Reply::json(200, &statement().to_string()));
    smart_server::serve_configuration(&host, json!({}));
    host.http.on("POST", smart_server::TOKEN_URL, smart_server::refusal(401, "invalid_client", "unknown client"));
    let report = examine(&host, &DoctorConfig { server: smart_server::config(), ..DoctorConfig::default() });
    assert_eq!(report.exit_status, 1);
    assert!(check(&report, "token").found.contains("unknown client"), "{report:#?}");
}

#[test]
fn a_token_endpoint_that_is_down_is_not_waited_for_as_an_export_would() {
    let host = smart_server::host();
    host.http.on("GET", "/x/fhir/metadata", Reply::json(200, &statement().to_string()));
    smart_server::serve_configuration(&host, json!({}));
    host.http.on("POST", smart_server::TOKEN_URL, Reply::new(503).header("Retry-After", "3600"));
    let report = examine(&host, &DoctorConfig { server: smart_server::config(), ..DoctorConfig::default() });
    assert_eq!((report.exit_status, check(&report, "token").state), (1, State::Failure), "{report:#?}");
    assert!(
        host.clock_millis() - Host::new().clock_millis() < 400_000,
        "{}",
        host.clock_millis() - Host::new().clock_millis()
    );
}

#[test]
fn a_server_without_export_is_crawled() {
    let host = Host::new();
    let mut bare = statement();
    bare["rest"][0]["operation"] = Value::Null;
    for index in 0..2 {
        bare["rest"][0]["resource"][index]["operation"] = Value::Null;
    }
    host.http.on("GET", "/fhir/metadata", Reply::json(200, &bare.to_string()));
    host.http.on("GET", "/Patient?_summary=count", Reply::json(200, r#"{"resourceType":"Bundle","total":7}"#));
    let report = examine(&host, &config());
    assert_eq!((report.usable, report.exit_status), (Usable::WithProblems, 3), "{report:#?}");
    assert_eq!(report.flags, ["--export-mode", "crawl", "--id-file", "PATIENT_IDS"]);
    host.http.off("GET", "/Patient?_summary=count");
    let report = examine(&host, &config());
    assert_eq!((report.usable, report.command.as_str()), (Usable::No, ""), "neither export nor search");
}

#[test]
fn a_level_that_is_not_shown_and_created_mode_are_told() {
    let host = Host::new();
    serve(&host, open_to_pages);
    let mut narrow = statement();
    narrow["rest"][0]["operation"] = Value::Null;
    narrow["rest"][0]["resource"][0]["searchParam"] = json!([{"name": "birthdate"}]);
    narrow["rest"][0]["resource"][2]["searchParam"] = json!([{"name": "issued"}]);
    host.http.off("GET", "/fhir/metadata");
    host.http.on("GET", "/fhir/metadata", Reply::json(200, &narrow.to_string()));
    let report = examine(&host, &config());
    assert_eq!(check(&report, "export").state, State::Warning);
    assert_eq!(report.facts.since_mode, Some("created"));
    assert!(check(&report, "since").meaning.contains("these types come whole each time: Patient."), "{report:#?}");
    assert_eq!(check(&report, "filters").state, State::Note);
    assert_eq!(report.facts.not_crawlable, ["Observation"]);
    let group = DoctorConfig { level: Level::Group("Group/all".into()), ..config() };
    let report = examine(&host, &group);
    assert_eq!(
        (check(&report, "export").state, report.flags.as_slice()),
        (State::Good, ["--group".to_owned(), "all".to_owned()].as_slice())
    );
}

#[test]
fn an_export_that_is_started_against_all_reason_is_deleted_and_told() {
    let host = Host::new();
    serve(&host, open_to_pages);
    host.http.off("GET", "/Group/smart-fetch-doctor-");
    host.http.on(
        "GET",
        "/Group/smart-fetch-doctor-",
        Reply::new(202).header("Content-Location", "https://ehr.example/jobs/9"),
    );
    host.http.on("DELETE", "/jobs/9", Reply::new(202));
    let report = examine(&host, &config());
    assert_eq!(host.http.seen_with("DELETE https://ehr.example/jobs/9").len(), 1);
    assert_eq!(report.exit_status, 3);
    assert!(report.checks.iter().any(|check| check.found.contains("a Group that does not exist")), "{report:#?}");
}

#[test]
fn with_kickoff_each_export_is_deleted_and_commas_methods_and_retry_after_are_known() {
    let host = Host::new();
    serve(&host, open_to_pages);
    host.http.on_call("GET", "/fhir/$export", |request| {
        // Splits at commas, as STU1 to STU3 do.
        if request.url.contains("_typeFilter=Patient%3Fgender%3Dmale%2C") {
            return open_to_pages(Reply::outcome(400, "error", "invalid", "'female' is no type filter"));
        }
        open_to_pages(Reply::new(202).header("Content-Location", "https://ehr.example/jobs/1"))
    });
    host.http.on("POST", "/fhir/$export", Reply::new(405));
    host.http.on("GET", "/jobs/1", open_to_pages(Reply::new(202).header("Retry-After", "120")));
    host.http.on("DELETE", "/jobs/1", Reply::new(202));
    let report = examine(&host, &DoctorConfig { kickoff: true, ..config() });
    assert_eq!(report.facts.escaped_commas, Some(true), "{report:#?}");
    assert_eq!(
        (report.facts.kickoff_get, report.facts.kickoff_post),
        (Some(true), Some(true)),
        "as the first probe had it"
    );
    let started = report.facts.started as usize;
    assert!(started >= 1);
    assert_eq!(host.http.seen_with("DELETE ").len(), started, "as many are deleted as were started");
    assert_eq!(report.facts.retry_after.as_deref(), Some("120"));
    assert_eq!((check(&report, "trial").state, report.exit_status), (State::Good, 0));
    assert_eq!(report.facts.browser, Some(true));
}

#[test]
fn with_kickoff_a_refusal_is_a_failure_and_a_delete_that_fails_a_problem() {
    let host = Host::new();
    serve(&host, open_to_pages);
    let trial = DoctorConfig { kickoff: true, ..config() };
    host.http.on("GET", "/fhir/$export", Reply::outcome(403, "error", "forbidden", "no bulk for you"));
    let report = examine(&host, &trial);
    assert_eq!((report.exit_status, check(&report, "trial").state), (1, State::Failure));
    assert!(check(&report, "trial").found.contains("no bulk for you"), "{report:#?}");

    host.http.off("GET", "/fhir/$export");
    host.http.on("GET", "/fhir/$export", Reply::new(202).header("Content-Location", "https://ehr.example/jobs/1"));
    host.http.on("DELETE", "/jobs/1", Reply::outcome(403, "error", "forbidden", "not yours"));
    let report = examine(&host, &trial);
    assert_eq!(report.exit_status, 3);
    assert!(
        report.checks.iter().any(|c| c.found == "an export could not be cancelled" && c.meaning.contains("not yours"))
    );
}

#[test]
fn in_a_browser_it_is_judged_by_what_the_browser_lets_through() {
    let filtered = |reply: Reply| Reply { headers_filtered: true, ..reply };
    let here = DoctorConfig { in_browser: true, origin: Some("https://app.example".into()), ..config() };

    let host = Host::new();
    serve(&host, |reply| filtered(reply).header("date", "Thu, 01 Jan 2026 00:00:00 GMT"));
    let report = examine(&host, &here);
    assert_eq!((report.usable, report.facts.browser), (Usable::Yes, None), "{report:#?}");
    assert!(host.http.seen_with("OPTIONS").is_empty(), "the browser asks by itself");
    assert!(host.http.seen().iter().all(|seen| seen.header("origin").is_none()));

    let host = Host::new();
    serve(&host, filtered);
    let report = examine(&host, &DoctorConfig { kickoff: true, ..here.clone() });
    assert_eq!((report.usable, report.facts.browser), (Usable::WithProblems, Some(false)), "{report:#?}");
    assert_eq!(report.facts.started, 0, "an export that could not be cancelled is not begun");

    let host = Host::new();
    serve(&host, filtered);
    for method in ["GET", "POST"] {
        host.http.off(method, "/Group/smart-fetch-doctor-");
        host.http.on(method, "/Group/smart-fetch-doctor-", Reply::error(HttpErrorKind::Blocked));
    }
    let report = examine(&host, &here);
    assert_eq!((report.usable, report.facts.browser), (Usable::No, Some(false)));
    assert!(check(&report, "browser").found.contains("$export"), "{report:#?}");

    let host = Host::new();
    host.http.on("GET", "/fhir/metadata", Reply::error(HttpErrorKind::Blocked));
    let report = examine(&host, &here);
    assert_eq!((report.usable, report.facts.browser), (Usable::No, Some(false)));
    assert!(check(&report, "server").meaning.contains("CORS"), "{report:#?}");

    // Nothing is hidden from a page of the server's origin; a relay of the page's origin says nothing of the server.
    for relayed in [false, true] {
        let host = Host::new();
        serve(&host, open_to_pages);
        let mut here = here.clone();
        if relayed {
            here.server.relay.routes = vec![(format!("{BASE}/"), format!("{BASE}/"))];
        }
        let report = examine(&host, &here);
        let browser = check(&report, "browser");
        assert_eq!(
            (browser.state, browser.found.contains("relay")),
            (if relayed { State::Note } else { State::Good }, relayed)
        );
        assert_eq!((report.usable, report.facts.browser), (Usable::Yes, Some(true)));
    }
}
