//! HTTP over a JS transport, or over `fetch` where the host gives none.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use js_sys::Uint8Array;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};

use super::convert::{kind, text};
use super::fetch::{Fetch, FetchBody};
use crate::platform::http::Headers;
use crate::platform::{Body, BodyCoding, Http, HttpError, HttpErrorKind, Method, Request, Response};

#[wasm_bindgen]
extern "C" {
    /// `Transport` of `host.d.ts`.
    #[derive(Clone)]
    pub(super) type Transport;
    /// Starts a request; returns at once. `headers` has names and values in turn, with line breaks between.
    #[wasm_bindgen(method, catch)]
    fn send(
        this: &Transport,
        method: &str,
        url: &str,
        headers: &str,
        body: Option<Uint8Array>,
        timeout_millis: f64,
        wake: &Closure<dyn Fn(u32)>,
        number: u32,
    ) -> Result<Exchange, JsValue>;

    /// `Exchange` of `host.d.ts`: a request under way.
    type Exchange;
    #[wasm_bindgen(method, catch)]
    fn head(this: &Exchange) -> Result<Option<Head>, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn chunk(this: &Exchange) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method)]
    fn taken(this: &Exchange);
    #[wasm_bindgen(method, catch)]
    fn abort(this: &Exchange) -> Result<(), JsValue>;

    /// Status and headers.
    type Head;
    #[wasm_bindgen(method, getter)]
    fn status(this: &Head) -> u16;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &Head) -> String;
    #[wasm_bindgen(method, getter)]
    fn gzip(this: &Head) -> bool;
    #[wasm_bindgen(method, getter)]
    fn body(this: &Head) -> Option<Uint8Array>;
}

/// The transport that the host gives, and who waits for its exchanges: a promise for each answer costs as much as what a small
/// one holds.
#[derive(Clone)]
pub(super) struct GivenHttp {
    transport: Transport,
    waiting: Rc<Waiting>,
}

struct Waiting {
    next: Cell<u32>,
    /// Few: as many as there are requests in flight.
    wakers: Rc<RefCell<Vec<(u32, Waker)>>>,
    wake: Closure<dyn Fn(u32)>,
}

impl GivenHttp {
    pub(super) fn new(transport: Transport) -> Self {
        let wakers = Rc::new(RefCell::new(Vec::new()));
        let woken = wakers.clone();
        let wake = Closure::new(move |number| {
            if let Some(waker) = take(&woken, number) {
                waker.wake();
            }
        });
        Self { transport, waiting: Rc::new(Waiting { next: Cell::new(0), wakers, wake }) }
    }
}

fn take(wakers: &RefCell<Vec<(u32, Waker)>>, number: u32) -> Option<Waker> {
    let mut wakers = wakers.borrow_mut();
    let place = wakers.iter().position(|(other, _)| *other == number)?;
    Some(wakers.swap_remove(place).1)
}

/// A request under way; dropped before its end, it is aborted, and nobody is woken any more.
pub(super) struct JsBody {
    exchange: Exchange,
    number: u32,
    waiting: Rc<Waiting>,
    /// The whole body, if it came with the headers.
    whole: Option<Vec<u8>>,
    ended: bool,
}

impl Drop for JsBody {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is left to be told.
            let _ = self.exchange.abort();
            take(&self.waiting.wakers, self.number);
        }
    }
}

impl JsBody {
    /// Asks until there is an answer.
    async fn ask<T>(&self, ask: impl Fn(&Exchange) -> Result<Option<T>, JsValue>) -> Result<T, HttpError> {
        let asked = poll_fn(|context| match ask(&self.exchange) {
            Ok(None) => {
                take(&self.waiting.wakers, self.number);
                self.waiting.wakers.borrow_mut().push((self.number, context.waker().clone()));
                Poll::Pending
            }
            Ok(Some(answer)) => Poll::Ready(Ok(answer)),
            Err(thrown) => Poll::Ready(Err(thrown)),
        });
        asked.await.map_err(|thrown| http_error(&thrown))
    }
}

impl Body for JsBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        if self.ended {
            return Ok(self.whole.take().filter(|bytes| !bytes.is_empty()));
        }
        loop {
            let value = self.ask(|exchange| Ok(Some(exchange.chunk()?).filter(|chunk| !chunk.is_undefined()))).await?;
            let Some(bytes) = value.dyn_ref::<Uint8Array>() else {
                self.ended = true;
                return Ok(None);
            };
            if bytes.length() > 0 {
                return Ok(Some(bytes.to_vec()));
            }
        }
    }
}

/// Headers out of names and values in turn, with line breaks between: as one text, since each text that crosses costs.
pub(super) fn headers(flat: &str) -> Headers {
    let mut flat = flat.split('\n').map(str::to_owned);
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        headers.push((name, value));
    }
    Headers(headers)
}

/// What the transport threw; without a kind it is taken for a broken connection.
fn http_error(thrown: &JsValue) -> HttpError {
    HttpError::new(kind(thrown).unwrap_or(HttpErrorKind::Interrupted), text(thrown))
}

impl GivenHttp {
    async fn exchange(&self, request: Request) -> Result<Response<JsBody>, HttpError> {
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        };
        let mut flat = String::new();
        for text in request.headers.iter().flat_map(|(name, value)| [name, value]) {
            if text.contains('\n') {
                return Err(HttpError::new(HttpErrorKind::Invalid, "a header holds a line break".to_owned()));
            }
            if !flat.is_empty() {
                flat.push('\n');
            }
            flat.push_str(text);
        }
        let body = request.body.map(|bytes| Uint8Array::from(&bytes[..]));
        let timeout = request.timeout.as_secs_f64() * 1000.0;
        let waiting = self.waiting.clone();
        let number = waiting.next.get();
        waiting.next.set(number.wrapping_add(1));
        let exchange = self
            .transport
            .send(method, &request.url, &flat, body, timeout, &waiting.wake, number)
            .map_err(|thrown| http_error(&thrown))?;
        let mut body = JsBody { exchange, number, waiting, whole: None, ended: false };
        let head = body.ask(Exchange::head).await?;
        if let Some(bytes) = head.body() {
            body.whole = Some(bytes.to_vec());
            body.ended = true;
            body.exchange.taken();
        }
        let coding = if head.gzip() { BodyCoding::Gzip } else { BodyCoding::Identity };
        Ok(Response {
            status: head.status(),
            headers: headers(&head.headers()),
            // A transport outside of browsers sees all headers and follows no redirect.
            headers_filtered: false,
            final_url: None,
            coding,
            body,
        })
    }
}

/// The transport that the host gives, or `fetch`.
#[derive(Clone)]
pub(super) enum HostHttp {
    Given(GivenHttp),
    Fetch(Fetch),
}

/// The body of a response.
pub(super) enum HostBody {
    Given(JsBody),
    Fetch(FetchBody),
}

impl Body for HostBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        match self {
            Self::Given(body) => body.chunk().await,
            Self::Fetch(body) => body.chunk().await,
        }
    }
}

impl Http for HostHttp {
    type Body = HostBody;

    async fn send(&self, request: Request) -> Result<Response<HostBody>, HttpError> {
        match self {
            Self::Given(transport) => Ok(with_body(transport.exchange(request).await?, HostBody::Given)),
            Self::Fetch(fetch) => Ok(with_body(fetch.send(request).await?, HostBody::Fetch)),
        }
    }
}

fn with_body<A, B>(response: Response<A>, wrap: impl FnOnce(A) -> B) -> Response<B> {
    let Response { status, headers, headers_filtered, final_url, coding, body } = response;
    Response { status, headers, headers_filtered, final_url, coding, body: wrap(body) }
}
