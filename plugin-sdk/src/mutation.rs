//! What addons did to a flow.

/// What one addon changed in its hook for one event, in however many calls. It holds names, sizes and hashes, but no value of a
/// field, a query, a note or a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// Name of the addon.
    pub addon: String,
    /// Name of the event in the contract, like `request-chunk`.
    pub event: String,
    /// In the order in which they were made.
    pub changes: Vec<Change>,
}

/// One kind of change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Of the request's method.
    Method {
        /// Cut after 64 bytes, as the other.
        before: String,
        /// As set.
        after: String,
    },
    /// Of the request's path or query.
    Target {
        /// Path without query, cut after 256 bytes, as the other.
        before: String,
        /// As set.
        after: String,
        /// Whether the query is another.
        is_query_changed: bool,
    },
    /// Of the URL that the request goes to.
    Upstream {
        /// Cut after 256 bytes, as the other.
        before: String,
        /// As set.
        after: String,
    },
    /// Of the response's status.
    Status {
        /// As it came.
        before: u16,
        /// As set.
        after: u16,
    },
    /// Of header fields, or of trailers where the event is a piece of a body: names in lower case, each cut after 64 bytes, at
    /// most 64.
    Headers {
        /// Whose.
        message: MessageKind,
        /// Were not there before.
        added: Vec<String>,
        /// Have other values, or more or fewer.
        changed: Vec<String>,
        /// Are not there any more.
        removed: Vec<String>,
        /// Names beyond the limit.
        left_out: u32,
    },
    /// Of a whole body.
    Body {
        /// Whose.
        message: MessageKind,
        /// None where nobody has seen all of it.
        before: Option<BodyDigest>,
        /// As set.
        after: BodyDigest,
    },
    /// Of a body that streamed through a chunk hook, as far as the hook was called.
    Streamed {
        /// Whose.
        message: MessageKind,
        /// That the hook was shown.
        bytes_in: u64,
        /// That went on instead.
        bytes_out: u64,
    },
    /// Notes that were set.
    Notes {
        /// Each cut after 64 bytes, at most 64.
        keys: Vec<String>,
        /// Keys beyond the limit.
        left_out: u32,
    },
    /// Status of a response or refusal that the addon made.
    Answered(u16),
    /// The addon had the client's connection closed.
    Dropped,
    /// Of a kind that this version has no name for.
    Other(String),
}

/// One of the two messages of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// What the client sent.
    Request,
    /// What it gets.
    Response,
}

/// What tells a body from others, content codings undone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BodyDigest {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in 64 lower-case hexadecimal digits; `[withheld]` for an addon that may see no bodies.
    pub sha256: String,
}
