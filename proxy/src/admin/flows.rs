//! `GET /flows`: flows that have ended, and what addons did to them.

use std::time::UNIX_EPOCH;

use http::StatusCode;
use serde_json::{Value, json};

use super::routes::{Answer, json_answer, refuse};
use crate::{
    flow::{EndedFlow, Recent},
    hooks::{Mutation, Source},
};

/// Most flows that can be asked for at once: as many as can be remembered.
const MAX_LIMIT: usize = 10_000;

/// The last flows, newest first, at most `?limit=` of them.
pub(super) fn list(recent: Option<&Recent>, query: Option<&str>) -> Answer {
    let Some(recent) = recent else { return forgotten() };
    match limit(query.unwrap_or_default()) {
        Ok(limit) => {
            let flows: Vec<Value> = recent.newest(limit).iter().map(|flow| shown(flow)).collect();
            json_answer(StatusCode::OK, &json!({ "flows": flows }))
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error),
    }
}

/// One flow.
pub(super) fn one(recent: Option<&Recent>, id: &str) -> Answer {
    let Some(recent) = recent else { return forgotten() };
    match id.parse().ok().and_then(|id| recent.find(id)) {
        Some(flow) => json_answer(StatusCode::OK, &shown(&flow)),
        None => refuse(StatusCode::NOT_FOUND, "no such flow is remembered"),
    }
}

fn forgotten() -> Answer {
    refuse(StatusCode::NOT_FOUND, "flows are not remembered: admin.recent_flows is 0")
}

fn limit(query: &str) -> Result<usize, String> {
    let mut limit = MAX_LIMIT;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != "limit" {
            return Err("the query may hold limit and nothing else".to_owned());
        }
        let number = value.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
        limit = number.ok_or_else(|| format!("limit must be a whole number from 1 to {MAX_LIMIT}"))?;
    }
    Ok(limit)
}

fn shown(flow: &EndedFlow) -> Value {
    let facts = &flow.facts;
    let (source, addon) = match &flow.source {
        Some(Source::Upstream) => (Some("upstream"), None),
        Some(Source::Addon(name)) => (Some("addon"), Some(name)),
        Some(Source::Core) => (Some("core"), None),
        None => (None, None),
    };
    json!({
        "id": facts.id,
        "listener": &*facts.listener,
        "generation": facts.generation,
        "peer": facts.peer,
        "connect": facts.connect,
        "proxy_user": facts.user.as_deref(),
        "upstream": facts.upstream.to_string(),
        "started_milliseconds": facts.started.duration_since(UNIX_EPOCH).map_or(0, milliseconds),
        "method": flow.method,
        "path": flow.path,
        "status": flow.status.map(|status| status.as_u16()),
        "source": source,
        "source_addon": addon.map(|name| &**name),
        "milliseconds": milliseconds(flow.duration),
        "request_bytes": flow.request_bytes,
        "response_bytes": flow.response_bytes,
        "error": flow.error,
        "mutations": flow.mutations.mutations().iter().map(Mutation::to_json).collect::<Vec<_>>(),
        "mutations_left_out": flow.mutations.left_out(),
    })
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_whole_numbers() {
        for (query, expected) in [("", Some(10_000)), ("limit=1", Some(1)), ("limit=10000", Some(10_000)), ("limit=1&", Some(1))]
        {
            assert_eq!(limit(query).ok(), expected, "{query}");
        }
        for query in ["limit=0", "limit=10001", "limit", "limit=", "limit=-1", "limit=x", "since=1", "limit=1&since=1"] {
            assert!(limit(query).is_err(), "{query}");
        }
    }
}
