//! Why a WebSocket is closed (RFC 6455, 7.4).

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::hooks::Close;

/// Bytes that a control frame may have (RFC 6455, 5.5).
pub const MAX_CONTROL: usize = 125;
/// Bytes of a reason: a control frame without the code.
pub const MAX_REASON: usize = MAX_CONTROL - 2;

/// It is over, and nothing went wrong.
pub const NORMAL: u16 = 1000;
/// The other end went away.
pub const GOING_AWAY: u16 = 1001;
/// A close without a code; never sent.
pub const NONE: u16 = 1005;
/// A connection that was lost; never sent.
pub const LOST: u16 = 1006;
/// Against what the proxy allows.
pub const POLICY: u16 = 1008;
/// An addon failed.
pub const INTERNAL: u16 = 1011;
/// The proxy holds as much as it may.
pub const TRY_AGAIN: u16 = 1013;
/// The upstream is lost, or what it sent is no WebSocket ("Bad Gateway", IANA's registry of close codes).
pub const BAD_GATEWAY: u16 = 1014;

/// What a peer must not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Frames that are none, or not in this place.
    #[error("{0}")]
    Protocol(&'static str),
    /// Text that is not UTF-8, or compressed bytes that are none.
    #[error("{0}")]
    Data(&'static str),
    /// A message over the cap of a hook, in bytes.
    #[error("a message of more than {0} bytes")]
    TooLarge(usize),
    /// Nothing came for too long while a message was open.
    #[error("a message that did not move for too long")]
    Idle,
    /// All flows together hold as much as they may.
    #[error("the proxy holds as much as it may")]
    Crowded,
}

impl Violation {
    /// What the peer is told.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::Data(_) => 1007,
            Self::Idle => POLICY,
            Self::TooLarge(_) => 1009,
            Self::Crowded => TRY_AGAIN,
        }
    }
}

/// Whether a code may go over the wire: those that the RFC and the registry give a meaning to, and those for libraries and
/// applications.
#[must_use]
pub const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads what a close frame says; none: it has no code.
pub fn parse(payload: &[u8]) -> Result<Option<Close>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::Protocol("a close frame with half a code")) };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Violation::Protocol("a close code that must not be sent"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::Data("a reason that is not UTF-8"))?;
    Ok(Some(Close { code, reason: reason.to_owned() }))
}

/// What a close frame holds. A reason that is too long is cut between characters.
#[must_use]
pub fn payload(code: u16, reason: &str) -> Bytes {
    let reason = reason.get(..reason.floor_char_boundary(MAX_REASON)).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(2 + reason.len());
    bytes.put_u16(code);
    bytes.extend_from_slice(reason.as_bytes());
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_with_a_meaning_are_read() {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            let read = parse(&payload(code, "why"));
            assert_eq!(read, Ok(Some(Close { code, reason: "why".to_owned() })), "{code}");
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(parse(&payload(code, "")).map_err(Violation::code), Err(1002), "{code}");
        }
    }

    #[test]
    fn closes_without_code_and_with_broken_ones_are_told_apart() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03").map_err(Violation::code), Err(1002));
        assert_eq!(parse(b"\x03\xe8\xff").map_err(Violation::code), Err(1007));
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        for (reason, kept) in [("a".repeat(MAX_REASON), MAX_REASON), ("a".repeat(124), MAX_REASON), ("é".repeat(62), 122)] {
            assert_eq!(payload(1000, &reason).len(), kept + 2);
        }
    }
}
