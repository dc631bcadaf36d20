//! Many who ask the same at one time.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache::Cache;
use tollgate_sdk::{
    RequestVerdict,
    serde_json::{Value, json},
    testing::{Harness, TestRequest, TestResponse},
};

use crate::common::{by, fresh, saying};

fn harness(options: Value) -> Harness<Cache> {
    Harness::configure(options).expect("options")
}

/// How many of so many flows at one time ask the upstream, which takes its time, and how many have waited for another.
fn storm(
    harness: &Harness<Cache>,
    flows: usize,
    request: impl Fn(usize) -> TestRequest + Sync,
    answer: &TestResponse,
) -> (usize, usize) {
    let (asked, collapsed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..flows {
            let (asked, collapsed, request) = (&asked, &collapsed, &request);
            scope.spawn(move || {
                let done = harness.exchange(request(number), |_| {
                    asked.fetch_add(1, SeqCst);
                    thread::sleep(Duration::from_millis(200));
                    answer.clone()
                });
                assert_eq!(done.response().text(), answer.text());
                let status = done.response().header("cache-status").unwrap_or_default();
                collapsed.fetch_add(usize::from(status.ends_with("; collapsed")), SeqCst);
            });
        }
    });
    (asked.into_inner(), collapsed.into_inner())
}

#[test]
fn one_asks_for_all() {
    let harness = harness(json!({ "lock_wait": "50s" }));
    let (asked, collapsed) = storm(&harness, 32, |_| TestRequest::get("/"), &fresh("once"));
    assert_eq!(asked, 1);
    assert!(collapsed >= 1, "{collapsed}");
}

#[test]
fn users_wait_for_themselves_alone() {
    let harness = harness(json!({ "lock_wait": "50s" }));
    let request = |number| by(if number % 2 == 0 { "a" } else { "b" });
    assert_eq!(storm(&harness, 16, request, &fresh("once")).0, 2);
}

#[test]
fn nobody_waits_for_what_is_not_kept() {
    let harness = harness(json!({ "lock_wait": "50s" }));
    let never = saying("no-store", "x");
    let _ = harness.exchange(TestRequest::get("/"), |_| never.clone());
    // All of them pass while the first is still on its way.
    let mut first = harness.flow(TestRequest::get("/"));
    assert_eq!(first.request(), Ok(RequestVerdict::Next));
    for _ in 0..4 {
        assert_eq!(harness.request(TestRequest::get("/")).verdict, Ok(RequestVerdict::Next));
    }
    // Nor for what has to be validated by each.
    let validated = || saying("max-age=0", "x").with_header("ETag", "\"a\"");
    let _ = harness.exchange(TestRequest::get("/v"), |_| validated());
    for _ in 0..4 {
        assert_eq!(harness.request(TestRequest::get("/v")).verdict, Ok(RequestVerdict::Next));
    }
}

#[test]
fn waiting_ends() {
    for wait in ["0s", "1ms"] {
        let harness = harness(json!({ "lock_wait": wait }));
        let mut first = harness.flow(TestRequest::get("/"));
        assert_eq!(first.request(), Ok(RequestVerdict::Next));
        assert_eq!(harness.request(TestRequest::get("/")).verdict, Ok(RequestVerdict::Next), "{wait}");
    }
}

/// The flow that others would wait for ends in this way; the next one asks at once, however long it would wait.
fn assert_free_after(end: impl FnOnce(&mut tollgate_sdk::testing::TestFlow<Cache>)) {
    let harness = harness(json!({ "lock_wait": "50s" }));
    let mut first = harness.flow(TestRequest::get("/"));
    assert_eq!(first.request(), Ok(RequestVerdict::Next));
    end(&mut first);
    let begun = Instant::now();
    let mut second = harness.flow(TestRequest::get("/"));
    assert_eq!(second.request(), Ok(RequestVerdict::Next));
    // Whoever waits in vain waits for all of it.
    assert!(begun.elapsed() < Duration::from_secs(45));
    // It has the lock now, as locks of flows that are over are given back once.
    let _ = first.finish(None);
    assert_eq!(second.response(fresh("x")), Ok(tollgate_sdk::ResponseVerdict::Next));
    assert!(matches!(harness.request(TestRequest::get("/")).verdict, Ok(RequestVerdict::Respond(_))));
}

#[test]
fn lost_flows_hold_up_nobody() {
    use tollgate_sdk::{FailureKind, Origin, UpstreamFailure};
    assert_free_after(|flow| assert_eq!(flow.finish(None), Ok(())));
    assert_free_after(|flow| {
        let failure = UpstreamFailure { kind: FailureKind::Timeout, message: "late".to_owned() };
        assert_eq!(flow.upstream_error(&failure), Ok(None));
    });
    assert_free_after(|flow| assert!(flow.response(TestResponse::new(500)).is_ok()));
    assert_free_after(|flow| assert!(flow.response(TestResponse { origin: Origin::Core, ..TestResponse::new(503) }).is_ok()));
}
