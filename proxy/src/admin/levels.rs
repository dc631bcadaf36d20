//! Levels of log lines, for a while.

use std::sync::Arc;

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::routes::{Answer, json_answer, method_not_allowed, refuse};
use crate::logging::{Handle, InForce, Refused};

/// From the fewest lines to the most.
const LEVELS: [&str; 6] = ["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// Answers what is asked below `/actuator/logging`.
pub(super) fn answer(log: &Arc<Handle>, method: &Method, path: &[&str]) -> Answer {
    match (method, path) {
        (&Method::GET, []) => shown(StatusCode::OK, &log.in_force()),
        (&Method::DELETE, []) => shown(StatusCode::OK, &log.reset()),
        (_, []) => method_not_allowed("GET, DELETE"),
        (&Method::GET, ["levels"]) => json_answer(StatusCode::OK, &json!({ "acceptedValues": LEVELS })),
        (_, ["levels"]) => method_not_allowed("GET"),
        (&Method::PUT, [level, target @ ..]) if target.len() < 2 => {
            // A module as scripts write it in a path: `tollgate%3A%3Aflow`.
            let target = target.first().map(|target| percent_decode_str(target).decode_utf8_lossy());
            match log.set_for_a_while(&level.to_ascii_lowercase(), target.as_deref()) {
                Ok(now) => shown(StatusCode::ACCEPTED, &now),
                Err(error @ Refused::Invalid(_)) => invalid(&error.to_string()),
                Err(error @ Refused::Full) => refuse(StatusCode::CONFLICT, &error.to_string()),
            }
        }
        (_, [_, target @ ..]) if target.len() < 2 => method_not_allowed("PUT"),
        _ => refuse(StatusCode::NOT_FOUND, "no such page"),
    }
}

fn invalid(error: &str) -> Answer {
    json_answer(StatusCode::BAD_REQUEST, &json!({ "errcode": "M_INVALID_PARAM", "error": error }))
}

fn shown(status: StatusCode, now: &InForce) -> Answer {
    let seconds = now.resets_in.map(|left| left.as_secs());
    json_answer(status, &json!({ "level": now.level, "resets_in_seconds": seconds }))
}
