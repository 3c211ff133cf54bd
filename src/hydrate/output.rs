//! The files that hydration writes, and what a crash leaves of them.
//!
//! While a file is being written, the rows so far are made safe now and then, and a record in the folder says how far. The
//! next run turns what is safe into a whole file before it does anything else; so a crash costs the last seconds, and the
//! record is gone when all is well.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::Result;
use crate::folder::layout::{PART, ending};
use crate::folder::metadata::read_all;
use crate::folder::row_file::RowWriter;
use crate::folder::rows::Rows;
use crate::platform::{Clock, FileWriter, Platform, Storage, WriteMode};

/// The record. It exists only while there is something to say.
const RECORD: &str = ".hydration";
/// Rows, and milliseconds, after which they are made safe.
const ROWS: u64 = 1000;
const MILLIS: i64 = 5000;

/// A file that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// The name that it will have.
    name: String,
    /// Bytes of it that are safe.
    length: u64,
    /// Bytes of the file that has the name now.
    size: u64,
    /// Where it is made of that file row by row: how many rows are done. Else it began as a copy.
    rewritten: Option<u64>,
}

/// The temporary files in a folder that the next hydration goes on with: leftovers of nobody else.
pub(crate) async fn unfinished<S: Storage>(storage: &S) -> Result<Vec<String>> {
    Ok(recorded(storage).await?.iter().map(|part| format!("{}{PART}", part.name)).collect())
}

async fn recorded<S: Storage>(storage: &S) -> Result<Vec<Part>> {
    if storage.stat(RECORD).await?.is_none() {
        return Ok(Vec::new());
    }
    // Whatever is wrong with the record: it only says what need not be fetched again.
    let value: Value = serde_json::from_slice(&read_all(storage, RECORD).await?).unwrap_or_default();
    Ok(value["parts"].as_array().into_iter().flatten().filter_map(part).collect())
}

/// The record of a folder.
pub(super) struct Record<'p, P: Platform> {
    platform: &'p P,
    parts: RefCell<Vec<Part>>,
}

impl<'p, P: Platform> Record<'p, P> {
    /// Reads the record, and makes whole files of what it says is safe.
    pub(super) async fn recover(platform: &'p P) -> Result<Self> {
        let storage = platform.storage();
        let record = Self { platform, parts: RefCell::default() };
        for part in recorded(storage).await? {
            finish(storage, &part).await?;
        }
        storage.remove(RECORD).await?;
        Ok(record)
    }

    /// Takes note that `length` bytes of a file are safe.
    async fn note(&self, noted: Part) -> Result<()> {
        let text = {
            let mut parts = self.parts.borrow_mut();
            parts.retain(|part| part.name != noted.name);
            parts.push(noted);
            text(&parts)
        };
        self.write(&text).await
    }

    /// Takes note that a file is whole.
    async fn forget(&self, name: &str) -> Result<()> {
        let left = {
            let mut parts = self.parts.borrow_mut();
            let before = parts.len();
            parts.retain(|part| part.name != name);
            if parts.len() == before {
                return Ok(());
            }
            (!parts.is_empty()).then(|| text(&parts))
        };
        match left {
            Some(text) => self.write(&text).await,
            None => Ok(self.platform.storage().remove(RECORD).await?),
        }
    }

    async fn write(&self, text: &str) -> Result<()> {
        let storage = self.platform.storage();
        let temporary = format!("{RECORD}{PART}");
        let mut file = storage.open(&temporary, WriteMode::Create).await?;
        file.write(text.as_bytes()).await?;
        file.flush().await?;
        file.close().await?;
        Ok(storage.rename(&temporary, RECORD).await?)
    }
}

fn text(parts: &[Part]) -> String {
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| json!({"name": part.name, "length": part.length, "size": part.size, "rows": part.rewritten}))
        .collect();
    json!({"format": 1, "parts": parts}).to_string()
}

fn part(value: &Value) -> Option<Part> {
    let name = value["name"].as_str()?;
    // Whoever can write into the folder can write what it likes here: not outside of the folder, though.
    let inside = !name.starts_with('/') && name.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    let (length, size, rewritten) = (value["length"].as_u64()?, value["size"].as_u64()?, value["rows"].as_u64());
    (inside && length > 0).then(|| Part { name: name.to_owned(), length, size, rewritten })
}

/// Makes a whole file of what is safe of one: with the rows of the file that it is made of that were not reached.
async fn finish<S: Storage>(storage: &S, part: &Part) -> Result<()> {
    if storage.stat(&part.name).await?.map_or(0, |entry| entry.size) != part.size {
        // It was changed since, or is whole already: what was made of the old one is of no use.
        return Ok(storage.remove(&format!("{}{PART}", part.name)).await?);
    }
    let Some(mut file) = RowWriter::resume(storage, &part.name, part.length).await? else { return Ok(()) };
    if let Some(done) = part.rewritten {
        let mut rows = Rows::open(storage, &part.name);
        let mut number = 0;
        while let Some(row) = rows.next().await? {
            number += 1;
            if number > done {
                file.row(row).await?;
            }
        }
    }
    file.commit().await.map(drop)
}

/// A file that is appended to, or rewritten; opened when its first row comes.
pub(super) struct Output<'a, 'p, P: Platform> {
    record: &'a Record<'p, P>,
    name: String,
    file: Option<RowWriter<'p, P::Storage>>,
    size: u64,
    safe_rows: u64,
    safe_at: i64,
}

impl<'a, 'p, P: Platform> Output<'a, 'p, P> {
    /// The file `stem.ndjson[.gz]`.
    pub(super) fn new(record: &'a Record<'p, P>, stem: &str, compress: bool) -> Self {
        Self::named(record, format!("{stem}{}", ending(None, compress)))
    }

    /// The file of that name.
    pub(super) fn named(record: &'a Record<'p, P>, name: String) -> Self {
        Self { record, name, file: None, size: 0, safe_rows: 0, safe_at: 0 }
    }

    /// The file, to write to; what is there already goes on.
    pub(super) async fn extend(&mut self) -> Result<&mut RowWriter<'p, P::Storage>> {
        if self.file.is_none() {
            let file = RowWriter::extend(self.record.platform.storage(), &self.name).await?;
            return self.begin(file).await;
        }
        self.file.as_mut().ok_or_else(|| unreachable!("it was just looked at"))
    }

    /// Takes a file that was begun.
    pub(super) async fn begin(&mut self, file: RowWriter<'p, P::Storage>) -> Result<&mut RowWriter<'p, P::Storage>> {
        self.size = self.record.platform.storage().stat(file.name()).await?.map_or(0, |entry| entry.size);
        self.safe_rows = file.resources();
        self.safe_at = self.record.platform.clock().now_millis();
        Ok(self.file.insert(file))
    }

    /// The file, if it was begun.
    pub(super) fn file(&mut self) -> Option<&mut RowWriter<'p, P::Storage>> {
        self.file.as_mut()
    }

    /// Makes the rows safe if there are many, or old ones, that are not, or `at_once`. `rewritten`: see [`Part::rewritten`].
    pub(super) async fn checkpoint(&mut self, rewritten: Option<u64>, at_once: bool) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let now = self.record.platform.clock().now_millis();
        let new = file.resources() - self.safe_rows;
        if new == 0 || (!at_once && new < ROWS && now < self.safe_at + MILLIS) {
            return Ok(());
        }
        let length = file.checkpoint().await?;
        let name = file.name().to_owned();
        self.record.note(Part { name, length, size: self.size, rewritten }).await?;
        self.safe_rows = file.resources();
        self.safe_at = self.record.platform.clock().now_millis();
        Ok(())
    }

    /// Gives the file its name, if there is one.
    pub(super) async fn commit(self) -> Result<()> {
        let Some(file) = self.file else { return Ok(()) };
        let name = file.name().to_owned();
        file.commit().await?;
        // At once: what is said of it must not be taken for the next file of that name.
        self.record.forget(&name).await
    }

    /// Leaves everything as it was.
    pub(super) async fn discard(self) -> Result<()> {
        let Some(file) = self.file else { return Ok(()) };
        let name = file.name().to_owned();
        self.record.forget(&name).await?;
        file.discard().await;
        Ok(())
    }
}
