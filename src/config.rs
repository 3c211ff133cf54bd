//! What a caller asks for. Plain data as it comes from flags, a config file or a page; the same names in camelCase in JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::http::relay::Relay;

/// How to prove who we are.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", try_from = "AuthFields")]
pub enum AuthConfig {
    /// An open server.
    #[default]
    None,
    /// A token that was got elsewhere.
    Bearer {
        /// The token.
        token: String,
    },
    /// HTTP Basic.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// SMART Backend Services: `private_key_jwt` with the host's [`Signer`](crate::platform::Signer).
    Smart {
        /// The client's id.
        client_id: String,
        /// Token endpoint, where discovery is not wanted.
        token_url: Option<String>,
        /// Scopes to ask for, verbatim, in place of those worked out from the types.
        scope: Option<String>,
    },
    /// Tokens that the host gives when asked ([`Signer::token`](crate::platform::Signer::token)).
    Host {
        /// Which of the host's sources of tokens.
        source: usize,
    },
}

/// All that an [`AuthConfig`] can have. Reading it flat costs a tenth of the code that serde makes for tagged enums.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthFields {
    kind: String,
    token: Option<String>,
    user: Option<String>,
    password: Option<String>,
    client_id: Option<String>,
    token_url: Option<String>,
    scope: Option<String>,
    source: Option<usize>,
}

impl TryFrom<AuthFields> for AuthConfig {
    type Error = String;

    fn try_from(fields: AuthFields) -> Result<Self, String> {
        let AuthFields { kind, token, user, password, client_id, token_url, scope, source } = fields;
        let needed = |name: &str| format!("auth of kind '{kind}' needs '{name}'");
        match (kind.as_str(), token, user, password, client_id) {
            ("none", ..) => Ok(Self::None),
            ("bearer", token, ..) => Ok(Self::Bearer { token: token.ok_or_else(|| needed("token"))? }),
            ("basic", _, user, password, _) => Ok(Self::Basic {
                user: user.ok_or_else(|| needed("user"))?,
                password: password.ok_or_else(|| needed("password"))?,
            }),
            ("smart", _, _, _, id) => {
                Ok(Self::Smart { client_id: id.ok_or_else(|| needed("clientId"))?, token_url, scope })
            }
            ("host", ..) => Ok(Self::Host { source: source.unwrap_or_default() }),
            _ => Err(format!("auth has no kind '{kind}'; it is none, bearer, basic, smart or host")),
        }
    }
}

/// A server and how to deal with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServerConfig {
    /// FHIR base URL, with or without a trailing slash.
    pub fhir_url: String,
    /// Credentials.
    pub auth: AuthConfig,
    /// Further headers, sent to the FHIR origin only (DESIGN §6).
    pub headers: Vec<(String, String)>,
    /// Origins besides the FHIR server's that may see the token.
    pub token_origins: Vec<String>,
    /// Prefixes of URLs from the server to replace: `(from, to)`. For servers that name themselves wrongly behind a proxy.
    pub rewrite_urls: Vec<(String, String)>,
    /// A relay through which a web page reaches the server.
    pub relay: Relay,
    /// Whether credentials may go over plain http to hosts other than loopback.
    pub allow_insecure: bool,
    /// Requests in flight at most.
    pub max_connections: u32,
    /// Waits between tries; their number is the number of retries. Absent: as the job likes.
    #[serde(with = "durations")]
    pub retry_delays: Option<Vec<Duration>>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            fhir_url: String::new(),
            auth: AuthConfig::None,
            headers: Vec::new(),
            token_origins: Vec::new(),
            rewrite_urls: Vec::new(),
            relay: Relay::default(),
            allow_insecure: false,
            max_connections: 5,
            retry_delays: None,
        }
    }
}

impl ServerConfig {
    /// The waits that were chosen, else those of the reference's bulk exports: one is worth a quarter of an hour.
    pub fn retry_delays(&self) -> Vec<Duration> {
        let minutes = || [1, 2, 4, 8].map(|minutes| Duration::from_secs(minutes * 60)).to_vec();
        self.retry_delays.clone().unwrap_or_else(minutes)
    }

    /// The same server for searches and reads: one of thousands is not worth that. Unless waits were chosen, they are those of
    /// the reference: a minute, twice.
    #[must_use]
    pub fn for_reads(&self) -> Self {
        let mut server = self.clone();
        server.retry_delays.get_or_insert_with(|| vec![Duration::from_secs(60); 2]);
        server
    }
}

/// Level of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// `[base]/$export`
    #[default]
    System,
    /// `[base]/Patient/$export`
    Patient,
    /// `[base]/Group/{id}/$export`
    Group(String),
}

/// How to send the kick-off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KickoffMethod {
    /// GET for STU1 to STU3, POST for STU4 and where `patient` needs it; the other one after 404, 405, 415 or 501.
    #[default]
    Auto,
    /// GET only.
    Get,
    /// POST only.
    Post,
}

/// Which date `since` looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SinceMode {
    /// Updated where the server can, else created.
    #[default]
    Auto,
    /// `_since`
    Updated,
    /// The date on which the resource was created, by type filters.
    Created,
}

impl SinceMode {
    /// As it is written in options and in `.metadata`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Updated => "updated",
            Self::Created => "created",
        }
    }
}

/// A bulk export.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
pub struct BulkConfig {
    /// The server.
    pub server: ServerConfig,
    /// The level.
    pub level: Level,
    /// Types as the user gave them: names in any case, comma lists, `all`. Empty: all.
    pub types: Vec<String>,
    /// `Type?query`, each; several for one type are alternatives (OR).
    pub type_filters: Vec<String>,
    /// Whether the default filters (Observation categories) apply.
    pub default_filters: bool,
    /// `_since`, as the user gave it: a date or an instant.
    pub since: Option<String>,
    /// Which date `since` looks at.
    pub since_mode: SinceMode,
    /// `_until`
    pub until: Option<String>,
    /// `_elements`
    pub elements: Vec<String>,
    /// `patient`: ids, with or without `Patient/`. Not at system level. Absent: all; an empty list is an error.
    #[serde(with = "somebody", skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<String>,
    /// `includeAssociatedData`
    pub include_associated_data: Vec<String>,
    /// `organizeOutputBy`
    pub organize_output_by: Option<String>,
    /// `_outputFormat`; left out unless given.
    pub output_format: Option<String>,
    /// `allowPartialManifests`
    pub allow_partial_manifests: bool,
    /// `Prefer: handling=lenient`
    pub lenient: bool,
    /// `Prefer: separate-export-status` (STU4): the state of the job apart from that of the status request.
    pub separate_export_status: bool,
    /// Further kick-off parameters.
    pub params: Vec<(String, String)>,
    /// GET or POST.
    pub kickoff_method: KickoffMethod,
    /// Store files as gzip.
    pub compress: bool,
    /// Make one Bundle of all data files at the end, in their place.
    pub bundle: bool,
    /// Longest wait between two looks at the status, whatever the server asks for.
    #[serde(with = "duration")]
    pub max_poll_delay: Duration,
    /// Give up waiting for the server after this long; the job can be resumed.
    #[serde(with = "duration")]
    pub poll_timeout: Duration,
}

impl Default for BulkConfig {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            level: Level::System,
            types: Vec::new(),
            type_filters: Vec::new(),
            default_filters: true,
            since: None,
            since_mode: SinceMode::Auto,
            until: None,
            elements: Vec::new(),
            patients: Vec::new(),
            include_associated_data: Vec::new(),
            organize_output_by: None,
            output_format: None,
            allow_partial_manifests: false,
            lenient: false,
            separate_export_status: false,
            params: Vec::new(),
            kickoff_method: KickoffMethod::Auto,
            compress: true,
            bundle: false,
            max_poll_delay: Duration::from_secs(300),
            poll_timeout: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// How to get the data of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExportMode {
    /// Bulk, but a crawl of a list of ids, and where the vendor's bulk export is known to be slow (Epic).
    #[default]
    Auto,
    /// Bulk Data `$export`.
    Bulk,
    /// Search, patient by patient.
    Crawl,
}

/// Whose data a crawl gets, where it is no Group: that is [`BulkConfig::level`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CohortConfig {
    /// Ids of patients, or values of an identifier. Absent: the Group, or the Patients that are there; an empty list is an error.
    #[serde(with = "somebody", skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The system of the identifier that `ids` are values of; else they are ids of Patients.
    pub id_system: Option<String>,
    /// A name of the cohort for the log (`--group-nickname`, or the name of the id file).
    pub name: Option<String>,
}

/// A managed export, or a crawl.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExportConfig {
    /// What to export; the server with the credentials for bulk requests. `since` may be `auto`.
    pub bulk: BulkConfig,
    /// The same server with the credentials for all other requests; absent: those for bulk requests.
    pub rest_server: Option<ServerConfig>,
    /// How to get the data.
    pub mode: ExportMode,
    /// Whose data a crawl gets.
    pub cohort: CohortConfig,
    /// A name for the export's subfolder; absent: the date.
    pub nickname: Option<String>,
    /// Resources on a page of a search (`_count`); absent: as the server likes.
    pub count: Option<u32>,
    /// Hydration tasks, as [`HydrateConfig::tasks`].
    pub hydration_tasks: Vec<String>,
    /// Media types of notes to inline, as [`HydrateConfig::mimetypes`].
    pub mimetypes: Vec<String>,
    /// Whether to look, after a bulk export, for what changed while it ran.
    pub reconcile: bool,
}

/// Fetching what the resources of a folder refer to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HydrateConfig {
    /// The server.
    pub server: ServerConfig,
    /// Names of tasks or groups of tasks; comma lists, `all`, `none`. Empty: all.
    pub tasks: Vec<String>,
    /// Media types of notes to inline; empty: text, HTML and XHTML.
    pub mimetypes: Vec<String>,
    /// A subfolder in which attachments of other types are stored as files.
    pub attachments_dir: Option<String>,
    /// Store files as gzip.
    pub compress: bool,
    /// What the caller calls the folder that is looked through, for messages.
    pub folder: Option<String>,
}

impl Default for HydrateConfig {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            tasks: Vec::new(),
            mimetypes: Vec::new(),
            attachments_dir: None,
            compress: true,
            folder: None,
        }
    }
}

/// A job on what is in a folder already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LocalConfig {
    /// Store files as gzip.
    pub compress: bool,
    /// What the caller calls the folder that is read, for messages.
    pub folder: Option<String>,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self { compress: true, folder: None }
    }
}

/// Reads `0.2s`, `5m`, `1h`, `30d`, `250ms`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || format!("'{text}' is not a duration; write for example 0.2s, 90s, 5m, 1h or 30d.");
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    let number = decimal(number.trim()).ok_or_else(wrong)?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| wrong())
}

/// Reads a number such as `90` or `0.25`: not negative, without exponent. The standard library's reader of all that a float
/// may look like would bring tables of 12 KB, gzipped, into the wasm files.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 10.0 + f64::from(digit.to_digit(10)?);
    }
    let is_number = !(whole.is_empty() && fraction.is_empty());
    is_number.then(|| fraction.bytes().fold(1.0, |scale, _| scale * 10.0)).map(|scale| value / scale)
}

mod somebody {
    //! Ids of patients. A list that is there but names nobody, such as an empty panel, must not mean everybody.
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(ids: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        ids.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let ids = Vec::<String>::deserialize(deserializer)?;
        let is_somebody = |id: &String| !id.trim().is_empty();
        if ids.iter().any(is_somebody) {
            Ok(ids)
        } else {
            Err(D::Error::custom("the list names nobody, which must not mean everybody"))
        }
    }
}

mod duration {
    //! A duration as a text such as `5m`, or as a number of seconds.
    use super::{Duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use serde_json::Value;

    pub(super) fn read(value: &Value) -> Result<Duration, String> {
        match (value.as_str(), value.as_f64()) {
            (Some(text), _) => parse_duration(text),
            (_, Some(seconds)) => Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string()),
            _ => Err(format!("{value} is not a duration")),
        }
    }

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        read(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

mod durations {
    //! A list of durations, or none.
    use super::{Duration, duration::read};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option)] // The signature that serde asks for.
    pub(super) fn serialize<S: Serializer>(value: &Option<Vec<Duration>>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(list) => serializer.collect_seq(list.iter().map(Duration::as_secs_f64)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Duration>>, D::Error> {
        let list = Option::<Vec<serde_json::Value>>::deserialize(deserializer)?;
        list.map(|list| list.iter().map(read).collect::<Result<_, _>>()).transpose().map_err(D::Error::custom)
    }
}
