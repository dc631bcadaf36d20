//! Configuration: what a file, flags and environment variables say, checked as a whole.
//!
//! [`Sources::load`] merges the sources, reads the result into raw structs that refuse unknown keys, and checks every value.
//! All errors are collected, so that one run shows them all; a [`Config`] is only had when there is none.

mod addon;
mod address;
mod admin;
mod budgets;
mod check;
mod dependency;
mod errors;
mod expression;
mod files;
mod forward;
mod grants;
mod key;
pub(crate) mod limits;
mod listener;
mod nameservers;
mod peers;
mod policy;
mod proxy;
mod raw;
mod reader;
mod recording;
mod routes;
mod sources;
mod state;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod upstreams;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::StatusCode;

use crate::{
    addons,
    hooks::{FailurePolicy, QuarantineRule},
    http::{BearerToken, Origin},
    options::core::Options,
    routes::Routes,
    upstream::Upstreams,
};

pub(crate) use admin::level as log_level;
pub use errors::{ConfigError, ConfigErrors};
pub use forward::{Forward, Intercept, Mirroring, UserList};
pub use listener::ClientCert;
pub use peers::{Network, Peers};
pub use proxy::{Proxies, Proxy};
pub use sources::{Change, Override, Sources};
pub(crate) use suggest::nearest;
pub(crate) use units::{Count, Size, Span, Unit};

/// A checked configuration.
///
/// Paths that a file names are relative to that file's directory, those of flags and variables to the working directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `plugins`: directory of `*.wasm`, watched. Default `plugins`; only the default may be missing.
    pub plugins: PathBuf,
    /// `cache`: directory for compiled code, made when it is first needed. Default `$XDG_CACHE_HOME/tollgate`, else
    /// `~/.cache/tollgate`; none where neither variable is set, and then nothing is cached. Never a place that others can
    /// write to: what lies there is run.
    pub cache: Option<PathBuf>,
    /// `state` and what goes with it.
    pub state: State,
    /// `nameservers`: whom addons ask that are granted `dns`, as `192.0.2.1` or `[2001:db8::1]:5353`; 1 to 8. Default the system's.
    pub nameservers: Option<Vec<SocketAddr>>,
    /// `[admin]`: off unless the table or the flag is there.
    pub admin: Option<Admin>,
    /// `limits.instances`: instances of addons alive at once in the process. Default 2000, 1 to 100000.
    pub instances: usize,
    /// `limits.guest_stack`: bytes of stack that the code of an addon may use. Default 512KiB, 64KiB to 4MiB.
    pub guest_stack: usize,
    /// `limits.guest_memory`: bytes of linear memory that all instances of addons together may have. Default 4GiB, 1MiB to 1TiB.
    pub guest_memory: usize,
    /// `limits.held_bodies`: bytes of bodies that all flows together may hold for hooks. Default 512MiB, 64KiB to 1TiB.
    pub held_bodies: usize,
    /// `timeouts.grace`: how long flows may go on after SIGTERM. Default 30s, 0s to 1h.
    pub grace: Duration,
    /// `[log]`.
    pub log: Log,
    /// `[[dependency]]` in their order: at most 64, with unique names. None by default.
    pub dependencies: Vec<Dependency>,
    /// `[record]`: off unless the table or the flag is there.
    pub record: Option<Recording>,
    /// `[[listener]]` in their order, those of `--reverse` and `--forward` after those of the file. At least one; names and addresses are
    /// unique.
    pub listeners: Vec<Listener>,
    /// `[options]`: options of the core, which can change while it runs. By default none is set.
    pub options: Options,
    /// `[addon.NAME]` by name. An addon without such a table has the defaults: [`Config::addon`].
    pub addons: BTreeMap<String, AddonConfig>,
}

/// Where addons keep keys and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `state`: `"memory:"`, `"redb:FILE"`, `"redis://[USER@]HOST[:PORT][/DB]"` or `"rediss://…"`. Default a file of the user's.
    pub store: StateStore,
    /// `state_bytes`: how large the file may grow. Default 1GiB, 16MiB to 1TiB.
    pub bytes: u64,
    /// `state_timeout`: how long the store may take for one request. Default 2s, 10ms to 1m.
    pub timeout: Duration,
}

/// A kind of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateStore {
    /// Gone with the process.
    Memory,
    /// `$XDG_STATE_HOME/tollgate/state.redb`, else below `~/.local/state`: what holds if nothing is said, made when an addon may
    /// keep something. Where neither variable is set, it is memory instead.
    Default(PathBuf),
    /// A file of this process alone.
    File(PathBuf),
    /// A server for several proxies.
    Redis(Box<RedisServer>),
}

/// A Redis server.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// Name or address.
    pub host: Box<str>,
    /// Default 6379.
    pub port: u16,
    /// `rediss`: TLS is spoken.
    pub tls: bool,
    /// Default 0.
    pub database: u16,
    /// Default none, which is the server's default user.
    pub user: Option<Box<str>>,
    /// What `state_password_file` holds without white space around, else the variable `TOLLGATE_STATE_PASSWORD`: 1 to 1024 bytes.
    pub password: Option<Box<str>>,
    /// `state_ca`: PEM file of the only authorities that the server is verified against. Default: the system's.
    pub ca: Option<PathBuf>,
}

/// Where the admin listener is and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `listen`. Default `127.0.0.1:9900`; none with `"none"`: then `controller_host` is the only way.
    pub listen: Option<SocketAddr>,
    /// `controller_host`: a name, in lower case, under which the same pages are answered at `http://NAME/` through forward
    /// listeners, to whom these let in. Default none.
    pub controller_host: Option<Box<str>>,
    /// `token`, or what `token_file` holds without white space around: 8 to 1024 printable ASCII characters. Never none where
    /// `listen` is not a loopback address.
    pub token: Option<BearerToken>,
    /// `recent_flows`: flows that have ended and can still be asked for, with what addons did to them. Default 256, 0 to 10000.
    pub recent_flows: usize,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `level`: `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list like `info,tollgate::http1=debug`; a legal
    /// filter of tracing-subscriber. Default `info`.
    pub level: String,
    /// `format`. Default `text`.
    pub format: LogFormat,
    /// `reset_after`: how long a level holds that is set through the admin listener. Default 30m, 1s to 1d.
    pub reset_after: Duration,
}

/// What has to answer for the proxy to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// `name`: by which readiness tells of it, as that of a listener.
    pub name: Arc<str>,
    /// `url`: asked by GET; redirects are not followed. `http` or `https`.
    pub url: String,
    /// `status`: the one that is good, 200 to 599. Default any of 200 to 299.
    pub status: Option<StatusCode>,
    /// `timeout`: for all of an answer. Default 5s, 10ms to 1m.
    pub timeout: Duration,
    /// `cache`: how long an answer counts. Default 5s, 0s to 1h.
    pub cache: Duration,
}

/// Where flows are recorded, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// `file`: what it was not made for is never overwritten; a recording that is there is continued.
    pub file: PathBuf,
    /// `bodies`: bytes of each body that are recorded, as sent and as shown; none with 0. Default 256KiB, 0 to 64MiB.
    pub bodies: usize,
    /// `secrets`: record credentials, too. Default false: they are replaced.
    pub secrets: bool,
    /// `max_bytes`: bytes of the file; before it would become larger, it becomes `file` with `.1` behind its name, in place of the
    /// one before, and a new one is begun. Default 1GiB, 4KiB to 1TiB.
    pub max_bytes: u64,
    /// `memory`: bytes that flows may hold for the recording until they are written. Bodies for which there is no room are left
    /// out, and flows without room for their heads. Default 64MiB, 64KiB to 16GiB.
    pub memory: usize,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `name`: letters, digits, `.`, `_` and `-`. Those of `--reverse` and `--forward` are `reverse-PORT` and `forward-PORT`.
    pub name: Arc<str>,
    /// `bind`. Port 0 lets the system choose.
    pub bind: SocketAddr,
    /// `mode`: where requests go unless an addon chooses another upstream. Default `reverse`.
    pub mode: Mode,
    /// `[[listener.route]]` in their order, at most 256: requests that go elsewhere, or are answered here. None by default.
    pub routes: Routes,
    /// `upstream_protocol`. Default `auto`.
    pub upstream_protocol: UpstreamProtocol,
    /// `upstream_ca`: PEM file of the only authorities that `https` upstreams are verified against. Default: the system's.
    pub upstream_ca: Option<PathBuf>,
    /// `proxy` and what goes with it. Default: none.
    pub proxies: Proxies,
    /// `client_cert`, `client_key`, `client_cert_hosts`: who the proxy is to upstreams that ask for that. Default: nobody.
    pub client_cert: Option<ClientCert>,
    /// `addons`: names in the order of request events; while one is not in force, requests are refused unless its `on_error`
    /// for them is open. None: every loaded addon, by name.
    pub addons: Option<Vec<String>>,
    /// `preserve_host`: keep the client's Host instead of the upstream's. Default false.
    pub preserve_host: bool,
    /// `trust_forwarded`: peers whose X-Forwarded-* are kept and appended to; those of others are replaced. Default: nobody.
    pub trust_forwarded: Peers,
    /// `rewrite`: make fields that name the upstream's origin name the one that clients know, and the other way round: Location,
    /// Content-Location, Link, Set-Cookie, Access-Control-Allow-Origin, Origin and Referer. Default false.
    pub rewrite: bool,
    /// `public_url`: the origin that clients know, where `rewrite` is set. Default: what the request asked for, or what a trusted
    /// peer says of that.
    pub public_url: Option<Origin>,
    /// `via`: pseudonym for a Via field on requests and responses. Default none, and no such field is added.
    pub via: Option<String>,
    /// `half_close`: answer clients that have closed their sending side. Default false: that ends the flow, as a client that
    /// went away looks the same.
    pub half_close: bool,
    /// `tls`, where it has `cert`: speak TLS to clients. Default: cleartext.
    pub tls: Option<Tls>,
    /// `[listener.limits]` over `[limits]`.
    pub limits: Limits,
    /// `[listener.timeouts]` over `[timeouts]`.
    pub timeouts: Timeouts,
}

/// Where the requests of a listener go.
#[allow(clippy::large_enum_variant, reason = "one a listener, made when the configuration is read")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// `reverse`: to `upstream`, or to one of `[[listener.upstreams]]`.
    Reverse(Upstreams),
    /// `forward`: where they say.
    Forward(Forward),
}

/// Files of a TLS identity; readable when the configuration was loaded, and read again on reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `cert`: PEM file, the listener's certificate first.
    pub cert: PathBuf,
    /// `key`: PEM file.
    pub key: PathBuf,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UpstreamProtocol {
    /// `https`: HTTP/2 or HTTP/1.1 as ALPN finds. `http`: HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; to an `http` upstream with prior knowledge (h2c).
    Http2,
}

/// Limits of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `header_count`: fields of a head; over it requests get 431. Default 100, 1 to 1024.
    pub header_count: usize,
    /// `header_bytes`: bytes of a head, start line included; over it requests get 431. Default 64KiB, 1KiB to 1MiB.
    pub header_bytes: usize,
    /// `request_body`: bytes of a request body as sent; over it 413. Default `"unlimited"`; 0 allows no body.
    pub request_body: Option<u64>,
    /// `decode_ratio`: bytes that hooks are shown for each byte of a body with content codings; what grows more counts as over
    /// the cap of the subscription that wants it. 64 KiB are always shown. Default 200, 1 to 10000.
    pub decode_ratio: usize,
    /// `connections`: client connections at once; more wait to be accepted. Default 10000, 1 to 1000000.
    pub connections: usize,
    /// `h2_streams`: requests at once on one HTTP/2 connection of a client. Default 100, 1 to 10000.
    pub h2_streams: u32,
}

/// Timeouts of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// `header_read`: from the first byte of a request's head to its end, and for the TLS handshake before. Default 30s, 1ms
    /// to 1h.
    pub header_read: Duration,
    /// `idle`: how long a connection without a request is kept open. Default 60s, 1ms to 1d.
    pub idle: Duration,
    /// `body_idle`: longest wait for the client to send more of a request body or to take more of a response, and for either side
    /// to send more of a WebSocket message that hooks decide about. Default 60s, 1ms to 1d, or `"none"`.
    pub body_idle: Option<Duration>,
    /// `connect`: until a connection to the upstream stands, TLS included; over it 504. Default 10s, 1ms to 10m.
    pub connect: Duration,
    /// `response`: from the end of the request to the head of the upstream's response; over it 504. Default 120s, 1ms to 1d,
    /// or `"none"`.
    pub response: Option<Duration>,
    /// `flow`, or `total`: from the head of the request to the end of the response, tunnels excepted. Default `"none"`, else 1ms to 7d.
    pub flow: Option<Duration>,
    /// `tunnel`: longest silence in a tunnel of CONNECT. Default 1h, 1ms to 7d, or `"none"`.
    pub tunnel: Option<Duration>,
}

/// Settings of an addon.
#[derive(Debug, Clone, PartialEq)]
pub struct AddonConfig {
    /// What is handed to `configure` as JSON: `options`, or what `options_file` or `options_url` holds, at most 8 MiB. Default
    /// `{}`. May hold secrets: show keys, not values. `options_url` goes with `options_token` or `options_token_file`, 1 to 4096
    /// printable ASCII characters, and `options_interval`, default 1m, 1s to 1d.
    pub options: addons::OptionsSource,
    /// `options_token_file`; its content is in `options` already, and it is read again on reload.
    pub options_token_file: Option<PathBuf>,
    /// `on_error`: `closed`, `open`, `retry` or `retry-open`, for all events or by event. Default `closed`. Where it is closed,
    /// clients get `error_status`, default 503, 400 to 599, with `error_body`, at most 64 KiB, of the type `error_type`, default
    /// `application/json`; without a body of its own, the core's JSON.
    pub policy: FailurePolicy,
    /// `quarantine`: default [`QuarantineRule::default`]; none: never. `failures` is 1 to 1000, `within` and `first` 1ms to 1h,
    /// `share` 0 to 100, `longest` 1ms to 1d and not shorter than `first`.
    pub quarantine: Option<QuarantineRule>,
    /// Its budgets, each by the key of its name: `cpu` (1ms to 1m), `wall` (1ms to 1h), `configure` (1ms to 5m), `memory` (1MiB
    /// to 256MiB), `table` (0 to 20000), `handles` (2 to 10000), `max_body` (0 to 1GiB), `header_count` (1 to 1024),
    /// `header_bytes` (1KiB to 1MiB), `random` (0 to 16MiB), `hostcall_bytes` (4KiB to 1GiB), `log_lines` (0 to 100000),
    /// `log_bytes` (0 to 1GiB), `instances` (1 to 100000), `calls` (1 to 10000), `kv_bytes` (64KiB to 16GiB), `kv_keys` (1 to
    /// 100000000).
    pub limits: addons::Limits,
    /// What it may ask for and do, by the keys `events`, `edit`, `bodies`, `read_headers`, `write_headers` and
    /// `withhold_headers`, default everything; and by `http` what it may send requests of its own to, default nothing, and by `kv`
    /// whether it may keep keys and values, default not.
    pub grants: Arc<addons::Grants>,
}

impl Config {
    /// Settings of the addon of this name.
    #[must_use]
    pub fn addon(&self, name: &str) -> AddonConfig {
        self.addons.get(name).cloned().unwrap_or_default()
    }
}

impl std::fmt::Debug for RedisServer {
    /// Without the password.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "RedisServer({}:{}/{})", self.host, self.port, self.database)
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default(), reset_after: Duration::from_mins(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_count: 100,
            header_bytes: 64 << 10,
            request_body: None,
            decode_ratio: 200,
            connections: 10_000,
            h2_streams: 100,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            body_idle: Some(Duration::from_mins(1)),
            connect: Duration::from_secs(10),
            response: Some(Duration::from_mins(2)),
            flow: None,
            tunnel: Some(Duration::from_hours(1)),
        }
    }
}

impl Default for AddonConfig {
    fn default() -> Self {
        Self {
            options: addons::OptionsSource::None,
            options_token_file: None,
            policy: FailurePolicy::default(),
            quarantine: Some(QuarantineRule::default()),
            limits: addons::Limits::default(),
            grants: Arc::default(),
        }
    }
}
