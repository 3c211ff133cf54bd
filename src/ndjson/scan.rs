//! Finds the end of a run of string characters: the one loop that most of a file goes through.

#![allow(clippy::inline_always, reason = "the crate is optimised for size; this is what every byte goes through")]

/// The index of the first byte at or after `from` that ends a run inside a JSON string (a quote, a backslash or a control
/// character); `bytes.len()` if there is none.
#[inline(always)]
pub(crate) fn string_run(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some((block, _)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk::<BLOCK>) {
        if let Some(stop) = first_stop(*block) {
            return at + stop;
        }
        at += BLOCK;
    }
    bytes[at..].iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).map_or(bytes.len(), |stop| at + stop)
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
const BLOCK: usize = 16;

/// The first stop in a block, by SIMD.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn first_stop(block: [u8; BLOCK]) -> Option<usize> {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};
    // `v128_load` needs `unsafe`; from two words the compiler makes the same single load.
    let (low, high) = block.split_at(8);
    let word = |half: &[u8]| half.first_chunk().map_or(0, |half| u64::from_le_bytes(*half));
    let bytes = u64x2(word(low), word(high));
    let quote = u8x16_eq(bytes, u8x16_splat(b'"'));
    let backslash = u8x16_eq(bytes, u8x16_splat(b'\\'));
    let control = u8x16_lt(bytes, u8x16_splat(0x20));
    let stops = u8x16_bitmask(v128_or(v128_or(quote, backslash), control));
    (stops != 0).then(|| stops.trailing_zeros() as usize)
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
const BLOCK: usize = 8;

/// The first stop in a block, eight bytes in one word. The subtractions borrow only out of bytes that match, so the lowest
/// bit that is set is exact; those above it may not be.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn first_stop(block: [u8; BLOCK]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let word = u64::from_le_bytes(block);
    let equal = |byte: u8| {
        let difference = word ^ (ONES * u64::from(byte));
        difference.wrapping_sub(ONES) & !difference
    };
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let stops = (equal(b'"') | equal(b'\\') | control) & HIGHS;
    (stops != 0).then(|| stops.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::string_run;

    #[test]
    fn every_byte_at_every_place_is_seen_as_what_it_is() {
        for length in [1, 7, 8, 9, 15, 16, 17, 40] {
            for place in 0..length {
                for byte in 0..=255_u8 {
                    let mut text = vec![b'x'; length];
                    text[place] = byte;
                    let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
                    let expected = if stops { place } else { length };
                    assert_eq!(string_run(&text, 0), expected, "{byte:#x} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_several_stops_wins() {
        for first in 0..12 {
            let mut text = vec![0xFF_u8; 24];
            text[first] = b'"';
            text[first + 1] = b'#';
            text[first + 2] = b'\\';
            text[first + 3] = 0x1F;
            assert_eq!(string_run(&text, 0), first);
            assert_eq!(string_run(&text, first + 1), first + 2);
        }
    }
}
