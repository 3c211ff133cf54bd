//! A run of tasks over one folder: what they share.

use std::collections::HashMap;
use std::rc::Rc;

use super::failures::Failures;
use super::fetch::Failure;
use super::output::Record;
use super::pool::{self, Pool};
use super::report::TaskReport;
use super::tasks::{Kind, Task};
use super::{follow, inline, media, search};
use crate::Result;
use crate::config::HydrateConfig;
use crate::event::Event;
use crate::fhir::capability::Capability;
use crate::folder::lost::note_sizes;
use crate::folder::rows::{DataFile, data_files};
use crate::http::Client;
use crate::platform::{Clock, Observer, Platform};

/// Failures in a row, for each connection, after which nothing more can be had: the server is gone, or the token is dead.
const LAST_STRAW: u32 = 4;

/// Shortest time between two `Progress` events.
const PROGRESS_MILLIS: i64 = 100;

/// The run.
pub(crate) struct Run<'a, 'p, P: Platform> {
    pub(super) platform: &'p P,
    pub(super) client: &'a Client<'p, P>,
    pub(super) connections: usize,
    pub(super) compress: bool,
    pub(super) mimetypes: Vec<String>,
    pub(super) attachments_dir: Option<String>,
    pub(super) record: Rc<Record<'p, P>>,
    pub(super) failures: Failures<'p, P>,
    /// Whether to ask for several resources in one request, by type.
    batches: Vec<(&'static str, bool)>,
    capability: &'a Capability,
    /// What is in the folder, by type; of the group at work only.
    pools: Vec<(&'static str, Pool)>,
    /// References that failed in this run, by type, and whether they may be had later (1): no other task asks for them again.
    failed: Vec<(&'static str, HashMap<u64, u64>)>,
    group: &'static str,
    streak: u32,
    told: i64,
    foreign: u64,
    reports: Vec<TaskReport>,
    /// Files of others that notes were put into, and their sizes now.
    pub(super) grown: Vec<(String, u64)>,
}

/// What came of a run.
pub(crate) struct Ended {
    pub(crate) tasks: Vec<TaskReport>,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<String>,
    pub(crate) foreign: u64,
}

impl<'a, 'p, P: Platform> Run<'a, 'p, P> {
    /// A run in the platform's folder. What a crash left there is put in order first.
    pub(crate) async fn new(
        client: &'a Client<'p, P>,
        capability: &'a Capability,
        config: &HydrateConfig,
    ) -> Result<Self> {
        let platform = client.platform();
        Ok(Self {
            platform,
            client,
            connections: config.server.max_connections.max(1) as usize,
            compress: config.compress,
            mimetypes: media::mimetypes(&config.mimetypes),
            attachments_dir: config.attachments_dir.clone(),
            record: Rc::new(Record::recover(platform).await?),
            failures: Failures::new(platform, config.compress),
            batches: Vec::new(),
            capability,
            pools: Vec::new(),
            failed: Vec::new(),
            group: "",
            streak: 0,
            told: 0,
            foreign: 0,
            reports: Vec::new(),
            grown: Vec::new(),
        })
    }

    /// Runs a task on the files of `source`.
    pub(crate) async fn task(&mut self, task: &'static Task, source: &'p P::Storage) -> Result<()> {
        if self.group != task.group {
            self.group = task.group;
            self.pools.clear();
        }
        self.failures.of_task(task.name);
        let source = if task.kind == Kind::Inline { self.platform.storage() } else { source };
        let mut files = data_files(source, "").await?;
        files.retain(|file| file.resource_type.as_deref() == Some(task.input));
        let report = if files.is_empty() {
            Ok(TaskReport { skipped: true, ..TaskReport::new(task) })
        } else {
            self.run(task, source, files).await
        };
        // At once: whoever compares sizes would have to read the files.
        note_sizes(self.platform, std::mem::take(&mut self.grown)).await?;
        let report = report?;
        self.foreign += report.foreign;
        self.platform.observer().event(Event::Hydrated { report: report.clone() });
        self.reports.push(report);
        Ok(())
    }

    async fn run(&mut self, task: &'static Task, source: &'p P::Storage, files: Vec<DataFile>) -> Result<TaskReport> {
        match task.kind {
            Kind::References => follow::run(self, task, source, files).await,
            Kind::Search => search::run(self, task, source, files).await,
            Kind::Inline => inline::run(self, task, files).await,
        }
    }

    /// Ends the run after all its tasks.
    pub(crate) async fn end(self) -> Result<Ended> {
        let (failed, failures) = (self.failures.count, self.failures.examples.clone());
        self.failures.commit().await?;
        Ok(Ended { tasks: self.reports, failed, failures, foreign: self.foreign })
    }

    /// Ends the run early.
    pub(crate) async fn give_up(self) {
        self.failures.discard().await;
    }

    /// Says how far a task is, if that was not just said.
    pub(super) fn progress(&mut self, step: &str, done: u64, resources: u64, ended: bool) {
        let now = self.platform.clock().now_millis();
        if ended || now >= self.told + PROGRESS_MILLIS {
            self.told = now;
            let total = ended.then_some(done);
            self.platform.observer().event(Event::Progress { task: step.to_owned(), done, total, resources });
        }
    }

    /// The ids of a type in the folder. [`Run::put_back`] keeps them for the next task.
    pub(super) async fn take_pool(&mut self, resource_type: &'static str) -> Result<Pool> {
        match self.pools.iter().position(|(name, _)| *name == resource_type) {
            Some(at) => Ok(self.pools.swap_remove(at).1),
            None => pool::known(self.platform.storage(), resource_type).await,
        }
    }

    pub(super) fn put_back(&mut self, resource_type: &'static str, pool: Pool) {
        self.pools.push((resource_type, pool));
    }

    /// Adds an id that came by another way than through the pool.
    pub(super) fn learn(&mut self, resource_type: &'static str, key: u64) {
        if let Some((_, pool)) = self.pools.iter_mut().find(|(name, _)| *name == resource_type) {
            pool.insert(key);
        }
    }

    /// Whether an earlier task of this run failed to get a resource; and whether it may be had later.
    pub(super) fn failed_before(&self, resource_type: &str, key: u64) -> Option<bool> {
        let (_, failed) = self.failed.iter().find(|(name, _)| *name == resource_type)?;
        failed.get(&key).map(|later| *later == 1)
    }

    /// Lists a failure. An error where so many in a row mean that nothing more can be had.
    pub(super) async fn fail(&mut self, task: &'static Task, what: &str, failure: Failure) -> Result<()> {
        self.failures.add(task.name, what, &failure).await?;
        self.streak += 1;
        match failure.serious {
            Some(error) if self.streak > LAST_STRAW * self.connections as u32 => Err(error),
            None => {
                self.streak = 0;
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// As [`Run::fail`], for a resource that is not to be asked for again.
    pub(super) async fn fail_resource(
        &mut self,
        task: &'static Task,
        path: &str,
        key: u64,
        failure: Failure,
    ) -> Result<()> {
        let at = self.failed.iter().position(|(name, _)| *name == task.output).unwrap_or_else(|| {
            self.failed.push((task.output, HashMap::new()));
            self.failed.len() - 1
        });
        self.failed[at].1.insert(key, u64::from(failure.gave_up));
        self.fail(task, path, failure).await
    }

    /// Something came.
    pub(super) fn succeeded(&mut self) {
        self.streak = 0;
    }

    /// Whether to ask for several resources of a type in one request.
    pub(super) fn in_batches(&mut self, resource_type: &'static str) -> bool {
        if let Some((_, known)) = self.batches.iter().find(|(name, _)| *name == resource_type) {
            return *known;
        }
        let finds = self.capability.finds_by_id(resource_type);
        self.batches.push((resource_type, finds));
        finds
    }

    /// The server does not find resources of the type by their ids after all.
    pub(super) fn no_batches(&mut self, resource_type: &'static str) {
        for (_, known) in self.batches.iter_mut().filter(|(name, _)| *name == resource_type) {
            *known = false;
        }
    }
}
