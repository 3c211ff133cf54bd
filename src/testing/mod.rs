//! Fakes for tests: a virtual clock with an executor, scripted HTTP, memory storage that can be killed at any call.
//!
//! ```
//! use smart_fetch::testing::{Host, Reply};
//! use smart_fetch::platform::{Http, Platform, Request};
//!
//! let host = Host::new();
//! host.http.on("GET", "/metadata", Reply::json(200, "{}"));
//! let status = host.run(async { host.http().send(Request::get("https://ehr.example/fhir/metadata")).await.unwrap().status });
//! assert_eq!(status, 200);
//! ```

#![allow(clippy::missing_panics_doc, clippy::unwrap_used)] // Fakes for tests: a panic is a failed test.

mod clock;
mod http;
mod storage;

pub use clock::{SeededRandom, VirtualClock};
pub use http::{Reply, ScriptedBody, ScriptedHttp, Seen};
pub use storage::{MemoryStorage, MemoryWriter};

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

use crate::event::Event;
use crate::ndjson::InPlace;
use crate::platform::{HostToken, Observer, Platform, Signer, SigningKey, Storage};

/// Keeps every event.
#[derive(Clone, Debug, Default)]
pub struct RecordingObserver {
    /// The events so far.
    pub events: Rc<RefCell<Vec<Event>>>,
}

impl Observer for RecordingObserver {
    fn event(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }
}

/// A signer whose signature is `signed by {kid}`: the core only carries signatures; real ones are tested through the package.
#[derive(Clone, Default)]
pub struct FakeSigner {
    /// The keys it claims to have.
    pub keys: Vec<SigningKey>,
    /// What was signed.
    pub signed: Rc<RefCell<Vec<Vec<u8>>>>,
    /// Tokens that it gives, in turn; when there are no more, asking fails.
    pub tokens: Rc<RefCell<VecDeque<HostToken>>>,
}

impl Signer for FakeSigner {
    fn keys(&self) -> Vec<SigningKey> {
        self.keys.clone()
    }

    async fn sign(&self, index: usize, input: &[u8]) -> Result<Vec<u8>, String> {
        let key = self.keys.get(index).ok_or_else(|| "no such key".to_owned())?;
        self.signed.borrow_mut().push(input.to_vec());
        Ok(format!("signed by {}", key.kid.as_deref().unwrap_or(&key.alg)).into_bytes())
    }

    async fn token(&self, _source: usize) -> Result<HostToken, String> {
        self.tokens.borrow_mut().pop_front().ok_or_else(|| "the session has ended".to_owned())
    }
}

/// A whole host made of fakes. Cloning the storage (`host.storage.clone()`) shares the disk: so a test restarts a killed job.
pub struct Host {
    /// Scripted HTTP.
    pub http: ScriptedHttp,
    /// Memory storage.
    pub storage: MemoryStorage,
    /// The folder that jobs read from, where a test gives another one.
    pub source: Option<MemoryStorage>,
    /// Virtual time, shared by all parts.
    pub clock: VirtualClock,
    /// Seeded randomness.
    pub random: SeededRandom,
    /// Fake signer.
    pub signer: FakeSigner,
    /// Keeps the events.
    pub observer: RecordingObserver,
    transfers: InPlace<ScriptedHttp, MemoryStorage, VirtualClock>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host with an empty disk, at 2026-01-02T03:04:05Z.
    pub fn new() -> Self {
        Self::with_storage(MemoryStorage::new())
    }

    /// A host with the disk of an earlier one.
    pub fn with_storage(storage: MemoryStorage) -> Self {
        let clock = VirtualClock::new();
        Self::with_parts(ScriptedHttp::new(clock.clone()), storage, clock)
    }

    /// A host with the disk, the server and the clock of an earlier one: what a rerun of a killed job sees.
    pub fn with_parts(http: ScriptedHttp, storage: MemoryStorage, clock: VirtualClock) -> Self {
        let transfers = InPlace::new(http.clone(), storage.clone(), clock.clone());
        Self {
            http,
            storage,
            source: None,
            clock,
            random: SeededRandom::default(),
            signer: FakeSigner::default(),
            observer: RecordingObserver::default(),
            transfers,
        }
    }

    /// The same machine after its program was killed or ended: disk, server and clock go on, everything else is new.
    pub fn restarted(&self) -> Self {
        let storage = self.storage.clone();
        storage.revive();
        Self::with_parts(self.http.clone(), storage, self.clock.clone())
    }

    /// Runs `future` to its end in virtual time: whenever nothing else can go on, time jumps to the next timer.
    ///
    /// # Panics
    /// If the future can never end (a deadlock), or was killed by the storage; see [`Host::run_until_killed`].
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.clock.run(future).expect("the future waits for something that never comes")
    }

    /// As [`Host::run`]; `None` if the job was killed (or waits for ever).
    pub fn run_until_killed<F: Future>(&self, future: F) -> Option<F::Output> {
        self.clock.run(future)
    }

    /// Milliseconds of virtual time since the epoch.
    pub fn clock_millis(&self) -> i64 {
        crate::platform::Clock::now_millis(&self.clock)
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        self.observer.events.borrow().clone()
    }

    /// The codes of the warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        self.events()
            .into_iter()
            .filter_map(|e| if let Event::Warning { code, .. } = e { Some(code) } else { None })
            .collect()
    }
}

impl Platform for Host {
    type Http = ScriptedHttp;
    type Storage = MemoryStorage;
    type Clock = VirtualClock;
    type Random = SeededRandom;
    type Signer = FakeSigner;
    type Observer = RecordingObserver;
    type Transfers = InPlace<ScriptedHttp, MemoryStorage, VirtualClock>;

    fn http(&self) -> &Self::Http {
        &self.http
    }
    fn storage(&self) -> &Self::Storage {
        &self.storage
    }
    fn source(&self) -> &Self::Storage {
        self.source.as_ref().unwrap_or(&self.storage)
    }
    fn clock(&self) -> &Self::Clock {
        &self.clock
    }
    fn random(&self) -> &Self::Random {
        &self.random
    }
    fn signer(&self) -> &Self::Signer {
        &self.signer
    }
    fn observer(&self) -> &Self::Observer {
        &self.observer
    }
    fn transfers(&self) -> &Self::Transfers {
        &self.transfers
    }

    fn within(&self, folder: &str) -> Self {
        let inside = Self::with_parts(self.http.clone(), self.storage.within(folder), self.clock.clone());
        let source = Some(self.source().clone());
        let (random, signer, observer) = (self.random.clone(), self.signer.clone(), self.observer.clone());
        Self { source, random, signer, observer, ..inside }
    }
}
