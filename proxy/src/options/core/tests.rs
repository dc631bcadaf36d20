use serde_json::json;

use super::*;
use crate::{
    filter::Seen,
    http::{Field, RequestHead, Scheme, Version},
};

fn with(changes: &Value) -> Result<Options, Vec<Refused>> {
    Options::default().with(changes.as_object().expect("an object"))
}

fn set(changes: &Value) -> Options {
    with(changes).expect("legal values")
}

/// Why a value is refused.
fn why(name: &str, value: &Value) -> String {
    let mut refused = with(&json!({ name: value })).expect_err("refused");
    assert_eq!(refused.len(), 1, "{name}");
    let refused = refused.remove(0);
    assert_eq!(refused.name, name);
    refused.why
}

#[test]
fn nothing_is_set_at_first() {
    let options = Options::default();
    assert!(options.is_default());
    for definition in Options::definitions() {
        let value = options.value(definition.name).expect("a value");
        match definition.kind {
            "bool" => assert_eq!(value, json!(false)),
            "sequence of str" => assert_eq!(value, json!([])),
            _ => assert_eq!(value, json!(null)),
        }
        // What is shown can be put back.
        let same = set(&json!({ definition.name: value }));
        assert!(same.is_default() && same == options, "{}", definition.name);
    }
    assert_eq!(options.value("no_such"), None);
}

#[test]
fn every_definition_is_found_by_its_name() {
    let names: Vec<_> = Options::definitions().iter().map(|definition| definition.name).collect();
    assert!(names.is_sorted());
    assert!(Options::definitions().iter().all(|definition| definitions::find(definition.name) == Some(definition)));
}

#[test]
fn values_are_shown_as_they_were_given() {
    let given = json!({
        "body_size_limit": "3m", "stream_large_bodies": "1k", "anticache": true, "anticomp": true, "ssl_insecure": true,
        "ignore_hosts": ["^a"], "block_list": ["/~u x/404"], "map_remote": ["|a|b"], "modify_headers": ["/a/b"],
        "connection_timeout": "1s", "response_timeout": "none", "max_connections": 3, "max_header_bytes": "16k", "log_level": "debug",
    });
    let options = set(&given);
    for (name, value) in given.as_object().expect("an object") {
        assert_eq!(options.value(name).as_ref(), Some(value));
    }
    let reset: Map<_, _> = given.as_object().expect("an object").keys().map(|name| (name.clone(), json!(null))).collect();
    // Only what is optional takes null.
    let mut refused: Vec<_> = options.with(&reset).expect_err("refused").into_iter().map(|refused| refused.name).collect();
    refused.sort();
    assert_eq!(refused, ["anticache", "anticomp", "block_list", "ignore_hosts", "map_remote", "modify_headers", "ssl_insecure"]);
}

#[test]
fn sizes_are_those_of_mitmproxy() {
    for name in ["body_size_limit", "stream_large_bodies"] {
        for (value, bytes) in [(json!("3m"), 3 << 20), (json!("1k"), 1 << 10), (json!("0"), 0), (json!(7), 7)] {
            let options = set(&json!({ name: value }));
            let effects = options.effects();
            assert_eq!(effects.body_size_limit.or(effects.stream_large_bodies), Some(bytes), "{value}");
        }
        for value in [json!("3x"), json!(""), json!(-1), json!(1.5), json!(true), json!(["1k"]), json!((1_u64 << 50) + 1)] {
            assert!(why(name, &value).starts_with("must be a size"), "{value}");
        }
        assert!(with(&json!({ name: 1_u64 << 50 })).is_ok());
    }
}

#[test]
fn ranges_hold_below_at_above() {
    for (name, legal, illegal) in [
        ("max_header_count", vec![json!(1), json!(1024)], vec![json!(0), json!(1025), json!("7")]),
        ("max_header_bytes", vec![json!("1k"), json!("1m")], vec![json!(1023), json!((1 << 20) + 1)]),
        ("max_connections", vec![json!(1), json!(1_000_000)], vec![json!(0), json!(1_000_001)]),
        ("connection_timeout", vec![json!("1ms"), json!("10m")], vec![json!("999us"), json!("601s"), json!("none"), json!(5)]),
        ("request_timeout", vec![json!("1ms"), json!("1h")], vec![json!("0s"), json!("61m"), json!("none")]),
        ("idle_timeout", vec![json!("1ms"), json!("1d")], vec![json!("0s"), json!("25h"), json!("none")]),
        ("body_idle_timeout", vec![json!("1ms"), json!("1d"), json!("none")], vec![json!("0s"), json!("25h")]),
        ("response_timeout", vec![json!("1ms"), json!("1d"), json!("none")], vec![json!("0s"), json!("25h")]),
        ("flow_timeout", vec![json!("1ms"), json!("7d"), json!("none")], vec![json!("0s"), json!("169h")]),
        ("tunnel_timeout", vec![json!("1ms"), json!("7d"), json!("none")], vec![json!("0s"), json!("169h")]),
        ("log_level", vec![json!("off"), json!("info,tollgate::http1=debug")], vec![json!("loud"), json!(""), json!(1)]),
        ("anticache", vec![json!(true), json!(false)], vec![json!("true"), json!(1), json!(null)]),
    ] {
        for value in legal {
            assert!(with(&json!({ name: value })).is_ok(), "{name} {value}");
        }
        for value in illegal {
            assert!(why(name, &value).contains("must be"), "{name} {value}");
        }
    }
}

#[test]
fn sequences_have_a_sane_length() {
    let entries = |count: usize| json!(vec!["a"; count]);
    assert!(with(&json!({"ignore_hosts": entries(values::MAX_ENTRIES - 1)})).is_ok());
    assert!(with(&json!({"ignore_hosts": entries(values::MAX_ENTRIES)})).is_ok());
    assert_eq!(why("ignore_hosts", &entries(values::MAX_ENTRIES + 1)), "has 257 entries: 256 are allowed");
    let long = |bytes: usize| json!(["a".repeat(bytes)]);
    assert!(with(&json!({"ignore_hosts": long(values::MAX_ENTRY)})).is_ok());
    assert_eq!(why("ignore_hosts", &long(values::MAX_ENTRY + 1)), "entry 0: has 8193 bytes: 8192 are allowed");
    assert_eq!(why("block_list", &json!(["/~all/404", 3])), "entry 1: must be a text");
    assert_eq!(why("block_list", &json!("/~all/404")), "must be a sequence of texts");
}

#[test]
fn refusals_tell_which_entry_and_why() {
    for (name, value, expected) in [
        ("ignore_hosts", "(", "entry 1: the regular expression does not compile: unclosed group"),
        ("block_list", "/~u x", "entry 1: must have the form /flow-filter/status, with any character in place of /"),
        ("block_list", "/~u x/404/", "entry 1: must have the form /flow-filter/status, with any character in place of /"),
        ("block_list", "", "entry 1: is empty"),
        ("block_list", "/~u x/199", "entry 1: the status must be a number from 200 to 599"),
        ("block_list", "/~u x/600", "entry 1: the status must be a number from 200 to 599"),
        ("block_list", "/~nosuch x/404", "entry 1: the filter is wrong: position 0: there is no ~nosuch"),
        ("block_list", ":~u x & (~m a:404", "entry 1: the filter is wrong: position 7"),
        ("block_list", ":~b x:404", "entry 1: the filter looks at bodies"),
        ("modify_headers", "/x", "entry 1: must have the form [/flow-filter]/name/value, with any character in place of /"),
        ("modify_headers", "/a b/c", "entry 1: not a field name"),
        ("modify_headers", "/a/b\r\nc", "entry 1: not a field value"),
        ("modify_headers", "/a/@file", "entry 1: the value must not start with @: files are not read here"),
        (
            "map_remote",
            "|a",
            "entry 1: must have the form [/flow-filter]/url-regex/replacement, with any character in place of /",
        ),
        ("map_remote", "|(|b", "entry 1: the regular expression does not compile: unclosed group"),
        ("map_remote", "|(a)|x\\2", "entry 1: the replacement is wrong: position 1: the regular expression has no such group"),
    ] {
        let first = if name == "ignore_hosts" { "a" } else { "/~all/404" };
        let told = why(name, &json!([first, value]));
        assert!(told.starts_with(expected), "{name} {value}: {told}");
    }
    for name in ["Content-Length", "transfer-encoding", "CONNECTION", "host", "Keep-Alive", "te", "Upgrade", "expect", "Trailer"]
    {
        let told = why("modify_headers", &json!([format!("/{name}/x")]));
        assert_eq!(told, format!("entry 0: {} is set by the proxy alone", name.to_ascii_lowercase()));
    }
}

#[test]
fn unknown_options_are_refused_by_name() {
    assert_eq!(why("body_size_limits", &json!("1k")), "no such option; did you mean body_size_limit?");
    assert!(why("colour", &json!(1)).starts_with("no such option; there are allow_hosts, anticache, "));
}

#[test]
fn either_all_changes_are_made_or_none() {
    let before = set(&json!({"anticache": true}));
    let changes = json!({"anticache": false, "body_size_limit": "x", "nosuch": 1, "anticomp": true});
    let refused = before.with(changes.as_object().expect("an object")).expect_err("refused");
    assert_eq!(refused.iter().map(|refused| refused.name.as_str()).collect::<Vec<_>>(), ["body_size_limit", "nosuch"]);
    assert_eq!(before, set(&json!({"anticache": true})));
}

#[test]
fn host_lists_exclude_each_other() {
    assert!(why_both(&Options::default(), &json!({"allow_hosts": ["a"], "ignore_hosts": ["b"]})));
    let ignoring = set(&json!({"ignore_hosts": ["b"]}));
    assert!(why_both(&ignoring, &json!({"allow_hosts": ["a"]})));
    let swapped = json!({"allow_hosts": ["a"], "ignore_hosts": []});
    assert!(ignoring.with(swapped.as_object().expect("an object")).is_ok());
}

fn why_both(before: &Options, changes: &Value) -> bool {
    let refused = before.with(changes.as_object().expect("an object")).expect_err("refused");
    refused.len() == 1 && refused.iter().all(|refused| refused.why.contains("exclude each other"))
}

#[test]
fn values_are_not_shown_to_debuggers() {
    let options = set(&json!({"modify_headers": ["/authorization/secret"]}));
    assert_eq!(format!("{options:?}"), "{\"modify_headers\"}");
}

fn head(url: &str) -> RequestHead {
    let rest = url.strip_prefix("http://").expect("http");
    let (authority, path) = rest.split_at(rest.find('/').expect("a path"));
    RequestHead {
        method: http::Method::GET,
        scheme: Scheme::Http,
        authority: authority.parse().expect("an authority"),
        target: path.to_owned().into(),
        version: Version::Http11,
        headers: [Field::from_static("X-A", "1")].into_iter().collect(),
    }
}

/// The origin, and whether the rule names it, if it is another one; path and query.
type Mapped = (Option<(String, bool)>, String);

/// What a rule makes of a URL.
fn mapped(rule: &str, url: &str) -> Result<Option<Mapped>, &'static str> {
    let options = set(&json!({"map_remote": [rule]}));
    let head = head(url);
    let upstream = "http://up.test".parse().expect("an origin");
    let view = crate::filter::View {
        listener: "main",
        peer: ([127, 0, 0, 1], 1).into(),
        upstream: &upstream,
        request: &head,
        request_body: Seen::Absent,
        response: None,
        response_body: Seen::Absent,
        has_error: false,
        is_websocket: false,
    };
    let mapped = options.effects().map_remote.first().expect("a rule").apply(&view, &view.url())?;
    Ok(mapped.map(|mapped| {
        let moved = mapped.moved.map(|(origin, is_named)| (origin.to_string(), is_named));
        (moved, String::from_utf8_lossy(&mapped.target).into_owned())
    }))
}

#[test]
fn urls_are_mapped_as_python_would() {
    let moved = |origin: &str, is_named, target: &str| Ok(Some((Some((origin.to_owned(), is_named)), target.to_owned())));
    let stays = |target: &str| Ok(Some((None, target.to_owned())));
    assert_eq!(mapped("|/old/|/new/", "http://a.test/old/x?q"), stays("/new/x?q"));
    assert_eq!(mapped("|/x|/y", "http://a.test/x/x"), stays("/y/y"));
    assert_eq!(mapped(r"|/(\w+)/(?P<id>\d+)|/\2\\/\g<1>\g<id>", "http://a.test/u/7"), stays("/7\\/u7"));
    assert_eq!(mapped("|/nothing|/b", "http://a.test/a"), Ok(None));
    assert_eq!(mapped("|~m POST|/x|/y", "http://a.test/x"), Ok(None));
    assert_eq!(mapped("|~q|a.test/|A.test:80/", "http://a.test/a"), stays("/a"));
    assert_eq!(mapped("|http://a.test/|https://b.test:1/x/", "http://a.test/a"), moved("https://b.test:1", true, "/x/a"));
    assert_eq!(mapped("|^http://a.test|http://b.test", "http://a.test/a"), moved("http://b.test", true, "/a"));
    // A port of the client's is not what the rule says.
    assert_eq!(mapped("|^http://a.test|http://b.test", "http://a.test:8/a"), moved("http://b.test:8", false, "/a"));
    assert_eq!(mapped("|^http://a|http://b", "http://a.evil.test/a"), moved("http://b.evil.test", false, "/a"));
    assert_eq!(mapped(r"|^http://(.*?)\.a.test/|http://\1/", "http://evil.a.test/"), moved("http://evil", false, "/"));
    assert_eq!(mapped("|^http://a.test/.*|http://b.test?q", "http://a.test/a"), moved("http://b.test", true, "/?q"));
    // Found in the query, it leads nowhere else.
    assert_eq!(mapped("|http://a.test/|http://b.test/", "http://c.test/?u=http://a.test/"), stays("/?u=http://b.test/"));
}

#[test]
fn what_is_no_url_is_refused() {
    for rule in
        ["|^http://|ftp://", "|^http://a.test|http://u:p@b.test", "|/x|/b#c", "|/x|/ b", "|^http://a.test|http://", "|^.*|/x"]
    {
        assert!(mapped(rule, "http://a.test/x").is_err(), "{rule}");
    }
    let path = format!("http://h.test/{}", "a".repeat(64 * 1024 - 14));
    assert!(matches!(mapped("|/a|/b", &path), Ok(Some(_))));
    assert_eq!(mapped("|/a|/ba", &path), Err("it is longer than 64 KiB"));
}

#[test]
fn replacements_know_a_few_escapes() {
    for (rule, position) in [(r"|(a)|xy\0", 2), (r"|(a)|\n", 0), (r"|(a)|\g<b>", 0), (r"|(a)|\g<1", 0), (r"|(a)|\\\", 2)] {
        let told = why("map_remote", &json!([rule]));
        assert!(told.starts_with(&format!("entry 0: the replacement is wrong: position {position}: ")), "{rule}: {told}");
    }
}
