//! Answers that hooks make: rejections and responses.

use std::ops::RangeInclusive;

use serde::Serialize;
use tollgate_sdk::MadeResponse;

use super::{
    action::is_field_value,
    fields::{Fields, kind},
};

/// An answer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

const JSON: &str = "application/json";
/// 1xx are the core's, and above 599 there are none.
const STATUSES: RangeInclusive<u64> = 200..=599;
const REJECTED: u16 = 403;
const RESET_CONTENT: u16 = 205;

/// What web clients need to be shown an answer that is not the homeserver's (Client-Server API, "Web Browser Clients").
const CROSS_ORIGIN: [(&str, &str); 3] = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization, Date"),
];

impl Reply {
    /// An error as Matrix clients read it.
    pub(crate) fn error(status: u16, errcode: &str, error: &str) -> Self {
        #[derive(Serialize)]
        struct Error<'a> {
            errcode: &'a str,
            error: &'a str,
        }
        // Two strings always have a JSON.
        let body = serde_json::to_vec(&Error { errcode, error }).unwrap_or_default();
        Self { status, content_type: JSON.to_owned(), body }
    }

    /// The response. With 205 nothing is sent, whatever the policy says (RFC 9110, 15.3.6).
    pub(crate) fn into_response(self) -> MadeResponse {
        if self.status == RESET_CONTENT {
            return shared(MadeResponse::empty(self.status));
        }
        shared(MadeResponse::new(self.status, &self.content_type, self.body))
    }
}

/// The response, for web clients of other origins, too.
pub(crate) fn shared(response: MadeResponse) -> MadeResponse {
    CROSS_ORIGIN.iter().fold(response, |response, (name, value)| response.header(*name, value))
}

/// That of `reject`.
pub(super) fn rejection(fields: &mut Fields<'_, '_>) -> Option<Reply> {
    let status = status(fields).unwrap_or(REJECTED);
    let errcode = fields.needed_text("rejectionErrorCode");
    let error = fields.needed_text("rejectionErrorMessage");
    Some(Reply::error(status, &errcode?, &error?))
}

/// That of `respond`.
pub(super) fn response(fields: &mut Fields<'_, '_>) -> Option<Reply> {
    if !fields.has("responseStatusCode") {
        fields.missing("responseStatusCode");
    }
    let status = status(fields);
    let content_type = fields.text("responseContentType").unwrap_or_else(|| JSON.to_owned());
    if content_type.is_empty() || !is_field_value(&content_type) {
        fields.error("responseContentType", "is no value of a header field");
    }
    let is_as_it_is = fields.flag("responseSkipPayloadJSONSerialization");
    let payload = fields.take_as_written("responsePayload");
    let written = payload.map_or("null", serde_json::value::RawValue::get);
    let body = if !is_as_it_is && is_json(&content_type) {
        written.to_owned()
    } else if let Ok(text) = serde_json::from_str(written) {
        text
    } else {
        let why = if is_as_it_is { "\"responseSkipPayloadJSONSerialization\"" } else { "a content type that is not JSON" };
        let kind = payload.map_or("missing", kind);
        fields.error("responsePayload", format_args!("must be a string with {why}, and is {kind}"));
        return None;
    };
    Some(Reply { status: status?, content_type, body: body.into_bytes() })
}

fn status(fields: &mut Fields<'_, '_>) -> Option<u16> {
    fields.whole("responseStatusCode", STATUSES, "").and_then(|status| u16::try_from(status).ok())
}

/// Whether a media type is JSON (RFC 6839, 3.1), parameters aside.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == JSON || essence.ends_with("+json")
}
