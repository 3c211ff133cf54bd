//! Sorts more entries than memory holds: sorted runs in one temporary file, merged when they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hasher};

use crate::platform::{FileWriter, Storage, StorageErrorKind, WriteMode};
use crate::{Error, ErrorKind, Result};

/// One entry: numbers that are compared from left to right.
pub(crate) type Entry = [u64; 3];

/// Bytes of an entry in the file.
const BYTES: usize = size_of::<Entry>();

/// Entries that are held before they are written: 24 MB.
const IN_MEMORY: usize = 1 << 20;

/// Entries that are held where nothing can be written: 192 MB.
const IN_MEMORY_ONLY: usize = 8 << 20;

/// Bytes that are read of a sorted run at once.
const PIECE: usize = 48 << 10;

/// Takes entries in any order. Entries that are one for `fold` become one, as early as possible.
pub(crate) struct Sorter<'a, S: Storage> {
    storage: &'a S,
    path: String,
    /// Takes the second, later entry into the first, if they are to be one.
    fold: fn(&mut Entry, &Entry) -> bool,
    entries: Vec<Entry>,
    /// Entries that are held at most; small in tests.
    limit: usize,
    writer: Option<S::Writer>,
    written: u64,
    /// Where the sorted runs in the file end.
    ends: Vec<u64>,
    /// Whether nothing can be written here.
    read_only: bool,
}

impl<'a, S: Storage> Sorter<'a, S> {
    /// A sorter whose temporary file, made only if it is needed, is at `path`. The caller removes it, however it ends.
    pub(crate) fn new(storage: &'a S, path: &str, fold: fn(&mut Entry, &Entry) -> bool) -> Self {
        let path = path.to_owned();
        let entries = Vec::new();
        Self {
            storage,
            path,
            fold,
            entries,
            limit: IN_MEMORY,
            writer: None,
            written: 0,
            ends: Vec::new(),
            read_only: false,
        }
    }

    /// Takes an entry.
    pub(crate) async fn push(&mut self, entry: Entry) -> Result<()> {
        if self.entries.len() >= self.limit {
            self.settle();
            // What folds well may never have to leave memory.
            if self.entries.len() > self.limit / 2 {
                self.spill().await?;
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    /// All entries, in order.
    pub(crate) async fn finish(mut self) -> Result<Sorted<'a, S>> {
        self.settle();
        if !self.ends.is_empty() {
            self.spill().await?;
        }
        if let Some(writer) = self.writer.take() {
            writer.close().await?;
        }
        let mut sorted = Sorted {
            storage: self.storage,
            path: self.path,
            fold: self.fold,
            memory: self.entries.into_iter(),
            runs: Vec::new(),
            heap: BinaryHeap::new(),
        };
        let mut from = 0;
        for end in self.ends {
            sorted.runs.push(Run { at: from, end, ready: Vec::new(), next: 0 });
            from = end;
        }
        for run in 0..sorted.runs.len() {
            sorted.advance(run).await?;
        }
        Ok(sorted)
    }

    fn settle(&mut self) {
        self.entries.sort_unstable();
        let fold = self.fold;
        self.entries.dedup_by(|later, first| fold(first, later));
    }

    /// Writes what is held as one sorted run.
    async fn spill(&mut self) -> Result<()> {
        if self.writer.is_none() && !self.read_only {
            match self.storage.open(&self.path, WriteMode::Create).await {
                Ok(writer) => self.writer = Some(writer),
                Err(error) if error.kind == StorageErrorKind::Denied => {
                    self.read_only = true;
                    self.limit = self.limit.max(IN_MEMORY_ONLY);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(writer) = &mut self.writer else {
            if self.entries.len() < self.limit {
                return Ok(());
            }
            let message = "The folder cannot be written, and holds too many resources to be dealt with in memory.";
            return Err(Error::new(ErrorKind::Unsupported, "sort", message)
                .with_hint("Make the folder writable, or give another one for temporary files."));
        };
        let mut bytes = Vec::with_capacity(PIECE);
        for entries in self.entries.chunks(PIECE / BYTES) {
            bytes.clear();
            bytes.extend(entries.iter().flatten().flat_map(|word| word.to_le_bytes()));
            writer.write(&bytes).await?;
            self.written += bytes.len() as u64;
        }
        self.ends.push(self.written);
        self.entries.clear();
        Ok(())
    }
}

/// Entries in order.
pub(crate) struct Sorted<'a, S> {
    storage: &'a S,
    path: String,
    fold: fn(&mut Entry, &Entry) -> bool,
    /// All of them, where there is no file.
    memory: std::vec::IntoIter<Entry>,
    runs: Vec<Run>,
    /// The next entry of each run that has one.
    heap: BinaryHeap<Reverse<(Entry, usize)>>,
}

struct Run {
    at: u64,
    end: u64,
    ready: Vec<u8>,
    next: usize,
}

impl<S: Storage> Sorted<'_, S> {
    /// The next entry.
    #[allow(clippy::should_implement_trait, reason = "it is async")]
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>> {
        let Some(Reverse((mut entry, run))) = self.heap.pop() else { return Ok(self.memory.next()) };
        self.advance(run).await?;
        while let Some(Reverse((other, run))) = self.heap.peek().copied() {
            if !(self.fold)(&mut entry, &other) {
                break;
            }
            self.heap.pop();
            self.advance(run).await?;
        }
        Ok(Some(entry))
    }

    /// Puts the next entry of a run on the heap.
    async fn advance(&mut self, index: usize) -> Result<()> {
        let run = &mut self.runs[index];
        if run.next == run.ready.len() {
            let most = (run.end - run.at).min((PIECE / BYTES * BYTES) as u64) as usize;
            if most == 0 {
                return Ok(());
            }
            run.ready = self.storage.read(&self.path, run.at, most).await?;
            if run.ready.len() != most {
                let message = format!("The temporary file {} was changed by another program.", self.path);
                return Err(Error::new(ErrorKind::Storage, "sort", message));
            }
            run.at += most as u64;
            run.next = 0;
        }
        let mut entry = [0; 3];
        for (word, bytes) in entry.iter_mut().zip(run.ready[run.next..run.next + BYTES].chunks_exact(8)) {
            *word = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        }
        run.next += BYTES;
        self.heap.push(Reverse((entry, index)));
        Ok(())
    }
}

/// 80 bits of a hash of `Type/id`, in the first word and the upper quarter of the second: two of 100 million resources have
/// the same once in 200 million folders.
pub(crate) fn key(kind: &str, id: &str) -> [u64; 2] {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(kind.as_bytes());
        hasher.write_u8(b'/');
        hasher.write(id.as_bytes());
        hasher.finish()
    };
    [half(0), half(1) >> 48 << 48]
}

#[cfg(test)]
mod tests {
    use super::{Entry, Sorter};
    use crate::ErrorKind;
    use crate::testing::{Host, MemoryStorage};

    /// Adds up the third words of entries that are the same before.
    fn sum(first: &mut Entry, later: &Entry) -> bool {
        let same = first[..2] == later[..2];
        first[2] += if same { later[2] } else { 0 };
        same
    }

    fn sorted(storage: &MemoryStorage, entries: &[Entry], limit: usize) -> crate::Result<Vec<Entry>> {
        Host::with_storage(storage.clone()).run(async {
            let mut sorter = Sorter::new(storage, ".tmp/x", sum);
            sorter.limit = limit;
            for entry in entries {
                sorter.push(*entry).await?;
            }
            let (mut in_order, mut all) = (sorter.finish().await?, Vec::new());
            while let Some(entry) = in_order.next().await? {
                all.push(entry);
            }
            Ok(all)
        })
    }

    #[test]
    fn in_memory_or_on_disk_the_result_is_the_same() {
        let mut seed = 1_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let entries: Vec<Entry> = (0..30_000).map(|_| [next(500), next(40), 1]).collect();
        let mut expected = std::collections::BTreeMap::<[u64; 2], u64>::new();
        for [a, b, n] in &entries {
            *expected.entry([*a, *b]).or_default() += n;
        }
        let expected: Vec<Entry> = expected.into_iter().map(|([a, b], n)| [a, b, n]).collect();
        for limit in [7, 1000, 29_999, 30_000, 1 << 20] {
            let storage = MemoryStorage::new();
            assert!(sorted(&storage, &entries, limit).unwrap() == expected, "limit {limit}");
            assert_eq!(storage.paths().is_empty(), limit >= 30_000, "limit {limit}");
        }
        assert_eq!(sorted(&MemoryStorage::new(), &[], 7).unwrap(), Vec::<Entry>::new());
    }

    #[test]
    fn entries_that_fold_need_no_disk() {
        let storage = MemoryStorage::new();
        let entries: Vec<Entry> = (0..10_000).map(|n| [n % 50, 0, 1]).collect();
        assert_eq!(sorted(&storage, &entries, 200).unwrap().len(), 50);
        assert!(storage.paths().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_dealt_with_in_memory() {
        let storage = MemoryStorage::new();
        storage.set_read_only(true);
        let entries: Vec<Entry> = (0..10_000).map(|n| [n, 0, 1]).collect();
        assert_eq!(sorted(&storage, &entries, 100).unwrap().len(), 10_000);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let storage = MemoryStorage::new();
        storage.set_capacity(Some(1000));
        let entries: Vec<Entry> = (0..10_000).map(|n| [n, 0, 1]).collect();
        assert_eq!(sorted(&storage, &entries, 100).unwrap_err().kind, ErrorKind::Quota);
    }
}
