//! One attachment: whether it is to be fetched, what came for it, and how it is put into its row. The row is edited as text:
//! nothing changes but the members of the attachment (H04).

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha1_smol::Sha1;

use super::fetch::{self, Failure, Got, OPERATION};
use super::{binary, media};
use crate::Result;
use crate::fhir::raw::{self, Raw};
use crate::http::{Call, Client};
use crate::platform::Platform;

/// Biggest attachment that is taken: it passes through memory.
const MAX_BYTES: usize = 512 << 20;

/// Bytes that are encoded or decoded at once; of base64 and of what it stands for.
const BLOCK: usize = 48 << 10;

/// What is to be done about an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing: not of a type that is wanted, or without an address.
    Leave,
    /// Nothing: its data are here.
    Here,
    /// It is fetched.
    Fetch(Wanted),
}

/// An attachment that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its address, as it stands there.
    pub(super) url: String,
    /// Its media type; of a file, empty if it does not say.
    pub(super) mimetype: String,
    /// Whether it becomes a file, rather than a part of the resource.
    pub(super) as_file: bool,
    /// The name that its file has, if what its `hash` says is true.
    pub(super) file: Option<String>,
}

/// Looks at an attachment. Types that are not in `mimetypes` become files, if `as_files`.
pub(super) fn plan(attachment: Raw<'_>, mimetypes: &[String], as_files: bool) -> Plan {
    let text = |key: &str| attachment.get(key).and_then(Raw::text);
    let content_type = text("contentType");
    let mimetype = content_type.as_deref().map(media::mimetype).unwrap_or_default();
    let inline = mimetypes.contains(&mimetype);
    if !inline && !as_files {
        return Plan::Leave;
    }
    if attachment.get("data").is_some() {
        return if inline { Plan::Here } else { Plan::Leave };
    }
    let Some(url) = text("url").filter(|url| !url.is_empty()) else { return Plan::Leave };
    let hash = text("hash").and_then(|hash| STANDARD.decode(hash.as_bytes()).ok());
    let file = hash.filter(|hash| !inline && hash.len() == 20).map(|hash| file_name(&hash, &mimetype));
    Plan::Fetch(Wanted { url: url.into_owned(), mimetype, as_file: !inline, file })
}

/// The name of a file: nothing that a server says but the hash of the content, so that no two of them clash.
fn file_name(hash: &[u8], mimetype: &str) -> String {
    let hex: String = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect();
    format!("{hex}{}", media::ending(mimetype))
}

fn hex_digit(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0')
}

/// What came. It is held in pieces, and once: it may be large.
pub(super) struct Content {
    /// The content, or base64 of it.
    pieces: Vec<Vec<u8>>,
    is_base64: bool,
    charset: String,
    size: u64,
    hash: [u8; 20],
}

impl Content {
    fn plain(pieces: Vec<Vec<u8>>, charset: String) -> Self {
        let mut hash = Sha1::new();
        for piece in &pieces {
            hash.update(piece);
        }
        let size = pieces.iter().map(Vec::len).sum::<usize>() as u64;
        Self { size, pieces, is_base64: false, charset, hash: hash.digest().bytes() }
    }

    /// Out of the `data` of a Binary. `None` if that is no base64.
    fn base64(mut pieces: Vec<Vec<u8>>, charset: String) -> Option<Self> {
        for piece in &mut pieces {
            piece.retain(|byte| !byte.is_ascii_whitespace());
        }
        let (mut hash, mut size, mut ended) = (Sha1::new(), 0, false);
        for text in blocks(&pieces) {
            let bytes = STANDARD.decode(&text).ok().filter(|_| !ended)?;
            // Padding ends the text; before other text, it would be two texts.
            ended = text.ends_with(b"=");
            hash.update(&bytes);
            size += bytes.len() as u64;
        }
        Some(Self { pieces, is_base64: true, charset, size, hash: hash.digest().bytes() })
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// The content as base64, piece by piece.
    pub(super) fn base64_pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let is_base64 = self.is_base64;
        let encode = move |piece: Vec<u8>| if is_base64 { piece } else { STANDARD.encode(piece).into_bytes() };
        blocks(&self.pieces).map(encode)
    }

    /// The content, piece by piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let is_base64 = self.is_base64;
        // What is no base64 did not become a `Content`.
        let decode = move |piece: Vec<u8>| if is_base64 { STANDARD.decode(piece).unwrap_or_default() } else { piece };
        blocks(&self.pieces).map(decode)
    }

    /// Forgets the content, now that it is stored elsewhere; what it is stays known.
    pub(super) fn let_go(&mut self) {
        self.pieces = Vec::new();
    }

    /// The name of the file for it.
    pub(super) fn file_name(&self, mimetype: &str) -> String {
        file_name(&self.hash, mimetype)
    }
}

/// The same bytes in blocks of one size, so that each can be encoded or decoded by itself.
fn blocks(pieces: &[Vec<u8>]) -> impl Iterator<Item = Vec<u8>> {
    let (mut pieces, mut rest) = (pieces.iter(), &[][..]);
    std::iter::from_fn(move || {
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            if rest.is_empty() {
                let Some(piece) = pieces.next() else { break };
                rest = piece;
            }
            let take = rest.len().min(BLOCK - block.len());
            block.extend_from_slice(&rest[..take]);
            rest = &rest[take..];
        }
        (!block.is_empty()).then_some(block)
    })
}

/// Fetches an attachment: its bytes, or those in the Binary resource that some servers send whatever they are asked for. The
/// token goes with it only where it may.
pub(super) async fn fetch<P: Platform>(client: &Client<'_, P>, wanted: &Wanted) -> Result<Got<Content>> {
    let url = match client.resolve(&wanted.url, &format!("{}/", client.base())) {
        Ok(url) => url,
        Err(error) => return Ok(Err(Failure::fatal(error.message.clone()))),
    };
    let accept = if wanted.mimetype.is_empty() { "*/*" } else { wanted.mimetype.as_str() };
    let rule = client.token_rule(true, &url);
    let mut call = Call::get(OPERATION, &url).header("Accept", accept);
    call.max_body = MAX_BYTES;
    call.in_pieces = true;
    Ok(match fetch::send(client, call).await? {
        Ok(reply) => {
            let content_type = reply.headers.get("content-type").unwrap_or_default().to_owned();
            content(reply.pieces, &content_type, &wanted.mimetype)
        }
        Err(mut failure) => {
            let hint = client.withheld_hint(rule, &url);
            if !hint.is_empty() && failure.serious.take().is_some() {
                // That this token is not for others says nothing about our own server.
                failure.message = format!("{}{hint}", failure.message);
            }
            Err(failure)
        }
    })
}

/// The content in an answer that is due to be of type `mimetype`.
fn content(body: Vec<Vec<u8>>, content_type: &str, mimetype: &str) -> Got<Content> {
    let found = media::mimetype(content_type);
    let fits = |found: &str| mimetype.is_empty() || found == mimetype;
    let is_json = matches!(found.as_str(), "application/fhir+json" | "application/json" | "application/json+fhir");
    // What is to be a FHIR resource or other JSON is not looked into.
    if is_json && mimetype != found {
        let Some((frame, data)) = binary::split(body) else { return Err(mismatch(mimetype, &found)) };
        let kind = raw::check(&frame).unwrap_or_default();
        let own = Raw::new(&frame).get("contentType").and_then(Raw::text).unwrap_or_default();
        return match kind.as_str() {
            "Binary" if !fits(&media::mimetype(&own)) => Err(mismatch(mimetype, &media::mimetype(&own))),
            "Binary" if Raw::new(&frame).get("data").is_none() => {
                Err(Failure::fatal("The server sent a Binary without data.".to_owned()))
            }
            "Binary" => Content::base64(data, media::charset(&own))
                .ok_or_else(|| Failure::fatal("The data of this Binary is not valid base64.".to_owned())),
            "OperationOutcome" => match fetch::mismatch(&frame, &kind, mimetype) {
                text if text.starts_with("Error: expected") => Err(mismatch(mimetype, &found)),
                text => Err(Failure::fatal(text)),
            },
            _ if fits(&found) => Err(Failure::fatal("The server sent something that says not what it is.".to_owned())),
            _ => Err(mismatch(mimetype, &found)),
        };
    }
    if fits(&found) { Ok(Content::plain(body, media::charset(content_type))) } else { Err(mismatch(mimetype, &found)) }
}

fn mismatch(expected: &str, found: &str) -> Failure {
    let found = crate::fhir::outcome::clean(found);
    Failure::fatal(format!("Error: expected MIME type of '{expected}', but got '{found}'."))
}

/// Where a part of a text stands in it.
pub(super) fn place(text: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

/// A change of a row.
pub(super) struct Edit {
    /// What goes.
    pub(super) range: Range<usize>,
    /// What comes.
    pub(super) text: String,
    /// Whether the content comes after it, as base64, and a quote after that.
    pub(super) has_data: bool,
}

/// The changes that put `content` into the attachment that stands at `at` in `row`, in order. Members that are there stay
/// where they are; new ones come at the end.
pub(super) fn edits(row: &[u8], at: &Range<usize>, wanted: &Wanted, content: &Content) -> Vec<Edit> {
    let attachment = Raw::new(&row[at.clone()]);
    let text = |text: String| Value::String(text).to_string();
    let mut members = vec![("size", content.size.to_string()), ("hash", text(STANDARD.encode(content.hash)))];
    if !wanted.as_file {
        members.insert(0, ("contentType", text(format!("{}; charset={}", wanted.mimetype, content.charset))));
    }
    let (mut edits, mut last) = (Vec::new(), String::new());
    for (name, value) in members {
        match attachment.get(name) {
            Some(old) => edits.push(Edit { range: place(row, old.bytes()), text: value, has_data: false }),
            None => last = format!("{last},\"{name}\":{value}"),
        }
    }
    edits.sort_unstable_by_key(|edit| edit.range.start);
    let end = at.end - 1..at.end - 1;
    if !wanted.as_file {
        edits.push(Edit { range: end.clone(), text: ",\"data\":\"".to_owned(), has_data: true });
    }
    edits.push(Edit { range: end, text: last, has_data: false });
    edits
}

#[cfg(test)]
#[path = "attachment_tests.rs"]
mod tests;
