//! What to do about a file that is damaged or gone: what is said here must work when it is done to the letter.

use crate::folder::DataFile;
use crate::folder::Ledger;
use crate::folder::history::{self, Export};
use crate::folder::layout::set;

/// Which export a file belongs to.
pub(super) struct Advice<'a> {
    /// All exports of a managed folder, newest first.
    pub(super) exports: &'a [Export],
    /// Which of them; none in a folder of one export.
    pub(super) index: Option<usize>,
}

impl Advice<'_> {
    /// Whether the state of the folder as a whole is told elsewhere, with what is lost.
    pub(super) fn is_managed(&self) -> bool {
        self.index.is_some()
    }

    /// What to do after a file was removed, or is gone.
    pub(super) fn cure(&self, resource_type: Option<&str>) -> String {
        match self.index {
            None => "run the same command again, which fetches it anew".to_owned(),
            Some(index) => {
                let needed = resource_type.is_none_or(|name| history::is_needed(self.exports, index, name));
                if needed {
                    history::cure(index, resource_type.unwrap_or_default())
                } else {
                    "later exports have what was in it".to_owned()
                }
            }
        }
    }

    /// What to do about a file that cannot be read, or does not hold what it should.
    pub(super) fn of_damaged(&self, file: &DataFile, ledger: &Ledger) -> String {
        let jobs = ledger.jobs.iter().flat_map(|job| &job.files);
        let names = set(&mut jobs.flat_map(|file| file.parts.iter().chain([&file.name])).cloned());
        let is_crawled = ledger.crawl.iter().flat_map(|crawl| &crawl.types).any(|state| state.file == file.path);
        let has_ledger = !ledger.jobs.is_empty() || ledger.crawl.is_some();
        let kind = file.path.split_once('/').map(|(folder, _)| folder);
        match kind {
            Some("error") => "nothing brings it back but an export into another folder".to_owned(),
            _ if names.contains(&file.path) || is_crawled || kind.is_some() && has_ledger => {
                format!("remove it, then {}", self.cure(file.resource_type.as_deref().filter(|_| kind.is_none())))
            }
            _ if has_ledger => "remove it, then hydrate the folder again".to_owned(),
            _ if self.is_managed() => "export once more without --since, with another --nickname".to_owned(),
            _ => "export into another folder".to_owned(),
        }
    }
}
