//! Organized files (`organizeOutputBy`): resources of many types under `Parameters` headers, split by type (E14, H12).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

use super::check::{Expect, Tally};
use super::json::{Lines, Validator};
use super::pipeline::{Flaw, Output};
use super::records;
use crate::platform::transfer::FileFacts;

/// Longest line that is held to be sorted by its type; a longer one goes to [`UNKNOWN`] as it comes.
const MAX_LINE: usize = 64 << 20;

/// Types that get a file of their own; FHIR has about 150.
const MAX_PARTS: usize = 256;

/// Where lines go that are no resources. Nothing is thrown away.
pub(super) const UNKNOWN: &str = "Unknown";

/// Lines whose hashes are remembered (16 bytes each, and some room); later ones are kept even if they repeat.
const MAX_SEEN: usize = 2 << 20;

/// Splits lines by type. Lines that were there before, byte for byte, are left out: resources that several blocks share
/// are repeated in each. Another version of the same resource is no repetition and stays.
#[derive(Debug)]
pub(super) struct Splitter {
    validator: Validator,
    tally: Tally,
    compress: bool,
    /// The start of a line that goes on in the next chunk.
    line: Vec<u8>,
    /// Whether the current line is too long to be held.
    overlong: bool,
    seen: HashSet<u128>,
}

/// What the validator said of one line.
#[derive(Debug, Default)]
enum Verdict {
    #[default]
    Blank,
    Resource(String),
    Bad(u64, u8, String),
}

impl Lines for Verdict {
    const TEXT: bool = false;

    fn resource(&mut self, kind: &str, _text: Option<&[u8]>) {
        *self = Self::Resource(kind.to_owned());
    }

    fn bad(&mut self, line: u64, first: u8, reason: String) {
        *self = Self::Bad(line, first, reason);
    }
}

impl Splitter {
    pub(super) fn new(expect: &Expect<'_>, compress: bool) -> Self {
        Self {
            validator: Validator::new(),
            tally: Tally::new(expect),
            compress,
            line: Vec::new(),
            overlong: false,
            seen: HashSet::new(),
        }
    }

    /// Resources so far.
    pub(super) fn resources(&self) -> u64 {
        self.tally.resources()
    }

    /// What was found.
    pub(super) fn into_facts(self) -> FileFacts {
        self.tally.into_facts()
    }

    /// Takes decoded bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], outputs: &mut Vec<Output>) -> Result<(), Flaw> {
        self.tally.decoded(bytes.len());
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (piece, after) = (&rest[..end], &rest[end + 1..]);
            if self.line.is_empty() && !self.overlong {
                self.sort(piece, outputs);
            } else {
                self.hold(piece, outputs);
                let line = std::mem::take(&mut self.line);
                if std::mem::take(&mut self.overlong) {
                    part(outputs, UNKNOWN, self.compress).push(b"\n");
                    self.tally.bad(self.validator.line(), 0, format!("longer than {MAX_LINE} bytes"));
                    self.validator.skip_line();
                } else {
                    self.sort(&line, outputs);
                }
            }
            if self.tally.is_markup() {
                return Err(Flaw::Markup);
            }
            rest = after;
        }
        self.hold(rest, outputs);
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(&mut self, outputs: &mut Vec<Output>) -> Result<(), Flaw> {
        let line = std::mem::take(&mut self.line);
        let torn = Flaw::Torn(format!("the data end in the middle of line {}", self.validator.line()));
        if self.overlong || !Validator::is_whole(&line) {
            return Err(torn);
        }
        self.sort(&line, outputs);
        if self.tally.is_markup() { Err(Flaw::Markup) } else { Ok(()) }
    }

    /// Keeps a piece of a line.
    fn hold(&mut self, piece: &[u8], outputs: &mut Vec<Output>) {
        if !self.overlong && self.line.len() + piece.len() > MAX_LINE {
            self.overlong = true;
            part(outputs, UNKNOWN, self.compress).push(&std::mem::take(&mut self.line));
        }
        if self.overlong {
            part(outputs, UNKNOWN, self.compress).push(piece);
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    /// Puts a whole line where it belongs.
    fn sort(&mut self, line: &[u8], outputs: &mut Vec<Output>) {
        let mut verdict = Verdict::Blank;
        self.validator.feed(line, &mut verdict);
        self.validator.feed(b"\n", &mut verdict);
        let name = match verdict {
            Verdict::Blank => return,
            Verdict::Resource(kind) if kind == "Parameters" && records::is_block_header(line) => return,
            Verdict::Resource(kind) => {
                if self.is_repeated(line) {
                    return;
                }
                self.tally.resource(&kind, Some(line));
                kind
            }
            Verdict::Bad(number, first, reason) => {
                self.tally.bad(number, first, reason);
                UNKNOWN.to_owned()
            }
        };
        let output = part(outputs, &name, self.compress);
        output.push(line);
        output.push(b"\n");
    }

    fn is_repeated(&mut self, line: &[u8]) -> bool {
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(seed);
            hasher.write(line);
            u128::from(hasher.finish())
        };
        // 128 bits, so that no two lines of any real file are ever taken for one.
        let hash = half(0) << 64 | half(1);
        if self.seen.len() < MAX_SEEN { !self.seen.insert(hash) } else { self.seen.contains(&hash) }
    }
}

/// The output of a type, made if it is new.
fn part<'a>(outputs: &'a mut Vec<Output>, name: &str, compress: bool) -> &'a mut Output {
    let find = |outputs: &[Output], name: &str| outputs.iter().position(|o| o.part.as_deref() == Some(name));
    let name = if outputs.len() >= MAX_PARTS && find(outputs, name).is_none() { UNKNOWN } else { name };
    let index = find(outputs, name).unwrap_or_else(|| {
        outputs.push(Output::new(Some(name.to_owned()), compress));
        outputs.len() - 1
    });
    &mut outputs[index]
}
