//! Which route a request gets, and what is made of it.

use std::net::SocketAddr;

use serde_json::json;

use super::*;
use crate::{filter::Seen, http::Version};

fn route(path: &str) -> Route {
    let of = Conditions { path: Some(PathTemplate::parse(path).expect(path)), ..Conditions::default() };
    Route { of, action: Action::Onward(Onward::default()) }
}

fn judge(routes: &Routes, method: &Method, authority: &str, target: &str) -> Judged {
    let request = RequestHead {
        method: method.clone(),
        scheme: Scheme::Http,
        authority: authority.parse().unwrap_or_default(),
        target: Bytes::copy_from_slice(target.as_bytes()),
        version: Version::Http11,
        headers: Headers::new(),
    };
    routes.judge(&View {
        listener: "l",
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        upstream: &"http://up".parse().expect("an origin"),
        request: &request,
        request_body: Seen::Absent,
        response: None,
        response_body: Seen::Absent,
        has_error: false,
        is_websocket: false,
    })
}

/// The number of the route of these paths, 9 where it is ambiguous.
fn number(paths: &[&str], target: &str) -> Option<usize> {
    match judge(&Routes(paths.iter().map(|path| route(path)).collect()), &Method::GET, "a", target) {
        Judged::Routed(number, _) => Some(number),
        Judged::Unrouted => None,
        Judged::Ambiguous => Some(9),
    }
}

/// What a target becomes.
fn made(path: &str, to: &str, sent: &str) -> Result<String, Unfit> {
    let Judged::Routed(_, captures) = judge(&Routes(vec![route(path)]), &Method::GET, "a", sent) else {
        panic!("{sent} is not for {path}")
    };
    let names: Vec<_> = PathTemplate::parse(path).expect(path).names().cloned().collect();
    let target = TargetTemplate::parse(to, &names).expect(to).expand(&captures, "h.test", sent.as_bytes());
    target.map(|target| String::from_utf8_lossy(&target).into_owned())
}

#[test]
fn the_first_that_fits_is_the_one() {
    let paths = ["/a/b", "/a/{x}", "/a/{x}/c", "/r/{rest...}", "/%2e-%41/", "/\u{e4}", "/s%2Ft"];
    for (target, expected) in [
        ("/a/b", Some(0)),
        ("/a/b?c", Some(0)),
        ("/%61/%62", Some(0)),
        ("/a/bb", Some(1)),
        ("/a/B", Some(1)),
        ("/a/%2F", Some(1)),
        ("/a/b%2Fd", Some(1)),
        ("/a/b/c", Some(2)),
        ("/a/", None),
        ("/a", None),
        ("/A/b", None),
        ("/r", None),
        ("/r/", Some(3)),
        ("/r/x/y/", Some(3)),
        ("/.-A/", Some(4)),
        ("/.-A", None),
        ("/%C3%A4", Some(5)),
        ("/s%2ft", Some(6)),
        ("/s/t", None),
        ("/", None),
        ("*", None),
    ] {
        assert_eq!(number(&paths, target), expected, "{target}");
    }
}

#[test]
fn paths_that_others_read_differently_are_ambiguous() {
    let paths = ["/admin/{rest...}", "/public/{x}"];
    for target in [
        "/x/../admin/y",
        "/x/%2e%2E/admin/y",
        "/x/.%2e/admin/y",
        "//admin/y",
        "/./admin/y",
        "/%2e/admin/y",
        "/admin;x/y",
        "/..;/admin/y",
        "/x/..%2fadmin/y",
        "/x/..%5Cadmin/y",
        "/x%5c..%5cadmin/y",
        "/admin\\y",
        "/admin/../x",
        "/admin/%2e%2e/x",
        "/admin/..%2f..%2fx",
        "/admin/..;a/x",
        "/public//a",
        "/public/.",
        "/public/..",
        "/public/%2e%2e%2fadmin%2fx",
    ] {
        assert_eq!(number(&paths, target), Some(9), "{target}");
    }
    // Where no reading makes a difference, nothing is refused.
    for (target, expected) in [
        ("/x//y", None),
        ("/x/../y", None),
        ("/x;admin/y", None),
        ("/x/..", None),
        ("/public/a/..", None),
        ("/admin/x//y", Some(0)),
        ("/admin/x/../y", Some(0)),
        ("/admin/x%2Fy", Some(0)),
        ("/public/a%2Fb", Some(1)),
        ("/public/a;b", Some(1)),
        ("/public/...", Some(1)),
        ("/public/%252e%252e", Some(1)),
    ] {
        assert_eq!(number(&paths, target), expected, "{target}");
    }
}

/// Servers differ in what they drop before they resolve dots, after that, or never.
#[test]
fn every_combination_of_readings_counts() {
    let paths = ["/x/b/admin"];
    for target in [
        "/x/b//../admin",
        "/x/b/;/../admin",
        "/x/b/.;/../admin",
        "/x/b/..;/../admin",
        "/x/b/..;/../b/admin",
        "/x//../b/admin",
        "/x/;a/../b/admin",
        "/x//./../b/admin",
        "//../x/b/admin",
        "/x/b/%2e%2e/../admin",
        "/x/b/%2f../admin",
        "/x/b/%5c../admin",
        "/x/b/%2f%2e%2e/admin",
        "/x/b;/c/..;/admin",
        "/x/b;/;/../admin",
        "/x/q//../..//b/admin",
        "/x//b/../b/admin;c",
        "/x/b/c%2f..%2fadmin",
        "/x/b/;%2f..%2f/../admin",
        "/x/b//%2e./admin",
        "/x/b//../admin?a",
        "/x/b%2Fadmin",
        "/x%2fb/admin",
        "/x%2Fb%2Fadmin",
        "/x/b%5Cadmin",
        "/x/b%2F%2Fadmin",
        "/x/b%2F/admin",
        "/x/b/admin%3Bc",
        "/x/b/admin%2F../admin",
    ] {
        assert_eq!(number(&paths, target), Some(9), "{target}");
    }
    for target in ["/x/b//../b", "/x/b/..", "/x/b%2Fother", "/x%2fb", "/x/b;/other", "/x/..;/y", "/x//admin"] {
        assert_eq!(number(&paths, target), None, "{target}");
    }
}

/// Servers that end segments at `%2F` do not get past another route either; where they find none, it is a part of a name.
#[test]
fn encoded_slashes_lead_past_no_route() {
    let paths = ["/files/{name}", "/files/a/{x}", "/admin", "/semi%3Bcolon"];
    for (target, expected) in [
        ("/files/a%2Fb", 9),
        ("/files/b%2Fc", 0),
        ("/files/b%5Cc", 0),
        ("/files%2Fb", 9),
        ("/%2Fadmin", 9),
        ("/semi%3Bcolon", 3),
        ("/admin%3Ba", 9),
    ] {
        assert_eq!(number(&paths, target), Some(expected), "{target}");
    }
}

#[test]
fn long_paths_are_read_in_one_way_only() {
    let path = |segments: usize| format!("/{}/y", "/x".repeat(segments - 2));
    assert_eq!(number(&["/a"], &path(128)), None);
    assert_eq!(number(&["/a"], &path(129)), Some(9));
    assert_eq!(number(&["/a"], &"/x".repeat(1000)), None);
}

#[test]
fn what_is_found_is_put_in_encoded() {
    for (path, to, sent, expected) in [
        ("/a/{x}", "/b/{x}", "/a/c", "/b/c"),
        ("/a/{x}", "/b/{x}", "/a/c?d=%20", "/b/c?d=%20"),
        ("/a/{x}", "/b/{x}?", "/a/c?d", "/b/c"),
        ("/a/{x}", "/b?q={x}&h={host}", "/a/c%26d=%2B%20?e", "/b?q=c%26d%3D%2B%20&h=h.test"),
        ("/a/{x}", "/b/{x}.json", "/a/%2f%3f%23%25%0d%0a%00%7b", "/b/%2F%3F%23%25%0D%0A%00%7B.json"),
        ("/a/{x}", "/b/{x}", "/a/!$&'()*+,=:@-._~", "/b/!$&'()*+,=:@-._~"),
        ("/a/{x}", "/b/{x}", "/a/a%3Bb%ff%zz", "/b/a%3Bb%FF%25zz"),
        ("/a/{x}", "/b/{x}", "/a/%252e", "/b/%252e"),
        ("/a/{x}/{rest...}", "/{x}/b/{rest}", "/a/c/d%2Fe/f/", "/c/b/d%2Fe/f/"),
        ("/{rest...}", "/b/{rest}", "/", "/b/"),
        ("/a", "/{{b}}", "/a", "/{b}"),
    ] {
        assert_eq!(made(path, to, sent).as_deref(), Ok(expected), "{sent} by {to}");
    }
}

#[test]
fn what_is_found_never_makes_another_path() {
    for (path, to, sent) in [
        ("/a/{rest...}", "/b/{rest}", "/a/x/../y"),
        ("/a/{rest...}", "/b/{rest}", "/a/x/%2e%2e/y"),
        ("/a/{rest...}", "/b/{rest}", "/a/x%2f..%2fy"),
        ("/a/{rest...}", "/b/{rest}", "/a/x/..%5cy"),
        ("/a/{rest...}", "/b/{rest}", "/a/x//y"),
        ("/a/{rest...}", "/{rest}", "/a//evil.test/"),
        ("/a/{rest...}", "/b/.{rest}", "/a/."),
        ("/a/{rest...}", "/b/.{rest}", "/a/"),
        ("/a/{rest...}", "/b/{rest}/c", "/a/"),
        ("/a/{x}/{rest...}", "/{x}.{rest}/c", "/a/%2e%2fx/y"),
    ] {
        assert_eq!(made(path, to, sent), Err(Unfit::Path), "{sent} by {to}");
    }
    let long = |bytes: usize| made("/{x}", "/{x}", &format!("/{}", "x".repeat(bytes - 1))).map(|target| target.len());
    for (bytes, expected) in [(65_535, Ok(65_535)), (65_536, Ok(65_536)), (65_537, Err(Unfit::TooLong))] {
        assert_eq!(long(bytes), expected);
    }
}

#[test]
fn locations_keep_their_host() {
    let names = [Arc::from("x")];
    let Judged::Routed(_, captures) = judge(&Routes(vec![route("/a/{x}")]), &Method::GET, "a", "/a/b%0d%0aX:%201%2F") else {
        panic!("a route")
    };
    let expand = |to: &str, host: &str| Location::parse(to, &names).expect(to).expand(&captures, host, b"/a?q");
    for (to, expected) in [
        ("/c/{x}", "/c/b%0D%0AX:%201%2F?q"),
        ("https://b.test:8/{x}?", "https://b.test:8/b%0D%0AX:%201%2F"),
        ("https://{host}/{x}", "https://h.test/b%0D%0AX:%201%2F?q"),
        ("http://{host}:81", "http://h.test:81/?q"),
        ("https://b.test?x={x}", "https://b.test/?x=b%0D%0AX%3A%201%2F"),
    ] {
        assert_eq!(expand(to, "h.test").as_deref(), Ok(expected), "{to}");
        assert_eq!(expand(to, "").is_err(), to.contains("{host}"), "{to}");
    }
    for to in [
        "b.test",
        "//b.test/",
        "https://{x}/",
        "https://{x}.b.test/",
        "https://b.test{x}/",
        "https://{host}x/",
        "https://{host}:0/",
        "https://u@b.test/",
        "javascript:1",
        "",
        "https:///a",
        "/\\b.test",
        "/a#b",
        "/a b",
        "/{y}",
        "/../a",
        "/a//b",
    ] {
        assert!(Location::parse(to, &names).is_err(), "{to}");
    }
}

#[test]
fn documents_stay_documents() {
    let names = [Arc::from("x"), Arc::from("r")];
    let routes = Routes(vec![route("/a/{x}/{r...}")]);
    let Judged::Routed(_, captures) = judge(&routes, &Method::GET, "a", "/a/%22,%5C%7Bhost%7D/c/d") else { panic!("a route") };
    let json = Json::parse(&json!({"{k}": ["{x}", 1, null, "{{{host}}}", {"r": "{r}"}]}), &names).expect("a document");
    let made: serde_json::Value = serde_json::from_slice(&json.expand(&captures, "h").expect("a document")).expect("JSON");
    assert_eq!(made, json!({"{k}": ["\",\\{host}", 1, null, "{h}", {"r": "c/d"}]}));
    assert_eq!(json.expand(&captures, ""), Err(Unfit::NoHost));
    let Judged::Routed(_, odd) = judge(&routes, &Method::GET, "a", "/a/%ff/c") else { panic!("a route") };
    assert_eq!(json.expand(&odd, "h"), Err(Unfit::NotText));
    let sized = |bytes: usize| {
        let sent = format!("/a/{}/c", "x".repeat(bytes));
        let Judged::Routed(_, long) = judge(&routes, &Method::GET, "a", &sent) else { panic!("a route") };
        let json = Json::parse(&json!(["{x}{x}", "{x}"]), &names).expect("a document");
        json.expand(&long, "h").map(|document| document.len())
    };
    // Brackets, quotes and a comma are seven bytes.
    for (bytes, expected) in [(87_379, Ok(262_144)), (87_380, Err(Unfit::TooLarge)), (200_000, Err(Unfit::TooLarge))] {
        assert_eq!(sized(bytes), expected, "{bytes}");
    }
    for text in ["{", "}", "{x", "x}", "{y}", "{ x }", "{}"] {
        assert!(Json::parse(&json!([text]), &names).is_err(), "{text}");
    }
}

#[test]
fn all_conditions_have_to_hold() {
    let of = Conditions {
        path: Some(PathTemplate::parse("/a").expect("a path")),
        hosts: vec!["h.test".parse().expect("a host")],
        methods: vec![Method::GET],
        filter: Some(Condition::parse("!~u secret").expect("a filter")),
    };
    let routes = Routes(vec![Route { of, action: Action::Onward(Onward::default()) }]);
    for (method, authority, target, is_routed) in [
        (Method::GET, "H.test:80", "/a", true),
        (Method::HEAD, "h.test", "/a", true),
        (Method::POST, "h.test", "/a", false),
        (Method::GET, "h.test.", "/a", true),
        (Method::GET, "x.test", "/a", false),
        (Method::GET, "", "/a", false),
        (Method::GET, "h.test", "/b", false),
        (Method::GET, "h.test", "/a?secret", false),
    ] {
        assert_eq!(judge(&routes, &method, authority, target) != Judged::Unrouted, is_routed, "{method} {authority} {target}");
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for text in [
        "",
        "a",
        "/a?b",
        "/a#b",
        "/a b",
        "/a/{x",
        "/a/x}",
        "/{x}y",
        "/{}",
        "/{1x}",
        "/{x-y}",
        "/{x}/{x}",
        "/{x...}/a",
        "/{host}",
        "/a//b",
        "//",
        "/a/../b",
        "/./a",
        "/%2e%2e/a",
        "/..%2fa",
        "/a;b",
        "/a\\b",
        "/\u{1}",
    ] {
        assert!(PathTemplate::parse(text).is_err(), "{text}");
    }
    let long = |bytes: usize| PathTemplate::parse(&format!("/{}", "x".repeat(bytes - 1))).is_ok();
    assert_eq!([2047, 2048, 2049].map(long), [true, true, false]);
}
