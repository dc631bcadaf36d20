//! Routes of a listener.

use super::*;
use crate::routes::{Action, Content, Onward};

const START: &str = "[[listener]]\nname = 'l'\nbind = '127.0.0.1:0'\n";
const UPSTREAMS: &str = "upstream = 'http://o'\nupstreams = [{ name = 'reg', url = 'http://reg:1' }]\n";

fn routes(text: &str) -> Vec<crate::routes::Route> {
    let config = load(&format!("{START}{UPSTREAMS}{text}")).expect(text);
    config.listeners.into_iter().next().map(|listener| listener.routes.0).unwrap_or_default()
}

#[test]
fn routes_arrive_in_their_order() {
    let all = routes(
        "[[listener.route]]\npath = '/a/{x}'\nmethod = ['GET', 'PUT']\nhost = ['h.test']\nfilter = '~m GET'\nupstream = 'reg'\ntarget = '/b/{x}'\n\
         on_status = { 404 = { json = { x = '{x}' } }, 503 = { status = 502, body = 'no' } }\n\
         [[listener.route]]\nfilter = '~all'\nredirect = { location = 'https://{host}/' }\n\
         [[listener.route]]\nhost = ['h']\nanswer = { status = 204, headers = { Allow = ['GET', 'HEAD'], X-A = 'b' } }\n\
         [[listener.route]]\npath = '/'\nupstream = 'https://elsewhere'\n",
    );
    let [first, second, third, fourth] = all.as_slice() else { panic!("four of them") };
    let Action::Onward(Onward { upstream: Some(upstream), target: Some(_), on_status }) = &first.action else {
        panic!("{first:?}")
    };
    assert_eq!((upstream.to_string().as_str(), first.of.methods.len(), first.of.hosts.len()), ("http://reg:1", 2, 1));
    let [(not_found, json), (unavailable, text)] = on_status.as_slice() else { panic!("two of them") };
    assert_eq!(
        (not_found.as_u16(), json.status.as_u16(), json.headers.get_str("content-type")),
        (404, 200, Some("application/json"))
    );
    assert!(matches!(json.content, Content::Json(_)));
    assert_eq!((unavailable.as_u16(), text.status.as_u16()), (503, 502));
    assert_eq!(text.headers.get_str("content-type"), Some("text/plain; charset=utf-8"));
    assert!(matches!(&second.action, Action::Redirect(status, _) if *status == StatusCode::FOUND));
    let Action::Answer(answer) = &third.action else { panic!("{third:?}") };
    assert_eq!(answer.headers.get_all("allow").collect::<Vec<_>>(), [&b"GET"[..], b"HEAD"]);
    assert_eq!((answer.status.as_u16(), answer.headers.contains("content-type")), (204, false));
    assert!(
        matches!(&fourth.action, Action::Onward(Onward { upstream: Some(upstream), .. }) if upstream.to_string() == "https://elsewhere")
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("target = '/b'", "listener.0.route.0: must say which requests"),
        ("path = '/a'", "listener.0.route.0: must say what becomes"),
        ("path = '/a'\ntarget = '/b'\nanswer = {}", "listener.0.route.0: must have one of"),
        ("path = '/a'\nanswer = {}\nredirect = { location = '/b' }", "listener.0.route.0: must have one of"),
        ("path = '/a'\nanswer = {}\non_status = { 404 = {} }", "listener.0.route.0: must have one of"),
        ("path = 'a'\ntarget = '/{x}'", "listener.0.route.0.path: must be a path"),
        ("path = '/a'\ntarget = '/{x}'", "listener.0.route.0.target: has {x}, and there is no such variable; there are {host}"),
        ("path = '/{x}'\ntarget = '/{y}'", "there are {host}, {x}"),
        ("host = ['a']\ntarget = '/{x}'", "listener.0.route.0.target: has {x}"),
        ("path = '/a'\ntarget = 'b'", "listener.0.route.0.target: must be a path"),
        ("path = '/a'\ntarget = '/b//c'", "listener.0.route.0.target: must have no empty segments"),
        ("path = '/a'\nupstream = 'other'", "listener.0.route.0.upstream: must be the name"),
        ("path = '/a'\nupstream = 'http://a/b'", "listener.0.route.0.upstream: must have no path"),
        ("path = '/a'\nupstream = 'ftp://a'", "listener.0.route.0.upstream: must start with"),
        ("host = ['a b']\nanswer = {}", "listener.0.route.0.host.0: must be a host"),
        ("host = ['1.2.3.4.5']\nanswer = {}", "listener.0.route.0.host.0 = \"1.2.3.4.5\": must be a host"),
        ("host = []\nanswer = {}", "listener.0.route.0.host: must hold something"),
        ("method = ['G T']\nanswer = {}", "listener.0.route.0.method.0: must be a method"),
        ("method = ['CONNECT']\nanswer = {}", "listener.0.route.0.method.0: must be a method"),
        ("filter = '~zz'\nanswer = {}", "listener.0.route.0.filter: position"),
        ("filter = '~b hunter2'\nanswer = {}", "listener.0.route.0.filter: looks at bodies"),
        ("path = '/a'\nanswer = { status = 199 }", "listener.0.route.0.answer.status: must be a whole number from 200 to 599"),
        ("path = '/a'\nanswer = { body = 'a', json = {} }", "listener.0.route.0.answer.json: must not be set where body is"),
        ("path = '/a'\nanswer = { status = 204, body = 'a' }", "listener.0.route.0.answer: must have no body"),
        ("path = '/a'\nanswer = { json = { a = '{x}' } }", "listener.0.route.0.answer.json: has {x}"),
        ("path = '/a'\nanswer = { json = 'a{' }", "listener.0.route.0.answer.json: has a brace"),
        (
            "path = '/a'\nanswer = { headers = { Content-Length = '1' } }",
            "listener.0.route.0.answer.headers.Content-Length: is set by the proxy",
        ),
        (
            "path = '/a'\nanswer = { headers = { Connection = 'a' } }",
            "listener.0.route.0.answer.headers.Connection: is set by the proxy",
        ),
        ("path = '/a'\nanswer = { headers = { X = \"a\\r\\nb\" } }", "listener.0.route.0.answer.headers.X: is not a field value"),
        ("path = '/a'\nanswer = { headers = { 'X Y' = 'a' } }", "not a field name"),
        ("path = '/a'\nredirect = {}", "listener.0.route.0.redirect.location: is missing"),
        ("path = '/a'\nredirect = { location = 'b' }", "listener.0.route.0.redirect.location: must be a path"),
        ("path = '/a'\nredirect = { location = '/b', status = 300 }", "listener.0.route.0.redirect.status: must be one of"),
        ("path = '/a'\non_status = { 40 = {} }", "listener.0.route.0.on_status.40: must be a status"),
        ("path = '/a'\non_status = { '4xx' = {} }", "listener.0.route.0.on_status.4xx: must be a status"),
        ("path = '/a'\non_status = { 404 = { status = 99 } }", "listener.0.route.0.on_status.404.status: must be"),
        ("path = '/a'\nanswer = {}\nanswr = {}", "listener.0.route.0.answr: unknown key"),
    ] {
        let error = only_error(&format!("{START}{UPSTREAMS}[[listener.route]]\n{text}"));
        // What is there is quoted between the two.
        let (place, problem) = expected.split_once(": ").unwrap_or(("", expected));
        assert!(error.starts_with(place) && error.contains(problem), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let text = "[[listener.route]]\npath = 'a'\nfilter = '('\nanswer = { status = 1, headers = { Host = \"\\n\" } }\n\
                [[listener.route]]\nhost = ['a']\nupstream = 'x'\ntarget = 'y'\non_status = { 1 = { status = 2 } }\n";
    let errors = errors(&format!("{START}{UPSTREAMS}{text}"), vec![]);
    for key in [
        "0.path",
        "0.filter",
        "0.answer.status",
        "0.answer.headers.Host",
        "1.upstream",
        "1.target",
        "1.on_status.1",
        "1.on_status.1.status",
    ] {
        let key = format!("listener.0.route.{key}");
        assert!(
            errors.iter().any(|error| error.starts_with(&format!("{key}:")) || error.starts_with(&format!("{key} ="))),
            "{key}: {errors:?}"
        );
    }
}

#[test]
fn there_may_be_so_many_and_so_much() {
    let many = |count: usize| format!("{START}{UPSTREAMS}route = [{}]", vec!["{ path = '/a', answer = {} }"; count].join(", "));
    let body = |bytes: usize| format!("{START}{UPSTREAMS}[[listener.route]]\npath = '/a'\nanswer.body = '{}'", "x".repeat(bytes));
    let fields = |count: usize| {
        let values = vec!["'v'"; count].join(", ");
        format!("{START}{UPSTREAMS}[[listener.route]]\npath = '/a'\nanswer.headers.X = [{values}]")
    };
    for good in [many(255), many(256), body(65_535), body(65_536), fields(31), fields(32)] {
        assert!(load(&good).is_ok());
    }
    for (bad, expected) in [(many(257), "more than 256"), (body(65_537), "more than 65536"), (fields(33), "more than 32 fields")]
    {
        assert!(only_error(&bad).contains(expected));
    }
}

#[test]
fn forward_listeners_have_no_names() {
    let forward = "[[listener]]\nname = 'f'\nmode = 'forward'\nbind = '127.0.0.1:0'\n[[listener.route]]\nhost = ['a']\n";
    assert!(load(&format!("{forward}upstream = 'http://b'")).is_ok());
    assert!(only_error(&format!("{forward}upstream = 'b'")).contains("must be the name"));
}
