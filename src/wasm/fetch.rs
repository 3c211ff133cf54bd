//! The default transport of browsers: `fetch`, over gloo-net.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use gloo_net::http::{Method as FetchMethod, RequestBuilder};
use js_sys::{Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestCache, RequestCredentials, ResponseType};

use super::convert::text;
use super::host::JsClock;
use crate::platform::http::Headers;
use crate::platform::{Body, BodyCoding, Clock, Http, HttpError, HttpErrorKind, Method, Request, Response};

#[wasm_bindgen]
extern "C" {
    type Stream;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn get_reader(this: &Stream, options: &JsValue) -> Result<Reader, JsValue>;

    /// Either reader; the one that takes no buffer ignores it.
    type Reader;
    #[wasm_bindgen(method)]
    fn read(this: &Reader, into: &Uint8Array) -> Promise;
}

/// Bytes that are read at once, at most.
const CHUNK: u32 = 128 << 10;

thread_local! {
    /// The buffer of a body that has ended. Browsers collect what bodies bring as late as they like: a gigabyte of chunks, each
    /// in a buffer of its own, had 180 MB in memory at times.
    static SPARE: RefCell<Option<Uint8Array>> = const { RefCell::new(None) };
}

/// A reader that fills a buffer of ours, where the browser has it for bodies.
fn reader(stream: &Stream) -> Option<Reader> {
    let options = Object::new();
    let _ = Reflect::set(&options, &JsValue::from_str("mode"), &JsValue::from_str("byob"));
    stream.get_reader(&options).or_else(|_| stream.get_reader(&JsValue::UNDEFINED)).ok()
}

/// `fetch`.
#[derive(Clone)]
pub(super) struct Fetch {
    clock: JsClock,
}

/// Aborts the request when it is dropped; after the end of the body that does nothing.
struct Abort(AbortController);

impl Drop for Abort {
    fn drop(&mut self) {
        // Without a reason: gloo-net panics where the promise is rejected with anything but an Error.
        self.0.abort();
    }
}

/// The body of a response of `fetch`.
pub(super) struct FetchBody {
    reader: Option<Reader>,
    /// What the next chunk goes into, once there was one.
    buffer: Option<Uint8Array>,
    timeout: Duration,
    clock: JsClock,
    _abort: Abort,
}

impl Fetch {
    /// `fetch`, its silences timed by `clock`.
    pub(super) fn new(clock: JsClock) -> Self {
        Self { clock }
    }
}

impl Http for Fetch {
    type Body = FetchBody;

    async fn send(&self, request: Request) -> Result<Response<FetchBody>, HttpError> {
        let invalid = |error: gloo_net::Error| HttpError::new(HttpErrorKind::Invalid, error.to_string());
        let abort = AbortController::new().map_err(|thrown| HttpError::new(HttpErrorKind::Invalid, text(&thrown)))?;
        let abort = Abort(abort);
        let method = match request.method {
            Method::Get => FetchMethod::GET,
            Method::Post => FetchMethod::POST,
            Method::Delete => FetchMethod::DELETE,
            Method::Options => FetchMethod::OPTIONS,
        };
        let mut builder = RequestBuilder::new(&request.url)
            .method(method)
            // Clinical data belongs in the folder, not in the browser's cache; cookies are none of our credentials.
            .cache(RequestCache::NoStore)
            .credentials(RequestCredentials::Omit)
            .abort_signal(Some(&abort.0.signal()));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let built = match &request.body {
            Some(bytes) => builder.body(Uint8Array::from(&bytes[..])),
            None => builder.build(),
        };
        let sending = built.map_err(invalid)?.send();
        let response = within(&self.clock, request.timeout, sending).await?.map_err(|error| {
            // A browser says no more than "failed to fetch", whatever the reason.
            HttpError::new(HttpErrorKind::Blocked, error.to_string())
        })?;
        let coded = response.headers().has("content-encoding");
        let filtered = response.type_() == ResponseType::Cors;
        Ok(Response {
            status: response.status(),
            headers: Headers(response.headers().entries().collect()),
            headers_filtered: filtered,
            final_url: response.redirected().then(|| response.url()),
            coding: if coded || filtered { BodyCoding::DecodedByHost } else { BodyCoding::Identity },
            body: FetchBody {
                reader: response.body().and_then(|stream| reader(stream.unchecked_ref())),
                buffer: None,
                timeout: request.timeout,
                clock: self.clock.clone(),
                _abort: abort,
            },
        })
    }
}

impl Body for FetchBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let Some(reader) = &self.reader else { return Ok(None) };
        loop {
            let buffer = self.buffer.take().or_else(|| SPARE.take());
            let buffer = buffer.unwrap_or_else(|| Uint8Array::new_with_length(CHUNK));
            let read = within(&self.clock, self.timeout, JsFuture::from(reader.read(&buffer))).await?;
            let read = read.map_err(|thrown| HttpError::new(HttpErrorKind::Interrupted, text(&thrown)))?;
            let get = |name: &str| Reflect::get(&read, &JsValue::from_str(name)).unwrap_or_default();
            let value = get("value");
            let bytes = value.dyn_ref::<Uint8Array>();
            // It went to the reader and came back as another object; a reader that takes none has left it alone.
            self.buffer =
                if buffer.length() > 0 { Some(buffer) } else { bytes.map(|bytes| Uint8Array::new(&bytes.buffer())) };
            if get("done").is_truthy() {
                SPARE.set(self.buffer.take());
                return Ok(None);
            }
            match bytes {
                Some(bytes) if bytes.length() > 0 => return Ok(Some(bytes.to_vec())),
                _ => {}
            }
        }
    }
}

/// Waits for `future`, at most for `timeout`.
async fn within<F: Future>(clock: &JsClock, timeout: Duration, future: F) -> Result<F::Output, HttpError> {
    match select(pin!(future), pin!(clock.sleep(timeout))).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => {
            let message = format!("the server was silent for {} seconds", timeout.as_secs());
            Err(HttpError::new(HttpErrorKind::Timeout, message))
        }
    }
}
