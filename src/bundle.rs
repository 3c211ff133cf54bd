//! All data files of a folder as one Bundle file, in the reference's layout. The files go only when the Bundle is complete and
//! safe on disk.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::LocalConfig;
use crate::fhir::raw::{check, compact};
use crate::folder::layout::PART;
use crate::folder::metadata::{Kind, Metadata, now_iso, read_all};
use crate::folder::{DataFile, RowWriter, Rows, data_files, present};
use crate::platform::{FileWriter, Platform, Storage, WriteMode};
use crate::progress::Steps;
use crate::{Error, ErrorKind, Result};

/// What is to be removed once the Bundle has its name. Written before it gets it, and gone after the last file.
const JOURNAL: &str = ".bundle";

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleReport {
    /// `Bundle.json.gz` or `Bundle.json`.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Resources in it.
    pub resources: u64,
    /// The files that it took the place of.
    pub sources: Vec<String>,
}

impl BundleReport {
    fn read(value: &Value) -> Option<Self> {
        let sources = value["sources"].as_array()?.iter().map(|source| source.as_str().map(str::to_owned));
        Some(Self {
            name: value["name"].as_str()?.to_owned(),
            bytes: value["bytes"].as_u64()?,
            resources: value["resources"].as_u64()?,
            sources: sources.collect::<Option<_>>()?,
        })
    }
}

/// A managed folder has links to what it keeps in its exports: a Bundle would have the versions of all, and take the links away.
async fn refuse_managed<S: Storage>(storage: &S) -> Result<()> {
    match Metadata::load(storage, Kind::Managed).await {
        Ok(metadata) if metadata.text("kind") == Some("managed") => {
            let message = "The folder is a managed folder, whose exports are kept as they are.";
            Err(Error::new(ErrorKind::Mismatch, "bundle", message)
                .with_hint("Put its current state into another folder by merge, then make the Bundle there."))
        }
        Err(error) if !matches!(error.kind, ErrorKind::Mismatch | ErrorKind::Corrupt) => Err(error),
        // An output folder, or one of another program.
        _ => Ok(()),
    }
}

/// Makes a Bundle of the platform's folder and removes the data files that are in it; `error/` and `deleted/` stay.
///
/// # Errors
/// `Usage` without such a folder, `NotFound` without any data file, `Mismatch` for a managed folder, or where a Bundle is there already, `Corrupt` where a file
/// is damaged or has a row that is no resource: then nothing is removed.
pub async fn bundle<P: Platform>(platform: &P, config: &LocalConfig) -> Result<BundleReport> {
    let storage = platform.storage();
    let label = config.folder.as_deref();
    let not_found = |message: String| Error::new(ErrorKind::NotFound, "bundle", message);
    present::require(storage, label).await?;
    refuse_managed(storage).await?;
    let _lock = storage.lock().await?;
    if let Some(report) = resume(storage).await? {
        return Ok(report);
    }
    check_free(storage, config).await?;
    let files = data_files(storage, "").await?;
    if files.is_empty() {
        return Err(not_found(match label {
            Some(label) => format!("No FHIR files found in '{label}'."),
            None => "No FHIR files found in the folder.".to_owned(),
        }));
    }
    make(platform, config, files).await
}

/// The same as the last step of an export, by who holds the folder's lock. `None` if there is no data file, as when the step
/// is repeated.
pub(crate) async fn finish<P: Platform>(platform: &P, config: &LocalConfig) -> Result<Option<BundleReport>> {
    let storage = platform.storage();
    if let Some(report) = resume(storage).await? {
        return Ok(Some(report));
    }
    let files = data_files(storage, "").await?;
    if files.is_empty() {
        return Ok(None);
    }
    // The reference replaces it; but it may hold types that are nowhere else.
    check_free(storage, config).await?;
    make(platform, config, files).await.map(Some)
}

fn name_of(config: &LocalConfig) -> &'static str {
    if config.compress { "Bundle.json.gz" } else { "Bundle.json" }
}

/// A Bundle that is there is never lost.
async fn check_free<S: Storage>(storage: &S, config: &LocalConfig) -> Result<()> {
    let name = name_of(config);
    if storage.stat(name).await?.is_none() {
        return Ok(());
    }
    let path = match &config.folder {
        Some(label) => format!("{}/{name}", label.trim_end_matches('/')),
        None => name.to_owned(),
    };
    Err(Error::new(ErrorKind::Mismatch, "bundle", format!("Bundle file '{path}' already exists."))
        .with_hint("Move it away, so that what is in it is not lost, then try again."))
}

async fn make<P: Platform>(platform: &P, config: &LocalConfig, files: Vec<DataFile>) -> Result<BundleReport> {
    let (storage, name) = (platform.storage(), name_of(config));
    let mut bundle = RowWriter::create(storage, name).await?;
    let resources = match fill(platform, &mut bundle, &files).await {
        Ok(resources) => resources,
        Err(error) => {
            bundle.discard().await;
            return Err(error);
        }
    };
    let bytes = bundle.seal().await?.bytes;
    let sources = files.into_iter().map(|file| file.path).collect();
    let report = BundleReport { name: name.to_owned(), bytes, resources, sources };
    let journal = serde_json::to_string(&report).map_err(|error| {
        Error::new(ErrorKind::Storage, "bundle", format!("The state could not be written: {error}."))
    })?;
    let mut file = storage.open(JOURNAL, WriteMode::Create).await?;
    file.write(journal.as_bytes()).await?;
    file.flush().await?;
    file.close().await?;
    storage.rename(&format!("{name}{PART}"), name).await?;
    remove_sources(storage, &report).await?;
    Ok(report)
}

/// Writes the Bundle. Its own lines are the reference's, to the byte.
async fn fill<P: Platform>(platform: &P, bundle: &mut RowWriter<'_, P::Storage>, files: &[DataFile]) -> Result<u64> {
    let begin = format!(
        r#"{{
  "resourceType": "Bundle",
  "meta": {{
    "profile": ["http://hl7.org/fhir/R4/StructureDefinition/Bundle"]
  }},
  "type": "collection",
  "timestamp": "{}",
  "entry": ["#,
        now_iso(platform.clock())
    );
    bundle.text(&[begin.as_bytes()]).await?;
    let steps = Steps::new(platform, "Bundling", files.len() as u64);
    for file in files {
        let mut rows = Rows::open(platform.storage(), &file.path);
        while let Some(row) = rows.next().await? {
            let row = compact(row);
            if let Err(what) = check(&row) {
                let message = format!("{}, line {}, is no resource: {what}.", file.path, rows.line());
                return Err(Error::new(ErrorKind::Corrupt, "bundle", message)
                    .with_hint("Remove that line, or move the file away, then try again. Nothing was removed."));
            }
            let comma: &[u8] = if steps.resources() > 0 { b"," } else { b"" };
            bundle.text(&[comma, b"\n    {\"resource\": ", &row, b"}"]).await?;
            steps.row();
        }
        steps.file();
    }
    bundle.text(&[b"\n  ]\n}\n"]).await?;
    Ok(steps.resources())
}

/// Ends what a crash interrupted after the Bundle had got its name. Before that moment nothing was removed yet, and the
/// Bundle is made anew.
async fn resume<S: Storage>(storage: &S) -> Result<Option<BundleReport>> {
    if storage.stat(JOURNAL).await?.is_none() {
        return Ok(None);
    }
    // One that cannot be read was being written: then the Bundle has no name yet.
    let journal: Value = serde_json::from_slice(&read_all(storage, JOURNAL).await?).unwrap_or_default();
    if let Some(report) = BundleReport::read(&journal)
        && storage.stat(&format!("{}{PART}", report.name)).await?.is_none()
        && storage.stat(&report.name).await?.is_some_and(|entry| entry.size == report.bytes)
    {
        remove_sources(storage, &report).await?;
        return Ok(Some(report));
    }
    storage.remove(JOURNAL).await?;
    Ok(None)
}

async fn remove_sources<S: Storage>(storage: &S, report: &BundleReport) -> Result<()> {
    for source in &report.sources {
        storage.remove(source).await?;
    }
    Ok(storage.remove(JOURNAL).await?)
}
