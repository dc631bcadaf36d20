use super::*;
use crate::options::Options;

/// Sunday, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;

fn at(offset: i64) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.checked_add_signed(offset).expect("a time")))
}

fn times(delay: u64) -> Times {
    let came = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    Times { asked: came - Duration::from_secs(delay), came }
}

fn headers(fields: &[(&str, String)]) -> Vec<Header> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn left(status: u16, fields: &[(&str, String)], options: Options) -> Option<u64> {
    let headers = headers(fields);
    let settings = Options { max_ttl: "365d".to_owned(), ..options }.check().expect("options");
    time_left(status, &headers, &Directives::of(&headers), times(0), &settings).map(|left| left.as_secs())
}

fn control(value: &str) -> (&'static str, String) {
    ("Cache-Control", value.to_owned())
}

#[test]
fn age_is_the_larger_of_what_is_said_and_seen() {
    for (date, age, delay, expected) in [
        (Some(0), None, 0, 0),
        (Some(-30), None, 0, 30),
        (Some(-30), Some("50"), 0, 50),
        (Some(-30), Some("10"), 0, 30),
        (Some(0), Some("10"), 7, 17),
        // Clocks ahead of ours make nothing younger.
        (Some(500), None, 0, 0),
        (Some(500), Some("10"), 0, 10),
        (None, Some("10, 20"), 0, 10),
        (None, Some("x"), 3, 3),
        (None, None, 0, 0),
    ] {
        let mut fields = Vec::new();
        fields.extend(date.map(|date| ("Date", at(date))));
        fields.extend(age.map(|age| ("Age", age.to_owned())));
        let age_is = initial_age(&headers(&fields), times(delay));
        assert_eq!(age_is.as_secs(), expected, "{date:?} {age:?} {delay}");
    }
}

#[test]
fn directives_go_before_expires() {
    let expires = |offset| ("Expires", at(offset));
    for (fields, shared, private) in [
        (vec![control("max-age=60")], Some(60), Some(60)),
        (vec![control("s-maxage=10, max-age=60")], Some(10), Some(60)),
        (vec![control("s-maxage=10")], Some(10), None),
        (vec![control("max-age=60"), expires(5)], Some(60), Some(60)),
        (vec![control("public"), expires(5)], Some(5), Some(5)),
        // 25 seconds from its date on, of which 20 are over.
        (vec![expires(5), ("Date", at(-20))], Some(5), Some(5)),
        // 15 seconds from a date on that is still to come.
        (vec![expires(25), ("Date", at(10))], Some(15), Some(15)),
        (vec![expires(-5)], Some(0), Some(0)),
        (vec![("Expires", "0".to_owned())], Some(0), Some(0)),
        (vec![("Expires", "-1".to_owned()), control("max-age=9")], Some(9), Some(9)),
        (vec![expires(5), expires(6)], Some(0), Some(0)),
        (vec![control("max-age=x"), expires(5)], Some(0), Some(0)),
        (vec![control("max-age=60"), ("Age", "20".to_owned())], Some(40), Some(40)),
        (vec![control("max-age=60"), ("Age", "70".to_owned())], Some(0), Some(0)),
        (vec![control("max-age=60"), ("Date", at(-45))], Some(15), Some(15)),
        (vec![], None, None),
    ] {
        assert_eq!(left(200, &fields, Options::default()), shared, "shared: {fields:?}");
        let private_mode = Options { mode: Mode::Private, ..Options::default() };
        assert_eq!(left(200, &fields, private_mode), private, "private: {fields:?}");
    }
}

#[test]
fn guesses_need_options_and_a_fitting_status() {
    let modified = || ("Last-Modified", at(-1000));
    let heuristics = || Options { heuristics: true, ..Options::default() };
    let default_ttl = || Options { default_ttl: Some("30s".to_owned()), ..Options::default() };
    assert_eq!(left(200, &[modified()], Options::default()), None);
    assert_eq!(left(200, &[modified()], heuristics()), Some(100));
    assert_eq!(left(200, &[], heuristics()), None);
    assert_eq!(left(200, &[], default_ttl()), Some(30));
    assert_eq!(left(404, &[], default_ttl()), Some(30));
    assert_eq!(left(200, &[modified()], Options { heuristics: true, ..default_ttl() }), Some(100));
    for status in [201, 302, 307, 400, 403, 500, 503] {
        assert_eq!(left(status, &[modified()], Options { heuristics: true, ..default_ttl() }), None, "{status}");
    }
    assert_eq!(left(302, &[control("public")], default_ttl()), Some(30));
    assert_eq!(left(200, &[control("max-age=5"), modified()], Options { heuristics: true, ..default_ttl() }), Some(5));
}

#[test]
fn nothing_is_fresh_for_longer_than_max_ttl() {
    let settings = Options { max_ttl: "1h".to_owned(), ..Options::default() }.check().expect("options");
    for (seconds, expected) in [(3599, 3599), (3600, 3600), (3601, 3600), (86400, 3600)] {
        let headers = headers(&[control(&format!("max-age={seconds}"))]);
        let left = time_left(200, &headers, &Directives::of(&headers), times(0), &settings);
        assert_eq!(left, Some(Duration::from_secs(expected)));
    }
    // What is left counts, not what there was.
    let old = headers(&[control("max-age=86400"), ("Age", "7200".to_owned())]);
    assert_eq!(time_left(200, &old, &Directives::of(&old), times(0), &settings), Some(Duration::from_hours(1)));
}
