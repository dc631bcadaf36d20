//! Answers in the shape that Matrix and Mastodon clients both read.

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderValue,
    },
};
use serde_json::{Value, json};

pub(crate) type Answer = Response<Bytes>;

/// Why there is an error instead: status, code and text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) &'static str, pub(crate) &'static str);

/// 200 with this document.
pub(crate) fn json(document: &Value) -> Answer {
    with_status(StatusCode::OK, document)
}

/// What a browser wants to know before a request from another site.
pub(crate) fn preflight() -> Answer {
    let mut answer = json(&json!({}));
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("X-Requested-With, Content-Type, Authorization"));
    answer
}

impl From<Refused> for Answer {
    /// As Matrix has it; Mastodon clients read its `error`.
    fn from(Refused(status, errcode, error): Refused) -> Self {
        with_status(status, &json!({"errcode": errcode, "error": error}))
    }
}

fn with_status(status: StatusCode, document: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(document.to_string()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}
