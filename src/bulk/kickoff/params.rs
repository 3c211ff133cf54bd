//! What a kick-off asks for, and what it must not ask for.

use serde::{Deserialize, Serialize};

use crate::config::{BulkConfig, KickoffMethod, Level};
use crate::fhir::instant::{Edge, widen};
use crate::fhir::resource_type;
use crate::{Error, Result};

/// Search result parameters, which a `_typeFilter` must not hold (C10).
const RESULT_PARAMS: [&str; 13] = [
    "_include",
    "_revinclude",
    "_sort",
    "_count",
    "_elements",
    "_summary",
    "_contained",
    "_containedType",
    "_total",
    "_maxresults",
    "_score",
    "_graph",
    "_format",
];

/// The parameters of a kick-off, ready for the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KickoffParams {
    /// The level.
    pub level: Level,
    /// `_type`, in the order in which they are sent.
    pub types: Vec<String>,
    /// `_typeFilter`: `Type?query`, each.
    pub type_filters: Vec<String>,
    /// `_since`: an instant.
    pub since: Option<String>,
    /// `_until`: an instant.
    pub until: Option<String>,
    /// `_elements`
    pub elements: Vec<String>,
    /// `patient`: `Patient/id`, each.
    pub patients: Vec<String>,
    /// `includeAssociatedData`
    pub include_associated_data: Vec<String>,
    /// `organizeOutputBy`
    pub organize_output_by: Option<String>,
    /// `_outputFormat`
    pub output_format: Option<String>,
    /// `allowPartialManifests`
    pub allow_partial_manifests: bool,
    /// Further parameters.
    pub extra: Vec<(String, String)>,
    /// `Prefer: handling=lenient` (C12): only on demand, since a server may then drop a filter.
    pub lenient: bool,
    /// `Prefer: separate-export-status` (C15).
    pub separate_export_status: bool,
}

impl KickoffParams {
    /// Checks `config` (see [`validate`]) and puts its parameters into the form of the wire. `types` and `type_filters` are
    /// those that were planned out of what the user gave; `since` is `None` where type filters take its place. `zone` tells
    /// the local offset, in minutes east, at a time in milliseconds.
    pub fn new(
        config: &BulkConfig,
        types: Vec<String>,
        type_filters: Vec<String>,
        since: Option<&str>,
        zone: impl Fn(i64) -> i32,
    ) -> Result<Self> {
        validate(config)?;
        let instant = |flag: &str, text: Option<&str>, edge| text.map(|t| to_instant(flag, t, edge, &zone)).transpose();
        let mut extra = config.params.clone();
        for (name, value) in &mut extra {
            match name.as_str() {
                "_since" => *value = to_instant("_since", value, Edge::Start, &zone)?,
                "_until" => *value = to_instant("_until", value, Edge::End, &zone)?,
                _ => {}
            }
        }
        Ok(Self {
            level: match &config.level {
                Level::Group(id) => Level::Group(group_id(id).to_owned()),
                level => level.clone(),
            },
            types,
            type_filters,
            since: instant("--since", since, Edge::Start)?,
            until: instant("--until", config.until.as_deref(), Edge::End)?,
            elements: items(&config.elements),
            patients: items(&config.patients).iter().map(|id| patient_reference(id)).collect(),
            include_associated_data: items(&config.include_associated_data),
            organize_output_by: config.organize_output_by.clone(),
            output_format: config.output_format.as_deref().map(output_format),
            allow_partial_manifests: config.allow_partial_manifests,
            extra,
            lenient: config.lenient,
            separate_export_status: config.separate_export_status,
        })
    }
}

/// Finds what makes no sense before anything is sent (C05, C10, C16, I04; DESIGN §6). Always [`crate::ErrorKind::Usage`].
pub fn validate(config: &BulkConfig) -> Result<()> {
    if let Level::Group(id) = &config.level
        && matches!(group_id(id), "" | "." | "..")
    {
        return Err(Error::usage(format!("'{id}' is no group id.")).with_hint("Write --group ID."));
    }
    check_patients(config)?;
    for (flag, value) in [("--since", &config.since), ("--until", &config.until)] {
        // `auto` is answered from the folder, long before the kick-off.
        if let Some(value) = value.as_deref().filter(|value| *value != "auto") {
            to_instant(flag, value, Edge::Start, |_| 0)?;
        }
    }
    let asked = asked_types(&config.types);
    for filter in &config.type_filters {
        let (name, _) = split_filter(filter)?;
        if !asked.iter().any(|asked| asked.eq_ignore_ascii_case(name)) {
            return Err(Error::usage(format!("Type filter for {name} but that type is not included in --type."))
                .with_hint(format!("Add --type {name}, or leave the filter out.")));
        }
    }
    check_extra(&config.params)
}

/// Splits `Type?query` and checks it: one resource type, a query, no search result parameters (C10).
pub fn split_filter(filter: &str) -> Result<(&str, &str)> {
    let Some((name, query)) = filter.split_once('?') else {
        return Err(Error::usage("Type filter arguments must be in the format 'Resource?params'.")
            .with_hint(format!("'{filter}' has no '?'; write for example 'Condition?code=1234'.")));
    };
    if !resource_type::is_safe(name) && resource_type::lookup(name).is_none() {
        return Err(Error::usage(format!("The type filter '{filter}' does not begin with a resource type."))
            .with_hint("A filter looks into one type: 'Condition?code=1234', not 'Patient/1/Condition?code=1234'."));
    }
    if query.is_empty() {
        return Err(Error::usage(format!("The type filter '{filter}' has nothing after the '?'.")));
    }
    for pair in query.split('&') {
        let param = pair.split(['=', ':']).next().unwrap_or_default();
        if param.is_empty() {
            return Err(Error::usage(format!("The type filter '{filter}' has a part without a name ('{pair}').")));
        }
        if RESULT_PARAMS.iter().any(|known| known.eq_ignore_ascii_case(param)) {
            return Err(Error::usage(format!("The type filter '{filter}' must not use '{param}'."))
                .with_hint("It says how results are shown, not which ones; the standard forbids it in _typeFilter."));
        }
    }
    Ok((name, query))
}

/// Of the types that were `found`, those that were not `asked` for (C11): a server may add what others refer to, or ignore
/// `_type`. Nothing is outside of a request without types.
pub fn strays<'a>(asked: &[String], found: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = |name: &str| asked.is_empty() || name == "OperationOutcome" || asked.iter().any(|asked| asked == name);
    found.into_iter().filter(|name| !wanted(name)).collect()
}

/// The items of lists that may hold comma lists.
pub(crate) fn items(list: &[String]) -> Vec<String> {
    list.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

fn asked_types(types: &[String]) -> Vec<String> {
    let mut asked = items(types);
    if asked.is_empty() || asked.iter().any(|name| name.eq_ignore_ascii_case("all")) {
        asked.extend(resource_type::DEFAULT.map(str::to_owned));
    }
    asked
}

fn check_patients(config: &BulkConfig) -> Result<()> {
    if let Some((name, _)) = config.params.iter().find(|(name, _)| name == "patient") {
        return Err(Error::usage(format!("The parameter '{name}' cannot be given by --param."))
            .with_hint("Use --patient, which sends it as the reference that it must be."));
    }
    let patients = items(&config.patients);
    if patients.is_empty() {
        return Ok(());
    }
    if config.level == Level::System {
        return Err(Error::usage("--patient cannot be used in an export of the whole system.")
            .with_hint("Add --level patient, or --group ID."));
    }
    if config.kickoff_method == KickoffMethod::Get {
        return Err(Error::usage("--patient can only be sent by POST.").with_hint("Leave out --kickoff-method get."));
    }
    for patient in patients {
        let id = patient.strip_prefix("Patient/").unwrap_or(&patient);
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if id.is_empty() || !id.bytes().all(valid) {
            return Err(Error::usage(format!("'{patient}' is no patient id."))
                .with_hint("Write the id of a Patient resource, such as 123 or Patient/123."));
        }
    }
    Ok(())
}

fn check_extra(params: &[(String, String)]) -> Result<()> {
    let mut sizes = [None, None];
    for (name, value) in params {
        let wrong = |what: &str| Error::usage(format!("The parameter {name}={value} is wrong: {what}."));
        match name.as_str() {
            "" => return Err(Error::usage(format!("--param '={value}' has no name.")).with_hint("Write NAME=VALUE.")),
            "_minimumFileSize" | "_maximumFileSize" => {
                let size = value.parse::<u64>().ok().filter(|n| (1..=2_147_483_647).contains(n));
                let size = size.ok_or_else(|| wrong("it must be a positive number of bytes, at most 2147483647"))?;
                sizes[usize::from(name == "_maximumFileSize")] = Some(size);
            }
            "allowPartialManifests" if !matches!(value.as_str(), "true" | "false") => {
                return Err(wrong("it must be true or false"));
            }
            "_since" | "_until" => {
                to_instant(name, value, Edge::Start, |_| 0)?;
            }
            "_typeFilter" => {
                split_filter(value)?;
            }
            _ => {}
        }
    }
    match sizes {
        [Some(least), Some(most)] if most <= least => {
            Err(Error::usage(format!("_maximumFileSize ({most}) must be greater than _minimumFileSize ({least}).")))
        }
        _ => Ok(()),
    }
}

fn to_instant(flag: &str, text: &str, edge: Edge, zone: impl Fn(i64) -> i32) -> Result<String> {
    widen(text, edge, zone).ok_or_else(|| {
        Error::usage(format!("{flag} '{text}' is no date."))
            .with_hint("Write 2024-05-31, or an instant with a zone such as 2024-05-31T12:00:00Z.")
    })
}

/// The id alone, of what a user may write as `Group/id`.
pub(crate) fn group_id(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix("Group/").unwrap_or(id)
}

fn patient_reference(id: &str) -> String {
    if id.starts_with("Patient/") { id.to_owned() } else { format!("Patient/{id}") }
}

/// Servers have refused the short forms for years (hapi-fhir#5392), and all must take the long one (C16).
fn output_format(format: &str) -> String {
    match format {
        "ndjson" | "application/ndjson" => "application/fhir+ndjson".to_owned(),
        other => other.to_owned(),
    }
}
