//! What arrives.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL},
    upgrade::OnUpgrade,
};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::form_urlencoded;

use crate::answer::Refused;

/// Bytes of a request's body; over it 413.
const BODY_LIMIT: usize = 1 << 20;

/// A request whose body is complete.
pub(crate) struct Arrived {
    pub(crate) method: Method,
    /// Segments of the path, percent-decoded.
    pub(crate) segments: Vec<String>,
    /// Path as sent.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// Of the query.
    query: Vec<(String, String)>,
    /// Of the body, be it a form or JSON.
    form: Vec<(String, String)>,
    /// For who asked for an upgrade.
    pub(crate) upgrade: OnUpgrade,
}

impl Arrived {
    pub(crate) async fn read(mut request: Request<Incoming>) -> Result<Self, Refused> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|cause| {
            if cause.is::<LengthLimitError>() {
                Refused(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            } else {
                Refused(StatusCode::BAD_REQUEST, "The body did not arrive")
            }
        })?;
        let raw_query = head.uri.query().unwrap_or_default();
        let decoded = |segment| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        Ok(Self {
            // A slash at the end changes nothing.
            segments: head.uri.path().trim_end_matches('/').split('/').skip(1).map(decoded).collect(),
            path: head.uri.path().to_owned(),
            query: form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect(),
            form: form(&head.headers, &body.to_bytes())?,
            method: head.method,
            headers: head.headers,
            upgrade,
        })
    }

    /// The value of a parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// Of the query, but for these.
    pub(crate) fn query_without(&self, names: &[&str]) -> impl Iterator<Item = &(String, String)> {
        self.query.iter().filter(move |(name, _)| !names.contains(&name.as_str()))
    }

    /// The value of a parameter of body or query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        find(&self.form, name).or_else(|| self.query(name))
    }

    /// In the order in which Mastodon looks: field, query, protocol of a WebSocket.
    pub(crate) fn token(&self) -> Option<&str> {
        let header = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| self.query("access_token")).or_else(|| header(SEC_WEBSOCKET_PROTOCOL)?.split(',').next().map(str::trim))
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn form(headers: &HeaderMap, body: &Bytes) -> Result<Vec<(String, String)>, Refused> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default() {
        _ if body.is_empty() => Ok(Vec::new()),
        "application/x-www-form-urlencoded" => Ok(form_urlencoded::parse(body).into_owned().collect()),
        "application/json" => match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(object.into_iter().filter_map(|(name, value)| Some((name, plain(value)?))).collect()),
            _ => Err(Refused(StatusCode::BAD_REQUEST, "The body is no JSON object")),
        },
        _ => Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is neither a form nor JSON")),
    }
}

/// Lists of one count as what they have.
fn plain(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(mut all) if all.len() == 1 => plain(all.pop()?),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        scalar => Some(scalar.to_string()),
    }
}
