//! Where the request of a flow goes unless an addon chooses another upstream.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;

use crate::{hooks::Guard, http::Origin, targets::Refused};

/// Where a request goes unless an addon chooses another upstream.
pub struct Destination {
    origin: Arc<Origin>,
    chosen: Option<Chosen>,
}

/// What is known of a destination that the client chose.
struct Chosen {
    guard: Guard,
    /// Why an address was refused, the last one.
    refused: Arc<Mutex<Option<Refused>>>,
}

impl Destination {
    /// As the configuration says: any address will do.
    #[must_use]
    pub const fn configured(origin: Arc<Origin>) -> Self {
        Self { origin, chosen: None }
    }

    /// As the client says: only addresses that `may_dial` lets pass are dialled.
    #[must_use]
    pub fn chosen(origin: Origin, may_dial: impl Fn(SocketAddr) -> Result<(), Refused> + Send + Sync + 'static) -> Self {
        let refused = Arc::new(Mutex::new(None));
        let why = Arc::clone(&refused);
        let guard = Guard(Arc::new(move |address| match may_dial(address) {
            Ok(()) => true,
            Err(refused) => {
                *why.lock() = Some(refused);
                false
            }
        }));
        Self { origin: Arc::new(origin), chosen: Some(Chosen { guard, refused }) }
    }

    /// Known to be nowhere that the client may go.
    pub(super) fn refused_at_once(origin: Origin, refused: Refused) -> Self {
        let chosen = Chosen { guard: Guard(Arc::new(|_| false)), refused: Arc::new(Mutex::new(Some(refused))) };
        Self { origin: Arc::new(origin), chosen: Some(chosen) }
    }

    pub(super) const fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// What is asked about each address there, where the client chose it.
    #[must_use]
    pub fn guard(&self) -> Option<Guard> {
        self.chosen.as_ref().map(|chosen| chosen.guard.clone())
    }

    /// Why the last address was refused, if the client chose where to go and one was.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.chosen.as_ref()?.refused.lock().clone()
    }
}
