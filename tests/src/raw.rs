//! A client that sends exactly the bytes it is told to.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::{
    patience::within,
    wire::{Response, Wire, WireError},
};

/// One connection. Every wait of its methods ends when patience does, with a panic.
pub struct RawClient {
    wire: Wire,
    /// For what goes beyond bytes.
    socket: Option<std::net::TcpStream>,
    certificate: Option<CertificateDer<'static>>,
}

impl RawClient {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.expect("a connection");
        Self::over(stream)
    }

    /// Connects from this address of the machine.
    pub async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(source, 0)).expect("an address of this machine");
        Self::over(within(socket.connect(address)).await.expect("a connection"))
    }

    /// Over a connection that is there.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("no delay");
        let socket = duplicate(&stream);
        // Not `into_split`: its half for writing closes the connection in good order, even one that is to be reset.
        let (reader, writer) = tokio::io::split(stream);
        Self { wire: Wire::new(reader, writer), socket: Some(socket), certificate: None }
    }

    /// Connects with TLS; the server is taken for `localhost`.
    pub async fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let stream = within(TcpStream::connect(address)).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = within(TlsConnector::from(Arc::clone(config)).connect(name, stream)).await?;
        let certificate =
            stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|first| first.clone().into_owned());
        let (reader, writer) = tokio::io::split(stream);
        Ok(Self { wire: Wire::new(reader, writer), socket: None, certificate })
    }

    /// The certificate that the server showed.
    #[must_use]
    pub const fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }

    /// Sends bytes as they are. A peer that has closed is no error: reading will tell.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes).await;
    }

    /// Sends bytes as they are.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(self.wire.send(bytes)).await
    }

    /// Reads a response to a request that was not HEAD.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// Reads a response to a request with this method.
    pub async fn response_to(&mut self, method: &str) -> Response {
        match self.try_response(method).await {
            Ok(response) => response,
            Err(error) => panic!("no response: {error}"),
        }
    }

    /// Reads a response, or what came instead.
    pub async fn try_response(&mut self, method: &str) -> Result<Response, WireError> {
        within(self.wire.response(method)).await
    }

    /// Reads the head of the next response, interim ones included.
    pub async fn response_head(&mut self) -> Response {
        within(self.wire.response_head("GET")).await.expect("the head of a response")
    }

    /// The next piece of the body whose head was read. None at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, WireError> {
        within(self.wire.piece()).await
    }

    /// Takes exactly so many bytes.
    pub async fn take(&mut self, count: usize) -> Bytes {
        within(self.wire.take(count)).await.expect("bytes")
    }

    /// Everything until the peer closes or the connection is lost.
    pub async fn read_to_end(&mut self) -> Bytes {
        match within(self.wire.take_all()).await {
            Ok(bytes) => bytes,
            Err(_) => self.wire.buffer.split().freeze(),
        }
    }

    /// Waits for the end; panics if bytes come before it.
    pub async fn expect_end(&mut self) {
        let rest = self.read_to_end().await;
        assert!(rest.is_empty(), "bytes where none should be: {:?}", rest.escape_ascii().to_string());
    }

    /// Closes the sending side.
    pub async fn half_close(&mut self) {
        let _ = within(self.wire.finish()).await;
    }

    /// Ends the connection with a reset.
    pub fn reset(mut self) {
        if let Some(socket) = self.socket.take() {
            let stream = TcpStream::from_std(socket).expect("a socket");
            stream.set_zero_linger().expect("linger");
        }
    }

    /// The connection underneath.
    pub const fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Connects, sends a request and reads its response.
    pub async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
        let mut client = Self::connect(address).await;
        client.send(request).await;
        client.response().await
    }
}

/// The same socket once more, to set options of it.
pub(crate) fn duplicate(stream: &TcpStream) -> std::net::TcpStream {
    use std::os::fd::AsFd as _;
    stream.as_fd().try_clone_to_owned().expect("a descriptor").into()
}
