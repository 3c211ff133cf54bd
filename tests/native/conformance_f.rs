//! File download, one try of one file (F09 and F11 are the job's).

use std::time::Duration;

use smart_fetch::ErrorKind;
use smart_fetch::platform::transfer::{Content, TransferOutcome, TransferTask};
use smart_fetch::platform::{HttpErrorKind, Platform, Transfers};
use smart_fetch::testing::{Host, Reply};

use crate::ndjson::{PATH, URL, broken, gunzip, gzip, patients, refused, run, stored, task};

const NDJSON: &str = "application/fhir+ndjson";

fn served(reply: Reply) -> Host {
    let host = Host::new();
    host.http.on("GET", "/files/1", reply);
    host
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn f01_ndjson_is_asked_for_unless_told_otherwise() {
    for content in [Content::Resources, Content::Outcomes, Content::Deletions] {
        let host = served(Reply::ndjson(""));
        stored(&host, TransferTask { content, ..task() });
        assert_eq!(host.http.seen()[0].header("Accept"), Some(NDJSON));
    }
    let host = served(Reply::ndjson(""));
    stored(&host, TransferTask { headers: vec![("accept".into(), "application/x".into())], ..task() });
    let request = &host.http.seen()[0].request;
    let accept: Vec<_> = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept")).collect();
    assert_eq!(accept, [&("Accept".to_owned(), "application/x".to_owned())]);
}

#[test]
fn f01_a_binary_that_wraps_the_file_is_unwrapped() {
    let text = patients(50);
    let wrap = |data: &[u8]| {
        format!("{{\"resourceType\":\"Binary\",\"contentType\":\"{NDJSON}\",\"data\":\"{}\"}}", base64(data))
    };
    let spread = format!("{{\n  \"resourceType\": \"Binary\",\n  \"data\": \"{}\"\n}}\n", base64(text.as_bytes()));
    for body in [wrap(text.as_bytes()), wrap(&gzip(text.as_bytes())), spread] {
        for compress in [true, false] {
            let host = served(Reply::json(200, &body));
            let facts = stored(&host, TransferTask { compress, ..task() });
            let bytes = host.storage.bytes(PATH).unwrap();
            assert_eq!(if compress { gunzip(&bytes) } else { bytes.clone() }, text.as_bytes());
            assert_eq!((facts.resources, facts.bad_lines, facts.stored), (50, 0, bytes.len() as u64));
        }
    }
    // For the other files as well; there, too, what is inside is checked.
    let outcome = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"x"}]}"#;
    let host = served(Reply::json(200, &wrap(outcome.as_bytes())));
    let facts = stored(&host, TransferTask { content: Content::Outcomes, resource_type: None, ..task() });
    assert_eq!(facts.severities["warning"], 1);
    let host = served(Reply::json(200, &wrap(b"{\"resourceType\":\"Pat")));
    assert_eq!(broken(&host, task()).0, HttpErrorKind::Interrupted);
}

#[test]
fn f01_a_binary_that_cannot_be_unwrapped_is_refused_and_one_that_was_asked_for_is_kept() {
    for body in [r#"{"resourceType":"Binary"}"#, r#"{"resourceType":"Binary","data":"!"}"#] {
        let (status, text) = refused(&served(Reply::json(200, body)), task());
        assert_eq!(status, 200);
        assert!(text.contains("Binary"), "{text}");
    }
    let body = r#"{"resourceType":"Binary","data":"aGk="}"#;
    for resource_type in [Some("Binary".to_owned()), None] {
        let host = served(Reply::json(200, body));
        stored(&host, TransferTask { resource_type, ..task() });
        assert_eq!(host.storage.text(PATH).unwrap(), body);
    }
}

#[test]
fn f02_gzip_is_asked_for() {
    let host = served(Reply::ndjson(""));
    stored(&host, task());
    assert_eq!(host.http.seen()[0].header("Accept-Encoding"), Some("gzip"));
}

#[test]
fn f03_every_coding_gives_the_same_lines() {
    let text = patients(200);
    let zipped = gzip(text.as_bytes());
    let mut decoded = Reply::ndjson(&text).header("Content-Encoding", "gzip").header("Content-Length", "17");
    decoded.decoded_by_host = true;
    let replies = [
        Reply::ndjson(&text),
        Reply::bytes(200, NDJSON, zipped.clone()).header("Content-Encoding", "gzip"),
        Reply::bytes(200, NDJSON, zipped.clone()).header("Content-Encoding", "GZIP"),
        Reply::bytes(200, "application/gzip", zipped),
        decoded,
    ];
    for reply in replies {
        let host = served(reply);
        assert_eq!(stored(&host, task()).resources, 200);
        assert_eq!(host.storage.text(PATH).unwrap(), text);
    }
}

#[test]
fn f04_the_token_goes_only_where_the_task_says() {
    let credentials = vec![("Authorization".to_owned(), "Bearer secret".to_owned())];
    let origins = |origin: &str| vec![origin.to_owned()];
    let cases = [
        (credentials.clone(), origins("https://ehr.example"), Some("Bearer secret")),
        // requiresAccessToken is false: the job gives none.
        (vec![], origins("https://ehr.example"), None),
        // A presigned address elsewhere.
        (credentials, origins("https://fhir.example"), None),
    ];
    for (credentials, credential_origins, expected) in cases {
        let host = served(Reply::ndjson(""));
        stored(&host, TransferTask { credentials, credential_origins, ..task() });
        assert_eq!(host.http.seen()[0].header("Authorization"), expected);
    }
}

#[test]
fn f05_redirects_are_followed_and_the_token_stays_at_home() {
    for status in [301, 302, 303, 307, 308] {
        let host = served(Reply::new(status).header("Location", "https://ehr.example/moved/1"));
        host.http.on("GET", "/moved/1", Reply::new(status).header("Location", "https://store.example/blob?sig=a%2Bb"));
        host.http.on("GET", "/blob", Reply::ndjson(&patients(3)));
        let task = TransferTask {
            credentials: vec![("Authorization".into(), "Bearer secret".into())],
            credential_origins: vec!["https://ehr.example".into()],
            headers: vec![("X-Tenant".into(), "7".into())],
            ..task()
        };
        assert_eq!(stored(&host, task).resources, 3);
        let seen = host.http.seen();
        let sent = |name: &str| seen.iter().map(|s| s.header(name).is_some()).collect::<Vec<_>>();
        assert_eq!(sent("Authorization"), [true, true, false], "{status}");
        assert_eq!(sent("X-Tenant"), [true, true, false], "{status}");
        assert_eq!(sent("Accept-Encoding"), [true, true, true], "{status}");
        assert_eq!(seen[2].request.url, "https://store.example/blob?sig=a%2Bb");
    }
}

#[test]
fn f05_bad_redirects_end_the_try() {
    let refusal = |reply: Reply| {
        let host = served(reply);
        let outcome = refused(&host, task());
        (outcome, host.http.seen().len())
    };
    let ((status, text), requests) = refusal(Reply::new(302).header("Location", "http://ehr.example/files/2"));
    assert_eq!((status, requests), (302, 1));
    assert!(text.contains("plain http"), "{text}");
    let ((status, _), requests) = refusal(Reply::new(307).header("Location", "file:///etc/passwd"));
    assert_eq!((status, requests), (307, 1));
    let ((status, _), requests) = refusal(Reply::new(301));
    assert_eq!((status, requests), (301, 1));
    let ((status, text), requests) = refusal(Reply::new(302).header("Location", URL));
    assert_eq!((status, requests), (302, 11));
    assert!(text.contains("10 redirects"), "{text}");
}

#[test]
fn f06_a_token_never_goes_over_plain_http_unless_allowed() {
    let over_http = |url: &str, origin: &str| TransferTask {
        url: url.into(),
        credentials: vec![("Authorization".into(), "Bearer secret".into())],
        credential_origins: vec![origin.into()],
        ..task()
    };
    let host = served(Reply::ndjson(""));
    let open = over_http("http://ehr.example/files/1", "http://ehr.example");
    let error = host.run(host.transfers().transfer(open.clone(), &|_| {})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Insecure);
    assert!(!error.to_string().contains("secret") && error.to_string().contains("--allow-insecure"), "{error}");
    assert!(host.http.seen().is_empty());
    stored(&host, TransferTask { allow_insecure: true, ..open });
    stored(&host, over_http("http://127.0.0.1:8080/files/1", "http://127.0.0.1:8080"));
    let sent: Vec<_> = host.http.seen().iter().map(|s| s.header("Authorization").is_some()).collect();
    assert_eq!(sent, [true, true]);
}

#[test]
fn f07_only_a_whole_200_counts() {
    let facts = stored(&served(Reply::bytes(200, "binary/octet-stream", patients(4))), task());
    assert_eq!(facts.resources, 4);
    for status in [201, 204, 206, 304, 400, 403, 404, 410, 500] {
        let (seen, _) = refused(&served(Reply::bytes(status, NDJSON, patients(4))), task());
        assert_eq!(seen, status);
    }
}

#[test]
fn f07_an_empty_body_is_an_empty_file() {
    for compress in [true, false] {
        for reply in [Reply::ndjson(""), Reply::ndjson("").header("Content-Encoding", "gzip"), Reply::ndjson("\n\r\n ")]
        {
            let blank = reply.chunks.concat();
            let host = served(reply);
            let facts = stored(&host, TransferTask { compress, ..task() });
            assert_eq!((facts.resources, facts.bad_lines), (0, 0));
            let bytes = host.storage.bytes(PATH).unwrap();
            assert_eq!(if compress { gunzip(&bytes) } else { bytes }, blank);
        }
    }
}

#[test]
fn f07_a_login_page_is_no_file() {
    let page = "\n<!DOCTYPE html><html><head><title>Sign in</title></head><body>Your session has ended</body></html>\n";
    for reply in [
        Reply::bytes(200, "text/html", page),
        Reply::bytes(200, NDJSON, page),
        Reply::bytes(200, NDJSON, page).in_chunks(1, Duration::ZERO),
        Reply::bytes(200, NDJSON, gzip(page.as_bytes())).header("Content-Encoding", "gzip"),
        Reply::bytes(200, NDJSON, page.trim()),
    ] {
        for (content, compress) in [(Content::Resources, true), (Content::Outcomes, false), (Content::Organized, true)]
        {
            let (status, text) = refused(&served(reply.clone()), TransferTask { content, compress, ..task() });
            assert_eq!(status, 200);
            assert!(reply.chunks.len() > 1 || text.contains("Sign in"), "{text}");
        }
    }
}

#[test]
fn f07_an_error_outcome_in_place_of_data_is_a_refusal() {
    let outcome = |severity: &str, code: &str| {
        format!(
            r#"{{"resourceType":"OperationOutcome","issue":[{{"severity":"{severity}","code":"{code}","diagnostics":"disk of the server is full"}}]}}"#
        )
    };
    let pretty = outcome("error", "no-store").replace(",\"", ",\n \"");
    for (body, expected) in
        [(outcome("error", "processing"), false), (outcome("fatal", "timeout"), true), (pretty, true)]
    {
        for resource_type in [Some("Patient".to_owned()), None] {
            let host = served(Reply::json(200, &body).header("Retry-After", "7").header("Date", "now"));
            let outcome = run(&host, TransferTask { compress: true, resource_type, ..task() });
            let expected = TransferOutcome::Refused {
                status: 200,
                retry_after: Some("7".into()),
                date: Some("now".into()),
                text: "disk of the server is full".into(),
                transient: expected,
            };
            assert_eq!(outcome, expected);
            assert_eq!(host.storage.paths(), [""; 0]);
        }
    }
    // A remark is no refusal, nor is an outcome where outcomes are expected, nor one among data (H05).
    let host = served(Reply::json(200, &outcome("information", "informational")));
    assert_eq!(stored(&host, task()).severities["information"], 1);
    let host = served(Reply::ndjson(&outcome("error", "processing")));
    assert_eq!(stored(&host, TransferTask { content: Content::Outcomes, ..task() }).severities["error"], 1);
}

#[test]
fn f07_error_bodies_of_any_kind_are_told() {
    let xml = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    let outcome = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"throttled","details":{"text":"slow down"}}]}"#;
    let cases = [
        (Reply::bytes(403, "application/xml", xml), "Request has expired", false),
        (Reply::bytes(503, "application/json", outcome), "slow down", true),
        (Reply::bytes(503, NDJSON, gzip(outcome.as_bytes())).header("Content-Encoding", "gzip"), "slow down", true),
        (Reply::bytes(500, "text/plain", "oh\nno").cut_after(5), "oh no", false),
        (Reply::bytes(502, "text/html", vec![b'x'; 10 << 20]), "xxx", false),
        (Reply::new(410), "", false),
    ];
    for (reply, expected, expected_transient) in cases {
        let host = served(reply);
        let TransferOutcome::Refused { text, transient, .. } = run(&host, task()) else { panic!() };
        assert!(text.contains(expected) && text.len() < 5000, "{text}");
        assert_eq!(transient, expected_transient);
    }
}

#[test]
fn f08_a_body_that_is_cut_is_never_a_file() {
    let text = patients(2000).into_bytes();
    let zipped = gzip(&text);
    let length = |reply: Reply, bytes: &[u8]| reply.header("Content-Length", &bytes.len().to_string());
    let plain = |bytes: &[u8]| Reply::bytes(200, NDJSON, bytes);
    let coded = |bytes: &[u8]| Reply::bytes(200, NDJSON, bytes).header("Content-Encoding", "gzip");
    let (half, half_zipped) = (text.len() / 2, zipped.len() / 2);
    let cases = [
        ("Content-Length, connection closed", length(plain(&text), &text).cut_after(half)),
        ("Content-Length, a host that does not look", length(plain(&text[..half]), &text)),
        ("Content-Length too short", length(plain(&text), &text[..half])),
        ("chunked, no last chunk", plain(&text).cut_after(half)),
        ("gzip, Content-Length", length(coded(&zipped[..half_zipped]), &zipped)),
        ("gzip, chunked, no last chunk", coded(&zipped).cut_after(half_zipped)),
        ("gzip, proper end", coded(&zipped[..half_zipped])),
        ("gzip without its trailer", coded(&zipped[..zipped.len() - 8])),
        ("gzip without its last byte", coded(&zipped[..zipped.len() - 1])),
        ("a stored gzip, proper end", plain(&zipped[..half_zipped])),
        ("a gzip header", coded(&zipped[..7])),
        ("half of the last line", plain(&text[..text.len() - 20])),
        ("gzip of half of the last line", coded(&gzip(&text[..text.len() - 20]))),
        ("second member torn", coded(&[&zipped[..], &zipped[..half_zipped]].concat())),
    ];
    for (name, reply) in cases {
        for (compress, chunk) in [(true, 1 << 20), (false, 10_000), (false, 7)] {
            let cut = reply.cut;
            let mut reply = reply.clone().in_chunks(chunk, Duration::ZERO);
            reply.cut = cut;
            let (kind, message) = broken(&served(reply), TransferTask { compress, ..task() });
            assert_eq!(kind, HttpErrorKind::Interrupted, "{name}");
            assert!(!message.is_empty(), "{name}");
        }
    }
}

#[test]
fn f08_damage_is_found_wherever_it_is() {
    let text = patients(300).into_bytes();
    let zipped = gzip(&text);
    for place in (10..zipped.len()).step_by(97).chain(zipped.len() - 8..zipped.len()) {
        let mut damaged = zipped.clone();
        damaged[place] ^= 0x10;
        let host = served(Reply::bytes(200, NDJSON, damaged).header("Content-Encoding", "gzip"));
        broken(&host, TransferTask { compress: true, ..task() });
    }
    let trailing = [&zipped[..], b"garbage"].concat();
    broken(&served(Reply::bytes(200, NDJSON, trailing)), task());
    let after_padding = [&zipped[..], &[0; 9], &zipped[..]].concat();
    broken(&served(Reply::bytes(200, NDJSON, after_padding)), task());
}

#[test]
fn f08_a_silent_server_breaks_the_try() {
    let text = patients(100);
    let slow = Reply::ndjson(&text).in_chunks(1000, Duration::from_secs(61));
    assert_eq!(broken(&served(slow), task()).0, HttpErrorKind::Timeout);
    let late = Reply::ndjson(&text).after(Duration::from_secs(61));
    assert_eq!(broken(&served(late), task()).0, HttpErrorKind::Timeout);
    let steady = Reply::ndjson(&text).in_chunks(1000, Duration::from_secs(59));
    stored(&served(steady), task());
}

/// A server of `text` that cuts every answer after `piece` bytes and understands ranges; `tweak` may spoil its answers.
fn ranged(text: String, piece: usize, tweak: impl Fn(Reply, usize) -> Reply + 'static) -> Host {
    let host = Host::new();
    let mut count = 0;
    host.http.on_call("GET", "/files/1", move |request| {
        let header = |name: &str| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let from = header("Range").map(|range| {
            assert_eq!(header("If-Range"), Some("\"v1\""));
            assert_eq!(header("Accept-Encoding"), Some("identity"));
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        });
        let rest = &text.as_bytes()[from.unwrap_or(0)..];
        let reply = Reply::bytes(if from.is_some() { 206 } else { 200 }, NDJSON, rest)
            .header("Accept-Ranges", "bytes")
            .header("ETag", "\"v1\"")
            .header("Content-Length", &rest.len().to_string());
        let total = text.len();
        let range = from.map(|from| format!("bytes {from}-{}/{total}", total - 1));
        let reply = if let Some(range) = range { reply.header("Content-Range", &range) } else { reply };
        let reply = if rest.len() > piece { reply.cut_after(piece) } else { reply };
        count += 1;
        tweak(reply, count)
    });
    host
}

fn replaced(mut reply: Reply, name: &str, value: &str) -> Reply {
    reply.headers.retain(|(key, _)| key != name);
    reply.header(name, value)
}

#[test]
fn f10_a_broken_body_is_taken_up_where_it_broke() {
    let text = patients(1000);
    let host = ranged(text.clone(), text.len() / 7, |reply, _| reply);
    let before = host.run(async { smart_fetch::platform::Clock::now_millis(&host.clock) });
    let facts = stored(&host, TransferTask { compress: true, ..task() });
    assert_eq!(facts.received, text.len() as u64);
    assert_eq!(gunzip(&host.storage.bytes(PATH).unwrap()), text.as_bytes());
    let seen = host.http.seen();
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().skip(1).all(|s| s.header("Range").is_some()));
    assert_eq!(smart_fetch::platform::Clock::now_millis(&host.clock) - before, 7000);
}

#[test]
fn f10_without_proof_that_it_is_the_same_file_nothing_is_taken_up() {
    let text = patients(1000);
    type Tweak = fn(Reply, usize) -> Reply;
    let first: [(&str, Tweak); 6] = [
        ("weak ETag", |r, _| replaced(r, "ETag", "W/\"v1\"")),
        ("no ETag", |mut r, _| {
            r.headers.retain(|(name, _)| name != "ETag");
            r
        }),
        ("no ranges", |r, _| replaced(r, "Accept-Ranges", "none")),
        ("modified in the second it was sent", |r, _| {
            replaced(replaced(replaced(r, "ETag", "W/\"v1\""), "Date", "d"), "Last-Modified", "d")
        }),
        ("gzip", |r, _| replaced(r, "Content-Encoding", "gzip")),
        ("nothing came", |r, _| r.cut_after(0)),
    ];
    for (name, tweak) in first {
        let host = ranged(text.clone(), text.len() / 2, tweak);
        broken(&host, task());
        assert_eq!(host.http.seen().len(), 1, "{name}");
    }
    let second: [(&str, Tweak); 7] = [
        ("200", |mut r, n| {
            r.status = 200;
            if n == 1 { r } else { replaced(r, "x", "y") }
        }),
        ("412", |mut r, n| {
            r.status = if n == 1 { 200 } else { 412 };
            r
        }),
        ("another ETag", |r, n| if n == 1 { r } else { replaced(r, "ETag", "\"v2\"") }),
        ("another range", |r, n| if n == 1 { r } else { replaced(r, "Content-Range", "bytes 1-2/3") }),
        (
            "a range that ends early",
            |r, n| if n == 1 { r } else { replaced(r, "Content-Range", "bytes 100-110/99999") },
        ),
        ("no range", |mut r, _| {
            r.headers.retain(|(name, _)| name != "Content-Range");
            r
        }),
        ("gzip", |r, n| if n == 1 { r } else { replaced(r, "Content-Encoding", "gzip") }),
    ];
    for (name, tweak) in second {
        let host = ranged(text.clone(), text.len() / 2, tweak);
        broken(&host, task());
        assert_eq!(host.http.seen().len(), 2, "{name}");
    }
}

#[test]
fn f10_taking_up_ends_when_nothing_more_comes() {
    let text = patients(1000);
    let host = ranged(text.clone(), text.len() / 2, |reply, n| if n == 1 { reply } else { reply.cut_after(0) });
    broken(&host, task());
    assert_eq!(host.http.seen().len(), 4);
    let host = ranged(text, 200_000, |reply, n| if n == 1 { reply } else { Reply::error(HttpErrorKind::Connect) });
    broken(&host, task());
    assert_eq!(host.http.seen().len(), 4);
}

#[test]
fn f10_a_date_will_do_as_validator() {
    let text = patients(1000);
    let host = Host::new();
    let dated = |reply: Reply| {
        reply
            .header("Accept-Ranges", "bytes")
            .header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            .header("Date", "later")
    };
    let half = text.len() / 2;
    let range = format!("bytes {half}-{}/{}", text.len() - 1, text.len());
    host.http.on("GET", "/files/1", dated(Reply::ndjson(&text)).cut_after(half));
    host.http.on(
        "GET",
        "/files/1",
        dated(Reply::bytes(206, NDJSON, &text.as_bytes()[half..])).header("Content-Range", &range),
    );
    stored(&host, task());
    assert_eq!(host.http.seen()[1].header("If-Range"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    assert_eq!(host.storage.text(PATH).unwrap(), text);
}

#[test]
fn f12_urls_are_kept_byte_for_byte_and_only_http_is_fetched() {
    let host = served(Reply::ndjson(""));
    let url = "https://ehr.example/files/1;x='a'/%7Eb?sig=a%2Bb%2fc+d&e=%22|";
    stored(&host, TransferTask { url: url.into(), ..task() });
    assert_eq!(host.http.seen()[0].request.url, url);
    for url in ["file:///etc/passwd", "ftp://ehr.example/x", "data:text/plain,x", "/files/1", ""] {
        let host = served(Reply::ndjson(""));
        assert_eq!(broken(&host, TransferTask { url: url.into(), ..task() }).0, HttpErrorKind::Invalid, "{url}");
        assert!(host.http.seen().is_empty());
    }
}

#[test]
fn f12_a_full_disk_is_told_as_such() {
    let text = patients(2000);
    for compress in [true, false] {
        let host = served(Reply::ndjson(&text));
        host.storage.set_capacity(Some(10_000));
        let error = host.run(host.transfers().transfer(TransferTask { compress, ..task() }, &|_| {})).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Quota);
        assert!(error.retry && error.hint.is_some());
        assert_eq!(host.storage.paths(), [""; 0]);
    }
}
