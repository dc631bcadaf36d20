//! An origin upon hyper that tells what it was asked.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    body::{BoxBody, channel, empty, full},
    tls::Identity,
};

/// Answers every request with [`Echoed`] as JSON, but
/// - `/status/N` with that status and no body,
/// - `/bytes/N` with N bytes `x`,
/// - `/trailers` with the body `ok` and the trailer `x-sum: 1`.
///
/// It stops when it is dropped.
pub struct Echo {
    address: SocketAddr,
    scheme: &'static str,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What a request was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echoed {
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// As sent.
    pub method: String,
    /// Path and query, or what HTTP/1 had in their place.
    pub target: String,
    /// `:authority` of HTTP/2; Host is among the headers.
    pub authority: Option<String>,
    /// In the order of their first names, in lower case; bytes above ASCII as Latin-1.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub length: u64,
    /// SHA-256 of the body, in hexadecimal digits.
    pub sha256: String,
    /// What followed the body.
    pub trailers: Vec<(String, String)>,
    /// Which of the origin's connections it came over, from 0.
    pub connection: usize,
}

#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

impl Echo {
    /// HTTP/1.1 in cleartext.
    pub async fn http1() -> Self {
        Self::start(Protocol::Http1, None).await
    }

    /// HTTP/2 in cleartext, with prior knowledge.
    pub async fn http2() -> Self {
        Self::start(Protocol::Http2, None).await
    }

    /// TLS with HTTP/2 or HTTP/1.1, as `alpn` offers them and the client chooses.
    pub async fn tls(identity: &Identity, alpn: &[&str]) -> Self {
        Self::start(Protocol::Http1, Some(TlsAcceptor::from(identity.server_config(alpn)))).await
    }

    /// The same with TLS as it is given.
    pub async fn tls_with(config: Arc<rustls::ServerConfig>) -> Self {
        Self::start(Protocol::Http1, Some(TlsAcceptor::from(config))).await
    }

    async fn start(protocol: Protocol, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let requests = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let (asked, accepted) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = accepted.fetch_add(1, SeqCst);
                let (tls, asked) = (tls.clone(), Arc::clone(&asked));
                let _ = stream.set_nodelay(true);
                tasks.spawn(async move {
                    let Some(tls) = tls else { return serve(stream, protocol, connection, asked).await };
                    if let Ok(stream) = tls.accept(stream).await {
                        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
                        serve(stream, protocol, connection, asked).await;
                    }
                });
                while tasks.try_join_next().is_some() {}
            }
        });
        Self { address, scheme, requests, connections, task }
    }

    /// As an upstream is written, with the address as host.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Echoed {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    protocol: Protocol,
    connection: usize,
    asked: Arc<AtomicUsize>,
) {
    let service = service_fn(move |request| {
        asked.fetch_add(1, SeqCst);
        async move { Ok::<_, Infallible>(answer(request, connection).await) }
    });
    let stream = TokioIo::new(stream);
    // How a connection ends is for the test to see.
    let _ = match protocol {
        Protocol::Http1 => http1::Builder::new().serve_connection(stream, service).await,
        Protocol::Http2 => http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await,
    };
}

async fn answer(request: Request<Incoming>, connection: usize) -> Response<BoxBody> {
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let (mut length, mut sha, mut trailers) = (0, Sha256::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { break };
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                sha.update(&data);
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    if let Some(status) = path.strip_prefix("/status/") {
        let mut response = Response::new(empty());
        *response.status_mut() = status.parse().unwrap_or(StatusCode::NOT_FOUND);
        return response;
    }
    if let Some(count) = path.strip_prefix("/bytes/") {
        return Response::new(full(vec![b'x'; count.parse().unwrap_or_default()]));
    }
    if path == "/trailers" {
        return with_trailers();
    }
    let echoed = Echoed {
        version: format!("{:?}", parts.version),
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string),
        authority: parts.uri.authority().map(ToString::to_string),
        headers: pairs(&parts.headers),
        length,
        sha256: sha.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
        trailers: pairs(&trailers),
        connection,
    };
    let mut response = Response::new(full(serde_json::to_vec(&echoed).expect("JSON")));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn with_trailers() -> Response<BoxBody> {
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))]);
    let (sender, body) = channel();
    tokio::spawn(async move {
        if sender.send("ok").await {
            sender.trailers(trailers).await;
        }
    });
    let mut response = Response::new(body);
    response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
    response
}

fn pairs(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().iter().map(|&byte| char::from(byte)).collect())).collect()
}
