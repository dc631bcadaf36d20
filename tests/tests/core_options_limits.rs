//! Options of the core about limits, times, trust in upstreams and the log.
#![cfg(test)]

use std::time::Duration;

use tokio::time::sleep;
use tollgate_tests::{Authority, Client, Echo, RawClient, RawOrigin, Tollgate, Version, empty, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An origin that takes requests and never answers.
async fn silent() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        conversation.take_all().await;
    })
    .await
}

async fn status(version: Version, tollgate: &Tollgate, headers: usize, bytes: usize) -> u16 {
    let mut request = http::Request::get("/");
    for place in 0..headers {
        request = request.header(format!("x-{place}"), "x".repeat(bytes));
    }
    let request = request.body(empty()).expect("a request");
    Client::connect(version, tollgate.address()).await.ask(request).await.status.as_u16()
}

#[tokio::test]
async fn heads_of_requests_are_limited_more_tightly() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("limits.header_count", "20").start().await;
    for version in Version::BOTH {
        // Host is one, where there is one.
        let others = usize::from(version == Version::Http1);
        for (options, most) in [("", 20), ("max_header_count = 10", 10), ("max_header_count = 1024", 20)] {
            tollgate.set_options(options).await;
            for (count, expected) in [(most - 1, 200), (most, 200), (most + 1, 431)] {
                assert_eq!(status(version, &tollgate, count - others, 1).await, expected, "{version:?} {options} {count}");
            }
        }
        tollgate.set_options("max_header_bytes = \"2k\"").await;
        assert_eq!(status(version, &tollgate, 1, 1800).await, 200, "{version:?}");
        assert_eq!(status(version, &tollgate, 1, 2100).await, 431, "{version:?}");
    }
}

#[tokio::test]
async fn new_limits_hold_for_the_next_request_of_a_connection() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(10));
    client.send(&request).await;
    assert_eq!(client.response().await.status, 200);
    tollgate.set_options("max_header_count = 10").await;
    client.send(&request).await;
    assert_eq!(client.response().await.status, 431);
}

#[tokio::test]
async fn heads_of_responses_are_limited_more_tightly() {
    let origin = RawOrigin::answering(format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: 1\r\n".repeat(10))).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for (options, status) in [("max_header_count = 11", 200), ("max_header_count = 10", 502), ("", 200)] {
        tollgate.set_options(options).await;
        assert_eq!(RawClient::ask(tollgate.address(), GET).await.status, status, "{options}");
    }
}

#[tokio::test]
async fn timeouts_take_the_place_of_the_configuration_s() {
    let origin = silent().await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .config_toml("[timeouts]\nresponse = \"200ms\"\nheader_read = \"1h\"")
        .start()
        .await;
    for version in Version::BOTH {
        tollgate.set_options("").await;
        assert_eq!(status(version, &tollgate, 0, 0).await, 504, "{version:?}");
        // The flow's own limit is told apart by its words.
        tollgate.set_options("response_timeout = \"none\"\nflow_timeout = \"300ms\"").await;
        let answer = Client::fetch(version, tollgate.address(), "/").await;
        assert_eq!(answer.status, 504, "{version:?}");
        assert!(answer.text().contains("the flow took too long"), "{version:?}: {}", answer.text());
    }
    tollgate.set_options("request_timeout = \"100ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET / HT").await;
    assert_eq!(client.response().await.status, 408);
}

#[tokio::test]
async fn connections_that_do_not_come_to_stand_end_sooner() {
    // It takes connections, and says nothing of TLS.
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.take_all().await;
    })
    .await;
    let upstream = format!("https://{}", origin.address());
    let tollgate = Tollgate::builder().upstream(&upstream).config_toml("[timeouts]\nconnect = \"10m\"").start().await;
    tollgate.set_options("connection_timeout = \"100ms\"").await;
    for version in Version::BOTH {
        let answer = Client::fetch(version, tollgate.address(), "/").await;
        assert_eq!(answer.status, 504, "{version:?}");
        assert!(answer.text().contains("no connection in time"), "{version:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn idle_connections_are_closed_sooner() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).config_toml("[timeouts]\nidle = \"1h\"").start().await;
    tollgate.set_options("idle_timeout = \"1s\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(GET).await;
    assert_eq!(client.response().await.status, 200);
    client.expect_end().await;
    let mut http2 = Client::connect(Version::Http2, tollgate.address()).await;
    assert_eq!(http2.get("/").await.status, 200);
    http2.ended().await;
}

#[tokio::test]
async fn bodies_that_stand_still_end_sooner() {
    let origin = silent().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).config_toml("[timeouts]\nbody_idle = \"1h\"").start().await;
    tollgate.set_options("body_idle_timeout = \"100ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx").await;
    assert_eq!(client.response().await.status, 408);
}

#[tokio::test]
async fn silent_tunnels_end_sooner() {
    let origin = silent().await;
    let tollgate = Tollgate::forward().await;
    tollgate.set_options("tunnel_timeout = \"100ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address())).await;
    assert_eq!(client.response_head().await.status, 200);
    client.read_to_end().await;
}

#[tokio::test]
async fn connections_wait_for_room() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).listener("other", &origin.url()).start().await;
    tollgate.set_options("max_connections = 2").await;
    let (mut first, mut second) = (RawClient::connect(tollgate.address()).await, RawClient::connect(tollgate.address()).await);
    for client in [&mut first, &mut second] {
        client.send(GET).await;
        assert_eq!(client.response().await.status, 200);
    }
    let mut third = RawClient::connect(tollgate.address()).await;
    third.send(GET).await;
    // Other listeners count by themselves, and those that are open go on.
    assert_eq!(RawClient::ask(tollgate.address_of("other"), GET).await.status, 200);
    first.send(GET).await;
    assert_eq!(first.response().await.status, 200);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(origin.requests().len(), 4);
    drop(first);
    assert_eq!(third.response().await.status, 200);
    let mut fourth = RawClient::connect(tollgate.address()).await;
    fourth.send(GET).await;
    tollgate.set_options("").await;
    assert_eq!(fourth.response().await.status, 200);
}

#[tokio::test]
async fn unverified_upstreams_are_for_those_who_ask() {
    let (known, unknown) = (Authority::new(), Authority::new());
    for alpn in [["http/1.1"], ["h2"]] {
        let echo = Echo::tls(&unknown.localhost(), &alpn).await;
        let tollgate = Tollgate::builder().upstream(&echo.url()).upstream_ca(&known).start().await;
        let status = async || Client::fetch(Version::Http1, tollgate.address(), "/").await.status.as_u16();
        assert_eq!(status().await, 502);
        tollgate.set_options("ssl_insecure = true").await;
        assert!(tollgate.logs().contains("INSECURE"));
        assert_eq!((status().await, status().await), (200, 200));
        assert_eq!(echo.connections(), 2, "kept ones are used again");
        // The connection is still open, and nobody who wants to know the upstream uses it.
        tollgate.set_options("").await;
        assert_eq!((status().await, status().await), (502, 502));
        assert_eq!(echo.requests(), 2);
        tollgate.set_options("ssl_insecure = true").await;
        assert_eq!(status().await, 200);
    }
}

#[tokio::test]
async fn the_level_of_the_log_changes() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").start().await;
    let ended = || tollgate.logs().matches("flow ended").count();
    RawClient::ask(tollgate.address(), GET).await;
    tollgate.set_options("log_level = \"info,tollgate::flow=debug\"").await;
    RawClient::ask(tollgate.address(), GET).await;
    eventually(async || ended() > 0).await;
    assert_eq!(ended(), 1);
}

#[tokio::test]
async fn wrong_options_are_refused_with_their_place() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    tollgate.set_options("max_header_count = 5").await;
    tollgate.set_options("body_size_limit = \"3x\"\nblock_list = ['/~u a/404', '/~u (/404']\nanticahce = true").await;
    for expected in [
        "options.body_size_limit: must be a size (bytes, or with a unit like 64KiB or 3m) from 0 to 1048576GiB, or null",
        "options.block_list: entry 1: the filter is wrong: position 3:",
        "options.anticahce: no such option; did you mean anticache?",
    ] {
        assert!(tollgate.logs().contains(expected), "{expected}");
    }
    // What was in force stays.
    assert_eq!(status(Version::Http1, &tollgate, 5, 1).await, 431);
    let config = tollgate.config_path();
    let checked = Tollgate::run(&["check", "--config", &config.to_string_lossy()]).await;
    assert_eq!(checked.status.code(), Some(2));
    assert_eq!(checked.stderr.matches("options.").count(), 3, "{}", checked.stderr);
    let secret = ["--set", "options.modify_headers=[\"/authorization/Bearer s3cret\\r\"]"];
    let checked = Tollgate::run(&[&["check", "--reverse", "http://127.0.0.1:1@0"][..], &secret].concat()).await;
    assert!(checked.stderr.contains("options.modify_headers: entry 0: not a field value"), "{}", checked.stderr);
    assert!(!checked.stderr.contains("s3cret"), "{}", checked.stderr);
}
