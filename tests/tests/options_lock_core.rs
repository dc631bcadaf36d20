//! Options of the core for the time of a lock: what they do to flows, and that a changed configuration waits.
#![cfg(test)]

use std::fs;

use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawClient, RawOrigin, Version,
    addons::{CallbackServer, Hosted},
    full,
};

#[tokio::test]
async fn they_do_what_they_say_until_the_unlock() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    let callback = json!({"callback_request_url": server.at("/request")});
    let id = host.controller().lock(&json!({"body_size_limit": "1k", "callback": callback})).await;
    // Too large for the options: nobody is asked about it.
    assert_eq!(host.post("/large", vec![b'x'; 5000]).await.status, 413);
    assert_eq!((server.calls().len(), origin.requests().len()), (0, 0));
    for (bytes, status) in [(1023, 200), (1024, 200), (1025, 413)] {
        assert_eq!(host.post("/edge", vec![b'x'; bytes]).await.status, status, "{bytes}");
    }
    assert_eq!(server.calls().len(), 2);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(host.post("/large", vec![b'x'; 5000]).await.text(), "ok");
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn what_is_configured_waits_where_it_is_locked() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).with_controller().start().await;
    let value = async |name: &str| host.controller().option(name).await["value"].clone();
    let id = host.controller().lock(&json!({"body_size_limit": "1k"})).await;
    fs::write(host.config_path(), host.config() + "\n[options]\nbody_size_limit = \"2k\"\nanticomp = true\n").expect("a file");
    host.reload().await;
    assert_eq!((value("body_size_limit").await, value("anticomp").await), (json!("1k"), json!(true)));
    assert_eq!(host.post("/", vec![b'x'; 1500]).await.status, 413);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(value("body_size_limit").await, json!("2k"));
    for (bytes, status) in [(1500, 200), (2500, 413)] {
        assert_eq!(host.post("/", vec![b'x'; bytes]).await.status, status, "{bytes}");
    }
    assert_eq!(value("allow_hosts").await, json!([]));
}

#[tokio::test]
async fn options_that_exclude_each_other_are_refused_together() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).with_controller().start().await;
    let id = host.controller().lock(&json!({"allow_hosts": ["a"]})).await;
    let put = async |body: &Value| host.controller().send("PUT", "/options", "", &body.to_string()).await;
    assert_eq!(put(&json!({"ignore_hosts": ["b"]})).await.status, 400);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(put(&json!({"ignore_hosts": ["b"]})).await.status, 200);
    let id = host.controller().lock(&json!({"ignore_hosts": [], "allow_hosts": ["a"]})).await;
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    let id = host.controller().lock(&json!({"ignore_hosts": []})).await;
    // It would not go with what comes back.
    assert_eq!(put(&json!({"allow_hosts": ["a"]})).await.status, 400);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(host.controller().option("ignore_hosts").await["value"], json!(["b"]));
}

/// Unlocks in this version of HTTP, with so many fields more; the status.
async fn unlock(version: Version, host: &Hosted, id: &str, fields: usize) -> u16 {
    let mut request = Request::post("http://mitm.code/options/unlock").header("content-type", "application/json");
    for place in 0..fields {
        request = request.header(format!("x-{place}"), "x".repeat(100));
    }
    let address = host.address_of("forward");
    let body = json!({ "reset_id": id }).to_string();
    let answer = Client::connect(version, address).await.ask(request.body(full(body)).expect("a request")).await;
    answer.status.as_u16()
}

/// A flow to this origin with a head of 1200 bytes; the status.
async fn large(version: Version, host: &Hosted, listener: &str, origin: &RawOrigin) -> u16 {
    let (address, url, value) = (host.address_of(listener), origin.url(), "x".repeat(600));
    if version == Version::Http1 {
        let request = format!("GET {url}/ HTTP/1.1\r\nHost: a\r\nX-1: {value}\r\nX-2: {value}\r\n\r\n");
        return RawClient::ask(address, request).await.status;
    }
    let request = Request::get(url + "/").header("x-1", &value).header("x-2", &value).body(full("")).expect("a request");
    Client::connect(version, address).await.ask(request).await.status.as_u16()
}

#[tokio::test]
async fn limits_of_heads_do_not_bar_the_unlock() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).with_controller().start().await;
    for version in Version::BOTH {
        for options in [json!({"max_header_count": 1}), json!({"max_header_bytes": "1k"})] {
            let id = host.controller().lock(&options).await;
            for listener in ["main", "forward"] {
                assert_eq!(large(version, &host, listener, &origin).await, 431, "{version:?} {options} {listener}");
            }
            // The configuration's own limit holds.
            assert_eq!(unlock(version, &host, &id, 101).await, 431, "{version:?} {options}");
            assert_eq!(unlock(version, &host, &id, 20).await, 200, "{version:?} {options}");
            assert_eq!(host.get("/").await.status, 200);
        }
    }
    assert_eq!(origin.requests().len(), 4);
}

/// However short the times are that a lock leaves to clients, who unlocks has those of the configuration.
#[tokio::test]
async fn times_do_not_bar_the_unlock() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).with_controller().start().await;
    let id = host.controller().lock(&json!({"idle_timeout": "1ms", "request_timeout": "1ms"})).await;
    let body = json!({"reset_id": id}).to_string();
    let mut client = RawClient::connect(host.address_of("forward")).await;
    let length = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for part in ["POST http://mitm.code/options/unlock HTTP/1.1\r\n", "Host: mitm.code\r\n", &length] {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        client.send(part).await;
    }
    assert_eq!(client.response().await.status, 200);
}

/// Nor does the time for bodies that it leaves bind what the controller sends, however slowly its client takes it.
#[tokio::test]
async fn times_for_bodies_do_not_bar_the_controller() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &json!({"tag": "y".repeat(1 << 20)})).with_controller().start().await;
    let id = host.controller().lock(&json!({"body_idle_timeout": "1ms"})).await;
    let mut client = RawClient::connect(host.address_of("forward")).await;
    let ask = "GET http://mitm.code/addons/a/options HTTP/1.1\r\nHost: mitm.code\r\n\r\n";
    // As many answers as no buffer between the two holds, taken late.
    client.send(ask.repeat(16)).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for _ in 0..16 {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(unlock(Version::Http1, &host, &id, 20).await, 200);
}

#[tokio::test]
async fn tunnels_keep_to_locked_limits() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .with_controller()
        .with(|builder| builder.set("listener.forward.targets.connect_ports", "any"))
        .start()
        .await;
    let id = host.controller().lock(&json!({"max_header_count": 2})).await;
    let connect = async |lines: &str| {
        let mut client = RawClient::connect(host.address_of("forward")).await;
        client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n{lines}\r\n", origin.address())).await;
        client.response_head().await.status
    };
    assert_eq!((connect("X: 1\r\n").await, connect("X: 1\r\nX: 2\r\n").await), (200, 431));
    assert_eq!(host.controller().unlock(&id).await.status, 200);
    assert_eq!(connect("X: 1\r\nX: 2\r\n").await, 200);
}

#[tokio::test]
async fn idle_clients_do_not_bar_the_unlock() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).with_controller().start().await;
    let mut idle = RawClient::connect(host.address_of("forward")).await;
    for version in Version::BOTH {
        let id = host.controller().lock(&json!({"max_connections": 1})).await;
        idle.send(format!("GET {}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.url())).await;
        assert_eq!(idle.response().await.status, 200);
        assert_eq!(unlock(version, &host, &id, 0).await, 200, "{version:?}");
    }
}

#[tokio::test]
async fn fewer_connections_from_the_start_can_be_more_later() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .with_controller()
        .with(|builder| builder.config_toml("[options]\nmax_connections = 1"))
        .start()
        .await;
    let mut clients = Vec::new();
    for listener in ["forward", "forward", "main"] {
        let mut client = RawClient::connect(host.address_of(listener)).await;
        client.send(format!("GET {}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.url())).await;
        assert_eq!(client.response().await.status, 200, "{listener}");
        clients.push(client);
    }
    let id = host.controller().lock(&json!({"max_connections": 2})).await;
    assert_eq!(host.get("/").await.status, 200);
    assert_eq!(host.controller().unlock(&id).await.status, 200);
}
