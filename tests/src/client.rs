//! A well-behaved client upon hyper: the same requests over HTTP/1.1 and HTTP/2.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use crate::{
    body::{BoxBody, empty},
    echo::Echoed,
    patience::within,
};

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in cleartext with prior knowledge.
    Http2,
}

/// One connection. Every wait of its methods ends when patience does, with a panic.
pub struct Client {
    sender: Sender,
    /// Scheme and authority of targets that have none.
    base: String,
    connection: JoinHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<BoxBody>),
    Http2(http2::SendRequest<BoxBody>),
}

/// A response read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// As sent.
    pub status: StatusCode,
    /// As sent.
    pub headers: HeaderMap,
    /// Framing taken off.
    pub body: Bytes,
    /// What followed the body.
    pub trailers: HeaderMap,
}

impl Version {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];
}

impl Client {
    /// Connects in cleartext.
    pub async fn connect(version: Version, address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self::over(stream, version, format!("http://{address}")).await.expect("HTTP")
    }

    /// Connects with TLS to `localhost`, and speaks what ALPN finds; nothing found is HTTP/1.1.
    pub async fn connect_tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let stream = within(TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = within(TlsConnector::from(config).connect(name, stream)).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let version = if is_http2 { Version::Http2 } else { Version::Http1 };
        Self::over(stream, version, format!("https://localhost:{}", address.port())).await.map_err(io::Error::other)
    }

    /// Over a connection that is there; targets without authority get this one's, as `http://host:port`.
    pub async fn over_stream(stream: TcpStream, version: Version, base: &str) -> Self {
        Self::over(stream, version, base.to_owned()).await.expect("HTTP")
    }

    /// The same over any stream, as of a tunnel; `base` may be `https://host:port`.
    pub async fn within(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, version: Version, base: &str) -> Self {
        Self::over(stream, version, base.to_owned()).await.expect("HTTP")
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        version: Version,
        base: String,
    ) -> hyper::Result<Self> {
        let stream = TokioIo::new(stream);
        let (sender, connection) = match version {
            Version::Http1 => {
                let (sender, connection) = within(http1::handshake(stream)).await?;
                (Sender::Http1(sender), tokio::spawn(async move { drop(connection.await) }))
            }
            Version::Http2 => {
                let builder = http2::Builder::new(TokioExecutor::new());
                let (sender, connection) = within(builder.handshake(stream)).await?;
                (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Self { sender, base, connection })
    }

    /// What is spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::Http1,
            Sender::Http2(_) => Version::Http2,
        }
    }

    /// Sends a request and reads the head of its response. A target without authority gets the connection's, and HTTP/1 a
    /// Host if none is set.
    pub async fn open(&mut self, request: Request<BoxBody>) -> hyper::Result<Response<Incoming>> {
        within(self.start(request)).await
    }

    /// The same, but only started: the request goes out, and the future waits for the response without an end to its
    /// patience. Requests of one HTTP/2 connection can be under way at once.
    pub fn start(&mut self, mut request: Request<BoxBody>) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                let base = self.base.rsplit('/').next().unwrap_or_default();
                let authority = request.uri().authority().map_or(base, |authority| authority.as_str());
                if !request.headers().contains_key("host") {
                    let host = authority.parse().expect("a host");
                    request.headers_mut().insert("host", host);
                }
                if let Some(target) = request.uri().path_and_query().cloned() {
                    *request.uri_mut() = Uri::from(target);
                }
                Ok(sender.send_request(request))
            }
            Sender::Http2(sender) => {
                if request.uri().authority().is_none() {
                    let uri = format!("{}{}", self.base, request.uri());
                    *request.uri_mut() = uri.parse().expect("a target");
                }
                *request.version_mut() = http::Version::HTTP_2;
                Err(sender.send_request(request))
            }
        };
        async move {
            match response {
                Ok(response) => response.await,
                Err(response) => response.await,
            }
        }
    }

    /// Waits until another request can be sent.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        match &mut self.sender {
            Sender::Http1(sender) => within(sender.ready()).await,
            Sender::Http2(sender) => within(sender.ready()).await,
        }
    }

    /// Sends a request and reads its response to the end.
    pub async fn try_ask(&mut self, request: Request<BoxBody>) -> hyper::Result<Answer> {
        let response = self.open(request).await?;
        let answer = within(Answer::read(response)).await?;
        // HTTP/1 can be used again only when hyper has seen the end too; if it has been closed, the next request will tell.
        let _ = self.ready().await;
        Ok(answer)
    }

    /// Sends a request and reads its response to the end.
    pub async fn ask(&mut self, request: Request<BoxBody>) -> Answer {
        self.try_ask(request).await.expect("a response")
    }

    /// Asks for a path.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.ask(Request::get(target).body(empty()).expect("a request")).await
    }

    /// Connects and asks for a path.
    pub async fn fetch(version: Version, address: SocketAddr, target: &str) -> Answer {
        Self::connect(version, address).await.get(target).await
    }

    /// Waits until the connection has ended.
    pub async fn ended(&mut self) {
        let _ = within(&mut self.connection).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    /// Reads a response to its end.
    pub async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Self { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as what an [`crate::Echo`] origin saw.
    #[must_use]
    pub fn echoed(&self) -> Echoed {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no echo: {error}: {} {}", self.status, self.text()))
    }

    /// The first header of this name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
