//! The configuration as it is written, key for key. Whether the values make sense is checked elsewhere.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::policy::{RawOnError, RawQuarantine};

/// The whole document.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Raw {
    pub(super) plugins: Option<String>,
    pub(super) cache: Option<String>,
    pub(super) state: Option<String>,
    pub(super) state_bytes: Option<Scalar>,
    pub(super) state_timeout: Option<Scalar>,
    pub(super) state_password_file: Option<String>,
    pub(super) state_ca: Option<String>,
    pub(super) nameservers: Option<Vec<String>>,
    pub(super) admin: Option<RawAdmin>,
    pub(super) limits: RawLimits,
    pub(super) timeouts: RawTimeouts,
    pub(super) log: RawLog,
    pub(super) record: Option<RawRecord>,
    pub(super) dependency: Vec<RawDependency>,
    pub(super) listener: Vec<RawListener>,
    pub(super) options: serde_json::Map<String, serde_json::Value>,
    pub(super) addon: BTreeMap<String, RawAddon>,
}

/// `[admin]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawAdmin {
    pub(super) listen: Option<Scalar>,
    pub(super) token: Option<String>,
    pub(super) token_file: Option<String>,
    pub(super) recent_flows: Option<Scalar>,
    pub(super) controller_host: Option<String>,
}

/// `[limits]` and `[listener.limits]`; `instances`, `guest_stack`, `guest_memory` and `held_bodies` in the first only.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawLimits {
    pub(super) header_count: Option<Scalar>,
    pub(super) header_bytes: Option<Scalar>,
    pub(super) request_body: Option<Scalar>,
    pub(super) decode_ratio: Option<Scalar>,
    pub(super) connections: Option<Scalar>,
    pub(super) h2_streams: Option<Scalar>,
    pub(super) instances: Option<Scalar>,
    pub(super) guest_stack: Option<Scalar>,
    pub(super) guest_memory: Option<Scalar>,
    pub(super) held_bodies: Option<Scalar>,
}

/// `[timeouts]` and `[listener.timeouts]`; `grace` in the first only.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawTimeouts {
    pub(super) header_read: Option<Scalar>,
    pub(super) idle: Option<Scalar>,
    pub(super) body_idle: Option<Scalar>,
    pub(super) connect: Option<Scalar>,
    pub(super) response: Option<Scalar>,
    #[serde(alias = "total")]
    pub(super) flow: Option<Scalar>,
    pub(super) tunnel: Option<Scalar>,
    pub(super) grace: Option<Scalar>,
}

/// `[log]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawLog {
    pub(super) level: Option<String>,
    pub(super) format: Option<RawLogFormat>,
    pub(super) reset_after: Option<Scalar>,
}

/// `[[dependency]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table like { name = \"a\", url = \"https://a.example/health\" }")]
pub(super) struct RawDependency {
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    pub(super) status: Option<Scalar>,
    pub(super) timeout: Option<Scalar>,
    pub(super) cache: Option<Scalar>,
}

/// `[record]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawRecord {
    pub(super) file: Option<String>,
    pub(super) bodies: Option<Scalar>,
    pub(super) secrets: bool,
    pub(super) max_bytes: Option<Scalar>,
    pub(super) memory: Option<Scalar>,
}

/// `log.format`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawLogFormat {
    Text,
    Json,
}

/// `[[listener]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawListener {
    pub(super) name: Option<String>,
    pub(super) mode: Option<RawMode>,
    pub(super) bind: Option<Scalar>,
    pub(super) upstream: Option<String>,
    pub(super) upstreams: Vec<RawNamed>,
    pub(super) route: Vec<RawRoute>,
    pub(super) upstream_protocol: Option<RawProtocol>,
    pub(super) upstream_ca: Option<String>,
    pub(super) proxy: Option<String>,
    pub(super) proxy_password_file: Option<String>,
    pub(super) proxy_ca: Option<String>,
    pub(super) no_proxy: Option<Vec<String>>,
    pub(super) client_cert: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) client_cert_hosts: Option<Vec<String>>,
    pub(super) clients: Option<RawPeers>,
    pub(super) targets: Option<RawTargets>,
    pub(super) users: Option<BTreeMap<String, String>>,
    pub(super) users_file: Option<String>,
    pub(super) addons: Option<Vec<String>>,
    pub(super) preserve_host: bool,
    pub(super) rewrite: bool,
    pub(super) public_url: Option<String>,
    pub(super) trust_forwarded: Option<RawTrust>,
    pub(super) via: Option<String>,
    pub(super) half_close: bool,
    pub(super) tls: Option<RawTls>,
    pub(super) limits: RawLimits,
    pub(super) timeouts: RawTimeouts,
}

/// `[[listener.upstreams]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table like { name = \"a\", url = \"https://a.example\", host = [\"a.test\"] }"
)]
pub(super) struct RawNamed {
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    pub(super) header: bool,
    pub(super) token_sha256: Option<Vec<String>>,
    pub(super) host: Option<Vec<String>>,
    pub(super) path: Option<String>,
    pub(super) proxy: Option<String>,
    pub(super) proxy_password_file: Option<String>,
}

/// `[[listener.route]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table like { path = \"/a/{name}\", target = \"/b/{name}\" }")]
pub(super) struct RawRoute {
    pub(super) path: Option<String>,
    pub(super) host: Option<Vec<String>>,
    pub(super) method: Option<Vec<String>>,
    pub(super) filter: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) target: Option<String>,
    pub(super) answer: Option<RawAnswer>,
    pub(super) redirect: Option<RawRedirect>,
    pub(super) on_status: BTreeMap<String, RawAnswer>,
}

/// `answer` of a route, and what is in `on_status`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table like { status = 200, json = { a = \"b\" } }")]
pub(super) struct RawAnswer {
    pub(super) status: Option<Scalar>,
    pub(super) headers: BTreeMap<String, RawValues>,
    pub(super) body: Option<String>,
    pub(super) json: Option<serde_json::Value>,
}

/// `redirect` of a route.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table like { status = 302, location = \"https://a.example/{name}\" }")]
pub(super) struct RawRedirect {
    pub(super) status: Option<Scalar>,
    pub(super) location: Option<String>,
}

/// Values of a header field.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of strings")]
pub(super) enum RawValues {
    One(String),
    Several(Vec<String>),
}

/// `mode`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMode {
    Reverse,
    Forward,
}

/// `upstream_protocol`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawProtocol {
    Auto,
    Http1,
    H2,
}

/// `tls.mirror`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMirror {
    Off,
    Prefer,
    Require,
}

/// `trust_forwarded`: all or nobody, one network or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "must be true, false, \"loopback\" or an array of networks like \"10.0.0.0/8\"")]
pub(super) enum RawTrust {
    Everybody(bool),
    One(String),
    Several(Vec<String>),
}

/// `clients`: one network or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "must be \"any\", \"loopback\" or an array of networks like \"10.0.0.0/8\"")]
pub(super) enum RawPeers {
    One(String),
    Several(Vec<String>),
}

/// `targets`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table like { allow = [\"*\"], deny = [], connect_ports = [443] }")]
pub(super) struct RawTargets {
    pub(super) allow: Option<Vec<String>>,
    pub(super) deny: Option<Vec<String>>,
    pub(super) connect_ports: Option<RawPorts>,
}

/// `targets.connect_ports`: all of them, or some.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "must be \"any\" or an array of ports like [443]")]
pub(super) enum RawPorts {
    Word(String),
    Several(Vec<Scalar>),
}

/// `tls`.
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table like { cert = \"cert.pem\", key = \"key.pem\" } or { ca = \"ca.pem\", key = \"ca.key\" }"
)]
pub(super) struct RawTls {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) intercept: Option<Vec<String>>,
    pub(super) tunnel: Option<Vec<String>>,
    pub(super) certificates: Option<Scalar>,
    pub(super) mirror: Option<RawMirror>,
}

/// `[addon.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawAddon {
    pub(super) options: Option<serde_json::Value>,
    pub(super) options_file: Option<String>,
    pub(super) options_url: Option<String>,
    pub(super) options_token: Option<String>,
    pub(super) options_token_file: Option<String>,
    pub(super) options_interval: Option<Scalar>,
    pub(super) on_error: Option<RawOnError>,
    pub(super) error_status: Option<Scalar>,
    pub(super) error_body: Option<String>,
    pub(super) error_type: Option<String>,
    pub(super) quarantine: Option<RawQuarantine>,
    pub(super) cpu: Option<Scalar>,
    pub(super) cpu_per_mib: Option<Scalar>,
    pub(super) wall: Option<Scalar>,
    pub(super) memory: Option<Scalar>,
    pub(super) max_body: Option<Scalar>,
    pub(super) configure: Option<Scalar>,
    pub(super) table: Option<Scalar>,
    pub(super) handles: Option<Scalar>,
    pub(super) header_count: Option<Scalar>,
    pub(super) header_bytes: Option<Scalar>,
    pub(super) random: Option<Scalar>,
    pub(super) hostcall_bytes: Option<Scalar>,
    pub(super) log_lines: Option<Scalar>,
    pub(super) log_bytes: Option<Scalar>,
    pub(super) instances: Option<Scalar>,
    pub(super) instance: Option<String>,
    pub(super) events: Option<Vec<String>>,
    pub(super) edit: Option<bool>,
    pub(super) bodies: Option<bool>,
    pub(super) read_headers: Option<Vec<String>>,
    pub(super) write_headers: Option<Vec<String>>,
    pub(super) withhold_headers: Option<Vec<String>>,
    pub(super) http: Option<Vec<String>>,
    pub(super) upstreams: Option<Vec<String>>,
    pub(super) calls: Option<Scalar>,
    pub(super) outbox: Option<Vec<String>>,
    pub(super) outbox_messages: Option<Scalar>,
    pub(super) outbox_bytes: Option<Scalar>,
    pub(super) kv: Option<bool>,
    pub(super) dns: Option<bool>,
    pub(super) kv_bytes: Option<Scalar>,
    pub(super) kv_keys: Option<Scalar>,
}

/// A number, or a text that may be one with its unit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a number or a string")]
pub(super) enum Scalar {
    Number(i64),
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(out),
            Self::Text(text) => text.fmt(out),
        }
    }
}
