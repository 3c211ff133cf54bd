//! What there is to merge: the exports of a managed folder, in order, and their files.

use std::collections::BTreeSet;

use crate::Result;
use crate::folder::data_files;
use crate::folder::history::{self, Export};
use crate::folder::links::active_of;
use crate::platform::Storage;

/// The exports of a managed folder, and what is read of each.
pub(super) struct Plan {
    /// Oldest first.
    pub(super) runs: Vec<Run>,
    /// Data files, of all runs in order.
    pub(super) files: Vec<SourceFile>,
    /// What keeps the result from being all that there is.
    pub(super) problems: Vec<String>,
    /// What does not, though an export was not finished, or lacks files.
    pub(super) notes: Vec<String>,
}

/// One export.
pub(super) struct Run {
    pub(super) export: Export,
    /// Files of deletions, each with its place in time.
    pub(super) deletions: Vec<(usize, String)>,
}

/// One data file.
pub(super) struct SourceFile {
    /// Its place in time: twice the index of its run, and one more for what changed while that ran.
    pub(super) time: usize,
    pub(super) path: String,
    pub(super) resource_type: String,
    /// Rows of the files before it, and of it; known once they were read.
    pub(super) before: u64,
    pub(super) rows: u64,
}

impl Plan {
    /// Looks at the folder that `source` is at work in. Of each type, the exports count that links would lead to.
    pub(super) async fn load<S: Storage>(source: &S) -> Result<Self> {
        let exports = history::load(source).await?;
        let newest = exports.len().saturating_sub(1);
        let mut active: Vec<(String, BTreeSet<usize>)> = Vec::new();
        let (mut files, mut deletions) = (Vec::new(), Vec::new());
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        for finding in history::findings(&exports) {
            let name = &exports[finding.export].folder.name;
            let path = finding.file.map_or_else(|| name.clone(), |file| format!("{name}/{file}"));
            if finding.matters {
                problems.push(format!("{path} {}, then merge once more.", finding.text));
            } else {
                notes.push(format!("{path} {}.", finding.text));
            }
        }
        for (index, export) in exports.iter().enumerate().rev() {
            let name = &export.folder.name;
            let inside = source.within(name);
            let time_of = |path: &str| 2 * (newest - index) + usize::from(export.is_later(path));
            for file in data_files(&inside, "").await? {
                let (time, path) = (time_of(&file.path), format!("{name}/{}", file.path));
                let Some(resource_type) = file.resource_type else {
                    problems.push(format!("{path} is left out, since it says no resource type."));
                    continue;
                };
                let known = active.iter().position(|(known, _)| *known == resource_type).unwrap_or_else(|| {
                    active.push((resource_type.clone(), active_of(&exports, &resource_type)));
                    active.len() - 1
                });
                let active = &active[known].1;
                // Where none counts yet, what is there is better than nothing; the export is not complete then, which is told.
                if active.is_empty() || active.contains(&index) {
                    files.push(SourceFile { time, path, resource_type, before: 0, rows: 0 });
                }
            }
            let deleted = data_files(&inside, "deleted").await?;
            let in_time = deleted.into_iter().map(|file| (time_of(&file.path), format!("{name}/{}", file.path)));
            deletions.push(in_time.collect());
        }
        let runs = exports.into_iter().rev().zip(deletions).map(|(export, deletions)| Run { export, deletions });
        Ok(Self { runs: runs.collect(), files, problems, notes })
    }

    /// The types that were asked for, each with the last export that did.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&str, &Export)> {
        let exports = || self.runs.iter().map(|run| &run.export);
        let types = exports().enumerate().flat_map(|(index, export)| export.types().map(move |name| (index, name)));
        let is_last =
            move |index: usize, name: &str| exports().skip(index + 1).all(|later| later.filters(name).is_none());
        types.filter(move |(index, name)| is_last(*index, name)).map(|(index, name)| (name, &self.runs[index].export))
    }

    /// The types that there are files of, in order.
    pub(super) fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.files.iter().map(|file| file.resource_type.clone()).collect();
        types.sort_unstable();
        types.dedup();
        types
    }
}
