//! TLS inside of CONNECT: which certificate, and what becomes of clients that do not take it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tollgate_tests::{Authority, Curl, Echo, eventually, within};

use crate::common::{Ca, ask, connect, inside, outcome, tls, wire};

#[tokio::test]
async fn curl_goes_through_with_both_versions() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["h2", "http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{}/a?b", origin.address().port());
            let curl = Curl::new(&url).args(&[flag, "--noproxy", "", "--proxy", &tollgate.url(), "--cacert"]);
            let answer = curl.arg(ca.path("ca.pem")).run().await;
            assert_eq!((answer.code, answer.status, &*answer.version), (0, 200, version), "{}", answer.stderr);
            let echoed: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!((&echoed["target"], &echoed["method"]), (&"/a?b".into(), &"GET".into()), "{echoed}");
        }
    }
    assert_eq!(outcome(&tollgate, "tls").await, 4);
}

#[tokio::test]
async fn clients_that_do_not_trust_are_counted_and_told_of() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    // One that takes the certificates of its server's own authority alone, as pinned clients do.
    let pinned = upstreams.client_config(&["http/1.1"]);
    for _ in 0..2 {
        let stream = connect(tollgate.address(), &format!("localhost:{}", origin.address().port())).await;
        assert!(tls(stream, "localhost", (*pinned).clone()).await.is_err());
    }
    eventually(async || outcome(&tollgate, "refused").await == 2).await;
    tollgate.logged("then name the host in tls.tunnel").await;
    let warnings = tollgate.logs().lines().filter(|line| line.contains("WARN") && line.contains("tls.tunnel")).count();
    assert_eq!((warnings, origin.connections()), (1, 0));
}

#[tokio::test]
async fn without_a_name_in_tls_that_of_connect_counts() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    let authority = format!("localhost:{}", origin.address().port());
    let mut config = ca.trusted(&["http/1.1"]);
    config.enable_sni = false;
    let mut wire = wire(tls(connect(tollgate.address(), &authority).await, "localhost", config).await.expect("TLS"));
    assert_eq!(ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await.status, 200);
}

#[tokio::test]
async fn another_name_in_tls_is_misdirected() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    for (authority, name) in [("localhost", "other.test"), ("127.0.0.1", "localhost")] {
        let authority = format!("{authority}:{}", origin.address().port());
        let stream = connect(tollgate.address(), &authority).await;
        let mut wire = wire(tls(stream, name, ca.trusted(&["http/1.1"])).await.expect("TLS"));
        let answer = ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await;
        assert_eq!(answer.status, 421, "{answer:?}");
        assert!(answer.text().contains("SNI"), "{answer:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn certificates_are_for_the_name_of_connect() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).start().await;
    let mut config = ca.trusted(&[]);
    config.enable_sni = false;
    // The client verifies another name than the one that it named.
    let refused = tls(connect(tollgate.address(), "a.test:443").await, "b.test", config.clone()).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("not valid for name")));
    assert!(tls(connect(tollgate.address(), "a.test:443").await, "a.test", config).await.is_ok());
}

#[tokio::test]
async fn handshakes_have_a_deadline() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).set("listener.main.timeouts.header_read", "1s").start().await;
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = connect(tollgate.address(), "a.test:443").await;
        within(stream.write_all(beginning)).await.expect("sent");
        let mut rest = Vec::new();
        // The end, or a reset.
        let _ = within(stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }
    eventually(async || outcome(&tollgate, "late").await == 3).await;
}

#[tokio::test]
async fn what_is_no_handshake_ends_the_connection() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).start().await;
    for (bytes, expected) in [(&b"\x00\x01\x02"[..], "unknown"), (b"\x16\x03\x01\xff\xff\x00", "aborted")] {
        let mut stream = connect(tollgate.address(), "a.test:443").await;
        within(stream.write_all(bytes)).await.expect("sent");
        let _ = within(stream.read_to_end(&mut Vec::new())).await;
        eventually(async || outcome(&tollgate, expected).await == 1).await;
    }
    drop(connect(tollgate.address(), "a.test:443").await);
    eventually(async || outcome(&tollgate, "aborted").await == 2).await;
}

#[tokio::test]
async fn tls_may_be_split_anywhere() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    let port = origin.address().port();
    let mut wire = inside(tollgate.address(), &ca, "localhost", port).await;
    for piece in ["GE", "T / HTT", "P/1.1\r\nHost: LOCALHOST:", &port.to_string(), "\r\n\r"] {
        within(wire.send(piece)).await.expect("sent");
    }
    assert_eq!(ask(&mut wire, "\n").await.status, 200);
}

#[tokio::test]
async fn secrets_are_logged_where_the_environment_says_so() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let file = ca.path("keys.log");
    let tollgate = ca.before(&upstreams).env("SSLKEYLOGFILE", &file.to_string_lossy()).start().await;
    let port = origin.address().port();
    let mut wire = inside(tollgate.address(), &ca, "localhost", port).await;
    assert_eq!(ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")).await.status, 200);
    let log = std::fs::read_to_string(file).expect("a file");
    // One connection to the client, one to the origin.
    assert_eq!(log.lines().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).count(), 2, "{log}");
    tollgate.logged("SSLKEYLOGFILE is set").await;
}
