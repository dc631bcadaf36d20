//! SOCKS 5.

use tollgate_tests::{Authority, Client, Echo, RawOrigin, SocketClient, SocketEnd, Tollgate, Version, sockets};

use crate::common::{Socks, by_way_of};

#[tokio::test]
async fn names_are_looked_up_by_the_proxy() {
    let (socks, authority) = (Socks::start(None).await, Authority::new());
    let origin = Echo::tls(&authority.identity("far", &["far.test"]), &["h2", "http/1.1"]).await;
    // Nobody here knows the name.
    let at = format!("far.test:{}", origin.address().port());
    let tollgate = by_way_of(&socks.url(), &format!("https://{at}")).upstream_ca(&authority).start().await;
    for version in Version::BOTH {
        let echoed = Client::fetch(version, tollgate.address(), "/a").await.echoed();
        assert_eq!((echoed.target.as_str(), echoed.authority.as_deref(), echoed.connection), ("/a", Some(at.as_str()), 0));
    }
    assert_eq!(socks.asked(), [at]);
    let plain = RawOrigin::ok().await;
    let tollgate = by_way_of(&socks.url(), &plain.url()).start().await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/b").await.text(), "ok");
    }
    assert_eq!((plain.targets().len(), plain.connections()), (3, 1));
    assert_eq!(socks.asked()[1..], [plain.address().to_string()]);
    assert_eq!(plain.targets()[0], "/b");
}

#[tokio::test]
async fn passwords_come_from_files_and_the_environment() {
    let (socks, origin) = (Socks::start(Some(("user", "hunter2"))).await, RawOrigin::ok().await);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "hunter2\n").expect("a file");
    let start = || by_way_of(&socks.url_for("user"), &origin.url());
    let in_url =
        Tollgate::builder().upstream(&origin.url()).set("listener.main.proxy", format!("{:?}", socks.url_for("user:hunter2")));
    for builder in [
        start().set("listener.main.proxy_password_file", format!("{:?}", file.to_string_lossy())),
        start().env("TOLLGATE_PROXY_PASSWORD", "hunter2"),
        in_url,
    ] {
        let tollgate = builder.log("trace").start().await;
        assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.text(), "ok");
        assert!(!tollgate.logs().contains("hunter2"), "{}", tollgate.logs());
    }
    let tollgate = start().env("TOLLGATE_PROXY_PASSWORD", "hunter3").start().await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("does not take these credentials"), "{}", answer.text());
    assert!(!answer.text().contains("hunter") && !tollgate.logs().contains("hunter3"));
}

#[tokio::test]
async fn a_new_password_is_taken_over() {
    let (socks, origin) = (Socks::start(Some(("user", "hunter2"))).await, RawOrigin::ok().await);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "wrong").expect("a file");
    let builder = by_way_of(&socks.url_for("user"), &origin.url());
    let tollgate = builder.set("listener.main.proxy_password_file", format!("{:?}", file.to_string_lossy())).start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.status, 502);
    std::fs::write(&file, "hunter2").expect("a file");
    tollgate.reload().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.text(), "ok");
}

#[tokio::test]
async fn sockets_go_through() {
    let (socks, sockets) = (Socks::start(None).await, sockets("", SocketEnd::echo).await);
    let tollgate = by_way_of(&socks.url(), &sockets.url()).start().await;
    let mut client = SocketClient::open(tollgate.address(), "").await;
    client.send(0x81, "hello").await;
    assert_eq!(client.frame().await.shown(), (0x81, "hello".to_owned()));
    assert_eq!(socks.asked(), [sockets.address().to_string()]);
}
