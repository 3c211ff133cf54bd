//! The rows of data files, and which files of a folder are data files.

use std::ops::Range;

use super::layout::LOG;
use crate::fhir::raw::Raw;
use crate::fhir::resource_type;
use crate::ndjson::Decoder;
use crate::platform::Storage;
use crate::{Error, ErrorKind, Result};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Longest row that is held. More would not fit into the memory of a WebAssembly instance, with what is made of it.
const MAX_ROW: usize = 512 << 20;

/// Reads the rows of an NDJSON file, plain or gzip (told by its first bytes; of several members, too), one at a time.
///
/// Memory: one row and some buffers of fixed size.
pub struct Rows<'a, S> {
    storage: &'a S,
    path: String,
    offset: u64,
    decoder: Decoder,
    /// Decoded bytes; those before `start` are done with, those before `searched` hold no further line break.
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
    ended: bool,
    line: u64,
}

impl<'a, S: Storage> Rows<'a, S> {
    /// The rows of the file at `path`, which is opened by the first [`Rows::next`].
    pub fn open(storage: &'a S, path: &str) -> Self {
        Self {
            storage,
            path: path.to_owned(),
            offset: 0,
            decoder: Decoder::default(),
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            ended: false,
            line: 0,
        }
    }

    /// The next row, without its line break and any white space around it; blank lines are passed over. What it holds is
    /// not checked: the last row of a plain file may be cut.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where gzip data are damaged or end early, [`ErrorKind::Unsupported`] for a row of more than
    /// 512 MiB, and what the storage reports; each names the file.
    #[allow(clippy::should_implement_trait, reason = "it is async and lends")]
    pub async fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            let row = match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                Some(at) => self.take(self.searched + at, 1),
                None if !self.ended => {
                    self.searched = self.buffer.len();
                    self.fill().await?;
                    continue;
                }
                None if self.start < self.buffer.len() => self.take(self.buffer.len(), 0),
                None => return Ok(None),
            };
            if !row.is_empty() {
                return Ok(Some(&self.buffer[row]));
            }
        }
    }

    /// Number of the line of the last row, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Bytes of the file that were read so far, as they are stored.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the line up to `end`, and the line break after it.
    fn take(&mut self, end: usize, line_break: usize) -> Range<usize> {
        let mut line = &self.buffer[self.start..end];
        if self.line == 0 {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        let row = line.trim_ascii_start();
        let from = end - row.len();
        let row = from..from + row.trim_ascii_end().len();
        self.line += 1;
        self.start = end + line_break;
        self.searched = self.start;
        row
    }

    /// Makes more decoded bytes, or notes the end of the file.
    async fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.len() > MAX_ROW {
            let message = format!("Line {} of {} is longer than 512 MiB.", self.line + 1, self.path);
            return Err(Error::new(ErrorKind::Unsupported, "read", message));
        }
        loop {
            let more = self.decoder.pull().map_err(|error| damaged(error, &self.path))?;
            if !more.is_empty() {
                self.buffer.extend_from_slice(more);
                return Ok(());
            }
            let piece = self.storage.read(&self.path, self.offset, PIECE).await?;
            self.offset += piece.len() as u64;
            if piece.is_empty() {
                let last = self.decoder.finish().map_err(|error| damaged(error, &self.path))?;
                self.buffer.extend_from_slice(last);
                self.ended = true;
                return Ok(());
            }
            self.decoder.push(&piece);
        }
    }
}

/// The error of the decoder, with the name of the file.
fn damaged(error: Error, path: &str) -> Error {
    error.reworded(|words| words.replacen("The file", path, 1))
}

/// A data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its path.
    pub path: String,
    /// The type of its resources; `None` where neither its name nor its first row says it.
    pub resource_type: Option<String>,
}

/// The data files right in `folder` (`""`: the root), in the order of their names, by the reference's rule: files that end in
/// `.ndjson` or `.jsonl`, perhaps with `.gz`. The type is the one word of the name that is a FHIR type; else that of the
/// first row. A file without rows whose name does not say a type is none. Nor are the log, and files that begin with a dot.
pub async fn data_files<S: Storage>(storage: &S, folder: &str) -> Result<Vec<DataFile>> {
    let mut names = Vec::new();
    for entry in storage.list(folder).await? {
        if !entry.is_dir && is_data_name(&entry.name) {
            names.push(entry.name);
        }
    }
    names.sort_unstable();
    let mut files = Vec::new();
    for name in names {
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if let Some(resource_type) = type_in_name(&name) {
            files.push(DataFile { path, resource_type: Some(resource_type.to_owned()) });
            continue;
        }
        let mut rows = Rows::open(storage, &path);
        let resource_type = match rows.next().await {
            Ok(None) => continue,
            Ok(Some(row)) => type_of(Raw::new(row)),
            // It is there, and whoever reads it is told.
            Err(error) if error.kind == ErrorKind::Corrupt => None,
            Err(error) => return Err(error),
        };
        files.push(DataFile { path, resource_type });
    }
    Ok(files)
}

/// The `resourceType` of a resource, if it has the form of one.
pub fn type_of(resource: Raw<'_>) -> Option<String> {
    let kind = resource.get("resourceType")?.text()?;
    resource_type::is_safe(&kind).then(|| kind.into_owned())
}

/// Whether a file is a data file by its name.
fn is_data_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let is_rows =
        [".ndjson", ".jsonl"].iter().any(|ending| plain.strip_suffix(ending).is_some_and(|stem| !stem.is_empty()));
    is_rows && !name.starts_with('.') && name != LOG
}

/// The FHIR type that is a whole word of a name, if just one is.
fn type_in_name(name: &str) -> Option<&str> {
    let mut found = None;
    for word in name.split(|c: char| !c.is_ascii_alphabetic()) {
        if resource_type::ALL.contains(&word) && found != Some(word) {
            if found.is_some() {
                return None;
            }
            found = Some(word);
        }
    }
    found
}

/// How many rows a file has; `None` if it is damaged.
pub(crate) async fn count<S: Storage>(storage: &S, path: &str) -> Result<Option<u64>> {
    let mut rows = Rows::open(storage, path);
    let mut count = 0;
    loop {
        match rows.next().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return Ok(Some(count)),
            Err(error) if error.kind == ErrorKind::Corrupt => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
