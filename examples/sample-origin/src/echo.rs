//! What arrived, as JSON.

use serde_json::json;

use crate::{
    Arrived,
    answer::{Answer, json},
};

/// Header fields are pairs in their order, so that repeated ones can be told; bytes that are not UTF-8 are replaced.
pub(crate) fn echo(request: &Arrived) -> Answer {
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect();
    json(&json!({
        "method": request.method.as_str(),
        "path": request.target,
        "headers": headers,
        "body": String::from_utf8_lossy(&request.body),
    }))
}
