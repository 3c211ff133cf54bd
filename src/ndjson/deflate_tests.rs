//! What our encoder writes is what others read.

use std::fmt::Write;

use smart_fetch_deflate::Deflate;

use super::gzip::{Gzip, gunzip};

/// Numbers that look random, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn deflate(text: &[u8], chunk: usize) -> Vec<u8> {
    let (mut encoder, mut output) = (Deflate::default(), Vec::new());
    for piece in text.chunks(chunk) {
        encoder.push(piece, &mut output);
    }
    encoder.finish(&mut output);
    output
}

fn inflate(mut data: &[u8]) -> Vec<u8> {
    let mut decoder = flate2::Decompress::new(false);
    let mut text = Vec::new();
    loop {
        text.reserve(64 << 10);
        let before = decoder.total_in();
        let status = decoder.decompress_vec(data, &mut text, flate2::FlushDecompress::None).expect("valid");
        data = &data[(decoder.total_in() - before) as usize..];
        if status == flate2::Status::StreamEnd {
            assert!(data.is_empty(), "{} bytes too many", data.len());
            return text;
        }
        assert!(!data.is_empty() || text.len() == text.capacity(), "it does not end");
    }
}

#[track_caller]
fn same_again(text: &[u8], chunk: usize) -> usize {
    let packed = deflate(text, chunk);
    assert!(inflate(&packed) == text, "{} bytes in chunks of {chunk}", text.len());
    packed.len()
}

/// Lines as an export has them.
fn lines(bytes: usize, random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    while text.len() < bytes {
        let (id, patient, value) = (random.below(1 << 30), random.below(50), random.below(1000));
        let _ = writeln!(
            text,
            "{{\"resourceType\":\"Observation\",\"id\":\"{id:x}\",\"status\":\"final\",\"subject\":{{\"reference\":\"Patient/{patient}\"}},\
             \"valueQuantity\":{{\"value\":{value},\"unit\":\"mg/dL\"}}}}"
        );
    }
    text.truncate(bytes);
    text.into_bytes()
}

#[test]
fn text_of_any_length_comes_back() {
    let mut random = Random(1);
    let text = lines(1 << 18, &mut random);
    for length in (0..600).chain((0..40).flat_map(|i| [32_768 * (1 + i % 8) - 300 + i * 17, 65_536 + i, 65_536 - i])) {
        same_again(&text[..length.min(text.len())], 1 + random.below(70_000));
    }
}

#[test]
fn data_of_any_kind_come_back() {
    let mut random = Random(2);
    for round in 0..60 {
        let length = random.below(300_000);
        // How many different bytes there are, and how far copies of earlier ones reach back.
        let (kinds, reach) = (1 + random.below(if round % 2 == 0 { 256 } else { 4 }), 1 + random.below(70_000));
        let mut data = Vec::new();
        while data.len() < length {
            if random.below(3) > 0 && !data.is_empty() {
                let from = data.len() - (1 + random.below(reach.min(data.len())));
                for i in 0..=random.below(600) {
                    data.push(data[from + i]);
                }
            } else {
                for _ in 0..=random.below(40) {
                    data.push(random.below(kinds) as u8);
                }
            }
        }
        same_again(&data, 1 + random.below(100_000));
    }
}

#[test]
fn data_without_repetitions_hardly_grow() {
    let mut random = Random(3);
    let data: Vec<u8> = (0..400_000).map(|_| random.below(256) as u8).collect();
    let packed = same_again(&data, 10_000);
    assert!(packed < data.len() + data.len() / 200, "{packed}");
}

#[test]
fn one_byte_repeated_takes_nothing() {
    assert!(same_again(&vec![b'x'; 1_000_000], 65_536) < 2_000);
}

#[test]
fn all_distances_and_lengths_come_back() {
    let mut random = Random(4);
    let noise: Vec<u8> = (0..32_900).map(|_| random.below(256) as u8).collect();
    for distance in [1, 2, 3, 4, 5, 8, 9, 255, 256, 257, 2047, 2048, 2049, 4097, 16_385, 32_766, 32_767, 32_768, 32_769]
    {
        for length in [3, 4, 5, 10, 11, 129, 130, 131, 257, 258, 259, 300, 600] {
            let mut data = noise.clone();
            let from = data.len() - distance;
            for i in 0..length {
                data.push(data[from + i]);
            }
            data.extend_from_slice(b"the end");
            same_again(&data, 20_000);
        }
    }
}

#[test]
fn very_uneven_counts_give_codes_that_are_not_too_long() {
    // Counts like Fibonacci numbers make the deepest tree; without repetitions, which would take them away.
    let mut random = Random(5);
    let (mut a, mut b) = (1_usize, 1);
    let mut data = Vec::new();
    for byte in 0..24_u8 {
        data.extend(std::iter::repeat_n(byte * 7, a));
        (a, b) = (b, a + b);
    }
    for i in (1..data.len()).rev() {
        data.swap(i, random.below(i + 1));
    }
    same_again(&data, 50_000);
}

#[test]
fn chunks_do_not_change_what_is_written() {
    let text = lines(500_000, &mut Random(6));
    let whole = deflate(&text, text.len());
    for chunk in [1, 7, 1000, 32_768, 65_536, 65_537] {
        assert!(deflate(&text, chunk) == whole, "chunks of {chunk}");
    }
}

#[test]
fn it_is_as_small_as_level_6_of_the_library() {
    let text = lines(2_000_000, &mut Random(7));
    let mut other = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut packed = Vec::with_capacity(text.len());
    assert_eq!(
        other.compress_vec(&text, &mut packed, flate2::FlushCompress::Finish).expect("packs"),
        flate2::Status::StreamEnd
    );
    let ours = same_again(&text, 65_536);
    assert!(ours < packed.len() + packed.len() / 100, "{ours} bytes, the library {}", packed.len());
}

#[test]
fn members_come_back() {
    let text = lines(100_000, &mut Random(8));
    let mut file = Vec::new();
    for part in [&text[..], &[], &text[..1]] {
        let mut encoder = Gzip::new();
        encoder.encode(part, &mut file);
        encoder.finish(&mut file);
    }
    let expected = [&text[..], &text[..1]].concat();
    assert!(gunzip(&file, usize::MAX).expect("valid").expect("small") == expected);
}
