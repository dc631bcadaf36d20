//! Connections with clients that were switched to another protocol.

use std::time::Duration;

use http::Method;
use tokio_util::sync::CancellationToken;

use super::{tunnel, websocket};
use crate::{
    flow::{Ending, Socket},
    upstream::Tunnel,
};

/// What is left of HTTP after it: both connections, and the flow.
pub(super) struct Switched {
    pub(super) client: Tunnel,
    pub(super) upstream: Tunnel,
    /// Where hooks decide about messages.
    pub(super) socket: Option<Box<Socket>>,
    pub(super) ending: Ending,
}

impl Switched {
    /// Carries what comes, to the end of both connections.
    pub(super) async fn run(self, draining: &CancellationToken) {
        let Self { client, upstream, socket, ending } = self;
        match socket {
            None => {
                let silence = silence(&ending);
                Box::pin(tunnel::run(client, upstream, silence, ending)).await;
            }
            Some(socket) => Box::pin(websocket::run(client, upstream, ending, socket, draining)).await,
        }
    }
}

/// How long a tunnel may be silent: one that a client asked for as such.
fn silence(ending: &Ending) -> Option<Duration> {
    let record = ending.record();
    record.site.timeouts.tunnel.filter(|_| record.method == Method::CONNECT)
}
