//! Virtual time and the executor that drives it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::platform::{Clock, Random};

#[derive(Debug)]
struct Timer {
    at: i64,
    id: u64,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Inner {
    /// Microseconds since the epoch.
    now: Cell<i64>,
    next_id: Cell<u64>,
    timers: RefCell<Vec<Timer>>,
}

/// A clock that only moves when nothing else can go on.
#[derive(Clone, Debug)]
pub struct VirtualClock(Rc<Inner>);

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl VirtualClock {
    /// A clock at 2026-01-02T03:04:05Z.
    pub fn new() -> Self {
        let clock = Self(Rc::default());
        clock.set_millis(1_767_323_045_000);
        clock
    }

    /// Sets the time.
    pub fn set_millis(&self, millis: i64) {
        self.0.now.set(millis * 1000);
    }

    /// Runs `future`; `None` if it can never end.
    pub fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            while flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Some(output);
                }
            }
            let due = self.0.timers.borrow().iter().map(|t| t.at).min()?;
            self.0.now.set(self.0.now.get().max(due));
            let mut timers = self.0.timers.borrow_mut();
            let (fire, keep): (Vec<_>, Vec<_>) = timers.drain(..).partition(|t| t.at <= due);
            *timers = keep;
            drop(timers);
            for timer in fire {
                timer.waker.wake();
            }
        }
    }
}

struct Sleep {
    inner: Rc<Inner>,
    at: i64,
    id: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.inner.now.get() >= self.at {
            return Poll::Ready(());
        }
        let mut timers = self.inner.timers.borrow_mut();
        timers.retain(|t| t.id != self.id);
        timers.push(Timer { at: self.at, id: self.id, waker: context.waker().clone() });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.inner.timers.borrow_mut().retain(|t| t.id != self.id);
    }
}

impl Clock for VirtualClock {
    fn now_millis(&self) -> i64 {
        self.0.now.get() / 1000
    }

    fn offset_minutes(&self, _millis: i64) -> i32 {
        -300
    }

    async fn sleep(&self, duration: Duration) {
        let id = self.0.next_id.get();
        self.0.next_id.set(id + 1);
        let at = self.0.now.get() + i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4);
        Sleep { inner: self.0.clone(), at, id }.await;
    }
}

/// A small xorshift generator.
#[derive(Clone, Debug)]
pub struct SeededRandom(Rc<Cell<u64>>);

impl Default for SeededRandom {
    fn default() -> Self {
        Self(Rc::new(Cell::new(0x9E37_79B9_7F4A_7C15)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let mut x = self.0.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.0.set(x);
            *byte = (x >> 32) as u8;
        }
    }
}
