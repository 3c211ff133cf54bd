//! Looking at a folder: while a job is at work in it, and where there is none.

use std::time::Duration;

use futures_util::future::join;
use serde_json::json;
use smart_fetch::ErrorKind;
use smart_fetch::bundle::bundle;
use smart_fetch::config::{ExportConfig, HydrateConfig, LocalConfig, ServerConfig};
use smart_fetch::folder::links::reset;
use smart_fetch::folder::view::view;
use smart_fetch::job::{self, Verdict, hydrate};
use smart_fetch::merge::merge;
use smart_fetch::platform::{Clock, Platform, Storage};
use smart_fetch::testing::{Host, Reply};
use smart_fetch::verify::verify;

use crate::export::{BASE, Served, config, export, metadata, serve, url, usual};

#[test]
fn a_state_of_any_size_that_is_replaced_meanwhile_is_one_or_the_other() {
    let state = |pad: String| format!(r#"{{"kind":"output","complete":true,"pad":{pad}}}"#);
    let text = state(format!("\"{}\"", "a".repeat(9_000_000)));
    let list = state(format!("[{}0]", "\"b\",".repeat(3_000_000)));
    let host = Host::new();
    host.storage.put(".metadata", text.clone());
    host.storage.set_slow(host.clock.clone(), Duration::from_millis(10));
    let replaced = async {
        for n in 0..20 {
            host.clock.sleep(Duration::from_millis(7)).await;
            host.storage.put(".metadata", if n % 2 == 0 { list.clone() } else { text.clone() });
        }
    };
    let (seen, ()) = host.run(join(view(&host), replaced));
    assert!(seen.unwrap().complete);
}

#[test]
fn jobs_that_read_a_folder_want_one_that_is_there() {
    let host = Host::new();
    let mut missing = host.within("none");
    missing.source = Some(missing.storage.clone());
    let hydration = HydrateConfig {
        server: ServerConfig { fhir_url: BASE.into(), ..ServerConfig::default() },
        ..Default::default()
    };
    let local = LocalConfig { folder: Some("none".into()), ..LocalConfig::default() };
    let named = HydrateConfig { folder: Some("none".into()), ..hydration.clone() };
    let never = std::future::pending::<()>;
    let errors = [
        missing.run(verify(&missing, Some("none"))).unwrap_err(),
        missing.run(reset(&missing, Some("none"))).unwrap_err(),
        missing.run(bundle(&missing, &local)).unwrap_err(),
        missing.run(merge(&missing, &local)).unwrap_err(),
        missing.run(hydrate(&missing, &named, never())).unwrap_err(),
        missing.run(hydrate(&missing, &HydrateConfig { tasks: vec!["none".into()], ..named }, never())).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind, error.exit_status()), (ErrorKind::Usage, 2));
        assert_eq!(error.message, "Local folder 'none' does not exist.");
        assert!(error.hint.is_some());
    }
    let nameless = missing.run(verify(&missing, None)).unwrap_err();
    assert_eq!(nameless.message, "There is no such folder.");
    assert_eq!((host.storage.paths().len(), host.http.seen().len()), (0, 0), "nothing is made, nothing is sent");

    // One that is there and empty has nothing to do in it.
    host.http.on("GET", "/metadata", Reply::json(200, r#"{"resourceType":"CapabilityStatement"}"#));
    let report = host.run(hydrate(&host, &hydration, never())).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::Complete, 0));
    assert!(!report.tasks.is_empty() && report.tasks.iter().all(|task| task.skipped));
    assert!(host.storage.paths().is_empty());
}

#[test]
fn after_a_stop_the_ledger_knows_what_came_and_so_does_who_looks() {
    let host = Host::new();
    serve(&host, &usual());
    host.http.on_call("GET", "/files/c1", |_| Reply::new(200).after(Duration::from_secs(100)));
    let clock = host.clock.clone();
    let stop = async move { clock.sleep(Duration::from_secs(50)).await };
    let error = host.run(job::bulk(&host, &config(), stop)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let seen = host.run(view(&host)).unwrap();
    let known: Vec<_> = seen.files.iter().map(|file| (file.name.as_str(), file.resources)).collect();
    assert_eq!(known, [("Patient.001.ndjson.gz", Some(3)), ("Patient.002.ndjson.gz", Some(2))]);
    assert_eq!((seen.runs[0].files, seen.runs[0].missing, seen.runs[0].resources), (3, 1, 5));
    assert!(!seen.complete);
}

#[test]
fn what_has_its_name_is_here_whatever_a_ledger_says_that_lags_behind() {
    let host = Host::new();
    serve(&host, &usual());
    export(&host, &config()).unwrap();
    // As a tab that was closed leaves it.
    let mut state = metadata(&host);
    state["complete"] = json!(false);
    state["ledger"]["jobs"][0]["state"] = json!("downloading");
    for file in state["ledger"]["jobs"][0]["files"].as_array_mut().unwrap() {
        file["state"] = json!("pending");
        file.as_object_mut().unwrap().remove("resources");
    }
    host.storage.put(".metadata", state.to_string());
    host.run(async { host.storage.remove("Condition.001.ndjson.gz").await.unwrap() });
    let seen = host.run(view(&host)).unwrap();
    assert_eq!((seen.files.len(), seen.runs[0].files, seen.runs[0].missing), (2, 3, 1));
    assert!(seen.runs[0].bytes > 0);
    let problems = host.run(verify(&host, None)).unwrap().problems;
    let missing: Vec<_> = problems.iter().filter(|problem| problem.problem.contains("missing")).collect();
    assert_eq!(missing.len(), 1, "{problems:?}");
    assert_eq!(missing[0].path, "Condition.001.ndjson.gz");
}

#[test]
fn links_of_a_managed_folder_have_the_figures_of_the_files_that_they_lead_to() {
    let host = Host::new();
    let mut files = usual();
    let outcome = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]});
    let entry = json!({"type": "OperationOutcome", "url": url("e1")});
    files.push(Served { list: "error", name: "e1".into(), entry, body: format!("{outcome}\n") });
    serve(&host, &files);
    let config = ExportConfig { bulk: config(), hydration_tasks: vec!["none".into()], ..ExportConfig::default() };
    host.run(job::export(&host, &config, std::future::pending())).unwrap();
    let seen = host.run(view(&host)).unwrap();
    let data: Vec<_> = seen.files.iter().filter(|file| !file.name.contains('/')).collect();
    assert_eq!(data.iter().map(|file| file.resources).collect::<Vec<_>>(), [Some(4), Some(3), Some(2)]);
    assert!(data.iter().all(|file| file.bytes.is_some_and(|bytes| bytes > 0)));
    let export = &seen.exports[0];
    assert_eq!((export.runs[0].files, export.runs[0].resources, export.runs[0].errors), (4, 9, 1));
    let error = seen.files.iter().find(|file| file.name.contains('/')).unwrap();
    assert_eq!(error.name, format!("{}/error/OperationOutcome.001.ndjson.gz", export.folder));
}
