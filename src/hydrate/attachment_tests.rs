#![allow(clippy::unwrap_used)]

use super::*;

fn apply(row: &str, wanted: &Wanted, content: &Content) -> String {
    let attachment = Raw::new(row.as_bytes()).get("a").unwrap();
    let at = place(row.as_bytes(), attachment.bytes());
    let (mut out, mut from) = (String::new(), 0);
    for edit in edits(row.as_bytes(), &at, wanted, content) {
        out.push_str(&row[from..edit.range.start]);
        out.push_str(&edit.text);
        if edit.has_data {
            content.base64_pieces().for_each(|piece| out.push_str(std::str::from_utf8(&piece).unwrap()));
            out.push('"');
        }
        from = edit.range.end;
    }
    out.push_str(&row[from..]);
    out
}

fn wanted(as_file: bool) -> Wanted {
    Wanted { url: "Binary/1".into(), mimetype: "text/plain".into(), as_file, file: None }
}

#[test]
fn the_row_keeps_every_byte_but_the_members_of_the_attachment() {
    let content = Content::plain(vec![b"hel".to_vec(), b"lo".to_vec()], "utf-8".into());
    let row = r#"{"n":1.10, "a": {"contentType":"text/plain" , "url":"Binary/1"} ,"z":"\u00e9"}"#;
    assert_eq!(
        apply(row, &wanted(false), &content),
        concat!(
            r#"{"n":1.10, "a": {"contentType":"text/plain; charset=utf-8" , "url":"Binary/1","data":"aGVsbG8=","size":5,"#,
            r#""hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00="} ,"z":"\u00e9"}"#
        )
    );
}

#[test]
fn members_that_are_there_keep_their_places() {
    let content = Content::plain(vec![b"hel".to_vec(), b"lo".to_vec()], "iso-8859-1".into());
    let row = r#"{"a":{"hash":"x","size":7,"url":"Binary/1","contentType":"text/plain"}}"#;
    assert_eq!(
        apply(row, &wanted(false), &content),
        concat!(
            r#"{"a":{"hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=","size":5,"url":"Binary/1","#,
            r#""contentType":"text/plain; charset=iso-8859-1","data":"aGVsbG8="}}"#
        )
    );
    // A file beside the data is found by its hash; nothing else of its attachment changes.
    assert_eq!(
        apply(row, &wanted(true), &content),
        r#"{"a":{"hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=","size":5,"url":"Binary/1","contentType":"text/plain"}}"#
    );
}

#[test]
fn what_is_to_be_done_is_told_as_the_reference_does() {
    let mimetypes = media::mimetypes(&[]);
    let plan = |text: &str, files| plan(Raw::new(text.as_bytes()), &mimetypes, files);
    assert_eq!(plan(r#"{"url":"Binary/1"}"#, false), Plan::Leave);
    assert_eq!(plan(r#"{"contentType":"application/pdf","url":"Binary/1"}"#, false), Plan::Leave);
    assert_eq!(plan(r#"{"contentType":"text/plain"}"#, false), Plan::Leave);
    assert_eq!(plan(r#"{"contentType":"Text/Plain;charset=x","data":"aA==","url":"Binary/1"}"#, false), Plan::Here);
    assert_eq!(plan(r#"{"contentType":"text/plain","url":"Binary/1"}"#, true), Plan::Fetch(wanted(false)));
    let hash = r#"{"contentType":"application/pdf","url":"Binary/1","hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00="}"#;
    let Plan::Fetch(found) = plan(hash, true) else { unreachable!() };
    assert!(found.as_file);
    assert_eq!(found.file.unwrap(), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d.pdf");
}

#[test]
fn h09_a_binary_resource_is_unwrapped() {
    let read = |body: &str, content_type: &str| content(vec![body.into()], content_type, "text/plain");
    for data in ["aGVsbG8=", "aGVs\\nbG8=", "aGVs bG8="] {
        let body = format!(r#"{{"resourceType":"Binary","contentType":"text/plain; charset=latin1","data":"{data}"}}"#);
        let content = read(&body, "application/fhir+json").ok().unwrap();
        assert_eq!((content.size, content.charset.as_str()), (5, "latin1"), "{data}");
        assert_eq!(content.base64_pieces().collect::<Vec<_>>().concat(), b"aGVsbG8=");
        assert_eq!(content.pieces().collect::<Vec<_>>().concat(), b"hello");
    }
    let message = |body: &str, content_type: &str| read(body, content_type).err().unwrap().message;
    let pdf = r#"{"resourceType":"Binary","contentType":"application/pdf","data":"aGVsbG8="}"#;
    assert_eq!(
        message(pdf, "application/fhir+json"),
        "Error: expected MIME type of 'text/plain', but got 'application/pdf'."
    );
    let damaged = r#"{"resourceType":"Binary","contentType":"text/plain","data":"a=b"}"#;
    assert_eq!(message(damaged, "application/fhir+json"), "The data of this Binary is not valid base64.");
}

#[test]
fn a_wrong_type_is_refused_with_the_reason() {
    let message =
        |body: &str, content_type: &str| content(vec![body.into()], content_type, "text/plain").err().unwrap().message;
    assert_eq!(
        message("{}", "application/fhir+json; charset=utf-8"),
        "Error: expected MIME type of 'text/plain', but got 'application/fhir+json'."
    );
    let outcome = r#"{"resourceType":"OperationOutcome","issue":[{"diagnostics":"no such note"}]}"#;
    assert_eq!(message(outcome, "application/fhir+json"), "no such note");
    // What has no type at all is taken for plain text.
    assert_eq!(content(vec![b"hello".to_vec()], "", "text/plain").ok().unwrap().size, 5);
}

#[test]
fn big_contents_go_piece_by_piece() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7) as u8).collect();
    let plain = Content::plain(bytes.chunks(1000).map(<[u8]>::to_vec).collect(), "utf-8".into());
    let text = plain.base64_pieces().collect::<Vec<_>>().concat();
    assert_eq!(STANDARD.decode(&text).unwrap(), bytes);
    assert!(plain.base64_pieces().all(|piece| piece.len() <= 64 << 10));
    let wrapped = Content::base64(text.chunks(1001).map(<[u8]>::to_vec).collect(), "utf-8".into()).unwrap();
    assert_eq!((wrapped.size, wrapped.hash), (plain.size, plain.hash));
    assert_eq!(wrapped.pieces().collect::<Vec<_>>().concat(), bytes);
    // Two texts after each other are none, even where a piece ends.
    assert!(Content::base64(vec![vec![b'A'; BLOCK - 1], b"=AAAA".to_vec()], String::new()).is_none());
}
