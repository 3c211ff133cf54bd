//! What the server says of `$export`, without starting one: levels, methods, type filters, since.

use super::Exam;
use super::report::{ExportOperation, State};
use super::server::words;
use crate::bulk::cleanup;
use crate::config::{Level, SinceMode};
use crate::fhir::capability::{Stu, Vendor};
use crate::fhir::resource_type;
use crate::http::{Reply, Retry, parse_retry_after};
use crate::platform::{Method, Platform};
use crate::update::since;

impl<P: Platform> Exam<'_, '_, P> {
    /// The operations that the CapabilityStatement shows.
    pub(super) fn levels(&mut self) {
        let levels = [("system", Level::System), ("patient", Level::Patient), ("group", Level::Group(String::new()))];
        for (level, which) in levels {
            let shown = self.capability.exports(&which).map(|operation| ExportOperation {
                level,
                operation: operation.name.clone(),
                version: operation.stu.or(self.capability.export(&which, |_| true).stu).map(|stu| stu as u8 + 1),
            });
            self.facts.exports.extend(shown);
        }
        let wanted = level_name(&self.level);
        let mut names: Vec<String> = Vec::new();
        for ExportOperation { level, operation, version } in &self.facts.exports {
            let name = if operation == "export" { "" } else { operation.as_str() };
            let version = version.map(|version| format!("STU{version}")).unwrap_or_default();
            let more = [name, &version].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
            names.push(if more.is_empty() { (*level).to_owned() } else { format!("{level} ({more})") });
        }
        let found = names.join(", ");
        if found.is_empty() {
            let meaning = "The CapabilityStatement shows no $export. It may be there all the same: --kickoff tries.";
            self.note("export", State::Warning, "none shown", meaning);
        } else if self.facts.exports.iter().any(|shown| shown.level == wanted) {
            self.exportable = Some(true);
            self.note("export", State::Good, found, "");
        } else {
            let meaning = format!("The {wanted} level is not among them; it may be refused.");
            self.note("export", State::Warning, found, meaning);
        }
    }

    /// Which methods a kick-off may have, by how one is refused that cannot be taken.
    pub(super) async fn kickoff_methods(&mut self) {
        let names = [
            self.capability.export(&self.level, |stu| stu < Stu::Stu4).name,
            self.capability.export(&self.level, |_| true).name,
        ];
        if !self.config.in_browser {
            let headers = if self.has_credentials() { "authorization,prefer" } else { "prefer" };
            let asked = self.probe.preflight(&self.level, &names[1], "GET", headers).await;
            self.seen.preflight = asked.ok().map(|reply| (reply.status, reply.headers));
        }
        let mut taken = [None, None];
        let mut denied = None;
        let mut absent = 0;
        for (index, method) in [Method::Get, Method::Post].into_iter().enumerate() {
            let reply = match self.probe.refusable(method, &names[index]).await {
                Ok(reply) => reply,
                Err(_) if self.config.in_browser => {
                    self.seen.blocked = Some("$export");
                    continue;
                }
                Err(_) => continue,
            };
            if self.seen.export.is_none() {
                self.seen.export = Some(reply.headers.clone());
            }
            self.look_at(&reply);
            taken[index] = self.takes(&reply);
            absent += usize::from(matches!(reply.status, 404 | 405 | 501));
            if reply.status == 401 {
                denied = Some(format!("401{}", words(&reply)));
            }
            self.delete_if_started(&reply).await;
        }
        [self.facts.kickoff_get, self.facts.kickoff_post] = taken;
        if self.facts.exports.is_empty() {
            self.exportable = if absent == 2 { Some(false) } else { taken.contains(&Some(true)).then_some(true) };
        }
        match taken {
            _ if denied.is_some() => {
                let state = if self.searchable { State::Warning } else { State::Failure };
                let found = format!("a kick-off is answered with {}", denied.unwrap_or_default());
                self.note("kickoff", state, found, "Without credentials that are accepted there is no export.");
            }
            [Some(true), Some(true)] => self.note("kickoff", State::Good, "GET and POST are taken", ""),
            [Some(true), Some(false)] => {
                self.note("kickoff", State::Good, "GET is taken, POST is not", "--patient needs POST.");
            }
            [Some(false), Some(true)] => self.note("kickoff", State::Good, "POST is taken, GET is not", ""),
            [Some(true), None] => self.note("kickoff", State::Good, "GET is taken", ""),
            [None, Some(true)] => self.note("kickoff", State::Good, "POST is taken", ""),
            _ if self.exportable == Some(false) && self.searchable => {
                self.note("kickoff", State::Note, "there is no $export", "A crawl gets the data by searches.");
            }
            _ if self.exportable == Some(false) => {
                let meaning = "Check the FHIR URL; there is nothing to export or to search here.";
                self.note("kickoff", State::Failure, "there is no $export", meaning);
            }
            _ => self.note(
                "kickoff",
                State::Note,
                "not known without a kick-off",
                "--kickoff starts one, and cancels it.",
            ),
        }
    }

    /// Whether the method is taken, by the refusal of a Group that does not exist.
    fn takes(&self, reply: &Reply) -> Option<bool> {
        // A server without Groups says nothing about the other levels.
        let has_groups = self.facts.exports.is_empty() || self.facts.exports.iter().any(|shown| shown.level == "group");
        match reply.status {
            202 | 400 | 406 | 412 | 422 => Some(true),
            405 | 415 | 501 if has_groups => Some(false),
            _ => None,
        }
    }

    /// No server should come here.
    async fn delete_if_started(&mut self, reply: &Reply) {
        let location = reply.headers.get("content-location").filter(|_| reply.status == 202);
        let Some(Ok(status_url)) = location.map(|location| self.client.resolve(location, &reply.url)) else { return };
        let deleted = cleanup::delete(self.client, &status_url, Retry::Brief).await;
        let outcome = deleted.message().unwrap_or_else(|| "It was deleted at once.".to_owned());
        let found = "the server took a kick-off for a Group that does not exist";
        self.note("kickoff", State::Warning, found, outcome);
    }

    /// How type filters go.
    pub(super) fn type_filters(&mut self) {
        let newest = self.capability.export(&self.level, |_| true).stu;
        let (state, found, meaning) = match self.facts.escaped_commas {
            Some(true) => (State::Good, "a comma ends a filter; one inside goes as %2C", ""),
            Some(false) => (
                State::Warning,
                "a comma inside a filter, sent as %2C, is not understood",
                "Give several --type-filter rather than one with a list of values.",
            ),
            None if newest == Some(Stu::Stu4) => (State::Note, "one parameter a filter, as STU4 has it", ""),
            None if self.facts.started > 0 => {
                (State::Note, "filters with commas are taken however they are written", "")
            }
            None => (State::Note, "joined by commas, a comma inside as %2C, as STU1 to STU3 have it; not tried", ""),
        };
        self.note("typeFilter", state, found, meaning);
    }

    /// Compression.
    pub(super) fn gzip(&mut self) {
        match self.facts.gzip {
            Some(true) => self.note("gzip", State::Good, "answers come compressed", ""),
            Some(false) => {
                self.note(
                    "gzip",
                    State::Note,
                    "answers come plain",
                    "If files do too, they take several times the bytes.",
                );
            }
            None => self.note("gzip", State::Note, "not seen", ""),
        }
    }

    /// How the server asks for patience.
    pub(super) fn waiting(&mut self) {
        let Some(asked) = self.facts.retry_after.clone() else {
            let found = match self.facts.started {
                0 => "no Retry-After was seen, as no export was started",
                _ => "no Retry-After was seen",
            };
            return self.note("retryAfter", State::Note, found, "");
        };
        let now = crate::platform::Clock::now_millis(self.client.platform().clock());
        if let Some(wait) = parse_retry_after(Some(&asked), None, now) {
            let seconds = wait.as_secs();
            let found =
                format!("Retry-After '{asked}' asks for {seconds} second{}", if seconds == 1 { "" } else { "s" });
            self.note("retryAfter", State::Good, found, "");
        } else {
            let found = format!("Retry-After '{asked}' makes no sense");
            self.note("retryAfter", State::Note, found, "smart-fetch waits as long as it would by itself.");
        }
    }

    /// What `--since` would mean, and whether the default filters apply.
    pub(super) fn since(&mut self) {
        if self.capability.types.is_none() {
            return self.note("since", State::Note, "not known without a CapabilityStatement", "");
        }
        if since::resolve(SinceMode::Auto, &self.capability) == SinceMode::Updated {
            self.facts.since_mode = Some("updated");
            self.note("since", State::Good, "by last update (Patient can be searched by _lastUpdated)", "");
        } else {
            self.facts.since_mode = Some("created");
            let whole = usual().filter(|name| since::created_field(&self.capability, name).is_none());
            let whole: Vec<&str> = whole.filter(|name| self.capability.lists(name) == Some(true)).collect();
            let meaning = format!(
                "Changes of older resources are not seen; these types come whole each time: {}. If the server takes _since \
                 all the same, use --since-mode updated.",
                if whole.is_empty() { "none".to_owned() } else { whole.join(", ") }
            );
            self.note("since", State::Note, "by date of creation (no _lastUpdated)", meaning);
        }
        if self.capability.searches("Observation", "category") {
            self.note("filters", State::Good, "Observations are limited to the usual categories", "");
        } else {
            let meaning = "Observations of every category come, and none are left out.";
            self.note("filters", State::Note, "no category for Observation", meaning);
        }
    }

    /// Whether a crawl would find everything.
    pub(super) fn crawl(&mut self) {
        if self.capability.types.is_none() {
            return self.note("crawl", State::Note, "not known without a CapabilityStatement", "");
        }
        let listed: Vec<&str> = usual().filter(|name| self.capability.lists(name) == Some(true)).collect();
        let lacks = |name: &&&str| **name != "Patient" && !self.capability.searches(name, "patient");
        let lacking: Vec<String> = listed.iter().filter(lacks).map(|name| (*name).to_owned()).collect();
        let count = listed.len() - lacking.len();
        let by_default = self.capability.vendor == Vendor::Epic;
        let default = if by_default { "smart-fetch crawls Epic's servers unless told otherwise." } else { "" };
        let (state, found, meaning) = match (self.searchable, lacking.is_empty()) {
            (false, _) => (State::Note, "searches were not answered".to_owned(), String::new()),
            (true, true) => {
                (State::Good, format!("all {count} usual types can be searched by patient"), default.to_owned())
            }
            (true, false) => (
                State::Note,
                format!("{count} of {} usual types can be searched by patient", listed.len()),
                format!("Not listed for {}. {default}", lacking.join(", ")).trim_end().to_owned(),
            ),
        };
        self.facts.not_crawlable = lacking;
        self.note("crawl", state, found, meaning);
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.config.server.auth != crate::config::AuthConfig::None
    }
}

fn usual() -> impl Iterator<Item = &'static str> {
    resource_type::DEFAULT.iter().copied()
}

fn level_name(level: &Level) -> &'static str {
    match level {
        Level::System => "system",
        Level::Patient => "patient",
        Level::Group(_) => "group",
    }
}
