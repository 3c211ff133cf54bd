//! Raw JSON against serde_json's reading of the same text.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Raw, check, compact};

/// Everything in `raw` is what serde_json finds there.
fn same(raw: Raw<'_>, value: &Value) {
    assert_eq!(&serde_json::from_slice::<Value>(raw.bytes()).unwrap(), value, "{}", raw.bytes().escape_ascii());
    assert_eq!(raw.text().as_deref(), value.as_str());
    let items: Vec<_> = raw.items().collect();
    let expected = value.as_array().cloned().unwrap_or_default();
    assert_eq!(items.len(), expected.len());
    items.into_iter().zip(&expected).for_each(|(item, value)| same(item, value));
    let fields: Vec<_> = raw.fields().collect();
    let expected = value.as_object().cloned().unwrap_or_default();
    assert_eq!(fields.len(), expected.len());
    for ((key, value), (expected_key, expected)) in fields.into_iter().zip(&expected) {
        assert!(key.is_text(expected_key));
        assert_eq!(raw.get(expected_key), Some(value));
        same(value, expected);
    }
}

/// A value made from a seed.
fn made(seed: &mut u64, depth: u32) -> Value {
    let mut next = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let texts = [
        "",
        "a",
        "\"",
        "\\",
        "a\\\"b",
        "é漢😀",
        "{[",
        "]}",
        ":,",
        "\n\t",
        "a long text of more than sixteen bytes \" end",
    ];
    let kinds = if depth == 0 { 5 } else { 7 };
    match next(kinds) {
        0 => Value::Null,
        1 => json!(next(2) == 0),
        2 => json!(next(1 << 30)),
        3 => json!(1.5e-7),
        4 => json!(texts[next(texts.len() as u64) as usize]),
        5 => (0..next(4)).map(|_| made(seed, depth - 1)).collect(),
        _ => {
            let keys: Vec<_> =
                (0..next(5)).map(|n| format!("{n}{}", texts[next(texts.len() as u64) as usize])).collect();
            Value::Object(keys.into_iter().map(|key| (key, made(seed, depth - 1))).collect())
        }
    }
}

#[test]
fn finds_what_serde_json_finds() {
    let mut seed = 7;
    for _ in 0..2000 {
        let value = made(&mut seed, 5);
        let (dense, pretty) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
        same(Raw::new(dense.as_bytes()), &value);
        same(Raw::new(pretty.as_bytes()), &value);
        assert_eq!(compact(pretty.as_bytes()), dense.as_bytes());
        assert!(matches!(compact(dense.as_bytes()), Cow::Borrowed(same) if same == dense.as_bytes()));
    }
}

#[test]
fn keys_and_texts_may_be_escaped() {
    let raw = Raw::new(br#" {"a":1,"resource\u0054ype":"Pa\u0074ient","id":"x\/y","half":"\ud800","\"":2, "a":3} "#);
    assert_eq!(raw.get("resourceType").unwrap().text().unwrap(), "Patient");
    assert!(raw.get("resourceType").unwrap().is_text("Patient"));
    assert_eq!(raw.get("id").unwrap().text().unwrap(), "x/y");
    assert_eq!(raw.get("half").unwrap().text(), None, "no text");
    assert_eq!(raw.get("\"").unwrap().bytes(), b"2");
    assert_eq!(raw.get("a").unwrap().bytes(), b"1", "the first of two");
    assert_eq!(raw.get("b"), None);
    assert_eq!(Raw::new(b"\"caf\xe9\"").text().unwrap(), "caf\u{fffd}");
    assert_eq!(Raw::new("\u{feff}{\"a\":1}".as_bytes()).get("a").unwrap().bytes(), b"1");
}

#[test]
fn walks_through_lists() {
    let text = br#"{"content":[{"attachment":{"url":"a"}},{"attachment":[{"url":"b"},{"x":1}]},{},[{"attachment":{"url":"no"}}]],
        "ref":[{"reference":"A/1"}],"tags":["s","t"],"one":{"url":1.10}}"#;
    let found = |path: &[&str]| {
        let mut found = Vec::new();
        Raw::new(text).walk(path, &mut |raw| found.push(String::from_utf8_lossy(raw.bytes()).into_owned()));
        found.join(" ")
    };
    assert_eq!(found(&["content", "attachment", "url"]), r#""a" "b""#);
    assert_eq!(found(&["ref", "reference"]), r#""A/1""#);
    assert_eq!(found(&["tags"]), r#""s" "t""#);
    assert_eq!(found(&["one", "url"]), "1.10");
    assert_eq!(found(&["one", "url", "deeper"]), "");
}

#[test]
fn text_that_is_no_json_is_tolerated() {
    let texts = [
        "",
        " ",
        "{",
        "[",
        "\"",
        "\"\\",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "[1 2",
        "[,]",
        "{\"a\":1\"b\":2}",
        "{\"a\":[}",
        "]",
        "}",
        "{\"a\":\"\n\"}",
        "{\"a\":{\"b\":\"\\",
        "nul",
        "{,\"a\":1}",
        "\u{feff}",
        "[{]}",
    ];
    for text in texts {
        let raw = Raw::new(text.as_bytes());
        let _ = (raw.get("a"), raw.text(), raw.items().count(), raw.fields().count(), compact(text.as_bytes()));
        raw.walk(&["a", "b"], &mut |_| {});
        assert!(check(text.as_bytes()).is_err(), "{text:?}");
    }
    assert_eq!(Raw::new(b"{\"a\":1 \"b\":2}").get("b"), None);
    let deep = [b"{\"a\":".repeat(200_000), b"[".repeat(200_000), b"]".repeat(200_000), b"}".repeat(200_000)].concat();
    let raw = Raw::new(&deep);
    assert!(raw.get("a").unwrap().get("a").is_some(), "depth costs no stack");
    raw.walk(&["a"; 9], &mut |_| {});
    assert!(check(&deep).unwrap_err().contains("nested too deeply"));
}

#[test]
fn checks_documents_of_any_shape() {
    let pretty = "\u{feff}{\r\n  \"entry\": [\n    1,\n    {\"a\": \"b\"}\n  ],\n  \"resourceType\": \"Bundle\"\n}\n";
    assert_eq!(check(pretty.as_bytes()).unwrap(), "Bundle");
    assert_eq!(check(br#"{"resourceType":"Patient"}"#).unwrap(), "Patient");
    for (text, reason) in [
        ("{\"resourceType\":\"Patient\"", "ends early"),
        ("{\"resourceType\":\"Patient\"}\n{}", "more after the object"),
        ("{\"resourceType\":\"Pat\nient\"}", "control character"),
        ("{\"resourceType\":\"Patient\",\"n\":1\n2}", "no comma"),
        ("{\"id\":\"1\"}", "no resourceType"),
        ("[]", "not a JSON object"),
        ("\n \n", "is empty"),
        ("<html>", "not a JSON object"),
    ] {
        let error = check(text.as_bytes()).unwrap_err();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn one_line_keeps_strings_and_numbers() {
    let text = b"{\n  \"a b\": \" x\\n \\\" y \",\r\n\t\"n\": 1.10 ,\n \"l\": [ 1E+5 , true , { } ]\n}\n";
    assert_eq!(compact(text), &b"{\"a b\":\" x\\n \\\" y \",\"n\":1.10,\"l\":[1E+5,true,{}]}"[..]);
    let spaced = b"{\"a\": 1, \"b\": \"c\"}";
    assert_eq!(compact(spaced), &spaced[..], "already one line: as the server sent it");
    assert!(!compact(b"{\"a\":\n\"never\nends").contains(&b'\n'));
}
