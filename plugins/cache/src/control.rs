//! Cache-Control (RFC 9111, 5.2).

use std::time::Duration;

use tollgate_sdk::Header;

use crate::fields;

/// The directives of a message, names in lower case, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Directives(Vec<(String, Option<String>)>);

/// Seconds that stand for any number beyond them (RFC 9111, 1.2.2).
const MOST: u64 = 1 << 31;

impl Directives {
    /// Those of these fields.
    pub(crate) fn of(headers: &[Header]) -> Self {
        let mut directives = Vec::new();
        for value in fields::values(headers, "cache-control") {
            for item in fields::items(&String::from_utf8_lossy(value)) {
                let (name, argument) = item.split_once('=').map_or((item, None), |(name, value)| (name, Some(value)));
                directives.push((name.trim().to_ascii_lowercase(), argument.map(|value| unquoted(value.trim()))));
            }
        }
        Self(directives)
    }

    /// Those of a request: without any, `Pragma: no-cache` stands for `no-cache` (RFC 9111, 5.4).
    pub(crate) fn of_request(headers: &[Header]) -> Self {
        let directives = Self::of(headers);
        let says_pragma = || fields::values(headers, "pragma").any(|value| value.eq_ignore_ascii_case(b"no-cache"));
        if fields::has(headers, "cache-control") || !says_pragma() {
            return directives;
        }
        Self(vec![("no-cache".to_owned(), None)])
    }

    /// Whether this directive is there, with or without an argument.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The time that this directive names. Several that differ, and what is no number, count as no time at all, so that what they
    /// are about is stale (RFC 9111, 4.2.1).
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        let mut times = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_deref().and_then(seconds));
        let first = times.next()?;
        let is_one = times.all(|other| other == first);
        Some(first.filter(|_| is_one).unwrap_or_default())
    }

    /// The same for a directive whose argument may be missing: without, for ever.
    pub(crate) fn time_or_ever(&self, name: &str) -> Option<Duration> {
        let is_bare = self.0.iter().any(|(known, value)| known == name && value.is_none());
        if is_bare { Some(Duration::MAX) } else { self.time(name) }
    }
}

/// Delta-seconds (RFC 9111, 1.2.2).
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(MOST).min(MOST)))
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.map_or_else(|| text.to_owned(), |inner| inner.replace('\\', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Directives {
        Directives::of(&values.iter().map(|value| ("Cache-Control".to_owned(), value.as_bytes().to_vec())).collect::<Vec<_>>())
    }

    #[test]
    fn names_have_no_case_and_quotes_hide_commas() {
        let directives = of(&["MAX-AGE=\"5\" , Private=\"set-cookie, no-store\"", "foo"]);
        assert_eq!(directives.time("max-age"), Some(Duration::from_secs(5)));
        assert!(directives.has("private") && directives.has("foo") && !directives.has("no-store"));
    }

    #[test]
    fn times_that_are_none_are_over() {
        for (value, expected) in [
            ("max-age=60", 60),
            ("max-age=-1", 0),
            ("max-age=1.5", 0),
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=+1", 0),
            ("max-age=60, max-age=61", 0),
            ("max-age=60, max-age=60", 60),
            ("max-age=99999999999999999999", 1 << 31),
            ("max-age=2147483649", 1 << 31),
        ] {
            assert_eq!(of(&[value]).time("max-age"), Some(Duration::from_secs(expected)), "{value}");
        }
        assert_eq!(of(&["s-maxage=1"]).time("max-age"), None);
        assert_eq!(of(&["max-stale"]).time_or_ever("max-stale"), Some(Duration::MAX));
        assert_eq!(of(&["max-stale=3"]).time_or_ever("max-stale"), Some(Duration::from_secs(3)));
    }

    #[test]
    fn pragma_counts_only_alone() {
        let pragma = ("Pragma".to_owned(), b"no-cache".to_vec());
        assert!(Directives::of_request(std::slice::from_ref(&pragma)).has("no-cache"));
        let both = [pragma, ("Cache-Control".to_owned(), b"max-age=1".to_vec())];
        assert!(!Directives::of_request(&both).has("no-cache"));
    }
}
