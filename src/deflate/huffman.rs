//! Huffman codes of limited length, in the canonical form of RFC 1951 §3.2.2.

use std::array;

/// Longest code of any kind.
pub(crate) const MAX_BITS: usize = 15;

/// The lengths of the codes of symbols that occur so often; none is longer than `most` bits. There are two codes at least,
/// since decoders differ in what they think of fewer.
pub(crate) fn lengths<const N: usize>(counts: &[u32; N], most: usize) -> [u8; N] {
    let mut symbols: Vec<(u32, u16)> = Vec::with_capacity(N);
    symbols.extend((0..).zip(counts).filter(|(_, count)| **count > 0).map(|(symbol, count)| (*count, symbol)));
    let mut unused = (0..).zip(counts).filter(|(_, count)| **count == 0);
    while symbols.len() < 2
        && let Some((symbol, _)) = unused.next()
    {
        symbols.push((1, symbol));
    }
    symbols.sort_unstable();

    let mut left = by_length(&symbols, most);
    let mut lengths = [0; N];
    // The rarest have the longest.
    let mut length = most;
    for (_, symbol) in symbols {
        while left[length] == 0 {
            length -= 1;
        }
        left[length] -= 1;
        lengths[usize::from(symbol)] = length as u8;
    }
    lengths
}

/// How many codes there are of each length, for symbols in ascending order of their counts.
fn by_length(symbols: &[(u32, u16)], most: usize) -> [u32; MAX_BITS + 1] {
    let leaves = symbols.len();
    let nodes = 2 * leaves - 1;
    // Leaves first, then inner nodes as they are made, which is in the order of their weights: the two lightest are always
    // at the front of one of these two queues.
    let mut weights: Vec<u32> = symbols.iter().map(|(count, _)| *count).collect();
    let mut parents = vec![0; nodes];
    let (mut leaf, mut inner) = (0, leaves);
    for node in leaves..nodes {
        let mut weight = 0;
        for _ in 0..2 {
            let lightest = if leaf < leaves && (inner == node || weights[leaf] <= weights[inner]) {
                &mut leaf
            } else {
                &mut inner
            };
            weight += weights[*lightest];
            parents[*lightest] = node;
            *lightest += 1;
        }
        weights.push(weight);
    }
    let mut depths = vec![0; nodes];
    let mut numbers = [0; MAX_BITS + 1];
    for node in (0..nodes - 1).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < leaves {
            numbers[most.min(depths[node])] += 1;
        }
    }
    // Codes that were cut are too many for their length: each time, one of them makes room beside a shorter code, which
    // becomes one bit longer.
    let space =
        |numbers: &[u32; MAX_BITS + 1]| (1..=most).map(|length| numbers[length] << (most - length)).sum::<u32>();
    for _ in 1 << most..space(&numbers) {
        numbers[most] -= 1;
        let shorter = (1..most).rev().find(|&length| numbers[length] > 0).unwrap_or(1);
        numbers[shorter] -= 1;
        numbers[shorter + 1] += 2;
    }
    numbers
}

/// The codes of these lengths, as they are written: the first bit lowest.
pub(crate) fn codes<const N: usize>(lengths: &[u8; N]) -> [u16; N] {
    let mut numbers = [0_u16; MAX_BITS + 1];
    for &length in lengths {
        numbers[usize::from(length)] += 1;
    }
    numbers[0] = 0;
    let mut next = [0_u16; MAX_BITS + 1];
    for length in 1..=MAX_BITS {
        next[length] = (next[length - 1] + numbers[length - 1]) << 1;
    }
    array::from_fn(|symbol| {
        let length = usize::from(lengths[symbol]);
        if length == 0 {
            return 0;
        }
        let code = next[length];
        next[length] += 1;
        code.reverse_bits() >> (16 - length)
    })
}
