//! Authorization (conformance group B). Real signatures are verified through the package (B02).

use std::time::Duration;

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::auth::{ScopeRequest, TokenRule, Withheld, public_jwks, token_rule};
use smart_fetch::config::{AuthConfig, ServerConfig};
use smart_fetch::event::Event;
use smart_fetch::http::{Call, Client, Retry};
use smart_fetch::platform::{Clock, HttpErrorKind, Method};
use smart_fetch::testing::{Host, Reply};

use crate::smart_server::{
    BASE, TOKEN_URL, assertion, config, form, get, grant, host, key, refusal, serve_configuration, serve_fhir,
    serve_tokens, token_requests, types,
};

const NOW: i64 = 1_767_323_045;

fn ready() -> Host {
    let host = host();
    serve_configuration(&host, json!({}));
    serve_fhir(&host, |token| token.starts_with("Bearer "));
    host
}

fn scopes_asked(host: &Host) -> Vec<String> {
    token_requests(host).iter().map(|r| form(&r.text())["scope"].clone()).collect()
}

#[test]
fn b01_only_public_parts_of_keys_are_exported() {
    let private = json!({"keys": [
        {"kty": "RSA", "kid": "a", "alg": "RS384", "n": "nnn", "e": "AQAB", "d": "SECRET1", "p": "SECRET2", "q": "SECRET3",
         "dp": "SECRET4", "dq": "SECRET5", "qi": "SECRET6", "oth": [{"r": "SECRET7"}], "key_ops": ["sign"]},
        {"kty": "EC", "kid": "b", "crv": "P-384", "x": "xxx", "y": "yyy", "d": "SECRET8", "note": "SECRET9", "use": "sig"},
        {"kty": "oct", "kid": "c", "k": "SECRET10"},
    ]});
    let public = public_jwks(&private.to_string()).unwrap();
    assert!(!public.contains("SECRET"), "{public}");
    let public: Value = serde_json::from_str(&public).unwrap();
    let expected = json!({"keys": [
        {"kty": "RSA", "kid": "a", "alg": "RS384", "key_ops": ["verify"], "n": "nnn", "e": "AQAB"},
        {"kty": "EC", "kid": "b", "use": "sig", "key_ops": ["verify"], "crv": "P-384", "x": "xxx", "y": "yyy"},
    ]});
    assert_eq!(public, expected);
}

#[test]
fn b01_bad_key_sets_are_named_and_not_quoted() {
    let bad = [
        "SECRET, not JSON",
        "[]",
        r#"{"keys": {}}"#,
        r#"{"keys": []}"#,
        r#"{"keys": [{"d": "SECRET"}]}"#,
        r#"{"kty": "EC", "crv": "P-384", "x": "x", "y": "y", "d": "SECRET"}"#,
        r#"{"kty": "EC", "kid": "a", "crv": "P-384", "x": "x", "d": "SECRET"}"#,
        r#"{"keys": [{"kty":"EC","kid":"a","crv":"c","x":"x","y":"y"},{"kty":"EC","kid":"a","crv":"c","x":"x","y":"y"}]}"#,
    ];
    for text in bad {
        let error = public_jwks(text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage);
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

#[test]
fn b02_the_signature_goes_out_as_the_signer_made_it_over_header_and_claims() {
    let host = ready();
    serve_tokens(&host, 300);
    get(&host, &config(), types(&[])).unwrap();
    let request = &token_requests(&host)[0];
    let (_, _, signature) = assertion(request);
    assert_eq!(signature, b"signed by ec-key");
    let form = form(&request.text());
    let input = form["client_assertion"].rsplit_once('.').unwrap().0;
    assert_eq!(*host.signer.signed.borrow(), [input.as_bytes().to_vec()]);
}

#[test]
fn b03_the_token_request_is_exactly_what_smart_says() {
    let host = ready();
    serve_tokens(&host, 300);
    get(&host, &config(), types(&["Patient"])).unwrap();
    let request = &token_requests(&host)[0];
    assert_eq!(request.header("Content-Type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("Authorization"), None);
    let mut form = form(&request.text());
    assert!(form.remove("client_assertion").is_some());
    let expected = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("grant_type", "client_credentials"),
        ("scope", "system/Patient.rs"),
    ];
    assert_eq!(form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    let text = request.text();
    assert!(text.contains("client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"));
    assert!(text.contains("scope=system%2FPatient.rs"), "{text}");
}

#[test]
fn b04_the_jwt_header_holds_alg_kid_and_typ_and_no_jku() {
    let host = ready();
    serve_tokens(&host, 300);
    get(&host, &config(), types(&[])).unwrap();
    let (header, _, _) = assertion(&token_requests(&host)[0]);
    assert_eq!(header, json!({"alg": "ES384", "typ": "JWT", "kid": "ec-key"}));
}

#[test]
fn b04_a_pem_key_has_no_kid_to_send() {
    let mut host = ready();
    host.signer.keys = vec![smart_fetch::platform::SigningKey { kid: None, alg: "RS384".to_owned() }];
    serve_tokens(&host, 300);
    get(&host, &config(), types(&[])).unwrap();
    assert_eq!(assertion(&token_requests(&host)[0]).0, json!({"alg": "RS384", "typ": "JWT"}));
}

#[test]
fn b05_the_claims_name_the_client_twice_the_token_url_and_a_near_end() {
    let host = ready();
    serve_tokens(&host, 300);
    get(&host, &config(), types(&[])).unwrap();
    let (_, claims, _) = assertion(&token_requests(&host)[0]);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("client-1"), &json!("client-1")));
    assert_eq!(claims["aud"], TOKEN_URL);
    assert!(claims["jti"].as_str().unwrap().len() >= 20);
    let ahead = claims["exp"].as_i64().unwrap() - NOW;
    assert!((60..=300).contains(&ahead), "{ahead}");
}

#[test]
fn b06_every_try_of_a_token_request_has_its_own_jti() {
    let host = ready();
    for failure in [Reply::new(503), Reply::error(HttpErrorKind::Interrupted), Reply::new(500)] {
        host.http.on("POST", TOKEN_URL, failure);
    }
    host.http.on("POST", TOKEN_URL, grant(json!({})));
    assert_eq!(get(&host, &config(), types(&[])).unwrap().status, 200);
    let mut ids: Vec<String> =
        token_requests(&host).iter().map(|r| assertion(r).1["jti"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 4);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

/// A token server whose clock is `skew` seconds off ours and which enforces 0 < exp - now <= 300 and no future iat or nbf.
fn strict_server(host: &Host, skew: i64) {
    let clock = host.clock.clone();
    host.http.on_call("POST", TOKEN_URL, move |request| {
        let seen = smart_fetch::testing::Seen { request: request.clone(), at: 0 };
        let (_, claims, _) = assertion(&seen);
        let now = clock.now_millis() / 1000 + skew;
        let left = claims["exp"].as_i64().unwrap() - now;
        let early = ["iat", "nbf"].iter().any(|name| claims[*name].as_i64().is_some_and(|at| at > now));
        let date = chrono::DateTime::from_timestamp(now, 0).unwrap().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let reply = if (1..=300).contains(&left) && !early {
            grant(json!({}))
        } else {
            refusal(400, "invalid_grant", "the assertion has expired or lives too long")
        };
        reply.header("Date", &date)
    });
}

#[test]
fn b07_a_server_whose_clock_is_a_minute_off_accepts_the_assertion() {
    for skew in [-60, 60] {
        let host = ready();
        strict_server(&host, skew);
        assert_eq!(get(&host, &config(), types(&[])).unwrap().status, 200);
        assert_eq!(token_requests(&host).len(), 1, "{skew}");
    }
}

#[test]
fn b07_a_clock_that_is_far_off_is_corrected_by_the_servers_date() {
    for skew in [-7200, 7200] {
        let host = ready();
        strict_server(&host, skew);
        assert_eq!(get(&host, &config(), types(&[])).unwrap().status, 200);
        assert_eq!(token_requests(&host).len(), 2, "{skew}");
    }
}

#[test]
fn b07_a_refusal_tells_both_times_when_the_clocks_differ() {
    let host = ready();
    let late = refusal(400, "invalid_grant", "").header("Date", "Fri, 02 Jan 2026 03:09:05 GMT");
    host.http.on("POST", TOKEN_URL, late);
    let text = get(&host, &config(), types(&[])).unwrap_err().to_string();
    assert!(text.contains("(2026-01-02T03:04:05Z) is 300 s behind the server's (2026-01-02T03:09:05Z)"), "{text}");
    assert_eq!(token_requests(&host).len(), 2);
}

#[test]
fn b08_scopes_are_in_the_dialect_that_the_server_lists() {
    let cases = [
        (json!({}), "system/Patient.rs"),
        (json!({"scopes_supported": ["openid", "system/*.read"]}), "system/Patient.read"),
        (json!({"scopes_supported": ["system/*.rs"]}), "system/Patient.rs"),
        (json!({"scopes_supported": ["system/*.read", "system/*.rs"]}), "system/Patient.rs"),
        (json!({"capabilities": ["permission-v1"]}), "system/Patient.read"),
        (json!({"capabilities": ["permission-v1", "permission-v2"]}), "system/Patient.rs"),
        (
            json!({"capabilities": ["permission-v2"], "scopes_supported": ["system/Patient.read"]}),
            "system/Patient.read",
        ),
    ];
    for (more, expected) in cases {
        let host = host();
        serve_configuration(&host, more.clone());
        serve_tokens(&host, 300);
        serve_fhir(&host, |_| true);
        get(&host, &config(), types(&["Patient"])).unwrap();
        assert_eq!(scopes_asked(&host), [expected], "{more}");
    }
}

/// Grants scopes that end in `.read` only.
fn v1_only(host: &Host) {
    host.http.on_call("POST", TOKEN_URL, |request| {
        let form = form(&String::from_utf8_lossy(request.body.as_deref().unwrap()));
        let scope = &form["scope"];
        if scope.contains(".rs") { refusal(400, "invalid_scope", "") } else { grant(json!({"scope": scope})) }
    });
}

#[test]
fn b08_a_server_that_refuses_one_dialect_is_asked_in_the_other_and_that_is_kept() {
    let host = ready();
    v1_only(&host);
    host.run(async {
        let client = Client::new(&host, &config(), types(&["Patient", "Encounter"])).unwrap();
        let used = client.credentials().await.unwrap();
        assert!(client.credentials_refused(&used));
        client.credentials().await.unwrap();
    });
    let (v2, v1) = ("system/Patient.rs system/Encounter.rs", "system/Patient.read system/Encounter.read");
    assert_eq!(scopes_asked(&host), [v2, v1, v1]);
}

#[test]
fn b08_a_server_that_grants_nothing_in_one_dialect_is_asked_in_the_other() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({"scope": ""})));
    host.http.on("POST", TOKEN_URL, grant(json!({"scope": "system/Patient.read"})));
    get(&host, &config(), types(&["Patient"])).unwrap();
    assert_eq!(scopes_asked(&host), ["system/Patient.rs", "system/Patient.read"]);
    assert!(host.warnings().is_empty());
}

#[test]
fn b08_types_that_the_server_does_not_list_are_left_out_only_when_it_refuses() {
    let host = host();
    serve_configuration(&host, json!({"scopes_supported": ["system/Patient.rs", "system/Condition.rs"]}));
    host.http.on("POST", TOKEN_URL, refusal(400, "invalid_scope", ""));
    host.http.on("POST", TOKEN_URL, grant(json!({})));
    serve_fhir(&host, |_| true);
    get(&host, &config(), types(&["Patient", "Specimen"])).unwrap();
    assert_eq!(scopes_asked(&host), ["system/Patient.rs system/Specimen.rs", "system/Patient.rs"]);
    assert_eq!(host.warnings(), ["scope-narrowed"]);
}

#[test]
fn b08_scopes_of_the_user_go_out_verbatim_and_once() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, refusal(400, "invalid_scope", "no such scope"));
    let scope = Some("system/Group.$export system/Patient.read".to_owned());
    let auth = AuthConfig::Smart { client_id: "client-1".to_owned(), token_url: None, scope };
    let error = get(&host, &ServerConfig { auth, ..config() }, types(&["Patient"])).unwrap_err();
    assert!(error.to_string().contains("no such scope"), "{error}");
    assert_eq!(scopes_asked(&host), ["system/Group.$export system/Patient.read"]);
}

#[test]
fn b09_scopes_are_those_of_the_types_and_group_at_group_level() {
    let cases = [
        (types(&["Patient"]), "system/Patient.rs"),
        (ScopeRequest { group: true, ..types(&["Patient"]) }, "system/Patient.rs system/Group.rs"),
        (ScopeRequest { group: true, ..types(&["Group", "Patient", "Patient"]) }, "system/Group.rs system/Patient.rs"),
        (types(&[]), "system/*.rs"),
        (ScopeRequest { group: true, ..types(&[]) }, "system/*.rs"),
    ];
    for (request, expected) in cases {
        let host = ready();
        serve_tokens(&host, 300);
        get(&host, &config(), request).unwrap();
        assert_eq!(scopes_asked(&host), [expected]);
    }
}

#[test]
fn b09_without_types_a_server_that_lists_types_is_asked_for_those() {
    let host = host();
    serve_configuration(&host, json!({"scopes_supported": ["system/Patient.read", "launch", "system/Device.read"]}));
    serve_tokens(&host, 300);
    serve_fhir(&host, |_| true);
    get(&host, &config(), types(&[])).unwrap();
    assert_eq!(scopes_asked(&host), ["system/Patient.read system/Device.read"]);
}

fn narrowed(granted: &str, asked: &[&str]) -> Option<String> {
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({"scope": granted})));
    get(&host, &config(), types(asked)).unwrap();
    host.events().into_iter().find_map(|event| match event {
        Event::Warning { code, message } if code == "scope-narrowed" => Some(message),
        _ => None,
    })
}

#[test]
fn b10_a_narrower_grant_is_a_warning_that_names_the_types() {
    let message = narrowed("system/Patient.rs", &["Patient", "Observation", "Device"]).unwrap();
    assert!(message.contains("Observation, Device"), "{message}");
    assert!(!message.contains("Patient"), "{message}");
    for short in
        ["system/Patient.rs system/Observation.r", "system/Patient.rs system/Observation.rs?category=laboratory"]
    {
        assert!(narrowed(short, &["Patient", "Observation"]).unwrap().contains("Observation"), "{short}");
    }
}

#[test]
fn b10_other_spellings_of_a_full_grant_are_no_warning() {
    let asked = ["Patient", "Observation"];
    for full in ["system/*.rs", "system/*.read", "system/Observation.cruds system/Patient.*", "system/*.*"] {
        assert_eq!(narrowed(full, &asked), None, "{full}");
    }
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({})));
    get(&host, &config(), types(&asked)).unwrap();
    assert!(host.warnings().is_empty());
}

#[test]
fn b10_the_same_narrow_grant_is_reported_once() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({"scope": "system/Patient.rs", "expires_in": 4})));
    host.run(async {
        let client = Client::new(&host, &config(), types(&["Patient", "Observation"])).unwrap();
        for _ in 0..4 {
            client.credentials().await.unwrap();
            host.clock.sleep(Duration::from_secs(10)).await;
        }
    });
    assert_eq!(token_requests(&host).len(), 4);
    assert_eq!(host.warnings(), ["scope-narrowed"]);
}

#[test]
fn b11_kick_off_status_manifests_and_delete_all_carry_the_token() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({"token_type": "BEARER"})));
    let urls = [
        (Method::Post, "https://ehr.example/x/fhir/$export"),
        (Method::Get, "https://ehr.example/x/fhir/status/1"),
        (Method::Get, "https://ehr.example/manifests/2?page=2"),
        (Method::Delete, "https://ehr.example/x/fhir/status/1"),
    ];
    host.run(async {
        let client = Client::new(&host, &config(), types(&[])).unwrap();
        for (method, url) in urls {
            client.send(Call::new("test", method, url)).await.unwrap();
        }
    });
    for (_, url) in urls {
        for request in host.http.seen_with(url) {
            assert_eq!(request.header("Authorization"), Some("Bearer granted"), "{}", request.line());
        }
    }
}

#[test]
fn b11_another_token_type_is_refused() {
    let host = ready();
    host.http.on("POST", TOKEN_URL, grant(json!({"token_type": "mac"})));
    let error = get(&host, &config(), types(&[])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(!error.to_string().contains("granted"), "{error}");
}

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
        messages.push(error.hint.unwrap());
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

#[test]
fn b04_a_second_key_of_the_same_kind_is_left_alone() {
    let mut host = ready();
    host.signer.keys = vec![key("first", "ES384"), key("second", "ES384")];
    serve_tokens(&host, 300);
    get(&host, &config(), types(&[])).unwrap();
    assert_eq!(assertion(&token_requests(&host)[0]).0["kid"], "first");
}
