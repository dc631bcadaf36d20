//! What somebody asks for who wants the lock.

use std::{ops::RangeInclusive, time::Duration};

use crate::json::Json;

/// A lock that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Options by name, each once, with the value for the time of the lock.
    pub options: Vec<(String, Json)>,
    /// Who asks, in their own words.
    pub owner: Option<String>,
    /// After which it unlocks itself.
    pub ttl: Option<Duration>,
}

/// Most characters of an owner.
const OWNER: usize = 200;
/// Seconds of a ttl; zero is none.
const TTL: RangeInclusive<f64> = 0.0..=86_400.0;

impl Request {
    /// Reads a body. `reset_id` is ignored, as by the original: clients do not choose it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its key.
    pub fn read(body: Json) -> Result<Self, String> {
        let Json::Object(members) = body else { return Err("the body must be an object of JSON".to_owned()) };
        let mut request = Self::default();
        for (key, value) in members {
            match (key.as_str(), value) {
                ("options", Json::Object(options)) => request.options = options,
                ("options", _) => return Err("options: must be an object, from names to values".to_owned()),
                ("owner", Json::Text(owner)) if owner.chars().count() <= OWNER => request.owner = Some(owner),
                ("owner", _) => return Err(format!("owner: must be a text of at most {OWNER} characters")),
                ("ttl", value) => request.ttl = Some(ttl(&value)?),
                ("reset_id", _) => {}
                (key, _) => return Err(format!("{key:?} is not known here: there are options, owner and ttl")),
            }
        }
        Ok(request)
    }
}

fn ttl(value: &Json) -> Result<Duration, String> {
    let seconds = match value {
        Json::Number(digits) => digits.parse::<f64>().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds| *seconds > *TTL.start() && *seconds <= *TTL.end());
    let ttl = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    ttl.ok_or_else(|| format!("ttl: must be seconds, more than 0 and at most {}", TTL.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    fn request(text: &str) -> Result<Request, String> {
        Request::read(read(text.as_bytes()).expect(text).json)
    }

    #[test]
    fn bodies_are_read() {
        assert_eq!(request("{}"), Ok(Request::default()));
        let read = request(r#"{"options": {"b": 1.10, "a": {}}, "owner": "ci", "ttl": 1.5, "reset_id": 5}"#).expect("a request");
        let options = [("b".to_owned(), Json::Number("1.10".into())), ("a".to_owned(), Json::Object(Vec::new()))];
        assert_eq!(read.options, options);
        assert_eq!((read.owner.as_deref(), read.ttl), (Some("ci"), Some(Duration::from_millis(1500))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, key) in [
            ("[]", "the body"),
            ("null", "the body"),
            (r#"{"options": null}"#, "options:"),
            (r#"{"options": []}"#, "options:"),
            (r#"{"options": {}, "owner": 5}"#, "owner:"),
            (r#"{"option": {}}"#, "\"option\""),
        ] {
            let error = request(text).expect_err(text);
            assert!(error.starts_with(key), "{text}: {error}");
        }
    }

    #[test]
    fn owners_have_a_length() {
        for (length, is_taken) in [(0, true), (199, true), (200, true), (201, false)] {
            // Characters, not bytes.
            let text = format!(r#"{{"owner": "{}"}}"#, "\u{e4}".repeat(length));
            assert_eq!(request(&text).is_ok(), is_taken, "{length}");
        }
    }

    #[test]
    fn times_to_live_have_bounds() {
        for (text, is_taken) in [
            ("0", false),
            ("-1", false),
            ("0.001", true),
            ("86399.9", true),
            ("86400", true),
            ("86400.1", false),
            ("1e400", false),
            ("\"5\"", false),
            ("null", false),
        ] {
            assert_eq!(request(&format!(r#"{{"ttl": {text}}}"#)).is_ok(), is_taken, "{text}");
        }
    }
}
