//! The routes.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use hyper::{StatusCode, header::HeaderValue};
use serde_json::{Value, json};

use crate::{Arrived, Service, dump};

/// What a consultation comes to.
pub(crate) enum Answer {
    Hook(Value),
    HookWithStatus(StatusCode, Value),
    /// 200 with these.
    Bytes(Bytes),
    Redirect(HeaderValue),
    /// The request is at fault.
    Wrong(StatusCode, &'static str),
    /// The connection is closed.
    Nothing,
}

const LONGEST_WAIT: u64 = 60_000;
const HUGE: usize = 64 << 20;

pub(crate) async fn to(service: &Service, request: &Arrived) -> Answer {
    match route(service, request).await {
        Ok(Answer::Hook(mut hook)) => {
            if request.parameter("skip") == Some("true")
                && let Some(hook) = hook.as_object_mut()
            {
                hook.insert("skipNextHooksInChain".to_owned(), json!(true));
            }
            Answer::Hook(hook)
        }
        Ok(answer) | Err(answer) => answer,
    }
}

async fn route(service: &Service, request: &Arrived) -> Result<Answer, Answer> {
    let hook = match request.path.as_str() {
        "/dump" => {
            dump::write(&request.body);
            pass()
        }
        "/pass/unmodified" => pass(),
        "/pass/injectJSONIntoRequest" => {
            json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": {"injected": "by the service"}})
        }
        "/pass/injectHeadersIntoRequest" => {
            json!({"action": "pass.modifiedRequest", "injectHeadersIntoRequest": {"X-Injected": "by the service"}})
        }
        "/pass/injectJSONIntoResponse" => {
            json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"injected": "by the service"}})
        }
        "/pass/injectHeadersIntoResponse" => {
            json!({"action": "pass.modifiedResponse", "injectHeadersIntoResponse": {"X-Injected": "by the service"}})
        }
        "/reject/forbidden" => reject("The service forbids it."),
        "/reject/with-33-percent-chance" => perhaps(service, 33),
        "/reject/with-chance" => perhaps(service, request.number("percent", 100)?.unwrap_or(50)),
        "/respond/with-payload" => {
            json!({"action": "respond", "responseStatusCode": 200, "responsePayload": {"answered": "by the service"}})
        }
        "/respond/with-text" => json!({
            "action": "respond",
            "responseStatusCode": 200,
            "responseContentType": "text/plain",
            "responsePayload": "answered by the service",
        }),
        "/consult/again" => {
            let url = request.parameter("url").ok_or(Answer::Wrong(StatusCode::BAD_REQUEST, "?url= is missing"))?;
            json!({"action": "consult.RESTServiceURL", "RESTServiceURL": url})
        }
        "/slow" => {
            let wait = request.number("milliseconds", LONGEST_WAIT)?.unwrap_or(1_000);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            pass()
        }
        "/flaky" => {
            let failures = request.number("failures", 1_000)?.unwrap_or(2);
            let payload: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let hook = payload.pointer("/meta/hookId").and_then(Value::as_str).unwrap_or_default();
            if service.fails(hook, failures) {
                return Err(Answer::Wrong(StatusCode::INTERNAL_SERVER_ERROR, "one of the failures that were asked for"));
            }
            pass()
        }
        "/fail/with-status" => {
            let status = request.number("status", 599)?.unwrap_or(500);
            let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.filter(|status| !status.is_informational());
            return status
                .map(|status| Answer::HookWithStatus(status, pass()))
                .ok_or(Answer::Wrong(StatusCode::BAD_REQUEST, "status is none from 200 to 599"));
        }
        "/fail/not-json" => return Ok(Answer::Bytes(Bytes::from_static(b"this is no JSON"))),
        "/fail/empty" => return Ok(Answer::Bytes(Bytes::new())),
        "/fail/unknown-action" => json!({"action": "dance"}),
        "/fail/huge" => return Ok(Answer::Bytes(huge())),
        "/fail/redirect" => {
            let to = request.parameter("to").unwrap_or("/pass/unmodified");
            let to = HeaderValue::try_from(to).map_err(|_| Answer::Wrong(StatusCode::BAD_REQUEST, "?to= is no URL"))?;
            return Ok(Answer::Redirect(to));
        }
        "/fail/disconnect" => return Ok(Answer::Nothing),
        _ => return Err(Answer::Wrong(StatusCode::NOT_FOUND, "unknown path")),
    };
    Ok(Answer::Hook(hook))
}

fn pass() -> Value {
    json!({"action": "pass.unmodified"})
}

fn reject(message: &str) -> Value {
    json!({
        "action": "reject",
        "responseStatusCode": 403,
        "rejectionErrorCode": "M_FORBIDDEN",
        "rejectionErrorMessage": message,
    })
}

fn perhaps(service: &Service, percent: u64) -> Value {
    if service.chance.lock().comes(percent) { reject("You are out of luck. Try again.") } else { pass() }
}

/// A hook that passes, with spaces behind it.
fn huge() -> Bytes {
    let mut document = BytesMut::with_capacity(HUGE);
    document.extend_from_slice(pass().to_string().as_bytes());
    document.put_bytes(b' ', HUGE.saturating_sub(document.len()));
    document.freeze()
}
