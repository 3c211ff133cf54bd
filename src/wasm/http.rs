//! HTTP over a JS transport, or over `fetch` where the host gives none.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::convert::{kind, settle, text};
use super::fetch::{Fetch, FetchBody};
use crate::platform::http::Headers;
use crate::platform::{Body, BodyCoding, Http, HttpError, HttpErrorKind, Method, Request, Response};

#[wasm_bindgen]
extern "C" {
    /// `Transport` of `host.d.ts`.
    #[derive(Clone)]
    pub(super) type Transport;
    /// Starts a request; returns at once. `headers` is a flat list of names and values.
    #[wasm_bindgen(method, catch)]
    fn send(
        this: &Transport,
        method: &str,
        url: &str,
        headers: Vec<String>,
        body: Option<Uint8Array>,
        timeout_millis: f64,
    ) -> Result<Exchange, JsValue>;

    /// `Exchange` of `host.d.ts`: a request under way.
    type Exchange;
    #[wasm_bindgen(method, catch)]
    fn response(this: &Exchange) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn chunk(this: &Exchange) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn abort(this: &Exchange) -> Result<(), JsValue>;

    /// What `Exchange.response` resolves to.
    type Head;
    #[wasm_bindgen(method, getter)]
    fn status(this: &Head) -> u16;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &Head) -> Array;
    #[wasm_bindgen(method, getter)]
    fn coding(this: &Head) -> String;
}

/// A request under way; dropped before its end, it is aborted.
pub(super) struct JsBody {
    exchange: Exchange,
    ended: bool,
}

impl Drop for JsBody {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is left to be told.
            let _ = self.exchange.abort();
        }
    }
}

impl Body for JsBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            let value = settle(self.exchange.chunk()).await.map_err(|thrown| http_error(&thrown))?;
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

/// Headers out of names and values in turn. As one text, since each text that crosses costs; none holds a line break.
pub(super) fn joined(list: &Array) -> Headers {
    let flat = String::from(list.join("\n"));
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

impl Transport {
    async fn exchange(&self, request: Request) -> Result<Response<JsBody>, HttpError> {
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        };
        let headers = request.headers.into_iter().flat_map(|(name, value)| [name, value]).collect();
        let body = request.body.map(|bytes| Uint8Array::from(&bytes[..]));
        let exchange = self
            .send(method, &request.url, headers, body, request.timeout.as_secs_f64() * 1000.0)
            .map_err(|thrown| http_error(&thrown))?;
        let body = JsBody { exchange, ended: false };
        let head = settle(body.exchange.response()).await.map_err(|thrown| http_error(&thrown))?;
        let head: Head = head.unchecked_into();
        let coding = match head.coding().as_str() {
            "gzip" => BodyCoding::Gzip,
            "decodedByHost" => BodyCoding::DecodedByHost,
            _ => BodyCoding::Identity,
        };
        Ok(Response {
            status: head.status(),
            headers: joined(&head.headers()),
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
    Given(Transport),
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
