//! Pieces of bodies that hooks decide about.

use bytes::Bytes;

use crate::http::Headers;

/// A piece of a body.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// Empty in a last call that comes after all bytes.
    pub data: Bytes,
    /// With the last call: the trailers, none of them if there are none (RFC 9110, 6.5).
    pub last: Option<Headers>,
}

/// What becomes of a piece.
#[derive(Debug, Clone)]
pub struct ChunkVerdict {
    /// Of its bytes.
    pub action: ChunkAction,
    /// Whether the hook wants no more of this body.
    pub is_done: bool,
    /// Trailers in place of those of the last call; none: as they were.
    pub trailers: Option<Headers>,
}

/// What becomes of the bytes of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkAction {
    /// They go on.
    Pass,
    /// These go on instead.
    Replace(Bytes),
    /// Nothing goes on.
    Drop,
}
