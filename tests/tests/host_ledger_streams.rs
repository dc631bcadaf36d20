//! What addons did to bodies that stream: trailers, and uploads that go on when the response is over.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{Client, Frame, FrameOrigin, RawClient, RawOrigin, Version, addons::Hosted, channel, eventually, full};

/// What a finish hook says in the log.
const TELLING: &str = "mutations of {target}: {mutations} (all).";

/// The only flow that the admin listener tells of.
async fn only_flow(host: &Hosted) -> Value {
    let mut flows = Vec::new();
    eventually(async || {
        flows = host.admin().get("/flows").await.json()["flows"].as_array().expect("flows").clone();
        flows.len() == 1
    })
    .await;
    flows.swap_remove(0)
}

/// Doubles each piece of an upload.
fn doubling() -> Value {
    json!({"rules": [
        {"on": "request-chunk", "do": [{"log": "piece {data}"}, {"piece": "double"}]},
        {"on": "finish", "do": [{"log": TELLING}]},
    ]})
}

fn streamed(bytes_in: u64, bytes_out: u64) -> Value {
    let change = json!({"change": "streamed", "message": "request", "bytes_in": bytes_in, "bytes_out": bytes_out});
    json!([{"addon": "a", "event": "request-chunk", "changes": [change]}])
}

#[tokio::test]
async fn edits_of_trailers_are_told_by_name() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: secret\r\nX-Same: 1\r\n\r\n",
    )
    .await;
    let last = |sum: &str| {
        json!([{"piece": {"last": [
            {"piece": {"trailer": ["X-Sum", sum]}}, {"piece": {"trailer": ["X-New", "secret"]}}, {"piece": {"trailer": ["X-Same", "1"]}},
        ]}}])
    };
    let script = json!({"rules": [
        {"on": "request-chunk", "do": last("secret too")},
        {"on": "response-chunk", "do": last("another secret")},
        {"on": "finish", "do": [{"log": TELLING}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: secret\r\nX-Same: 1\r\n\r\n")
        .await;
    assert_eq!(client.response().await.trailers.get("x-sum"), Some("another secret"));
    host.logged(
        "mutations of /: a request-chunk: headers Request +x-new ~x-sum - 0; \
         a response-chunk: headers Response +x-new ~x-sum - 0+0 (all).",
    )
    .await;
    let flow = only_flow(&host).await;
    let changes = |message: &str| {
        let change = json!({
            "change": "headers", "message": message, "added": ["x-new"], "changed": ["x-sum"], "removed": [], "left_out": 0,
        });
        json!({"addon": "a", "event": format!("{message}-chunk"), "changes": [change]})
    };
    assert_eq!(flow["mutations"], json!([changes("request"), changes("response")]));
    assert!(!flow.to_string().contains("secret"), "{flow:#}");
}

#[tokio::test]
async fn trailers_of_failed_hooks_are_not_told() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "request-chunk", "do": [{"piece": {"trailer": ["X-New", "1"]}}, "trap"]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.on_error", "open").start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(only_flow(&host).await["mutations"], json!([]));
}

/// The answer comes after a piece of the request, and with its end nobody wants the rest.
#[tokio::test]
async fn uploads_that_are_given_up_are_told() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while conversation.head().await.is_some() {
            let _ = conversation.piece().await;
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            conversation.take_all().await;
        }
    })
    .await;
    for version in Version::BOTH {
        let host = Hosted::before(&origin.url()).scripted("a", &doubling()).set("log.level", "debug").start().await;
        let (sender, body) = channel();
        let mut client = Client::connect(version, host.address()).await;
        let answer = client.start(http::Request::post("/up").body(body).expect("a request"));
        let answer = tokio::spawn(answer);
        assert!(sender.send("hello").await);
        let answer = tollgate_tests::Answer::read(answer.await.expect("a task").expect("a response")).await;
        assert_eq!(answer.expect("an answer").text(), "ok", "{version:?}");
        let flow = only_flow(&host).await;
        assert_eq!((&flow["mutations"], &flow["status"]), (&streamed(5, 10), &json!(200)), "{version:?}");
        host.logged("mutations of /up: a request-chunk: streamed Request 5>10+0 (all).").await;
        host.logged("flow.mutations=a:request-chunk:streamed").await;
        drop(sender);
    }
}

/// The response is over, and the upload goes on: the flow is over when both are.
#[tokio::test]
async fn uploads_that_outlive_the_response_are_told_whole() {
    let origin = RawOrigin::start(|conversation| async move {
        let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
        while let Some(stream) = origin.request().await {
            origin.send(&[Frame::headers(stream, &[(":status", b"200")], false), Frame::data(stream, "ok", true)]).await;
        }
    })
    .await;
    let host =
        Hosted::before(&origin.url()).scripted("a", &doubling()).set("listener.main.upstream_protocol", "h2").start().await;
    let (sender, body) = channel();
    let mut client = Client::connect(Version::Http2, host.address()).await;
    let answer = tokio::spawn(client.start(http::Request::post("/up").body(body).expect("a request")));
    assert!(sender.send("hello").await);
    let answer = tollgate_tests::Answer::read(answer.await.expect("a task").expect("a response")).await;
    assert_eq!(answer.expect("an answer").text(), "ok");
    host.logged("piece hello").await;
    assert!(sender.send("again").await);
    host.logged("piece again").await;
    // It has not ended: neither the admin listener nor the addon is told of an end.
    assert_eq!(host.admin().get("/flows").await.json()["flows"], json!([]));
    assert_eq!(host.times_logged("mutations of"), 0);
    drop(sender);
    let flow = only_flow(&host).await;
    assert_eq!((&flow["mutations"], &flow["request_bytes"]), (&streamed(10, 20), &json!(10)));
    host.logged("mutations of /up: a request-chunk: streamed Request 10>20+0 (all).").await;
    assert_eq!(host.times_logged("mutations of"), 1);
    // Others of the connection are not held up.
    let answer = client.ask(http::Request::post("/other").body(full("x")).expect("a request")).await;
    assert_eq!(answer.status, 200);
}
