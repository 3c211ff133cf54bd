//! `patient_ids`: a panel by search.

use smart_fetch::ErrorKind;
use smart_fetch::job::{PatientsConfig, patient_ids};
use smart_fetch::testing::{Host, Reply};

use crate::export::{BASE, config};

fn ask(query: &str) -> PatientsConfig {
    PatientsConfig { server: config().server, query: query.into() }
}

fn page(ids: &[&str], next: &str) -> Reply {
    let entries: Vec<String> =
        ids.iter().map(|id| format!(r#"{{"resource":{{"resourceType":"Patient","id":"{id}"}}}}"#)).collect();
    let link =
        if next.is_empty() { String::new() } else { format!(r#""link":[{{"relation":"next","url":"{next}"}}],"#) };
    Reply::json(200, &format!(r#"{{"resourceType":"Bundle",{link}"entry":[{}]}}"#, entries.join(",")))
}

#[test]
fn a_panel_comes_whole_each_patient_once() {
    let host = Host::new();
    host.http.on("GET", "/Patient?general-practitioner=Practitioner/1", page(&["a", "b"], "?page=2"));
    host.http.on("GET", "page=2", page(&["b", "c"], ""));
    assert_eq!(host.run(patient_ids(&host, &ask("general-practitioner=Practitioner/1"))).unwrap(), ["a", "b", "c"]);
    let first = format!("GET {BASE}/Patient?general-practitioner=Practitioner/1&_elements=id");
    assert_eq!(host.http.seen()[0].line(), first);
}

#[test]
fn no_patients_and_all_patients() {
    let host = Host::new();
    host.http.on("GET", "/Patient?_elements=id", Reply::json(200, r#"{"resourceType":"Bundle"}"#));
    assert!(host.run(patient_ids(&host, &ask(""))).unwrap().is_empty());
}

#[test]
fn part_of_a_panel_never_passes_for_all_of_it() {
    let host = Host::new();
    host.http.on("GET", "/Patient?a=b", page(&["a"], "?page=2"));
    host.http.on("GET", "page=2", page(&["b"], "?page=2"));
    assert_eq!(host.run(patient_ids(&host, &ask("a=b"))).unwrap_err().kind, ErrorKind::Protocol);
    host.http.off("GET", "page=2").on("GET", "page=2", Reply::outcome(403, "error", "forbidden", "not that far"));
    let error = host.run(patient_ids(&host, &ask("a=b"))).unwrap_err();
    assert!(error.kind == ErrorKind::Auth && error.message.contains("not that far"), "{error}");
}
