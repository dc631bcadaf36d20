//! What the client is sent: the staged response with fields that fit its body.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Departure, bodies::ToClient, chain::Passed, forward, record::Ending, respond, stream};
use crate::{
    hooks::{Event, Source, StagedBody},
    http::{Body, Headers},
};

/// Makes a departure of the staged response.
pub(super) fn depart(ending: Ending, passed: Passed, deadline: Option<Instant>) -> Departure {
    let record = Arc::clone(ending.record());
    let staged = {
        let messages = record.exchange.lock();
        messages.response.clone()
    };
    match (passed, staged) {
        (Passed::Response(held, upto), Some(mut response)) => {
            let headers = &mut response.head.headers;
            if let StagedBody::Replaced(_) = &response.body {
                forget_body_fields(headers);
                forward::weaken_etag(headers);
            }
            if response.origin != Source::Upstream && !headers.contains("date") {
                headers.extend(respond::date());
            }
            let body = if response.may_have_body { held.into_body(&response.body) } else { Body::empty() };
            let body = stream::response(&record, upto, headers, body);
            record.release_after(Event::ResponseChunk);
            Departure::Response(response.head, ToClient::watch(body, ending, deadline))
        }
        (Passed::Upgrade(tunnel), Some(response)) => Departure::Upgrade(response.head, tunnel, ending),
        _ => Departure::Drop,
    }
}

/// Removes what described a body that was replaced.
pub(super) fn forget_body_fields(headers: &mut Headers) {
    headers.remove("content-encoding");
    forget_digests(headers);
}

/// Removes what described the bytes of a body that hooks may change.
pub(super) fn forget_digests(headers: &mut Headers) {
    for name in ["content-length", "content-md5", "digest", "content-digest", "repr-digest"] {
        headers.remove(name);
    }
}
