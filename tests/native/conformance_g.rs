//! G01, G02: DELETE of the status URL.

use smart_fetch::ErrorKind;
use smart_fetch::bulk::cleanup::{Cleanup, delete};
use smart_fetch::http::Retry;
use smart_fetch::platform::HttpErrorKind;
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

fn delete_answered(reply: Reply) -> (Cleanup, Host) {
    let host = Host::new();
    host.http.on("DELETE", "/status/1", reply);
    let client = client(&host, &with_token());
    let outcome = host.run(delete(&client, STATUS, Retry::Brief));
    drop(client);
    (outcome, host)
}

#[test]
fn g01_the_delete_goes_to_the_status_url_with_the_token() {
    let (outcome, host) = delete_answered(Reply::new(202));
    assert_eq!(outcome, Cleanup::Deleted);
    let seen = host.http.seen();
    assert_eq!(seen[0].line(), format!("DELETE {STATUS}"));
    assert_eq!(seen[0].header("authorization"), Some("Bearer tok-secret-1"));
}

#[test]
fn g01_a_status_url_elsewhere_is_deleted_without_the_token() {
    let host = Host::new();
    host.http.on("DELETE", "/other/1", Reply::new(202));
    let client = client(&host, &with_token());
    assert_eq!(host.run(delete(&client, "https://jobs.example/other/1", Retry::Brief)), Cleanup::Deleted);
    assert_eq!(host.http.seen()[0].header("authorization"), None);
}

#[test]
fn g02_each_answer_is_understood_and_nobody_asks_for_the_status_again() {
    for status in [200, 202, 204] {
        let (outcome, host) = delete_answered(Reply::new(status));
        assert_eq!(outcome, Cleanup::Deleted, "{status}");
        assert!(outcome.is_gone() && outcome.message().is_none());
        assert_eq!(host.http.seen().len(), 1, "{status}");
    }
    for status in [404, 410] {
        let (outcome, host) = delete_answered(Reply::outcome(status, "error", "not-found", "no such job"));
        assert_eq!(outcome, Cleanup::AlreadyGone, "{status}");
        assert!(outcome.is_gone() && outcome.message().is_none());
        assert_eq!(host.http.seen().len(), 1);
    }
}

#[test]
fn g02_a_refusal_is_a_note_and_never_an_error_of_the_export() {
    let (outcome, host) = delete_answered(Reply::outcome(403, "error", "forbidden", "not yours"));
    let message = outcome.message().unwrap();
    assert!(message.starts_with("Failed to clean up export job on the server side: "), "{message}");
    assert!(message.contains("[403] not yours"), "{message}");
    assert!(!outcome.is_gone());
    assert_eq!(host.http.seen().len(), 1);
    assert!(host.http.seen_with("GET").is_empty());
}

#[test]
fn g02_a_lost_network_ends_within_seconds_and_without_panic() {
    let (outcome, host) = delete_answered(Reply::error(HttpErrorKind::Connect));
    let Cleanup::Failed(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.kind, ErrorKind::Network);
    assert_eq!(host.http.seen().len(), 3);
    assert!(gaps(&host.http.seen()).iter().sum::<f64>() < 10.0);
}
