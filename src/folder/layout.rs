//! Names of files in an output folder. Nothing that a server says ever chooses a path (E05).

use std::collections::{BTreeMap, BTreeSet};

use crate::fhir::resource_type::is_safe;

pub use crate::bulk::manifest::FileKind;

/// The subfolder of a kind of file, with a slash, or nothing.
fn subfolder(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Output => "",
        FileKind::Error => "error/",
        FileKind::Deleted => "deleted/",
    }
}

/// The word that the bulk export log has for a kind of file.
pub fn item_type(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Output => "output",
        FileKind::Error => "error",
        FileKind::Deleted => "deleted",
    }
}

/// The state of the folder as the reference writes it.
pub const METADATA: &str = ".metadata";
/// The bulk export log.
pub const LOG: &str = "log.ndjson";
/// Ends the name of a file that is not complete yet.
pub const PART: &str = ".part";

/// A set of paths, filled one by one: collecting would sort first, which is much code for nothing.
pub(crate) fn set(paths: &mut dyn Iterator<Item = String>) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    for path in paths {
        set.insert(path);
    }
    set
}

/// Gives out names `Type.001.ndjson.gz`, each once.
#[derive(Debug, Default)]
pub struct Namer {
    ending: String,
    first: u64,
    taken: BTreeSet<String>,
    next: BTreeMap<String, u64>,
}

impl Namer {
    /// A namer of files that end in `ending`, such as `.ndjson.gz`; avoids the names in `taken`, whatever their ending.
    pub fn new(ending: &str, taken: impl IntoIterator<Item = String>) -> Self {
        let taken = set(&mut taken.into_iter().map(|name| stem(&name).to_owned()));
        Self { ending: ending.to_owned(), first: 0, taken, next: BTreeMap::new() }
    }

    /// Starts to count after `number` for every type.
    #[must_use]
    pub fn after(mut self, number: u64) -> Self {
        self.first = number;
        self
    }

    /// The next free name for a file of a type, which is untrusted (E05).
    pub fn name(&mut self, kind: FileKind, resource_type: Option<&str>) -> String {
        let fallback = match kind {
            FileKind::Output => "Resource",
            FileKind::Error => "OperationOutcome",
            FileKind::Deleted => "Bundle",
        };
        let resource_type = resource_type.filter(|name| is_safe(name)).unwrap_or(fallback);
        let series = format!("{}{resource_type}", subfolder(kind));
        let next = self.next.entry(series.clone()).or_insert(self.first);
        loop {
            *next += 1;
            let stem = format!("{series}.{next:03}");
            if self.taken.insert(stem.clone()) {
                return format!("{stem}{}", self.ending);
            }
        }
    }
}

/// How the names of files end: NDJSON, or what the server calls its format where that is another one (E16).
pub fn ending(other_format: Option<&str>, compress: bool) -> String {
    let word = match other_format {
        None => "ndjson".to_owned(),
        Some(format) => {
            let media = format.split(';').next().unwrap_or_default();
            let word: String = media.rsplit(['/', '+']).next().unwrap_or_default().to_ascii_lowercase();
            let plain = !word.is_empty() && word.len() <= 16 && word.bytes().all(|b| b.is_ascii_alphanumeric());
            if plain { word } else { "data".to_owned() }
        }
    };
    format!(".{word}{}", if compress { ".gz" } else { "" })
}

/// A data file's path up to its number: `error/OperationOutcome.001`.
fn stem(path: &str) -> &str {
    let start = path.rfind('/').map_or(0, |slash| slash + 1);
    let dots: Vec<usize> = path[start..].match_indices('.').map(|(at, _)| start + at).collect();
    dots.get(1).map_or(path, |at| &path[..*at])
}

/// The number in a data file's name; 0 if it has none.
pub fn number(path: &str) -> u64 {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split('.').nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The other name that a data file has with the other compression setting.
pub fn other_compression(path: &str) -> String {
    path.strip_suffix(".gz").map_or_else(|| format!("{path}.gz"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_per_type_and_kind() {
        let mut namer = Namer::new(&ending(None, true), []);
        assert_eq!(namer.name(FileKind::Output, Some("Patient")), "Patient.001.ndjson.gz");
        assert_eq!(namer.name(FileKind::Output, Some("Condition")), "Condition.001.ndjson.gz");
        assert_eq!(namer.name(FileKind::Output, Some("Patient")), "Patient.002.ndjson.gz");
        assert_eq!(namer.name(FileKind::Error, None), "error/OperationOutcome.001.ndjson.gz");
        assert_eq!(namer.name(FileKind::Deleted, Some("Bundle")), "deleted/Bundle.001.ndjson.gz");
    }

    #[test]
    fn a_name_that_is_taken_is_passed_over_whatever_its_compression() {
        let taken = ["Patient.001.ndjson.gz", "error/OperationOutcome.001.ndjson"].map(str::to_owned);
        let mut namer = Namer::new(&ending(None, false), taken);
        assert_eq!(namer.name(FileKind::Output, Some("Patient")), "Patient.002.ndjson");
        assert_eq!(namer.name(FileKind::Output, None), "Resource.001.ndjson");
        assert_eq!(namer.name(FileKind::Error, None), "error/OperationOutcome.002.ndjson");
    }

    #[test]
    fn e05_a_hostile_type_names_no_path() {
        let mut namer = Namer::new(&ending(None, true), []);
        for hostile in ["../../x", "a/b", "", ".", "C:\\x", "Pat\0ient", "x".repeat(65).as_str(), "1x", "é"] {
            let name = namer.name(FileKind::Output, Some(hostile));
            assert!(name.starts_with("Resource.") && !name.contains('/'), "{hostile:?} -> {name}");
        }
    }

    #[test]
    fn e16_other_formats_have_other_endings() {
        assert_eq!(ending(Some("text/csv; charset=utf-8"), true), ".csv.gz");
        assert_eq!(ending(Some("application/vnd.apache.parquet"), false), ".data");
        assert_eq!(ending(Some("../x"), false), ".x");
    }
}
