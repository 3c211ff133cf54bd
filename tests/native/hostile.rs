//! Managed folders over time, where servers, tokens and users do what nobody expects: nothing is lost, and nothing that is still
//! there is called deleted.

use serde_json::json;
use smart_fetch::config::{ExportConfig, ExportMode, Level};

use crate::ehr::*;

const TYPES: &str = "Patient,Condition";

fn filtered(filters: &[&str], nickname: &str) -> ExportConfig {
    let mut config = named(config("Condition"), nickname);
    config.bulk.type_filters = filters.iter().map(|filter| format!("Condition?{filter}")).collect();
    config
}

#[test]
fn what_fewer_filters_leave_out_is_not_deleted() {
    let ehr = Ehr::new();
    ehr.at("2026-01-01T00:00:00Z");
    ehr.put("Condition/a", json!({"code": "a"})).put("Condition/a2", json!({"code": "a"}));
    ehr.put("Condition/b", json!({"code": "b"}));
    let host = ehr.host();
    export(&host, &filtered(&["code=a", "code=b"], "both")).unwrap();
    ehr.at("2026-02-01T00:00:00Z").delete("Condition/a2");
    let report = export(&host, &filtered(&["code=a"], "one")).unwrap();
    assert_eq!(report.gone.get("Condition"), None, "which of them had code a is not known");
    assert!(seen_by_reader(&host).contains_key("Condition/b"), "{:?}", seen_by_reader(&host));
    // The same filters as before: now it is known.
    ehr.at("2026-03-01T00:00:00Z").put("Condition/a", json!({"code": "c"}));
    let report = export(&host, &filtered(&["code=a"], "one again")).unwrap();
    assert_eq!(report.gone.get("Condition"), Some(&1));
}

#[test]
fn a_bulk_export_does_not_go_on_from_a_crawl_of_some_patients_that_the_folder_had() {
    let of = |patient: &str| json!({"subject": {"reference": format!("Patient/{patient}")}});
    let ehr = Ehr::new();
    ehr.at("2025-01-01T00:00:00Z").put("Patient/p1", json!({})).put("Patient/p2", json!({}));
    ehr.put("Condition/c2", of("p2")).at("2026-01-01T00:00:00Z").put("Condition/c1", of("p1"));
    let host = ehr.host();
    let crawl = |config: ExportConfig| ExportConfig { mode: ExportMode::Crawl, ..config };
    let mut some = crawl(named(config("Patient"), "one"));
    some.cohort.ids = vec!["p1".into()];
    export(&host, &some).unwrap();
    // Its patients are those of the export before.
    export(&host, &crawl(named(config("Condition"), "two"))).unwrap();
    ehr.at("2026-02-01T00:00:00Z").put("Condition/c3", of("p2"));
    let result = export(&host, &named(auto("Condition"), "three"));
    let seen = seen_by_reader(&host);
    assert!(result.is_err() || seen.contains_key("Condition/c2"), "{seen:?}");
}

#[test]
fn an_export_of_some_patients_or_elements_takes_no_others_place() {
    for narrow in [
        |config: &mut ExportConfig| config.bulk.patients = vec!["Patient/p1".into()],
        |config: &mut ExportConfig| config.bulk.elements = vec!["id".into()],
        |config: &mut ExportConfig| config.bulk.until = Some("2020-01-01".into()),
    ] {
        let ehr = Ehr::new();
        ehr.at("2026-01-01T00:00:00Z")
            .put("Patient/p1", json!({}))
            .put("Condition/c1", json!({}))
            .put("Condition/c2", json!({}));
        let host = ehr.host();
        host.http.on_call("POST", "$export", {
            let data = ehr.0.clone();
            move |_| data.borrow_mut().export("https://ehr.example/fhir/$export?_type=Patient,Condition")
        });
        let part = |nickname: &str| {
            let mut config = named(config(TYPES), nickname);
            config.bulk.level = Level::Patient;
            narrow(&mut config);
            config
        };
        let whole = |mut config: ExportConfig| {
            config.bulk.level = Level::Patient;
            config
        };
        export(&host, &whole(named(config(TYPES), "one"))).unwrap();
        ehr.at("2026-02-01T00:00:00Z");
        let kept = ehr.0.borrow_mut().resources.remove("Condition/c2").unwrap();
        let report = export(&host, &part("two")).unwrap();
        assert!(report.gone.is_empty(), "{:?}", report.gone);
        assert!(seen_by_reader(&host).contains_key("Condition/c2"), "{:?}", links(&host));
        ehr.0.borrow_mut().resources.insert("Condition/c2".into(), kept);
        let crawl = ExportConfig { mode: ExportMode::Crawl, ..whole(auto(TYPES)) };
        export(&host, &crawl).unwrap();
        let searches = host.http.seen_with("/Condition?").into_iter().map(|seen| seen.request.url);
        let searches: Vec<String> = searches.collect();
        assert!(searches.len() == 1 && searches[0].contains("gt2026-01-01"), "since the whole one: {searches:?}");
    }
}
