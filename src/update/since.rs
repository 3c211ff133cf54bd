//! `since`: by last update where the server can, by date of creation where it cannot.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Plan;
use crate::config::SinceMode;
use crate::fhir::capability::Capability;
use crate::fhir::instant::is_before;
use crate::folder::history::Export;

/// The search parameter that comes closest to the date of creation, per type. Other types come whole each time.
pub const CREATED_FIELDS: [(&str, &str); 7] = [
    ("AllergyIntolerance", "date"),
    ("Condition", "recorded-date"),
    ("DiagnosticReport", "issued"),
    ("DocumentReference", "date"),
    ("MedicationRequest", "authoredon"),
    ("Observation", "issued"),
    ("ServiceRequest", "authored"),
];

/// The field for a type, if the server can search by it.
pub fn created_field(capability: &Capability, resource_type: &str) -> Option<&'static str> {
    let (_, field) = CREATED_FIELDS.iter().find(|(known, _)| *known == resource_type)?;
    (capability.searches(resource_type, field)).then_some(field)
}

/// The mode that `auto` means on this server: Patient searchable by `_lastUpdated` stands for all types.
pub fn resolve(mode: SinceMode, capability: &Capability) -> SinceMode {
    match mode {
        SinceMode::Auto if capability.searches("Patient", "_lastUpdated") => SinceMode::Updated,
        SinceMode::Auto => SinceMode::Created,
        mode => mode,
    }
}

/// `auto`: by type, the newest time to which the exports of a managed folder (newest first) have it. `request` is what this
/// export asks of the server besides types, filters and time.
///
/// An export since a given time counts only where nothing is missing before that time, so that no gap is ever left (the
/// reference counts it anyway). After one of which files are lost, those count that went back to before it, or have all.
pub fn auto(history: &[Export], plan: &Plan, request: Option<&Value>) -> BTreeMap<String, String> {
    let mut times = BTreeMap::new();
    for resource_type in &plan.types {
        let (mut newest, mut is_lost) = (None::<&str>, false);
        for export in history.iter().rev() {
            if export.is_lost(resource_type) {
                is_lost |= is_alike(export, plan, resource_type, request);
                continue;
            }
            let Some(time) = export.watermark(resource_type) else { continue };
            if !matches(export, plan, resource_type, request) {
                continue;
            }
            let since = export.since(resource_type);
            let is_whole = !export.is_since(resource_type);
            let goes_back = matches!((since, newest), (Some(since), Some(newest)) if !is_before(newest, since));
            if is_lost && !is_whole && !goes_back {
                continue;
            }
            is_lost = false;
            let is_given = export.metadata.text("since") != Some("auto");
            let leaves_gap = is_given && since.is_some() && newest.is_some() && !goes_back;
            if !leaves_gap && newest.is_none_or(|newest| is_before(newest, time)) {
                newest = Some(time);
            }
        }
        if let Some(time) = newest {
            times.insert(resource_type.clone(), time.to_owned());
        }
    }
    times
}

/// Whether an export has all of a type that `plan` asks for, as of some time: the same filters or more of them (they are
/// alternatives), the same meaning of `since`, the same request otherwise (I08); a crawl, which has no request, fetches all of
/// patients that are new.
pub fn matches(export: &Export, plan: &Plan, resource_type: &str, request: Option<&Value>) -> bool {
    is_alike(export, plan, resource_type, request) && is_done(export, plan, resource_type)
}

/// The same, whether it is done or not.
fn is_alike(export: &Export, plan: &Plan, resource_type: &str, request: Option<&Value>) -> bool {
    let (Some(found), Some(ours)) = (export.filters(resource_type), plan.filters.get(resource_type)) else {
        return false;
    };
    let is_covered = if ours.is_empty() { found.is_empty() } else { ours.iter().all(|f| found.contains(f.as_str())) };
    let is_same = match (&export.request, request) {
        // A crawl of some patients is not what a bulk export goes on from. Whose the Patients in a folder are is not known.
        (_, Some(_)) if export.crawled.as_ref().is_some_and(|crawl| crawl.get("level").is_none()) => false,
        (Some(found), Some(ours)) => found == ours,
        _ => request.is_some() || export.narrowing().flatten().next().is_none(),
    };
    is_covered && is_same
}

/// Whether a type is done, in what is the same meaning of `since`.
fn is_done(export: &Export, plan: &Plan, resource_type: &str) -> bool {
    let mode = export.metadata.text("sinceMode");
    let is_other = matches!((mode, plan.since_mode), (Some(found), Some(ours)) if found != ours.text());
    !is_other && export.done(resource_type).is_some()
}

/// The exports before `current` that hold what was there of a type: back to the last full one. Not those with more filters, or
/// of other patients: what `current` lacks of them it was not asked for.
pub fn back_to_full<'a>(history: &'a [Export], plan: &Plan, resource_type: &str, current: &Export) -> Vec<&'a Export> {
    let mut found = Vec::new();
    let is_alike = |export: &&Export| {
        export.folder != current.folder
            && is_done(export, plan, resource_type)
            && export.is_alike(current, resource_type)
    };
    // Who is not among the ids that were given is not gone from what there is of all.
    let is_of_all = |export: &Export| export.is_of_ids() == Some(false) && export.done(resource_type).is_some();
    if current.is_of_ids() == Some(true) && history.iter().any(is_of_all) {
        return found;
    }
    for export in history.iter().filter(is_alike) {
        found.push(export);
        if !export.is_since(resource_type) {
            break;
        }
    }
    found
}

/// What a user should know of created mode: changes and deletions that it cannot see.
pub fn created_warning(plan: &Plan) -> String {
    let list = |by_date: bool| {
        let mut names = String::new();
        for name in plan.types.iter().filter(|t| plan.since_types.contains(t) == by_date) {
            names.push_str(if names.is_empty() { "" } else { ", " });
            names.push_str(name);
        }
        names
    };
    let (by_date, whole) = (list(true), list(false));
    let misses = if by_date.is_empty() {
        "the server can search none of these types by it.".to_owned()
    } else {
        format!(
            "of {by_date}, it misses what was changed, entered late or deleted. Export without --since now and then."
        )
    };
    let rest = if whole.is_empty() { String::new() } else { format!(" These types come whole: {whole}.") };
    format!("Since mode 'created' goes by the date on which resources were created: {misses}{rest}")
}
