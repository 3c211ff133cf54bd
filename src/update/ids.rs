//! Sets of ids too many to keep as text.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use crate::Result;
use crate::fhir::raw::Raw;
use crate::folder::rows::{Rows, data_files};
use crate::platform::Storage;

/// An id as 64 bits: among a hundred million ids, two that are the same by chance are to be had once in 3,700 tries.
pub fn fingerprint(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// A set of ids, 8 bytes each.
#[derive(Debug, Default)]
pub struct Ids(Vec<u64>);

impl Ids {
    /// Adds one; [`Ids::seal`] before the first look.
    pub fn add(&mut self, fingerprint: u64) {
        self.0.push(fingerprint);
    }

    /// Removes those that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.0.retain(|fingerprint| keep(*fingerprint));
    }

    /// Ends the adding.
    pub fn seal(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// Whether an id is in it.
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.0.binary_search(&fingerprint).is_ok()
    }

    /// How many were added.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Reads all resources of a type in a folder; `each` gets the id and the resource.
pub async fn read<S: Storage>(storage: &S, resource_type: &str, each: &mut dyn FnMut(&str, Raw<'_>)) -> Result<()> {
    for file in data_files(storage, "").await? {
        if file.resource_type.as_deref() != Some(resource_type) {
            continue;
        }
        let mut rows = Rows::open(storage, &file.path);
        while let Some(row) = rows.next().await? {
            let resource = Raw::new(row);
            // A file may hold strays.
            let is_meant = resource.get("resourceType").is_some_and(|name| name.is_text(resource_type));
            if let Some(id) = resource.get("id").and_then(Raw::text).filter(|_| is_meant) {
                each(&id, resource);
            }
        }
    }
    Ok(())
}

/// Ids at work at once at most: 32 MB. Beyond, they are gone through in parts.
const AT_ONCE: usize = 4 << 20;

/// The ids of a type that are in one of the folders `past`, and not in the folder `now`, each once, in parts. Memory stays
/// the same however many there are: what does not fit is left for another pass over the files.
pub struct Gone<'a, S: Storage> {
    now: &'a S,
    past: &'a [S],
    resource_type: &'a str,
    at_once: usize,
    parts: u64,
    next: u64,
}

impl<'a, S: Storage> Gone<'a, S> {
    /// Nothing is read yet.
    pub fn new(resource_type: &'a str, past: &'a [S], now: &'a S) -> Self {
        Self { now, past, resource_type, at_once: AT_ONCE, parts: 1, next: 0 }
    }

    /// The ids of the next part; `None` after the last one.
    pub async fn part(&mut self) -> Result<Option<BTreeSet<String>>> {
        while self.next < self.parts {
            if let Some(gone) = self.look().await? {
                self.next += 1;
                return Ok(Some(gone));
            }
            // The parts that are done are twice as many of the finer ones.
            (self.parts, self.next) = (self.parts * 2, self.next * 2);
        }
        Ok(None)
    }

    /// The next part, unless it is too much.
    async fn look(&self) -> Result<Option<BTreeSet<String>>> {
        let is_mine = |print: u64| in_part(print, self.parts, self.next);
        let mut here = Ids::default();
        read(self.now, self.resource_type, &mut |id, _| {
            let print = fingerprint(id);
            if is_mine(print) && here.count() <= self.at_once {
                here.add(print);
            }
        })
        .await?;
        if here.count() > self.at_once {
            return Ok(None);
        }
        here.seal();
        let mut gone = BTreeSet::new();
        // A text with all that belongs to it takes some twenty times as much as a number.
        let most = self.at_once / 16;
        for folder in self.past {
            read(folder, self.resource_type, &mut |id, _| {
                let print = fingerprint(id);
                if is_mine(print) && !here.contains(print) && gone.len() <= most && !gone.contains(id) {
                    gone.insert(id.to_owned());
                }
            })
            .await?;
        }
        Ok((gone.len() <= most).then_some(gone))
    }
}

/// Parts are ranges of the fingerprints, so that twice as many parts are each half of one.
fn in_part(fingerprint: u64, parts: u64, part: u64) -> bool {
    ((u128::from(fingerprint) * u128::from(parts)) >> 64) as u64 == part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, MemoryStorage};

    fn folder(ids: impl Iterator<Item = u32>) -> MemoryStorage {
        let storage = MemoryStorage::new();
        let rows: Vec<_> = ids.map(|id| format!("{{\"resourceType\":\"Patient\",\"id\":\"p{id}\"}}\n")).collect();
        storage.put("Patient.001.ndjson", rows.concat());
        storage
    }

    #[test]
    fn what_does_not_fit_at_once_is_gone_through_in_parts() {
        let host = Host::new();
        let past = [folder(0..500), folder(400..700)];
        let now = folder((0..700).filter(|id| id % 7 != 0));
        for at_once in [AT_ONCE, 400, 160] {
            let mut gone = Gone { at_once, ..Gone::new("Patient", &past, &now) };
            let found = host.run(async {
                let (mut all, mut parts) = (Vec::new(), 0);
                while let Some(part) = gone.part().await.expect("a part") {
                    assert!(part.len() <= at_once / 16);
                    all.extend(part);
                    parts += 1;
                }
                all.sort_unstable();
                (all, parts)
            });
            let mut expected: Vec<String> = (0..700).step_by(7).map(|id| format!("p{id}")).collect();
            expected.sort_unstable();
            assert_eq!(found.0, expected, "{at_once} at once");
            assert_eq!(found.1 == 1, at_once == AT_ONCE);
        }
    }

    #[test]
    fn strays_are_not_counted() {
        let now = folder(0..1);
        let past = MemoryStorage::new();
        past.put(
            "Patient.001.ndjson",
            "{\"resourceType\":\"Group\",\"id\":\"g\"}\n{\"resourceType\":\"Patient\",\"id\":\"a\"}\n",
        );
        let past = [past];
        let gone = Host::new().run(async { Gone::new("Patient", &past, &now).part().await });
        assert_eq!(gone.expect("a part"), Some(BTreeSet::from(["a".to_owned()])));
    }
}
