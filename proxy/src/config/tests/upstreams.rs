//! Several upstreams of one listener.

use super::*;

const START: &str = "[[listener]]\nname = 'l'\nbind = '127.0.0.1:0'\n";

fn upstreams(text: &str) -> Upstreams {
    let config = load(&format!("{START}{text}")).expect(text);
    match config.listeners.into_iter().next().map(|listener| listener.mode) {
        Some(Mode::Reverse(upstreams)) => upstreams,
        other => panic!("no reverse listener: {other:?}"),
    }
}

#[test]
fn entries_arrive_in_their_order() {
    let hash = "AB".repeat(32);
    let all = upstreams(&format!(
        "upstream = 'https://o'\n[[listener.upstreams]]\nname = 'b'\nurl = 'http://b:1'\nheader = true\n\
         [[listener.upstreams]]\nname = 'a'\nurl = 'https://a'\ntoken_sha256 = ['{hash}']\nhost = ['a.test:1', 'A']\npath = '/%20/'\n"
    ));
    assert_eq!(all.to_string(), "https://o, http://b:1, https://a");
    let [b, a] = all.named.as_slice() else { panic!("two of them") };
    assert_eq!((&*b.name, b.by_header, &b.takes), ("b", true, &crate::upstream::Condition::default()));
    assert_eq!((&*a.name, a.by_header, a.takes.path.as_deref()), ("a", false, Some("/%20/")));
    assert_eq!(a.takes.token_sha256.iter().collect::<Vec<_>>(), [&[0xab; 32]]);
    assert_eq!(a.takes.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.test:1", "a"]);
    let alone = upstreams("upstreams = [{ name = 'a', url = 'http://a', path = '/' }]");
    assert_eq!((alone.otherwise.is_none(), alone.named.len()), (true, 1));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("", "listener.0.upstream: is missing"),
        ("upstreams = []", "listener.0.upstream: is missing"),
        ("upstreams = [{ url = 'http://a' }]", "listener.0.upstreams.0.name: is missing"),
        ("upstreams = [{ name = 'a' }]", "listener.0.upstreams.0.url: is missing"),
        ("upstreams = [{ name = 'a b', url = 'http://a' }]", "listener.0.upstreams.0.name: must"),
        ("upstreams = [{ name = 'a', url = 'http://a/b' }]", "listener.0.upstreams.0.url: must have no path"),
        ("upstreams = [{ name = 'a', url = 'http://a', token_sha256 = ['ab'] }]", "listener.0.upstreams.0.token_sha256.0: must"),
        ("upstreams = [{ name = 'a', url = 'http://a', token_sha256 = [] }]", "listener.0.upstreams.0.token_sha256: must hold"),
        ("upstreams = [{ name = 'a', url = 'http://a', host = ['a b'] }]", "listener.0.upstreams.0.host.0: must"),
        ("upstreams = [{ name = 'a', url = 'http://a', host = ['1.2.3.256'] }]", "listener.0.upstreams.0.host.0: must"),
        ("upstreams = [{ name = 'a', url = 'http://a', path = 'a' }]", "listener.0.upstreams.0.path: must"),
        ("upstreams = [{ name = 'a', url = 'http://a', path = '/a?b' }]", "listener.0.upstreams.0.path: must"),
        ("upstreams = [{ name = 'a', url = 'http://a', paths = '/' }]", "listener.0.upstreams.0.paths"),
        (
            "upstreams = [{ name = 'a', url = 'http://a' }, { name = 'a', url = 'http://b' }]",
            "listener.0.upstreams.1.name: is taken by listener.0.upstreams.0.name",
        ),
        ("mode = 'forward'\nupstreams = [{ name = 'a', url = 'http://a' }]", "listener.0.upstreams: must not be set"),
    ] {
        let error = only_error(&format!("{START}{text}"));
        // What is there is quoted between the two.
        let (place, problem) = expected.split_once(": ").unwrap_or((expected, ""));
        assert!(error.starts_with(place) && error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn there_may_be_so_many() {
    let entries = |count: usize| {
        let entries: Vec<_> = (0..count).map(|number| format!("{{ name = 'u{number}', url = 'http://a' }}")).collect();
        format!("{START}upstreams = [{}]", entries.join(", "))
    };
    for count in [255, 256] {
        assert!(load(&entries(count)).is_ok(), "{count}");
    }
    assert!(only_error(&entries(257)).contains("must not be more than 256"));
}

#[test]
fn public_urls_are_for_listeners_that_rewrite() {
    let url = "upstream = 'http://a'\npublic_url = 'https://public.test'\n";
    let config = load(&format!("{START}{url}rewrite = true")).expect("a configuration");
    let listener = config.listeners.first().expect("a listener");
    assert_eq!(listener.public_url.as_ref().map(ToString::to_string).as_deref(), Some("https://public.test"));
    assert!(listener.rewrite);
    let error = only_error(&format!("{START}{url}"));
    assert!(error.starts_with("listener.0.public_url") && error.contains("must not be set where rewrite is not"), "{error}");
    let path = "upstream = 'http://a'\nrewrite = true\npublic_url = 'https://public.test/a'";
    let error = only_error(&format!("{START}{path}"));
    assert!(error.starts_with("listener.0.public_url") && error.contains("must have no path"), "{error}");
}
