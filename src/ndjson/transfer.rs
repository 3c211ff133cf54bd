//! One try of one file.

use super::check::Expect;
use super::pipeline::{Flaw, Keep, Pipeline};
use super::receive::{self, Receiver};
use super::refusal;
use super::request::{self, Part, Sent};
use super::store::Store;
use super::wrapped;
use crate::Result;
use crate::platform::transfer::{Content, FileFacts, TransferOutcome, TransferProgress, TransferTask};
use crate::platform::{BodyCoding, Clock, Http, HttpError, HttpErrorKind, Response, Storage, Transfers};

/// Bytes between two reports of progress, or the time after which there is one in any case, in milliseconds.
const PROGRESS_STEP: u64 = 256 << 10;
const PROGRESS_MILLIS: i64 = 200;

/// Fetches `task.url` into `task.path`, checking every byte on the way. Runs at the far end of [`Transfers`].
///
/// An `Err` is a failure on our side: storage, or a token that may not be sent. In every ending but
/// [`TransferOutcome::Stored`] nothing is left at the path, as far as the storage lets us remove it.
pub async fn transfer<H: Http, S: Storage, C: Clock>(
    http: &H,
    storage: &S,
    clock: &C,
    task: TransferTask,
    progress: &dyn Fn(TransferProgress),
) -> Result<TransferOutcome> {
    let response = match request::send(http, &task, &Part::Whole).await? {
        Sent::Answer(response) => response,
        Sent::Stopped(status, text) => return Ok(refusal::without_body(status, text)),
        Sent::Failed(error) => return Ok(TransferOutcome::Broken { error, received: 0 }),
    };
    if response.status != 200 {
        return Ok(refusal::read(response).await);
    }
    if let Some(text) = foreign_coding(&response) {
        return Ok(refusal::without_body(200, text));
    }
    Try { http, storage, clock, task: &task, progress }.run(response).await
}

/// What is wrong with the coding of a response, if we cannot undo it.
fn foreign_coding<B>(response: &Response<B>) -> Option<String> {
    let codings = response.headers.get("content-encoding").unwrap_or_default();
    let foreign = response.coding == BodyCoding::Identity
        && receive::is_encoded(&response.headers)
        && !codings.to_ascii_lowercase().contains("gzip");
    foreign.then(|| format!("the server sent Content-Encoding {codings:?}, though only gzip was asked for"))
}

struct Try<'a, H, S, C> {
    http: &'a H,
    storage: &'a S,
    clock: &'a C,
    task: &'a TransferTask,
    progress: &'a dyn Fn(TransferProgress),
}

impl<H: Http, S: Storage, C: Clock> Try<'_, H, S, C> {
    async fn run(&self, response: Response<H::Body>) -> Result<TransferOutcome> {
        let status = refusal::Status::of(&response);
        let mut store = Store::new(self.storage, &self.task.path);
        let ending = self.fill(&mut store, response, &status).await;
        if !matches!(ending, Ok(TransferOutcome::Stored(_))) {
            store.discard().await;
        }
        ending
    }

    async fn fill(
        &self,
        store: &mut Store<'_, S>,
        response: Response<H::Body>,
        status: &refusal::Status,
    ) -> Result<TransferOutcome> {
        let gzip = response.coding == BodyCoding::Gzip;
        let mut pipeline = Pipeline::new(&Expect::of(self.task), gzip, Keep::of(self.task));
        let mut receiver = Receiver::new(self.http, self.clock, self.task, response);
        let (mut reported, mut reported_at) = (0, self.clock.now_millis());
        loop {
            let chunk = match receiver.chunk().await {
                Ok(chunk) => chunk,
                Err(error) => return Ok(TransferOutcome::Broken { error, received: receiver.received }),
            };
            let ended = chunk.is_none();
            if let Err(flaw) = push(&mut pipeline, chunk.as_deref(), store).await? {
                return Ok(flawed(flaw, &pipeline, receiver.received, status));
            }
            let now = self.clock.now_millis();
            if ended || receiver.received - reported >= PROGRESS_STEP || now - reported_at >= PROGRESS_MILLIS {
                (reported, reported_at) = (receiver.received, now);
                let resources = pipeline.resources();
                (self.progress)(TransferProgress { file: self.task.file, received: reported, resources });
            }
            if ended {
                break;
            }
        }
        let (stored, parts) = store.close(&mut pipeline.outputs).await?;
        let facts = FileFacts { received: receiver.received, stored, parts, ..pipeline.into_facts() };
        self.stored(store, facts, status).await
    }

    /// The whole body is stored. Looks whether it is a file at all (F01, F07).
    async fn stored(
        &self,
        store: &mut Store<'_, S>,
        facts: FileFacts,
        status: &refusal::Status,
    ) -> Result<TransferOutcome> {
        if !wrapped::may_be(self.task, &facts) {
            return Ok(TransferOutcome::Stored(facts));
        }
        match wrapped::read(self.storage, self.task).await? {
            wrapped::Found::Data => Ok(TransferOutcome::Stored(facts)),
            wrapped::Found::Refusal(outcome) => Ok(status.refused(&outcome)),
            wrapped::Found::Unreadable(text) => Ok(status.refused_with(text)),
            wrapped::Found::File(bytes) => {
                let mut pipeline = Pipeline::new(&Expect::of(self.task), false, Keep::of(self.task));
                store.restart().await?;
                for chunk in [Some(&bytes[..]), None] {
                    if let Err(flaw) = push(&mut pipeline, chunk, store).await? {
                        return Ok(flawed(flaw, &pipeline, facts.received, status));
                    }
                }
                let (stored, parts) = store.close(&mut pipeline.outputs).await?;
                let facts = FileFacts { received: facts.received, stored, parts, ..pipeline.into_facts() };
                Ok(TransferOutcome::Stored(facts))
            }
        }
    }
}

/// The ending of a transfer whose body is not taken.
fn flawed(flaw: Flaw, pipeline: &Pipeline, received: u64, status: &refusal::Status) -> TransferOutcome {
    match flaw {
        Flaw::Torn(message) => {
            let error = HttpError::new(HttpErrorKind::Interrupted, message);
            TransferOutcome::Broken { error, received }
        }
        Flaw::Markup => status.refused(pipeline.sample()),
    }
}

/// Puts a chunk through, or with `None` the end of the body.
async fn push<S: Storage>(
    pipeline: &mut Pipeline,
    chunk: Option<&[u8]>,
    store: &mut Store<'_, S>,
) -> Result<std::result::Result<(), Flaw>> {
    let mut rest = chunk.unwrap_or_default();
    if chunk.is_none() {
        pipeline.end_input();
    }
    while !rest.is_empty() || pipeline.has_more() {
        match pipeline.feed(rest) {
            Ok(taken) => rest = &rest[taken..],
            Err(flaw) => return Ok(Err(flaw)),
        }
        store.write(&mut pipeline.outputs).await?;
    }
    Ok(if chunk.is_none() { pipeline.finish() } else { Ok(()) })
}

/// Runs transfers where the job runs: for hosts without workers, and for tests.
#[derive(Clone)]
pub struct InPlace<H, S, C> {
    http: H,
    storage: S,
    clock: C,
}

impl<H, S, C> InPlace<H, S, C> {
    /// Transfers over `http` into `storage`.
    pub fn new(http: H, storage: S, clock: C) -> Self {
        Self { http, storage, clock }
    }
}

impl<H: Http, S: Storage, C: Clock> Transfers for InPlace<H, S, C> {
    async fn transfer(&self, task: TransferTask, progress: &dyn Fn(TransferProgress)) -> Result<TransferOutcome> {
        transfer(&self.http, &self.storage, &self.clock, task, progress).await
    }
}

impl<'a> Expect<'a> {
    /// What `task` expects.
    pub(super) fn of(task: &'a TransferTask) -> Self {
        Self {
            content: task.content,
            resource_type: task.resource_type.as_deref(),
            subsetted: task.elements && task.content == Content::Resources,
        }
    }
}

impl Keep {
    /// What is to be stored of `task`'s file.
    fn of(task: &TransferTask) -> Self {
        if task.compress { Self::Gzip } else { Self::Plain }
    }
}
