//! Looking at a folder: while a job is at work in it, and where there is none.

use std::time::Duration;

use futures_util::future::join;
use smart_fetch::ErrorKind;
use smart_fetch::bundle::bundle;
use smart_fetch::config::{HydrateConfig, LocalConfig, ServerConfig};
use smart_fetch::folder::links::reset;
use smart_fetch::folder::view::view;
use smart_fetch::job::{Verdict, hydrate};
use smart_fetch::merge::merge;
use smart_fetch::platform::{Clock, Platform};
use smart_fetch::testing::{Host, Reply};
use smart_fetch::verify::verify;

use crate::export::BASE;

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
