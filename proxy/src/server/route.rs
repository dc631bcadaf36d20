//! Where a request is to go: upstream, through a tunnel, or to the controller.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::{Peer, Shared, intercept::Connected, page};
use crate::{
    flow::{Destination, Forward, Intercept, Route, Site},
    hooks::{Connecting, Ruling},
    http::{Authority, Origin, RequestHead, Scheme},
    http1::{Framing, HeadLimits, ParseError, parse::TargetForm},
    targets::Target,
};

/// What becomes of a request.
pub(super) enum Way {
    /// A flow.
    Flow(Destination),
    /// What hooks and lists decide about: a tunnel, or a connection that is looked into.
    Connect(Box<Asked>, Destination),
    /// The pages of the admin listener.
    Controller,
    /// The page that hands out the authority of interception.
    Page(Arc<Intercept>),
}

/// A CONNECT that the lists of targets let pass.
pub(super) struct Asked {
    /// What hooks are told.
    pub(super) connecting: Connecting,
    /// What becomes of it where they have no opinion.
    pub(super) otherwise: Ruling,
    /// With what it can be looked into, if it can.
    pub(super) connected: Option<Connected>,
}

/// What limits of heads are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadSize {
    /// Fields that came.
    pub(super) fields: usize,
    /// Bytes that they take; of HTTP/1 the whole head.
    pub(super) bytes: usize,
}

pub(super) type Refusal = (StatusCode, String);

/// Decides by the head, before anything is looked up or dialled. The head of a flow gets the scheme that its client means. What is
/// not for the controller is held against the limits that options have tightened.
pub(super) fn way(
    shared: &Shared,
    site: &Site,
    peer: &Peer,
    head: &mut RequestHead,
    form: TargetForm,
    size: HeadSize,
) -> Result<Way, Refusal> {
    let way = routed(shared, site, peer, head, form)?;
    if !matches!(way, Way::Controller) {
        size.within(site.head_limits()).map_err(|error| (error.status(), error.to_string()))?;
    }
    Ok(way)
}

fn routed(shared: &Shared, site: &Site, peer: &Peer, head: &mut RequestHead, form: TargetForm) -> Result<Way, Refusal> {
    if let Some(inside) = &peer.inside {
        return inside.route(site, peer, head, form).map(Way::Flow);
    }
    match &site.route {
        Route::Reverse(_) if head.method == Method::CONNECT => {
            Err((StatusCode::METHOD_NOT_ALLOWED, "the method is not served here".to_owned()))
        }
        Route::Reverse(upstreams) => {
            let chosen = upstreams.choose(head).map_err(|why| (StatusCode::MISDIRECTED_REQUEST, why.to_string()))?;
            Ok(Way::Flow(Destination::configured(chosen)))
        }
        Route::Forward(forward) => forwarded(shared, forward, peer, head, form),
    }
}

impl HeadSize {
    /// Whether limits allow it.
    pub(super) const fn within(self, limits: HeadLimits) -> Result<(), ParseError> {
        if self.fields > limits.count {
            return Err(ParseError::TooLarge("fields"));
        }
        if self.bytes > limits.bytes {
            return Err(ParseError::TooLarge("bytes"));
        }
        Ok(())
    }
}

/// A request for a tunnel has no content (RFC 9110, 9.3.6): what follows is the tunnel's.
pub(super) fn may_tunnel(framing: Framing) -> Result<(), Refusal> {
    match framing {
        Framing::None => Ok(()),
        _ => Err((StatusCode::BAD_REQUEST, "CONNECT has no body".to_owned())),
    }
}

fn forwarded(shared: &Shared, forward: &Forward, peer: &Peer, head: &mut RequestHead, form: TargetForm) -> Result<Way, Refusal> {
    if let Some(controller) = shared.controller.as_ref().filter(|controller| controller.is_named(&head.authority)) {
        let is_page = matches!(form, TargetForm::Origin | TargetForm::Absolute(Scheme::Http));
        if is_page && head.authority.port().is_none_or(|port| port == Scheme::Http.default_port()) {
            return Ok(Way::Controller);
        }
        return Err((StatusCode::FORBIDDEN, format!("the controller is at http://{}/ alone", controller.host())));
    }
    if let Some(intercept) = forward.intercept.as_ref().filter(|_| page::is_named(&head.authority)) {
        let is_page = matches!(form, TargetForm::Absolute(Scheme::Http)) && head.authority.port().is_none_or(|port| port == 80);
        let elsewhere = || (StatusCode::FORBIDDEN, format!("the authority of this proxy is at http://{}/ alone", page::HOST));
        return if is_page { Ok(Way::Page(Arc::clone(intercept))) } else { Err(elsewhere()) };
    }
    let authority = head.authority.clone();
    match form {
        TargetForm::Origin => {
            let why = "this is a forward proxy: ask for a whole URL, as in `GET http://host/path HTTP/1.1`, or with CONNECT";
            Err((StatusCode::BAD_REQUEST, why.to_owned()))
        }
        TargetForm::Absolute(scheme) => {
            head.scheme = scheme;
            destination(forward, Origin { scheme, authority }, peer).map(Way::Flow)
        }
        TargetForm::Authority => {
            let port = authority.port().ok_or_else(|| bad("CONNECT needs host and port"))?;
            forward.targets.may_tunnel(port).map_err(|refused| (StatusCode::FORBIDDEN, refused.to_string()))?;
            let origin = Origin { scheme: Scheme::Http, authority: authority.clone() };
            let target = Target::of(&origin).ok_or_else(|| bad("the target has no legal host"))?;
            let destination = destination(forward, origin, peer)?;
            Ok(Way::Connect(Box::new(asked(forward, authority, port, target)), destination))
        }
    }
}

fn asked(forward: &Forward, authority: Authority, port: u16, target: Target) -> Asked {
    let intercept = forward.intercept.as_ref();
    let otherwise =
        if intercept.is_some_and(|intercept| intercept.is_about(&target)) { Ruling::Intercept } else { Ruling::Tunnel };
    let connecting = Connecting { host: target.name().into(), port, may_intercept: intercept.is_some() };
    let connected = intercept.map(|intercept| Connected::new(authority, port, target, Arc::clone(intercept)));
    Asked { connecting, otherwise, connected }
}

fn destination(forward: &Forward, origin: Origin, peer: &Peer) -> Result<Destination, Refusal> {
    let origin = Origin { authority: without_empty_port(origin.authority), ..origin };
    let target = Target::of(&origin).ok_or_else(|| bad("the target has no legal host"))?;
    let destination = forward.destination(origin, target, peer.address.ip());
    destination.map_err(|refused| (StatusCode::FORBIDDEN, refused.to_string()))
}

/// `a.test:` is `a.test` (RFC 3986, 3.2.3): so it is in Host, too.
fn without_empty_port(authority: Authority) -> Authority {
    authority.as_str().strip_suffix(':').and_then(|text| text.parse().ok()).unwrap_or(authority)
}

fn bad(why: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, why.to_owned())
}
