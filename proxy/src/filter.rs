//! Filters: which flows somebody wants.
//!
//! The language is that of mitmproxy 10 with two atoms more. Each atom looks at one thing of a flow:
//!
//! | Atom | Holds for |
//! |---|---|
//! | `~all` `~http` | every flow |
//! | `~q` `~s` | flows without a response yet, flows with one |
//! | `~e` | flows that failed |
//! | `~websocket` | WebSocket flows |
//! | `~a` | responses that are assets: style sheets, scripts, images, fonts |
//! | `~c N` | responses with this status |
//! | `~m REGEX` | the method; case is ignored |
//! | `~d REGEX` | the host asked for or the upstream's, without port; case is ignored, in these two only |
//! | `~u REGEX`, `REGEX` | the URL `scheme://host:port/path?query` asked for or the upstream's, the scheme's own port left out |
//! | `~p REGEX` | the path without query, percent-decoded but for `%2F`; `.` matches a line break |
//! | `~l NAME` | flows of the listener that has exactly this name |
//! | `~src REGEX` `~dst REGEX` | `host:port` of the client, of the upstream |
//! | `~t REGEX` `~tq` `~ts` | content type of either message, of the request, of the response |
//! | `~h REGEX` `~hq` `~hs` | header lines `Name: value` in wire case; `^` and `$` match at lines |
//! | `~b REGEX` `~bq` `~bs` | bodies, content codings undone; `.` matches a line break |
//! | `~tcp` `~udp` `~dns` `~marked` `~replay` `~replayq` `~replays` | nothing: no such flow exists here |
//! | `~meta REGEX` `~marker REGEX` `~comment REGEX` | nothing either |
//!
//! `!`, `&` and `|` bind in this order; filters side by side must all hold, and that binds least: `a | b c` is `(a | b) & c`.
//! Inside parentheses filters can't stand side by side. A word ends at white space and at `( ) ~ ' "`, so that `|`, `&` and
//! `!` inside of it are its own. Other words are quoted, `'…'` or `"…"`; in quotes `\n \t \r \f` are what they are in most
//! languages and a backslash before anything else is dropped: the regular expression `\d` is written `"\\d"`.
//!
//! Regular expressions are searched for, not anchored, and work on bytes: `.`, `\w` and classes know ASCII and single bytes,
//! `(?u:…)` knows characters. The syntax is that of the `regex` crate, but like Python's where a brace repeats nothing
//! (`{"a"`), in classes (`[[&]`), for `{,3}`, `\Z`, `\<` and `\>`. `$` is the very end, not also before a last line break.

mod node;
mod pattern;
mod set;
mod syntax;
#[cfg(test)]
mod tests;
mod text;

use std::{fmt, net::SocketAddr, sync::Arc};

pub(crate) use pattern::{Case, regex};
pub use set::FilterSet;
pub use text::Texts;

use crate::http::{Origin, RequestHead, ResponseHead};
use node::Node;
use text::Part;

/// A filter, compiled. Clones share it.
#[derive(Clone)]
pub struct Filter {
    root: Arc<Node>,
    needs_request_body: bool,
    needs_response_body: bool,
}

/// What a filter says about a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It matches.
    Yes,
    /// It doesn't.
    No,
    /// It depends on a body that was not collected.
    Unknown,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Name of the listener, for `~l`.
    pub listener: &'a str,
    /// The client's address, for `~src`.
    pub peer: SocketAddr,
    /// Where the request goes, for `~dst` and `~d`.
    pub upstream: &'a Origin,
    /// The request as it stands.
    pub request: &'a RequestHead,
    /// Its body, content codings undone.
    pub request_body: Seen<'a>,
    /// The response, once there is one: without it atoms about responses are [`Answer::No`].
    pub response: Option<&'a ResponseHead>,
    /// Its body, content codings undone; not looked at without a response.
    pub response_body: Seen<'a>,
    /// Whether the flow failed, for `~e`.
    pub has_error: bool,
    /// Whether the flow is a WebSocket, for `~websocket`.
    pub is_websocket: bool,
}

/// What is known of a text.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Not collected: atoms about it are [`Answer::Unknown`].
    #[default]
    Unknown,
    /// Known not to exist in this event: atoms about it are [`Answer::No`].
    Absent,
    /// All of it. No bytes are a text too: `^$` matches them.
    Bytes(&'a [u8]),
}

/// Why a text is no filter. Never quotes a regular expression, which may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {message}")]
pub struct FilterError {
    /// Where it goes wrong, in characters from 0. For a regular expression: its first character.
    pub position: usize,
    /// What is wrong, on one line.
    pub message: String,
}

impl Filter {
    /// Compiles a filter; blank text is the filter that matches everything.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. Texts over 65,536 characters, more than 1,024 atoms, parentheses deeper than 64 and
    /// regular expressions that together compile to more than 32 MiB, or one to more than 2 MiB, are refused too: filters
    /// come from addons.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let root = Node::compile(syntax::parse(text)?)?;
        Ok(Self {
            needs_request_body: root.looks_at(Part::RequestBody),
            needs_response_body: root.looks_at(Part::ResponseBody),
            root: Arc::new(root),
        })
    }

    /// The filter that matches everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { root: Arc::new(Node::Constant(true)), needs_request_body: false, needs_response_body: false }
    }

    /// Whether the flow matches. `Unknown` only if the answer depends on a body that the view leaves unknown.
    #[must_use]
    pub fn evaluate(&self, view: &View<'_>) -> Answer {
        self.root.evaluate(&Texts::new(view), None)
    }

    /// What can be said of later events once the request is as it will be sent: `No` if none of them can match, `Yes` if all
    /// do.
    #[must_use]
    pub fn foresee(&self, view: &View<'_>) -> Answer {
        self.root.foresee(&Texts::new(view))
    }

    /// Whether an answer can depend on the body of the request.
    #[must_use]
    pub const fn needs_request_body(&self) -> bool {
        self.needs_request_body
    }

    /// Whether an answer can depend on the body of the response.
    #[must_use]
    pub const fn needs_response_body(&self) -> bool {
        self.needs_response_body
    }

    /// Whether an answer can depend on header fields as such (`~h`, `~hq`, `~hs`).
    #[must_use]
    pub fn looks_at_fields(&self) -> bool {
        self.root.looks_at(Part::RequestFields) || self.root.looks_at(Part::ResponseFields)
    }

    /// Whether an answer can depend on a content type (`~t`, `~tq`, `~ts`, `~a`).
    #[must_use]
    pub fn looks_at_types(&self) -> bool {
        self.root.looks_at(Part::RequestType) || self.root.looks_at(Part::ResponseType)
    }

    /// Whether it is known without a flow that every flow matches: true for blank text and `~all`.
    #[must_use]
    pub fn is_match_all(&self) -> bool {
        matches!(*self.root, Node::Constant(true))
    }
}

impl View<'_> {
    /// The URL that `~u` is about.
    #[must_use]
    pub fn url(&self) -> Vec<u8> {
        let mut url = Vec::new();
        text::write_url(self, &mut url);
        url
    }
}

impl Answer {
    pub(super) const fn from_bool(is_match: bool) -> Self {
        if is_match { Self::Yes } else { Self::No }
    }

    pub(super) const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl FilterError {
    pub(super) fn new(position: usize, message: impl Into<String>) -> Self {
        Self { position, message: message.into() }
    }
}

// Without the text: it may hold a token.
impl fmt::Debug for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Filter")
            .field("is_match_all", &self.is_match_all())
            .field("needs_request_body", &self.needs_request_body)
            .field("needs_response_body", &self.needs_response_body)
            .finish_non_exhaustive()
    }
}

// Without the bytes: bodies are long and private.
impl fmt::Debug for Seen<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => out.write_str("Unknown"),
            Self::Absent => out.write_str("Absent"),
            Self::Bytes(bytes) => write!(out, "Bytes({})", bytes.len()),
        }
    }
}
