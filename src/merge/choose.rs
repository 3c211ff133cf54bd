//! The first pass: which row of all is the current version of its resource.

use super::plan::Plan;
use super::{MergeReport, TEMPORARY};
use crate::fhir::instant::FhirTime;
use crate::fhir::raw::{Raw, check};
use crate::fhir::reference::local;
use crate::folder::Rows;
use crate::folder::sorter::{Entry, Sorter, key};
use crate::platform::{Platform, Storage};
use crate::progress::Steps;
use crate::{Error, ErrorKind, Result};

/// Set in the number of a row that is not to be kept, even if it is the newest.
const DROPPED: u64 = 1 << 47;

/// Bits of `lastUpdated` (milliseconds) and of a row's number.
const BITS: u64 = 48;

/// Bad rows that are named.
const NAMED: usize = 20;

/// The rows that are to be kept, as bits.
#[derive(Default)]
pub(super) struct Chosen {
    bits: Vec<u64>,
    pub(super) rows: u64,
}

impl Chosen {
    /// Whether row number `row` (from 1, of all files) is kept.
    pub(super) fn has(&self, row: u64) -> bool {
        self.bits.get((row / 64) as usize).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    fn add(&mut self, row: u64) {
        let word = (row / 64) as usize;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (row % 64);
    }
}

/// What is the newest of a resource sorts last: by the place of its file in time (`run`), then `lastUpdated`, then place. A deletion comes before all rows of
/// its run, since it is about what was there before.
fn entry(key: [u64; 2], run: usize, updated: u64, row: u64) -> Entry {
    [key[0], key[1] | (run as u64) << 32 | updated >> (BITS - 32), updated << (64 - (BITS - 32)) | row]
}

/// Of one resource, only the newest entry counts.
fn newest(first: &mut Entry, later: &Entry) -> bool {
    let same = first[0] == later[0] && first[1] >> BITS == later[1] >> BITS;
    if same {
        *first = *later;
    }
    same
}

/// Reads everything once and chooses. Notes in the plan how many rows each file has.
pub(super) async fn choose<P: Platform>(
    platform: &P,
    source: &P::Storage,
    plan: &mut Plan,
    base: &str,
    report: &mut MergeReport,
) -> Result<Chosen> {
    if plan.runs.len() > usize::from(u16::MAX / 2) {
        return Err(Error::new(ErrorKind::Unsupported, "merge", "The folder has more exports than 32,767."));
    }
    let mut sorter = Sorter::new(platform.storage(), TEMPORARY, newest);
    let gone = read_deletions(source, plan, base, &mut sorter, report).await?;
    let steps = Steps::new(platform, "Comparing versions", plan.files.len() as u64);
    let mut row_number = 0;
    for file in &mut plan.files {
        file.before = row_number;
        let mut rows = Rows::open(source, &file.path);
        while let Some(row) = rows.next().await? {
            row_number += 1;
            steps.row();
            let kind = match check(row) {
                Ok(kind) => kind,
                Err(what) => {
                    report.bad_lines += 1;
                    if report.bad.len() < NAMED {
                        report.bad.push(format!("{}:{}: {what}", file.path, rows.line()));
                    }
                    continue;
                }
            };
            let resource = Raw::new(row);
            let key = match resource.get("id").and_then(Raw::text) {
                Some(id) => key(&kind, &id),
                // Without an id it is a resource of its own.
                None => key("", &String::from_utf8_lossy(row)),
            };
            let dropped = !gone.is_empty() && is_of_gone_patient(resource, file.time, &gone, base);
            let number = if dropped { row_number | DROPPED } else { row_number };
            sorter.push(entry(key, file.time, last_updated(resource), number)).await?;
        }
        file.rows = row_number - file.before;
        steps.file();
    }
    let mut chosen = Chosen { rows: row_number, ..Chosen::default() };
    let mut in_order = sorter.finish().await?;
    while let Some([_, _, last]) = in_order.next().await? {
        let row = last & ((1 << BITS) - 1);
        if row != 0 && row & DROPPED == 0 {
            chosen.add(row);
        }
    }
    Ok(chosen)
}

/// Milliseconds of `meta.lastUpdated`; 0 if it has none that can be read.
fn last_updated(resource: Raw<'_>) -> u64 {
    let text = resource.get("meta").and_then(|meta| meta.get("lastUpdated")).and_then(Raw::text);
    let millis = text.and_then(|text| FhirTime::parse(&text)).map_or(0, |time| time.millis(0));
    u64::try_from(millis).unwrap_or_default().min((1 << BITS) - 1)
}

/// Patients who left the cohort, and the last run that saw it.
type Gone = Vec<Entry>;

/// Whether a resource is of a patient who left the cohort after its run: only the Patient is listed then, since it is found by
/// comparing Patients. (A server that tells of deletions tells of each.)
fn is_of_gone_patient(resource: Raw<'_>, run: usize, gone: &Gone, base: &str) -> bool {
    ["subject", "patient"].iter().any(|name| {
        let reference = resource.get(name).and_then(|value| value.get("reference")).and_then(Raw::text);
        let target =
            reference.as_deref().and_then(|reference| local(reference, base)).filter(|(kind, _)| *kind == "Patient");
        target.is_some_and(|(kind, id)| {
            let [first, second] = key(kind, id);
            let at = gone.partition_point(|entry| entry[..2] < [first, second][..]);
            gone.get(at).is_some_and(|entry| entry[..2] == [first, second] && entry[2] > run as u64)
        })
    })
}

/// Reads the deletions of all runs: `DELETE Type/id`, of what earlier runs gave.
async fn read_deletions<S: Storage>(
    source: &S,
    plan: &Plan,
    base: &str,
    sorter: &mut Sorter<'_, S>,
    report: &mut MergeReport,
) -> Result<Gone> {
    let mut gone = Gone::new();
    for run in &plan.runs {
        for (time, path) in &run.deletions {
            let is_cohort = path.rsplit('/').next().is_some_and(|name| name.starts_with("Bundle.Patient."));
            let mut rows = Rows::open(source, path);
            while let Some(row) = rows.next().await? {
                let mut found = Vec::new();
                let mut odd = check(row).is_err();
                Raw::new(row).walk(&["entry", "request"], &mut |request| {
                    let is_delete = request.get("method").is_some_and(|method| method.is_text("DELETE"));
                    let url = request.get("url").and_then(Raw::text);
                    match url.as_deref().and_then(|url| local(url, base)).filter(|_| is_delete) {
                        Some((kind, id)) => found.push((is_cohort && kind == "Patient", key(kind, id))),
                        None => odd = true,
                    }
                });
                if odd || found.is_empty() {
                    report.bad_lines += 1;
                    if report.bad.len() < NAMED {
                        report.bad.push(format!("{path}:{}: no deletion of a resource by its id", rows.line()));
                    }
                }
                for (left, key) in found {
                    report.deletions += 1;
                    sorter.push(entry(key, *time, 0, 0)).await?;
                    if left {
                        gone.push([key[0], key[1], *time as u64]);
                    }
                }
            }
        }
    }
    // The last run of each counts.
    gone.sort_unstable();
    gone.dedup_by(|later, first| {
        let same = later[..2] == first[..2];
        first[2] = if same { later[2] } else { first[2] };
        same
    });
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sorts_last() {
        let key = key("Patient", "1");
        let rising = [
            entry(key, 0, 0, 9),
            entry(key, 0, 5, 1),
            entry(key, 0, (1 << 48) - 1, 2),
            entry(key, 1, 0, 0),
            entry(key, 1, 0, 1),
            entry(key, 1, 7, 1 | DROPPED),
            entry(key, 65_535, 0, 0),
        ];
        assert!(rising.windows(2).all(|pair| pair[0] < pair[1]));
        for pair in rising.windows(2) {
            let mut first = pair[0];
            assert!(newest(&mut first, &pair[1]) && first == pair[1]);
        }
        assert!(!newest(&mut entry(key, 0, 0, 1), &entry(super::key("Patient", "2"), 0, 0, 1)));
    }
}
