//! The searches of one patient and type, page after page.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::page::{Found, Page};
use super::scope::{Ignored, Scope};
use super::watermark::{Newest, created_element};
use crate::fhir::outcome::{Issue, Outcome};
use crate::fhir::raw::{Raw, check, compact};
use crate::folder::RowWriter;
use crate::folder::rows::Rows;
use crate::http::{Call, Client, Reply, redact};
use crate::platform::{Clock, FileWriter, Platform, Storage, WriteMode};
use crate::{Error, ErrorKind, Result, bulk};

/// The longest page that is taken, decoded: DocumentReferences may carry their notes.
const MAX_PAGE: usize = 128 << 20;
/// A patient's rows are kept in memory up to this many bytes, then in a file, so that memory stays flat.
const MAX_HELD: usize = 4 << 20;
/// Pages in a row that bring nothing new, before the server is taken to go in a circle.
const MAX_IDLE_PAGES: u32 = 20;

/// Why a patient's resources of a type could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The failure.
    pub error: Error,
    /// The server's own OperationOutcome, where there is one.
    pub outcome: Option<Vec<u8>>,
}

/// What came of the searches of one patient.
#[derive(Debug, Default)]
pub struct Harvest {
    /// The resources, a line each; those in `spilled` come before them.
    pub rows: Vec<u8>,
    /// Where the first rows are, if they became too many.
    pub spilled: Option<String>,
    /// Resources, in all.
    pub resources: u64,
    /// The newest date in them.
    pub newest: Newest,
    /// OperationOutcomes among the entries, a line each.
    pub outcomes: Vec<u8>,
    /// Issues of severity `error` or `fatal` in them.
    pub errors: u64,
    /// The first issues in them.
    pub issues: Vec<Issue>,
    /// What the user should know of, by its code: next links in a circle, fewer resources than announced.
    pub warning: Option<(&'static str, String)>,
    /// That the server answers for anybody; then there is a problem, too.
    pub ignored: Option<Ignored>,
    /// Why it is not all; then the rows are not to be used.
    pub problem: Option<Problem>,
}

/// Which resources are taken from a search by ids.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The ids, or the values of the identifier.
    pub ids: BTreeSet<&'a str>,
    /// The system of the identifier.
    pub system: Option<&'a str>,
}

impl Wanted<'_> {
    /// The id by which a Patient was asked for.
    fn key_of(&self, resource: Raw<'_>) -> Option<&str> {
        let known = |value: Raw<'_>| value.text().and_then(|text| self.ids.get(text.as_ref()).copied());
        let Some(system) = self.system else { return resource.get("id").and_then(known) };
        let identifiers = resource.get("identifier")?;
        let of_system = |one: &Raw<'_>| one.get("system").is_some_and(|found| found.is_text(system));
        identifiers.items().filter(of_system).find_map(|one| one.get("value").and_then(known))
    }
}

/// Runs searches.
pub struct Chains<'a, 'p, P: Platform> {
    /// The REST client.
    pub client: &'a Client<'p, P>,
    /// The type that is searched for.
    pub resource_type: &'a str,
    /// Whose resources are searched for, if not Patients.
    pub asked: Option<Asked<'a>>,
}

/// A patient whose resources are searched for.
pub struct Asked<'a> {
    /// The id.
    pub id: &'a str,
    /// The place in the cohort.
    pub position: u32,
    /// What is seen of the answers.
    pub scope: &'a RefCell<Scope>,
}

/// The searches at work: what they have gathered, and what they have seen.
struct Chain<'a, 'p, P: Platform> {
    chains: &'a Chains<'a, 'p, P>,
    wanted: Option<&'a Wanted<'a>>,
    spill: String,
    writer: Option<<P::Storage as Storage>::Writer>,
    harvest: Harvest,
    /// Types and ids of the resources that are here, kept only where one may come twice.
    ids: Option<BTreeSet<Vec<u8>>>,
    found: BTreeSet<String>,
}

impl<P: Platform> Chains<'_, '_, P> {
    /// Makes the `searches` (relative to the base), which are alternatives: what comes twice is taken once. Rows that are too
    /// many for memory go to the file `spill`. With `wanted`, only Patients asked for are taken; the second result says which.
    /// `newest` is the newest date seen before.
    ///
    /// # Errors
    /// What stops the whole crawl: storage, and credentials that cannot be had. Anything else is a [`Problem`].
    pub async fn run(
        &self,
        searches: &[String],
        spill: &str,
        wanted: Option<&Wanted<'_>>,
        newest: Newest,
    ) -> Result<(Harvest, BTreeSet<String>)> {
        let mut chain = Chain {
            chains: self,
            wanted,
            spill: spill.to_owned(),
            writer: None,
            harvest: Harvest { newest, ..Harvest::default() },
            ids: (searches.len() > 1 || wanted.is_some()).then(BTreeSet::new),
            found: BTreeSet::new(),
        };
        for search in searches {
            match chain.search(self.client.url(search)).await {
                Ok(()) => {}
                Err(Stop::Crawl(error)) => return Err(error),
                Err(Stop::Patient(problem)) => {
                    chain.harvest.problem = Some(problem);
                    break;
                }
            }
        }
        chain.close().await
    }
}

/// Why a search ended.
enum Stop {
    /// This patient cannot be had now.
    Patient(Problem),
    /// Nothing can.
    Crawl(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error.kind {
            // One answer that is too long, one redirect astray.
            ErrorKind::Network | ErrorKind::Protocol | ErrorKind::Insecure => {
                Self::Patient(Problem { error, outcome: None })
            }
            _ => Self::Crawl(error),
        }
    }
}

impl<P: Platform> Chain<'_, '_, P> {
    /// All pages of one search.
    async fn search(&mut self, first: String) -> std::result::Result<(), Stop> {
        let client = self.chains.client;
        let before = self.harvest.resources;
        let mut seen = BTreeSet::new();
        let (mut url, mut idle, mut entries, mut total) = (first, 0, 0, None);
        loop {
            let call =
                Call { max_body: MAX_PAGE, ..Call::get("crawl", &url) }.header("Accept", "application/fhir+json");
            let reply = client.send(call).await?;
            if !reply.is_success() {
                return Err(Stop::Patient(refused(&reply)));
            }
            let page = Page::read(&reply.body, created_element(self.chains.resource_type))
                .map_err(|what| unreadable(&reply, &format!("{} sent {what}", redact::url(&reply.url))))?;
            // At once: everybody's resources may be very many.
            if let Some(asked) = self.chains.asked.as_ref().filter(|_| seen.is_empty())
                && let Some(ignored) =
                    asked.scope.borrow_mut().see(&page, self.chains.resource_type, asked.id, asked.position)
            {
                self.harvest.ignored = Some(ignored);
                return Err(unreadable(
                    &reply,
                    &format!("{} is not answered for the patient", redact::url(&reply.url)),
                ));
            }
            if self.ids.is_none() && page.next.is_some() {
                self.ids = Some(BTreeSet::new());
            }
            let (had, now) = (self.harvest.resources, client.platform().clock().now_millis());
            self.harvest.rows.reserve(reply.body.len());
            for found in &page.resources {
                self.take(found, now).map_err(|what| unreadable(&reply, &what))?;
            }
            self.spill_if_many().await?;
            entries += page.resources.len() as u64;
            total = page.total.or(total);
            let Some(next) = page.next.as_ref().filter(|next| !next.is_empty()) else {
                let url = || redact::url(&reply.url);
                let warning = match total {
                    Some(total) if total <= entries => None,
                    Some(total) => {
                        let what = format!("{} announced {total} resources, but its pages held {entries}.", url());
                        Some(("total-mismatch", what))
                    }
                    None => page
                        .next
                        .map(|_| ("next-link", format!("A page of {} has a next link without an address.", url()))),
                };
                self.harvest.warning = warning.or(self.harvest.warning.take());
                return Ok(());
            };
            let next = client.resolve(next, &reply.url)?;
            idle = if self.harvest.resources > had { 0 } else { idle + 1 };
            seen.insert(std::mem::replace(&mut url, next));
            if seen.contains(&url) || idle >= MAX_IDLE_PAGES {
                return self.circle(&reply, total, self.harvest.resources - before);
            }
        }
    }

    /// The next link leads to where we were. Servers do that on the last page: then everything is here.
    fn circle(&mut self, reply: &Reply, total: Option<u64>, resources: u64) -> std::result::Result<(), Stop> {
        let url = redact::url(&reply.url);
        if total.is_some_and(|total| total <= resources) {
            let what = format!("The next links of {url} go in a circle; all {resources} resources announced are here.");
            self.harvest.warning = Some(("paging-loop", what));
            return Ok(());
        }
        Err(unreadable(reply, &format!("the next links of {url} go in a circle, and not everything is here")))
    }

    /// Takes a resource of a page. `now` is in milliseconds since the epoch.
    fn take(&mut self, found: &Found<'_>, now: i64) -> std::result::Result<(), String> {
        let Found { resource, kind, id, meta, created } = *found;
        let kind = kind.ok_or_else(|| "an entry holds JSON that is no resource".to_owned())?;
        if kind.is_text("OperationOutcome") {
            self.outcome(resource);
            return Ok(());
        }
        if let Some(wanted) = self.wanted.filter(|_| kind.is_text("Patient")) {
            let Some(key) = wanted.key_of(resource) else { return Ok(()) };
            self.found.insert(key.to_owned());
        }
        if let (Some(ids), Some(id)) = (&mut self.ids, id)
            && !ids.insert([kind.bytes(), id.bytes()].concat())
        {
            return Ok(());
        }
        for date in meta.and_then(|meta| meta.get("lastUpdated")).into_iter().chain(created) {
            self.harvest.newest.see(date, now);
        }
        self.harvest.rows.extend_from_slice(&compact(resource.bytes()));
        self.harvest.rows.push(b'\n');
        self.harvest.resources += 1;
        Ok(())
    }

    fn outcome(&mut self, resource: Raw<'_>) {
        let harvest = &mut self.harvest;
        let row = self.chains.client.without_secrets(compact(resource.bytes()).into_owned());
        harvest.outcomes.extend_from_slice(&row);
        harvest.outcomes.push(b'\n');
        if let Some(outcome) = Outcome::read(&row) {
            let errors = outcome.issues.iter().filter(|i| matches!(i.severity.as_str(), "error" | "fatal")).count();
            harvest.errors += errors as u64;
            harvest.issues.extend(outcome.issues);
            harvest.issues.truncate(20);
        }
    }

    /// Moves the rows to the file if they have become many.
    async fn spill_if_many(&mut self) -> Result<()> {
        if self.harvest.rows.len() < MAX_HELD {
            return Ok(());
        }
        if self.writer.is_none() {
            let storage = self.chains.client.platform().storage();
            self.writer = Some(storage.open(&self.spill, WriteMode::Create).await?);
            self.harvest.spilled = Some(self.spill.clone());
        }
        if let Some(writer) = &mut self.writer {
            writer.write(&self.harvest.rows).await?;
            self.harvest.rows.clear();
        }
        Ok(())
    }

    async fn close(mut self) -> Result<(Harvest, BTreeSet<String>)> {
        if let Some(writer) = self.writer.take() {
            writer.close().await?;
        }
        Ok((self.harvest, self.found))
    }
}

impl Harvest {
    /// Adds the rows to a file, and removes what was spilled.
    pub async fn add_to<S: Storage>(&mut self, storage: &S, file: &mut RowWriter<'_, S>) -> Result<()> {
        if let Some(spilled) = &self.spilled {
            let mut rows = Rows::open(storage, spilled);
            while let Some(line) = rows.next().await? {
                file.row(line).await?;
            }
        }
        file.rows(&self.rows).await?;
        self.discard(storage).await
    }

    /// Removes what was spilled.
    pub async fn discard<S: Storage>(&mut self, storage: &S) -> Result<()> {
        self.rows = Vec::new();
        if let Some(spilled) = self.spilled.take() {
            storage.remove(&spilled).await?;
        }
        Ok(())
    }
}

/// The lines of a text that ends in a line break.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// An answer that is no success.
fn refused(reply: &Reply) -> Problem {
    let body = Raw::new(&reply.body).bytes();
    let is_outcome = check(body).is_ok_and(|kind| kind == "OperationOutcome");
    Problem { error: bulk::refusal("crawl", reply), outcome: is_outcome.then(|| compact(body).into_owned()) }
}

/// An answer that is not what it should be.
fn unreadable(reply: &Reply, what: &str) -> Stop {
    let error = Error::new(ErrorKind::Protocol, "crawl", format!("{what}."));
    Stop::Patient(Problem { error: error.with_status(reply.status), outcome: None })
}
