//! The core in virtual time. One binary, one module per subject.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::pedantic)]

mod bundle;
mod conformance_a;
mod conformance_a_capability;
mod conformance_b;
mod conformance_b_tokens;
mod conformance_c;
mod conformance_c_answer;
mod conformance_d;
mod conformance_e;
mod conformance_e_pages;
mod conformance_f;
mod conformance_g;
mod conformance_h;
mod conformance_i;
mod crawl;
mod crawl_scope;
mod crawl_searches;
mod doctor;
mod ehr;
mod export;
mod host_tokens;
mod hostile;
mod http;
mod hydrate;
mod hydrate_inline;
mod hydrate_server;
mod job;
mod job_manifests;
mod looking;
mod managed;
mod managed_crawl;
mod merge;
mod missing;
mod ndjson;
mod patients;
mod politeness;
mod protocol;
mod row_files;
mod single;
mod smart_server;
mod smoke;
mod verify;
mod years;
