//! The second pass: the rows that were chosen go into one file a type.

use super::choose::Chosen;
use super::plan::{Plan, SourceFile};
use crate::folder::{RowFile, RowWriter, Rows};
use crate::platform::Platform;
use crate::progress::Steps;
use crate::{Error, ErrorKind, Result};

/// A file of the result.
pub(super) struct Made {
    pub(super) resource_type: String,
    pub(super) file: RowFile,
    /// Bytes of its rows, without any compression.
    pub(super) decoded: u64,
}

/// Copies the rows that were chosen. A type without any has no file.
pub(super) async fn copy<P: Platform>(
    platform: &P,
    source: &P::Storage,
    plan: &Plan,
    chosen: &Chosen,
    compress: bool,
) -> Result<Vec<Made>> {
    let steps = Steps::new(platform, "Merging", plan.files.len() as u64);
    let mut made = Vec::new();
    for resource_type in plan.types() {
        let name = format!("{resource_type}.001.ndjson{}", if compress { ".gz" } else { "" });
        let mut writer = RowWriter::create(platform.storage(), &name).await?;
        let mut decoded = 0;
        for file in plan.files.iter().filter(|file| file.resource_type == resource_type) {
            decoded += copy_file(source, file, chosen, &mut writer, &steps).await?;
        }
        if writer.resources() == 0 {
            writer.discard().await;
        } else {
            made.push(Made { resource_type, file: writer.commit().await?, decoded });
        }
    }
    Ok(made)
}

/// Copies what was chosen of one file. Returns how many bytes that was.
async fn copy_file<P: Platform>(
    source: &P::Storage,
    file: &SourceFile,
    chosen: &Chosen,
    writer: &mut RowWriter<'_, P::Storage>,
    steps: &Steps<'_, P>,
) -> Result<u64> {
    let mut rows = Rows::open(source, &file.path);
    let (mut number, mut decoded) = (file.before, 0);
    while let Some(row) = rows.next().await? {
        number += 1;
        if chosen.has(number) {
            writer.row(row).await?;
            decoded += row.len() as u64 + 1;
            steps.row();
        }
    }
    steps.file();
    if number - file.before == file.rows {
        return Ok(decoded);
    }
    let message = format!("{} was changed while it was merged.", file.path);
    Err(Error::new(ErrorKind::Storage, "merge", message).with_hint("Run the merge again."))
}
