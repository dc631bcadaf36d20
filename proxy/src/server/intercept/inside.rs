//! Requests inside of CONNECT: only for the host and port that it named.

use std::{fmt, sync::Arc};

use http::{Method, StatusCode};

use super::super::{Peer, route::Refusal};
use crate::{
    flow::{Destination, Intercept, Route, Site},
    hooks::Facts,
    http::{Authority, Origin, RequestHead, Scheme},
    http1::parse::TargetForm,
    targets::Target,
};

/// A CONNECT that is to be looked into.
pub(in crate::server) struct Connected {
    authority: Authority,
    port: u16,
    target: Target,
    intercept: Arc<Intercept>,
}

/// What is known of a connection inside of CONNECT.
pub(in crate::server) struct Inside {
    /// Where its requests go: without the port, where that is the scheme's own.
    origin: Origin,
    host: Box<str>,
    /// The name in TLS that is not that of CONNECT.
    other_name: Option<Box<str>>,
    /// The flow of CONNECT, and who the client has proven to be in it.
    connect: u64,
    user: Option<Arc<str>>,
}

impl Connected {
    /// To this authority, which has this port.
    pub(in crate::server) const fn new(authority: Authority, port: u16, target: Target, intercept: Arc<Intercept>) -> Self {
        Self { authority, port, target, intercept }
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn intercept(&self) -> &Intercept {
        &self.intercept
    }

    /// Where requests of this scheme go: without the port, where that is the scheme's own.
    pub(super) fn origin(&self, scheme: Scheme) -> Origin {
        let host = self.authority.host();
        let text = if self.port == scheme.default_port() { host.to_owned() } else { format!("{host}:{}", self.port) };
        Origin { scheme, authority: text.parse().unwrap_or_else(|_| self.authority.clone()) }
    }

    /// Whether this is the host of CONNECT.
    pub(super) fn is_host(&self, name: &str) -> bool {
        is_same(name, self.authority.bare_host())
    }
}

impl fmt::Display for Connected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.authority.fmt(out)
    }
}

impl Inside {
    /// With what is known of its flow, what is spoken there, and the name that the client asked for in TLS.
    pub(super) fn new(connected: &Connected, connect: &Facts, scheme: Scheme, name: Option<Box<str>>) -> Self {
        let other_name = name.filter(|name| !connected.is_host(name));
        let (connect, user) = (connect.id, connect.user.clone());
        Self { origin: connected.origin(scheme), host: connected.authority.host().into(), other_name, connect, user }
    }

    /// Where a request goes, if it may: what lists say now holds, not what they said when the connection began. The head gets the
    /// scheme that is spoken, and the authority where it has none.
    pub(in crate::server) fn route(
        &self,
        site: &Site,
        peer: &Peer,
        head: &mut RequestHead,
        form: TargetForm,
    ) -> Result<Destination, Refusal> {
        let misdirected = |why: String| (StatusCode::MISDIRECTED_REQUEST, why);
        let Origin { scheme, authority } = &self.origin;
        if head.method == Method::CONNECT {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "there are no tunnels inside of a tunnel".to_owned()));
        }
        if let Some(name) = &self.other_name {
            let why = format!("CONNECT named {authority}, and TLS (SNI) {name}: they must be the same");
            return Err(misdirected(why));
        }
        let is_other = matches!(form, TargetForm::Absolute(other) if other != *scheme);
        if is_other || !self.is_meant(&head.authority) {
            return Err(misdirected(format!("this connection is for {}, as CONNECT said, and for nothing else", self.origin)));
        }
        if head.authority.is_empty() {
            head.authority = authority.clone();
        }
        head.scheme = *scheme;
        let Route::Forward(forward) = &site.route else {
            return Err(misdirected("this listener is no forward listener any more".to_owned()));
        };
        let client = peer.address.ip();
        let forbidden = |why: String| (StatusCode::FORBIDDEN, why);
        if !forward.clients.contains(client) {
            return Err(forbidden("clients of your address may not use this listener any more".to_owned()));
        }
        forward.targets.may_tunnel(self.origin.port()).map_err(|refused| forbidden(refused.to_string()))?;
        let target = Target::of(&self.origin).ok_or_else(|| misdirected("the target has no legal host".to_owned()))?;
        forward.destination(self.origin.clone(), target, client).map_err(|refused| forbidden(refused.to_string()))
    }

    /// The flow of CONNECT.
    pub(in crate::server) const fn connect(&self) -> u64 {
        self.connect
    }

    /// Who the client has proven to be in CONNECT.
    pub(in crate::server) const fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Whether a request for this authority belongs here. One without any can only mean this.
    fn is_meant(&self, authority: &Authority) -> bool {
        let port = authority.port().unwrap_or_else(|| self.origin.scheme.default_port());
        authority.is_empty() || (is_same(authority.host(), &self.host) && port == self.origin.port())
    }
}

/// Whether two hosts are the same: case does not matter, nor a dot at the end.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    plain(one) == plain(other)
}
