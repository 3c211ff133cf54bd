//! Tokens and what becomes of them (conformance group B from B12 on, and the token rules of F).

use std::time::Duration;

use serde_json::json;
use smart_fetch::ErrorKind;
use smart_fetch::auth::{TokenRule, Withheld, token_rule};
use smart_fetch::config::{AuthConfig, ServerConfig};
use smart_fetch::http::{Call, Client, Retry};
use smart_fetch::platform::{Clock, HttpErrorKind};
use smart_fetch::testing::{Host, Reply};

use crate::conformance_b::ready;
use crate::smart_server::{
    BASE, TOKEN_URL, config, get, grant, refusal, serve_fhir, serve_tokens, token_requests, types,
};

#[test]
fn b12_a_token_is_kept_until_shortly_before_it_expires() {
    let host = ready();
    serve_tokens(&host, 4);
    let tokens = serve_fhir(&host, |_| true);
    host.run(async {
        let client = Client::new(&host, &config(), types(&[])).unwrap();
        for _ in 0..20 {
            client.send(Call::get("status", format!("{BASE}/Patient"))).await.unwrap();
            host.clock.sleep(Duration::from_secs(1)).await;
        }
    });
    let asked = token_requests(&host);
    assert_eq!(asked.len(), 5);
    assert!(asked.windows(2).all(|pair| pair[1].at - pair[0].at < 4500), "a token was used too long");
    assert_eq!(tokens.borrow().len(), 20);
}

#[test]
fn b12_a_missing_or_silly_lifetime_is_taken_as_short() {
    for silly in [json!(null), json!(0), json!(-5), json!("soon")] {
        let host = ready();
        host.http.on("POST", TOKEN_URL, grant(json!({"expires_in": silly})));
        host.run(async {
            let client = Client::new(&host, &config(), types(&[])).unwrap();
            client.credentials().await.unwrap();
            client.credentials().await.unwrap();
            assert_eq!(token_requests(&host).len(), 1);
            host.clock.sleep(Duration::from_secs(61)).await;
            client.credentials().await.unwrap();
        });
        assert_eq!(token_requests(&host).len(), 2, "{silly}");
    }
}

#[test]
fn b12_many_requests_at_once_ask_for_one_token() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({})).after(Duration::from_secs(2)));
    host.run(async {
        let client = Client::new(&host, &config(), types(&[])).unwrap();
        let all = futures_util::future::join_all((0..30).map(|_| client.credentials())).await;
        assert!(all.into_iter().all(|headers| headers.unwrap()[0].1 == "Bearer granted"));
    });
    assert_eq!(token_requests(&host).len(), 1);
}

#[test]
fn b12_a_token_is_had_even_while_files_take_all_places() {
    let host = ready();
    serve_tokens(&host, 300);
    host.run(async {
        let config = ServerConfig { max_connections: 2, ..config() };
        let client = Client::new(&host, &config, types(&[])).unwrap();
        let first = client.politeness().admit(BASE).await;
        let second = client.politeness().admit(BASE).await;
        assert_eq!(client.credentials().await.unwrap()[0].1, "Bearer token-1");
        first.succeeded();
        second.throttled(Some(Duration::from_secs(30)));
        let before = host.clock_millis();
        client.credentials_refused(&client.credentials().await.unwrap());
        client.credentials().await.unwrap();
        assert_eq!(host.clock_millis() - before, 30_000, "the gate holds for tokens too");
    });
}

#[test]
fn b13_a_401_is_answered_with_one_fresh_token() {
    let host = ready();
    serve_tokens(&host, 300);
    let tokens = serve_fhir(&host, |token| token != "Bearer token-1");
    assert_eq!(get(&host, &config(), types(&[])).unwrap().status, 200);
    assert_eq!(*tokens.borrow(), ["Bearer token-1", "Bearer token-2"]);
}

#[test]
fn b13_a_401_for_ever_ends_after_two_tries() {
    for retry in [Retry::Full, Retry::BeforeSending, Retry::Never] {
        let host = ready();
        serve_tokens(&host, 300);
        let tokens = serve_fhir(&host, |_| false);
        let start = host.clock_millis();
        let status = host.run(async {
            let client = Client::new(&host, &config(), types(&[])).unwrap();
            client.send(Call::get("test", format!("{BASE}/Patient")).retry(retry)).await.unwrap().status
        });
        assert_eq!((status, tokens.borrow().len()), (401, 2));
        assert_eq!(host.clock_millis(), start);
    }
}

#[test]
fn b13_a_403_and_a_401_to_a_fixed_token_fail_at_once() {
    let host = ready();
    serve_tokens(&host, 300);
    host.http.on("GET", &format!("{BASE}/Patient"), Reply::new(403));
    host.http.off("GET", "/x/fhir/Patient");
    assert_eq!(get(&host, &config(), types(&[])).unwrap().status, 403);
    assert_eq!(host.http.seen_with("/Patient").len(), 1);
    let host = ready();
    serve_fhir(&host, |_| false);
    let auth = AuthConfig::Bearer { token: "fixed".to_owned() };
    assert_eq!(get(&host, &ServerConfig { auth, ..config() }, types(&[])).unwrap().status, 401);
    assert_eq!(host.http.seen().len(), 1);
}

#[test]
fn b13_a_401_to_an_old_token_does_not_drop_the_new_one() {
    let host = ready();
    serve_tokens(&host, 300);
    host.run(async {
        let client = Client::new(&host, &config(), types(&[])).unwrap();
        let old = client.credentials().await.unwrap();
        assert!(client.credentials_refused(&old));
        let new = client.credentials().await.unwrap();
        assert!(client.credentials_refused(&old));
        assert_eq!(client.credentials().await.unwrap(), new);
    });
    assert_eq!(token_requests(&host).len(), 2);
}

#[test]
fn b14_each_oauth_error_has_its_own_message_and_ends_at_once() {
    let mut messages = Vec::new();
    for code in ["invalid_client", "invalid_grant", "invalid_request", "unauthorized_client", "invalid_scope"] {
        let host = ready();
        host.http.on("POST", TOKEN_URL, refusal(400, code, &format!("about {code}")));
        let scope = (code == "invalid_scope").then(|| "system/*.rs".to_owned());
        let auth = AuthConfig::Smart { client_id: "client-1".to_owned(), token_url: None, scope };
        let error = get(&host, &ServerConfig { auth, ..config() }, types(&[])).unwrap_err();
        assert_eq!((error.kind, error.status, error.retry), (ErrorKind::Auth, Some(400), false));
        assert!(error.message.contains(code) && error.message.contains(&format!("about {code}")), "{error}");
        assert_eq!(token_requests(&host).len(), 1);
        messages.push(error.hint.clone().unwrap());
    }
    messages.sort();
    messages.dedup();
    assert!(messages.len() >= 4, "{messages:?}");
}

#[test]
fn b14_a_401_without_credentials_asks_for_some_and_a_withheld_token_names_the_origin() {
    use crate::export;
    let run = |auth: AuthConfig, status_url: &str| {
        let host = Host::new();
        export::serve(&host, &export::usual());
        host.http.off("GET", "$export").on("GET", "$export", Reply::new(202).header("Content-Location", status_url));
        host.http.off("GET", "/jobs/1").on("GET", "/jobs/1", Reply::new(401));
        let mut config = export::config();
        config.server.auth = auth;
        export::export(&host, &config).unwrap_err().to_string()
    };
    let open = run(AuthConfig::None, export::STATUS);
    assert!(open.contains("Give credentials") && !open.contains("--token-origin"), "{open}");
    let bearer = || AuthConfig::Bearer { token: "fixed-token".to_owned() };
    let withheld = run(bearer(), "https://other.example/jobs/1");
    assert!(withheld.contains("--token-origin"), "{withheld}");
    let wrong = run(bearer(), export::STATUS);
    assert!(wrong.contains("Check the credentials"), "{wrong}");
}

#[test]
fn b14_a_client_id_of_a_thousand_characters_is_cut_in_messages() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, refusal(400, "invalid_client", ""));
    let auth = AuthConfig::Smart { client_id: "x".repeat(1300), token_url: None, scope: None };
    let error = get(&host, &ServerConfig { auth, ..config() }, types(&[])).unwrap_err();
    assert!(error.to_string().len() < 500, "{error}");
}

#[test]
fn b14_other_answers_of_the_token_endpoint_are_told_too() {
    let html = Reply::bytes(400, "text/html", "<html>Bad</html>");
    let page = Reply::bytes(200, "text/html", "<html>Log in</html>");
    for (reply, kind, part) in [(html, ErrorKind::Auth, "400"), (page, ErrorKind::Protocol, "no JSON")] {
        let host = ready();
        host.http.on("POST", TOKEN_URL, reply);
        let error = get(&host, &config(), types(&[])).unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn b14_server_errors_are_retried_and_bounded() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, Reply::new(500));
    let error = get(&host, &config(), types(&[])).unwrap_err();
    assert_eq!(error.status, Some(500));
    assert_eq!(token_requests(&host).len(), 5);
    let host = ready();
    host.http.on("POST", TOKEN_URL, Reply::new(429).header("Retry-After", "7"));
    host.http.on("POST", TOKEN_URL, grant(json!({})));
    assert_eq!(get(&host, &config(), types(&[])).unwrap().status, 200);
    let asked = token_requests(&host);
    assert!(asked[1].at - asked[0].at >= 7000);
}

#[test]
fn b14_an_endpoint_that_granted_before_may_refuse_now_and_then() {
    let host = ready();
    for reply in [grant(json!({})), refusal(400, "invalid_client", ""), grant(json!({}))] {
        host.http.on("POST", TOKEN_URL, reply);
    }
    host.run(async {
        let client = Client::new(&host, &config(), types(&[])).unwrap();
        let used = client.credentials().await.unwrap();
        client.credentials_refused(&used);
        client.credentials().await.unwrap();
    });
    assert_eq!(token_requests(&host).len(), 3);
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({}))).on("POST", TOKEN_URL, refusal(400, "invalid_client", ""));
    let error = host.run(async {
        let client = Client::new(&host, &config(), types(&[])).unwrap();
        let used = client.credentials().await.unwrap();
        client.credentials_refused(&used);
        client.credentials().await.unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::Auth);
    assert_eq!(token_requests(&host).len(), 4);
}

#[test]
fn b14_a_redirect_of_the_token_endpoint_is_not_followed() {
    let host = ready();
    for status in [301, 302, 303, 307, 308] {
        host.http.on("POST", TOKEN_URL, Reply::new(status).header("Location", "https://ehr.example/elsewhere?x=1"));
        let error = get(&host, &config(), types(&[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Auth);
        assert!(error.message.contains("https://ehr.example/elsewhere?…"), "{error}");
    }
    assert!(host.http.seen_with("elsewhere").is_empty());
}

const CANARY: &str = "canary-9f3a";

/// Everything that a run says, with a server that echoes whatever it got.
fn said(host: &Host, config: &ServerConfig) -> String {
    let echo = |request: &smart_fetch::platform::Request| {
        let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
        let headers = format!("{:?}", request.headers);
        refusal(400, "invalid_client", &format!("got {} {headers} {body}", request.url))
    };
    let text = host.run(async {
        let Ok(client) = Client::new(host, config, types(&["Patient"])) else { return String::new() };
        let mut text = String::new();
        let signed = format!("{BASE}/file?X-Amz-Signature={CANARY}&sig={CANARY}");
        for url in [signed, format!("{BASE}/Patient")] {
            match client.send(Call::get("test", url)).await {
                Ok(reply) => text += &format!("{reply:?} {}", client.redact(&reply.text())),
                Err(error) => text += &format!("{error} {error:?} {}", serde_json::to_string(&error).unwrap()),
            }
        }
        if let Ok(used) = client.credentials().await {
            client.credentials_refused(&used);
            host.http.on_call("POST", TOKEN_URL, echo);
            text += &client.credentials().await.map_or_else(|error| format!("{error} {error:?}"), |_| String::new());
            text += &client.redact(&format!("{used:?}"));
        }
        text
    });
    text + &serde_json::to_string(&host.events()).unwrap()
}

#[test]
fn b15_no_secret_appears_in_errors_events_or_debug_output() {
    let smart = AuthConfig::Smart { client_id: "client-1".to_owned(), token_url: None, scope: None };
    let bearer = AuthConfig::Bearer { token: CANARY.to_owned() };
    let basic = AuthConfig::Basic { user: "me".to_owned(), password: CANARY.to_owned() };
    for auth in [smart, bearer, basic] {
        for fault in 0..4 {
            let host = ready();
            host.http.on("POST", TOKEN_URL, grant(json!({"access_token": CANARY})));
            let bad = |request: &smart_fetch::platform::Request| {
                Reply::bytes(400, "text/plain", format!("got {} with {:?}", request.url, request.headers))
            };
            let url = format!("{BASE}/");
            match fault {
                0 => host.http.on_call("GET", &url, bad),
                1 => host.http.on("GET", &format!("{BASE}/file"), Reply::error(HttpErrorKind::Interrupted)),
                2 => host.http.on("GET", &format!("{BASE}/file"), Reply::new(503)),
                _ => {
                    let to = format!("http://{CANARY}@evil.example/?{CANARY}");
                    host.http.on("GET", &format!("{BASE}/file"), Reply::new(307).header("Location", &to))
                }
            };
            let headers = vec![("X-Api-Key".to_owned(), CANARY.to_owned())];
            let text = said(&host, &ServerConfig { auth: auth.clone(), headers, ..config() });
            assert!(!text.is_empty());
            assert!(!text.contains(CANARY), "{text}");
            assert!(!text.contains("eyJ"), "an assertion: {text}");
        }
    }
}

#[test]
fn b16_an_open_server_gets_no_token_request_and_no_authorization() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::json(200, "{}"));
    get(&host, &ServerConfig { auth: AuthConfig::None, ..config() }, types(&[])).unwrap();
    let seen = host.http.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("Authorization"), None);
}

#[test]
fn b16_bearer_basic_and_custom_headers_are_sent_as_given() {
    let bearer = AuthConfig::Bearer { token: " abc \n".to_owned() };
    let basic = AuthConfig::Basic { user: "Aladdin".to_owned(), password: "open sesame".to_owned() };
    for (auth, expected) in [(bearer, "Bearer abc"), (basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")] {
        let host = Host::new();
        host.http.on("GET", BASE, Reply::json(200, "{}"));
        let headers = vec![("X-Api-Key".to_owned(), "k".to_owned())];
        get(&host, &ServerConfig { auth, headers, ..config() }, types(&[])).unwrap();
        let seen = host.http.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].header("Authorization"), Some(expected));
        assert_eq!(seen[0].header("X-Api-Key"), Some("k"));
    }
}

#[test]
fn b16_credentials_that_cannot_be_sent_are_refused_before_any_request() {
    let bad = [
        AuthConfig::Bearer { token: String::new() },
        AuthConfig::Bearer { token: "two words".to_owned() },
        AuthConfig::Basic { user: "a:b".to_owned(), password: "p".to_owned() },
        AuthConfig::Smart { client_id: " ".to_owned(), token_url: None, scope: None },
        AuthConfig::Smart { client_id: "c".to_owned(), token_url: Some("ftp://x".to_owned()), scope: None },
    ];
    for auth in bad {
        let host = Host::new();
        let error = Client::new(&host, &ServerConfig { auth, ..config() }, types(&[])).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Usage);
    }
}

fn rule(required: Option<bool>, url: &str) -> TokenRule {
    let origins =
        ["https://ehr.example".to_owned(), "http://plain.example".to_owned(), "http://localhost:81".to_owned()];
    token_rule(required, url, &origins, false)
}

#[test]
fn f04_a_token_goes_to_a_file_exactly_when_the_manifest_asks_for_it() {
    let url = "https://EHR.example:443/files/1?x=1";
    assert_eq!(rule(Some(true), url), TokenRule::Send);
    assert_eq!(rule(None, url), TokenRule::Send);
    assert_eq!(rule(Some(false), url), TokenRule::Withhold(Withheld::NotWanted));
}

#[test]
fn f06_a_file_on_another_origin_gets_the_token_only_if_allowed_and_private() {
    for other in [
        "https://files.example/1",
        "https://ehr.example:8443/1",
        "http://ehr.example/1",
        "https://ehr.example.evil.example/1",
        "https://ehr.example@evil.example/1",
        "https://evil.example\\@ehr.example/1",
        "file:///etc/passwd",
    ] {
        assert_eq!(rule(Some(true), other), TokenRule::Withhold(Withheld::OtherOrigin), "{other}");
    }
    assert_eq!(rule(Some(true), "http://plain.example/1"), TokenRule::Withhold(Withheld::PlainHttp));
    assert_eq!(rule(Some(true), "http://localhost:81/1"), TokenRule::Send);
    let origins = ["http://plain.example".to_owned()];
    assert_eq!(token_rule(Some(true), "http://plain.example/1", &origins, true), TokenRule::Send);
}
