//! The options, read and checked.

use std::{ops::RangeInclusive, time::Duration};

use serde::Deserialize;
use tollgate_sdk::{Event, OptionErrors, Subscription, serde_json::Value};

use crate::{
    kept::Kept,
    list::List,
    refresh::Source,
    refusal::Texts,
    routes::{INBOUND_FILTER, SIGNED_FILTER, Side, USERS_FILTER},
    server_name::{Host, ServerName},
};

/// The options as written; README.md says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "the document has them")]
pub struct Options {
    /// Listeners in front of the homeserver.
    pub inbound: Vec<String>,
    /// Listeners behind it.
    pub outbound: Vec<String>,
    /// Whether anything is refused.
    pub enforce: bool,
    /// Where the list comes from.
    pub url: String,
    /// The query's parameter for the version of the list that is there.
    pub version_parameter: String,
    /// Between two times that the list is asked for.
    pub interval: String,
    /// For one time.
    pub timeout: String,
    /// The list itself.
    pub list: Option<Value>,
    /// The homeserver's own name.
    pub server_name: String,
    /// Whether signatures are checked, inbound.
    pub verify_signatures: bool,
    /// Whether the real target is checked.
    pub check_target: bool,
    /// Whether targets may be reached without TLS.
    pub allow_http: bool,
    /// Paths that go out unchecked.
    pub unchecked_paths: Vec<String>,
    /// Hosts to which all goes out unchecked.
    pub unchecked_hosts: Vec<String>,
    /// What refusals say.
    pub texts: Texts,
}

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    inbound: Vec<String>,
    outbound: Vec<String>,
    pub(crate) supply: Supply,
    pub(crate) server_name: Option<ServerName>,
    /// The homeserver's own name as it was written, where signatures are checked.
    pub(crate) verifies: Option<String>,
    pub(crate) checks_targets: bool,
    pub(crate) allows_http: bool,
    pub(crate) unchecked_paths: Vec<String>,
    pub(crate) unchecked_hosts: Vec<Host>,
    pub(crate) texts: Texts,
}

/// Where the list is.
#[derive(Debug)]
pub(crate) enum Supply {
    /// In the options.
    Fixed(List),
    /// At a registration service, and in the store.
    Service(Source),
}

/// Of `interval`.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// Of `timeout`: a hook has a minute.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(45);
const MAX_ENTRIES: usize = 100;

impl Default for Options {
    fn default() -> Self {
        Self {
            inbound: Vec::new(),
            outbound: Vec::new(),
            enforce: true,
            url: String::new(),
            version_parameter: "version".to_owned(),
            interval: "1m".to_owned(),
            timeout: "30s".to_owned(),
            list: None,
            server_name: String::new(),
            verify_signatures: false,
            check_target: true,
            allow_http: false,
            unchecked_paths: vec!["/_matrix/push/".to_owned(), "/recaptcha/api/siteverify".to_owned()],
            unchecked_hosts: Vec::new(),
            texts: Texts::default(),
        }
    }
}

impl Options {
    /// What they mean, or all that is wrong with them. None where nothing is to be checked.
    pub(crate) fn check(self) -> Result<Option<Settings>, OptionErrors> {
        let mut errors = OptionErrors::default();
        for (name, listeners) in [("inbound", &self.inbound), ("outbound", &self.outbound)] {
            check_listeners(&mut errors, name, listeners, &self.inbound);
        }
        let interval = duration(&mut errors, "interval", &self.interval, &INTERVAL);
        let timeout = duration(&mut errors, "timeout", &self.timeout, &TIMEOUT);
        if !self.version_parameter.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            errors.push("version_parameter", "must be letters, digits, \"-\", \"_\" and \".\"");
        }
        if !(self.url.is_empty() || self.url.starts_with("https://") || self.url.starts_with("http://")) || self.url.contains('#')
        {
            // It may hold a password.
            errors.push("url", "must be a URL that starts with https:// or http://, without fragment");
        }
        let server_name = (!self.server_name.is_empty()).then(|| ServerName::parse(&self.server_name));
        if server_name == Some(None) {
            errors.push("server_name", format!("{:?} is no server name", self.server_name));
        }
        if self.verify_signatures && self.server_name.is_empty() {
            errors.push("server_name", "must be set where \"verify_signatures\" is: signatures name it");
        }
        let has_listeners = !(self.inbound.is_empty() && self.outbound.is_empty());
        let supply = match (self.list, self.url.is_empty()) {
            (Some(_), false) => {
                errors.push("list", "must not be set where \"url\" is");
                None
            }
            (Some(list), true) => List::of(list).map(Supply::Fixed).map_err(|error| errors.push("list", error)).ok(),
            (None, false) => {
                let kept = Kept::new(&self.url);
                let (interval, timeout) = (interval.unwrap_or_default(), timeout.unwrap_or_default());
                let (url, version_parameter) = (self.url, self.version_parameter);
                Some(Supply::Service(Source { url, version_parameter, interval, timeout, kept }))
            }
            (None, true) => {
                if has_listeners && self.enforce {
                    errors.push("url", "must be set, or \"list\", where there are listeners to check");
                }
                None
            }
        };
        for (index, path) in self.unchecked_paths.iter().enumerate() {
            if !path.starts_with('/') || path == "/" || path.contains(['%', '?']) || path.contains("//") || path.contains("/.") {
                let error = "must be a path like \"/_matrix/push/\", without escapes; with a slash at the end it is all below";
                errors.push(format!("unchecked_paths[{index}]"), format!("{path:?} {error}"));
            }
        }
        let mut unchecked_hosts = Vec::new();
        for (index, host) in self.unchecked_hosts.iter().enumerate() {
            match ServerName::parse(host) {
                Some(name) if name.port().is_none() => unchecked_hosts.push(name.host().clone()),
                _ => errors.push(format!("unchecked_hosts[{index}]"), format!("{host:?} is no host like \"sso.example.org\"")),
            }
        }
        for (name, count) in [("unchecked_paths", self.unchecked_paths.len()), ("unchecked_hosts", self.unchecked_hosts.len())] {
            if count > MAX_ENTRIES {
                errors.push(name, format!("has {count} entries, at most {MAX_ENTRIES}"));
            }
        }
        if let Some(name) = self.texts.empty() {
            errors.push(format!("texts.{name}"), "must not be empty");
        }
        errors.or_ok(())?;
        let Some(supply) = supply.filter(|_| self.enforce && has_listeners) else { return Ok(None) };
        Ok(Some(Settings {
            inbound: self.inbound,
            outbound: self.outbound,
            supply,
            server_name: server_name.flatten(),
            verifies: self.verify_signatures.then_some(self.server_name),
            checks_targets: self.check_target,
            allows_http: self.allow_http,
            unchecked_paths: self.unchecked_paths,
            unchecked_hosts,
            texts: self.texts,
        }))
    }
}

impl Settings {
    /// None where the listener is not one of those that are checked.
    pub(crate) fn side(&self, listener: &str) -> Option<Side> {
        let has = |listeners: &[String]| listeners.iter().any(|name| name == listener);
        if has(&self.outbound) { Some(Side::Outbound) } else { has(&self.inbound).then_some(Side::Inbound) }
    }

    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let mut subscriptions = Vec::new();
        let is_kept = matches!(self.supply, Supply::Service(_));
        let filters = [(&self.inbound, format!(" & {INBOUND_FILTER}")), (&self.outbound, String::new())];
        for (listeners, paths) in filters.into_iter().filter(|(listeners, _)| !listeners.is_empty()) {
            let listeners: Vec<_> = listeners.iter().map(|name| format!("~l '{name}'")).collect();
            let listeners = listeners.join(" | ");
            let seen = format!("({listeners}){paths}");
            subscriptions.push(Subscription::to(Event::Request).filter(&seen));
            // A signature is of the body, too.
            let is_verified = self.verifies.is_some() && !paths.is_empty();
            let bodies = if is_verified { SIGNED_FILTER } else { USERS_FILTER };
            subscriptions.push(Subscription::to(Event::Request).filter(format!("({listeners}) & {bodies}")).with_body());
            if is_kept {
                subscriptions.push(Subscription::to(Event::Finish).filter(seen));
            }
        }
        subscriptions
    }
}

fn check_listeners(errors: &mut OptionErrors, path: &str, listeners: &[String], inbound: &[String]) {
    if listeners.len() > MAX_ENTRIES {
        errors.push(path, format!("has {} listeners, at most {MAX_ENTRIES}", listeners.len()));
    }
    for (index, name) in listeners.iter().enumerate() {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte)) {
            errors.push(format!("{path}[{index}]"), format!("{name:?} is no name of a listener"));
        } else if path == "outbound" && inbound.contains(name) {
            errors.push(format!("{path}[{index}]"), format!("{name:?} is in \"inbound\", too"));
        }
    }
}

fn duration(errors: &mut OptionErrors, path: &str, text: &str, range: &RangeInclusive<Duration>) -> Option<Duration> {
    let parsed = humantime::parse_duration(text).ok();
    if !parsed.is_some_and(|parsed| range.contains(&parsed)) {
        let (start, end) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        errors.push(path, format!("is {text:?}, must be a duration from {start} to {end}"));
    }
    parsed
}
