//! Policies, homeservers and services of tests.

use policy::Policy;
use tollgate_sdk::{
    http,
    serde_json::{Value, json},
    testing::{Exchange, Harness, TestRequest, TestResponse},
};

/// Where the service of tests is.
pub(crate) const SERVICE: &str = "http://hooks.test/ask";

/// This policy; whoever sends the token `NAME` is `@NAME:ex.org`, `stranger` is nobody, and about `silence` the homeserver says
/// nothing. There is no service.
pub(crate) fn policy(document: Value) -> Harness<Policy> {
    with_service(document, |_| Err(http::Error::Connect("refused".to_owned())))
}

/// The same with this service.
pub(crate) fn with_service(
    document: Value,
    service: impl Fn(&http::Request) -> Result<http::Response, http::Error> + Send + Sync + 'static,
) -> Harness<Policy> {
    let harness = Harness::<Policy>::configure(document).unwrap_or_else(|errors| panic!("{errors}"));
    harness.with_http(move |request| if is_whoami(request) { whoami(request) } else { service(request) })
}

/// A policy with these hooks.
pub(crate) fn hooks(hooks: Value) -> Value {
    json!({ "hooks": hooks })
}

/// A policy with this hook, called `h`.
pub(crate) fn hook(event: &str, mut hook: Value) -> Value {
    hook["id"] = json!("h");
    hook["eventType"] = json!(event);
    hooks(json!([hook]))
}

/// A service that answers 200 with this.
pub(crate) fn answer(answer: &Value) -> http::Response {
    http::Response::new(200).with_body(answer.to_string())
}

/// Why a policy is refused, a line an error.
pub(crate) fn refusals(document: Value) -> Vec<String> {
    match Harness::<Policy>::configure(document) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// An exchange with a homeserver that answers 200 and `{"from":"homeserver"}`.
pub(crate) fn exchange(harness: &Harness<Policy>, request: TestRequest) -> Exchange {
    harness.exchange(request, |_| homeserver())
}

/// What that homeserver answers.
pub(crate) fn homeserver() -> TestResponse {
    TestResponse::new(200).with_json(&json!({ "from": "homeserver" }))
}

/// A request of the user `@NAME:ex.org`.
pub(crate) fn by(name: &str, request: TestRequest) -> TestRequest {
    request.with_header("Authorization", format!("Bearer {name}"))
}

/// The requests that services got, without those to the homeserver.
pub(crate) fn told(done: &Exchange) -> Vec<&http::Request> {
    done.http.iter().filter(|request| !is_whoami(request)).collect()
}

/// What services were told, read as JSON.
pub(crate) fn payloads(done: &Exchange) -> Vec<Value> {
    told(done).iter().map(|request| tollgate_sdk::serde_json::from_slice(&request.body).unwrap()).collect()
}

/// A reject with this code.
pub(crate) fn reject(code: &str) -> Value {
    json!({ "action": "reject", "responseStatusCode": 403, "rejectionErrorCode": code, "rejectionErrorMessage": "no" })
}

/// The `errcode` that the client got; none if it got something else.
pub(crate) fn errcode(done: &Exchange) -> Option<String> {
    let body: Option<Value> = tollgate_sdk::serde_json::from_slice(&done.response().body).ok();
    body.and_then(|body| body["errcode"].as_str().map(str::to_owned))
}

fn is_whoami(request: &http::Request) -> bool {
    request.url.starts_with("http://upstream.test/_matrix/client/v3/account/whoami")
}

fn whoami(request: &http::Request) -> Result<http::Response, http::Error> {
    let value = request.headers.iter().find(|(name, _)| name == "Authorization").map(|(_, value)| value.as_slice());
    let token = value.and_then(|value| value.strip_prefix(b"Bearer ")).map(String::from_utf8_lossy);
    match token.as_deref() {
        None | Some("stranger") => Ok(http::Response::new(401).with_body(r#"{"errcode":"M_UNKNOWN_TOKEN","error":"?"}"#)),
        Some("silence") => Err(http::Error::Timeout),
        Some(name) => Ok(answer(&json!({ "user_id": format!("@{name}:ex.org") }))),
    }
}
