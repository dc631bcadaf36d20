//! The addon `callback` when its server, or the upstream, is not there or not well; and errors without any server.
#![cfg(test)]

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{CallbackServer, Hosted, Reply, Service, bundled},
};

/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

async fn status(host: &Hosted) -> u16 {
    host.get("/").await.status.as_u16()
}

#[tokio::test]
async fn without_an_upstream_callbacks_still_work() {
    let server = CallbackServer::start(|called| match called.path.as_str() {
        "/request" => Reply::json(&json!({"respond_status_code": 200, "respond_body": {"up": true}})),
        _ => Reply::nothing(),
    })
    .await;
    let host = Hosted::with_callback(NOBODY).start().await;
    host.lock(&json!({"callback_response_url": server.at("/response")})).await;
    assert_eq!(status(&host).await, 502);
    let told = &server.told("/response")[0];
    assert_eq!((&told["response_code"], &told["url"]), (&json!(502), &json!(format!("{NOBODY}/"))));
    assert_eq!(told["response_body"]["errcode"], "M_UNKNOWN", "{told}");
    host.lock(&json!({"callback_request_url": server.at("/request")})).await;
    assert_eq!(host.get("/").await.json(), json!({"up": true}));
}

#[tokio::test]
async fn failures_pass_or_are_502() {
    let origin = RawOrigin::ok().await;
    let text = CallbackServer::start(|_| Reply::typed("text/plain", "{}")).await;
    let number = CallbackServer::answering(json!({"respond_status_code": 99})).await;
    let host = Hosted::with_callback(&origin.url()).start().await;
    for (url, why) in [
        (format!("{NOBODY}/hunter2"), "no connection: http://127.0.0.1:1"),
        (text.at("/"), "the answer is not of type application/json"),
        (number.at("/"), "respond_status_code is 99, must be 200 to 599"),
    ] {
        for phase in ["request", "response"] {
            let key = format!("callback_{phase}_url");
            let before = host.times_logged(why);
            host.lock(&json!({&key: url})).await;
            assert_eq!(host.get("/").await.text(), "ok");
            assert_eq!(host.times_logged(why), before + 1, "{}", host.logs());
            host.lock(&json!({&key: url, "on_callback_error": "fail"})).await;
            let answer = host.get("/").await;
            assert_eq!((answer.status.as_u16(), &answer.json()["errcode"]), (502, &json!("M_UNKNOWN")));
            let error = answer.json()["error"].to_string();
            assert!(error.contains(&format!("{phase} callback failed: {why}")), "{error}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
    assert!(!host.logs().contains("hunter2"));
    // The addon itself did well, whatever the server did.
    for counter in ["errors", "traps", "impossible_verdicts"] {
        assert_eq!(host.admin().counter("callback", counter).await, 0, "{counter}");
    }
}

#[tokio::test]
async fn late_answers_count_as_none() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    for path in ["/silent", "/stuck"] {
        let options = json!({"callback_request_url": service.at(path), "timeout": 0.3});
        host.lock(&options).await;
        assert_eq!(host.get("/").await.text(), "ok");
    }
    assert_eq!(host.times_logged("no response within the timeout"), 2, "{}", host.logs());
}

#[tokio::test]
async fn redirects_to_granted_servers_are_followed() {
    let origin = RawOrigin::ok().await;
    let (service, server) = (Service::start().await, CallbackServer::answering(json!({"respond_status_code": 418})).await);
    let granted = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let grants = json!([granted(&service.at("/")), granted(&server.at("/"))]);
    let host = Hosted::with_callback(&origin.url()).set("addon.callback.http", &grants).start().await;
    let redirecting = |to: &str| json!({"callback_request_url": service.at(&format!("/redirect/307?{to}"))});
    host.lock(&redirecting(&server.at("/request"))).await;
    assert_eq!(status(&host).await, 418);
    let told = &server.told("/request")[0];
    assert_eq!((&told["method"], &told["url"]), (&json!("GET"), &json!(format!("{}/", origin.url()))));
    let other = CallbackServer::answering(json!({"respond_status_code": 418})).await;
    host.lock(&redirecting(&other.at("/request"))).await;
    assert_eq!(status(&host).await, 200);
    assert_eq!((other.calls().len(), host.times_logged("denied: ")), (0, 1), "{}", host.logs());
}

#[tokio::test]
async fn wrong_options_are_refused_with_a_reason() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::with_callback(&origin.url()).start().await;
    for (options, status, why) in [
        (json!({"callback_request_url": null}), 400, "callback_request_url"),
        (json!({"callback_response_url": 5}), 400, "callback_response_url"),
        (json!({"callback_request_url": "http://127.0.0.1:99999/x"}), 400, "a port from 1 to 65535"),
        (json!({"callback_request_url": "http://127.0.0.1:0/"}), 400, "a port from 1 to 65535"),
        (json!({"callback_response_url": "http://[::1/"}), 400, "in brackets is no IPv6 address"),
        (json!({"callback_response_url": "http://exa mple/"}), 400, "no white space"),
        (json!({"callback_response_url": "http://a:b:c/"}), 400, "a port from 1 to 65535"),
        (json!({"timeout": 51}), 400, "`wall`"),
        (json!({"callback_request_url": "http://a", "filter": 5}), 400, "filter"),
        (json!({"callback_request_url": "http://a", "filter": "~u ("}), 400, "at position 3"),
        (json!({"callback_response_url": "http://a", "filter": "~nothing"}), 400, "at position 0"),
        (json!({"send_error": {"status": 504}, "filter": "~m GET &"}), 400, "at position"),
    ] {
        let answer = host.admin().put_options("callback", &options).await;
        assert_eq!(answer.status, status, "{options}: {}", answer.text());
        assert!(answer.text().contains(why), "{options}: {}", answer.text());
    }
    assert_eq!(host.get("/").await.text(), "ok");
}

/// How many of so many flows at once were answered 504.
async fn failed(host: &Hosted, flows: usize) -> usize {
    let mut tasks = JoinSet::new();
    for number in 0..flows {
        tasks.spawn(Client::fetch(Version::BOTH[number % 2], host.address(), "/"));
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 504 || answer.text() == "ok"));
    answers.iter().filter(|answer| answer.status == 504).count()
}

#[tokio::test]
async fn exactly_so_many_flows_get_errors() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::with_callback(&origin.url()).scripted("other", &json!({})).start().await;
    let locked = |phase: &str| json!({"send_error": {"count": 7, "status": 504, "phase": phase}});
    for phase in ["request", "response"] {
        host.lock(&locked(phase)).await;
        assert_eq!((failed(&host, 40).await, failed(&host, 5).await), (7, 0), "{phase}");
        // What happens to others is no new lock.
        assert_eq!(host.admin().reload("other").await.status, 200);
        assert_eq!(failed(&host, 5).await, 0, "{phase}");
        host.unlock().await;
        host.lock(&locked(phase)).await;
        assert_eq!(failed(&host, 40).await, 7, "{phase}: each lock counts anew");
        host.unlock().await;
        assert_eq!(failed(&host, 5).await, 0, "{phase}");
    }
}

#[tokio::test]
async fn a_reload_counts_on() {
    let origin = RawOrigin::ok().await;
    let options = json!({"send_error": {"count": 3, "status": 504}});
    let host = Hosted::with_callback(&origin.url()).start().await;
    let changed = rebuilt_bundled();
    assert_eq!(host.admin().put_options("callback", &options).await.status, 200);
    assert_eq!(status(&host).await, 504);
    host.lock(&options).await;
    for _ in 0..2 {
        assert_eq!(status(&host).await, 504);
        assert_eq!(host.admin().reload("callback").await.status, 200);
    }
    host.drop_in("callback", &changed);
    host.admin().in_force("callback", &changed).await;
    assert_eq!([status(&host).await, status(&host).await], [504, 200]);
    // What was put before the lock is counted on, too, though the code is new.
    host.unlock().await;
    assert_eq!([status(&host).await, status(&host).await, status(&host).await], [504, 504, 200]);
    assert_eq!(host.admin().put_options("callback", &options).await.status, 200);
    assert_eq!(failed(&host, 10).await, 3, "each change of options counts anew");
}

/// The addon as another build of it: with a section of a name and nothing else.
fn rebuilt_bundled() -> Vec<u8> {
    let mut component = bundled("callback");
    component.extend([0, 3, 1, b'a', b'z']);
    component
}

#[tokio::test]
async fn errors_are_for_flows_that_match() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::with_callback(&origin.url()).start().await;
    host.lock(&json!({"send_error": {"count": 2, "status": 504}, "filter": "~m POST ~u keys/query"})).await;
    assert_eq!(host.get("/keys/query").await.text(), "ok");
    for expected in [504, 504, 200] {
        assert_eq!(host.post("/keys/query", "{}").await.status, expected);
        assert_eq!(host.post("/keys/claim", "{}").await.text(), "ok");
    }
}

#[tokio::test]
async fn errors_need_a_store_to_be_counted() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::with_callback(&origin.url()).set("addon.callback.kv", false).start().await;
    host.lock(&json!({"send_error": {"count": 1, "status": 504}})).await;
    assert_eq!(status(&host).await, 503);
    assert_eq!(host.times_logged("it needs `kv = true`"), 1, "{}", host.logs());
    host.lock(&json!({"send_error": {"status": 504}})).await;
    assert_eq!(status(&host).await, 504);
}

#[tokio::test]
async fn ungranted_servers_are_told_of() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = Hosted::with_callback(&origin.url()).set("addon.callback.http", "[]").start().await;
    host.lock(&json!({"callback_request_url": server.at("/"), "on_callback_error": "fail"})).await;
    let answer: Value = host.get("/").await.json();
    assert!(answer["error"].to_string().contains("request callback failed: denied: http://127.0.0.1:"), "{answer}");
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn so_many_callbacks_are_under_way() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::start(|_| Reply::nothing().held()).await);
    let host = Hosted::with_callback(&origin.url()).set("addon.callback.calls", 1).start().await;
    host.lock(&json!({"callback_request_url": server.at("/"), "on_callback_error": "fail"})).await;
    let held = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/"));
    tollgate_tests::eventually(async || server.calls().len() == 1).await;
    let answer = host.get("/").await;
    assert!(answer.status == 502 && answer.text().contains("`calls`"), "{}", answer.text());
    server.release();
    assert_eq!(held.await.expect("a flow").text(), "ok");
}
