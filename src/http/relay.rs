//! A relay between a web page and servers that allow no page of another origin (`smart-fetch serve`).
//!
//! Only what goes over the wire knows of it: everywhere else a URL is the server's own, so that what may see credentials is decided
//! by the server's origin, and folders, logs and messages name the server.

use serde::{Deserialize, Serialize};

use super::url;
use crate::platform::{Http, HttpError, Request, Response};

/// Which URLs go through a relay, and how.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Relay {
    /// Prefixes of URLs, and what stands in their place at the relay: `(https://ehr.example/, http://127.0.0.1/relay/…/)`. Both end
    /// with a slash.
    pub routes: Vec<(String, String)>,
    /// Headers for the relay alone, such as its secret.
    pub headers: Vec<(String, String)>,
}

impl Relay {
    /// Whether a URL goes through the relay.
    pub fn has_route(&self, target: &str) -> bool {
        self.routes.iter().any(|(from, _)| target.starts_with(from.as_str()))
    }

    /// Sends a request, through the relay where its URL has a route; the answer tells the server's own URLs.
    pub(crate) async fn send<H: Http>(
        &self,
        http: &H,
        mut request: Request,
    ) -> std::result::Result<Response<H::Body>, HttpError> {
        let routed = |from: &str, to: &str, target: &str| target.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        let there = self.routes.iter().find_map(|(from, to)| routed(from, to, &request.url));
        let Some(there) = there else { return http.send(request).await };
        let back = |target: &str| self.routes.iter().find_map(|(from, to)| routed(to, from, target));
        request.url.clone_from(&there);
        request.headers.extend(self.headers.iter().cloned());
        let mut response = http.send(request).await?;
        response.final_url = response.final_url.map(|target| back(&target).unwrap_or(target));
        for (name, value) in &mut response.headers.0 {
            // Its redirects lead to itself.
            if name.eq_ignore_ascii_case("location")
                && let Some(target) = url::resolve(value, &there).ok().and_then(|target| back(&target))
            {
                *value = target;
            }
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, Reply};

    #[test]
    fn only_what_has_a_route_goes_through_and_answers_name_the_server() {
        let host = Host::new();
        let relay = Relay {
            routes: vec![("https://ehr.example/".into(), "http://127.0.0.1/relay/https:ehr.example/".into())],
            headers: vec![("X-Relay-Secret".into(), "s".into())],
        };
        host.http.on(
            "GET",
            "/relay/https:ehr.example/a",
            Reply::new(302).header("Location", "/relay/https:ehr.example/b?c"),
        );
        host.http.on("GET", "ehr.example.evil/", Reply::new(302).header("Location", "/x"));
        let location = |url: &str| {
            let answer = host.run(relay.send(&host.http, Request::get(url)));
            answer.ok().and_then(|answer| answer.headers.get("location").map(str::to_owned))
        };
        assert_eq!(location("https://ehr.example/a").as_deref(), Some("https://ehr.example/b?c"));
        assert_eq!(location("https://ehr.example.evil/").as_deref(), Some("/x"));
        let seen = host.http.seen();
        assert_eq!((seen[0].header("x-relay-secret"), seen[1].header("x-relay-secret")), (Some("s"), None));
    }
}
