//! Conversations with the server over a socket.
#![cfg(test)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const PATIENCE: Duration = Duration::from_secs(30);

const HOME: &str = "/api/v1/timelines/home";

struct Server {
    port: u16,
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Server {
    async fn new() -> Self {
        Self::beating(mastodon_sample::HEARTBEAT).await
    }

    async fn beating(heartbeat: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        tokio::spawn(mastodon_sample::serve(listener, heartbeat));
        Self { port }
    }

    async fn send(&self, token: &str, method: &str, target: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: sample\r\nConnection: close\r\n{token}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        stream
    }

    async fn ask(&self, token: &str, method: &str, target: &str, body: &str) -> Answer {
        let mut answer = String::new();
        let mut stream = self.send(token, method, target, body).await;
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer in time").expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() }
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("ida-token", "GET", target, "").await
    }

    async fn post(&self, who: &str, text: &str) -> Value {
        let answer = self.ask(&format!("{who}-token"), "POST", "/api/v1/statuses", &json!({"status": text}).to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    async fn socket(&self, query: &str) -> Socket {
        let url = format!("ws://127.0.0.1:{}/api/v1/streaming{query}", self.port);
        let mut request = url.into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "ida-token".parse().expect("a value"));
        connect_async(request).await.expect("a handshake").0
    }
}

impl Answer {
    fn ids(&self) -> Vec<u64> {
        let all = self.body.as_array().unwrap_or_else(|| panic!("a page: {} {}", self.head, self.body));
        all.iter().map(|status| status["id"].as_str().expect("an id").parse().expect("a number")).collect()
    }

    fn link(&self, rel: &str) -> Option<&str> {
        let links = self.head.lines().find_map(|line| line.strip_prefix("link: "))?;
        let link = links.split(", ").find(|link| link.ends_with(&format!("rel=\"{rel}\"")))?;
        let url = link.strip_prefix('<')?.split('>').next()?;
        url.find("/api/").map(|start| &url[start..])
    }
}

async fn wish(socket: &mut Socket, wish: Value) {
    socket.send(Message::text(wish.to_string())).await.expect("a connection");
}

async fn heard(socket: &mut Socket) -> Value {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a message in time").expect("a message").expect("a sound one") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Close(frame) => return json!({"close": frame.map(|frame| u16::from(frame.code))}),
            _ => {}
        }
    }
}

#[tokio::test]
async fn pages_go_on_by_their_links() {
    let server = Server::new().await;
    let mut all = Vec::new();
    let mut next = Some(format!("{HOME}?limit=7"));
    let mut last = String::new();
    while let Some(target) = next {
        let page = server.get(&target).await;
        all.extend(page.ids());
        next = page.link("next").map(str::to_owned);
        last = target;
    }
    assert_eq!(all, (101..=132).rev().collect::<Vec<_>>());
    // The one without entries has no neighbours.
    assert_eq!(last, format!("{HOME}?limit=7&max_id=101"));
    assert_eq!(server.get(&format!("{HOME}?limit=3&since_id=120")).await.ids(), [132, 131, 130]);
    let newer = server.get(&format!("{HOME}?limit=3&min_id=120")).await;
    assert_eq!((newer.ids(), newer.link("prev")), (vec![123, 122, 121], Some("/api/v1/timelines/home?limit=3&min_id=123")));
    for (limit, expected) in [("", 20), ("?limit=0", 1), ("?limit=39", 32), ("?limit=x", 20)] {
        assert_eq!(server.get(&format!("{HOME}{limit}")).await.ids().len(), expected, "{limit}");
    }
}

#[tokio::test]
async fn pages_end_at_the_largest() {
    let server = Server::new().await;
    for number in 0..9 {
        server.post("ida", &format!("{number}")).await;
    }
    for (limit, expected) in [(39, 39), (40, 40), (41, 40)] {
        assert_eq!(server.get(&format!("{HOME}?limit={limit}")).await.ids().len(), expected);
    }
}

#[tokio::test]
async fn timelines_have_what_is_theirs() {
    let server = Server::new().await;
    let home = server.get(HOME).await;
    let uri = |id: u64| home.body[usize::try_from(132 - id).expect("a place")]["uri"].clone();
    assert_eq!(home.body[1]["reblog"]["id"], "101");
    assert_eq!(home.body[3]["reblog"]["uri"], uri(120));
    assert_eq!(uri(124), "https://harbour.example/users/tove/statuses/124");
    for (target, expected) in [
        ("/api/v1/timelines/public?limit=4", vec![132, 130, 128, 125]),
        ("/api/v1/timelines/public?local=true&limit=4", vec![132, 130, 128, 125]),
        ("/api/v1/timelines/public?remote=true&limit=4", vec![124, 120, 115, 110]),
        ("/api/v1/timelines/tag/Harbour", vec![132, 124, 116]),
        ("/api/v1/timelines/list/1?limit=4", vec![131, 128, 127, 124]),
        ("/api/v1/accounts/runa/statuses?limit=3", vec![126, 120, 117]),
    ] {
        assert_eq!(server.get(target).await.ids(), expected, "{target}");
    }
}

#[tokio::test]
async fn streams_share_a_socket() {
    let server = Server::new().await;
    let mut socket = server.socket("?stream=user").await;
    wish(&mut socket, json!({"type": "subscribe", "stream": "hashtag", "tag": "Tea"})).await;
    wish(&mut socket, json!({"type": "subscribe", "stream": "nothing"})).await;
    assert_eq!(heard(&mut socket).await, json!({"error": "Unknown stream type", "status": 400}));
    let post = server.post("mio", "A pot of #tea").await;
    for stream in [json!(["user"]), json!(["hashtag", "tea"])] {
        let message = heard(&mut socket).await;
        let payload: Value = serde_json::from_str(message["payload"].as_str().expect("text")).expect("JSON");
        assert_eq!((&message["stream"], &message["event"], &payload["uri"]), (&stream, &json!("update"), &post["uri"]));
    }
    wish(&mut socket, json!({"type": "unsubscribe", "stream": "hashtag", "tag": "tea"})).await;
    wish(&mut socket, json!({"type": "subscribe"})).await;
    assert_eq!(heard(&mut socket).await["status"], 400);
    let id = post["id"].as_str().expect("an id");
    let boost = server.ask("aron-token", "POST", &format!("/api/v1/statuses/{id}/reblog"), "").await.body;
    assert_eq!(server.ask("aron-token", "POST", &format!("/api/v1/statuses/{id}/reblog"), "").await.body["id"], boost["id"]);
    server.ask("mio-token", "PUT", &format!("/api/v1/statuses/{id}"), r#"{"status":"A cup"}"#).await;
    server.ask("mio-token", "DELETE", &format!("/api/v1/statuses/{id}"), "").await;
    for (event, payload) in
        [("update", None), ("status.update", None), ("delete", Some(&boost["id"])), ("delete", Some(&post["id"]))]
    {
        let message = heard(&mut socket).await;
        assert_eq!((&message["stream"], &message["event"]), (&json!(["user"]), &json!(event)));
        assert!(payload.is_none_or(|payload| message["payload"] == *payload), "{message}");
    }
    socket.send(Message::Binary(vec![1].into())).await.expect("a connection");
    assert_eq!(heard(&mut socket).await, json!({"close": 1003}));
}

#[tokio::test]
async fn streams_of_a_socket_end_at_the_limit() {
    let server = Server::new().await;
    let mut socket = server.socket("").await;
    for number in 0..=100 {
        wish(&mut socket, json!({"type": "subscribe", "stream": "hashtag", "tag": number.to_string()})).await;
    }
    assert_eq!(heard(&mut socket).await["error"], "Too many streams");
    server.post("mio", "#99").await;
    assert_eq!(heard(&mut socket).await["stream"], json!(["hashtag", "99"]));
    server.post("mio", "#100").await;
    server.post("mio", "#98").await;
    assert_eq!(heard(&mut socket).await["stream"], json!(["hashtag", "98"]));
}

#[tokio::test]
async fn event_streams_greet_and_beat() {
    let server = Server::beating(Duration::from_millis(20)).await;
    let mut stream = server.send("ida-token", "GET", "/api/v1/streaming/user", "").await;
    let mut so_far = String::new();
    let mut until = async |text: &str| {
        timeout(PATIENCE, async {
            while !so_far.contains(text) {
                let byte = stream.read_u8().await.expect("more of it");
                so_far.push(char::from(byte));
            }
        })
        .await
        .unwrap_or_else(|_| panic!("no {text:?}"));
    };
    until("content-type: text/event-stream").await;
    until(":)\n").await;
    until(":thump\n").await;
    server.post("mio", "Hello").await;
    until("event: update\ndata: {\"id\":").await;
    let boosted = server.ask("mio-token", "POST", "/api/v1/statuses/132/reblog", "").await;
    assert_eq!(boosted.status, 200);
    until("event: notification\ndata: {\"id\":").await;
    assert_eq!(server.get("/api/v1/notifications").await.body[0]["id"], boosted.body["id"]);
}

#[tokio::test]
async fn codes_become_tokens_once() {
    let server = Server::new().await;
    let shown = "urn:ietf:wg:oauth:2.0:oob";
    let wanted = json!({"client_name": "test", "redirect_uris": format!("{shown} https://app.example/back")});
    let app = server.ask("", "POST", "/api/v1/apps", &wanted.to_string()).await.body;
    let (id, secret) = (app["client_id"].as_str().expect("an id"), app["client_secret"].as_str().expect("a secret"));
    let page = |redirect: &str| format!("/oauth/authorize?client_id={id}&response_type=code&state=a%26b&redirect_uri={redirect}");
    assert_eq!(server.ask("", "GET", &page(shown), "").await.status, 200);
    assert_eq!(server.ask("", "GET", &page("https://evil.example/"), "").await.status, 400);
    let back = server.ask("", "GET", &format!("{}&person=aron", page("https://app.example/back")), "").await;
    let location = back.head.lines().find_map(|line| line.strip_prefix("location: ")).expect("a place to go to");
    let code = location.strip_prefix("https://app.example/back?code=").and_then(|rest| rest.strip_suffix("&state=a%26b"));
    let mut trade = json!({"grant_type": "authorization_code", "client_id": id, "client_secret": secret, "code": code,
        "redirect_uri": "https://app.example/back"});
    let token = server.ask("", "POST", "/oauth/token", &trade.to_string()).await.body;
    let token = token["access_token"].as_str().expect("a token");
    assert_eq!(server.ask("", "POST", "/oauth/token", &trade.to_string()).await.status, 400, "a code is good once");
    trade["client_secret"] = json!("guessed");
    assert_eq!(server.ask("", "POST", "/oauth/token", &trade.to_string()).await.status, 401);
    assert_eq!(server.ask(token, "GET", "/api/v1/accounts/verify_credentials", "").await.body["username"], "aron");
    server.ask("", "POST", "/oauth/revoke", &json!({"token": token}).to_string()).await;
    assert_eq!(server.ask(token, "GET", HOME, "").await.status, 401);
}

#[tokio::test]
async fn strangers_and_nonsense_are_refused() {
    let server = Server::new().await;
    let text = |length| json!({"status": "x".repeat(length)}).to_string();
    let large = " ".repeat((1 << 20) + 1);
    for (token, method, target, body, status) in [
        ("", "GET", HOME, "", 401),
        ("other-token", "GET", HOME, "", 401),
        ("tove-token", "GET", HOME, "", 401),
        ("", "GET", "/api/v1/timelines/public", "", 200),
        ("", "GET", "/api/v1/streaming/user", "", 401),
        ("ida-token", "GET", "/api/v1/streaming", "", 404),
        ("ida-token", "GET", "/api/v1/streaming/list?list=2", "", 404),
        ("ida-token", "GET", "/api/v1/timelines/list/2", "", 404),
        ("ida-token", "GET", "/api/v1/statuses/1", "", 404),
        ("ida-token", "DELETE", "/api/v1/statuses/131", "", 404),
        ("ida-token", "POST", "/api/v1/statuses/131/reblog", "", 404),
        ("ida-token", "POST", "/api/v1/statuses", "{", 400),
        ("ida-token", "POST", "/api/v1/statuses", "{\"status\":\" \"}", 422),
        ("ida-token", "POST", "/api/v1/statuses", &text(499), 200),
        ("ida-token", "POST", "/api/v1/statuses", &text(500), 200),
        ("ida-token", "POST", "/api/v1/statuses", &text(501), 422),
        ("ida-token", "POST", "/api/v1/statuses", &large, 413),
        ("", "POST", "/oauth/token", "{}", 400),
        ("", "GET", "/nothing", "", 404),
    ] {
        let answer = server.ask(token, method, target, body).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
        assert!(status == 200 || answer.body["error"].is_string(), "{method} {target}");
    }
}

#[tokio::test]
async fn instances_name_the_place_of_streams() {
    let server = Server::new().await;
    let expected = format!("ws://127.0.0.1:{}", server.port);
    let (old, new) = (server.ask("", "GET", "/api/v1/instance", "").await, server.ask("", "GET", "/api/v2/instance", "").await);
    assert_eq!(old.body["urls"]["streaming_api"], expected);
    assert_eq!(new.body["configuration"]["urls"]["streaming"], expected);
}
