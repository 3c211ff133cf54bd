//! What a folder is for: the types, filters and `since` that its `.metadata` was begun with, and whether a run fits.
//!
//! The key `filters` is the reference's: it compares it as a whole, and has only types that the CapabilityStatement lists. Types
//! that we ask for besides are in a key of our own, so that either program can carry on with the other's folder.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::config::{BulkConfig, SinceMode};
use crate::fhir::capability::Capability;
use crate::folder::history::UNLISTED;
use crate::folder::{JobState, Metadata, OutputFolder};
use crate::platform::Platform;
use crate::update::Plan;
use crate::{Error, ErrorKind, Result};

/// Refuses a folder that was begun for something else (I08). What the user left open is taken over from the folder.
pub(super) fn check(metadata: &Metadata, config: &BulkConfig, capability: &Capability, plan: &mut Plan) -> Result<()> {
    let Some(listed) = metadata.get("filters").and_then(Value::as_object) else { return Ok(()) };
    let unlisted = metadata.get(UNLISTED).and_then(Value::as_object);
    let mut found = listed.clone();
    found.extend(unlisted.into_iter().flatten().map(|(t, filters)| (t.clone(), filters.clone())));
    for resource_type in plan.types.clone().iter().filter(|t| !found.contains_key(*t)) {
        let may_lack = capability.lists(resource_type) != Some(true) && !plan.named;
        if unlisted.is_some() && may_lack {
            // The server refused it when the folder was begun.
            plan.drop_type(resource_type);
        }
    }
    let user_filters = config.type_filters.iter().any(|filter| filter.starts_with("Observation?"));
    if config.default_filters && !user_filters {
        plan.take_default_filter(listed.get("Observation"));
    }
    let wanted = plan.filters_map();
    // A folder that only the reference has seen lacks what it would not ask for.
    let is_extra = |t: &str| unlisted.is_none() && capability.lists(t) == Some(false);
    let same = wanted.iter().all(|(t, filters)| found.get(t).map_or_else(|| is_extra(t), |other| other == filters))
        && found.keys().all(|t| wanted.contains_key(t));
    if !same {
        return mismatch(format!(
            "The folder is for a different set of types and/or filters. Expected:\n{}\n\nbut found:\n{}\n\n",
            pretty(&wanted),
            pretty(&found)
        ));
    }
    let since = metadata.text("since");
    if since != plan.since.as_deref() {
        let (expected, found) = (plan.since.as_deref().unwrap_or("None"), since.unwrap_or("None"));
        return mismatch(format!("The folder is for a different --since time. Expected {expected} but found {found}."));
    }
    let (mode, found) = (plan.since_mode.map(SinceMode::text), metadata.text("sinceMode"));
    if found.is_some() && found != mode {
        return mismatch(format!(
            "The folder is for a different --since-mode. Expected '{}' but found '{}'.",
            mode.unwrap_or("None"),
            found.unwrap_or_default()
        ));
    }
    Ok(())
}

/// Refuses a folder without state of ours that holds files which the export would replace: nobody knows what they are.
pub(super) async fn check_foreign<P: Platform>(folder: &OutputFolder<'_, P>, plan: &Plan) -> Result<()> {
    if !folder.metadata().is_empty() {
        return Ok(());
    }
    let files = folder.data_files().await?;
    let is_ours_to_be =
        |path: &&String| plan.types.iter().any(|t| path.strip_prefix(t).is_some_and(|rest| rest.starts_with('.')));
    match files.iter().find(is_ours_to_be) {
        None => Ok(()),
        Some(path) => Err(Error::new(
            ErrorKind::Mismatch,
            "open folder",
            format!("The folder holds {path}, but no .metadata file that says what export it is from."),
        )
        .with_hint("Choose an empty folder, or move such files away: this export would replace them.")),
    }
}

/// What makes two exports the same, beyond the types, filters and `since` that `.metadata` has anyway.
pub(super) fn request(base: &str, config: &BulkConfig) -> Value {
    let mut request = json!({"fhirUrl": base, "level": config.level});
    let mut put = |key: &str, value: Value| {
        if !matches!(&value, Value::Null) && value != json!([]) {
            request[key] = value;
        }
    };
    put("until", json!(config.until));
    put("elements", json!(config.elements));
    put("patients", json!(config.patients));
    put("includeAssociatedData", json!(config.include_associated_data));
    put("organizeOutputBy", json!(config.organize_output_by));
    put("outputFormat", json!(config.output_format));
    put("params", json!(config.params));
    request
}

/// Refuses a folder that holds an export of another server, level, or with other parameters.
pub(super) fn check_request<P: Platform>(folder: &OutputFolder<'_, P>, request: &Value) -> Result<()> {
    let ledger = folder.ledger();
    let job = ledger.jobs.iter().rfind(|job| job.state != JobState::Abandoned);
    match job.map(|job| &job.request) {
        Some(found) if found != request => {
            mismatch(format!("The folder holds a different export: {}.", differences(request, found)))
        }
        _ => Ok(()),
    }
}

/// In what two requests differ, in words.
pub(super) fn differences(wanted: &Value, found: &Value) -> String {
    let keys = |request: &Value| -> BTreeSet<String> {
        request.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let (ours, theirs) = (keys(wanted), keys(found));
    let differing = ours.union(&theirs).filter(|key| wanted.get(*key) != found.get(*key)).map(|key| {
        match (key.as_str(), wanted.get(key), found.get(key)) {
            // A fingerprint of them.
            ("ids", Some(_), Some(_)) => "other ids".to_owned(),
            ("ids", Some(_), None) => "expected ids, but found none".to_owned(),
            ("ids", ..) => "expected no ids, but found some".to_owned(),
            (_, wanted, found) => format!("{key} expected to be {}, but found {}", words(wanted), words(found)),
        }
    });
    differing.collect::<Vec<_>>().join("; ")
}

/// A part of a request as one would say it.
fn words(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| words(Some(item))).collect::<Vec<_>>().join(" "),
        Some(Value::Object(map)) => {
            map.iter().map(|(key, value)| format!("{key} {}", words(Some(value)))).collect::<Vec<_>>().join(" ")
        }
        _ => "none".to_owned(),
    }
}

/// Takes over for which types `since` had an effect when the folder was worked at last.
pub(super) fn take_since_types(metadata: &Metadata, plan: &mut Plan) {
    if let Some(found) = metadata.get("sinceResources").and_then(Value::as_array) {
        plan.since_types = found.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
}

/// Writes down what the folder is for.
pub(super) fn note(metadata: &mut Metadata, capability: &Capability, plan: &Plan) {
    let filters = plan.filters_map();
    let stands_in = |key: &str, t: &str| metadata.get(key).is_some_and(|filters| filters.get(t).is_some());
    let (listed, unlisted): (Map<_, _>, Map<_, _>) = filters.into_iter().partition(|(t, _)| {
        // Where a type stands already, it stays, whatever the server lists by now.
        stands_in("filters", t) || !stands_in(UNLISTED, t) && capability.lists(t) != Some(false)
    });
    let done = metadata.done();
    metadata.set("filters", listed);
    metadata.set("since", plan.since.clone().map_or(Value::Null, Value::from));
    if let Some(mode) = plan.since_mode {
        // For types that are done it is on record what since meant for them; for the others it is what it means now.
        let before = metadata.get("sinceResources").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut types: Vec<String> = before.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        types.retain(|t| done.contains_key(t));
        types.extend(plan.since_types.iter().filter(|t| !done.contains_key(*t)).cloned());
        types.sort_unstable();
        metadata.set("sinceMode", mode.text());
        metadata.set("sinceResources", types);
    }
    metadata.set(UNLISTED, unlisted);
}

fn mismatch<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Mismatch, "open folder", message)
        .with_hint("Give the same options as before, or choose another folder."))
}

fn pretty(filters: &Map<String, Value>) -> String {
    let mut lines = Vec::new();
    for (name, list) in filters {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        if list.is_empty() {
            lines.push(format!("  {name} (no filter)"));
        }
        lines.extend(list.iter().map(|filter| format!("  {name}?{}", filter.as_str().unwrap_or_default())));
    }
    lines.sort_unstable();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn requests_differ_in_words() {
        let wanted = json!({"fhirUrl": "u", "level": {"group": "7"}, "elements": ["id", "name"]});
        let found = json!({"fhirUrl": "u", "level": "system", "params": [["a", "b"]]});
        assert_eq!(
            differences(&wanted, &found),
            "elements expected to be id name, but found none; level expected to be group 7, but found system; \
             params expected to be none, but found a b"
        );
        let crawls = [json!({"ids": "f", "idSystem": null}), json!({"ids": "e", "idSystem": "urn:x"})];
        assert_eq!(differences(&crawls[0], &crawls[1]), "idSystem expected to be none, but found urn:x; other ids");
        assert_eq!(differences(&json!({"ids": "f"}), &json!({})), "expected ids, but found none");
    }
}
