//! Which request is answered with what.

use std::time::Duration;

use hyper::{Method, StatusCode, header::UPGRADE};
use serde_json::json;

use crate::{
    LIST,
    answer::{Answer, Refused, document, preflight, text},
    events, instance,
    people::{Person, portrait},
    request::Arrived,
    socket::Socket,
    streams::channel,
    timeline::Timeline,
    world::World,
};

/// The answer, and a WebSocket that begins after it.
pub(crate) fn route(world: &World, heartbeat: Duration, request: Arrived) -> Result<(Answer, Option<Socket>), Refused> {
    let segments = request.segments.clone();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match path.as_slice() {
        _ if request.method == Method::OPTIONS => Ok((preflight(), None)),
        ["health"] | ["api", "v1", "streaming", "health"] => Ok((text("text/plain", "OK"), None)),
        ["api", "v1", "streaming", name @ ..] => stream(world, heartbeat, request, name),
        ["api", version @ ("v1" | "v2"), path @ ..] => Ok((api(world, &request, version, path)?, None)),
        ["oauth", what] => Ok((oauth(world, &request, what)?, None)),
        ["portraits", file] => Ok((text("image/svg+xml", portrait(file).ok_or(Refused::NOT_FOUND)?), None)),
        _ => Err(Refused::NOT_FOUND),
    }
}

fn oauth(world: &World, request: &Arrived, what: &str) -> Result<Answer, Refused> {
    let mut logins = world.logins.lock();
    match (what, &request.method) {
        ("authorize", &Method::GET) => logins.authorize(request),
        ("token", &Method::POST) => Ok(document(&logins.token(request)?)),
        ("revoke", &Method::POST) => Ok(document(&logins.revoke(request)?)),
        _ => Err(Refused::NOT_FOUND),
    }
}

fn api(world: &World, request: &Arrived, version: &str, path: &[&str]) -> Result<Answer, Refused> {
    let is_get = matches!(request.method, Method::GET | Method::HEAD);
    let token = request.token().map(|token| world.logins.lock().who(token)).transpose()?;
    let viewer = token.flatten();
    let person = || viewer.ok_or(Refused::NO_TOKEN);
    match path {
        ["instance"] if is_get => {
            let base = &world.base;
            Ok(document(&if version == "v2" { instance::v2(base) } else { instance::v1(base) }))
        }
        ["apps"] if request.method == Method::POST => Ok(document(&world.logins.lock().register(request)?)),
        ["accounts", "verify_credentials"] if is_get => Ok(document(&person()?.account(&world.base))),
        ["accounts", name, "statuses"] if is_get => {
            let of = Person::named(name).ok_or(Refused::NOT_FOUND)?;
            Ok(world.page(&Timeline::By(of), viewer, request))
        }
        ["accounts", name] if is_get => Ok(document(&Person::named(name).ok_or(Refused::NOT_FOUND)?.account(&world.base))),
        ["timelines", path @ ..] if is_get => {
            let timeline = Timeline::at(request, path)?;
            if matches!(timeline, Timeline::Home | Timeline::List) {
                person()?;
            }
            Ok(world.page(&timeline, viewer, request))
        }
        ["lists"] if is_get => {
            person()?;
            Ok(document(&json!([{"id": LIST, "title": "Friends", "replies_policy": "list", "exclusive": false}])))
        }
        ["notifications"] if is_get => Ok(document(&world.notifications(person()?))),
        // What clients ask for when they start, and nobody has here.
        ["announcements" | "bookmarks" | "custom_emojis" | "favourites" | "filters" | "followed_tags"] if is_get => {
            Ok(document(&json!([])))
        }
        ["markers" | "preferences"] if is_get => Ok(document(&json!({}))),
        ["statuses", path @ ..] => Ok(document(&statuses(world, request, path, viewer)?)),
        _ => Err(Refused::NOT_FOUND),
    }
}

fn statuses(
    world: &World,
    request: &Arrived,
    path: &[&str],
    viewer: Option<&'static Person>,
) -> Result<serde_json::Value, Refused> {
    let text = || request.parameter("status").unwrap_or_default();
    let person = || viewer.ok_or(Refused::NO_TOKEN);
    let Some((id, rest)) = path.split_first() else {
        return if request.method == Method::POST { world.post(person()?, text()) } else { Err(Refused::NOT_FOUND) };
    };
    let id: u64 = id.parse().map_err(|_| Refused::NOT_FOUND)?;
    match (&request.method, rest) {
        (&Method::GET | &Method::HEAD, []) => world.status(id, viewer),
        (&Method::GET | &Method::HEAD, ["context"]) => {
            world.status(id, viewer)?;
            Ok(json!({"ancestors": [], "descendants": []}))
        }
        (&Method::PUT, []) => world.edit(person()?, id, text()),
        (&Method::DELETE, []) => world.delete(person()?, id),
        (&Method::POST, ["reblog"]) => world.boost(person()?, id),
        (&Method::POST, ["unreblog"]) => world.unboost(person()?, id),
        _ => Err(Refused::NOT_FOUND),
    }
}

/// Streams are for people. A path below names one, as a query names one for WebSockets.
fn stream(world: &World, heartbeat: Duration, request: Arrived, name: &[&str]) -> Result<(Answer, Option<Socket>), Refused> {
    if request.method != Method::GET {
        return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "Streams are for GET"));
    }
    let token = request.token().ok_or(Refused(StatusCode::UNAUTHORIZED, "Missing access token"))?;
    let person = world.logins.lock().who(token)?.ok_or(Refused::NO_TOKEN)?;
    // Before the answer, so that what happens from then on is not missed.
    let news = world.listen();
    let is_handshake = request.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    match name {
        [] if is_handshake => {
            let (answer, socket) = Socket::accept(request, person, news, heartbeat)?;
            Ok((answer, Some(socket)))
        }
        [] => Err(Refused::NOT_FOUND),
        path => {
            let channel = channel(&path.join(":"), request.query("tag"), request.query("list")).ok_or(Refused::NOT_FOUND)?;
            Ok((events::answer(channel, person, news, heartbeat), None))
        }
    }
}
