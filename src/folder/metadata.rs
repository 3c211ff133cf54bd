//! `.metadata`: the folder's state in the reference's own form. Keys that are not ours are kept as they are.

use serde_json::{Map, Value};

use super::history::UNLISTED;
use super::layout::METADATA;
use super::ledger::{FileEntry, KEY as LEDGER};
use super::ledger_text::{self, Lists};
use crate::fhir::instant;
use crate::platform::{Clock, FileWriter, Platform, Storage, WriteMode};
use crate::{Error, ErrorKind, Result};

/// What a folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbered subfolders and links to what is current.
    Managed,
    /// The files of one export.
    Output,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Output => "output",
        }
    }

    fn pretty(word: &str) -> String {
        format!("{} {word} folder", if word == "managed" { "a" } else { "an" })
    }
}

/// The content of `.metadata`.
#[derive(Clone, Debug)]
pub struct Metadata {
    kind: Kind,
    map: Map<String, Value>,
    /// The files of the ledger's jobs, which are not in `map`.
    files: Lists,
    /// A number that stands for the files as they are on disk.
    mark: u64,
    changed: bool,
}

/// Biggest `.metadata` that is read: a ledger of a million files.
const MAX_BYTES: usize = 1 << 30;

impl Metadata {
    /// Reads the folder's `.metadata`; an empty one if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] if the folder is of another kind, [`ErrorKind::Corrupt`] if the file is no JSON object.
    pub async fn load<S: Storage>(storage: &S, kind: Kind) -> Result<Self> {
        let (map, files) = read_map(storage).await?;
        if let Some(found) = map.get("kind").and_then(Value::as_str)
            && found != kind.word()
        {
            let (want, found) = (Kind::pretty(kind.word()), Kind::pretty(found));
            return Err(Error::new(
                ErrorKind::Mismatch,
                "open folder",
                format!("The folder is not {want}, but {found}."),
            )
            .with_hint("Choose another folder for this command."));
        }
        Ok(Self { kind, map, mark: ledger_text::mark(&files), files, changed: false })
    }

    /// Reads the `.metadata` of a folder of any kind, to look at it.
    pub(crate) async fn load_any<S: Storage>(storage: &S) -> Result<Self> {
        let (map, files) = read_map(storage).await?;
        let is_managed = map.get("kind").and_then(Value::as_str) == Some(Kind::Managed.word());
        let kind = if is_managed { Kind::Managed } else { Kind::Output };
        Ok(Self { kind, map, mark: ledger_text::mark(&files), files, changed: false })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// Sets a key; new keys go to the end.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        if self.map.get(key) != Some(&value) {
            self.map.insert(key.to_owned(), value);
            self.changed = true;
        }
    }

    /// Takes the files of the ledger's jobs out, job by job.
    pub(super) fn take_files(&mut self) -> Lists {
        std::mem::take(&mut self.files)
    }

    /// Puts the files of the ledger's jobs in.
    pub(super) fn set_files(&mut self, files: Vec<Vec<FileEntry>>) {
        let mark = ledger_text::mark(&files);
        self.changed |= mark != self.mark;
        (self.files, self.mark) = (files, mark);
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.changed |= self.map.shift_remove(key).is_some();
        if key == LEDGER {
            self.files.clear();
        }
    }

    /// Whether nothing was ever written here.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The types that are done, with the time to which they are.
    pub fn done(&self) -> Map<String, Value> {
        self.get("done").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Marks a type as done to `time` (ISO 8601 as [`instant::iso`] writes it).
    pub fn mark_done(&mut self, resource_type: &str, time: &str) {
        let mut done = self.done();
        done.insert(resource_type.to_owned(), Value::from(time));
        self.set("done", done);
    }

    /// Takes back that a type is done.
    pub fn unmark_done(&mut self, resource_type: &str) {
        let mut done = self.done();
        if done.shift_remove(resource_type).is_some() {
            self.set("done", done);
        }
    }

    /// The text to write, in pieces, if anything changed since the last one; [`write()`] writes it.
    pub fn render(&mut self, clock: &impl Clock) -> Result<Option<Vec<String>>> {
        if !self.changed {
            return Ok(None);
        }
        self.set("kind", self.kind.word());
        self.set("timestamp", now_iso(clock));
        self.set("version", crate::VERSION);
        move_key(&mut self.map, false);
        let pieces = ledger_text::render(&mut self.map, &self.files).map_err(|e| {
            Error::new(ErrorKind::Storage, "save state", format!("The folder's state could not be written: {e}."))
        })?;
        move_key(&mut self.map, true);
        self.changed = false;
        Ok(Some(pieces))
    }

    /// Takes note that a text was not written after all.
    pub fn not_written(&mut self) {
        self.changed = true;
    }
}

/// Moves our key of unlisted filters out of the ledger or into it: the file has no keys beyond the reference's but the ledger.
fn move_key(map: &mut Map<String, Value>, out: bool) {
    if out {
        let found = map.get_mut(LEDGER).and_then(Value::as_object_mut).and_then(|ledger| ledger.shift_remove(UNLISTED));
        if let Some(filters) = found {
            map.insert(UNLISTED.to_owned(), filters);
        }
    } else if map.contains_key(LEDGER)
        && let Some(filters) = map.shift_remove(UNLISTED)
        && let Some(ledger) = map.get_mut(LEDGER).and_then(Value::as_object_mut)
    {
        ledger.insert(UNLISTED.to_owned(), filters);
    }
}

/// What is in `.metadata`; nothing if there is none.
async fn read_map<S: Storage>(storage: &S) -> Result<(Map<String, Value>, Lists)> {
    if storage.stat(METADATA).await?.is_none() {
        return Ok((Map::new(), Lists::new()));
    }
    let bytes = read_all(storage, METADATA).await?;
    let wrong = |what: String| {
        Error::new(ErrorKind::Corrupt, "open folder", format!("The folder's .metadata file cannot be read: {what}."))
            .with_hint("Restore it from a backup, or choose another folder; the data files are not touched.")
    };
    let (text, lists) = ledger_text::cut(&bytes);
    match serde_json::from_slice(&text) {
        Ok(Value::Object(mut map)) => {
            move_key(&mut map, true);
            let files = ledger_text::read(&lists).map_err(wrong)?;
            Ok((map, files))
        }
        Ok(_) => Err(wrong("it is no JSON object".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// What is to become `.metadata`.
const TEMPORARY: &str = ".metadata.tmp";

/// Writes `.metadata`: temporary file, flush, rename.
pub async fn write<P: Platform>(platform: &P, pieces: Vec<String>) -> Result<()> {
    let storage = platform.storage();
    let mut file = storage.open(TEMPORARY, WriteMode::Create).await?;
    for piece in pieces {
        file.write(piece.as_bytes()).await?;
    }
    file.flush().await?;
    file.close().await?;
    Ok(storage.rename(TEMPORARY, METADATA).await?)
}

/// Locks the folder, and removes what a killed job left of a state that it was writing: who has nothing to do writes none.
///
/// # Errors
/// `Locked` if another job has it.
pub async fn lock<S: Storage>(storage: &S) -> Result<S::Lock> {
    let lock = storage.lock().await?;
    storage.remove(TEMPORARY).await?;
    Ok(lock)
}

/// Reads a whole small file.
pub(crate) async fn read_all<S: Storage>(storage: &S, path: &str) -> Result<Vec<u8>> {
    // In one read: a job may replace the file meanwhile, and halves of two files are none.
    let bytes = storage.read(path, 0, MAX_BYTES).await?;
    if bytes.len() < MAX_BYTES {
        return Ok(bytes);
    }
    Err(Error::new(ErrorKind::Corrupt, "read", format!("{path} is too large to be what it should be.")))
}

/// Escapes everything outside ASCII, as the reference's JSON does.
pub(crate) fn ascii(json: String) -> String {
    use std::fmt::Write;
    if json.is_ascii() {
        return json;
    }
    let mut result = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            result.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(result, "\\u{unit:04x}");
            }
        }
    }
    result
}

/// The local time as the reference writes it: `2026-11-21T09:56:32.071000+00:00`, no fraction when it is zero.
pub fn now_iso(clock: &impl Clock) -> String {
    let millis = clock.now_millis();
    instant::iso(millis, clock.offset_minutes(millis))
}
