//! `[addon.NAME]`: where options come from.

use super::*;

fn options(text: &str) -> OptionsSource {
    load(&format!("{LISTENER}[addon.x]\n{text}")).expect(text).addon("x").options
}

fn error(text: &str) -> String {
    only_error(&format!("{LISTENER}[addon.x]\n{text}"))
}

#[test]
fn options_are_none_unless_said_otherwise() {
    assert_eq!(options(""), OptionsSource::None);
    assert_eq!(options("options = { a = 1 }"), OptionsSource::Inline(json!({"a": 1})));
}

#[test]
fn options_come_from_one_place() {
    let directory = directory(&format!("{LISTENER}[addon.x]\noptions_file = 'x.json'\n"));
    fs::write(directory.path().join("x.json"), "{\"secret\": hunter22}").expect("a file");
    let error = sources(directory.path(), vec![]).load().expect_err("no JSON").to_string();
    assert!(error.contains("not JSON: line 1, column 12, at secret") && !error.contains("hunter22"), "{error}");
    let error = sources(directory.path(), vec![set("addon.x.options={}")]).load().expect_err("both").to_string();
    assert!(error.contains("addon.x.options_file") && error.contains("must not be set where addon.x.options is"), "{error}");
    fs::write(directory.path().join("x.json"), "{\"a\": [1,],}").expect("a file");
    assert!(sources(directory.path(), vec![]).load().is_ok());
    let url = set("addon.x.options_url='http://h/'");
    let error = sources(directory.path(), vec![url.clone()]).load().expect_err("both").to_string();
    assert!(error.contains("addon.x.options_url") && error.contains("must not be set where addon.x.options_file is"), "{error}");
    let errors = sources(directory.path(), vec![url, set("addon.x.options={}")]).load().expect_err("all");
    assert_eq!(
        errors.iter().map(|error| error.key.as_str()).collect::<Vec<_>>(),
        ["addon.x.options_file", "addon.x.options_url"]
    );
}

#[test]
fn urls_are_those_of_servers() {
    let OptionsSource::Url(url) = options("options_url = 'https://h:8443/policy?key=hunter22#x'") else { panic!("no URL") };
    assert_eq!((url.url(), url.shown()), ("https://h:8443/policy?key=hunter22#x", "https://h:8443/policy"));
    assert!(url.interval() == Duration::from_mins(1) && url.token().is_none() && !format!("{url:?}").contains("hunter22"));
    for wrong in ["ftp://h/?hunter22", "h/p", "", "http://", "http://u:hunter22@h/", "http://h:0/?hunter22"] {
        let error = error(&format!("options_url = '{wrong}'"));
        assert!(error.starts_with("addon.x.options_url = ") && error.contains("must be an http:// or https:// URL"), "{error}");
        assert!(!error.contains("hunter22"), "{error}");
    }
}

#[test]
fn intervals_hold_at_their_edges() {
    for (interval, is_allowed) in [("999ms", false), ("1s", true), ("1001ms", true), ("1d", true), ("86401s", false)] {
        let text = format!("{LISTENER}[addon.x]\noptions_url = 'http://h/'\noptions_interval = '{interval}'");
        assert_eq!(load(&text).is_ok(), is_allowed, "{interval}");
    }
    let error = error("options_url = 'http://h/'\noptions_interval = 5");
    assert!(error.starts_with("addon.x.options_interval = 5: must be a duration") && error.ends_with("from 1s to 1d"), "{error}");
}

#[test]
fn tokens_are_for_urls_and_never_shown() {
    let url = "options_url = 'http://h/'\n";
    let token = |text: &str| match options(text) {
        OptionsSource::Url(url) => url.token().map(|token| token.reveal().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(token(&format!("{url}options_token = 'hunter2'")).as_deref(), Some("hunter2"));
    let directory = directory(&format!("{LISTENER}[addon.x]\n{url}options_token_file = 'token'"));
    fs::write(directory.path().join("token"), " hunter2\n").expect("a file");
    let config = sources(directory.path(), vec![]).load().expect("a configuration");
    let OptionsSource::Url(source) = config.addon("x").options else { panic!("no URL") };
    assert_eq!(source.token().map(crate::http::BearerToken::reveal), Some("hunter2"));
    assert_eq!(config.addon("x").options_token_file, Some(directory.path().join("token")));
    for (text, expected) in [
        ("options_token = 'hunter2'", "addon.x.options_token: needs addon.x.options_url"),
        (
            "options_token_file = '/dev/null'\noptions_url = 'http://h/'",
            "addon.x.options_token_file = \"/dev/null\": must be a token",
        ),
        ("options_interval = '2m'", "addon.x.options_interval = \"2m\": needs addon.x.options_url"),
        ("options_url = 'http://h/'\noptions_token = 'hunter2 hunter2'", "addon.x.options_token: must be a token of 1 to 4096"),
        (
            "options_url = 'http://h/'\noptions_token = 'hunter2'\noptions_token_file = 'x'",
            "addon.x.options_token_file = \"x\": must not be set where addon.x.options_token is",
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected) && !error.contains("hunter2"), "{error}");
    }
}
