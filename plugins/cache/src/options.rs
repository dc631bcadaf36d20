//! The options, read and checked.

use std::{fmt, ops::RangeInclusive, time::Duration};

use serde::Deserialize;
use tollgate_sdk::OptionErrors;

/// The options as written; README.md says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Which requests; nothing or blank: all with GET and HEAD.
    pub filter: Option<String>,
    /// For whom responses are kept.
    pub mode: Mode,
    /// Longest time that a response is fresh here.
    pub max_ttl: String,
    /// How long a response is fresh that does not say; null: it is not kept.
    pub default_ttl: Option<String>,
    /// Whether a response that does not say is fresh for a tenth of the time since Last-Modified.
    pub heuristics: bool,
    /// Largest body that is kept, in bytes.
    pub max_body: u64,
    /// How long a response that can be validated is kept beyond its freshness.
    pub keep_stale: String,
    /// How long beyond its freshness a response stands in for errors, if it does not say; null: it does not.
    pub stale_if_error: Option<String>,
    /// How long requests wait for another one that asks the same.
    pub lock_wait: String,
    /// Fields that tell users apart, besides Authorization, Proxy-Authorization and Cookie.
    pub credentials: Vec<String>,
    /// Fields by which responses are kept apart, whatever Vary says, besides those that README.md lists.
    pub keyed: Vec<String>,
    /// Whether public responses with Set-Cookie are kept, without it.
    pub drop_set_cookie: bool,
    /// The name of the cache in Cache-Status; null: there is none.
    pub status_header: Option<String>,
}

/// For whom responses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For all users: those to whom a response is not public have their own.
    #[default]
    Shared,
    /// For each user alone.
    Private,
}

/// The options, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) filter: String,
    pub(crate) mode: Mode,
    pub(crate) max_ttl: Duration,
    pub(crate) default_ttl: Option<Duration>,
    pub(crate) heuristics: bool,
    pub(crate) max_body: u64,
    pub(crate) keep_stale: Duration,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) lock_wait: Duration,
    /// In lower case, each once, in order.
    pub(crate) credentials: Vec<String>,
    /// In lower case, each once, in order.
    pub(crate) keyed: Vec<String>,
    pub(crate) drop_set_cookie: bool,
    pub(crate) status_header: Option<String>,
}

/// Of a value in the store, what is left beside the fields of a message.
pub(crate) const MOST_BODY: u64 = 960 * 1024;
/// A year, as it is told in errors.
const LONGEST: Duration = Duration::from_hours(8_766);
/// A hook has 60 s by default, as its `wall`.
const LOCK_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(50);
const MOST_NAMES: usize = 32;

/// What tells users apart.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// What upstreams are known to make links, redirects and permissions of, without telling so in Vary.
const KEYED: [&str; 17] = [
    "forwarded",
    "origin",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
];

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: None,
            mode: Mode::Shared,
            max_ttl: "1h".to_owned(),
            default_ttl: None,
            heuristics: false,
            max_body: MOST_BODY,
            keep_stale: "10m".to_owned(),
            stale_if_error: None,
            lock_wait: "5s".to_owned(),
            credentials: Vec::new(),
            keyed: Vec::new(),
            drop_set_cookie: false,
            status_header: Some("tollgate".to_owned()),
        }
    }
}

impl Options {
    /// What they mean, or all that is wrong with them. The filter is the proxy's to read.
    pub(crate) fn check(self) -> Result<Settings, OptionErrors> {
        let mut errors = OptionErrors::default();
        let positive = Duration::from_millis(1)..=LONGEST;
        let any = Duration::ZERO..=LONGEST;
        let max_ttl = span(&mut errors, "max_ttl", &self.max_ttl, &positive);
        let default_ttl = self.default_ttl.map(|text| span(&mut errors, "default_ttl", &text, &positive));
        let keep_stale = span(&mut errors, "keep_stale", &self.keep_stale, &any);
        let stale_if_error = self.stale_if_error.map(|text| span(&mut errors, "stale_if_error", &text, &any));
        let lock_wait = span(&mut errors, "lock_wait", &self.lock_wait, &LOCK_WAIT);
        if self.max_body > MOST_BODY {
            errors.push(
                "max_body",
                format!("is {}, must be 0 to {MOST_BODY} bytes: the store takes no larger values", self.max_body),
            );
        }
        let credentials = names(&mut errors, "credentials", &self.credentials, &CREDENTIALS);
        let keyed = names(&mut errors, "keyed", &self.keyed, &KEYED);
        if let Some(name) = &self.status_header
            && !is_token(name)
        {
            errors.push("status_header", format!("is {name:?}, must be a token (RFC 9110, 5.6.2), which starts with a letter"));
        }
        errors.or_ok(())?;
        Ok(Settings {
            filter: self.filter.filter(|filter| !filter.trim().is_empty()).unwrap_or_default(),
            mode: self.mode,
            max_ttl,
            default_ttl,
            heuristics: self.heuristics,
            max_body: self.max_body,
            keep_stale,
            stale_if_error,
            lock_wait,
            credentials,
            keyed,
            drop_set_cookie: self.drop_set_cookie,
            status_header: self.status_header,
        })
    }
}

/// A time as people write it: `90s`, `1h 30m`, `500ms`.
fn span(errors: &mut OptionErrors, path: &str, text: &str, range: &RangeInclusive<Duration>) -> Duration {
    let shown = |span: &Duration| humantime::format_duration(*span).to_string();
    // Only this zero has no unit.
    let parsed = if text == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(text) };
    let message: Box<dyn fmt::Display> = match parsed {
        Ok(span) if range.contains(&span) => return span,
        Ok(_) => Box::new(format!("is {text}, must be {} to {}", shown(range.start()), shown(range.end()))),
        Err(error) => Box::new(format!("is {text:?}, must be a time like 90s or 1h: {error}")),
    };
    errors.push(path, message.to_string());
    Duration::ZERO
}

/// These names of fields and those that are always there, in lower case, each once.
fn names(errors: &mut OptionErrors, path: &str, more: &[String], always: &[&str]) -> Vec<String> {
    if more.len() > MOST_NAMES {
        errors.push(path, format!("has {} names, at most {MOST_NAMES} are allowed", more.len()));
    }
    for (index, name) in more.iter().enumerate() {
        if !is_token(name) {
            errors.push(format!("{path}[{index}]"), format!("is {name:?}, must be the name of a field"));
        }
    }
    let mut names: Vec<String> = always.iter().map(|name| (*name).to_owned()).collect();
    names.extend(more.iter().map(|name| name.to_ascii_lowercase()));
    names.sort_unstable();
    names.dedup();
    names
}

/// A token that is one in structured fields, too (RFC 9651, 3.3.4).
fn is_token(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
