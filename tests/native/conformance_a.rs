//! Discovery and capability (conformance group A): A01 to A04. The others are with what they concern.

use serde_json::json;
use smart_fetch::config::{AuthConfig, ServerConfig};
use smart_fetch::http::Client;
use smart_fetch::platform::HttpErrorKind;
use smart_fetch::testing::{Host, Reply};
use smart_fetch::{Error, ErrorKind};

use crate::smart_server::{
    BASE, TOKEN_URL, assertion, config, get, host, key, serve_configuration, serve_fhir, serve_tokens, token_requests,
    types,
};

fn with_bearer(fhir_url: &str, allow_insecure: bool) -> ServerConfig {
    let auth = AuthConfig::Bearer { token: "canary-token".to_owned() };
    ServerConfig { fhir_url: fhir_url.to_owned(), auth, allow_insecure, ..ServerConfig::default() }
}

fn refused(config: &ServerConfig) -> Error {
    Client::new(&Host::new(), config, types(&[])).err().unwrap()
}

#[test]
fn a01_credentials_over_plain_http_need_the_flag_that_the_error_names() {
    let error = refused(&with_bearer("http://ehr.example/fhir", false));
    assert_eq!(error.kind, ErrorKind::Insecure);
    assert!(error.to_string().contains("--allow-insecure"), "{error}");
    let host = Host::new();
    for fine in [
        "http://localhost:8080/fhir",
        "http://127.0.0.1:8080/fhir",
        "http://[::1]:8080/fhir",
        "https://ehr.example/fhir",
    ] {
        assert!(Client::new(&host, &with_bearer(fine, false), types(&[])).is_ok(), "{fine}");
    }
    assert!(Client::new(&host, &with_bearer("http://ehr.example/fhir", true), types(&[])).is_ok());
    let open = ServerConfig { fhir_url: "http://ehr.example/fhir".to_owned(), ..ServerConfig::default() };
    assert!(Client::new(&host, &open, types(&[])).is_ok());
    let header = ServerConfig { headers: vec![("X-Api-Key".into(), "canary".into())], ..open };
    assert_eq!(refused(&header).kind, ErrorKind::Insecure);
}

#[test]
fn a01_names_that_only_look_like_loopback_are_not() {
    for odd in ["http://localhost.evil.example/fhir", "http://127.0.0.1.evil.example/fhir", "http://127.1/fhir"] {
        assert_eq!(refused(&with_bearer(odd, false)).kind, ErrorKind::Insecure, "{odd}");
    }
}

#[test]
fn a01_a_bad_certificate_fails_at_once_and_names_the_cure() {
    let host = Host::new();
    host.http.on("GET", BASE, Reply::error(HttpErrorKind::Tls));
    let error = get(&host, &with_bearer(BASE, false), types(&[])).unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::Network, false));
    assert!(error.to_string().contains("NODE_EXTRA_CA_CERTS"), "{error}");
    assert_eq!(host.http.seen().len(), 1);
}

#[test]
fn a01_no_assertion_goes_to_a_plain_http_token_endpoint() {
    for configured in [false, true] {
        let host = host();
        let mut config = config();
        if configured {
            config.auth = AuthConfig::Smart {
                client_id: "client-1".to_owned(),
                token_url: Some("http://ehr.example/auth/token".to_owned()),
                scope: None,
            };
        } else {
            serve_configuration(&host, json!({"token_endpoint": "http://ehr.example/auth/token"}));
        }
        let error = get(&host, &config, types(&[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Insecure);
        assert!(error.to_string().contains("--allow-insecure"), "{error}");
        assert!(host.http.seen_with("POST").is_empty());
    }
}

#[test]
fn a02_the_smart_configuration_is_asked_once_below_the_base_path() {
    for slash in ["", "/", "//"] {
        let host = host();
        serve_configuration(&host, json!({}));
        serve_tokens(&host, 300);
        serve_fhir(&host, |_| true);
        let config = ServerConfig { fhir_url: format!("{BASE}{slash}"), ..config() };
        assert_eq!(get(&host, &config, types(&[])).unwrap().status, 200);
        let lines: Vec<String> = host.http.seen_with("GET ").iter().map(|s| s.line()).collect();
        let well_known = format!("GET {BASE}/.well-known/smart-configuration");
        assert_eq!(lines, [well_known, format!("GET {BASE}/Patient")]);
        let asked = &host.http.seen()[0];
        assert_eq!(asked.header("Accept"), Some("application/json"));
        assert_eq!(asked.header("Authorization"), None);
    }
}

fn serve_metadata(host: &Host) {
    let uris = json!([
        {"url": "authorize", "valueUri": "https://ehr.example/auth/authorize"},
        {"url": "token", "valueUri": TOKEN_URL},
    ]);
    let url = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris";
    let security = json!({"extension": [{"url": url, "extension": uris}]});
    let metadata = json!({"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "security": security}]});
    host.http.on("GET", &format!("{BASE}/metadata"), Reply::json(200, &metadata.to_string()));
}

#[test]
fn a03_without_a_smart_configuration_the_metadata_tells_the_token_endpoint() {
    let answers = [
        Reply::new(404),
        Reply::bytes(200, "text/html", "<html>Log in</html>"),
        Reply::json(200, "{}"),
        Reply::new(500),
        Reply::error(HttpErrorKind::Blocked),
    ];
    for answer in answers {
        let host = host();
        host.http.on("GET", &format!("{BASE}/.well-known/"), answer);
        serve_metadata(&host);
        serve_tokens(&host, 300);
        let tokens = serve_fhir(&host, |_| true);
        assert_eq!(get(&host, &config(), types(&[])).unwrap().status, 200);
        assert_eq!(*tokens.borrow(), ["Bearer token-1"]);
    }
}

#[test]
fn a03_a_configured_token_url_needs_no_discovery() {
    let host = host();
    serve_tokens(&host, 300);
    serve_fhir(&host, |_| true);
    let auth =
        AuthConfig::Smart { client_id: "client-1".to_owned(), token_url: Some(TOKEN_URL.to_owned()), scope: None };
    assert_eq!(get(&host, &ServerConfig { auth, ..config() }, types(&[])).unwrap().status, 200);
    assert_eq!(host.http.seen().len(), 2);
}

#[test]
fn a03_no_token_endpoint_at_all_is_an_error_that_says_where_it_was_sought() {
    let host = host();
    let error = get(&host, &config(), types(&[])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    let text = error.to_string();
    for part in [".well-known/smart-configuration answered 404", "/metadata answered 404", "--token-url"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a03_a_server_that_is_not_there_is_reported_within_seconds() {
    let host = host();
    host.http.on("GET", BASE, Reply::error(HttpErrorKind::Connect));
    let start = host.clock_millis();
    let error = get(&host, &config(), types(&[])).unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::Network, true));
    assert!(error.to_string().contains("No answer from https://ehr.example/x/fhir/"), "{error}");
    assert!(host.clock_millis() - start < 10_000);
}

#[test]
fn a04_the_key_is_one_whose_algorithm_the_server_lists() {
    let cases = [
        (json!({"token_endpoint_auth_signing_alg_values_supported": ["ES384"]}), "ES384"),
        (json!({"token_endpoint_auth_signing_alg_values_supported": ["ES384", "RS384"]}), "RS384"),
        (json!({"token_endpoint_auth_signing_alg_values_supported": ["PS512"]}), "RS384"),
        (json!({}), "RS384"),
    ];
    for (more, expected) in cases {
        let mut host = host();
        host.signer.keys = vec![key("rsa-key", "RS384"), key("ec-key", "ES384")];
        serve_configuration(&host, more);
        serve_tokens(&host, 300);
        serve_fhir(&host, |_| true);
        get(&host, &config(), types(&[])).unwrap();
        let (header, _, signature) = assertion(&token_requests(&host)[0]);
        assert_eq!(header["alg"], expected);
        let kid = if expected == "ES384" { "ec-key" } else { "rsa-key" };
        assert_eq!(header["kid"], kid);
        assert_eq!(signature, format!("signed by {kid}").as_bytes());
    }
}

#[test]
fn a04_what_the_configuration_does_not_list_is_said_when_the_server_refuses() {
    let host = host();
    serve_configuration(
        &host,
        json!({
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384"],
        }),
    );
    host.http.on("POST", TOKEN_URL, crate::smart_server::refusal(401, "invalid_client", "unknown"));
    let text = get(&host, &config(), types(&[])).unwrap_err().to_string();
    assert!(text.contains("does not list private_key_jwt"), "{text}");
    assert!(text.contains("lists only RS384"), "{text}");
}

#[test]
fn a04_without_a_key_nothing_is_asked_of_the_token_endpoint() {
    let host = Host::new();
    serve_configuration(&host, json!({}));
    let error = get(&host, &config(), types(&[])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Usage);
    assert!(error.to_string().contains("--smart-key"), "{error}");
}
