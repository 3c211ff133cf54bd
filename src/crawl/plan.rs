//! Which searches: what goes on the wire for a type, a patient, a filter and a time.

use crate::config::SinceMode;
use crate::fhir::capability::{Capability, Vendor};
use crate::update::{Plan, since};

/// Types that Epic searches only with more than a patient: they come by hydration.
const NOT_ON_EPIC: [&str; 2] = ["EpisodeOfCare", "Specimen"];

/// Whether the server is known not to search this type by patient.
pub fn is_unsearchable(capability: &Capability, resource_type: &str) -> bool {
    capability.vendor == Vendor::Epic && NOT_ON_EPIC.contains(&resource_type)
}

/// How to search one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searches {
    resource_type: String,
    /// Alternatives: each is a search of its own. Never empty; without a filter it is one empty text.
    filters: Vec<String>,
    /// `_lastUpdated=gt…` or its like.
    since: Option<String>,
    /// `_count=…`
    count: Option<String>,
}

impl Searches {
    /// The searches of `resource_type` by what `plan` says, from `since` on.
    pub fn new(
        plan: &Plan,
        capability: &Capability,
        resource_type: &str,
        since: Option<&str>,
        count: Option<u32>,
    ) -> Self {
        let field = match plan.since_mode {
            Some(SinceMode::Created) => since::created_field(capability, resource_type),
            _ => Some("_lastUpdated"),
        };
        let mut filters: Vec<String> =
            plan.filters.get(resource_type).into_iter().flatten().map(|filter| query(filter)).collect();
        if filters.is_empty() {
            filters.push(String::new());
        }
        Self {
            resource_type: resource_type.to_owned(),
            filters,
            since: field.zip(since).map(|(field, since)| query(&format!("{field}=gt{since}"))),
            count: count.map(|count| format!("_count={count}")),
        }
    }

    /// Of one patient; `whole`: whatever the time.
    pub fn of_patient(&self, id: &str, whole: bool) -> Vec<String> {
        self.all(&format!("patient={}", value(id)), !whole)
    }

    /// Of Patients themselves, by id or by an identifier of a system; several are alternatives. Whatever the time: they say whose
    /// resources are searched for, so that nobody may be missing because nothing is new in the Patient.
    pub fn of_ids<'a>(&self, ids: impl Iterator<Item = &'a str>, system: Option<&str>) -> Vec<String> {
        let name = if system.is_some() { "identifier=" } else { "_id=" };
        let mut text = String::from(name);
        for id in ids {
            if text.len() > name.len() {
                text.push(',');
            }
            if let Some(system) = system {
                text.push_str(&value(system));
                text.push('|');
            }
            text.push_str(&value(id));
        }
        self.all(&text, false)
    }

    fn all(&self, who: &str, since: bool) -> Vec<String> {
        let since = self.since.as_deref().filter(|_| since);
        let url = |filter: &String| {
            let parts = [Some(filter.as_str()), since, self.count.as_deref()];
            let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
            parts.fold(format!("{}?{who}", self.resource_type), |url, part| format!("{url}&{part}"))
        };
        self.filters.iter().map(url).collect()
    }
}

/// A part of a query that somebody wrote: kept as it is, but for what cannot stand in a URL, and for `+`, which would be
/// read as a space.
fn query(text: &str) -> String {
    escaped(text, |byte| (0x21..0x7f).contains(&byte) && !b"\"#<>+".contains(&byte))
}

/// One value of a search parameter, which nothing in it may end (FHIR R4 §3.1.1.3 for `,`, `|`, `$` and `\`).
fn value(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if matches!(c, ',' | '|' | '$' | '\\') {
            plain.push('\\');
        }
        plain.push(c);
    }
    escaped(&plain, |byte| byte.is_ascii_alphanumeric() || b"-._~:/,|$".contains(&byte))
}

fn escaped(text: &str, keep: impl Fn(u8) -> bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keep(byte) {
            result.push(char::from(byte));
        } else {
            result.push('%');
            result.push(char::from(HEX[usize::from(byte >> 4)]));
            result.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    result
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::BulkConfig;

    fn plan(filters: &[&str], since_mode: SinceMode) -> Plan {
        let config = BulkConfig {
            types: vec!["Patient".into(), "Condition".into(), "Device".into()],
            type_filters: filters.iter().map(|f| (*f).to_owned()).collect(),
            since: Some("2020".into()),
            since_mode,
            ..BulkConfig::default()
        };
        Plan::new(&config, &Capability::default()).unwrap()
    }

    #[test]
    fn filters_are_alternatives_each_with_since() {
        let plan = plan(&["Condition?code=a,b", "Condition?onset-date=gt2020&x=ä b+c"], SinceMode::Updated);
        let since = Some("2026-01-02T03:04:05+01:00");
        let searches = Searches::new(&plan, &Capability::default(), "Condition", since, Some(50));
        assert_eq!(
            searches.of_patient("p1", false),
            [
                "Condition?patient=p1&code=a,b&_lastUpdated=gt2026-01-02T03:04:05%2B01:00&_count=50",
                "Condition?patient=p1&onset-date=gt2020&x=%C3%A4%20b%2Bc&_lastUpdated=gt2026-01-02T03:04:05%2B01:00&_count=50",
            ]
        );
        assert_eq!(searches.of_patient("p1", true)[0], "Condition?patient=p1&code=a,b&_count=50");
    }

    #[test]
    fn created_mode_asks_by_the_types_own_field_or_not_at_all() {
        let listed = br#"{"resourceType":"CapabilityStatement","rest":[{"mode":"server","resource":[
            {"type":"Condition","searchParam":[{"name":"recorded-date"}]}]}]}"#;
        let capability = Capability::read(listed).unwrap();
        let plan = plan(&[], SinceMode::Created);
        let of = |name: &str| Searches::new(&plan, &capability, name, Some("2020"), None).of_patient("p", false);
        assert_eq!(of("Condition"), ["Condition?patient=p&recorded-date=gt2020"]);
        assert_eq!(of("Device"), ["Device?patient=p"]);
    }

    #[test]
    fn an_id_cannot_add_to_the_search() {
        let searches = Searches::new(&plan(&[], SinceMode::Updated), &Capability::default(), "Patient", None, None);
        assert_eq!(searches.of_patient("a&_count=0#x?é", true), ["Patient?patient=a%26_count%3D0%23x%3F%C3%A9"]);
        assert_eq!(searches.of_ids(["a", "b,c"].into_iter(), None), ["Patient?_id=a,b%5C,c"]);
        let system = Some("http://hospital.example/mrn");
        let expected = ["Patient?identifier=http://hospital.example/mrn|1,http://hospital.example/mrn|2%203"];
        assert_eq!(searches.of_ids(["1", "2 3"].into_iter(), system), expected);
    }
}
