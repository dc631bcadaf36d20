//! The addon `dedup` on the wire: streams over WebSocket and server-sent events, and where they come from.
#![cfg(test)]

#[path = "dedup_streams/endings.rs"]
mod endings;
#[path = "dedup_streams/events.rs"]
mod events;
#[path = "dedup_streams/redirects.rs"]
mod redirects;
#[path = "dedup_streams/relay.rs"]
mod relay;
#[path = "dedup_streams/sockets.rs"]
mod sockets;
#[path = "dedup_streams/tokens.rs"]
mod tokens;

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin, SocketClient, SocketEnd,
    addons::{Hosted, HostedBuilder, bundled},
};

const HOME: &str = "/api/v1/timelines/home";
const STREAMING: &str = "/api/v1/streaming?stream=user";
const ADA: (&str, &str) = ("Authorization", "Bearer ada-token");
const TEXT: u8 = 0x81;

/// What is answered to a target: media type and body; none: 404.
type Served = Option<(&'static str, String)>;

/// A server with these documents, whose WebSockets send what the client sends.
async fn mastodon(serve: impl Fn(&str) -> Served + Send + Sync + Clone + 'static) -> RawOrigin {
    RawOrigin::start(move |mut conversation| {
        let serve = serve.clone();
        async move {
            while let Some(request) = conversation.request().await {
                if request.fields.get("upgrade").is_some() {
                    return SocketEnd::accept(conversation, request, "").await.echo().await;
                }
                let (status, (kind, body)) = match serve(&request.target) {
                    Some(served) => ("200 OK", served),
                    None => ("404 Not Found", ("application/json", r#"{"error":"Record not found"}"#.to_owned())),
                };
                let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
                if conversation.send(format!("{head}{body}")).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// A page of these items.
fn page(items: &[Value]) -> Served {
    Some(("application/json; charset=utf-8", Value::from(items).to_string()))
}

/// The document that says where streams are.
fn instance(url: &str) -> Served {
    Some(("application/json", json!({"configuration": {"urls": {"streaming": url}}}).to_string()))
}

/// The host of `http://host:port` as a URL of streams.
fn ws(url: &str) -> String {
    url.replacen("http", "ws", 1)
}

fn hosted(origin: &RawOrigin, options: &Value) -> HostedBuilder {
    Hosted::before(&origin.url()).guest("dedup", &bundled("dedup"), options).set("addon.dedup.kv", true)
}

fn post(id: &str, name: &str) -> Value {
    json!({"id": id, "uri": format!("https://posts.test/{name}"), "content": "1e3 \u{e9}", "reblog": null})
}

fn boost(id: &str, of: &Value) -> Value {
    json!({"id": id, "uri": format!("https://posts.test/boost/{id}"), "reblog": of})
}

/// A message as the streaming server sends it.
fn message(stream: &[&str], event: &str, status: &Value) -> String {
    json!({"stream": stream, "event": event, "payload": status.to_string()}).to_string()
}

async fn open(host: &Hosted, target: &str, fields: &str) -> SocketClient {
    let client = SocketClient::offer(host.address(), target, fields).await;
    assert_eq!(client.response.status, 101, "{}", client.response.text());
    client
}

/// A stream of Ada's.
async fn stream(host: &Hosted) -> SocketClient {
    open(host, STREAMING, "Authorization: Bearer ada-token\r\n").await
}

/// Whether this message of the server reaches the client, and nothing else does; byte for byte.
async fn arrives(client: &mut SocketClient, message: impl AsRef<[u8]>) -> bool {
    const AFTER: &str = r#"{"event":"after"}"#;
    client.send(TEXT, message.as_ref()).await;
    client.send(TEXT, AFTER).await;
    let frame = client.frame().await;
    assert_eq!(frame.first, TEXT);
    if frame.payload == AFTER.as_bytes() {
        return false;
    }
    assert_eq!(frame.payload, message.as_ref(), "{}", String::from_utf8_lossy(&frame.payload));
    assert_eq!(client.frame().await.shown().1, AFTER);
    true
}

async fn shown(host: &Hosted, target: &str) -> Vec<String> {
    let answer = host.ask("GET", target, &[ADA]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().expect("an array").iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}
