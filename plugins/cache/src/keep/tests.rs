use std::time::SystemTime;

use super::*;
use crate::options::Options;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

fn headers(fields: &[(&str, &str)]) -> Vec<Header> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// What a response gets that has none.
const DATE: (&str, &str) = ("Date", "Thu, 01 Jan 1970 00:00:00 GMT");

fn kept_as(status: u16, fields: &[(&str, &str)], asker: &Asker, options: Options) -> Result<Entry, Why> {
    let times = Times { asked: SystemTime::UNIX_EPOCH, came: SystemTime::UNIX_EPOCH };
    entry(status, headers(fields), asker, times, &options.check().expect("options"))
}

fn kept(status: u16, fields: &[(&str, &str)]) -> Result<Entry, Why> {
    kept_as(status, fields, &Asker::Nobody, Options::default())
}

fn user() -> Asker {
    Asker::User([1; 32])
}

#[test]
fn statuses_are_kept_if_they_may() {
    for status in [200, 203, 204, 300, 301, 302, 307, 308, 400, 403, 404, 405, 410, 414, 500, 501, 503] {
        assert!(kept(status, &[FRESH]).is_ok(), "{status}");
    }
    for status in NEVER {
        assert!(kept(status, &[FRESH]).is_err(), "{status}");
    }
    assert_eq!(kept(503, &[]), Err(Why::Error));
    assert_eq!(kept(200, &[]), Err(Why::Response));
}

#[test]
fn fields_say_what_is_kept() {
    let etag = ("ETag", "\"a\"");
    for (fields, expected) in [
        (vec![FRESH], true),
        (vec![("cache-control", "MAX-AGE=60, foo")], true),
        (vec![("Expires", "Sun, 06 Nov 2044 08:49:37 GMT")], true),
        (vec![FRESH, ("Cache-Control", "no-store")], false),
        (vec![("Cache-Control", "max-age=60, no-store, must-understand")], false),
        (vec![("Cache-Control", "max-age=60, private")], false),
        (vec![("Cache-Control", "max-age=60, private=\"x-a\"")], false),
        (vec![("Cache-Control", "public")], false),
        // Of use only with something to ask the upstream about.
        (vec![("Cache-Control", "max-age=0")], false),
        (vec![("Cache-Control", "max-age=0"), etag], true),
        (vec![("Cache-Control", "max-age=0"), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")], true),
        (vec![("Cache-Control", "max-age=60, no-cache")], false),
        (vec![("Cache-Control", "max-age=60, no-cache"), etag], true),
        (vec![("Cache-Control", "max-age=0, stale-if-error=60")], true),
        (vec![FRESH, ("Vary", "*")], false),
        (vec![FRESH, ("Vary", "accept, *")], false),
        (vec![FRESH, ("Vary", "Accept, Accept-Encoding")], true),
        (vec![FRESH, ("Content-Range", "bytes 0-1/2")], false),
        (vec![FRESH, ("Content-Encoding", "gzip")], true),
        (vec![FRESH, ("Content-Encoding", "compress")], false),
        (vec![("Cache-Control", "max-age=60, no-transform"), ("Content-Encoding", "gzip")], false),
        (vec![("Cache-Control", "max-age=60, no-transform")], true),
        (vec![FRESH, ("Content-Type", "Text/Event-Stream")], false),
        (vec![FRESH, ("Content-Type", "[withheld]")], false),
    ] {
        assert_eq!(kept(200, &fields).is_ok(), expected, "{fields:?}");
    }
}

#[test]
fn cookies_are_never_kept() {
    let cookie = ("Set-Cookie", "id=1");
    let dropping = || Options { drop_set_cookie: true, ..Options::default() };
    let public = ("Cache-Control", "public, max-age=60");
    for mode in [Mode::Shared, Mode::Private] {
        assert!(kept_as(200, &[public, cookie], &user(), Options { mode, ..Options::default() }).is_err());
        assert!(kept_as(200, &[FRESH, cookie], &user(), Options { mode, ..dropping() }).is_err());
        let entry = kept_as(200, &[public, cookie], &user(), Options { mode, ..dropping() }).expect("an entry");
        assert!(!fields::has(&entry.headers, "set-cookie"));
    }
}

#[test]
fn private_responses_are_kept_for_their_user_alone() {
    let private = [("Cache-Control", "private, max-age=60, s-maxage=90")];
    let mode = |mode| Options { mode, ..Options::default() };
    assert!(kept_as(200, &private, &user(), mode(Mode::Shared)).is_err());
    assert!(kept_as(200, &private, &Asker::Nobody, mode(Mode::Private)).is_err());
    let entry = kept_as(200, &private, &user(), mode(Mode::Private)).expect("an entry");
    assert_eq!(entry.limits, Limits::default());
    assert_eq!(entry.time_left(SystemTime::UNIX_EPOCH), Duration::from_mins(1));
}

#[test]
fn three_directives_share_between_users() {
    for (value, expected) in [
        ("max-age=9", (false, false)),
        ("max-age=9, public", (true, false)),
        ("s-maxage=9", (true, true)),
        ("max-age=9, must-revalidate", (true, true)),
        ("max-age=9, proxy-revalidate", (false, true)),
    ] {
        let limits = kept(200, &[("Cache-Control", value)]).expect("an entry").limits;
        assert_eq!((limits.is_shareable, limits.is_strict), expected, "{value}");
    }
    let private = Options { mode: Mode::Private, ..Options::default() };
    let entry = kept_as(200, &[("Cache-Control", "public, max-age=9, s-maxage=9")], &user(), private);
    assert_eq!(entry.map(|entry| entry.limits), Ok(Limits::default()));
}

#[test]
fn fields_of_one_connection_or_user_are_dropped() {
    let fields =
        [FRESH, ("Content-Length", "3"), ("Age", "3"), ("Proxy-Authenticate", "x"), ("Authentication-Info", "x"), ("X-A", "1")];
    let entry = kept(200, &fields).expect("an entry");
    assert_eq!(entry.headers, headers(&[FRESH, ("X-A", "1"), DATE]));
}

#[test]
fn coded_bodies_have_weak_tags_and_no_digests() {
    let fields = [FRESH, ("Content-Encoding", "GZIP"), ("ETag", "\"a\""), ("Content-Digest", "x"), ("Digest", "x"), ("X-A", "1")];
    let entry = kept(200, &fields).expect("an entry");
    assert_eq!(entry.headers, headers(&[FRESH, ("ETag", "W/\"a\""), ("X-A", "1"), DATE]));
    assert_eq!(entry.etag.as_deref(), Some(&b"\"a\""[..]));
    let plain = kept(200, &[FRESH, ("ETag", "\"a\""), ("Digest", "x")]).expect("an entry");
    assert_eq!(plain.headers, headers(&[FRESH, ("ETag", "\"a\""), ("Digest", "x"), DATE]));
}

#[test]
fn vary_has_a_limit() {
    let names = |count: usize| (0..count).map(|index| format!("x-{index}")).collect::<Vec<_>>().join(",");
    for (count, expected) in [(15, true), (16, true), (17, false)] {
        assert_eq!(kept(200, &[FRESH, ("Vary", &names(count))]).is_ok(), expected, "{count}");
    }
    assert_eq!(vary(&headers(&[("Vary", "B, a"), ("vary", "b")])), Some(vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn fields_have_a_limit() {
    for (count, expected) in [(198, true), (199, true), (200, false)] {
        let fields = [&[FRESH][..], &vec![("X-A", "1"); count]].concat();
        assert_eq!(kept(200, &fields).is_ok(), expected, "{count}");
    }
    let own = FRESH.0.len() + FRESH.1.len() + "X-A".len();
    for (bytes, expected) in [(48 * 1024 - 1, true), (48 * 1024, true), (48 * 1024 + 1, false)] {
        assert_eq!(kept(200, &[FRESH, ("X-A", &"x".repeat(bytes - own))]).is_ok(), expected, "{bytes}");
    }
}
