//! The one place where causes become responses.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{
    hooks::{FailureAnswer, MadeResponse, Refusal, ResponseMessage, Source, StagedBody},
    http::{Body, Extent, Field, Headers, ResponseHead},
    http1::framing::may_have_body,
};

/// An answer of the core, to a request with this method, in the shape that Matrix and Mastodon clients read: `{"errcode":…,"error":…}`.
#[must_use]
pub fn refuse(method: &Method, status: StatusCode, error: &str) -> (ResponseHead, Body) {
    let (mut head, body) = refusal_parts(status, errcode(status), error);
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        // RFC 9110, 11.7.1; RFC 7617, 2.1.
        head.headers.push(Field::from_static("Proxy-Authenticate", "Basic realm=\"tollgate\", charset=\"UTF-8\""));
    }
    head.with_content(method, body)
}

/// The same, staged for the hooks of the response pass.
pub(super) fn staged(status: StatusCode, error: &str) -> ResponseMessage {
    let (head, body) = refusal_parts(status, errcode(status), error);
    ResponseMessage {
        head,
        body: StagedBody::Replaced(body.into()),
        origin: Source::Core,
        may_have_body: true,
        extent: Extent::Whole,
    }
}

/// The answer to CONNECT, with whose end the rest of the connection begins.
pub(super) fn established(head: &ResponseHead) -> ResponseMessage {
    ResponseMessage {
        head: head.clone(),
        body: StagedBody::Streaming,
        origin: Source::Core,
        may_have_body: false,
        extent: Extent::Whole,
    }
}

/// An answer of the core that says nothing but its status.
pub(super) fn empty(status: StatusCode, method: &Method) -> ResponseMessage {
    let mut head = ResponseHead::new(status);
    head.headers.extend(date());
    ResponseMessage {
        head,
        body: StagedBody::Whole(Bytes::new()),
        origin: Source::Core,
        may_have_body: may_have_body(method, status),
        extent: Extent::Whole,
    }
}

/// What stands in for an addon that failed: what the configuration says, or the core's own words.
pub(super) fn failed(answer: &FailureAnswer, error: &str) -> ResponseMessage {
    let Some((content_type, body)) = &answer.content else { return staged(answer.status, error) };
    let mut head = ResponseHead::new(answer.status);
    head.headers.push(content_type.clone());
    head.headers.extend(date());
    ResponseMessage {
        head,
        body: StagedBody::Replaced(body.clone()),
        origin: Source::Core,
        may_have_body: true,
        extent: Extent::Whole,
    }
}

/// An answer of the configuration.
pub(super) fn configured(status: StatusCode, headers: Headers, body: Bytes) -> ResponseMessage {
    let head = ResponseHead { headers, ..ResponseHead::new(status) };
    let body = StagedBody::Whole(body);
    ResponseMessage { head, body, origin: Source::Core, may_have_body: true, extent: Extent::Whole }
}

/// What is answered to a request without a host where one is needed (Matrix names it).
pub(super) fn without_host(error: &str) -> ResponseMessage {
    let (head, body) = refusal_parts(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", error);
    ResponseMessage { head, ..configured(StatusCode::BAD_REQUEST, Headers::new(), body.into()) }
}

/// A refusal of an addon as a response that it made.
pub(super) fn refusal(refusal: &Refusal) -> MadeResponse {
    let (head, body) = refusal_parts(refusal.status, &refusal.errcode, &refusal.error);
    MadeResponse { status: head.status, headers: head.headers, body: body.into() }
}

fn refusal_parts(status: StatusCode, errcode: &str, error: &str) -> (ResponseHead, String) {
    let mut head = ResponseHead::new(status);
    head.headers.push(Field::from_static("Content-Type", "application/json"));
    head.headers.extend(date());
    (head, serde_json::json!({ "errcode": errcode, "error": error }).to_string())
}

/// The time now, as a Date field (RFC 9110, 6.6.1).
pub(super) fn date() -> Option<Field> {
    Field::new("Date", httpdate::fmt_http_date(SystemTime::now())).ok()
}

/// What Matrix calls it (Client-Server API v1.11, "Common error codes").
const fn errcode(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "M_TOO_LARGE",
        StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => "M_FORBIDDEN",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::EXPECTATION_FAILED => "M_UNRECOGNIZED",
        _ => "M_UNKNOWN",
    }
}
