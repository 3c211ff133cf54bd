//! The ledger of a crawl: what is here of each type, and which patients are missing. Part of the folder's ledger.
//!
//! It stays small for any number of patients, since it holds places in the cohort's order, as runs. What it says and what is in
//! the `.part` files belong together: both are written at a checkpoint, and a rerun cuts the files back to it. So no kill, at
//! whatever moment, loses or doubles a resource.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cohort;
use super::positions::Positions;
use crate::platform::transfer::Issue;

/// Where a type stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Under way: the first `part` bytes of the `.part` file hold the patients in `done`.
    #[default]
    Begun,
    /// Everybody was asked: the `.part` files are complete and are being given their names.
    Closing,
    /// The file has its name; patients that are not in `done` are missing.
    Partial,
    /// Nobody is missing.
    Done,
}

/// A patient who is missing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The patient's id, or what they were asked for by.
    pub patient: String,
    /// Why.
    pub problem: String,
}

/// One type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TypeState {
    /// The type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Where it stands.
    pub stage: Stage,
    /// The patients that positions are places of ([`fingerprint`](super::cohort::fingerprint)).
    pub cohort: String,
    /// When its crawl began: local time, ISO 8601.
    pub start: String,
    /// Since when it was asked for, where it did not come whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The newest date that was seen in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// Its file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Bytes of the file, once it has its name.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Resources that are here.
    #[serde(skip_serializing_if = "is_zero")]
    pub resources: u64,
    /// Length of the `.part` file at the last checkpoint, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// The file of OperationOutcomes, and the length of its `.part` file at the last checkpoint, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<(String, u64)>,
    /// Patients whose resources are here.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub done: String,
    /// Patients who could not be had, and whose error is recorded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failed: String,
    /// Of Patients: ids that the server has none for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unknown: String,
    /// The time to which the type was done before it was gone back to, for patients whom the server did not know then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How many patients are missing.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Missing>,
    /// How the last answers began ([`Scope`](super::scope::Scope)), until the type is done.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub scope: Value,
    /// Issues of severity `error` or `fatal` that came with resources.
    #[serde(skip_serializing_if = "is_zero")]
    pub errors: u64,
    /// The first issues that came with resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Issue>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature that serde asks for.
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl TypeState {
    /// The patients whose resources are here, and those who failed; `None` where the ledger was tampered with.
    pub fn positions(&self) -> Option<(Positions, Positions)> {
        Some((Positions::parse(&self.done)?, Positions::parse(&self.failed)?))
    }

    /// The type was done to `time`, but not for everybody who is known by now.
    pub fn reopen(&mut self, time: &str) {
        let mut done = Positions::default();
        (0..cohort::count(&self.cohort)).for_each(|position| done.insert(position));
        (self.stage, self.done, self.until) = (Stage::Partial, done.to_string(), Some(time.to_owned()));
    }

    /// The type is done: what only matters until then is dropped.
    pub fn end(&mut self) {
        *self = Self {
            resource_type: std::mem::take(&mut self.resource_type),
            stage: Stage::Done,
            cohort: std::mem::take(&mut self.cohort),
            start: std::mem::take(&mut self.start),
            since: self.since.take(),
            file: std::mem::take(&mut self.file),
            bytes: self.bytes,
            resources: self.resources,
            unknown: std::mem::take(&mut self.unknown),
            errors: self.errors,
            issues: std::mem::take(&mut self.issues),
            ..Self::default()
        };
    }
}

/// A crawl.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CrawlState {
    /// What was asked: base, cohort. A run that asks something else does not go on with it (I08).
    pub request: Value,
    /// How many patients there are.
    pub patients: u64,
    /// Whether the Patients were lost and fetched again: where they are others now, all types are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub patients_lost: bool,
    /// The types, in the order in which they were begun.
    pub types: Vec<TypeState>,
}

impl CrawlState {
    /// The state of a type.
    pub fn of(&self, resource_type: &str) -> Option<&TypeState> {
        self.types.iter().find(|state| state.resource_type == resource_type)
    }

    /// Sets the state of a type.
    pub fn set(&mut self, state: TypeState) {
        match self.types.iter_mut().find(|known| known.resource_type == state.resource_type) {
            Some(known) => *known = state,
            None => self.types.push(state),
        }
    }

    /// Forgets a type.
    pub fn forget(&mut self, resource_type: &str) {
        self.types.retain(|state| state.resource_type != resource_type);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_100_000_patients_and_15_types_is_a_few_kilobytes() {
        let mut crawl = CrawlState { patients: 100_000, ..CrawlState::default() };
        for number in 0..15 {
            let mut done = Positions::default();
            (0..100_000).filter(|p| p % 1000 != number).for_each(|p| done.insert(p));
            crawl.set(TypeState {
                resource_type: format!("Type{number}"),
                done: done.to_string(),
                missing: 100,
                ..TypeState::default()
            });
        }
        let text = serde_json::to_string(&crawl).unwrap();
        assert!(text.len() < 25_000, "{} bytes", text.len());
        assert_eq!(crate::value::read::<CrawlState>(serde_json::from_str(&text).unwrap()).unwrap(), crawl);
    }

    #[test]
    fn what_is_over_keeps_what_a_report_needs() {
        let mut state = TypeState {
            resource_type: "Condition".into(),
            file: "Condition.ndjson".into(),
            resources: 7,
            bytes: 70,
            part: Some(9),
            done: "0-4".into(),
            ..TypeState::default()
        };
        state.end();
        let expected = TypeState {
            resource_type: "Condition".into(),
            stage: Stage::Done,
            file: "Condition.ndjson".into(),
            resources: 7,
            bytes: 70,
            ..TypeState::default()
        };
        assert_eq!(state, expected);
    }
}
