//! CONNECT, as hooks decide about it.

use std::sync::Arc;

/// A CONNECT as a hook is told of it.
#[derive(Debug, Clone)]
pub struct Connecting {
    /// Lower case, an address without brackets, no dot at the end.
    pub host: Arc<str>,
    /// As the client wrote it.
    pub port: u16,
    /// Whether the listener has an authority: without one no hook can have it looked into.
    pub may_intercept: bool,
}

/// What becomes of a CONNECT that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It is looked into.
    Intercept,
    /// It is a tunnel that nobody looks into.
    Tunnel,
}
