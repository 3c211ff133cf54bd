//! Whether a web page can run an export against the server.

use super::report::State;
use super::{Exam, cors};
use crate::platform::Platform;
use crate::platform::http::Headers;

/// Without these a page cannot follow an export.
const NEEDED: [&str; 1] = ["Content-Location"];
/// Without these it can, but less well.
const WELCOME: [&str; 3] = ["Retry-After", "X-Progress", "Link"];

/// What the answers told about web pages.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether a page may read the CapabilityStatement.
    pub(super) metadata: Option<bool>,
    /// Whether a page may read what a search answers.
    pub(super) rest: Option<bool>,
    /// The answer to the question whether a page may kick off.
    pub(super) preflight: Option<(u16, Headers)>,
    /// The headers of an answer of `$export`.
    pub(super) export: Option<Headers>,
    /// Whether a page may read the status of an export.
    pub(super) status: Option<bool>,
    /// In a browser: what it did not let through.
    pub(super) blocked: Option<&'static str>,
    /// In a browser: whether the page is of the server's own origin, which nothing is hidden from.
    pub(super) same_origin: bool,
    /// In a browser: whether any answer showed headers that are hidden by default.
    pub(super) shows_more: bool,
}

impl<P: Platform> Exam<'_, '_, P> {
    pub(super) fn browser(&mut self) {
        if self.config.in_browser { self.see_from_within() } else { self.see_from_outside() }
    }

    /// By what this browser let through.
    fn see_from_within(&mut self) {
        if let Some(what) = self.seen.blocked {
            self.facts.browser = Some(false);
            let meaning = format!(
                "The server must allow this page's origin (CORS) for {what} too, with the headers Authorization and Prefer. \
                 Until it does, use the command line, or the relay of 'smart-fetch serve'."
            );
            return self.note("browser", State::Failure, format!("the browser blocks {what}"), meaning);
        }
        let base = format!("{}/", self.client.base());
        let is_relayed = self.config.server.relay.has_route(&base);
        if self.seen.same_origin && is_relayed {
            self.facts.browser = Some(true);
            return self.note(
                "browser",
                State::Note,
                "this page reaches the server through a relay, which is of the page's own origin",
                "Whether web pages can use the server without one was not looked at.",
            );
        }
        if self.seen.same_origin {
            self.facts.browser = Some(true);
            return self.note("browser", State::Good, "this page is of the server's own origin", "");
        }
        let shown = match &self.seen.export {
            // After a kick-off it is known, else only whether the server shows anything at all.
            Some(headers) if self.facts.started > 0 => headers.get("content-location").is_some(),
            _ => self.seen.shows_more,
        };
        if shown {
            self.facts.browser = (self.facts.started > 0).then_some(true);
            let found = match self.facts.started {
                0 => {
                    "requests are let through, and headers are shown; whether Content-Location is one of them, --kickoff tells"
                }
                _ => "an export can be started and followed from this page",
            };
            return self.note("browser", State::Good, found, "");
        }
        self.facts.browser = Some(false);
        self.facts.hidden_headers = NEEDED.iter().chain(&WELCOME).map(|name| (*name).to_owned()).collect();
        self.note(
            "browser",
            State::Warning,
            "requests are let through, but headers are hidden",
            expose(&self.facts.hidden_headers),
        );
    }

    /// By what the server tells browsers.
    fn see_from_outside(&mut self) {
        let mut hidden: Vec<&str> = Vec::new();
        let export = self.seen.export.as_ref().map(|headers| cors::allows(headers, &self.origin));
        let parts = [
            ("metadata", self.seen.metadata),
            ("searches", self.seen.rest),
            ("$export", export),
            ("the status", self.seen.status),
        ];
        let closed: Vec<&str> =
            parts.into_iter().filter(|(_, open)| *open == Some(false)).map(|(part, _)| part).collect();
        let mut lacking: Vec<String> = Vec::new();
        if !closed.is_empty() {
            lacking.push(format!("no Access-Control-Allow-Origin on {}", closed.join(", ")));
        }
        if let (Some(headers), Some(true)) = (&self.seen.export, export) {
            hidden = cors::hidden(headers, &[&NEEDED[..], &WELCOME[..]].concat());
        }
        let mut no_delete = false;
        if let Some((status, headers)) = &self.seen.preflight {
            let names: &[&str] = if self.has_credentials() { &["Authorization", "Prefer"] } else { &["Prefer"] };
            if !(200..300).contains(status) || !cors::allows(headers, &self.origin) {
                lacking.push(format!("a preflight (OPTIONS) of $export is answered with {status}"));
            } else {
                let denied = cors::denied(headers, names);
                if !denied.is_empty() {
                    lacking.push(format!("Access-Control-Allow-Headers of $export lacks {}", denied.join(", ")));
                }
                no_delete = !cors::allows_delete(headers);
            }
        }
        let known = self.seen.export.is_some() || self.seen.preflight.is_some();
        let is_followed = !hidden.iter().any(|name| NEEDED.contains(name));
        self.facts.browser = (known || !lacking.is_empty()).then_some(lacking.is_empty() && is_followed);
        self.facts.hidden_headers = hidden.iter().map(|name| (*name).to_owned()).collect();
        // Where nobody asked about a page, it is no problem that pages cannot.
        let problem = if self.config.origin.is_some() { State::Warning } else { State::Note };
        let relay = "The relay helps: smart-fetch serve --server";
        match (self.facts.browser, hidden.is_empty()) {
            (None, _) => self.note("browser", State::Note, "not known", ""),
            (Some(false), _) if !lacking.is_empty() => {
                let meaning = format!("{relay} {}", self.client.base());
                self.note("browser", problem, format!("web pages cannot use it: {}", lacking.join("; ")), meaning);
            }
            (Some(false), _) => {
                let meaning = format!("{} {relay} {}", expose(&self.facts.hidden_headers), self.client.base());
                self.note("browser", problem, "web pages cannot run an export: headers are hidden", meaning);
            }
            (Some(true), false) => {
                let found = "web pages can run exports, though some headers are hidden";
                self.note("browser", State::Note, found, expose(&self.facts.hidden_headers));
            }
            (Some(true), true) if no_delete => {
                let found =
                    "web pages can run exports, but not delete them (Access-Control-Allow-Methods lacks DELETE)";
                self.note("browser", State::Note, found, "");
            }
            (Some(true), true) => self.note("browser", State::Good, "web pages can run exports", ""),
        }
    }
}

fn expose(hidden: &[String]) -> String {
    format!("The server must send 'Access-Control-Expose-Headers: {}'.", hidden.join(", "))
}
