//! What is sent back.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        CONTENT_TYPE, HeaderValue, LOCATION,
    },
};
use serde_json::{Value, json};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<Body>;

/// Why there is an error instead: status and text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) &'static str);

impl Refused {
    pub(crate) const NOT_FOUND: Self = Self(StatusCode::NOT_FOUND, "Record not found");
    pub(crate) const NO_TOKEN: Self = Self(StatusCode::UNAUTHORIZED, "The access token is invalid");
    pub(crate) const FULL: Self = Self(StatusCode::TOO_MANY_REQUESTS, "This sample keeps no more; start it anew");
}

impl From<Refused> for Answer {
    fn from(Refused(status, error): Refused) -> Self {
        let mut answer = document(&json!({"error": error}));
        *answer.status_mut() = status;
        answer
    }
}

/// 200 with this document.
pub(crate) fn document(document: &Value) -> Answer {
    text("application/json; charset=utf-8", document.to_string())
}

/// 200 with this text.
pub(crate) fn text(kind: &'static str, text: impl Into<Bytes>) -> Answer {
    streamed(kind, Full::new(text.into()).boxed_unsync())
}

/// 200 with this body.
pub(crate) fn streamed(kind: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Link"));
    answer
}

/// 302 to this URL.
pub(crate) fn redirect(url: &str) -> Result<Answer, Refused> {
    let url = HeaderValue::try_from(url).map_err(|_| Refused(StatusCode::BAD_REQUEST, "redirect_uri is no URL"))?;
    let mut answer = text("text/plain", "");
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(LOCATION, url);
    Ok(answer)
}

/// What a browser wants to know before a request from another site.
pub(crate) fn preflight() -> Answer {
    let mut answer = text("text/plain", "");
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key"));
    answer
}
