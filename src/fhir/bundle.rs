//! Searchset Bundles: one page of a search.

use serde_json::Value;

use super::outcome::Outcome;

/// One page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bundle {
    /// The resources, OperationOutcomes left out.
    pub resources: Vec<Value>,
    /// What the server has to say about the search (`search.mode` `outcome`).
    pub outcomes: Vec<Outcome>,
    /// The next page, as sent.
    pub next: Option<String>,
}

impl Bundle {
    /// Reads a page; an error is the end of a sentence that began with "The server sent".
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
            let text = super::outcome::readable(body).unwrap_or_default();
            return Err(format!("something that is no JSON: {text}"));
        };
        if value["resourceType"].as_str() != Some("Bundle") {
            let what = super::outcome::readable(body).unwrap_or_default();
            return Err(format!("something that is no Bundle: {what}"));
        }
        let links = value["link"].as_array();
        let next = links.and_then(|links| links.iter().find(|link| link["relation"].as_str() == Some("next")));
        let mut bundle =
            Self { next: next.and_then(|link| link["url"].as_str()).map(str::to_owned), ..Self::default() };
        for entry in value["entry"].as_array_mut().into_iter().flatten() {
            let resource = entry["resource"].take();
            match Outcome::from_json(&resource) {
                Some(outcome) => bundle.outcomes.push(outcome),
                None if resource.is_object() => bundle.resources.push(resource),
                None => {}
            }
        }
        Ok(bundle)
    }
}
