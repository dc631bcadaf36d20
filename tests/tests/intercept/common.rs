//! What tests of interception share: a proxy with an authority of its own, and clients that go through CONNECT.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tollgate_tests::{Authority, Builder, RawClient, Response, Tollgate, Wire, within};

/// An authority as `tollgate ca init` makes it.
pub(crate) struct Ca(TempDir);

impl Ca {
    pub(crate) async fn new() -> Self {
        let ca = Self(tempfile::tempdir().expect("a directory"));
        let path = |name: &str| ca.path(name).to_string_lossy().into_owned();
        let made = Tollgate::run(&["ca", "init", "--ca", &path("ca.pem"), "--key", &path("ca.key")]).await;
        assert!(made.status.success(), "{}", made.stderr);
        ca
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A forward listener `main` with this authority, that reaches all ports and trusts `upstreams`.
    pub(crate) fn before(&self, upstreams: &Authority) -> Builder {
        let builder = Tollgate::builder().forward("main").set("listener.main.targets.connect_ports", "any");
        builder
            .set("listener.main.tls.ca", format!("{:?}", self.path("ca.pem").to_string_lossy()))
            .set("listener.main.tls.key", format!("{:?}", self.path("ca.key").to_string_lossy()))
            .upstream_ca(upstreams)
    }

    /// A client that trusts this authority alone.
    pub(crate) fn trusted(&self, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// A connection for which CONNECT was answered with 200.
pub(crate) async fn connect(proxy: SocketAddr, authority: &str) -> TcpStream {
    let mut stream = within(TcpStream::connect(proxy)).await.expect("a connection");
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    within(stream.write_all(request.as_bytes())).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 200 Connection established\r\n"), "{}", head.escape_ascii());
    stream
}

/// What a refused CONNECT got.
pub(crate) async fn refused(proxy: SocketAddr, authority: &str) -> Response {
    RawClient::ask(proxy, format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await
}

/// TLS inside, to a server of this name.
pub(crate) async fn tls(stream: TcpStream, name: &str, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// HTTP/1 inside of TLS inside of CONNECT.
pub(crate) async fn inside(proxy: SocketAddr, ca: &Ca, host: &str, port: u16) -> Wire {
    let stream = connect(proxy, &format!("{host}:{port}")).await;
    wire(tls(stream, host, ca.trusted(&["http/1.1"])).await.expect("TLS"))
}

pub(crate) fn wire(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static) -> Wire {
    let (reader, writer) = tokio::io::split(stream);
    Wire::new(reader, writer)
}

/// Sends a request and reads its response.
pub(crate) async fn ask(wire: &mut Wire, request: impl AsRef<[u8]>) -> Response {
    within(wire.send(request)).await.expect("sent");
    within(wire.response("GET")).await.expect("a response")
}

/// A counter of the proxy: the first line that begins with this.
pub(crate) async fn metric(tollgate: &Tollgate, name: &str) -> u64 {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let metrics = RawClient::ask(tollgate.admin(), request).await.text();
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The counter of what became of CONNECT.
pub(crate) async fn outcome(tollgate: &Tollgate, outcome: &str) -> u64 {
    metric(tollgate, &format!("tollgate_interceptions_total{{listener=\"main\",outcome=\"{outcome}\"}}")).await
}
