//! Hydration by references.

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::config::AuthConfig;
use smart_fetch::event::Event;
use smart_fetch::job::{Verdict, after_export};
use smart_fetch::platform::HttpErrorKind;
use smart_fetch::testing::{Host, Reply};

use crate::export::BASE;
use crate::hydrate_server::*;

/// The reference's tasks: group, name, input, output, slug, and the elements.
const TASKS: &str = include_str!("hydrate_tasks.txt");

#[test]
fn every_task_follows_each_of_its_references_into_the_file_of_the_reference_tool() {
    let mut count = 0;
    for line in TASKS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [group, name, input, output, slug, paths @ ..] = &words[..] else { panic!("{line}") };
        count += 1;
        if *slug == "-" || paths.is_empty() {
            continue;
        }
        let host = Host::new();
        let wanted: Vec<String> = (0..paths.len()).map(|n| format!("{output}/wanted-{n}")).collect();
        let there: Vec<Value> = (0..paths.len()).map(|n| resource(output, &format!("wanted-{n}"))).collect();
        server(&host, &there);
        let pairs: Vec<(&str, &str)> = paths.iter().copied().zip(wanted.iter().map(String::as_str)).collect();
        put(&host, &format!("{input}.001.ndjson"), &[with_references(input, "source", &pairs)]);
        let report = hydrate(&host, &config(group)).unwrap();
        let ended = task(&report, name);
        assert_eq!((ended.input.as_str(), ended.output.as_str(), ended.skipped), (*input, *output, false), "{line}");
        let file = format!("{output}.{slug}.ndjson");
        let expected: Vec<String> = (0..paths.len()).map(|n| format!("wanted-{n}")).collect();
        assert_eq!(ids(&host, &file), expected, "{line}");
        let n = paths.len() as u64;
        assert_eq!((ended.total.items, ended.newly_done.items), (n, n), "{line}");
        assert!(!host.storage.paths().iter().any(|path| path.contains(".part") || path.starts_with('.')), "{line}");
    }
    assert_eq!(count, 69);
}

#[test]
fn another_servers_data_do_not_come_into_a_folder() {
    for ledger in [
        json!({"format": 1, "jobs": [{"request": {"fhirUrl": "https://other.example/fhir"}}]}),
        json!({"format": 1, "jobs": [], "crawl": {"request": {"fhirUrl": "https://other.example/fhir"}}}),
    ] {
        let host = Host::new();
        server(&host, &[resource("Medication", "m")]);
        host.storage.put(".metadata", json!({"kind": "output", "ledger": ledger}).to_string());
        let row = with_references("MedicationRequest", "a", &[("medicationReference", "Medication/m")]);
        put(&host, "MedicationRequest.001.ndjson", &[row]);
        let error = hydrate(&host, &config("medication")).unwrap_err();
        assert_eq!((error.kind, host.http.seen().len()), (ErrorKind::Mismatch, 0));
        assert!(error.message.contains("https://other.example/fhir"), "{error}");
        let of_ours = ledger.to_string().replace("https://other.example/fhir", BASE);
        let of_ours: Value = serde_json::from_str(&of_ours).unwrap();
        host.storage.put(".metadata", json!({"kind": "output", "ledger": of_ours}).to_string());
        assert_eq!(hydrate(&host, &config("medication")).unwrap().verdict, Verdict::Complete);
    }
}

#[test]
fn what_is_here_is_not_fetched_and_what_is_fetched_is_fetched_once() {
    let host = Host::new();
    server(&host, &[resource("Medication", "new"), resource("Medication", "here")]);
    let ask =
        |id: &str, reference: &str| with_references("MedicationRequest", id, &[("medicationReference", reference)]);
    let asks = ["Medication/here", "Medication/new", "Medication/new", "Medication/none", "Medication/none", "#inside"];
    let asks: Vec<Value> = asks.iter().enumerate().map(|(n, to)| ask(&format!("r{n}"), to)).collect();
    put(&host, "MedicationRequest.001.ndjson", &asks);
    put(&host, "Medication.001.ndjson", &[resource("Medication", "here")]);
    let report = hydrate(&host, &config("medication")).unwrap();
    assert_eq!(table(task(&report, "medreq-med")), [(6, 6), (3, 3), (1, 1), (1, 1), (0, 0)]);
    assert!(task(&report, "meddisp-med").skipped);
    assert_eq!(ids(&host, "Medication.referenced.ndjson"), ["new"]);
    assert_eq!((report.verdict, report.exit_status, report.failed), (Verdict::Incomplete, 3, 1));
    let expected = format!("An error occurred when connecting to \"{BASE}/Medication/none\": [404] no Medication/none");
    assert_eq!(report.failures, [expected.as_str()]);
    assert_eq!(host.http.seen_with("/Medication/new").len(), 1);

    // Once more: what failed is asked for again, and is no longer listed when it comes.
    let listed = rows(&host, "error/OperationOutcome.hydration.ndjson");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["issue"][0]["diagnostics"], json!(expected));
    let again = host.restarted();
    server(&again, &[resource("Medication", "none")]);
    let report = hydrate(&again, &config("medication")).unwrap();
    assert_eq!(table(task(&report, "medreq-med")), [(6, 6), (4, 4), (1, 1), (0, 0), (0, 0)]);
    assert_eq!(ids(&again, "Medication.referenced.ndjson"), ["new", "none"]);
    assert_eq!(report.exit_status, 0);
    assert_eq!(
        again.storage.paths(),
        ["Medication.001.ndjson", "Medication.referenced.ndjson", "MedicationRequest.001.ndjson"]
    );
}

#[test]
fn a_list_of_failures_keeps_what_it_says_of_tasks_that_were_not_run() {
    let host = Host::new();
    server(&host, &[]);
    put(&host, "Specimen.001.ndjson", &[with_references("Specimen", "s", &[("subject", "Location/none")])]);
    let request = with_references("MedicationRequest", "r", &[("medicationReference", "Medication/none")]);
    put(&host, "MedicationRequest.001.ndjson", &[request]);
    assert_eq!(hydrate(&host, &config("location")).unwrap().failed, 1);
    assert_eq!(hydrate(&host, &config("medication")).unwrap().failed, 1);
    assert_eq!(hydrate(&host, &config("medication")).unwrap().failed, 1);
    let listed = rows(&host, "error/OperationOutcome.hydration.ndjson");
    let mut tasks: Vec<&str> =
        listed.iter().map(|row| row["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap()).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["medreq-med", "spec-loc"]);
}

#[test]
fn members_are_followed_to_the_end_and_counted_as_the_reference_does() {
    let host = Host::new();
    let member = |id: &str, to: &str| with_references("Observation", id, &[("hasMember*", to)]);
    let there =
        [member("b", "Observation/c"), member("c", "Observation/d"), member("d", "Observation/a"), member("x", "#x")];
    server(&host, &there);
    put(&host, "Observation.001.ndjson", &[member("a", "Observation/b"), member("z", "Observation/x")]);
    let report = hydrate(&host, &config("observation")).unwrap();
    assert_eq!(ids(&host, "Observation.members.ndjson"), ["b", "c", "d", "x"]);
    // As Python smart-fetch 1.0.3 says of the same folder: it looks at d's references three times, and at c's twice.
    assert_eq!(table(task(&report, "obs-members")), [(2, 9), (1, 4), (2, 4), (0, 0), (0, 0)]);
}

#[test]
fn h06_references_below_the_base_are_followed_and_those_to_other_servers_never() {
    let host = Host::new();
    let shelf = server(&host, &[resource("Medication", "absolute"), resource("Medication", "old")]);
    let old = json!({"resourceType": "Medication", "id": "old", "meta": {"versionId": "2"}});
    shelf.borrow_mut().insert("Medication/old/_history/2".into(), old.to_string());
    shelf.borrow_mut().insert("Medication/gone".into(), resource("Medication", "gone").to_string());
    let references = [
        format!("{BASE}/Medication/absolute"),
        "Medication/old/_history/2".into(),
        "Medication/old".into(),
        "Medication/gone/_history/1".into(),
        "https://evil.example/fhir/Medication/1".into(),
        "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0".into(),
        "#contained".into(),
        "Medication/../Patient/1".into(),
    ];
    let asks: Vec<Value> = references
        .iter()
        .enumerate()
        .map(|(n, to)| with_references("MedicationRequest", &n.to_string(), &[("medicationReference", to)]))
        .collect();
    put(&host, "MedicationRequest.001.ndjson", &asks);
    let mut config = config("medication");
    config.server.auth = AuthConfig::Bearer { token: "canary-canary".into() };
    let report = hydrate(&host, &config).unwrap();
    assert_eq!(ids(&host, "Medication.referenced.ndjson"), ["absolute", "gone", "old"]);
    // The version that was referred to, and no second copy of the resource.
    assert!(rows(&host, "Medication.referenced.ndjson").contains(&old));
    assert_eq!(table(task(&report, "medreq-med")), [(8, 8), (1, 1), (3, 3), (1, 1), (0, 0)]);
    assert_eq!((report.foreign, task(&report, "medreq-med").foreign, report.exit_status), (1, 1, 3));
    assert_eq!(host.warnings(), ["hydration-failed", "foreign-references"]);
    assert!(host.http.seen().iter().all(|seen| seen.request.url.starts_with(BASE)));
    assert!(host.http.seen_with("Patient").is_empty());
}

#[test]
fn an_export_hydrates_what_hydration_brings_until_nothing_new_appears() {
    let host = Host::new();
    server(
        &host,
        &[
            with_references("Practitioner", "p", &[("qualification*.issuer", "Organization/o1")]),
            with_references("Organization", "o1", &[("partOf", "Organization/o2")]),
            resource("Organization", "o2"),
            with_references(
                "PractitionerRole",
                "role",
                &[("practitioner", "Practitioner/p"), ("location*", "Location/l")],
            ),
            with_references("Location", "l", &[("managingOrganization", "Organization/o3")]),
            resource("Organization", "o3"),
        ],
    );
    host.http.on(
        "GET",
        "/PractitionerRole?practitioner=p",
        Reply::json(
            200,
            &json!({"resourceType": "Bundle", "entry": [{"resource":
                with_references("PractitionerRole", "role", &[("practitioner", "Practitioner/p"), ("location*", "Location/l")])}]})
            .to_string(),
        ),
    );
    put(
        &host,
        "Patient.001.ndjson",
        &[with_references("Patient", "p1", &[("generalPractitioner*", "Practitioner/p")])],
    );
    let report = host.run(after_export(&host, &config("all"), &["Patient".to_owned()])).unwrap();
    assert_eq!(ids(&host, "Practitioner.referenced.ndjson"), ["p"]);
    assert_eq!(ids(&host, "PractitionerRole.searched.ndjson"), ["role"]);
    assert_eq!(ids(&host, "Location.referenced.ndjson"), ["l"]);
    assert_eq!(ids(&host, "Organization.referenced.ndjson"), ["o1", "o2", "o3"]);
    let ran: Vec<&str> = report.tasks.iter().map(|task| task.task.as_str()).collect();
    // The passes of the reference: what Patient leads to, what those lead to, and so on; each task once a pass.
    assert_eq!(
        ran,
        [
            "pat-pract",
            "pat-practrole",
            "pat-org",
            "pract-practrole",
            "practrole-pract",
            "practrole-loc",
            "pract-org",
            "practrole-org",
            "org-org",
            "loc-loc",
            "loc-org"
        ]
    );
}

#[test]
fn tasks_without_anything_to_read_say_so() {
    let host = Host::new();
    server(&host, &[]);
    let report = hydrate(&host, &config("medication")).unwrap();
    assert!(report.tasks.iter().all(|task| task.skipped));
    let told: Vec<String> = host
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Hydrated { report } = event { Some(report.task) } else { None })
        .collect();
    assert_eq!(told, ["meddisp-med", "medreq-med"]);
    assert_eq!(hydrate(&host, &config("none")).unwrap().tasks, []);
    assert_eq!(hydrate(&host, &config("foo")).unwrap_err().kind, ErrorKind::Usage);
}

fn many(host: &Host, n: usize) -> Vec<Value> {
    let asks: Vec<Value> = (0..n)
        .map(|i| {
            let to = format!("Medication/m{i}");
            with_references("MedicationRequest", &format!("r{i}"), &[("medicationReference", to.as_str())])
        })
        .collect();
    put(host, "MedicationRequest.001.ndjson", &asks);
    (0..n).map(|i| resource("Medication", &format!("m{i}"))).collect()
}

#[test]
fn many_ids_go_in_one_request_where_the_server_says_so_and_the_rest_one_by_one() {
    let host = Host::new();
    let shelf = server(&host, &many(&host, 120));
    shelf.borrow_mut().remove("Medication/m7");
    let served = shelf.clone();
    host.http.on("GET", "/metadata", Reply::json(200, &capability(&["Medication"]).to_string()));
    host.http.on_call("GET", "/Medication?_id=", move |request| {
        let ids = request.url.split("_id=").nth(1).unwrap().split('&').next().unwrap();
        let entries: Vec<Value> = ids
            .split(',')
            .filter_map(|id| served.borrow().get(&format!("Medication/{id}")).cloned())
            .map(|body| json!({"resource": serde_json::from_str::<Value>(&body).unwrap()}))
            .collect();
        Reply::json(200, &json!({"resourceType": "Bundle", "entry": entries}).to_string())
    });
    let report = hydrate(&host, &config("medication")).unwrap();
    assert_eq!(ids(&host, "Medication.referenced.ndjson").len(), 119);
    assert_eq!(table(task(&report, "medreq-med")), [(120, 120), (0, 0), (119, 119), (1, 1), (0, 0)]);
    assert_eq!(host.http.seen_with("Medication?_id=").len(), 3);
    // The one that was not found is asked for by itself, so that its failure is told as any other.
    assert_eq!(host.http.seen_with("/Medication/").len(), 1);
    assert!(report.failures[0].contains("[404] no Medication/m7"), "{:?}", report.failures);
}

#[test]
fn a_server_that_answers_many_ids_wrongly_is_asked_one_by_one() {
    for wrong in [
        Reply::json(
            200,
            &json!({"resourceType": "Bundle", "entry": [{"resource": resource("Medication", "z")}]}).to_string(),
        ),
        Reply::outcome(400, "error", "not-supported", "no such parameter"),
        Reply::bytes(200, "text/html", "<html>"),
    ] {
        let host = Host::new();
        server(&host, &many(&host, 120));
        host.http.on("GET", "/metadata", Reply::json(200, &capability(&["Medication"]).to_string()));
        host.http.on("GET", "/Medication?_id=", wrong);
        let report = hydrate(&host, &config("medication")).unwrap();
        assert_eq!(table(task(&report, "medreq-med"))[2], (120, 120));
        assert!(host.http.seen_with("Medication?_id=").len() <= 3);
        assert_eq!(host.http.seen_with("/Medication/").len(), 120);
    }
}

#[test]
fn what_is_busy_is_tried_again_and_given_up_in_the_end() {
    let host = Host::new();
    let shelf = server(&host, &many(&host, 2));
    shelf.borrow_mut().remove("Medication/m0");
    host.http.on("GET", "/Medication/m0", Reply::outcome(500, "error", "exception", "boom"));
    let report = hydrate(&host, &config("medication")).unwrap();
    assert_eq!(table(task(&report, "medreq-med")), [(2, 2), (0, 0), (1, 1), (0, 0), (1, 1)]);
    assert_eq!(host.http.seen_with("/Medication/m0").len(), 3);
    assert_eq!(report.failures, [format!("An error occurred when connecting to \"{BASE}/Medication/m0\": [500] boom")]);
}

#[test]
fn a_reference_that_failed_is_asked_for_once_in_a_run_whatever_tasks_lead_to_it() {
    let host = Host::new();
    server(&host, &[]);
    let to = [("recorder", "Practitioner/none")];
    put(&host, "Condition.001.ndjson", &[with_references("Condition", "c", &to)]);
    put(&host, "Procedure.001.ndjson", &[with_references("Procedure", "p", &to)]);
    let report = hydrate(&host, &config("practitioner")).unwrap();
    for name in ["cond-pract", "procedure-pract"] {
        assert_eq!(table(task(&report, name))[3], (1, 1), "{name}");
    }
    assert_eq!(host.http.seen_with("/Practitioner/none").len(), 1);
    assert_eq!(report.failed, 1);
}

#[test]
fn a_server_that_is_gone_ends_the_run_with_everything_kept() {
    let host = Host::new();
    server(&host, &many(&host, 100));
    let mut left = 30;
    let served = move |request: &smart_fetch::platform::Request| {
        left -= 1;
        let id = request.url.rsplit('/').next().unwrap();
        if left >= 0 {
            Reply::json(200, &resource("Medication", id).to_string())
        } else {
            Reply::error(HttpErrorKind::Connect)
        }
    };
    host.http.on_call("GET", "/Medication/", served);
    let error = hydrate(&host, &config("medication")).unwrap_err();
    assert_eq!((error.kind, error.exit_status()), (ErrorKind::Network, 1));
    assert_eq!(ids(&host, "Medication.referenced.ndjson").len(), 30);
    let asked = host.http.seen_with("/Medication/").len();
    assert!(asked < 30 + 3 * 30, "{asked} requests to a server that is gone");
    let again = host.restarted();
    server(&again, &many(&again, 100));
    again.http.off("GET", "/Medication/");
    let before = again.http.seen().len();
    assert_eq!(table(task(&hydrate(&again, &config("medication")).unwrap(), "medreq-med"))[2], (70, 70));
    assert_eq!(again.http.seen().len() - before, 71);
}

#[test]
fn b13_a_token_that_is_dead_ends_the_run() {
    let host = Host::new();
    server(&host, &many(&host, 100));
    host.http.on("GET", "/Medication/", Reply::new(401));
    let mut config = config("medication");
    config.server.auth = AuthConfig::Bearer { token: "dead-dead-dead".into() };
    let error = hydrate(&host, &config).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    assert!(host.http.seen().len() < 40);
}

#[test]
fn rows_are_kept_as_they_came_on_one_line() {
    let host = Host::new();
    let shelf = server(&host, &[]);
    let body = "{\n  \"resourceType\" : \"Medication\",\n  \"id\": \"m0\", \"n\": 1.10, \"s\": \"a  b\"\n}\n";
    shelf.borrow_mut().insert("Medication/m0".into(), body.into());
    many(&host, 1);
    hydrate(&host, &config("medication")).unwrap();
    assert_eq!(
        host.storage.text("Medication.referenced.ndjson").unwrap(),
        "{\"resourceType\":\"Medication\",\"id\":\"m0\",\"n\":1.10,\"s\":\"a  b\"}\n"
    );
}

#[test]
fn what_is_no_resource_of_the_type_is_refused() {
    let host = Host::new();
    let shelf = server(&host, &[]);
    for (id, body) in [
        ("m0", r#"{"resourceType":"Patient","id":"m0"}"#),
        ("m1", "<html>log in</html>"),
        ("m2", r#"{"resourceType":"OperationOutcome","issue":[{"diagnostics":"not today"}]}"#),
    ] {
        shelf.borrow_mut().insert(format!("Medication/{id}"), body.into());
    }
    many(&host, 3);
    let report = hydrate(&host, &config("medication")).unwrap();
    assert_eq!(table(task(&report, "medreq-med"))[3], (3, 3));
    let said = report.failures.join("\n");
    for part in
        ["Medication/m0: Error: expected resource type of 'Medication', but got 'Patient'.", "Medication/m2: not today"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(host.storage.bytes("Medication.referenced.ndjson").is_none());
}

#[test]
fn a_full_disk_loses_nothing() {
    let host = Host::new();
    server(&host, &many(&host, 50));
    put(&host, "Medication.referenced.ndjson", &[resource("Medication", "old")]);
    let used: usize = host.storage.paths().iter().map(|path| host.storage.bytes(path).unwrap().len()).sum();
    host.storage.set_capacity(Some(used as u64 + 100));
    let error = hydrate(&host, &config("medication")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Quota, "{error}");
    assert_eq!(ids(&host, "Medication.referenced.ndjson"), ["old"]);
    host.storage.set_capacity(None);
    assert_eq!(hydrate(&host.restarted(), &config("medication")).unwrap().exit_status, 0);
    assert_eq!(ids(&host, "Medication.referenced.ndjson").len(), 51);
}

#[test]
fn a_kill_at_every_storage_call_damages_nothing_and_costs_no_more_than_the_last_rows() {
    let prepare = || {
        let host = Host::new();
        let medications = many(&host, 1100);
        server(&host, &medications);
        put(&host, "Medication.referenced.ndjson", &[resource("Medication", "old")]);
        host
    };
    let whole = prepare();
    let input = whole.storage.text("MedicationRequest.001.ndjson").unwrap();
    whole.storage.kill_at(u64::MAX);
    assert_eq!(hydrate(&whole, &config("medication")).unwrap().exit_status, 0);
    let calls = whole.storage.calls();
    let mut kept = 0;
    for call in 1..=calls {
        let host = prepare();
        host.storage.kill_at(call);
        assert!(hydrate_until_killed(&host, &config("medication")).is_none(), "call {call} did not kill");
        assert_eq!(host.storage.text("MedicationRequest.001.ndjson").unwrap(), input, "kill at {call}");
        let there = ids(&host, "Medication.referenced.ndjson").len();
        assert!(there == 1 || there == 1101, "kill at {call}: {there}");
        let again = host.restarted();
        let before = again.http.seen_with("/Medication/").len();
        let report = hydrate(&again, &config("medication")).unwrap();
        assert_eq!(report.exit_status, 0, "kill at {call}");
        assert_eq!(ids(&again, "Medication.referenced.ndjson").len(), 1101, "kill at {call}");
        kept += u64::from(again.http.seen_with("/Medication/").len() - before == 100);
        let paths = again.storage.paths();
        assert_eq!(paths, ["Medication.referenced.ndjson", "MedicationRequest.001.ndjson"], "kill at {call}");
    }
    // Some of the kills came after a checkpoint.
    assert!(kept > 0);
}

#[test]
fn what_a_kill_left_of_the_state_goes_even_if_nothing_is_left_to_do() {
    let host = Host::new();
    server(&host, &[resource("Medication", "m")]);
    put(&host, "Medication.001.ndjson", &[resource("Medication", "m")]);
    host.storage.put(".metadata", json!({"kind": "output"}).to_string());
    host.storage.put(".metadata.tmp", "half");
    assert_eq!(hydrate(&host, &config("medication")).unwrap().exit_status, 0);
    assert_eq!(host.storage.paths(), [".metadata", "Medication.001.ndjson"]);
}

#[test]
fn searched_roles_are_read_page_by_page_and_only_once() {
    let host = Host::new();
    server(&host, &[]);
    let role = |id: &str| with_references("PractitionerRole", id, &[("practitioner", "Practitioner/p")]);
    let page = |roles: &[Value], next: Option<&str>| {
        let entries: Vec<Value> = roles.iter().map(|role| json!({"resource": role})).collect();
        let links: Vec<Value> = next.iter().map(|url| json!({"relation": "next", "url": url})).collect();
        Reply::json(200, &json!({"resourceType": "Bundle", "entry": entries, "link": links}).to_string())
    };
    host.http
        .on("GET", "?practitioner=p", page(&[role("r1"), role("r2")], Some("PractitionerRole?page=2")))
        .on("GET", "?page=2", page(&[role("r2"), role("r3")], None))
        .on("GET", "?practitioner=none", page(&[], None))
        .on("GET", "?practitioner=broken", Reply::outcome(400, "error", "invalid", "no"));
    let practitioners = ["p", "none", "broken"].map(|id| resource("Practitioner", id));
    put(&host, "Practitioner.001.ndjson", &practitioners);
    // That a role is known by reference says nothing about the search.
    put(&host, "PractitionerRole.referenced.ndjson", &[role("r1")]);
    let report = hydrate(&host, &config("practitioner")).unwrap();
    assert_eq!(ids(&host, "PractitionerRole.searched.ndjson"), ["r1", "r2", "r3"]);
    assert_eq!(table(task(&report, "pract-practrole")), [(3, 5), (1, 1), (1, 3), (1, 1), (0, 0)]);
    let again = host.restarted();
    let before = again.http.seen_with("practitioner=").len();
    let report = hydrate(&again, &config("practitioner")).unwrap();
    assert_eq!(table(task(&report, "pract-practrole")), [(3, 4), (1, 3), (0, 0), (1, 1), (0, 0)]);
    assert_eq!(again.http.seen_with("practitioner=").len() - before, 2);
}

#[test]
fn pages_that_go_round_in_circles_end() {
    let host = Host::new();
    server(&host, &[]);
    let circle =
        json!({"resourceType": "Bundle", "link": [{"relation": "next", "url": "PractitionerRole?practitioner=p"}]});
    host.http.on("GET", "?practitioner=p", Reply::json(200, &circle.to_string()));
    put(&host, "Practitioner.001.ndjson", &[resource("Practitioner", "p")]);
    let report = hydrate(&host, &config("practitioner")).unwrap();
    assert!(report.failures[0].contains("circles"), "{:?}", report.failures);
}
