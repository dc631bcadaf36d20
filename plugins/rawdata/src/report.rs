//! What the service is sent.

use serde::Serialize;
use tollgate_sdk::{Flow, Outcome, Request};

use crate::{operation::Operation, options::Settings, user_agent::UserAgent};

/// One request. What has a default, `n/a` or 0, is left out where it has that.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// When the head of the request was complete, in UTC, to the millisecond.
    start: String,
    /// To the end of the response.
    duration_in_ms: u64,
    operation: Operation,
    status: u16,
    message: Message,
}

#[derive(Debug, Serialize)]
struct Message {
    #[serde(rename = "Inst-ID")]
    instance: String,
    #[serde(rename = "M-Dom", skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(flatten)]
    user_agent: UserAgent,
    #[serde(rename = "profOID")]
    profession: String,
    #[serde(rename = "Res")]
    status: u16,
    /// Bytes of the request's body.
    #[serde(rename = "sizeIn", skip_serializing_if = "is_zero")]
    size_in: u64,
    /// Bytes of the response's body.
    #[serde(rename = "sizeOut", skip_serializing_if = "is_zero")]
    size_out: u64,
    #[serde(rename = "tID", skip_serializing_if = "Option::is_none")]
    telematik: Option<String>,
}

impl Report {
    /// Where the client was sent no response, the status is 0.
    pub(crate) fn new(settings: &Settings, operation: Operation, flow: &Flow, request: &Request, outcome: &Outcome) -> Self {
        let status = outcome.status().unwrap_or_default();
        let code = operation.code();
        let instance = if operation.is_federated() { format!("{code}{}", request.path()) } else { code.to_owned() };
        let user_agent = if operation.is_federated() { None } else { request.header_str("useragent") };
        Self {
            start: humantime::format_rfc3339_millis(flow.started()).to_string(),
            duration_in_ms: u64::try_from(outcome.duration().as_millis()).unwrap_or(u64::MAX),
            operation,
            status,
            message: Message {
                instance,
                domain: settings.home_domain.clone(),
                user_agent: UserAgent::parse(user_agent.as_deref()),
                profession: settings.profession_id.clone(),
                status,
                size_in: outcome.request_bytes(),
                size_out: outcome.response_bytes(),
                telematik: settings.telematik_id.clone(),
            },
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
