//! Reads: one resource, or many in one request where the server finds them by their ids.

use std::borrow::Cow;

use crate::bulk::refusal;
use crate::fhir::raw::{self, Raw};
use crate::fhir::resource_type::is_safe;
use crate::folder::rows::type_of;
use crate::http::{self, Call, Client, Reply};
use crate::platform::Platform;
use crate::{Error, ErrorKind, Result};

/// Ids in one request, and bytes of all of them together, so that no URL is too long for anybody.
pub(super) const BATCH: usize = 50;
const BATCH_BYTES: usize = 1500;

/// Biggest reply with many resources in it.
const MAX_BUNDLE: usize = 64 << 20;

/// The step, as errors name it.
pub(super) const OPERATION: &str = "hydrate";

/// Why something could not be had, though everything else goes on.
pub(super) struct Failure {
    /// Whether it may be had later.
    pub(super) gave_up: bool,
    /// A sentence.
    pub(super) message: String,
    /// The error that this is, where many of the kind in a row mean that nothing more can be had.
    pub(super) serious: Option<Error>,
}

impl Failure {
    pub(super) fn fatal(message: String) -> Self {
        Self { gave_up: false, message, serious: None }
    }
}

/// What came: the bytes, or a failure.
pub(super) type Got<T> = std::result::Result<T, Failure>;

/// Makes a call. An answer that refuses is a failure like any other; an error is one on our side, or of the credentials.
pub(super) async fn send<P: Platform>(client: &Client<'_, P>, call: Call) -> Result<Got<Reply>> {
    match client.send(call).await {
        Ok(reply) if reply.is_success() => Ok(Ok(reply)),
        Ok(reply) => {
            let error = refusal(OPERATION, &reply);
            let gave_up = http::Failure::of_status(reply.status, None).is_some();
            let message = client.redact(&error.message);
            Ok(Err(Failure { gave_up, message, serious: (reply.status == 401).then_some(error) }))
        }
        Err(error) => match error.kind {
            ErrorKind::Network => {
                Ok(Err(Failure { gave_up: true, message: error.message.clone(), serious: Some(error) }))
            }
            ErrorKind::Protocol | ErrorKind::Insecure => Ok(Err(Failure::fatal(error.message.clone()))),
            _ => Err(error),
        },
    }
}

/// Reads `path` below the base, which is due to be a resource of `resource_type`. A version that cannot be had is made up
/// for by the current one.
pub(super) async fn read<P: Platform>(client: &Client<'_, P>, resource_type: &str, path: &str) -> Result<Got<Vec<u8>>> {
    let call = |path: &str| Call::get(OPERATION, client.url(path)).header("Accept", "application/fhir+json");
    let mut answer = send(client, call(path)).await?;
    if let (Err(Failure { gave_up: false, serious: None, .. }), Some((current, _))) =
        (&answer, path.split_once("/_history/"))
        && let Ok(reply) = send(client, call(current)).await?
    {
        answer = Ok(reply);
    }
    Ok(answer.and_then(|reply| checked(reply.body, resource_type)))
}

/// A body, if it is a resource of the type; else a failure in the reference's words.
pub(super) fn checked(body: Vec<u8>, resource_type: &str) -> Got<Vec<u8>> {
    match raw::check(&body) {
        Ok(found) if found == resource_type => Ok(body),
        Ok(found) => Err(Failure::fatal(mismatch(&body, &found, resource_type))),
        Err(why) => Err(Failure::fatal(format!("Error: expected a resource of type '{resource_type}', but {why}."))),
    }
}

/// What is said of a resource of a wrong type: the first issue of an OperationOutcome, or both types.
pub(super) fn mismatch(resource: &[u8], found: &str, expected: &str) -> String {
    let issue = Raw::new(resource).get("issue").and_then(|issues| issues.items().next());
    let text = issue.filter(|_| found == "OperationOutcome").and_then(|issue| {
        said(issue.get("details").and_then(|details| details.get("text"))).or_else(|| said(issue.get("diagnostics")))
    });
    if let Some(text) = text {
        return crate::fhir::outcome::clean(&text);
    }
    let found = if is_safe(found) { found } else { "something else" };
    format!("Error: expected resource type of '{expected}', but got '{found}'.")
}

/// A text that says something.
fn said(value: Option<Raw<'_>>) -> Option<Cow<'_, str>> {
    value.and_then(Raw::text).filter(|text| !text.is_empty())
}

/// How many of the ids, in order, go into one request.
pub(super) fn batch_of<'a>(ids: impl Iterator<Item = &'a str>) -> usize {
    let mut bytes = 0;
    ids.take(BATCH)
        .take_while(|id| {
            bytes += id.len() + 1;
            bytes <= BATCH_BYTES
        })
        .count()
}

/// Whether an id can be one of several in a query as it is.
pub(super) fn is_plain(id: &str) -> bool {
    id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Looks for resources by their ids: those that were found, each with its id. `None` where the server does not do that, or
/// does something else: then it should not be asked again.
pub(super) async fn find<P: Platform>(
    client: &Client<'_, P>,
    resource_type: &str,
    ids: &[&str],
) -> Result<Option<Vec<(String, Vec<u8>)>>> {
    let url = client.url(&format!("{resource_type}?_id={}&_count={}", ids.join(","), ids.len()));
    let mut call = Call::get(OPERATION, url).header("Accept", "application/fhir+json");
    call.max_body = MAX_BUNDLE;
    Ok(match send(client, call).await? {
        Ok(reply) => found_in(&reply.body, resource_type, ids),
        // The reads that follow tell what is wrong.
        Err(failure) => failure.gave_up.then(Vec::new),
    })
}

/// The resources in the answer to [`find`]. Another one than was asked for means that `_id` was not understood.
fn found_in(bundle: &[u8], resource_type: &str, ids: &[&str]) -> Option<Vec<(String, Vec<u8>)>> {
    if raw::check(bundle).ok()? != "Bundle" {
        return None;
    }
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let entries = Raw::new(bundle).get("entry");
    for entry in entries.iter().flat_map(|entries| entries.items()) {
        let Some(resource) = entry.get("resource") else { continue };
        let mode = entry.get("search").and_then(|search| search.get("mode"));
        if type_of(resource).as_deref() != Some(resource_type) || mode.is_some_and(|mode| mode.is_text("include")) {
            continue;
        }
        let id: Cow<'_, str> = resource.get("id").and_then(Raw::text)?;
        if !ids.contains(&id.as_ref()) {
            return None;
        }
        if !found.iter().any(|(known, _)| *known == id) {
            found.push((id.into_owned(), raw::compact(resource.bytes()).into_owned()));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told_by_id_and_kept_byte_for_byte() {
        let bundle = br#"{"resourceType":"Bundle","entry":[
            {"resource":{"resourceType":"Location","id":"a","n":1.10}},
            {"resource":{"resourceType":"Organization","id":"o"},"search":{"mode":"include"}},
            {"resource":{"resourceType":"OperationOutcome"},"search":{"mode":"outcome"}},
            {"resource":{"resourceType":"Location","id":"a","n":2}}]}"#;
        let found = found_in(bundle, "Location", &["a", "b"]).expect("the answer is right");
        assert_eq!(found, [("a".to_owned(), br#"{"resourceType":"Location","id":"a","n":1.10}"#.to_vec())]);
        assert_eq!(found_in(br#"{"resourceType":"Bundle"}"#, "Location", &["a"]), Some(Vec::new()));
    }

    #[test]
    fn a_server_that_does_not_know_the_parameter_is_not_believed() {
        let everything = br#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Location","id":"z"}}]}"#;
        assert_eq!(found_in(everything, "Location", &["a"]), None);
        assert_eq!(found_in(br#"{"resourceType":"Location","id":"a"}"#, "Location", &["a"]), None);
        assert_eq!(found_in(b"<html>", "Location", &["a"]), None);
    }

    #[test]
    fn requests_stay_short() {
        let long = "x".repeat(64);
        assert_eq!(batch_of(std::iter::repeat_n(long.as_str(), 100)), 23);
        assert_eq!(batch_of(std::iter::repeat_n("1", 100)), BATCH);
        assert_eq!(batch_of(std::iter::repeat_n("1", 3)), 3);
    }

    #[test]
    fn another_type_is_told_in_the_words_of_the_reference() {
        let wrong = |body: &str| checked(body.into(), "Organization").err().map(|failure| failure.message);
        assert_eq!(
            wrong(r#"{"resourceType":"X"}"#).as_deref(),
            Some("Error: expected resource type of 'Organization', but got 'X'.")
        );
        let outcome = r#"{"resourceType":"OperationOutcome","issue":[{"details":{"text":"gone"},"diagnostics":"x"}]}"#;
        assert_eq!(wrong(outcome).as_deref(), Some("gone"));
        assert!(wrong("<html>").is_some_and(|text| text.starts_with("Error: expected a resource")));
    }
}
