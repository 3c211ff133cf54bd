//! Writes rows into a data file. Until it is committed, they are in `NAME.part`; under the final name there is always a whole
//! file: the one before, or the new one.

use std::collections::VecDeque;

use super::layout::{self, PART};
use super::rows::Rows;
use crate::Result;
use crate::fhir::raw::compact;
use crate::ndjson::{Decoder, Gzip, gzip};
use crate::platform::storage::Gzipping;
use crate::platform::{FileWriter, Storage, WriteMode};

/// Bytes that are gathered before they are written.
const BATCH: usize = 128 << 10;
/// Text that becomes a gzip member of its own where another thread makes it: enough that the members of a file cost no room, and that a
/// small file starts no thread.
const MEMBER: usize = 512 << 10;
/// Members in the making at once, so that memory stays flat.
const MEMBERS: usize = 8;

/// What a committed file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFile {
    /// Its path.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Rows in it.
    pub resources: u64,
}

/// Writes rows into a file, gzip if its name ends in `.gz`. Dropped before [`RowWriter::commit`], it leaves `NAME.part` behind.
pub struct RowWriter<'a, S: Storage> {
    storage: &'a S,
    name: String,
    writer: S::Writer,
    /// Whether the rows are stored as gzip.
    compress: bool,
    /// The gzip member at work.
    encoder: Option<Gzip>,
    /// Text that is not encoded yet.
    rows: Vec<u8>,
    /// Members that another thread makes, in order, and of what: it may die.
    members: VecDeque<(Gzipping, Vec<u8>)>,
    /// Bytes that are not written yet; they come after the members.
    ready: Vec<u8>,
    written: u64,
    resources: u64,
}

impl<'a, S: Storage> RowWriter<'a, S> {
    /// An empty file that will replace the one called `name`, if there is one.
    pub async fn create(storage: &'a S, name: &str) -> Result<Self> {
        let writer = storage.open(&part(name), WriteMode::Create).await?;
        Ok(Self::over(storage, name, writer))
    }

    /// A file that begins with the rows of the one that is there. If that has the other compression (`name` with `.gz`, or
    /// without), it is the one that goes on, under its own name.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) where the file that is there is damaged.
    pub async fn extend(storage: &'a S, name: &str) -> Result<Self> {
        let other = layout::other_compression(name);
        let name = match storage.stat(name).await? {
            None if storage.stat(&other).await?.is_some() => &other,
            None => return Self::create(storage, name).await,
            Some(_) => name,
        };
        let mut file = Self::create(storage, name).await?;
        let mut rows = Rows::open(storage, name);
        while let Some(row) = rows.next().await? {
            file.row(row).await?;
        }
        Ok(file)
    }

    /// Goes on with the first `length` bytes of `NAME.part`, where a [`RowWriter::checkpoint`] ended; what was written after
    /// it is dropped. `None` if they are not there: some hosts keep nothing of an open file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) where they are damaged.
    pub async fn resume(storage: &'a S, name: &str, length: u64) -> Result<Option<Self>> {
        let path = part(name);
        let size = storage.stat(&path).await?.map_or(0, |entry| entry.size);
        if length == 0 {
            return Self::create(storage, name).await.map(Some);
        }
        if size < length {
            return Ok(None);
        }
        let mut copy = None;
        let copy_path = format!("{path}.copy");
        if size > length {
            copy = Some(storage.open(&copy_path, WriteMode::Create).await?);
        }
        // Read through, so that no damage is carried on, and the rows are counted.
        let (mut offset, mut rows, mut decoder) = (0, 0, Decoder::default());
        while offset < length {
            let most = (length - offset).min(2 * BATCH as u64);
            let piece = storage.read(&path, offset, most as usize).await?;
            if piece.is_empty() {
                return Ok(None);
            }
            offset += piece.len() as u64;
            if let Some(copy) = &mut copy {
                copy.write(&piece).await?;
            }
            decoder.push(&piece);
            rows +=
                count_rows(&mut decoder).map_err(|error| error.reworded(|what| what.replacen("The file", &path, 1)))?;
        }
        decoder.finish().map_err(|error| error.reworded(|what| what.replacen("The file", &path, 1)))?;
        if let Some(mut copy) = copy {
            copy.flush().await?;
            copy.close().await?;
            storage.rename(&copy_path, &path).await?;
        }
        let mut file = Self::over(storage, name, storage.open(&path, WriteMode::Append).await?);
        (file.written, file.resources) = (length, rows);
        Ok(Some(file))
    }

    fn over(storage: &'a S, name: &str, writer: S::Writer) -> Self {
        Self {
            storage,
            name: name.to_owned(),
            writer,
            compress: std::path::Path::new(name).extension().is_some_and(|ending| ending == "gz"),
            encoder: None,
            rows: Vec::new(),
            members: VecDeque::new(),
            ready: Vec::new(),
            written: 0,
            resources: 0,
        }
    }

    /// Adds a row: valid JSON, byte for byte; only line breaks between its tokens go, and all white space with them.
    pub async fn row(&mut self, row: &[u8]) -> Result<()> {
        self.resources += 1;
        self.text(&[&compact(row), b"\n"]).await
    }

    /// Adds rows that are all on one line each, every one with its line break.
    pub async fn rows(&mut self, lines: &[u8]) -> Result<()> {
        self.resources += memchr::memchr_iter(b'\n', lines).count() as u64;
        self.text(&[lines]).await
    }

    /// Adds text that is no row.
    pub(crate) async fn text(&mut self, pieces: &[&[u8]]) -> Result<()> {
        for piece in pieces {
            self.rows.extend_from_slice(piece);
        }
        let enough = if self.compress { MEMBER } else { BATCH };
        if self.rows.len() < enough {
            return Ok(());
        }
        // A member that was begun here is ended here.
        if self.compress
            && self.encoder.is_none()
            && let Some(member) = self.storage.gzip(&self.rows)
        {
            // As much again: grown bit by bit, it would be copied each time, and become twice as large.
            let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(MEMBER + BATCH));
            self.members.push_back((member, rows));
            return self.settle(MEMBERS).await;
        }
        self.encode();
        if self.ready.len() < BATCH { Ok(()) } else { self.write().await }
    }

    /// Adds bytes of a row that is too large to be put together in memory; [`RowWriter::end_row`] ends it. They hold no line
    /// break.
    pub async fn piece(&mut self, bytes: &[u8]) -> Result<()> {
        for bytes in bytes.chunks(BATCH) {
            self.text(&[bytes]).await?;
        }
        Ok(())
    }

    /// Ends a row of pieces.
    pub async fn end_row(&mut self) -> Result<()> {
        self.row(b"").await
    }

    /// The name that the file will have.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Rows so far, those that were there before included.
    pub fn resources(&self) -> u64 {
        self.resources
    }

    /// Makes all rows so far safe against a crash, and returns the length that [`RowWriter::resume`] may be given.
    pub async fn checkpoint(&mut self) -> Result<u64> {
        self.settle(0).await?;
        self.end_member();
        self.write().await?;
        self.writer.flush().await?;
        Ok(self.written)
    }

    /// Makes the file safe and gives it its name. Without rows, it is an empty file.
    pub async fn commit(self) -> Result<RowFile> {
        let storage = self.storage;
        let file = self.seal().await?;
        storage.rename(&part(&file.name), &file.name).await?;
        Ok(file)
    }

    /// Makes the file safe, and leaves it as `NAME.part`.
    pub(crate) async fn seal(mut self) -> Result<RowFile> {
        if self.written == 0 && self.members.is_empty() && self.compress {
            self.encoder.get_or_insert_with(Gzip::new);
        }
        self.checkpoint().await?;
        self.writer.close().await?;
        Ok(RowFile { name: self.name, bytes: self.written, resources: self.resources })
    }

    /// Removes what was written. Best effort: the reason for it matters more than what goes wrong here.
    pub async fn discard(self) {
        // Some hosts cannot remove a file that is open.
        let _ = self.writer.close().await;
        let _ = self.storage.remove(&part(&self.name)).await;
    }

    fn encode(&mut self) {
        if !self.compress {
            self.ready.append(&mut self.rows);
        } else if !self.rows.is_empty() {
            let encoder = self.encoder.get_or_insert_with(Gzip::new);
            encoder.encode(&self.rows, &mut self.ready);
            self.rows.clear();
        }
    }

    fn end_member(&mut self) {
        self.encode();
        if let Some(mut encoder) = self.encoder.take() {
            encoder.finish(&mut self.ready);
        }
    }

    /// Writes members that another thread made, until at most `left` are in the making.
    async fn settle(&mut self, left: usize) -> Result<()> {
        while self.members.len() > left
            && let Some((member, text)) = self.members.pop_front()
        {
            let member = member.await.unwrap_or_else(|_| gzip(&text));
            self.writer.write(&member).await?;
            self.written += member.len() as u64;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<()> {
        if !self.ready.is_empty() {
            self.writer.write(&self.ready).await?;
            self.written += self.ready.len() as u64;
            self.ready.clear();
        }
        Ok(())
    }
}

/// Rows that end in what the decoder has.
fn count_rows(decoder: &mut Decoder) -> Result<u64> {
    let mut rows = 0;
    loop {
        let text = decoder.pull()?;
        if text.is_empty() {
            return Ok(rows);
        }
        rows += memchr::memchr_iter(b'\n', text).count() as u64;
    }
}

fn part(name: &str) -> String {
    format!("{name}{PART}")
}
