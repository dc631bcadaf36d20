//! Certificates that are for what the upstream's is for.

use std::net::SocketAddr;

use serde_json::json;
use tollgate_tests::{Authority, Echo};

use crate::{
    common::gate,
    intercepting::{Ca, ask, connect, tls, wire},
};

/// The names of the certificate that a client meets, as openssl reads them; none: no handshake.
async fn names(proxy: SocketAddr, ca: &Ca, host: &str, port: u16) -> Option<String> {
    let stream = connect(proxy, &format!("{host}:{port}")).await;
    let stream = tls(stream, host, ca.trusted(&["http/1.1"])).await.ok()?;
    let der = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).expect("a certificate").to_vec();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), der).expect("a file");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["x509", "-inform", "der", "-noout", "-ext", "subjectAltName", "-in"]).arg(file.path());
    let output = openssl.output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().nth(1).map(|line| line.trim().to_owned())
}

#[tokio::test]
async fn names_of_the_upstream_are_taken_over() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let identity = upstreams.identity("many", &["b.test", "Localhost", "*.wild.test", "127.0.0.1"]);
    let origin = Echo::tls(&identity, &["http/1.1"]).await;
    let port = origin.address().port();
    for mirror in ["prefer", "require"] {
        let before = origin.connections();
        let host = gate(Some(&ca), &upstreams, &json!({})).set("listener.forward.tls.mirror", mirror).start().await;
        let proxy = host.address_of("forward");
        for _ in 0..2 {
            let names = names(proxy, &ca, "localhost", port).await;
            assert_eq!(names.as_deref(), Some("DNS:localhost, DNS:b.test, DNS:*.wild.test, IP Address:127.0.0.1"));
        }
        assert_eq!(origin.connections(), before + 1, "asked once");
        let stream = connect(proxy, &format!("127.0.0.1:{port}")).await;
        let mut wire = wire(tls(stream, "127.0.0.1", ca.trusted(&["http/1.1"])).await.expect("TLS"));
        assert_eq!(ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")).await.status, 200);
    }
}

#[tokio::test]
async fn by_default_no_upstream_is_asked() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let host = gate(Some(&ca), &upstreams, &json!({})).start().await;
    let names = names(host.address_of("forward"), &ca, "localhost", origin.address().port()).await;
    assert_eq!((names.as_deref(), origin.connections()), (Some("DNS:localhost"), 0));
}

#[tokio::test]
async fn without_names_there_is_the_asked_one_or_nothing() {
    let (ca, upstreams, others) = (Ca::new().await, Authority::new(), Authority::new());
    let trusted = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let stranger = Echo::tls(&others.localhost(), &["http/1.1"]).await;
    let other_name = Echo::tls(&upstreams.identity("b", &["b.test"]), &["http/1.1"]).await;
    let cleartext = Echo::http1().await;
    let many: Vec<String> =
        std::iter::once("localhost".to_owned()).chain((0..100).map(|number| format!("{number}.test"))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let crowd = Echo::tls(&upstreams.identity("crowd", &many), &["http/1.1"]).await;
    for (mirror, expected) in [("prefer", Some("DNS:localhost")), ("require", None)] {
        let host = gate(Some(&ca), &upstreams, &json!({})).set("listener.forward.tls.mirror", mirror).start().await;
        for port in
            [1, stranger.address().port(), other_name.address().port(), cleartext.address().port(), crowd.address().port()]
        {
            let names = names(host.address_of("forward"), &ca, "localhost", port).await;
            assert_eq!(names.as_deref(), expected, "{mirror} {port}");
        }
        // What may not be reached is not asked.
        let before = trusted.connections();
        let deny = "[\"127.0.0.0/8\", \"::1\"]";
        let host = gate(Some(&ca), &upstreams, &json!({}))
            .set("listener.forward.tls.mirror", mirror)
            .set("listener.forward.targets.deny", deny)
            .start()
            .await;
        let names = names(host.address_of("forward"), &ca, "localhost", trusted.address().port()).await;
        assert_eq!((names.as_deref(), trusted.connections()), (expected, before), "{mirror}");
    }
}
