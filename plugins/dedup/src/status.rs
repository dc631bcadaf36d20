//! What of a status matters.

use std::{borrow::Cow, time::SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

/// An item of a timeline that can be judged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status<'a> {
    /// Of the entry: the boost's where it is one.
    pub(crate) id: Cow<'a, str>,
    /// Of the post: that of what is boosted.
    pub(crate) uri: Cow<'a, str>,
    /// When the post was edited last, in seconds since the Unix epoch; 0 if never.
    pub(crate) edited: u32,
    pub(crate) is_boost: bool,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    edited_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reblog: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Post<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    #[serde(borrow, default)]
    edited_at: Option<&'a RawValue>,
}

impl<'a> Status<'a> {
    /// Reads the JSON of one. None where it has no identity: no `id` or no `uri`, or not as text, or a key that is there
    /// twice.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        // Serde would read a struct from an array too, by position.
        if !json.trim_ascii_start().starts_with('{') {
            return None;
        }
        let entry: Entry<'a> = serde_json::from_str(json).ok()?;
        let boosted = entry.reblog.filter(|json| json.get() != "null");
        let (uri, edited_at) = match boosted {
            Some(json) if json.get().starts_with('{') => {
                let post: Post<'a> = serde_json::from_str(json.get()).ok()?;
                (post.uri, post.edited_at)
            }
            Some(_) => return None,
            None => (entry.uri?, entry.edited_at),
        };
        if entry.id.is_empty() || uri.is_empty() {
            return None;
        }
        Some(Self { id: entry.id, uri, edited: edited_at.map_or(0, seconds), is_boost: boosted.is_some() })
    }
}

/// What is no time in UTC counts as never.
fn seconds(json: &RawValue) -> u32 {
    let text: Option<Cow<'_, str>> = serde_json::from_str(json.get()).ok();
    let time = text.and_then(|text| humantime::parse_rfc3339(&text).ok());
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.and_then(|since| u32::try_from(since.as_secs()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boosts_are_known_by_what_they_boost() {
        let boost = r#"{"id": "2", "uri": "https://a.test/b", "edited_at": "2030-01-01T00:00:00Z",
            "reblog": {"id": "1", "uri": "https://a.test/1", "edited_at": "1970-01-01T00:01:00.500Z"}}"#;
        let boost = Status::parse(boost).expect("a boost");
        assert_eq!((&*boost.id, &*boost.uri, boost.edited, boost.is_boost), ("2", "https://a.test/1", 60, true));
        let post = Status::parse(r#"{"uri": "https:\/\/a.test\/1", "reblog": null, "edited_at": null, "id": "1"}"#);
        let post = post.expect("a post");
        assert_eq!((&*post.id, &*post.uri, post.edited, post.is_boost), ("1", "https://a.test/1", 0, false));
    }

    #[test]
    fn what_has_no_identity_is_no_status() {
        for json in [
            "null",
            "1",
            r#""a""#,
            "[]",
            r#"["1", "a", null, null]"#,
            "{}",
            r#"{"id": "1"}"#,
            r#"{"uri": "a"}"#,
            r#"{"id": 1, "uri": "a"}"#,
            r#"{"id": "1", "uri": 1}"#,
            r#"{"id": "1", "uri": null}"#,
            r#"{"id": "1", "uri": ""}"#,
            r#"{"id": "", "uri": "a"}"#,
            r#"{"id": "1", "uri": ["a"]}"#,
            r#"{"id": "1", "uri": "a", "uri": "b"}"#,
            r#"{"id": "1", "id": "2", "uri": "a"}"#,
            r#"{"id": "1", "uri": "a", "reblog": {}}"#,
            r#"{"id": "1", "uri": "a", "reblog": {"uri": 1}}"#,
            r#"{"id": "1", "uri": "a", "reblog": ["b"]}"#,
            r#"{"id": "1", "uri": "a", "reblog": true}"#,
            r#"{"id": "1", "uri": "a", "reblog": {"uri": "b"}, "reblog": null}"#,
        ] {
            assert_eq!(Status::parse(json), None, "{json}");
        }
    }

    #[test]
    fn times_that_are_none_count_as_never() {
        for (time, seconds) in [
            (r#""1970-01-01T00:00:09Z""#, 9),
            (r#""2106-02-07T06:28:15.999Z""#, u32::MAX),
            (r#""2106-02-07T06:28:16Z""#, 0),
            (r#""yesterday""#, 0),
            (r#""1970-01-01T00:00:09+02:00""#, 0),
            ("9", 0),
            ("{}", 0),
            ("null", 0),
        ] {
            let json = format!(r#"{{"id": "1", "uri": "a", "edited_at": {time}}}"#);
            assert_eq!(Status::parse(&json).map(|status| status.edited), Some(seconds), "{time}");
        }
    }
}
