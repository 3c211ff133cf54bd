//! Progress of a step that goes through rows: told often enough for a bar, and no oftener.

use std::cell::Cell;

use crate::event::Event;
use crate::platform::{Clock, Observer, Platform};

/// Milliseconds between two events.
const EVERY_MILLIS: i64 = 200;

/// Rows between two looks at the clock.
const ROWS: u64 = 1024;

/// Tells how far a step is.
pub(crate) struct Steps<'p, P: Platform> {
    platform: &'p P,
    task: &'static str,
    total: u64,
    done: Cell<u64>,
    resources: Cell<u64>,
    told_at: Cell<i64>,
}

impl<'p, P: Platform> Steps<'p, P> {
    /// A step called `task` that is `total` files long.
    pub(crate) fn new(platform: &'p P, task: &'static str, total: u64) -> Self {
        let told_at = Cell::new(platform.clock().now_millis());
        let steps = Self { platform, task, total, done: Cell::new(0), resources: Cell::new(0), told_at };
        steps.tell();
        steps
    }

    /// One more row.
    pub(crate) fn row(&self) {
        self.resources.set(self.resources.get() + 1);
        if self.resources.get().is_multiple_of(ROWS) {
            self.tell_if_due();
        }
    }

    /// One more file.
    pub(crate) fn file(&self) {
        self.done.set(self.done.get() + 1);
        self.tell_if_due();
    }

    /// Rows so far.
    pub(crate) fn resources(&self) -> u64 {
        self.resources.get()
    }

    fn tell_if_due(&self) {
        let now = self.platform.clock().now_millis();
        if now - self.told_at.get() >= EVERY_MILLIS || self.done.get() == self.total {
            self.told_at.set(now);
            self.tell();
        }
    }

    fn tell(&self) {
        self.platform.observer().event(Event::Progress {
            task: self.task.to_owned(),
            done: self.done.get(),
            total: Some(self.total),
            resources: self.resources.get(),
        });
    }
}
