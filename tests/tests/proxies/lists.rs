//! Who is reached through which proxy, and who is not to be reached at all.

use tollgate_tests::{Client, RawClient, RawOrigin, Tollgate, Version, eventually};

use crate::common::{Scripted, Socks, by_way_of};

#[tokio::test]
async fn no_proxy_leads_straight_there() {
    let (origin, proxy) = (RawOrigin::ok().await, Scripted::start("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy").await);
    let port = origin.address().port();
    for (list, upstream, expected) in [
        ("[]", format!("http://127.0.0.1:{port}"), "proxy"),
        ("[\"127.0.0.0/8\"]", format!("http://127.0.0.1:{port}"), "ok"),
        ("[\"LOCALHOST\"]", format!("http://localhost:{port}"), "ok"),
        ("[\"localhost:1\"]", format!("http://localhost:{port}"), "proxy"),
        ("[\"*.test\"]", format!("http://localhost:{port}"), "proxy"),
        // Names are not looked up for networks.
        ("[\"127.0.0.0/8\"]", format!("http://localhost:{port}"), "proxy"),
    ] {
        let tollgate = by_way_of(&proxy.url(), &upstream).set("listener.main.no_proxy", list).start().await;
        let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
        assert_eq!(answer.text(), expected, "{list} {upstream}");
    }
}

#[tokio::test]
async fn upstreams_have_proxies_of_their_own() {
    let (origin, socks) = (RawOrigin::ok().await, Socks::start(None).await);
    let proxy = Scripted::start("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy").await;
    let upstreams = format!(
        "proxy = '{}'\n[[listener.upstreams]]\nname = 'straight'\nurl = '{}'\npath = '/straight'\nproxy = 'none'\n\
         [[listener.upstreams]]\nname = 'socks'\nurl = 'http://far.test:{}'\npath = '/socks'\nproxy = '{}'\n\
         [[listener.upstreams]]\nname = 'other'\nurl = 'http://other.test'\npath = '/other'\n",
        proxy.url(),
        origin.url(),
        origin.address().port(),
        socks.url()
    );
    let tollgate = Tollgate::builder().upstream("http://main.test").config_toml(&upstreams).start().await;
    for (path, expected) in [("/straight", "ok"), ("/socks", "ok"), ("/other", "proxy"), ("/", "proxy")] {
        assert_eq!(Client::fetch(Version::Http1, tollgate.address(), path).await.text(), expected, "{path}");
    }
    assert_eq!(socks.asked(), [format!("far.test:{}", origin.address().port())]);
    assert_eq!(proxy.targets(), ["http://other.test/other", "http://main.test/"]);
}

#[tokio::test]
async fn targets_are_denied_before_a_proxy_is_asked() {
    let proxy = Scripted::answering("200 OK").await;
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("listener.main.proxy", format!("{:?}", proxy.url()))
        .set(
            "listener.main.targets",
            "{ allow = [\"*\", \"private\"], deny = [\"127.0.0.0/8\", \"::1\", \"denied.test\"], connect_ports = \"any\" }",
        )
        .start()
        .await;
    for target in [
        "127.0.0.1",
        "127.9.9.9",
        "0x7f.1",
        "localhost",
        "a.localhost",
        "LOCALHOST.",
        "denied.test",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        let plain = RawClient::ask(tollgate.address(), format!("GET http://{target}/ HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(plain.status, 403, "{target}: {}", plain.text());
        let tunnel =
            RawClient::ask(tollgate.address(), format!("CONNECT {target}:443 HTTP/1.1\r\nHost: {target}:443\r\n\r\n")).await;
        assert_eq!(tunnel.status, 403, "{target}: {}", tunnel.text());
    }
    // The proxy's own address is none of a target.
    assert_eq!(proxy.connections(), 0);
    for _ in 0..2 {
        assert_eq!(RawClient::ask(tollgate.address(), "GET http://a.test/ HTTP/1.1\r\nHost: x\r\n\r\n").await.text(), "no");
    }
    assert_eq!(proxy.connections(), 1);
}

/// What was judged is what is asked for, whatever the proxy takes `010.0.0.1` for.
#[tokio::test]
async fn proxies_get_the_addresses_that_were_judged() {
    let proxy = Scripted::answering("200 OK").await;
    let builder = Tollgate::builder().forward("main").set("listener.main.proxy", format!("{:?}", proxy.url()));
    let tollgate = builder.set("listener.main.targets", "{ deny = [\"10.0.0.0/8\"] }").start().await;
    let ask = async |head: &str| RawClient::ask(tollgate.address(), format!("{head} HTTP/1.1\r\nHost: x\r\n\r\n")).await.status;
    assert_eq!(ask("GET http://012.0.0.1/").await, 403);
    assert_eq!(ask("GET http://010.0.0.1/a").await, 200);
    assert_eq!(ask("GET http://0x08.1:81/b").await, 200);
    let mut tunnel = RawClient::connect(tollgate.address()).await;
    tunnel.send("CONNECT 010.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    eventually(async || proxy.heads().len() == 3).await;
    assert_eq!(proxy.targets(), ["http://8.0.0.1/a", "http://8.0.0.1:81/b", "8.0.0.1:443"]);
    let hosts: Vec<_> =
        proxy.heads().iter().filter_map(|head| Some(head.split_once("Host: ")?.1.split_once('\r')?.0.to_owned())).collect();
    assert_eq!(hosts, ["8.0.0.1", "8.0.0.1:81", "8.0.0.1:443"]);
}

#[tokio::test]
async fn nothing_goes_back_into_this_proxy() {
    let proxy = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().forward("main").set("listener.main.proxy", format!("{:?}", proxy.url())).start().await;
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}/", tollgate.address().port());
        let answer = RawClient::ask(tollgate.address(), format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("leads back into this proxy"), "{}", answer.text());
    }
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn a_proxy_is_never_its_own() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().forward("forward").upstream("http://a.test").start().await;
    let url = tollgate.url_of("forward");
    for (proxy, upstream) in [(url.clone(), origin.url()), (url.replace("http", "socks5"), "https://a.test".to_owned())] {
        let entry = format!("name = \"main\"\nproxy = \"{proxy}\"");
        let before = tollgate.config();
        std::fs::write(tollgate.config_path(), before.replace("name = \"main\"", &entry).replace("http://a.test", &upstream))
            .expect("a file");
        tollgate.reload().await;
        let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
        assert_eq!(answer.status, 502, "{proxy}");
        assert!(answer.text().contains("it is this proxy itself"), "{}", answer.text());
        std::fs::write(tollgate.config_path(), before).expect("a file");
    }
    assert_eq!(origin.connections(), 0);
}
