//! What a server says in place of the file.

use crate::fhir::outcome::{Outcome, readable};
use crate::platform::http::Headers;
use crate::platform::transfer::TransferOutcome;
use crate::platform::{Body, BodyCoding, Response};

use super::gzip::{Gunzip, MAGIC};

/// Bytes of a body that are read for a message, before and after decoding.
const MAX_BODY: usize = 64 << 10;

/// What is kept of a response's head.
pub(super) struct Status {
    code: u16,
    retry_after: Option<String>,
    date: Option<String>,
}

impl Status {
    pub(super) fn of<B>(response: &Response<B>) -> Self {
        let get = |headers: &Headers, name: &str| headers.get(name).map(str::to_owned);
        Self {
            code: response.status,
            retry_after: get(&response.headers, "retry-after"),
            date: get(&response.headers, "date"),
        }
    }

    /// A refusal, with what its body says.
    pub(super) fn refused(&self, body: &[u8]) -> TransferOutcome {
        let text = readable(body).unwrap_or_default();
        let transient = Outcome::read(body).is_some_and(|outcome| outcome.is_transient());
        self.outcome(text, transient)
    }

    /// A refusal, in our own words.
    pub(super) fn refused_with(&self, text: String) -> TransferOutcome {
        self.outcome(text, false)
    }

    fn outcome(&self, text: String, transient: bool) -> TransferOutcome {
        TransferOutcome::Refused {
            status: self.code,
            retry_after: self.retry_after.clone(),
            date: self.date.clone(),
            text,
            transient,
        }
    }
}

/// A refusal whose body says nothing.
pub(super) fn without_body(status: u16, text: String) -> TransferOutcome {
    TransferOutcome::Refused { status, retry_after: None, date: None, text, transient: false }
}

/// Reads a refusal. What breaks on the way is of no matter: the status has come.
pub(super) async fn read<B: Body>(response: Response<B>) -> TransferOutcome {
    let status = Status::of(&response);
    if response.status == 206 {
        return status.refused_with("only a part of the file came, though all of it was asked for".to_owned());
    }
    let mut body = response.body;
    let mut bytes = Vec::new();
    while bytes.len() < MAX_BODY {
        let Ok(Some(chunk)) = body.chunk().await else {
            break;
        };
        bytes.extend_from_slice(&chunk);
    }
    if response.coding == BodyCoding::Gzip && bytes.starts_with(&MAGIC) {
        let mut decoded = vec![0; MAX_BODY];
        let step = Gunzip::new().decode(&bytes, &mut decoded);
        decoded.truncate(step.map_or(0, |step| step.produced));
        bytes = decoded;
    }
    status.refused(&bytes)
}
