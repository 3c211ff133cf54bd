//! C11 to C17: what a kick-off is answered with, and what is kept of it.

use smart_fetch::ErrorKind;
use smart_fetch::bulk::kickoff::{Kickoff, KickoffParams, request, strays, validate};
use smart_fetch::config::{BulkConfig, KickoffMethod};
use smart_fetch::fhir::capability::{Capability, Operation};
use smart_fetch::platform::{HttpErrorKind, Method};
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

#[test]
fn c11_repeated_filters_are_sent_and_strays_are_named() {
    let config = filtered(&["Patient", "Condition"], &["Condition?code=a", "Condition?code=b", "Patient?active=true"]);
    let params = params(&config).unwrap();
    let query = request::query(&params);
    assert!(query.contains("Condition%3Fcode%3Da%2CCondition%3Fcode%3Db%2CPatient%3Factive%3Dtrue"), "{query}");
    let found = ["Patient", "Organization", "Condition", "OperationOutcome", "Device"];
    assert_eq!(strays(&params.types, found), ["Organization", "Device"]);
    assert!(strays(&[], found).is_empty(), "nothing is outside of a request without _type");
}

#[test]
fn c12_lenient_is_opt_in_and_a_refused_filter_is_never_dropped() {
    let host = Host::new();
    host.http.on("GET", "$export", Reply::outcome(400, "error", "not-supported", "unsupported _elements"));
    let config = BulkConfig { elements: vec!["id".into()], ..config() };
    let attempt = kick_off(&host, &config, &Capability::default());
    let error = attempt.result.unwrap_err();
    assert!(error.message.contains("unsupported _elements"), "{error}");
    assert_eq!(error.exit_status(), 1);
    assert_eq!(host.http.seen().len(), 1, "not sent again without the parameter");
    assert!(!host.http.seen()[0].header("prefer").unwrap().contains("lenient"));
}

#[test]
fn c12_what_lenient_drops_is_said() {
    let host = Host::new();
    let body = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-supported","details":{"text":"_elements was ignored"}}]}"#;
    host.http.on("GET", "$export", Reply::json(202, body).header("Content-Location", STATUS));
    let attempt = kick_off(&host, &BulkConfig { lenient: true, ..config() }, &Capability::default());
    assert_eq!(attempt.result.unwrap().server_messages[0].text, "_elements was ignored");
    assert_eq!(host.warnings(), ["kick-off"]);
}

#[test]
fn c13_a_relative_location_is_resolved_and_a_full_one_kept_to_the_byte() {
    let location = |value: &str| {
        let host = Host::new();
        host.http.on("GET", "$export", Reply::new(202).header("Content-Location", value));
        kick_off(&host, &config(), &Capability::default()).result.map(|kickoff| kickoff.status_url)
    };
    assert_eq!(location("/jobs/1?sig=a%2Bb").unwrap(), "https://ehr.example/jobs/1?sig=a%2Bb");
    assert_eq!(location("jobs/1").unwrap(), format!("{BASE}/jobs/1"));
    let odd = "https://Other.example:8443/j?sig=%2b'x\u{7e}&a=";
    assert_eq!(location(odd).unwrap(), odd);
    assert_eq!(location("file:///etc/passwd").unwrap_err().kind, ErrorKind::Protocol);
}

#[test]
fn c13_a_missing_header_or_200_is_a_clear_error() {
    let answer = |reply: Reply| {
        let host = Host::new();
        host.http.on("GET", "$export", reply);
        let attempt = kick_off(&host, &config(), &Capability::default());
        assert_eq!(host.http.seen().len(), 1);
        attempt.result.unwrap_err()
    };
    let missing = answer(Reply::new(202));
    assert_eq!(missing.kind, ErrorKind::Protocol);
    assert!(missing.message.contains("Content-Location"), "{missing}");
    let mut hidden = Reply::new(202);
    hidden.headers_filtered = true;
    let hidden = answer(hidden);
    assert_eq!(hidden.kind, ErrorKind::HiddenHeader);
    let text = hidden.to_string();
    assert!(text.contains("Content-Location") && text.contains("Access-Control-Expose-Headers"), "{text}");
    let done = answer(Reply::json(200, r#"{"resourceType":"Bundle","message":"here you are"}"#));
    assert_eq!(done.kind, ErrorKind::Protocol);
    assert!(done.message.starts_with("Unexpected status code 200 from the bulk FHIR export server."), "{done}");
}

#[test]
fn c13_another_origin_is_polled_without_the_token() {
    let host = Host::new();
    host.http.on("GET", "$export", Reply::new(202).header("Content-Location", "https://jobs.example/1"));
    host.http.on("GET", "jobs.example", Reply::json(200, MANIFEST));
    let config = BulkConfig { server: with_token(), ..config() };
    let url = kick_off(&host, &config, &Capability::default()).result.unwrap().status_url;
    let client = client(&host, &with_token());
    host.run(smart_fetch::bulk::poll::run(&client, &url, &poll_config(), async |_| Ok(()))).unwrap();
    assert_eq!(host.http.seen_with("$export")[0].header("authorization"), Some("Bearer tok-secret-1"));
    assert_eq!(host.http.seen_with("jobs.example")[0].header("authorization"), None);
}

#[test]
fn c14_the_servers_words_are_shown_whatever_their_form() {
    let says = |reply: Reply| {
        let host = Host::new();
        host.http.on("GET", "$export", reply);
        let attempt = kick_off(&host, &config(), &Capability::default());
        attempt.result.unwrap_err().message.clone()
    };
    let both = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"bad _type"},"diagnostics":"Foo"},{"severity":"error","code":"value","diagnostics":"and more"}]}"#;
    let text = says(Reply::bytes(400, "text/plain", both));
    assert_eq!(
        text,
        format!("An error occurred when connecting to \"{BASE}/$export\": [400] bad _type (Foo); and more")
    );
    assert!(
        says(Reply::bytes(413, "text/html", "<html><style>x{}</style><h1>Too many</h1> files</html>"))
            .ends_with("[413] Too many files")
    );
    assert!(says(Reply::outcome(500, "error", "processing", "no disk")).ends_with("[500] no disk"));
    assert!(says(Reply::new(400)).contains("[400] "));
}

#[test]
fn c14_another_export_running_is_waited_for() {
    let host = Host::new();
    host.http.on("GET", "$export", Reply::new(429).header("Retry-After", "30")).on("GET", "$export", accepted());
    assert!(kick_off(&host, &config(), &Capability::default()).result.is_ok());
    assert!(gaps(&host.http.seen())[0] >= 30.0);
    let host = Host::new();
    host.http.on("GET", "$export", Reply::new(429).header("Retry-After", "1"));
    assert_eq!(kick_off(&host, &config(), &Capability::default()).result.unwrap_err().status, Some(429));
    assert!((2..60).contains(&host.http.seen().len()), "bounded: {}", host.http.seen().len());
}

#[test]
fn c14_a_get_is_repeated_after_a_hiccup_and_a_post_is_not() {
    for hiccup in
        [Reply::new(502), Reply::outcome(500, "error", "transient", "later"), Reply::error(HttpErrorKind::Interrupted)]
    {
        let host = Host::new();
        host.http.on("GET", "$export", hiccup.clone()).on("GET", "$export", accepted());
        assert!(kick_off(&host, &config(), &Capability::default()).result.is_ok());
        let host = Host::new();
        host.http.on("POST", "$export", hiccup).on("POST", "$export", accepted());
        assert!(kick_off(&host, &by(KickoffMethod::Post), &stu4()).result.is_err());
        assert_eq!(host.http.seen().len(), 1, "a second POST may start a second job");
    }
    let host = Host::new();
    host.http.on("GET", "$export", Reply::outcome(500, "error", "processing", "no"));
    assert!(kick_off(&host, &config(), &Capability::default()).result.is_err());
    assert_eq!(host.http.seen().len(), 1, "the server has said what is wrong");
}

#[test]
fn a_wrong_address_is_told_within_seconds() {
    let host = Host::new();
    host.http.on("GET", "$export", Reply::error(HttpErrorKind::Connect));
    assert!(kick_off(&host, &config(), &Capability::default()).result.is_err());
    assert_eq!(host.http.seen().len(), 3);
    assert!(gaps(&host.http.seen()).iter().sum::<f64>() < 10.0, "{:?}", gaps(&host.http.seen()));
}

#[test]
fn c15_separate_status_counts_only_if_applied() {
    let separate = |ask: bool, applied: &[&str]| {
        let host = Host::new();
        let reply = applied.iter().fold(accepted(), |reply, value| reply.header("Preference-Applied", value));
        host.http.on("GET", "$export", reply);
        let config = BulkConfig { separate_export_status: ask, ..config() };
        kick_off(&host, &config, &Capability::default()).result.unwrap().separate_status
    };
    assert!(separate(true, &["respond-async, Separate-Export-Status"]));
    assert!(separate(true, &["respond-async", "separate-export-status"]));
    assert!(!separate(true, &[]));
    assert!(!separate(true, &["respond-async"]));
    assert!(!separate(false, &["separate-export-status"]), "not asked for");
}

#[test]
fn c16_the_optional_parameters_are_sent_and_bad_sizes_refused() {
    let config = BulkConfig {
        until: Some("2026-02-03".into()),
        organize_output_by: Some("Patient".into()),
        output_format: Some("application/ndjson".into()),
        allow_partial_manifests: true,
        params: vec![("_minimumFileSize".into(), "10".into()), ("_maximumFileSize".into(), "20".into())],
        ..config()
    };
    let query = request::query(&params(&config).unwrap());
    assert_eq!(
        query,
        "_until=2026-02-03T23%3A59%3A59.999-05%3A00&organizeOutputBy=Patient&allowPartialManifests=true\
         &_outputFormat=application%2Ffhir%2Bndjson&_minimumFileSize=10&_maximumFileSize=20"
    );
    assert_eq!(request::query(&params(&crate::protocol::config()).unwrap()), "", "nothing is sent unasked");
    for pairs in [
        &[("_minimumFileSize", "0")][..],
        &[("_minimumFileSize", "-1")],
        &[("_maximumFileSize", "big")],
        &[("_maximumFileSize", "99999999999")],
        &[("_minimumFileSize", "20"), ("_maximumFileSize", "20")],
        &[("allowPartialManifests", "yes")],
        &[("_until", "soon")],
        &[("", "x")],
    ] {
        let params = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        usage(&BulkConfig { params, ..crate::protocol::config() });
    }
}

#[test]
fn c16_a_since_that_is_no_date_is_refused_and_a_date_is_widened() {
    let since = |text: &str| BulkConfig { since: Some(text.into()), ..config() };
    let text = usage(&since("yesterday"));
    assert!(text.contains("--since 'yesterday' is no date"), "{text}");
    usage(&BulkConfig { until: Some("2026-02-30".into()), ..config() });
    validate(&since("auto")).unwrap();
    let on_wire = |text: &str| params(&since(text)).unwrap().since.unwrap();
    assert_eq!(on_wire("2026-01-02"), "2026-01-02T00:00:00-05:00");
    assert_eq!(on_wire("2026-01-02T03:04:05.6789Z"), "2026-01-02T03:04:05.6789Z");
    let by_param = BulkConfig { params: vec![("_since".into(), "2026-01-02".into())], ..config() };
    let query = request::query(&params(&by_param).unwrap());
    assert_eq!(query, "_since=2026-01-02T00%3A00%3A00-05%3A00");
}

#[test]
fn c17_what_must_be_kept_of_a_kickoff_survives_a_restart() {
    let host = taking("POST", 405);
    let attempt = kick_off(&host, &by(KickoffMethod::Auto), &stu4());
    assert_eq!(attempt.parameters["_type"], "Patient,Condition");
    assert_eq!(attempt.export_url, format!("{BASE}/$export"));
    assert_eq!(attempt.status, Some(202));
    let kept = serde_json::to_string(&attempt.result.unwrap()).unwrap();
    let again: Kickoff = serde_json::from_str(&kept).unwrap();
    assert_eq!((again.status_url.as_str(), again.method), (STATUS, Method::Post));
    // Polling needs nothing else: no second kick-off.
    host.http.on("GET", "/status/1", Reply::json(200, MANIFEST));
    let host = host.restarted();
    let client = client(&host, &server());
    host.run(smart_fetch::bulk::poll::run(&client, &again.status_url, &poll_config(), async |_| Ok(()))).unwrap();
    assert_eq!(host.http.seen_with("$export").len(), 1);
}

#[test]
fn c17_parameters_survive_too_and_patients_are_not_logged() {
    let params = params(&everything()).unwrap();
    let kept: KickoffParams = serde_json::from_str(&serde_json::to_string(&params).unwrap()).unwrap();
    assert_eq!(kept, params);
    let operation = Operation { name: "export".into(), stu: None };
    let logged = request::build(BASE, &params, &operation, Method::Post).parameters;
    assert!(!logged.contains_key("patient"));
}
