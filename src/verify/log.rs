//! The bulk export log: it can be read, and where there is no ledger it says how many resources there should be.

use std::collections::BTreeMap;

use serde_json::Value;

use super::VerifyReport;
use crate::Result;
use crate::folder::Rows;
use crate::folder::layout::{LOG, number};
use crate::platform::Storage;

/// Checks the log. `read`: rows by file, to be compared with it: of the program that wrote the folder there is no ledger.
pub(super) async fn check<S: Storage>(
    storage: &S,
    prefix: &str,
    read: Option<&BTreeMap<String, u64>>,
    report: &mut VerifyReport,
) -> Result<()> {
    if storage.stat(LOG).await?.is_none() {
        return Ok(());
    }
    let path = format!("{prefix}{LOG}");
    // By URL: which type it is of, and how many resources came.
    let (mut asked, mut came) = (BTreeMap::<String, String>::new(), BTreeMap::<String, u64>::new());
    let mut rows = Rows::open(storage, LOG);
    while let Some(row) = rows.next().await? {
        let Ok(event) = serde_json::from_slice::<Value>(row) else {
            let line = rows.line();
            report.problem(path.as_str(), format!("has a line that is no JSON: line {line}"));
            return Ok(());
        };
        let detail = &event["eventDetail"];
        let url = detail["fileUrl"].as_str().unwrap_or_default();
        match event["eventId"].as_str() {
            Some("download_request") if detail["itemType"] == "output" => {
                let kind = detail["resourceType"].as_str().unwrap_or_default();
                asked.insert(url.to_owned(), kind.to_owned());
            }
            Some("download_complete") => {
                came.insert(url.to_owned(), detail["resourceCount"].as_u64().unwrap_or_default());
            }
            _ => {}
        }
    }
    let Some(read) = read else { return Ok(()) };
    let mut expected = BTreeMap::<String, u64>::new();
    for (url, kind) in asked {
        *expected.entry(kind).or_default() += came.get(&url).copied().unwrap_or_default();
    }
    for (kind, count) in expected {
        let is_of_export = |path: &str| path.split('.').next() == Some(kind.as_str()) && number(path) > 0;
        let rows: u64 = read.iter().filter(|(path, _)| is_of_export(path)).map(|(_, rows)| rows).sum();
        if rows != count {
            let text = format!("says that {count} resources of type {kind} were received, but the files hold {rows}");
            report.problem(path.as_str(), text);
        }
    }
    Ok(())
}
