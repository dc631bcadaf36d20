//! Upstreams that ask who the proxy is.

use serde_json::json;
use tollgate_tests::{Authority, Client, Echo, Identity, RawClient, Tollgate, Version};

use crate::{
    common::{gate, quoted, within_tls},
    intercepting::Ca,
};

/// An upstream that takes clients of this authority alone, and who the proxy is to it.
async fn strict(authority: &Authority) -> (Echo, Identity) {
    let origin = Echo::tls_with(authority.asking(&authority.localhost(), &["h2", "http/1.1"])).await;
    (origin, authority.identity("proxy", &["proxy.test"]))
}

#[tokio::test]
async fn upstreams_that_are_named_see_the_certificate() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let (origin, identity) = strict(&upstreams).await;
    let port = origin.address().port();
    for (hosts, expected) in [
        (Some("[\"localhost\"]".to_owned()), 200),
        (Some(format!("[\"a.test\", \"localhost:{port}\"]")), 200),
        (Some(format!("[\"*.localhost\", \"localhost:{}\"]", port ^ 1)), 502),
        (None, 502),
    ] {
        let mut builder = gate(Some(&ca), &upstreams, &json!({}));
        if let Some(hosts) = &hosts {
            builder = builder
                .set("listener.forward.client_cert", quoted(&identity.cert))
                .set("listener.forward.client_key", quoted(&identity.key))
                .set("listener.forward.client_cert_hosts", hosts);
        }
        let host = builder.start().await;
        let proxy = host.address_of("forward");
        assert_eq!(within_tls(proxy, &ca, "localhost", port).await.status, expected, "{hosts:?}");
        let whole = format!("GET https://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        assert_eq!(RawClient::ask(proxy, whole).await.status, expected, "{hosts:?}");
    }
}

#[tokio::test]
async fn reverse_listeners_show_it_to_their_upstream() {
    let upstreams = Authority::new();
    let (origin, identity) = strict(&upstreams).await;
    let url = format!("https://localhost:{}", origin.address().port());
    let both =
        std::fs::read_to_string(&identity.cert).expect("a file") + &std::fs::read_to_string(&identity.key).expect("a file");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("both.pem");
    std::fs::write(&file, both).expect("a file");
    let builder = || Tollgate::builder().upstream(&url).upstream_ca(&upstreams);
    let tollgate = builder().set("listener.main.client_cert", quoted(&file)).start().await;
    for version in Version::BOTH {
        assert_eq!(Client::fetch(version, tollgate.address(), "/").await.status, 200, "{version:?}");
    }
    assert_eq!(Client::fetch(Version::Http1, builder().start().await.address(), "/").await.status, 502);
}

#[tokio::test]
async fn who_verifies_nobody_still_says_who_it_is() {
    let (upstreams, others) = (Authority::new(), Authority::new());
    let (origin, identity) = strict(&upstreams).await;
    let url = format!("https://localhost:{}", origin.address().port());
    let tollgate = Tollgate::builder()
        .upstream(&url)
        .upstream_ca(&others)
        .set("listener.main.client_cert", quoted(&identity.cert))
        .set("listener.main.client_key", quoted(&identity.key))
        .start()
        .await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.status, 502);
    tollgate.set_options("ssl_insecure = true").await;
    tollgate.logged("INSECURE").await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.status, 200);
}

#[tokio::test]
async fn forward_listeners_verify_nobody_with_a_loud_warning() {
    let (ca, upstreams, others) = (Ca::new().await, Authority::new(), Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let host = gate(Some(&ca), &others, &json!({})).start().await;
    assert_eq!(within_tls(host.address_of("forward"), &ca, "localhost", port).await.status, 502);
    host.set_options("ssl_insecure = true").await;
    host.logged("INSECURE").await;
    assert_eq!(within_tls(host.address_of("forward"), &ca, "localhost", port).await.status, 200);
}

#[tokio::test]
async fn broken_identities_do_not_start() {
    let authority = Authority::new();
    let (one, other) = (authority.identity("one", &["a.test"]), authority.identity("other", &["a.test"]));
    let (cert, key) = (quoted(&one.cert), quoted(&other.key));
    let hosts = "[\"a.test\"]".to_owned();
    for (settings, expected) in [
        (vec![("client_cert", cert.clone()), ("client_key", key.clone()), ("client_cert_hosts", hosts.clone())], "other.key.pem"),
        (vec![("client_cert", cert.clone()), ("client_cert_hosts", hosts.clone())], "holds no private key"),
        (vec![("client_cert", cert.clone()), ("client_key", quoted(&one.key))], "client_cert_hosts: is missing"),
        (vec![("client_key", key.clone())], "must not be set where client_cert is not"),
        (vec![("client_cert", "\"nowhere\"".to_owned()), ("client_cert_hosts", hosts)], "cannot be read"),
        (vec![("client_cert", cert), ("client_key", key), ("client_cert_hosts", "[\"*\"]".to_owned())], "must be \"host\""),
    ] {
        let builder = Tollgate::builder().forward("main");
        let builder = settings.iter().fold(builder, |builder, (key, value)| builder.set(&format!("listener.main.{key}"), value));
        let ended = builder.run().await;
        assert!(!ended.status.success() && ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
}
