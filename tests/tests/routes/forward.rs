//! Routes of forward listeners, and inside of CONNECT.

use http::Request;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tollgate_tests::{Authority, Client, Echo, RawClient, RawOrigin, Tollgate, Version, empty, within};

use crate::common::{answering, before};

#[tokio::test]
async fn routes_serve_what_clients_ask_of_others() {
    let (origin, other) = (answering("origin").await, answering("other").await);
    let routes = format!(
        "[[listener.route]]\nhost = ['127.0.0.1']\npath = '/.well-known/x'\nanswer.json = {{ host = '{{host}}' }}\n\
         [[listener.route]]\npath = '/moved/{{x}}'\nupstream = '{}'\ntarget = '/{{x}}'\n",
        other.url()
    );
    // Lists are for what clients choose, and not for what the configuration says.
    let denied = format!("[\"127.0.0.1:{}\"]", other.address().port());
    let tollgate =
        Tollgate::builder().forward("main").config_toml(&routes).set("listener.main.targets.deny", denied).start().await;
    let ask = async |url: String| RawClient::ask(tollgate.address(), format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(ask(format!("{}/.well-known/x", origin.url())).await.json(), json!({"host": "127.0.0.1"}));
    assert_eq!(ask(format!("{}/moved/a", origin.url())).await.text(), "other");
    assert_eq!(ask(format!("{}/a", origin.url())).await.text(), "origin");
    assert_eq!((other.targets(), origin.targets()), (vec!["/a".to_owned()], vec!["/a".to_owned()]));
    // Who may not ask a host may not ask it for what is routed.
    assert_eq!(ask(format!("{}/moved/a", other.url())).await.status, 403);
    // Nor does it matter where a route leads, nor whether the name that was asked for is known.
    let strict = Tollgate::builder().forward("main").config_toml(&routes).set("listener.main.targets.deny", "[\"127.0.0.0/8\"]");
    let strict = strict.start().await;
    let ask = async |url: String| RawClient::ask(strict.address(), format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(ask("http://unknown.test/moved/b".to_owned()).await.text(), "other");
    assert_eq!(ask(format!("{}/a", origin.url())).await.status, 403);
}

#[tokio::test]
async fn routes_hold_inside_of_connect() {
    let (upstreams, origin) = (Authority::new(), RawOrigin::ok().await);
    let echo = Echo::tls(&upstreams.localhost(), &["h2", "http/1.1"]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    assert!(Tollgate::run(&["ca", "init", "--ca", &path("ca.pem"), "--key", &path("ca.key")]).await.status.success());
    let routes = format!(
        "[[listener.route]]\npath = '/port'\nhost = ['localhost:443']\nanswer.body = 'port'\n\
         [[listener.route]]\npath = '/answer'\nanswer.body = 'answer'\n[[listener.route]]\npath = '/elsewhere/{{x}}'\nupstream = '{}'\n",
        origin.url()
    );
    let tollgate = Tollgate::builder()
        .forward("main")
        .config_toml(&routes)
        .set("listener.main.targets.connect_ports", "any")
        .set("listener.main.tls", format!("{{ca = {:?}, key = {:?}}}", path("ca.pem"), path("ca.key")))
        .upstream_ca(&upstreams)
        .start()
        .await;
    let at = format!("localhost:{}", echo.address().port());
    for (alpn, version) in [("http/1.1", Version::Http1), ("h2", Version::Http2)] {
        let mut stream = within(TcpStream::connect(tollgate.address())).await.expect("a connection");
        within(stream.write_all(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes())).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.expect("a head"));
        }
        let stream = inside(stream, &path("ca.pem"), alpn).await;
        let mut client = Client::within(stream, version, &format!("https://{at}")).await;
        let mut ask = async |target: &str| client.ask(Request::get(target).body(empty()).expect("a request")).await;
        assert_eq!(ask("/answer").await.text(), "answer", "{version:?}");
        assert_eq!(ask("/elsewhere/a").await.text(), "ok", "{version:?}");
        assert_eq!(ask("/a").await.echoed().target, "/a", "{version:?}");
        // Another port is another host.
        assert_eq!(ask("/port").await.echoed().target, "/port", "{version:?}");
    }
    assert_eq!(origin.targets(), ["/elsewhere/a", "/elsewhere/a"]);
}

/// The port of a route's host is that of the scheme where nobody writes one; and addresses have many spellings.
#[tokio::test]
async fn no_way_of_writing_a_host_leads_past_a_route() {
    let (origin, proxy) = (RawOrigin::ok().await, answering("proxy").await);
    let routes = "[[listener.route]]\nhost = ['secret.test:80', '9.9.9.9:80', 'tls.test:443', '10.1']\n\
        answer = { status = 403, body = 'closed' }\n";
    let tollgate = Tollgate::builder().forward("main").config_toml(&format!("proxy = '{}'\n{routes}", proxy.url())).start().await;
    for url in [
        "http://secret.test/",
        "http://SECRET.test./",
        "http://secret.test:80/",
        "http://9.9.9.9/",
        "http://0x9.9.9.9/",
        "http://011.9.9.9:80/",
        "https://tls.test/",
        "http://10.0.0.1:81/",
        "http://012.0.0.1/",
        "http://167772161/",
    ] {
        let answer = RawClient::ask(tollgate.address(), format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, "closed"), "{url}");
    }
    assert_eq!(proxy.connections(), 0);
    let answer = RawClient::ask(tollgate.address(), "GET http://secret.test:81/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_ne!(answer.text(), "closed");
    assert!(proxy.connections() > 0);
    // Before a server it is the same.
    let reverse = before(&origin, routes).start().await;
    for (host, expected) in [("secret.test", "closed"), ("0x9.9.9.9.", "closed"), ("tls.test", "ok"), ("secret.test:81", "ok")] {
        let answer = RawClient::ask(reverse.address(), format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.text(), expected, "{host}");
    }
}

async fn inside(stream: TcpStream, ca: &str, alpn: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("a root");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = versions.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    within(connector.connect(ServerName::try_from("localhost").expect("a name"), stream)).await.expect("TLS")
}
