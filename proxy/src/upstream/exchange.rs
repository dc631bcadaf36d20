//! How an exchange fails, and what the caller may do about it.

use super::{SendFailure, failure, proxy::ProxyError};
use crate::{
    hooks::FailureKind,
    http::{BodyError, Origin},
};

/// Why an exchange on one connection failed.
pub(super) struct Failed {
    /// For the caller of the client.
    pub failure: SendFailure,
    /// Whether the connection was closed before a byte of the response: then another may do better.
    pub is_closed: bool,
    /// Whether nothing of the request was sent.
    pub is_unsent: bool,
}

impl Failed {
    /// The upstream closed the connection.
    pub(super) fn closed(origin: &Origin, is_unsent: bool) -> Self {
        let failure = failure(origin, FailureKind::Closed, "the connection was closed before a response");
        Self { failure, is_closed: true, is_unsent }
    }

    /// What came is not HTTP, or over a limit.
    pub(super) fn protocol(origin: &Origin, why: impl std::fmt::Display) -> Self {
        Self { failure: failure(origin, FailureKind::Protocol, why), is_closed: false, is_unsent: false }
    }

    /// The proxy that was to ask the upstream did not.
    pub(super) fn proxy(origin: &Origin, why: &ProxyError) -> Self {
        let failure = failure(origin, why.kind(), format!("the proxy on the way: {why}"));
        Self { failure, is_closed: false, is_unsent: false }
    }

    /// Nothing came in time.
    pub(super) fn timeout(origin: &Origin) -> Self {
        let failure = failure(origin, FailureKind::Timeout, "no response in time");
        Self { failure, is_closed: false, is_unsent: false }
    }

    /// The request's body failed.
    pub(super) const fn client(error: BodyError) -> Self {
        Self { failure: SendFailure::Client(error), is_closed: false, is_unsent: false }
    }
}
