//! Bulk Data `$export`: kick-off, status, manifest, download, clean-up.

pub mod manifest;
