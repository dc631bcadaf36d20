//! Proxies that refuse, break off, stay silent or talk nonsense.

use tollgate_tests::{Builder, Client, RawClient, RawOrigin, Tollgate, Version};

use crate::common::{Scripted, Socks, by_way_of, head};

/// What a client is told, and whether the log names the proxy.
async fn told(builder: Builder, proxy: &str) -> (u16, String) {
    let tollgate = builder.start().await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/a?token=secret").await;
    tollgate.logged(proxy).await;
    assert!(!answer.text().contains(proxy) && answer.header("proxy-authenticate").is_none(), "{}", answer.text());
    assert_eq!(answer.json()["errcode"], "M_UNKNOWN");
    (answer.status.as_u16(), answer.text())
}

#[tokio::test]
async fn refusals_of_http_proxies_are_told() {
    for (status, expected, text) in [
        ("407 Who", 502, "does not take these credentials"),
        ("403 No", 502, "refused with 403 Forbidden"),
        ("502 Bad", 502, "refused with 502 Bad Gateway"),
        ("504 Late", 504, "refused with 504 Gateway Timeout"),
    ] {
        let proxy = Scripted::answering(status).await;
        let (status, told) = told(by_way_of(&proxy.url(), "https://a.test"), &proxy.address().to_string()).await;
        assert_eq!(status, expected, "{told}");
        assert!(told.contains(text), "{text}: {told}");
        assert_eq!(proxy.targets(), ["a.test:443"]);
    }
    // Who is asked for URLs answers for others: only what is about this proxy's credentials is no answer of theirs.
    let proxy = Scripted::answering("407 Who").await;
    let tollgate = by_way_of(&proxy.url(), "http://a.test").start().await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
    assert_eq!((answer.status.as_u16(), answer.header("proxy-authenticate")), (502, None));
    assert!(answer.text().contains("does not take these credentials"), "{}", answer.text());
    let proxy = Scripted::answering("403 No").await;
    let tollgate = by_way_of(&proxy.url(), "http://a.test").start().await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (403, "no"));
}

#[tokio::test]
async fn credentials_go_to_the_proxy_and_no_further() {
    let proxy = Scripted::answering("200 OK").await;
    let with_user = proxy.url().replace("http://", "http://us%65r:p%40ss@");
    let tollgate = by_way_of(&with_user, "http://a.test").log("trace").start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.text(), "no");
    let heads = proxy.heads();
    assert!(heads.len() == 1 && heads[0].contains("\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{heads:?}");
    assert!(!tollgate.logs().contains("p@ss") && !tollgate.logs().contains("dXNlcjpwQHNz"));
    let origin = RawOrigin::ok().await;
    let second = Tollgate::forward().await;
    let with_user = second.url().replace("http://", "http://user:pass@");
    for tunnel in [false, true] {
        let builder = by_way_of(&with_user, &origin.url()).set("listener.main.preserve_host", tunnel);
        assert_eq!(Client::fetch(Version::Http1, builder.start().await.address(), "/").await.text(), "ok");
    }
    assert!(origin.requests().iter().all(|request| !request.fields.has("proxy-authorization")));
}

#[tokio::test]
async fn broken_proxies_end_flows_alone() {
    let hello = RawOrigin::start(|mut conversation| async move {
        let _ = head(&mut conversation).await;
        let _ = conversation.send("SSH-2.0-x\r\n\r\n").await;
        conversation.close().await;
    });
    let closing = RawOrigin::start(|conversation| async move { drop(conversation) });
    let endless = RawOrigin::start(|mut conversation| async move {
        let _ = head(&mut conversation).await;
        let line = format!("X: {}\r\n", "x".repeat(1000));
        let _ = conversation.send("HTTP/1.1 200 OK\r\n").await;
        while conversation.send(&line).await.is_ok() {}
    });
    for (proxy, text) in [
        (hello.await, "not HTTP/1.1"),
        (closing.await, "closed the connection"),
        (endless.await, "the head of its answer is too large"),
    ] {
        let (status, told) = told(by_way_of(&proxy.url(), "https://a.test"), &proxy.address().to_string()).await;
        assert!(status == 502 && told.contains(text), "{text}: {status} {told}");
    }
    let silent = RawOrigin::start(|mut conversation| async move { drop(conversation.take_all().await) }).await;
    for url in [silent.url(), silent.url().replace("http", "socks5"), silent.url().replace("http", "https")] {
        let builder = by_way_of(&url, "https://a.test").set("listener.main.timeouts.connect", "200ms");
        let tollgate = builder.start().await;
        let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
        assert_eq!(answer.status, 504, "{url}: {}", answer.text());
    }
}

#[tokio::test]
async fn refusals_of_socks_are_told() {
    let nobody = RawOrigin::start(|conversation| async move { drop(conversation) }).await.address();
    let socks = Socks::start(None).await;
    let upstream = format!("http://{nobody}");
    let tollgate = by_way_of(&socks.url(), &upstream).start().await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let wants = Socks::start(Some(("user", "password"))).await;
    let tollgate = by_way_of(&wants.url(), "http://a.test").start().await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
    assert!(answer.status == 502 && answer.text().contains("does not take these credentials"), "{}", answer.text());
}

#[tokio::test]
async fn tunnels_fail_as_they_would_without() {
    let proxy = Scripted::answering("403 No").await;
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("listener.main.targets.connect_ports", "any")
        .set("listener.main.proxy", format!("{:?}", proxy.url()))
        .start()
        .await;
    let answer = RawClient::ask(tollgate.address(), "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("refused with 403 Forbidden"), "{}", answer.text());
}
