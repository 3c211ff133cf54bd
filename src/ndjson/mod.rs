//! The file pipeline: decode, check, count, encode. One per file, on whatever worker the host chooses.

mod transfer;

pub use transfer::{InPlace, transfer};
