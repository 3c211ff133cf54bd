//! Checks a file that is already stored: after a crash, and for `verify`.

use super::check::Expect;
use super::pipeline::{Flaw, Keep, Pipeline};
use crate::platform::Storage;
use crate::platform::transfer::{Content, FileFacts};
use crate::{Error, ErrorKind, Result};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Checks the stored file at `path` as a transfer does: gzip (by its first bytes) with every checksum, each line JSON.
///
/// A file that is damaged or ends early is an error of kind [`ErrorKind::Corrupt`]; bad lines are in the facts. An organized
/// file is stored in parts, each of which is checked as [`Content::Resources`].
pub async fn check_file<S: Storage>(storage: &S, path: &str, expect: &Expect<'_>) -> Result<FileFacts> {
    let content = if expect.content == Content::Organized { Content::Resources } else { expect.content };
    let gzip = std::path::Path::new(path).extension().is_some_and(|extension| extension == "gz");
    let mut pipeline = Pipeline::new(&Expect { content, ..*expect }, gzip, Keep::Nothing);
    let mut offset = 0;
    loop {
        let piece = storage.read(path, offset, PIECE).await?;
        offset += piece.len() as u64;
        let last = piece.is_empty();
        let checked = push(&mut pipeline, &piece, last).map_err(|flaw| damaged(path, flaw))?;
        if checked {
            return Ok(FileFacts { received: offset, stored: offset, ..pipeline.into_facts() });
        }
    }
}

/// Puts a piece through; true after the last one.
fn push(pipeline: &mut Pipeline, piece: &[u8], last: bool) -> std::result::Result<bool, Flaw> {
    if last {
        pipeline.end_input();
    }
    let mut rest = piece;
    while !rest.is_empty() || pipeline.has_more() {
        rest = &rest[pipeline.feed(rest)?..];
    }
    if last {
        pipeline.finish()?;
    }
    Ok(last)
}

fn damaged(path: &str, flaw: Flaw) -> Error {
    let what = match flaw {
        Flaw::Torn(what) => what,
        Flaw::Markup => "it holds a web page".to_owned(),
    };
    Error::new(ErrorKind::Corrupt, "check", format!("{path} is damaged: {what}."))
}
