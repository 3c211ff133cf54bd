//! The manifest: what the server says it has, merged over all its pages.

mod page;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fhir::instant::FhirTime;

pub use page::{NotAManifest, Page};

/// The most files that an export may have; more is a server gone wild, and memory is bounded.
const MAX_FILES: usize = 1_000_000;

/// Which list of the manifest a file is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// `output`: resources.
    Output,
    /// `error` (STU1 to STU3) or `outcome` (STU4): OperationOutcomes of any severity (E02).
    Error,
    /// `deleted`: transaction Bundles.
    Deleted,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFile {
    /// Which list it is in.
    pub kind: FileKind,
    /// Its URL, absolute; byte for byte as sent, unless it was relative or a rewrite rule applied.
    pub url: String,
    /// `type` as the server wrote it: **untrusted**, see [`safe_type`](Self::safe_type). Absent in organized output.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resource_type: Option<String>,
    /// Whether the SMART token is due (`requiresAccessToken` of the page that lists the file). Origins are checked besides.
    pub requires_access_token: bool,
    /// `count`: a hint (E06).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// `fileSize` in bytes: for progress only (E07).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file_size: Option<u64>,
    /// `continuesInFile`, as sent: a pointer to another listed file, never a further download (E14).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub continues_in_file: Option<String>,
    /// `countSeverity`: OperationOutcomes by severity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub count_severity: BTreeMap<String, u64>,
    /// An extension that speaks of encryption or authorization and that we do not know (E15): the file may be unreadable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access_extension: Option<String>,
}

impl ManifestFile {
    /// `type`, if it may be part of a file name (E05).
    pub fn safe_type(&self) -> Option<&str> {
        self.resource_type.as_deref().filter(|name| crate::fhir::resource_type::is_safe(name))
    }

    /// What tells the file apart from others: its list and its URL without the signature that a server renews.
    pub fn identity(&self) -> String {
        identity(self.kind, &self.url)
    }
}

/// A manifest, all pages that were read merged. Each file is listed once (E08).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// `transactionTime`, verbatim (I01); the earliest where pages differ.
    pub transaction_time: String,
    /// `requiresAccessToken` of the first page; true where it is missing (E03).
    pub requires_access_token: bool,
    /// `outputFormat`
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output_format: Option<String>,
    /// `manifestType`
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manifest_type: Option<String>,
    /// `outputOrganizedBy`; absent for "by type" (E13).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output_organized_by: Option<String>,
    /// Whether there is a list `deleted`, even an empty one: a server that has none may keep deletions to itself (I05).
    #[serde(default)]
    pub tells_deletions: bool,
    /// The earliest `Expires`, in milliseconds since the epoch (E12); absent where unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<i64>,
    /// Every file, in the order in which the pages list them.
    pub files: Vec<ManifestFile>,
    /// Entries that cannot be fetched, having no URL or no http(s) one. Data is missing if there are any.
    pub unusable_entries: u64,
    /// Pages that were read.
    pub pages: u32,
}

/// Something about a manifest that the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A stable word for programs.
    pub code: &'static str,
    /// A full sentence.
    pub message: String,
}

impl Notice {
    /// A notice.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Manifest {
    /// The files of one kind, in order.
    pub fn of_kind(&self, kind: FileKind) -> impl Iterator<Item = &ManifestFile> {
        self.files.iter().filter(move |file| file.kind == kind)
    }

    /// Resources announced by `count` of the output files, if any file has one.
    pub fn announced(&self) -> Option<u64> {
        let mut counts = self.of_kind(FileKind::Output).filter_map(|file| file.count).peekable();
        counts.peek()?;
        Some(counts.fold(0, u64::saturating_add))
    }

    /// Whether the files can be read as NDJSON (E16); else they are kept as they are.
    pub fn is_ndjson(&self) -> bool {
        let format = self.output_format.as_deref().unwrap_or("ndjson");
        let media = format.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let known = self.manifest_type.as_deref().is_none_or(|canonical| {
            let url = canonical.split('|').next().unwrap_or_default();
            url.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case("BulkDataManifest"))
        });
        known && (media.is_empty() || media == "ndjson" || media.ends_with("/ndjson") || media.ends_with("+ndjson"))
    }
}

/// Merges pages into one manifest, however often a page is read again.
#[derive(Debug, Default)]
pub struct Merger {
    manifest: Manifest,
    /// By identity: the place in the list.
    known: BTreeMap<String, u64>,
    told: Vec<&'static str>,
    /// Problem entries by page, so that a page that is read again does not count twice.
    unusable: BTreeMap<String, u64>,
}

impl Merger {
    /// What was merged so far.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What was merged, at the end.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// Takes the page that was read from `url`. Returns what to tell the user, each thing once. Files that
    /// an earlier reading of the page had and this one lacks are kept: once listed, a file is final (E10).
    pub fn add(&mut self, url: &str, page: Page, expires: Option<i64>) -> Result<Vec<Notice>, String> {
        let mut notices = page.notices;
        let manifest = &mut self.manifest;
        if self.unusable.is_empty() {
            manifest.transaction_time = page.transaction_time;
            manifest.requires_access_token = page.requires_access_token;
            manifest.output_format = page.output_format;
            manifest.manifest_type = page.manifest_type;
            manifest.output_organized_by = page.output_organized_by;
            if !manifest.is_ndjson() {
                let what = manifest.output_format.as_deref().or(manifest.manifest_type.as_deref()).unwrap_or_default();
                let what = crate::fhir::outcome::clean(what);
                notices.push(Notice::new(
                    "output-format",
                    format!("The server sends '{what}', which is not NDJSON: files are kept as they come, unread."),
                ));
            }
        } else {
            let same = (page.requires_access_token, &page.output_format, &page.output_organized_by)
                == (manifest.requires_access_token, &manifest.output_format, &manifest.output_organized_by);
            if page.transaction_time != manifest.transaction_time || !same {
                notices.push(Notice::new(
                    "manifest-pages-differ",
                    format!(
                        "Pages of the manifest differ where they must not (transactionTime {} and {}); the earlier time counts.",
                        manifest.transaction_time, page.transaction_time
                    ),
                ));
                if is_earlier(&page.transaction_time, &manifest.transaction_time) {
                    manifest.transaction_time = page.transaction_time;
                }
            }
        }
        manifest.tells_deletions |= page.tells_deletions;
        manifest.expires = manifest.expires.into_iter().chain(expires).min();
        self.unusable.insert(url.to_owned(), page.unusable_entries);
        manifest.unusable_entries = self.unusable.values().sum();
        manifest.pages = u32::try_from(self.unusable.len()).unwrap_or(u32::MAX);
        for file in page.files {
            let identity = file.identity();
            if let Some(at) = self.known.get(&identity) {
                // The same file; its signature may have been renewed.
                manifest.files[*at as usize].url = file.url;
            } else {
                self.known.insert(identity, manifest.files.len() as u64);
                manifest.files.push(file);
            }
        }
        if manifest.files.len() > MAX_FILES {
            return Err(format!("The manifest lists more than {MAX_FILES} files."));
        }
        notices.retain(|notice| {
            let new = !self.told.contains(&notice.code);
            self.told.push(notice.code);
            new
        });
        Ok(notices)
    }
}

fn is_earlier(a: &str, b: &str) -> bool {
    match (FhirTime::parse(a), FhirTime::parse(b)) {
        (Some(a), Some(b)) => a.millis(0) < b.millis(0),
        _ => false,
    }
}

/// What tells files apart: the list and the URL without the signature that a server renews.
pub(crate) fn identity(kind: FileKind, url: &str) -> String {
    format!("{kind:?} {}", unsigned(url))
}

/// The URL without the query parameters of the signing schemes of AWS, Google and Azure; other URLs as they are, since
/// elsewhere any parameter may be what tells files apart.
pub(crate) fn unsigned(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let has = |wanted: &str| query.split('&').any(|pair| name(pair) == wanted);
    let azure = has("sig") && has("se");
    let old = has("signature") && (has("expires") || has("policy"));
    let is_signature = |name: &str| {
        name.starts_with("x-amz-")
            || name.starts_with("x-goog-")
            || (azure && matches!(name, "sv" | "ss" | "srt" | "sp" | "se" | "st" | "spr" | "sig" | "sr" | "sip"))
            || (azure && matches!(name, "skoid" | "sktid" | "skt" | "ske" | "sks" | "skv"))
            || (old
                && matches!(
                    name,
                    "expires" | "signature" | "policy" | "key-pair-id" | "awsaccesskeyid" | "googleaccessid"
                ))
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_signature(&name(pair))).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}
