//! `[[dependency]]`.

use super::{LISTENER, errors, load, only_error};

fn with(rest: &str) -> String {
    format!("{LISTENER}[[dependency]]\nname = 'a'\nurl = 'http://h/health?key=hunter2'\n{rest}")
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = load(&with("")).expect("a configuration");
    let [dependency] = config.dependencies.as_slice() else { panic!("one dependency") };
    assert_eq!((&*dependency.name, dependency.status), ("a", None));
    assert_eq!((dependency.timeout.as_secs(), dependency.cache.as_secs()), (5, 5));
}

#[test]
fn bounds_hold_at_their_edges() {
    for (key, below, least, most, above) in [
        ("status", "199", "200", "599", "600"),
        ("timeout", "'9ms'", "'10ms'", "'1m'", "'61s'"),
        ("cache", "'-1s'", "'0s'", "'1h'", "'3601s'"),
    ] {
        for good in [least, most] {
            assert!(load(&with(&format!("{key} = {good}"))).is_ok(), "{key} = {good}");
        }
        for bad in [below, above] {
            let error = only_error(&with(&format!("{key} = {bad}")));
            assert!(error.starts_with(&format!("dependency.0.{key} = ")) && error.contains(" from "), "{error}");
        }
    }
    let many = |count: usize| {
        let each = |number| format!("[[dependency]]\nname = 'd{number}'\nurl = 'http://h'\n");
        format!("{LISTENER}{}", (0..count).map(each).collect::<String>())
    };
    assert_eq!(load(&many(64)).expect("a configuration").dependencies.len(), 64);
    assert!(only_error(&many(65)).contains("must not be more than 64"));
}

#[test]
fn names_and_urls_are_needed_and_checked() {
    let text = format!(
        "{LISTENER}[[dependency]]\n[[dependency]]\nname = 'a b'\nurl = 'ftp://h/?key=hunter2'\n[[dependency]]\nname = 'c'\n\
         url = 'http://h'\n[[dependency]]\nname = 'c'\nurl = 'http://h'\nstatuses = 1\n"
    );
    let mut shown = errors(&text, vec![]);
    shown.sort();
    let keys: Vec<_> = shown.iter().filter_map(|error| error.split([' ', ':']).next()).collect();
    let expected = [
        "dependency.0.name",
        "dependency.0.url",
        "dependency.1.name",
        "dependency.1.url",
        "dependency.3.name",
        "dependency.3.statuses",
    ];
    assert_eq!(keys, expected);
    assert!(shown.iter().all(|error| !error.contains("hunter2")), "{shown:?}");
}
