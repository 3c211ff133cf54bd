//! A scripted server of single resources, and folders to hydrate.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use smart_fetch::config::HydrateConfig;
use smart_fetch::hydrate::TaskReport;
use smart_fetch::job::{self, HydrateReport};
use smart_fetch::testing::{Host, Reply};
use smart_fetch::{Error, Result};

use crate::export::BASE;

/// What the server has: bodies by path below the base.
pub type Shelf = Rc<RefCell<BTreeMap<String, String>>>;

/// Scripts a server that has `resources`, and 404 for everything else.
pub fn server(host: &Host, resources: &[Value]) -> Shelf {
    let path = |one: &Value| format!("{}/{}", one["resourceType"].as_str().unwrap(), one["id"].as_str().unwrap());
    let shelf: Shelf = Rc::new(RefCell::new(resources.iter().map(|one| (path(one), one.to_string())).collect()));
    let served = shelf.clone();
    host.http.on_call("GET", "/fhir/", move |request| {
        let path = request.url.strip_prefix(BASE).unwrap_or_default().trim_start_matches('/');
        match served.borrow().get(path) {
            Some(body) => Reply::json(200, body),
            None => Reply::outcome(404, "error", "not-found", &format!("no {path}")),
        }
    });
    host.http.on_call("GET", "/metadata", |_| Reply::json(200, &capability(&[]).to_string()));
    shelf
}

/// A CapabilityStatement that lists searches by `_id` for `types`.
pub fn capability(types: &[&str]) -> Value {
    let resource =
        |name: &&str| json!({"type": name, "interaction": [{"code": "search-type"}], "searchParam": [{"name": "_id"}]});
    let resources: Vec<Value> = types.iter().map(resource).collect();
    json!({"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "resource": resources}]})
}

pub fn config(tasks: &str) -> HydrateConfig {
    let mut config = HydrateConfig { tasks: vec![tasks.to_owned()], compress: false, ..HydrateConfig::default() };
    config.server.fhir_url = BASE.into();
    config
}

pub fn hydrate(host: &Host, config: &HydrateConfig) -> Result<HydrateReport> {
    host.run(job::hydrate(host, config, std::future::pending()))
}

/// The same; `None` if it was killed.
pub fn hydrate_until_killed(host: &Host, config: &HydrateConfig) -> Option<Result<HydrateReport, Error>> {
    host.run_until_killed(job::hydrate(host, config, std::future::pending()))
}

/// Puts resources into a file.
pub fn put(host: &Host, name: &str, resources: &[Value]) {
    let text: String = resources.iter().map(|one| format!("{one}\n")).collect();
    host.storage.put(name, text);
}

/// The resources in a file.
pub fn rows(host: &Host, name: &str) -> Vec<Value> {
    let text = host.storage.text(name).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids in a file, sorted.
pub fn ids(host: &Host, name: &str) -> Vec<String> {
    let mut ids: Vec<String> = rows(host, name).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

/// What a task did.
pub fn task<'a>(report: &'a HydrateReport, name: &str) -> &'a TaskReport {
    report.tasks.iter().find(|task| task.task == name).unwrap_or_else(|| panic!("no task {name}"))
}

/// A table as the reference shows it: resources and items of each row.
pub fn table(report: &TaskReport) -> [(u64, u64); 5] {
    [report.total, report.already_done, report.newly_done, report.fatal_errors, report.retry_errors]
        .map(|count| (count.resources, count.items))
}

pub fn resource(kind: &str, id: &str) -> Value {
    json!({"resourceType": kind, "id": id})
}

/// A resource with a reference at each of the `paths` (a `*` behind each element that repeats).
pub fn with_references(kind: &str, id: &str, paths: &[(&str, &str)]) -> Value {
    let mut resource = resource(kind, id);
    for (path, reference) in paths {
        let mut place = &mut resource;
        for element in path.split('.') {
            let name = element.trim_end_matches('*');
            if place.get(name).is_none() {
                place[name] = if name.len() < element.len() { json!([{}]) } else { json!({}) };
            }
            place = &mut place[name];
            if place.is_array() {
                place = place.as_array_mut().unwrap().last_mut().unwrap();
            }
        }
        place["reference"] = json!(reference);
    }
    resource
}
