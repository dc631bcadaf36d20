//! Addresses of names.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{net::lookup_host, sync::Semaphore};

/// Asks the system's resolver.
///
/// A lookup cannot be broken off: it goes on when nobody waits for it any more, on one of the threads that the process has for
/// all that blocks. A limit keeps names that do not resolve from taking all of them.
#[derive(Debug, Clone, Default)]
pub struct Lookups(Option<Arc<Semaphore>>);

impl Lookups {
    /// At most so many at one time, those that nobody waits for included; the next ones wait. The default has no limit.
    #[must_use]
    pub fn at_most(count: usize) -> Self {
        Self(Some(Arc::new(Semaphore::new(count))))
    }

    /// All addresses, in the resolver's order.
    pub(super) async fn find(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let Some(limit) = &self.0 else { return Ok(lookup_host((host, port)).await?.collect()) };
        let permit = Arc::clone(limit).acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let lookup = tokio::spawn(async move {
            let _permit = permit;
            Ok(lookup_host((host, port)).await?.collect())
        });
        lookup.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}
