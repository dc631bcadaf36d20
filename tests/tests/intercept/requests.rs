//! Requests inside of CONNECT: where they may go, what streams, and what upstreams must prove.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};
use tollgate_tests::{Authority, Client, Conversation, Curl, Echo, RawOrigin, Tollgate, Version, addons::Hosted, within};

use crate::common::{Ca, ask, connect, inside, outcome, tls, wire};

#[tokio::test]
async fn requests_for_others_are_misdirected() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    let port = origin.address().port();
    let own = format!("localhost:{port}");
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: {own}\r\n\r\n"), 200),
        (format!("GET / HTTP/1.1\r\nHost: LOCALHOST.:{port}\r\n\r\n"), 200),
        (format!("GET https://{own}/ HTTP/1.1\r\nHost: other.test\r\n\r\n"), 200),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(), 200),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 421),
        (format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", port - 1), 421),
        (format!("GET / HTTP/1.1\r\nHost: other.test:{port}\r\n\r\n"), 421),
        (format!("GET https://other.test:{port}/ HTTP/1.1\r\nHost: {own}\r\n\r\n"), 421),
        (format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\n\r\n"), 421),
        (format!("CONNECT {own} HTTP/1.1\r\nHost: {own}\r\n\r\n"), 405),
    ] {
        let mut wire = inside(tollgate.address(), &ca, "localhost", port).await;
        let before = origin.requests();
        assert_eq!(ask(&mut wire, &request).await.status, status, "{request}");
        assert_eq!(origin.requests() - before, usize::from(status == 200), "{request}");
    }
}

#[tokio::test]
async fn http2_inside_is_for_its_authority_alone() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["h2", "http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    let own = format!("localhost:{}", origin.address().port());
    let stream = connect(tollgate.address(), &own).await;
    let stream = tls(stream, "localhost", ca.trusted(&["h2"])).await.expect("TLS");
    let mut client = Client::within(stream, Version::Http2, &format!("https://{own}")).await;
    for (target, status) in [
        ("/a".to_owned(), 200),
        (format!("https://other.test/{own}"), 421),
        (format!("http://{own}/"), 421),
        ("/b".to_owned(), 200),
    ] {
        let answer = client.get(&target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
    assert_eq!(client.get("/c").await.echoed().version, "HTTP/2.0");
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn hooks_see_what_is_inside() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let told = "{listener} {upstream} {authority} {target} {tls}";
    let script = json!({"rules": [
        {"on": "request", "do": [{"set": ["X-Told", told]}]},
        {"on": "response", "do": [{"set": ["X-Seen", "yes"]}]},
    ]});
    let text = |name: &str| format!("{:?}", ca.path(name).to_string_lossy());
    let host = Hosted::before("http://127.0.0.1:9").scripted("a", &script);
    let host = host.with(|builder| {
        builder
            .forward("forward")
            .set("listener.forward.targets.connect_ports", "any")
            .set("listener.forward.upstream_ca", format!("{:?}", upstreams.ca().to_string_lossy()))
            .set("listener.forward.tls", format!("{{ca = {}, key = {}}}", text("ca.pem"), text("ca.key")))
    });
    let host = host.start().await;
    let port = origin.address().port();
    let mut wire = inside(host.address_of("forward"), &ca, "localhost", port).await;
    let answer = ask(&mut wire, format!("GET /x?y HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")).await;
    let expected = format!("forward https://localhost:{port} localhost:{port} /x?y true");
    assert!(answer.text().contains(&expected), "{answer:?}");
    assert_eq!(answer.fields.get("x-seen"), Some("yes"));
}

#[tokio::test]
async fn upstreams_that_prove_nothing_get_nothing() {
    let (ca, upstreams, strangers) = (Ca::new().await, Authority::new(), Authority::new());
    let tollgate = ca.before(&upstreams).start().await;
    for identity in [strangers.localhost(), upstreams.identity("other", &["other.test"])] {
        let origin = Echo::tls(&identity, &["http/1.1"]).await;
        let port = origin.address().port();
        let mut wire = inside(tollgate.address(), &ca, "localhost", port).await;
        let answer = ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")).await;
        assert_eq!((answer.status, origin.requests()), (502, 0));
        assert!(answer.text().contains("invalid peer certificate"), "{answer:?}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    const LENGTH: usize = 48 << 20;
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    let url = |path: &str| format!("https://localhost:{}{path}", origin.address().port());
    let file = ca.path("upload");
    std::fs::File::create(&file).and_then(|file| file.set_len(LENGTH as u64)).expect("a file");
    let through =
        |url: &str| Curl::new(url).args(&["--noproxy", "", "--proxy", &tollgate.url(), "--cacert"]).arg(ca.path("ca.pem"));
    let down = through(&url(&format!("/bytes/{LENGTH}"))).run().await;
    assert_eq!((down.status, down.body.len()), (200, LENGTH), "{}", down.stderr);
    let up = through(&url("/")).arg("--upload-file").arg(&file).run().await;
    let echoed: serde_json::Value = serde_json::from_slice(&up.body).expect("JSON");
    assert!(echoed.to_string().contains(&LENGTH.to_string()), "{echoed}");
    assert!(tollgate.peak_rss() < 100 << 20, "{}", tollgate.peak_rss());
}

#[tokio::test]
async fn websockets_work_inside() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let acceptor = TlsAcceptor::from(upstreams.localhost().server_config(&["http/1.1"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let own = format!("localhost:{}", listener.local_addr().expect("an address").port());
    let origin = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut socket = accept_async(acceptor.accept(stream).await.expect("TLS")).await.expect("a WebSocket");
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                socket.send(Message::text(text.to_uppercase())).await.expect("sent");
            }
        }
    });
    let tollgate = ca.before(&upstreams).start().await;
    let stream = connect(tollgate.address(), &own).await;
    let stream = tls(stream, "localhost", ca.trusted(&["http/1.1"])).await.expect("TLS");
    let (mut socket, response) = within(Box::pin(client_async(format!("wss://{own}/chat"), stream))).await.expect("a WebSocket");
    assert_eq!(response.status(), 101);
    for number in 0..20 {
        socket.send(Message::text(format!("message {number}"))).await.expect("sent");
        let answer = within(socket.next()).await.expect("a message").expect("a message");
        assert_eq!(answer, Message::text(format!("MESSAGE {number}")));
    }
    within(socket.close(None)).await.expect("closed");
    within(origin).await.expect("a task");
}

#[tokio::test]
async fn http_without_tls_is_looked_into_too() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = RawOrigin::ok().await;
    let tollgate = ca.before(&upstreams).start().await;
    let at = origin.address();
    let mut wire = wire(connect(tollgate.address(), &at.to_string()).await);
    assert_eq!(ask(&mut wire, format!("GET /a HTTP/1.1\r\nHost: {at}\r\n\r\n")).await.text(), "ok");
    assert_eq!(ask(&mut wire, "GET /b HTTP/1.1\r\nHost: other.test\r\n\r\n").await.status, 421);
    assert_eq!((origin.targets(), outcome(&tollgate, "cleartext").await), (vec!["/a".to_owned()], 1));
}

#[tokio::test]
async fn nobody_is_asked_before_the_first_request() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let seen = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&seen);
    let origin = RawOrigin::start(move |mut conversation: Conversation| {
        let told = Arc::clone(&told);
        async move {
            conversation.take(1).await;
            told.notify_one();
        }
    })
    .await;
    let tollgate = ca.before(&upstreams).start().await;
    let port = origin.address().port();
    let mut wire = inside(tollgate.address(), &ca, "localhost", port).await;
    assert_eq!(origin.connections(), 0);
    within(wire.send(format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"))).await.expect("sent");
    within(seen.notified()).await;
    // It begins with TLS, whatever is at the other end.
    assert_eq!((origin.connections(), origin.seen()[0].first()), (1, Some(&0x16)));
}

#[tokio::test]
async fn clients_without_connect_are_served_as_before() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = RawOrigin::ok().await;
    let tollgate: Tollgate = ca.before(&upstreams).start().await;
    let answer =
        tollgate_tests::RawClient::ask(tollgate.address(), format!("GET {}/a HTTP/1.1\r\nHost: a\r\n\r\n", origin.url()));
    assert_eq!(answer.await.text(), "ok");
}
