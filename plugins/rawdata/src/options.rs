//! The options, read and checked.

use std::{fmt, time::Duration};

use serde::Deserialize;
use tollgate_sdk::{OptionErrors, http};

/// The options as written; the README says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where reports go.
    pub url: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// `profOID` of each report.
    pub profession_id: String,
    /// `tID` of each report.
    pub telematik_id: Option<String>,
    /// `M-Dom` of each report, and what is within the organisation.
    pub home_domain: Option<String>,
    /// Names of listeners that the homeserver sends through.
    pub outbound_listeners: Vec<String>,
    /// For one try.
    pub timeout_seconds: u64,
    /// How long a report is tried.
    pub lifetime_seconds: u64,
}

/// What reports go by.
pub(crate) struct Settings {
    url: String,
    token: Option<String>,
    timeout: Duration,
    pub(crate) profession_id: String,
    pub(crate) telematik_id: Option<String>,
    pub(crate) home_domain: Option<String>,
    pub(crate) outbound_listeners: Vec<String>,
    pub(crate) lifetime: Duration,
}

impl Options {
    /// What reports go by, or all that is wrong with the options; none where there is no URL.
    pub(crate) fn check(self) -> Result<Option<Settings>, OptionErrors> {
        let mut errors = OptionErrors::default();
        if self.url.as_deref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            errors.push("url", "must be an http:// or https:// URL");
        }
        if self.token.as_deref().is_some_and(|token| token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            errors.push("token", "must be a token: visible ASCII characters without spaces");
        }
        for (name, seconds, most) in
            [("timeout_seconds", self.timeout_seconds, 60), ("lifetime_seconds", self.lifetime_seconds, 86_400)]
        {
            if !(1..=most).contains(&seconds) {
                errors.push(name, format!("must be from 1 to {most}"));
            }
        }
        let settings = self.url.map(|url| Settings {
            url,
            token: self.token,
            timeout: Duration::from_secs(self.timeout_seconds),
            profession_id: self.profession_id,
            telematik_id: self.telematik_id,
            home_domain: self.home_domain,
            outbound_listeners: self.outbound_listeners,
            lifetime: Duration::from_secs(self.lifetime_seconds),
        });
        errors.or_ok(settings)
    }
}

impl Settings {
    /// A report without its content.
    pub(crate) fn letter(&self) -> http::Request {
        let letter = http::Request::post(&self.url).timeout(self.timeout);
        match &self.token {
            Some(token) => letter.bearer(token),
            None => letter,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            profession_id: String::new(),
            telematik_id: None,
            home_domain: None,
            outbound_listeners: Vec::new(),
            timeout_seconds: 10,
            lifetime_seconds: 3_600,
        }
    }
}

/// Without the token.
impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings").field("home_domain", &self.home_domain).finish_non_exhaustive()
    }
}
