//! A look into JSON text that copies nothing. Rows go through the program as the bytes that the server sent (H04): what is
//! read of a resource is looked up in its text, and no resource is ever written anew from a model.

#![allow(clippy::inline_always, reason = "the crate is optimised for size; this is what every resource goes through")]

use std::borrow::Cow;

use crate::ndjson::{Lines, Validator, string_run};

/// One JSON value, as text without white space around it.
///
/// The text should be valid JSON ([`check`] tells). Where it is not, lookups find nothing, or end early; they never fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// The value in `text`; white space around it is left out, and a byte order mark before it.
    pub fn new(text: &'a [u8]) -> Self {
        Self(without_bom(text).trim_ascii())
    }

    /// A value that was seen to be one, and to have nothing around it.
    pub(super) fn checked(value: &'a [u8]) -> Self {
        Self(value)
    }

    /// The text, byte for byte.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The value of a key of an object: the first, if the key is repeated. `None` for anything but an object.
    pub fn get(self, key: &str) -> Option<Raw<'a>> {
        self.fields().find(|(name, _)| name.is_text(key)).map(|(_, value)| value)
    }

    /// Keys (as strings, with their quotes) and values of an object, in order; nothing for any other value.
    pub fn fields(self) -> impl Iterator<Item = (Raw<'a>, Raw<'a>)> {
        let mut rest = Members::of(self.0, b'{');
        std::iter::from_fn(move || {
            let key = rest.value()?;
            rest.colon()?;
            let value = rest.value()?;
            rest.comma();
            Some((key, value))
        })
    }

    /// The values in an array, in order; nothing for any other value.
    pub fn items(self) -> impl Iterator<Item = Raw<'a>> {
        let mut rest = Members::of(self.0, b'[');
        std::iter::from_fn(move || {
            let value = rest.value()?;
            rest.comma();
            Some(value)
        })
    }

    /// The text of a string without its escapes. `None` for any other value, and for escapes that are no text (half of a
    /// surrogate pair). Bytes that are no UTF-8 come out as U+FFFD.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let [b'"', inner @ .., b'"'] = self.0 else { return None };
        if memchr::memchr(b'\\', inner).is_none() {
            return Some(String::from_utf8_lossy(inner));
        }
        match serde_json::from_slice(String::from_utf8_lossy(self.0).as_bytes()) {
            Ok(serde_json::Value::String(text)) => Some(Cow::Owned(text)),
            _ => None,
        }
    }

    /// Whether this is the string `text`.
    #[inline]
    pub fn is_text(self, text: &str) -> bool {
        match self.0 {
            [b'"', inner @ .., b'"'] if inner == text.as_bytes() => true,
            [b'"', inner @ .., b'"'] if memchr::memchr(b'\\', inner).is_some() => {
                self.text().is_some_and(|own| own == text)
            }
            _ => false,
        }
    }

    /// Follows `path` through objects, and through the items of every array on the way (and at its end); `found` gets each
    /// value that is there. An array right inside an array is none of FHIR's and is passed over.
    pub fn walk(self, path: &[&str], found: &mut dyn FnMut(Raw<'a>)) {
        if !self.0.starts_with(b"[") {
            return self.step(path, found);
        }
        for item in self.items().filter(|item| !item.0.starts_with(b"[")) {
            item.step(path, found);
        }
    }

    fn step(self, path: &[&str], found: &mut dyn FnMut(Raw<'a>)) {
        match path {
            [] => found(self),
            [key, rest @ ..] => {
                if let Some(value) = self.get(key) {
                    value.walk(rest, found);
                }
            }
        }
    }
}

pub(super) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// What is left of the inside of an object or array.
struct Members<'a>(&'a [u8]);

impl<'a> Members<'a> {
    fn of(text: &'a [u8], bracket: u8) -> Self {
        Self(text.strip_prefix(&[bracket]).unwrap_or_default())
    }

    /// Takes the next value. `None` at the end, and where none can be made out.
    #[inline(always)]
    fn value(&mut self) -> Option<Raw<'a>> {
        self.0 = without_space(self.0);
        let end = value_end(self.0)?;
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(Raw(value))
    }

    #[inline(always)]
    fn colon(&mut self) -> Option<()> {
        let [b':', rest @ ..] = without_space(self.0) else { return None };
        self.0 = rest;
        Some(())
    }

    /// Takes the comma; without one, nothing more comes.
    #[inline(always)]
    fn comma(&mut self) {
        self.0 = match without_space(self.0) {
            [b',', rest @ ..] => rest,
            _ => &[],
        };
    }
}

/// The text from its first byte on that is no white space: mostly all of it.
#[inline(always)]
fn without_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The length of the value at the start of `text`.
#[inline(always)]
fn value_end(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => string_end(text, 0),
        b'{' | b'[' => container_end(text),
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b'"') || byte.is_ascii_whitespace();
            Some(text.iter().position(ends).unwrap_or(text.len())).filter(|&end| end > 0)
        }
    }
}

/// The index after the string whose opening quote is at `from`.
#[inline(always)]
pub(super) fn string_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        at = string_run(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => return None,
        }
        if at > text.len() {
            return None;
        }
    }
}

/// The length of the object or array at the start of `text`. Counts brackets, so that depth costs neither stack nor memory.
fn container_end(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                // A key and its text, or a text and the next key: most of what there is.
                while let Some([b':' | b',', b'"']) = text.get(at..at + 2) {
                    at = string_end(text, at + 1)?;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Checks that `document` is one resource as JSON, over one line or many. The type of the resource, or what is wrong.
///
/// # Errors
/// The end of a sentence: why it is none.
pub fn check(document: &[u8]) -> Result<String, String> {
    let mut verdict = Verdict(None);
    let mut validator = Validator::new();
    let mut rest = without_bom(document);
    while let Some(end) = memchr::memchr(b'\n', rest) {
        validator.feed(&rest[..end], &mut verdict);
        // As much white space as a line break outside of strings, and as wrong inside of them.
        validator.feed(b"\t", &mut verdict);
        rest = &rest[end + 1..];
    }
    validator.feed(rest, &mut verdict);
    if !validator.finish(&mut verdict) {
        return Err("it ends early".to_owned());
    }
    verdict.0.unwrap_or_else(|| Err("it is empty".to_owned()))
}

struct Verdict(Option<Result<String, String>>);

impl Lines for Verdict {
    const TEXT: bool = false;

    fn resource(&mut self, kind: &str, _text: Option<&[u8]>) {
        self.0 = Some(Ok(kind.to_owned()));
    }

    fn bad(&mut self, _line: u64, _first: u8, reason: String) {
        self.0 = Some(Err(reason));
    }
}

/// A JSON value on one line. Text without line breaks stays as it is; of other text all white space between tokens goes,
/// while strings and numbers are kept byte for byte.
pub fn compact(text: &[u8]) -> Cow<'_, [u8]> {
    let text = text.trim_ascii();
    if memchr::memchr2(b'\n', b'\r', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut line = Vec::with_capacity(text.len());
    let (mut from, mut at) = (0, 0);
    while at < text.len() {
        match text[at] {
            // A string that does not end is left as it is: it is not for this function to judge.
            b'"' => at = string_end(text, at).unwrap_or(text.len()),
            b' ' | b'\t' | b'\n' | b'\r' => {
                line.extend_from_slice(&text[from..at]);
                at += text[at..].iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(text.len() - at);
                from = at;
            }
            _ => at += 1,
        }
    }
    line.extend_from_slice(&text[from..]);
    // Only where a string does not end can there be a line break still.
    line.retain(|byte| !matches!(byte, b'\n' | b'\r'));
    Cow::Owned(line)
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
