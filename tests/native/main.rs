//! The core in virtual time. One binary, one module per subject.

#![allow(missing_docs, clippy::unwrap_used, clippy::pedantic)]

mod smoke;
