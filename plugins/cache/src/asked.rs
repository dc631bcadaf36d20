//! A request that may be answered from the store.

use std::time::{Duration, Instant, SystemTime};

use tollgate_sdk::{Flow, Header, Request, kv};

use crate::{
    control::Directives,
    fields,
    key::{self, Asker, Target},
    options::Settings,
    status::Forward,
    store,
};

/// A request that may be answered from the store, as it came here.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) headers: Vec<Header>,
    pub(crate) directives: Directives,
    /// The key of its index.
    pub(crate) target: String,
    pub(crate) asker: Asker,
    /// When its head was complete: for all times of this flow to be by one clock.
    pub(crate) at: SystemTime,
    since: Instant,
}

/// Fields of requests that are about parts, about what only the upstream can tell, or no requests for a response at all.
const BYPASSING: [&str; 6] = ["range", "if-match", "if-unmodified-since", "if-range", "upgrade", "sec-websocket-key"];

impl Asked {
    /// The request, unless it has to go by, and why.
    pub(crate) fn new(flow: &Flow, request: &Request, settings: &Settings) -> Result<Result<Self, Forward>, kv::Error> {
        let headers = request.headers();
        let directives = Directives::of_request(&headers);
        if let Some(why) = bypass(&headers, &directives, settings) {
            return Ok(Err(why));
        }
        let asker = if key::has_credentials(&headers, settings) {
            key::user(&headers, settings, &store::secret()?)
        } else {
            Asker::Nobody
        };
        Ok(Ok(Self {
            is_head: request.method() == "HEAD",
            headers,
            directives,
            target: target(request).key(settings),
            asker,
            at: flow.started(),
            since: Instant::now(),
        }))
    }

    /// The time: whole seconds after the flow began, as ages are told.
    pub(crate) fn now(&self) -> SystemTime {
        self.at.checked_add(Duration::from_secs(self.since.elapsed().as_secs())).unwrap_or(self.at)
    }

    /// Whether it asks only for what the client does not have.
    pub(crate) fn is_conditional(&self) -> bool {
        ["if-none-match", "if-modified-since"].iter().any(|name| fields::has(&self.headers, name))
    }
}

/// What a request asks for.
pub(crate) fn target(request: &Request) -> Target {
    Target::new(&request.scheme(), &request.authority(), &request.path_and_query(), &request.upstream())
}

fn bypass(headers: &[Header], directives: &Directives, settings: &Settings) -> Option<Forward> {
    if directives.has("no-store") {
        return Some(Forward::Request);
    }
    let has_content = fields::has(headers, "transfer-encoding")
        || fields::values(headers, "content-length").any(|length| length.iter().any(|digit| *digit != b'0'));
    let is_special = BYPASSING.iter().any(|name| fields::has(headers, name));
    let is_unknown = key::is_withheld(headers, settings, &[]);
    (has_content || is_special || is_unknown || refuses_identity(headers)).then_some(Forward::Bypass)
}

/// Whether only coded bodies are taken: they are kept plain.
fn refuses_identity(headers: &[Header]) -> bool {
    let is_refused = |item: &str| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix(['q', 'Q']).map(str::trim_start).and_then(|rest| rest.strip_prefix('='));
        let is_zero = weight.is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        is_zero && ["identity", "*"].iter().any(|other| name.trim().eq_ignore_ascii_case(other))
    };
    fields::values(headers, "accept-encoding").any(|value| fields::items(&String::from_utf8_lossy(value)).any(is_refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn requests_that_go_by_are_told() {
        let settings = Options::default().check().expect("options");
        for (name, value, expected) in [
            ("Accept", "*/*", None),
            ("Cache-Control", "no-store", Some(Forward::Request)),
            ("Range", "bytes=0-1", Some(Forward::Bypass)),
            ("If-Match", "*", Some(Forward::Bypass)),
            ("If-None-Match", "*", None),
            ("Content-Length", "0", None),
            ("Content-Length", "10", Some(Forward::Bypass)),
            ("Sec-WebSocket-Key", "x", Some(Forward::Bypass)),
            ("Authorization", "[withheld]", Some(Forward::Bypass)),
            ("Accept-Encoding", "gzip, identity;q=0.5", None),
            ("Accept-Encoding", "gzip, Identity; Q=0", Some(Forward::Bypass)),
            ("Accept-Encoding", "gzip, *;q=0.000", Some(Forward::Bypass)),
        ] {
            let headers = [(name.to_owned(), value.as_bytes().to_vec())];
            assert_eq!(bypass(&headers, &Directives::of_request(&headers), &settings), expected, "{name}: {value}");
        }
    }
}
