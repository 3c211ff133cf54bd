//! What a task did, in the terms of the reference's table.

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::tasks::Task;

/// What became of one reference or attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is here.
    Already,
    /// It came.
    New,
    /// It cannot be had.
    Fatal,
    /// It could not be had now.
    GaveUp,
    /// It is not for this task.
    Ignored,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Resources that were looked through and have such references or attachments.
    pub resources: u64,
    /// References or attachments.
    pub items: u64,
}

/// What a task did: the rows of its table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReport {
    /// Its name, such as `medreq-med`.
    pub task: String,
    /// The type that it read.
    pub input: String,
    /// The type that it wrote.
    pub output: String,
    /// Whether it put attachments into its input.
    pub inlines: bool,
    /// Whether there was nothing to read.
    pub skipped: bool,
    /// All that were looked at.
    pub total: Count,
    /// Those that were here before.
    pub already_done: Count,
    /// Those that came.
    pub newly_done: Count,
    /// Those that cannot be had: the server said so, or sent something else.
    pub fatal_errors: Count,
    /// Those that could not be had after several tries.
    pub retry_errors: Count,
    /// References to other servers, which were not followed.
    pub foreign: u64,
}

impl TaskReport {
    pub(super) fn new(task: &Task) -> Self {
        Self {
            task: task.name.to_owned(),
            input: task.input.to_owned(),
            output: task.output.to_owned(),
            inlines: task.kind == super::tasks::Kind::Inline,
            ..Self::default()
        }
    }

    /// What could not be had.
    pub fn failed(&self) -> u64 {
        self.fatal_errors.items + self.retry_errors.items
    }

    fn count(&mut self, fate: Fate) -> Option<&mut Count> {
        match fate {
            Fate::Already => Some(&mut self.already_done),
            Fate::New => Some(&mut self.newly_done),
            Fate::Fatal => Some(&mut self.fatal_errors),
            Fate::GaveUp => Some(&mut self.retry_errors),
            Fate::Ignored => None,
        }
    }

    /// Counts what became of `times` references or attachments of `row`.
    pub(super) fn add(&mut self, row: &Row, fate: Fate, times: u64) {
        if times == 0 {
            return;
        }
        self.total.items += times;
        if let Some(count) = self.count(fate) {
            count.items += times;
        }
        row.0.set(row.0.get() | 1 << fate as u8);
    }

    /// Counts a resource of the input if nobody holds it any more: then all of its references or attachments are dealt with.
    pub(super) fn close(&mut self, row: Rc<Row>) {
        let Ok(row) = Rc::try_unwrap(row) else { return };
        self.total.resources += 1;
        for fate in [Fate::Already, Fate::New, Fate::Fatal, Fate::GaveUp] {
            if row.0.get() & 1 << fate as u8 != 0
                && let Some(count) = self.count(fate)
            {
                count.resources += 1;
            }
        }
    }
}

/// A resource of the input: what became of its references or attachments so far.
#[derive(Debug, Default)]
pub(super) struct Row(Cell<u8>);
