//! C01 to C17: kick-off.

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::bulk::kickoff::{self, Kickoff, request, validate};
use smart_fetch::config::{BulkConfig, KickoffMethod, Level};
use smart_fetch::fhir::capability::{Capability, Stu};
use smart_fetch::platform::{HttpErrorKind, Method};
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

fn accepted() -> Reply {
    Reply::new(202).header("Content-Location", STATUS)
}

/// A server that takes `method` only and answers `refusal` to the other one.
fn taking(method: &str, refusal: u16) -> Host {
    let host = Host::new();
    host.http.on("GET", "$export", Reply::new(refusal)).on("POST", "$export", Reply::new(refusal));
    host.http.off(method, "$export").on(method, "$export", accepted());
    host
}

fn usage(config: &BulkConfig) -> String {
    let error = validate(config).unwrap_err();
    assert_eq!((error.kind, error.exit_status()), (ErrorKind::Usage, 2));
    error.to_string()
}

fn filtered(types: &[&str], filters: &[&str]) -> BulkConfig {
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    BulkConfig { types: owned(types), type_filters: owned(filters), ..config() }
}

/// A request with everything in it.
fn everything() -> BulkConfig {
    BulkConfig {
        level: Level::Patient,
        since: Some("2026-01-02T03:04:05.123+05:30".into()),
        until: Some("2026-02-01T00:00:00Z".into()),
        elements: vec!["id,Patient.name".into()],
        patients: vec!["1".into(), "Patient/2".into()],
        include_associated_data: vec!["LatestProvenanceResources".into(), "_mine".into()],
        organize_output_by: Some("Patient".into()),
        output_format: Some("ndjson".into()),
        allow_partial_manifests: true,
        params: vec![("_minimumFileSize".into(), "10".into()), ("x".into(), "a&b".into())],
        ..filtered(&["Patient", "Condition"], &["Condition?code=a,b", "Condition?onset-date=gt2020"])
    }
}

#[test]
fn c01_post_only_and_get_only_servers_both_succeed_with_one_job() {
    for (method, other) in [("GET", "POST"), ("POST", "GET")] {
        for refusal in [404, 405, 415, 501] {
            // Also where the server claims the version that would have the other method.
            for capability in [Capability::default(), stu4()] {
                let host = taking(method, refusal);
                let attempt = kick_off(&host, &by(KickoffMethod::Auto), &capability);
                assert_eq!(attempt.result.unwrap().status_url, STATUS, "{method} {refusal}");
                assert_eq!(host.http.seen_with(&format!("{method} {BASE}/$export")).len(), 1);
                assert!(host.http.seen_with(&format!("{other} {BASE}/$export")).len() <= 1);
            }
        }
    }
}

#[test]
fn c01_nothing_else_makes_it_try_the_other_way() {
    for status in [400, 401, 403, 409, 422, 500] {
        let host = taking("POST", status);
        host.http.off("GET", "$export").on("GET", "$export", Reply::outcome(status, "error", "invalid", "no"));
        let attempt = kick_off(&host, &by(KickoffMethod::Auto), &Capability::default());
        assert_eq!(attempt.result.unwrap_err().status, Some(status));
        assert!(host.http.seen_with("POST").is_empty(), "{status}");
    }
    let host = taking("POST", 405);
    assert!(kick_off(&host, &by(KickoffMethod::Get), &Capability::default()).result.is_err());
    assert!(host.http.seen_with("POST").is_empty(), "GET was asked for");
}

#[test]
fn c01_stu4_begins_with_post_and_older_versions_with_get() {
    let host = taking("POST", 405);
    kick_off(&host, &by(KickoffMethod::Auto), &stu4()).result.unwrap();
    assert_eq!(host.http.seen().len(), 1);
    let body: Value = serde_json::from_str(&host.http.seen()[0].text()).unwrap();
    assert_eq!(body["resourceType"], "Parameters");
    assert_eq!(host.http.seen()[0].header("content-type"), Some("application/fhir+json"));
    let host = taking("GET", 405);
    kick_off(
        &host,
        &by(KickoffMethod::Auto),
        &advertising(&[("export", "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export|2.0.0")]),
    )
    .result
    .unwrap();
    assert_eq!(host.http.seen().len(), 1);
}

#[test]
fn c02_accept_is_exactly_fhir_json() {
    for method in [KickoffMethod::Get, KickoffMethod::Post] {
        let host = Host::new();
        let strict = |request: &smart_fetch::platform::Request| {
            let accepts: Vec<_> =
                request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept")).collect();
            if accepts.len() == 1 && accepts[0].1 == "application/fhir+json" { accepted() } else { Reply::new(400) }
        };
        host.http.on_call("GET", "$export", strict).on_call("POST", "$export", strict);
        assert!(kick_off(&host, &by(method), &Capability::default()).result.is_ok());
    }
}

#[test]
fn c03_preferences_are_joined_in_one_header() {
    let prefer = |config: &BulkConfig| {
        let host = taking("GET", 405);
        kick_off(&host, config, &Capability::default()).result.unwrap();
        let seen = &host.http.seen()[0];
        let all: Vec<_> = seen.request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("prefer")).collect();
        assert_eq!(all.len(), 1);
        all[0].1.clone()
    };
    assert_eq!(prefer(&config()), "respond-async");
    let both = BulkConfig { lenient: true, separate_export_status: true, ..config() };
    assert_eq!(prefer(&both), "respond-async, handling=lenient, separate-export-status");
}

#[test]
fn c04_paths_of_the_three_levels_whatever_the_slashes() {
    let of = |base: &str, level: Level| {
        let mut config = config();
        (config.server.fhir_url, config.level) = (base.into(), level);
        let host = taking("GET", 405);
        kick_off(&host, &config, &Capability::default()).result.unwrap();
        host.http.seen()[0].request.url.clone()
    };
    for base in ["https://ehr.example/a/fhir", "https://ehr.example/a/fhir/", "https://ehr.example/a/fhir//"] {
        assert_eq!(of(base, Level::System), "https://ehr.example/a/fhir/$export");
        assert_eq!(of(base, Level::Patient), "https://ehr.example/a/fhir/Patient/$export");
        assert_eq!(of(base, Level::Group("g-1".into())), "https://ehr.example/a/fhir/Group/g-1/$export");
    }
    assert_eq!(of(BASE, Level::Group("a b/../c?d".into())), format!("{BASE}/Group/a%20b%2F..%2Fc%3Fd/$export"));
    assert_eq!(of(BASE, Level::Group("Group/7".into())), format!("{BASE}/Group/7/$export"));
    for id in ["", " ", ".", "..", "Group/"] {
        usage(&group(id));
    }
}

#[test]
fn c05_patients_are_a_local_error_at_system_level_and_by_get() {
    let with = |level: Level, method| BulkConfig { level, patients: vec!["1".into()], ..by(method) };
    assert!(usage(&with(Level::System, KickoffMethod::Auto)).contains("--level patient"));
    assert!(usage(&with(Level::Patient, KickoffMethod::Get)).contains("POST"));
    let by_param = BulkConfig { level: Level::Patient, params: vec![("patient".into(), "1".into())], ..config() };
    assert!(usage(&by_param).contains("--patient"));
    assert!(usage(&BulkConfig { patients: vec!["../1".into()], ..group("1") }).contains("../1"));
    // Nor does the kick-off fall back to GET, which would lose the list and export everybody.
    let host = taking("GET", 405);
    let attempt = kick_off(&host, &with(Level::Patient, KickoffMethod::Auto), &Capability::default());
    assert_eq!(attempt.result.unwrap_err().status, Some(405));
    assert_eq!(host.http.seen().iter().map(|s| s.line()).collect::<Vec<_>>(), [format!("POST {BASE}/Patient/$export")]);
    let body: Value = serde_json::from_str(&host.http.seen()[0].text()).unwrap();
    assert_eq!(body["parameter"][2], json!({"name": "patient", "valueReference": {"reference": "Patient/1"}}));
}

#[test]
fn c06_golden_parameters_of_each_version() {
    let golden = |stu: Stu, filter: &str, data: [Value; 2]| {
        let body = request::parameters(&params(&everything()).unwrap(), stu);
        let associated = data.map(|value| {
            let mut entry = json!({"name": "includeAssociatedData"});
            entry.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            entry
        });
        let expected = json!({"resourceType": "Parameters", "parameter": [
            {"name": "_type", "valueString": "Patient"},
            {"name": "_type", "valueString": "Condition"},
            {"name": "_typeFilter", "valueString": filter},
            {"name": "_typeFilter", "valueString": "Condition?onset-date=gt2020"},
            {"name": "_since", "valueInstant": "2026-01-02T03:04:05.123+05:30"},
            {"name": "_until", "valueInstant": "2026-02-01T00:00:00Z"},
            {"name": "_elements", "valueString": "id"},
            {"name": "_elements", "valueString": "Patient.name"},
            {"name": "patient", "valueReference": {"reference": "Patient/1"}},
            {"name": "patient", "valueReference": {"reference": "Patient/2"}},
            associated[0],
            associated[1],
            {"name": "organizeOutputBy", "valueString": "Patient"},
            {"name": "allowPartialManifests", "valueBoolean": true},
            {"name": "_outputFormat", "valueString": "application/fhir+ndjson"},
            {"name": "_minimumFileSize", "valuePositiveInt": 10},
            {"name": "x", "valueString": "a&b"},
        ]});
        assert_eq!(body, expected, "{stu:?}");
    };
    let plain = |kind: &str| [json!({kind: "LatestProvenanceResources"}), json!({kind: "_mine"})];
    golden(Stu::Stu1, "Condition?code=a%2Cb", plain("valueString"));
    golden(Stu::Stu2, "Condition?code=a%2Cb", plain("valueCode"));
    golden(Stu::Stu3, "Condition?code=a%2Cb", plain("valueCode"));
    let system = "http://hl7.org/fhir/uv/bulkdata/CodeSystem/include-associated-data";
    let coding = [
        json!({"valueCoding": {"system": system, "code": "LatestProvenanceResources"}}),
        json!({"valueCoding": {"code": "_mine"}}),
    ];
    golden(Stu::Stu4, "Condition?code=a,b", coding);
}

#[test]
fn c07_values_are_repeated_in_post_and_joined_in_get() {
    let host = Host::new();
    host.http.on("GET", "$export", accepted()).on("POST", "$export", accepted());
    kick_off(&host, &by(KickoffMethod::Post), &stu4());
    kick_off(&host, &by(KickoffMethod::Get), &Capability::default());
    let seen = host.http.seen();
    let body: Value = serde_json::from_str(&seen[0].text()).unwrap();
    let types: Vec<_> =
        body["parameter"].as_array().unwrap().iter().map(|p| p["valueString"].as_str().unwrap()).collect();
    assert_eq!(types, ["Patient", "Condition"]);
    assert_eq!(seen[1].request.url, format!("{BASE}/$export?_type=Patient%2CCondition"));
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = *first == b'%';
        bytes.push(if escaped {
            u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap()
        } else {
            *first
        });
        rest = if escaped { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn c08_every_value_arrives_as_it_was_meant() {
    let config = BulkConfig {
        since: Some("2026-01-02T03:04:05+05:00".into()),
        output_format: Some("application/fhir+ndjson".into()),
        params: vec![("note".into(), "a b?c&d=e+f%é".into())],
        ..config()
    };
    let query = request::query(&params(&config).unwrap());
    assert!(!query.contains(['+', '?', ' ', 'é', ':']), "{query}");
    // Read back as a server would.
    let decoded: Vec<_> =
        query.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (decode(k), decode(v))).collect();
    let expected = [
        ("_since", "2026-01-02T03:04:05+05:00"),
        ("_outputFormat", "application/fhir+ndjson"),
        ("note", "a b?c&d=e+f%é"),
    ];
    assert_eq!(decoded, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn c09_commas_inside_a_filter_survive_servers_that_split() {
    let config = filtered(&["Patient", "Condition"], &["Patient?gender=female,other", "Condition?code=x"]);
    let query = request::query(&params(&config).unwrap());
    assert!(query.ends_with("_typeFilter=Patient%3Fgender%3Dfemale%252Cother%2CCondition%3Fcode%3Dx"), "{query}");
    let body = request::parameters(&params(&config).unwrap(), Stu::Stu3);
    assert_eq!(body["parameter"][2]["valueString"], "Patient?gender=female%2Cother");
}

#[test]
fn c10_filters_that_make_no_sense_are_local_errors() {
    let types = ["Patient"];
    for filter in [
        "Patient?_include=x",
        "Patient?active=true&_sort=name",
        "Patient?_count=5",
        "Patient?_elements=id",
        "Patient?_revinclude:iterate=Observation:subject",
        "Patient?_summary=count",
        "?active=true",
        "Patient/1/Condition?code=1",
        "Patient/1?code=1",
        "Patient?",
        "Patient?active=true&",
        "https://x/Patient?active=true",
    ] {
        let text = usage(&filtered(&types, &[filter]));
        assert!(text.contains(filter), "{text}");
    }
    assert!(
        usage(&filtered(&types, &["Patient"]))
            .contains("Type filter arguments must be in the format 'Resource?params'.")
    );
    let text = usage(&filtered(&types, &["Condition?code=1"]));
    assert!(text.starts_with("Type filter for Condition but that type is not included in --type."), "{text}");
    usage(&filtered(&[], &["CarePlan?status=active"]));
    usage(&BulkConfig { params: vec![("_typeFilter".into(), "Patient".into())], ..config() });
    validate(&filtered(
        &["patient"],
        &["Patient?_has:Observation:patient:code=1", "Patient?_lastUpdated=gt2020", "Patient?name:exact=A"],
    ))
    .unwrap();
    validate(&filtered(&["all"], &["Observation?category=exam"])).unwrap();
}

#[test]
fn c11_repeated_filters_are_sent_and_strays_are_named() {
    let config = filtered(&["Patient", "Condition"], &["Condition?code=a", "Condition?code=b", "Patient?active=true"]);
    let params = params(&config).unwrap();
    let query = request::query(&params);
    assert!(query.contains("Condition%3Fcode%3Da%2CCondition%3Fcode%3Db%2CPatient%3Factive%3Dtrue"), "{query}");
    let found = ["Patient", "Organization", "Condition", "OperationOutcome", "Device"];
    assert_eq!(params.strays(found), ["Organization", "Device"]);
    let all = crate::protocol::params(&BulkConfig { types: Vec::new(), ..config }).unwrap();
    assert!(all.strays(found).is_empty(), "nothing is outside of a request without _type");
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
        attempt.result.unwrap_err().message
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
    let kept: kickoff::KickoffParams = serde_json::from_str(&serde_json::to_string(&params).unwrap()).unwrap();
    assert_eq!(kept, params);
    let operation = smart_fetch::fhir::capability::Operation { name: "export".into(), stu: None };
    let logged = request::build(BASE, &params, &operation, Method::Post).parameters;
    assert!(!logged.contains_key("patient"));
}
