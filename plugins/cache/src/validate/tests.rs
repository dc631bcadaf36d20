use std::time::{Duration, SystemTime};

use super::*;
use crate::options::Options;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

fn headers(fields: &[(&str, &str)]) -> Vec<Header> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn settings() -> Settings {
    Options::default().check().expect("options")
}

fn times(seconds: u64) -> Times {
    let came = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Times { asked: came, came }
}

fn kept(fields: &[(&str, &str)]) -> Entry {
    let fields = [&[("Cache-Control", "max-age=60")], fields].concat();
    keep::entry(200, headers(&fields), &Asker::Nobody, times(0), &settings()).expect("an entry")
}

fn renewed(kept: &Entry, fields: &[(&str, &str)]) -> Refreshed {
    refreshed(kept, &headers(fields), &Asker::Nobody, times(1000), &settings())
}

#[test]
fn clients_are_told_what_they_have() {
    let (tagged, weak) = (kept(&[("ETag", "\"a\""), ("Last-Modified", MODIFIED)]), kept(&[("ETag", "W/\"a\"")]));
    for (name, value, expected) in [
        ("If-None-Match", "\"a\"", true),
        ("If-None-Match", "W/\"a\"", true),
        ("If-None-Match", "\"b\", \"a\"", true),
        ("If-None-Match", "*", true),
        ("If-None-Match", "\"b\"", false),
        ("If-None-Match", "\"x,\\\"a\\\"\"", false),
        ("If-Modified-Since", MODIFIED, true),
        ("If-Modified-Since", LATER, true),
        ("If-Modified-Since", EARLIER, false),
        ("If-Modified-Since", "yesterday", false),
        ("Accept", "\"a\"", false),
    ] {
        assert_eq!(is_known(&headers(&[(name, value)]), &tagged), expected, "{name}: {value}");
    }
    // A tag goes before a date (RFC 9110, 13.1.3).
    assert!(!is_known(&headers(&[("If-None-Match", "\"b\""), ("If-Modified-Since", LATER)]), &tagged));
    assert!(is_known(&headers(&[("If-None-Match", "\"a\"")]), &weak));
    let mut missing = tagged;
    missing.status = 404;
    assert!(!is_known(&headers(&[("If-None-Match", "*")]), &missing));
}

#[test]
fn fields_of_a_304_replace_those_kept() {
    let kept = kept(&[("ETag", "\"a\""), ("X-A", "1"), ("X-A", "2"), ("X-B", "1"), ("Content-Type", "text/plain")]);
    let fields = [
        ("Cache-Control", "max-age=30"),
        ("ETag", "\"a\""),
        ("X-A", "3"),
        ("X-C", "4"),
        ("X-C", "5"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "0"),
        ("Age", "10"),
    ];
    let Refreshed { entry, is_kept, .. } = renewed(&kept, &fields);
    let values = |name| fields::values(&entry.headers, name).collect::<Vec<_>>();
    assert!(is_kept);
    assert_eq!(values("x-a"), [b"3"]);
    assert_eq!(values("x-b"), [b"1"]);
    assert_eq!(values("x-c"), [b"4", b"5"]);
    assert_eq!(values("content-type"), [b"text/plain"]);
    assert_eq!(values("etag"), [b"\"a\""]);
    for name in ["content-encoding", "content-length", "age"] {
        assert!(values(name).is_empty(), "{name}");
    }
    // Thirty seconds from now on, less the ten that it says; the old date is gone.
    let now = times(1000).came;
    assert_eq!((entry.time_left(now), entry.age(now)), (Duration::from_secs(20), Duration::from_secs(10)));
}

#[test]
fn what_a_304_is_not_about_is_not_kept() {
    let tagged = kept(&[("ETag", "\"a\""), ("Last-Modified", MODIFIED)]);
    let dated = kept(&[("Last-Modified", MODIFIED)]);
    assert!(renewed(&tagged, &[("ETag", "W/\"a\"")]).is_kept && renewed(&tagged, &[("Last-Modified", LATER)]).is_kept);
    let other = renewed(&tagged, &[("ETag", "\"b\"")]);
    assert_eq!((other.is_kept, other.entry), (false, tagged.clone()));
    assert!(renewed(&dated, &[("Last-Modified", MODIFIED)]).is_kept);
    assert!(!renewed(&dated, &[("Last-Modified", LATER)]).is_kept);
}

#[test]
fn a_304_can_forbid_what_was_allowed() {
    let kept = kept(&[("ETag", "\"a\"")]);
    for value in ["no-store", "private, max-age=60"] {
        let done = renewed(&kept, &[("Cache-Control", value)]);
        assert!(!done.is_kept && fields::first(&done.entry.headers, "cache-control") == Some(value.as_bytes()), "{value}");
    }
    let done = renewed(&kept, &[("Set-Cookie", "a=1")]);
    assert!(!done.is_kept && !fields::has(&done.entry.headers, "set-cookie"));
    assert_eq!(done.cookies, headers(&[("Set-Cookie", "a=1")]));
}

#[test]
fn coded_responses_keep_their_tag_for_the_upstream() {
    let kept = kept(&[("ETag", "\"a\""), ("Content-Encoding", "gzip")]);
    let done = renewed(&kept, &[("ETag", "\"a\"")]);
    assert_eq!((done.is_kept, done.entry.etag.as_deref()), (true, Some(&b"\"a\""[..])));
    assert_eq!(fields::first(&done.entry.headers, "etag"), Some(&b"W/\"a\""[..]));
}
