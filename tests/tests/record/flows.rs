//! What an entry says of its flow.

use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, Echo, Port, RawClient, RawOrigin, Tollgate, Version, addons::Hosted, channel, eventually, full, within,
};

async fn recording(upstream: &str) -> Tollgate {
    Tollgate::builder().upstream(upstream).record().start().await
}

/// The values of these members.
fn members(value: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), value[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn a_plain_flow_is_told_whole() {
    let answer = "HTTP/1.1 201 Made It\r\nX-B: 2\r\ncontent-type: text/plain\r\nX-b: 3\r\nContent-Length: 5\r\n\r\nhello";
    let origin = RawOrigin::answering(answer).await;
    let tollgate = recording(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let head = "PUT /a%20b?x=1%202&y&x=z HTTP/1.1\r\nHost: a.test:8\r\nx-LOWER: 1\r\nX-Twice: a\r\nx-twice: b\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n";
    client.send(format!("{head}abc")).await;
    assert_eq!(client.response().await.status, 201);
    let entry = tollgate.recorded(1).await.remove(0);
    let pairs = |pairs: &[(&str, &str)]| -> Value {
        pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>().into()
    };
    assert_eq!(
        entry["request"],
        json!({
            "method": "PUT", "url": "http://a.test:8/a%20b?x=1%202&y&x=z", "httpVersion": "HTTP/1.1", "cookies": [],
            "headers": pairs(&[
                ("Host", "a.test:8"), ("x-LOWER", "1"), ("X-Twice", "a"), ("x-twice", "b"), ("Connection", "X-Hop"),
                ("X-Hop", "1"), ("Content-Type", "text/plain"), ("Content-Length", "3"),
            ]),
            "queryString": pairs(&[("x", "1 2"), ("y", ""), ("x", "z")]),
            "postData": {"mimeType": "text/plain", "text": "abc"}, "headersSize": head.len(), "bodySize": 3,
        })
    );
    assert_eq!(
        entry["response"],
        json!({
            "status": 201, "statusText": "Made It", "httpVersion": "HTTP/1.1", "cookies": [],
            "headers": pairs(&[("X-B", "2"), ("content-type", "text/plain"), ("X-b", "3"), ("Content-Length", "5")]),
            "content": {"size": 5, "mimeType": "text/plain", "text": "hello"}, "redirectURL": "", "headersSize": -1, "bodySize": 5,
        })
    );
    let own = members(&entry, &["serverIPAddress", "_id", "_listener", "_generation", "_source", "_upstream", "_error"]);
    let upstream = json!({"method": "PUT", "url": format!("{}/a%20b?x=1%202&y&x=z", origin.url())});
    let expected = json!({
        "serverIPAddress": "127.0.0.1", "_id": 1, "_listener": "main", "_generation": entry["_generation"], "_source": "upstream",
        "_upstream": upstream, "_error": null,
    });
    assert_eq!(own, expected);
    let client = entry["_client"].as_str().expect("an address");
    assert_eq!(Some(entry["connection"].as_str().expect("a port")), client.rsplit(':').next());
}

#[tokio::test]
async fn times_tell_of_connections() {
    let origin = RawOrigin::ok().await;
    let tollgate = recording(&origin.url()).await;
    for _ in 0..2 {
        Client::fetch(Version::Http1, tollgate.address(), "/").await;
    }
    let entries = tollgate.recorded(2).await;
    let [fresh, kept] = [0, 1].map(|place| &entries[place]["timings"]);
    for name in ["blocked", "dns", "connect"] {
        assert!(fresh[name].as_f64() >= Some(0.0), "{name}: {fresh}");
    }
    assert_eq!(members(kept, &["dns", "connect", "ssl"]), json!({"dns": -1.0, "connect": -1.0, "ssl": -1.0}));
    assert_eq!((&fresh["ssl"], entries[1]["serverIPAddress"].as_str()), (&json!(-1.0), Some("127.0.0.1")));
}

#[tokio::test]
async fn times_are_those_that_passed() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let _ = conversation.send("k").await;
    })
    .await;
    let tollgate = recording(&origin.url()).await;
    Client::fetch(Version::Http1, tollgate.address(), "/").await;
    let entry = tollgate.recorded(1).await.remove(0);
    let part = |name: &str| entry["timings"][name].as_f64().expect("a number");
    // A busy machine makes them longer, none can make them shorter.
    assert!(part("wait") >= 295.0 && part("receive") >= 150.0 && entry["time"].as_f64() >= Some(495.0), "{entry}");
}

#[tokio::test]
async fn both_versions_are_told() {
    let origin = Echo::http1().await;
    let tollgate = recording(&origin.url()).await;
    for (place, version) in Version::BOTH.into_iter().enumerate() {
        let request = Request::post("/echo?a=1").body(full("sent")).expect("a request");
        let answer = Client::connect(version, tollgate.address()).await.ask(request).await;
        let entries = tollgate.recorded(place + 1).await;
        let entry = &entries[place];
        let name = if version == Version::Http2 { "HTTP/2.0" } else { "HTTP/1.1" };
        assert_eq!((&entry["request"]["httpVersion"], &entry["response"]["httpVersion"]), (&json!(name), &json!(name)));
        assert_eq!(entry["request"]["url"], format!("http://{}/echo?a=1", tollgate.address()));
        assert_eq!((&entry["request"]["postData"]["text"], &entry["request"]["bodySize"]), (&json!("sent"), &json!(4)));
        assert_eq!(entry["response"]["content"]["text"], answer.text());
    }
}

#[tokio::test]
async fn upstreams_with_tls_have_their_times() {
    let authority = tollgate_tests::Authority::new();
    let identity = authority.localhost();
    for (place, alpn) in [&["http/1.1"][..], &["h2"]].into_iter().enumerate() {
        let origin = Echo::tls(&identity, alpn).await;
        let tollgate = Tollgate::builder().upstream(&origin.url()).upstream_ca(&authority).record().start().await;
        let request = Request::post("/").body(full("sent")).expect("a request");
        assert_eq!(Client::connect(Version::Http1, tollgate.address()).await.ask(request).await.status, 200);
        let entry = tollgate.recorded(1).await.remove(0);
        let [connect, ssl] = ["connect", "ssl"].map(|name| entry["timings"][name].as_f64().expect("a number"));
        assert!(ssl > 0.0 && connect >= ssl, "{place}: {entry}");
    }
}

#[tokio::test]
async fn chunked_bodies_are_told_without_chunks() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    .await;
    let tollgate = recording(&origin.url()).await;
    let (sender, body) = channel();
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    let response = client.start(Request::post("/").header("content-type", "text/plain").body(body).expect("a request"));
    let sending = async {
        for piece in ["one ", "two"] {
            assert!(sender.send(piece).await);
        }
        drop(sender);
    };
    let (response, ()) = within(futures_util::future::join(response, sending)).await;
    drop(response.expect("a response"));
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!((&entry["request"]["postData"]["text"], &entry["request"]["bodySize"]), (&json!("one two"), &json!(7)));
}

#[tokio::test]
async fn coded_bodies_are_told_without_codings() {
    use std::io::Write as _;
    let plain = "text ".repeat(100);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain.as_bytes()).expect("room");
    let coded = encoder.finish().expect("room");
    let fields = format!("Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}", coded.len());
    let origin = RawOrigin::answering([format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").as_bytes(), &coded].concat()).await;
    let tollgate = recording(&origin.url()).await;
    Client::fetch(Version::Http1, tollgate.address(), "/").await;
    let response = tollgate.recorded(1).await.remove(0)["response"].take();
    let saved = plain.len() - coded.len();
    let expected = json!({"size": plain.len(), "compression": saved, "mimeType": "text/plain", "text": plain});
    assert_eq!((&response["content"], &response["bodySize"]), (&expected, &json!(coded.len())));
}

#[tokio::test]
async fn bytes_are_told_in_base64() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n".to_vec();
    answer.extend([0xff, 0, 0x10, 0x80]);
    let origin = RawOrigin::answering(answer).await;
    let tollgate = recording(&origin.url()).await;
    let request = Request::post("/").header("content-type", "audio/ogg").body(full(&b"\x00\xff"[..]));
    Client::connect(Version::Http1, tollgate.address()).await.ask(request.expect("a request")).await;
    let entry = tollgate.recorded(1).await.remove(0);
    let sent = json!({"mimeType": "audio/ogg", "text": "AP8=", "_encoding": "base64"});
    let got = json!({"size": 4, "mimeType": "image/png", "text": "/wAQgA==", "encoding": "base64"});
    assert_eq!((&entry["request"]["postData"], &entry["response"]["content"]), (&sent, &got));
}

#[tokio::test]
async fn forms_cookies_and_redirects_are_told() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 302 Found\r\nLocation: /there\r\nSet-Cookie: a=1; Path=/p; HttpOnly; Expires=Wed, 21 Oct 2015 07:28:00 GMT\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().set("record.secrets", true).start().await;
    let request = Request::post("/").header("content-type", "application/x-www-form-urlencoded").header("cookie", "c=3; d=4");
    let request = request.body(full("user=a+b&n=%31")).expect("a request");
    Client::connect(Version::Http1, tollgate.address()).await.ask(request).await;
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!(
        entry["request"]["postData"],
        json!({
            "mimeType": "application/x-www-form-urlencoded",
            "params": [{"name": "user", "value": "a b"}, {"name": "n", "value": "1"}], "text": "user=a+b&n=%31",
        })
    );
    assert_eq!(entry["request"]["cookies"], json!([{"name": "c", "value": "3"}, {"name": "d", "value": "4"}]));
    let first = json!({"name": "a", "value": "1", "path": "/p", "expires": "2015-10-21T07:28:00.000Z", "httpOnly": true});
    assert_eq!(entry["response"]["cookies"], json!([first, {"name": "b", "value": "2"}]));
    assert_eq!(entry["response"]["redirectURL"], "/there");
}

#[tokio::test]
async fn failures_are_told() {
    let nobody = Port::reserve();
    let url = nobody.url();
    let tollgate = recording(&url).await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!((&entry["response"]["status"], &entry["_source"]), (&json!(502), &json!("core")));
    assert_eq!(entry["response"]["content"]["text"], answer.text());
    assert!(entry["serverIPAddress"].is_null(), "{entry}");
}

#[tokio::test]
async fn clients_that_leave_are_told() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        std::future::pending::<()>().await;
    })
    .await;
    let tollgate = recording(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET /left HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    eventually(async || origin.requests().len() == 1).await;
    client.reset();
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!((&entry["response"]["status"], &entry["response"]["bodySize"]), (&json!(0), &json!(-1)));
    assert_eq!((&entry["_error"], &entry["_source"]), (&json!("the client went away"), &Value::Null));
    assert_eq!(entry["request"]["url"], "http://a.test/left");
}

#[tokio::test]
async fn bodies_that_break_off_are_told() {
    let origin = RawOrigin::closing("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhalf").await;
    let tollgate = recording(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(client.try_response("GET").await.is_err());
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!((&entry["response"]["status"], &entry["response"]["content"]["text"]), (&json!(200), &json!("half")));
    assert!(entry["_error"].as_str().is_some_and(|error| error.contains("upstream went away")), "{entry}");
}

#[tokio::test]
async fn answers_of_addons_are_told() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/made$", "do": [{"respond": [418, [["Content-Type", "text/plain"]], "made"]}]},
        {"on": "request", "filter": "~p ^/drop$", "do": ["drop"]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("teapot", &options).with(tollgate_tests::Builder::record).start().await;
    assert_eq!(host.get("/made").await.status, 418);
    let made = host.recorded(1).await.remove(0);
    assert_eq!((&made["response"]["status"], &made["response"]["content"]["text"]), (&json!(418), &json!("made")));
    assert_eq!((&made["_source"], &made["_addon"]), (&json!("addon"), &json!("teapot")));
    assert_eq!(made["_mutations"][0]["changes"][0], json!({"change": "answered", "status": 418}));
    assert!(made["_upstream"].is_null() && made["serverIPAddress"].is_null() && made["timings"]["blocked"] == -1.0, "{made}");
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET /drop HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    client.expect_end().await;
    let dropped = host.recorded(2).await.remove(1);
    assert_eq!((&dropped["response"]["status"], &dropped["_mutations"][0]["addon"]), (&json!(0), &json!("teapot")));
}

#[tokio::test]
async fn edits_are_told_beside_what_the_client_sent() {
    let origin = Echo::http1().await;
    let options = json!({"rules": [
        {"on": "request", "body": "full", "do": [
            {"set-method": "PUT"}, {"set-target": "/there?x=1"}, {"set": ["X-New", "1"]}, {"set-body": "edited"},
        ]},
        {"on": "response", "do": [{"set-status": 203}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("editor", &options).with(tollgate_tests::Builder::record).start().await;
    let request = Request::post("/here").header("content-type", "text/plain").body(full("sent")).expect("a request");
    let answer = Client::connect(Version::Http1, host.address()).await.ask(request).await;
    let seen = answer.echoed();
    assert_eq!((answer.status.as_u16(), seen.method.as_str(), seen.target.as_str()), (203, "PUT", "/there?x=1"));
    let entry = host.recorded(1).await.remove(0);
    let request = &entry["request"];
    assert_eq!((&request["method"], &request["postData"]["text"]), (&json!("POST"), &json!("sent")));
    assert_eq!(request["url"], format!("http://{}/here", host.address()));
    assert_eq!(entry["_upstream"], json!({"method": "PUT", "url": format!("{}/there?x=1", origin.url())}));
    assert_eq!((&entry["response"]["status"], &entry["response"]["content"]["text"]), (&json!(203), &json!(answer.text())));
    let kinds: Vec<_> = entry["_mutations"]
        .as_array()
        .expect("mutations")
        .iter()
        .flat_map(|mutation| mutation["changes"].as_array().expect("changes"))
        .map(|change| change["change"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["method", "target", "headers", "body", "status"]);
    assert_eq!(entry["_mutations"][0]["changes"][3]["after"]["bytes"], 6);
}

#[tokio::test]
async fn upgrades_and_tunnels_have_no_body() {
    let origin = RawOrigin::start(|mut conversation| async move {
        if conversation.request().await.is_some() {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            let _ = conversation.send(head).await;
            if conversation.take(4).await.is_some() {
                let _ = conversation.send("frames").await;
            }
        }
        conversation.close().await;
    })
    .await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .forward("forward")
        .set("listener.forward.targets.connect_ports", "any")
        .record()
        .start()
        .await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.response_head().await.status, 101);
    client.send("abcd").await;
    assert_eq!(client.take(6).await, "frames");
    client.half_close().await;
    client.expect_end().await;
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!((&entry["response"]["status"], &entry["_tunnel"]), (&json!(101), &json!({"sent": 4, "received": 6})));
    assert!(entry["request"]["postData"].is_null() && entry["response"]["content"]["text"].is_null(), "{entry}");
    let mut client = RawClient::connect(tollgate.address_of("forward")).await;
    let target = origin.address();
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic czM=\r\n\r\n")).await;
    assert_eq!(client.response_head().await.status, 200);
    client.half_close().await;
    client.expect_end().await;
    let entry = tollgate.recorded(2).await.remove(1);
    assert_eq!((&entry["request"]["method"], &entry["request"]["url"]), (&json!("CONNECT"), &json!(format!("http://{target}/"))));
    assert_eq!((&entry["_tunnel"], &entry["_listener"]), (&json!({"sent": 0, "received": 0}), &json!("forward")));
    // It is for the proxy, and no part of a flow.
    assert!(!entry["request"].to_string().contains("Proxy-Authorization"), "{entry}");
    assert!(entry["timings"]["connect"].as_f64() >= Some(0.0), "{entry}");
}

#[tokio::test]
async fn clients_of_forward_listeners_are_told_as_they_asked() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().forward("main").record().start().await;
    let url = format!("{}/path?q=1", origin.url());
    RawClient::ask(tollgate.address(), format!("GET {url} HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address())).await;
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!((&entry["request"]["url"], &entry["_upstream"]), (&json!(url), &Value::Null));
}
