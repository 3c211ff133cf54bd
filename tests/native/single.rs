//! `single`, and what of the data rules does not need an export.

use serde_json::json;
use smart_fetch::ErrorKind;
use smart_fetch::auth::{TokenRule, Withheld, token_rule};
use smart_fetch::config::AuthConfig;
use smart_fetch::job::{SingleConfig, Verdict, single};
use smart_fetch::testing::{Host, Reply};

use crate::export::*;

fn ask(resource: &str) -> SingleConfig {
    SingleConfig { server: config().server, resource: resource.into(), ..SingleConfig::default() }
}

#[test]
fn a_resource_comes_as_it_is_laid_out_for_reading() {
    let host = Host::new();
    host.http.on("GET", "/Observation/1", Reply::json(200, r#"{"resourceType":"Observation","valueDecimal":1.10}"#));
    let text = String::from_utf8(host.run(single(&host, &ask("Observation/1"))).unwrap()).unwrap();
    assert_eq!(text, "{\n  \"resourceType\": \"Observation\",\n  \"valueDecimal\": 1.10\n}\n");
    let compact = SingleConfig { compact: true, ..ask("Observation/1") };
    let text = String::from_utf8(host.run(single(&host, &compact)).unwrap()).unwrap();
    assert_eq!(text, "{\"resourceType\":\"Observation\",\"valueDecimal\":1.10}\n");
}

#[test]
fn a_missing_resource_is_said_in_the_servers_words() {
    let host = Host::new();
    host.http.on("GET", "/Patient/none", Reply::outcome(404, "error", "not-found", "no such patient"));
    let error = host.run(single(&host, &ask("Patient/none"))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let expected = format!("An error occurred when connecting to \"{BASE}/Patient/none\": [404] no such patient");
    assert!(error.message.starts_with(&expected), "{error}");
}

#[test]
fn an_address_outside_of_the_server_is_refused_before_a_token_goes_there() {
    let host = Host::new();
    for elsewhere in
        ["https://evil.example/Patient/1", "/Patient/1", "../Patient/1", "https://ehr.example/fhirx/Patient/1"]
    {
        let mut config = ask(elsewhere);
        config.server.auth = AuthConfig::Bearer { token: "canary".into() };
        let error = host.run(single(&host, &config)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage, "{elsewhere}: {error}");
    }
    assert!(host.http.seen().is_empty());
}

#[test]
fn h09_a_relative_binary_is_found_below_the_base_and_unwrapped() {
    let host = Host::new();
    let body = json!({"resourceType": "Binary", "contentType": "text/plain", "data": "aMOpbGxv"});
    host.http.on("GET", "/fhir/Binary/1", Reply::json(200, &body.to_string()));
    let config = SingleConfig { binary: true, ..ask("Binary/1") };
    assert_eq!(host.run(single(&host, &config)).unwrap(), "héllo".as_bytes());
    assert_eq!(host.http.seen()[0].line(), format!("GET {BASE}/Binary/1"));
}

#[test]
fn h08_an_attachment_sees_the_token_by_the_manifests_flag_and_the_origin_rules() {
    let origins = ["https://ehr.example".to_owned()];
    let rule = |required, url: &str| token_rule(required, url, &origins, false);
    assert_eq!(rule(Some(true), "https://ehr.example/fhir/Binary/1"), TokenRule::Send);
    assert_eq!(rule(Some(false), "https://ehr.example/fhir/Binary/1"), TokenRule::Withhold(Withheld::NotWanted));
    assert_eq!(rule(Some(true), "https://files.example/note.txt"), TokenRule::Withhold(Withheld::OtherOrigin));
    assert_eq!(rule(Some(true), "http://ehr.example/fhir/Binary/1"), TokenRule::Withhold(Withheld::OtherOrigin));
}

#[test]
fn h13_a_file_that_is_listed_twice_or_exported_twice_leaves_the_same_state() {
    let host = Host::new();
    let mut files = usual();
    files.push(files[0].clone());
    serve(&host, &files);
    assert_eq!(export(&host, &config()).unwrap().resources, 9);
    let state = |host: &Host| {
        let data = host.storage.paths().into_iter().filter(|path| path.ends_with(".ndjson.gz"));
        data.map(|path| (host.storage.text(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = state(&host);
    // The folder forgets that it is done, so that all of it comes again over what is there.
    host.storage.put(".metadata", r#"{"kind": "output"}"#);
    let again = host.restarted();
    let report = export(&again, &config()).unwrap();
    assert_eq!((report.verdict, report.fetched), (Verdict::Complete, 3));
    assert_eq!(state(&again), before);
}
