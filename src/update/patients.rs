//! New, merged and deleted patients: an export of Patient compared with the one before.
//!
//! Exports of only what changed are added up with those before them; the reference compares with the newest alone, so that after
//! an increment without Patients all look new.

use super::ids::{Ids, fingerprint, read};
use crate::Result;
use crate::fhir::raw::Raw;
use crate::folder::rows::{Rows, data_files};
use crate::platform::Storage;

/// Patients that were not in the folders `before` (newest first), and those that have taken another one's place since
/// (`link.type` is `replaces`): their history is to be fetched. Sorted.
pub async fn new_patients<S: Storage>(before: &[S], now: &S) -> Result<Vec<String>> {
    let mut known = Ids::default();
    for folder in before.iter().rev() {
        read(folder, "Patient", &mut |id, patient| {
            known.add(fingerprint(id));
            replaced(id, patient, &mut |pair| known.add(pair));
        })
        .await?;
        // Who was deleted is new when coming back.
        let mut gone = Ids::default();
        for file in data_files(folder, "deleted").await? {
            let mut rows = Rows::open(folder, &file.path);
            while let Some(row) = rows.next().await? {
                Raw::new(row).walk(&["entry", "request", "url"], &mut |url| {
                    let url = url.text();
                    if let Some(id) = url.as_deref().and_then(|url| url.strip_prefix("Patient/")) {
                        gone.add(fingerprint(id));
                    }
                });
            }
        }
        gone.seal();
        known.retain(|known| !gone.contains(known));
    }
    known.seal();
    let mut found = Vec::new();
    read(now, "Patient", &mut |id, patient| {
        let mut is_new = !known.contains(fingerprint(id));
        replaced(id, patient, &mut |pair| is_new |= !known.contains(pair));
        if is_new {
            found.push(id.to_owned());
        }
    })
    .await?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The patients that `patient` replaces, each as one number that stands for both.
fn replaced(id: &str, patient: Raw<'_>, found: &mut dyn FnMut(u64)) {
    let Some(links) = patient.get("link") else { return };
    for link in links.items().filter(|link| link.get("type").is_some_and(|kind| kind.is_text("replaces"))) {
        let reference = link.get("other").and_then(|other| other.get("reference")).and_then(Raw::text);
        if let Some(other) = reference.as_deref().and_then(|reference| reference.strip_prefix("Patient/")) {
            found(fingerprint(&format!("{id}/{other}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, MemoryStorage};

    fn folder(rows: &[(&str, &str)]) -> MemoryStorage {
        let storage = MemoryStorage::new();
        let line = |(id, link): &(&str, &str)| {
            let link = if link.is_empty() {
                String::new()
            } else {
                format!(",\"link\":[{{\"type\":\"{link}\",\"other\":{{\"reference\":\"Patient/old\"}}}}]")
            };
            format!("{{\"resourceType\":\"Patient\",\"id\":\"{id}\"{link}}}\n")
        };
        storage.put("Patient.001.ndjson", rows.iter().map(line).collect::<String>());
        storage
    }

    #[test]
    fn merged_patients_count_as_new() {
        let before = folder(&[("a", ""), ("b", "replaces"), ("c", ""), ("d", "")]);
        let now = folder(&[("z", ""), ("a", "replaces"), ("b", "replaces"), ("c", "seealso"), ("d", "")]);
        let found = Host::new().run(new_patients(&[before], &now));
        assert_eq!(found.expect("patients"), ["a", "z"]);
    }
}
