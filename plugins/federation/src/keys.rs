//! Keys of servers (Matrix specification, Server-Server API, Retrieving server keys).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tollgate_sdk::{
    http, kv, log,
    serde_json::{self, Map, Value},
};

use crate::{
    once,
    server_name::ServerName,
    signature::{ALGORITHM, Key},
    target::{base, is_recent, now},
};

/// A server's keys, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// By ID, in base64.
    keys: BTreeMap<String, String>,
    /// In seconds since the Unix epoch.
    until: u64,
    at: u64,
}

/// What there is of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Key(Key),
    /// The server has none of this ID that is good now.
    None,
    /// Nobody could be asked.
    Unknown,
}

const TIMEOUT: Duration = Duration::from_secs(8);
const MAX_DOCUMENT: u64 = 64 << 10;
/// Of one server.
const MAX_KEYS: usize = 16;
/// However long a server says that its keys are good.
const LIFETIME: u64 = 7 * 24 * 3600;
/// Where there are none.
const LIFETIME_OF_NONE: u64 = 60;

/// The key of a server that has this ID. What was found is kept while it is good; for an ID that is not there, or where nobody
/// answers, the server is asked at most once in a minute. Where it is not to be had from the server itself, the homeserver at
/// `upstream` is asked.
pub(crate) fn find(server: &ServerName, id: &str, upstream: &str) -> Result<Found, kv::Error> {
    let read = |known: &Known| {
        let is_good = now() < known.until;
        match known.keys.get(id).filter(|_| is_good).and_then(|key| Key::read(key)) {
            Some(key) => Some(Found::Key(key)),
            None if is_recent(known.at) => Some(if known.keys.is_empty() { Found::Unknown } else { Found::None }),
            None => None,
        }
    };
    // Within the lookup of keys there may be one of the server's place, which has a lock of its own.
    Ok(once::find("keys", &server.to_string(), read, || ask(server, upstream))?.unwrap_or(Found::Unknown))
}

fn ask(server: &ServerName, upstream: &str) -> (Known, Duration) {
    let found = from_server(server)
        .or_else(|why| from_homeserver(server, upstream).map_err(|also| format!("from it: {why}; from the homeserver: {also}")));
    let known = found.unwrap_or_else(|why| {
        log::warn!(server = server.to_string().as_str(), why = why.as_str(); "no keys of a server can be had");
        Known { at: now(), ..Known::default() }
    });
    let lifetime = known.until.saturating_sub(now()).max(LIFETIME_OF_NONE);
    (known, Duration::from_secs(lifetime))
}

fn from_server(server: &ServerName) -> Result<Known, String> {
    let base = base(server).map_err(|error| error.to_string())?.ok_or("it is found by DNS alone")?;
    let document = get(&format!("{base}/_matrix/key/v2/server"))?;
    read(server, &document, now())
}

fn from_homeserver(server: &ServerName, upstream: &str) -> Result<Known, String> {
    let document = get(&format!("{}/_matrix/key/v2/query/{server}", upstream.trim_end_matches('/')))?;
    let all = document.get("server_keys").and_then(Value::as_array).ok_or("there are no server_keys")?;
    let read = |document: &Value| read(server, document.as_object()?, now()).ok();
    all.iter().take(MAX_KEYS).find_map(read).ok_or_else(|| "none of the server_keys are good ones of the server".to_owned())
}

fn get(url: &str) -> Result<Map<String, Value>, String> {
    let response =
        http::Request::get(url).timeout(TIMEOUT).max_response(MAX_DOCUMENT).send().map_err(|error| error.to_string())?;
    if response.status != 200 {
        return Err(format!("status {}", response.status));
    }
    serde_json::from_slice(&response.body).map_err(|error| error.to_string())
}

/// Those keys of a server's document that have signed it.
fn read(server: &ServerName, document: &Map<String, Value>, now: u64) -> Result<Known, String> {
    let name = document.get("server_name").and_then(Value::as_str).ok_or("there is no server_name")?;
    if ServerName::parse(name).as_ref() != Some(server) {
        return Err("the keys are of another server".to_owned());
    }
    let until = document.get("valid_until_ts").and_then(Value::as_u64).ok_or("there is no valid_until_ts")? / 1000;
    if until <= now {
        return Err("the keys are no longer valid".to_owned());
    }
    let all = document.get("verify_keys").and_then(Value::as_object).ok_or("there are no verify_keys")?;
    if all.len() > MAX_KEYS {
        return Err(format!("there are {} keys, at most {MAX_KEYS}", all.len()));
    }
    let signed = |(id, key): (&String, &Value)| {
        let text = key.get("key").and_then(Value::as_str)?;
        let is_good = id.starts_with(ALGORITHM) && Key::read(text)?.has_signed_object(document, name, id);
        is_good.then(|| (id.clone(), text.to_owned()))
    };
    let keys: BTreeMap<_, _> = all.iter().filter_map(signed).collect();
    if keys.is_empty() {
        return Err("no key has signed them".to_owned());
    }
    Ok(Known { keys, until: until.min(now.saturating_add(LIFETIME)), at: now })
}
