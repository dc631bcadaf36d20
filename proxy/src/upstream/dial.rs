//! Plain connections to a server of the proxy's own, like the one of its state.

use std::{io, sync::Arc};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::ConnectError;

/// Where a server is, and whether it is spoken to in TLS.
#[derive(Clone)]
pub struct Dial {
    /// Name or address, without brackets.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Trust, if TLS is spoken. No protocol is negotiated.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// Bytes in both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Dial {
    /// A fresh connection. There is no time limit.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(ConnectError::Connect)?;
        stream.set_nodelay(true).map_err(ConnectError::Connect)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.to_string()).map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let mut config = (**tls).clone();
        config.alpn_protocols.clear();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(ConnectError::Tls)?;
        Ok(Box::new(stream))
    }
}
