//! A task that reads what references point at.

use std::collections::VecDeque;
use std::rc::Rc;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::fetch::{self, Failure, Got};
use super::output::Output;
use super::pool::{Pool, key};
use super::reference::{Target, target};
use super::report::{Fate, Row, TaskReport};
use super::run::Run;
use super::tasks::Task;
use crate::Result;
use crate::fhir::raw::{Raw, compact};
use crate::folder::rows::{DataFile, Rows};
use crate::http::Client;
use crate::platform::Platform;

/// References that wait for their turn before no more of the input is read.
const QUEUE: usize = 4 * fetch::BATCH;
/// Rows of the input that are read before the requests under way get a look.
const SLICE: u64 = 64;

/// A resource that is to be read.
struct Want {
    id: String,
    path: String,
    row: Rc<Row>,
    /// How many references lead to it from the row.
    depth: u64,
}

/// What a request brought.
enum Answer {
    One(Want, Got<Vec<u8>>),
    /// What was found, and what was not; `trusted` if the server does what was asked for.
    Many {
        found: Vec<(Want, Vec<u8>)>,
        missing: Vec<Want>,
        trusted: bool,
    },
}

/// The task at work.
struct Following<'a, 'r, 'p, P: Platform> {
    run: &'a mut Run<'r, 'p, P>,
    task: &'static Task,
    paths: Vec<Vec<&'static str>>,
    step: String,
    report: TaskReport,
    pool: Pool,
    queue: VecDeque<Want>,
    singles: VecDeque<Want>,
    /// References that lead nowhere.
    dead: Vec<String>,
    /// Failures of this task: in the pool, so that it asks once, and out of it afterwards.
    failed: Vec<u64>,
}

/// Runs the task.
pub(super) async fn run<'p, P: Platform>(
    run: &mut Run<'_, 'p, P>,
    task: &'static Task,
    source: &'p P::Storage,
    files: Vec<DataFile>,
) -> Result<TaskReport> {
    let pool = run.take_pool(task.output).await?;
    let path = |path: &&'static str| path.split('.').chain(["reference"]).collect();
    let mut following = Following {
        task,
        paths: task.paths.iter().map(path).collect(),
        step: format!("Downloading referenced {}s from {}s", task.output, task.input),
        report: TaskReport::new(task),
        pool,
        queue: VecDeque::new(),
        singles: VecDeque::new(),
        dead: Vec::new(),
        failed: Vec::new(),
        run,
    };
    following.follow(source, files).await?;
    let Following { run, report, mut pool, failed, .. } = following;
    for key in failed {
        pool.remove(&key);
    }
    run.put_back(task.output, pool);
    Ok(report)
}

impl<'p, P: Platform> Following<'_, '_, 'p, P> {
    async fn follow(&mut self, source: &'p P::Storage, files: Vec<DataFile>) -> Result<()> {
        // Shared with the run, which is at work with other things meanwhile.
        let record = Rc::clone(&self.run.record);
        let mut output = Output::new(&record, &self.task.stem(), self.run.compress);
        let result = self.read(source, files, &mut output).await;
        // What came is kept, whatever ended the task.
        let committed = output.commit().await;
        result?;
        committed
    }

    async fn read(
        &mut self,
        source: &'p P::Storage,
        files: Vec<DataFile>,
        output: &mut Output<'_, 'p, P>,
    ) -> Result<()> {
        let client = self.run.client;
        let mut running = FuturesUnordered::new();
        let mut files = files.into_iter();
        let mut rows: Option<Rows<'p, P::Storage>> = None;
        let mut lines = 0;
        let mut ended = false;
        loop {
            while !ended && self.queue.len() < QUEUE && self.singles.len() < QUEUE {
                let row = match &mut rows {
                    Some(rows) => rows.next().await?,
                    None => None,
                };
                let Some(row) = row else {
                    let next = files.next();
                    ended = next.is_none();
                    rows = next.map(|file| Rows::open(source, &file.path));
                    continue;
                };
                let counted = Rc::new(Row::default());
                self.look(row, &counted, 0);
                self.report.close(counted);
                lines += 1;
                self.bury().await?;
                if lines % SLICE == 0 {
                    self.tell(false);
                    while let Some(Some(answer)) = running.next().now_or_never() {
                        self.take(answer?, output).await?;
                    }
                    // Something may be asked for meanwhile.
                    let worth = if self.run.in_batches(self.task.output) { fetch::BATCH } else { 1 };
                    if running.len() < self.run.connections && self.queue.len() >= worth {
                        break;
                    }
                }
            }
            while running.len() < self.run.connections {
                let Some(wants) = self.next_wants(ended) else { break };
                running.push(ask(client, self.task.output, wants));
            }
            match running.next().await {
                Some(answer) => self.take(answer?, output).await?,
                None if ended => break,
                None => {}
            }
        }
        self.tell(true);
        Ok(())
    }

    fn tell(&mut self, ended: bool) {
        let (rows, new) = (self.report.total.resources, self.report.newly_done.items);
        self.run.progress(&self.step, rows, new, ended);
    }

    /// What to ask for next, in one request; `ended` if no more comes, so that there is nothing to wait for.
    fn next_wants(&mut self, ended: bool) -> Option<Vec<Want>> {
        if let Some(single) = self.singles.pop_front() {
            return Some(vec![single]);
        }
        let alone = !self.run.in_batches(self.task.output) || !is_findable(self.queue.front()?);
        if alone {
            return self.queue.pop_front().map(|want| vec![want]);
        }
        if !ended && self.queue.len() < fetch::BATCH {
            return None;
        }
        let ids = self.queue.iter().take_while(|want| is_findable(want)).map(|want| want.id.as_str());
        let count = fetch::batch_of(ids).max(1);
        Some(self.queue.drain(..count).collect())
    }

    /// Looks at the references of a resource, `depth` references away from the row.
    fn look(&mut self, resource: &[u8], row: &Rc<Row>, depth: u64) {
        let paths = std::mem::take(&mut self.paths);
        for path in &paths {
            Raw::new(resource).walk(path, &mut |value| {
                if let Some(reference) = value.text().filter(|text| !text.is_empty()) {
                    self.see(&reference, row, depth);
                }
            });
        }
        self.paths = paths;
    }

    fn see(&mut self, reference: &str, row: &Rc<Row>, depth: u64) {
        // The reference looks at what it fetched once more for each step that led there, and counts that.
        let times = depth.max(1);
        let client = self.run.client;
        // `--rewrite-url` holds for references, too.
        let absolute = reference.get(..4).filter(|start| start.eq_ignore_ascii_case("http"));
        let resolved = absolute.and_then(|_| client.resolve(reference, client.base()).ok());
        let reference = resolved.as_deref().unwrap_or(reference);
        let fate = match target(reference, self.task.output, client.base()) {
            Target::Other => Fate::Ignored,
            Target::Foreign => {
                self.report.foreign += 1;
                Fate::Ignored
            }
            Target::Unusable => {
                self.dead.push(reference.to_owned());
                Fate::Fatal
            }
            Target::Here { id, path } => {
                let key = key(id);
                if !self.pool.insert(key) {
                    return self.report.add(row, Fate::Already, times);
                }
                self.report.add(row, Fate::Already, times - 1);
                if let Some(gave_up) = self.run.failed_before(self.task.output, key) {
                    self.failed.push(key);
                    return self.report.add(row, if gave_up { Fate::GaveUp } else { Fate::Fatal }, 1);
                }
                let (id, path, row) = (id.to_owned(), path.to_owned(), row.clone());
                let want = Want { id, path, row, depth: depth + 1 };
                // What was just fetched is followed first, so that not much waits.
                return if depth > 0 { self.queue.push_front(want) } else { self.queue.push_back(want) };
            }
        };
        self.report.add(row, fate, times);
    }

    /// Lists the references that lead nowhere.
    async fn bury(&mut self) -> Result<()> {
        for reference in std::mem::take(&mut self.dead) {
            let message = "This is not a reference that can be followed: its id has characters that ids do not have.";
            self.run.fail(self.task, &reference, Failure::fatal(message.to_owned())).await?;
        }
        Ok(())
    }

    async fn take(&mut self, answer: Answer, output: &mut Output<'_, 'p, P>) -> Result<()> {
        match answer {
            Answer::One(want, Ok(resource)) => self.keep(want, &resource, output).await?,
            Answer::One(want, Err(failure)) => {
                let fate = if failure.gave_up { Fate::GaveUp } else { Fate::Fatal };
                self.report.add(&want.row, fate, 1);
                self.failed.push(key(&want.id));
                self.run.fail_resource(self.task, &want.path, key(&want.id), failure).await?;
                self.report.close(want.row);
            }
            Answer::Many { found, missing, trusted } => {
                if !trusted {
                    self.run.no_batches(self.task.output);
                }
                for (want, resource) in found {
                    self.keep(want, &resource, output).await?;
                }
                self.singles.extend(missing);
            }
        }
        self.tell(false);
        output.checkpoint(None, false).await
    }

    async fn keep(&mut self, want: Want, resource: &[u8], output: &mut Output<'_, 'p, P>) -> Result<()> {
        self.run.succeeded();
        let line = compact(resource);
        output.extend().await?.row(&line).await?;
        if let Some(id) = Raw::new(&line).get("id").and_then(Raw::text) {
            self.pool.insert(key(&id));
        }
        self.report.add(&want.row, Fate::New, 1);
        if self.task.is_recursive() {
            self.look(&line, &want.row, want.depth);
            self.bury().await?;
        }
        self.report.close(want.row);
        Ok(())
    }
}

/// Whether a resource can be asked for together with others.
fn is_findable(want: &Want) -> bool {
    fetch::is_plain(&want.id) && !want.path.contains("/_history/")
}

/// Makes one request.
async fn ask<P: Platform>(client: &Client<'_, P>, resource_type: &str, mut wants: Vec<Want>) -> Result<Answer> {
    if wants.len() == 1
        && let Some(want) = wants.pop()
    {
        let got = fetch::read(client, resource_type, &want.path).await?;
        return Ok(Answer::One(want, got));
    }
    let ids: Vec<&str> = wants.iter().map(|want| want.id.as_str()).collect();
    let Some(resources) = fetch::find(client, resource_type, &ids).await? else {
        return Ok(Answer::Many { found: Vec::new(), missing: wants, trusted: false });
    };
    let (mut found, mut missing) = (Vec::with_capacity(resources.len()), Vec::new());
    let mut resources: Vec<(String, Option<Vec<u8>>)> =
        resources.into_iter().map(|(id, resource)| (id, Some(resource))).collect();
    for want in wants {
        let resource = resources.iter_mut().find(|(id, _)| *id == want.id).and_then(|(_, resource)| resource.take());
        match resource {
            Some(resource) => found.push((want, resource)),
            None => missing.push(want),
        }
    }
    Ok(Answer::Many { found, missing, trusted: true })
}
