//! What the client is sent: the staged response with fields that fit its body.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{
    Departure,
    bodies::ToClient,
    chain::{Pass, Passed},
    collect::Held,
    forward,
    record::{Ending, Record},
    respond, rewrite, rules,
    stream::{self, Closed},
};
use crate::{
    hooks::{Event, ResponseMessage, Source, StagedBody},
    http::{
        Body, Extent, Field, Headers,
        coding::{self, Coding},
    },
    http1::framing::may_have_body,
};

/// Makes a departure of the staged response.
pub(super) async fn depart(ending: Ending, passed: Passed, deadline: Option<Instant>) -> Departure {
    let record = Arc::clone(ending.record());
    rewrite::before_client(&record);
    rules::before_client(&record);
    let staged = {
        let messages = record.exchange.lock();
        messages.response.clone()
    };
    match (passed, staged) {
        (Passed::Response(held, upto), Some(mut response)) => {
            // Whatever a hook made of the method, it is the client's that decides.
            response.may_have_body &= may_have_body(&record.method, response.head.status);
            if matches!(response.body, StagedBody::Replaced(_)) {
                forget_range(&mut response);
            }
            let (status, headers) = (response.head.status, &mut response.head.headers);
            if response.extent != Extent::Whole && status != StatusCode::PARTIAL_CONTENT {
                // A hook made another answer of it, of which it does not hold (RFC 9110, 14.4).
                headers.remove("content-range");
            }
            if held.has_editor() && !response.may_have_body && status != StatusCode::NO_CONTENT {
                // HEAD and 304 tell of a body that a hook may have edited: nothing that would not hold of that.
                forward::weaken_etag(headers);
                forget_digests(headers);
            }
            record.let_bodies_go();
            if let StagedBody::Replaced(plain) = &mut response.body {
                forget_body_fields(headers);
                forward::weaken_etag(headers);
                if response.may_have_body {
                    Box::pin(recode(&record, headers, plain, held.codings(), deadline)).await;
                } else if may_have_body(&Method::GET, status) && held.codings().is_empty() {
                    // To HEAD, what GET would have been answered with (RFC 9110, 9.3.2).
                    headers.extend(Field::new("Content-Length", plain.len().to_string()).ok());
                }
                // What chunk hooks are shown from now on.
                if let Some(shown) = &mut record.exchange.lock().response {
                    shown.head.headers.clone_from(headers);
                }
            }
            if response.origin != Source::Upstream && !headers.contains("date") {
                headers.extend(respond::date());
            }
            let is_part = held.is_part() && !matches!(response.body, StagedBody::Replaced(_));
            let body = if response.may_have_body { held.into_body(&response.body) } else { Body::empty() };
            let body = match stream::response(&record, upto, &mut response, body, is_part) {
                Ok(body) => body,
                Err(Closed { index, why }) => {
                    Pass::new(&record).answer_for(index, &why);
                    let answer = Passed::Response(Held::new(Body::empty()), 0);
                    return Box::pin(depart(ending, answer, deadline)).await;
                }
            };
            record.release_after(Event::ResponseChunk);
            if let Some(tape) = &record.tape {
                tape.depart(&response.head, false);
            }
            Departure::Response(response.head, ToClient::watch(body, ending, deadline))
        }
        (Passed::Upgrade(tunnel, None), Some(response)) => {
            if let Some(tape) = &record.tape {
                tape.depart(&response.head, true);
            }
            Departure::Upgrade(response.head, tunnel, ending)
        }
        (Passed::Upgrade(tunnel, Some(socket)), Some(mut response)) => {
            socket.describe(&mut response.head.headers);
            record.release_after(Event::ResponseChunk);
            if let Some(tape) = &record.tape {
                tape.depart(&response.head, true);
            }
            Departure::Socket(response.head, tunnel, socket, ending)
        }
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

/// What is another body than the one that Content-Range counts the bytes of is the answer to a request without Range, as any
/// server may answer one (RFC 9110, 14.2).
pub(super) fn forget_range(response: &mut ResponseMessage) {
    if response.extent == Extent::Ranged && response.head.status == StatusCode::PARTIAL_CONTENT {
        (response.head.status, response.head.reason) = (StatusCode::OK, None);
        response.head.headers.remove("content-range");
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
