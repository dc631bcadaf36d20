//! What the callback server is sent.

use serde::Serialize;
use serde_json::value::RawValue;
use tollgate_sdk::{Request, Response};

use crate::{failure::Failure, fields::Fields};

/// A flow as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    method: String,
    access_token: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_code: Option<u16>,
    request_body: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<Fields>,
}

/// A body's own JSON, digit for digit; null where it is no JSON.
type Json = Option<Box<RawValue>>;

impl Document {
    /// About a request or, with one, about a response.
    pub(crate) fn of(request: &Request, response: Option<&Response>, shows_headers: bool) -> Result<Self, Failure> {
        if request.is_body_truncated() {
            return Err(Failure::new("the request's body is over the addon's `max_body`"));
        }
        if response.is_some_and(Response::is_body_truncated) {
            return Err(Failure::new("the response's body is over the addon's `max_body`"));
        }
        let shown = |headers| shows_headers.then(|| Fields::of(headers));
        Ok(Self {
            method: request.method(),
            access_token: access_token(request),
            url: url(request),
            response_code: response.map(Response::status),
            request_body: json(request.body()),
            response_body: response.map(|response| json(response.body())),
            request_headers: shown(request.headers()),
            response_headers: response.and_then(|response| shown(response.headers())),
        })
    }
}

/// As sent upstream, whatever the client calls it.
fn url(request: &Request) -> String {
    let target = request.path_and_query();
    // `OPTIONS *` is about the server itself.
    let target = if target == "*" { "" } else { &target };
    format!("{}{target}", request.upstream())
}

fn access_token(request: &Request) -> String {
    let values = request.header_values("authorization");
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    let joined = values.join(", ");
    match joined.strip_prefix("Bearer ") {
        Some(token) => token.to_owned(),
        None => joined,
    }
}

fn json(body: Option<Vec<u8>>) -> Json {
    // Checked in place: a body is large, and only one that is JSON is copied.
    let body = body?;
    serde_json::from_slice::<&RawValue>(&body).ok().map(ToOwned::to_owned)
}
