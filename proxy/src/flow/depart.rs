//! What the client is sent: the staged response with fields that fit its body.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{
    Departure,
    bodies::ToClient,
    chain::Passed,
    forward,
    record::{Ending, Record},
    respond, stream,
};
use crate::{
    hooks::{Event, Source, StagedBody},
    http::{
        Body, Field, Headers,
        coding::{self, Coding},
    },
    http1::framing::may_have_body,
};

/// Makes a departure of the staged response.
pub(super) async fn depart(ending: Ending, passed: Passed, deadline: Option<Instant>) -> Departure {
    let record = Arc::clone(ending.record());
    let staged = {
        let messages = record.exchange.lock();
        messages.response.clone()
    };
    match (passed, staged) {
        (Passed::Response(held, upto), Some(mut response)) => {
            // Whatever a hook made of the method, it is the client's that decides.
            response.may_have_body &= may_have_body(&record.method, response.head.status);
            let headers = &mut response.head.headers;
            record.let_bodies_go();
            if let StagedBody::Replaced(plain) = &mut response.body {
                forget_body_fields(headers);
                forward::weaken_etag(headers);
                if response.may_have_body {
                    recode(&record, headers, plain, held.codings(), deadline).await;
                }
                // What chunk hooks are shown from now on.
                if let Some(shown) = &mut record.exchange.lock().response {
                    shown.head.headers.clone_from(headers);
                }
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

/// Puts one of the codings that the body came with on the edited one: the last that the client takes. Without any, or when the
/// flow's time is up, it goes out plain.
async fn recode(record: &Record, headers: &mut Headers, body: &mut Bytes, codings: &[Coding], deadline: Option<Instant>) {
    if codings.is_empty() {
        return;
    }
    forward::add_vary(headers, "Accept-Encoding");
    let Some(coding) = coding::choose(&record.accept_encoding, codings) else { return };
    let encoding = coding::encoded(coding, body.clone());
    let coded = match deadline {
        None => encoding.await,
        Some(deadline) => timeout_at(deadline, encoding).await.ok().flatten(),
    };
    if let Some(coded) = coded {
        *body = record.exchange.holdings().count(coded);
        headers.push(Field::from_static("Content-Encoding", coding.as_str()));
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
