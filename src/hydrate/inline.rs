//! Tasks that put attachments into the resources that point at them. A file is written anew, row by row and in its order; the
//! old one has its name until the new one is whole.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::attachment::{self, Content, Edit, Plan, Wanted, edits, place};
use super::fetch::Got;
use super::output::Output;
use super::report::{Fate, Row, TaskReport};
use super::run::Run;
use super::tasks::Task;
use crate::Result;
use crate::fhir::raw::Raw;
use crate::folder::layout::PART;
use crate::folder::row_file::RowWriter;
use crate::folder::rows::{DataFile, Rows, type_of};
use crate::http::Client;
use crate::platform::{FileWriter, Platform, Storage, WriteMode};

/// Rows that are held, at most, while one before them waits for its attachments; and bytes of them.
const WINDOW: usize = 256;
const WINDOW_BYTES: usize = 32 << 20;

/// An attachment under way.
struct Note {
    /// Where it stands in the row.
    at: Range<usize>,
    wanted: Wanted,
    content: Option<Content>,
}

/// A row that is not written yet.
struct Slot {
    row: Vec<u8>,
    notes: Vec<Note>,
    open: usize,
    counted: Rc<Row>,
}

/// Which attachment of which row.
#[derive(Clone, Copy)]
struct Ticket {
    row: u64,
    note: usize,
}

/// The task at work.
struct Inlining<'a, 'r, 'p, P: Platform> {
    run: &'a mut Run<'r, 'p, P>,
    task: &'static Task,
    path: Vec<&'static str>,
    step: String,
    report: TaskReport,
    slots: VecDeque<Slot>,
    /// The number of the first of them.
    first: u64,
    held: usize,
    waiting: VecDeque<Ticket>,
    changed: bool,
}

/// Runs the task.
pub(super) async fn run<P: Platform>(
    run: &mut Run<'_, '_, P>,
    task: &'static Task,
    files: Vec<DataFile>,
) -> Result<TaskReport> {
    let mut inlining = Inlining {
        run,
        task,
        path: task.paths.iter().flat_map(|path| path.split('.')).collect(),
        step: format!("Inlining {}s", task.input),
        report: TaskReport::new(task),
        slots: VecDeque::new(),
        first: 0,
        held: 0,
        waiting: VecDeque::new(),
        changed: false,
    };
    for file in files {
        inlining.file(&file.path).await?;
    }
    inlining.tell(true);
    Ok(inlining.report)
}

impl<'p, P: Platform> Inlining<'_, '_, 'p, P> {
    /// Does one file.
    async fn file(&mut self, path: &str) -> Result<()> {
        let record = Rc::clone(&self.run.record);
        let path = self.target(path).await?;
        let mut output = Output::named(&record, path.clone());
        (self.first, self.changed) = (0, false);
        if let Err(error) = self.rewrite(&path, &mut output).await {
            // What was got is kept for the next run; why this one ends matters more than whether that can be.
            let _ = output.checkpoint(Some(self.first), true).await;
            return Err(error);
        }
        if !self.changed {
            return output.discard().await;
        }
        output.commit().await?;
        let size = self.run.platform.storage().stat(&path).await?.map_or(0, |entry| entry.size);
        self.run.grown.push((path, size));
        Ok(())
    }

    /// The file itself, where a managed folder has a link to it: a link must not become a file.
    async fn target(&self, path: &str) -> Result<String> {
        let target = self.run.platform.storage().stat(path).await?.and_then(|entry| entry.target);
        let inside = |target: &String| !target.starts_with('/') && target.split('/').all(|part| part != "..");
        Ok(target.filter(inside).unwrap_or_else(|| path.to_owned()))
    }

    async fn rewrite(&mut self, path: &str, output: &mut Output<'_, 'p, P>) -> Result<()> {
        let client = self.run.client;
        let mut rows = Rows::open(self.run.platform.storage(), path);
        let mut ended = false;
        let mut running = FuturesUnordered::new();
        loop {
            while !ended && self.slots.len() < WINDOW && self.held < WINDOW_BYTES {
                let Some(row) = rows.next().await? else {
                    ended = true;
                    break;
                };
                self.look(row, path, output).await?;
                if running.len() < self.run.connections && !self.waiting.is_empty() {
                    break;
                }
            }
            while running.len() < self.run.connections
                && let Some(ticket) = self.waiting.front().copied()
            {
                // Nothing more is held than there is room for; but what holds up all the rest is fetched in any case.
                if self.held >= WINDOW_BYTES && ticket.row != self.first && !running.is_empty() {
                    break;
                }
                self.waiting.pop_front();
                let wanted = self.slot(ticket).notes[ticket.note].wanted.clone();
                running.push(fetch(client, ticket, wanted));
            }
            let more = !ended && self.slots.len() < WINDOW && self.held < WINDOW_BYTES;
            if more && running.len() < self.run.connections {
                continue;
            }
            let Some(fetched) = running.next().await else { return Ok(()) };
            let (ticket, wanted, got) = fetched?;
            self.take(ticket, &wanted, got).await?;
            self.write(output).await?;
        }
    }

    fn slot(&mut self, ticket: Ticket) -> &mut Slot {
        &mut self.slots[(ticket.row - self.first) as usize]
    }

    /// Looks at a row. It is written at once if nothing has to come for it, nor for one before it.
    async fn look(&mut self, row: &[u8], path: &str, output: &mut Output<'_, 'p, P>) -> Result<()> {
        let resource = Raw::new(row);
        let mut plans = Vec::new();
        if type_of(resource).as_deref() == Some(self.task.input) {
            let as_files = self.run.attachments_dir.is_some();
            resource.walk(&self.path, &mut |attachment| {
                if attachment.bytes().starts_with(b"{") {
                    let plan = attachment::plan(attachment, &self.run.mimetypes, as_files);
                    plans.push((place(row, attachment.bytes()), plan));
                }
            });
        }
        let counted = Rc::new(Row::default());
        let mut notes = Vec::new();
        if plans.is_empty() {
            // The reference counts such a resource as one attachment that it ignores.
            self.report.add(&counted, Fate::Ignored, 1);
        }
        for (at, plan) in plans {
            let fate = match plan {
                Plan::Leave => Fate::Ignored,
                Plan::Here => Fate::Already,
                Plan::Fetch(wanted) if self.is_stored(&wanted).await? => Fate::Already,
                Plan::Fetch(wanted) => {
                    self.waiting.push_back(Ticket { row: self.first + self.slots.len() as u64, note: notes.len() });
                    notes.push(Note { at, wanted, content: None });
                    continue;
                }
            };
            self.report.add(&counted, fate, 1);
        }
        if !notes.is_empty() && output.file().is_none() {
            self.begin(path, output).await?;
        }
        if notes.is_empty() && self.slots.is_empty() {
            if let Some(file) = output.file() {
                file.piece(row).await?;
                file.end_row().await?;
            }
            self.first += 1;
            self.report.close(counted);
            return output.checkpoint(Some(self.first), false).await;
        }
        self.held += row.len();
        self.slots.push_back(Slot { row: row.to_vec(), open: notes.len(), notes, counted });
        Ok(())
    }

    /// Whether the file of an attachment is here.
    async fn is_stored(&self, wanted: &Wanted) -> Result<bool> {
        let (Some(folder), Some(name)) = (&self.run.attachments_dir, &wanted.file) else { return Ok(false) };
        Ok(self.run.platform.storage().stat(&format!("{folder}/{name}")).await?.is_some())
    }

    /// Begins the new file, with the rows so far: nothing had to come for them.
    async fn begin(&mut self, path: &str, output: &mut Output<'_, 'p, P>) -> Result<()> {
        let storage = self.run.platform.storage();
        let file = output.begin(RowWriter::create(storage, path).await?).await?;
        let mut rows = Rows::open(storage, path);
        for _ in 0..self.first {
            if let Some(row) = rows.next().await? {
                file.piece(row).await?;
                file.end_row().await?;
            }
        }
        Ok(())
    }

    /// What came for an attachment.
    async fn take(&mut self, ticket: Ticket, wanted: &Wanted, got: Got<Content>) -> Result<()> {
        let fate = match got {
            Ok(mut content) => {
                self.run.succeeded();
                if wanted.as_file {
                    self.store(wanted, &mut content).await?;
                }
                self.changed = true;
                self.held += content.held();
                self.slot(ticket).notes[ticket.note].content = Some(content);
                Fate::New
            }
            Err(failure) => {
                let fate = if failure.gave_up { Fate::GaveUp } else { Fate::Fatal };
                self.run.fail(self.task, &wanted.url, failure).await?;
                fate
            }
        };
        let counted = {
            let slot = self.slot(ticket);
            slot.open -= 1;
            Rc::clone(&slot.counted)
        };
        self.report.add(&counted, fate, 1);
        self.tell(false);
        Ok(())
    }

    /// Stores an attachment as a file.
    async fn store(&self, wanted: &Wanted, content: &mut Content) -> Result<()> {
        let Some(folder) = &self.run.attachments_dir else { return Ok(()) };
        let storage = self.run.platform.storage();
        let name = format!("{folder}/{}", content.file_name(&wanted.mimetype));
        let temporary = format!("{name}{PART}");
        let mut file = storage.open(&temporary, WriteMode::Create).await?;
        for piece in content.pieces() {
            file.write(&piece).await?;
        }
        file.flush().await?;
        file.close().await?;
        storage.rename(&temporary, &name).await?;
        content.let_go();
        Ok(())
    }

    /// Writes the rows that nothing has to come for any more.
    async fn write(&mut self, output: &mut Output<'_, 'p, P>) -> Result<()> {
        while self.slots.front().is_some_and(|slot| slot.open == 0)
            && let Some(slot) = self.slots.pop_front()
        {
            self.held -= slot.row.len();
            let contents = || slot.notes.iter().filter_map(|note| note.content.as_ref());
            self.held -= contents().map(Content::held).sum::<usize>();
            if let Some(file) = output.file() {
                write_row(file, &slot).await?;
            }
            self.first += 1;
            self.report.close(slot.counted);
            output.checkpoint(Some(self.first), false).await?;
        }
        Ok(())
    }

    fn tell(&mut self, ended: bool) {
        let (rows, new) = (self.report.total.resources, self.report.newly_done.items);
        self.run.progress(&self.step, rows, new, ended);
    }
}

/// Writes a row with its attachments in it.
async fn write_row<S: Storage>(file: &mut RowWriter<'_, S>, slot: &Slot) -> Result<()> {
    let mut from = 0;
    for note in &slot.notes {
        let Some(content) = &note.content else { continue };
        for Edit { range, text, has_data } in edits(&slot.row, &note.at, &note.wanted, content) {
            file.piece(&slot.row[from..range.start]).await?;
            file.piece(text.as_bytes()).await?;
            if has_data {
                for piece in content.base64_pieces() {
                    file.piece(&piece).await?;
                }
                file.piece(b"\"").await?;
            }
            from = range.end;
        }
    }
    file.piece(&slot.row[from..]).await?;
    file.end_row().await
}

/// Fetches an attachment.
async fn fetch<P: Platform>(
    client: &Client<'_, P>,
    ticket: Ticket,
    wanted: Wanted,
) -> Result<(Ticket, Wanted, Got<Content>)> {
    let got = attachment::fetch(client, &wanted).await?;
    Ok((ticket, wanted, got))
}
