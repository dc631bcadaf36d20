//! The addon `callback` as complement-crypto tests it: client and other at one homeserver, options for the time of a test.
#![cfg(test)]

use std::{collections::HashMap, sync::Arc};

use http::Request;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tollgate_tests::{
    Answer, Client, RawOrigin, Version,
    addons::{CallbackServer, Called, Hosted, Reply},
    full,
};

const CLIENT: &str = "syt_Y2xpZW50_a";
const OTHER: &str = "syt_b3RoZXI_b";
const CAPABILITIES: &str = "/_matrix/client/v3/capabilities";
const ACCOUNT_DATA: &str = "/_matrix/client/v3/user/@client:hs1/account_data/test";

struct Stage {
    homeserver: RawOrigin,
    server: CallbackServer,
    host: Hosted,
}

/// Keeps what is put, and tells what it can.
async fn homeserver() -> RawOrigin {
    let kept = Arc::new(Mutex::new(HashMap::from([(CAPABILITIES.to_owned(), br#"{"capabilities":{"m.a":1.10}}"#.to_vec())])));
    RawOrigin::start(move |mut conversation| {
        let kept = Arc::clone(&kept);
        async move {
            while let Some(request) = conversation.request().await {
                let (status, body) = if request.method == "PUT" {
                    kept.lock().insert(request.target, request.body);
                    (200, b"{}".to_vec())
                } else {
                    let found = kept.lock().get(&request.target).cloned();
                    found.map_or_else(|| (404, br#"{"errcode":"M_NOT_FOUND"}"#.to_vec()), |body| (200, body))
                };
                let fields =
                    "Content-Type: application/json\r\naccess-control-allow-origin: *\r\nSet-Cookie: a=1\r\nX-Own: 1\r\n";
                let head = format!("HTTP/1.1 {status} Answer\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
                if conversation.send([head.as_bytes(), &body].concat()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

impl Stage {
    async fn new(answer: impl Fn(&Called) -> Reply + Send + Sync + 'static) -> Self {
        let homeserver = homeserver().await;
        let host = Hosted::with_callback(&homeserver.url()).start().await;
        Self { homeserver, server: CallbackServer::start(answer).await, host }
    }

    async fn answering(value: Value) -> Self {
        Self::new(move |_| Reply::json(&value)).await
    }

    /// With the response callback.
    async fn lock(&self, filter: Value) {
        self.host.lock(&json!({ "callback_response_url": self.server.at("/response"), "filter": filter })).await;
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "GET", path, "").await
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: &'static str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let request = request.body(full(body)).expect("a request");
        Client::connect(Version::Http1, self.host.address()).await.ask(request).await
    }

    /// The client's request was the only one that was told.
    #[track_caller]
    fn assert_told(&self) {
        let expected = json!({
            "method": "GET", "access_token": CLIENT, "url": format!("{}{CAPABILITIES}", self.homeserver.url()),
            "response_code": 200, "request_body": null, "response_body": {"capabilities": {"m.a": 1.10}},
        });
        assert_eq!(self.server.told("/response"), [expected]);
        assert_eq!(self.server.calls()[0].content_type, "application/json");
    }
}

#[tokio::test]
async fn works() {
    let stage = Stage::answering(json!({})).await;
    stage.lock(Value::Null).await;
    let answer = stage.get(CLIENT, CAPABILITIES).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, r#"{"capabilities":{"m.a":1.10}}"#));
    stage.host.unlock().await;
    assert_eq!(stage.get(CLIENT, CAPABILITIES).await.status, 200);
    stage.assert_told();
}

#[tokio::test]
async fn can_be_filtered_by_path() {
    let stage = Stage::answering(json!({})).await;
    stage.lock(json!("~u capabilities")).await;
    stage.get(CLIENT, CAPABILITIES).await;
    stage.get(CLIENT, ACCOUNT_DATA).await;
    stage.assert_told();
}

#[tokio::test]
async fn can_be_filtered_by_method() {
    let stage = Stage::answering(json!({})).await;
    stage.lock(json!("~m GET")).await;
    stage.get(CLIENT, CAPABILITIES).await;
    stage.ask(CLIENT, "PUT", ACCOUNT_DATA, "{}").await;
    stage.assert_told();
}

#[tokio::test]
async fn can_be_filtered_by_token() {
    let stage = Stage::answering(json!({})).await;
    stage.lock(json!(format!("~hq {CLIENT}"))).await;
    stage.get(CLIENT, CAPABILITIES).await;
    stage.get(OTHER, CAPABILITIES).await;
    stage.assert_told();
}

#[tokio::test]
async fn can_be_filtered_by_a_combination() {
    let stage = Stage::answering(json!({})).await;
    // As the helper of the suite writes it.
    stage.lock(json!(format!(" ~u .*capabilities.* ~m GET ~hq {CLIENT}"))).await;
    stage.get(CLIENT, CAPABILITIES).await;
    stage.get(OTHER, CAPABILITIES).await;
    stage.get(CLIENT, ACCOUNT_DATA).await;
    stage.ask(CLIENT, "PUT", ACCOUNT_DATA, "{}").await;
    stage.assert_told();
}

#[tokio::test]
async fn held_responses_hold_up_no_others() {
    let stage = Arc::new(
        Stage::new(|called| {
            let is_slow = called.told["url"].as_str().is_some_and(|url| url.ends_with("capabilities"));
            if is_slow { Reply::nothing().held() } else { Reply::nothing() }
        })
        .await,
    );
    stage.lock(json!(format!("~hq {CLIENT}"))).await;
    let asking = Arc::clone(&stage);
    let slow = tokio::spawn(async move { asking.get(CLIENT, CAPABILITIES).await });
    tollgate_tests::eventually(async || stage.server.calls().len() == 1).await;
    assert_eq!(stage.get(CLIENT, ACCOUNT_DATA).await.status, 404);
    assert!(!slow.is_finished() && stage.server.calls().len() == 2);
    stage.server.release();
    assert_eq!(slow.await.expect("an answer").status, 200);
}

#[tokio::test]
async fn can_modify_the_code_alone() {
    let stage = Stage::answering(json!({"respond_status_code": 404})).await;
    stage.lock(json!(format!("~hq {CLIENT}"))).await;
    let answer = stage.get(CLIENT, CAPABILITIES).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (404, r#"{"capabilities":{"m.a":1.10}}"#));
    assert_eq!((answer.header("set-cookie"), answer.header("x-own")), (Some("a=1"), Some("1")));
}

#[tokio::test]
async fn can_modify_the_body_alone() {
    let stage = Stage::answering(json!({"respond_body": {"foo": "bar"}})).await;
    stage.lock(json!(format!("~hq {CLIENT}"))).await;
    let answer = stage.get(CLIENT, CAPABILITIES).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"foo": "bar"})));
    let fields = ["content-type", "content-length", "access-control-allow-origin", "set-cookie", "x-own"];
    let expected = ["application/json", "13", "*", "a=1", "1"];
    assert_eq!(fields.map(|name| answer.header(name)), expected.map(Some));
    assert_eq!(stage.get(OTHER, CAPABILITIES).await.text(), r#"{"capabilities":{"m.a":1.10}}"#);
}

#[tokio::test]
async fn can_modify_both() {
    let stage = Stage::answering(json!({"respond_status_code": 403, "respond_body": {"foo": "bar"}})).await;
    stage.lock(json!(format!("~hq {CLIENT}"))).await;
    let answer = stage.get(CLIENT, CAPABILITIES).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (403, json!({"foo": "bar"})));
}

#[tokio::test]
async fn can_block_requests() {
    let stage = Stage::new(|called| match called.path.as_str() {
        "/request" => Reply::json(&json!({"respond_status_code": 200, "respond_body": {"yep": "ok"}})),
        _ => Reply::nothing(),
    })
    .await;
    let urls = [stage.server.at("/request"), stage.server.at("/response")];
    let options = json!({"callback_request_url": urls[0], "callback_response_url": urls[1], "filter": "~m PUT"});
    stage.host.lock(&options).await;
    let answer = stage.ask(CLIENT, "PUT", ACCOUNT_DATA, r#"{"a":1}"#).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"yep": "ok"})));
    stage.host.unlock().await;
    assert_eq!(stage.get(CLIENT, ACCOUNT_DATA).await.status, 404);
    assert_eq!(stage.homeserver.requests().len(), 1);
    let (asked, made) = (&stage.server.told("/request")[0], &stage.server.told("/response")[0]);
    assert_eq!((&asked["request_body"], asked.get("response_code")), (&json!({"a": 1}), None));
    assert_eq!((&made["response_code"], &made["response_body"]), (&json!(200), &json!({"yep": "ok"})));
}
