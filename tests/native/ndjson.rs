//! The file pipeline, from a URL into a file: what the conformance groups F and H do not name. The helpers serve these too.

use std::cell::RefCell;
use std::io::Write;

use smart_fetch::ErrorKind;
use smart_fetch::ndjson::{Expect, check_file};
use smart_fetch::platform::transfer::{Content, FileFacts, TransferOutcome, TransferProgress, TransferTask};
use smart_fetch::platform::{HttpErrorKind, Platform, Transfers};
use smart_fetch::testing::{Host, Reply};

pub(crate) const URL: &str = "https://ehr.example/files/1.ndjson";
pub(crate) const PATH: &str = "tmp/1.part";

/// A file of Patients, to be stored plain.
pub(crate) fn task() -> TransferTask {
    TransferTask {
        file: 1,
        url: URL.into(),
        headers: vec![],
        credentials: vec![],
        credential_origins: vec![],
        allow_insecure: false,
        path: PATH.into(),
        compress: false,
        content: Content::Resources,
        resource_type: Some("Patient".into()),
        elements: false,
        relay: smart_fetch::http::relay::Relay::default(),
        timeout_millis: 60_000,
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Whatever gzip members hold, by another implementation than ours.
pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out).unwrap();
    out
}

pub(crate) fn run(host: &Host, task: TransferTask) -> TransferOutcome {
    host.run(host.transfers().transfer(task, &|_| {})).unwrap()
}

pub(crate) fn stored(host: &Host, task: TransferTask) -> FileFacts {
    match run(host, task) {
        TransferOutcome::Stored(facts) => facts,
        other => panic!("not stored: {other:?}"),
    }
}

/// The status and text of a refusal, after which nothing may be left.
pub(crate) fn refused(host: &Host, task: TransferTask) -> (u16, String) {
    match run(host, task) {
        TransferOutcome::Refused { status, text, .. } => {
            assert_eq!(host.storage.paths(), [""; 0]);
            (status, text)
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The kind and message of a break, after which nothing may be left.
pub(crate) fn broken(host: &Host, task: TransferTask) -> (HttpErrorKind, String) {
    match run(host, task) {
        TransferOutcome::Broken { error, .. } => {
            assert_eq!(host.storage.paths(), [""; 0]);
            (error.kind, error.message)
        }
        other => panic!("not broken: {other:?}"),
    }
}

/// `count` patients of about 500 bytes, with ids that differ.
pub(crate) fn patients(count: usize) -> String {
    let mut seed = 1_u64;
    let mut line = |number| {
        let mut word = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        let names: Vec<String> = (0..40).map(|_| format!("\"{:x}\"", word())).collect();
        format!(
            "{{\"resourceType\":\"Patient\",\"id\":\"p{number}\",\"name\":[{{\"given\":[{}]}}]}}\n",
            names.join(",")
        )
    };
    (0..count).map(&mut line).collect()
}

fn serve(body: impl Into<Vec<u8>>) -> Host {
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::bytes(200, "application/fhir+ndjson", body));
    host
}

#[test]
fn all_that_can_come_is_stored_as_asked() {
    let text = patients(300).into_bytes();
    let half = text.len() / 2;
    let members = [gzip(&text[..half]), gzip(b""), gzip(&text[half..])].concat();
    let padded = [members.clone(), vec![0; 512]].concat();
    let with_bom = [&b"\xEF\xBB\xBF"[..], &text].concat();
    // What comes, whether it is said to be gzip, and what is stored of it if gzip is wanted (`None`: encoded anew).
    let cases = [
        ("plain", text.clone(), false, None),
        ("gzip on the wire", gzip(&text), true, Some(gzip(&text))),
        ("a stored gzip", gzip(&text), false, Some(gzip(&text))),
        ("several members", members.clone(), false, Some(members.clone())),
        ("zero padding", padded, false, Some(members.clone())),
        ("a stored gzip, gzipped on the wire", gzip(&members), true, Some(members)),
        ("plain with a BOM", with_bom.clone(), false, None),
        ("gzip with a BOM", gzip(&with_bom), true, None),
        ("gzip in gzip with a BOM", gzip(&gzip(&with_bom)), true, None),
        ("plain, though said to be gzip", text.clone(), true, None),
        ("one byte", b"{".to_vec(), false, None),
    ];
    for (name, body, said, kept) in cases {
        for chunk in [body.len(), 4096, 1] {
            if chunk == 1 && name != "plain with a BOM" && name != "gzip in gzip with a BOM" {
                continue;
            }
            for compress in [true, false] {
                let host = Host::new();
                let mut reply = Reply::bytes(200, "application/fhir+ndjson", body.clone());
                if said {
                    reply = reply.header("Content-Encoding", "gzip");
                }
                host.http.on("GET", "/files/1", reply.in_chunks(chunk, std::time::Duration::ZERO));
                if name == "one byte" {
                    assert_eq!(broken(&host, TransferTask { compress, ..task() }).0, HttpErrorKind::Interrupted);
                    continue;
                }
                let facts = stored(&host, TransferTask { compress, ..task() });
                let bytes = host.storage.bytes(PATH).unwrap();
                let plain = if compress { gunzip(&bytes) } else { bytes.clone() };
                assert!(plain == text, "{name}, in chunks of {chunk}, compress {compress}");
                if let (true, Some(kept)) = (compress, &kept) {
                    assert!(&bytes == kept, "{name}: not as it came");
                }
                assert_eq!(facts.resources, 300, "{name}");
                assert_eq!(facts.types["Patient"], 300, "{name}");
                assert_eq!(facts.received, body.len() as u64, "{name}");
                assert_eq!(facts.decoded, text.len() as u64, "{name}");
                assert_eq!(facts.stored, bytes.len() as u64, "{name}");
            }
        }
    }
}

#[test]
fn an_encoded_file_is_the_same_each_time_and_has_no_time_in_it() {
    let store = || {
        let host = serve(patients(500));
        stored(&host, TransferTask { compress: true, ..task() });
        host.storage.bytes(PATH).unwrap()
    };
    let bytes = store();
    assert_eq!(bytes, store());
    assert_eq!(bytes[..10], [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn a_gzip_bomb_takes_no_room() {
    // 4 MiB of one line, twice gzipped to some hundred bytes: it all comes out of one chunk.
    let line = format!("{{\"resourceType\":\"Patient\",\"x\":\"{}\"}}\n", " ".repeat(4 << 20));
    let host = Host::new();
    let bomb = gzip(&gzip(line.as_bytes()));
    host.http.on("GET", "/files/1", Reply::bytes(200, "x", bomb).header("Content-Encoding", "gzip"));
    let facts = stored(&host, task());
    assert_eq!((facts.decoded, facts.resources), (line.len() as u64, 1));
    assert!(host.storage.text(PATH).unwrap() == line);
    // It is written in pieces, not as a whole.
    assert!(host.storage.calls() > 10, "{}", host.storage.calls());
}

#[test]
fn progress_grows_and_ends_with_all_of_it() {
    let text = patients(5000);
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::ndjson(&text).in_chunks(10_000, std::time::Duration::ZERO));
    let reports: RefCell<Vec<TransferProgress>> = RefCell::default();
    host.run(host.transfers().transfer(task(), &|p| reports.borrow_mut().push(p))).unwrap();
    let reports = reports.into_inner();
    assert!(reports.len() > 3 && reports.len() <= text.len() / (256 << 10) + 2, "{}", reports.len());
    assert!(reports.is_sorted_by_key(|p| (p.received, p.resources)));
    assert_eq!(*reports.last().unwrap(), TransferProgress { file: 1, received: text.len() as u64, resources: 5000 });
}

#[test]
fn an_opaque_file_is_kept_as_it_is() {
    let pdf = [&b"%PDF-1.7\n<html>"[..], &[0; 100], b"\xEF\xBB\xBF"].concat();
    for body in [pdf, gzip(b"a stored gzip"), b"<p>".to_vec(), b"\xEF\xBB\xBFx".to_vec()] {
        let host = serve(body.clone());
        let facts = stored(&host, TransferTask { content: Content::Opaque, ..task() });
        assert_eq!(host.storage.bytes(PATH).unwrap(), body);
        assert_eq!((facts.bad_lines, facts.resources), (0, 0));
        let host = Host::new();
        host.http.on("GET", "/files/1", Reply::bytes(200, "x", gzip(&body)).header("Content-Encoding", "gzip"));
        stored(&host, TransferTask { content: Content::Opaque, ..task() });
        assert_eq!(host.storage.bytes(PATH).unwrap(), body);
    }
}

#[test]
fn a_coding_that_was_not_asked_for_is_refused() {
    let host = Host::new();
    host.http.on("GET", "/files/1", Reply::ndjson("\u{1b}garbage").header("Content-Encoding", "br"));
    let (status, text) = refused(&host, task());
    assert_eq!(status, 200);
    assert!(text.contains("br"), "{text}");
}

#[test]
fn a_storage_failure_is_ours_and_leaves_nothing() {
    let host = serve(patients(2000));
    host.storage.set_read_only(true);
    let error = host.run(host.transfers().transfer(task(), &|_| {})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Storage);
}

#[test]
fn a_stored_file_is_checked_again_like_a_new_one() {
    let text = format!("{}not json\n{{\"resourceType\":\"Group\"}}", patients(1000));
    for (path, compress) in [("a.ndjson", false), ("a.ndjson.gz", true)] {
        let host = serve(text.clone());
        let facts = stored(&host, TransferTask { compress, path: path.into(), ..task() });
        let expect = Expect { content: Content::Resources, resource_type: Some("Patient"), subsetted: false };
        let again = host.run(check_file(&host.storage, path, &expect)).unwrap();
        assert_eq!((again.bad_lines, again.resources, again.types["Group"]), (1, 1002, 1));
        assert_eq!(FileFacts { received: facts.received, ..again }, facts);

        let whole = host.storage.bytes(path).unwrap();
        for cut in [1, 5, whole.len() / 2] {
            host.storage.put(path, &whole[..whole.len() - cut]);
            let error = host.run(check_file(&host.storage, path, &expect)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Corrupt);
            assert!(error.message.contains(path), "{}", error.message);
        }
    }
    let host = Host::new();
    let expect = Expect { content: Content::Resources, resource_type: None, subsetted: false };
    assert_eq!(host.run(check_file(&host.storage, "none", &expect)).unwrap_err().kind, ErrorKind::Storage);
}

#[test]
fn a_slow_file_tells_how_far_it_is_however_small() {
    let host = Host::new();
    let body = "{\"resourceType\":\"Patient\"}\n".repeat(20);
    let slow = Reply::ndjson(&body).in_chunks(100, std::time::Duration::from_millis(150));
    host.http.on("GET", &task().url, slow);
    let told = std::cell::Cell::new(0);
    let outcome = host.run(host.transfers().transfer(task(), &|_| told.set(told.get() + 1)));
    assert!(matches!(outcome, Ok(TransferOutcome::Stored(_))), "{outcome:?}");
    assert!((2..=4).contains(&told.get()), "six chunks in 0.9 s: {} reports", told.get());
}
