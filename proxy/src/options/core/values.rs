//! Values of options, by their kinds.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;

use super::{Block, Effects, Hosts, Mapping, Modification, Term};
use crate::config::{
    Count, Size, Span, Unit,
    limits::{
        BODY_IDLE, CONNECT, CONNECTIONS, FLOW, HEADER_BYTES, HEADER_COUNT, HEADER_READ, IDLE, REQUEST_BODY, RESPONSE, TUNNEL,
    },
    log_level,
};

/// Entries of a sequence.
pub(super) const MAX_ENTRIES: usize = 256;
/// Bytes of an entry.
pub(super) const MAX_ENTRY: usize = 8 * 1024;

/// Reads the value of an option and notes what it means; nothing is changed where it is wrong.
pub(super) fn set(effects: &mut Effects, name: &str, value: &Value) -> Result<(), String> {
    match name {
        "allow_hosts" => effects.allow_hosts = Hosts::new(&entries(value)?)?,
        "anticache" => effects.anticache = flag(value)?,
        "anticomp" => effects.anticomp = flag(value)?,
        "block_list" => effects.block_list = each(value, Block::parse)?,
        "body_idle_timeout" => effects.body_idle_timeout = span_or_none(value, &BODY_IDLE)?,
        "body_size_limit" => effects.body_size_limit = size(value, &REQUEST_BODY)?,
        "connection_timeout" => effects.connection_timeout = span(value, &CONNECT)?,
        "flow_timeout" => effects.flow_timeout = span_or_none(value, &FLOW)?,
        "idle_timeout" => effects.idle_timeout = span(value, &IDLE)?,
        "ignore_hosts" => effects.ignore_hosts = Hosts::new(&entries(value)?)?,
        "log_level" => effects.log_level = text(value)?.map(log_level).transpose()?,
        "map_remote" => effects.map_remote = each(value, Mapping::parse)?,
        "max_connections" => effects.max_connections = count(value, &CONNECTIONS)?,
        "max_header_bytes" => effects.max_header_bytes = size(value, &HEADER_BYTES)?.map(usize_of),
        "max_header_count" => effects.max_header_count = count(value, &HEADER_COUNT)?,
        "modify_headers" => effects.modify_headers = each(value, Modification::parse)?,
        "request_timeout" => effects.request_timeout = span(value, &HEADER_READ)?,
        "response_timeout" => effects.response_timeout = span_or_none(value, &RESPONSE)?,
        "ssl_insecure" => effects.ssl_insecure = flag(value)?,
        "stream_large_bodies" => effects.stream_large_bodies = size(value, &REQUEST_BODY)?,
        "tunnel_timeout" => effects.tunnel_timeout = span_or_none(value, &TUNNEL)?,
        other => return Err(format!("{other} has no meaning")),
    }
    Ok(())
}

fn flag(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

fn text(value: &Value) -> Result<Option<&str>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err("must be a text or null".to_owned()),
    }
}

/// What is wrong with entry number `place`.
pub(super) fn at(place: usize, why: &str) -> String {
    format!("entry {place}: {why}")
}

fn entries(value: &Value) -> Result<Vec<&str>, String> {
    let Value::Array(items) = value else { return Err("must be a sequence of texts".to_owned()) };
    if items.len() > MAX_ENTRIES {
        return Err(format!("has {} entries: {MAX_ENTRIES} are allowed", items.len()));
    }
    let entry = |(place, item): (usize, &'_ _)| match item {
        Value::String(text) if text.len() > MAX_ENTRY => {
            Err(at(place, &format!("has {} bytes: {MAX_ENTRY} are allowed", text.len())))
        }
        Value::String(_) => Ok(()),
        _ => Err(at(place, "must be a text")),
    };
    items.iter().enumerate().try_for_each(entry)?;
    Ok(items.iter().filter_map(Value::as_str).collect())
}

fn each<T>(value: &Value, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let entries = entries(value)?;
    entries.iter().enumerate().map(|(place, text)| parse(text).map_err(|why| at(place, &why))).collect()
}

fn unit<T: Unit>(value: &Value, range: &RangeInclusive<T>, also: &str) -> Result<Option<T>, String> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::String(text) => T::from_text(text),
        Value::Number(number) => number.as_u64().and_then(T::from_number),
        _ => None,
    };
    let number = number.filter(|number| range.contains(number));
    number.map(Some).ok_or_else(|| format!("must be {} from {} to {}{also}, or null", T::NAME, range.start(), range.end()))
}

fn size(value: &Value, range: &RangeInclusive<Size>) -> Result<Option<u64>, String> {
    unit(value, range, "").map(|size| size.map(|size| size.0))
}

fn count(value: &Value, range: &RangeInclusive<Count>) -> Result<Option<usize>, String> {
    unit(value, range, "").map(|count| count.map(|count| usize_of(count.0)))
}

fn span(value: &Value, range: &RangeInclusive<Span>) -> Result<Option<Duration>, String> {
    unit(value, range, "").map(|span| span.map(|span| span.0))
}

/// The same where there may be no limit.
fn span_or_none(value: &Value, range: &RangeInclusive<Span>) -> Result<Option<Term>, String> {
    if value.as_str() == Some("none") {
        return Ok(Some(Term::Endless));
    }
    unit(value, range, ", or \"none\"").map(|span| span.map(|span| Term::Within(span.0)))
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
