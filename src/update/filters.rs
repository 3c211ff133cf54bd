//! Types and type filters: from what the user said and what the server says of itself to what is asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::since;
use crate::bulk::kickoff;
use crate::config::{BulkConfig, SinceMode};
use crate::fhir::capability::{Capability, Vendor};
use crate::fhir::instant::is_before;
use crate::fhir::resource_type;
use crate::{Error, Result};

/// Categories that Observations are limited to unless the user says otherwise: the nine of US Core.
const OBSERVATION: &str =
    "category=social-history,vital-signs,imaging,laboratory,survey,exam,procedure,therapy,activity";
/// Epic knows only these (June 2025) and refuses the others.
const OBSERVATION_EPIC: &str = "category=social-history,vital-signs,imaging,laboratory,survey,exam";

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Types in canonical order: the default ones in the reference's order, then the others by name.
    pub types: Vec<String>,
    /// Whether the user named the types; else they may be dropped where the server refuses them.
    pub named: bool,
    /// Filters by type, sorted, without those of `since`: the key `filters` of `.metadata`.
    pub filters: BTreeMap<String, BTreeSet<String>>,
    /// `since` as the user wrote it.
    pub since: Option<String>,
    /// How `since` is asked for; never `Auto`. `None` without `since`.
    pub since_mode: Option<SinceMode>,
    /// The types that `since` has an effect on: the key `sinceResources` of `.metadata`.
    pub since_types: Vec<String>,
    /// The types that it could have an effect on.
    since_able: Vec<String>,
    /// Since when, by type, where `since` is `auto` ([`since::auto`]). Types without an entry come whole.
    pub times: Option<BTreeMap<String, String>>,
}

/// The types that the user's words mean, in canonical order, and whether they were named one by one.
///
/// # Errors
/// `Usage` for a word that is no FHIR type.
pub fn parse_types(words: &[String]) -> Result<(Vec<String>, bool)> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split(',')).map(str::trim).collect();
    let mut types: BTreeSet<String> = BTreeSet::new();
    let mut all = words.is_empty();
    for word in words {
        if word.eq_ignore_ascii_case("all") {
            all = true;
        } else {
            let known = resource_type::lookup(word).ok_or_else(|| {
                Error::usage(format!("Unknown resource type provided: {word}"))
                    .with_hint("--type help lists the default types; any type of FHIR R4 or R5 can be named.")
            })?;
            types.insert(known.to_owned());
        }
    }
    let mut result: Vec<String> = Vec::new();
    for known in resource_type::DEFAULT {
        if all || types.remove(known) {
            types.remove(known);
            result.push(known.to_owned());
        }
    }
    let named = !all;
    result.extend(types);
    Ok((result, named))
}

/// The user's type filters, by type, without the type. Filters of types that are not asked for are refused before (DESIGN §6).
fn parse_type_filters(filters: &[String], types: &[String]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut result: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    result.extend(types.iter().map(|t| (t.clone(), BTreeSet::new())));
    for filter in filters {
        let (name, query) = kickoff::split_filter(filter)?;
        if let Some(of_type) = resource_type::lookup(name).and_then(|known| result.get_mut(known)) {
            of_type.insert(query.to_owned());
        }
    }
    Ok(result)
}

impl Plan {
    /// Works out what to ask for. What the user said was checked before ([`kickoff::validate`]).
    pub fn new(config: &BulkConfig, capability: &Capability) -> Result<Self> {
        let (types, named) = parse_types(&config.types)?;
        let mut filters = parse_type_filters(&config.type_filters, &types)?;
        if config.default_filters
            && capability.searches("Observation", "category")
            && let Some(of_type) = filters.get_mut("Observation")
            && of_type.is_empty()
        {
            let epic = capability.vendor == Vendor::Epic;
            of_type.insert(if epic { OBSERVATION_EPIC } else { OBSERVATION }.to_owned());
        }
        let since_mode = config.since.as_ref().map(|_| since::resolve(config.since_mode, capability));
        let since_types = match since_mode {
            None => Vec::new(),
            Some(SinceMode::Created) => {
                let can = since::CREATED_FIELDS.iter().map(|(name, _)| *name);
                can.filter(|name| since::created_field(capability, name).is_some()).map(str::to_owned).collect()
            }
            Some(_) => filters.keys().cloned().collect(),
        };
        let since_able = since_types.clone();
        Ok(Self {
            types,
            named,
            filters,
            since: config.since.clone(),
            since_mode,
            since_types,
            since_able,
            times: None,
        })
    }

    /// Takes over the Observation filter of a folder that the reference began, which applies its default on every server.
    pub fn take_default_filter(&mut self, found: Option<&Value>) {
        let found: Vec<&str> =
            found.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if let [one] = found[..]
            && (one == OBSERVATION || one == OBSERVATION_EPIC)
            && let Some(of_type) = self.filters.get_mut("Observation")
        {
            of_type.clear();
            of_type.insert(one.to_owned());
        }
    }

    /// Leaves a type out.
    pub fn drop_type(&mut self, resource_type: &str) {
        self.types.retain(|t| t != resource_type);
        self.filters.remove(resource_type);
        if self.since_mode == Some(SinceMode::Updated) {
            self.since_types.retain(|t| t != resource_type);
            self.since_able.retain(|t| t != resource_type);
        }
    }

    /// Since when, by type, where `since` is `auto`: in managed exports, which the small WebAssembly files have not.
    pub fn times(&self) -> Option<&BTreeMap<String, String>> {
        if cfg!(feature = "full") { self.times.as_ref() } else { None }
    }

    /// Since when a type is asked for; `None` if it comes whole.
    pub fn since_of(&self, resource_type: &str) -> Option<&str> {
        match self.times() {
            Some(times) => times.get(resource_type).map(String::as_str),
            None => self.since.as_deref(),
        }
    }

    /// Works out which types `since` has an effect on where it is `auto`. `together` are those that are asked for at once, with
    /// one `_since` (bulk): they come whole if one of them has to.
    pub fn settle_since(&mut self, together: &[String]) {
        let Some(times) = self.times() else { return };
        let whole = self.since_mode == Some(SinceMode::Updated) && together.iter().any(|t| !times.contains_key(t));
        let is_since = |t: &&String| times.contains_key(*t) && !(whole && together.contains(t));
        self.since_types = self.since_able.iter().filter(is_since).cloned().collect();
    }

    /// The type filters to send for `types`, with those of created mode: `Type?query`, in order.
    pub fn wire_filters(&self, types: &[String], capability: &Capability) -> Vec<String> {
        let mut result = Vec::new();
        for resource_type in self.filters.keys().filter(|t| types.contains(t)) {
            let since = match (self.since_of(resource_type), self.since_mode) {
                (Some(since), Some(SinceMode::Created)) => {
                    since::created_field(capability, resource_type).map(|field| format!("{field}=gt{since}"))
                }
                _ => None,
            };
            let filters = &self.filters[resource_type];
            if filters.is_empty() {
                result.extend(since.map(|since| format!("{resource_type}?{since}")));
                continue;
            }
            for filter in filters {
                let since = since.as_ref().map(|since| format!("&{since}")).unwrap_or_default();
                result.push(format!("{resource_type}?{filter}{since}"));
            }
        }
        result
    }

    /// The type filters for `types` as the user gave them.
    pub fn filters_without_since(&self, types: &[String]) -> Vec<String> {
        let mut result = Vec::new();
        for (resource_type, filters) in self.filters.iter().filter(|(t, _)| types.contains(t)) {
            result.extend(filters.iter().map(|filter| format!("{resource_type}?{filter}")));
        }
        result
    }

    /// Sentences that say since when `types` are asked for, at once where one `_since` stands for all.
    pub fn since_lines(&self, types: &[String]) -> Vec<String> {
        let line = |time: &str| format!("Using since value of '{time}'");
        match (self.times(), self.since_mode) {
            (Some(times), Some(SinceMode::Created)) => {
                times.iter().map(|(name, time)| format!("{} for {name}.", line(time))).collect()
            }
            (Some(_), _) => self.wire_since(types).map(|time| line(time) + ".").into_iter().collect(),
            (None, _) => self.since.iter().map(|time| line(time) + ".").collect(),
        }
    }

    /// What `_since` is for these types together: none in created mode; the earliest of their times where they differ, and
    /// none if one of them has none.
    pub fn wire_since(&self, types: &[String]) -> Option<&str> {
        if self.since_mode != Some(SinceMode::Updated) {
            return None;
        }
        let mut earliest: Option<&str> = None;
        for resource_type in types {
            let time = self.since_of(resource_type)?;
            if earliest.is_none_or(|earliest| is_before(time, earliest)) {
                earliest = Some(time);
            }
        }
        earliest
    }

    /// The key `filters` of `.metadata`.
    pub fn filters_map(&self) -> Map<String, Value> {
        let list = |t: &String| self.filters.get(t).into_iter().flatten().cloned().map(Value::String).collect();
        self.types.iter().map(|t| (t.clone(), Value::Array(list(t)))).collect()
    }
}
