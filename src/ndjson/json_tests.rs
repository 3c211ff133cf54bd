//! The validator against serde_json, on lines that are broken in every way a seeded generator finds.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::json::{Lines, Validator, is_type_name};

/// What is said of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Blank,
    Good(String),
    Bad,
}

#[derive(Default)]
struct Log(Vec<(Verdict, Option<Vec<u8>>)>);

impl Lines for Log {
    fn resource(&mut self, kind: &str, text: Option<&[u8]>) {
        self.0.push((Verdict::Good(kind.to_owned()), text.map(<[u8]>::to_vec)));
    }

    fn bad(&mut self, _line: u64, _first: u8, _reason: String) {
        self.0.push((Verdict::Bad, None));
    }
}

/// What serde_json says of a line; `None` where we differ on purpose: it reads keys, so it refuses wrong UTF-8 and lone surrogates in
/// them.
fn reference(line: &[u8]) -> Option<Verdict> {
    if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
        return Some(Verdict::Blank);
    }
    let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    if first != Some(&b'{') || serde_json::from_slice::<IgnoredAny>(line).is_err() {
        return Some(Verdict::Bad);
    }
    let members: HashMap<String, Box<RawValue>> = serde_json::from_slice(line).ok()?;
    let kind = members.get("resourceType").and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    Some(kind.filter(|kind| is_type_name(kind.as_bytes())).map_or(Verdict::Bad, Verdict::Good))
}

/// What the validator says of a line that comes in `pieces`, with a newline at its end.
fn ours(pieces: &[&[u8]]) -> Verdict {
    let mut validator = Validator::new();
    let mut log = Log::default();
    for piece in pieces {
        validator.feed(piece, &mut log);
    }
    validator.feed(b"\n", &mut log);
    assert!(validator.finish(&mut log));
    assert!(log.0.len() <= 1, "one line, one verdict");
    let Some((verdict, text)) = log.0.pop() else {
        return Verdict::Blank;
    };
    if let Verdict::Good(_) = verdict {
        assert_eq!(text.unwrap(), pieces.concat(), "the text of the line");
    }
    verdict
}

struct Generator(u64);

impl Generator {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    /// A line that is good, then broken (or not) at some places.
    fn line(&mut self) -> Vec<u8> {
        const GOOD: [&str; 9] = [
            r#"{"resourceType":"Patient","id":"a"}"#,
            r#" {"id":"b","resourceType" : "Group" , "n":[1,-0.5,0,1e5,2E-3,12.0e+7],"x":{}} "#,
            r#"{"a":{"resourceType":"No"},"b":[{"c":[[],[{}]]}],"resourceType":"Observation"}"#,
            r#"{"resourceType":"Patient","t":true,"f":false,"n":null,"s":"\"\\\/\b\f\n\r\tAé"}"#,
            r#"{"resource\u0054ype":"Pati\u0065nt","long":"0123456789abcdef0123456789abcdef\"0123"}"#,
            r#"{"resourceType":"A","resourceType":"B","text":"<div>\u2028 ä € 😀</div>"}"#,
            r#"{"resourceType":5}"#,
            r#"{"a":"resourceType","b":"Patient"}"#,
            "\t\r",
        ];
        const PIECES: [&str; 30] = [
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "0",
            "1",
            "-",
            ".",
            "e",
            "E",
            "+",
            "t",
            "true",
            "null",
            " ",
            "\r",
            "\t",
            "\u{1}",
            "\\u",
            "\\u00e4",
            "\\x",
            "\"resourceType\"",
            "é",
            "{}",
            "[]",
            "\u{7f}",
        ];
        let mut line = GOOD[self.below(GOOD.len())].as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(line.len() + 1);
            let until = (at + 1 + self.below(3)).min(line.len());
            match self.below(4) {
                0 => drop(line.drain(at..until)),
                1 => drop(line.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
                2 => drop(line.splice(at..until, PIECES[self.below(PIECES.len())].bytes())),
                _ if self.below(4) == 0 => line.truncate(at),
                _ => {
                    if let Some(byte) = line.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        line.retain(|&byte| byte != b'\n');
        line
    }
}

#[test]
fn verdicts_are_those_of_serde_json() {
    let mut generator = Generator(0x1234_5678_9ABC_DEF1);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..60_000 {
        let line = generator.line();
        let verdict = ours(&[&line]);
        if let Some(expected) = reference(&line) {
            assert_eq!(verdict, expected, "{}", line.escape_ascii());
        }
        match verdict {
            Verdict::Good(_) => good += 1,
            Verdict::Bad => bad += 1,
            Verdict::Blank => {}
        }
    }
    assert!(good > 10_000 && bad > 10_000, "the generator must make both: {good} good, {bad} bad");
}

#[test]
fn chunks_change_nothing() {
    let mut generator = Generator(0xFEDC_BA98_7654_3210);
    for _ in 0..1500 {
        let line = generator.line();
        let whole = ours(&[&line]);
        for at in 0..=line.len() {
            let (left, right) = line.split_at(at);
            assert_eq!(ours(&[left, right]), whole, "{} at {at}", line.escape_ascii());
        }
        assert_eq!(ours(&line.chunks(1).collect::<Vec<_>>()), whole, "{} byte by byte", line.escape_ascii());
    }
}

#[test]
fn a_file_of_many_lines_is_a_sequence_of_lines() {
    let mut generator = Generator(0x0F0F_1234_5555_AAAA);
    for _ in 0..200 {
        let lines: Vec<Vec<u8>> = (0..40).map(|_| generator.line()).collect();
        let expected: Vec<Verdict> = lines.iter().map(|line| ours(&[line])).filter(|v| *v != Verdict::Blank).collect();
        let file = lines.join(&b'\n');
        for size in [1, 5, 64, 1000, file.len().max(1)] {
            let mut validator = Validator::new();
            let mut log = Log::default();
            file.chunks(size).for_each(|chunk| validator.feed(chunk, &mut log));
            let newline_missing = validator.finish(&mut log);
            let found: Vec<Verdict> = log.0.into_iter().map(|(verdict, _)| verdict).collect();
            if newline_missing {
                assert_eq!(found, expected);
            } else {
                // The last line ends too soon: it is torn, not bad.
                assert_eq!((found.as_slice(), expected.last()), (&expected[..expected.len() - 1], Some(&Verdict::Bad)));
            }
        }
    }
}

#[test]
fn what_serde_json_refuses_on_purpose_is_let_through() {
    let cases: [&[u8]; 3] = [
        b"{\"resourceType\":\"Patient\",\"x\":\"\xFF\"}",
        b"{\"resourceType\":\"Patient\",\"\xC3\":1}",
        br#"{"resourceType":"Patient","x":"\ud800","\udfff":1,"n":1e99999}"#,
    ];
    for line in cases {
        assert_eq!(ours(&[line]), Verdict::Good("Patient".to_owned()), "{}", line.escape_ascii());
    }
}
