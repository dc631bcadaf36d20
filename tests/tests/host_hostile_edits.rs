//! Guests that edit and then fail, wherever they do: nothing of it may reach the wire. And guests that fail when the answer is
//! there already, or when nobody waits for it any more.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawClient, RawOrigin, Request, Version,
    addons::{Hosted, Load},
    eventually,
};

/// How a hook fails after its edit.
fn failures() -> [(&'static str, Value); 6] {
    [
        ("trap", json!("trap")),
        ("panic", json!({"panic": "oh no"})),
        ("fail", json!({"fail": "no"})),
        ("spin", json!("spin")),
        ("take", json!({"take": 100 << 20})),
        ("verdict", json!({"respond": [99, [["X-Edited", "1"]], "edited"]})),
    ]
}

/// Every edit of a request, alone.
fn request_edits(elsewhere: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("set", json!({"set": ["X-Edited", "1"]})),
        ("set-known", json!({"set": ["X-Kept", "edited"]})),
        ("append", json!({"append": ["X-Edited", "1"]})),
        ("remove", json!({"remove": "X-Kept"})),
        ("flood", json!({"flood": [100, 100]})),
        ("set-body", json!({"set-body": "edited"})),
        ("fill-body", json!({"fill-body": 1 << 20})),
        ("set-method", json!({"set-method": "PUT"})),
        ("set-target", json!({"set-target": "/edited"})),
        ("set-upstream", json!({"set-upstream": elsewhere})),
        ("note", json!({"note": ["edited", "1"]})),
    ]
}

/// Every edit of a response, alone.
fn response_edits() -> Vec<(&'static str, Value)> {
    vec![
        ("set", json!({"set": ["X-Edited", "1"]})),
        ("set-known", json!({"set": ["X-Kept", "edited"]})),
        ("append", json!({"append": ["X-Edited", "1"]})),
        ("remove", json!({"remove": "X-Kept"})),
        ("set-status", json!({"set-status": 418})),
        ("set-body", json!({"set-body": "edited"})),
        ("fill-body", json!({"fill-body": 1 << 20})),
        ("note", json!({"note": ["edited", "1"]})),
    ]
}

/// A rule for each edit and failure, at the path `/EDIT-FAILURE`; and these paths.
fn rules(event: &str, edits: &[(&str, Value)]) -> (Value, Vec<String>) {
    let (mut rules, mut paths) = (Vec::new(), Vec::new());
    for (edit, editing) in edits {
        for (failure, failing) in failures() {
            let path = format!("/{edit}-{failure}");
            rules.push(json!({"on": event, "body": "full", "filter": format!("~p ^{path}$"), "do": [editing, failing]}));
            paths.push(path);
        }
    }
    (json!({"rules": rules}), paths)
}

/// An addon that shows the note which nobody may have left.
fn noting(event: &str) -> Value {
    json!({"rules": [{"on": event, "do": [{"set": ["X-Note", "{note:edited}"]}]}]})
}

/// What tells a request from another, but for its target.
fn told(request: &Request) -> (&str, &[(String, Vec<u8>)], String) {
    (&request.method, &request.fields.0, request.text())
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-Kept: kept\r\nContent-Length: 8\r\n\r\noriginal")
}

#[tokio::test]
async fn failed_request_hooks_leave_the_request_as_it_was() {
    let (origin, elsewhere) = (RawOrigin::ok().await, RawOrigin::ok().await);
    let (options, paths) = rules("request", &request_edits(&elsewhere.url()));
    let host = Hosted::before(&origin.url())
        .scripted("a", &options)
        .set("addon.a.on_error", "open")
        .set("addon.a.quarantine", "false")
        .scripted("b", &noting("request"))
        .start()
        .await;
    let mut client = RawClient::connect(host.address()).await;
    for path in ["/untouched".to_owned()].iter().chain(&paths) {
        client.send(post(path)).await;
        assert_eq!(client.response().await.text(), "ok", "{path}");
    }
    let requests = origin.requests();
    assert_eq!((requests.len(), elsewhere.connections()), (paths.len() + 1, 0));
    assert_eq!((requests[0].text().as_str(), requests[0].fields.get("x-note")), ("original", Some("none")));
    for (request, path) in requests[1..].iter().zip(&paths) {
        assert_eq!((&request.target, told(request)), (path, told(&requests[0])));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn failed_request_hooks_reach_no_origin_if_closed() {
    let (origin, elsewhere) = (RawOrigin::ok().await, RawOrigin::ok().await);
    let (options, paths) = rules("request", &request_edits(&elsewhere.url()));
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.quarantine", "false").start().await;
    let mut client = RawClient::connect(host.address()).await;
    for path in &paths {
        client.send(post(path)).await;
        let response = client.response().await;
        assert_eq!(response.json(), json!({"errcode": "M_UNKNOWN", "error": "addon a failed"}), "{path}");
        assert!(!response.fields.has("x-edited"), "{path}");
    }
    assert_eq!((origin.connections(), elsewhere.connections()), (0, 0));
}

#[tokio::test]
async fn failed_response_hooks_leave_the_response_as_it_was() {
    let origin = RawOrigin::answering("HTTP/1.1 202 Fine\r\nX-Kept: kept\r\nContent-Length: 8\r\n\r\noriginal").await;
    let (options, paths) = rules("response", &response_edits());
    for policy in ["open", "closed"] {
        let host = Hosted::before(&origin.url())
            .scripted("a", &noting("response"))
            .scripted("b", &options)
            .set("addon.b.on_error", policy)
            .set("addon.b.quarantine", "false")
            .start()
            .await;
        let mut client = RawClient::connect(host.address()).await;
        for path in &paths {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let response = client.response().await;
            assert_eq!((response.fields.get("x-note"), response.fields.get("x-edited")), (Some("none"), None), "{path}");
            let got = (response.status, response.fields.get("x-kept"), response.text());
            let error = || json!({"errcode": "M_UNKNOWN", "error": "addon b failed"}).to_string();
            match policy {
                "open" => assert_eq!(got, (202, Some("kept"), "original".to_owned()), "{path}"),
                _ => assert_eq!(got, (503, None, error()), "{path}"),
            }
        }
    }
}

#[tokio::test]
async fn edits_of_the_hook_before_stay_when_the_next_fails() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "do": [{"set": ["X-Request", "edited"]}, {"set-target": "/edited"}]},
        {"on": "response", "do": [{"set": ["X-Response", "edited"]}, "trap"]},
        {"on": "finish", "do": [{"log": "finished with {status}"}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-response")), (503, None));
    let request = origin.only_request();
    assert_eq!((request.target.as_str(), request.fields.get("x-request")), ("/edited", Some("edited")));
    // On an instance of its own, since that of the flow is gone.
    host.logged("finished with 503").await;
    host.admin().until("a", |status| status["instances_live"] == 0 && status["instances_created"] == 2).await;
    assert_eq!(host.times_logged("finished with"), 1);
}

#[tokio::test]
async fn hooks_that_fail_after_the_client_left_are_told() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/leave$", "do": [
            {"log": "began"}, {"set": ["X-Edited", "1"]}, {"note": ["edited", "1"]}, {"wait": 300}, "trap",
        ]},
        {"on": "finish", "filter": "~p ^/leave$", "do": [{"log": "finished, note {note:edited}"}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let load = Load::of_ok(host.address(), 2, "/fine");
    for number in 1..=5 {
        let mut client = RawClient::connect(host.address()).await;
        client.send("GET /leave HTTP/1.1\r\nHost: a\r\n\r\n").await;
        eventually(async || host.times_logged("began") == number).await;
        client.reset();
        eventually(async || host.times_logged("an abandoned hook failed") == number).await;
        eventually(async || host.times_logged("finished, note none") == number).await;
    }
    load.more(20).await;
    load.stop_unharmed().await;
    host.admin().until("a", |status| status["instances_live"] == 0 && status["traps"] == 5).await;
    assert!(!origin.targets().contains(&"/leave".to_owned()));
}

#[tokio::test]
async fn failures_in_finish_are_counted_and_seen_by_nobody() {
    let origin = RawOrigin::ok().await;
    let failures: Vec<_> = failures().into_iter().filter(|(name, _)| *name != "verdict").collect();
    let rules: Vec<_> = failures
        .iter()
        .map(|(name, failing)| json!({"on": "finish", "filter": format!("~p ^/{name}$"), "do": [failing]}))
        .collect();
    let host = Hosted::before(&origin.url()).scripted("a", &json!({"rules": rules})).start().await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, host.address()).await;
        for (name, _) in &failures {
            assert_eq!(client.get(&format!("/{name}")).await.text(), "ok", "{version:?} {name}");
        }
    }
    let status = host.admin().until("a", |status| status["calls"] == 10 && status["instances_live"] == 0).await;
    assert_eq!((&status["traps"], &status["errors"], &status["deadlines"]), (&json!(6), &json!(2), &json!(2)));
}

/// Bytes of a name or a value that no field may have: RFC 9110, 5.1 and 5.5.
#[tokio::test]
async fn no_byte_that_ends_a_field_gets_into_one() {
    let origin = RawOrigin::ok().await;
    let illegal = |legal: fn(char) -> bool| (0..=0x7f_u8).map(char::from).filter(move |&byte| !legal(byte));
    let names = illegal(|byte| byte.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(byte));
    let values = illegal(|byte| byte == '\t' || (' '..='~').contains(&byte));
    let mut edits: Vec<_> = names.map(|byte| json!({"append": [format!("X-{byte}A"), "1"]})).collect();
    edits.push(json!({"append": ["X-\u{80}", "1"]}));
    for value in values.map(|byte| format!("a{byte}b")) {
        edits.push(json!({"set": ["X-A", &value]}));
        edits.push(json!({"append": ["X-A", &value]}));
    }
    let mut tried: Vec<_> = edits.iter().map(|edit| json!({"try": edit})).collect();
    tried.push(json!({"log": "tried: {tried}"}));
    let host = Hosted::before(&origin.url())
        .scripted("a", &json!({"rules": [{"on": "request", "do": tried}]}))
        .set("addon.a.cpu", "10s")
        .scripted("b", &json!({"rules": [{"on": "response", "do": tried}]}))
        .set("addon.b.cpu", "10s")
        .start()
        .await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"));
    let request = origin.only_request();
    assert!(request.fields.names().all(|name| !name.to_ascii_lowercase().starts_with("x-a")), "{request:?}");
    assert!(!answer.headers.contains_key("x-a"));
    for event in ["event=request", "event=response"] {
        let line = || host.logs().lines().find(|line| line.contains(event) && line.contains("tried: ")).map(str::to_owned);
        eventually(async || line().is_some()).await;
        let line = line().expect("a line");
        assert_eq!(line.matches("not legal: ").count(), edits.len(), "{line}");
    }
}
