//! The flow that an addon's instance was made for.

use std::time::{Duration, SystemTime};

use crate::{EditError, host};

/// Where a response came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The upstream answered it.
    Upstream,
    /// The addon of this name made it.
    Addon(String),
    /// The core made it: no upstream could be had, or an addon failed closed.
    Core,
}

/// Facts about the flow, the notes that addons leave on it, and which subscriptions called the hook.
///
/// Facts never change while the flow lives. Each call asks the host anew, which takes well under a microsecond.
#[derive(Debug)]
pub struct Flow {
    matched: Vec<u32>,
    host: host::Flow,
}

impl Flow {
    pub(crate) const fn new(matched: Vec<u32>, host: host::Flow) -> Self {
        Self { matched, host }
    }

    /// Indices, in the list that [`Addon::subscriptions`](crate::Addon::subscriptions) returned, of the subscriptions that
    /// called this hook; at least one.
    #[must_use]
    pub fn matched(&self) -> &[u32] {
        &self.matched
    }

    /// Whether the subscription at this index is among those that called this hook.
    #[must_use]
    pub fn is_matched(&self, index: u32) -> bool {
        self.matched.contains(&index)
    }

    /// Unique among the flows of one process, and increasing.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.host.id()
    }

    /// Name of the listener that took the connection.
    #[must_use]
    pub fn listener(&self) -> String {
        self.host.listener()
    }

    /// Address and port of the peer, as `192.0.2.1:4711` or `[2001:db8::1]:4711`.
    #[must_use]
    pub fn peer(&self) -> String {
        self.host.peer()
    }

    /// Whether the client's connection is TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.host.is_tls()
    }

    /// When the head of the request was complete.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(self.host.started())).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The flow of the CONNECT that this one is inside of, if it is inside of one.
    #[must_use]
    pub fn connect_id(&self) -> Option<u64> {
        self.host.connect_id()
    }

    /// The name that the client has proven to the proxy by a password, on a forward listener with `users`.
    #[must_use]
    pub fn proxy_user(&self) -> Option<String> {
        self.host.proxy_user()
    }

    /// Number of the configuration in force when the flow started: it grows with every accepted change of code or options.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.host.generation()
    }

    /// Names the addon's options as they were put in force, which this flow has: 16 hexadecimal digits at random, so that no
    /// others had them, be it of another process. Each lock and each PUT of options gives new ones, also of the document that is
    /// in force already; after the lock it is what it was before. Reloads and new code with the same document leave it as it is,
    /// and so do changes of other addons.
    ///
    /// For keys of [`kv`](crate::kv) under which something is counted, or kept, as long as the options are in force.
    #[must_use]
    pub fn addon_generation(&self) -> String {
        self.host.addon_generation()
    }

    /// Scheme and authority under which clients know the listener, without a path: as configured (`public_url`), else as the
    /// request says, or a trusted proxy in front. None where the listener does not stand for its upstream (`rewrite = true`).
    #[must_use]
    pub fn public_origin(&self) -> Option<String> {
        self.host.public_origin()
    }

    /// Says that the addon keeps nothing in itself for later hooks of the flow: once this hook has returned its verdict the instance
    /// may be given back, and the next hook has a fresh one, as `configure` left it; notes stay. For flows that last long and are
    /// silent for long, as streams are: an instance that waits takes memory, and one of those that the addon may have
    /// (`instances`). A hook that finds none free waits for one within its wall budget. Each hook says it anew. In the test
    /// harness the addon stays as it is, and the flow tells: `TestFlow::has_let_go`.
    pub fn let_go(&self) {
        self.host.let_go();
    }

    /// A note that this or an earlier addon of the chain left on the flow.
    #[must_use]
    pub fn note(&self, key: &str) -> Option<String> {
        self.host.note(key)
    }

    /// Leaves a note for later hooks of any addon on this flow. Staged: taken back if the hook fails.
    ///
    /// # Errors
    ///
    /// [`EditError::TooLarge`] beyond 64 notes, 256 bytes of key or 16 KiB of value.
    pub fn set_note(&self, key: &str, value: &str) -> Result<(), EditError> {
        host::edit(self.host.set_note(key, value))
    }

    /// The stream of events ends after what becomes of this one, as if the upstream had ended it there. Staged: taken back if the
    /// hook fails.
    ///
    /// # Errors
    ///
    /// [`EditError::ReadOnly`] in any other hook than [`sse_event`](crate::Addon::sse_event).
    pub fn end_events(&self) -> Result<(), EditError> {
        host::edit(self.host.end_events())
    }
}
