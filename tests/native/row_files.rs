//! Reading and writing the rows of data files.

use std::time::Duration;

use smart_fetch::ErrorKind;
use smart_fetch::folder::{DataFile, RowWriter, Rows, data_files};
use smart_fetch::testing::{Host, MemoryStorage};

use crate::ndjson::{gunzip, gzip};

fn read(storage: &MemoryStorage, path: &str) -> smart_fetch::Result<Vec<String>> {
    Host::with_storage(storage.clone()).run(async {
        let (mut rows, mut all) = (Rows::open(storage, path), Vec::new());
        while let Some(row) = rows.next().await? {
            all.push(String::from_utf8_lossy(row).into_owned());
        }
        Ok(all)
    })
}

fn row(n: u64) -> String {
    format!(r#"{{"resourceType":"Patient","id":"{n}"}}"#)
}

/// Runs `work` on a copy of `disk` once for each storage call it makes, killed at that call; then `check` sees the disk.
fn kill_everywhere(disk: &[(&str, Vec<u8>)], work: impl AsyncFn(&MemoryStorage), check: impl Fn(u64, &MemoryStorage)) {
    for call in 1.. {
        let storage = MemoryStorage::new();
        for (path, bytes) in disk {
            storage.put(path, bytes.clone());
        }
        storage.kill_at(call);
        let ended = Host::with_storage(storage.clone()).run_until_killed(work(&storage));
        storage.revive();
        check(call, &storage);
        if ended.is_some() {
            assert!(call > 3, "there is something to kill");
            return;
        }
    }
}

#[test]
fn rows_of_every_form_of_file() {
    let storage = MemoryStorage::new();
    storage.put("plain", "\u{feff}{\"a\":1}\r\n\n  \t\n {\"b\":2} \n{\"c\":3}");
    storage.put("members", [gzip(b"{\"a\":1}\n{\"b\""), gzip(b""), gzip(b":2}\n{\"c\":3}\n")].concat());
    storage.put("padded", [gzip(b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n"), vec![0; 600_000]].concat());
    for path in ["plain", "members", "padded"] {
        assert_eq!(read(&storage, path).unwrap(), [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#], "{path}");
    }
    storage.put("empty", "");
    storage.put("empty.gz", gzip(b""));
    storage.put("byte", "1");
    assert_eq!(read(&storage, "empty").unwrap().len() + read(&storage, "empty.gz").unwrap().len(), 0);
    assert_eq!(read(&storage, "byte").unwrap(), ["1"]);
}

#[test]
fn long_rows_over_many_pieces() {
    let storage = MemoryStorage::new();
    // Not compressible, so that rows lie across pieces of the file and of what is decoded.
    let mut seed = 1_u64;
    let rows: Vec<String> = (0..40)
        .map(|n| {
            let digits = (0..n * 5000).map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'a' + (seed >> 59) as u8)
            });
            format!("\"{}\"", digits.collect::<String>())
        })
        .collect();
    let text = rows.join("\n");
    storage.put("plain", text.clone());
    storage.put("gzip", gzip(text.as_bytes()));
    assert!(read(&storage, "plain").unwrap() == rows);
    assert!(read(&storage, "gzip").unwrap() == rows);
}

#[test]
fn a_damaged_file_is_named() {
    let storage = MemoryStorage::new();
    let whole = gzip(row(1).repeat(50_000).as_bytes());
    storage.put("X.001.ndjson.gz", &whole[..whole.len() - 2]);
    let error = read(&storage, "X.001.ndjson.gz").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.starts_with("X.001.ndjson.gz is damaged: "), "{error}");
    assert_eq!(read(&storage, "missing").unwrap_err().kind, ErrorKind::Storage);
}

#[test]
fn data_files_by_the_rule_of_the_reference() {
    let storage = MemoryStorage::new();
    let patient = format!("{}\n", row(1));
    for path in [
        "Patient.001.ndjson",
        "Condition.002.ndjson.gz",
        "1.PractitionerRole.JSONL",
        "Observation20240614-112115.ndjson",
        "Observation.members.ndjson.gz",
        "Bundle.Patient.ndjson",
        "patient.ndjson",
        "empty.ndjson",
        "words.ndjson",
        "torn.ndjson.gz",
        "log.ndjson",
        ".hidden.ndjson",
        "Patient.001.ndjson.gz.part",
        "Patient.json",
        ".ndjson",
        "error/OperationOutcome.001.ndjson",
        "sub/Device.ndjson",
    ] {
        storage.put(path, patient.clone());
    }
    storage.put("empty.ndjson", "\n");
    storage.put("words.ndjson", "[1]\n");
    storage.put("torn.ndjson.gz", &gzip(b"x")[..9]);
    let list = |folder: &str| Host::with_storage(storage.clone()).run(data_files(&storage, folder)).unwrap();
    let found = list("");
    let found: Vec<_> = found.iter().map(|f| (f.path.as_str(), f.resource_type.as_deref().unwrap_or("?"))).collect();
    assert_eq!(
        found,
        [
            ("1.PractitionerRole.JSONL", "PractitionerRole"),
            ("Bundle.Patient.ndjson", "Patient"),
            ("Condition.002.ndjson.gz", "Condition"),
            ("Observation.members.ndjson.gz", "Observation"),
            ("Observation20240614-112115.ndjson", "Observation"),
            ("Patient.001.ndjson", "Patient"),
            ("patient.ndjson", "Patient"),
            ("torn.ndjson.gz", "?"),
            ("words.ndjson", "?"),
        ]
    );
    assert_eq!(list("sub"), [DataFile { path: "sub/Device.ndjson".into(), resource_type: Some("Device".into()) }]);
    assert_eq!(list("nowhere"), []);
}

#[test]
fn rows_are_kept_byte_for_byte_and_on_one_line() {
    for name in ["Patient.ndjson", "Patient.ndjson.gz"] {
        let storage = MemoryStorage::new();
        let file = Host::with_storage(storage.clone()).run(async {
            let mut file = RowWriter::create(&storage, name).await.unwrap();
            file.row(br#"{"resourceType": "Patient", "n": 1.10, "t": "\u00e9 \/"}"#).await.unwrap();
            file.row(b"{\n  \"resourceType\": \"Patient\",\r\n  \"n\": 1E+2\n}\n").await.unwrap();
            assert_eq!(file.resources(), 2);
            file.commit().await.unwrap()
        });
        let text = storage.text(name).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"resourceType": "Patient", "n": 1.10, "t": "\u00e9 \/"}"#,
                "\n",
                r#"{"resourceType":"Patient","n":1E+2}"#,
                "\n"
            )
        );
        assert_eq!((file.name.as_str(), file.resources), (name, 2));
        assert_eq!(file.bytes, storage.bytes(name).unwrap().len() as u64);
        assert_eq!(storage.paths(), [name]);
    }
}

#[test]
fn a_file_without_rows_is_an_empty_file() {
    let storage = MemoryStorage::new();
    for name in ["a.ndjson", "a.ndjson.gz"] {
        let host = Host::with_storage(storage.clone());
        host.run(async { RowWriter::create(&storage, name).await.unwrap().commit().await.unwrap() });
        assert_eq!(storage.text(name).unwrap(), "");
    }
    assert!(!storage.bytes("a.ndjson.gz").unwrap().is_empty(), "a whole gzip member");
    Host::with_storage(storage.clone()).run(async {
        let mut file = RowWriter::create(&storage, "b.ndjson").await.unwrap();
        file.row(b"{}").await.unwrap();
        file.discard().await;
    });
    assert_eq!(storage.paths(), ["a.ndjson", "a.ndjson.gz"]);
}

#[test]
fn extending_goes_on_with_what_is_there_in_either_compression() {
    for (there, asked) in [("P.ndjson", "P.ndjson"), ("P.ndjson.gz", "P.ndjson"), ("P.ndjson", "P.ndjson.gz")] {
        let storage = MemoryStorage::new();
        // Without a newline at its end, as some programs leave it.
        let old = row(1);
        storage.put(there, if there.ends_with("gz") { gzip(old.as_bytes()) } else { old.into_bytes() });
        let file = Host::with_storage(storage.clone()).run(async {
            let mut file = RowWriter::extend(&storage, asked).await.unwrap();
            file.row(row(2).as_bytes()).await.unwrap();
            file.commit().await.unwrap()
        });
        assert_eq!((file.name.as_str(), file.resources), (there, 2), "{there} asked as {asked}");
        assert_eq!(storage.paths(), [there]);
        assert_eq!(read(&storage, there).unwrap(), [row(1), row(2)]);
    }
    let storage = MemoryStorage::new();
    let file = Host::with_storage(storage.clone())
        .run(async { RowWriter::extend(&storage, "new.ndjson").await.unwrap().commit().await.unwrap() });
    assert_eq!(file.name, "new.ndjson");
    let torn = gzip(&b"{}\n".repeat(1000));
    storage.put("torn.ndjson.gz", &torn[..torn.len() - 4]);
    let error =
        Host::with_storage(storage.clone()).run(async { RowWriter::extend(&storage, "torn.ndjson.gz").await.err() });
    assert_eq!(error.unwrap().kind, ErrorKind::Corrupt);
}

#[test]
fn killed_anywhere_the_name_stands_for_a_whole_file() {
    for name in ["P.ndjson", "P.ndjson.gz"] {
        let old: Vec<u8> = (0..3000).map(|n| row(n) + "\n").collect::<String>().into_bytes();
        let stored = if name.ends_with("gz") { gzip(&old) } else { old };
        let before: Vec<String> = (0..3000).map(row).collect();
        let after: Vec<String> = (0..9000).map(row).collect();
        let work = async |storage: &MemoryStorage| {
            let mut file = RowWriter::extend(storage, name).await.unwrap();
            for n in 3000..9000 {
                file.row(row(n).as_bytes()).await.unwrap();
                if n % 2500 == 0 {
                    file.checkpoint().await.unwrap();
                }
            }
            file.commit().await.unwrap();
        };
        kill_everywhere(&[(name, stored)], work, |call, storage| {
            let found = read(storage, name).unwrap();
            assert!(found == before || found == after, "{name} killed at call {call}: {} rows", found.len());
        });
    }
}

#[test]
fn resumed_at_a_checkpoint_after_a_kill_anywhere() {
    for name in ["P.ndjson", "P.ndjson.gz"] {
        let all: Vec<String> = (0..9000).map(row).collect();
        // Goes on from the last checkpoint that `noted` knows, as a job does that writes it to its ledger.
        let work = async |storage: &MemoryStorage| {
            let noted: Vec<u64> =
                storage.text("noted").unwrap_or_default().lines().map(|l| l.parse().unwrap()).collect();
            let (length, mut next) = (noted.first().copied().unwrap_or(0), noted.get(1).copied().unwrap_or(0));
            let Some(mut file) = RowWriter::resume(storage, name, length).await.unwrap() else {
                assert!(read(storage, name).unwrap().len() == 9000, "nothing to resume only when it is committed");
                return;
            };
            assert_eq!(file.resources(), next);
            while next < 9000 {
                file.row(row(next).as_bytes()).await.unwrap();
                next += 1;
                if next % 2000 == 0 {
                    let length = file.checkpoint().await.unwrap();
                    storage.put("noted", format!("{length}\n{next}\n"));
                }
            }
            file.commit().await.unwrap();
        };
        kill_everywhere(&[], work, |call, storage| {
            if storage.paths().iter().any(|path| path == name) {
                assert!(read(storage, name).unwrap() == all, "{name} killed at call {call}");
            }
            // Killed once more on the way, at each call of the second run.
            let killed: Vec<(String, Vec<u8>)> =
                storage.paths().into_iter().map(|path| (path.clone(), storage.bytes(&path).unwrap())).collect();
            let disk: Vec<(&str, Vec<u8>)> =
                killed.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
            if call % 7 == 1 && !storage.paths().iter().any(|path| path == name) {
                kill_everywhere(&disk, work, |_, storage| {
                    Host::with_storage(storage.clone()).run(work(storage));
                    assert!(read(storage, name).unwrap() == all);
                });
            }
            Host::with_storage(storage.clone()).run(work(storage));
            assert!(read(storage, name).unwrap() == all, "{name} killed at call {call}, then resumed");
            assert_eq!(storage.paths().iter().filter(|path| path.contains(".part")).count(), 0);
        });
    }
}

/// Writes 5 MB of rows, with checkpoints, on a host whose other threads make the gzip members.
async fn write_large(storage: &MemoryStorage) -> smart_fetch::Result<u64> {
    let mut file = RowWriter::create(storage, "P.ndjson.gz").await?;
    for n in 0..120_000 {
        file.row(row(n).as_bytes()).await?;
        if n == 70_000 {
            let length = file.checkpoint().await?;
            storage.put("noted", length.to_string());
        }
    }
    Ok(file.commit().await?.bytes)
}

#[test]
fn other_threads_make_the_members_and_the_rows_keep_their_order() {
    let all: Vec<String> = (0..120_000).map(row).collect();
    let threaded = |dies| {
        let storage = MemoryStorage::new();
        let host = Host::with_storage(storage.clone());
        storage.set_threads(host.clock.clone(), Duration::from_millis(40), dies);
        (storage, host)
    };
    let (storage, host) = threaded(u64::MAX);
    let bytes = host.run(write_large(&storage)).unwrap();
    assert!(read(&storage, "P.ndjson.gz").unwrap() == all);
    assert_eq!(bytes, storage.bytes("P.ndjson.gz").unwrap().len() as u64);
    assert!(storage.members() >= 8, "{} members", storage.members());
    // A checkpoint waits for all members: what it says is on disk can be resumed.
    let noted: u64 = storage.text("noted").unwrap().parse().unwrap();
    storage.put("P.ndjson.gz.part", storage.bytes("P.ndjson.gz").unwrap()[..noted as usize].to_vec());
    let resumed = host.run(async { RowWriter::resume(&storage, "P.ndjson.gz", noted).await }).unwrap().unwrap();
    assert_eq!(resumed.resources(), 70_001);

    for dies in [0, 5] {
        let (storage, host) = threaded(dies);
        host.run(write_large(&storage)).unwrap();
        assert!(read(&storage, "P.ndjson.gz").unwrap() == all, "what a thread took with it is made here");
    }
    // What is small is not worth a thread.
    let (storage, host) = threaded(0);
    host.run(async {
        let mut file = RowWriter::create(&storage, "Q.ndjson.gz").await.unwrap();
        file.row(row(1).as_bytes()).await.unwrap();
        file.commit().await.unwrap();
    });
    assert_eq!((storage.members(), read(&storage, "Q.ndjson.gz").unwrap().len()), (0, 1));
}

#[test]
fn what_is_resumed_must_be_whole() {
    let storage = MemoryStorage::new();
    let host = Host::with_storage(storage.clone());
    let resume =
        |length| host.run(async { RowWriter::resume(&storage, "P.ndjson.gz", length).await.map(|f| f.is_some()) });
    assert!(!resume(10).unwrap(), "no such file");
    let mut bytes = gzip(&b"{}\n".repeat(1000));
    storage.put("P.ndjson.gz.part", bytes.clone());
    assert!(!resume(bytes.len() as u64 + 1).unwrap(), "shorter than it was");
    assert!(resume(bytes.len() as u64).unwrap());
    assert_eq!(resume(bytes.len() as u64 - 1).unwrap_err().kind, ErrorKind::Corrupt);
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    storage.put("P.ndjson.gz.part", bytes.clone());
    let error = resume(bytes.len() as u64).unwrap_err();
    assert!(error.message.starts_with("P.ndjson.gz.part is damaged"), "{error}");
}

#[test]
fn what_a_writer_makes_is_what_others_read() {
    let storage = MemoryStorage::new();
    Host::with_storage(storage.clone()).run(async {
        let mut file = RowWriter::create(&storage, "P.ndjson.gz").await.unwrap();
        for n in 0..20_000 {
            file.row(row(n).as_bytes()).await.unwrap();
            if n % 6000 == 0 {
                assert_eq!(
                    file.checkpoint().await.unwrap(),
                    file.checkpoint().await.unwrap(),
                    "no member without rows"
                );
            }
        }
        file.commit().await.unwrap();
    });
    let text = String::from_utf8(gunzip(&storage.bytes("P.ndjson.gz").unwrap())).unwrap();
    assert!(text.lines().map(str::to_owned).eq((0..20_000).map(row)));
}
