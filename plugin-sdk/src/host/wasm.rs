//! The imports of the world.

mod dns;
pub(crate) mod kv;
pub(crate) mod outbox;

use crate::{
    BodyDigest, Change, EditError, MessageCounts, MessageKind, Mutation, Origin,
    guest::bindings::tollgate::addon::{
        flow::{
            self, BodyDigest as WitBodyDigest, Change as WitChange, EditError as WitEditError, MessageKind as WitMessageKind,
            Mutation as WitMutation, Origin as WitOrigin,
        },
        http_client::{self, Error as WitHttpError},
    },
    http,
};

pub(crate) use crate::guest::bindings::tollgate::addon::flow::{Outcome, Request, Response};
pub(crate) use dns::srv;

/// The functions of `flow`: an instance has exactly one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow;

#[allow(clippy::unused_self, reason = "the harness has several flows, an instance only one")]
impl Flow {
    pub(crate) fn id(self) -> u64 {
        flow::id()
    }

    pub(crate) fn listener(self) -> String {
        flow::listener()
    }

    pub(crate) fn peer(self) -> String {
        flow::peer()
    }

    pub(crate) fn is_tls(self) -> bool {
        flow::is_tls()
    }

    pub(crate) fn started(self) -> u64 {
        flow::started()
    }

    pub(crate) fn connect_id(self) -> Option<u64> {
        flow::connect_id()
    }

    pub(crate) fn proxy_user(self) -> Option<String> {
        flow::proxy_user()
    }

    pub(crate) fn generation(self) -> u64 {
        flow::generation()
    }

    pub(crate) fn addon_generation(self) -> String {
        flow::addon_generation()
    }

    pub(crate) fn public_origin(self) -> Option<String> {
        flow::public_origin()
    }

    pub(crate) fn let_go(self) {
        flow::let_go();
    }

    pub(crate) fn note(self, key: &str) -> Option<String> {
        flow::note(key)
    }

    pub(crate) fn set_note(self, key: &str, value: &str) -> Result<(), WitEditError> {
        flow::set_note(key, value)
    }

    pub(crate) fn end_events(self) -> Result<(), WitEditError> {
        flow::end_events()
    }
}

/// What an edit came to.
pub(crate) fn edit(result: Result<(), WitEditError>) -> Result<(), EditError> {
    result.map_err(|error| match error {
        WitEditError::ReadOnly => EditError::ReadOnly,
        WitEditError::Invalid(text) => EditError::Invalid(text),
        WitEditError::Forbidden(text) => EditError::Forbidden(text),
        WitEditError::TooLarge(text) => EditError::TooLarge(text),
    })
}

/// Where a response came from.
pub(crate) fn origin(origin: WitOrigin) -> Origin {
    match origin {
        WitOrigin::Upstream => Origin::Upstream,
        WitOrigin::Addon(name) => Origin::Addon(name),
        WitOrigin::Core => Origin::Core,
    }
}

/// How many messages there were.
pub(crate) fn message_counts(counts: flow::MessageCounts) -> MessageCounts {
    MessageCounts {
        from_client: counts.from_client,
        from_upstream: counts.from_upstream,
        edited: counts.edited,
        dropped: counts.dropped,
        close_code: counts.close_code,
    }
}

/// What an addon did.
pub(crate) fn mutation(mutation: WitMutation) -> Mutation {
    let WitMutation { addon, event, changes } = mutation;
    Mutation { addon, event, changes: changes.into_iter().map(change).collect() }
}

fn change(change: WitChange) -> Change {
    match change {
        WitChange::Method(text) => Change::Method { before: text.before, after: text.after },
        WitChange::Target(target) => {
            Change::Target { before: target.before, after: target.after, is_query_changed: target.is_query_changed }
        }
        WitChange::Upstream(text) => Change::Upstream { before: text.before, after: text.after },
        WitChange::Status(status) => Change::Status { before: status.before, after: status.after },
        WitChange::Headers(fields) => Change::Headers {
            message: message_kind(fields.message),
            added: fields.added,
            changed: fields.changed,
            removed: fields.removed,
            left_out: fields.left_out,
        },
        WitChange::Body(body) => {
            Change::Body { message: message_kind(body.message), before: body.before.map(digest), after: digest(body.after) }
        }
        WitChange::Streamed(stream) => {
            Change::Streamed { message: message_kind(stream.message), bytes_in: stream.bytes_in, bytes_out: stream.bytes_out }
        }
        WitChange::Notes(notes) => Change::Notes { keys: notes.keys, left_out: notes.left_out },
        WitChange::Answered(status) => Change::Answered(status),
        WitChange::Dropped => Change::Dropped,
        WitChange::Other(kind) => Change::Other(kind),
    }
}

const fn message_kind(kind: WitMessageKind) -> MessageKind {
    match kind {
        WitMessageKind::Request => MessageKind::Request,
        WitMessageKind::Response => MessageKind::Response,
    }
}

fn digest(digest: WitBodyDigest) -> BodyDigest {
    BodyDigest { bytes: digest.bytes, sha256: digest.sha256 }
}

/// A request of the addon's own.
pub(crate) fn send(request: &http::Request) -> Result<http::Response, http::Error> {
    let options = http_client::Options {
        timeout: request.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1)),
        redirects: request.redirects,
        max_response: request.max_response,
    };
    let request = http_client::Request {
        method: request.method.clone(),
        url: request.url.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
    };
    let response = http_client::send(&request, options).map_err(|error| match error {
        WitHttpError::Denied(text) => http::Error::Denied(text),
        WitHttpError::Invalid(text) => http::Error::Invalid(text),
        WitHttpError::Dns(text) => http::Error::Dns(text),
        WitHttpError::Connect(text) => http::Error::Connect(text),
        WitHttpError::Tls(text) => http::Error::Tls(text),
        WitHttpError::Timeout => http::Error::Timeout,
        WitHttpError::TooLarge(limit) => http::Error::TooLarge(limit),
        WitHttpError::Closed(text) => http::Error::Closed(text),
        WitHttpError::Protocol(text) => http::Error::Protocol(text),
        WitHttpError::Busy(limit) => http::Error::Busy(limit),
    })?;
    Ok(http::Response {
        status: response.status,
        version: response.version,
        headers: response.headers,
        body: response.body,
        trailers: response.trailers,
        url: response.url,
    })
}
