//! Routes of a listener: requests that go elsewhere than the others, are sent under another path, or are answered here.
//!
//! The first route that a request fits is the one. Paths are matched as they were sent, segment by segment and percent-decoded once:
//! `%2F` is a part of its segment and ends none, and case counts. What servers do to paths beyond that differs, so a request that
//! another route would get, or none, once dot segments are resolved, with empty segments and `;…` or without, is
//! [`Judged::Ambiguous`]; so is one that another route would get if `%2F` or `%5C` ended its segment. What a variable has found is encoded anew wherever it is put in, and
//! never becomes more than one segment.

mod path;
mod readings;
mod template;
#[cfg(test)]
mod tests;

use std::{cell::LazyCell, ops::Deref, sync::Arc};

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{
    filter::{Answer as Says, Filter, View},
    http::{Field, Headers, Origin, RequestHead, Scheme},
    targets::{Host, Target},
};

use path::Segments;
pub use path::{Captures, PathTemplate};
pub use template::{Json, Location, TargetTemplate};

/// The routes of a listener, in the order in which they are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes(pub Vec<Route>);

/// What some requests are, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which requests.
    pub of: Conditions,
    /// What becomes of them.
    pub action: Action,
}

/// What a request has to have, as far as it is said: all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// `path`.
    pub path: Option<PathTemplate>,
    /// `host`: hosts that were asked for, however they are written; without a port any will do. None: all.
    pub hosts: Vec<Host>,
    /// `method`: GET takes HEAD, too. None: all.
    pub methods: Vec<Method>,
    /// `filter`.
    pub filter: Option<Condition>,
}

/// A filter, known by its text.
#[derive(Debug, Clone)]
pub struct Condition {
    text: Box<str>,
    filter: Filter,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Onward(Onward),
    /// `answer`: it is answered here.
    Answer(Answer),
    /// `redirect`: its client is sent elsewhere, with one of 301, 302, 303, 307 and 308.
    Redirect(StatusCode, Location),
}

/// How a request goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Onward {
    /// `upstream`: where to. Default: where it went anyway.
    pub upstream: Option<Arc<Origin>>,
    /// `target`: under which path. Default: its own.
    pub target: Option<TargetTemplate>,
    /// `on_status`: what is answered in place of a response with this status.
    pub on_status: Vec<(StatusCode, Answer)>,
}

/// An answer of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `status`: 200 to 599, default 200.
    pub status: StatusCode,
    /// `headers`, and Content-Type.
    pub headers: Headers,
    /// `body` or `json`.
    pub content: Content,
}

/// What an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Fixed(Bytes),
    /// A document with variables in its texts.
    Json(Json),
}

/// Which route is for a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// None: it goes where all others go.
    Unrouted,
    /// The one of this number, and what its variables have found.
    Routed(usize, Captures),
    /// It depends on how the path is read.
    Ambiguous,
}

/// Why a template makes nothing of a request: all of it is the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// `{host}`, and the request names none.
    #[error("the request names no host")]
    NoHost,
    /// Dot segments, empty segments.
    #[error("the path has empty or dot segments where none may be")]
    Path,
    /// Over 64 KiB.
    #[error("the path is too long")]
    TooLong,
    /// A document over 256 KiB.
    #[error("the path makes too long a document")]
    TooLarge,
    /// What is to be text in JSON is not.
    #[error("the path is not UTF-8")]
    NotText,
}

impl Routes {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one leads to an upstream with this scheme.
    #[must_use]
    pub fn lead_to(&self, scheme: Scheme) -> bool {
        let upstream = |route: &Route| match &route.action {
            Action::Onward(onward) => onward.upstream.clone(),
            Action::Answer(_) | Action::Redirect(..) => None,
        };
        self.0.iter().filter_map(upstream).any(|origin| origin.scheme == scheme)
    }

    /// The first route for the request in this view.
    #[must_use]
    pub fn judge(&self, view: &View<'_>) -> Judged {
        if self.is_empty() {
            return Judged::Unrouted;
        }
        let path = view.request.path();
        let segments = Segments::of(path);
        let asked = LazyCell::new(|| Target::asked(view.request));
        let found = self.0.iter().position(|route| route.of.fits(segments.as_ref()) && route.of.hold_but_for_path(view, &asked));
        let has_path = self.0.iter().any(|route| route.of.path.is_some());
        if has_path && self.is_ambiguous(path, found, |route| route.of.hold_but_for_path(view, &asked)) {
            return Judged::Ambiguous;
        }
        let Some(number) = found else { return Judged::Unrouted };
        let template = self.0.get(number).and_then(|route| route.of.path.as_ref());
        let captures = template.zip(segments.as_ref()).and_then(|(template, segments)| template.captures(segments));
        Judged::Routed(number, captures.unwrap_or_default())
    }

    /// Whether what servers may read in the path leads elsewhere.
    fn is_ambiguous(&self, path: &[u8], found: Option<usize>, holds: impl Fn(&Route) -> bool) -> bool {
        let candidates = LazyCell::new(|| self.0.iter().enumerate().filter(|(_, route)| holds(route)).collect::<Vec<_>>());
        readings::any(path, |reading, is_loose| {
            let first = candidates.iter().find(|(_, route)| route.of.fits(Some(reading))).map(|(number, _)| *number);
            first != found && !(is_loose && first.is_none())
        })
    }
}

impl Conditions {
    /// Whether nothing is said.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.path.is_none() && self.hosts.is_empty() && self.methods.is_empty() && self.filter.is_none()
    }

    fn fits(&self, path: Option<&Segments<'_>>) -> bool {
        self.path.as_ref().is_none_or(|template| path.is_some_and(|path| template.matches(path)))
    }

    fn hold_but_for_path(&self, view: &View<'_>, asked: &impl Deref<Target = Option<Target>>) -> bool {
        let request: &RequestHead = view.request;
        let is_asked_by =
            |method: &Method| *method == request.method || (*method == Method::GET && request.method == Method::HEAD);
        (self.methods.is_empty() || self.methods.iter().any(is_asked_by))
            && (self.hosts.is_empty() || asked.as_ref().is_some_and(|asked| self.hosts.iter().any(|host| host.is_about(asked))))
            && self.filter.as_ref().is_none_or(|condition| condition.filter.evaluate(view) == Says::Yes)
    }
}

impl Condition {
    /// Reads a filter.
    ///
    /// # Errors
    /// What is wrong with it, for people: it may not look at bodies, which are not there yet.
    pub fn parse(text: &str) -> Result<Self, String> {
        let filter = Filter::parse(text).map_err(|error| error.to_string())?;
        if filter.needs_request_body() || filter.needs_response_body() {
            return Err("looks at bodies (~b, ~bq, ~bs), which are not there yet when it is asked".to_owned());
        }
        Ok(Self { text: text.into(), filter })
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl Answer {
    /// The body for a request for this host with these captures.
    ///
    /// # Errors
    /// When a variable has no value that fits.
    pub fn body(&self, captures: &Captures, host: &str) -> Result<Bytes, Unfit> {
        match &self.content {
            Content::Fixed(bytes) => Ok(bytes.clone()),
            Content::Json(json) => json.expand(captures, host),
        }
    }
}

impl Onward {
    /// What is answered in place of a response with this status.
    #[must_use]
    pub fn instead_of(&self, status: StatusCode) -> Option<&Answer> {
        self.on_status.iter().find(|(known, _)| *known == status).map(|(_, answer)| answer)
    }
}

/// The Location field of a redirect.
pub(crate) fn location(url: String) -> Option<Field> {
    Field::new("Location", url).ok()
}
