//! One way through JSON, from left to right, into those objects and arrays that matter. All of it is checked on the way: what a search
//! brings is large, and a look at it before the look into it would cost as much again.

#![allow(
    clippy::inline_always,
    reason = "the crate is optimised for size; this is what every byte of a search goes through"
)]

use super::raw::{Raw, without_bom};
use crate::ndjson::{MAX_DEPTH, string_run};

/// Goes through JSON. As soon as something is not as RFC 8259 has it, everything is `None`; [`check`](super::raw::check) knows why.
///
/// After [`Walker::object`], [`Walker::key`] and a value take turns until there is no key; after [`Walker::array`],
/// [`Walker::item`] and a value do.
pub struct Walker<'a> {
    text: &'a [u8],
    at: usize,
    /// Objects and arrays that are open.
    depth: u32,
    /// Right after an opening bracket.
    first: bool,
}

impl<'a> Walker<'a> {
    /// Before the value in `text`, of which a byte order mark is left out.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text: without_bom(text), at: 0, depth: 0, first: false }
    }

    /// Goes into the object that comes next; false if something else does.
    #[inline(always)]
    pub fn object(&mut self) -> bool {
        self.open(b'{')
    }

    /// Goes into the array that comes next; false if something else does.
    #[inline(always)]
    pub fn array(&mut self) -> bool {
        self.open(b'[')
    }

    #[inline(always)]
    fn open(&mut self, bracket: u8) -> bool {
        self.at = space_end(self.text, self.at);
        let opens = self.text.get(self.at) == Some(&bracket);
        if opens {
            self.at += 1;
            self.depth += 1;
            self.first = true;
        }
        opens
    }

    /// The next key of the object at hand, with its quotes, or `Some(None)` after the last one: the object is left.
    #[inline(always)]
    pub fn key(&mut self) -> Option<Option<&'a [u8]>> {
        if !self.next(b'}')? {
            return Some(None);
        }
        let from = space_end(self.text, self.at);
        let end = quoted_end(self.text, from)?;
        self.at = colon_end(self.text, end)?;
        Some(Some(&self.text[from..end]))
    }

    /// Whether another item of the array at hand comes; if not, it is left.
    #[inline(always)]
    pub fn item(&mut self) -> Option<bool> {
        self.next(b']')
    }

    /// Whether what is open goes on; it is left if not.
    #[inline(always)]
    fn next(&mut self, closing: u8) -> Option<bool> {
        self.at = space_end(self.text, self.at);
        let first = std::mem::replace(&mut self.first, false);
        match self.text.get(self.at)? {
            byte if *byte == closing => {
                self.at += 1;
                self.depth -= 1;
                Some(false)
            }
            b',' if !first => {
                self.at += 1;
                Some(true)
            }
            _ if first => Some(true),
            _ => None,
        }
    }

    /// Passes over the value that comes next.
    #[inline(always)]
    pub fn value(&mut self) -> Option<Raw<'a>> {
        let from = space_end(self.text, self.at);
        self.at = value_end(self.text, from, self.depth)?;
        Some(Raw::checked(&self.text[from..self.at]))
    }

    /// How far we are, before the value that comes next; for [`Walker::since`].
    #[inline(always)]
    pub fn place(&mut self) -> usize {
        self.at = space_end(self.text, self.at);
        self.at
    }

    /// The value that was passed since `place`.
    #[inline(always)]
    pub fn since(&self, place: usize) -> Raw<'a> {
        Raw::checked(&self.text[place..self.at])
    }

    /// Whether nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.depth == 0 && space_end(self.text, self.at) == self.text.len()
    }
}

/// The index of the first byte from `at` on that is no white space: mostly `at`.
#[inline(always)]
fn space_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The index after the key at `at` and its colon.
#[inline(always)]
fn key_end(text: &[u8], at: usize) -> Option<usize> {
    colon_end(text, quoted_end(text, space_end(text, at))?)
}

/// The index after the string at `from`, if one is there.
#[inline(always)]
fn quoted_end(text: &[u8], from: usize) -> Option<usize> {
    if text.get(from) == Some(&b'"') { string_end(text, from) } else { None }
}

/// The index after the colon at `at`, perhaps after white space.
#[inline(always)]
fn colon_end(text: &[u8], at: usize) -> Option<usize> {
    let at = space_end(text, at);
    (text.get(at) == Some(&b':')).then_some(at + 1)
}

/// The index after the string whose opening quote is at `from`.
#[inline(always)]
fn string_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        at = string_run(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = escape_end(text, at)?,
            _ => return None,
        }
    }
}

fn escape_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(at + 6),
        _ => None,
    }
}

/// The index after the number, `true`, `false` or `null` at `at`.
fn plain_end(text: &[u8], at: usize) -> Option<usize> {
    for literal in [&b"true"[..], b"false", b"null"] {
        if text[at..].starts_with(literal) {
            return Some(at + literal.len());
        }
    }
    let digits = |from: usize| {
        let count = text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let from = at + usize::from(text.get(at) == Some(&b'-'));
    let mut end = if text.get(from) == Some(&b'0') { from + 1 } else { digits(from)? };
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        end = digits(end + 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-'))))?;
    }
    Some(end)
}

/// The index after the value at `from`, in what is open already.
#[inline(always)]
fn value_end(text: &[u8], from: usize, depth: u32) -> Option<usize> {
    match text.get(from)? {
        b'"' => string_end(text, from),
        b'{' | b'[' => container_end(text, from, depth),
        _ => plain_end(text, from),
    }
}

/// The index after the object or array at `from`.
fn container_end(text: &[u8], from: usize, outside: u32) -> Option<usize> {
    // Open brackets; the bit is set for an object.
    let mut stack = [0_u64; (MAX_DEPTH / 64) as usize];
    let (mut depth, mut in_object, mut at) = (0, false, from);
    loop {
        // Before a value.
        at = space_end(text, at);
        match text.get(at)? {
            b'"' => at = string_end(text, at)?,
            bracket @ (b'{' | b'[') => {
                if outside + depth == MAX_DEPTH {
                    return None;
                }
                in_object = *bracket == b'{';
                let (word, bit) = ((depth / 64) as usize, 1 << (depth % 64));
                stack[word] = if in_object { stack[word] | bit } else { stack[word] & !bit };
                depth += 1;
                at = space_end(text, at + 1);
                let is_empty = matches!((text.get(at)?, in_object), (b'}', true) | (b']', false));
                if !is_empty {
                    if in_object {
                        at = key_end(text, at)?;
                    }
                    continue;
                }
            }
            _ => at = plain_end(text, at)?,
        }
        // After a value.
        loop {
            at = space_end(text, at);
            match (text.get(at)?, in_object) {
                (b',', true) => {
                    at = key_end(text, at + 1)?;
                    break;
                }
                (b',', false) => {
                    at += 1;
                    break;
                }
                (b'}', true) | (b']', false) => {
                    at += 1;
                    depth -= 1;
                    if depth == 0 {
                        return Some(at);
                    }
                    in_object = stack[((depth - 1) / 64) as usize] >> ((depth - 1) % 64) & 1 == 1;
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Whether all of `text` is one object, by the walker: at once, and key by key.
    fn is_object(text: &[u8]) -> bool {
        let mut whole = Walker::new(text);
        let at_once =
            without_bom(text).trim_ascii_start().starts_with(b"{") && whole.value().is_some() && whole.is_at_end();
        let by_keys = keys(text).is_some();
        assert_eq!(at_once, by_keys, "{}", text.escape_ascii());
        at_once
    }

    fn keys(text: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut walker = Walker::new(text);
        let mut found = Vec::new();
        if !walker.object() {
            return None;
        }
        while let Some(key) = walker.key()? {
            let place = walker.place();
            if walker.array() {
                while walker.item()? {
                    walker.value()?;
                }
            } else {
                walker.value()?;
            }
            found.push((key.to_vec(), walker.since(place).bytes().to_vec()));
        }
        walker.is_at_end().then_some(found)
    }

    #[test]
    fn it_takes_what_serde_json_takes() {
        let seeds: [&[u8]; 5] = [
            br#"{"resourceType":"Bundle","total":2,"entry":[{"fullUrl":"u","resource":{"id":"x","n":[1.10,-0,2e-7,{}],"b":true}},{"x":[[],{"y":null}]}]}"#,
            b" { \"a\" : [ 1 , \"\\u00e9\\\\ \\\" text of more than sixteen bytes\" , { \"b\" : false } ] ,\r\n\t\"c\" : \"d\" } ",
            b"{}",
            br#"{"a":-1.5E+1,"b":0.0,"c":[0,10,-0e0],"d":{"e":{"f":[[["g"]]]}}}"#,
            "\u{feff}{\"\u{e9}\":\"\u{1f600}\"}".as_bytes(),
        ];
        let pieces: [&[u8]; 20] = [
            b"", b"{", b"}", b"[", b"]", b",", b":", b"\"", b"\\", b"0", b"-", b".", b"e", b"true", b"nul", b" ",
            b"\n", b"\x01", b"\\u12", b"1",
        ];
        let mut seed = 1_u64;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let (mut good, mut bad) = (0, 0);
        for round in 0..60_000 {
            let mut text = seeds[round % seeds.len()].to_vec();
            for _ in 0..next(3) {
                let at = next(text.len());
                let end = (at + next(3)).min(text.len());
                text.splice(at..end, pieces[next(pieces.len())].iter().copied());
                text.push(b' ');
            }
            let plain = without_bom(&text);
            let expected = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(plain);
            // Bytes are kept as they are: serde_json refuses what is no UTF-8 and halves of surrogate pairs.
            let expected = expected.is_ok() || std::str::from_utf8(plain).is_err() && is_object(&text);
            assert_eq!(is_object(&text), expected, "{}", text.escape_ascii());
            *(if expected { &mut good } else { &mut bad }) += 1;
        }
        assert!(good > 15_000 && bad > 15_000, "{good} {bad}");
    }

    #[test]
    fn keys_and_values_are_the_bytes_that_came() {
        let found = keys(b"{ \"a\" : 1.10 , \"b\":[ 1,2 ] ,\"c\\\"\" :\"x\" }").unwrap();
        let found: Vec<_> = found.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        assert_eq!(found, [(&b"\"a\""[..], &b"1.10"[..]), (b"\"b\"", b"[ 1,2 ]"), (b"\"c\\\"\"", b"\"x\"")]);
    }

    #[test]
    fn depth_is_bounded() {
        let nested =
            |depth: usize| [b"{\"a\":".to_vec(), b"[".repeat(depth), b"]".repeat(depth), b"}".to_vec()].concat();
        assert!(is_object(&nested(511)) && !is_object(&nested(512)));
        assert!(super::super::raw::check(&nested(512)).unwrap_err().contains("nested too deeply"));
    }
}
