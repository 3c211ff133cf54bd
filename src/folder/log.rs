//! The bulk export log: `log.ndjson`, one event a line
//! (<https://github.com/smart-on-fhir/bulk-data-client/wiki/Bulk-Data-Export-Log-Items>), with the reference's fields.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::layout::LOG;
use super::metadata::{ascii, now_iso};
use super::rows::Rows;
use crate::Result;
use crate::platform::{Clock, FileWriter, Platform, Storage, WriteMode};

/// Appends events to the log. Lines are short, and each is written in one call, so a crash can cost only the last one.
pub struct Log<'p, P: Platform> {
    platform: &'p P,
    export_id: RefCell<String>,
    begun: i64,
    waiting: RefCell<Vec<String>>,
    writer: futures_util::lock::Mutex<Option<<P::Storage as Storage>::Writer>>,
}

impl<'p, P: Platform> Log<'p, P> {
    /// A log whose events carry `export_id`: the status URL, or something made up until there is one.
    pub fn new(platform: &'p P, export_id: impl Into<String>) -> Self {
        Self {
            platform,
            export_id: RefCell::new(export_id.into()),
            begun: platform.clock().now_millis(),
            waiting: RefCell::default(),
            writer: futures_util::lock::Mutex::new(None),
        }
    }

    /// Uses another id from now on.
    pub fn set_export_id(&self, export_id: impl Into<String>) {
        *self.export_id.borrow_mut() = export_id.into();
    }

    /// Milliseconds since this program began to log.
    pub fn duration(&self) -> i64 {
        self.platform.clock().now_millis() - self.begun
    }

    /// Notes an event; it reaches the file with the next [`Log::flush`].
    pub fn event(&self, id: &str, detail: &Value) {
        let mut line = json!({
            "exportId": *self.export_id.borrow(),
            "timestamp": now_iso(self.platform.clock()),
            "eventId": id,
            "eventDetail": detail,
        });
        if id == "kickoff" {
            line["_client"] = json!("smart-fetch");
            line["_clientVersion"] = json!(crate::VERSION);
        }
        self.waiting.borrow_mut().push(format!("{}\n", ascii(line.to_string())));
    }

    /// Writes what was noted.
    pub async fn flush(&self) -> Result<()> {
        let mut writer = self.writer.lock().await;
        let lines = self.waiting.take().concat();
        if lines.is_empty() {
            return Ok(());
        }
        let storage = self.platform.storage();
        if writer.is_none() {
            // A line that a crash has cut is ended, so that it spoils no other.
            let size = storage.stat(LOG).await?.map_or(0, |entry| entry.size);
            let torn = size > 0 && storage.read(LOG, size - 1, 1).await? != b"\n";
            let mut file = storage.open(LOG, WriteMode::Append).await?;
            if torn {
                file.write(b"\n").await?;
            }
            *writer = Some(file);
        }
        if let Some(file) = writer.as_mut() {
            file.write(lines.as_bytes()).await?;
        }
        Ok(())
    }

    /// Writes what was noted and closes the file.
    pub async fn close(self) -> Result<()> {
        self.flush().await?;
        if let Some(mut file) = self.writer.into_inner() {
            file.flush().await?;
            file.close().await?;
        }
        Ok(())
    }
}

/// The log that a bulk export from `url` would have left: for data that came another way, so that tools which read it find the
/// group's name and the time. `counts`: files, resources, bytes before any compression.
pub(crate) async fn stand_in<P: Platform>(platform: &P, url: &str, time: &str, counts: [u64; 3]) -> Result<()> {
    let [files, resources, bytes] = counts;
    let log = Log::new(platform, "fake-log");
    log.event(
        "kickoff",
        &json!({
            "exportUrl": url,
            "softwareName": null,
            "softwareVersion": null,
            "softwareReleaseDate": null,
            "fhirVersion": null,
            "requestParameters": {},
            "errorCode": null,
            "errorBody": null,
            "responseHeaders": {},
        }),
    );
    log.event("status_complete", &json!({"transactionTime": time}));
    let page = json!({"transactionTime": time, "outputFileCount": files, "deletedFileCount": 0, "errorFileCount": 0});
    log.event("status_page_complete", &page);
    let manifest = json!({
        "transactionTime": time,
        "totalOutputFileCount": files,
        "totalDeletedFileCount": 0,
        "totalErrorFileCount": 0,
        "totalManifests": 1,
    });
    log.event("manifest_complete", &manifest);
    let end = json!({"files": files, "resources": resources, "bytes": bytes, "attachments": null, "duration": 0});
    log.event("export_complete", &end);
    log.close().await
}

/// How many files with resources in them came of each type, by the last export in the log that fetched any of it: for folders of
/// the reference, which keeps no ledger. What cannot be read is passed over.
pub(crate) async fn files_with_resources<S: Storage>(storage: &S) -> Result<BTreeMap<String, usize>> {
    let mut asked = BTreeMap::<String, String>::new();
    let mut came = BTreeMap::<String, (String, BTreeSet<String>)>::new();
    if storage.stat(LOG).await?.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut rows = Rows::open(storage, LOG);
    while let Some(row) = rows.next().await? {
        let Ok(event) = serde_json::from_slice::<Value>(row) else { continue };
        let detail = &event["eventDetail"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let url = text(&detail["fileUrl"]);
        match event["eventId"].as_str() {
            Some("download_request") if detail["itemType"] == "output" => {
                asked.insert(url, text(&detail["resourceType"]));
            }
            Some("download_complete") if detail["resourceCount"].as_u64() > Some(0) => {
                let (Some(kind), export) = (asked.get(&url), text(&event["exportId"])) else { continue };
                let (last, urls) = came.entry(kind.clone()).or_default();
                if *last != export {
                    (*last, *urls) = (export, BTreeSet::new());
                }
                urls.insert(url);
            }
            _ => {}
        }
    }
    let mut files = BTreeMap::new();
    for (kind, (_, urls)) in came {
        files.insert(kind, urls.len());
    }
    Ok(files)
}
