//! The server itself, its tokens, and whether it answers a search.

use serde_json::Value;

use super::Exam;
use super::cors;
use super::report::State;
use crate::Error;
use crate::auth::discovery::Discovery;
use crate::auth::scope::Dialect;
use crate::bulk::groups::{self, Group};
use crate::config::{AuthConfig, Level};
use crate::fhir::capability::{Capability, Vendor};
use crate::fhir::outcome::{self, Outcome};
use crate::http::{Reply, redact};
use crate::platform::Platform;

const FHIR_JSON: &str = "application/fhir+json";
/// Groups that are named, at most.
const MAX_NAMED: usize = 20;

impl<P: Platform> Exam<'_, '_, P> {
    /// Whether there is a server at all.
    pub(super) async fn server(&mut self) -> bool {
        let call = self.probe.get("metadata", FHIR_JSON);
        let mut answer = self.probe.send(call.clone().open()).await;
        if let Ok(Reply { status: 401 | 403, .. }) = answer {
            answer = self.probe.send(call).await;
        }
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                self.facts.browser = self.config.in_browser.then_some(false);
                self.note("server", State::Failure, error.message.clone(), hint(&error));
                return false;
            }
        };
        self.seen.metadata = Some(cors::allows(&reply.headers, &self.origin));
        self.look_at(&reply);
        let found = if reply.is_success() {
            Capability::read(&reply.body)
        } else {
            Err(format!("The server answers {} to /metadata{}.", reply.status, words(&reply)))
        };
        match found {
            Ok(capability) => {
                if capability.vendor == Vendor::Epic {
                    self.client.identify_to_epic();
                }
                self.describe(&capability);
                self.capability = capability;
            }
            Err(why) => {
                let meaning = "Check that this is the base URL of a FHIR API. An export can do without a \
                               CapabilityStatement, but works out less by itself.";
                self.note("server", State::Warning, why, meaning);
            }
        }
        true
    }

    fn describe(&mut self, capability: &Capability) {
        let name = [&capability.software_name, &capability.software_version];
        let name: Vec<&str> = name.into_iter().flatten().map(String::as_str).collect();
        self.facts.fhir_version.clone_from(&capability.fhir_version);
        self.facts.software = (!name.is_empty()).then(|| name.join(" "));
        self.facts.vendor = match capability.vendor {
            Vendor::Epic => Some("epic"),
            Vendor::Oracle => Some("oracle"),
            Vendor::Other => None,
        };
        let version = capability.fhir_version.as_deref().unwrap_or("of an unknown version");
        let software = self.facts.software.as_deref().unwrap_or("software without a name");
        let found = format!("FHIR {version}, {software}");
        // R4, R4B and R5.
        if version.starts_with("4.") || version.starts_with("5.") {
            self.note("server", State::Good, found, "");
        } else {
            self.note("server", State::Warning, found, "smart-fetch is made for FHIR R4 and R5.");
        }
    }

    /// The SMART configuration.
    pub(super) async fn smart(&mut self) {
        let call = self.probe.get(".well-known/smart-configuration", "application/json").open();
        let answer = self.probe.send(call).await;
        let found = answer.as_ref().ok().filter(|reply| reply.is_success());
        let is_needed = matches!(&self.config.server.auth, AuthConfig::Smart { token_url: None, .. });
        let state = if is_needed { State::Warning } else { State::Note };
        let Some(server) = found.and_then(|reply| Discovery::from_smart_configuration(&reply.body)) else {
            let why = match &answer {
                Ok(reply) if reply.is_success() => "it names no token endpoint".to_owned(),
                Ok(reply) => format!("{} was the answer", reply.status),
                Err(error) => error.message.trim_end_matches('.').to_owned(),
            };
            let meaning = if is_needed { "The token endpoint may be given with --token-url." } else { "" };
            return self.note("smart", state, format!("no SMART configuration: {why}"), meaning);
        };
        self.facts.token_url = Some(server.token_url.clone());
        let dialect = match Dialect::of(&server) {
            Dialect::V1 => "system/Type.read",
            Dialect::V2 => "system/Type.rs",
        };
        let algorithms = server.algorithms.clone().unwrap_or_default().join(", ");
        let signed = if algorithms.is_empty() { String::new() } else { format!(", signatures {algorithms}") };
        let found = format!("tokens from {}, scopes as {dialect}{signed}", redact::url(&server.token_url));
        match server.doubts().filter(|_| matches!(self.config.server.auth, AuthConfig::Smart { .. })) {
            Some(doubts) => self.note("smart", State::Warning, found, doubts),
            None => self.note("smart", State::Good, found, ""),
        }
    }

    /// Whether the credentials are good for a token, and for which scopes. False where there is none to be had.
    pub(super) async fn token(&mut self) -> bool {
        let found = match &self.config.server.auth {
            AuthConfig::None => "none: no credentials were given",
            AuthConfig::Bearer { .. } => "a token as given; nobody can tell what it is good for",
            AuthConfig::Basic { .. } => "none: a user name and a password were given",
            AuthConfig::Smart { .. } | AuthConfig::Host { .. } => return self.granted_token().await,
        };
        self.note("token", State::Note, found, "");
        true
    }

    async fn granted_token(&mut self) -> bool {
        match self.client.credentials().await {
            Ok(_) => self.describe_token(),
            Err(error) => {
                self.note("token", State::Failure, error.message.clone(), hint(&error));
                return false;
            }
        }
        true
    }

    fn describe_token(&mut self) {
        let Some(granted) = self.client.granted() else {
            return self.note(
                "token",
                State::Note,
                "one that the program gives; nobody can tell what it is good for",
                "",
            );
        };
        let life = granted.seconds.map(|seconds| format!(" for {seconds} seconds")).unwrap_or_default();
        let found = format!("granted{life}: {}", granted.scopes);
        if granted.missing.is_empty() {
            self.note("token", State::Good, found, "");
        } else {
            let missing = granted.missing.join(", ");
            let meaning = format!("Not granted: {missing}. The server may leave such resources out without a word.");
            self.note("token", State::Warning, found, meaning);
        }
        self.facts.token_seconds = granted.seconds;
        self.facts.scopes = Some(granted.scopes);
        self.facts.missing_scopes = granted.missing;
    }

    /// Whether the server answers a search.
    pub(super) async fn access(&mut self) {
        let reply = match self.probe.send(self.probe.get("Patient?_summary=count", FHIR_JSON)).await {
            Ok(reply) => reply,
            Err(error) if self.config.in_browser => {
                self.seen.blocked = Some("a search with credentials");
                return self.note("access", State::Failure, error.message.clone(), hint(&error));
            }
            Err(error) => return self.note("access", State::Warning, error.message.clone(), hint(&error)),
        };
        self.look_at(&reply);
        let answer = format!("a search is answered with {}{}", reply.status, words(&reply));
        match reply.status {
            200..=299 => {
                self.searchable = true;
                self.seen.rest = Some(cors::allows(&reply.headers, &self.origin));
                let bundle: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                self.facts.patients = bundle["total"].as_u64();
                let found = self.facts.patients.map_or_else(
                    || "searches are answered".to_owned(),
                    |total| format!("searches are answered; {total} patients"),
                );
                self.note("access", State::Good, found, "");
            }
            401 => {
                let meaning = match self.config.server.auth {
                    AuthConfig::None => {
                        "The server wants credentials: --smart-client-id with --smart-key, --bearer-token, or --basic-user."
                    }
                    _ => "These credentials are not accepted. Check them, and their registration with the server.",
                };
                self.note("access", State::Failure, answer, meaning);
            }
            // Epic and others want to know whom to look for.
            400 | 422 if Outcome::read(&reply.body).is_some() => {
                self.searchable = true;
                self.note(
                    "access",
                    State::Note,
                    answer,
                    "Searches with criteria, such as a crawl makes, may well work.",
                );
            }
            403 => self.note(
                "access",
                State::Warning,
                answer,
                "These credentials may not search. An export may work; a crawl and hydration need searches and reads.",
            ),
            _ => self.note(
                "access",
                State::Note,
                answer,
                "An export does without searches; a crawl and hydration need searches and reads.",
            ),
        }
    }

    /// Whether the Group that is to be exported is there, as far as groups can be read.
    pub(super) async fn group(&mut self) {
        let Level::Group(id) = &self.level else { return };
        let id = id.clone();
        let read = self.probe.send(self.probe.get(&format!("Group/{id}"), FHIR_JSON)).await;
        if let Ok(reply) = &read
            && reply.status == 200
        {
            return self.note("group", State::Good, format!("Group/{id} is there"), "");
        }
        match groups::search(self.client, "").await {
            Ok(listed) => {
                let found = match listed.len() {
                    0 => "the server lists no groups".to_owned(),
                    _ => format!("the server lists {}", named(&listed)),
                };
                let is_listed = listed.iter().any(|group| group.id == id);
                self.facts.groups = listed;
                // What a server does not list it may export all the same, unless it says that there is no such thing.
                let is_absent = read.is_ok_and(|reply| matches!(reply.status, 404 | 410));
                match (is_listed, is_absent) {
                    (true, _) => self.note("group", State::Good, format!("Group/{id} is there"), ""),
                    (false, true) => {
                        let meaning = format!("There is no Group/{id}. Choose one of those there are.");
                        self.note("group", State::Failure, found, meaning);
                    }
                    (false, false) => self.note(
                        "group",
                        State::Warning,
                        found,
                        format!("Group/{id} is not among them, and cannot be read."),
                    ),
                }
            }
            Err(_) => self.note(
                "group",
                State::Note,
                format!("whether there is a Group/{id} cannot be seen"),
                "Groups can be exported on servers that do not show them.",
            ),
        }
    }

    /// Notes what is seen in passing: compression, and how the server asks for patience.
    pub(super) fn look_at(&mut self, reply: &Reply) {
        let coded = reply.headers.get("content-encoding").is_some_and(|coding| coding.contains("gzip"));
        if coded {
            self.facts.gzip = Some(true);
        } else if self.facts.gzip.is_none() && !reply.headers_filtered && reply.body.len() > 2_000 {
            self.facts.gzip = Some(false);
        }
        if self.config.in_browser {
            self.seen.same_origin |= !reply.headers_filtered;
            self.seen.shows_more |= cors::shows_more(&reply.headers);
        }
        if let Some(asked) = reply.headers.get("retry-after") {
            self.facts.retry_after = Some(asked.to_owned());
        }
    }
}

/// What the server says to an answer that is no success, as the end of a sentence.
pub(super) fn words(reply: &Reply) -> String {
    let text = outcome::readable(&reply.body).filter(|_| !reply.is_success());
    text.map_or_else(String::new, |text| format!(": {}", text.trim_end_matches('.')))
}

pub(super) fn hint(error: &Error) -> String {
    error.hint.clone().unwrap_or_default()
}

/// The first groups of a list, for people.
fn named(groups: &[Group]) -> String {
    let name = |group: &Group| match &group.name {
        Some(name) => format!("{} ({name})", group.id),
        None => group.id.clone(),
    };
    let first: Vec<String> = groups.iter().take(MAX_NAMED).map(name).collect();
    format!("{}{}", first.join(", "), if groups.len() > MAX_NAMED { ", …" } else { "" })
}
