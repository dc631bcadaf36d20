//! Proxies on the way to upstreams.

use super::*;
use crate::upstream::{Credentials, ProxyKind};

const START: &str = "[[listener]]\nname = 'l'\nbind = '127.0.0.1:7777'\nupstream = 'http://o'\n";

fn proxies(text: &str) -> Proxies {
    let config = load(&format!("{START}{text}")).expect(text);
    config.listeners.into_iter().next().map(|listener| listener.proxies).expect("a listener")
}

#[test]
fn urls_say_what_is_spoken_where() {
    for (url, kind, authority, credentials) in [
        ("http://p", ProxyKind::Http, "p:80", None),
        ("http://p:3128/", ProxyKind::Http, "p:3128", None),
        ("https://p", ProxyKind::Https, "p:443", None),
        ("socks5://p", ProxyKind::Socks5, "p:1080", None),
        ("socks5h://127.0.0.1:1", ProxyKind::Socks5, "127.0.0.1:1", None),
        ("http://[::1]:1", ProxyKind::Http, "[::1]:1", None),
        ("http://u:p%40%3a@p", ProxyKind::Http, "p:80", Some(("u", "p@:"))),
        ("socks5://u@p", ProxyKind::Socks5, "p:1080", Some(("u", ""))),
    ] {
        let proxy = proxies(&format!("proxy = '{url}'")).otherwise.expect(url);
        let credentials = credentials.map(|(user, password)| Credentials { user: user.into(), password: password.into() });
        assert_eq!((proxy.kind, proxy.authority.as_str(), proxy.credentials), (kind, authority, credentials), "{url}");
    }
}

#[test]
fn what_is_wrong_is_named_and_no_secret_is() {
    for (text, expected) in [
        ("proxy = 'hunter2'", "proxy: must be a URL"),
        ("proxy = 'ftp://hunter2'", "proxy: must be a URL"),
        ("proxy = 'http://u:hunter2'", "proxy: must be a URL"),
        ("proxy = 'http://u:hunter2@p/x'", "proxy: must have no path"),
        ("proxy = 'http://u%3a:hunter2@p'", "proxy: must have a user"),
        ("proxy = 'http://u%0a:hunter2@p'", "proxy: must have a user"),
        ("proxy = 'http://:hunter2@p'", "proxy: must have a user where"),
        ("proxy = 'http://p'\nproxy_password_file = 'missing'", "proxy_password_file = \"missing\": the file cannot be read"),
        ("proxy = 'http://u:hunter2@p'\nproxy_password_file = 'missing'", "proxy_password_file = \"missing\": must not be set"),
        ("proxy_password_file = 'missing'", "proxy_password_file = \"missing\": must not be set where proxy is not"),
        ("no_proxy = ['a']", "no_proxy: must not be set where proxy is not"),
        ("proxy_ca = 'missing'", "proxy_ca = \"missing\": must not be set where proxy is not"),
        ("proxy = 'https://p'\nproxy_ca = 'missing'", "proxy_ca = \"missing\": the file cannot be read"),
        ("proxy = 'http://p'\nno_proxy = ['*']", "no_proxy.0 = \"*\": must be"),
        ("proxy = 'http://p'\nno_proxy = ['http://a']", "no_proxy.0 = \"http://a\": must be"),
        ("proxy = 'http://127.0.0.1:7777'", "proxy: must not be this listener itself"),
        ("proxy = 'socks5://localhost:7777'", "proxy: must not be this listener itself"),
        ("proxy = 'http://0x7f.1:7777'", "proxy: must not be this listener itself"),
        ("upstreams = [{ name = 'a', url = 'http://a', proxy = 'x' }]", "upstreams.0.proxy: must be a URL"),
        (
            "upstreams = [{ name = 'a', url = 'http://a', proxy = 'none' }, { name = 'b', url = 'http://a', proxy = 'http://p' }]",
            "upstreams.1.proxy: must be that of the other",
        ),
    ] {
        let error = only_error(&format!("{START}{text}"));
        assert!(error.starts_with(&format!("listener.0.{expected}")) && !error.contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn credentials_are_as_long_as_socks_knows() {
    let file = |bytes: usize| {
        let directory = directory(&format!("{START}proxy = 'socks5://u@p'\nproxy_password_file = 'password'"));
        fs::write(directory.path().join("password"), format!(" {}\n", "x".repeat(bytes))).expect("a file");
        sources(directory.path(), vec![]).load()
    };
    for bytes in [1, 254, 255] {
        let config = file(bytes).expect("a configuration");
        let proxy = config.listeners.first().and_then(|listener| listener.proxies.otherwise.clone()).expect("a proxy");
        assert_eq!(proxy.credentials.map(|credentials| credentials.password.len()), Some(bytes));
        assert!(proxy.password_file.is_some());
    }
    for bytes in [0, 256] {
        assert!(file(bytes).is_err(), "{bytes}");
    }
    assert_eq!(format!("{:?}", Credentials { user: "hunter2".into(), password: "hunter2".into() }), "Credentials");
}

#[test]
fn upstreams_have_their_own() {
    let text = "proxy = 'http://p'\nno_proxy = ['*.test', '10.0.0.0/8']\n\
                upstreams = [{ name = 'a', url = 'http://a', proxy = 'none' }, { name = 'b', url = 'http://b', proxy = 'socks5://q' }, { name = 'c', url = 'http://c' }]";
    let proxies = proxies(text);
    assert_eq!(proxies.except.iter().map(ToString::to_string).collect::<Vec<_>>(), ["*.test", "10.0.0.0/8"]);
    let of: Vec<_> =
        proxies.of.iter().map(|(origin, proxy)| (origin.to_string(), proxy.as_ref().map(|proxy| proxy.kind))).collect();
    assert_eq!(of, [("http://a".to_owned(), None), ("http://b".to_owned(), Some(ProxyKind::Socks5))]);
}

#[test]
fn listeners_do_not_lead_to_themselves() {
    let route = |upstream: &str| format!("upstream = 'http://o'\n[[listener.route]]\npath = '/a'\nupstream = '{upstream}'\n");
    let start = |bind: &str, text: &str| format!("[[listener]]\nname = 'l'\nbind = '{bind}'\n{text}");
    for (bind, text, place) in [
        ("7777", "upstream = 'http://127.0.0.1:7777'".to_owned(), "upstream"),
        ("*:80", "upstream = 'http://localhost'".to_owned(), "upstream"),
        ("7777", "upstreams = [{ name = 'a', url = 'http://127.1:7777' }]".to_owned(), "upstreams.0.url"),
        ("7777", route("http://localhost:7777"), "route.0.upstream"),
        ("[::1]:443", route("https://[::1]"), "route.0.upstream"),
    ] {
        let error = only_error(&start(bind, &text));
        assert!(error.starts_with(&format!("listener.0.{place}")), "{text}: {error}");
        assert!(error.contains("must not be this listener itself"), "{text}: {error}");
    }
    for (bind, text) in [
        ("7777", route("http://127.0.0.1:7778")),
        ("7777", route("http://127.0.0.2:7777")),
        ("7777", route("http://a:7777")),
        ("0", route("http://127.0.0.1:80")),
        // What is 127.0.0.1 there is the proxy's affair.
        ("7777", format!("proxy = 'socks5://p'\n{}", route("http://127.0.0.1:7777"))),
    ] {
        assert!(load(&start(bind, &text)).is_ok(), "{bind} {text}");
    }
}
