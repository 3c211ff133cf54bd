//! One attachment: whether it is to be fetched, what came for it, and how it is put into its row. The row is edited as text:
//! nothing changes but the members of the attachment (H04).

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha1_smol::Sha1;

use super::fetch::{self, Failure, Got, OPERATION};
use super::media;
use crate::Result;
use crate::fhir::raw::{self, Raw};
use crate::http::{Call, Client};
use crate::platform::Platform;

/// Biggest attachment that is taken: it passes through memory.
const MAX_BYTES: usize = 512 << 20;

/// Bytes that are encoded or decoded at once; of base64 and of what it stands for.
const PIECE: usize = 48 << 10;

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

/// What came.
pub(super) struct Content {
    /// The content, or base64 of it.
    bytes: Vec<u8>,
    is_base64: bool,
    charset: String,
    size: u64,
    hash: [u8; 20],
}

impl Content {
    fn plain(bytes: Vec<u8>, charset: String) -> Self {
        let hash = Sha1::from(&bytes).digest().bytes();
        Self { size: bytes.len() as u64, bytes, is_base64: false, charset, hash }
    }

    /// Out of the `data` of a Binary. `None` if that is no base64.
    fn base64(mut bytes: Vec<u8>, charset: String) -> Option<Self> {
        bytes.retain(|byte| !byte.is_ascii_whitespace());
        let (mut hash, mut size) = (Sha1::new(), 0);
        decoded(&bytes, &mut |piece| {
            hash.update(piece);
            size += piece.len() as u64;
        })?;
        Some(Self { bytes, is_base64: true, charset, size, hash: hash.digest().bytes() })
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// The content as base64, piece by piece.
    pub(super) fn base64_pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let is_base64 = self.is_base64;
        let encode = move |piece: &[u8]| if is_base64 { piece.to_vec() } else { STANDARD.encode(piece).into_bytes() };
        self.bytes.chunks(PIECE).map(encode)
    }

    /// The content, piece by piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let is_base64 = self.is_base64;
        // What is no base64 did not become a `Content`.
        let decode =
            move |piece: &[u8]| if is_base64 { STANDARD.decode(piece).unwrap_or_default() } else { piece.to_vec() };
        self.bytes.chunks(PIECE).map(decode)
    }

    /// Forgets the content, now that it is stored elsewhere; what it is stays known.
    pub(super) fn let_go(&mut self) {
        self.bytes = Vec::new();
    }

    /// The name of the file for it.
    pub(super) fn file_name(&self, mimetype: &str) -> String {
        file_name(&self.hash, mimetype)
    }
}

/// Decodes base64 piece by piece; `None` where it is none.
fn decoded(base64: &[u8], piece: &mut dyn FnMut(&[u8])) -> Option<()> {
    let last = base64.len().saturating_sub(1) / PIECE;
    for (number, text) in base64.chunks(PIECE).enumerate() {
        // Padding ends the text; inside of it, it would be two texts.
        if number < last && text.ends_with(b"=") {
            return None;
        }
        piece(&STANDARD.decode(text).ok()?);
    }
    Some(())
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
    Ok(match fetch::send(client, call).await? {
        Ok(reply) => {
            let content_type = reply.headers.get("content-type").unwrap_or_default().to_owned();
            content(reply.body, &content_type, &wanted.mimetype)
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
fn content(body: Vec<u8>, content_type: &str, mimetype: &str) -> Got<Content> {
    let found = media::mimetype(content_type);
    let fits = |found: &str| mimetype.is_empty() || found == mimetype;
    let is_json = matches!(found.as_str(), "application/fhir+json" | "application/json" | "application/json+fhir");
    if is_json && raw::check(&body).is_ok_and(|kind| kind == "Binary") {
        let binary = Raw::new(&body);
        let own = binary.get("contentType").and_then(Raw::text).unwrap_or_default().into_owned();
        if !fits(&media::mimetype(&own)) {
            return Err(mismatch(mimetype, &media::mimetype(&own)));
        }
        let Some(data) = binary.get("data") else {
            return Err(Failure::fatal("The server sent a Binary without data.".to_owned()));
        };
        let Some(data) = inner(&body, data) else {
            return Err(Failure::fatal("The data of this Binary cannot be read.".to_owned()));
        };
        let data = data.into_bytes(body);
        let damaged = || Failure::fatal("The data of this Binary is not valid base64.".to_owned());
        return Content::base64(data, media::charset(&own)).ok_or_else(damaged);
    }
    if fits(&found) {
        return Ok(Content::plain(body, media::charset(content_type)));
    }
    if is_json && raw::check(&body).is_ok_and(|kind| kind == "OperationOutcome") {
        let message = fetch::mismatch(&body, "OperationOutcome", mimetype);
        if !message.starts_with("Error: expected resource") {
            return Err(Failure::fatal(message));
        }
    }
    Err(mismatch(mimetype, &found))
}

fn mismatch(expected: &str, found: &str) -> Failure {
    let found = crate::fhir::outcome::clean(found);
    Failure::fatal(format!("Error: expected MIME type of '{expected}', but got '{found}'."))
}

/// The text of a string in a body.
enum Inner {
    /// There it stands.
    At(Range<usize>),
    /// It had escapes.
    Text(String),
}

fn inner(body: &[u8], string: Raw<'_>) -> Option<Inner> {
    let bytes = string.bytes();
    if memchr::memchr(b'\\', bytes).is_some() {
        return string.text().map(|text| Inner::Text(text.into_owned()));
    }
    string.text()?;
    let at = place(body, bytes);
    Some(Inner::At(at.start + 1..at.end - 1))
}

impl Inner {
    /// The text, in the memory of the body.
    fn into_bytes(self, mut body: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::At(range) => {
                body.truncate(range.end);
                body.drain(..range.start);
                body
            }
        }
    }
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
