//! Politeness: how many requests at once, and what a busy server costs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use futures_util::stream::{self, FuturesUnordered};
use smart_fetch::auth::ScopeRequest;
use smart_fetch::config::ServerConfig;
use smart_fetch::event::Event;
use smart_fetch::http::{Call, Client, Politeness, Retry};
use smart_fetch::platform::Clock;
use smart_fetch::testing::{Host, Reply};

use crate::export::{Served, export, serve, served};

const BASE: &str = "https://ehr.example/fhir";

fn client(host: &Host, max_connections: u32) -> Client<'_, Host> {
    let config = ServerConfig { fhir_url: BASE.to_owned(), max_connections, ..ServerConfig::default() };
    Client::new(host, &config, ScopeRequest::default()).unwrap()
}

/// Fetches `files` tiny files from a server that serves at most `most` at once; returns the time that it took in
/// milliseconds and the requests that were turned away.
fn fetch_many(files: u32, most: u32, max_connections: u32, refusal: Reply, delay: fn(u32) -> u64) -> (i64, usize) {
    let host = Host::new();
    let turned_away = refusal.status;
    host.http.busy_above(most, refusal);
    host.http.on_call("GET", "/file/", move |request| {
        let number = request.url.rsplit('/').next().unwrap().parse().unwrap();
        Reply::ndjson("{}\n").after(Duration::from_millis(delay(number)))
    });
    let start = host.clock_millis();
    let client = client(&host, max_connections);
    host.run(async {
        // As the download does: more files under way than may be in flight.
        let all = stream::iter(0..files).map(|n| client.send(Call::get("download", format!("{BASE}/file/{n}"))));
        let statuses: Vec<u16> = all.buffer_unordered(16).map(|reply| reply.unwrap().status).collect().await;
        assert_eq!(statuses.len(), files as usize);
        assert!(statuses.iter().all(|status| *status == 200 && *status != turned_away));
    });
    assert!(host.http.max_active() <= most);
    (host.clock_millis() - start, host.http.seen().len() - files as usize)
}

/// A refusal takes a moment, so that a burst is on its way before the first one is known.
fn busy() -> Reply {
    Reply::new(429).after(Duration::from_millis(2))
}

fn even(_: u32) -> u64 {
    20
}

fn uneven(number: u32) -> u64 {
    [3, 50, 8, 20, 140, 5, 30][number as usize % 7]
}

#[test]
fn a_server_with_a_hard_limit_costs_little_more_than_knowing_it() {
    for delay in [even, uneven] {
        for (most, max) in [(3, 5), (3, 16), (1, 5), (4, 64)] {
            let (known, none) = fetch_many(1500, most, most, busy(), delay);
            assert_eq!(none, 0);
            let (found, refused) = fetch_many(1500, most, max, busy(), delay);
            assert!(found < known * 11 / 10, "{found} ms against {known} ms at {most} of {max}");
            assert!(
                refused <= max as usize - most as usize + 8,
                "{refused} requests were turned away at {most} of {max}"
            );
        }
    }
}

#[test]
fn a_server_that_asks_for_a_second_with_each_refusal_costs_little_more_than_that() {
    // 2 ms a file: the whole run takes a second, so that each refusal with its gate would double it.
    for delay in [even, |_| 2] {
        let refusal = || Reply::new(503).header("Retry-After", "1").after(Duration::from_millis(2));
        let (known, _) = fetch_many(1500, 3, 3, refusal(), delay);
        let (found, refused) = fetch_many(1500, 3, 5, refusal(), delay);
        assert!(found <= known + 1500, "{found} ms against {known} ms");
        assert!(refused <= 4, "{refused}");
    }
}

#[test]
fn a_limit_that_goes_away_is_found_again() {
    let host = Host::new();
    host.http.busy_above(1, Reply::new(429));
    host.http.on("GET", "/file/", Reply::ndjson("{}\n").after(Duration::from_millis(10)));
    let client = client(&host, 8);
    let fetch = async |files: u32| {
        let all = stream::iter(0..files).map(|n| client.send(Call::get("download", format!("{BASE}/file/{n}"))));
        all.buffer_unordered(16).map(|reply| assert_eq!(reply.unwrap().status, 200)).collect::<Vec<_>>().await;
    };
    host.run(fetch(100));
    assert!(client.politeness().limit(BASE) <= 2);
    host.http.busy_above(100, Reply::new(429));
    host.run(fetch(1000));
    assert_eq!(client.politeness().limit(BASE), 8);
    assert_eq!(client.politeness().active(), 0);
}

#[test]
fn each_refusal_of_a_burst_is_one_request_too_many() {
    let host = Host::new();
    let politeness = Politeness::new(&host, 8);
    host.run(async {
        let permits = join_all((0..8).map(|_| politeness.admit(BASE))).await;
        assert_eq!(politeness.active(), 8);
        for (number, permit) in permits.into_iter().enumerate() {
            if number < 5 { permit.throttled(None) } else { permit.succeeded() }
        }
        assert_eq!((politeness.limit(BASE), politeness.active()), (3, 0));
        for _ in 0..10 {
            politeness.admit(BASE).await.throttled(None);
        }
        assert_eq!(politeness.limit(BASE), 1);
        assert_eq!(politeness.limit("https://other.example/"), 8);
    });
}

#[test]
fn a_gate_holds_everybody_for_that_origin_back_and_nobody_else() {
    let host = Host::new();
    let politeness = Politeness::new(&host, 4);
    host.run(async {
        let start = host.clock_millis();
        politeness.admit(BASE).await.throttled(Some(Duration::from_secs(30)));
        drop(politeness.admit("https://other.example/").await);
        assert_eq!(host.clock_millis(), start);
        let times = join_all((0..6).map(|_| async {
            let permit = politeness.admit(BASE).await;
            let at = host.clock_millis();
            permit.succeeded();
            at - start
        }));
        assert!(times.await.into_iter().all(|time| time == 30_000));
    });
}

#[test]
fn whoever_comes_first_is_admitted_first_and_a_place_given_up_is_passed_on() {
    let host = Host::new();
    let politeness = Politeness::new(&host, 1);
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    host.run(async {
        let held = politeness.admit(BASE).await;
        let mut waiting = FuturesUnordered::new();
        for number in 0..5 {
            let (order, politeness, clock) = (order.clone(), &politeness, &host.clock);
            waiting.push(async move {
                if number == 1 {
                    // Leaves the queue while it waits.
                    let admit = std::pin::pin!(politeness.admit(BASE));
                    let sleep = std::pin::pin!(clock.sleep(Duration::from_millis(5)));
                    futures_util::future::select(admit, sleep).await;
                    return;
                }
                let permit = politeness.admit(BASE).await;
                order.borrow_mut().push(number);
                clock.sleep(Duration::from_millis(1)).await;
                permit.succeeded();
            });
        }
        let release = async {
            host.clock.sleep(Duration::from_millis(10)).await;
            held.succeeded();
        };
        join(release, async { while waiting.next().await.is_some() {} }).await;
    });
    assert_eq!(*order.borrow(), [0, 2, 3, 4]);
    assert_eq!(politeness.active(), 0);
}

#[test]
fn a_server_that_only_ever_says_429_is_given_up_after_the_budget() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(429));
    let start = host.clock_millis();
    let reply = host.run(async { client(&host, 5).send(Call::get("status", BASE)).await.unwrap() });
    assert_eq!(reply.status, 429);
    // One cheap try, and the four of the budget: 1, 2, 4 and 8 minutes, a fifth more or less.
    assert_eq!(host.http.seen().len(), 6);
    let minutes = (host.clock_millis() - start) / 60_000;
    assert!((12..=18).contains(&minutes), "{minutes}");
}

#[test]
fn retry_after_is_obeyed_by_all_and_bounded() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(429).header("Retry-After", "20"));
    let reply = host.run(async { client(&host, 5).send(Call::get("status", BASE)).await.unwrap() });
    assert_eq!(reply.status, 429);
    let seen = host.http.seen();
    assert!(seen.windows(2).all(|pair| pair[1].at - pair[0].at >= 20_000));
    assert!(seen.len() < 40, "{}", seen.len());
}

#[test]
fn waits_are_told() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(429).header("Retry-After", "20")).on("GET", BASE, Reply::new(502));
    host.http.on("GET", BASE, Reply::new(200));
    host.run(async { client(&host, 5).send(Call::get("status", format!("{BASE}?secret=1"))).await.unwrap() });
    let waits: Vec<(String, u64, String)> = host
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Waiting { reason, millis, message, .. } => Some((reason, millis, message.unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(waits.len(), 2);
    assert_eq!((waits[0].0.as_str(), waits[0].1), ("throttled", 20_000));
    assert_eq!(waits[0].2, "https://ehr.example/fhir?… answered 429 (status).");
    assert_eq!(waits[1].0, "retry");
    assert!((48_000..=72_000).contains(&waits[1].1), "{}", waits[1].1);
}

#[test]
fn a_call_that_waits_by_itself_still_gates_the_others() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::new(429).header("Retry-After", "20")).on("GET", BASE, Reply::new(200));
    let done = Cell::new(0);
    host.run(async {
        let client = client(&host, 5);
        let start = host.clock_millis();
        assert_eq!(client.send(Call::get("status", BASE).retry(Retry::Never)).await.unwrap().status, 429);
        assert_eq!(host.clock_millis(), start);
        client.send(Call::get("download", format!("{BASE}/file"))).await.unwrap();
        done.set(host.clock_millis() - start);
    });
    assert_eq!(done.get(), 20_000);
}

#[test]
fn an_export_of_many_tiny_files_from_a_server_with_a_hard_limit_takes_no_longer_than_knowing_it() {
    let run = |max_connections: u32| {
        let host = Host::new();
        let files: Vec<Served> = (0..600).map(|i| served("Patient", &format!("n{i}x"), 1)).collect();
        serve(&host, &files);
        for file in &files {
            let path = format!("/files/{}", file.name);
            let slow = Reply::ndjson(&file.body).after(Duration::from_millis(20));
            host.http.off("GET", &path).on("GET", &path, slow);
        }
        let refusal = Reply::outcome(429, "error", "throttled", "Too many requests").after(Duration::from_millis(2));
        host.http.busy_above(3, refusal);
        let mut config = crate::export::config();
        config.server.max_connections = max_connections;
        let start = host.clock_millis();
        let report = export(&host, &config).unwrap();
        assert_eq!((report.exit_status, report.resources), (0, 600));
        host.clock_millis() - start
    };
    let (known, found) = (run(3), run(5));
    assert!(found < known * 5 / 4, "{found} ms against {known} ms");
}
