//! What the admin listener answers.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{State, flows, redact};
use crate::{addons::ChangeError, hooks::Addons as _};

pub(super) type Answer = Response<Full<Bytes>>;

/// Largest options document that is taken, in bytes.
const MAX_OPTIONS: usize = 16 << 20;

/// Whether the path tells of health alone.
pub(super) fn is_health(path: &str) -> bool {
    matches!(path, "/health/live" | "/health/ready" | "/actuator/health/liveness" | "/actuator/health/readiness")
}

/// Answers a request that may be answered.
pub(super) async fn answer(state: &State, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let method = request.method().clone();
    match (method, segments.as_slice()) {
        (Method::GET, ["health", "live"] | ["actuator", "health", "liveness"]) => live(state),
        (Method::GET, ["health", "ready"] | ["actuator", "health", "readiness"]) => ready(state),
        (Method::GET, ["metrics"]) => metrics(state),
        (Method::GET, ["addons"]) => {
            let addons = state.registry.statuses();
            json_answer(StatusCode::OK, &json!({ "generation": state.registry.chain("").generation, "addons": addons }))
        }
        (Method::GET, ["addons", name]) => match state.registry.statuses().into_iter().find(|status| status.name == *name) {
            Some(status) => json_answer(StatusCode::OK, &json!(status)),
            None => unknown(name),
        },
        (Method::POST, ["addons", name, "reload"]) => changed(state, name, state.registry.reload(name).await),
        (Method::GET, ["addons", name, "options"]) => match state.registry.options(name) {
            Some(options) => json_answer(StatusCode::OK, &redact::redact(&options)),
            None => unknown(name),
        },
        (Method::PUT, ["addons", name, "options"]) => put_options(state, name, request).await,
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

fn live(state: &State) -> Answer {
    let listeners: serde_json::Map<String, Value> =
        state.health.listeners.lock().iter().map(|name| (name.to_string(), Value::Bool(true))).collect();
    json_answer(StatusCode::OK, &Value::Object(listeners))
}

fn ready(state: &State) -> Answer {
    let addons = state.registry.readiness();
    let is_draining = state.health.is_draining.load(Relaxed);
    let is_ready = addons.is_ready() && !is_draining;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let failed: Vec<&String> = addons.failed.iter().map(|(name, _)| name).collect();
    let page = json!({
        "ready": is_ready,
        "draining": is_draining,
        "addons": {
            "missing": addons.missing,
            "failed": failed,
            "quarantined": addons.quarantined,
            "directory": addons.directory,
        },
    });
    json_answer(status, &page)
}

fn metrics(state: &State) -> Answer {
    let text = state.metrics.encode();
    let mut answer = Response::new(Full::from(text));
    let kind = header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

async fn put_options(state: &State, name: &str, request: Request<Incoming>) -> Answer {
    let Some(current) = state.registry.options(name) else { return unknown(name) };
    let body = match Limited::new(request.into_body(), MAX_OPTIONS).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("the document is over {MAX_OPTIONS} bytes"));
        }
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("the document did not arrive: {error}")),
    };
    let mut options: Value = match serde_json::from_slice(&body) {
        Ok(options) => options,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("not JSON: {error}")),
    };
    if let Err(path) = redact::restore(&mut options, &current) {
        let why = format!("{path}: {:?} stands for a secret in force, and there is none", redact::REDACTED);
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    changed(state, name, state.registry.set_options(name, options).await)
}

/// The addon as it is after a change, or why there was none.
fn changed(state: &State, name: &str, change: Result<(), ChangeError>) -> Answer {
    match change {
        Ok(()) => {
            let status = state.registry.statuses().into_iter().find(|status| status.name == name);
            json_answer(StatusCode::OK, &json!(status))
        }
        Err(ChangeError::Unknown(name)) => unknown(&name),
        Err(ChangeError::Refused(errors)) => {
            let page = json!({ "errcode": "M_BAD_JSON", "error": "the addon refuses these options", "errors": errors });
            json_answer(StatusCode::BAD_REQUEST, &page)
        }
        Err(ChangeError::Load(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

fn unknown(name: &str) -> Answer {
    refuse(StatusCode::NOT_FOUND, &format!("there is no addon {name:?} in force"))
}

fn method_not_allowed(allowed: &'static str) -> Answer {
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
    let mut answer = Response::new(Full::from(format!("{value:#}\n")));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    answer
}
