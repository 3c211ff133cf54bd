//! A managed folder: numbered subfolders, one for each export, and a `.metadata` that says what it is for.

use serde_json::Value;

use super::metadata::{self, Kind, Metadata};
use crate::config::Level;
use crate::platform::{Clock, Platform, Storage};
use crate::{Error, ErrorKind, Result};

/// A subfolder `NNN.nickname`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subfolder {
    /// The number, which decides the order.
    pub number: u64,
    /// Its name as a whole, such as `001.2026-11-21`.
    pub name: String,
}

impl Subfolder {
    fn parse(name: &str) -> Option<Self> {
        let (digits, nickname) = name.split_once('.')?;
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| is_number && !nickname.contains('\n'))?;
        Some(Self { number, name: name.to_owned() })
    }

    /// What stands after the number.
    pub fn nickname(&self) -> &str {
        self.name.split_once('.').map_or("", |(_, nickname)| nickname)
    }
}

/// The subfolders of a managed folder, newest first.
pub async fn subfolders<S: Storage>(storage: &S) -> Result<Vec<Subfolder>> {
    let entries = storage.list("").await?;
    let mut found: Vec<_> = entries.iter().filter(|e| e.is_dir).filter_map(|e| Subfolder::parse(&e.name)).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Refuses a nickname that cannot be part of a folder's name.
pub fn check_nickname(nickname: &str) -> Result<()> {
    let is_bad = |c: char| matches!(c, '/' | '\\') || c.is_control();
    if nickname.is_empty() || nickname.len() > 200 || nickname.contains(is_bad) {
        return Err(Error::usage(format!(
            "'{nickname}' cannot be a nickname, since it cannot be part of a folder's name."
        ))
        .with_hint("Leave out slashes and control characters, and keep it short."));
    }
    Ok(())
}

/// A managed folder, locked.
pub struct ManagedFolder<'p, P: Platform> {
    platform: &'p P,
    metadata: Metadata,
    _lock: <P::Storage as Storage>::Lock,
}

impl<'p, P: Platform> ManagedFolder<'p, P> {
    /// Locks the folder.
    ///
    /// # Errors
    /// `Locked` if another job has it; `Mismatch` if it is a folder of another kind.
    pub async fn open(platform: &'p P) -> Result<Self> {
        // A first look, so that a folder that is none of ours is left as it is.
        Metadata::load(platform.storage(), Kind::Managed).await?;
        let lock = metadata::lock(platform.storage()).await?;
        let metadata = Metadata::load(platform.storage(), Kind::Managed).await?;
        Ok(Self { platform, metadata, _lock: lock })
    }

    /// Forgets what the folder is for: of all that was tried, nothing came.
    pub fn forget(&mut self) {
        self.metadata.remove("fhir-url");
        self.metadata.remove("group");
    }

    /// Refuses exports of another server or Group than the folder is for.
    ///
    /// # Errors
    /// `Mismatch`
    pub fn check(&self, fhir_url: &str, level: &Level) -> Result<()> {
        let Some(found) = self.metadata.text("fhir-url") else { return Ok(()) };
        let without_slash = |url: &str| url.strip_suffix('/').unwrap_or(url).to_owned();
        let (found, expected) = (without_slash(found), without_slash(fhir_url));
        if found != expected {
            return mismatch(format!(
                "Target folder .metadata is for a different FHIR URL.\nExpected {expected}\nBut found {found}"
            ));
        }
        let (found, expected) = (self.metadata.text("group"), group(level));
        if found != expected {
            let (expected, found) = (expected.unwrap_or("None"), found.unwrap_or("None"));
            return mismatch(format!(
                "Target folder .metadata is for a different Group.\nExpected {expected}, but found {found}."
            ));
        }
        Ok(())
    }

    /// Writes down what the folder is for, unless it says so already.
    pub async fn begin(&mut self, fhir_url: &str, level: &Level) -> Result<()> {
        if self.metadata.get("fhir-url").is_some() {
            return Ok(());
        }
        self.metadata.set("fhir-url", fhir_url);
        self.metadata.set("group", group(level).map_or(Value::Null, Value::from));
        match self.metadata.render(self.platform.clock())? {
            Some(text) => metadata::write(self.platform, text).await,
            None => Ok(()),
        }
    }

    /// The name for a new subfolder after `newest`; today's local date if there is no nickname.
    pub fn new_name(&self, newest: Option<&Subfolder>, nickname: Option<&str>) -> String {
        let number = newest.map_or(0, |newest| newest.number).saturating_add(1);
        format!("{number:03}.{}", nickname.map_or_else(|| today(self.platform.clock()), str::to_owned))
    }
}

/// The local date: the nickname where none is given.
pub fn today(clock: &impl Clock) -> String {
    let mut now = metadata::now_iso(clock);
    now.truncate(10);
    now
}

fn group(level: &Level) -> Option<&str> {
    if let Level::Group(id) = level { Some(id) } else { None }
}

fn mismatch(message: String) -> Result<()> {
    Err(Error::new(ErrorKind::Mismatch, "open folder", message).with_hint("Choose another folder for this export."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subfolders_are_known_by_number_and_dot() {
        assert!(Subfolder::parse("001.one").is_some_and(|s| s.number == 1 && s.nickname() == "one"));
        assert!(Subfolder::parse("12.").is_some_and(|s| s.number == 12 && s.nickname().is_empty()));
        assert!(Subfolder::parse("1000.a.b").is_some_and(|s| s.nickname() == "a.b"));
        for other in ["one", ".metadata", ".1", "1", "a1.x", "+1.x", "99999999999999999999999.x"] {
            assert!(Subfolder::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_nickname_that_would_be_a_path_is_refused() {
        assert!(check_nickname("März 2026").is_ok());
        for bad in ["", "../x", "a/b", "a\\b", "a\nb", &"x".repeat(201)] {
            assert!(check_nickname(bad).is_err(), "{bad:?}");
        }
    }
}
