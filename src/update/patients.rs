//! New, merged and deleted patients: an export of Patient compared with the one before.
//!
//! It takes for granted that all patients come each time, as the reference does: after an export of only what changed,
//! patients that came back look new, which costs some searches and loses nothing.

use super::ids::{Ids, fingerprint, read};
use crate::Result;
use crate::fhir::raw::Raw;
use crate::platform::Storage;

/// Patients that were not in the folder `before`, and those that have taken another one's place since (`link.type` is
/// `replaces`): their history is to be fetched. Sorted.
pub async fn new_patients<S: Storage>(before: &S, now: &S) -> Result<Vec<String>> {
    let mut known = Ids::default();
    read(before, "Patient", &mut |id, patient| {
        known.add(fingerprint(id));
        replaced(id, patient, &mut |pair| known.add(pair));
    })
    .await?;
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
        let found = Host::new().run(new_patients(&before, &now));
        assert_eq!(found.expect("patients"), ["a", "z"]);
    }
}
