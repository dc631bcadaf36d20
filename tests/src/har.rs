//! Recordings as a reader of HAR 1.2 takes them that forgives nothing: no member is missing, unknown or of another kind, but for
//! those whose names begin with `_`, which may be anything.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    patience::eventually,
    tollgate::{Builder, Tollgate},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what is here is to be there")]
struct Log {
    version: String,
    creator: Creator,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what is here is to be there")]
struct Creator {
    name: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what is here is to be there")]
struct Entry {
    started_date_time: String,
    time: f64,
    request: Request,
    response: Response,
    cache: Nothing,
    timings: Timings,
    #[serde(rename = "serverIPAddress")]
    server_ip_address: Option<std::net::IpAddr>,
    connection: Option<String>,
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what is here is to be there")]
struct Request {
    method: String,
    url: String,
    http_version: String,
    cookies: Vec<Cookie>,
    headers: Vec<Pair>,
    query_string: Vec<Pair>,
    post_data: Option<PostData>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what is here is to be there")]
struct Response {
    status: u16,
    status_text: String,
    http_version: String,
    cookies: Vec<Cookie>,
    headers: Vec<Pair>,
    content: Content,
    #[serde(rename = "redirectURL")]
    redirect_url: String,
    headers_size: i64,
    body_size: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what is here is to be there")]
struct Cookie {
    name: String,
    value: String,
    path: Option<String>,
    domain: Option<String>,
    expires: Option<String>,
    http_only: Option<bool>,
    secure: Option<bool>,
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what is here is to be there")]
struct Pair {
    name: String,
    value: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what is here is to be there")]
struct PostData {
    mime_type: String,
    params: Option<Vec<Pair>>,
    text: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what is here is to be there")]
struct Content {
    size: u64,
    compression: Option<i64>,
    mime_type: String,
    text: Option<String>,
    encoding: Option<Base64>,
    comment: Option<String>,
}

#[derive(Deserialize)]
enum Base64 {
    #[serde(rename = "base64")]
    Base64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timings {
    blocked: f64,
    dns: f64,
    connect: f64,
    send: f64,
    wait: f64,
    receive: f64,
    ssl: f64,
}

impl Builder {
    /// Records flows.
    #[must_use]
    pub fn record(self) -> Self {
        self.set("record.file", "\"flows.har\"")
    }
}

impl Tollgate {
    /// Where flows are recorded by [`Builder::record`].
    #[must_use]
    pub fn har(&self) -> PathBuf {
        self.directory().join("flows.har")
    }

    /// The entries of the recording once there are so many; there are never more.
    pub async fn recorded(&self, count: usize) -> Vec<Value> {
        let path = self.har();
        let mut entries = Vec::new();
        eventually(async || {
            // While an entry is written, the document is whole before or after.
            entries = read(&path).unwrap_or_default();
            assert!(entries.len() <= count, "{} entries: {entries:?}", entries.len());
            entries.len() == count
        })
        .await;
        entries
    }
}

/// The entries of a recording, as they are written.
///
/// # Errors
/// What about it is not HAR 1.2.
pub fn read(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let document: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let mut common = document.clone();
    without_own(&mut common);
    let har: Har = serde_json::from_value(common).map_err(|error| error.to_string())?;
    assert_eq!(har.log.version, "1.2");
    har.log.entries.iter().try_for_each(check)?;
    Ok(document["log"]["entries"].as_array().cloned().unwrap_or_default())
}

fn without_own(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !name.starts_with('_'));
            members.values_mut().for_each(without_own);
        }
        Value::Array(items) => items.iter_mut().for_each(without_own),
        _ => {}
    }
}

/// What holds between members.
fn check(entry: &Entry) -> Result<(), String> {
    let Timings { blocked, dns, connect, send, wait, receive, ssl } = entry.timings;
    let sum: f64 = [blocked, dns, connect, send, wait, receive].iter().filter(|part| **part >= 0.0).sum();
    let is_part = |part: f64| part >= 0.0 || (part + 1.0).abs() < f64::EPSILON;
    let are_times = [blocked, dns, connect, ssl].into_iter().all(is_part) && send >= 0.0 && wait >= 0.0 && receive >= 0.0;
    if !are_times || (sum - entry.time).abs() > 0.001 || ssl > connect {
        return Err(format!("the times do not fit: {} {blocked} {dns} {connect} {send} {wait} {receive} {ssl}", entry.time));
    }
    let time = &entry.started_date_time;
    let is_time = time.len() == "2026-01-02T03:04:05.678Z".len() && time.get(10..11) == Some("T") && time.ends_with('Z');
    let uri: Result<http::Uri, _> = entry.request.url.parse();
    if !is_time || uri.is_err() {
        return Err(format!("{time}, {}", entry.request.url));
    }
    Ok(())
}
