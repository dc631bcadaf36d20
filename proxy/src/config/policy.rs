//! What `[addon.NAME]` says about failures: `on_error`, `error_status`, `error_body`, `error_type` and `quarantine`.

use std::{fmt, ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    check::Check,
    key::Key,
    limits::usize_of,
    raw::{RawAddon, Scalar},
    units::{Count, Size, Span},
};
use crate::{
    hooks::{Event, FailureAnswer, FailurePolicy, OnError, QuarantineRule},
    http::{Field, headers::is_token},
};

pub(super) const ERROR_STATUS: RangeInclusive<Count> = Count(400)..=Count(599);
pub(super) const FAILURES: RangeInclusive<Count> = Count(1)..=Count(1000);
pub(super) const WITHIN: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_hours(1));
pub(super) const SHARE: RangeInclusive<Count> = Count(0)..=Count(100);
pub(super) const FIRST: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_hours(1));
pub(super) const LONGEST: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_hours(24));

const SHORTEST: Duration = Duration::from_millis(1);
/// Largest `error_body` in bytes, and longest `error_type`.
const ERROR_BODY: usize = 64 << 10;
const ERROR_TYPE: usize = 255;

/// `on_error`: one word for all events, or words by event.
#[derive(Debug)]
pub(super) enum RawOnError {
    Always(RawReaction),
    ByEvent(Box<RawReactions>),
}

/// A word of `on_error`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawReaction {
    Closed,
    Open,
    Retry,
    RetryOpen,
}

/// `on_error` by event.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case", expecting = "a table")]
pub(super) struct RawReactions {
    default: Option<RawReaction>,
    connect: Option<RawReaction>,
    request: Option<RawReaction>,
    request_chunk: Option<RawReaction>,
    response: Option<RawReaction>,
    response_chunk: Option<RawReaction>,
    sse_event: Option<RawReaction>,
    websocket_message: Option<RawReaction>,
    upstream_error: Option<RawReaction>,
    finish: Option<RawReaction>,
}

/// `quarantine`: on, off, or when and how long.
#[derive(Debug)]
pub(super) enum RawQuarantine {
    Switch(bool),
    Rule(Box<RawRule>),
}

/// `quarantine` as a table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawRule {
    failures: Option<Scalar>,
    within: Option<Scalar>,
    share: Option<Scalar>,
    first: Option<Scalar>,
    longest: Option<Scalar>,
}

struct OnErrorVisitor;
struct QuarantineVisitor;

/// What becomes of the addon's flows when its hooks fail.
pub(super) fn policy(check: &mut Check, key: &Key, raw: &RawAddon) -> FailurePolicy {
    let mut policy = match &raw.on_error {
        None => FailurePolicy::default(),
        Some(RawOnError::Always(reaction)) => FailurePolicy::new((*reaction).into()),
        Some(RawOnError::ByEvent(reactions)) => reactions.policy(),
    };
    let otherwise = FailureAnswer::default();
    let status = check.number(
        &key.join("error_status"),
        raw.error_status.as_ref(),
        &ERROR_STATUS,
        Count(otherwise.status.as_u16().into()),
    );
    let status = u16::try_from(status.0).ok().and_then(|status| StatusCode::from_u16(status).ok());
    policy.answer = FailureAnswer { status: status.unwrap_or(otherwise.status), content: content(check, key, raw) };
    policy
}

fn content(check: &mut Check, key: &Key, raw: &RawAddon) -> Option<(Field, Bytes)> {
    let type_key = key.join("error_type");
    let media_type = match &raw.error_type {
        Some(text) => check.text(&type_key, text, content_type),
        None => Some(Field::from_static("Content-Type", "application/json")),
    };
    let Some(body) = &raw.error_body else {
        if raw.error_type.is_some() {
            check.fail(&type_key, format!("needs {}, whose type it is", key.join("error_body")));
        }
        return None;
    };
    let body = check.text(&key.join("error_body"), body, |text| {
        let is_short = text.len() <= ERROR_BODY;
        is_short.then(|| Bytes::copy_from_slice(text.as_bytes())).ok_or_else(|| {
            let limit = Size(ERROR_BODY as u64);
            format!("must be a text of at most {limit}, is one of {} bytes", text.len())
        })
    });
    media_type.zip(body)
}

/// A media type (RFC 9110, 8.3.1); parameters are only held against what any field value may be.
fn content_type(text: &str) -> Result<Field, String> {
    let essence = text.split_once(';').map_or(text, |(essence, _)| essence.trim_end());
    let is_legal =
        essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind.as_bytes()) && is_token(subtype.as_bytes()));
    let field = Field::new("Content-Type", text.to_owned()).ok();
    field
        .filter(|_| is_legal && text.len() <= ERROR_TYPE)
        .ok_or_else(|| format!("must be a media type like \"text/plain; charset=utf-8\", of at most {ERROR_TYPE} characters"))
}

/// When the addon is quarantined; none: never.
pub(super) fn quarantine(check: &mut Check, key: &Key, raw: Option<&RawQuarantine>) -> Option<QuarantineRule> {
    let otherwise = QuarantineRule::default();
    let raw = match raw {
        None | Some(RawQuarantine::Switch(true)) => return Some(otherwise),
        Some(RawQuarantine::Switch(false)) => return None,
        Some(RawQuarantine::Rule(raw)) => raw,
    };
    let failures = check.number(&key.join("failures"), raw.failures.as_ref(), &FAILURES, Count(otherwise.failures as u64));
    let share = check.number(&key.join("share"), raw.share.as_ref(), &SHARE, Count(otherwise.share.into()));
    let within = check.number(&key.join("within"), raw.within.as_ref(), &WITHIN, Span(otherwise.within)).0;
    let first = check.number(&key.join("first"), raw.first.as_ref(), &FIRST, Span(otherwise.first)).0;
    let longest = check.number(&key.join("longest"), raw.longest.as_ref(), &LONGEST, Span(otherwise.longest.max(first))).0;
    if longest < first {
        check.fail(&key.join("longest"), format!("must not be shorter than {} ({})", key.join("first"), Span(first)));
    }
    let share = u8::try_from(share.0).unwrap_or(u8::MAX);
    Some(QuarantineRule { failures: usize_of(failures.0), within, share, first, longest })
}

impl RawReactions {
    fn policy(&self) -> FailurePolicy {
        let named = [
            (Event::Connect, self.connect),
            (Event::Request, self.request),
            (Event::RequestChunk, self.request_chunk),
            (Event::Response, self.response),
            (Event::ResponseChunk, self.response_chunk),
            (Event::SseEvent, self.sse_event),
            (Event::WebsocketMessage, self.websocket_message),
            (Event::UpstreamError, self.upstream_error),
            (Event::Finish, self.finish),
        ];
        let policy = FailurePolicy::new(self.default.map(OnError::from).unwrap_or_default());
        named.into_iter().fold(policy, |policy, (event, reaction)| match reaction {
            Some(reaction) => policy.with(event, reaction.into()),
            None => policy,
        })
    }
}

impl From<RawReaction> for OnError {
    fn from(reaction: RawReaction) -> Self {
        match reaction {
            RawReaction::Closed => Self::Closed,
            RawReaction::Open => Self::Open,
            RawReaction::Retry => Self::Retry,
            RawReaction::RetryOpen => Self::RetryOpen,
        }
    }
}

impl<'de> Deserialize<'de> for RawOnError {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(OnErrorVisitor)
    }
}

impl<'de> Visitor<'de> for OnErrorVisitor {
    type Value = RawOnError;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("\"closed\", \"open\", \"retry\", \"retry-open\" or a table of them by event")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<RawOnError, E> {
        RawReaction::deserialize(word.into_deserializer()).map(RawOnError::Always)
    }

    fn visit_map<A: MapAccess<'de>>(self, events: A) -> Result<RawOnError, A::Error> {
        RawReactions::deserialize(MapAccessDeserializer::new(events)).map(|events| RawOnError::ByEvent(Box::new(events)))
    }
}

impl<'de> Deserialize<'de> for RawQuarantine {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(QuarantineVisitor)
    }
}

impl<'de> Visitor<'de> for QuarantineVisitor {
    type Value = RawQuarantine;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("true, false or a table")
    }

    fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<RawQuarantine, E> {
        Ok(RawQuarantine::Switch(is_on))
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<RawQuarantine, A::Error> {
        RawRule::deserialize(MapAccessDeserializer::new(keys)).map(|rule| RawQuarantine::Rule(Box::new(rule)))
    }
}
