//! What addons did to a flow: who is told, what is told, and what never is.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawClient, RawOrigin,
    addons::{Hosted, HostedBuilder, sha256},
    eventually,
};

/// What a finish hook says in the log.
const TELLING: &str = "mutations of {target}: {mutations} (all).";

/// A guest with these rules, and a rule that tells of mutations at the end.
fn telling(rules: &Value) -> Value {
    let mut rules = rules.as_array().expect("rules").clone();
    rules.push(json!({"on": "finish", "do": [{"log": TELLING}]}));
    json!({"rules": rules})
}

/// What `finish` was told about the flow with this path.
async fn told(host: &Hosted, path: &str) -> String {
    let start = format!("mutations of {path}: ");
    host.logged(&start).await;
    let logs = host.logs();
    let (_, rest) = logs.split_once(&start).expect("told");
    rest.split_once(" (all).").expect("an end").0.to_owned()
}

/// The newest flow that the admin listener tells of, once there are so many.
async fn newest(host: &Hosted, count: usize) -> Value {
    flows(host, "/flows", count).await.swap_remove(0)
}

/// The flows at this page, once there are so many.
async fn flows(host: &Hosted, page: &str, count: usize) -> Vec<Value> {
    let mut flows = Vec::new();
    eventually(async || {
        let answer = host.admin().get(page).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        flows = answer.json()["flows"].as_array().expect("flows").clone();
        flows.len() == count
    })
    .await;
    flows
}

fn before(origin: &RawOrigin) -> HostedBuilder {
    Hosted::before(&origin.url())
}

#[tokio::test]
async fn request_edits_are_told() {
    let origin = RawOrigin::ok().await;
    let other = RawOrigin::ok().await;
    let options = telling(&json!([{"on": "request", "do": [
        {"set": ["X-New", "secret-value"]}, {"set": ["X-Old", "secret-value"]}, {"remove": "X-Gone"}, {"set": ["X-Same", "same"]},
        {"set-method": "PUT"}, {"set-target": "/there?secret-query"}, {"set-upstream": other.url()},
        {"note": ["key", "secret-value"]},
    ]}]));
    let host = before(&origin).scripted("a", &options).start().await;
    let fields = [("X-Old", "old"), ("X-Gone", "gone"), ("X-Same", "same"), ("X-Untouched", "1")];
    assert_eq!(host.ask("GET", "/here?secret", &fields).await.status, 200);
    let expected = format!(
        "a request: method GET>PUT, target /here>/there true, upstream {}>{}, headers Request +x-new ~x-old -x-gone 0, notes key 0+0",
        origin.url(),
        other.url()
    );
    assert_eq!(told(&host, "/there?secret-query").await, expected);
    let flow = newest(&host, 1).await;
    assert_eq!((&flow["method"], &flow["path"], &flow["status"]), (&json!("PUT"), &json!("/there"), &json!(200)));
    assert_eq!(
        flow["mutations"],
        json!([{"addon": "a", "event": "request", "changes": [
            {"change": "method", "before": "GET", "after": "PUT"},
            {"change": "target", "before": "/here", "after": "/there", "is_query_changed": true},
            {"change": "upstream", "before": origin.url(), "after": other.url()},
            {"change": "headers", "message": "request", "added": ["x-new"], "changed": ["x-old"], "removed": ["x-gone"], "left_out": 0},
            {"change": "notes", "keys": ["key"], "left_out": 0},
        ]}])
    );
    let page = host.admin().get("/flows").await.text();
    assert!(!page.contains("secret"), "{page}");
}

#[tokio::test]
async fn query_edits_are_told_without_query() {
    let origin = RawOrigin::ok().await;
    let options = telling(&json!([{"on": "request", "do": [{"set-target": "/here?other"}]}]));
    let host = before(&origin).scripted("a", &options).start().await;
    host.get("/here?one").await;
    assert_eq!(told(&host, "/here?other").await, "a request: target /here>/here true+0");
}

#[tokio::test]
async fn body_edits_are_told_by_hash() {
    let origin = RawOrigin::ok().await;
    let options = telling(&json!([
        {"on": "request", "body": "full", "do": [{"set-body": "edited request"}]},
        {"on": "response", "body": "full", "do": [{"set-body": "edited response"}]},
    ]));
    let host = before(&origin).scripted("a", &options).start().await;
    host.post("/", "request").await;
    let hash = |text: &str| format!("{}:{}", text.len(), sha256(text.as_bytes()));
    let expected = format!(
        "a request: body Request {}>{}; a response: body Response {}>{}+0",
        hash("request"),
        hash("edited request"),
        hash("ok"),
        hash("edited response")
    );
    assert_eq!(told(&host, "/").await, expected);
    let flow = newest(&host, 1).await;
    let change = &flow["mutations"][0]["changes"][0];
    assert_eq!(change["before"], json!({"bytes": 7, "sha256": sha256(b"request")}));
    assert_eq!(change["after"], json!({"bytes": 14, "sha256": sha256(b"edited request")}));
}

#[tokio::test]
async fn large_bodies_are_hashed_aside() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "body": "full", "do": [{"fill-body": 3_000_000}]}]});
    let host = before(&origin).scripted("a", &options).start().await;
    let sent = vec![b'a'; 2_000_000];
    host.post("/", sent.clone()).await;
    let flow = newest(&host, 1).await;
    let change = &flow["mutations"][0]["changes"][0];
    assert_eq!(change["before"], json!({"bytes": 2_000_000, "sha256": sha256(&sent)}));
    assert_eq!(change["after"], json!({"bytes": 3_000_000, "sha256": sha256(&vec![b'b'; 3_000_000])}));
}

#[tokio::test]
async fn unseen_bodies_are_unknown() {
    let origin = RawOrigin::ok().await;
    let options = telling(&json!([{"on": "response", "do": [{"set-body": "new"}]}]));
    let host = before(&origin).scripted("a", &options).start().await;
    host.get("/").await;
    assert_eq!(told(&host, "/").await, format!("a response: body Response unknown>3:{}+0", sha256(b"new")));
}

#[tokio::test]
async fn chains_are_told_in_order() {
    let origin = RawOrigin::ok().await;
    let editing = |name: &str| {
        json!([
            {"on": "request", "do": [{"set": [format!("X-{name}"), "1"]}]},
            {"on": "response", "do": [{"set": [format!("X-{name}"), "1"]}, {"set-status": 201}]},
        ])
    };
    let host =
        before(&origin).scripted("a", &telling(&editing("a"))).scripted("b", &json!({"rules": editing("b")})).start().await;
    assert_eq!(host.get("/").await.status, 201);
    // The second status is the first one's.
    let expected = "a request: headers Request +x-a ~ - 0; b request: headers Request +x-b ~ - 0; \
        b response: status 200>201, headers Response +x-b ~ - 0; a response: headers Response +x-a ~ - 0+0";
    assert_eq!(told(&host, "/").await, expected);
}

#[tokio::test]
async fn verdicts_are_told() {
    let origin = RawOrigin::ok().await;
    let options = telling(&json!([
        {"on": "request", "filter": "~p ^/respond", "do": [{"set": ["X-A", "1"]}, {"respond": [202, [], "made"]}]},
        {"on": "request", "filter": "~p ^/refuse", "do": [{"refuse": [403, "M_FORBIDDEN", "no"]}]},
        {"on": "request", "filter": "~p ^/drop", "do": ["drop"]},
        {"on": "request", "filter": "~p ^/nowhere", "do": [{"set-upstream": "http://127.0.0.1:1"}]},
        {"on": "response", "filter": "~p ^/replace", "do": [{"respond": [203, [], "other"]}]},
        {"on": "upstream-error", "filter": "~p ^/nowhere", "do": [{"respond": [200, [], "instead"]}]},
    ]));
    let host = before(&origin).scripted("a", &options).start().await;
    for (path, expected) in [
        ("/respond", "a request: headers Request +x-a ~ - 0, answered 202+0".to_owned()),
        ("/refuse", "a request: answered 403+0".to_owned()),
        ("/drop", "a request: dropped+0".to_owned()),
        ("/replace", "a response: answered 203+0".to_owned()),
        ("/nowhere", format!("a request: upstream {}>http://127.0.0.1:1; a upstream-error: answered 200+0", origin.url())),
        ("/nothing", "+0".to_owned()),
    ] {
        let mut client = RawClient::connect(host.address()).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        client.read_to_end().await;
        assert_eq!(told(&host, path).await, expected, "{path}");
    }
    let flows = flows(&host, "/flows", 6).await;
    let sources: Vec<&Value> = flows.iter().rev().map(|flow| &flow["source"]).collect();
    assert_eq!(json!(sources), json!(["addon", "addon", null, "addon", "addon", "upstream"]));
    assert_eq!((&flows[5]["source_addon"], &flows[3]["error"]), (&json!("a"), &json!("dropped by addon a")));
}

#[tokio::test]
async fn streamed_bodies_are_told_by_size() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "response-chunk", "filter": "~p ^/replaced", "do": [{"piece": {"fill": 6}}]},
        {"on": "response-chunk", "filter": "~p ^/passed", "do": []},
    ]});
    let host = before(&origin).scripted("a", &options).start().await;
    host.get("/passed").await;
    host.get("/replaced").await;
    let flows = flows(&host, "/flows", 2).await;
    assert_eq!(flows[1]["mutations"], json!([]));
    let change = json!({"change": "streamed", "message": "response", "bytes_in": 2, "bytes_out": 6});
    assert_eq!(flows[0]["mutations"], json!([{"addon": "a", "event": "response-chunk", "changes": [change]}]));
}

#[tokio::test]
async fn failed_hooks_are_not_told() {
    let origin = RawOrigin::ok().await;
    let editing =
        |end: Value| json!({"rules": [{"on": "request", "body": "full", "do": [{"set": ["X-A", "1"]}, {"set-body": "b"}, end]}]});
    let host = before(&origin)
        .scripted("fails", &editing(json!({"fail": "no"})))
        .scripted("impossible", &editing(json!({"respond": [99, [], ""]})))
        .scripted("looks", &telling(&json!([])))
        .scripted("traps", &editing(json!("trap")))
        .set("addon.fails.on_error", "open")
        .set("addon.impossible.on_error", "open")
        .set("addon.traps.on_error", "open")
        .start()
        .await;
    assert_eq!(host.post("/", "body").await.status, 200);
    assert_eq!(told(&host, "/").await, "+0");
    assert_eq!(newest(&host, 1).await["mutations"], json!([]));
    assert_eq!(origin.only_request().text(), "body");
}

#[tokio::test]
async fn logs_tell_in_short() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "body": "full", "do": [{"set": ["X-A", "secret-value"]}, {"set-body": "secret-body"}]},
        {"on": "response", "do": [{"set-status": 404}]},
    ]});
    let host = before(&origin).scripted("a", &options).set("log.level", "debug").start().await;
    host.post("/path?secret-query", "secret-before").await;
    host.logged("flow ended").await;
    let logs = host.logs();
    let line = logs.lines().find(|line| line.contains("flow ended")).expect("a line");
    assert!(line.contains("a:request:headers,body;a:response:status"), "{line}");
    assert!(!logs.contains("secret"), "{logs}");
}

#[tokio::test]
async fn names_are_bounded() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"flood": [100, 1]}]}]});
    let host = before(&origin).scripted("a", &options).start().await;
    host.get(&format!("/{}", "p".repeat(300))).await;
    let flow = newest(&host, 1).await;
    let change = &flow["mutations"][0]["changes"][0];
    assert_eq!((change["added"].as_array().map(Vec::len), &change["left_out"]), (Some(64), &json!(36)));
    assert_eq!(flow["path"].as_str().map(str::len), Some(256));
}

#[tokio::test]
async fn recent_flows_are_newest_first_and_bounded() {
    let origin = RawOrigin::ok().await;
    let host = before(&origin).set("admin.recent_flows", 3).start().await;
    for number in 1..=5 {
        host.get(&format!("/{number}?secret")).await;
        // Each has ended before the next begins.
        let wanted = format!("/{number}");
        eventually(async || newest(&host, number.min(3)).await["path"] == wanted.as_str()).await;
    }
    let paths =
        |flows: &[Value]| flows.iter().map(|flow| flow["path"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    assert_eq!(paths(&flows(&host, "/flows", 3).await), ["/5", "/4", "/3"]);
    assert_eq!(paths(&flows(&host, "/flows?limit=2", 2).await), ["/5", "/4"]);
    let flow = newest(&host, 3).await;
    assert_eq!(
        (&flow["listener"], &flow["source"], &flow["response_bytes"], &flow["error"]),
        (&json!("main"), &json!("upstream"), &json!(2), &json!(null))
    );
    let one = host.admin().get(&format!("/flows/{}", flow["id"])).await;
    assert_eq!(one.json(), flow);
    for (page, status) in [
        ("/flows/999999", 404),
        ("/flows/x", 404),
        ("/flows?limit=0", 400),
        ("/flows?limit=10001", 400),
        ("/flows?limit=x", 400),
        ("/flows?since=1", 400),
    ] {
        let answer = host.admin().get(page).await;
        assert_eq!(answer.status, status, "{page}");
        assert!(answer.json()["error"].is_string(), "{page}");
    }
    assert_eq!(host.admin().send(http::Method::POST, "/flows", "").await.status, 405);
}

#[tokio::test]
async fn no_flows_are_remembered_if_unwanted() {
    let origin = RawOrigin::ok().await;
    let host = before(&origin).set("admin.recent_flows", 0).start().await;
    host.get("/").await;
    let answer = host.admin().get("/flows").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("admin.recent_flows is 0"), "{}", answer.text());
}
