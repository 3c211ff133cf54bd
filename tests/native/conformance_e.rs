//! E01 to E07, E13 to E17: one page of a manifest.

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::bulk::manifest::{FileKind, Manifest, ManifestFile};
use smart_fetch::config::ServerConfig;
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

#[test]
fn e01_minimal_and_maximal_manifests_parse_alike() {
    let (minimal, warnings) = read(&manifest(json!({})));
    assert_eq!((minimal.transaction_time.as_str(), minimal.requires_access_token), (TIME, true));
    assert!(minimal.files.is_empty() && warnings.is_empty());
    let maximal = manifest(json!({
        "request": "https://ehr.example/fhir/$export?_type=Patient",
        "output": [{"type": "Patient", "url": "https://ehr.example/files/1", "count": 7, "extension": {"x": 1}}],
        "deleted": [{"type": "Bundle", "url": "https://ehr.example/files/2", "count": 1}],
        "error": [{"type": "OperationOutcome", "url": "https://ehr.example/files/3"}],
        "extension": {"https://vendor.example/colour": "blue"},
        "unknown": {"deep": [1, 2, {"x": null}]},
    }));
    let (maximal, warnings) = read(&maximal);
    assert_eq!(names(&maximal), ["1", "3", "2"]);
    assert_eq!(maximal.files[0].count, Some(7));
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((maximal.announced(), minimal.announced()), (Some(7), None));
}

#[test]
fn e01_a_manifest_without_a_transaction_time_is_none() {
    let host = Host::new();
    host.http.on("GET", "/status/1", Reply::json(200, r#"{"requiresAccessToken":false,"output":[]}"#));
    let error = poll(&host).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("transactionTime"), "{error}");
}

#[test]
fn e01_entries_that_cannot_be_fetched_are_counted_and_named() {
    let (found, warnings) = read(&manifest(json!({"output": [
        file("1"), {"type": "Patient"}, {"type": "Patient", "url": "file:///etc/passwd"}, null,
        {"type": "Patient", "url": 5}], "deleted": "none"})));
    assert_eq!(names(&found), ["1"]);
    assert_eq!(found.unusable_entries, 5, "each is data that we cannot get");
    assert_eq!(warnings, ["manifest-entry"]);
}

#[test]
fn e02_outcomes_are_read_from_error_and_outcome() {
    let kinds = |value: &Value| read(value).0.files.into_iter().map(|f| (f.kind, f.url)).collect::<Vec<_>>();
    let list = json!([{"url": "https://ehr.example/o/1"}, {"url": "https://ehr.example/o/2"}]);
    let old = kinds(&manifest(json!({"error": list})));
    assert_eq!(old.len(), 2);
    assert!(old.iter().all(|(kind, _)| *kind == FileKind::Error));
    assert_eq!(old, kinds(&manifest(json!({"outcome": list}))));
    assert_eq!(old, kinds(&manifest(json!({"error": [list[0]], "outcome": list}))), "the union, each once");
}

#[test]
fn e03_requires_access_token_in_all_its_forms() {
    let with = |value: Value| {
        let (found, warnings) = read(&manifest(json!({"requiresAccessToken": value, "output": [file("1")]})));
        assert_eq!(found.requires_access_token, found.files[0].requires_access_token);
        (found.requires_access_token, warnings.len())
    };
    assert_eq!(with(json!(true)), (true, 0));
    assert_eq!(with(json!(false)), (false, 0));
    assert_eq!(with(json!("true")), (true, 0));
    assert_eq!(with(json!("False")), (false, 0));
    assert_eq!(with(json!(null)), (true, 1));
    assert_eq!(with(json!("maybe")), (true, 1), "never believed to be a no");
    assert_eq!(with(json!(0)), (true, 1));
}

#[test]
fn e04_urls_are_resolved_and_types_may_repeat_or_be_absent() {
    let (found, _) = read(&manifest(json!({"output": [
        {"type": "Patient", "url": "https://files.example/a?sig=x%2By&e='"},
        {"type": "Patient", "url": "/files/b"},
        {"type": "Patient", "url": "c"},
        {"url": "d"},
    ]})));
    let expected = [
        "https://files.example/a?sig=x%2By&e='",
        "https://ehr.example/files/b",
        "https://ehr.example/status/c",
        "https://ehr.example/status/d",
    ];
    assert_eq!(urls(&found), expected);
    assert_eq!(found.files[3].resource_type, None);
}

#[test]
fn e04_rewrite_rules_apply_to_every_url() {
    let host = Host::new();
    let page = manifest(
        json!({"output": [{"url": "http://inside:8080/files/1"}], "link": [{"relation": "next", "url": "http://inside:8080/page/2"}]}),
    );
    host.http.on("GET", "/status/1", ok(&page)).on("GET", "https://ehr.example/page/2", ok(&manifest(json!({}))));
    let server =
        ServerConfig { rewrite_urls: vec![("http://inside:8080/".into(), "https://ehr.example/".into())], ..server() };
    let found = poll_with(&host, &server, &poll_config()).unwrap();
    assert_eq!(urls(&found), ["https://ehr.example/files/1"]);
    assert_eq!(found.pages, 2);
}

#[test]
fn e05_names_from_the_server_are_not_trusted() {
    let (found, _) = read(&manifest(json!({"output": [
        {"type": "../../x", "url": "https://ehr.example/1"}, {"type": "Patient", "url": "https://ehr.example/2"},
        {"type": "patient/../", "url": "https://ehr.example/3"}, {"type": "Futuristic2040", "url": "https://ehr.example/4"}]})));
    let safe: Vec<_> = found.files.iter().map(ManifestFile::safe_type).collect();
    assert_eq!(safe, [None, Some("Patient"), None, Some("Futuristic2040")]);
    assert_eq!(found.files[0].resource_type.as_deref(), Some("../../x"), "kept for messages");
}

#[test]
fn e06_counts_are_hints_and_odd_ones_no_obstacle() {
    let count = |value: Value| {
        read(&manifest(json!({"output": [{"type": "Patient", "url": "x", "count": value}]}))).0.files[0].count
    };
    assert_eq!(count(json!(5)), Some(5));
    assert_eq!(count(json!("5")), Some(5));
    for odd in [json!(-1), json!(1.5), json!("many"), json!(null), json!({})] {
        assert_eq!(count(odd.clone()), None, "{odd}");
    }
}

#[test]
fn e07_file_sizes_and_severities_are_kept() {
    let (found, _) = read(&manifest(json!({
        "output": [{"type": "Patient", "url": "x", "fileSize": 12_345_678_901_u64}],
        "outcome": [{"url": "y", "countSeverity": [
            {"code": "error", "count": 2}, {"code": "information", "count": 3}, {"code": "error", "count": 1}, {"code": 5}]}]})));
    assert_eq!(found.files[0].file_size, Some(12_345_678_901));
    let severities: Vec<_> = found.files[1].count_severity.iter().map(|(code, n)| (code.as_str(), *n)).collect();
    assert_eq!(severities, [("error", 3), ("information", 3)]);
}

#[test]
fn e13_organized_output_is_told_from_output_by_type() {
    let organized = |value: Value| {
        read(&manifest(json!({"outputOrganizedBy": value, "outputOrganizedByDetail": "x"}))).0.output_organized_by
    };
    assert_eq!(organized(json!("Patient")).as_deref(), Some("Patient"));
    assert_eq!(organized(json!("")), None);
    assert_eq!(organized(json!(null)), None);
}

#[test]
fn e14_a_continuation_is_a_pointer_and_never_a_file() {
    let (found, warnings) = read(&manifest(json!({"outputOrganizedBy": "Patient", "output": [
        {"url": "/files/1", "continuesInFile": "https://ehr.example/files/2"},
        {"url": "/files/2", "continuesInFile": "dangling"}]})));
    assert_eq!(names(&found), ["1", "2"]);
    assert_eq!(found.files[1].continues_in_file.as_deref(), Some("dangling"));
    assert!(warnings.is_empty());
}

#[test]
fn e15_extensions_of_both_shapes_are_read_and_those_on_access_reported() {
    let harmless = [json!({"colour": "blue"}), json!([{"url": "https://x.example/colour", "valueString": "blue"}])];
    for extension in harmless {
        let (found, warnings) =
            read(&manifest(json!({"extension": extension, "output": [{"url": "x", "extension": extension}]})));
        assert_eq!((found.files[0].access_extension.as_deref(), warnings.len()), (None, 0));
    }
    for extension in [
        json!({"https://x.example/decrypt-key": "abc"}),
        json!([{"url": "https://x.example/fileEncryption", "valueString": "jwe"}]),
        json!([{"url": "outer", "extension": [{"url": "extraAuthorization", "valueBoolean": true}]}]),
    ] {
        let (found, warnings) =
            read(&manifest(json!({"output": [{"url": "x", "extension": extension}, {"url": "y"}]})));
        assert_eq!(warnings, ["access-extension"], "{extension}");
        assert!(found.files[0].access_extension.is_some() && found.files[1].access_extension.is_none());
        let (_, warnings) = read(&manifest(json!({"extension": extension})));
        assert_eq!(warnings, ["access-extension"], "{extension}");
    }
}

#[test]
fn e16_formats_other_than_ndjson_are_not_read_as_such() {
    let readable = |more: Value| {
        let (found, warnings) = read(&manifest(more));
        (found.is_ndjson(), warnings.len())
    };
    for format in
        ["application/fhir+ndjson", "application/ndjson", "ndjson", "application/fhir+ndjson; fhirVersion=4.0"]
    {
        assert_eq!(readable(json!({"outputFormat": format})), (true, 0), "{format}");
    }
    assert_eq!(readable(json!({"outputFormat": "text/csv"})), (false, 1));
    assert_eq!(readable(json!({"outputFormat": "application/vnd.apache.parquet"})), (false, 1));
    let ours = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest|4.0.0";
    assert_eq!(readable(json!({"manifestType": ours})), (true, 0));
    assert_eq!(readable(json!({"manifestType": "https://vendor.example/OtherManifest"})), (false, 1));
}

#[test]
fn e17_an_export_without_files_is_a_whole_manifest() {
    let (found, warnings) = read(&manifest(json!({"output": [], "error": [], "deleted": []})));
    assert!(found.files.is_empty() && warnings.is_empty());
    assert_eq!((found.pages, found.unusable_entries), (1, 0));
}

#[test]
fn e17_a_manifest_survives_the_ledger() {
    let (found, _) = read(&manifest(
        json!({"output": [file("1")], "outcome": [{"url": "y", "countSeverity": [{"code": "error", "count": 2}]}]}),
    ));
    let kept: Manifest = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(kept, found);
    assert_eq!(kept.of_kind(FileKind::Error).count(), 1);
}
