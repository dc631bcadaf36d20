//! A Mastodon server for native tests: its shapes, and invented people.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    reason = "helpers of tests, not all used by each; json! reads better without &"
)]

use dedup::Dedup;
use tollgate_sdk::{
    SseEvent, SseVerdict, WebsocketKind, WebsocketMessage, WebsocketVerdict,
    serde_json::{Value, json},
    testing::{Harness, TestFlow, TestRequest, TestResponse},
};

pub(crate) const HOME: &str = "/api/v1/timelines/home";
pub(crate) const ADA: &str = "Bearer ada-token";
pub(crate) const BOB: &str = "Bearer bob-token";

/// The addon with these options.
pub(crate) fn harness(options: Value) -> Harness<Dedup> {
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A post of this id on this server, which is what it is known by everywhere.
pub(crate) fn post(id: &str, name: &str) -> Value {
    json!({
        "id": id,
        "created_at": "2025-01-02T03:04:05.678Z",
        "in_reply_to_id": null,
        "in_reply_to_account_id": null,
        "sensitive": false,
        "spoiler_text": "",
        "visibility": "public",
        "language": "en",
        "uri": uri(name),
        "url": format!("https://posts.test/@grace/{name}"),
        "replies_count": 2,
        "reblogs_count": 1,
        "favourites_count": 17,
        "edited_at": null,
        "favourited": false,
        "reblogged": false,
        "muted": false,
        "bookmarked": false,
        "content": "<p>Good morning, <b>moths</b> \u{1f98b} &amp; \"others\"</p>",
        "filtered": [],
        "reblog": null,
        "application": { "name": "Pigeon Post", "website": null },
        "account": account("7", "grace"),
        "media_attachments": [{
            "id": "22", "type": "image", "url": "https://files.posts.test/22.png", "preview_url": null, "remote_url": null,
            "meta": { "original": { "width": 640, "height": 480, "size": "640x480", "aspect": 1.25 } },
            "description": "a moth", "blurhash": "UBL_:rOpGG-oBUNG"
        }],
        "mentions": [],
        "tags": [{ "name": "moths", "url": "https://posts.test/tags/moths" }],
        "emojis": [],
        "card": null,
        "poll": null
    })
}

/// Somebody's boost of it.
pub(crate) fn boost(id: &str, of: Value) -> Value {
    let mut entry = post(id, "unused");
    entry["uri"] = json!(format!("https://posts.test/users/linus/statuses/{id}/activity"));
    entry["account"] = account("8", "linus");
    entry["reblog"] = of;
    entry
}

/// After an edit at this second of a certain hour.
pub(crate) fn edited(mut status: Value, second: u32) -> Value {
    let at = json!(format!("2025-01-02T04:00:{second:02}.000Z"));
    let place = if status["reblog"].is_null() { &mut status } else { &mut status["reblog"] };
    place["edited_at"] = at;
    status
}

pub(crate) fn uri(name: &str) -> String {
    format!("https://posts.test/users/grace/statuses/{name}")
}

fn account(id: &str, name: &str) -> Value {
    json!({
        "id": id, "username": name, "acct": name, "display_name": name, "locked": false, "bot": false,
        "created_at": "2024-11-05T00:00:00.000Z", "note": "<p>invented</p>", "url": format!("https://posts.test/@{name}"),
        "avatar": "https://files.posts.test/a.png", "followers_count": 11, "fields": [], "emojis": []
    })
}

pub(crate) fn ask(path: &str, authorization: &str) -> TestRequest {
    let request = TestRequest::get(path);
    if authorization.is_empty() { request } else { request.with_header("Authorization", authorization) }
}

/// A page as Mastodon sends it.
pub(crate) fn page(items: &[Value]) -> TestResponse {
    let link = "<http://upstream.test/api/v1/timelines/home?max_id=1>; rel=\"next\", \
                <http://upstream.test/api/v1/timelines/home?min_id=9>; rel=\"prev\"";
    TestResponse::new(200).with_header("Link", link).with_json(items)
}

/// What the client is sent.
pub(crate) fn answer(harness: &Harness<Dedup>, request: TestRequest, response: TestResponse) -> TestResponse {
    let done = harness.exchange(request, |_| response);
    assert_eq!(done.failures, [], "{:?}", done.log);
    done.response().clone()
}

/// Ids of what the client is shown.
pub(crate) fn shown(harness: &Harness<Dedup>, path: &str, authorization: &str, items: &[Value]) -> Vec<String> {
    ids(&answer(harness, ask(path, authorization), page(items)))
}

pub(crate) fn ids(response: &TestResponse) -> Vec<String> {
    let items: Vec<Value> = response.json();
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// A connection to the streaming server.
pub(crate) fn stream(harness: &Harness<Dedup>, path: &str) -> TestFlow<Dedup> {
    harness.flow(ask(path, ADA))
}

/// Whether a WebSocket message of the server reaches the client.
pub(crate) fn passes(flow: &mut TestFlow<Dedup>, message: impl ToString) -> bool {
    let data = message.to_string().into_bytes();
    let message = WebsocketMessage { is_from_client: false, kind: WebsocketKind::Text, data };
    match flow.websocket_message(message).expect("a verdict") {
        WebsocketVerdict::Pass => true,
        WebsocketVerdict::Drop => false,
        other => panic!("nothing else is ever done: {other:?}"),
    }
}

/// A message with its payload as text, as Mastodon sends it.
pub(crate) fn message(names: &[&str], event: &str, status: &Value) -> Value {
    json!({ "stream": names, "event": event, "payload": status.to_string() })
}

/// Whether a server-sent event reaches the client.
pub(crate) fn event_passes(flow: &mut TestFlow<Dedup>, event: &str, data: impl ToString) -> bool {
    let event = SseEvent { event: Some(event.to_owned()), data: data.to_string(), ..SseEvent::default() };
    match flow.sse_event(event).expect("a verdict") {
        SseVerdict::Pass => true,
        SseVerdict::Drop => false,
        SseVerdict::Replace(_) => panic!("nothing is ever rewritten"),
    }
}
