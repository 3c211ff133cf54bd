//! Hydration: fetching what the resources of a folder refer to.
//!
//! | module | what it is for |
//! |---|---|
//! | [`tasks`] | the table of tasks |
//! | [`reference`](mod@reference) | which references lead to resources of this server |
//! | [`media`] | media types and charsets |
//! | `follow` | a task that reads what references point at |
//! | `search` | the task that finds roles of practitioners |
//! | `inline` | tasks that put attachments into resources; `attachment` is the edit of one, `binary` takes its wrapping off |
//! | `fetch` | reads, one by one or many in one request |
//! | `pool` | the ids that are known |
//! | `output` | the files that are appended to, and what a crash leaves of them |
//! | `failures` | what could not be had, as `error/` lists it |

mod attachment;
mod binary;
mod failures;
mod fetch;
mod follow;
mod inline;
pub mod media;
mod output;
mod pool;
pub mod reference;
mod report;
mod run;
mod search;
pub mod tasks;

pub(crate) use output::unfinished;
pub use report::{Count, TaskReport};
pub(crate) use run::Run;
