//! Memory storage that can be killed at any call, be full, or be read-only.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use super::VirtualClock;
use crate::platform::storage::{Entry, Gzipping, Usage};
use crate::platform::{Clock, FileWriter, Storage, StorageError, StorageErrorKind, WriteMode};

#[derive(Clone, Debug)]
enum Node {
    File(Rc<RefCell<Vec<u8>>>),
    Link(String),
}

#[derive(Debug, Default)]
struct Disk {
    nodes: RefCell<BTreeMap<String, Node>>,
    calls: Cell<u64>,
    kill_at: Cell<Option<u64>>,
    capacity: Cell<Option<u64>>,
    read_only: Cell<bool>,
    locked: RefCell<BTreeSet<String>>,
    slow: RefCell<Option<(VirtualClock, Duration)>>,
    threads: RefCell<Option<(VirtualClock, Duration, u64)>>,
    members: Cell<u64>,
}

/// A folder in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    disk: Rc<Disk>,
    /// Of a subfolder: its path, with a slash.
    prefix: String,
}

impl MemoryStorage {
    /// An empty folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Kills the job at storage call number `call` (from 1, counted from now on): that call and all later ones never return,
    /// the call itself has half of its effect where it writes.
    pub fn kill_at(&self, call: u64) {
        self.disk.calls.set(0);
        self.disk.kill_at.set(Some(call));
    }

    /// Ends a kill: the folder is as the killed job left it, its lock is free.
    pub fn revive(&self) {
        self.disk.kill_at.set(None);
        self.disk.locked.borrow_mut().clear();
    }

    /// Storage calls since the start or the last [`MemoryStorage::kill_at`].
    pub fn calls(&self) -> u64 {
        self.disk.calls.get()
    }

    /// Lets writes fail with [`StorageErrorKind::Full`] when the files hold more than `bytes` in all.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.capacity.set(bytes);
    }

    /// Lets every change fail with [`StorageErrorKind::Denied`].
    pub fn set_read_only(&self, read_only: bool) {
        self.disk.read_only.set(read_only);
    }

    /// Lets every call take `time` on `clock`, so that a job does other things meanwhile.
    pub fn set_slow(&self, clock: VirtualClock, time: Duration) {
        self.disk.slow.replace(Some((clock, time)));
    }

    /// Gives the folder other threads that make gzip members, which takes `time` on `clock`, and thrice that for every other one, so that
    /// they come out of order. From member number `dies` on (from 0) they die.
    pub fn set_threads(&self, clock: VirtualClock, time: Duration, dies: u64) {
        self.disk.threads.replace(Some((clock, time, dies)));
    }

    /// gzip members that the other threads were asked for.
    pub fn members(&self) -> u64 {
        self.disk.members.get()
    }

    /// All paths, sorted; links as `path -> target`.
    pub fn paths(&self) -> Vec<String> {
        let show = |(path, node): (&String, &Node)| match node {
            Node::File(_) => path.clone(),
            Node::Link(target) => format!("{path} -> {target}"),
        };
        self.disk.nodes.borrow().iter().map(show).collect()
    }

    /// The bytes of a file, if it is there; a link is followed.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        Some(self.data(&self.full(path))?.borrow().clone())
    }

    fn full(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The file at a full path, through links.
    fn data(&self, full: &str) -> Option<Rc<RefCell<Vec<u8>>>> {
        let target = match self.disk.nodes.borrow().get(full)? {
            Node::File(data) => return Some(data.clone()),
            Node::Link(target) => target.clone(),
        };
        let folder = full.rfind('/').map_or("", |slash| &full[..=slash]);
        self.data(&format!("{folder}{target}"))
    }

    fn entry(full: &str, node: &Node) -> Entry {
        let name = full.rsplit('/').next().unwrap_or_default().to_owned();
        let (size, target) = match node {
            Node::File(data) => (data.borrow().len() as u64, None),
            Node::Link(target) => (0, Some(target.clone())),
        };
        Entry { name, is_dir: false, size, target }
    }

    /// The text of a file; gunzipped if the name ends in `.gz`.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        if std::path::Path::new(path).extension().is_some_and(|e| e == "gz") {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut text).ok()?;
            return Some(text);
        }
        String::from_utf8(bytes).ok()
    }

    /// Puts a file there.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.disk.nodes.borrow_mut().insert(self.full(path), Node::File(Rc::new(RefCell::new(bytes.into()))));
    }

    /// Takes a file or a link away.
    pub fn take(&self, path: &str) {
        self.disk.nodes.borrow_mut().remove(&self.full(path));
    }

    fn used(&self) -> u64 {
        let size = |node: &Node| {
            if let Node::File(data) = node { data.borrow().len() as u64 } else { 0 }
        };
        self.disk.nodes.borrow().values().map(size).sum()
    }

    /// Counts a call; true if the job is killed in it.
    fn call(&self) -> bool {
        let call = self.disk.calls.get() + 1;
        self.disk.calls.set(call);
        self.disk.kill_at.get().is_some_and(|at| call >= at)
    }

    async fn check(&self, path: &str, change: bool) -> Result<(), StorageError> {
        if self.call() {
            pending::<()>().await;
        }
        let slow = self.disk.slow.borrow().clone();
        if let Some((clock, time)) = slow {
            clock.sleep(time).await;
        }
        if change && self.disk.read_only.get() {
            return Err(StorageError::new(StorageErrorKind::Denied, path, "read-only file system"));
        }
        Ok(())
    }
}

/// A file of a [`MemoryStorage`] open for writing.
#[derive(Debug)]
pub struct MemoryWriter {
    storage: MemoryStorage,
    path: String,
    data: Rc<RefCell<Vec<u8>>>,
}

impl FileWriter for MemoryWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if self.storage.call() {
            // A kill in the middle of a write leaves half of it.
            if self.storage.disk.calls.get() == self.storage.disk.kill_at.get().unwrap_or_default() {
                self.data.borrow_mut().extend_from_slice(&bytes[..bytes.len() / 2]);
            }
            pending::<()>().await;
        }
        if self.storage.disk.capacity.get().is_some_and(|c| self.storage.used() + bytes.len() as u64 > c) {
            return Err(StorageError::new(StorageErrorKind::Full, &self.path, "no space left on device"));
        }
        self.data.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StorageError> {
        self.storage.check(&self.path, false).await
    }

    async fn close(self) -> Result<(), StorageError> {
        self.storage.check(&self.path, false).await
    }
}

/// The lock of a [`MemoryStorage`].
#[derive(Debug)]
pub struct MemoryLock(MemoryStorage);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.disk.locked.borrow_mut().remove(&self.0.prefix);
    }
}

impl Storage for MemoryStorage {
    type Writer = MemoryWriter;
    type Lock = MemoryLock;

    fn within(&self, folder: &str) -> Self {
        let prefix = if folder.is_empty() { self.prefix.clone() } else { format!("{}{folder}/", self.prefix) };
        Self { disk: self.disk.clone(), prefix }
    }

    async fn stat(&self, path: &str) -> Result<Option<Entry>, StorageError> {
        self.check(path, false).await?;
        let full = self.full(path);
        let nodes = self.disk.nodes.borrow();
        let folder = if path.is_empty() { self.prefix.clone() } else { format!("{full}/") };
        Ok(match nodes.get(&full) {
            Some(node) => Some(Self::entry(&full, node)),
            None if folder.is_empty() || nodes.keys().any(|k| k.starts_with(&folder)) => {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                Some(Entry { name, is_dir: true, size: 0, target: None })
            }
            None => None,
        })
    }

    async fn list(&self, path: &str) -> Result<Vec<Entry>, StorageError> {
        self.check(path, false).await?;
        let prefix = if path.is_empty() { self.prefix.clone() } else { format!("{}/", self.full(path)) };
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (key, node) in self.disk.nodes.borrow().iter() {
            let Some(rest) = key.strip_prefix(&prefix) else {
                continue;
            };
            let entry = match rest.split_once('/') {
                Some((dir, _)) => Entry { name: dir.to_owned(), is_dir: true, size: 0, target: None },
                None => Self::entry(key, node),
            };
            entries.insert(entry.name.clone(), entry);
        }
        Ok(entries.into_values().collect())
    }

    async fn read(&self, path: &str, offset: u64, max: usize) -> Result<Vec<u8>, StorageError> {
        self.check(path, false).await?;
        let bytes =
            self.bytes(path).ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, path, "no such file"))?;
        let start = bytes.len().min(offset as usize);
        let end = bytes.len().min(start + max);
        Ok(bytes[start..end].to_vec())
    }

    async fn open(&self, path: &str, mode: WriteMode) -> Result<MemoryWriter, StorageError> {
        self.check(path, true).await?;
        if mode == WriteMode::Create || self.bytes(path).is_none() {
            self.put(path, Vec::new());
        }
        let data = self.data(&self.full(path));
        let data = data.ok_or_else(|| StorageError::new(StorageErrorKind::Other, path, "not a file"))?;
        Ok(MemoryWriter { storage: self.clone(), path: path.to_owned(), data })
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.check(from, true).await?;
        let mut nodes = self.disk.nodes.borrow_mut();
        let node = nodes
            .remove(&self.full(from))
            .ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, from, "no such file"))?;
        nodes.insert(self.full(to), node);
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), StorageError> {
        self.check(path, true).await?;
        self.disk.nodes.borrow_mut().remove(&self.full(path));
        Ok(())
    }

    async fn link(&self, target: &str, path: &str) -> Result<(), StorageError> {
        self.check(path, true).await?;
        self.disk.nodes.borrow_mut().insert(self.full(path), Node::Link(target.to_owned()));
        Ok(())
    }

    fn gzip(&self, text: &[u8]) -> Option<Gzipping> {
        let (clock, time, dies) = self.disk.threads.borrow().clone()?;
        let number = self.disk.members.get();
        self.disk.members.set(number + 1);
        let member = if number < dies {
            Ok(crate::ndjson::gzip(text))
        } else {
            Err(StorageError::new(StorageErrorKind::Other, "", "the thread has died"))
        };
        // Begun now: the time runs from here on.
        let ready =
            clock.now_millis() + i64::try_from(time.as_millis()).ok()? * if number.is_multiple_of(2) { 3 } else { 1 };
        Some(Box::pin(async move {
            let left = u64::try_from(ready - clock.now_millis()).unwrap_or(0);
            clock.sleep(Duration::from_millis(left)).await;
            member
        }))
    }

    async fn usage(&self) -> Result<Usage, StorageError> {
        self.check("", false).await?;
        Ok(Usage { available: self.disk.capacity.get().map(|c| c.saturating_sub(self.used())) })
    }

    async fn lock(&self) -> Result<MemoryLock, StorageError> {
        self.check("", true).await?;
        if !self.disk.locked.borrow_mut().insert(self.prefix.clone()) {
            return Err(StorageError::new(StorageErrorKind::Locked, "", "another job is at work in this folder"));
        }
        Ok(MemoryLock(self.clone()))
    }
}
