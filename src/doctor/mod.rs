//! `doctor`: what a server can do, what stands in the way of an export, and the command to use.
//!
//! It starts no export unless it is told to (`kickoff`). What it sends otherwise changes nothing anywhere: reads, the
//! questions that browsers ask (`OPTIONS`), and one kick-off a method that no server can take: for a Group that does not
//! exist, without `Prefer: respond-async`, since a time that is none. If one takes it all the same, it is deleted at once.
//!
//! | module | what it is for |
//! |---|---|
//! | `probe` | the requests |
//! | `server` | the server, its tokens, its search |
//! | `export` | levels, kick-off, type filters, since |
//! | `trial` | what only a real kick-off tells |
//! | [`cors`] | what of an answer a web page may use |
//! | `browser` | whether a web page can run an export |
//! | `report` | what was found |

mod browser;
pub mod cors;
mod export;
mod probe;
mod report;
mod server;
mod trial;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use report::{Check, DoctorReport, ExportOperation, Facts, State, Usable};

use crate::Result;
use crate::auth::ScopeRequest;
use crate::bulk::kickoff::{group_id, items};
use crate::config::{AuthConfig, Level, ServerConfig};
use crate::event::{Event, Phase};
use crate::fhir::capability::Capability;
use crate::http::Client;
use crate::platform::{Observer, Platform};
use browser::Seen;
use probe::Probe;

/// Stands for any web page where none was named (RFC 2606).
const ANY_ORIGIN: &str = "https://app.example";

/// The longest silence that is borne: whoever asks a doctor is waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to examine.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DoctorConfig {
    /// The server.
    pub server: ServerConfig,
    /// The level that an export would have.
    pub level: Level,
    /// The types that one would export; comma lists are understood. Empty: all.
    pub types: Vec<String>,
    /// The origin of the web page that would use the server, such as `https://app.example`. Where it is given, what stands
    /// in its way counts as a problem.
    pub origin: Option<String>,
    /// Whether this runs in a browser, which asks for leave (CORS) itself and hides headers.
    pub in_browser: bool,
    /// Really kick off exports; each is deleted at once.
    pub kickoff: bool,
}

/// Examines a server. A server that cannot be reached or used is a report, not an error.
///
/// # Errors
/// `Usage` and `Insecure` for options that make no sense, before anything is sent.
pub async fn doctor<P: Platform>(platform: &P, config: &DoctorConfig) -> Result<DoctorReport> {
    let scopes = ScopeRequest { types: items(&config.types), group: matches!(config.level, Level::Group(_)) };
    let mut server = config.server.clone();
    // Those of an export are minutes.
    server.retry_delays.get_or_insert_with(|| vec![PATIENCE / 10; 2]);
    let client = Client::new(platform, &server, scopes)?.with_max_wait(PATIENCE / 10);
    let origin = config.origin.clone().unwrap_or_else(|| ANY_ORIGIN.to_owned());
    platform.observer().event(Event::Phase { phase: Phase::Discover });
    let mut exam = Exam {
        probe: Probe { client: &client, origin: (!config.in_browser).then(|| origin.clone()) },
        client: &client,
        config,
        level: match &config.level {
            Level::Group(id) => Level::Group(group_id(id).to_owned()),
            level => level.clone(),
        },
        origin,
        capability: Capability::default(),
        facts: Facts::default(),
        checks: Vec::new(),
        seen: Seen::default(),
        searchable: false,
        exportable: None,
    };
    if exam.server().await {
        exam.smart().await;
        // Without a token, what needs one would only fail again, after the same waits.
        let has_token = exam.token().await;
        if has_token {
            exam.access().await;
            exam.group().await;
        }
        exam.levels();
        if has_token {
            exam.kickoff_methods().await;
        }
        if has_token && config.kickoff {
            platform.observer().event(Event::Phase { phase: Phase::KickOff });
            exam.trial().await;
        }
        exam.type_filters();
        exam.browser();
        exam.gzip();
        exam.waiting();
        exam.since();
        exam.crawl();
    }
    Ok(exam.conclude())
}

/// An examination under way.
struct Exam<'c, 'p, P: Platform> {
    probe: Probe<'c, 'p, P>,
    client: &'c Client<'p, P>,
    config: &'c DoctorConfig,
    level: Level,
    origin: String,
    capability: Capability,
    facts: Facts,
    checks: Vec<Check>,
    /// What the answers told about web pages.
    seen: Seen,
    /// Whether a search was answered.
    searchable: bool,
    /// Whether there is an `$export`; `None` where that is not known.
    exportable: Option<bool>,
}

impl<P: Platform> Exam<'_, '_, P> {
    fn note(&mut self, name: &'static str, state: State, found: impl Into<String>, meaning: impl Into<String>) {
        let (found, meaning) = (self.client.redact(&found.into()), self.client.redact(&meaning.into()));
        self.checks.push(Check { name, state, found, meaning });
    }

    fn conclude(mut self) -> DoctorReport {
        let crawls = self.searchable && self.exportable == Some(false);
        let is_any = |state| self.checks.iter().any(|check| check.state == state);
        let usable = match () {
            () if is_any(State::Failure) => Usable::No,
            () if is_any(State::Warning) => Usable::WithProblems,
            () => Usable::Yes,
        };
        let mut flags: Vec<String> = Vec::new();
        let mut flag = |name: &str, value: &str| flags.extend([name.to_owned(), value.to_owned()]);
        match &self.level {
            Level::System => {}
            Level::Patient => flag("--level", "patient"),
            Level::Group(id) => flag("--group", id),
        }
        let types = items(&self.config.types).join(",");
        if !types.is_empty() {
            flag("--type", &types);
        }
        if crawls {
            flag("--export-mode", "crawl");
            // Without $export nothing else says whose data are meant.
            flag("--id-file", "PATIENT_IDS");
        }
        let command = if usable == Usable::No { String::new() } else { self.command(&flags) };
        let exit_status = match usable {
            Usable::Yes => 0,
            Usable::No => 1,
            Usable::WithProblems => 3,
        };
        DoctorReport {
            usable,
            exit_status,
            fhir_url: self.client.base().to_owned(),
            checks: std::mem::take(&mut self.checks),
            facts: std::mem::take(&mut self.facts),
            flags,
            command,
        }
    }

    fn command(&self, flags: &[String]) -> String {
        let credentials = match &self.config.server.auth {
            AuthConfig::None => "",
            AuthConfig::Bearer { .. } | AuthConfig::Host { .. } => " --bearer-token TOKEN_FILE",
            AuthConfig::Basic { .. } => " --basic-user USER --basic-passwd PASSWORD_FILE",
            AuthConfig::Smart { .. } => " --smart-client-id CLIENT_ID --smart-key KEY_FILE",
        };
        let flags: String = flags.iter().flat_map(|word| [" ", word]).collect();
        format!("smart-fetch export OUTPUT_DIR --fhir-url {}{credentials}{flags}", self.client.base())
    }
}
