//! The client: retries, waits, redirects, bodies, URLs, redaction.

use std::io::Write;
use std::time::Duration;

use smart_fetch::auth::ScopeRequest;
use smart_fetch::config::{AuthConfig, ServerConfig};
use smart_fetch::http::{Call, Client, Reply as Answer, Retry, parse_retry_after, redact, redirect, url, wait};
use smart_fetch::platform::{HttpErrorKind, Method};
use smart_fetch::testing::{Host, Reply, Seen};
use smart_fetch::{ErrorKind, Result};

const BASE: &str = "https://ehr.example/fhir";
const NOW: i64 = 1_767_323_045_000;

fn config() -> ServerConfig {
    ServerConfig {
        fhir_url: BASE.to_owned(),
        auth: AuthConfig::Bearer { token: "the-token".to_owned() },
        headers: vec![("X-Api-Key".to_owned(), "the-key".to_owned())],
        ..ServerConfig::default()
    }
}

fn send(host: &Host, config: &ServerConfig, call: Call) -> Result<Answer> {
    host.run(async { Client::new(host, config, ScopeRequest::default())?.send(call).await })
}

fn get(host: &Host, path: &str) -> Result<Answer> {
    send(host, &config(), Call::get("test", format!("{BASE}{path}")))
}

fn gaps(seen: &[Seen]) -> Vec<i64> {
    seen.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

#[test]
fn c14_a_kick_off_that_must_wait_is_sent_once_more_and_a_failed_one_is_not() {
    let kick_off = || Call::new("kick-off", Method::Post, format!("{BASE}/$export")).retry(Retry::BeforeSending);
    let host = Host::new();
    host.http.on("POST", "$export", Reply::new(429).header("Retry-After", "1")).on("POST", "$export", Reply::new(202));
    assert_eq!(send(&host, &config(), kick_off()).unwrap().status, 202);
    assert!(gaps(&host.http.seen())[0] >= 1000);

    for status in [500, 502, 504, 429, 503] {
        let host = Host::new();
        host.http.on("POST", "$export", Reply::outcome(status, "error", "exception", "broken"));
        let reply = send(&host, &config(), kick_off()).unwrap();
        assert_eq!((reply.status, reply.text().contains("broken")), (status, true));
        assert_eq!(host.http.seen().len(), 1, "{status}");
    }
    for kind in [HttpErrorKind::Timeout, HttpErrorKind::Interrupted, HttpErrorKind::Blocked] {
        let host = Host::new();
        host.http.on("POST", "$export", Reply::error(kind)).on("POST", "$export", Reply::new(202));
        let error = send(&host, &config(), kick_off()).unwrap_err();
        assert_eq!((error.kind, error.retry), (ErrorKind::Network, true));
        assert_eq!(host.http.seen().len(), 1, "{kind:?}");
    }
    let host = Host::new();
    host.http.on("POST", "$export", Reply::error(HttpErrorKind::Connect)).on("POST", "$export", Reply::new(202));
    assert_eq!(send(&host, &config(), kick_off()).unwrap().status, 202);
}

fn asked(value: &str) -> Option<Duration> {
    parse_retry_after(Some(value), Some("Fri, 02 Jan 2026 03:00:00 GMT"), NOW)
}

#[test]
fn d02_retry_after_in_seconds_is_the_least_wait() {
    assert_eq!(asked("2"), Some(Duration::from_secs(2)));
    assert_eq!(asked(" 7200 "), Some(Duration::from_secs(7200)));
    assert_eq!(asked("0"), Some(Duration::ZERO));
    assert_eq!(asked("1.5"), Some(Duration::from_millis(1500)));
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(503).header("Retry-After", "2")).on("GET", BASE, Reply::new(200));
    get(&host, "/x").unwrap();
    assert!((2000..2100).contains(&gaps(&host.http.seen())[0]));
}

#[test]
fn d03_retry_after_as_a_date_counts_from_the_servers_own_date() {
    assert_eq!(asked("Fri, 02 Jan 2026 03:00:03 GMT"), Some(Duration::from_secs(3)));
    assert_eq!(asked("Friday, 02-Jan-26 03:00:03 GMT"), Some(Duration::from_secs(3)));
    assert_eq!(asked("Fri Jan  2 03:00:03 2026"), Some(Duration::from_secs(3)));
    assert_eq!(asked("Fri, 02 Jan 2026 02:59:00 GMT"), Some(Duration::ZERO));
    // Without Date our own clock is all there is.
    let ours = parse_retry_after(Some("Fri, 02 Jan 2026 03:04:15 GMT"), None, NOW);
    assert_eq!(ours, Some(Duration::from_secs(10)));
}

#[test]
fn d04_odd_values_of_retry_after_are_read_as_unix_time_or_ignored() {
    // 2026-01-02T03:00:30Z, half a minute after the server's Date.
    assert_eq!(asked("1767322830"), Some(Duration::from_secs(30)));
    assert_eq!(asked("1767322830000"), Some(Duration::from_secs(30)));
    for odd in
        ["", "-1", "soon", "NaN", "inf", "1e300", "99999999999999999999", "3000000", "1000000000", "1795250282997"]
    {
        assert_eq!(asked(odd), None, "{odd}");
    }
    assert_eq!(asked("Fri, 02 Jan 2099 03:00:03 GMT"), None);
    assert_eq!(parse_retry_after(None, None, NOW), None);
}

#[test]
fn d06_a_wait_is_the_longer_of_both_and_capped() {
    let seconds = Duration::from_secs;
    assert_eq!(wait(seconds(60), Some(seconds(2)), seconds(300)), seconds(60));
    assert_eq!(wait(seconds(60), Some(seconds(120)), seconds(300)), seconds(120));
    assert_eq!(wait(seconds(1), Some(seconds(7200)), seconds(5)), seconds(5));
    assert_eq!(wait(seconds(1), None, seconds(5)), seconds(1));
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(503).header("Retry-After", "7200")).on("GET", BASE, Reply::new(200));
    host.run(async {
        let client = Client::new(&host, &config(), ScopeRequest::default()).unwrap().with_max_wait(seconds(5));
        client.send(Call::get("test", format!("{BASE}/x"))).await.unwrap();
    });
    assert_eq!(gaps(&host.http.seen()), [5000]);
}

#[test]
fn d11_transient_failures_are_retried_by_the_delays_and_then_reported() {
    for failure in [
        Reply::new(408),
        Reply::new(500),
        Reply::new(502),
        Reply::new(504),
        Reply::error(HttpErrorKind::Interrupted),
        Reply::error(HttpErrorKind::Timeout),
        Reply::error(HttpErrorKind::Connect),
        Reply::json(200, "{\"a\":1}").cut_after(3),
    ] {
        let host = Host::new();
        host.http.on("GET", BASE, Reply::new(500)).on("GET", BASE, failure).on("GET", BASE, Reply::new(200));
        assert_eq!(get(&host, "/x").unwrap().status, 200);
        let gaps = gaps(&host.http.seen());
        assert!((48_000..=72_000).contains(&gaps[0]) && (96_000..=144_000).contains(&gaps[1]), "{gaps:?}");
    }
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(502));
    assert_eq!(get(&host, "/x").unwrap().status, 502);
    assert_eq!(host.http.seen().len(), 5);
    for status in [400, 403, 404, 410, 501] {
        let host = Host::new();
        host.http.on("GET", BASE, Reply::new(status));
        assert_eq!(get(&host, "/x").unwrap().status, status);
        assert_eq!(host.http.seen().len(), 1);
    }
}

#[test]
fn d11_an_endless_network_failure_says_so_and_can_be_resumed() {
    let host = Host::new();
    host.http.on("GET", "/ok", Reply::new(200)).on("GET", "/x", Reply::error(HttpErrorKind::Interrupted));
    let error = host.run(async {
        let client = Client::new(&host, &config(), ScopeRequest::default()).unwrap();
        client.send(Call::get("test", format!("{BASE}/ok"))).await.unwrap();
        client.send(Call::get("status", format!("{BASE}/x?secret=1"))).await.unwrap_err()
    });
    assert_eq!((error.kind, error.retry, error.operation.as_str()), (ErrorKind::Network, true, "status"));
    assert!(
        error.message.contains("https://ehr.example/fhir/x?…: ") && error.message.contains("tried 5 times"),
        "{error}"
    );
}

#[test]
fn d11_no_delays_mean_no_retries_and_a_short_call_waits_seconds() {
    let none = ServerConfig { retry_delays: Some(Vec::new()), ..config() };
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(500));
    assert_eq!(send(&host, &none, Call::get("test", BASE)).unwrap().status, 500);
    assert_eq!(host.http.seen().len(), 1);
    for reply in [Reply::new(500), Reply::new(503).header("Retry-After", "3600"), Reply::new(429)] {
        let host = Host::new();
        host.http.on("GET", BASE, reply);
        let start = host.clock_millis();
        send(&host, &config(), Call::get("hint", BASE).retry(Retry::Brief)).unwrap();
        assert!(host.http.seen().len() <= 3);
        assert!(host.clock_millis() - start < 10_000);
    }
}

#[test]
fn d14_status_redirects_are_followed_and_the_token_decided_at_each_hop() {
    let host = Host::new();
    host.http.on("GET", &format!("{BASE}/status"), Reply::new(307).header("Location", "../elsewhere?x=%2B"));
    host.http.on("GET", "https://ehr.example/elsewhere", Reply::new(307).header("Location", "https://other.example/s"));
    host.http.on("GET", "https://other.example/s", Reply::new(302).header("Location", "https://ehr.example/last"));
    host.http.on("GET", "https://ehr.example/last", Reply::json(200, "{}"));
    let reply = get(&host, "/status").unwrap();
    assert_eq!((reply.status, reply.url.as_str()), (200, "https://ehr.example/last"));
    let seen = host.http.seen();
    assert_eq!(seen[1].request.url, "https://ehr.example/elsewhere?x=%2B");
    let tokens: Vec<Option<&str>> = seen.iter().map(|s| s.header("Authorization")).collect();
    assert_eq!(tokens, [Some("Bearer the-token"), Some("Bearer the-token"), None, Some("Bearer the-token")]);
    let keys: Vec<bool> = seen.iter().map(|s| s.header("X-Api-Key").is_some()).collect();
    assert_eq!(keys, [true, true, false, true]);
}

#[test]
fn f05_every_kind_of_redirect_drops_the_token_at_another_origin() {
    for status in [301, 302, 303, 307, 308] {
        for to in ["https://ehr.example:8443/x", "https://ehr.example.evil.example/x", "//evil.example/x"] {
            let host = Host::new();
            host.http.on("GET", BASE, Reply::new(status).header("Location", to)).on("GET", "/x", Reply::new(200));
            host.http.off("GET", "/x").on("GET", ":8443/x", Reply::new(200)).on(
                "GET",
                "evil.example/x",
                Reply::new(200),
            );
            assert_eq!(get(&host, "/file").unwrap().status, 200);
            let last = host.http.seen().pop().unwrap();
            assert_eq!((last.header("Authorization"), last.header("X-Api-Key")), (None, None), "{}", last.line());
        }
    }
}

#[test]
fn f05_an_allowed_origin_gets_the_token_but_not_the_custom_headers() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(307).header("Location", "https://files.example/x"));
    host.http.on("GET", "https://files.example/x", Reply::new(200));
    let config = ServerConfig { token_origins: vec!["https://FILES.example:443/".to_owned()], ..config() };
    send(&host, &config, Call::get("test", BASE)).unwrap();
    let last = host.http.seen().pop().unwrap();
    assert_eq!((last.header("Authorization"), last.header("X-Api-Key")), (Some("Bearer the-token"), None));
}

#[test]
fn f05_https_never_becomes_http_and_redirects_are_bounded() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(307).header("Location", "http://ehr.example/fhir/file?sig=abcdef"));
    let error = get(&host, "/file").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Insecure);
    assert!(!error.to_string().contains("abcdef"), "{error}");
    assert_eq!(host.http.seen().len(), 1);
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(307).header("Location", "x"));
    let error = get(&host, "/file").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert_eq!(host.http.seen().len(), redirect::MAX_HOPS + 1);
    for odd in ["ftp://ehr.example/x", "https://me:pw@ehr.example/x", "https://e\\vil.example/", "javascript:1"] {
        let host = Host::new();
        host.http.on("GET", BASE, Reply::new(307).header("Location", odd));
        assert_eq!(get(&host, "/file").unwrap_err().kind, ErrorKind::Protocol, "{odd}");
    }
}

#[test]
fn f05_a_body_is_sent_on_within_the_server_only_and_303_makes_a_get() {
    let post = || Call::new("kick-off", Method::Post, format!("{BASE}/$export")).body("application/fhir+json", "{}");
    for (status, method, body) in [(303, Method::Get, None), (307, Method::Post, Some(b"{}".to_vec()))] {
        let host = Host::new();
        host.http.on("POST", "$export", Reply::new(status).header("Location", "/new"));
        host.http.on("POST", "/new", Reply::new(202)).on("GET", "/new", Reply::new(202));
        assert_eq!(send(&host, &config(), post()).unwrap().status, 202);
        let last = host.http.seen().pop().unwrap();
        assert_eq!((last.request.method, &last.request.body), (method, &body));
        assert_eq!(last.header("Content-Type").is_some(), body.is_some());
    }
    let host = Host::new();
    host.http.on("POST", "$export", Reply::new(307).header("Location", "https://other.example/new"));
    let error = send(&host, &config(), post()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Insecure);
    assert!(error.to_string().contains("--token-origin https://other.example"), "{error}");
    assert_eq!(host.http.seen().len(), 1);
}

#[test]
fn f02_gzip_is_asked_for_and_small_bodies_are_decoded_within_bounds() {
    let gzip = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let reply = |bytes: Vec<u8>| Reply::bytes(200, "application/json", bytes).header("Content-Encoding", "gzip");
    let host = Host::new();
    let two_members = [gzip(b"{\"a\":"), gzip(b"1}")].concat();
    host.http.on("GET", "/a", reply(two_members)).on("GET", "/empty", reply(Vec::new()));
    host.http.on("GET", "/bomb", reply(gzip(&vec![b' '; 1 << 20])));
    let torn = gzip(b"{\"a\": 123456789}");
    host.http.on("GET", "/torn", reply(torn[..torn.len() - 4].to_vec())).on("GET", "/torn", reply(torn));
    assert_eq!(get(&host, "/a").unwrap().body, b"{\"a\":1}");
    assert_eq!(get(&host, "/empty").unwrap().body, b"");
    assert_eq!(get(&host, "/torn").unwrap().body, b"{\"a\": 123456789}");
    let mut bomb = Call::get("test", format!("{BASE}/bomb"));
    bomb.max_body = 1 << 16;
    assert_eq!(send(&host, &config(), bomb).unwrap_err().kind, ErrorKind::Protocol);
    assert!(host.http.seen().iter().all(|s| s.header("Accept-Encoding") == Some("gzip")));
}

#[test]
fn f09_a_body_is_bounded_and_a_stalled_one_is_tried_again() {
    let host = Host::new();
    host.http.on("GET", "/long", Reply::bytes(200, "text/plain", vec![b'x'; 1000]).in_chunks(100, Duration::ZERO));
    let mut call = Call::get("test", format!("{BASE}/long"));
    call.max_body = 999;
    let error = send(&host, &config(), call).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("larger than 999 bytes"), "{error}");
    host.http.on("GET", "/slow", Reply::json(200, "{}").in_chunks(1, Duration::from_secs(3600)));
    host.http.on("GET", "/slow", Reply::json(200, "{}"));
    assert_eq!(get(&host, "/slow").unwrap().body, b"{}");
}

#[test]
fn f11_a_token_that_expires_between_tries_is_replaced() {
    use crate::smart_server::{self as smart, serve_configuration, serve_tokens};
    let host = smart::host();
    serve_configuration(&host, serde_json::json!({}));
    serve_tokens(&host, 30);
    let file = format!("{}/file", smart::BASE);
    host.http.on("GET", &file, Reply::new(500)).on("GET", &file, Reply::new(500)).on("GET", &file, Reply::new(200));
    host.run(async {
        let client = Client::new(&host, &smart::config(), ScopeRequest::default()).unwrap();
        assert_eq!(client.send(Call::get("download", file.clone())).await.unwrap().status, 200);
    });
    let seen = host.http.seen_with("/file");
    let tokens: Vec<_> = seen.iter().map(|s| s.header("Authorization").unwrap()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2", "Bearer token-3"]);
}

#[test]
fn f12_urls_are_kept_byte_for_byte_and_only_http() {
    let host = Host::new();
    let client = Client::new(&host, &config(), ScopeRequest::default()).unwrap();
    let base = "https://ehr.example/fhir/status/1?x=/a/b";
    for exact in [
        "https://files.example/a%2Bb/./c/../d?sig=a%2Bb+c%3D%3D&x='~!*()",
        "HTTPS://Files.Example:443/%7euser",
        "https://files.example",
        "http://[::1]:8080/x#y",
    ] {
        assert_eq!(client.resolve(exact, base).unwrap(), exact);
    }
    for bad in [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:evil.example",
        "https:///evil.example",
        "https://a b/",
        "https://user@ehr.example/",
        "https://ehr.example\\.evil.example/",
        "https://ehr.example:x/",
        "https://ehr.example:99999/",
        "https://ehr。example/",
        "https://ehr.example/\r\nX: y",
    ] {
        let error = client.resolve(bad, base).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{bad}");
    }
}

#[test]
fn h06_relative_references_resolve_as_rfc_3986_says() {
    let base = "http://a/b/c/d;p?q";
    // RFC 3986 §5.4, those that stay http.
    for (reference, expected) in [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
    ] {
        assert_eq!(url::resolve(reference, base).unwrap(), expected, "{reference}");
    }
    assert_eq!(url::resolve("x", "https://a.example").unwrap(), "https://a.example/x");
    assert_eq!(url::resolve("?page=2", "https://a.example/m?page=1#z").unwrap(), "https://a.example/m?page=2");
}

#[test]
fn wrong_prefixes_of_the_servers_own_addresses_are_rewritten() {
    let rewrite_urls = vec![("http://internal:8080/".to_owned(), "https://ehr.example/".to_owned())];
    let config = ServerConfig { rewrite_urls, ..config() };
    let host = Host::new();
    host.http.on("GET", &format!("{BASE}/a"), Reply::new(307).header("Location", "http://internal:8080/fhir/b?x=1"));
    host.http.on("GET", &format!("{BASE}/b"), Reply::new(200));
    let reply = send(&host, &config, Call::get("test", format!("{BASE}/a"))).unwrap();
    assert_eq!(reply.url, "https://ehr.example/fhir/b?x=1");
    assert_eq!(host.http.seen()[1].header("Authorization"), Some("Bearer the-token"));
    let client = Client::new(&host, &config, ScopeRequest::default()).unwrap();
    assert_eq!(client.resolve("http://internal:8080/fhir/c", BASE).unwrap(), "https://ehr.example/fhir/c");
    assert_eq!(client.resolve("http://internal:8081/fhir/c", BASE).unwrap(), "http://internal:8081/fhir/c");
    let rewrite_urls = vec![("http://internal".to_owned(), "https://ehr.example".to_owned())];
    let client_config = ServerConfig { rewrite_urls, ..config };
    let client = Client::new(&host, &client_config, ScopeRequest::default()).unwrap();
    assert_eq!(client.resolve("http://internal/c", BASE).unwrap(), "https://ehr.example/c");
    assert_eq!(client.resolve("http://internal.evil.example/c", BASE).unwrap(), "http://internal.evil.example/c");
}

#[test]
fn base_urls_are_checked_and_joined() {
    let host = Host::new();
    let new = |fhir_url: &str| {
        let config = ServerConfig { fhir_url: fhir_url.to_owned(), ..config() };
        Client::new(&host, &config, ScopeRequest::default())
    };
    for bad in
        ["", "ehr.example/fhir", "ftp://ehr.example", "https://", "https://ehr.example/fhir?x=1", "https://e/f#g"]
    {
        let error = new(bad).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Usage, "{bad}");
    }
    let error = new("https://me:canary@ehr.example/fhir").err().unwrap();
    assert!(!error.to_string().contains("canary"), "{error}");
    let client = new("https://ehr.example/a/b//").unwrap();
    assert_eq!(client.base(), "https://ehr.example/a/b");
    assert_eq!(client.url("Patient/$export"), "https://ehr.example/a/b/Patient/$export");
    assert_eq!(client.url("/metadata"), "https://ehr.example/a/b/metadata");
    assert_eq!(client.url(""), "https://ehr.example/a/b");
}

#[test]
fn headers_that_could_smuggle_others_in_are_refused() {
    let host = Host::new();
    for (name, value) in [("X Y", "z"), ("", "z"), ("X", "a\r\nAuthorization: b"), ("X", "ä"), ("X:", "z")] {
        let config = ServerConfig { headers: vec![(name.to_owned(), value.to_owned())], ..config() };
        let error = Client::new(&host, &config, ScopeRequest::default()).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Usage, "{name}");
    }
    let config = ServerConfig { headers: vec![("authorization".to_owned(), "Basic x".to_owned())], ..config() };
    let error = Client::new(&host, &config, ScopeRequest::default()).err().unwrap();
    assert!(error.to_string().contains("Authorization"), "{error}");
    let config = ServerConfig { auth: AuthConfig::None, ..config };
    assert!(Client::new(&host, &config, ScopeRequest::default()).is_ok());
}

#[test]
fn custom_headers_take_the_place_of_our_own() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(200));
    let config = ServerConfig { headers: vec![("accept".to_owned(), "application/json".to_owned())], ..config() };
    send(&host, &config, Call::get("test", BASE).header("Accept", "application/fhir+json")).unwrap();
    let headers = host.http.seen()[0].request.headers.clone();
    let accept: Vec<_> = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept")).collect();
    assert_eq!(accept, [&("accept".to_owned(), "application/json".to_owned())]);
}

#[test]
fn epic_is_told_the_client_id_at_its_own_origin_only() {
    let host = crate::smart_server::host();
    let config = crate::smart_server::config();
    host.http.on("GET", "https://", Reply::new(200));
    host.run(async {
        let client = Client::new(&host, &config, ScopeRequest::default()).unwrap();
        client.send(Call::get("test", client.url("a")).open()).await.unwrap();
        client.identify_to_epic();
        client.send(Call::get("test", client.url("b")).open()).await.unwrap();
        client.send(Call::get("test", "https://other.example/").open()).await.unwrap();
    });
    let seen: Vec<_> = host.http.seen().iter().map(|s| s.header("Epic-Client-ID").map(str::to_owned)).collect();
    assert_eq!(seen, [None, Some("client-1".to_owned()), None]);
}

#[test]
fn a_blocked_request_is_tried_again_only_where_the_server_was_reached_before() {
    let host = Host::new();
    host.http.on("GET", "/x", Reply::error(HttpErrorKind::Blocked));
    let start = host.clock_millis();
    let error = get(&host, "/x").unwrap_err();
    assert!(error.to_string().contains("CORS"), "{error}");
    assert!(host.clock_millis() - start < 10_000);
}

#[test]
fn text_is_shown_without_secrets() {
    let jwt = "eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJ4In0.c2ln";
    for (given, expected) in [
        ("at https://u:p@h.example/a/b?sig=1#x, then", "at https://h.example/a/b?…, then"),
        ("'https://h.example/a?b=c' and http://i/?d", "'https://h.example/a?…' and http://i/?…"),
        ("Authorization: Bearer abcdefghij.k", "Authorization: Bearer [redacted]"),
        ("authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==.", "authorization: Basic [redacted]"),
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== x", "Basic [redacted] x"),
        ("Basic metabolic panel", "Basic metabolic panel"),
        (r#"{"access_token":"abc","x":1}"#, r#"{"access_token":"[redacted]","x":1}"#),
        (r#"{\"access_token\":\"abc\"}"#, r#"{\"access_token\":\"[redacted]\"}"#),
        ("client_assertion=abc&scope=system", "client_assertion=[redacted]&scope=system"),
        ("file?sig=abc&x=1", "file?sig=[redacted]&x=1"),
        (r#"{"kty":"EC","d":"abcdefghijklmnopqrst"}"#, r#"{"kty":"EC","d":"[redacted]"}"#),
        (r#"{"d":"short"}"#, r#"{"d":"short"}"#),
        ("token: expired", "token: expired"),
        ("é: 'ü' = https://é", "é: 'ü' = https://é"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY----- x", "[redacted] x"),
        ("-----BEGIN PRIVATE KEY-----\nabc", "[redacted]"),
        ("", ""),
    ] {
        assert_eq!(redact::text(given), expected);
    }
    assert_eq!(redact::text(&format!("bad assertion {jwt}.")), "bad assertion [redacted]");
    assert_eq!(redact::known("got the-token!", &["the-token".to_owned()]), "got [redacted]!");
    assert_eq!(redact::url("https://h.example/a"), "https://h.example/a");
}

#[test]
fn f06_a_file_on_another_origin_is_asked_for_without_the_token_and_the_refusal_says_why() {
    use crate::export;
    let run = |allowed: bool| {
        let host = Host::new();
        let mut files = export::usual();
        files[0].entry["url"] = serde_json::json!("https://files.example/p1");
        export::serve(&host, &files);
        let mut manifest = export::manifest(&files);
        manifest["requiresAccessToken"] = serde_json::json!(true);
        let status = Reply::bytes(200, "application/json", manifest.to_string());
        host.http.off("GET", "/jobs/1").on("GET", "/jobs/1", status);
        let body = files[0].body.clone();
        host.http.on_call("GET", "https://files.example/p1", move |request| {
            let sent = request.headers.iter().any(|(name, _)| name == "Authorization");
            if sent { Reply::ndjson(&body) } else { Reply::new(401) }
        });
        let mut config = export::config();
        config.server.auth = AuthConfig::Bearer { token: "the-token".to_owned() };
        if allowed {
            config.server.token_origins = vec!["https://files.example".to_owned()];
        }
        let report = export::export(&host, &config).unwrap();
        (report.exit_status, host.http.seen_with("files.example").len(), format!("{:?}", host.events()))
    };
    let (exit_status, asked, events) = run(false);
    assert_eq!((exit_status, asked), (3, 1));
    assert!(events.contains("allow it with --token-origin https://files.example"), "{events}");
    assert_eq!(run(true).0, 0);
}
