//! Whose data: the patients that a search finds, such as the panel of a SMART app's user.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::auth::ScopeRequest;
use crate::bulk::refusal;
use crate::config::ServerConfig;
use crate::fhir::bundle::Bundle;
use crate::http::{Call, Client, redact};
use crate::platform::Platform;
use crate::{Error, ErrorKind, Result};

/// Which patients.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PatientsConfig {
    /// The server.
    pub server: ServerConfig,
    /// The search, such as `general-practitioner=Practitioner/1`; empty: all that may be seen.
    pub query: String,
}

/// The ids of the patients that a search finds, all its pages, each once.
///
/// # Errors
/// As a search fails. A next link that was followed before is a `Protocol` error: part of a panel must not pass for all of it.
pub async fn patient_ids<P: Platform>(platform: &P, config: &PatientsConfig) -> Result<Vec<String>> {
    let scopes = ScopeRequest { types: vec!["Patient".to_owned()], group: false };
    let client = Client::new(platform, &config.server.for_reads(), scopes)?;
    let query = config.query.trim_start_matches('?');
    let and = if query.is_empty() { "" } else { "&" };
    // Nothing else of them is wanted. Servers that do not know the parameter send it all.
    let mut url = client.url(&format!("Patient?{query}{and}_elements=id"));
    let mut seen = BTreeSet::new();
    let mut ids = Vec::new();
    let mut known = BTreeSet::new();
    loop {
        let wrong = |what: &str| {
            Error::new(ErrorKind::Protocol, "patients", format!("In answer to {} {what}", redact::url(&url)))
        };
        if !seen.insert(url.clone()) {
            return Err(wrong("the server's next link leads back to where it came from."));
        }
        let reply = client.send(Call::get("patients", &url).header("Accept", "application/fhir+json")).await?;
        if reply.status != 200 {
            return Err(refusal("patients", &reply));
        }
        let page = Bundle::read(&reply.body).map_err(|what| wrong(&format!("the server sent {what}")))?;
        for patient in page.resources.iter().filter(|resource| resource["resourceType"] == "Patient") {
            if let Some(id) = patient["id"].as_str().filter(|id| known.insert((*id).to_owned())) {
                ids.push(id.to_owned());
            }
        }
        match page.next {
            Some(next) => url = client.resolve(&next, &reply.url)?,
            None => return Ok(ids),
        }
    }
}
