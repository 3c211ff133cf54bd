//! `single`: one resource, as it is.

use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::ScopeRequest;
use crate::bulk::refusal;
use crate::config::ServerConfig;
use crate::http::{Call, Client, redact};
use crate::platform::Platform;
use crate::{Error, ErrorKind, Result};

/// Biggest reply that is taken: Binary resources can be large, but they pass through memory here.
const MAX_BYTES: usize = 512 << 20;

/// What to get and how to show it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SingleConfig {
    /// The server.
    pub server: ServerConfig,
    /// `Type/ID`, with or without `?query`; or an absolute URL below the server's base.
    pub resource: String,
    /// Give the bytes of a Binary rather than its JSON.
    pub binary: bool,
    /// JSON on one line.
    pub compact: bool,
}

/// Gets one resource. Returns what is to be printed: JSON with a final newline, or the bytes of a Binary.
///
/// # Errors
/// `Usage` for an address outside the server's base, since credentials would go with it.
pub async fn single<P: Platform>(platform: &P, config: &SingleConfig) -> Result<Vec<u8>> {
    let resource = config.resource.trim();
    let resource_type = resource.split(['/', '?']).next().unwrap_or_default().to_owned();
    let scopes = ScopeRequest { types: vec![resource_type.clone()], group: resource_type == "Group" };
    let client = Client::new(platform, &config.server.for_reads(), scopes)?;
    let url = match resource.strip_prefix(client.base()) {
        Some(rest) if rest.starts_with('/') => resource.to_owned(),
        _ if resource.contains("://") || resource.starts_with('/') || resource.split('/').any(|s| s == "..") => {
            return Err(Error::usage(format!("'{}' is not on the server {}.", redact::url(resource), client.base()))
                .with_hint("Give a resource as Type/ID, such as Patient/123."));
        }
        _ if resource_type.is_empty() => {
            return Err(Error::usage("No resource was named.").with_hint("Give it as Type/ID, such as Patient/123."));
        }
        _ => client.url(resource),
    };
    let mut call = Call::get("single", &url).header("Accept", "application/fhir+json");
    call.max_body = MAX_BYTES;
    let reply = client.send(call).await?;
    if !reply.is_success() {
        return Err(refusal("single", &reply));
    }
    let value: Value = serde_json::from_slice(&reply.body).map_err(|_| {
        Error::new(ErrorKind::Protocol, "single", format!("The answer of {} is no JSON.", redact::url(&url)))
            .with_hint("Check that the FHIR URL is the base URL of a FHIR server.")
    })?;
    if config.binary && value["resourceType"] == "Binary" {
        let data = value["data"].as_str().unwrap_or_default();
        let data: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        return base64::engine::general_purpose::STANDARD.decode(data).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "single", format!("The data of this Binary is not valid base64: {e}."))
        });
    }
    drop(value);
    Ok(layout(&reply.body, config.compact))
}

/// JSON with other white space; everything else stays byte for byte, so that `1.10` stays `1.10` (H04). `json` is valid.
fn layout(json: &[u8], compact: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut string = false;
    let mut escaped = false;
    let mut opened = false;
    let newline = |out: &mut Vec<u8>, depth: usize| {
        if !compact {
            out.push(b'\n');
            out.extend(std::iter::repeat_n(b' ', depth * 2));
        }
    };
    for &byte in json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json) {
        if string {
            out.push(byte);
            string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(byte, b'}' | b']');
        if opened && !closes {
            newline(&mut out, depth);
        }
        if closes {
            depth = depth.saturating_sub(1);
            if !opened {
                newline(&mut out, depth);
            }
        }
        opened = matches!(byte, b'{' | b'[');
        depth += usize::from(opened);
        string = byte == b'"';
        out.push(byte);
        match byte {
            b',' => newline(&mut out, depth),
            b':' if !compact => out.push(b' '),
            _ => {}
        }
    }
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::layout;

    #[test]
    fn h04_layout_changes_white_space_only() {
        let json = "{\"a\" : 1.10,\n\"b\":[ ],\"c\":[{\"d\":\"x: \\\"{}\\\\\"} , 12345678901234567890]}";
        let pretty = String::from_utf8(layout(json.as_bytes(), false)).unwrap();
        assert_eq!(
            pretty,
            "{\n  \"a\": 1.10,\n  \"b\": [],\n  \"c\": [\n    {\n      \"d\": \"x: \\\"{}\\\\\"\n    },\n    12345678901234567890\n  ]\n}\n"
        );
        let compact = String::from_utf8(layout(json.as_bytes(), true)).unwrap();
        assert_eq!(compact, "{\"a\":1.10,\"b\":[],\"c\":[{\"d\":\"x: \\\"{}\\\\\"},12345678901234567890]}\n");
        assert_eq!(layout(pretty.as_bytes(), true), compact.as_bytes());
    }
}
