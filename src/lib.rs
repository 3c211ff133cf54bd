//! smart-fetch: gets FHIR data out of an EHR and leaves it in a folder that downstream tools read.
//!
//! The crate is the platform-free core. It reaches the world only through the traits of [`platform`]; hosts implement
//! them (Node and browsers in `pkg-template/`, tests in `testing`).
//!
//! | module | what it is for |
//! |---|---|
//! | [`platform`] | the seams: HTTP, storage, clock, random, signer, observer, transfers |
//! | [`error`] | the one error type: kind, operation, message, whether a retry could help |
//! | [`event`] | what a job tells its observer |
//! | [`config`] | what a caller asks for, validated before the first request |
//! | [`http`] | client: retry, backoff, `Retry-After`, politeness, redirects, redaction |
//! | [`auth`] | SMART Backend Services, bearer and basic |
//! | [`fhir`] | the little FHIR that is read: capability, outcomes, instants, types |
//! | [`ndjson`] | the file pipeline: decode, check, count, encode |
//! | [`bulk`] | Bulk Data `$export`: kick-off, status, manifest, download, clean-up |
//! | [`bundle`] | all data files of a folder as one Bundle file |
//! | [`verify`] | checks a folder against what it says of itself |
//! | [`merge`] | the current state of a managed folder, in a folder of its own |
//! | [`crawl`] | the same data by searches, patient by patient |
//! | [`folder`] | the folder: names, `.metadata`, ledger, commit, the bulk export log |
//! | [`hydrate`] | what an export left out: the table of tasks, references, attachments |
//! | [`update`] | what to ask for: types, filters, since when |
//! | [`doctor`] | what a server can do, and what stands in the way of an export |
//! | [`job`] | plan, run, resume, finish: the one module that knows the others |

pub mod auth;
pub mod bulk;
pub mod bundle;
pub mod config;
pub mod crawl;
pub mod doctor;
pub mod error;
pub mod event;
pub mod fhir;
pub mod folder;
pub mod http;
pub mod hydrate;
pub mod job;
pub mod merge;
pub mod ndjson;
pub mod platform;
mod progress;
#[cfg(feature = "testing")]
pub mod testing;
pub mod update;
mod value;
pub mod verify;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use error::{Error, ErrorInfo, ErrorKind, Result};

/// The version of this crate, as written to `.metadata` and the bulk export log.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
