//! Bulk Data `$export`: kick-off, status, manifest, download, clean-up.
