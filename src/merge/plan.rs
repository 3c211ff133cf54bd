//! What there is to merge: the runs of a managed folder, in order, and their files.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Result;
use crate::folder::metadata::{Kind, Metadata};
use crate::folder::rows::data_files;
use crate::platform::{Platform, Storage};

/// The exports of a managed folder, and what is read of each.
pub(super) struct Plan {
    /// Oldest first.
    pub(super) runs: Vec<Run>,
    /// Data files, of all runs in order.
    pub(super) files: Vec<SourceFile>,
    /// What keeps the result from being all that there is.
    pub(super) problems: Vec<String>,
}

/// One export.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) metadata: Metadata,
    /// Files of deletions.
    pub(super) deletions: Vec<String>,
}

/// One data file.
pub(super) struct SourceFile {
    /// Index of its run.
    pub(super) run: usize,
    pub(super) path: String,
    pub(super) resource_type: String,
    /// Rows of the files before it, and of it; known once they were read.
    pub(super) before: u64,
    pub(super) rows: u64,
}

impl Plan {
    /// Looks at the folder that `source` is at work in.
    pub(super) async fn load<P: Platform>(source: &P) -> Result<Self> {
        let mut names: Vec<(u64, String)> = Vec::new();
        for entry in source.storage().list("").await?.into_iter().filter(|entry| entry.is_dir) {
            if let Some((number, _)) = entry.name.split_once('.')
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && let Ok(number) = number.parse()
            {
                names.push((number, entry.name));
            }
        }
        names.sort_unstable();
        let mut plan = Self { runs: Vec::new(), files: Vec::new(), problems: Vec::new() };
        for (index, (_, name)) in names.into_iter().enumerate() {
            plan.add(source, index, name).await?;
        }
        plan.leave_out_superseded();
        Ok(plan)
    }

    async fn add<P: Platform>(&mut self, source: &P, run: usize, name: String) -> Result<()> {
        let inside = source.within(&name);
        let metadata = Metadata::load(&inside, Kind::Output)
            .await
            .map_err(|error| error.reworded(|message| format!("{name}: {message}")))?;
        if metadata.get("complete").and_then(Value::as_bool) != Some(true) {
            self.problems.push(format!("{name} is not complete: run its export again, then merge once more."));
        }
        for file in data_files(inside.storage(), "").await? {
            let path = format!("{name}/{}", file.path);
            match file.resource_type {
                Some(resource_type) => {
                    self.files.push(SourceFile { run, path, resource_type, before: 0, rows: 0 });
                }
                None => self.problems.push(format!("{path} is left out, since it says no resource type.")),
            }
        }
        let deleted = data_files(inside.storage(), "deleted").await?;
        let deletions = deleted.into_iter().map(|file| format!("{name}/{}", file.path)).collect();
        self.runs.push(Run { name, metadata, deletions });
        Ok(())
    }

    /// Leaves out the files of each type that are older than its newest whole export: what that does not have any more is
    /// gone.
    fn leave_out_superseded(&mut self) {
        let runs = &self.runs;
        let newest_whole = |resource_type: &str| runs.iter().rposition(|run| run.is_whole(resource_type)).unwrap_or(0);
        self.files.retain(|file| file.run >= newest_whole(&file.resource_type));
    }

    /// The types that were asked for, each with the last export that did.
    pub(super) fn asked(&self) -> BTreeMap<&str, &Run> {
        let mut asked = BTreeMap::new();
        for run in &self.runs {
            for (name, _) in run.metadata.get("filters").and_then(Value::as_object).into_iter().flatten() {
                asked.insert(name.as_str(), run);
            }
        }
        asked
    }

    /// The types that there are files of, in order.
    pub(super) fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.files.iter().map(|file| file.resource_type.clone()).collect();
        types.sort_unstable();
        types.dedup();
        types
    }
}

impl Run {
    /// The filters of a type; `None` if the export is not about it.
    pub(super) fn filters(&self, resource_type: &str) -> Option<&Value> {
        self.metadata.get("filters")?.get(resource_type)
    }

    /// The time to which a type is done.
    pub(super) fn done(&self, resource_type: &str) -> Option<&str> {
        self.metadata.get("done")?.get(resource_type)?.as_str()
    }

    /// Whether it has all resources of a type, as of its time.
    fn is_whole(&self, resource_type: &str) -> bool {
        let is_since = self
            .metadata
            .get("sinceResources")
            .and_then(Value::as_array)
            .is_some_and(|types| types.iter().any(|name| name == resource_type));
        let unfiltered = self.filters(resource_type).and_then(Value::as_array).is_some_and(Vec::is_empty);
        unfiltered && !is_since && self.done(resource_type).is_some()
    }
}
