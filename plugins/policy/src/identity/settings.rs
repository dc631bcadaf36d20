//! Where to ask, and for how long an answer is good.

use std::{ops::RangeInclusive, time::Duration};

use tollgate_sdk::{
    OptionErrors,
    serde_json::{Map, Value},
};

use crate::managed::Fields;

/// The options about identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Scheme and authority, perhaps a path, without a slash at the end. None: the flow's upstream.
    pub(super) homeserver: Option<String>,
    /// For one question.
    pub(super) timeout: Duration,
    /// How long a known token is taken as known. None: asked about each time.
    pub(super) known: Option<Duration>,
    /// The same for tokens that the homeserver does not know.
    pub(super) unknown: Option<Duration>,
}

const TIMEOUTS: RangeInclusive<i64> = 1..=60_000;
/// A day: that long, somebody who was logged out elsewhere would still be known.
const TIMES: RangeInclusive<i64> = 0..=86_400_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            homeserver: None,
            timeout: Duration::from_secs(10),
            known: Some(Duration::from_mins(5)),
            unknown: Some(Duration::from_secs(30)),
        }
    }
}

impl Settings {
    /// Reads its fields of the policy document.
    pub(super) fn read(document: &Map<String, Value>, errors: &mut OptionErrors) -> Self {
        let mut settings = Self::default();
        let mut fields = Fields::of_document(document, errors);
        match fields.text("homeserverUrl").map(check_url) {
            None => {}
            Some(Ok(url)) => settings.homeserver = Some(url),
            Some(Err(message)) => fields.refuse("homeserverUrl", message),
        }
        let Some(mut fields) = fields.object("whoami") else { return settings };
        fields.refuse_others(&["timeoutMilliseconds", "cacheMilliseconds", "unknownCacheMilliseconds"]);
        if let Some(time) = fields.number("timeoutMilliseconds", &TIMEOUTS) {
            settings.timeout = milliseconds(time);
        }
        if let Some(time) = fields.number("cacheMilliseconds", &TIMES) {
            settings.known = Some(milliseconds(time)).filter(|time| !time.is_zero());
        }
        if let Some(time) = fields.number("unknownCacheMilliseconds", &TIMES) {
            settings.unknown = Some(milliseconds(time)).filter(|time| !time.is_zero());
        }
        settings
    }
}

fn milliseconds(time: i64) -> Duration {
    Duration::from_millis(time.unsigned_abs())
}

/// Rough: what else is wrong, the proxy tells when the URL is used.
fn check_url(url: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "must be a URL like https://matrix.example.org, without user name, query and fragment";
    let lower = url.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")).ok_or(EXPECTED)?;
    let authority = rest.split('/').next().unwrap_or_default();
    let is_legal = !authority.is_empty()
        && !authority.starts_with(':')
        && rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'?' | b'#' | b'\\'));
    if is_legal { Ok(url.trim_end_matches('/').to_owned()) } else { Err(EXPECTED) }
}

#[cfg(test)]
mod tests {
    use tollgate_sdk::serde_json::json;

    use super::*;

    fn read(document: &Value) -> Result<Settings, String> {
        let mut errors = OptionErrors::default();
        let settings = Settings::read(document.as_object().expect("an object"), &mut errors);
        errors.or_ok(settings).map_err(|errors| errors.to_string())
    }

    #[test]
    fn an_empty_document_has_the_defaults() {
        assert_eq!(read(&json!({})), Ok(Settings::default()));
        assert_eq!(read(&json!({"homeserverUrl": null, "whoami": {}})), Ok(Settings::default()));
    }

    #[test]
    fn urls_have_scheme_and_host() {
        for (url, expected) in [
            ("http://a", "http://a"),
            ("HTTPS://a:8448/", "HTTPS://a:8448"),
            ("http://[::1]:8008/base/", "http://[::1]:8008/base"),
        ] {
            assert_eq!(read(&json!({"homeserverUrl": url})).map(|settings| settings.homeserver), Ok(Some(expected.to_owned())));
        }
        for url in
            ["", "a", "ftp://a", "http://", "http:///a", "http://me:pw@a", "http://a?b", "http://a#b", "http://a b", "http://:1"]
        {
            let error = read(&json!({"homeserverUrl": url})).expect_err(url);
            assert!(error.starts_with("homeserverUrl: must be a URL"), "{error}");
            assert!(!error.contains("pw"), "{error}");
        }
        assert_eq!(read(&json!({"homeserverUrl": 1})), Err("homeserverUrl: must be a string, not a number".to_owned()));
    }

    #[test]
    fn times_are_in_their_ranges() {
        for (key, low, high) in [
            ("timeoutMilliseconds", 1, 60_000),
            ("cacheMilliseconds", 0, 86_400_000),
            ("unknownCacheMilliseconds", 0, 86_400_000),
        ] {
            for (value, is_legal) in [(low - 1, false), (low, true), (high, true), (high + 1, false)] {
                assert_eq!(read(&json!({"whoami": {key: value}})).is_ok(), is_legal, "{key} {value}");
            }
        }
        let error = read(&json!({"whoami": {"timeoutMilliseconds": 0, "cache": 1}})).expect_err("errors");
        assert_eq!(
            error,
            "whoami.cache: unknown field, expected one of timeoutMilliseconds, cacheMilliseconds, unknownCacheMilliseconds; \
             whoami.timeoutMilliseconds: must be a whole number from 1 to 60000, not 0"
        );
    }

    #[test]
    fn zero_keeps_nothing() {
        let settings = read(&json!({"whoami": {"cacheMilliseconds": 0, "unknownCacheMilliseconds": 0}})).expect("settings");
        assert_eq!((settings.known, settings.unknown), (None, None));
    }
}
