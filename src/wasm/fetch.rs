//! The default transport of browsers: `fetch`, over gloo-net.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, LocalBoxFuture, select};
use gloo_net::http::{Headers as FetchHeaders, Method as FetchMethod, RequestBuilder};
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestCache, RequestCredentials, ResponseType};

use super::convert::text;
use super::host::JsClock;
use super::http::headers;
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
/// Buffers that are kept for the next bodies: as many as there are connections to a server.
const MAX_SPARE: usize = 6;

thread_local! {
    /// The buffers of bodies that have ended. Browsers collect what bodies bring as late as they like: a gigabyte of chunks, each
    /// in a buffer of its own, had 180 MB in memory at times.
    static SPARE: RefCell<Vec<Uint8Array>> = const { RefCell::new(Vec::new()) };
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

/// Aborts the request when it is dropped before the end of the body.
struct Abort(Option<AbortController>);

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            // Without a reason: gloo-net panics where the promise is rejected with anything but an Error.
            controller.abort();
        }
    }
}

/// Ends a wait in which the server is silent for too long. One timer for a whole exchange: one for each wait costs as much as what is
/// waited for.
struct Silence {
    clock: JsClock,
    limit: Duration,
    timer: Option<LocalBoxFuture<'static, ()>>,
}

impl Silence {
    fn new(clock: JsClock, limit: Duration) -> Self {
        Self { clock, limit, timer: None }
    }

    /// Waits for `future`.
    async fn within<F: Future>(&mut self, future: F) -> Result<F::Output, HttpError> {
        let began = self.clock.now_millis();
        let mut future = pin!(future);
        let mut left = self.limit;
        loop {
            let clock = self.clock.clone();
            let timer = self.timer.get_or_insert_with(|| Box::pin(async move { clock.sleep(left).await }));
            match select(future.as_mut(), timer).await {
                Either::Left((output, _)) => return Ok(output),
                Either::Right(_) => self.timer = None,
            }
            // The timer may be older than this wait.
            let waited = Duration::from_millis(u64::try_from(self.clock.now_millis() - began).unwrap_or(0));
            left = self.limit.saturating_sub(waited);
            if left.is_zero() {
                let message = format!("the server was silent for {} seconds", self.limit.as_secs());
                return Err(HttpError::new(HttpErrorKind::Timeout, message));
            }
        }
    }
}

/// The headers that the page may see.
fn header_list(list: FetchHeaders) -> Headers {
    headers(&String::from(Array::from(&list.into_raw()).flat(1).join("\n")))
}

/// The body of a response of `fetch`.
pub(super) struct FetchBody {
    reader: Option<Reader>,
    /// What the next chunk goes into, once there was one.
    buffer: Option<Uint8Array>,
    silence: Silence,
    abort: Abort,
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
        let signal = abort.signal();
        let abort = Abort(Some(abort));
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
            .abort_signal(Some(&signal));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let built = match &request.body {
            Some(bytes) => builder.body(Uint8Array::from(&bytes[..])),
            None => builder.build(),
        };
        let sending = built.map_err(invalid)?.send();
        let mut silence = Silence::new(self.clock.clone(), request.timeout);
        let response = silence.within(sending).await?.map_err(|error| {
            // A browser says no more than "failed to fetch", whatever the reason.
            HttpError::new(HttpErrorKind::Blocked, error.to_string())
        })?;
        let headers = header_list(response.headers());
        let coded = headers.get("content-encoding").is_some();
        let filtered = response.type_() == ResponseType::Cors;
        Ok(Response {
            status: response.status(),
            headers,
            headers_filtered: filtered,
            final_url: response.redirected().then(|| response.url()),
            coding: if coded || filtered { BodyCoding::DecodedByHost } else { BodyCoding::Identity },
            body: FetchBody {
                reader: response.body().and_then(|stream| reader(stream.unchecked_ref())),
                buffer: None,
                silence,
                abort,
            },
        })
    }
}

impl Body for FetchBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let Some(reader) = &self.reader else { return Ok(None) };
        loop {
            let buffer = self.buffer.take().or_else(|| SPARE.with_borrow_mut(Vec::pop));
            let buffer = buffer.unwrap_or_else(|| Uint8Array::new_with_length(CHUNK));
            let read = self.silence.within(JsFuture::from(reader.read(&buffer))).await?;
            let read = read.map_err(|thrown| HttpError::new(HttpErrorKind::Interrupted, text(&thrown)))?;
            let get = |name: &str| Reflect::get(&read, &JsValue::from_str(name)).unwrap_or_default();
            let value = get("value");
            let bytes = value.dyn_ref::<Uint8Array>();
            // It went to the reader and came back as another object; a reader that takes none has left it alone.
            self.buffer =
                if buffer.length() > 0 { Some(buffer) } else { bytes.map(|bytes| Uint8Array::new(&bytes.buffer())) };
            if get("done").is_truthy() {
                self.abort.0 = None;
                self.silence.timer = None;
                SPARE.with_borrow_mut(|spare| spare.extend(self.buffer.take().filter(|_| spare.len() < MAX_SPARE)));
                return Ok(None);
            }
            match bytes {
                Some(bytes) if bytes.length() > 0 => return Ok(Some(bytes.to_vec())),
                _ => {}
            }
        }
    }
}
