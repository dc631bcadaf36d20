//! Why a call has no response.

use crate::{
    hooks::{FailureKind, UpstreamFailure},
    http::BodyError,
    upstream::SendFailure,
};

/// Why a call has no response. Texts name scheme, host and port, never the rest of a URL or a field's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not granted.
    #[error("denied: {0}")]
    Denied(String),
    /// Not a legal request.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The name has no address.
    #[error("no address: {0}")]
    Dns(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// No trust.
    #[error("no trust: {0}")]
    Tls(String),
    /// Took too long.
    #[error("not within the timeout")]
    Timeout,
    /// The response's body is over this limit in bytes.
    #[error("the body of the response is over {0} bytes")]
    TooLarge(u64),
    /// The connection ended.
    #[error("closed: {0}")]
    Closed(String),
    /// Not HTTP, or over a limit.
    #[error("not HTTP: {0}")]
    Protocol(String),
    /// As many calls as this were made already.
    #[error("{0} calls were made already")]
    Busy(u32),
}

impl Error {
    /// Names of all kinds, for metrics; the first is that of a call with a response, the last that of one that the hook's wall
    /// budget ended.
    pub const OUTCOMES: [&'static str; 12] =
        ["ok", "denied", "invalid", "dns", "connect", "tls", "timeout", "too_large", "closed", "protocol", "busy", "abandoned"];

    /// Place of this kind in [`Self::OUTCOMES`].
    #[must_use]
    pub const fn outcome(&self) -> usize {
        match self {
            Self::Denied(_) => 1,
            Self::Invalid(_) => 2,
            Self::Dns(_) => 3,
            Self::Connect(_) => 4,
            Self::Tls(_) => 5,
            Self::Timeout => 6,
            Self::TooLarge(_) => 7,
            Self::Closed(_) => 8,
            Self::Protocol(_) => 9,
            Self::Busy(_) => 10,
        }
    }

    /// Whether no byte of the request can have left for the peer that the failure is about.
    pub(super) const fn is_unsent(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Invalid(_) | Self::Dns(_) | Self::Connect(_) | Self::Tls(_) | Self::Busy(_))
    }

    /// Why a body did not come whole.
    pub(super) fn of_body(error: &BodyError) -> Self {
        match error {
            BodyError::Malformed(..) => Self::Protocol(error.to_string()),
            _ => Self::Closed(error.to_string()),
        }
    }
}

impl From<SendFailure> for Error {
    fn from(failure: SendFailure) -> Self {
        match failure {
            SendFailure::Client(error) => Self::of_body(&error),
            SendFailure::Denied(UpstreamFailure { message, .. }) => Self::Denied(message),
            SendFailure::Upstream(UpstreamFailure { kind, message, .. }) => match kind {
                FailureKind::Dns => Self::Dns(message),
                FailureKind::Connect => Self::Connect(message),
                FailureKind::Tls => Self::Tls(message),
                FailureKind::Timeout => Self::Timeout,
                FailureKind::Closed => Self::Closed(message),
                FailureKind::Protocol => Self::Protocol(message),
            },
        }
    }
}
