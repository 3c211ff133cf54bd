//! Whether searches by patient are answered for that patient.
//!
//! A server may ignore a parameter that it does not know (FHIR R4, Search, "Handling Errors") and then answers each patient's search with
//! everybody's resources. What gives it away: all its answers begin with the same resource. So do some that are right, which is why
//! more is asked for: that the resource is another patient's, or that the answers' `self` links, which name the parameters that
//! were used, lack ours.
//!
//! - A server may give the same for a patient and for the ids merged into that patient. So without a word of the `self` links it takes
//!   `MANY` patients, close together in the crawl. One of them may be whose the resource is.
//! - A server may have several ids for one patient, so that no resource refers to the one asked for; but then no two patients'
//!   answers begin alike.
//! - What is nobody's (a place, a practitioner) may come for many; then `self` must have other parameters, or else it may just be
//!   short.

use serde_json::{Value, json};

use super::page::Page;
use crate::fhir::raw::Raw;

/// So many of the last patients whose answers held something are looked at.
const WINDOW: usize = 16;
/// Patients whose answers begin alike, before the parameter counts as ignored, where the `self` links lack it,
const FEW: usize = 3;
/// and where they do not, or where there are none.
const MANY: usize = 5;
/// Elements that say whose a resource is.
const WHOSE: [&str; 5] = ["subject", "patient", "beneficiary", "individual", "for"];

/// How the answer for a patient began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    /// The patient's place in the cohort.
    patient: u32,
    /// The id of the first resource.
    id: String,
    /// Whether it is another patient's, or nobody's and the `self` link says that it is for nobody.
    strange: bool,
    /// Whether the `self` link lacks the parameter.
    unused: bool,
}

/// That the server ignores the parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The id of the resource with which the answers begin.
    pub id: String,
    /// Places of the patients whose answers do.
    pub patients: Vec<u32>,
}

/// The last answers that held something, each patient's first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Vec<Answer>);

impl Scope {
    /// What [`Scope::to_value`] gave; what is no such thing is left out.
    pub fn from_value(value: &Value) -> Self {
        let answer = |value: &Value| {
            Some(Answer {
                patient: u32::try_from(value[0].as_u64()?).ok()?,
                id: value[1].as_str()?.to_owned(),
                strange: value[2].as_bool()?,
                unused: value[3].as_bool()?,
            })
        };
        Self(value.as_array().into_iter().flatten().filter_map(answer).collect())
    }

    /// For the ledger: an array for each answer. `null` if there is none.
    pub fn to_value(&self) -> Value {
        let answer = |answer: &Answer| json!([answer.patient, answer.id, answer.strange, answer.unused]);
        if self.0.is_empty() { Value::Null } else { self.0.iter().map(answer).collect() }
    }

    /// Looks at the first page of a search of `resource_type` for the patient with the id `asked`, who has the place `patient`.
    pub fn see(&mut self, page: &Page<'_>, resource_type: &str, asked: &str, patient: u32) -> Option<Ignored> {
        // Others may be included.
        let first = page.resources.iter().find(|one| one.kind.is_some_and(|kind| kind.is_text(resource_type)))?;
        let id = first.id?.text()?;
        if self.0.iter().any(|answer| answer.patient == patient) {
            return None;
        }
        let link = page.link("self").flatten().and_then(Raw::text);
        let lacks = link.as_deref().and_then(|url| lacks(url, resource_type, asked));
        let strange = is_others(first.resource, asked).unwrap_or(lacks == Some(true));
        if self.0.len() >= WINDOW {
            self.0.remove(0);
        }
        self.0.push(Answer { patient, id: id.into_owned(), strange, unused: lacks.is_some() });
        let last = self.0.last()?;
        let alike = || self.0.iter().filter(|answer| answer.id == last.id);
        let needed = if alike().all(|answer| answer.unused) { FEW } else { MANY };
        let is_ignored = alike().count() >= needed && alike().filter(|answer| !answer.strange).count() <= 1;
        is_ignored.then(|| Ignored { id: last.id.clone(), patients: alike().map(|answer| answer.patient).collect() })
    }
}

/// `Some` if a `self` link lacks the parameter; with whether it has others.
fn lacks(url: &str, resource_type: &str, asked: &str) -> Option<bool> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    // Anything else may be a page that the server has stored under a name.
    let is_search = path.strip_suffix("/_search").unwrap_or(path).ends_with(resource_type);
    let names_who = ["patient", "subject"].iter().any(|name| query.contains(name))
        || url.split(['/', '?', '&', '=', ',']).any(|part| part == asked);
    let lacks = is_search && !names_who;
    lacks.then_some(!query.is_empty())
}

/// Whether a resource refers to a Patient, and not to the one with the id `asked`; `None` if it refers to none.
fn is_others(resource: Raw<'_>, asked: &str) -> Option<bool> {
    let mut others = None;
    for (_, value) in resource.fields().filter(|(key, _)| WHOSE.iter().any(|name| key.is_text(name))) {
        value.walk(&["reference"], &mut |reference| {
            let reference = reference.text().unwrap_or_default();
            if let Some((_, id)) = reference.rsplit_once("Patient/").or_else(|| reference.split_once("urn:uuid:")) {
                let is_asked = id.split('/').next() == Some(asked);
                others = Some(others != Some(false) && !is_asked);
            }
        });
    }
    others
}
