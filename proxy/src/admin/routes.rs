//! What the admin listener answers.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Entrance, State, flows, health, levels, lock, options};
use crate::{hooks::Addons as _, http::Body};

pub(super) type Answer = Response<Full<Bytes>>;

/// Answers a request that may be answered.
pub(super) async fn answer(state: &State, entrance: Entrance, request: Request<Body>) -> Answer {
    let path = request.uri().path().to_owned();
    tracing::debug!(admin.entrance = ?entrance, admin.method = %request.method(), admin.path = path, "an admin request");
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let method = request.method().clone();
    match (method, segments.as_slice()) {
        (_, ["options", rest @ ..]) if rest.len() < 2 => lock::answer(state, entrance, rest.first().copied(), request).await,
        (Method::GET, ["health", "live"] | ["actuator", "health", "liveness"]) => health::live(state),
        (Method::GET, ["health", "ready"] | ["actuator", "health", "readiness"]) => health::ready(state).await,
        (_, ["actuator", "logging", rest @ ..]) => levels::answer(&state.log, request.method(), rest),
        (Method::GET, ["metrics"]) => metrics(state),
        (Method::GET, ["addons"]) => {
            let addons = state.registry.statuses();
            json_answer(StatusCode::OK, &json!({ "generation": state.registry.chain("").generation, "addons": addons }))
        }
        (Method::GET, ["addons", name]) => match state.registry.statuses().into_iter().find(|status| status.name == *name) {
            Some(status) => json_answer(StatusCode::OK, &json!(status)),
            None => unknown(name),
        },
        (Method::POST, ["addons", name, "reload"]) => options::changed(state, name, state.registry.reload(name).await),
        (Method::GET, ["addons", name, "options"]) => options::show(state, name),
        (Method::PUT, ["addons", name, "options"]) => options::put(state, name, request).await,
        (Method::GET, ["flows"]) => flows::list(state.recent.as_deref(), request.uri().query()),
        (Method::GET, ["flows", id]) => flows::one(state.recent.as_deref(), id),
        (
            _,
            ["health", "live" | "ready"]
            | ["actuator", "health", "liveness" | "readiness"]
            | ["metrics" | "addons" | "flows"]
            | ["addons" | "flows", _],
        ) => method_not_allowed("GET"),
        (_, ["addons", _, "reload"]) => method_not_allowed("POST"),
        (_, ["addons", _, "options"]) => method_not_allowed("GET, PUT"),
        _ => refuse(StatusCode::NOT_FOUND, "no such page"),
    }
}

fn metrics(state: &State) -> Answer {
    let text = state.metrics.encode();
    let mut answer = Response::new(Full::from(text));
    let kind = header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

pub(super) fn unknown(name: &str) -> Answer {
    refuse(StatusCode::NOT_FOUND, &format!("there is no addon {name:?} in force"))
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "the method is not served here");
    answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    answer
}

/// An error in the shape of all of them.
pub(super) fn refuse(status: StatusCode, error: &str) -> Answer {
    let errcode = match status {
        StatusCode::NOT_FOUND => "M_NOT_FOUND",
        StatusCode::FORBIDDEN => "M_FORBIDDEN",
        StatusCode::UNAUTHORIZED => "M_MISSING_TOKEN",
        StatusCode::METHOD_NOT_ALLOWED => "M_UNRECOGNIZED",
        StatusCode::PAYLOAD_TOO_LARGE => "M_TOO_LARGE",
        StatusCode::BAD_REQUEST => "M_BAD_JSON",
        _ => "M_UNKNOWN",
    };
    json_answer(status, &json!({ "errcode": errcode, "error": error }))
}

pub(super) fn json_answer(status: StatusCode, value: &Value) -> Answer {
    page(status, format!("{value:#}\n"))
}

/// A page of JSON.
pub(super) fn page(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    answer
}
