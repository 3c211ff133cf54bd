//! The folder: names, `.metadata`, ledger, commit, the bulk export log. A contract with other tools (DESIGN §5).

pub mod history;
pub mod layout;
pub mod ledger;
mod ledger_text;
pub mod links;
pub mod log;
pub(crate) mod lost;
pub mod managed;
pub mod metadata;
pub(crate) mod present;
pub mod row_file;
pub mod rows;
pub(crate) mod sorter;
pub mod state;
pub mod view;

pub use ledger::{FileEntry, FileState, Job, JobState, Ledger};
pub use log::Log;
pub use metadata::{Kind, Metadata};
pub use row_file::{RowFile, RowWriter};
pub use rows::{DataFile, Rows, data_files};
pub use state::OutputFolder;
pub use view::FolderView;
