//! From body chunks to what is stored: decode, check, encode. Knows nothing of HTTP and storage.
//!
//! What is done is decided by the first bytes, before anything is put out:
//!
//! | comes | to be stored as gzip | to be stored plain |
//! |---|---|---|
//! | gzip, on the wire or as a stored file | as it came; a copy is decoded to be checked | decoded |
//! | gzip inside gzip | the inner file, as above | decoded twice |
//! | plain | encoded | as it came |
//! | either, with a BOM | decoded, BOM removed, encoded | decoded, BOM removed |

use super::check::{Checker, Expect};
use super::gzip::{Gunzip, Gzip, MAGIC};
use super::split::Splitter;
use crate::platform::transfer::{Content, FileFacts};

/// Decoded bytes that are dealt with at once.
const BLOCK: usize = 128 << 10;

/// Bytes of the start that are kept until it is clear what they are; after that many it is taken as it looks.
const MAX_HEAD: usize = 256 << 10;

/// Bytes of the decoded text that are kept for messages.
const MAX_SAMPLE: usize = 4 << 10;

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Why a body is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It ends early or is damaged.
    Torn(String),
    /// It is a web page.
    Markup,
}

/// What is put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// gzip: as it came, or encoded.
    Gzip,
    /// The text.
    Plain,
    /// Nothing: the file is only checked.
    Nothing,
}

/// Bytes on their way into one file.
#[derive(Debug)]
pub(super) struct Output {
    /// What the file's path has after the task's path: nothing, or a type's name.
    pub(super) part: Option<String>,
    /// Bytes that are ready to be written.
    pub(super) ready: Vec<u8>,
    encoder: Option<Gzip>,
}

impl Output {
    pub(super) fn new(part: Option<String>, encode: bool) -> Self {
        Self { part, ready: Vec::new(), encoder: encode.then(Gzip::new) }
    }

    /// Takes NDJSON.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(encoder) = &mut self.encoder {
            encoder.encode(bytes, &mut self.ready);
        } else {
            self.ready.extend_from_slice(bytes);
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(encoder) = &mut self.encoder {
            encoder.finish(&mut self.ready);
        }
    }
}

/// What comes, and so what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// Layers of gzip around the text.
    layers: usize,
    bom: bool,
}

#[derive(Debug)]
enum Reader {
    Plain(Box<Checker>),
    Organized(Box<Splitter>),
}

/// One body.
#[derive(Debug)]
pub(super) struct Pipeline {
    plan: Option<Plan>,
    /// The start of the body while there is no plan.
    head: Vec<u8>,
    max_layers: usize,
    keep: Keep,
    decoders: [Gunzip; 2],
    /// What the outer of two decoders made and the inner one has not taken yet.
    inner: Vec<u8>,
    inner_at: usize,
    inner_end: usize,
    /// Whether the inner decoder holds more than it could put out.
    inner_more: bool,
    block: Vec<u8>,
    /// Whether decoders hold more than they could put out.
    more: bool,
    /// Bytes of a BOM still to be left out.
    bom_left: usize,
    /// Whether gzip is stored as it comes.
    raw: bool,
    reader: Reader,
    sample: Vec<u8>,
    /// The files that are made: one, or one per type of an organized body.
    pub(super) outputs: Vec<Output>,
}

impl Pipeline {
    /// `gzip`: whether the body is gzip by its `Content-Encoding`.
    pub(super) fn new(expect: &Expect<'_>, gzip: bool, keep: Keep) -> Self {
        let organized = expect.content == Content::Organized;
        let reader = if organized {
            Reader::Organized(Box::new(Splitter::new(expect, keep == Keep::Gzip)))
        } else {
            Reader::Plain(Box::new(Checker::new(expect)))
        };
        Self {
            plan: None,
            head: Vec::new(),
            // A gzip file that is no NDJSON is kept as it is.
            max_layers: if expect.content == Content::Opaque { usize::from(gzip) } else { 2 },
            keep,
            decoders: [Gunzip::new(), Gunzip::new()],
            inner: Vec::new(),
            inner_at: 0,
            inner_end: 0,
            inner_more: false,
            block: Vec::new(),
            more: false,
            bom_left: 0,
            raw: false,
            reader,
            sample: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Takes some of `input` and returns how much. To be called until all of it is taken and [`Pipeline::has_more`] is
    /// false; what is in [`Pipeline::outputs`] may be written between calls, which keeps memory flat whatever comes.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<usize, Flaw> {
        if self.plan.is_some() {
            return self.run(input);
        }
        self.head.extend_from_slice(input);
        if let Some(plan) = self.look(self.head.len() > MAX_HEAD) {
            self.start(plan);
        }
        Ok(input.len())
    }

    /// Whether there is more to come out before more input is needed.
    pub(super) fn has_more(&self) -> bool {
        self.more || (self.plan.is_some() && !self.head.is_empty())
    }

    /// After the last byte: checks that the body is whole. Call [`Pipeline::feed`] with nothing before, while
    /// [`Pipeline::has_more`] says so.
    pub(super) fn finish(&mut self) -> Result<(), Flaw> {
        let layers = self.plan.map_or(0, |plan| plan.layers);
        for decoder in &self.decoders[..layers] {
            decoder.finish().map_err(|what| Flaw::Torn(format!("the gzip data are not whole: {what}")))?;
        }
        match &mut self.reader {
            Reader::Plain(checker) => {
                if !checker.finish() {
                    return Err(Flaw::Torn(format!("the data end in the middle of line {}", checker.line())));
                }
            }
            Reader::Organized(splitter) => splitter.finish(&mut self.outputs)?,
        }
        self.outputs.iter_mut().for_each(Output::finish);
        Ok(())
    }

    /// Ends the start: no more input will come. To be called before [`Pipeline::finish`].
    pub(super) fn end_input(&mut self) {
        if self.plan.is_none() {
            let plan = self.look(true).unwrap_or(Plan { layers: 0, bom: false });
            self.start(plan);
        }
    }

    /// Resources so far.
    pub(super) fn resources(&self) -> u64 {
        match &self.reader {
            Reader::Plain(checker) => checker.resources(),
            Reader::Organized(splitter) => splitter.resources(),
        }
    }

    /// The start of the text, for messages.
    pub(super) fn sample(&self) -> &[u8] {
        &self.sample
    }

    /// What was found.
    pub(super) fn into_facts(self) -> FileFacts {
        match self.reader {
            Reader::Plain(checker) => checker.into_facts(),
            Reader::Organized(splitter) => splitter.into_facts(),
        }
    }

    /// Looks at the start of the body. `None`: more is needed to tell, and `last` is not set.
    fn look(&self, last: bool) -> Option<Plan> {
        let mut layers = 0;
        let mut text = self.head.clone();
        loop {
            if text.len() < BOM.len() && !last {
                return None;
            }
            if layers == self.max_layers || !text.starts_with(&MAGIC) {
                return Some(Plan { layers, bom: self.max_layers == 2 && text.starts_with(&BOM) });
            }
            let mut decoded = vec![0; 1024];
            let step = Gunzip::new().decode(&text, &mut decoded);
            layers += 1;
            // Damage is found again, and told, when the whole is decoded.
            decoded.truncate(step.map_or(0, |step| step.produced));
            text = decoded;
        }
    }

    fn start(&mut self, plan: Plan) {
        let organized = matches!(self.reader, Reader::Organized(_));
        self.raw = self.keep == Keep::Gzip && plan.layers > 0 && !plan.bom && !organized;
        if !organized && self.keep != Keep::Nothing {
            self.outputs.push(Output::new(None, self.keep == Keep::Gzip && !self.raw));
        }
        if plan.layers > 0 {
            self.block = vec![0; BLOCK];
        }
        if plan.layers > 1 {
            self.inner = vec![0; BLOCK];
        }
        self.bom_left = if plan.bom { BOM.len() } else { 0 };
        self.plan = Some(plan);
    }

    fn run(&mut self, input: &[u8]) -> Result<usize, Flaw> {
        if self.head.is_empty() {
            return self.advance(input);
        }
        // The start was kept while it was looked at; it comes first.
        let head = std::mem::take(&mut self.head);
        let taken = self.advance(&head)?;
        self.head = head;
        self.head.drain(..taken);
        Ok(0)
    }

    fn advance(&mut self, input: &[u8]) -> Result<usize, Flaw> {
        let layers = self.plan.map_or(0, |plan| plan.layers);
        if layers == 0 {
            let taken = input.len().min(BLOCK);
            self.deliver(&input[..taken])?;
            return Ok(taken);
        }
        let torn = |what| Flaw::Torn(format!("the gzip data cannot be decoded: {what}"));
        if layers == 1 {
            let mut block = std::mem::take(&mut self.block);
            let step = self.decoders[0].decode(input, &mut block).map_err(torn)?;
            if self.raw {
                self.outputs[0].ready.extend_from_slice(&input[..step.kept]);
            }
            self.deliver(&block[..step.produced])?;
            self.more = step.produced == block.len();
            self.block = block;
            return Ok(step.consumed);
        }
        if self.inner_at == self.inner_end && !self.inner_more {
            let step = self.decoders[0].decode(input, &mut self.inner).map_err(torn)?;
            (self.inner_at, self.inner_end) = (0, step.produced);
            self.more = step.produced > 0;
            return Ok(step.consumed);
        }
        let mut block = std::mem::take(&mut self.block);
        let rest = &self.inner[self.inner_at..self.inner_end];
        let step = self.decoders[1].decode(rest, &mut block).map_err(torn)?;
        if self.raw {
            self.outputs[0].ready.extend_from_slice(&rest[..step.kept]);
        }
        self.inner_at += step.consumed;
        self.inner_more = step.produced == block.len();
        self.deliver(&block[..step.produced])?;
        // The outer decoder may hold more as well: it says so when it is asked for nothing.
        self.more = true;
        self.block = block;
        Ok(0)
    }

    /// Takes decoded bytes.
    fn deliver(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let skip = self.bom_left.min(bytes.len());
        self.bom_left -= skip;
        let bytes = &bytes[skip..];
        if self.sample.len() < MAX_SAMPLE {
            self.sample.extend_from_slice(&bytes[..bytes.len().min(MAX_SAMPLE - self.sample.len())]);
        }
        match &mut self.reader {
            Reader::Plain(checker) => {
                checker.feed(bytes);
                if checker.is_markup() {
                    return Err(Flaw::Markup);
                }
                match self.outputs.first_mut() {
                    Some(output) if !self.raw => output.push(bytes),
                    _ => {}
                }
                Ok(())
            }
            Reader::Organized(splitter) => splitter.feed(bytes, &mut self.outputs),
        }
    }
}
