//! What lines may hold, one file at a time (H06 to H09 and H13 concern what is done with the data later).

use std::time::Duration;

use smart_fetch::platform::transfer::{BadLine, Content, FileFacts, TransferTask};
use smart_fetch::testing::{Host, Reply};

use crate::ndjson::{PATH, gunzip, gzip, patients, stored, task};

/// The facts of a file with this text, which must be stored as it is, whatever the chunks.
fn facts(text: &[u8], task: TransferTask) -> FileFacts {
    let read = |chunk: usize| {
        let host = Host::new();
        host.http.on("GET", "/files/1", Reply::bytes(200, "x", text).in_chunks(chunk, Duration::ZERO));
        let facts = stored(&host, task.clone());
        let bytes = host.storage.bytes(PATH).unwrap();
        let plain = if task.compress { gunzip(&bytes) } else { bytes };
        assert!(plain == text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text), "not kept as it is");
        facts
    };
    let whole = read(text.len().max(1));
    if text.len() < 100_000 {
        for chunk in [1, 2, 3, 7, 61] {
            assert_eq!(read(chunk), whole, "in chunks of {chunk}");
        }
    }
    whole
}

fn bad(facts: &FileFacts) -> Vec<(u64, &str)> {
    facts.bad.iter().map(|BadLine { line, reason }| (*line, reason.as_str())).collect()
}

#[test]
fn h01_only_a_newline_ends_a_line() {
    let text = "{\"resourceType\":\"Patient\",\"text\":\"a\u{2028}b\u{2029}c\u{85}d\u{b}e\"}".replace('\u{b}', "");
    let lines = format!("{text}\r\n{text}\r\n{text}");
    let facts = facts(lines.as_bytes(), task());
    assert_eq!((facts.resources, facts.bad_lines), (3, 0));
    assert_eq!(facts.types["Patient"], 3);
}

#[test]
fn h02_blank_lines_a_bom_and_no_final_newline_are_fine() {
    let text = "\u{feff}\n{\"resourceType\":\"Patient\"}\n\n \t\r\n\n{\"resourceType\":\"Patient\"}";
    for compress in [true, false] {
        let facts = facts(text.as_bytes(), TransferTask { compress, ..task() });
        assert_eq!((facts.resources, facts.bad_lines), (2, 0));
        assert_eq!(facts.decoded, text.len() as u64 - 3);
    }
    // Elsewhere, U+FEFF is no BOM: it stays, inside strings, and is an error outside.
    let later = facts("{\"resourceType\":\"Patient\",\"id\":\"\u{feff}\"}\n\u{feff}{}\n".as_bytes(), task());
    assert_eq!((later.resources, later.bad_lines), (2, 1));
}

#[test]
fn h03_bad_lines_are_told_by_number_and_kept() {
    let good = r#"{"resourceType":"Patient"}"#;
    let lines = [
        good,
        "oops",
        good,
        r#"{"resourceType":"Patient","#,
        r#"{"id":"1"}"#,
        r#"{"resourceType":5}"#,
        "[]",
        "null",
        r#"{"resourceType":"../x"}"#,
        r#"{"resourceType":"Patient"} {}"#,
        good,
        "",
    ];
    let facts = facts(lines.join("\n").as_bytes(), task());
    assert_eq!((facts.resources, facts.bad_lines, facts.types["Patient"]), (11, 8, 3));
    let numbers: Vec<u64> = bad(&facts).iter().map(|(line, _)| *line).collect();
    assert_eq!(numbers, [2, 4, 5, 6, 7, 8, 9, 10]);
    let told = bad(&facts);
    assert_eq!(told[0].1, "not a JSON object, at byte 0 ('o')");
    assert_eq!(told[1].1, "the line ends inside its JSON, at byte 26");
    assert_eq!(told[2].1, "no resourceType");
    assert_eq!(told[7].1, "more after the object, at byte 27 ('{')");
}

#[test]
fn h03_of_many_bad_lines_all_are_counted_and_some_told() {
    let facts = facts(format!("{}x\n", "bad\n".repeat(99)).as_bytes(), task());
    assert_eq!((facts.resources, facts.bad_lines, facts.bad.len()), (100, 100, 20));
}

#[test]
fn h03_a_line_may_be_of_any_length() {
    let long = format!("{{\"text\":\"{}\",\"resourceType\":\"Patient\"}}\n", "ä".repeat(10 << 20));
    let broken = format!("{{\"text\":\"{}\"\u{1}\n", "x".repeat(1 << 20));
    let text = format!("{}{long}{broken}{}", patients(2), patients(1));
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::ndjson(&text).in_chunks(65_536, Duration::ZERO));
    let facts = stored(&host, task());
    assert!(host.storage.text(PATH).unwrap() == text);
    assert_eq!((facts.resources, facts.bad_lines, facts.types["Patient"]), (5, 1, 4));
    assert_eq!(bad(&facts)[0].0, 4);
}

#[test]
fn h03_deep_nesting_is_a_bad_line_and_no_crash() {
    let nested =
        |depth: usize| format!("{{\"resourceType\":\"Patient\",\"x\":{}{}}}\n", "[".repeat(depth), "]".repeat(depth));
    let text = nested(511) + &nested(512) + &"[{\"a\":".repeat(1_000_000) + "\n" + &nested(1);
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::ndjson(&text));
    let facts = stored(&host, task());
    assert_eq!((facts.types["Patient"], bad(&facts)[0].0, bad(&facts)[1].0), (2, 2, 3));
}

#[test]
fn h04_bytes_are_kept_exactly() {
    let mut text = br#"{ "resourceType" : "Patient", "a":1.10, "b":12345678901234567890123, "c":1E-400, "c":2, "zz\/\u00e4":[ ] }"#.to_vec();
    text.extend_from_slice(b"\r\n{\"resourceType\":\"Patient\",\"bad utf-8\":\"\xFF\xFE\xC3\"}\n");
    for compress in [true, false] {
        let facts = facts(&text, TransferTask { compress, ..task() });
        assert_eq!((facts.resources, facts.bad_lines), (2, 0));
    }
    let zipped = gzip(&text);
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::bytes(200, "x", zipped.clone()).header("Content-Encoding", "gzip"));
    stored(&host, TransferTask { compress: true, ..task() });
    assert_eq!(host.storage.bytes(PATH).unwrap(), zipped);
}

#[test]
fn h05_types_are_counted_whatever_they_are() {
    let line = |kind: &str| {
        format!("{{\"id\":\"1\",\"contained\":[{{\"resourceType\":\"Inner\"}}],\"resourceType\":\"{kind}\"}}\n")
    };
    let text = ["Patient", "Organization", "Patient", "NewInR7", r"Pat\u0069ent", "Organization"].map(line).concat();
    let escaped_key = "{\"\\u0072esourceType\":\"Group\"}\n{\"resourceType\":\"Patient\",\"resourceType\":\"Group\"}\n";
    let facts = facts((text + escaped_key).as_bytes(), task());
    let types: Vec<_> = facts.types.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(types, [("Group", 2), ("NewInR7", 1), ("Organization", 2), ("Patient", 3)]);
    assert_eq!((facts.resources, facts.bad_lines), (8, 0));
}

#[test]
fn h05_an_outcome_among_data_is_an_error_record() {
    let first = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"x","diagnostics":"w"},{"severity":"error","code":"y","details":{"text":"lost a row"}}]}"#;
    let last = r#"{"id":"o","issue":[{"severity":"information","code":"z"}],"resourceType":"OperationOutcome"}"#;
    let text = format!("{}{first}\n{last}\n{}", patients(1), patients(1));
    let facts = facts(text.as_bytes(), task());
    assert_eq!((facts.types["OperationOutcome"], facts.severities["error"], facts.severities["warning"]), (2, 1, 1));
    assert_eq!((facts.issues[0].severity.as_str(), facts.issues[0].text.as_str()), ("error", "lost a row"));
}

#[test]
fn h05_issues_are_all_counted_and_errors_told_first() {
    let issue =
        |severity: &str| format!("{{\"severity\":\"{severity}\",\"code\":\"c\",\"diagnostics\":\"{severity} d\"}}");
    let line = |issues: String| format!("{{\"resourceType\":\"OperationOutcome\",\"issue\":[{issues}]}}\n");
    let many = line(vec![issue("information"); 150].join(",") + "," + &issue("error"));
    let text = line(issue("warning")).repeat(30)
        + &many
        + &line("{}".to_owned())
        + "{\"resourceType\":\"OperationOutcome\",\"issue\":5}\n";
    let facts = facts(text.as_bytes(), TransferTask { content: Content::Outcomes, ..task() });
    assert_eq!((facts.severities["warning"], facts.severities["information"]), (30, 150));
    // One of the many, one without a severity, one that cannot be read: none is taken for harmless.
    assert_eq!(facts.severities["error"], 3);
    assert_eq!(facts.issues.len(), 20);
    assert!(facts.issues[..3].iter().all(|i| i.severity == "error") && facts.issues[3].severity == "warning");
}

#[test]
fn h05_an_outcome_too_long_to_read_is_not_overlooked() {
    let long = format!(
        "{{\"resourceType\":\"OperationOutcome\",\"issue\":[{{\"severity\":\"warning\",\"diagnostics\":\"{}\"}}]}}\n",
        "x".repeat(2 << 20)
    );
    let facts = facts((patients(1) + &long).as_bytes(), task());
    assert_eq!(facts.severities["error"], 1);
}

#[test]
fn h07_binaries_are_saved_like_any_other_type() {
    let text = "{\"resourceType\":\"Binary\",\"id\":\"b\",\"data\":\"aGVsbG8=\"}\n";
    let facts = facts(text.as_bytes(), TransferTask { resource_type: Some("Binary".into()), ..task() });
    assert_eq!(facts.types["Binary"], 1);
}

#[test]
fn h10_deletions_are_counted_and_other_methods_told() {
    let entry = |method: &str, url: &str| format!("{{\"request\":{{\"method\":\"{method}\",\"url\":\"{url}\"}}}}");
    let bundle = |entries: &[String]| {
        format!("{{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{}]}}\n", entries.join(","))
    };
    let text = bundle(&[entry("DELETE", "Patient/1"), entry("DELETE", "Patient/a-b.c")])
        + &bundle(&[entry("POST", "Patient"), entry("DELETE", "Patient?x=y"), entry("DELETE", "Patient/2")])
        + &bundle(&[])
        + &bundle(&["{}".into(), entry("DELETE", "../../etc/passwd")]);
    let facts = facts(text.as_bytes(), TransferTask { content: Content::Deletions, ..task() });
    assert_eq!((facts.resources, facts.deletions, facts.odd_deletions), (4, 3, 5));
}

#[test]
fn h11_subsetted_resources_are_counted_when_elements_were_asked() {
    let line =
        |tags: &str| format!("{{\"resourceType\":\"Patient\",\"meta\":{{\"tag\":[{tags}]}},\"note\":\"SUBSETTED\"}}\n");
    let text = line("{\"code\":\"SUBSETTED\"}")
        + &line("{\"code\":\"other\"},{\"code\":\"SUBSETTED\"}")
        + &line("{\"code\":\"other\"}");
    assert_eq!(facts(text.as_bytes(), TransferTask { elements: true, ..task() }).subsetted, 2);
    assert_eq!(facts(text.as_bytes(), task()).subsetted, 0);
}

#[test]
fn h12_organized_files_are_split_and_headers_are_no_data() {
    let header = "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"header\",\"valueReference\":{\"reference\":\"Patient/1\"}}]}";
    let shared = "{\"resourceType\":\"Organization\",\"id\":\"o\"}";
    let other = "{\"resourceType\":\"Organization\",\"id\":\"o\",\"active\":true}";
    let data = "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"x\",\"valueString\":\"header\"}]}";
    let text = [
        header,
        "{\"resourceType\":\"Patient\",\"id\":\"1\"}",
        shared,
        "bad",
        header,
        shared,
        other,
        data,
        "",
        "{\"id\":\"no type\"}",
        "{\"resourceType\":\"Patient\",\"id\":\"2\"}",
    ]
    .join("\r\n");
    for compress in [true, false] {
        for chunk in [1, 50, 10_000] {
            let host = Host::new();
            host.http.on("GET", "/files/1", Reply::ndjson(&text).in_chunks(chunk, Duration::ZERO));
            let facts =
                stored(&host, TransferTask { compress, content: Content::Organized, resource_type: None, ..task() });
            let part = |name: &str| {
                let bytes = host.storage.bytes(&format!("{PATH}.{name}")).unwrap();
                String::from_utf8(if compress { gunzip(&bytes) } else { bytes }).unwrap()
            };
            assert_eq!(
                part("Patient"),
                "{\"resourceType\":\"Patient\",\"id\":\"1\"}\r\n{\"resourceType\":\"Patient\",\"id\":\"2\"}\n"
            );
            assert_eq!(part("Organization"), format!("{shared}\r\n{other}\r\n"));
            assert_eq!(part("Parameters"), format!("{data}\r\n"));
            assert_eq!(part("Unknown"), "bad\r\n{\"id\":\"no type\"}\r\n");
            assert_eq!(host.storage.paths().len(), 4);
            let names: Vec<_> = facts.parts.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["Patient", "Organization", "Unknown", "Parameters"]);
            let size = |name: &str| host.storage.bytes(&format!("{PATH}.{name}")).unwrap().len() as u64;
            assert!(facts.parts.iter().all(|(name, stored)| size(name) == *stored));
            assert_eq!((facts.resources, facts.bad_lines, facts.types["Organization"]), (7, 2, 2));
            assert_eq!(bad(&facts).iter().map(|b| b.0).collect::<Vec<_>>(), [4, 10]);
        }
    }
}

#[test]
fn h12_a_torn_or_broken_organized_file_leaves_nothing() {
    let text = patients(2000) + "{\"resourceType\":\"Group\",\"id\":";
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::ndjson(&text).in_chunks(50_000, Duration::ZERO));
    crate::ndjson::broken(&host, TransferTask { content: Content::Organized, ..task() });
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::ndjson(&patients(2000)).cut_after(900_000));
    crate::ndjson::broken(&host, TransferTask { content: Content::Organized, compress: true, ..task() });
}

#[test]
fn h12_types_from_the_server_never_choose_a_path() {
    let text = "{\"resourceType\":\"../../evil\"}\n{\"resourceType\":\"a/b\"}\n{\"resourceType\":\"\"}\n{\"resourceType\":\"Patient\\u0000\"}\n";
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::ndjson(text));
    let facts = stored(&host, TransferTask { content: Content::Organized, ..task() });
    assert_eq!(host.storage.paths(), [format!("{PATH}.Unknown")]);
    assert_eq!((facts.bad_lines, host.storage.text(&format!("{PATH}.Unknown")).unwrap().as_str()), (4, text));
}
