//! The fakes themselves.

use std::time::Duration;

use smart_fetch::platform::{Clock, FileWriter, Http, Platform, Request, Storage, WriteMode};
use smart_fetch::testing::{Host, Reply};

#[test]
fn a_wait_of_a_day_takes_no_time() {
    let host = Host::new();
    let before = host.clock.now_millis();
    host.run(host.clock().sleep(Duration::from_secs(86_400)));
    assert_eq!(host.clock.now_millis() - before, 86_400_000);
}

#[test]
fn replies_come_in_order_and_the_last_one_stays() {
    let host = Host::new();
    host.http.on("GET", "/a", Reply::new(500)).on("GET", "/a", Reply::new(200));
    let ask = || host.run(async { host.http().send(Request::get("http://x/a")).await.unwrap().status });
    assert_eq!([ask(), ask(), ask()], [500, 200, 200]);
}

#[test]
fn a_kill_in_a_write_leaves_half_of_it() {
    let host = Host::new();
    host.storage.kill_at(2);
    let job = async {
        let mut file = host.storage().open("f", WriteMode::Create).await.unwrap();
        file.write(b"12345678").await.unwrap();
    };
    assert!(host.run_until_killed(job).is_none());
    assert_eq!(host.storage.text("f").unwrap(), "1234");
    let again = host.restarted();
    assert!(again.run(async { again.storage().stat("f").await.unwrap() }).is_some());
}
