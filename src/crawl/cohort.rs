//! Which patients: lists of ids as people have them, and the Patient files of a folder.

use std::collections::BTreeSet;

use csv_core::{ReadFieldResult, Reader};

use crate::fhir::raw::Raw;
use crate::folder::rows::{self, Rows};
use crate::platform::Storage;
use crate::{Error, Result};

/// The ids in a file's text. A file whose name ends in `.csv` has them in its column `id`, else `mrn` (in any case); any other
/// has one a line. White space around an id and empty ids are dropped; the rest comes in its order, each once.
///
/// # Errors
/// `Usage` for a CSV without such a column.
pub fn parse_ids(name: &str, text: &str) -> Result<Vec<String>> {
    let text = text.trim_start_matches('\u{feff}');
    let is_csv = name.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("csv"));
    let mut seen = BTreeSet::new();
    let mut ids = Vec::new();
    let mut take = |id: &str| {
        let id = id.trim();
        if !id.is_empty() && seen.insert(id.to_owned()) {
            ids.push(id.to_owned());
        }
    };
    if !is_csv {
        text.lines().for_each(take);
        return Ok(ids);
    }
    let mut table = Table::new(text);
    let header = table.record().unwrap_or_default();
    let column = |wanted: &str| header.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
    let Some(column) = column("id").or_else(|| column("mrn")) else {
        return Err(Error::usage(format!("ID file {name} has no 'id' or 'mrn' header"))
            .with_hint("The first line of a CSV file names its columns; one of them must be called id or mrn."));
    };
    while let Some(record) = table.record() {
        if let Some(id) = record.get(column) {
            take(id);
        }
    }
    Ok(ids)
}

/// The records of a CSV text (RFC 4180).
struct Table<'a> {
    reader: Reader,
    rest: &'a [u8],
    field: Vec<u8>,
}

impl<'a> Table<'a> {
    fn new(text: &'a str) -> Self {
        // No field is longer than the text, so the room for it never runs out.
        Self { reader: Reader::new(), rest: text.as_bytes(), field: vec![0; text.len() + 1] }
    }

    /// The next record, blank lines left out.
    fn record(&mut self) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        let mut length = 0;
        loop {
            let (result, read, written) = self.reader.read_field(self.rest, &mut self.field[length..]);
            self.rest = &self.rest[read..];
            length += written;
            match result {
                ReadFieldResult::Field { record_end } => {
                    fields.push(String::from_utf8_lossy(&self.field[..length]).into_owned());
                    length = 0;
                    if record_end {
                        return Some(fields);
                    }
                }
                // An empty input tells the reader that this was all.
                ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
                ReadFieldResult::End => return None,
            }
        }
    }
}

/// The ids of the patients in a folder's Patient files, in order, each once; of the first `most` there.
pub async fn patients<S: Storage>(storage: &S, most: usize) -> Result<Vec<String>> {
    let mut ids = BTreeSet::new();
    for file in rows::data_files(storage, "").await? {
        if file.resource_type.as_deref() != Some("Patient") {
            continue;
        }
        let mut rows = Rows::open(storage, &file.path);
        while let Some(row) = rows.next().await? {
            let row = Raw::new(row);
            // Hydration and `_include` may leave other types in a file.
            let is_patient = row.get("resourceType").is_some_and(|kind| kind.is_text("Patient"));
            if let Some(id) = row.get("id").filter(|_| is_patient && ids.len() < most).and_then(Raw::text) {
                ids.insert(id.into_owned());
            }
        }
    }
    Ok(ids.into_iter().collect())
}

/// What tells one cohort from another: positions in the ledger mean nothing in another one.
pub fn fingerprint(ids: &[String]) -> String {
    let bytes = ids.iter().flat_map(|id| id.bytes().chain([b'\n']));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{}-{hash:016x}", ids.len())
}

/// How many patients a cohort has, by its fingerprint.
pub(super) fn count(fingerprint: &str) -> u32 {
    fingerprint.split('-').next().and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_id_a_line() {
        assert_eq!(parse_ids("ids.txt", "\u{feff}p1\r\n\n  p2 \np1\np,3").unwrap(), ["p1", "p2", "p,3"]);
        assert!(parse_ids("ids", "").unwrap().is_empty());
    }

    #[test]
    fn a_table_has_them_in_a_column() {
        let text = "\u{feff}Name,MRN\r\n\"Doe, \"\"J\"\"\",m1\r\n\nRoe,\"m,2\"\nshort\nX, m1 \nLast,m3";
        assert_eq!(parse_ids("a.CSV", text).unwrap(), ["m1", "m,2", "m3"]);
        assert_eq!(parse_ids("a.csv", "mrn,ID\nm1,p1\n").unwrap(), ["p1"]);
        assert_eq!(parse_ids("a.csv", "Id").unwrap(), [""; 0]);
    }

    #[test]
    fn a_table_without_such_a_column_is_refused() {
        for text in ["", "\n", "name,patient\nx,y\n"] {
            let error = parse_ids("my.csv", text).unwrap_err();
            assert_eq!(
                (error.exit_status(), error.message.as_str()),
                (2, "ID file my.csv has no 'id' or 'mrn' header")
            );
        }
    }

    #[test]
    fn other_patients_are_another_cohort() {
        let of = |ids: &[&str]| fingerprint(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        assert_ne!(of(&["a", "bc"]), of(&["ab", "c"]));
        assert_ne!(of(&["a"]), of(&["a", "b"]));
        assert_eq!(of(&["a"]), of(&["a"]));
    }
}
