//! Writes what a pipeline puts out, in pieces worth a call.

use super::pipeline::Output;
use crate::Result;
use crate::platform::{FileWriter, Storage, WriteMode};

/// Bytes that are gathered before they are written.
const BATCH: usize = 128 << 10;

/// The files of one try. Until they are closed, [`Store::discard`] removes them.
pub(super) struct Store<'a, S: Storage> {
    storage: &'a S,
    path: &'a str,
    /// One per output of the pipeline, in the same order.
    files: Vec<File<S::Writer>>,
}

struct File<W> {
    path: String,
    /// `None` once it is closed.
    writer: Option<W>,
    stored: u64,
}

impl<'a, S: Storage> Store<'a, S> {
    pub(super) fn new(storage: &'a S, path: &'a str) -> Self {
        Self { storage, path, files: Vec::new() }
    }

    /// Writes what is ready, if it is worth it.
    pub(super) async fn write(&mut self, outputs: &mut [Output]) -> Result<()> {
        // Many small parts together may hold as much as one big file.
        let crowded = outputs.len() > 1 && outputs.iter().map(|o| o.ready.len()).sum::<usize>() > 16 * BATCH;
        self.write_from(outputs, if crowded { 1 } else { BATCH }).await
    }

    /// Writes the rest, and makes it safe. The bytes stored, in all and for each part.
    pub(super) async fn close(&mut self, outputs: &mut [Output]) -> Result<(u64, Vec<(String, u64)>)> {
        self.write_from(outputs, 0).await?;
        let mut parts = Vec::new();
        for (file, output) in self.files.iter_mut().zip(outputs) {
            if let Some(mut writer) = file.writer.take() {
                writer.flush().await?;
                writer.close().await?;
            }
            parts.extend(output.part.take().map(|part| (part, file.stored)));
        }
        Ok((self.files.iter().map(|file| file.stored).sum(), parts))
    }

    /// Removes files that are closed, to start anew.
    pub(super) async fn restart(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.files) {
            self.storage.remove(&file.path).await?;
        }
        Ok(())
    }

    /// Removes what was written. Best effort: the reason for it matters more than what goes wrong here.
    pub(super) async fn discard(self) {
        for file in self.files {
            if let Some(writer) = file.writer {
                // Some hosts cannot remove a file that is open.
                let _ = writer.close().await;
            }
            let _ = self.storage.remove(&file.path).await;
        }
    }

    async fn write_from(&mut self, outputs: &mut [Output], least: usize) -> Result<()> {
        for index in 0..outputs.len() {
            if outputs[index].ready.len() < least {
                continue;
            }
            // In order, so that a file and its output have the same index.
            while self.files.len() <= index {
                self.open_next(&outputs[self.files.len()]).await?;
            }
            let (file, output) = (&mut self.files[index], &mut outputs[index]);
            if let Some(writer) = &mut file.writer
                && !output.ready.is_empty()
            {
                writer.write(&output.ready).await?;
                file.stored += output.ready.len() as u64;
                output.ready.clear();
            }
        }
        Ok(())
    }

    async fn open_next(&mut self, output: &Output) -> Result<()> {
        let path = match &output.part {
            Some(part) => format!("{}.{part}", self.path),
            None => self.path.to_owned(),
        };
        let index = self.files.len();
        // Noted before it is opened, so that whatever a failing call leaves behind is removed.
        self.files.push(File { path, writer: None, stored: 0 });
        self.files[index].writer = Some(self.storage.open(&self.files[index].path, WriteMode::Create).await?);
        Ok(())
    }
}
