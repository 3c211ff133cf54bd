//! What could not be had, as `error/` lists it: an OperationOutcome for each, of the last run of each task.

use serde_json::json;

use super::fetch::Failure;
use crate::Result;
use crate::event::Event;
use crate::fhir::raw::Raw;
use crate::folder::layout::{ending, other_compression};
use crate::folder::row_file::RowWriter;
use crate::folder::rows::Rows;
use crate::platform::{Observer, Platform, Storage};

/// The list, without its ending.
const STEM: &str = "error/OperationOutcome.hydration";
/// Failures that a report names.
const EXAMPLES: usize = 20;

/// The list at work.
pub(super) struct Failures<'p, P: Platform> {
    platform: &'p P,
    name: String,
    file: Option<RowWriter<'p, P::Storage>>,
    /// Tasks that were run: what an earlier list says of them is out of date.
    tasks: Vec<&'static str>,
    /// The first ones, in words.
    pub(super) examples: Vec<String>,
    /// How many.
    pub(super) count: u64,
}

impl<'p, P: Platform> Failures<'p, P> {
    pub(super) fn new(platform: &'p P, compress: bool) -> Self {
        let name = format!("{STEM}{}", ending(None, compress));
        Self { platform, name, file: None, tasks: Vec::new(), examples: Vec::new(), count: 0 }
    }

    /// A task is run.
    pub(super) fn of_task(&mut self, task: &'static str) {
        self.tasks.push(task);
    }

    /// Lists a failure to get `what` (a reference or a URL).
    pub(super) async fn add(&mut self, task: &'static str, what: &str, failure: &Failure) -> Result<()> {
        let text = if failure.message.contains(what) {
            failure.message.clone()
        } else {
            format!("{what}: {}", failure.message)
        };
        self.platform
            .observer()
            .event(Event::Warning { code: "hydration-failed".to_owned(), message: failure.message.clone() });
        let issue = json!({
            "severity": "error",
            "code": if failure.gave_up { "transient" } else { "exception" },
            "details": {"coding": [{"code": task}]},
            "diagnostics": text,
        });
        let outcome = json!({"resourceType": "OperationOutcome", "issue": [issue]});
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
        self.file().await?.row(outcome.to_string().as_bytes()).await
    }

    async fn file(&mut self) -> Result<&mut RowWriter<'p, P::Storage>> {
        if self.file.is_none() {
            self.file = Some(RowWriter::create(self.platform.storage(), &self.name).await?);
        }
        self.file.as_mut().ok_or_else(|| unreachable!("it was just made"))
    }

    /// Replaces the list of earlier runs; what it says of tasks that were not run is kept.
    pub(super) async fn commit(mut self) -> Result<()> {
        let storage = self.platform.storage();
        let other = other_compression(&self.name);
        for old in [self.name.clone(), other.clone()] {
            if storage.stat(&old).await?.is_none() {
                continue;
            }
            let mut rows = Rows::open(storage, &old);
            while let Some(row) = rows.next().await? {
                let mut is_ours = false;
                Raw::new(row).walk(&["issue", "details", "coding", "code"], &mut |code| {
                    is_ours |= self.tasks.iter().any(|task| code.is_text(task));
                });
                if !is_ours {
                    self.file().await?.row(row).await?;
                }
            }
        }
        match self.file {
            Some(file) => {
                file.commit().await?;
            }
            None => storage.remove(&self.name).await?,
        }
        Ok(storage.remove(&other).await?)
    }

    /// Leaves the list of earlier runs as it is.
    pub(super) async fn discard(self) {
        if let Some(file) = self.file {
            file.discard().await;
        }
    }
}
