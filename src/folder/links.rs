//! Links in a managed folder to what is current: `Type.001.ndjson.gz -> NNN.nickname/…`. Current are the newest full export of
//! a type, what came since, and filtered exports until a full one covers them.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{self, Export};
use super::managed::ManagedFolder;
use super::metadata::{Kind, Metadata};
use super::present;
use super::rows::data_files;
use crate::fhir::resource_type::{ALL, DEFAULT};
use crate::hydrate::tasks::inputs_of;
use crate::platform::{Platform, Storage};
use crate::{Error, ErrorKind, Result};

/// Makes the links of a managed folder anew (`reset-symlinks`). Returns how many there are. `label`: what the caller calls the
/// folder, for messages.
///
/// # Errors
/// `Usage` without such a folder, `Mismatch` if it is no managed folder, or if a file that is no link has the name of one; `Locked` while a job is at work.
pub async fn reset<P: Platform>(platform: &P, label: Option<&str>) -> Result<u64> {
    present::require(platform.storage(), label).await?;
    if Metadata::load(platform.storage(), Kind::Managed).await?.is_empty() {
        let message = "The folder does not look like a SMART Fetch managed export folder.";
        return Err(Error::new(ErrorKind::Mismatch, "links", message)
            .with_hint("Give the folder that holds the numbered subfolders."));
    }
    let _folder = ManagedFolder::open(platform).await?;
    renew(platform).await
}

/// The same, by who holds the folder's lock. Links are made before stale ones go, each is replaced at once, and the link to a
/// file that gets another number is renamed, in an order in which no place is needed twice: whatever happens, no link leads
/// nowhere, no file is shown twice, and nothing that is current is without a link for longer than it was before.
pub(crate) async fn renew<P: Platform>(platform: &P) -> Result<u64> {
    let storage = platform.storage();
    let exports = history::load(storage).await?;
    let wanted = wanted(platform, &exports).await?;
    let mut present: BTreeMap<String, Option<String>> = BTreeMap::new();
    for entry in storage.list("").await?.into_iter().filter(|entry| !entry.is_dir) {
        present.insert(entry.name, entry.target);
    }
    if let Some((name, _)) = wanted.iter().find(|(name, _)| matches!(present.get(name), Some(None))) {
        let message = format!("The folder holds a file {name} where a link would be.");
        return Err(Error::new(ErrorKind::Mismatch, "links", message)
            .with_hint("Move it away, then make the links by reset-symlinks."));
    }
    // Which name each link's file is to have, and has.
    let mut due: BTreeMap<&str, &str> = BTreeMap::new();
    due.extend(wanted.iter().map(|(name, target)| (target.as_str(), name.as_str())));
    let mut has: BTreeMap<String, String> = BTreeMap::new();
    has.extend(present.iter().filter_map(|(name, target)| Some((target.clone()?, name.clone()))));
    let mut left: Vec<&(String, String)> = wanted.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        let mut waiting = Vec::new();
        for link in left {
            let (name, target) = link;
            match present.get(name).and_then(Option::as_ref) {
                Some(here) if here == target => continue,
                // What has the name is shown by no other yet: its turn comes first.
                Some(here) if due.contains_key(here.as_str()) && has.get(here) == Some(name) => {
                    waiting.push(link);
                    continue;
                }
                _ => {}
            }
            match has.insert(target.clone(), name.clone()).filter(|other| is_ours(other)) {
                Some(other) => {
                    storage.rename(&other, name).await?;
                    present.remove(&other);
                }
                None => storage.link(target, name).await?,
            }
            present.insert(name.clone(), Some(target.clone()));
        }
        // From the other end now: numbers go up, or down.
        waiting.reverse();
        if waiting.len() == before {
            // In a circle, which takes exports that were renamed: one of them is hidden for a moment.
            if let Some((name, target)) = waiting.pop() {
                storage.link(target, name).await?;
                if let Some(hidden) = present.insert(name.clone(), Some(target.clone())).flatten() {
                    has.remove(&hidden);
                }
                has.insert(target.clone(), name.clone());
            }
        }
        left = waiting;
    }
    for (name, target) in present {
        let is_wanted = || target.as_ref().is_some_and(|target| due.get(target.as_str()) == Some(&name.as_str()));
        if is_ours(&name) && target.is_some() && !is_wanted() {
            storage.remove(&name).await?;
        }
    }
    Ok(wanted.len() as u64)
}

/// Whether a link has a name that we give.
fn is_ours(name: &str) -> bool {
    name.split_once('.').is_some_and(|(word, _)| ALL.binary_search(&word).is_ok())
}

/// What is not as [`renew`] would make it: name, and what is wrong with it. Not of types of which files are gone: their links
/// are made anew when they are back.
pub(crate) async fn differences<P: Platform>(platform: &P) -> Result<Vec<(String, String)>> {
    let mut exports = history::load(platform.storage()).await?;
    let mut gone = BTreeSet::new();
    for lost in exports.iter_mut().flat_map(|export| std::mem::take(&mut export.lost)).filter(|lost| lost.is_gone) {
        gone.extend(lost.types);
    }
    let is_gone = |name: &str| name.split_once('.').is_some_and(|(word, _)| gone.contains(word));
    let mut wanted: BTreeMap<String, String> = wanted(platform, &exports).await?.into_iter().collect();
    let mut found = Vec::new();
    for entry in platform.storage().list("").await?.into_iter().filter(|entry| !entry.is_dir) {
        let problem = match (wanted.remove(&entry.name), entry.target) {
            (Some(due), Some(target)) if due == target => continue,
            (Some(due), Some(target)) => {
                format!("leads to {target}, not to {due}: make the links anew by reset-symlinks")
            }
            (Some(_), None) => {
                "is where a link would be: move it away, then make the links by reset-symlinks".to_owned()
            }
            (None, Some(target)) if is_ours(&entry.name) => {
                format!("leads to {target}, which is not current: make the links anew by reset-symlinks")
            }
            (None, _) => continue,
        };
        found.push((entry.name, problem));
    }
    found.retain(|(name, _)| !is_gone(name));
    wanted.retain(|name, _| !is_gone(name));
    found.extend(wanted.into_keys().map(|name| (name, "is missing: make the links anew by reset-symlinks".to_owned())));
    Ok(found)
}

/// The links that there should be: name and target, in the order of their names.
async fn wanted<P: Platform>(platform: &P, exports: &[Export]) -> Result<Vec<(String, String)>> {
    let storage = platform.storage();
    // As the reference: by the path as a text, whatever the number.
    let mut order: Vec<usize> = (0..exports.len()).collect();
    order.sort_unstable_by(|a, b| exports[*a].folder.name.cmp(&exports[*b].folder.name));
    let mut files: Vec<Vec<(String, String)>> = Vec::new();
    let mut types: BTreeSet<String> = BTreeSet::new();
    for export in exports {
        let mut of_export = Vec::new();
        for file in data_files(&storage.within(&export.folder.name), "").await? {
            if let Some(resource_type) = file.resource_type {
                types.insert(resource_type.clone());
                of_export.push((resource_type, file.path));
            }
        }
        files.push(of_export);
    }
    let mut links = Vec::new();
    for resource_type in types {
        let active = active_of(exports, &resource_type);
        let mut number = 0;
        for index in order.iter().copied().filter(|index| active.contains(index)) {
            for (_, path) in files[index].iter().filter(|(of_file, _)| *of_file == resource_type) {
                number += 1;
                let ending = if path.strip_suffix(".gz").is_some() { ".gz" } else { "" };
                let target = format!("{}/{path}", exports[index].folder.name);
                links.push((format!("{resource_type}.{number:03}.ndjson{ending}"), target));
            }
        }
    }
    Ok(links)
}

/// The exports whose files of a type are current. A type that comes by hydration follows the types that it comes from; one
/// that a server sends though nobody asked for it follows all.
pub(crate) fn active_of(exports: &[Export], resource_type: &str) -> BTreeSet<usize> {
    let is_asked = exports.iter().any(|export| export.filters(resource_type).is_some());
    let mut active = BTreeSet::new();
    let mut add = |source: &str| active.extend(current(exports, source));
    if is_asked {
        add(resource_type);
    }
    let mut is_hydrated = false;
    for source in inputs_of(resource_type).filter(|source| DEFAULT.contains(source)) {
        is_hydrated = true;
        add(source);
    }
    if !is_asked && !is_hydrated {
        exports.iter().flat_map(Export::types).for_each(add);
    }
    active
}

/// The exports of a type that are current, given all exports, newest first.
fn current(exports: &[Export], resource_type: &str) -> Vec<usize> {
    let mut covered = Covered::default();
    // What is of some ids takes the place of its like only.
    let mut of_ids = Covered::default();
    let mut found = Vec::new();
    for (index, export) in exports.iter().enumerate() {
        let Some(filters) = export.filters(resource_type) else { continue };
        let is_of_all = export.is_of_ids() == Some(false);
        let is_covered = covered.has(&filters) || !is_of_all && of_ids.has(&filters);
        // A bulk job that was resumed would replace some files: they are shown when it is done.
        if is_covered || export.is_torn(resource_type) {
            continue;
        }
        found.push(index);
        // What is not whole takes nothing's place, nor what is of some patients, or some elements.
        let is_part = export.narrowing().flatten().next().is_some();
        if export.is_since(resource_type) || export.done(resource_type).is_none() || is_part {
            if is_of_all {
                // It may go on from one of ids.
                of_ids = Covered::default();
            }
            continue;
        }
        if export.is_of_ids() == Some(true) {
            of_ids.add(filters);
        } else {
            covered.add(filters);
        }
        if covered.whole {
            break;
        }
    }
    found
}

/// What newer exports cover of a type.
#[derive(Default)]
struct Covered<'a> {
    /// One without filters is among them.
    whole: bool,
    filters: BTreeSet<&'a str>,
}

impl<'a> Covered<'a> {
    fn has(&self, filters: &BTreeSet<&str>) -> bool {
        self.whole || !filters.is_empty() && filters.is_subset(&self.filters)
    }

    fn add(&mut self, filters: BTreeSet<&'a str>) {
        self.whole |= filters.is_empty();
        self.filters.extend(filters);
    }
}
