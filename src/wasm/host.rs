//! The host: a JS object that gives all seams (`Host` of `host.d.ts`), and [`JsPlatform`] over it.

use std::time::Duration;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::convert::{from_js, settle, text, to_js};
use super::fetch::Fetch;
use super::http::{GivenHttp, HostHttp, Transport};
use super::storage::{Folder, JsStorage};
use super::transfers::{HostTransfers, Pool};
use crate::event::Event;
use crate::ndjson::InPlace;
use crate::platform::{Clock, HostToken, Observer, Platform, Random, Signer, SigningKey, Storage};

#[wasm_bindgen]
extern "C" {
    /// `Host` of `host.d.ts`.
    #[derive(Clone)]
    pub type Host;
    #[wasm_bindgen(method, getter)]
    fn http(this: &Host) -> Option<Transport>;
    #[wasm_bindgen(method, getter)]
    fn storage(this: &Host) -> Folder;
    #[wasm_bindgen(method, getter)]
    fn source(this: &Host) -> Option<Folder>;
    #[wasm_bindgen(method, getter)]
    fn clock(this: &Host) -> JsClock;
    #[wasm_bindgen(method, getter)]
    fn random(this: &Host) -> JsRandom;
    #[wasm_bindgen(method, getter)]
    fn signer(this: &Host) -> Option<Keys>;
    #[wasm_bindgen(method, catch)]
    fn token(this: &Host, source: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn transfers(this: &Host) -> Option<Pool>;
    #[wasm_bindgen(method, catch)]
    fn resumed(this: &Host) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn event(this: &Host, event: JsValue) -> Result<(), JsValue>;

    /// `HostClock` of `host.d.ts`.
    #[derive(Clone)]
    pub(super) type JsClock;
    #[wasm_bindgen(method)]
    fn now(this: &JsClock) -> f64;
    #[wasm_bindgen(method, js_name = offsetMinutes)]
    fn js_offset_minutes(this: &JsClock, millis: f64) -> i32;
    #[wasm_bindgen(method, js_name = sleep)]
    fn js_sleep(this: &JsClock, millis: f64) -> Timer;

    /// A sleep under way.
    type Timer;
    #[wasm_bindgen(method, catch)]
    fn done(this: &Timer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method)]
    fn cancel(this: &Timer);

    /// `HostRandom` of `host.d.ts`.
    #[derive(Clone)]
    pub(super) type JsRandom;
    #[wasm_bindgen(method, js_name = fill)]
    fn js_fill(this: &JsRandom, bytes: &mut [u8]);

    /// `HostSigner` of `host.d.ts`.
    #[derive(Clone)]
    type Keys;
    #[wasm_bindgen(method, catch, js_name = keys)]
    fn js_keys(this: &Keys) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = sign)]
    fn js_sign(this: &Keys, index: u32, input: &[u8]) -> Result<JsValue, JsValue>;
}

impl Clock for JsClock {
    fn now_millis(&self) -> i64 {
        self.now() as i64
    }

    fn offset_minutes(&self, millis: i64) -> i32 {
        self.js_offset_minutes(millis as f64)
    }

    async fn sleep(&self, duration: Duration) {
        struct Guard(Timer);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }
        let timer = Guard(self.js_sleep(duration.as_secs_f64() * 1000.0));
        // A timer has no way to fail.
        let _ = settle(timer.0.done()).await;
    }
}

impl Random for JsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.js_fill(bytes);
    }
}

/// The credentials of the host; no keys if it gives no signer.
#[derive(Clone)]
pub(super) struct JsSigner(Option<Keys>, Host);

impl Signer for JsSigner {
    fn keys(&self) -> Vec<SigningKey> {
        let keys = self.0.as_ref().and_then(|keys| keys.js_keys().ok());
        keys.and_then(|keys| from_js(&keys).ok()).unwrap_or_default()
    }

    async fn sign(&self, index: usize, input: &[u8]) -> Result<Vec<u8>, String> {
        let keys = self.0.as_ref().ok_or("there is no signing key")?;
        let signature = settle(keys.js_sign(index as u32, input)).await.map_err(|thrown| text(&thrown))?;
        Ok(signature.unchecked_into::<Uint8Array>().to_vec())
    }

    async fn token(&self, source: usize) -> Result<HostToken, String> {
        let given = settle(self.1.token(source as u32)).await.map_err(|thrown| text(&thrown))?;
        // Without the reason, which may quote the token.
        from_js(&given).map_err(|_| "it gave no token".to_owned())
    }
}

/// The host's listener.
#[derive(Clone)]
pub(super) struct JsObserver(Host);

impl Observer for JsObserver {
    fn event(&self, event: Event) {
        // Whatever a listener throws is its own affair.
        let _ = self.0.event(to_js(&event));
    }
}

/// All seams over one JS object.
pub(super) struct JsPlatform {
    http: HostHttp,
    storage: JsStorage,
    source: Option<JsStorage>,
    clock: JsClock,
    random: JsRandom,
    signer: JsSigner,
    transfers: HostTransfers,
    observer: JsObserver,
}

impl JsPlatform {
    /// The seams of `host`; what it lacks is made up for: `fetch` for HTTP, no keys, transfers in place.
    pub(super) fn new(host: Host) -> Self {
        let clock = host.clock();
        let http = host.http().map_or_else(
            || HostHttp::Fetch(Fetch::new(clock.clone())),
            |transport| HostHttp::Given(GivenHttp::new(transport)),
        );
        let storage = JsStorage::new(host.storage(), host.transfers());
        let source = host.source().map(|folder| JsStorage::new(folder, None));
        let transfers = host.transfers().map_or_else(
            || HostTransfers::InPlace(InPlace::new(http.clone(), storage.clone(), clock.clone())),
            |pool| HostTransfers::Pool(pool, storage.clone()),
        );
        let random = host.random();
        let signer = JsSigner(host.signer(), host.clone());
        Self { http, storage, source, clock, random, signer, transfers, observer: JsObserver(host) }
    }
}

impl Platform for JsPlatform {
    type Http = HostHttp;
    type Storage = JsStorage;
    type Clock = JsClock;
    type Random = JsRandom;
    type Signer = JsSigner;
    type Observer = JsObserver;
    type Transfers = HostTransfers;

    fn http(&self) -> &HostHttp {
        &self.http
    }
    fn storage(&self) -> &JsStorage {
        &self.storage
    }
    fn source(&self) -> &JsStorage {
        self.source.as_ref().unwrap_or(&self.storage)
    }
    fn clock(&self) -> &JsClock {
        &self.clock
    }
    fn random(&self) -> &JsRandom {
        &self.random
    }
    fn signer(&self) -> &JsSigner {
        &self.signer
    }
    fn observer(&self) -> &JsObserver {
        &self.observer
    }
    fn transfers(&self) -> &HostTransfers {
        &self.transfers
    }

    fn within(&self, folder: &str) -> Self {
        let storage = self.storage.within(folder);
        Self {
            http: self.http.clone(),
            transfers: self.transfers.within(&self.http, &storage, &self.clock),
            storage,
            source: Some(self.source().clone()),
            clock: self.clock.clone(),
            random: self.random.clone(),
            signer: self.signer.clone(),
            observer: self.observer.clone(),
        }
    }

    async fn resumed(&self) {
        // A host that has no pause button has no such method: then the call throws, and the job goes on.
        let _ = settle(self.observer.0.resumed()).await;
    }
}
