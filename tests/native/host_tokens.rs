//! Tokens that the program around the core gives when asked.

use std::time::Duration;

use smart_fetch::ErrorKind;
use smart_fetch::config::{AuthConfig, ServerConfig};
use smart_fetch::http::{Call, Client};
use smart_fetch::platform::{Clock, HostToken};
use smart_fetch::testing::Host;

use crate::smart_server::{BASE, config, get, host, serve_fhir, types};

/// A server whose tokens come from the host, and a host that gives these, in turn.
fn given(tokens: &[(&str, Option<u64>)]) -> (Host, ServerConfig) {
    let host = host();
    let tokens = tokens.iter().map(|(token, life)| HostToken { token: (*token).to_owned(), life_millis: *life });
    host.signer.tokens.borrow_mut().extend(tokens);
    (host, ServerConfig { auth: AuthConfig::Host { source: 0 }, ..config() })
}

#[test]
fn a_token_is_asked_for_once_and_again_when_it_is_refused() {
    let (host, config) = given(&[("first", None), ("second", None)]);
    let seen = serve_fhir(&host, |token| token != "Bearer first");
    host.run(async {
        let client = Client::new(&host, &config, types(&[])).unwrap();
        for _ in 0..3 {
            assert_eq!(client.send(Call::get("test", format!("{BASE}/Patient"))).await.unwrap().status, 200);
        }
    });
    assert_eq!(*seen.borrow(), ["Bearer first", "Bearer second", "Bearer second", "Bearer second"]);
}

#[test]
fn a_token_is_asked_for_shortly_before_the_one_at_hand_expires() {
    let (host, config) = given(&[("a", Some(10_000)), ("b", Some(10_000)), ("c", Some(10_000))]);
    let seen = serve_fhir(&host, |_| true);
    host.run(async {
        let client = Client::new(&host, &config, types(&[])).unwrap();
        for _ in 0..20 {
            client.send(Call::get("test", format!("{BASE}/Patient"))).await.unwrap();
            host.clock.sleep(Duration::from_secs(1)).await;
        }
    });
    let used = |token: &str| seen.borrow().iter().filter(|one| *one == token).count();
    assert_eq!([used("Bearer a"), used("Bearer b"), used("Bearer c")], [8, 8, 4]);
}

#[test]
fn many_requests_at_once_ask_for_one_token() {
    let (host, config) = given(&[("only", None)]);
    host.run(async {
        let client = Client::new(&host, &config, types(&[])).unwrap();
        let all = futures_util::future::join_all((0..30).map(|_| client.credentials())).await;
        assert!(all.into_iter().all(|headers| headers.unwrap()[0].1 == "Bearer only"));
    });
}

#[test]
fn a_function_that_fails_or_gives_nonsense_is_an_error_without_the_token() {
    for (tokens, said) in [(vec![], "failed: the session has ended."), (vec![("not\na token", None)], "gave none")] {
        let (host, config) = given(&tokens);
        let error = get(&host, &config, types(&[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Auth);
        assert!(error.message.contains(said), "{}", error.message);
        assert!(!format!("{error:?}").contains("a token"), "{error:?}");
        assert!(host.http.seen().is_empty(), "nothing is sent without it");
    }
}
