//! Proxies on the way to upstreams.
//!
//! A proxy is given the name of a host, and looks it up itself: what is asked about addresses ([`super::MayDial`]) can only be asked
//! where the name is an address, or `localhost`.

mod http;
mod socks;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use ::http::StatusCode;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::{ConnectError, Marks, MayDial, OwnAddresses, Settings, base::Base, connect::connect_tcp};
use crate::{
    hooks::FailureKind,
    http::{Authority, Field, Origin},
    socket::{End, Socket},
    targets::{Pattern, Target},
};

pub use socks::Reply;

/// By way of which proxies the flows of a listener go.
#[derive(Debug, Default)]
pub struct Proxies {
    /// For upstreams of which nothing else is said.
    pub otherwise: Option<Arc<Proxy>>,
    /// For which `otherwise` is none.
    pub except: Vec<Pattern>,
    /// For these upstreams, whatever else is said; none: no proxy.
    pub of: Vec<(Arc<Origin>, Option<Arc<Proxy>>)>,
}

/// A proxy.
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Where it is, with its port.
    pub authority: Authority,
    /// User and password.
    pub credentials: Option<Credentials>,
    /// Trust, where TLS is spoken with it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Where this process listens: no proxy is there, or flows would go round in circles.
    pub own: OwnAddresses,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP: CONNECT for what is a tunnel, whole URLs for what is not.
    Http,
    /// The same within TLS.
    Https,
    /// SOCKS 5 (RFC 1928).
    Socks5,
}

/// What a proxy knows its users by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// 1 to 255 bytes.
    pub user: Box<str>,
    /// At most 255 bytes.
    pub password: Box<str>,
}

/// Why there is no way through a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It is this process.
    #[error("it is this proxy itself")]
    Own,
    /// It cannot be reached.
    #[error("cannot connect to it: {0}")]
    Connect(Box<ConnectError>),
    /// No trust in it, or nothing in common.
    #[error("TLS with it failed: {0}")]
    Tls(io::Error),
    /// It wants other credentials, or some at all.
    #[error("it does not take these credentials")]
    Credentials,
    /// It answered CONNECT with this.
    #[error("it refused with {0}")]
    Refused(StatusCode),
    /// It answered so, where SOCKS is spoken.
    #[error("it refused: {0}")]
    Reply(Reply),
    /// It does not speak what it should.
    #[error("it does not speak as it should: {0}")]
    Malformed(&'static str),
    /// The connection ended before there was a way.
    #[error("it closed the connection: {0}")]
    Closed(io::Error),
}

impl Proxies {
    /// The one on the way to this upstream.
    #[must_use]
    pub fn on_the_way_to(&self, origin: &Origin) -> Option<&Arc<Proxy>> {
        if let Some((_, proxy)) = self.of.iter().find(|(known, _)| **known == *origin) {
            return proxy.as_ref();
        }
        let proxy = self.otherwise.as_ref()?;
        let is_excepted = || Target::of(origin).is_some_and(|target| self.except.iter().any(|pattern| pattern.is_about(&target)));
        (self.except.is_empty() || !is_excepted()).then_some(proxy)
    }
}

impl Proxy {
    /// Whether it takes whole URLs.
    pub(super) const fn takes_urls(&self) -> bool {
        matches!(self.kind, ProxyKind::Http | ProxyKind::Https)
    }

    /// A connection to it; with a target, one that goes on to there.
    pub(super) async fn connect(
        &self,
        target: Option<&Origin>,
        settings: &Settings,
        marks: Option<&Marks>,
    ) -> Result<(Base, SocketAddr), ConnectError> {
        self.reach(target, settings, marks).await.map_err(|error| ConnectError::Proxy(self.to_string().into(), error))
    }

    async fn reach(
        &self,
        target: Option<&Origin>,
        settings: &Settings,
        marks: Option<&Marks>,
    ) -> Result<(Base, SocketAddr), ProxyError> {
        let port = self.authority.port().unwrap_or_default();
        let own = self.own.clone();
        let may_dial: MayDial = Arc::new(move |address| !own.contains(address));
        let connected = connect_tcp(self.authority.bare_host(), port, &settings.lookups, Some(&may_dial), marks).await;
        let (stream, peer) = connected.map_err(|error| match error {
            ConnectError::Denied => ProxyError::Own,
            error => ProxyError::Connect(Box::new(error)),
        })?;
        let mut base = match &self.tls {
            None => Base::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(self.authority.bare_host().to_owned());
                let name = name.map_err(|error| ProxyError::Tls(io::Error::other(error)))?;
                let connecting = TlsConnector::from(Arc::clone(tls)).connect(name, Socket::new(stream, End::default()));
                Base::Tls(Box::new(connecting.await.map_err(ProxyError::Tls)?))
            }
        };
        if let Some(target) = target {
            match self.kind {
                ProxyKind::Http | ProxyKind::Https => http::connect(&mut base, target, self.authorization().as_ref()).await?,
                ProxyKind::Socks5 => socks::connect(&mut base, target, self.credentials.as_ref()).await?,
            }
        }
        Ok((base, peer))
    }

    /// The field that it knows its users by (RFC 7617).
    pub(super) fn authorization(&self) -> Option<Field> {
        let Credentials { user, password } = self.credentials.as_ref()?;
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        Field::new("Proxy-Authorization", value).ok()
    }
}

impl ProxyError {
    /// For addons and statuses.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Tls(_) => FailureKind::Tls,
            Self::Malformed(_) => FailureKind::Protocol,
            Self::Refused(StatusCode::GATEWAY_TIMEOUT) | Self::Reply(Reply::Expired) => FailureKind::Timeout,
            Self::Own | Self::Connect(_) | Self::Credentials | Self::Refused(_) | Self::Reply(_) | Self::Closed(_) => {
                FailureKind::Connect
            }
        }
    }
}

/// Whether a target may be reached by way of a proxy, as far as its name tells: an address is asked about, and so are those of
/// `localhost`.
pub(super) fn may_reach(origin: &Origin, may_dial: Option<&MayDial>) -> Result<(), ConnectError> {
    let (Some(may_dial), Some(target)) = (may_dial, Target::of(origin)) else { return Ok(()) };
    let is_local = target.name() == "localhost" || target.name().ends_with(".localhost");
    let addresses = match target.address() {
        Some(address) => vec![address],
        None if is_local => vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()],
        None => return Ok(()),
    };
    let may = |address| may_dial(SocketAddr::new(address, origin.port()));
    if addresses.into_iter().all(may) { Ok(()) } else { Err(ConnectError::Denied) }
}

impl fmt::Display for Proxy {
    /// Without credentials.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.kind, self.authority)
    }
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
        })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Proxy({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credentials")
    }
}
