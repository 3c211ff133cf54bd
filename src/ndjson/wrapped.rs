//! Bodies that are one JSON document in place of NDJSON: an OperationOutcome, or a FHIR Binary that wraps the file (F01).

use base64::Engine;
use serde_json::Value;

use super::gzip::{Gunzip, MAGIC};
use crate::Result;
use crate::platform::Storage;
use crate::platform::transfer::{Content, FileFacts, TransferTask};

/// Longest document that is read as a whole.
const MAX_DOCUMENT: u64 = 64 << 20;

/// What a stored body turned out to be.
pub(super) enum Found {
    /// What it should be, as far as this module can tell.
    Data,
    /// An OperationOutcome that reports an error.
    Refusal(Vec<u8>),
    /// A Binary that holds this.
    File(Vec<u8>),
    /// A Binary whose content cannot be had: why.
    Unreadable(String),
}

/// Whether a body with these facts could be one document in place of data: one line of such a type, or, written over
/// several lines, not one good line.
pub(super) fn may_be(task: &TransferTask, facts: &FileFacts) -> bool {
    let single = |kind: &str| facts.resources == 1 && facts.types.contains_key(kind) && is_stray(task, kind);
    let over_lines = facts.resources > 0 && facts.bad_lines == facts.resources && facts.decoded <= MAX_DOCUMENT;
    let line_by_line = matches!(task.content, Content::Resources | Content::Outcomes | Content::Deletions);
    line_by_line && (single("OperationOutcome") || single("Binary") || over_lines)
}

/// Whether a resource of this type is no data of this file. Where any type may come, a Binary may.
fn is_stray(task: &TransferTask, kind: &str) -> bool {
    match (task.content, task.resource_type.as_deref()) {
        (Content::Outcomes, _) => kind != "OperationOutcome",
        (Content::Deletions, _) => kind != "Bundle",
        (_, Some(expected)) => kind != expected,
        (_, None) => kind == "OperationOutcome",
    }
}

/// Reads the stored file of `task` and says what it is.
pub(super) async fn read<S: Storage>(storage: &S, task: &TransferTask) -> Result<Found> {
    let Some(bytes) = read_decoded(storage, &task.path).await? else {
        return Ok(Found::Unreadable(format!("one document of more than {MAX_DOCUMENT} bytes in place of NDJSON")));
    };
    let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match document["resourceType"].as_str().unwrap_or_default() {
        "" => Ok(Found::Data),
        kind if !is_stray(task, kind) => Ok(Found::Data),
        "OperationOutcome" => Ok(outcome(bytes)),
        "Binary" => Ok(content(document["data"].as_str())),
        _ => Ok(Found::Data),
    }
}

fn outcome(bytes: Vec<u8>) -> Found {
    // One that reports no error is a remark; it stays, and its issues are told.
    let reports_error = crate::fhir::outcome::Outcome::read(&bytes).is_some_and(|outcome| outcome.is_error());
    if reports_error { Found::Refusal(bytes) } else { Found::Data }
}

fn content(data: Option<&str>) -> Found {
    let Some(data) = data else {
        return Found::Unreadable("a FHIR Binary without data in place of NDJSON".to_owned());
    };
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match base64::engine::general_purpose::STANDARD.decode(data) {
        Ok(bytes) => Found::File(bytes),
        Err(_) => Found::Unreadable("a FHIR Binary whose data are not base64 in place of NDJSON".to_owned()),
    }
}

/// A stored file, gunzipped if it is gzip; `None` if it is too long.
async fn read_decoded<S: Storage>(storage: &S, path: &str) -> Result<Option<Vec<u8>>> {
    const PIECE: usize = 1 << 20;
    let mut bytes = Vec::new();
    let mut decoder: Option<Gunzip> = None;
    let mut block = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let piece = storage.read(path, offset, PIECE).await?;
        if piece.is_empty() {
            return Ok(Some(bytes));
        }
        if offset == 0 && piece.starts_with(&MAGIC) {
            decoder = Some(Gunzip::new());
        }
        offset += piece.len() as u64;
        let Some(decoder) = &mut decoder else {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > MAX_DOCUMENT {
                return Ok(None);
            }
            continue;
        };
        let mut rest = &piece[..];
        loop {
            // It was decoded without error a moment ago.
            let step = decoder.decode(rest, &mut block).unwrap_or_default();
            bytes.extend_from_slice(&block[..step.produced]);
            rest = &rest[step.consumed..];
            if bytes.len() as u64 > MAX_DOCUMENT {
                return Ok(None);
            }
            if step.produced < block.len() && rest.is_empty() || step == super::gzip::Step::default() {
                break;
            }
        }
    }
}
