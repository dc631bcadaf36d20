//! Redirects that the core follows in the place of the client, where an addon asks for that.

use std::sync::Arc;

use http::Method;
use http_body::Body as _;

use super::{Held, Request, record::Record, rewrite};
use crate::{
    hooks::{StagedBody, Step},
    http::{Body, ResponseHead},
    upstream::{Reply, SendFailure},
};

/// Most that are followed for a request; the response to the last one is the answer, be it another redirect.
const MOST: usize = 5;

/// Sends the staged request, and after it what its redirects make of it.
pub(super) async fn send(record: &Arc<Record>, request: Request) -> Result<Reply, SendFailure> {
    rewrite::before_upstream(record);
    let follows = record.exchange.lock().request.follow.is_some();
    // Boxed: few requests need room for it.
    if follows { Box::pin(send_on(record, request)).await } else { super::send(record, request).await }
}

async fn send_on(record: &Arc<Record>, mut request: Request) -> Result<Reply, SendFailure> {
    for _ in 0..MOST {
        let Some(mut next) = again(record, &request) else { break };
        match super::send(record, request).await? {
            Reply::Response(head, body) => {
                if !go_on(record, &head, &mut next) {
                    return Ok(Reply::Response(head, body));
                }
            }
            upgraded @ Reply::Upgraded(..) => return Ok(upgraded),
        }
        request = next;
    }
    super::send(record, request).await
}

/// The same request once more; none where it is not to be sent twice.
fn again(record: &Record, request: &Request) -> Option<Request> {
    let messages = record.exchange.lock();
    let staged = &messages.request;
    let is_repeatable = staged.follow.is_some()
        && (staged.head.method == Method::GET || staged.head.method == Method::HEAD)
        && !matches!(staged.body, StagedBody::Replaced(_))
        && request.body.is_end_stream();
    is_repeatable.then(|| Request {
        body: Held::new(Body::empty()),
        expects_continue: false,
        upgrade: request.upgrade.clone(),
        takes_trailers: request.takes_trailers,
        interim: request.interim.clone(),
        target: request.target.clone(),
    })
}

/// Sends the request where the response leads, if it leads somewhere.
fn go_on(record: &Record, head: &ResponseHead, next: &mut Request) -> bool {
    let last = {
        let request = &mut record.exchange.lock().request;
        let Some(follow) = &request.follow else { return false };
        let target = next.target.as_ref().unwrap_or(&request.head.target);
        let Some(Step { upstream, target, guard }) = (follow.0)(head, &request.upstream, target) else { return false };
        next.target = Some(target);
        request.guard = guard;
        std::mem::replace(&mut request.upstream, upstream)
    };
    rewrite::before_next_upstream(record, &last);
    true
}
