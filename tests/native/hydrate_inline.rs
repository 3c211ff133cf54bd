//! Hydration by attachments.

use serde_json::{Value, json};
use smart_fetch::config::{AuthConfig, BulkConfig, HydrateConfig};
use smart_fetch::job::after_export;
use smart_fetch::testing::{Host, Reply};

use crate::export::{BASE, export, serve, served};
use crate::hydrate_server::*;

fn note(id: &str, attachment: Value) -> Value {
    json!({"resourceType": "DocumentReference", "id": id, "content": [{"attachment": attachment}]})
}

fn text(id: &str, url: &str) -> Value {
    note(id, json!({"contentType": "text/plain", "url": url}))
}

fn attachment(host: &Host, row: usize) -> Value {
    rows(host, "DocumentReference.001.ndjson")[row]["content"][0]["attachment"].clone()
}

#[test]
fn notes_are_put_into_their_rows_as_the_reference_does() {
    let host = Host::new();
    server(&host, &[]);
    host.http
        .on("GET", "/fhir/Binary/plain", Reply::bytes(200, "text/plain; charset=ISO-8859-1", "hello"))
        .on("GET", "/fhir/Binary/html", Reply::bytes(200, "Text/HTML", "<p>"))
        .on("GET", "/fhir/Binary/wrong", Reply::bytes(200, "application/pdf", "%PDF"))
        .on("GET", "/fhir/Binary/none", Reply::outcome(404, "error", "not-found", "no note"));
    put(
        &host,
        "DocumentReference.001.ndjson",
        &[
            text("a", "Binary/plain"),
            note(
                "b",
                json!({"contentType": "text/html", "url": format!("{BASE}/Binary/html"), "size": 9, "title": "t"}),
            ),
            text("c", "Binary/wrong"),
            text("d", "Binary/none"),
            note("e", json!({"contentType": "application/pdf", "url": "Binary/pdf"})),
            note("f", json!({"contentType": "text/plain", "data": "aA=="})),
            note("g", json!({"url": "Binary/plain"})),
            resource("DocumentReference", "h"),
            resource("Patient", "stray"),
        ],
    );
    let two = json!({"resourceType": "DiagnosticReport", "id": "r", "presentedForm": [
        {"contentType": "text/plain", "url": "Binary/plain"}, {"contentType": "text/html", "url": "Binary/html"}]});
    put(&host, "DiagnosticReport.001.ndjson", &[two]);
    let before = host.storage.text("DocumentReference.001.ndjson").unwrap();
    let report = hydrate(&host, &config("inline")).unwrap();
    assert_eq!(table(task(&report, "doc-inline")), [(9, 9), (1, 1), (2, 2), (2, 2), (0, 0)]);
    assert_eq!(table(task(&report, "dxr-inline")), [(1, 2), (0, 0), (1, 2), (0, 0), (0, 0)]);
    assert_eq!(report.exit_status, 3);
    let first: Vec<&str> = before.lines().collect();
    let text = host.storage.text("DocumentReference.001.ndjson").unwrap();
    let now: Vec<&str> = text.lines().collect();
    assert_eq!(
        now[0],
        concat!(
            r#"{"resourceType":"DocumentReference","id":"a","content":[{"attachment":{"#,
            r#""contentType":"text/plain; charset=iso-8859-1","url":"Binary/plain","data":"aGVsbG8=","size":5,"#,
            r#""hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00="}}]}"#
        )
    );
    assert_eq!(
        attachment(&host, 1),
        json!({"contentType": "text/html; charset=utf-8", "url": format!("{BASE}/Binary/html"), "size": 3, "title": "t",
            "data": "PHA+", "hash": attachment(&host, 1)["hash"]})
    );
    assert_eq!(now[2..], first[2..]);
    assert_eq!(
        report.failures,
        [
            "Binary/wrong: Error: expected MIME type of 'text/plain', but got 'application/pdf'.",
            &format!("An error occurred when connecting to \"{BASE}/Binary/none\": [404] no note"),
        ]
    );
    let accepts: Vec<_> =
        host.http.seen_with("/Binary/html").iter().map(|s| s.header("accept").unwrap().to_owned()).collect();
    assert_eq!(accepts, ["text/html", "text/html"]);

    // Once more: only what failed is asked for.
    let again = host.restarted();
    let before = again.http.seen_with("/Binary/").len();
    let report = hydrate(&again, &config("inline")).unwrap();
    assert_eq!(table(task(&report, "doc-inline")), [(9, 9), (3, 3), (0, 0), (2, 2), (0, 0)]);
    assert_eq!(again.http.seen_with("/Binary/").len() - before, 2);
    assert_eq!(again.storage.text("DocumentReference.001.ndjson").unwrap(), text);
}

#[test]
fn media_types_are_those_that_are_named() {
    let host = Host::new();
    server(&host, &[]);
    host.http.on("GET", "/Binary/1", Reply::bytes(200, "application/pdf", "%PDF"));
    put(
        &host,
        "DocumentReference.001.ndjson",
        &[text("a", "Binary/0"), note("b", json!({"contentType": "application/PDF", "url": "Binary/1"}))],
    );
    let config = HydrateConfig { mimetypes: vec!["application/pdf".into()], ..config("inline") };
    let report = hydrate(&host, &config).unwrap();
    assert_eq!(table(task(&report, "doc-inline")), [(2, 2), (0, 0), (1, 1), (0, 0), (0, 0)]);
    assert_eq!(attachment(&host, 1)["contentType"], "application/pdf; charset=utf-8");
}

#[test]
fn h08_a_token_stays_with_its_server() {
    let host = Host::new();
    server(&host, &[]);
    host.http
        .on("GET", "/fhir/Binary/1", Reply::bytes(200, "text/plain", "mine"))
        .on("GET", "https://files.example/signed", Reply::bytes(200, "text/plain", "theirs"))
        .on("GET", "https://files.example/guarded", Reply::new(401));
    put(
        &host,
        "DocumentReference.001.ndjson",
        &[
            text("a", "Binary/1"),
            text("b", "https://files.example/signed?sig=x"),
            text("c", "https://files.example/guarded"),
            text("d", "file:///etc/passwd"),
        ],
    );
    let mut config = config("inline");
    config.server.auth = AuthConfig::Bearer { token: "canary-canary".into() };
    let report = hydrate(&host, &config).unwrap();
    assert_eq!(table(task(&report, "doc-inline")), [(4, 4), (0, 0), (2, 2), (2, 2), (0, 0)]);
    for seen in host.http.seen() {
        assert_eq!(seen.header("authorization").is_some(), seen.request.url.contains("/Binary/"), "{}", seen.line());
    }
    assert!(report.failures.iter().any(|text| text.contains("--token-origin https://files.example")), "{report:?}");
}

#[test]
fn h09_a_binary_resource_gives_its_data() {
    let host = Host::new();
    let binary = json!({"resourceType": "Binary", "id": "1", "contentType": "text/plain", "data": "aMOpbGxv"});
    server(&host, &[binary]);
    put(&host, "DocumentReference.001.ndjson", &[text("a", "Binary/1")]);
    assert_eq!(hydrate(&host, &config("inline")).unwrap().exit_status, 0);
    let attachment = attachment(&host, 0);
    assert_eq!((attachment["data"].as_str(), attachment["size"].as_u64()), (Some("aMOpbGxv"), Some(6)));
}

#[test]
fn a_note_that_comes_packed_is_unpacked_and_a_torn_one_is_asked_for_again() {
    let host = Host::new();
    server(&host, &[]);
    let text = "a note ".repeat(100_000);
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let reply = |bytes: &[u8]| {
        let reply = Reply::bytes(200, "text/plain", bytes).header("Content-Encoding", "gzip");
        reply.in_chunks(1000, std::time::Duration::ZERO)
    };
    host.http.on("GET", "/Binary/1", reply(&packed[..packed.len() / 2])).on("GET", "/Binary/1", reply(&packed));
    put(&host, "DocumentReference.001.ndjson", &[self::text("a", "Binary/1")]);
    assert_eq!(hydrate(&host, &config("inline")).unwrap().exit_status, 0);
    let data = attachment(&host, 0)["data"].as_str().unwrap().to_owned();
    use base64::Engine;
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(data).unwrap(), text.as_bytes());
    assert_eq!(host.http.seen_with("/Binary/1").len(), 2);
}

#[test]
fn attachments_of_other_types_become_files_once() {
    let host = Host::new();
    server(&host, &[]);
    host.http.on("GET", "/Binary/pdf", Reply::bytes(200, "application/pdf", "%PDF")).on(
        "GET",
        "/Binary/any",
        Reply::bytes(200, "image/png", "PNG"),
    );
    let binary = json!({"resourceType": "Binary", "contentType": "image/png", "data": "UE5H"});
    host.http.on("GET", "/Binary/wrapped", Reply::json(200, &binary.to_string()));
    let file = |id: &str, kind: &str, url: &str| note(id, json!({"contentType": kind, "url": url}));
    put(
        &host,
        "DocumentReference.001.ndjson",
        &[
            file("a", "application/pdf", "Binary/pdf"),
            file("b", "image/png", "Binary/wrapped"),
            note("c", json!({"url": "Binary/any"})),
        ],
    );
    let config = HydrateConfig { attachments_dir: Some("attachments".into()), ..config("inline") };
    let report = hydrate(&host, &config).unwrap();
    assert_eq!(table(task(&report, "doc-inline")), [(3, 3), (0, 0), (3, 3), (0, 0), (0, 0)]);
    let mut files: Vec<_> = host.storage.paths().into_iter().filter(|path| path.starts_with("attachments/")).collect();
    files.sort_unstable_by_key(|path| host.storage.bytes(path).unwrap());
    assert_eq!(host.storage.bytes(&files[0]).unwrap(), b"%PDF");
    assert!(files[0].ends_with(".pdf") && files.iter().any(|path| path.ends_with(".png")), "{files:?}");
    assert_eq!(files.len(), 3);
    assert!(attachment(&host, 0).get("data").is_none());
    assert_eq!(
        (attachment(&host, 0)["size"].as_u64(), attachment(&host, 0)["url"].as_str()),
        (Some(4), Some("Binary/pdf"))
    );
    let again = host.restarted();
    let before = again.http.seen_with("/Binary/").len();
    let report = hydrate(&again, &config).unwrap();
    assert_eq!(table(task(&report, "doc-inline")), [(3, 3), (3, 3), (0, 0), (0, 0), (0, 0)]);
    assert_eq!(again.http.seen_with("/Binary/").len(), before);
    for outside in ["../x", "/x", "", "a/../..", ".git", "error", "c:\\x"] {
        let config = HydrateConfig { attachments_dir: Some(outside.into()), ..config.clone() };
        assert_eq!(hydrate(&again, &config).unwrap_err().exit_status(), 2, "{outside}");
    }
}

/// A folder with `n` notes, of which every third has its data already.
fn notes(host: &Host, n: usize) -> String {
    server(host, &[]);
    host.http.on_call("GET", "/Binary/", |request| {
        let id = request.url.rsplit('/').next().unwrap().to_owned();
        // Those that come later were asked for earlier, so that the order of rows is not that of answers.
        let delay = std::time::Duration::from_millis(100 - id.parse::<u64>().unwrap() % 7 * 10);
        Reply::bytes(200, "text/plain", format!("note {id}")).after(delay)
    });
    let row = |i: usize| match i % 3 {
        0 => note(&format!("n{i}"), json!({"contentType": "text/plain", "data": "aA=="})),
        _ => text(&format!("n{i}"), &format!("Binary/{i}")),
    };
    put(host, "DocumentReference.001.ndjson", &(0..n).map(row).collect::<Vec<_>>());
    host.storage.text("DocumentReference.001.ndjson").unwrap()
}

#[test]
fn rows_keep_their_order_whatever_comes_first() {
    let host = Host::new();
    notes(&host, 1000);
    let report = hydrate(&host, &config("inline")).unwrap();
    let ids: Vec<Value> = rows(&host, "DocumentReference.001.ndjson").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, (0..1000).map(|i| json!(format!("n{i}"))).collect::<Vec<_>>());
    assert_eq!(table(task(&report, "doc-inline")), [(1000, 1000), (334, 334), (666, 666), (0, 0), (0, 0)]);
    assert!(host.http.max_active() == 5, "{}", host.http.max_active());
}

#[test]
fn a_kill_at_every_storage_call_never_damages_the_input() {
    let whole = Host::new();
    notes(&whole, 1500);
    whole.storage.kill_at(u64::MAX);
    assert_eq!(hydrate(&whole, &config("inline")).unwrap().exit_status, 0);
    let (calls, expected) = (whole.storage.calls(), whole.storage.text("DocumentReference.001.ndjson").unwrap());
    let mut spared = 0;
    for call in 1..=calls {
        let host = Host::new();
        let input = notes(&host, 1500);
        host.storage.kill_at(call);
        assert!(hydrate_until_killed(&host, &config("inline")).is_none(), "call {call} did not kill");
        let there = host.storage.text("DocumentReference.001.ndjson").unwrap();
        assert!(there == input || there == expected, "kill at {call}");
        let again = host.restarted();
        let asked = again.http.seen_with("/Binary/").len();
        let report = hydrate(&again, &config("inline")).unwrap();
        assert_eq!(report.exit_status, 0, "kill at {call}");
        assert_eq!(again.storage.text("DocumentReference.001.ndjson").unwrap(), expected, "kill at {call}");
        assert_eq!(again.storage.paths(), ["DocumentReference.001.ndjson"], "kill at {call}");
        spared += u64::from(again.http.seen_with("/Binary/").len() - asked < 900);
    }
    // Some of the kills came after a checkpoint.
    assert!(spared > 0);
}

#[test]
fn an_export_that_is_run_again_leaves_an_interrupted_hydration_alone() {
    let host = Host::new();
    let rows = notes(&host, 1500);
    let mut files = vec![served("DocumentReference", "d1", 0)];
    files[0].entry["count"] = json!(1500);
    files[0].body = rows;
    serve(&host, &files);
    let bulk = BulkConfig { types: vec!["DocumentReference".into()], ..crate::export::config() };
    host.run(async {
        use smart_fetch::platform::Storage;
        host.storage.remove("DocumentReference.001.ndjson").await.unwrap();
    });
    assert_eq!(export(&host, &bulk).unwrap().resources, 1500);
    let config = HydrateConfig { compress: true, ..config("inline") };
    let exported = ["DocumentReference".to_owned()];
    let asked = || host.http.seen_with("/Binary/").len();
    // Killed once the record says that some rows are safe.
    let mut call = 1;
    while host.storage.bytes(".hydration").is_none() {
        host.storage.kill_at(call);
        assert!(host.run_until_killed(after_export(&host, &config, &exported)).is_none());
        host.storage.revive();
        call += 1;
    }
    let again = host.restarted();
    assert_eq!(export(&again, &bulk).unwrap().fetched, 0);
    let before = asked();
    assert_eq!(again.run(after_export(&again, &config, &exported)).unwrap().exit_status, 0);
    // There are 1,000 notes to fetch.
    assert!(asked() - before < 900, "{}", asked() - before);
    assert!(host.storage.paths().iter().all(|path| !path.contains("hydration")), "{:?}", host.storage.paths());
}

#[test]
fn a_link_of_a_managed_folder_stays_one() {
    let host = Host::new();
    server(&host, &[]);
    host.http.on("GET", "/Binary/1", Reply::bytes(200, "text/plain", "hello"));
    put(&host, "001.first/DocumentReference.001.ndjson", &[text("a", "Binary/1")]);
    host.run(async {
        use smart_fetch::platform::Storage;
        host.storage.link("001.first/DocumentReference.001.ndjson", "DocumentReference.001.ndjson").await.unwrap();
    });
    assert_eq!(hydrate(&host, &config("inline")).unwrap().exit_status, 0);
    assert_eq!(
        host.storage.paths(),
        [
            "001.first/DocumentReference.001.ndjson",
            "DocumentReference.001.ndjson -> 001.first/DocumentReference.001.ndjson"
        ]
    );
    assert_eq!(rows(&host, "001.first/DocumentReference.001.ndjson")[0]["content"][0]["attachment"]["size"], 5);
}
