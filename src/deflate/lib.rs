//! A DEFLATE (RFC 1951) encoder for NDJSON, as a push stream.
//!
//! Our own because compressing is most of the work of an export from a server that sends plain files, and the encoders at
//! hand are slow at it: the lines of such a file are alike, so nearly every string was there in each of the last 30 lines,
//! and zlib's level 6 follows all of them (128 candidates) for a byte or two. This one does what libdeflate does: fewer
//! candidates, but a closer look at what pays. Measured against zlib-rs at level 6 on Synthea's files and on the benchmark's:
//! smaller by 1 to 5 percent on each, in two thirds of the time.
//!
//! A package of its own so that it can be compiled for speed, while the rest of the WebAssembly file is compiled for size.

#![forbid(unsafe_code)]
#![allow(clippy::inline_always, reason = "each of these is in the loop that every byte goes through")]

mod block;
mod huffman;
mod matches;

use block::Block;
use matches::{BUFFER, LOOKAHEAD, Matcher};

/// Encodes one DEFLATE stream.
#[derive(Debug)]
pub struct Deflate {
    matcher: Matcher,
    block: Block,
    /// Where in the matcher's buffer the next string begins, and where the literals that are in no block yet.
    at: usize,
    literals_from: usize,
}

impl Default for Deflate {
    /// An empty stream.
    fn default() -> Self {
        Self { matcher: Matcher::new(), block: Block::new(), at: 0, literals_from: 0 }
    }
}

impl Deflate {
    /// Takes `input`, appending to `output` what is ready.
    pub fn push(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            if self.matcher.end() == BUFFER {
                let moved = self.matcher.slide();
                self.at -= moved;
                self.literals_from -= moved;
            }
            input = &input[self.matcher.fill(input)..];
            // A match may reach beyond what is here: what could be longer waits. So the same data give the same bytes,
            // whatever the chunks.
            self.encode(self.matcher.end().saturating_sub(LOOKAHEAD), output);
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        self.encode(self.matcher.end(), output);
        self.block.finish(output);
    }

    /// Encodes the strings that begin before `stop`.
    fn encode(&mut self, stop: usize, output: &mut Vec<u8>) {
        let mut at = self.at;
        while at < stop {
            let Some(mut found) = self.matcher.find(at) else {
                at += 1;
                continue;
            };
            // A longer match may begin at the next byte; the better one is taken (lazy matching).
            let mut inserted = at + 1;
            while found.is_worth_another_look() {
                let Some(next) = self.matcher.find_better(at + 1, found) else {
                    inserted = at + 2;
                    break;
                };
                at += 1;
                inserted = at + 1;
                found = next;
            }
            self.block.push(self.matcher.text(self.literals_from, at), found, output);
            self.matcher.insert(inserted, at + found.length);
            at += found.length;
            self.literals_from = at;
        }
        self.at = at;
        // The text may move before the next match.
        self.block.push_literals(self.matcher.text(self.literals_from, at), output);
        self.literals_from = at;
    }
}
