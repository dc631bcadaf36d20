//! `/options`: what there is, and the lock. What is refused there is told in plain text, as clients of the original compare it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{
    Entrance, State,
    options::received,
    redact,
    routes::{Answer, json_answer, method_not_allowed, page, refuse},
};
use crate::{
    http::Body,
    json::{self, Json},
    options::{Error, Holder, Key, Lost, Request as Wanted, core},
};

type Refusal = (StatusCode, String);

/// Answers below `/options`: `name` of an option, `lock` or `unlock`; an addon of such a name is at `/addons/NAME/options` alone.
pub(super) async fn answer(state: &State, entrance: Entrance, name: Option<&str>, request: Request<Body>) -> Answer {
    let (method, query) = (request.method().clone(), request.uri().query().map(str::to_owned));
    match (method, name) {
        (Method::GET, None) => page(StatusCode::OK, format!("{:#}\n", list(state))),
        (Method::PUT, None) => put(state, request).await,
        (Method::GET, Some("lock")) => match state.options.holder() {
            Some(holder) => json_answer(StatusCode::OK, &shown(&holder)),
            None => refuse(StatusCode::NOT_FOUND, "options are not locked"),
        },
        (Method::POST, Some("lock")) => lock(state, request).await.unwrap_or_else(|(status, why)| text(status, why)),
        (Method::POST, Some("unlock")) => {
            let unlocked = unlock(state, entrance, query.as_deref(), request).await;
            unlocked.unwrap_or_else(|(status, why)| text(status, why))
        }
        (method, None) => otherwise(&method, "GET, OPTIONS, PUT"),
        (method, Some("lock")) => otherwise(&method, "GET, OPTIONS, POST"),
        (method, Some("unlock")) => otherwise(&method, "OPTIONS, POST"),
        (method, Some(name)) => {
            let mut options = described(state).into_iter();
            match (options.find(|option| option.get("name").is_some_and(|known| is(known, name))), method) {
                (Some(option), Method::GET) => page(StatusCode::OK, format!("{option:#}\n")),
                (Some(_), method) => otherwise(&method, "GET, OPTIONS"),
                (None, _) => refuse(StatusCode::NOT_FOUND, &format!("there is no option {name:?}")),
            }
        }
    }
}

/// OPTIONS, or a method that is not served.
fn otherwise(method: &Method, allowed: &'static str) -> Answer {
    let mut answer = method_not_allowed(allowed);
    if method == Method::OPTIONS {
        *answer.status_mut() = StatusCode::OK;
        *answer.body_mut() = Full::default();
    }
    answer
}

/// A text and nothing else.
fn text(status: StatusCode, text: String) -> Answer {
    let mut answer = page(status, text);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// On one line, as the original has it.
fn compact(value: &Value) -> Answer {
    page(StatusCode::OK, format!("{value}\n"))
}

/// `POST /options/lock`.
async fn lock(state: &State, request: Request<Body>) -> Result<Answer, Refusal> {
    let mut wanted = Wanted::read(document(state, request).await?).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    for (name, json) in &mut wanted.options {
        if !state.options.is_addon(name) {
            continue;
        }
        let current = state.registry.options(name).and_then(|current| json::read(current.as_bytes()).ok());
        redact::restore(json, current.as_ref().map(|current| &current.json)).map_err(|path| {
            let why = format!("{name}.{path}: {:?} stands for a secret in force, and there is none", redact::REDACTED);
            (StatusCode::BAD_REQUEST, why)
        })?;
    }
    match state.options.lock(wanted).await {
        Ok(id) => Ok(compact(&json!({ "reset_id": id.reveal() }))),
        Err(error) => Err((status(&error), error.to_string())),
    }
}

/// `POST /options/unlock`.
async fn unlock(state: &State, entrance: Entrance, query: Option<&str>, request: Request<Body>) -> Result<Answer, Refusal> {
    let key = match query {
        Some("force=true") if entrance == Entrance::Listener => Key::Force,
        Some("force=true") => {
            let why = "force is for the admin listener alone: whoever may use the proxy could take away anybody's lock";
            return Err((StatusCode::FORBIDDEN, why.to_owned()));
        }
        None | Some("" | "force=false") => match document(state, request).await? {
            Json::Object(members) => {
                let id = members.into_iter().find_map(|(key, value)| match value {
                    Json::Text(id) if key == "reset_id" => Some(id),
                    _ => None,
                });
                Key::Id(id)
            }
            _ => return Err((StatusCode::BAD_REQUEST, "the body must be an object of JSON".to_owned())),
        },
        Some(_) => return Err((StatusCode::BAD_REQUEST, "the query must be force=true, or none".to_owned())),
    };
    let lost: Lost = state.options.unlock(key).await.map_err(|error| (status(&error), error.to_string()))?;
    Ok(compact(&if lost.is_empty() { json!({}) } else { json!({ "not_restored": lost }) }))
}

/// `PUT /options`: for good, until the restart.
async fn put(state: &State, request: Request<Body>) -> Answer {
    let body = match received(state, request.into_body()).await {
        Ok(body) => body,
        Err((status, why)) => return refuse(status, &why),
    };
    let options = match strict(body).await {
        Ok(Json::Object(options)) => options,
        Ok(_) => return refuse(StatusCode::BAD_REQUEST, "the body must be an object, from names to values"),
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
    };
    match state.options.set(options).await {
        Ok(()) => page(StatusCode::OK, format!("{:#}\n", list(state))),
        Err(Error::Refused(errors)) => {
            let page = json!({ "errcode": "M_INVALID_PARAM", "error": "these options are refused", "errors": errors });
            json_answer(StatusCode::BAD_REQUEST, &page)
        }
        Err(error) => refuse(status(&error), &error.to_string()),
    }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Locked(_) => StatusCode::CONFLICT,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// A body that says that it is JSON, and is.
async fn document(state: &State, request: Request<Body>) -> Result<Json, Refusal> {
    if !is_json(request.headers()) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "needs `Content-Type: application/json`".to_owned()));
    }
    let body = received(state, request.into_body()).await?;
    strict(body).await.map_err(|why| (StatusCode::BAD_REQUEST, why))
}

/// What programs send is not forgiven what is forgiven people.
async fn strict(body: Bytes) -> Result<Json, String> {
    let read = spawn_blocking(move || json::read(&body)).await.map_err(|error| error.to_string())?;
    let read = read.map_err(|error| error.to_string())?;
    match read.warnings.first() {
        Some(warning) => Err(format!("not JSON: {warning}")),
        None => Ok(read.json),
    }
}

/// `application/json`, or a type upon it, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The lock without what unlocks it.
fn shown(holder: &Holder) -> Value {
    let since = holder.since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    json!({
        "owner": holder.owner,
        "since_milliseconds": u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        "ttl_seconds_left": holder.left.map(|left| left.as_secs_f64()),
        "options": holder.names,
    })
}

fn list(state: &State) -> Json {
    let lock = state.options.holder().map_or(Json::Null, |holder| json_of(&shown(&holder)));
    Json::Object(vec![("lock".to_owned(), lock), ("options".to_owned(), Json::List(described(state)))])
}

/// Every option: those of the core, then addons.
fn described(state: &State) -> Vec<Json> {
    let locked = state.options.holder().map(|holder| holder.names).unwrap_or_default();
    let text = |text: &str| Json::Text(text.to_owned());
    let describe = |name: &str, kind: &str, value: Json, default: Json, help: &str| {
        let is_locked = Json::Bool(locked.iter().any(|locked| locked == name));
        let members = [
            ("name", text(name)),
            ("type", text(kind)),
            ("value", value),
            ("default", default),
            ("locked", is_locked),
            ("help", text(help)),
        ];
        Json::Object(members.map(|(key, value)| (key.to_owned(), value)).into())
    };
    let (now, initial) = (state.options.core(), core::Options::default());
    let value = |options: &core::Options, name: &str| options.value(name).map_or(Json::Null, |value| json_of(&value));
    let definitions = core::Options::definitions().iter();
    let mut all: Vec<Json> = definitions
        .map(|core::Definition { name, kind, help }| describe(name, kind, value(&now, name), value(&initial, name), help))
        .collect();
    for addon in state.registry.statuses().into_iter().filter(|addon| state.options.is_addon(&addon.name)) {
        let document = state.registry.options(&addon.name).and_then(|options| json::read(options.as_bytes()).ok());
        let value = document.map_or(Json::Null, |document| redact::redact(&document.json));
        let help = "The options document of the addon, as a whole: its page tells what may be in it";
        all.push(describe(&addon.name, "addon", value, Json::Object(Vec::new()), help));
    }
    all
}

fn json_of(value: &Value) -> Json {
    json::read(value.to_string().as_bytes()).map_or(Json::Null, |read| read.json)
}

fn is(json: &Json, text: &str) -> bool {
    matches!(json, Json::Text(known) if known == text)
}
