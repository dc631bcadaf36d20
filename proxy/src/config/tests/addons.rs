//! `[addon.NAME]`: budgets and grants.

use super::*;

fn addon(text: &str) -> Result<AddonConfig, ConfigErrors> {
    load(&format!("{LISTENER}[addon.x]\n{text}")).map(|config| config.addon("x"))
}

#[test]
fn budgets_hold_at_their_edges() {
    for (key, below, least, most, above) in [
        ("cpu", "'999us'", "'1ms'", "'1m'", "'60001ms'"),
        ("cpu_per_mib", "-1", "'0ms'", "'10s'", "'10001ms'"),
        ("wall", "'999us'", "'1ms'", "'1h'", "'3601s'"),
        ("configure", "'999us'", "'1ms'", "'5m'", "'301s'"),
        ("memory", "1048575", "'1MiB'", "'256MiB'", "268435457"),
        ("table", "-1", "0", "20000", "20001"),
        ("handles", "1", "2", "10000", "10001"),
        ("max_body", "-1", "0", "'1GiB'", "1073741825"),
        ("header_count", "0", "1", "1024", "1025"),
        ("header_bytes", "1023", "1024", "'1MiB'", "1048577"),
        ("random", "-1", "0", "'16MiB'", "16777217"),
        ("hostcall_bytes", "4095", "'4KiB'", "'1GiB'", "1073741825"),
        ("log_lines", "-1", "0", "100000", "100001"),
        ("log_bytes", "-1", "0", "'1GiB'", "1073741825"),
        ("instances", "0", "1", "100000", "100001"),
        ("calls", "0", "1", "10000", "10001"),
        ("kv_bytes", "65535", "'64KiB'", "'16GiB'", "17179869185"),
        ("kv_keys", "0", "1", "100000000", "100000001"),
        ("outbox_messages", "0", "1", "100000", "100001"),
        ("outbox_bytes", "65535", "'64KiB'", "'1GiB'", "1073741825"),
    ] {
        for good in [least, most] {
            assert!(addon(&format!("{key} = {good}")).is_ok(), "{key} = {good}");
        }
        for bad in [below, above] {
            let error = only_error(&format!("{LISTENER}[addon.x]\n{key} = {bad}"));
            assert!(error.starts_with(&format!("addon.x.{key} = ")) && error.contains(" from "), "{error}");
        }
        for bad in ["true", "'soon'", "1.5"] {
            assert!(addon(&format!("{key} = {bad}")).is_err(), "{key} = {bad}");
        }
    }
}

#[test]
fn budgets_arrive_where_they_belong() {
    let text = "cpu = '1ms'\ncpu_per_mib = '18ms'\nwall = '2ms'\nconfigure = '3ms'\nmemory = '4MiB'\ntable = 5\nhandles = 6\nmax_body = 7\n\
        header_count = 8\nheader_bytes = '9KiB'\nrandom = 10\nhostcall_bytes = '11KiB'\nlog_lines = 12\nlog_bytes = 13\n\
        instances = 14\ninstance = 'shared'\ncalls = 15\nkv_bytes = '16MiB'\nkv_keys = 17\noutbox_messages = 18\n\
        outbox_bytes = '19MiB'\n";
    let expected = crate::addons::Limits {
        cpu: Duration::from_millis(1),
        cpu_per_mib: Duration::from_millis(18),
        wall: Duration::from_millis(2),
        configure: Duration::from_millis(3),
        memory: 4 << 20,
        table: 5,
        handles: 6,
        max_body: 7,
        header_count: 8,
        header_bytes: 9 << 10,
        random: 10,
        hostcall_bytes: Some(11 << 10),
        log_lines: 12,
        log_bytes: 13,
        instances: Some(14),
        instance: crate::addons::InstanceUse::Shared,
        calls: 15,
        kv: crate::kv::Quota { bytes: 16 << 20, keys: 17 },
        outbox: crate::outbound::Room { messages: 18, bytes: 19 << 20 },
    };
    assert_eq!(addon(text).map(|addon| addon.limits), Ok(expected));
    assert_eq!(addon("").map(|addon| addon.limits), Ok(crate::addons::Limits::default()));
}

#[test]
fn instances_are_for_one_flow_or_shared() {
    use crate::addons::InstanceUse::{Flow, Shared};
    for (text, expected) in [("", Flow), ("instance = 'flow'", Flow), ("instance = 'shared'", Shared)] {
        assert_eq!(addon(text).map(|addon| addon.limits.instance), Ok(expected), "{text}");
    }
    for bad in ["'pool'", "''", "1", "true"] {
        let error = only_error(&format!("{LISTENER}[addon.x]\ninstance = {bad}\n"));
        assert!(error.starts_with("addon.x.instance = "), "{error}");
    }
}

#[test]
fn grants_are_all_unless_said_otherwise() {
    let grants = addon("").expect("a configuration").grants;
    assert_eq!(*grants, crate::addons::Grants::default());
    assert!(grants.edit && grants.bodies && grants.may_read("authorization") && grants.write_headers.contains("x"));
    assert!(Event::ALL.into_iter().all(|event| grants.events.contains(event)));
    let text = "events = ['request', 'sse-event']\nedit = false\nbodies = false\nread_headers = ['X-*', 'cookie']\n\
        write_headers = []\nwithhold_headers = ['Cookie']";
    let grants = addon(text).expect("a configuration").grants;
    let events: Vec<_> = Event::ALL.into_iter().filter(|event| grants.events.contains(*event)).collect();
    assert_eq!((events.as_slice(), grants.edit, grants.bodies), (&[Event::Request, Event::SseEvent][..], false, false));
    assert!(grants.may_read("x-a") && !grants.may_read("cookie") && !grants.may_read("accept"));
    assert!(!grants.write_headers.contains("x-a"));
}

#[test]
fn wrong_grants_name_key_and_value() {
    for (text, expected) in [
        ("events = ['request', 'respons']", "addon.x.events.1 = \"respons\": must be an event; did you mean \"response\"?"),
        (
            "events = ['everything']",
            "addon.x.events.0 = \"everything\": must be an event: connect, request, request-chunk, response, response-chunk, \
             sse-event, websocket-message, upstream-error, finish",
        ),
        ("edit = 'no'", "addon.x.edit = \"no\": must be true or false"),
        ("bodies = 1", "addon.x.bodies = 1: must be true or false"),
        (
            "withhold_headers = ['cookie', 'a*b']",
            "addon.x.withhold_headers.1 = \"a*b\": must be the name of a header field, or the start of one and then \"*\"",
        ),
        ("read_headers = '*'", "addon.x.read_headers = \"*\": must be an array"),
    ] {
        assert_eq!(only_error(&format!("{LISTENER}[addon.x]\n{text}")), expected);
    }
}

#[test]
fn addons_can_be_looked_at_without_listeners() {
    let directory = directory("[addon.x]\nedit = false");
    assert!(sources(directory.path(), vec![]).load().is_err());
    assert!(sources(directory.path(), vec![]).load_addons().is_ok_and(|config| !config.addon("x").grants.edit));
    assert!(sources(directory.path(), vec![set("addon.x.cpu=1")]).load_addons().is_err());
}
