//! The messages as one hook sees and edits them: copies of what it writes, the rest read where it is.

mod fields;
#[cfg(test)]
mod tests;
mod trailers;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{grants::Grants, limits::Limits};
use crate::{
    hooks::{
        Event, Exchange, Follow, Guard, RequestMessage, ResponseMessage, StagedBody,
        differences::{self, Touched},
    },
    http::{Extent, Origin},
};
use fields::Hidden;
pub(super) use fields::{check_name, field, wire_len};

/// What a hook works on, until it is committed or dropped.
pub(super) struct Stage {
    exchange: Arc<Exchange>,
    access: Access,
    body_cap: Option<usize>,
    limits: Limits,
    grants: Arc<Grants>,
    request: Option<RequestMessage>,
    response: Option<ResponseMessage>,
    notes: Option<Vec<(String, String)>>,
    own_request_body: bool,
    own_response_body: bool,
    trailers: Option<trailers::Trailers>,
    /// Fields of the one message that can be edited.
    touched: Touched,
    /// Whether the stream of events ends here.
    ends_events: bool,
    /// Its values that the addon cannot read, once they are asked for.
    hidden: Option<Hidden>,
}

/// What a hook may edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The request and notes.
    Request,
    /// The response and notes.
    Response,
    /// Notes and, in the last call for a body, trailers.
    Notes,
    /// Notes and the end of the stream of events.
    Events,
    /// Nothing.
    Nothing,
}

/// Why an edit is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EditError {
    /// Not in this hook, or not by this addon.
    ReadOnly,
    /// Not a legal value.
    Invalid(String),
    /// The core's, or not granted.
    Forbidden(String),
    /// Over a limit.
    TooLarge(String),
}

/// Whose fields are edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request's.
    Request,
    /// A response's.
    Response,
}

type Edit = Result<(), EditError>;

const OF_A_PART: &str = "a part of a whole cannot be replaced";
const MAX_METHOD: usize = 64;
const MAX_TARGET: usize = 64 << 10;
const MAX_NOTES: usize = 64;
const MAX_NOTE_KEY: usize = 256;
const MAX_NOTE_VALUE: usize = 16 << 10;

impl Stage {
    /// A stage on this exchange.
    pub(super) const fn new(
        exchange: Arc<Exchange>,
        access: Access,
        body_cap: Option<usize>,
        limits: Limits,
        grants: Arc<Grants>,
    ) -> Self {
        Self {
            exchange,
            access,
            body_cap,
            limits,
            grants,
            request: None,
            response: None,
            notes: None,
            own_request_body: false,
            own_response_body: false,
            trailers: None,
            touched: Touched::new(),
            ends_events: false,
            hidden: None,
        }
    }

    /// Makes the edits the exchange's, and writes them down as what this addon did at this event.
    pub(super) fn commit(self, addon: &str, event: Event) {
        if self.request.is_none() && self.response.is_none() && self.notes.is_none() {
            return;
        }
        let mut messages = self.exchange.lock();
        let mut changes = Vec::new();
        if let Some(request) = self.request {
            changes = differences::of_requests(&messages.request, &request, &self.touched);
            messages.request = request;
        }
        if let Some(response) = self.response {
            if let Some(before) = &messages.response {
                changes.extend(differences::of_responses(before, &response, &self.touched));
            }
            messages.response = Some(response);
        }
        if let Some(notes) = self.notes {
            changes.extend(differences::of_notes(&messages.notes, &notes));
            messages.notes = notes;
        }
        for change in changes {
            messages.ledger.push(addon, event, change);
        }
    }

    /// What the addon may read and write.
    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Reads the request.
    pub(super) fn request<T>(&self, read: impl FnOnce(&RequestMessage) -> T) -> T {
        match &self.request {
            Some(request) => read(request),
            None => read(&self.exchange.lock().request),
        }
    }

    /// Reads the response, if there is one.
    pub(super) fn response<T>(&self, read: impl FnOnce(&ResponseMessage) -> T) -> Option<T> {
        match &self.response {
            Some(response) => Some(read(response)),
            None => self.exchange.lock().response.as_ref().map(read),
        }
    }

    fn notes<T>(&self, read: impl FnOnce(&[(String, String)]) -> T) -> T {
        match &self.notes {
            Some(notes) => read(notes),
            None => read(&self.exchange.lock().notes),
        }
    }

    /// The value of a note.
    pub(super) fn note(&self, key: &str) -> Option<String> {
        self.notes(|notes| notes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone()))
    }

    /// Leaves a note.
    pub(super) fn set_note(&mut self, key: String, value: String) -> Edit {
        if self.access == Access::Nothing {
            return Err(EditError::ReadOnly);
        }
        at_most("bytes in the key of a note", key.len(), MAX_NOTE_KEY)?;
        at_most("bytes in a note", value.len(), MAX_NOTE_VALUE)?;
        let count = self.notes(|notes| notes.len() + usize::from(notes.iter().all(|(known, _)| *known != key)));
        at_most("notes", count, MAX_NOTES)?;
        let notes = self.notes.get_or_insert_with(|| self.exchange.lock().notes.clone());
        match notes.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => notes.push((key, value)),
        }
        Ok(())
    }

    /// Ends the stream of events after this one.
    pub(super) fn end_events(&mut self) -> Edit {
        if self.access != Access::Events {
            return Err(EditError::ReadOnly);
        }
        self.ends_events = true;
        Ok(())
    }

    /// Whether it ends.
    pub(super) const fn ends_events(&self) -> bool {
        self.ends_events
    }

    fn request_mut(&mut self) -> Result<&mut RequestMessage, EditError> {
        if self.access != Access::Request {
            return Err(EditError::ReadOnly);
        }
        Ok(self.request.get_or_insert_with(|| self.exchange.lock().request.clone()))
    }

    fn response_mut(&mut self) -> Result<&mut ResponseMessage, EditError> {
        if self.access != Access::Response {
            return Err(EditError::ReadOnly);
        }
        if self.response.is_none() {
            self.response.clone_from(&self.exchange.lock().response);
        }
        self.response.as_mut().ok_or(EditError::ReadOnly)
    }

    /// Sets the method.
    pub(super) fn set_method(&mut self, method: &str) -> Edit {
        let may_trace = self.grants.reads_all();
        let request = self.request_mut()?;
        at_most("bytes in a method", method.len(), MAX_METHOD)?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| invalid("method", method))?;
        // It means something else to every hop: the answer has no body and what follows is a tunnel.
        if method == Method::CONNECT {
            return Err(invalid("method", "CONNECT"));
        }
        // It has the upstream answer with the fields that it got.
        if method == Method::TRACE && !may_trace {
            return Err(EditError::Forbidden("TRACE, since values of fields are withheld".to_owned()));
        }
        request.head.method = method;
        Ok(())
    }

    /// Sets path and query.
    pub(super) fn set_target(&mut self, target: String) -> Edit {
        let request = self.request_mut()?;
        at_most("bytes in path and query", target.len(), MAX_TARGET)?;
        if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(invalid("path-and-query", &target));
        }
        request.head.target = Bytes::from(target);
        Ok(())
    }

    /// Sets where the request goes, if `route` allows it.
    pub(super) fn set_upstream(&mut self, url: &str, route: impl FnOnce(&Origin) -> Result<Option<Guard>, EditError>) -> Edit {
        let request = self.request_mut()?;
        let origin: Origin = url.parse().map_err(|error: crate::http::InvalidUrl| EditError::Invalid(error.to_string()))?;
        request.guard = route(&origin)?;
        request.upstream = Arc::new(origin);
        Ok(())
    }

    /// Sets which redirects are followed, if `follow` allows it.
    pub(super) fn follow_redirects(&mut self, follow: impl FnOnce() -> Result<Option<Follow>, EditError>) -> Edit {
        let request = self.request_mut()?;
        request.follow = follow()?;
        Ok(())
    }

    /// Sets where the request goes to an upstream of the listener.
    pub(super) fn set_configured_upstream(&mut self, origin: Arc<Origin>) -> Edit {
        let request = self.request_mut()?;
        (request.guard, request.upstream) = (None, origin);
        Ok(())
    }

    /// Sets the status.
    pub(super) fn set_status(&mut self, status: u16) -> Edit {
        let is_head = self.request(|request| request.head.method == Method::HEAD);
        let response = self.response_mut()?;
        let status = final_status(status).ok_or_else(|| invalid("status", &status.to_string()))?;
        response.head.status = status;
        response.head.reason = None;
        response.may_have_body = !is_head && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
        Ok(())
    }

    /// The body of a message as this hook may see it: nothing if it did not ask, but always what it set itself.
    pub(super) fn body(&self, kind: Kind) -> Option<Bytes> {
        let body = match kind {
            Kind::Request => self.request(|request| request.body.bytes().cloned()),
            Kind::Response => self.response(|response| response.body.bytes().cloned()).flatten(),
        };
        if self.is_own(kind) {
            return body;
        }
        let cap = self.body_cap?;
        body.map(|bytes| bytes.slice(..bytes.len().min(cap)))
    }

    /// Bytes of the bodies that this hook may see.
    pub(super) fn shown_bytes(&self) -> usize {
        if self.body_cap.is_none() {
            return 0;
        }
        [Kind::Request, Kind::Response].into_iter().filter_map(|kind| self.body(kind)).map(|body| body.len()).sum()
    }

    /// Whether it is cut, by what the hook asked for or before that.
    pub(super) fn is_truncated(&self, kind: Kind) -> bool {
        let Some(cap) = self.body_cap.filter(|_| !self.is_own(kind)) else { return false };
        let is_truncated =
            |body: &StagedBody| matches!(body, StagedBody::Truncated(_)) || body.bytes().is_some_and(|bytes| bytes.len() > cap);
        match kind {
            Kind::Request => self.request(|request| is_truncated(&request.body)),
            Kind::Response => self.response(|response| is_truncated(&response.body)).unwrap_or(false),
        }
    }

    /// Whether this hook replaced it.
    const fn is_own(&self, kind: Kind) -> bool {
        match kind {
            Kind::Request => self.own_request_body,
            Kind::Response => self.own_response_body,
        }
    }

    /// Replaces the body.
    pub(super) fn set_body(&mut self, kind: Kind, bytes: Vec<u8>) -> Edit {
        let limit = self.limits.max_body;
        let is_truncated = self.is_truncated(kind);
        let holdings = Arc::clone(self.exchange.holdings());
        let body = match kind {
            Kind::Request => {
                let request = self.request_mut()?;
                if request.head.headers.contains("content-range") {
                    return Err(EditError::Invalid(format!("body: {OF_A_PART}, unless Content-Range is removed before")));
                }
                &mut request.body
            }
            Kind::Response => {
                let response = self.response_mut()?;
                if response.head.status == StatusCode::PARTIAL_CONTENT && response.extent == Extent::Part {
                    return Err(EditError::Invalid(format!("body: {OF_A_PART}, unless the status is set before")));
                }
                if !response.may_have_body {
                    return Err(EditError::Invalid("body: this response can have none".to_owned()));
                }
                &mut response.body
            }
        };
        if is_truncated {
            return Err(EditError::ReadOnly);
        }
        at_most("bytes in a body", bytes.len(), limit)?;
        *body = StagedBody::Replaced(holdings.count(Bytes::from(bytes)));
        match kind {
            Kind::Request => self.own_request_body = true,
            Kind::Response => self.own_response_body = true,
        }
        Ok(())
    }
}

/// A status that ends an exchange: 200 to 599.
pub(super) fn final_status(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(|_| (200..=599).contains(&status))
}

/// Fails where `count` is over `limit`.
pub(super) fn at_most(what: &str, count: usize, limit: usize) -> Edit {
    if count > limit { Err(EditError::TooLarge(format!("{count} {what}, limit {limit}"))) } else { Ok(()) }
}

fn invalid(what: &str, value: &str) -> EditError {
    let shown: String = value.chars().take(64).collect();
    EditError::Invalid(format!("{what} {shown:?}"))
}
