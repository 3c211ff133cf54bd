//! A05 to A08: the CapabilityStatement is a hint.

use serde_json::json;
use smart_fetch::bulk::groups;
use smart_fetch::config::{KickoffMethod, Level};
use smart_fetch::fhir::capability::{Stu, Vendor};
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

const IG: &str = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition";

fn accepting() -> Host {
    let host = Host::new();
    let accepted = || Reply::new(202).header("Content-Location", STATUS);
    host.http.on("GET", "export", accepted()).on("POST", "export", accepted());
    host
}

#[test]
fn a05_the_newest_advertised_operation_is_invoked_by_its_name() {
    let host = accepting();
    let both = advertising(&[("export", &format!("{IG}/export|3.0.0")), ("export-v4", &format!("{IG}/export|4.0.0"))]);
    let attempt = kick_off(&host, &config(), &both);
    assert!(attempt.result.is_ok());
    assert_eq!(host.http.seen()[0].line(), format!("POST {BASE}/$export-v4"));
    // Who insists on GET gets the operation that has one.
    kick_off(&host, &by(KickoffMethod::Get), &both);
    assert!(host.http.seen()[1].line().starts_with(&format!("GET {BASE}/$export?")));
}

#[test]
fn a05_operations_are_found_at_their_level() {
    let statement = json!({"resourceType": "CapabilityStatement", "rest": [
        {"mode": "client", "operation": [{"name": "export-v4", "definition": "x"}]},
        {"mode": "server", "resource": [
            {"type": "Patient", "operation": [{"name": "$export", "definition": format!("{IG}/patient-export|2.0.0")}]},
            {"type": "Group", "operation": [{"name": "export", "definition": "OperationDefinition/Group-it-export"}]},
        ]},
    ]});
    let found = capability(statement);
    assert!(found.exports(&Level::System).next().is_none());
    assert_eq!(found.exports(&Level::Patient).next().unwrap().stu, Some(Stu::Stu2));
    assert_eq!(found.exports(&Level::Patient).next().unwrap().name, "export");
    assert_eq!(
        found.exports(&Level::Group("1".into())).next().unwrap().stu,
        None,
        "a vendor's definition says nothing of the version"
    );
}

#[test]
fn a05_version_1_lists_all_levels_under_rest() {
    let one = |name: &str| (name.to_owned(), format!("{IG}/{name}|1.0.0"));
    let names = [one("export"), one("patient-export"), one("group-export")];
    let list: Vec<_> = names.iter().map(|(name, url)| (name.as_str(), url.as_str())).collect();
    let found = advertising(&list);
    for level in [Level::System, Level::Patient, Level::Group("1".into())] {
        let operation = found.export(&level, |_| true);
        assert_eq!((operation.name.as_str(), operation.stu), ("export", Some(Stu::Stu1)), "{level:?}");
    }
}

#[test]
fn a05_a_version_of_something_else_and_an_odd_name_are_not_believed() {
    let found = advertising(&[
        ("export", "https://vendor.example/OperationDefinition/export|4.1.7"),
        ("export-v4/../../evil", &format!("{IG}/export|4.0.0")),
    ]);
    let operation = found.export(&Level::System, |_| true);
    assert_eq!((operation.name.as_str(), operation.stu), ("export", None));
}

#[test]
fn a06_the_export_runs_whatever_metadata_says() {
    let html = Reply::bytes(200, "text/html", "<html><body>Login</body></html>");
    let replies = [
        Reply::json(500, "oops"),
        Reply::new(404),
        Reply::new(401),
        html,
        Reply::json(200, r#"{"resourceType":"OperationOutcome","issue":[]}"#),
        Reply::json(200, "[]"),
    ];
    for reply in replies {
        let host = accepting();
        let shown = format!("{} {:?}", reply.status, reply.chunks);
        host.http.on("GET", "/metadata", reply);
        let attempt = discover_and_kick_off(&host, &config());
        assert_eq!(attempt.result.unwrap().status_url, STATUS, "{shown}");
        assert_eq!(host.warnings(), ["capability"], "{shown}");
    }
}

#[test]
fn a06_metadata_is_asked_without_the_token_and_with_it_only_when_refused() {
    let host = accepting();
    host.http.on("GET", "/metadata", Reply::new(401)).on(
        "GET",
        "/metadata",
        Reply::json(200, r#"{"resourceType":"CapabilityStatement"}"#),
    );
    discover_and_kick_off(&host, &smart_fetch::config::BulkConfig { server: with_token(), ..config() }).result.unwrap();
    let asked = host.http.seen_with("/metadata");
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(asked[1].header("authorization"), Some("Bearer tok-secret-1"));
    assert!(host.warnings().is_empty());
}

#[test]
fn a06_parts_of_a_wrong_shape_count_as_absent() {
    let found = capability(json!({"resourceType": "CapabilityStatement", "software": "Epic", "instantiates": {"a": 1},
        "rest": {"mode": "server", "operation": [{"name": 7}, null, {"name": "export"}], "resource": [null, {"type": "Patient"}]}}));
    assert_eq!(found.vendor, Vendor::Other);
    assert_eq!(found.exports(&Level::System).count(), 1);
    assert_eq!(found.lists("Patient"), Some(true));
    assert_eq!(found.lists("Device"), Some(false));
    assert_eq!(smart_fetch::fhir::capability::Capability::default().lists("Device"), None, "no list is no verdict");
}

#[test]
fn a06_vendors_are_told_apart_as_the_reference_does() {
    let of = |publisher: &str, software: &str| {
        capability(json!({"resourceType": "CapabilityStatement", "publisher": publisher, "software": {"name": software, "version": "1"}})).vendor
    };
    assert_eq!(of("Cerner", "x"), Vendor::Oracle);
    assert_eq!(of("Oracle Health", "x"), Vendor::Oracle);
    assert_eq!(of("Anyone", "Epic"), Vendor::Epic);
    assert_eq!(of("Epic fan club", "Other"), Vendor::Other);
}

#[test]
fn a07_what_the_server_cannot_export_is_known_before_the_kickoff() {
    let extension = |kind: &str| json!([{"url": format!("http://hl7.org/fhir/uv/bulkdata/{kind}/operation-not-supported"), "valueCanonical": "x"}]);
    let found = capability(json!({"resourceType": "CapabilityStatement", "rest": [{"mode": "server",
    "searchParam": [{"name": "_lastUpdated"}],
    "resource": [
        {"type": "AllergyIntolerance", "searchParam": [
            {"name": "clinical-status", "extension": extension("Extension")}, {"name": "code"}]},
        {"type": "Device", "extension": extension("StructureDefinition")},
    ]}]}));
    let types = ["AllergyIntolerance".to_owned(), "Device".to_owned()];
    let filter = |text: &str| vec![text.to_owned()];
    let said = found.not_supported(&types, &filter("AllergyIntolerance?code=1&clinical-status:not=active"));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("Device") && said[1].contains("'clinical-status'"), "{said:?}");
    assert!(found.not_supported(&types[..1], &filter("AllergyIntolerance?code=1")).is_empty());
    assert!(found.searches("AllergyIntolerance", "code") && found.searches("Device", "_lastUpdated"));
    assert!(!found.searches("Device", "code"));
}

#[test]
fn a08_a_bare_group_id_works_where_groups_cannot_be_read() {
    let host = accepting();
    host.http.on("GET", "/Group?", Reply::outcome(403, "error", "forbidden", "no")).on(
        "GET",
        "/Group/g.1",
        Reply::new(403),
    );
    host.http.on("GET", "/Group/g.1/$export", Reply::new(202).header("Content-Location", STATUS));
    let attempt = discover_and_kick_off(&host, &group("g.1"));
    assert_eq!(attempt.result.unwrap().status_url, STATUS);
    assert_eq!(host.http.seen().last().unwrap().line(), format!("GET {BASE}/Group/g.1/$export"));
}

#[test]
fn a08_groups_are_found_over_all_pages() {
    let host = Host::new();
    let page = |ids: &[&str], next: Option<&str>| {
        let entry: Vec<_> = ids
            .iter()
            .map(|id| json!({"resource": {"resourceType": "Group", "id": id, "name": format!("G{id}"), "quantity": 7}}))
            .collect();
        let link: Vec<_> = next.iter().map(|url| json!({"relation": "next", "url": url})).collect();
        Reply::json(200, &json!({"resourceType": "Bundle", "entry": entry, "link": link}).to_string())
    };
    host.http.on("GET", "/Group", page(&["1", "2"], Some("?page=2"))).on(
        "GET",
        "?page=2",
        page(&["3"], Some("?page=2")),
    );
    let client = client(&host, &server());
    let found = host.run(groups::search(&client, "")).unwrap();
    assert_eq!(found.iter().map(|g| g.id.as_str()).collect::<Vec<_>>(), ["1", "2", "3"], "and a circle ends");
    assert_eq!((found[2].name.as_deref(), found[2].quantity), (Some("G3"), Some(7)));
    assert_eq!(host.http.seen().len(), 2);
    host.http.on("GET", "/Group?name=x", Reply::outcome(403, "error", "forbidden", "no"));
    let error = host.run(groups::search(&client, "name=x")).unwrap_err();
    assert!(error.to_string().contains("--group ID"), "{error}");
}
