//! The storage seam: one folder. Paths are relative to it, `/`-separated, and made by the core, never by a server. Reading goes
//! through links; removing and renaming take the link itself.

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last segment of the path.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Size in bytes; 0 for a folder or a link.
    pub size: u64,
    /// What it points at, relative to the folder that it is in, if it is a link.
    pub target: Option<String>,
}

/// How to open a file for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// Empty, whatever was there.
    Create,
    /// After what is there; a new file if nothing is.
    Append,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes still free, where the host knows.
    pub available: Option<u64>,
}

/// A file open for writing.
pub trait FileWriter {
    /// Writes all of `bytes` at the end.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes what was written survive a crash of the machine where the host can (fsync).
    async fn flush(&mut self) -> Result<(), StorageError>;

    /// Closes the file. A writer that is dropped unclosed leaves a file of unknown length.
    async fn close(self) -> Result<(), StorageError>;
}

/// A gzip member that another thread makes.
pub type Gzipping = futures_util::future::LocalBoxFuture<'static, Result<Vec<u8>, StorageError>>;

/// A folder.
pub trait Storage {
    /// A file open for writing.
    type Writer: FileWriter;
    /// Held for as long as the lock is wanted; dropping it releases the lock.
    type Lock;

    /// The subfolder `folder` as a storage of its own, with a lock of its own. Nothing is made.
    #[must_use]
    fn within(&self, folder: &str) -> Self;

    /// What is at `path`; `None` if nothing is.
    async fn stat(&self, path: &str) -> Result<Option<Entry>, StorageError>;

    /// What is in the folder `path` (`""`: the root), in any order; empty if there is no such folder.
    async fn list(&self, path: &str) -> Result<Vec<Entry>, StorageError>;

    /// Up to `max` bytes from `offset` on; shorter only at the end of the file.
    async fn read(&self, path: &str, offset: u64, max: usize) -> Result<Vec<u8>, StorageError>;

    /// Opens a file for writing; makes missing folders. Names that begin with a dot hold state, which may be secret: private
    /// to the user where the host can (mode 0600).
    async fn open(&self, path: &str, mode: WriteMode) -> Result<Self::Writer, StorageError>;

    /// Gives a file another name, replacing what has it: the commit step, atomic and durable where the host can.
    async fn rename(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes a file or an empty folder; fine if there is none.
    async fn remove(&self, path: &str) -> Result<(), StorageError>;

    /// Makes `path` a link to `target` (relative to the folder of `path`), replacing a link that is there.
    async fn link(&self, target: &str, path: &str) -> Result<(), StorageError>;

    /// Makes one gzip member of `text` on another thread, begun at once. `None` where the host has no thread to spare for it: the
    /// caller encodes by itself, as it does after an error.
    fn gzip(&self, text: &[u8]) -> Option<Gzipping> {
        let _ = text;
        None
    }

    /// How much room there is.
    async fn usage(&self) -> Result<Usage, StorageError>;

    /// Takes the folder's exclusive lock; [`StorageErrorKind::Locked`] at once if another job has it.
    async fn lock(&self) -> Result<Self::Lock, StorageError>;
}

/// Why a storage operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// There is no such file.
    NotFound,
    /// No room, or the quota is reached.
    Full,
    /// No permission, or a read-only file system.
    Denied,
    /// Another job has the lock.
    Locked,
    /// The host cannot do this.
    Unsupported,
    /// Anything else.
    Other,
}

/// A storage error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{}: {message}", if path.is_empty() { "The folder cannot be used" } else { path })]
pub struct StorageError {
    /// Why.
    pub kind: StorageErrorKind,
    /// Which path, relative to the folder.
    pub path: String,
    /// The host's words.
    pub message: String,
}

impl StorageError {
    /// An error of `kind` at `path`.
    pub fn new(kind: StorageErrorKind, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, path: path.into(), message: message.into() }
    }
}

impl From<StorageError> for crate::Error {
    fn from(error: StorageError) -> Self {
        use crate::ErrorKind;
        let kind = match error.kind {
            StorageErrorKind::Full => ErrorKind::Quota,
            StorageErrorKind::Locked => ErrorKind::Locked,
            StorageErrorKind::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Storage,
        };
        let result = Self::new(kind, "storage", error.to_string());
        match kind {
            ErrorKind::Quota => result
                .retryable()
                .with_hint("Free some space, then run the same command again: it carries on where it stopped."),
            ErrorKind::Locked => result.with_hint("Wait until it has ended, or choose another folder."),
            _ => result,
        }
    }
}
