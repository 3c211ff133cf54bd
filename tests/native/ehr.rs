//! A scripted EHR whose data change over time: bulk export with `_since`, `_typeFilter` and deletions, for tests of folders
//! that are kept up to date.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use smart_fetch::config::{BulkConfig, ExportConfig};
use smart_fetch::event::Event;
use smart_fetch::fhir::instant::FhirTime;
use smart_fetch::job::{self, ExportReport};
use smart_fetch::testing::{Host, Reply};
use smart_fetch::{Error, Result};

pub const BASE: &str = "https://ehr.example/fhir";

#[derive(Default)]
pub struct Data {
    /// By `Type/id`: the resource and when it was changed.
    pub resources: BTreeMap<String, (Value, String)>,
    /// `Type/id` and when it was deleted.
    pub deleted: Vec<(String, String)>,
    /// What the next exports give as `transactionTime`.
    pub now: String,
    /// Resources on a file.
    pub page: usize,
    /// Files, by name.
    files: BTreeMap<String, String>,
    /// Manifests, by job.
    manifests: Vec<Value>,
    /// Called at the kick-off, after the snapshot.
    #[allow(clippy::type_complexity)]
    pub meanwhile: Option<Box<dyn FnOnce(&mut Data)>>,
    /// Added to the next manifest's `error`.
    pub error: Option<String>,
    /// Leaves the key `deleted` out of manifests.
    pub silent_on_deletions: bool,
    /// Names of files that cannot be had.
    pub broken: Vec<String>,
    /// Searches are answered for anybody, whatever `patient` they name.
    pub ignores_patient: bool,
}

#[derive(Clone, Default)]
pub struct Ehr(pub Rc<RefCell<Data>>);

/// The values of a query parameter.
pub fn query(url: &str, name: &str) -> Option<String> {
    let pairs = url.split_once('?')?.1.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| decode(value)).next()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Times of this server, in seconds.
fn plain(time: &str) -> i64 {
    FhirTime::parse(time).map_or(i64::MAX, |time| time.millis(0).div_euclid(1000))
}

impl Ehr {
    pub fn new() -> Self {
        let ehr = Self::default();
        ehr.0.borrow_mut().page = 2;
        ehr
    }

    /// Sets the time for what follows: `2026-01-01T00:00:00Z`.
    pub fn at(&self, time: &str) -> &Self {
        self.0.borrow_mut().now = time.to_owned();
        self
    }

    /// Adds or changes a resource now; `more` are its further elements.
    pub fn put(&self, name: &str, more: Value) -> &Self {
        self.0.borrow_mut().put(name, more);
        self
    }

    pub fn delete(&self, name: &str) -> &Self {
        let mut data = self.0.borrow_mut();
        data.resources.remove(name).unwrap();
        let now = data.now.clone();
        data.deleted.push((name.to_owned(), now));
        self
    }

    /// A further host with an empty disk, at this server.
    pub fn host(&self) -> Host {
        let host = Host::new();
        self.serve(&host, &capability());
        host
    }

    pub fn serve(&self, host: &Host, capability: &Value) {
        let of = |data: &Rc<RefCell<Data>>| data.clone();
        host.http.on("GET", "/metadata", Reply::json(200, &capability.to_string()));
        let data = of(&self.0);
        host.http.on_call("GET", "$export", move |request| data.borrow_mut().export(&request.url));
        let data = of(&self.0);
        host.http.on_call("GET", "/jobs/", move |request| {
            let number: usize = request.url.rsplit('/').next().unwrap().parse().unwrap();
            Reply::bytes(200, "application/json", data.borrow().manifests[number].to_string())
        });
        host.http.on("DELETE", "/jobs/", Reply::new(202));
        for resource_type in ["Patient", "Condition", "Encounter", "Observation"] {
            let data = of(&self.0);
            host.http.on_call("GET", &format!("/{resource_type}?"), move |request| data.borrow().search(&request.url));
        }
        let data = of(&self.0);
        host.http.on_call("GET", "/files/", move |request| {
            let data = data.borrow();
            let name = request.url.rsplit('/').next().unwrap();
            match data.files.get(name).filter(|_| !data.broken.iter().any(|broken| name.starts_with(broken.as_str()))) {
                Some(text) => Reply::ndjson(text),
                None => Reply::outcome(404, "error", "not-found", "no such file"),
            }
        });
    }

    /// All ids of the types, by `Type/id`, with the version.
    pub fn state(&self, types: &[&str]) -> BTreeMap<String, Value> {
        let data = self.0.borrow();
        let of_types = data.resources.iter().filter(|(name, _)| types.contains(&name.split_once('/').unwrap().0));
        of_types.map(|(name, (resource, _))| (name.clone(), resource.clone())).collect()
    }
}

impl Data {
    pub fn put(&mut self, name: &str, more: Value) {
        let (resource_type, id) = name.split_once('/').unwrap();
        let mut resource = json!({"resourceType": resource_type, "id": id, "meta": {"lastUpdated": self.now}});
        for (key, value) in more.as_object().into_iter().flatten() {
            resource[key] = value.clone();
        }
        self.resources.insert(name.to_owned(), (resource, self.now.clone()));
    }

    /// A search by `patient` (the resource's `subject`) or `_id`, and `_lastUpdated`.
    pub fn search(&self, url: &str) -> Reply {
        let wanted = url.split('?').next().unwrap().rsplit('/').next().unwrap();
        if let Some(broken) = query(url, "patient").filter(|patient| self.broken.contains(patient)) {
            return Reply::outcome(400, "error", "processing", &format!("nothing of {broken} today"));
        }
        let since = query(url, "_lastUpdated").map(|time| plain(&time[2..]));
        let fits = |(resource, changed): &(Value, String)| {
            let of_patient = self.ignores_patient
                || query(url, "patient").is_none_or(|id| resource["subject"]["reference"] == format!("Patient/{id}"));
            let by_id = query(url, "_id").is_none_or(|ids| ids.split(',').any(|id| resource["id"] == id));
            resource["resourceType"] == wanted
                && of_patient
                && by_id
                && since.as_ref().is_none_or(|since| plain(changed) > *since)
        };
        let entries: Vec<Value> =
            self.resources.values().filter(|r| fits(r)).map(|(resource, _)| json!({"resource": resource})).collect();
        Reply::json(200, &json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string())
    }

    pub fn export(&mut self, url: &str) -> Reply {
        let job = self.manifests.len();
        let types = query(url, "_type").unwrap_or_default();
        let since = query(url, "_since").map(|time| plain(&time));
        let filters = query(url, "_typeFilter").unwrap_or_default();
        let (mut output, mut deleted, mut error) = (Vec::new(), Vec::new(), Vec::new());
        let mut file = |name: String, text: String| {
            let url = format!("https://ehr.example/files/{name}");
            self.files.insert(name, text);
            url
        };
        for wanted in types.split(',') {
            let of_type: Vec<&str> = filters.split(',').filter_map(|f| f.strip_prefix(&format!("{wanted}?"))).collect();
            let fits = |resource: &Value| {
                of_type.is_empty()
                    || of_type.iter().any(|filter| {
                        filter.split('&').all(|pair| {
                            let (key, value) = pair.split_once('=').unwrap();
                            resource[key].as_str().is_some_and(|found| match value.strip_prefix("gt") {
                                Some(time) => found > time,
                                None => found == value,
                            })
                        })
                    })
            };
            let prefix = format!("{wanted}/");
            let found: Vec<String> = self
                .resources
                .iter()
                .filter(|(name, (resource, changed))| {
                    name.starts_with(&prefix)
                        && fits(resource)
                        && since.as_ref().is_none_or(|since| plain(changed) >= *since)
                })
                .map(|(_, (resource, _))| format!("{resource}\n"))
                .collect();
            for (number, page) in found.chunks(self.page).enumerate() {
                let url = file(format!("{wanted}.{job}.{number}"), page.concat());
                output.push(json!({"type": wanted, "url": url, "count": page.len()}));
            }
        }
        if let Some(since) = since {
            let gone = self.deleted.iter().filter(|(name, at)| {
                plain(at) >= since && types.split(',').any(|t| name.starts_with(&format!("{t}/")))
            });
            let lines: String = gone
                .map(|(name, _)| {
                    let entry = json!({"request": {"method": "DELETE", "url": name}});
                    format!("{}\n", json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}))
                })
                .collect();
            if !lines.is_empty() {
                deleted.push(json!({"type": "Bundle", "url": file(format!("deleted.{job}"), lines)}));
            }
        }
        if let Some(text) = self.error.take() {
            let issue = json!({"severity": "error", "code": "processing", "diagnostics": text});
            let outcome = json!({"resourceType": "OperationOutcome", "issue": [issue]});
            error.push(json!({"type": "OperationOutcome", "url": file(format!("error.{job}"), outcome.to_string())}));
        }
        let mut manifest = json!({
            "transactionTime": self.now, "request": url, "requiresAccessToken": false,
            "output": output, "deleted": deleted, "error": error,
        });
        if self.silent_on_deletions {
            manifest.as_object_mut().unwrap().remove("deleted");
        }
        self.manifests.push(manifest);
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile(self);
        }
        Reply::new(202).header("Content-Location", &format!("https://ehr.example/jobs/{job}"))
    }
}

pub fn capability() -> Value {
    let types = ["Patient", "Condition", "Observation", "Encounter", "Practitioner", "Group"];
    let params = json!([{"name": "_lastUpdated"}, {"name": "category"}]);
    json!({
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "rest": [{"mode": "server", "resource": types.map(|t| json!({"type": t, "searchParam": params}))}],
    })
}

/// The types, and nothing else that is not the default but no hydration.
pub fn config(types: &str) -> ExportConfig {
    let mut bulk = BulkConfig { types: vec![types.to_owned()], compress: false, ..BulkConfig::default() };
    bulk.server.fhir_url = BASE.into();
    bulk.server.retry_delays = Some(vec![std::time::Duration::from_secs(60)]);
    ExportConfig { bulk, hydration_tasks: vec!["none".into()], ..ExportConfig::default() }
}

/// The same with `since: auto`.
pub fn auto(types: &str) -> ExportConfig {
    let mut config = config(types);
    config.bulk.since = Some("auto".into());
    config
}

pub fn named(mut config: ExportConfig, nickname: &str) -> ExportConfig {
    config.nickname = Some(nickname.into());
    config
}

pub fn export(host: &Host, config: &ExportConfig) -> Result<ExportReport, Error> {
    host.run(job::export(host, config, std::future::pending()))
}

pub fn notes(host: &Host) -> Vec<String> {
    host.events()
        .into_iter()
        .filter_map(|e| if let Event::Note { message } = e { Some(message) } else { None })
        .collect()
}

pub fn metadata(host: &Host, folder: &str) -> Value {
    let path = if folder.is_empty() { ".metadata".to_owned() } else { format!("{folder}/.metadata") };
    serde_json::from_str(&host.storage.text(&path).expect("a .metadata")).expect("json")
}

/// The links, as `name -> target`.
pub fn links(host: &Host) -> Vec<String> {
    host.storage.paths().into_iter().filter(|path| path.contains(" -> ")).collect()
}

/// What the kick-offs asked for `name`, in order.
pub fn asked(host: &Host, name: &str) -> Vec<Option<String>> {
    host.http.seen_with("$export").iter().map(|seen| query(&seen.request.url, name)).collect()
}

/// What a reader of the folder has: the files behind the links in their order, later ones winning, then the deletions of
/// each export from the one on that the links begin with.
pub fn seen_by_reader(host: &Host) -> BTreeMap<String, Value> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let paths = host.storage.paths();
    for link in paths.iter().filter_map(|path| path.split_once(" -> ")) {
        let text = host.storage.text(link.1).unwrap_or_else(|| panic!("{link:?} leads nowhere"));
        rows.push((link.1.to_owned(), text));
    }
    for path in paths.iter().filter(|path| path.contains("/deleted/") && path.ends_with(".ndjson")) {
        // After the files of its export.
        rows.push((path.replace("/deleted/", "/~/"), host.storage.text(path).unwrap()));
    }
    rows.sort();
    let mut state = BTreeMap::new();
    for line in rows.iter().flat_map(|(_, text)| text.lines()) {
        let resource: Value = serde_json::from_str(line).expect("a whole file");
        let name =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap_or_default());
        if let Some(entries) = resource["entry"].as_array() {
            for entry in entries {
                state.remove(entry["request"]["url"].as_str().unwrap());
            }
        } else {
            state.insert(name, resource);
        }
    }
    state
}
