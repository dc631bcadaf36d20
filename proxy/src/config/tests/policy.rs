//! What an addon's table says about failures.

use http::StatusCode;

use super::*;
use crate::hooks::{Event, FailurePolicy, QuarantineRule};

fn addon(text: &str) -> AddonConfig {
    load(&format!("{LISTENER}[addon.x]\n{text}")).unwrap_or_else(|errors| panic!("{text}: {errors}")).addon("x")
}

fn error(text: &str) -> String {
    only_error(&format!("{LISTENER}[addon.x]\n{text}"))
}

#[test]
fn failures_are_closed_unless_said() {
    let addon = addon("cpu = '1s'");
    assert_eq!((addon.policy, addon.quarantine), (FailurePolicy::default(), Some(QuarantineRule::default())));
    assert_eq!(Event::ALL.map(|event| AddonConfig::default().policy.on(event)), [OnError::Closed; 9]);
}

#[test]
fn one_word_holds_for_all_events() {
    for (word, expected) in
        [("closed", OnError::Closed), ("open", OnError::Open), ("retry", OnError::Retry), ("retry-open", OnError::RetryOpen)]
    {
        let policy = addon(&format!("on_error = '{word}'")).policy;
        assert_eq!(Event::ALL.map(|event| policy.on(event)), [expected; 9], "{word}");
    }
}

#[test]
fn each_event_has_its_word() {
    for event in Event::ALL {
        let policy = addon(&format!("on_error = {{ {event} = 'open' }}")).policy;
        let open: Vec<_> = Event::ALL.into_iter().filter(|event| policy.on(*event) == OnError::Open).collect();
        assert_eq!(open, [event]);
    }
    let policy = addon("[addon.x.on_error]\ndefault = 'open'\nresponse = 'retry'").policy;
    assert_eq!((policy.on(Event::Request), policy.on(Event::Response)), (OnError::Open, OnError::Retry));
}

#[test]
fn answers_can_be_ones_own() {
    let answer = addon("error_status = 451").policy.answer;
    assert_eq!((answer.status, answer.content), (StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, None));
    for (kind, expected) in
        [("", "application/json"), ("error_type = 'text/html; charset=\"utf-8\"'", "text/html; charset=\"utf-8\"")]
    {
        let (field, body) = addon(&format!("error_body = '<p>'\n{kind}")).policy.answer.content.expect("a content");
        assert_eq!((field.name_str(), field.value(), &*body), ("Content-Type", expected.as_bytes(), &b"<p>"[..]));
    }
}

#[test]
fn answers_have_limits() {
    let body = |length: usize| format!("error_body = '{}'", "x".repeat(length));
    assert!(addon(&body(64 << 10)).policy.answer.content.is_some());
    assert!(error(&body((64 << 10) + 1)).ends_with("must be a text of at most 64KiB, is one of 65537 bytes"));
    let kind = |length: usize| format!("error_body = ''\nerror_type = 'a/{}'", "x".repeat(length - 2));
    assert!(addon(&kind(255)).policy.answer.content.is_some());
    assert!(error(&kind(256)).contains("of at most 255 characters"));
}

#[test]
fn quarantine_can_be_off_or_otherwise() {
    assert_eq!(addon("quarantine = false").quarantine, None);
    assert_eq!(addon("quarantine = true").quarantine, Some(QuarantineRule::default()));
    assert_eq!(addon("quarantine = {}").quarantine, Some(QuarantineRule::default()));
    let rule = addon("quarantine = { failures = 3, within = '2s', share = 7, first = '3s', longest = '4s' }").quarantine;
    let (within, first, longest) = (Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(4));
    assert_eq!(rule, Some(QuarantineRule { failures: 3, within, share: 7, first, longest }));
    // What is not said gives way.
    let rule = addon("quarantine.first = '10m'").quarantine.expect("a rule");
    assert_eq!(rule.longest, Duration::from_mins(10));
}

#[test]
fn bounds_of_policies_hold_at_their_edges() {
    for (key, below, least, most, above) in [
        ("error_status", "399", "400", "599", "600"),
        ("quarantine.failures", "0", "1", "1000", "1001"),
        ("quarantine.within", "'999us'", "'1ms'", "'1h'", "'3601s'"),
        ("quarantine.share", "-1", "0", "100", "101"),
        ("quarantine.first", "'0s'", "'1ms'", "'1h'", "'3601s'"),
        ("quarantine.longest", "'999us'", "'1s'", "'1d'", "'86401s'"),
    ] {
        for good in [least, most] {
            addon(&format!("{key} = {good}"));
        }
        for bad in [below, above] {
            let error = errors(&format!("{LISTENER}[addon.x]\n{key} = {bad}"), vec![]).join("\n");
            assert!(error.starts_with(&format!("addon.x.{key} = ")) && error.contains(" from "), "{error}");
        }
    }
}

#[test]
fn faults_of_policies_are_named() {
    for (text, expected) in [
        (
            "on_error = 'opem'",
            "addon.x.on_error = \"opem\": must be \"closed\" or \"open\" or \"retry\" or \"retry-open\"; did you mean \"open\"?",
        ),
        (
            "on_error = 5",
            "addon.x.on_error = 5: must be \"closed\", \"open\", \"retry\", \"retry-open\" or a table of them by event",
        ),
        ("on_error = { respons = 'open' }", "addon.x.on_error.respons: unknown key; did you mean response?"),
        (
            "on_error = { finish = 'no' }",
            "addon.x.on_error.finish = \"no\": must be \"closed\" or \"open\" or \"retry\" or \"retry-open\"",
        ),
        ("error_type = 'text/plain'", "addon.x.error_type = \"text/plain\": needs addon.x.error_body, whose type it is"),
        (
            "error_body = ''\nerror_type = 'text'",
            "addon.x.error_type = \"text\": must be a media type like \"text/plain; charset=utf-8\", of at most 255 characters",
        ),
        (
            "error_body = ''\nerror_type = \"a/b\\r\\nX: y\"",
            "addon.x.error_type = \"a/b\\r\\nX: y\": must be a media type like \"text/plain; charset=utf-8\", of at most 255 characters",
        ),
        ("quarantine = 'no'", "addon.x.quarantine = \"no\": must be true, false or a table"),
        ("quarantine = { failure = 1 }", "addon.x.quarantine.failure: unknown key; did you mean failures?"),
        (
            "quarantine = { first = '2m', longest = '1m' }",
            "addon.x.quarantine.longest = \"1m\": must not be shorter than addon.x.quarantine.first (2m)",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}
