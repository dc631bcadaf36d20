//! `/addons/NAME/options`, and what a change of an addon is answered with.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{
    State, redact,
    routes::{Answer, json_answer, page, refuse, unknown},
};
use crate::{
    addons::{AddonStatus, ChangeError, Document, LoadError, RefusedOption},
    http::Body,
    json::{self, Json},
};

/// Why a document is not tried.
struct Refused {
    errcode: &'static str,
    error: &'static str,
    errors: Vec<RefusedOption>,
}

/// The options in force without their secrets, and in header fields where they come from.
pub(super) fn show(state: &State, name: &str) -> Answer {
    let found = state.registry.options(name).and_then(|options| json::read(options.as_bytes()).ok());
    let (Some(options), Some(status)) = (found, status(state, name)) else { return unknown(name) };
    let mut answer = page(StatusCode::OK, format!("{:#}\n", redact::redact(&options.json)));
    let fields = [
        ("tollgate-generation", Some(status.options.generation.to_string())),
        ("tollgate-source", json!(status.options.source).as_str().map(str::to_owned)),
        ("tollgate-since-milliseconds", status.options.since_milliseconds.map(|since| since.to_string())),
        ("tollgate-source-etag", status.options.etag),
    ];
    for (name, value) in fields {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// Puts a document in force, or tells all that is wrong with it.
pub(super) async fn put(state: &State, name: &str, request: Request<Body>) -> Answer {
    if !state.registry.contains(name) {
        return unknown(name);
    }
    let body = match received(state, request.into_body()).await {
        Ok(body) => body,
        Err((status, why)) => return refuse(status, &why),
    };
    let current = state.registry.options(name);
    let read = spawn_blocking(move || document(&body, current.as_deref())).await;
    match read {
        Ok(Ok(document)) => match state.registry.set_options(name, document).await {
            // Not what this document asks for, but what comes of it.
            Err(ChangeError::Load(error @ LoadError::Subscriptions(_))) => {
                let error = Refused {
                    errcode: "M_INVALID_PARAM",
                    error: "what these options lead to is refused",
                    errors: error.reasons(),
                };
                refused(StatusCode::BAD_REQUEST, &error)
            }
            change => changed(state, name, change),
        },
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, &error),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// A whole body, within the limit of options documents.
pub(super) async fn received(state: &State, body: Body) -> Result<Bytes, (StatusCode, String)> {
    let limit = state.registry.max_options();
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, format!("the document is over {limit} bytes")))
        }
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("the document did not arrive: {error}"))),
    }
}

/// The addon as it is after a change, or why there was none.
pub(super) fn changed(state: &State, name: &str, change: Result<(), ChangeError>) -> Answer {
    match change {
        Ok(()) => json_answer(StatusCode::OK, &json!(status(state, name))),
        Err(ChangeError::Unknown(name)) => unknown(&name),
        Err(ChangeError::Refused(errors)) => {
            let error = Refused { errcode: "M_BAD_JSON", error: "the addon refuses these options", errors };
            refused(StatusCode::BAD_REQUEST, &error)
        }
        Err(error @ (ChangeError::Locked | ChangeError::NotInForce(_))) => refuse(StatusCode::CONFLICT, &error.to_string()),
        Err(ChangeError::Load(error)) => {
            let page = json!({ "errcode": "M_UNKNOWN", "error": error.to_string(), "errors": error.reasons() });
            json_answer(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
    }
}

fn status(state: &State, name: &str) -> Option<AddonStatus> {
    state.registry.statuses().into_iter().find(|status| status.name == name)
}

fn refused(status: StatusCode, refused: &Refused) -> Answer {
    json_answer(status, &json!({ "errcode": refused.errcode, "error": refused.error, "errors": refused.errors }))
}

/// Reads a document, and puts the secrets in force where their place holders are.
fn document(bytes: &Bytes, current: Option<&str>) -> Result<Document, Refused> {
    let mut read = json::read(bytes).map_err(|error| {
        let (errcode, text) = match &error {
            json::Error::Syntax(_) => ("M_NOT_JSON", "the document is not JSON"),
            json::Error::Ambiguous(_) => ("M_BAD_JSON", "the document has keys twice"),
        };
        Refused { errcode, error: text, errors: LoadError::OptionsSyntax(error).reasons() }
    })?;
    let current: Option<Json> = current.and_then(|current| json::read(current.as_bytes()).ok()).map(|read| read.json);
    redact::restore(&mut read.json, current.as_ref()).map_err(|path| {
        let message = format!("{:?} stands for a secret in force, and there is none", redact::REDACTED);
        Refused { errcode: "M_BAD_JSON", error: "a secret is missing", errors: vec![RefusedOption { path, message }] }
    })?;
    Ok(read.into())
}
