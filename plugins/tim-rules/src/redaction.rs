//! Events are not redacted when they are old.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_sdk::{MadeResponse, Request, http, log};

use crate::{object::Object, options::Settings, query, refusal::Refused};

/// All but what is never special in a path (RFC 3986, 2.3).
pub(crate) const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// An event has at most 64 KiB; its context, from the admin API, ten more of them.
const MAX_RESPONSE: u64 = 2 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);
const MINUTE: u64 = 60_000;

/// Why an event is not redacted.
pub(crate) enum Failure {
    /// The homeserver knows none.
    Absent,
    Refused(Refused),
}

/// Asks the homeserver how old the event is: with the client's own token or, where there is one for it, by the admin API.
pub(crate) fn check(settings: &Settings, request: &Request, now: SystemTime, (room, event): (&str, &str)) -> Result<(), Failure> {
    if !settings.rules.redactions {
        return Ok(());
    }
    let (room, event) = (utf8_percent_encode(room, IN_SEGMENT), utf8_percent_encode(event, IN_SEGMENT));
    let upstream = request.upstream();
    let question = match &settings.admin_token {
        Some(token) => http::Request::get(format!("{upstream}/_synapse/admin/v1/rooms/{room}/context/{event}")).bearer(token),
        None => as_client(request, format!("{upstream}/_matrix/client/v3/rooms/{room}/event/{event}")),
    };
    let response = question.timeout(TIMEOUT).max_response(MAX_RESPONSE).send().map_err(|error| {
        log::warn!(error = error.to_string().as_str(); "the homeserver could not be asked how old an event is");
        Failure::Refused(Refused::forbidden("the homeserver could not be asked how old the event is"))
    })?;
    if !response.is_success() {
        // What the homeserver would say to this client anyway: it wants another token, or it wants it to wait.
        let is_about_client = settings.admin_token.is_none() && matches!(response.status, 401 | 429);
        return Err(if is_about_client {
            Failure::Refused(Refused::Relayed(relayed(&response)))
        } else if response.status == 404 {
            Failure::Absent
        } else {
            log::warn!(status = response.status; "the homeserver did not tell how old an event is");
            Failure::Refused(unknown())
        });
    }
    let sent = sent(&response, settings.admin_token.is_some()).ok_or_else(|| Failure::Refused(unknown()))?;
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    // Whole minutes count: what is 24 h and 59 s old can be redacted.
    if now.saturating_sub(sent) / MINUTE > settings.redaction_minutes {
        return Err(Failure::Refused(Refused::forbidden(&settings.texts.redactions)));
    }
    Ok(())
}

impl Failure {
    pub(crate) fn into_refused(self) -> Refused {
        match self {
            Self::Absent => unknown(),
            Self::Refused(refused) => refused,
        }
    }
}

/// With the credentials of the request.
pub(crate) fn as_client(request: &Request, url: String) -> http::Request {
    let query = query::pairs(request);
    // The second one is for application services that act as somebody.
    let pairs = ["access_token", "user_id"].into_iter().filter_map(|name| {
        let value = utf8_percent_encode(&query.iter().find(|(key, _)| key == name)?.1, IN_SEGMENT).to_string();
        Some(format!("{name}={value}"))
    });
    let pairs: Vec<String> = pairs.collect();
    let question = http::Request::get(if pairs.is_empty() { url } else { format!("{url}?{}", pairs.join("&")) });
    match request.header("authorization") {
        Some(value) => question.header("Authorization", value),
        None => question,
    }
}

/// When the event was sent, in milliseconds since the Unix epoch.
fn sent(response: &http::Response, is_context: bool) -> Option<u64> {
    let answer = Object::of_body(&response.body).ok()?;
    let event = if is_context { answer.object("event").ok()?? } else { answer };
    serde_json::from_str(event.get("origin_server_ts").ok()??).ok()
}

fn unknown() -> Refused {
    Refused::new(502, "M_UNKNOWN", "the homeserver did not tell how old the event is")
}

pub(crate) fn relayed(response: &http::Response) -> MadeResponse {
    let mut made = MadeResponse::empty(response.status);
    for name in ["Content-Type", "Access-Control-Allow-Origin", "Retry-After", "WWW-Authenticate"] {
        if let Some(value) = response.header(name) {
            made = made.header(name, value);
        }
    }
    made.body.clone_from(&response.body);
    made
}
