//! Authorization (conformance group B). Real signatures are verified through the package (B02).

use std::time::Duration;

use serde_json::{Value, json};
use smart_fetch::ErrorKind;
use smart_fetch::auth::{ScopeRequest, public_jwks};
use smart_fetch::config::{AuthConfig, ServerConfig};
use smart_fetch::event::Event;
use smart_fetch::http::{Call, Client};
use smart_fetch::platform::{Clock, HttpErrorKind, Method};
use smart_fetch::testing::{Host, Reply};

use crate::smart_server::{
    TOKEN_URL, assertion, config, form, get, grant, host, key, refusal, serve_configuration, serve_fhir, serve_tokens,
    token_requests, types,
};

const NOW: i64 = 1_767_323_045;

/// A server with SMART configuration and FHIR behind tokens.
pub fn ready() -> Host {
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
    host.signer.keys = vec![smart_fetch::platform::SigningKey { alg: "RS384".to_owned(), ..Default::default() }];
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
    assert!(
        text.contains("(2026-01-02T03:04:05+00:00) is 300 s behind the server's (2026-01-02T03:09:05+00:00)"),
        "{text}"
    );
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
fn b04_a_second_key_of_the_same_kind_is_left_alone() {
    let mut host = ready();
    host.signer.keys = vec![key("first", "ES384"), key("second", "ES384")];
    serve_tokens(&host, 300);
    get(&host, &config(), types(&[])).unwrap();
    assert_eq!(assertion(&token_requests(&host)[0]).0["kid"], "first");
}
