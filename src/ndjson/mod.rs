//! The file pipeline: decode, check, count, encode. One per file, on whatever worker the host chooses.
//!
//! ```text
//! request -> receive -> pipeline (gzip -> json -> check -> gzip) -> store
//! ```
//!
//! Nothing is held but the current chunk and its decoded pieces, whatever the size of a file or of its lines.

mod check;
mod decode;
#[cfg(test)]
mod deflate_tests;
mod gzip;
mod json;
#[cfg(test)]
mod json_tests;
mod pipeline;
mod receive;
mod records;
mod refusal;
mod request;
mod scan;
mod split;
mod store;
mod transfer;
mod verify;
mod wrapped;

pub use check::Expect;
pub use decode::Decoder;
pub use gzip::gzip;
pub(crate) use gzip::{Gzip, gunzip};
pub(crate) use json::{Lines, MAX_DEPTH, Validator};
pub(crate) use scan::string_run;
pub use transfer::{InPlace, transfer};
pub use verify::check_file;
