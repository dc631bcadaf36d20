//! Which addon changed what of a flow: names, sizes and hashes. Values of fields, queries, notes and bodies stay out of it, as
//! they may be secrets.

pub mod differences;
mod json;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use sha2::{Digest as _, Sha256};

use super::Event;

/// What addons did to a flow, in the order of their first changes.
///
/// At most 256 entries of at most 16 changes of at most 64 names each; what is beyond is counted.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    mutations: Vec<Mutation>,
    left_out: u32,
}

/// What one addon changed in its hook for one event, in however many calls.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// Name of the addon.
    pub addon: Arc<str>,
    /// Of the hook.
    pub event: Event,
    /// In the order in which they were made.
    pub changes: Vec<Change>,
}

/// One kind of change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Of the request.
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
    /// Of where the request goes.
    Upstream {
        /// URL, cut after 256 bytes, as the other.
        before: String,
        /// As set.
        after: String,
    },
    /// Of the response.
    Status {
        /// As it came.
        before: StatusCode,
        /// As set.
        after: StatusCode,
    },
    /// Of header fields; of trailers, where the event is a piece of a body.
    Fields(FieldChanges),
    /// Of a whole body.
    Body {
        /// Whose.
        message: MessageKind,
        /// None where nobody has seen all of it.
        before: Option<Content>,
        /// As set.
        after: Content,
    },
    /// Of a body that streamed through a chunk hook.
    Streamed {
        /// Whose.
        message: MessageKind,
        /// Bytes that the hook was shown.
        bytes_in: u64,
        /// Bytes that went on instead.
        bytes_out: u64,
    },
    /// Of messages of a WebSocket, or events of an event stream.
    Messages {
        /// Those from the client (request) or from the upstream (response).
        message: MessageKind,
        /// Replaced.
        edited: u64,
        /// That went no further.
        dropped: u64,
    },
    /// The addon had a WebSocket closed with this code.
    Closed(u16),
    /// The addon ended a stream of events.
    Ended,
    /// Notes that were set.
    Notes {
        /// Their keys, each cut after 64 bytes.
        keys: Vec<String>,
        /// Keys beyond the limit.
        left_out: u32,
    },
    /// The addon made the response, or refused the request, with this status.
    Answered(StatusCode),
    /// The addon had the client's connection closed.
    Dropped,
}

/// Names of fields, in lower case, each cut after 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChanges {
    /// Whose fields.
    pub message: MessageKind,
    /// Were not there before.
    pub added: Vec<String>,
    /// Have other values, or more or fewer.
    pub changed: Vec<String>,
    /// Are not there any more.
    pub removed: Vec<String>,
    /// Names beyond the limit.
    pub left_out: u32,
}

/// One of the two messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// What the client sent.
    Request,
    /// What it gets.
    Response,
}

/// A body, content codings undone: kept while the flow lives, so that nobody has to wait for its hash, which alone is left after
/// that.
#[derive(Clone)]
pub enum Content {
    /// Not hashed yet.
    Kept(Bytes),
    /// Hashed.
    Hashed(Digest),
}

/// What tells a body from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 (FIPS 180-4).
    pub sha256: [u8; 32],
}

/// Entries of a ledger.
const MAX_MUTATIONS: usize = 256;
/// Changes of an entry: one more than any hook can make, notes and streams counted once.
const MAX_CHANGES: usize = 16;
/// Names of an entry's fields, and keys of its notes.
const MAX_NAMES: usize = 64;
/// Bytes of a name, a key or a method.
const MAX_NAME: usize = 64;
/// Bytes of a path or a URL.
const MAX_TEXT: usize = 256;

impl Ledger {
    /// Adds a change to what this addon did at this event.
    pub fn push(&mut self, addon: &str, event: Event, change: Change) {
        let known = self.mutations.iter_mut().rev().find(|known| known.event == event && &*known.addon == addon);
        let is_taken = if let Some(known) = known {
            known.push(change)
        } else if self.mutations.len() < MAX_MUTATIONS {
            self.mutations.push(Mutation { addon: addon.into(), event, changes: vec![change] });
            true
        } else {
            false
        };
        if !is_taken {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// All entries.
    #[must_use]
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }

    /// Changes that found no room.
    #[must_use]
    pub const fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Bytes of bodies that are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let contents = self.mutations.iter().flat_map(|mutation| &mutation.changes).flat_map(Change::contents);
        contents.map(|content| if let Content::Kept(bytes) = content { bytes.len() } else { 0 }).sum()
    }

    /// Whether a body is kept, be it an empty one.
    #[must_use]
    pub fn keeps_bodies(&self) -> bool {
        let mut contents = self.mutations.iter().flat_map(|mutation| &mutation.changes).flat_map(Change::contents);
        contents.any(|content| matches!(content, Content::Kept(_)))
    }

    /// The bodies that are kept.
    #[must_use]
    pub fn kept(&self) -> Vec<Bytes> {
        let contents = self.mutations.iter().flat_map(|mutation| &mutation.changes).flat_map(Change::contents);
        contents.filter_map(|content| if let Content::Kept(bytes) = content { Some(bytes.clone()) } else { None }).collect()
    }

    /// Leaves hashes that are known in the place of their bodies.
    pub fn hashed(&mut self, known: &[(Bytes, Digest)]) {
        for change in self.mutations.iter_mut().flat_map(|mutation| &mut mutation.changes) {
            let Change::Body { before, after, .. } = change else { continue };
            for content in before.iter_mut().chain([after]) {
                let Content::Kept(bytes) = content else { continue };
                if let Some((_, digest)) = known.iter().find(|(known, _)| is_same(known, bytes)) {
                    *content = Content::Hashed(*digest);
                }
            }
        }
    }

    /// Leaves hashes of bodies in their place. Takes about a second for a gibibyte.
    pub fn hash(&mut self) {
        // What one hook leaves is what the next one finds.
        let mut last: Option<(Bytes, Digest)> = None;
        for change in self.mutations.iter_mut().flat_map(|mutation| &mut mutation.changes) {
            let Change::Body { before, after, .. } = change else { continue };
            for content in before.iter_mut().chain([after]) {
                let Content::Kept(bytes) = content else { continue };
                let digest = match &last {
                    Some((known, digest)) if is_same(known, bytes) => *digest,
                    _ => Digest::of(bytes),
                };
                last = Some((bytes.clone(), digest));
                *content = Content::Hashed(digest);
            }
        }
    }
}

impl Mutation {
    /// Whether there is room for it.
    fn push(&mut self, change: Change) -> bool {
        for known in &mut self.changes {
            match (known, &change) {
                (
                    Change::Streamed { message: known, bytes_in, bytes_out },
                    Change::Streamed { message, bytes_in: more_in, bytes_out: more_out },
                ) if known == message => {
                    *bytes_in += more_in;
                    *bytes_out += more_out;
                    return true;
                }
                (Change::Notes { keys, left_out }, Change::Notes { keys: more, left_out: more_left_out }) => {
                    *left_out = left_out.saturating_add(*more_left_out);
                    for key in more {
                        if keys.contains(key) {
                            continue;
                        }
                        if keys.len() < MAX_NAMES {
                            keys.push(key.clone());
                        } else {
                            *left_out = left_out.saturating_add(1);
                        }
                    }
                    return true;
                }
                _ => {}
            }
        }
        let has_room = self.changes.len() < MAX_CHANGES;
        if has_room {
            self.changes.push(change);
        }
        has_room
    }
}

impl Change {
    /// In a word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Method { .. } => "method",
            Self::Target { .. } => "target",
            Self::Upstream { .. } => "upstream",
            Self::Status { .. } => "status",
            Self::Fields(_) => "headers",
            Self::Body { .. } => "body",
            Self::Streamed { .. } => "streamed",
            Self::Messages { .. } => "messages",
            Self::Closed(_) => "closed",
            Self::Ended => "ended",
            Self::Notes { .. } => "notes",
            Self::Answered(_) => "answered",
            Self::Dropped => "dropped",
        }
    }

    fn contents(&self) -> impl Iterator<Item = &Content> {
        let (before, after) =
            if let Self::Body { before, after, .. } = self { (before.as_ref(), Some(after)) } else { (None, None) };
        before.into_iter().chain(after)
    }
}

impl MessageKind {
    /// `request` or `response`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

impl Content {
    /// Computed now, if it was not before.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Kept(bytes) => Digest::of(bytes),
            Self::Hashed(digest) => *digest,
        }
    }
}

impl Digest {
    /// Of these bytes. Takes about a second for a gibibyte.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }

    /// In 64 hexadecimal digits.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        use fmt::Write as _;
        self.sha256.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// `addon:event:change,change;…`, for a log line.
impl fmt::Display for Ledger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mutation) in self.mutations.iter().enumerate() {
            let gap = if place == 0 { "" } else { ";" };
            write!(out, "{gap}{}:{}", mutation.addon, mutation.event)?;
            for (place, change) in mutation.changes.iter().enumerate() {
                write!(out, "{}{}", if place == 0 { ":" } else { "," }, change.as_str())?;
            }
        }
        if self.left_out > 0 { write!(out, ";+{}", self.left_out) } else { Ok(()) }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(bytes) => write!(out, "{} bytes", bytes.len()),
            Self::Hashed(digest) => digest.fmt(out),
        }
    }
}

/// Whether these are the same bytes in memory, not only alike.
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

/// The first bytes, at most so many, of a text.
fn cut(text: &str, limit: usize) -> String {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default().to_owned()
}
