//! The groups that a server offers for export (A08). An export never depends on this: a bare id is enough.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::auth::ScopeRequest;
use crate::bulk::refusal;
use crate::config::ServerConfig;
use crate::fhir::bundle::Bundle;
use crate::http::{Call, Client, redact};
use crate::platform::Platform;
use crate::{Error, ErrorKind, Result};

/// Groups that are listed, at most.
const MAX_GROUPS: usize = 10_000;

/// A Group, as one chooses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// For `--group`.
    pub id: String,
    /// `name`
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// `quantity`: members, as the server counts them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quantity: Option<u64>,
}

/// Which groups.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GroupsConfig {
    /// The server.
    pub server: ServerConfig,
    /// Narrows the search, such as `name=x`; empty for all.
    pub query: String,
}

/// The groups that a server lists.
///
/// # Errors
/// As [`search`].
pub async fn list<P: Platform>(platform: &P, config: &GroupsConfig) -> Result<Vec<Group>> {
    let scopes = ScopeRequest { types: vec!["Group".to_owned()], group: true };
    let client = Client::new(platform, &config.server.for_reads(), scopes)?;
    search(&client, config.query.trim_start_matches('?')).await
}

/// Searches for groups, all pages. `query` narrows the search, such as `name=x`; empty for all.
///
/// Fails as a search does; [`ErrorKind::Auth`] where groups cannot be read, which says nothing about exporting one.
pub async fn search<P: Platform>(client: &Client<'_, P>, query: &str) -> Result<Vec<Group>> {
    let mut url = client.url(if query.is_empty() { "Group".to_owned() } else { format!("Group?{query}") }.as_str());
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    while groups.len() < MAX_GROUPS && seen.insert(url.clone()) {
        let reply = client.send(Call::get("groups", &url).header("Accept", "application/fhir+json")).await?;
        if reply.status != 200 {
            return Err(refusal("groups", &reply)
                .with_hint("A group whose id is known can be exported all the same: --group ID."));
        }
        let page = Bundle::read(&reply.body).map_err(|what| {
            let message = format!("In answer to {} the server sent {what}", redact::url(&url));
            Error::new(ErrorKind::Protocol, "groups", message)
        })?;
        groups.extend(page.resources.iter().filter(|r| r["resourceType"] == "Group").filter_map(|resource| {
            Some(Group {
                id: resource["id"].as_str()?.to_owned(),
                name: resource["name"].as_str().map(str::to_owned),
                quantity: resource["quantity"].as_u64(),
            })
        }));
        match page.next {
            Some(next) => url = client.resolve(&next, &reply.url)?,
            None => break,
        }
    }
    Ok(groups)
}
