//! How much room the rest of an export needs, for when there is none left.

use crate::Error;
use crate::folder::{FileState, Job};

/// Adds to `error`, that the disk is full, what is missing of `job`. `under_way`: bytes and resources of files that had begun.
pub(super) fn say_missing(error: Error, job: &Job, under_way: impl Iterator<Item = (u64, u64)>) -> Error {
    let (missing, all) = (job.missing().count(), job.files.len());
    let under_way = under_way.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let (needed, free) = match bytes_missing(job, under_way) {
        Some(bytes) => (format!("need about {}", size(bytes)), format!("about {}", size(bytes))),
        None => ("are of unknown size".to_owned(), "some space".to_owned()),
    };
    error
        .reworded(|words| {
            format!("{}. {missing} of {all} files are not here yet; they {needed}.", words.trim_end_matches('.'))
        })
        .with_hint(format!("Free {free}, then do the same again: it carries on where it stopped."))
}

/// Judged by the files of the same type that are here, else by all of them, else by those under way: by resource where the
/// manifest announces how many are to come, else by file.
fn bytes_missing(job: &Job, under_way: (u64, u64)) -> Option<u64> {
    // Of all files, and of those of each type.
    let (mut all, mut types) = (Sample::default(), Vec::<(Option<&str>, Sample)>::new());
    for file in job.files.iter().filter(|file| file.state == FileState::Done) {
        let one =
            Sample { bytes: file.bytes.unwrap_or_default(), resources: file.resources.unwrap_or_default(), files: 1 };
        all.add(&one);
        let name = file.resource_type.as_deref();
        match types.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sample)) => sample.add(&one),
            None => types.push((name, one)),
        }
    }
    if all.files == 0 {
        all = Sample { bytes: under_way.0, resources: under_way.1, files: 0 };
    }
    job.missing().try_fold(0, |sum, (_, file)| {
        let name = file.resource_type.as_deref();
        let same = types.iter().find(|(known, _)| *known == name).map_or(&all, |(_, sample)| sample);
        Some(sum + same.bytes_of(file.count).or_else(|| all.bytes_of(file.count))?)
    })
}

/// Files that tell how much others may need.
#[derive(Default)]
struct Sample {
    bytes: u64,
    resources: u64,
    files: u64,
}

impl Sample {
    fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.resources += other.resources;
        self.files += other.files;
    }

    /// What a file with `count` resources would need.
    fn bytes_of(&self, count: Option<u64>) -> Option<u64> {
        match count {
            Some(count) if self.resources > 0 => {
                Some((u128::from(self.bytes) * u128::from(count) / u128::from(self.resources)) as u64)
            }
            _ => self.bytes.checked_div(self.files),
        }
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..10_000_000 => (1000, "KB"),
        10_000_000..10_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{} {name}", bytes.div_ceil(unit))
}
