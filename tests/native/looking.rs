//! Looking at a folder while a job is at work in it.

use std::time::Duration;

use futures_util::future::join;
use smart_fetch::folder::view::view;
use smart_fetch::platform::Clock;
use smart_fetch::testing::Host;

#[test]
fn a_state_of_any_size_that_is_replaced_meanwhile_is_one_or_the_other() {
    let state = |pad: String| format!(r#"{{"kind":"output","complete":true,"pad":{pad}}}"#);
    let text = state(format!("\"{}\"", "a".repeat(9_000_000)));
    let list = state(format!("[{}0]", "\"b\",".repeat(3_000_000)));
    let host = Host::new();
    host.storage.put(".metadata", text.clone());
    host.storage.set_slow(host.clock.clone(), Duration::from_millis(10));
    let replaced = async {
        for n in 0..20 {
            host.clock.sleep(Duration::from_millis(7)).await;
            host.storage.put(".metadata", if n % 2 == 0 { list.clone() } else { text.clone() });
        }
    };
    let (seen, ()) = host.run(join(view(&host), replaced));
    assert!(seen.unwrap().complete);
}
