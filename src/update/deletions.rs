//! Resources that are gone since an earlier export: `deleted/Bundle.{Type}.ndjson`, a transaction of one entry a line.

use super::ids::Gone;
use crate::Result;
use crate::folder::layout;
use crate::folder::row_file::RowWriter;
use crate::platform::Storage;

/// Notes the resources of a type that are in one of the folders `past` and not in `now`. What an earlier look noted is
/// replaced. Returns how many there are.
pub async fn note<S: Storage>(resource_type: &str, past: &[S], now: &S, compress: bool) -> Result<u64> {
    let name = format!("deleted/Bundle.{resource_type}{}", layout::ending(None, compress));
    let mut gone = Gone::new(resource_type, past, now);
    let mut file = None;
    while let Some(ids) = gone.part().await? {
        for id in ids {
            let writer = match &mut file {
                Some(writer) => writer,
                None => file.insert(RowWriter::create(now, &name).await?),
            };
            let url = serde_json::Value::from(format!("{resource_type}/{id}"));
            let row = format!(
                "{{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{{\"request\":{{\"method\":\"DELETE\",\"url\":{url}}}}}]}}"
            );
            writer.row(row.as_bytes()).await?;
        }
    }
    let other = layout::other_compression(&name);
    let Some(file) = file else {
        for stale in [&name, &format!("{name}{}", layout::PART), &other] {
            now.remove(stale).await?;
        }
        return Ok(0);
    };
    let count = file.commit().await?.resources;
    now.remove(&other).await?;
    Ok(count)
}
