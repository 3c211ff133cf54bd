//! E08 to E12: a manifest of several pages, or read several times.

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

/// A server with pages `/status/1`, `/page/2`, …; a page may be answered several times.
fn paged(pages: &[(&str, Vec<Reply>)]) -> Host {
    let host = Host::new();
    for (path, replies) in pages {
        for reply in replies {
            host.http.on("GET", path, reply.clone());
        }
    }
    host
}

fn next(path: &str) -> Value {
    json!([{"relation": "next", "url": path}])
}

#[test]
fn e08_pages_are_followed_and_each_file_is_listed_once() {
    let error = json!([{"type": "OperationOutcome", "url": "https://ehr.example/files/e"}]);
    let host = paged(&[
        (
            "/status/1",
            vec![ok(&manifest(json!({"output": [file("1"), file("2")], "error": error, "link": next("/page/2")})))],
        ),
        ("/page/2", vec![ok(&manifest(json!({"error": error, "link": next("/page/3")})))]),
        ("/page/3", vec![ok(&manifest(json!({"output": [file("2"), file("3")], "error": error})))]),
    ]);
    let found = poll_with(&host, &with_token(), &poll_config()).unwrap();
    assert_eq!(names(&found), ["1", "2", "e", "3"]);
    assert_eq!(found.pages, 3);
    let seen = host.http.seen();
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter().all(|s| s.header("authorization") == Some("Bearer tok-secret-1")),
        "the same auth on each page"
    );
    assert!(host.warnings().is_empty());
}

#[test]
fn e08_a_circle_of_pages_is_an_error_and_so_is_an_endless_chain() {
    let host = paged(&[
        ("/status/1", vec![ok(&manifest(json!({"output": [file("1")], "link": next("/page/2")})))]),
        ("/page/2", vec![ok(&manifest(json!({"link": next("/status/1")})))]),
    ]);
    let error = poll(&host).unwrap_err();
    assert_eq!((error.kind, host.http.seen().len()), (ErrorKind::Protocol, 2));
    assert!(error.message.contains("circle"), "{error}");
    let host = Host::new();
    let mut page = 0;
    host.http.on_call("GET", "ehr.example", move |_| {
        page += 1;
        ok(&manifest(json!({"link": next(&format!("/page/{page}"))})))
    });
    assert!(poll(&host).unwrap_err().message.contains("without end"));
}

#[test]
fn e08_pages_that_differ_are_reported_and_the_earlier_time_counts() {
    let mut second = manifest(json!({"output": [file("2")]}));
    second["transactionTime"] = json!("2025-12-31T23:00:00-02:00");
    second["requiresAccessToken"] = json!(false);
    let third = |time: &str| {
        let mut page = second.clone();
        page["transactionTime"] = json!(time);
        let host = paged(&[
            ("/status/1", vec![ok(&manifest(json!({"output": [file("1")], "link": next("/page/2")})))]),
            ("/page/2", vec![ok(&page)]),
        ]);
        (poll(&host).unwrap(), host.warnings())
    };
    let (later, warnings) = third("2025-12-31T23:00:00-02:00");
    assert_eq!((later.transaction_time.as_str(), warnings.len()), (TIME, 1));
    assert_eq!(warnings, ["manifest-pages-differ"]);
    let (earlier, _) = third("2025-12-31T23:00:00Z");
    assert_eq!(earlier.transaction_time, "2025-12-31T23:00:00Z");
    let flags: Vec<_> = earlier.files.iter().map(|f| f.requires_access_token).collect();
    assert_eq!(flags, [true, false], "the page that lists a file says whether it needs the token");
}

#[test]
fn e08_a_next_link_elsewhere_is_followed_without_the_token() {
    let host = paged(&[
        ("/status/1", vec![ok(&manifest(json!({"link": next("https://pages.example/2")})))]),
        ("pages.example/2", vec![ok(&manifest(json!({"output": [file("1")]})))]),
    ]);
    assert_eq!(names(&poll_with(&host, &with_token(), &poll_config()).unwrap()), ["1"]);
    assert_eq!(host.http.seen_with("pages.example")[0].header("authorization"), None);
}

#[test]
fn e08_a_next_link_that_leads_nowhere_is_never_silent() {
    for link in [json!([{"relation": "next"}]), json!([{"relation": "NEXT", "url": "ftp://x/2"}])] {
        let (found, warnings) = read(&manifest(json!({"output": [file("1")], "link": link})));
        assert_eq!((found.unusable_entries, warnings), (1, vec!["manifest-entry".to_owned()]));
    }
    let (found, _) = read(&manifest(json!({"link": [{"relation": "self", "url": "/x"}]})));
    assert_eq!((found.pages, found.unusable_entries), (1, 0));
}

#[test]
fn e09_a_linked_page_is_polled_like_the_first() {
    let host = paged(&[
        ("/status/1", vec![ok(&manifest(json!({"output": [file("1")], "link": next("/page/2")})))]),
        (
            "/page/2",
            vec![
                Reply::new(202).header("Retry-After", "10"),
                Reply::bytes(202, "text/plain", "not yet"),
                Reply::outcome(500, "error", "transient", "hiccup"),
                ok(&manifest(json!({"output": [file("2")]}))),
            ],
        ),
    ]);
    assert_eq!(names(&poll(&host).unwrap()), ["1", "2"]);
    let gaps = gaps(&host.http.seen_with("/page/2"));
    assert!(gaps[0] == 10.0 && (1.0..1.2).contains(&gaps[1]) && gaps[2] == 60.0, "{gaps:?}");
    assert_eq!(host.http.seen_with("/status/1").len(), 1);
}

#[test]
fn e09_each_page_has_all_retries() {
    let hiccup = || Reply::new(502);
    let first = ok(&manifest(json!({"output": [file("1")], "link": next("/page/2")})));
    let host = paged(&[
        ("/status/1", vec![hiccup(), hiccup(), hiccup(), first]),
        ("/page/2", vec![hiccup(), hiccup(), hiccup(), ok(&manifest(json!({"output": [file("2")]})))]),
    ]);
    assert_eq!(names(&poll(&host).unwrap()), ["1", "2"]);
}

#[test]
fn e10_partial_manifests_lose_nothing_and_repeat_nothing() {
    let partial = |files: Value| Reply::json(202, &manifest(json!({"output": files})).to_string());
    let host = paged(&[
        (
            "/status/1",
            vec![
                partial(json!([file("1")])),
                partial(json!([file("1"), file("2")])),
                // A server that lists only what is new.
                partial(json!([file("3")])),
                ok(&manifest(json!({"output": [file("1"), file("2"), file("3")], "link": next("/page/2")}))),
            ],
        ),
        ("/page/2", vec![partial(json!([file("4")])), ok(&manifest(json!({"output": [file("4"), file("5")]})))]),
    ]);
    let (found, lists) = poll_listening(&host);
    assert_eq!(names(&found.unwrap()), ["1", "2", "3", "4", "5"]);
    let lengths: Vec<_> = lists.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 2, 3, 4, 5], "told as soon as known: downloads may start");
}

#[test]
fn e10_a_partial_manifest_may_stay_the_same_for_weeks() {
    let polls = std::cell::Cell::new(0);
    let host = paged(&[("/page/2", vec![ok(&manifest(json!({"output": [file("2")]})))])]);
    host.http.on_call("GET", "/status/1", move |_| {
        polls.set(polls.get() + 1);
        let whole = json!({"output": [file("1")], "link": next("/page/2")});
        let value = manifest(if polls.get() < 3_000 { json!({"output": [file("1")]}) } else { whole });
        Reply::json(if polls.get() < 3_000 { 202 } else { 200 }, &value.to_string())
    });
    assert_eq!(names(&poll(&host).unwrap()), ["1", "2"]);
}

#[test]
fn e10_a_202_with_a_next_link_goes_on_there_and_is_not_done_before_200() {
    let host = paged(&[
        (
            "/status/1",
            vec![Reply::json(202, &manifest(json!({"output": [file("1")], "link": next("/page/2")})).to_string())],
        ),
        ("/page/2", vec![Reply::new(202), ok(&manifest(json!({"output": [file("2")]})))]),
    ]);
    assert_eq!(names(&poll(&host).unwrap()), ["1", "2"]);
    assert_eq!(host.http.seen_with("/status/1").len(), 1);
}

#[test]
fn e11_a_failure_on_a_later_page_keeps_what_was_listed_and_is_an_error() {
    let host = paged(&[
        ("/status/1", vec![ok(&manifest(json!({"output": [file("1")], "link": next("/page/2")})))]),
        ("/page/2", vec![Reply::outcome(500, "error", "processing", "disk full")]),
    ]);
    let (result, lists) = poll_listening(&host);
    let error = result.unwrap_err();
    assert!(error.message.contains("/page/2") && error.message.contains("disk full"), "{error}");
    assert_eq!(lists, [["https://ehr.example/files/1"]]);
}

#[test]
fn e12_expires_is_read_where_it_is_a_date() {
    let expires = |text: &str| {
        let host = Host::new();
        host.http.on("GET", "/status/1", ok(&manifest(json!({}))).header("Expires", text));
        poll(&host).unwrap().expires
    };
    assert_eq!(expires("Fri, 02 Jan 2026 03:04:05 GMT"), Some(1_767_323_045_000));
    assert_eq!(expires("0"), None);
    assert_eq!(expires("whenever"), None);
}

#[test]
fn e12_a_renewed_signature_is_the_same_file_but_another_parameter_is_not() {
    let page = |urls: &[&str]| {
        let list: Vec<_> = urls.iter().map(|url| json!({"type": "Patient", "url": url})).collect();
        manifest(json!({"output": list}))
    };
    let host = paged(&[(
        "/status/1",
        vec![
            Reply::json(
                202,
                &page(&["https://az.example/f?id=1&sv=1&se=2&sig=old", "https://x.example/f?id=1"]).to_string(),
            ),
            ok(&page(&["https://az.example/f?id=1&sv=1&se=3&sig=new", "https://x.example/f?id=2"])),
        ],
    )]);
    let expected =
        ["https://az.example/f?id=1&sv=1&se=3&sig=new", "https://x.example/f?id=1", "https://x.example/f?id=2"];
    assert_eq!(urls(&poll(&host).unwrap()), expected);
}
