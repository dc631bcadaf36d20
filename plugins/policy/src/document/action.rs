//! What a hook does.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{
    fields::Fields,
    hook::Stage,
    reply::{self, Reply},
};

/// An action, and whether it is the last of its chain.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    /// Of a nested hook or an answer, where it has one.
    pub(crate) id: Option<String>,
    pub(crate) action: Action,
    /// Whether later hooks of the same event type are left out.
    pub(crate) skips: bool,
}

/// The actions. What is modified is the request before, and the response after the homeserver was asked: nothing else is
/// possible.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// `pass.unmodified`
    Pass,
    /// `pass.modifiedRequest`, `pass.modifiedResponse`
    Modify(Changes),
    /// `reject`, `respond`
    Answer(Reply),
    /// `consult.RESTServiceURL`
    Consult(Box<Consultation>),
}

/// What is put into a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// Members of its JSON object, values as they were written.
    pub(crate) json: Vec<(String, Box<RawValue>)>,
    /// Header fields.
    pub(crate) headers: Vec<(String, String)>,
}

/// A service, and what becomes of its answer.
#[derive(Debug, Clone)]
pub(crate) struct Consultation {
    pub(crate) call: Call,
    pub(crate) then: Then,
}

/// What becomes of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// It is waited for and carried out; where there is none that can be, this is.
    Obey { contingency: Option<Deed> },
    /// Nobody waits for it; this is carried out at once.
    GoOn { result: Deed },
}

/// How a service is called.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Of one attempt.
    pub(crate) timeout: Duration,
    /// Attempts after the first.
    pub(crate) retries: u64,
    /// Between two attempts.
    pub(crate) wait: Duration,
}

/// What is wrong was reported.
struct Reported;

/// How deep hooks may be nested in one document, and how many consultations one hook may lead to.
pub(crate) const MAX_DEPTH: usize = 8;

const DEFAULT_TIMEOUT: u64 = 30_000;
/// An hour: no call can last longer than the core lets a hook run.
const MAX_MILLISECONDS: u64 = 3_600_000;
/// A hook may make 64 requests in all.
const MAX_RETRIES: u64 = 62;
const MAX_METHOD: usize = 64;

const KNOWN: [&str; 24] = [
    "id",
    "eventType",
    "matchRules",
    "action",
    "skipNextHooksInChain",
    "RESTServiceURL",
    "RESTServiceRequestMethod",
    "RESTServiceRequestHeaders",
    "RESTServiceRequestTimeoutMilliseconds",
    "RESTServiceRetryAttempts",
    "RESTServiceRetryWaitTimeMilliseconds",
    "RESTServiceAsync",
    "RESTServiceAsyncResultHook",
    "RESTServiceContingencyHook",
    "responseStatusCode",
    "responseContentType",
    "responsePayload",
    "responseSkipPayloadJSONSerialization",
    "rejectionErrorCode",
    "rejectionErrorMessage",
    "injectJSONIntoRequest",
    "injectHeadersIntoRequest",
    "injectJSONIntoResponse",
    "injectHeadersIntoResponse",
];

/// Fields that belong to the core: who sends a message frames it (RFC 9110, 7.6.1).
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The action of a hook whose event type is of this stage; none, and errors, where it is no legal one. Takes what is left of the
/// fields.
pub(crate) fn read(mut fields: Fields<'_, '_>, stage: Option<Stage>, depth: usize) -> Option<Deed> {
    if depth > MAX_DEPTH {
        fields.error("action", format_args!("hooks are nested deeper than {MAX_DEPTH}"));
        return None;
    }
    // Top-level hooks had theirs taken.
    let id = fields.text("id");
    let skips = fields.flag("skipNextHooksInChain");
    let name = fields.needed_text("action");
    let action = match name.as_deref() {
        Some("pass.unmodified") => Some(Action::Pass),
        Some("pass.modifiedRequest") => {
            check_stage(&mut fields, stage, Stage::Before);
            changes(&mut fields, "injectJSONIntoRequest", "injectHeadersIntoRequest").map(Action::Modify)
        }
        Some("pass.modifiedResponse") => {
            check_stage(&mut fields, stage, Stage::After);
            changes(&mut fields, "injectJSONIntoResponse", "injectHeadersIntoResponse").map(Action::Modify)
        }
        Some("reject") => reply::rejection(&mut fields).map(Action::Answer),
        Some("respond") => reply::response(&mut fields).map(Action::Answer),
        Some("consult.RESTServiceURL") => {
            consultation(&mut fields, stage, depth).map(|consultation| Action::Consult(Box::new(consultation)))
        }
        Some(other) => {
            fields.error(
                "action",
                format_args!(
                    "{other:?} is none of pass.unmodified, pass.modifiedRequest, pass.modifiedResponse, reject, respond and \
                 consult.RESTServiceURL"
                ),
            );
            None
        }
        None => None,
    };
    let why_idle = name.map(|name| format!(" with the action {name:?}")).unwrap_or_default();
    let why_idle = if depth > 0 { format!("{why_idle} of a nested hook") } else { why_idle };
    fields.finish(&KNOWN, &why_idle);
    Some(Deed { id, action: action?, skips })
}

fn check_stage(fields: &mut Fields<'_, '_>, stage: Option<Stage>, needed: Stage) {
    match (stage, needed) {
        (Some(Stage::Before), Stage::After) => {
            fields.error(
                "action",
                "\"pass.modifiedResponse\" is for after hooks: when a before hook runs there is no response yet",
            );
        }
        (Some(Stage::After), Stage::Before) => {
            fields.error("action", "\"pass.modifiedRequest\" is for before hooks: when an after hook runs the request was sent");
        }
        _ => {}
    }
}

fn changes(fields: &mut Fields<'_, '_>, json: &str, headers: &str) -> Option<Changes> {
    if !fields.has(json) && !fields.has(headers) {
        fields.error(json, format_args!("is missing, and so is {headers:?}: one of them has to be there"));
        return None;
    }
    let json = fields.members(json).unwrap_or_default();
    Some(Changes { json, headers: read_headers(fields, headers) })
}

/// Header fields, all of them legal and none of the core's.
fn read_headers(fields: &mut Fields<'_, '_>, name: &str) -> Vec<(String, String)> {
    let headers = fields.texts(name).unwrap_or_default();
    for (index, (header, value)) in headers.iter().enumerate() {
        let is_of_request = name != "injectHeadersIntoResponse" && header.eq_ignore_ascii_case("host");
        if !is_token(header) {
            fields.error(name, format_args!("{header:?} is no name of a header field"));
        } else if is_of_request || FRAMING.iter().any(|field| header.eq_ignore_ascii_case(field)) {
            fields.error(name, format_args!("{header:?} belongs to the proxy and can't be set"));
        } else if !is_field_value(value) {
            // Without the value: it may be a credential.
            fields.error(name, format_args!("the value of {header:?} is none of a header field"));
        } else if headers.iter().take(index).any(|(before, _)| before.eq_ignore_ascii_case(header)) {
            fields.error(name, format_args!("{header:?} is there twice"));
        }
    }
    headers
}

fn consultation(fields: &mut Fields<'_, '_>, stage: Option<Stage>, depth: usize) -> Option<Consultation> {
    let url = fields.needed_text("RESTServiceURL").filter(|url| {
        let is_legal = is_url(url);
        if !is_legal {
            fields.error("RESTServiceURL", "must be an http:// or https:// URL without user name and password");
        }
        is_legal
    });
    let method = fields.text("RESTServiceRequestMethod").unwrap_or_else(|| "POST".to_owned());
    if !is_token(&method) || method == "CONNECT" || method.len() > MAX_METHOD {
        fields.error("RESTServiceRequestMethod", format_args!("{method:?} is no method to call a service with"));
    }
    let headers = read_headers(fields, "RESTServiceRequestHeaders");
    let timeout = fields.whole("RESTServiceRequestTimeoutMilliseconds", 1..=MAX_MILLISECONDS, " of milliseconds");
    let retries = fields.whole("RESTServiceRetryAttempts", 0..=MAX_RETRIES, "").unwrap_or_default();
    let wait = fields.whole("RESTServiceRetryWaitTimeMilliseconds", 0..=MAX_MILLISECONDS, " of milliseconds");
    let then = if fields.flag("RESTServiceAsync") {
        if fields.take("RESTServiceContingencyHook").is_some() {
            fields.warn("RESTServiceContingencyHook", "has no effect where nobody waits for the service (\"RESTServiceAsync\")");
        }
        let pass = || Deed { id: None, action: Action::Pass, skips: false };
        let result = nested(fields, "RESTServiceAsyncResultHook", stage, depth);
        result.map(|result| Then::GoOn { result: result.unwrap_or_else(pass) })
    } else {
        if fields.take("RESTServiceAsyncResultHook").is_some() {
            fields.warn("RESTServiceAsyncResultHook", "has no effect without \"RESTServiceAsync\"");
        }
        nested(fields, "RESTServiceContingencyHook", stage, depth).map(|contingency| Then::Obey { contingency })
    };
    let call = Call {
        url: url?,
        method,
        headers,
        timeout: Duration::from_millis(timeout.unwrap_or(DEFAULT_TIMEOUT)),
        retries,
        wait: Duration::from_millis(wait.unwrap_or_default()),
    };
    Some(Consultation { call, then: then.ok()? })
}

/// A hook within a hook; none if the field is not there.
fn nested(fields: &mut Fields<'_, '_>, name: &str, stage: Option<Stage>, depth: usize) -> Result<Option<Deed>, Reported> {
    let Some(value) = fields.take(name) else { return Ok(None) };
    let path = fields.path_of(name);
    let nested = Fields::read(path, value, fields.report());
    nested.and_then(|nested| read(nested, stage, depth.saturating_add(1))).map(Some).ok_or(Reported)
}

/// RFC 9110, 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110, 5.5.
pub(super) fn is_field_value(text: &str) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = text.as_bytes();
    let has_control = bytes.iter().any(|&byte| byte != b'\t' && (byte < 0x20 || byte == 0x7f));
    !has_control && !is_blank(bytes.first()) && !is_blank(bytes.last())
}

/// A first look, for what is surely wrong; the core reads it with each call.
fn is_url(text: &str) -> bool {
    let behind = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = behind.map(|behind| behind.split(['/', '?', '#']).next().unwrap_or_default());
    authority.is_some_and(|authority| !authority.is_empty() && !authority.starts_with(':') && !authority.contains('@'))
        && text.chars().all(|character| !character.is_whitespace() && !character.is_control())
}
