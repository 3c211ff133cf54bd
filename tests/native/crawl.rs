//! Crawls against a scripted server, in virtual time: what is kept through failures, kills and reruns.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use smart_fetch::config::{BulkConfig, CohortConfig, ExportConfig, ServerConfig};
use smart_fetch::event::Event;
use smart_fetch::job::{self, CrawlReport, Verdict};
use smart_fetch::platform::HttpErrorKind;
use smart_fetch::testing::{Host, Reply};
use smart_fetch::{ErrorKind, Result};

use crate::export::BASE;

/// What the server does with one search: by type, patient, and how often it was asked before.
type Fault = Rc<dyn Fn(&str, &str, u32) -> Option<Reply>>;

/// A page of a search.
pub fn bundle(resource_type: &str, ids: &[String], next: Option<&str>) -> String {
    let entry: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({"fullUrl": format!("{BASE}/{resource_type}/{id}"), "resource": {
                "resourceType": resource_type, "id": id, "meta": {"lastUpdated": "2025-05-06T07:08:09.5+02:00"},
            }})
        })
        .collect();
    let link: Vec<Value> = next.map(|url| json!({"relation": "next", "url": url})).into_iter().collect();
    json!({"resourceType": "Bundle", "type": "searchset", "link": link, "entry": entry}).to_string()
}

fn query(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

/// A server with `n` patients `p000…`, each with two resources of every type on two pages.
pub fn serve(host: &Host, n: usize, fault: impl Fn(&str, &str, u32) -> Option<Reply> + 'static) {
    let fault: Fault = Rc::new(fault);
    let asked: Rc<RefCell<BTreeMap<String, u32>>> = Rc::default();
    host.http.on("GET", "/metadata", Reply::json(200, &statement(&["Patient", "Condition", "Encounter"]).to_string()));
    host.http.on_call("GET", "/fhir/", move |request| {
        let path = request.url.split("/fhir/").nth(1).unwrap_or_default();
        let kind = path.split('?').next().unwrap_or_default().to_owned();
        let reply = if let Some(ids) = query(&request.url, "_id") {
            if let Some(reply) = fault("Patient", &ids, 0) {
                return reply;
            }
            let known: BTreeSet<String> = (0..n).map(|i| format!("p{i:03}")).collect();
            let ids: Vec<String> = ids.split(',').map(str::to_owned).filter(|id| known.contains(id)).collect();
            Reply::json(200, &bundle("Patient", &ids, None))
        } else {
            let patient = query(&request.url, "patient").unwrap_or_default();
            let page = query(&request.url, "page").is_some();
            let key = format!("{kind}/{patient}/{page}");
            let times = asked.borrow().get(&key).copied().unwrap_or_default();
            asked.borrow_mut().insert(key, times + 1);
            if let Some(reply) = fault(&kind, &patient, times) {
                return reply;
            }
            let next = (!page).then(|| format!("{}&page=2", request.url));
            Reply::json(200, &bundle(&kind, &[format!("{patient}-{}", u8::from(page))], next.as_deref()))
        };
        reply.after(Duration::from_millis(300))
    });
}

pub fn statement(types: &[&str]) -> Value {
    let params = json!([{"name": "_lastUpdated"}, {"name": "patient"}]);
    let resource: Vec<Value> = types.iter().map(|t| json!({"type": t, "searchParam": params})).collect();
    json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": resource}]})
}

pub fn config(patients: usize, types: &[&str]) -> ExportConfig {
    ExportConfig {
        bulk: BulkConfig {
            server: ServerConfig { fhir_url: BASE.into(), ..ServerConfig::default() },
            types: types.iter().map(|t| (*t).to_owned()).collect(),
            compress: false,
            ..BulkConfig::default()
        },
        cohort: CohortConfig { ids: (0..patients).map(|i| format!("p{i:03}")).collect(), ..CohortConfig::default() },
        ..ExportConfig::default()
    }
}

pub fn crawl(host: &Host, config: &ExportConfig) -> Result<CrawlReport> {
    host.run(job::crawl(host, config, std::future::pending()))
}

pub fn metadata(host: &Host) -> Value {
    serde_json::from_str(&host.storage.text(".metadata").unwrap()).unwrap()
}

/// The ids in a file, in order of the text; empty if there is no such file.
pub fn ids(host: &Host, path: &str) -> Vec<String> {
    let text = host.storage.text(path).unwrap_or_default();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = text.lines().map(id).collect();
    ids.sort();
    ids
}

pub fn expected(patients: impl Iterator<Item = usize>) -> Vec<String> {
    patients.flat_map(|i| [format!("p{i:03}-0"), format!("p{i:03}-1")]).collect()
}

pub fn leftovers(host: &Host) -> Vec<String> {
    host.storage.paths().into_iter().filter(|path| path.contains(".part") || path.contains(".tmp")).collect()
}

pub fn no_faults(_: &str, _: &str, _: u32) -> Option<Reply> {
    None
}

#[test]
fn what_a_kill_left_of_the_state_goes_even_if_nothing_is_left_to_do() {
    let host = Host::new();
    serve(&host, 3, no_faults);
    crawl(&host, &config(3, &["Condition"])).unwrap();
    let again = host.restarted();
    again.storage.put(".metadata.tmp", "half");
    assert_eq!(crawl(&again, &config(3, &["Condition"])).unwrap().exit_status, 0);
    assert_eq!(leftovers(&again), [""; 0]);
}

#[test]
fn a_crawl_by_ids_brings_patients_and_their_data() {
    let host = Host::new();
    serve(&host, 30, no_faults);
    let report = crawl(&host, &config(30, &["Patient", "Condition", "Encounter"])).unwrap();
    assert_eq!((report.verdict, report.exit_status, report.patients), (Verdict::Complete, 0, 30));
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..30));
    assert_eq!(ids(&host, "Encounter.ndjson"), expected(0..30));
    assert_eq!(ids(&host, "Patient.ndjson").len(), 30);
    assert_eq!((report.files, report.resources), (3, 150));
    assert_eq!(
        host.storage.paths(),
        [".metadata", "Condition.ndjson", "Encounter.ndjson", "Patient.ndjson", "log.ndjson"]
    );
    let state = metadata(&host);
    assert_eq!(state["complete"], true);
    assert_eq!(state["filters"], json!({"Patient": [], "Encounter": [], "Condition": []}));
    assert_eq!(state["done"]["Condition"], "2025-05-06T07:08:09.500000+02:00", "the newest date that was seen");
    let log = host.storage.text("log.ndjson").unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["eventId"].as_str().unwrap()).collect();
    assert_eq!(names, ["kickoff", "status_complete", "status_page_complete", "manifest_complete", "export_complete"]);
    assert!(events.iter().all(|event| event["exportId"] == "fake-log"));
    assert_eq!(events[1]["eventDetail"]["transactionTime"], "2025-05-06T07:08:09.500000+02:00");
    // All the Patients in one search, everything else patient by patient, never more than five at once.
    assert_eq!(host.http.seen_with("Patient?_id=").len(), 1);
    assert_eq!(host.http.seen_with("Condition?patient=p007").len(), 2);
    assert!(host.http.max_active() <= 5);

    // Again: nothing is left to do.
    let before = host.http.seen().len();
    let again = host.restarted();
    let second = crawl(&again, &config(30, &["Patient", "Condition", "Encounter"])).unwrap();
    assert_eq!(second, report);
    assert_eq!(again.http.seen().len(), before + 1, "only the CapabilityStatement");
    let notes: Vec<Event> = again.events();
    assert!(notes.contains(&Event::Note { message: "Skipping Condition, already done.".into() }));
}

#[test]
fn three_of_a_hundred_fail_and_the_next_run_fetches_just_those() {
    let host = Host::new();
    let well = Rc::new(Cell::new(false));
    let healed = well.clone();
    serve(&host, 100, move |kind, patient, _| match (kind, patient) {
        _ if healed.get() => None,
        ("Condition", "p013") => Some(Reply::outcome(500, "error", "exception", "database down")),
        ("Condition", "p050") => Some(Reply::json(200, r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceT"#)),
        ("Condition", "p099") => Some(Reply::json(200, "{}").after(Duration::from_secs(301))),
        _ => None,
    });
    let config = config(100, &["Patient", "Condition", "Encounter"]);
    let report = crawl(&host, &config).unwrap();
    assert_eq!((report.verdict, report.exit_status), (Verdict::Incomplete, 3));
    assert_eq!(report.missing, BTreeMap::from([("Condition".to_owned(), 3)]));
    let mut named: Vec<(&str, &str)> =
        report.missing_examples.iter().map(|m| (m.patient.as_str(), m.problem.as_str())).collect();
    named.sort_unstable();
    assert_eq!(named.iter().map(|(patient, _)| *patient).collect::<Vec<_>>(), ["p013", "p050", "p099"]);
    assert!(named[0].1.contains("[500] database down"), "{named:?}");
    assert!(named[1].1.contains("no FHIR resource"), "{named:?}");
    assert!(named[2].1.contains("No answer"), "{named:?}");
    let others = || expected((0..100).filter(|i| ![13, 50, 99].contains(i)));
    assert_eq!(ids(&host, "Condition.ndjson"), others());
    assert_eq!(ids(&host, "Encounter.ndjson"), expected(0..100), "the other types are whole");
    let state = metadata(&host);
    assert!(state["done"]["Condition"].is_null() && state["complete"].is_null());
    assert!(state["done"]["Encounter"].is_string());
    let outcomes = host.storage.text("error/OperationOutcome.ndjson").unwrap();
    assert_eq!(outcomes.lines().count(), 3, "{outcomes}");
    assert!(outcomes.contains("database down"));

    // Not well yet: nothing changes, and no error is told twice.
    let again = host.restarted();
    let before = again.http.seen().len();
    let report = crawl(&again, &config).unwrap();
    assert_eq!((report.exit_status, report.missing["Condition"]), (3, 3));
    assert_eq!(again.storage.text("error/OperationOutcome.ndjson").unwrap(), outcomes);
    assert_eq!(ids(&again, "Condition.ndjson"), others());
    let asked: Vec<String> = again.http.seen()[before..].iter().map(|seen| seen.request.url.clone()).collect();
    let only = |url: &String| ["p013", "p050", "p099", "metadata"].iter().any(|part| url.contains(part));
    assert!(asked.iter().all(only), "{asked:?}");

    well.set(true);
    let last = again.restarted();
    let before = last.http.seen().len();
    let report = crawl(&last, &config).unwrap();
    assert_eq!((report.verdict, report.missing.len()), (Verdict::Complete, 0));
    assert_eq!(ids(&last, "Condition.ndjson"), expected(0..100));
    assert_eq!(last.http.seen().len() - before, 1 + 3 * 2, "the statement, and two pages of three patients");
    assert_eq!(metadata(&last)["complete"], true);
    assert!(leftovers(&last).is_empty());
}

#[test]
fn rows_that_hydration_has_changed_are_still_those_of_the_crawl() {
    let host = Host::new();
    let well = Rc::new(Cell::new(false));
    let healed = well.clone();
    serve(&host, 9, move |kind, patient, _| {
        (kind == "Condition" && patient == "p003" && !healed.get())
            .then(|| Reply::outcome(500, "error", "exception", "database down"))
    });
    let config = config(9, &["Patient", "Condition"]);
    assert_eq!(crawl(&host, &config).unwrap().missing["Condition"], 1);
    // As inlining does it: the same rows, with more in them.
    let inlined = host.storage.text("Condition.ndjson").unwrap().replace("\"meta\"", "\"inlined\":true,\"meta\"");
    host.storage.put("Condition.ndjson", inlined.as_bytes());

    let again = host.restarted();
    let before = again.http.seen().len();
    assert_eq!(crawl(&again, &config).unwrap().missing["Condition"], 1);
    let asked = again.http.seen()[before..].iter().filter(|seen| seen.request.url.contains("Condition")).count();
    assert!(asked < 9, "only the one who is missing is asked for, not {asked} pages");
    assert_eq!(again.storage.text("Condition.ndjson").unwrap(), inlined);
    assert_eq!(again.storage.text("error/OperationOutcome.ndjson").unwrap().lines().count(), 1, "told once");

    well.set(true);
    let last = again.restarted();
    assert_eq!(crawl(&last, &config).unwrap().verdict, Verdict::Complete);
    assert_eq!(ids(&last, "Condition.ndjson"), expected(0..9));
    assert!(last.storage.text("Condition.ndjson").unwrap().starts_with(&inlined), "what is here stays as it is");

    // A file that has lost or gained a row is not the one that the ledger speaks of.
    let host = Host::new();
    let well = Rc::new(Cell::new(false));
    let healed = well.clone();
    serve(&host, 9, move |_, patient, _| (patient == "p003" && !healed.get()).then(|| Reply::new(404)));
    assert_eq!(crawl(&host, &config).unwrap().missing["Condition"], 1);
    let text = host.storage.text("Condition.ndjson").unwrap();
    host.storage.put("Condition.ndjson", text.split_once('\n').unwrap().1.as_bytes());
    well.set(true);
    let again = host.restarted();
    crawl(&again, &config).unwrap();
    assert_eq!(ids(&again, "Condition.ndjson"), expected(0..9));
}

/// Runs until it ends, killed once at storage call number `at`. The hosts see one disk and one server.
fn killed_at(
    at: u64,
    config: &ExportConfig,
    fault: impl Fn(&str, &str, u32) -> Option<Reply> + 'static,
) -> (Host, bool) {
    let host = Host::new();
    serve(&host, config.cohort.ids.len(), fault);
    host.storage.kill_at(at);
    let was_killed = host.run_until_killed(job::crawl(&host, config, std::future::pending())).is_none();
    let host = host.restarted();
    crawl(&host, config).unwrap();
    (host, was_killed)
}

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    for compress in [false, true] {
        let mut config = config(24, &["Patient", "Condition", "Encounter"]);
        config.bulk.compress = compress;
        let ending = if compress { ".gz" } else { "" };
        let mut at = 1;
        loop {
            // One patient fails for good, one the first time.
            let (host, was_killed) = killed_at(at, &config, |kind, patient, times| match (kind, patient, times) {
                ("Condition", "p003", _) => Some(Reply::outcome(404, "error", "not-found", "gone")),
                ("Encounter", "p004", 0..=3) => Some(Reply::outcome(403, "error", "forbidden", "no")),
                _ => None,
            });
            let read = |name: &str| ids(&host, &format!("{name}.ndjson{ending}"));
            assert_eq!(read("Condition"), expected((0..24).filter(|i| *i != 3)), "killed at {at}");
            let encounters = read("Encounter");
            let (with, without) = (expected(0..24), expected((0..24).filter(|i| *i != 4)));
            assert!(encounters == with || encounters == without, "killed at {at}: {encounters:?}");
            assert_eq!(read("Patient").len(), 24, "killed at {at}");
            let outcomes = host.storage.text(&format!("error/OperationOutcome.ndjson{ending}")).unwrap();
            assert_eq!(outcomes.matches("gone").count(), 1, "killed at {at}: {outcomes}");
            assert!(outcomes.matches("forbidden").count() <= 1, "killed at {at}: {outcomes}");
            assert!(leftovers(&host).is_empty(), "killed at {at}: {:?}", leftovers(&host));
            if !was_killed {
                break;
            }
            at += 1;
        }
        assert!(at > 100, "{at} storage calls");
    }
}

#[test]
fn a_kill_while_the_missing_are_added_loses_and_doubles_nothing() {
    for (heals, compress) in [(true, false), (true, true), (false, true)] {
        let mut config = config(24, &["Patient", "Condition"]);
        config.bulk.compress = compress;
        let ending = if compress { ".gz" } else { "" };
        for at in 1.. {
            let host = Host::new();
            let well = Rc::new(Cell::new(false));
            let healed = well.clone();
            serve(&host, 24, move |kind, patient, _| {
                let is_ill = ["p003", "p004", "p020"].contains(&patient) && !healed.get();
                (kind == "Condition" && is_ill).then(|| Reply::outcome(404, "error", "not-found", patient))
            });
            assert_eq!(crawl(&host, &config).unwrap().missing["Condition"], 3);
            let host = host.restarted();
            well.set(heals);
            host.storage.kill_at(at);
            let was_killed = host.run_until_killed(job::crawl(&host, &config, std::future::pending())).is_none();
            let host = host.restarted();
            let report = crawl(&host, &config).unwrap();
            let here = expected((0..24).filter(|i| heals || ![3, 4, 20].contains(i)));
            assert_eq!(ids(&host, &format!("Condition.ndjson{ending}")), here, "killed at {at}");
            assert_eq!(report.missing.get("Condition").copied().unwrap_or_default(), if heals { 0 } else { 3 });
            let outcomes = host.storage.text(&format!("error/OperationOutcome.ndjson{ending}")).unwrap();
            assert_eq!(outcomes.lines().count(), 3, "killed at {at}: {outcomes}");
            assert!(leftovers(&host).is_empty(), "killed at {at}: {:?}", leftovers(&host));
            if !was_killed {
                break;
            }
        }
    }
}

#[test]
fn what_a_killed_run_left_goes_and_what_others_have_begun_stays() {
    let host = Host::new();
    serve(&host, 2, no_faults);
    let config = config(2, &["Patient", "Condition"]);
    host.storage.put(".metadata", json!({"filters": {"Patient": [], "Condition": []}, "kind": "output"}).to_string());
    for name in [
        "Condition.ndjson.part",
        "Condition.ndjson.gz.part.copy",
        "Condition.7.spill.part",
        "Medication.referenced.ndjson.gz.part",
    ] {
        host.storage.put(name, "x");
    }
    crawl(&host, &config).unwrap();
    assert_eq!(leftovers(&host), ["Medication.referenced.ndjson.gz.part"]);
}

#[test]
fn a_run_that_goes_on_asks_for_nobody_twice() {
    let host = Host::new();
    serve(&host, 100, no_faults);
    let config = config(100, &["Patient", "Condition"]);
    // 200 pages of 0.3 s, five at once: 12 s, with a checkpoint every two.
    host.storage.kill_at(40);
    assert!(host.run_until_killed(job::crawl(&host, &config, std::future::pending())).is_none());
    let host = host.restarted();
    crawl(&host, &config).unwrap();
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..100));
    let twice = host.http.seen_with("Condition?patient=").len() - 200;
    assert!(twice < 80, "{twice} pages were fetched twice");
}

#[test]
fn a_cancelled_crawl_goes_on_where_it_was() {
    let host = Host::new();
    serve(&host, 100, no_faults);
    let config = config(100, &["Patient", "Condition"]);
    let soon = async { smart_fetch::platform::Clock::sleep(&host.clock, Duration::from_secs(6)).await };
    let error = host.run(job::crawl(&host, &config, soon)).unwrap_err();
    assert_eq!((error.kind, error.exit_status()), (ErrorKind::Cancelled, 130));
    let before = host.http.seen_with("Condition?patient=").len();
    let host = host.restarted();
    crawl(&host, &config).unwrap();
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..100));
    assert!(before > 80 && host.http.seen_with("Condition?patient=").len() < 250);
}

#[test]
fn a_server_that_goes_away_stops_the_crawl_and_costs_nothing() {
    let host = Host::new();
    let gone = Rc::new(Cell::new(true));
    let back = gone.clone();
    serve(&host, 100, move |kind, patient, _| {
        (kind == "Condition" && patient >= "p040" && back.get()).then(|| Reply::error(HttpErrorKind::Connect))
    });
    let config = config(100, &["Patient", "Condition"]);
    let error = crawl(&host, &config).unwrap_err();
    assert_eq!((error.kind, error.exit_status()), (ErrorKind::Network, 1));
    assert!(error.to_string().contains("Do the same again"), "{error}");
    gone.set(false);
    let host = host.restarted();
    let before = host.http.seen().len();
    crawl(&host, &config).unwrap();
    assert_eq!(ids(&host, "Condition.ndjson"), expected(0..100));
    assert_eq!(host.http.seen().len() - before, 1 + 60 * 2);
}

#[test]
fn credentials_that_are_refused_stop_the_crawl_at_once() {
    let host = Host::new();
    serve(&host, 100, |_, _, _| Some(Reply::new(401)));
    let error = crawl(&host, &config(100, &["Patient", "Condition"])).unwrap_err();
    assert_eq!((error.kind, error.status), (ErrorKind::Auth, Some(401)));
    assert!(host.http.seen().len() < 20);
}

#[test]
fn a_type_whose_searches_all_fail_is_given_up_and_the_others_go_on() {
    let host = Host::new();
    serve(&host, 100, |kind, _, _| {
        (kind == "Condition").then(|| Reply::outcome(400, "error", "invalid", "no such search"))
    });
    let report = crawl(&host, &config(100, &["Patient", "Condition", "Encounter"])).unwrap();
    assert_eq!((report.exit_status, report.missing["Condition"]), (3, 100));
    assert_eq!(report.missing_examples.len(), 20);
    assert!(host.warnings().contains(&"type-given-up".to_owned()));
    assert!(host.http.seen_with("Condition?").len() <= 30);
    assert_eq!(ids(&host, "Encounter.ndjson"), expected(0..100));
}

#[test]
fn waits_that_were_chosen_count_even_where_they_are_those_of_a_bulk_export() {
    let tries = |chosen: Option<[u64; 4]>| {
        let host = Host::new();
        serve(&host, 3, |_, patient, _| (patient == "p001").then(|| Reply::new(502)));
        let mut config = config(3, &["Patient", "Condition"]);
        config.bulk.server.retry_delays = chosen.map(|list| list.map(|n| Duration::from_secs(60 * n)).to_vec());
        assert_eq!(crawl(&host, &config).unwrap().missing["Condition"], 1);
        host.http.seen_with("Condition?patient=p001").len()
    };
    assert_eq!(tries(None), 3, "as the reference's");
    assert_eq!(tries(Some([1, 2, 4, 8])), 5);
}
