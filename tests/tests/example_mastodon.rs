//! The example for Mastodon: its configuration as it is, before its server.
#![cfg(test)]

use futures_util::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use tollgate_tests::{Answer, Client, Tollgate, Version, addons::Fediverse, empty, full, within};

const HOME: &str = "/api/v1/timelines/home";

async fn ask(address: std::net::SocketAddr, method: &str, target: &str, who: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(target).header("authorization", format!("Bearer {who}-token"));
    let request = request.header("content-type", "application/json");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = Client::connect(Version::Http1, address).await.ask(request.body(full(body)).expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

async fn shown(tollgate: &Tollgate, target: &str) -> Answer {
    ask(tollgate.address_of(Fediverse::LISTENER), "GET", target, "ida", &Value::Null).await
}

fn uris(page: &Answer) -> Vec<String> {
    let all = page.json();
    let of = |status: &Value| {
        let uri = status["reblog"]["uri"].as_str().or(status["uri"].as_str());
        uri.expect("a URI").to_owned()
    };
    all.as_array().expect("a page").iter().map(of).collect()
}

#[tokio::test]
async fn repeats_are_gone_and_stay_gone_after_a_restart() {
    let server = Fediverse::start().await;
    let mut tollgate = server.proxy(0).start().await;
    let address = tollgate.address_of(Fediverse::LISTENER);
    let raw = uris(&ask(server.address(), "GET", HOME, "ida", &Value::Null).await);
    let first = shown(&tollgate, HOME).await;
    assert_eq!(first.header("x-tollgate-dedup"), Some("kept=14 dropped=6"));
    let mut expected: Vec<String> = Vec::new();
    for uri in raw {
        if !expected.contains(&uri) {
            expected.push(uri);
        }
    }
    assert_eq!(uris(&first), expected);
    let next = format!("<http://{address}{HOME}?max_id=113>; rel=\"next\"");
    assert!(first.header("link").is_some_and(|link| link.starts_with(&next)), "{:?}", first.header("link"));
    tollgate.terminate();
    assert!(tollgate.ended().await.success());

    let boost = ask(server.address(), "POST", "/api/v1/statuses/132/reblog", "mio", &Value::Null).await.json();
    let tollgate = server.proxy(0).start().await;
    let again = shown(&tollgate, HOME).await;
    assert_eq!(uris(&again), expected[..expected.len() - 1], "all but the one that is on the next page now");
    assert!(!again.text().contains(boost["id"].as_str().expect("an id")));
}

#[tokio::test]
async fn streams_are_where_the_instance_says() {
    let server = Fediverse::start().await;
    let tollgate = server.proxy(0).start().await;
    let address = tollgate.address_of(Fediverse::LISTENER);
    let instance = shown(&tollgate, "/api/v2/instance").await.json();
    let url = instance["configuration"]["urls"]["streaming"].as_str().expect("a URL").to_owned();
    assert_eq!(url, format!("ws://{address}"));
    assert_eq!(shown(&tollgate, "/api/v1/instance").await.json()["urls"]["streaming_api"], url);
    shown(&tollgate, HOME).await;

    let mut request = format!("{url}/api/v1/streaming?stream=user").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", "ida-token".parse().expect("a value"));
    let (mut socket, _) = within(connect_async(request)).await.expect("a handshake");
    let events = Request::get("/api/v1/streaming/user").header("authorization", "Bearer ida-token");
    let mut client = Client::connect(Version::Http1, address).await;
    let mut events = client.open(events.body(empty()).expect("a request")).await.expect("a stream").into_body();

    // 125 was shown, its boost is a repeat; Ida is told of it, and of what comes after.
    ask(server.address(), "POST", "/api/v1/statuses/125/reblog", "mio", &Value::Null).await;
    let post = ask(server.address(), "POST", "/api/v1/statuses", "aron", &json!({"status": "Fog."})).await.json();
    let id = post["id"].as_str().expect("an id");
    ask(server.address(), "DELETE", &format!("/api/v1/statuses/{id}"), "aron", &Value::Null).await;

    let mut heard = Vec::new();
    while heard.last().is_none_or(|event| event != "delete") {
        let message = within(socket.next()).await.expect("a message").expect("a sound one");
        if let Message::Text(text) = message {
            let message: Value = serde_json::from_str(&text).expect("JSON");
            heard.push(message["event"].as_str().expect("an event").to_owned());
        }
    }
    assert_eq!(heard, ["notification", "update", "delete"]);

    let mut text = String::new();
    while !text.contains("event: delete\n") {
        let frame = within(events.frame()).await.expect("more of it").expect("a sound piece");
        text += &String::from_utf8_lossy(frame.data_ref().map_or(&[][..], |data| data));
    }
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert!(text.starts_with(":)\n"), "{text}");
    // What the socket showed first is the same entry here.
    assert_eq!(names, ["notification", "update", "delete"]);
}

#[tokio::test]
async fn public_names_are_those_of_the_configuration() {
    let server = Fediverse::start().await;
    let name = "\"https://fedi.example\"";
    let tollgate = server.proxy(0).set("listener.mastodon.public_url", name).start().await;
    let instance = shown(&tollgate, "/api/v2/instance").await.json();
    assert_eq!(instance["configuration"]["urls"]["streaming"], "wss://fedi.example");
    let page = shown(&tollgate, &format!("{HOME}?limit=1")).await;
    let link = page.header("link").expect("a link");
    assert!(link.starts_with("<https://fedi.example/api/v1/timelines/home?limit=1&max_id=132>"), "{link}");
}
