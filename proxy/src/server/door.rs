//! Who is let in through a forward listener: by address, then by name and password.

use std::sync::Arc;

use http::StatusCode;

use super::{Peer, route::Refusal};
use crate::{
    flow::{Forward, Route, Site},
    http::RequestHead,
    users::{Doorkeeper, Refused},
};

/// Who sent a request, where that has to be proven; with the credentials, which nobody after this sees. What is inside of CONNECT came
/// through this door before.
pub(super) async fn enter(site: &Site, peer: &Peer, head: &mut RequestHead) -> Result<Option<Arc<str>>, Refusal> {
    let Route::Forward(forward) = &site.route else { return Ok(None) };
    if let Some(inside) = &peer.inside {
        let user = inside.user().cloned();
        let is_known = |doorkeeper: &Arc<Doorkeeper>| user.as_deref().is_some_and(|user| doorkeeper.knows(user));
        if !forward.doorkeeper.as_ref().is_none_or(is_known) {
            return Err((StatusCode::FORBIDDEN, "who sent CONNECT may not use this listener any more".to_owned()));
        }
        return Ok(user);
    }
    may_come(forward, peer)?;
    let admitted = match &forward.doorkeeper {
        None => None,
        Some(doorkeeper) => Some(doorkeeper.admit(peer.address.ip(), &head.headers).await),
    };
    head.headers.remove("proxy-authorization");
    admitted.transpose().map_err(|refused| {
        let status = match refused {
            Refused::Unknown => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        tracing::debug!(client.address = %peer.address, why = %refused, "a client is not let in");
        (status, refused.to_string())
    })
}

/// Whether clients of this address are served, whatever they ask for.
fn may_come(forward: &Forward, peer: &Peer) -> Result<(), Refusal> {
    if forward.clients.contains(peer.address.ip()) {
        return Ok(());
    }
    let why = "clients of your address may not use this listener: its setting clients says who may";
    Err((StatusCode::FORBIDDEN, why.to_owned()))
}
