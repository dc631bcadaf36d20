use proptest::prelude::*;

use super::*;
use crate::options::Options;

fn settings() -> Settings {
    Options::default().check().expect("options")
}

fn headers(fields: &[(&str, &str)]) -> Vec<Header> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn variant_of(fields: &[(&str, &str)], vary: &[&str]) -> String {
    let vary: Vec<String> = vary.iter().map(|name| (*name).to_owned()).collect();
    variant("e", &Asker::Nobody, &headers(fields), &settings(), &vary)
}

#[test]
fn targets_differ_in_all_that_names_them() {
    let key = |scheme, authority, path, upstream| Target::new(scheme, authority, path, upstream).key(&settings());
    let first = key("http", "a.test", "/x?a=1&b=2", "http://u");
    assert_eq!(first, key("http", "A.Test:80", "/x?a=1&b=2", "http://u"));
    for other in [
        key("https", "a.test", "/x?a=1&b=2", "http://u"),
        key("http", "b.test", "/x?a=1&b=2", "http://u"),
        key("http", "a.test:443", "/x?a=1&b=2", "http://u"),
        key("http", "a.test", "/x?b=2&a=1", "http://u"),
        key("http", "a.test", "/X?a=1&b=2", "http://u"),
        key("http", "a.test", "/x?a=1&b=2", "http://v"),
        key("http", "a.test/x", "?a=1&b=2", "http://u"),
    ] {
        assert_ne!(first, other);
    }
    let private = Options { mode: Mode::Private, ..Options::default() }.check().expect("options");
    assert_ne!(first, Target::new("http", "a.test", "/x?a=1&b=2", "http://u").key(&private));
}

#[test]
fn variants_differ_in_fields_of_vary_alone() {
    let plain = variant_of(&[("Accept", "a")], &["accept"]);
    assert_eq!(plain, variant_of(&[("ACCEPT", "a"), ("Accept-Language", "de")], &["accept"]));
    for fields in [&[("Accept", "b")][..], &[], &[("Accept", "")], &[("Accept", "a"), ("Accept", "a")]] {
        assert_ne!(plain, variant_of(fields, &["accept"]), "{fields:?}");
    }
    let coded = |value| variant_of(&[("Accept-Encoding", value)], &["accept-encoding"]);
    assert_eq!(coded("gzip, br;q=0.5"), coded("br;q=0.5,GZIP"));
    assert_ne!(coded("gzip"), coded("br"));
}

#[test]
fn fields_that_poison_are_always_told_apart() {
    for name in ["X-Forwarded-Host", "x-original-url", "Origin", "X-HTTP-Method-Override", "X-Forwarded-Proto"] {
        assert_ne!(variant_of(&[], &[]), variant_of(&[(name, "evil.test")], &[]), "{name}");
    }
    assert_eq!(variant_of(&[], &[]), variant_of(&[("X-Forwarded-For", "192.0.2.1")], &[]));
    let forwarded = |value| variant_of(&[("Forwarded", value)], &[]);
    assert_eq!(forwarded("for=1;host=a;By=2"), forwarded("host=a"));
    assert_ne!(forwarded("for=1;host=a"), forwarded("for=1;host=b"));
}

#[test]
fn withheld_values_tell_nobody_apart() {
    assert!(is_withheld(&headers(&[("Authorization", "[withheld]")]), &settings(), &[]));
    assert!(is_withheld(&headers(&[("Accept", "[withheld]")]), &settings(), &["accept".to_owned()]));
    assert!(!is_withheld(&headers(&[("Accept", "[withheld]")]), &settings(), &[]));
}

fn credential() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![Just("Authorization"), Just("cookie"), Just("Proxy-Authorization"), Just("Accept")];
    prop::collection::vec((name.prop_map(str::to_owned), prop::collection::vec(0x20_u8..0x7f, 0..12)), 0..4)
}

/// What tells a user from others, written down another way than by hashing.
fn identity(headers: &[Header]) -> Vec<(String, Vec<Vec<u8>>)> {
    ["authorization", "cookie", "proxy-authorization"]
        .iter()
        .map(|name| ((*name).to_owned(), fields::values(headers, name).map(<[u8]>::to_vec).collect()))
        .collect()
}

proptest! {
    #[test]
    fn users_share_a_key_only_if_they_are_one(first in credential(), second in credential()) {
        let settings = settings();
        let key = |headers: &[Header]| variant("e", &user(headers, &settings, b"secret"), &[], &settings, &[]);
        prop_assert_eq!(key(&first) == key(&second), identity(&first) == identity(&second));
        let nobody = variant("e", &Asker::Nobody, &[], &settings, &[]);
        prop_assert_ne!(key(&first), nobody);
        prop_assert_ne!(user(&first, &settings, b"secret"), user(&first, &settings, b"another"));
    }
}
