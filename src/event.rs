//! What a job tells its observer. Events are facts in the past or present tense; losing one loses no data.

use serde::{Deserialize, Serialize};

use crate::hydrate::TaskReport;

/// The steps of a job, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Phase {
    /// Reading the CapabilityStatement and the SMART configuration.
    Discover,
    /// Sending the kick-off request.
    KickOff,
    /// Waiting for the server to prepare the files.
    Wait,
    /// Fetching files.
    Download,
    /// Searching patient by patient.
    Crawl,
    /// Fetching what the resources refer to.
    Hydrate,
    /// Reading what is in the folder.
    Check,
    /// Cleaning up on the server and marking the folder as done.
    Finish,
}

/// One event. Serialised as `{"type": "fileFinished", …}` in camelCase: the form of `--progress json` and of the package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// A new phase began.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// Something worth a line in a log.
    Note {
        /// A full sentence.
        message: String,
    },
    /// Something that the user should look at, though the job goes on.
    Warning {
        /// A stable word for programs, such as `scope-narrowed` or `count-mismatch`.
        code: String,
        /// A full sentence.
        message: String,
    },
    /// The job is waiting on purpose.
    Waiting {
        /// Why: `status`, `retry`, `throttled`.
        reason: String,
        /// For how long, in milliseconds from now.
        millis: u64,
        /// The server's own words on how far it is (`X-Progress`).
        #[serde(skip_serializing_if = "Option::is_none")]
        progress: Option<String>,
        /// What happened, where something did.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The kick-off was accepted.
    KickedOff {
        /// The status URL without its query where that may be signed.
        status_url: String,
    },
    /// A manifest (or one more page of it) was read.
    Manifest {
        /// The server's `transactionTime`, verbatim.
        transaction_time: String,
        /// Files known so far, of all pages.
        files: u64,
        /// Resources announced by `count`, where given.
        #[serde(skip_serializing_if = "Option::is_none")]
        resources: Option<u64>,
    },
    /// A file is being fetched.
    FileStarted {
        /// Number of the file within the job.
        file: u32,
        /// Its name in the folder.
        name: String,
        /// Resources announced by `count`, where given.
        #[serde(skip_serializing_if = "Option::is_none")]
        expected: Option<u64>,
    },
    /// How far a file is. Counts only grow within one try of the file.
    FileProgress {
        /// Number of the file within the job.
        file: u32,
        /// Bytes received.
        received: u64,
        /// Resources seen.
        resources: u64,
    },
    /// A file is complete, checked and has its final name.
    FileFinished {
        /// Number of the file within the job.
        file: u32,
        /// Its name in the folder.
        name: String,
        /// Bytes on disk.
        bytes: u64,
        /// Bytes received.
        received: u64,
        /// Resources in it.
        resources: u64,
    },
    /// A try of a file failed; it is tried again unless `last`.
    FileFailed {
        /// Number of the file within the job.
        file: u32,
        /// Its name in the folder.
        name: String,
        /// What happened.
        message: String,
        /// Whether it was the last try.
        last: bool,
    },
    /// Totals, at most ten a second.
    Totals {
        /// Files complete, those of earlier runs included.
        files_done: u64,
        /// Files known.
        files: u64,
        /// Bytes received in this run.
        received: u64,
        /// Resources in complete files and in those under way.
        resources: u64,
        /// Requests in flight.
        active: u32,
        /// Requests allowed at once at the moment.
        limit: u32,
    },
    /// How far a step other than the download of files is; at most ten a second, and one when it has ended.
    Progress {
        /// The step, for people: `Crawling Conditions`.
        task: String,
        /// Patients, references or files that are dealt with.
        done: u64,
        /// Of how many, where that is known; equal to `done` when the step has ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// Resources that came of it.
        resources: u64,
    },
    /// A hydration task has ended.
    Hydrated {
        /// What it did.
        report: TaskReport,
    },
}
