//! The kick-off: asks the server to start an export.

mod params;
mod reply;
pub mod request;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use params::{KickoffParams, split_filter, strays, validate};
pub(crate) use params::{group_id, items};
pub use request::encode;

use crate::config::KickoffMethod;
use crate::event::Event;
use crate::fhir::capability::{Capability, Operation, Stu};
use crate::fhir::outcome::{Issue, Outcome};
use crate::http::{Client, Failure, Reply, Retry};
use crate::platform::http::Headers;
use crate::platform::{Method, Observer, Platform};
use crate::{Error, Result};

/// A job that the server has accepted. Persist it at once (C17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kickoff {
    /// Where to ask for the state of the job; opaque, may be signed.
    pub status_url: String,
    /// How the kick-off was sent.
    pub method: Method,
    /// What the server had to say with its 202, such as parameters that it ignores.
    pub server_messages: Vec<Issue>,
    /// Whether the server tells the state of the job apart from that of the status request (`Preference-Applied`, C15).
    pub separate_status: bool,
}

/// A kick-off and how it went, with what the bulk export log needs.
pub struct Attempt {
    /// The URL, as sent.
    pub export_url: String,
    /// The parameters by name, lists joined by commas, without `patient`.
    pub parameters: Map<String, Value>,
    /// The last status; `None` if no answer came.
    pub status: Option<u16>,
    /// The headers of the last answer.
    pub headers: Headers,
    /// The body of the last answer.
    pub body: Vec<u8>,
    /// The job, or why there is none.
    pub result: Result<Kickoff>,
}

/// Sends the kick-off for `params`: GET or POST by `method` and by what the capability says, the other one only after a 404,
/// 405, 415 or 501 (C01). What was asked is never changed to please a server (C12).
pub async fn run<P: Platform>(
    client: &Client<'_, P>,
    capability: &Capability,
    params: &KickoffParams,
    method: KickoffMethod,
) -> Attempt {
    let (first, operation) = choose(capability, params, method);
    let attempt = send(client, params, &operation, first).await;
    let refused = attempt.status.is_some_and(|status| matches!(status, 404 | 405 | 415 | 501));
    // `patient` has no GET form (C05).
    if method != KickoffMethod::Auto || !refused || !params.patients.is_empty() {
        return attempt;
    }
    let (second, operation) = other(capability, params, first);
    client.platform().observer().event(Event::Note {
        message: format!(
            "The server refused the kick-off by {} ({}); trying {}.",
            name(first),
            attempt.status.unwrap_or_default(),
            name(second)
        ),
    });
    let again = send(client, params, &operation, second).await;
    // If it refuses both ways, the reason for the way that was meant is the better one.
    if again.status.is_some_and(|status| matches!(status, 404 | 405 | 415 | 501)) { attempt } else { again }
}

/// Method and operation to begin with: POST for STU4, for `patient`, and on demand (C01, A05).
pub fn choose(capability: &Capability, params: &KickoffParams, method: KickoffMethod) -> (Method, Operation) {
    let newest = capability.export(&params.level, |_| true);
    match method {
        KickoffMethod::Get => (Method::Get, capability.export(&params.level, |stu| stu < Stu::Stu4)),
        KickoffMethod::Post => (Method::Post, newest),
        KickoffMethod::Auto if newest.stu == Some(Stu::Stu4) || !params.patients.is_empty() => (Method::Post, newest),
        KickoffMethod::Auto => (Method::Get, newest),
    }
}

fn other(capability: &Capability, params: &KickoffParams, tried: Method) -> (Method, Operation) {
    if tried == Method::Post {
        return (Method::Get, capability.export(&params.level, |stu| stu < Stu::Stu4));
    }
    let mut operation = capability.export(&params.level, |_| true);
    // Only STU4 has servers without GET.
    operation.stu = operation.stu.or(Some(Stu::Stu4));
    (Method::Post, operation)
}

async fn send<P: Platform>(
    client: &Client<'_, P>,
    params: &KickoffParams,
    operation: &Operation,
    method: Method,
) -> Attempt {
    let request = request::build(client.base(), params, operation, method);
    let export_url = request.call.url.clone();
    let answer = match method {
        Method::Get => get(client, request.call).await,
        _ => client.send(request.call).await,
    };
    let mut attempt = Attempt {
        export_url,
        parameters: request.parameters,
        status: None,
        headers: Headers::default(),
        body: Vec::new(),
        result: Err(Error::usage("")),
    };
    match answer {
        Err(error) => attempt.result = Err(error),
        Ok(reply) => {
            attempt.result = reply::read(&reply, method, params.separate_export_status, |location| {
                client.resolve(location, &reply.url)
            });
            // A server may echo secrets (B15).
            attempt.result = attempt.result.map_err(|error| error.reworded(|message| client.redact(message)));
            if let Ok(kickoff) = &attempt.result {
                tell(client, kickoff);
            }
            attempt.status = Some(reply.status);
            attempt.headers = reply.headers;
            attempt.body = reply.body;
        }
    }
    attempt
}

/// A GET kick-off, repeated as a plain GET would be, but not after an OperationOutcome that calls the failure final.
async fn get<P: Platform>(client: &Client<'_, P>, call: crate::http::Call) -> Result<Reply> {
    let brief = client.retry().brief();
    let mut tries = client.retry().tries();
    let mut first_contact = brief.tries();
    loop {
        let answer = client.send(call.clone().retry(Retry::Never)).await;
        let reached = client.politeness().answered(&call.url);
        let tries = if reached { &mut tries } else { &mut first_contact };
        let (failure, message) = match &answer {
            Ok(reply) => (failure_of(reply), format!("The kick-off was answered with {}.", reply.status)),
            Err(error) => (error.retry.then_some(Failure::Failed(None)), error.message.clone()),
        };
        let Some(pause) = failure.and_then(|failure| client.next_try(tries, failure, &call.url)) else {
            return answer;
        };
        client.pause(pause, message).await;
    }
}

fn failure_of(reply: &Reply) -> Option<Failure> {
    let asked = reply.retry_after();
    let by_status = Failure::of_status(reply.status, asked);
    match Outcome::read(&reply.body) {
        Some(outcome) if reply.status >= 400 && outcome.is_transient() => by_status.or(Some(Failure::Failed(asked))),
        // The server has looked at the request and says what is wrong with it.
        Some(_) if reply.status == 500 => None,
        _ => by_status,
    }
}

fn tell<P: Platform>(client: &Client<'_, P>, kickoff: &Kickoff) {
    let observer = client.platform().observer();
    for issue in &kickoff.server_messages {
        let message = client.redact(&format!("The server says: {}", issue.text));
        observer.event(match issue.severity.as_str() {
            "information" | "success" => Event::Note { message },
            _ => Event::Warning { code: "kick-off".to_owned(), message },
        });
    }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
    }
}
