//! Consultations over a socket.
#![cfg(test)]

use hook_rest_service::Settings;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct Service {
    port: u16,
}

impl Service {
    async fn start(token: Option<&str>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let settings = Settings { token: token.map(str::to_owned), seed: Some(seed) };
        tokio::spawn(hook_rest_service::serve(listener, settings));
        Self { port }
    }

    /// Head and body of the answer; both are empty if the connection is closed instead.
    async fn ask_with(&self, field: &str, target: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        let length = body.len();
        let request =
            format!("POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        // A closed connection may be told by an error, too.
        let _ = stream.read_to_string(&mut answer).await;
        answer.split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned())).unwrap_or_default()
    }

    async fn ask(&self, target: &str) -> (u16, Value) {
        let (head, body) = self.ask_with("", target, r#"{"meta":{"hookId":"a"}}"#).await;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }
}

#[tokio::test]
async fn answers_are_hooks() {
    let service = Service::start(None, 0).await;
    for (target, action) in [
        ("/dump", "pass.unmodified"),
        ("/pass/unmodified", "pass.unmodified"),
        ("/pass/injectJSONIntoRequest", "pass.modifiedRequest"),
        ("/pass/injectHeadersIntoRequest", "pass.modifiedRequest"),
        ("/pass/injectJSONIntoResponse", "pass.modifiedResponse"),
        ("/pass/injectHeadersIntoResponse", "pass.modifiedResponse"),
        ("/reject/forbidden", "reject"),
        ("/respond/with-payload", "respond"),
        ("/respond/with-text", "respond"),
        ("/consult/again?url=http%3A%2F%2Fa", "consult.RESTServiceURL"),
        ("/slow?milliseconds=1", "pass.unmodified"),
    ] {
        let (status, hook) = service.ask(target).await;
        assert_eq!((status, &hook["action"], &hook["skipNextHooksInChain"]), (200, &json!(action), &Value::Null), "{target}");
        let skipping = format!("{target}{}skip=true", if target.contains('?') { "&" } else { "?" });
        assert_eq!(service.ask(&skipping).await.1["skipNextHooksInChain"], true, "{skipping}");
    }
}

#[tokio::test]
async fn failures_are_as_asked_for() {
    let service = Service::start(None, 0).await;
    for (target, expected) in [
        ("/fail/with-status?status=201", 201),
        ("/fail/with-status?status=500", 500),
        ("/fail/with-status?status=100", 400),
        ("/fail/redirect?to=http%3A%2F%2Fa%2F", 307),
        ("/fail/disconnect", 0),
        ("/slow?milliseconds=60001", 400),
        ("/reject/with-chance?percent=101", 400),
        ("/consult/again", 400),
        ("/nothing", 404),
    ] {
        assert_eq!(service.ask(target).await.0, expected, "{target}");
    }
    assert_eq!(service.ask("/fail/not-json").await, (200, Value::Null));
    assert_eq!(service.ask("/fail/empty").await, (200, Value::Null));
    assert_eq!(service.ask_with("", "/fail/huge", "").await.1.len(), 64 << 20);
}

#[tokio::test]
async fn flaky_answers_come_after_failures() {
    let service = Service::start(None, 0).await;
    for expected in [500, 500, 200, 500, 500, 200] {
        assert_eq!(service.ask("/flaky?failures=2").await.0, expected);
    }
}

#[tokio::test]
async fn chances_come_the_same_way_again() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let service = Service::start(None, 3).await;
        let mut actions = Vec::new();
        for _ in 0..30 {
            actions.push(service.ask("/reject/with-33-percent-chance").await.1["action"].clone());
        }
        assert!(actions.contains(&json!("reject")) && actions.contains(&json!("pass.unmodified")), "{actions:?}");
        runs.push(actions);
    }
    assert_eq!(runs[0], runs[1]);
    let service = Service::start(None, 3).await;
    assert_eq!(service.ask("/reject/with-chance?percent=100").await.1["action"], "reject");
    assert_eq!(service.ask("/reject/with-chance?percent=0").await.1["action"], "pass.unmodified");
}

#[tokio::test]
async fn strangers_are_refused() {
    let service = Service::start(Some("SOME_TOKEN"), 0).await;
    for (field, status) in [
        ("", "401"),
        ("Authorization: Bearer OTHER\r\n", "401"),
        ("Authorization: SOME_TOKEN\r\n", "401"),
        ("Authorization: Bearer SOME_TOKEN\r\n", "200"),
    ] {
        let (head, _) = service.ask_with(field, "/pass/unmodified", "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{field:?}: {head}");
    }
}

#[tokio::test]
async fn bodies_end_at_the_limit() {
    let service = Service::start(None, 0).await;
    for (bytes, status) in [(hook_rest_service::BODY_LIMIT, "200"), (hook_rest_service::BODY_LIMIT + 1, "413")] {
        let (head, _) = service.ask_with("", "/pass/unmodified", &"x".repeat(bytes)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {head}");
    }
}
