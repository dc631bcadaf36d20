//! Chunk hooks that fail in the middle of a body.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Client, Echo, Frame, FrameOrigin, RawClient, RawOrigin, Version,
    addons::{Hosted, Load},
    eventually,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Pieces that arrive one by one: the origin waits for nothing, and each is in a packet of its own often enough.
async fn origin() -> RawOrigin {
    RawOrigin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")
        .await
}

fn rules(event: &str, actions: &Value) -> Value {
    json!({"rules": [{"on": event, "do": actions}, {"on": "finish", "do": [{"log": "finished {status} {complete} {error}"}]}]})
}

async fn failing(origin: &RawOrigin, event: &str, actions: &Value, policy: &str) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &rules(event, actions)).set("addon.a.on_error", policy).start().await
}

/// Every way to fail that a piece can meet.
fn failures() -> Vec<Value> {
    vec![json!("trap"), json!({"panic": "oh"}), json!({"fail": "no"}), json!("spin"), json!({"piece": {"fill": 11 << 20}})]
}

#[tokio::test]
async fn a_closed_failure_breaks_the_response_off() {
    let origin = origin().await;
    for failure in failures() {
        let actions = json!([{"piece": {"last": [failure]}}]);
        let host = failing(&origin, "response-chunk", &actions, "closed").await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(GET).await;
        // What went before arrives; the end, which would say that all is well, does not.
        assert_eq!(client.response_head().await.status, 200);
        let mut body = Vec::new();
        let broken = loop {
            match client.piece().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken, "{failure}");
        assert!("onetwothree".as_bytes().starts_with(&body), "{failure}");
        eventually(async || host.times_logged("finished 200 false addon a failed") == 1).await;
        let mut client = Client::connect(Version::Http2, host.address()).await;
        assert!(client.try_ask(http::Request::get("/").body(tollgate_tests::empty()).expect("a request")).await.is_err());
    }
}

#[tokio::test]
async fn a_closed_failure_of_an_upload_is_answered_503() {
    let origin = RawOrigin::ok().await;
    for failure in failures() {
        let host = failing(&origin, "request-chunk", &json!([failure]), "closed").await;
        for version in Version::BOTH {
            let request = http::Request::post("/").body(tollgate_tests::full("hello")).expect("a request");
            let answer = Client::connect(version, host.address()).await.ask(request).await;
            assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (503, Some("addon a failed")), "{failure}");
        }
        eventually(async || host.times_logged("finished 503 true none") == 2).await;
    }
    // Nothing that looks like a whole request came through.
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn the_answer_to_a_failed_upload_passes_the_response_hooks_before_it() {
    let origin = RawOrigin::ok().await;
    let marking = json!({"rules": [{"on": "response", "do": [{"set": ["X-Origin", "{origin}"]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &marking)
        .scripted("b", &rules("request-chunk", &json!(["trap"])))
        .set("listener.main.addons", "[\"a\", \"b\"]")
        .start()
        .await;
    let answer = host.post("/", "x").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-origin")), (503, Some("core")));
}

#[tokio::test]
async fn an_open_failure_lets_the_rest_pass_unseen() {
    let origin = origin().await;
    for failure in failures() {
        let host = failing(&origin, "response-chunk", &json!([failure]), "open").await;
        let answer = RawClient::ask(host.address(), GET).await;
        assert_eq!(answer.text(), "onetwothree", "{failure}");
        eventually(async || host.times_logged("finished 200 true none") == 1).await;
    }
    let origin = RawOrigin::ok().await;
    for failure in failures() {
        let host = failing(&origin, "request-chunk", &json!([failure]), "open").await;
        assert_eq!(host.post("/", "hello").await.status, 200, "{failure}");
        assert_eq!(origin.requests().pop().expect("a request").text(), "hello", "{failure}");
    }
}

#[tokio::test]
async fn an_open_failure_after_a_change_is_closed() {
    let origin = origin().await;
    // Held back and lost with the instance: the rest alone would be another body.
    for change in ["hold", "upper", "discard"] {
        let actions = json!([{"piece": change}, {"piece": {"last": ["trap"]}}]);
        let host = failing(&origin, "response-chunk", &actions, "open").await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(GET).await;
        assert!(client.try_response("GET").await.is_err(), "{change}");
    }
}

#[tokio::test]
async fn replacements_keep_to_the_body_budget() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.").await;
    for (bytes, is_whole) in [(999, true), (1_000, true), (1_001, false)] {
        let host = Hosted::before(&origin.url())
            .scripted("a", &rules("response-chunk", &json!([{"piece": {"fill": bytes}}])))
            .set("addon.a.max_body", 1_000)
            .start()
            .await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(GET).await;
        let answer = client.try_response("GET").await;
        assert_eq!(answer.is_ok_and(|answer| answer.body.len() == bytes), is_whole, "{bytes}");
    }
}

#[tokio::test]
async fn a_spinning_chunk_hook_harms_no_other_flow() {
    let origin = origin().await;
    let script = json!({"rules": [{"on": "response-chunk", "filter": "~p ^/spin$", "do": ["spin"]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let load = Load::of_ok(host.address(), 4, "/");
    for _ in 0..5 {
        let mut client = RawClient::connect(host.address()).await;
        client.send("GET /spin HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.try_response("GET").await.is_err());
    }
    load.more(50).await;
    load.stop_unharmed().await;
    assert_eq!(host.admin().status("a").await["deadlines"], 5);
    eventually(async || host.admin().status("a").await["instances_live"] == 0).await;
}

/// An origin that answers before it has read the request, and keeps the connection.
async fn hasty(answer: &'static str) -> RawOrigin {
    RawOrigin::start(move |mut conversation| async move {
        while let Some(request) = conversation.head().await {
            let _ = conversation.send(answer).await;
            let _ = conversation.rest(request).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_early_answer_is_no_failure() {
    for answer in ["HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"] {
        let origin = hasty(answer).await;
        let script = json!({"rules": [
            {"on": "request-chunk", "do": [{"wait": 300}]},
            {"on": "response", "body": "full", "do": [{"set": ["X-Seen", "1"]}]},
        ]});
        let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
        let seen = host.post("/", "hello").await;
        assert_eq!((seen.status.as_u16(), seen.header("x-seen")), (401, Some("1")), "{answer}");
        assert_eq!(host.admin().status("a").await["traps"], 0);
    }
}

/// Nobody wants the rest of the request then, but the hook that decides about a piece of it comes to its end, and the flow goes
/// on with the same instance.
#[tokio::test]
async fn an_upload_that_is_not_wanted_any_more_is_no_failure() {
    let (begun, begins) = tokio::sync::watch::channel(false);
    let origin = RawOrigin::start(move |conversation| {
        let mut begins = begins.clone();
        async move {
            let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
            while let Some(stream) = origin.request().await {
                // Not before the hook is at work.
                let _ = begins.wait_for(|begins| *begins).await;
                let no_error = Frame::new(3, 0, stream, bytes::Bytes::from_static(&[0; 4]));
                origin.send(&[Frame::headers(stream, &[(":status", b"401")], true), no_error]).await;
            }
        }
    })
    .await;
    let script = json!({"rules": [
        {"on": "request-chunk", "do": [{"log": "begun"}, {"wait": 500}, {"log": "decided"}]},
        {"on": "response", "do": [{"set": ["X-Seen", "1"]}]},
    ]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &script)
        .set("addon.a.on_error", "open")
        .set("listener.main.upstream_protocol", "h2")
        .start()
        .await;
    let (seen, ()) = tokio::join!(host.post("/", "hello"), async {
        host.logged("begun").await;
        begun.send_replace(true);
    });
    assert_eq!((seen.status.as_u16(), seen.header("x-seen")), (401, Some("1")));
    host.logged("decided").await;
    let status = host.admin().status("a").await;
    assert_eq!((&status["instances_created"], &status["traps"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_closed_failure_after_an_early_answer_is_no_success() {
    let origin = hasty("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let failing = rules("request-chunk", &json!([{"wait": 200}, "trap"]));
    let slow = json!({"rules": [{"on": "response", "do": [{"wait": 1_000}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &failing)
        .scripted("b", &slow)
        .set("listener.main.addons", "[\"a\", \"b\"]")
        .start()
        .await;
    let answer = host.post("/", "hello").await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (503, Some("addon a failed")));
}

#[tokio::test]
async fn a_closed_failure_is_no_failure_of_an_http2_upstream() {
    let origin = Echo::http2().await;
    let script = rules("request-chunk", &json!([{"piece": {"last": ["trap"]}}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("listener.main.upstream_protocol", "h2").start().await;
    for version in Version::BOTH {
        let request = http::Request::post("/").body(tollgate_tests::full("hello")).expect("a request");
        let answer = Client::connect(version, host.address()).await.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (503, Some("addon a failed")), "{version:?}");
    }
}
