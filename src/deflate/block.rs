//! Blocks with codes of their own (RFC 1951 §3.2.3, §3.2.7): gathers literals and matches, and writes them.

use std::array;

use super::huffman::{MAX_BITS, codes, lengths};
use super::matches::Found;

/// Matches after which a block is written: enough to make up for its header, and few enough to stay near.
const MATCHES: usize = 8 << 10;

/// Literals after which a block is written.
const LITERALS: usize = 64 << 10;

/// Literals, the end of the block, and lengths of matches.
const SYMBOLS: usize = 286;
const END: usize = 256;
const LENGTHS: usize = 29;
const DISTANCES: usize = 30;

/// The order in which the lengths of the codes of code lengths are written.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Extra bits of the codes of code lengths 16, 17 and 18, which repeat.
const REPEAT_BITS: [u32; 3] = [2, 3, 7];

/// The shortest length, less 3, of each symbol for lengths, and its extra bits. The longest length has a symbol of its own.
const LENGTH_SYMBOLS: [(u8, u8); LENGTHS] = {
    let mut symbols = [(0, 0); LENGTHS];
    let (mut symbol, mut shortest) = (0, 0_u32);
    while symbol < LENGTHS - 1 {
        let bits = if symbol < 8 { 0 } else { symbol as u32 / 4 - 1 };
        symbols[symbol] = (shortest as u8, bits as u8);
        shortest += 1 << bits;
        symbol += 1;
    }
    symbols[LENGTHS - 1] = (255, 0);
    symbols
};

/// The symbol of each length less 3.
const SYMBOL_OF_LENGTH: [u8; 256] = {
    let mut symbols = [0; 256];
    let (mut length, mut symbol) = (0, 0);
    while length < 256 {
        if symbol + 1 < LENGTHS && length >= LENGTH_SYMBOLS[symbol + 1].0 as usize {
            symbol += 1;
        }
        symbols[length] = symbol as u8;
        length += 1;
    }
    symbols
};

/// The symbol of a distance less 1, and the number of its extra bits, which are its lowest.
#[inline(always)]
fn distance_symbol(distance: u16) -> (usize, u32) {
    if distance < 4 {
        return (usize::from(distance), 0);
    }
    let bits = u32::from(distance).ilog2() - 1;
    ((2 * bits + (u32::from(distance) >> bits)) as usize, bits)
}

/// Literals, and the match that follows them.
#[derive(Clone, Copy, Debug)]
struct Step {
    literals: u32,
    /// Less 3.
    length: u8,
    /// Less 1.
    distance: u16,
}

/// What is in no block yet.
#[derive(Debug)]
pub(crate) struct Block {
    steps: Vec<Step>,
    literals: Vec<u8>,
    /// Literals after the last step.
    trailing: u32,
    /// Bits that are not a byte yet, of the blocks before.
    bits: u64,
    bit_count: u32,
}

impl Block {
    pub(crate) fn new() -> Self {
        Self { steps: Vec::new(), literals: Vec::new(), trailing: 0, bits: 0, bit_count: 0 }
    }

    #[inline(always)]
    pub(crate) fn push_literals(&mut self, mut literals: &[u8], output: &mut Vec<u8>) {
        while let Some((these, rest)) = literals.split_at_checked(LITERALS - self.literals.len()) {
            self.take_literals(these);
            self.write(false, output);
            literals = rest;
        }
        self.take_literals(literals);
    }

    #[inline(always)]
    fn take_literals(&mut self, literals: &[u8]) {
        self.literals.extend_from_slice(literals);
        self.trailing += literals.len() as u32;
    }

    /// Takes literals and the match that follows them.
    #[inline(always)]
    pub(crate) fn push(&mut self, literals: &[u8], found: Found, output: &mut Vec<u8>) {
        self.push_literals(literals, output);
        let (length, distance) = ((found.length - 3) as u8, (found.distance - 1) as u16);
        self.steps.push(Step { literals: std::mem::take(&mut self.trailing), length, distance });
        if self.steps.len() == MATCHES {
            self.write(false, output);
        }
    }

    /// Writes the last block, and the bits that are left.
    pub(crate) fn finish(&mut self, output: &mut Vec<u8>) {
        self.write(true, output);
        if self.bit_count > 0 {
            output.push(self.bits as u8);
        }
    }

    /// Writes what was gathered as one block.
    fn write(&mut self, last: bool, output: &mut Vec<u8>) {
        let mut symbol_counts = [0_u32; SYMBOLS];
        let mut distance_counts = [0_u32; DISTANCES];
        for &literal in &self.literals {
            symbol_counts[usize::from(literal)] += 1;
        }
        symbol_counts[END] = 1;
        for step in &self.steps {
            symbol_counts[END + 1 + usize::from(SYMBOL_OF_LENGTH[usize::from(step.length)])] += 1;
            distance_counts[distance_symbol(step.distance).0] += 1;
        }
        let symbol_lengths = lengths(&symbol_counts, MAX_BITS);
        let distance_lengths = lengths(&distance_counts, MAX_BITS);

        let mut bits = 3;
        for (symbol, (&count, &length)) in symbol_counts.iter().zip(&symbol_lengths).enumerate() {
            let extra = symbol.checked_sub(END + 1).map_or(0, |symbol| LENGTH_SYMBOLS[symbol].1);
            bits += u64::from(count) * u64::from(length + extra);
        }
        for (symbol, (&count, &length)) in distance_counts.iter().zip(&distance_lengths).enumerate() {
            bits += u64::from(count) * (u64::from(length) + (symbol as u64 / 2).saturating_sub(1));
        }
        // Room for the header at its longest (every code length of 7 bits, with extra bits), and for whole words.
        let start = output.len();
        output.resize(start + (bits / 8) as usize + 640, 0);
        let mut writer = Writer { output, at: start, bits: self.bits, count: self.bit_count };
        writer.put(u64::from(last) | 2 << 1, 3);
        write_header(&symbol_lengths, &distance_lengths, &mut writer);
        self.write_symbols(&symbol_lengths, &distance_lengths, &mut writer);
        writer.flush();
        let Writer { at, bits, count, .. } = writer;
        (self.bits, self.bit_count) = (bits, count);
        output.truncate(at);
        self.steps.clear();
        self.literals.clear();
        self.trailing = 0;
    }

    fn write_symbols(
        &self,
        symbol_lengths: &[u8; SYMBOLS],
        distance_lengths: &[u8; DISTANCES],
        writer: &mut Writer<'_>,
    ) {
        let (symbol_codes, distance_codes) = (codes(symbol_lengths), codes(distance_lengths));
        // Code and length of each in one word.
        let pair = |code: u16, length: u8| u32::from(code) << 8 | u32::from(length);
        let of_literal: [u32; 256] = array::from_fn(|byte| pair(symbol_codes[byte], symbol_lengths[byte]));
        let of_distance: [u32; 32] =
            array::from_fn(
                |symbol| if symbol < DISTANCES { pair(distance_codes[symbol], distance_lengths[symbol]) } else { 0 },
            );
        // With the extra bits, which are at most 5.
        let of_length: [u32; 256] = array::from_fn(|length| {
            let symbol = usize::from(SYMBOL_OF_LENGTH[length]);
            let (shortest, extra) = LENGTH_SYMBOLS[symbol];
            let (code, bits) = (symbol_codes[END + 1 + symbol], symbol_lengths[END + 1 + symbol]);
            let code = u32::from(code) | (length as u32 - u32::from(shortest)) << bits;
            code << 8 | u32::from(bits + extra)
        });
        let mut literals = &self.literals[..];
        for step in &self.steps {
            let (these, rest) = literals.split_at(step.literals as usize);
            literals = rest;
            writer.put_all(these, &of_literal);
            writer.flush();
            // 7 bits that are left, and at most 15 + 5 and 15 + 13.
            writer.add_pair(of_length[usize::from(step.length)]);
            let (symbol, extra) = distance_symbol(step.distance);
            writer.add_pair(of_distance[symbol & 31]);
            writer.add(u64::from(step.distance) & ((1 << extra) - 1), extra);
        }
        writer.put_all(literals, &of_literal);
        writer.flush();
        writer.add(u64::from(symbol_codes[END]), u32::from(symbol_lengths[END]));
    }
}

/// Writes the lengths of both codes, themselves compressed.
fn write_header(symbols: &[u8; SYMBOLS], distances: &[u8; DISTANCES], writer: &mut Writer<'_>) {
    let used = |lengths: &[u8], least: usize| {
        lengths.iter().rposition(|&length| length > 0).map_or(least, |at| least.max(at + 1))
    };
    let (symbols_used, distances_used) = (used(symbols, END + 1), used(distances, 1));
    let all = [&symbols[..symbols_used], &distances[..distances_used]].concat();
    let mut items = Vec::with_capacity(all.len());
    for run in all.chunk_by(|a, b| a == b) {
        repeat(run[0], run.len(), &mut items);
    }
    let mut counts = [0; 19];
    for (symbol, _) in &items {
        counts[usize::from(*symbol)] += 1;
    }
    let code_lengths = lengths(&counts, 7);
    let item_codes = codes(&code_lengths);
    let ordered = ORDER.map(|symbol| code_lengths[symbol]);
    let ordered = &ordered[..used(&ordered, 4)];
    writer.put(symbols_used as u64 - 257, 5);
    writer.put(distances_used as u64 - 1, 5);
    writer.put(ordered.len() as u64 - 4, 4);
    for &length in ordered {
        writer.put(u64::from(length), 3);
    }
    for (symbol, extra) in items {
        let symbol = usize::from(symbol);
        writer.put(u64::from(item_codes[symbol]), u32::from(code_lengths[symbol]));
        if symbol >= 16 {
            writer.put(u64::from(extra), REPEAT_BITS[symbol - 16]);
        }
    }
}

/// A run of the same code length as symbols and what their extra bits hold.
fn repeat(length: u8, times: usize, items: &mut Vec<(u8, u8)>) {
    let mut left = times;
    if length > 0 {
        items.push((length, 0));
        left -= 1;
    }
    while left > 0 {
        let (symbol, least, most) = match (length, left) {
            (_, 1..3) => (length, 1, 1),
            (0, 3..11) => (17, 3, 10),
            (0, _) => (18, 11, 138),
            _ => (16, 3, 6),
        };
        let taken = left.min(most);
        items.push((symbol, (taken - least) as u8));
        left -= taken;
    }
}

/// Writes bits, the lowest first, into output that is long enough.
struct Writer<'a> {
    output: &'a mut [u8],
    at: usize,
    bits: u64,
    count: u32,
}

impl Writer<'_> {
    /// Adds bits; the caller flushes before there are 64.
    #[inline(always)]
    fn add(&mut self, bits: u64, count: u32) {
        self.bits |= bits << self.count;
        self.count += count;
    }

    /// Adds a code from a table.
    #[inline(always)]
    fn add_pair(&mut self, pair: u32) {
        self.add(u64::from(pair >> 8), pair & 0xFF);
    }

    /// Writes the bytes that are whole.
    #[inline(always)]
    fn flush(&mut self) {
        match self.output.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            Some(word) => *word = self.bits.to_le_bytes(),
            None => unreachable!("the size of a block is known before"),
        }
        self.at += (self.count / 8) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    fn put(&mut self, bits: u64, count: u32) {
        self.add(bits, count);
        self.flush();
    }

    #[inline(always)]
    fn put_all(&mut self, literals: &[u8], codes: &[u32; 256]) {
        for &literal in literals {
            if self.count > 48 {
                self.flush();
            }
            self.add_pair(codes[usize::from(literal)]);
        }
    }
}
