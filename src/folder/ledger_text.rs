//! The ledger's lists of files as text. There may be 20,000 files and more: as a tree of JSON values they would take ten times the
//! memory that they have as [`FileEntry`], so they are read and written one by one, beside the rest of `.metadata`.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use super::ledger::{FileEntry, KEY};
use super::metadata::ascii;
use crate::fhir::raw::Raw;

/// The files of each job.
pub(super) type Lists = Vec<Vec<FileEntry>>;

/// Bytes of a piece of text.
const PIECE: usize = 256 << 10;

/// Cuts the lists of files out of `.metadata`: the text with empty lists in their places, and the lists.
pub(super) fn cut(text: &[u8]) -> (Cow<'_, [u8]>, Vec<&[u8]>) {
    let jobs = Raw::new(text).get(KEY).and_then(|ledger| ledger.get("jobs"));
    let lists: Vec<&[u8]> =
        jobs.iter().flat_map(|jobs| jobs.items()).map(|job| job.get("files").map_or(&[][..], Raw::bytes)).collect();
    if lists.is_empty() {
        return (Cow::Borrowed(text), lists);
    }
    let (mut rest, mut at) = (Vec::new(), 0);
    for list in lists.iter().filter(|list| !list.is_empty()) {
        let start = list.as_ptr() as usize - text.as_ptr() as usize;
        rest.extend_from_slice(&text[at..start]);
        rest.extend_from_slice(b"[]");
        at = start + list.len();
    }
    rest.extend_from_slice(&text[at..]);
    (Cow::Owned(rest), lists)
}

/// Reads the lists. The error says what is wrong.
pub(super) fn read(lists: &[&[u8]]) -> Result<Lists, String> {
    let mut files = Lists::new();
    for list in lists {
        let mut of_job = Vec::new();
        for entry in Raw::new(list).items() {
            let value: Value = serde_json::from_slice(entry.bytes()).map_err(|error| error.to_string())?;
            of_job.push(crate::value::read(value)?);
        }
        files.push(of_job);
    }
    Ok(files)
}

/// A number that stands for the lists.
pub(super) fn mark(lists: &[Vec<FileEntry>]) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    lists.hash(&mut hasher);
    hasher.0
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// All of `.metadata` as indented text, escaped to ASCII, with the lists in the ledger of `map`.
pub(super) fn render(map: &mut Map<String, Value>, lists: &[Vec<FileEntry>]) -> serde_json::Result<Vec<String>> {
    let Some(ledger) = map.get_mut(KEY).map(Value::take) else {
        return Ok(vec![ascii(serde_json::to_string_pretty(map)?)]);
    };
    let mut out = Pieces::default();
    // A key of its own on a line of its own, at a depth that no text can be mistaken for.
    let place = format!("\n  \"{KEY}\": null");
    let text = serde_json::to_string_pretty(map)?;
    let (before, after) = text.split_once(&place).unwrap_or((&text, ""));
    out.add(before);
    out.add(place.strip_suffix("null").unwrap_or_default());
    let mut lists = lists.iter();
    for (number, line) in serde_json::to_string_pretty(&ledger)?.split('\n').enumerate() {
        if number > 0 {
            out.add("\n  ");
        }
        // The list of a job: nothing else in a ledger is called so at this depth.
        let ending = line.strip_prefix("      \"files\": []");
        match ending.and_then(|ending| Some((ending, lists.next().filter(|files| !files.is_empty())?))) {
            None => out.add(line),
            Some((ending, files)) => {
                let mut separator = "      \"files\": [";
                for file in files {
                    out.add(separator);
                    for line in serde_json::to_string_pretty(&serde_json::to_value(file)?)?.split('\n') {
                        out.add("\n          ");
                        out.add(line);
                    }
                    separator = ",";
                }
                out.add("\n        ]");
                out.add(ending);
            }
        }
    }
    out.add(after);
    map.insert(KEY.to_owned(), ledger);
    Ok(out.end())
}

/// Text in pieces of some size, so that no large one ever has to grow.
#[derive(Default)]
struct Pieces {
    done: Vec<String>,
    now: String,
}

impl Pieces {
    fn add(&mut self, text: &str) {
        if self.now.len() + text.len() > PIECE {
            self.next();
        }
        self.now.push_str(text);
    }

    fn next(&mut self) {
        let full = std::mem::replace(&mut self.now, String::with_capacity(PIECE));
        self.done.push(ascii(full));
    }

    fn end(mut self) -> Vec<String> {
        self.next();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_is_what_it_is_as_one_tree_and_is_read_again() {
        let file = |name: &str| json!({"url": "https://ehr.example/ä?\n  \"ledger\": null", "kind": "output", "type": "Patient", "requiresAccessToken": true, "name": name, "state": "done", "bytes": 3, "decoded": 4, "resources": 2});
        let job = |files: Value| json!({"statusUrl": "s", "request": {"files": []}, "state": "finished", "types": ["Patient"], "files": files});
        let many: Vec<Value> = (0..3000).map(|n| file(&format!("Patient.{n:03}.ndjson"))).collect();
        let whole = json!({
            "filters": {"Patient": []},
            "ledger": {"format": 1, "jobs": [job(json!([])), job(json!(many)), job(json!([file("ü")]))], "unlistedFilters": {"files": []}},
            "files": [], "version": "1",
        });
        let text = serde_json::to_string_pretty(&whole).unwrap();
        let (rest, lists) = cut(text.as_bytes());
        let files = read(&lists).unwrap();
        assert_eq!(files.iter().map(Vec::len).collect::<Vec<_>>(), [0, 3000, 1]);
        assert_eq!(files[2][0].name, "ü");
        let mut map: Map<String, Value> = serde_json::from_slice(&rest).unwrap();
        assert_eq!(map["ledger"]["jobs"][1]["files"], json!([]));
        let before = map.clone();
        let pieces = render(&mut map, &files).unwrap();
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= 2 * PIECE));
        assert_eq!(pieces.concat(), ascii(text));
        assert_eq!(map, before);
        assert_ne!(mark(&files), mark(&files[..2]));
    }

    #[test]
    fn a_state_that_was_cut_off_is_damaged_wherever_that_was() {
        let text = json!({"ledger": {"format": 1, "jobs": [{"files": [{"url": "u", "kind": "output", "name": "n"}]}]}})
            .to_string();
        for length in 1..text.len() {
            let (rest, lists) = cut(&text.as_bytes()[..length]);
            assert!(serde_json::from_slice::<Value>(&rest).is_err() || read(&lists).is_err(), "{}", &text[..length]);
        }
    }
}
