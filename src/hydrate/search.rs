//! The task that finds the roles of practitioners. Where nothing refers to them (as with Epic), a search does.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::fetch::{self, Failure, Got, OPERATION};
use super::output::Output;
use super::pool::{Pool, key};
use super::report::{Fate, Row, TaskReport};
use super::run::Run;
use super::tasks::Task;
use crate::Result;
use crate::bulk::kickoff::encode;
use crate::fhir::raw::{self, Raw};
use crate::folder::rows::{DataFile, Rows, data_files, type_of};
use crate::http::{Call, Client};
use crate::platform::{Platform, Storage};

/// Pages of one search: a server that never ends is not followed for ever.
const MAX_PAGES: usize = 10_000;

/// What earlier searches found: the ids of the roles, and how many each practitioner has.
async fn searched<S: Storage>(storage: &S, task: &Task) -> Result<(Pool, HashMap<u64, u64>)> {
    let (mut pool, mut roles) = (Pool::new(), HashMap::new());
    let prefix = format!("{}.", task.stem());
    for file in data_files(storage, "").await?.iter().filter(|file| file.path.starts_with(&prefix)) {
        let mut rows = Rows::open(storage, &file.path);
        while let Some(row) = rows.next().await? {
            let role = Raw::new(row);
            if let Some(id) = role.get("id").and_then(Raw::text) {
                pool.insert(key(&id));
            }
            let practitioner = role.get("practitioner").and_then(|one| one.get("reference")).and_then(Raw::text);
            if let Some(id) = practitioner.as_deref().and_then(|reference| reference.strip_prefix("Practitioner/")) {
                *roles.entry(key(id)).or_default() += 1;
            }
        }
    }
    Ok((pool, roles))
}

/// Runs the task.
pub(super) async fn run<'p, P: Platform>(
    run: &mut Run<'_, 'p, P>,
    task: &'static Task,
    source: &'p P::Storage,
    files: Vec<DataFile>,
) -> Result<TaskReport> {
    let (pool, roles) = searched(run.platform.storage(), task).await?;
    let record = Rc::clone(&run.record);
    let mut output = Output::new(&record, &task.stem(), run.compress);
    let mut searching = Searching { run, task, report: TaskReport::new(task), pool };
    let result = searching.search(source, files, &roles, &mut output).await;
    let report = searching.report;
    // What came is kept, whatever ended the task.
    let committed = output.commit().await;
    result?;
    committed.map(|()| report)
}

/// The task at work.
struct Searching<'a, 'r, 'p, P: Platform> {
    run: &'a mut Run<'r, 'p, P>,
    task: &'static Task,
    report: TaskReport,
    /// What was found by searches. Not what is known otherwise: a role that is known by reference alone does not tell
    /// that its practitioner was searched for.
    pool: Pool,
}

impl<'p, P: Platform> Searching<'_, '_, 'p, P> {
    async fn search(
        &mut self,
        source: &'p P::Storage,
        files: Vec<DataFile>,
        roles: &HashMap<u64, u64>,
        output: &mut Output<'_, 'p, P>,
    ) -> Result<()> {
        let client = self.run.client;
        let mut running = FuturesUnordered::new();
        for file in files {
            let mut rows = Rows::open(source, &file.path);
            while let Some(row) = rows.next().await? {
                let Some(id) = Raw::new(row).get("id").and_then(Raw::text) else { continue };
                let row = Rc::new(Row::default());
                if let Some(known) = roles.get(&key(&id)) {
                    self.report.add(&row, Fate::Already, *known);
                    self.report.close(row);
                    continue;
                }
                running.push(roles_of(client, self.task.output, id.into_owned(), row));
                if running.len() >= self.run.connections
                    && let Some(found) = running.next().await
                {
                    self.take(found?, output).await?;
                }
            }
        }
        while let Some(found) = running.next().await {
            self.take(found?, output).await?;
        }
        self.tell(true);
        Ok(())
    }

    fn tell(&mut self, ended: bool) {
        let (rows, new) = (self.report.total.resources, self.report.newly_done.items);
        self.run.progress("Downloading referenced PractitionerRoles from Practitioners", rows, new, ended);
    }

    async fn take(&mut self, found: Found, output: &mut Output<'_, 'p, P>) -> Result<()> {
        for role in found.roles {
            match role {
                Ok(role) => {
                    self.run.succeeded();
                    let id = Raw::new(&role).get("id").and_then(Raw::text).unwrap_or_default();
                    if !self.pool.insert(key(&id)) {
                        self.report.add(&found.row, Fate::Already, 1);
                        continue;
                    }
                    self.run.learn(self.task.output, key(&id));
                    output.extend().await?.row(&role).await?;
                    self.report.add(&found.row, Fate::New, 1);
                }
                Err(failure) => {
                    self.report.add(&found.row, Fate::Fatal, 1);
                    self.run.fail(self.task, &found.what, failure).await?;
                }
            }
        }
        self.report.close(found.row);
        self.tell(false);
        output.checkpoint(None, false).await
    }
}

/// The roles of one practitioner.
struct Found {
    what: String,
    row: Rc<Row>,
    roles: Vec<Got<Vec<u8>>>,
}

async fn roles_of<P: Platform>(client: &Client<'_, P>, resource_type: &str, id: String, row: Rc<Row>) -> Result<Found> {
    let what = format!("{resource_type}?practitioner={}", encode(&id));
    let mut roles = Vec::new();
    let mut next = Some(client.url(&what));
    let mut seen = HashSet::new();
    while let Some(url) = next.take() {
        if !seen.insert(key(&url)) || seen.len() > MAX_PAGES {
            let message = "The pages of the answer go round in circles.".to_owned();
            roles.push(Err(Failure::fatal(message)));
            break;
        }
        let call = Call::get(OPERATION, url).header("Accept", "application/fhir+json");
        let reply = match fetch::send(client, call).await? {
            Ok(reply) => reply,
            Err(failure) => {
                roles.push(Err(failure));
                break;
            }
        };
        let body = match fetch::checked(reply.body, "Bundle") {
            Ok(body) => body,
            Err(failure) => {
                roles.push(Err(failure));
                break;
            }
        };
        let bundle = Raw::new(&body);
        for entry in bundle.get("entry").iter().flat_map(|entries| entries.items()) {
            let Some(resource) = entry.get("resource") else { continue };
            let found = type_of(resource).unwrap_or_default();
            roles.push(if found == resource_type {
                Ok(raw::compact(resource.bytes()).into_owned())
            } else {
                Err(Failure::fatal(fetch::mismatch(resource.bytes(), &found, resource_type)))
            });
        }
        let links = bundle.get("link");
        let link = links.iter().flat_map(|links| links.items());
        let link = link.into_iter().find(|link| link.get("relation").is_some_and(|relation| relation.is_text("next")));
        if let Some(url) = link.and_then(|link| link.get("url")).and_then(Raw::text) {
            match client.resolve(&url, &reply.url) {
                Ok(url) => next = Some(url),
                Err(error) => roles.push(Err(Failure::fatal(error.message.clone()))),
            }
        }
    }
    Ok(Found { what, row, roles })
}
