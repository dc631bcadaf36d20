//! Why a server cannot be used, as anybody may be told it.

use std::{fmt, io, time::Duration};

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::upstream::ConnectError;

/// A kind of failure. What the server itself said of it is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The first try to connect has not ended.
    NotYet,
    Refused,
    /// There is no way to it, or no such name.
    Unreachable,
    Timeout(Duration),
    Tls,
    /// No password, a wrong one, or a user that may not do this.
    Authentication,
    Loading,
    Replica,
    Memory,
    /// Another error that it answered with.
    Reply,
    Lost,
    Nonsense,
}

/// Characters of what a server says about an error.
const SHOWN: usize = 200;

/// What a server said, for the log: in parts, and as one line.
pub(super) fn words(error: &impl fmt::Display) -> String {
    error.to_string().chars().filter(|shown| !shown.is_control()).take(SHOWN).collect()
}

impl From<&ConnectError> for Trouble {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Tls(_) => Self::Tls,
            ConnectError::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => Self::Refused,
            _ => Self::Unreachable,
        }
    }
}

impl From<&RedisError> for Trouble {
    fn from(error: &RedisError) -> Self {
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm), _)
            | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => Self::Authentication,
            (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => Self::Loading,
            (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => Self::Replica,
            (_, Some("OOM")) => Self::Memory,
            (_, Some(_)) => Self::Reply,
            (ErrorKind::Io, None) => Self::Lost,
            _ => Self::Nonsense,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Timeout(limit) => return write!(out, "no answer within {limit:?}"),
            Self::NotYet => "not connected yet",
            Self::Refused => "connection refused",
            Self::Unreachable => "the server cannot be reached",
            Self::Tls => "TLS failed",
            Self::Authentication => "authentication failed",
            Self::Loading => "the server is loading its data",
            Self::Replica => "the server is a read only replica",
            Self::Memory => "the server has no memory left",
            Self::Reply => "the server answered with an error",
            Self::Lost => "the connection was lost",
            Self::Nonsense => "the server answered what makes no sense",
        })
    }
}
