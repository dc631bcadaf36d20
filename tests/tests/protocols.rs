//! HTTP/1.1 and HTTP/2 on either side, in cleartext and over TLS.

use tollgate_tests::{Client, Curl, Echo, RawOrigin, Tollgate, Version};

#[tokio::test]
async fn smoke() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for version in Version::BOTH {
        assert_eq!(Client::fetch(version, tollgate.address(), "/a").await.text(), "ok");
    }
    let answer = Curl::new(&tollgate.url()).run().await;
    assert_eq!((answer.code, answer.status, &answer.body[..]), (0, 200, &b"ok"[..]), "{answer:?}");
    origin.assert_strict();
    eprintln!("{} {}", tollgate.rss() >> 20, tollgate.peak_rss() >> 20);
    eprintln!("{}", tollgate.logs());
    let echo = Echo::http2().await;
    let tollgate = Tollgate::builder().upstream(&echo.url()).set("listener.main.upstream_protocol", "h2").start().await;
    for version in Version::BOTH {
        eprintln!("{:?}", Client::fetch(version, tollgate.address(), "/a").await.echoed());
    }
}
