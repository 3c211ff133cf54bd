//! C01 to C10: what a kick-off sends.

use serde_json::{Value, json};
use smart_fetch::bulk::kickoff::{request, validate};
use smart_fetch::config::{BulkConfig, KickoffMethod, Level};
use smart_fetch::fhir::capability::{Capability, Stu};
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

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
    validate(&filtered(&["all", "CarePlan"], &["CarePlan?status=active", "Observation?category=exam"])).unwrap();
}
