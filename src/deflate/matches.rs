//! Finds strings that were there before: a window of 32 KB, its strings of four bytes in chains by their hash.

/// How far back a match may lie.
pub(crate) const WINDOW: usize = 32 << 10;

/// Bytes of text that are held: the window, and as much that is not encoded yet.
pub(crate) const BUFFER: usize = 2 * WINDOW;

/// Longest match of the format.
pub(crate) const MAX_MATCH: usize = 258;

/// Shortest match that is looked for; the format has three, which in text rarely pays.
pub(crate) const MIN_MATCH: usize = 4;

/// Bytes that have to follow a position before it is encoded, for its match to be as long as it can. Looking for a better
/// one goes on for less than 200 bytes: each is better by three bits, and one of [`NICE`] bytes ends it.
pub(crate) const LOOKAHEAD: usize = 2 * MAX_MATCH;

/// What words are read beyond the text, at the end of a match; never taken for text.
const SLACK: usize = 2 * MAX_MATCH + 4;

/// Candidates that are looked at, and how many of them when there is a match already.
const DEPTH: u32 = 16;
const LAZY_DEPTH: u32 = 8;

/// A match of this length is taken without looking for a longer one.
const NICE: usize = 130;

/// A match of only four bytes that is farther away costs more than the bytes themselves.
const FAR: usize = 2048;

const HASH_BITS: u32 = 16;

type Text = [u8; BUFFER + SLACK];

/// A string that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its bytes: [`MIN_MATCH`] to [`MAX_MATCH`].
    pub(crate) length: usize,
    /// How far back it lies: 1 to [`WINDOW`].
    pub(crate) distance: usize,
}

impl Found {
    #[inline(always)]
    pub(crate) fn is_worth_another_look(self) -> bool {
        self.length < NICE
    }
}

/// The text and its index. Positions are indices into `text`; 0 stands for "none", so nothing matches the first byte.
#[derive(Debug)]
pub(crate) struct Matcher {
    text: Box<Text>,
    end: usize,
    /// The last position of each hash.
    head: Box<[u16; 1 << HASH_BITS]>,
    /// The position before, with the same hash, of each position of the window.
    before: Box<[u16; WINDOW]>,
}

#[allow(clippy::unnecessary_box_returns, reason = "an array would be made on the stack first")]
fn zeros<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    vec![T::default(); N].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("it has N elements"))
}

#[inline(always)]
fn four(text: &Text, at: usize) -> u32 {
    text.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
}

#[inline(always)]
fn eight(text: &Text, at: usize) -> u64 {
    text.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

impl Matcher {
    pub(crate) fn new() -> Self {
        Self { text: zeros(), end: 0, head: zeros(), before: zeros() }
    }

    /// Where the text ends.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The text from one position to another.
    #[inline(always)]
    pub(crate) fn text(&self, from: usize, to: usize) -> &[u8] {
        &self.text[from..to]
    }

    /// Takes as much of `input` as there is room for, and returns how much that is.
    pub(crate) fn fill(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(BUFFER - self.end);
        self.text[self.end..self.end + taken].copy_from_slice(&input[..taken]);
        self.end += taken;
        taken
    }

    /// Makes room in a full buffer: drops its first half. Positions are lower afterwards by what is returned.
    pub(crate) fn slide(&mut self) -> usize {
        self.text.copy_within(WINDOW..BUFFER, 0);
        self.end -= WINDOW;
        lower(&mut *self.head);
        lower(&mut *self.before);
        WINDOW
    }

    /// Adds the position to the index; the last one with the same hash.
    #[inline(always)]
    fn index(&mut self, at: usize) -> u16 {
        let hash = four(&self.text, at & (BUFFER - 1)).wrapping_mul(0x9E37_79B1) >> (u32::BITS - HASH_BITS);
        let before = std::mem::replace(&mut self.head[hash as usize & ((1 << HASH_BITS) - 1)], at as u16);
        self.before[at & (WINDOW - 1)] = before;
        before
    }

    /// Adds positions to the index.
    #[inline(always)]
    pub(crate) fn insert(&mut self, from: usize, to: usize) {
        for at in from..to {
            self.index(at);
        }
    }

    /// The best match at a position, which is added to the index.
    #[inline(always)]
    pub(crate) fn find(&mut self, at: usize) -> Option<Found> {
        let candidate = self.index(at);
        let found = self.longest(at, candidate, MIN_MATCH - 1, DEPTH)?;
        (found.length > MIN_MATCH || found.distance <= FAR).then_some(found)
    }

    /// A match at a position, which is added to the index, that is better than `other`, which begins a byte before.
    #[inline(always)]
    pub(crate) fn find_better(&mut self, at: usize, other: Found) -> Option<Found> {
        let candidate = self.index(at);
        let found = self.longest(at, candidate, other.length - 1, LAZY_DEPTH)?;
        // A byte more saves about four bits, twice the distance costs one; a byte is lost in any case.
        let worth = |found: Found| 4 * found.length as u32 + WINDOW.ilog2() - found.distance.ilog2();
        (worth(found) > worth(other) + 2).then_some(found)
    }

    /// The longest match at a position that is longer than `least`, among `depth` candidates of a chain.
    #[inline(always)]
    fn longest(&self, at: usize, candidate: u16, least: usize, depth: u32) -> Option<Found> {
        let most = MAX_MATCH.min(self.end - at);
        if most <= least {
            return None;
        }
        let (at, text) = (at & (BUFFER - 1), &*self.text);
        let limit = at.saturating_sub(WINDOW) as u16;
        let start = four(text, at);
        let (mut length, mut distance) = (least, 0);
        // What a longer match ends with: compared first, since it is where candidates differ. `length` is 3 at least.
        let mut tail_at = (length - 3) & 0xFF;
        let mut tail = four(text, at + tail_at);
        let (mut candidate, mut left) = (candidate, depth);
        // Older positions come later in a chain, down to those that are no longer in the window.
        while candidate > limit {
            let from = usize::from(candidate);
            if four(text, from + tail_at) == tail && four(text, from) == start {
                let common = common_length(text, at, from).min(most);
                if common > length {
                    (length, distance) = (common, at - from);
                    if length >= NICE || length == most {
                        break;
                    }
                    tail_at = (length - 3) & 0xFF;
                    tail = four(text, at + tail_at);
                }
            }
            left -= 1;
            if left == 0 {
                break;
            }
            candidate = self.before[from & (WINDOW - 1)];
        }
        (distance > 0).then_some(Found { length, distance })
    }
}

/// How many bytes at two positions are alike, if it is known that the first four are. It may be more than [`MAX_MATCH`],
/// and it may be so beyond the end of the text.
#[inline(always)]
fn common_length(text: &Text, a: usize, b: usize) -> usize {
    let mut length = MIN_MATCH;
    while length < MAX_MATCH {
        let differs = eight(text, a + length) ^ eight(text, b + length);
        if differs != 0 {
            return length + (differs.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length
}

/// Lowers positions by [`WINDOW`]; those below become "none".
fn lower(positions: &mut [u16]) {
    for position in positions {
        *position = position.saturating_sub(WINDOW as u16);
    }
}
