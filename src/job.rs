//! Plan, run, resume, finish: the one module that knows all the others.

mod bulk;
mod cancel;
mod context;
mod crawl;
mod crawl_report;
mod export;
mod hydrate;
mod interrupt;
mod logged;
mod patients;
mod report;
mod round;
mod single;

pub use bulk::{bulk, check_bulk};
pub use cancel::cancel_bulk;
pub use crawl::{Crawl, check_crawl, crawl, rest_client, rest_server};
pub use crawl_report::CrawlReport;
pub use export::{ExportReport, check_export, export};
pub use hydrate::{HydrateReport, after_export, check_hydrate, hydrate};
pub use patients::{PatientsConfig, patient_ids};
pub use report::{BulkReport, FailedFile, TypeCount, Verdict};
pub use single::{SingleConfig, single};
