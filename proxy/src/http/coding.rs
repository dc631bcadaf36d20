//! Content codings (RFC 9110, 8.4): taken off for hooks, and put on again where a hook has edited what was coded.

mod accept;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

use super::Headers;

pub use accept::choose;
pub use decode::{Bounds, Uncoded, decode, decoded};
pub use encode::encoded;

/// A content coding that can be taken off and put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950. Raw RFC 1951 is taken off, too, since senders confuse them; it is never put on.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// All of them, the ones that most clients know first.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// As in Content-Encoding.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// By its name in lower case.
    fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"br" => Some(Self::Brotli),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why codings stay on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// One of them is none that could be taken off.
    Unknown,
    /// There are more than four.
    TooMany,
}

/// The codings of a message in the order in which they were applied. Empty: the body is as it is.
pub fn codings(headers: &Headers) -> Result<Vec<Coding>, Stays> {
    let mut codings = Vec::new();
    for name in headers.list("content-encoding") {
        let name = name.to_ascii_lowercase();
        if name != b"identity" {
            codings.push(Coding::named(&name).ok_or(Stays::Unknown)?);
        }
    }
    if codings.len() <= 4 { Ok(codings) } else { Err(Stays::TooMany) }
}

/// 8 MiB of window, as RFC 9659 bounds it.
pub(super) const ZSTD_WINDOW_LOG: u32 = 23;

/// Whether a `deflate` stream starts as zlib does: with a method of 8 and a header that 31 divides (RFC 1950, 2.2).
pub(super) const fn is_zlib(start: [u8; 2]) -> bool {
    start[0] & 0x0f == 8 && u16::from_be_bytes(start).is_multiple_of(31)
}

/// Whether a `br` stream starts with a window that is none of its format (RFC 7932, 9.1), but that decoders take: up to 2^62 bytes.
pub(super) const fn is_large_window(start: u8) -> bool {
    start & 0x7f == 0x11
}
