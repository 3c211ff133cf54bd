//! Fetches the CapabilityStatement.

use super::capability::{Capability, Vendor};
use super::outcome;
use crate::event::Event;
use crate::http::{Call, Client, Reply, Retry};
use crate::platform::{Observer, Platform};

/// Asks for `[base]/metadata`, without credentials first, as it is meant to be open. Whatever goes wrong is a warning
/// (`capability`) and an empty [`Capability`]: the export does not depend on it (A06). Tells the client if the server is
/// Epic's, which wants the client id in a header.
pub async fn read<P: Platform>(client: &Client<'_, P>) -> Capability {
    let call =
        Call::get("capability", client.url("metadata")).header("Accept", "application/fhir+json").retry(Retry::Brief);
    let mut answer = client.send(call.clone().open()).await;
    if let Ok(Reply { status: 401 | 403, .. }) = answer {
        answer = client.send(call).await;
    }
    let found = match answer {
        Ok(reply) if reply.is_success() => Capability::read(&reply.body),
        Ok(reply) => {
            let text = outcome::readable(&reply.body).map_or_else(String::new, |text| format!(": {text}"));
            Err(format!("The server answered {} to /metadata{text}.", reply.status))
        }
        Err(error) => Err(error.message.clone()),
    };
    match found {
        Ok(capability) => {
            if capability.vendor == Vendor::Epic {
                client.identify_to_epic();
            }
            capability
        }
        Err(why) => {
            client.platform().observer().event(Event::Warning {
                code: "capability".to_owned(),
                message: format!("{why} Going on without knowing what the server supports."),
            });
            Capability::default()
        }
    }
}
