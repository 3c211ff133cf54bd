//! Which resources are there, how often, and which are referred to and are not. Memory stays flat: one entry of 24 bytes for a
//! resource and for what a file of them refers to, sorted on disk where they are many.

use super::{Dangling, VerifyReport};
use crate::fhir::raw::Raw;
use crate::fhir::reference::{local, references};
use crate::folder::sorter::{Entry, Sorter, key};
use crate::platform::Storage;
use crate::{Error, ErrorKind, Result};

/// Set in the second word of a reference's entry; those of resources come before them.
const REFERENCE: u64 = 1 << 47;

/// Where in the second word the number of the run stands; below it, that of the type.
const RUN: u32 = 16;

/// Collects ids and references.
pub(super) struct Ids<'a, S: Storage> {
    sorter: Sorter<'a, S>,
    /// The server's base URL.
    base: String,
    /// Types by number. FHIR has 150 or so.
    types: Vec<String>,
    run: u64,
}

/// Equal entries are one, counted in its third word.
fn add_up(first: &mut Entry, later: &Entry) -> bool {
    let same = first[..2] == later[..2];
    if same {
        first[2] += later[2];
    }
    same
}

impl<'a, S: Storage> Ids<'a, S> {
    pub(super) fn new(storage: &'a S, path: &str, base: String) -> Self {
        Self { sorter: Sorter::new(storage, path, add_up), base, types: Vec::new(), run: 0 }
    }

    /// What comes now is of this export.
    pub(super) fn begin_run(&mut self, run: usize) -> Result<()> {
        self.run = u16::try_from(run)
            .map(u64::from)
            .map_err(|_| Error::new(ErrorKind::Unsupported, "verify", "The folder has more exports than 65,535."))?;
        Ok(())
    }

    /// Takes a resource.
    pub(super) async fn add(&mut self, kind: &str, resource: Raw<'_>) -> Result<()> {
        if let Some(id) = resource.get("id").and_then(Raw::text) {
            let [first, second] = key(kind, &id);
            let kind = self.number(kind);
            self.sorter.push([first, second | self.run << RUN | kind, 1]).await?;
        }
        for reference in references(resource) {
            if let Some((kind, id)) = local(&reference, &self.base) {
                let [first, second] = key(kind, id);
                let entry = [first, second | REFERENCE | self.number(kind), 1];
                self.sorter.push(entry).await?;
            }
        }
        Ok(())
    }

    /// The number of a type; all beyond 65,000, which no real folder has, share one.
    fn number(&mut self, kind: &str) -> u64 {
        const MOST: usize = 65_000;
        let known = self.types.iter().position(|known| known == kind);
        let number = known.unwrap_or_else(|| {
            if self.types.len() < MOST {
                self.types.push(kind.to_owned());
            }
            self.types.len() - 1
        });
        number as u64
    }

    /// Counts what is there twice, and what is referred to and is not there.
    pub(super) async fn count(self, report: &mut VerifyReport) -> Result<()> {
        let mut dangling: Vec<Dangling> = Vec::new();
        for resource_type in &self.types {
            dangling.push(Dangling { resource_type: resource_type.clone(), ..Dangling::default() });
        }
        let mut in_order = self.sorter.finish().await?;
        let mut present = None;
        while let Some([first, second, count]) = in_order.next().await? {
            let resource = (first, second >> 48);
            let kind = (second & 0xFFFF) as usize;
            if second & REFERENCE == 0 {
                present = Some(resource);
                if count > 1
                    && let Some(resource_type) = self.types.get(kind)
                {
                    *report.duplicates.entry(resource_type.clone()).or_default() += count - 1;
                }
            } else if present != Some(resource)
                && let Some(dangling) = dangling.get_mut(kind)
            {
                dangling.targets += 1;
                dangling.references += count;
            }
        }
        dangling.retain(|dangling| dangling.targets > 0);
        dangling.sort_unstable_by(|a, b| a.resource_type.cmp(&b.resource_type));
        report.dangling = dangling;
        Ok(())
    }
}
