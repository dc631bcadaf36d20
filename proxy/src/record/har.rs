//! An entry as HAR 1.2 has it. What begins with `_` is of Tollgate.

use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) started_date_time: String,
    /// Milliseconds, as all times.
    pub(super) time: f64,
    pub(super) request: Request,
    pub(super) response: Response,
    pub(super) cache: Cache,
    pub(super) timings: Timings,
    #[serde(rename = "serverIPAddress", skip_serializing_if = "Option::is_none")]
    pub(super) server_ip_address: Option<String>,
    /// Port of the client.
    pub(super) connection: String,
    #[serde(flatten)]
    pub(super) own: Own,
}

#[derive(Debug, Serialize)]
pub(super) struct Own {
    #[serde(rename = "_id")]
    pub(super) id: u64,
    #[serde(rename = "_listener")]
    pub(super) listener: String,
    #[serde(rename = "_client")]
    pub(super) client: String,
    #[serde(rename = "_generation")]
    pub(super) generation: u64,
    #[serde(rename = "_error", skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// `upstream`, `addon` or `core`.
    #[serde(rename = "_source", skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<&'static str>,
    #[serde(rename = "_addon", skip_serializing_if = "Option::is_none")]
    pub(super) addon: Option<String>,
    #[serde(rename = "_upstream", skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<Upstream>,
    #[serde(rename = "_tunnel", skip_serializing_if = "Option::is_none")]
    pub(super) tunnel: Option<Tunnel>,
    #[serde(rename = "_mutations", skip_serializing_if = "Vec::is_empty")]
    pub(super) mutations: Vec<Value>,
}

/// What was sent upstream, where it differs from what the client sent.
#[derive(Debug, Serialize)]
pub(super) struct Upstream {
    pub(super) method: String,
    pub(super) url: String,
}

/// Bytes after an upgrade.
#[derive(Debug, Serialize)]
pub(super) struct Tunnel {
    pub(super) sent: u64,
    pub(super) received: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) http_version: &'static str,
    pub(super) cookies: Vec<Cookie>,
    pub(super) headers: Vec<Pair>,
    pub(super) query_string: Vec<Pair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) post_data: Option<PostData>,
    pub(super) headers_size: i64,
    pub(super) body_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    /// 0 if none was sent.
    pub(super) status: u16,
    pub(super) status_text: String,
    pub(super) http_version: &'static str,
    pub(super) cookies: Vec<Cookie>,
    pub(super) headers: Vec<Pair>,
    pub(super) content: Content,
    #[serde(rename = "redirectURL")]
    pub(super) redirect_url: String,
    pub(super) headers_size: i64,
    pub(super) body_size: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct Cache {}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Timings {
    pub(super) blocked: f64,
    pub(super) dns: f64,
    pub(super) connect: f64,
    pub(super) send: f64,
    pub(super) wait: f64,
    pub(super) receive: f64,
    pub(super) ssl: f64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cookie {
    pub(super) name: String,
    pub(super) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secure: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostData {
    pub(super) mime_type: String,
    /// Of a form, beside its text as browsers write both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) params: Option<Vec<Pair>>,
    pub(super) text: String,
    #[serde(rename = "_encoding", skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    pub(super) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compression: Option<i64>,
    pub(super) mime_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}
