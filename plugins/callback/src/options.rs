//! The options, read and checked.

use std::{ops::RangeInclusive, time::Duration};

use serde::Deserialize;
use tollgate_sdk::OptionErrors;
use url::{ParseError, Url};

use crate::{plan::closes_too_many, send_error::SendError};

/// The options as written; README.md says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Asked about requests; empty: nobody is.
    pub callback_request_url: String,
    /// Asked about responses; empty: nobody is.
    pub callback_response_url: String,
    /// Which flows; nothing or blank: all.
    pub filter: Option<String>,
    /// What becomes of a flow whose callback fails.
    pub on_callback_error: OnCallbackError,
    /// For a callback in all, in seconds.
    pub timeout: f64,
    /// Whether header fields are shown, too.
    pub callback_headers: bool,
    /// Errors without any server.
    pub send_error: Option<SendError>,
}

/// What becomes of a flow whose callback fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum OnCallbackError {
    /// It goes on unchanged.
    #[default]
    Pass,
    /// The client is answered 502.
    Fail,
}

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Empty: none.
    pub(crate) request_url: String,
    /// Empty: none.
    pub(crate) response_url: String,
    /// Empty: every flow.
    pub(crate) filter: String,
    pub(crate) on_error: OnCallbackError,
    pub(crate) timeout: Duration,
    pub(crate) shows_headers: bool,
    pub(crate) send_error: Option<SendError>,
}

/// Seconds of `timeout`: a hook has 60 of them by default, as its `wall`.
const TIMEOUT: RangeInclusive<f64> = 0.001..=50.0;
/// For the callback and the delay after it, in one hook.
const IN_ALL: Duration = Duration::from_secs(55);
const PORT: &str = "must have a port from 1 to 65535, or none";
pub(crate) const STATUS: RangeInclusive<u16> = 200..=599;

impl Default for Options {
    fn default() -> Self {
        Self {
            callback_request_url: String::new(),
            callback_response_url: String::new(),
            filter: None,
            on_callback_error: OnCallbackError::default(),
            timeout: 10.0,
            callback_headers: false,
            send_error: None,
        }
    }
}

impl Options {
    /// What they mean, or all that is wrong with them. Filters are the proxy's to read.
    pub(crate) fn check(self) -> Result<Settings, OptionErrors> {
        let mut errors = OptionErrors::default();
        let urls = [("callback_request_url", &self.callback_request_url), ("callback_response_url", &self.callback_response_url)];
        for (key, url) in urls {
            if let Err(error) = check_url(url) {
                errors.push(key, error);
            }
        }
        if !TIMEOUT.contains(&self.timeout) {
            let (least, most) = (TIMEOUT.start(), TIMEOUT.end());
            let hint = "for more, the addon's `wall` would be too short";
            errors.push("timeout", format!("is {}, must be {least} to {most} seconds: {hint}", self.timeout));
        }
        if let Some(error) = &self.send_error
            && !STATUS.contains(&error.status)
        {
            let (least, most) = (STATUS.start(), STATUS.end());
            errors.push("send_error.status", format!("is {}, must be {least} to {most}", error.status));
        }
        if self.filter.as_deref().is_some_and(closes_too_many) {
            errors.push("filter", "has a closing parenthesis without an opening one");
        }
        errors.or_ok(())?;
        Ok(Settings {
            request_url: self.callback_request_url,
            response_url: self.callback_response_url,
            filter: self.filter.unwrap_or_default(),
            on_error: self.on_callback_error,
            timeout: Duration::from_secs_f64(self.timeout),
            shows_headers: self.callback_headers,
            send_error: self.send_error,
        })
    }
}

impl Settings {
    /// What an answer may say of `delay_ms`.
    pub(crate) const fn longest_delay(&self) -> Duration {
        IN_ALL.saturating_sub(self.timeout)
    }
}

/// Never quotes the URL: it may hold a password.
fn check_url(url: &str) -> Result<(), &'static str> {
    if url.is_empty() {
        return Ok(());
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or("must be a URL that starts with http:// or https://, or empty")?;
    // These a reader of URLs would take away.
    if url.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("must have no white space and no control characters");
    }
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must have no user name and password");
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err("must name a host");
    }
    // As the proxy reads it when it is asked.
    match Url::parse(url) {
        Ok(url) if url.port() == Some(0) => Err(PORT),
        Ok(_) => Ok(()),
        Err(ParseError::InvalidPort) => Err(PORT),
        Err(ParseError::InvalidIpv6Address) => Err("must name a host: in brackets is no IPv6 address"),
        Err(ParseError::InvalidIpv4Address) => Err("must name a host: this is no IPv4 address"),
        Err(_) => Err("must name a host: this one has characters that no host has, or none"),
    }
}
