//! A forward listener with addons that decide about CONNECT.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tollgate_tests::{
    Authority, RawClient, Response,
    addons::{Hosted, HostedBuilder},
    within,
};

use crate::intercepting::{Ca, ask, connect, tls, wire};

/// A forward listener `forward` that reaches all ports and trusts `upstreams`, with this script as the addon `a`. It looks into CONNECT
/// if there is an authority.
pub(crate) fn gate(ca: Option<&Ca>, upstreams: &Authority, script: &Value) -> HostedBuilder {
    let trusted = format!("{:?}", upstreams.ca().to_string_lossy());
    let mut gate = Hosted::before("http://127.0.0.1:1")
        .scripted("a", script)
        .with(|builder| builder.forward("forward"))
        .set("listener.forward.targets.connect_ports", "any")
        .set("listener.forward.upstream_ca", trusted);
    if let Some(ca) = ca {
        for (key, file) in [("ca", "ca.pem"), ("key", "ca.key")] {
            gate = gate.set(&format!("listener.forward.tls.{key}"), format!("{:?}", ca.path(file).to_string_lossy()));
        }
    }
    gate
}

/// A path as a setting.
pub(crate) fn quoted(path: &std::path::Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

/// What a CONNECT gets where it gets no tunnel.
pub(crate) async fn refused(proxy: SocketAddr, authority: &str) -> Response {
    asked(proxy, authority, "").await
}

/// The same with more fields.
pub(crate) async fn asked(proxy: SocketAddr, authority: &str, fields: &str) -> Response {
    let mut client = RawClient::connect(proxy).await;
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n")).await;
    client.response_to("GET").await
}

/// Whether the client meets the proxy's own certificate behind CONNECT: if not, it must be the upstream's.
pub(crate) async fn is_intercepted(proxy: SocketAddr, ca: &Ca, upstreams: &Authority, host: &str, port: u16) -> bool {
    let authority = format!("{host}:{port}");
    let by_proxy = tls(connect(proxy, &authority).await, host, ca.trusted(&["http/1.1"])).await.is_ok();
    let pinned = (*upstreams.client_config(&["http/1.1"])).clone();
    let by_upstream = tls(connect(proxy, &authority).await, host, pinned).await.is_ok();
    assert_ne!(by_proxy, by_upstream, "{authority}");
    by_proxy
}

/// One request inside of a CONNECT that is looked into.
pub(crate) async fn within_tls(proxy: SocketAddr, ca: &Ca, host: &str, port: u16) -> Response {
    let stream = connect(proxy, &format!("{host}:{port}")).await;
    let mut wire = wire(tls(stream, host, ca.trusted(&["http/1.1"])).await.expect("TLS"));
    ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")).await
}

/// A connection for which CONNECT with these fields was answered with 200.
pub(crate) async fn connect_with(proxy: SocketAddr, authority: &str, fields: &str) -> TcpStream {
    let mut stream = within(TcpStream::connect(proxy)).await.expect("a connection");
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n");
    within(stream.write_all(request.as_bytes())).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", head.escape_ascii());
    stream
}
