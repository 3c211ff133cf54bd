//! Checks a folder against what it says of itself, and changes nothing: an output folder, or a managed one with all in it.
//!
//! Every file of the ledger is there and whole, each line is a resource of the right type, counts are right, links lead to what
//! is current, and nothing is left over from an interrupted run. Resources that are there twice in one export and references
//! that lead nowhere are counted, but are no fault of the folder: servers give out both.

mod advice;
mod ids;
mod log;
mod output;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::advice::Advice;
use self::ids::Ids;
use crate::event::{Event, Phase};
use crate::folder::history::{self, Export, Finding};
use crate::folder::managed::subfolders;
use crate::folder::metadata::{Kind, Metadata};
use crate::folder::{links, present};
use crate::job::TypeCount;
use crate::platform::{Observer, Platform, Storage, StorageErrorKind};
use crate::progress::Steps;
use crate::{Error, ErrorKind, Result};

/// Problems that are named.
const NAMED: usize = 100;

/// Where entries are sorted that memory does not hold. Its folder is ours.
const TEMPORARY: &str = ".verify/ids";

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The file.
    pub path: String,
    /// What is wrong with it; the end of a sentence that begins with the path.
    pub problem: String,
}

/// References to resources of a type that are not in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dangling {
    /// The type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Resources that are not there.
    pub targets: u64,
    /// References to them.
    pub references: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// 0, or 3 where there is a problem.
    pub exit_status: u8,
    /// `output` or `managed`.
    pub kind: String,
    /// The exports in a managed folder, oldest first.
    pub runs: Vec<String>,
    /// Data files, those of errors and deletions included.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Rows that are resources, in all files.
    pub resources: u64,
    /// By type, of the data.
    pub types: BTreeMap<String, TypeCount>,
    /// By type, how often a resource is there once more in the same export.
    pub duplicates: BTreeMap<String, u64>,
    /// By type that is referred to.
    pub dangling: Vec<Dangling>,
    /// How many problems there are.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// What is not as it was, or was not finished, and does not matter, since later exports have what it lacks. In full sentences.
    pub notes: Vec<String>,
}

impl VerifyReport {
    fn problem(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < NAMED {
            self.problems.push(Problem { path: path.into(), problem: problem.into() });
        }
    }
}

/// Checks the platform's folder. Temporary files, if memory does not do, go into `.verify` of [`Platform::source`]: the folder
/// itself unless the host gives another one. `label`: what the caller calls the folder, for messages.
///
/// # Errors
/// `Usage` without such a folder, `NotFound` where there is nothing to check in it, `Locked` while a job is at work, `Unsupported` where memory does not do and
/// nothing can be written. What is wrong with the folder is no error here but in the report.
pub async fn verify<P: Platform>(platform: &P, label: Option<&str>) -> Result<VerifyReport> {
    let storage = platform.storage();
    let nothing = |what: &str| Err(Error::new(ErrorKind::NotFound, "verify", what));
    present::require(storage, label).await?;
    let _lock = lock(storage).await?;
    platform.observer().event(Event::Phase { phase: Phase::Check });
    let mut report = VerifyReport { kind: "output".to_owned(), ..VerifyReport::default() };
    let mut base = String::new();
    let mut folders = Vec::new();
    match Metadata::load(storage, Kind::Managed).await {
        Ok(metadata) if !metadata.is_empty() => {
            "managed".clone_into(&mut report.kind);
            metadata.text("fhir-url").unwrap_or_default().clone_into(&mut base);
            folders = subfolders(storage).await?;
            folders.reverse();
            report.runs = folders.iter().map(|folder| folder.name.clone()).collect();
        }
        // An output folder; whether its state can be read is seen with the rest.
        Ok(_) => {}
        Err(error) if matches!(error.kind, ErrorKind::Mismatch | ErrorKind::Corrupt) => {}
        Err(error) => return Err(error),
    }
    let is_managed = report.kind == "managed";
    let mut outputs = Vec::new();
    let exports = if is_managed { history::load(storage).await? } else { Vec::new() };
    let found = history::findings(&exports);
    if is_managed {
        for folder in &folders {
            let inside = platform.within(&folder.name);
            outputs.push(output::Output::look(&inside, &format!("{}/", folder.name), &mut report).await?);
        }
        // Newest first.
        for (index, output) in outputs.iter_mut().rev().enumerate().take(exports.len()) {
            output.is_made_up_for = history::is_made_up_for(&exports, index);
        }
        // What is there with other rows than it should have is told when it was read.
        let is_gone = |finding: &&Finding| {
            let output = outputs.iter().rev().nth(finding.export);
            finding.file.as_ref().is_none_or(|file| output.is_none_or(|output| !output.has(file)))
        };
        for finding in found.iter().filter(is_gone) {
            let name = &exports[finding.export].folder.name;
            let path = finding.file.as_ref().map_or_else(|| name.clone(), |file| format!("{name}/{file}"));
            if finding.matters {
                report.problem(path, finding.text.as_str());
            } else if report.notes.len() < NAMED {
                report.notes.push(format!("{path} {}.", finding.text));
            }
        }
        for (path, problem) in links::differences(platform).await? {
            report.problem(path, problem);
        }
    } else {
        outputs.push(output::Output::look(platform, "", &mut report).await?);
        if outputs[0].is_empty() {
            return nothing("There is no export in the folder.");
        }
    }
    if base.is_empty() {
        base = outputs.iter().rev().find_map(output::Output::base).unwrap_or_default();
    }

    let temporary = platform.source();
    clean(temporary).await;
    let mut ids = Ids::new(temporary, TEMPORARY, base);
    let files = outputs.iter().map(|output| output.files.len() as u64).sum();
    let steps = Steps::new(platform, "Checking", files);
    let result = check(platform, &outputs, &exports, &mut ids, &steps, &mut report).await;
    let counted = match result {
        Ok(()) => ids.count(&mut report).await,
        Err(error) => Err(error),
    };
    clean(temporary).await;
    counted?;
    report.exit_status = if report.problem_count == 0 { 0 } else { 3 };
    Ok(report)
}

async fn check<P: Platform>(
    platform: &P,
    outputs: &[output::Output],
    exports: &[Export],
    ids: &mut Ids<'_, P::Storage>,
    steps: &Steps<'_, P>,
    report: &mut VerifyReport,
) -> Result<()> {
    for (run, output) in outputs.iter().enumerate() {
        let inside = platform.within(output.prefix.trim_end_matches('/'));
        let _lock = if output.prefix.is_empty() { None } else { lock(inside.storage()).await? };
        ids.begin_run(run)?;
        let advice = Advice { exports, index: exports.len().checked_sub(run + 1) };
        output.check(&inside, &advice, ids, steps, report).await?;
    }
    Ok(())
}

/// The lock, so that no job changes what is being looked at. None where nobody can write.
async fn lock<S: Storage>(storage: &S) -> Result<Option<S::Lock>> {
    match storage.lock().await {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind == StorageErrorKind::Denied => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes temporary files, where there are any. Best effort: what is wrong with the folder matters more.
async fn clean<S: Storage>(storage: &S) {
    if matches!(storage.stat(TEMPORARY).await, Ok(Some(_))) {
        let _ = storage.remove(TEMPORARY).await;
        let _ = storage.remove(TEMPORARY.split('/').next().unwrap_or_default()).await;
    }
}
