//! D01 to D15: status polling, in virtual time.

use std::time::Duration;

use smart_fetch::ErrorKind;
use smart_fetch::bulk::poll::{self, Poll, PollConfig, Seen, Step};
use smart_fetch::event::Event;
use smart_fetch::http::Reply as Answer;
use smart_fetch::platform::http::Headers;
use smart_fetch::platform::{Clock, HttpErrorKind, Platform};
use smart_fetch::testing::{Host, Reply};

use crate::protocol::*;

fn host_with(replies: impl IntoIterator<Item = Reply>) -> Host {
    let host = Host::new();
    for reply in replies {
        host.http.on("GET", "/status/1", reply);
    }
    host
}

fn done() -> Reply {
    Reply::json(200, MANIFEST)
}

/// Polls `replies` and then the finished manifest; returns the gaps between requests in seconds.
fn gaps_of(replies: impl IntoIterator<Item = Reply>, config: &PollConfig) -> Vec<f64> {
    let host = host_with(replies.into_iter().chain([done()]));
    poll_with(&host, &server(), config).unwrap();
    gaps(&host.http.seen())
}

fn asking(value: &str) -> Reply {
    Reply::new(202).header("Retry-After", value)
}

fn separate() -> PollConfig {
    PollConfig { separate_status: true, ..poll_config() }
}

fn export_status(status: &str) -> Reply {
    Reply::new(200).header("X-Export-Status", status)
}

#[test]
fn d01_the_http_status_decides_and_the_url_is_asked_verbatim() {
    let url = "https://ehr.example/status/1?sig=a%2Bb&x='";
    let host = host_with([Reply::new(202), Reply::new(202), done()]);
    let client = client(&host, &server());
    let manifest = host.run(poll::run(&client, url, &poll_config(), async |_| Ok(()))).unwrap();
    assert_eq!(manifest.transaction_time, "2026-01-01T00:00:00.123Z");
    assert_eq!(host.http.seen().len(), 3);
    for seen in host.http.seen() {
        assert_eq!(seen.line(), format!("GET {url}"));
        assert_eq!(seen.header("accept"), Some("application/json"));
    }
}

#[test]
fn d02_retry_after_seconds_are_waited() {
    let gaps = gaps_of([asking("2"), asking("90"), asking("0")], &poll_config());
    assert_eq!(gaps, [2.0, 90.0, 1.0]);
}

#[test]
fn d03_a_retry_after_date_is_relative_to_the_servers_own_clock() {
    // The server's clock is an hour off; now is 2026-01-02T03:04:05Z.
    let date = "Fri, 02 Jan 2026 04:04:05 GMT";
    let at = |text: &str| Reply::new(202).header("Date", date).header("Retry-After", text);
    let gaps = gaps_of([at("Fri, 02 Jan 2026 04:04:08 GMT"), at("Fri, 02 Jan 2026 04:00:00 GMT")], &poll_config());
    assert_eq!(gaps, [3.0, 1.0], "the past means the least delay");
}

#[test]
fn d04_absurd_retry_after_is_read_as_unix_time_or_left() {
    let soon_millis = (1_767_323_045_000_i64 + 60_000).to_string();
    let soon_seconds = (1_767_323_045_i64 + 120).to_string();
    let gap = |value: &str| gaps_of([asking(value)], &poll_config())[0];
    assert!((59.0..=60.0).contains(&gap(&soon_millis)));
    assert!((119.0..=120.0).contains(&gap(&soon_seconds)));
    for garbage in ["-5", "soon", "", "NaN", "1e400", "99999999999999999999", "1795250282997"] {
        assert!((1.0..=300.0).contains(&gap(garbage)), "{garbage}: {}", gap(garbage));
    }
}

#[test]
fn d05_our_own_delay_grows_with_jitter_from_a_second_to_the_ceiling() {
    let config = PollConfig { max_delay: seconds(60), ..poll_config() };
    let gaps = gaps_of(std::iter::repeat_n(Reply::new(202), 20), &config);
    assert!((1.0..1.2).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps[..9].windows(2).all(|pair| pair[1] > pair[0] * 1.2), "{gaps:?}");
    assert_eq!(gaps[15..], [60.0; 5], "{gaps:?}");
    // A job of 7 seconds is not overshot by much.
    let host = Host::new();
    let begin = host.clock.now_millis();
    let clock = host.clock.clone();
    host.http.on_call(
        "GET",
        "/status/1",
        move |_| if clock.now_millis() - begin < 7_000 { Reply::new(202) } else { done() },
    );
    poll(&host).unwrap();
    assert!(host.clock.now_millis() - begin < 11_000);
}

#[test]
fn d06_hour_long_hints_are_capped_and_announced() {
    let host = host_with([asking("7200"), asking("7200"), done()]);
    let config = PollConfig { max_delay: seconds(5), ..poll_config() };
    poll_with(&host, &server(), &config).unwrap();
    assert_eq!(gaps(&host.http.seen()), [5.0, 5.0]);
    let announced = |event: &Event| {
        matches!(event, Event::Waiting { reason, millis: 5000, message: Some(text), .. }
            if reason == "status" && text.contains("2h") && text.contains("5s") && text.contains("--max-poll-delay"))
    };
    assert_eq!(host.events().iter().filter(|event| announced(event)).count(), 2, "{:?}", host.events());
}

#[test]
fn d07_429_is_slow_down_and_bounded() {
    let gaps = gaps_of([Reply::new(429), Reply::new(429), Reply::new(202)], &poll_config());
    assert!(gaps[0] >= 2.0 && gaps[1] > gaps[0], "{gaps:?}");
    assert!(gaps[2] >= gaps[1], "the interval stays long: {gaps:?}");
    let asked = gaps_of([Reply::new(429).header("Retry-After", "77")], &poll_config());
    assert!((77.0..78.0).contains(&asked[0]), "{asked:?}");
    let host = host_with([Reply::new(429)]);
    let error = poll(&host).unwrap_err();
    assert_eq!((error.status, error.retry), (Some(429), true));
    assert!(host.http.seen().len() < 30);
}

#[test]
fn d08_progress_is_shown_and_never_needed() {
    let long = "x".repeat(5_000);
    let shown = |text: &str| {
        let host = host_with([Reply::new(202).header("X-Progress", text), done()]);
        assert_eq!(urls(&poll(&host).unwrap()).len(), 1);
        host.events().into_iter().find_map(|e| if let Event::Waiting { progress, .. } = e { progress } else { None })
    };
    assert_eq!(shown("50%").as_deref(), Some("50%"));
    assert_eq!(shown("\"in progress\"").as_deref(), Some("in progress"));
    assert_eq!(shown("bad\u{1b}[2Jtext").as_deref(), Some("bad [2Jtext"));
    assert_eq!(shown(" "), None);
    assert!(shown(&long).unwrap().len() <= 200);
}

#[test]
fn d09_transient_outcomes_are_retried_and_others_end_the_job() {
    for code in ["transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"] {
        let later = || Reply::outcome(500, "error", code, "later");
        assert_eq!(gaps_of([later(), later()], &poll_config()), [60.0, 120.0], "{code}");
    }
    let host = host_with([Reply::outcome(500, "error", "transient", "later")]);
    let error = poll(&host).unwrap_err();
    assert_eq!(host.http.seen().len(), 5, "bounded");
    assert!(error.retry && error.to_string().contains("resume"), "{error}");
    let both = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing","diagnostics":"no disk"},{"severity":"fatal","code":"transient","details":{"text":"and worse"}}]}"#;
    let host = host_with([Reply::json(500, both)]);
    let error = poll(&host).unwrap_err();
    assert_eq!((host.http.seen().len(), error.kind, error.retry), (1, ErrorKind::Server, false));
    assert!(error.message.contains("no disk; and worse"), "all issues are shown: {error}");
}

#[test]
fn d09_a_recovery_gives_back_all_retries() {
    let hiccup = || Reply::outcome(500, "error", "transient", "later");
    let three = [hiccup(), hiccup(), hiccup(), Reply::new(202)];
    let gaps = gaps_of([three.clone(), three].concat(), &poll_config());
    assert_eq!([gaps[0], gaps[4]], [60.0, 60.0]);
}

#[test]
fn d10_outcomes_are_seen_by_their_body_and_a_lost_job_is_terminal() {
    let transient = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient"}]}"#;
    assert_eq!(gaps_of([Reply::bytes(400, "text/plain", transient)], &poll_config()), [60.0]);
    let host = host_with([Reply::bytes(413, "text/html", "<p>Too many files</p>")]);
    let error = poll(&host).unwrap_err();
    assert_eq!((host.http.seen().len(), error.kind), (1, ErrorKind::Server));
    assert!(error.message.ends_with("[413] Too many files"), "{error}");
    for status in [404, 410] {
        let host = host_with([Reply::new(202), Reply::bytes(status, "text/plain", "gone text")]);
        let error = poll(&host).unwrap_err();
        assert_eq!((host.http.seen().len(), error.kind, error.status), (2, ErrorKind::Gone, Some(status)));
        let message = format!("An error occurred when connecting to \"{STATUS}\": [{status}] gone text");
        assert_eq!(error.message, message, "the wording that scripts know");
    }
}

#[test]
fn d11_hiccups_of_the_network_are_retried_and_bounded() {
    let hiccups = [
        Reply::new(502),
        Reply::bytes(500, "text/html", "<h1>proxy</h1>"),
        Reply::error(HttpErrorKind::Connect),
        Reply::error(HttpErrorKind::Timeout),
    ];
    assert_eq!(gaps_of(hiccups, &poll_config()), [60.0, 120.0, 240.0, 480.0]);
    let host = host_with([Reply::error(HttpErrorKind::Interrupted)]);
    let error = poll(&host).unwrap_err();
    assert_eq!((host.http.seen().len(), error.kind, error.retry), (5, ErrorKind::Network, true));
    let host = host_with([Reply::error(HttpErrorKind::Tls)]);
    assert!(!poll(&host).unwrap_err().retry);
    assert_eq!(host.http.seen().len(), 1);
    // A gateway's status is a hiccup whatever words come with it.
    for status in [408, 502, 503, 504] {
        assert_eq!(gaps_of([Reply::outcome(status, "error", "processing", "x")], &poll_config()), [60.0], "{status}");
    }
    // The longer of our own delay and Retry-After.
    assert_eq!(gaps_of([Reply::new(503).header("Retry-After", "200")], &poll_config()), [200.0]);
    assert_eq!(gaps_of([Reply::new(502).header("Retry-After", "1")], &poll_config()), [60.0]);
}

#[test]
fn d12_the_state_of_the_job_comes_from_x_export_status() {
    let partial = Reply::json(200, MANIFEST).header("X-Export-Status", "202 Accepted");
    let whole = Reply::json(200, MANIFEST).header("x-export-status", "200");
    let host = host_with([export_status("202 Accepted"), Reply::new(503), partial, whole]);
    let manifest = poll_with(&host, &server(), &separate()).unwrap();
    assert_eq!((urls(&manifest).len(), host.http.seen().len()), (1, 4));

    let body = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient","diagnostics":"no disk"}]}"#;
    let host = host_with([Reply::json(200, body).header("X-Export-Status", "500 Internal Server Error")]);
    let error = poll_with(&host, &server(), &separate()).unwrap_err();
    assert_eq!((host.http.seen().len(), error.kind, error.status), (1, ErrorKind::Server, Some(500)));
    assert!(error.message.ends_with("[500] no disk"), "{error}");
}

#[test]
fn d12_a_failed_poll_says_nothing_of_the_job() {
    // Not transient by its code, but the job's state is told elsewhere.
    let host = host_with([
        Reply::outcome(500, "error", "processing", "x"),
        Reply::json(200, MANIFEST).header("X-Export-Status", "200 OK"),
    ]);
    assert!(poll_with(&host, &server(), &separate()).is_ok());
    // Without the agreement the header means nothing.
    let host = host_with([Reply::json(200, MANIFEST).header("X-Export-Status", "202")]);
    assert!(poll(&host).is_ok());
    assert_eq!(host.http.seen().len(), 1);
}

#[test]
fn d12_a_missing_x_export_status_is_never_taken_for_done() {
    let host = host_with([done(), Reply::json(200, MANIFEST).header("X-Export-Status", "soon")]);
    let error = poll_with(&host, &server(), &separate()).unwrap_err();
    assert_eq!((host.http.seen().len(), error.kind), (5, ErrorKind::Protocol));
    let mut hidden = done();
    hidden.headers_filtered = true;
    let error = poll_with(&host_with([hidden]), &server(), &separate()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::HiddenHeader);
    assert!(error.to_string().contains("Access-Control-Expose-Headers"));
}

#[test]
fn d13_complete_without_a_manifest_is_a_failure() {
    let fails = |reply: Reply| {
        let host = host_with([reply]);
        let error = poll(&host).unwrap_err();
        assert_eq!(host.http.seen().len(), 1);
        error
    };
    for body in [
        "",
        " \n",
        "<html><body>Please log in</body></html>",
        "[]",
        "{}",
        "null",
        "{\"transactionTime\":\"\"}",
        "{\"transact",
    ] {
        let error = fails(Reply::bytes(200, "application/json", body));
        assert_eq!(error.kind, ErrorKind::Protocol, "{body}: {error}");
        assert!(error.message.contains("in place of a manifest"), "{error}");
    }
    assert!(fails(Reply::bytes(200, "text/html", "<p>Please log in</p>")).message.contains("Please log in"));
    let error = fails(Reply::outcome(200, "error", "processing", "no disk"));
    assert_eq!(error.kind, ErrorKind::Server);
    assert!(error.message.contains("no disk"), "{error}");
    assert_eq!(fails(Reply::new(204)).kind, ErrorKind::Protocol);
    assert_eq!(fails(Reply::new(302)).kind, ErrorKind::Protocol);
}

#[test]
fn d14_redirects_are_followed_without_the_token_to_other_origins() {
    let host = host_with([Reply::new(307).header("Location", "https://jobs.example/j/1")]);
    host.http.on("GET", "jobs.example/j/1", Reply::new(202)).on("GET", "jobs.example/j/1", done());
    assert!(poll_with(&host, &with_token(), &poll_config()).is_ok());
    let seen = host.http.seen();
    assert_eq!(seen.len(), 4);
    for pair in seen.chunks(2) {
        assert_eq!(pair[0].header("authorization"), Some("Bearer tok-secret-1"));
        assert_eq!(pair[1].header("authorization"), None);
    }
    let host = host_with([Reply::new(307).header("Location", STATUS)]);
    assert_eq!(poll(&host).unwrap_err().kind, ErrorKind::Protocol);
    assert!(host.http.seen().len() < 20, "bounded");
    let host = host_with([Reply::new(307).header("Location", "http://ehr.example/status/1")]);
    assert_eq!(poll(&host).unwrap_err().kind, ErrorKind::Insecure);
}

#[test]
fn d15_the_deadline_ends_the_wait_and_the_job_can_be_resumed() {
    let host = host_with([asking("100")]);
    let begin = host.clock.now_millis();
    let config = PollConfig { timeout: seconds(250), ..poll_config() };
    let error = poll_with(&host, &server(), &config).unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::Deadline, true));
    assert!(error.to_string().contains("resume"), "{error}");
    assert!(error.message.starts_with("Timed out waiting for the bulk FHIR export to finish."), "{error}");
    assert_eq!(host.clock.now_millis() - begin, 250_000, "one last look at the deadline itself");
    host.http.on("GET", "/status/1", done());
    let again = host.restarted();
    again.http.off("GET", "/status/1").on("GET", "/status/1", done());
    assert!(poll(&again).is_ok());
}

#[test]
fn d15_a_cancelled_wait_ends_at_once() {
    use futures_util::future::{Either, select};
    let host = host_with([asking("7200")]);
    let client = client(&host, &server());
    let begin = host.clock.now_millis();
    let config = poll_config();
    let cancelled = host.run(async {
        let wait = std::pin::pin!(poll::run(&client, STATUS, &config, async |_| Ok(())));
        let user = std::pin::pin!(host.clock().sleep(Duration::from_millis(1500)));
        matches!(select(wait, user).await, Either::Right(_))
    });
    assert!(cancelled);
    assert_eq!(host.clock.now_millis() - begin, 1500);
    assert_eq!(host.http.seen().len(), 1);
}

/// What the machine says to one 202 with `headers`, given a random number.
fn first_wait(headers: &[(&str, &str)], random: f64) -> Duration {
    let mut machine = Poll::new(STATUS, poll_config());
    let answer = Answer {
        status: 202,
        headers: Headers(headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()),
        headers_filtered: false,
        url: STATUS.into(),
        body: Vec::new(),
        pieces: Vec::new(),
        at_millis: 0,
        credentials: smart_fetch::http::Presented::Nothing,
    };
    let resolve = |reference: &str, _: &str| Ok(reference.to_owned());
    let Step::Wait(pause) = machine.next(Seen::Reply(&answer), 0, random, &resolve) else { panic!() };
    assert_eq!((pause.reason, machine.url()), ("status", STATUS));
    pause.wait
}

#[test]
fn d05_jitter_is_for_our_own_delay_only() {
    assert_eq!(first_wait(&[], 0.0), seconds(1));
    assert_eq!(first_wait(&[], 0.5), Duration::from_millis(1050));
    assert_eq!(first_wait(&[("Retry-After", "7")], 0.5), seconds(7));
}
