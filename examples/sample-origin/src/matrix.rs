//! As much of a homeserver as a first conversation needs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use hyper::{Method, StatusCode, header::AUTHORIZATION};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    Arrived,
    answer::{Answer, Refused, json},
};

/// Events, rooms, logins and transactions that are kept, each; beyond it 429 until the server is started anew.
const KEPT: usize = 10_000;

/// Kinds of keys of one user.
const MAX_KINDS: usize = 16;

/// Longest wait of a sync, whatever the client asks for.
const LONGEST_SYNC: Duration = Duration::from_secs(30);

/// A homeserver without federation or state events. Of keys it knows how many there are.
#[derive(Default)]
pub(crate) struct Homeserver {
    state: Mutex<State>,
    /// The last position, for those who wait for the next.
    news: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// User by access token.
    logins: HashMap<String, String>,
    /// Number of the last token.
    last_login: usize,
    rooms: Vec<String>,
    /// In the order of their positions.
    events: Vec<Event>,
    /// Event by token and transaction.
    transactions: HashMap<(String, String), String>,
    /// Kinds of one-time keys by user, with how many were uploaded.
    keys: HashMap<String, BTreeMap<String, u64>>,
}

struct Event {
    room: String,
    document: Value,
}

impl Homeserver {
    /// `path` begins after `/_matrix/client/`.
    pub(crate) async fn route(&self, request: &Arrived, path: &[&str]) -> Answer {
        // The versions before v1.1 had these routes below r0, and clients of that time ask there.
        let path: Vec<&str> = path.iter().map(|segment| if *segment == "r0" { "v3" } else { *segment }).collect();
        let path = path.as_slice();
        let made = match (&request.method, path) {
            (&Method::GET | &Method::HEAD, ["versions"]) => Ok(versions()),
            (&Method::GET | &Method::HEAD, ["v3", "login"]) => Ok(json!({"flows": [{"type": "m.login.password"}]})),
            (&Method::POST, ["v3", "login"]) => self.login(request),
            (&Method::GET | &Method::HEAD, ["v3", "account", "whoami"]) => {
                self.user(request).map(|(user, _)| json!({"user_id": user}))
            }
            (&Method::POST, ["v3", "createRoom"]) => self.create_room(request),
            (&Method::PUT, ["v3", "rooms", room, "send", kind, transaction]) => self.send(request, room, kind, transaction),
            (&Method::POST, ["v3", "rooms", _, "report"]) => Ok(json!({})),
            (&Method::POST, ["v3", "rooms", _, "ban" | "leave"]) => self.user(request).map(|_| json!({})),
            (&Method::POST, ["v3", "user_directory", "search"]) => self.search(request),
            (&Method::PUT, ["v3", "profile", user, "displayname"]) => self.rename(request, user),
            (&Method::POST, ["v3", "keys", "upload"]) => self.upload_keys(request),
            (&Method::POST, ["v3", "logout"]) => self.log_out(request),
            (&Method::GET | &Method::HEAD, ["v3", "sync"]) => self.sync(request).await,
            (
                _,
                ["versions"]
                | ["v3", "login" | "createRoom" | "sync" | "logout"]
                | ["v3", "account", "whoami"]
                | ["v3", "rooms", _, "report" | "ban" | "leave"]
                | ["v3", "user_directory", "search"]
                | ["v3", "keys", "upload"]
                | ["v3", "profile", _, "displayname"],
            ) => Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "unknown method")),
            _ => Err(Refused(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "unknown path")),
        };
        made.map_or_else(Answer::from, |document| json(&document))
    }

    fn login(&self, request: &Arrived) -> Result<Value, Refused> {
        let body = object(request)?;
        let name = body.get("identifier").and_then(|identifier| identifier.get("user")).or_else(|| body.get("user"));
        let name = name.and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or(Refused(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", "no user"))?;
        let user = if name.starts_with('@') { name.to_owned() } else { format!("@{name}:sample") };
        let mut state = self.state.lock();
        if state.logins.len() >= KEPT {
            return Err(full());
        }
        state.last_login += 1;
        let token = format!("sample_token_{}", state.last_login);
        state.logins.insert(token.clone(), user.clone());
        Ok(json!({"user_id": user, "access_token": token, "device_id": "SAMPLE", "home_server": "sample"}))
    }

    fn log_out(&self, request: &Arrived) -> Result<Value, Refused> {
        let (_, token) = self.user(request)?;
        self.state.lock().logins.remove(&token);
        Ok(json!({}))
    }

    /// Finds those who have logged in.
    fn search(&self, request: &Arrived) -> Result<Value, Refused> {
        self.user(request)?;
        let body = object(request)?;
        let term = body.get("search_term").and_then(Value::as_str).unwrap_or_default();
        let state = self.state.lock();
        let found: BTreeSet<&String> = state.logins.values().filter(|user| user.contains(term)).collect();
        let results: Vec<Value> = found.into_iter().map(|user| json!({"user_id": user})).collect();
        Ok(json!({"results": results, "limited": false}))
    }

    /// Counts the keys. Who uploads one twice has two.
    fn upload_keys(&self, request: &Arrived) -> Result<Value, Refused> {
        let (user, _) = self.user(request)?;
        let body = object(request)?;
        let names = body.get("one_time_keys").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let mut state = self.state.lock();
        if state.keys.len() >= KEPT {
            return Err(full());
        }
        let counts = state.keys.entry(user).or_default();
        for name in names {
            let kind = name.split(':').next().unwrap_or_default();
            if counts.len() >= MAX_KINDS && !counts.contains_key(kind) {
                return Err(full());
            }
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
        Ok(json!({"one_time_key_counts": counts}))
    }

    /// Nobody is shown a name here, so none is kept.
    fn rename(&self, request: &Arrived, user: &str) -> Result<Value, Refused> {
        let (own, _) = self.user(request)?;
        object(request)?;
        if own == user { Ok(json!({})) } else { Err(Refused(StatusCode::FORBIDDEN, "M_FORBIDDEN", "that is somebody else")) }
    }

    fn create_room(&self, request: &Arrived) -> Result<Value, Refused> {
        self.user(request)?;
        object(request)?;
        let mut state = self.state.lock();
        if state.rooms.len() >= KEPT {
            return Err(full());
        }
        let room = format!("!room{}:sample", state.rooms.len() + 1);
        state.rooms.push(room.clone());
        Ok(json!({"room_id": room}))
    }

    fn send(&self, request: &Arrived, room: &str, kind: &str, transaction: &str) -> Result<Value, Refused> {
        let (user, token) = self.user(request)?;
        let content = object(request)?;
        let mut state = self.state.lock();
        if !state.rooms.iter().any(|known| known == room) {
            return Err(Refused(StatusCode::FORBIDDEN, "M_FORBIDDEN", "no such room"));
        }
        let transaction = (token, transaction.to_owned());
        if let Some(event) = state.transactions.get(&transaction) {
            return Ok(json!({"event_id": event}));
        }
        if state.events.len() >= KEPT {
            return Err(full());
        }
        let id = format!("$event{}", state.events.len() + 1);
        let document = json!({
            "event_id": id,
            "type": kind,
            "sender": user,
            "content": content,
            "origin_server_ts": 1_768_464_000_000_u64 + state.events.len() as u64,
        });
        state.events.push(Event { room: room.to_owned(), document });
        state.transactions.insert(transaction, id.clone());
        self.news.send_replace(state.events.len());
        Ok(json!({"event_id": id}))
    }

    /// Waits where a client that has seen everything asks it to.
    async fn sync(&self, request: &Arrived) -> Result<Value, Refused> {
        self.user(request)?;
        let since = request.query("since").map(|since| {
            since.strip_prefix('s').and_then(|since| since.parse::<usize>().ok()).ok_or(Refused(
                StatusCode::BAD_REQUEST,
                "M_INVALID_PARAM",
                "since is no next_batch of this server",
            ))
        });
        let since = since.transpose()?;
        let wait =
            request.query("timeout").and_then(|timeout| timeout.parse().ok()).map_or(Duration::ZERO, Duration::from_millis);
        if let Some(since) = since {
            let mut news = self.news.subscribe();
            // Over time is an answer as well: nothing is new.
            let _ = timeout_at(Instant::now() + wait.min(LONGEST_SYNC), news.wait_for(|last| *last > since)).await;
        }
        let state = self.state.lock();
        let mut rooms: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        if since.is_none() {
            rooms.extend(state.rooms.iter().map(|room| (room.as_str(), Vec::new())));
        }
        for event in state.events.iter().skip(since.unwrap_or_default()) {
            rooms.entry(&event.room).or_default().push(&event.document);
        }
        let join: Map<_, _> = rooms
            .into_iter()
            .map(|(room, events)| (room.to_owned(), json!({"timeline": {"events": events, "limited": false}})))
            .collect();
        Ok(json!({"next_batch": format!("s{}", state.events.len()), "rooms": {"join": join, "invite": {}, "leave": {}}}))
    }

    /// User and token of a request.
    fn user(&self, request: &Arrived) -> Result<(String, String), Refused> {
        let header = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        let token = token.or_else(|| request.query("access_token"));
        let token = token.ok_or(Refused(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "no access token"))?;
        let user = self.state.lock().logins.get(&token).cloned();
        let user = user.ok_or(Refused(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "unknown access token"))?;
        Ok((user, token))
    }
}

fn versions() -> Value {
    let released = (1..=14).map(|minor| format!("v1.{minor}"));
    let versions: Vec<_> = std::iter::once("r0.6.1".to_owned()).chain(released).collect();
    json!({
        "versions": versions,
        "unstable_features": {"org.matrix.simplified_msc3575": true, "org.matrix.msc4140": true, "org.matrix.msc2965": false},
    })
}

fn object(request: &Arrived) -> Result<Map<String, Value>, Refused> {
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refused(StatusCode::BAD_REQUEST, "M_BAD_JSON", "the body is no object")),
        Err(_) => Err(Refused(StatusCode::BAD_REQUEST, "M_NOT_JSON", "the body is not JSON")),
    }
}

fn full() -> Refused {
    Refused(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", "this sample keeps no more; start it anew")
}
