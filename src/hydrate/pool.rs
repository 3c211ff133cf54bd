//! The ids that are known, in eight bytes or so each.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::Result;
use crate::fhir::raw::Raw;
use crate::folder::rows::{Rows, data_files};
use crate::platform::Storage;

/// Stands for an id. That two of a million ids share one is as likely as one in thirty million.
pub(super) fn key(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// The ids of a type.
pub(super) type Pool = HashSet<u64>;

/// The ids of all resources of a type in a folder.
pub(super) async fn known<S: Storage>(storage: &S, resource_type: &str) -> Result<Pool> {
    let mut pool = Pool::new();
    for file in data_files(storage, "").await? {
        if file.resource_type.as_deref() != Some(resource_type) {
            continue;
        }
        let mut rows = Rows::open(storage, &file.path);
        while let Some(row) = rows.next().await? {
            if let Some(id) = Raw::new(row).get("id").and_then(Raw::text) {
                pool.insert(key(&id));
            }
        }
    }
    Ok(pool)
}
