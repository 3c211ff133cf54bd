//! The seams: everything that the core needs from its host, as traits and plain types.
//!
//! All futures run on one thread, so nothing here asks for `Send`. Dropping a future must abort what it started.

pub mod clock;
pub mod http;
pub mod storage;
pub mod transfer;

pub use clock::{Clock, Random};
pub use http::{Body, BodyCoding, Http, HttpError, HttpErrorKind, Method, Request, Response};
pub use storage::{FileWriter, Storage, StorageError, StorageErrorKind, WriteMode};
pub use transfer::Transfers;

use crate::event::Event;

/// A signing key as the signer knows it. Private parts never reach the core.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// The client that it is for; for any client if absent. Bulk requests may use a client of their own.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The `kid` registered with the server.
    #[serde(default)]
    pub kid: Option<String>,
    /// JWS algorithm: `RS384`, `ES384`, `RS256`, `RS512`, `ES256` or `ES512`.
    pub alg: String,
}

/// Signs JWTs with keys that the host holds (WebCrypto).
pub trait Signer {
    /// The keys at hand, in order of preference.
    fn keys(&self) -> Vec<SigningKey>;

    /// Signs `input` with key number `index` of [`Signer::keys`]; returns the JWS signature bytes (raw `r‖s` for EC,
    /// RFC 7518 §3.4). An error is a sentence.
    async fn sign(&self, index: usize, input: &[u8]) -> Result<Vec<u8>, String>;

    /// A bearer token from source number `source` of the program that the core runs in
    /// ([`AuthConfig::Host`](crate::config::AuthConfig)). Asked for when there is none, when the one at hand is about to
    /// expire, and when a server has refused it. An error is a sentence without the token.
    async fn token(&self, source: usize) -> Result<HostToken, String>;
}

/// What [`Signer::token`] gives.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostToken {
    /// The token.
    pub token: String,
    /// How long it is good for from now on, in milliseconds; absent: until it is refused.
    #[serde(default)]
    pub life_millis: Option<u64>,
}

/// Listens to a job. It has no way to fail it: whatever goes wrong inside is the listener's own affair.
pub trait Observer {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// The host: one value that gives access to all seams.
pub trait Platform {
    /// HTTP for everything but file transfers.
    type Http: Http;
    /// The folder.
    type Storage: Storage;
    /// Time.
    type Clock: Clock;
    /// Randomness, for `jti` and jitter.
    type Random: Random;
    /// Signing keys.
    type Signer: Signer;
    /// The listener.
    type Observer: Observer;
    /// Runs file transfers, in place or on a pool of workers.
    type Transfers: Transfers;

    /// HTTP for everything but file transfers.
    fn http(&self) -> &Self::Http;
    /// The folder that the job works in.
    fn storage(&self) -> &Self::Storage;
    /// The folder that the job reads from, where that is another one than it works in (`--source-dir`, `merge`).
    fn source(&self) -> &Self::Storage {
        self.storage()
    }
    /// Time.
    fn clock(&self) -> &Self::Clock;
    /// Randomness.
    fn random(&self) -> &Self::Random;
    /// The keys for SMART Backend Services.
    fn signer(&self) -> &Self::Signer;
    /// The listener.
    fn observer(&self) -> &Self::Observer;
    /// Runs file transfers.
    fn transfers(&self) -> &Self::Transfers;

    /// The same host at work in a subfolder of the folder: for the exports in a managed folder. What is read from elsewhere
    /// ([`Platform::source`]) stays where it is, and is the whole folder if it was.
    #[must_use]
    fn within(&self, folder: &str) -> Self
    where
        Self: Sized;

    /// Resolves when requests may be sent: at once, unless the user has paused the job.
    async fn resumed(&self) {}
}
