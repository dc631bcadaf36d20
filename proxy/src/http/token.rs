//! Bearer tokens (RFC 6750).

use std::{fmt, str::FromStr, sync::Arc};

/// A bearer token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Arc<str>);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a token of 1 to {} printable ASCII characters without white space", BearerToken::MAX_LEN)]
pub struct InvalidToken;

impl BearerToken {
    /// Longest token, in bytes.
    pub const MAX_LEN: usize = 4096;

    /// The token itself, to be sent, or compared with in constant time.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for BearerToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let is_token = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_token { Ok(Self(text.into())) } else { Err(InvalidToken) }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BearerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_limited_below_at_above() {
        for (length, is_token) in [(0, false), (1, true), (4096, true), (4097, false)] {
            assert_eq!("x".repeat(length).parse::<BearerToken>().is_ok(), is_token, "{length}");
        }
        for text in ["a b", "a\n", "\u{e4}"] {
            assert_eq!(text.parse::<BearerToken>(), Err(InvalidToken), "{text:?}");
        }
        let token: BearerToken = "hunter2".parse().expect("a token");
        assert!(token.reveal() == "hunter2" && !format!("{token:?}").contains("hunter2"));
    }
}
