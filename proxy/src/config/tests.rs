//! Whole configurations, from the sources to the checked values or the list of errors.

use std::{fs, path::Path, time::Duration};

use serde_json::json;

use super::*;
use crate::{
    addons::OptionsSource,
    hooks::{Event, OnError},
};

mod addons;
mod dependencies;
mod forward;
mod options;
mod policy;
mod proxies;
mod routes;
mod state;
mod upstreams;

const LISTENER: &str = "[[listener]]\nname = 'a'\nbind = '127.0.0.1:0'\nupstream = 'http://127.0.0.1:1'\n";

/// A directory with `tollgate.toml` and `plugins/` in it.
fn directory(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("plugins")).expect("plugins");
    fs::write(directory.path().join("tollgate.toml"), text).expect("a file");
    directory
}

fn sources(directory: &Path, overrides: Vec<Change>) -> Sources {
    let overrides = overrides.into_iter().map(|change| Override { source: "--flag".to_owned(), change }).collect();
    Sources { file: Some(directory.join("tollgate.toml")), overrides }
}

fn load_with(text: &str, overrides: Vec<Change>) -> Result<Config, ConfigErrors> {
    sources(directory(text).path(), overrides).load()
}

fn load(text: &str) -> Result<Config, ConfigErrors> {
    load_with(text, vec![])
}

fn set(expression: &str) -> Change {
    Change::Set(expression.to_owned())
}

/// The errors as shown, without the name of the file.
fn errors(text: &str, overrides: Vec<Change>) -> Vec<String> {
    let errors = load_with(text, overrides).expect_err(text);
    errors.iter().map(|error| error.to_string().split_once(": ").map(|(_, rest)| rest.to_owned()).unwrap_or_default()).collect()
}

fn only_error(text: &str) -> String {
    let errors = errors(text, vec![]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap_or_default()
}

fn upstream(listener: &Listener) -> String {
    match &listener.mode {
        Mode::Reverse(upstreams) => upstreams.to_string(),
        Mode::Forward(_) => "forward".to_owned(),
    }
}

#[test]
fn little_needs_to_be_said() {
    let directory = directory(LISTENER);
    let config = sources(directory.path(), vec![]).load().expect("a configuration");
    assert_eq!(config.plugins, directory.path().join("plugins"));
    assert_eq!((config.admin, config.instances, config.grace), (None, 2000, Duration::from_secs(30)));
    assert_eq!((config.log, config.addons.len()), (Log::default(), 0));
    let [listener] = config.listeners.as_slice() else { panic!("one listener") };
    assert_eq!((&*listener.name, listener.bind.port(), upstream(listener)), ("a", 0, "http://127.0.0.1:1".to_owned()));
    assert_eq!((&listener.limits, &listener.timeouts), (&Limits::default(), &Timeouts::default()));
    assert_eq!((listener.preserve_host, listener.half_close, &listener.via, &listener.addons), (false, false, &None, &None));
    assert_eq!((&listener.tls, listener.upstream_protocol), (&None, UpstreamProtocol::Auto));
}

#[test]
fn flags_alone_make_a_proxy() {
    let overrides = ["http://127.0.0.1:8008@127.0.0.1:3000", "https://h:1@3001", "http://h@[::1]:3001"]
        .map(|text| Override { source: "--reverse".to_owned(), change: Change::Reverse(text.to_owned()) });
    let config = Sources { file: None, overrides: overrides.into() }.load().expect("a configuration");
    let listeners: Vec<_> = config.listeners.iter().map(|one| format!("{} {} {}", one.name, one.bind, upstream(one))).collect();
    assert_eq!(
        listeners,
        [
            "reverse-3000 127.0.0.1:3000 http://127.0.0.1:8008",
            "reverse-3001 127.0.0.1:3001 https://h:1",
            "reverse-3001-2 [::1]:3001 http://h"
        ]
    );
}

#[test]
fn every_bound_holds_at_its_edges() {
    for (key, table, below, least, most, above) in [
        ("header_count", "limits", "0", "1", "1024", "1025"),
        ("header_bytes", "limits", "1023", "1024", "'1MiB'", "1048577"),
        ("request_body", "limits", "-1", "0", "'1048576GiB'", "1125899906842625"),
        ("connections", "limits", "0", "1", "1000000", "1000001"),
        ("decode_ratio", "limits", "0", "1", "10000", "10001"),
        ("recent_flows", "admin", "-1", "0", "10000", "10001"),
        ("h2_streams", "limits", "0", "1", "10000", "10001"),
        ("instances", "limits", "0", "1", "100000", "100001"),
        ("guest_stack", "limits", "65535", "'64KiB'", "'4MiB'", "4194305"),
        ("header_read", "timeouts", "'999us'", "'1ms'", "'1h'", "'3600001ms'"),
        ("idle", "timeouts", "'0s'", "'1ms'", "'1d'", "'86401s'"),
        ("body_idle", "timeouts", "'0s'", "'1ms'", "'1d'", "'86401s'"),
        ("connect", "timeouts", "'0s'", "'1ms'", "'10m'", "'601s'"),
        ("response", "timeouts", "'0s'", "'1ms'", "'1d'", "'86401s'"),
        ("flow", "timeouts", "'0s'", "'1ms'", "'7d'", "'604801s'"),
        ("tunnel", "timeouts", "'0s'", "'1ms'", "'7d'", "'604801s'"),
        ("grace", "timeouts", "'-1s'", "'0s'", "'1h'", "'3601s'"),
        ("reset_after", "log", "'999ms'", "'1s'", "'1d'", "'86401s'"),
    ] {
        let with = |value: &str| load(&format!("{LISTENER}[{table}]\n{key} = {value}"));
        for good in [least, most] {
            assert!(with(good).is_ok(), "{key} = {good}: {:?}", with(good));
        }
        for bad in [below, above] {
            let error = only_error(&format!("{LISTENER}[{table}]\n{key} = {bad}"));
            assert!(error.starts_with(&format!("{table}.{key} = ")) && error.contains(" from "), "{error}");
        }
        assert!(with("true").is_err() && with("'soon'").is_err() && with("1.5").is_err(), "{key}");
    }
}

#[test]
fn some_settings_can_be_off() {
    let config = load(&format!(
        "{LISTENER}[limits]\nrequest_body = 'unlimited'\n[timeouts]\nbody_idle = 'none'\nresponse = 'none'\nflow = 'none'"
    ))
    .expect("a configuration");
    let listener = config.listeners.first().expect("a listener");
    assert_eq!((listener.limits.request_body, listener.timeouts.body_idle), (None, None));
    assert_eq!((listener.timeouts.response, listener.timeouts.flow), (None, None));
    assert!(load(&format!("{LISTENER}[timeouts]\nidle = 'none'")).is_err());
    assert!(load(&format!("{LISTENER}[limits]\nconnections = 'unlimited'")).is_err());
}

#[test]
fn total_is_another_name_of_flow() {
    let config = load(&format!("{LISTENER}[listener.timeouts]\ntotal = '3s'")).expect("a configuration");
    assert_eq!(config.listeners.first().and_then(|listener| listener.timeouts.flow), Some(Duration::from_secs(3)));
    assert!(load(&format!("{LISTENER}[timeouts]\ntotal = '3s'\nflow = '4s'")).is_err());
}

#[test]
fn listeners_inherit_what_they_leave_out() {
    let config = load(&format!(
        "{LISTENER}[listener.limits]\nheader_count = 7\nrequest_body = 'unlimited'\n[listener.timeouts]\nidle = '2s'\n\
         [limits]\nheader_count = 5\nheader_bytes = '2k'\nrequest_body = 9\n[timeouts]\nidle = '1s'\nflow = '3s'"
    ))
    .expect("a configuration");
    let listener = config.listeners.first().expect("a listener");
    assert_eq!((listener.limits.header_count, listener.limits.header_bytes, listener.limits.request_body), (7, 2048, None));
    assert_eq!((listener.timeouts.idle, listener.timeouts.flow), (Duration::from_secs(2), Some(Duration::from_secs(3))));
    for (table, key, value) in [("limits", "instances", "1"), ("limits", "guest_stack", "'1MiB'"), ("timeouts", "grace", "'1s'")]
    {
        let error = only_error(&format!("{LISTENER}[listener.{table}]\n{key} = {value}"));
        assert!(error.ends_with(&format!("is for the whole process: set {table}.{key}")), "{error}");
    }
}

#[test]
fn all_errors_come_at_once() {
    let text = "colour = 1\nplugins = 'nowhere'\n\
        [limits]\nconections = 5\nheader_count = 0\n\
        [admin]\nlisten = '0.0.0.0:9900'\n\
        [log]\nlevel = 'dbug'\nformat = 'xml'\n\
        [[listener]]\nname = 'a b'\nbind = 'x'\nmode = 'forward'\nupstream = 'ftp://h'\n\
        [[listener]]\npreserve_host = 'yes'\naddons = ['a', 'a', 3]\ntls = { cert = 'nowhere' }\ntrust_forwarded = ['10.0.0.1/8']\n\
        [addon.'a b']\ncpu = 50\nhttp = ['*', 'a b']\n[addon.x]\non_error = 'ignore'\n";
    let mut shown: Vec<String> = errors(text, vec![]);
    shown.sort();
    let keys: Vec<&str> = shown.iter().filter_map(|error| error.split([' ', ':']).next()).collect();
    assert_eq!(
        keys,
        [
            "addon.\"a",
            "addon.\"a",
            "addon.\"a",
            "addon.x.on_error",
            "admin.listen",
            "colour",
            "limits.conections",
            "limits.header_count",
            "listener.0.bind",
            "listener.0.name",
            "listener.0.upstream",
            "listener.1.addons.1",
            "listener.1.addons.2",
            "listener.1.bind",
            "listener.1.name",
            "listener.1.preserve_host",
            "listener.1.tls.cert",
            "listener.1.tls.key",
            "listener.1.trust_forwarded.0",
            "listener.1.upstream",
            "log.format",
            "log.level",
            "plugins",
        ],
        "{shown:#?}"
    );
}

#[test]
fn errors_name_key_value_and_range() {
    for (text, expected) in [
        ("[limits]\nheader_count = 0", "limits.header_count = 0: must be a whole number from 1 to 1024"),
        (
            "[limits]\nheader_bytes = '2m'",
            "limits.header_bytes = \"2m\": must be a size (bytes, or with a unit like 64KiB or 3m) from 1KiB to 1MiB",
        ),
        (
            "[timeouts]\nflow = 5",
            "timeouts.flow = 5: must be a duration (with its unit, like 50ms, 1.5s, 2m or 7d) from 1ms to 7d, or \"none\"",
        ),
        ("[limits]\nconections = 5", "limits.conections: unknown key; did you mean connections?"),
        ("state = 'disk'", "state = \"disk\": must be \"memory:\", \"redb:FILE\", \"redis://HOST\" or \"rediss://HOST\""),
        (
            "state = 'redis://u:hunter2@h/0'",
            "state = \"redis://***@h/0\": must have no password: state_password_file or the variable TOLLGATE_STATE_PASSWORD is for that",
        ),
        (
            "[addon.x]\nhttp = ['a', 'http://b']",
            "addon.x.http.1 = \"http://b\": must be \"host\", \"host:port\", \"*.domain\", \"*\" (any public address) or \"private\" (all \
             other addresses)",
        ),
        ("[addon.x]\nkv = 'yes'", "addon.x.kv = \"yes\": must be true or false"),
        (
            "[admin]\ncontroller_host = 'h'",
            "admin.controller_host = \"h\": needs a forward listener: it is answered through these alone",
        ),
    ] {
        assert_eq!(only_error(&format!("{text}\n{LISTENER}")), expected);
    }
}

#[test]
fn broken_files_show_the_place() {
    let directory = directory("plugins = 'plugins'\n[admin\ntoken = 'hunter22'");
    let error = sources(directory.path(), vec![]).load().expect_err("no TOML").to_string();
    assert!(error.contains("tollgate.toml:2:7: ") && !error.contains("hunter22"), "{error}");
    fs::remove_file(directory.path().join("tollgate.toml")).expect("a file");
    let error = sources(directory.path(), vec![]).load().expect_err("no file").to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn flags_go_over_the_file() {
    let directory =
        directory(&format!("{LISTENER}[log]\nlevel = 'warn'\n[limits]\nconnections = 5\n[addon.x.options]\nmax = 1\nmin = 1"));
    let changes = vec![
        Change::Log("debug".to_owned()),
        Change::Admin("9901".to_owned()),
        set("listener.a.preserve_host=true"),
        set("listener.0.timeouts.idle=5s"),
        set("addon.x.options={max=\"v1.10\"}"),
        set("addon.x.options.more=[1]"),
        set("limits.connections=6"),
        set("limits.connections=7"),
    ];
    let config = sources(directory.path(), changes).load().expect("a configuration");
    let listener = config.listeners.first().expect("a listener");
    assert!(listener.preserve_host);
    assert_eq!((listener.timeouts.idle, listener.limits.connections), (Duration::from_secs(5), 7));
    assert_eq!(config.addon("x").options, OptionsSource::Inline(json!({"max": "v1.10", "more": [1]})));
    assert_eq!(config.addon("other"), AddonConfig::default());
    assert_eq!(
        (config.log.level.as_str(), config.admin.and_then(|admin| admin.listen).map(|at| at.port())),
        ("debug", Some(9901))
    );
}

#[test]
fn errors_tell_their_source() {
    let directory = directory(&format!("{LISTENER}[limits]\nconnections = 0"));
    let file = directory.path().join("tollgate.toml").display().to_string();
    let changes =
        vec![set("limits.instances=0"), set("nonsense"), set("listener.b.via=x"), Change::Reverse("http://h".to_owned())];
    let errors = sources(directory.path(), changes).load().expect_err("errors");
    let sources: Vec<&str> = errors.iter().map(|error| error.source.as_str()).collect();
    assert_eq!(sources, ["--flag", "--flag", "--flag", file.as_str(), "--flag"], "{errors}");
}

#[test]
fn paths_start_where_they_are_written() {
    let directory = directory(&format!("{LISTENER}[addon.x]\noptions_file = 'x.json'\n"));
    let file = directory.path().join("x.json");
    fs::write(&file, "{\"a\": 1}").expect("a file");
    let addon = sources(directory.path(), vec![]).load().expect("a configuration").addon("x");
    assert_eq!(addon.options, OptionsSource::File(file));
    // The working directory of the tests holds no x.json.
    assert!(sources(directory.path(), vec![set("addon.x.options_file=x.json")]).load().is_err());
    let config = sources(directory.path(), vec![Change::Plugins("src".to_owned())]).load().expect("a configuration");
    assert_eq!(config.plugins, Path::new("src"));
}

#[test]
fn only_the_default_plugins_may_be_missing() {
    let directory = directory(LISTENER);
    fs::remove_dir(directory.path().join("plugins")).expect("plugins");
    assert!(sources(directory.path(), vec![]).load().is_ok());
    assert!(sources(directory.path(), vec![Change::Plugins("plugins-nowhere".to_owned())]).load().is_err());
    fs::write(directory.path().join("plugins"), "").expect("a file");
    assert!(sources(directory.path(), vec![]).load().is_err());
}

#[test]
fn foreign_admin_listener_needs_a_token() {
    let directory = directory(LISTENER);
    fs::write(directory.path().join("token"), " 12345678\n").expect("a file");
    let admin = |text: &str| {
        fs::write(directory.path().join("tollgate.toml"), format!("{LISTENER}[admin]\n{text}")).expect("a file");
        sources(directory.path(), vec![]).load()
    };
    assert_eq!(
        admin("").map(|config| config.admin.and_then(|admin| admin.listen).map(|at| at.to_string())),
        Ok(Some("127.0.0.1:9900".to_owned()))
    );
    assert!(admin("listen = '[::1]:9900'").is_ok());
    assert!(admin("listen = '0.0.0.0:9900'").is_err());
    assert!(admin("listen = '[::]:9900'").is_err());
    assert!(admin("listen = 9900").is_ok());
    for token in ["token = '12345678'", "token_file = 'token'"] {
        let config = admin(&format!("listen = '*:9900'\n{token}")).expect(token);
        assert_eq!(
            config.admin.and_then(|admin| admin.token).map(|token| token.reveal().to_owned()).as_deref(),
            Some("12345678")
        );
    }
    assert!(admin("token = '12345678'\ntoken_file = 'token'").is_err());
}

#[test]
fn secrets_are_never_shown() {
    let text = format!("{LISTENER}[admin]\ntoken = 'hunter2'\n[[listener]]\nupstream = 'http://u:hunter2@h'\n");
    let shown = load_with(
        &text,
        vec![
            set("admin.token=\"hunter2"),
            set("admin.tokn=hunter2"),
            set("listener.0.upstream=\"u:hunter2@h\""),
            Change::Reverse("http://u:hunter2@h:1@x".to_owned()),
        ],
    );
    let shown = shown.expect_err("errors").to_string();
    assert!(shown.lines().count() >= 5 && !shown.contains("hunter2"), "{shown}");
    let config = load(&format!("{LISTENER}[admin]\ntoken = 'hunter2hunter2'")).expect("a configuration");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn names_and_addresses_are_unique() {
    let second =
        |name: &str, bind: &str| format!("{LISTENER}[[listener]]\nname = '{name}'\nbind = '{bind}'\nupstream = 'http://h'\n");
    assert!(load(&second("b", "127.0.0.1:0")).is_ok());
    assert_eq!(only_error(&second("a", "127.0.0.1:0")), "listener.1.name = \"a\": is taken by listener.0.name");
    let text = format!("{}[admin]\nlisten = 9900", second("b", "*:9900"));
    assert_eq!(only_error(&text), "listener.1.bind = \"*:9900\": is taken by admin.listen");
    // Also where something else is wrong with both.
    let text = "[[listener]]\nname = 'a'\nbind = 80\n[[listener]]\nname = 'a'\nbind = 80\n";
    assert_eq!(errors(text, vec![]).iter().filter(|error| error.contains("is taken by")).count(), 2);
}

#[test]
fn upstream_settings_fit_the_upstream() {
    let directory = directory("");
    fs::write(directory.path().join("ca.pem"), "").expect("a file");
    for (upstream, settings, is_good) in [
        ("https://h", "upstream_ca = 'ca.pem'", true),
        ("http://h", "upstream_ca = 'ca.pem'", false),
        ("https://h", "upstream_ca = 'nowhere.pem'", false),
        ("http://h", "upstream_protocol = 'h2'", true),
        ("http://h", "upstream_protocol = 'http1'", true),
        ("http://h", "upstream_protocol = 'h3'", false),
        ("https://h", "tls = { cert = 'ca.pem', key = 'ca.pem' }", true),
        ("https://h", "tls = { cert = 'ca.pem' }", false),
        ("http://h", "trust_forwarded = true", true),
        ("http://h", "trust_forwarded = 'loopback'", true),
        ("http://h", "trust_forwarded = ['loopback', '10.0.0.0/8']", true),
        ("http://h", "trust_forwarded = 3", false),
        ("http://h", "via = 'tollgate-1'", true),
        ("http://h", "via = 'a b'", false),
    ] {
        let text = format!("[[listener]]\nname = 'a'\nbind = 0\nupstream = '{upstream}'\n{settings}");
        fs::write(directory.path().join("tollgate.toml"), text).expect("a file");
        assert_eq!(sources(directory.path(), vec![]).load().is_ok(), is_good, "{upstream} {settings}");
    }
}

#[test]
fn every_key_can_be_set_by_flag() {
    let directory = directory("");
    for name in ["c.pem", "o.json"] {
        fs::write(directory.path().join(name), "{}").expect("a file");
    }
    let file = |name: &str| directory.path().join(name).display().to_string();
    let changes = [
        "listener.0.name=a",
        "listener.0.mode=reverse",
        "listener.0.bind=127.0.0.1:0",
        "listener.0.upstream=https://h:1",
        "listener.0.upstream_protocol=h2",
        &format!("listener.0.upstream_ca='{}'", file("c.pem")),
        "listener.0.addons=['x']",
        "listener.a.addons.1=y",
        "listener.0.preserve_host=true",
        "listener.0.half_close=true",
        "listener.0.trust_forwarded=loopback",
        "listener.0.via=a",
        &format!("listener.0.tls.cert='{}'", file("c.pem")),
        &format!("listener.0.tls.key='{}'", file("c.pem")),
        "listener.0.limits.header_count=3",
        "listener.0.timeouts.flow=3s",
        &format!("addon.x.options_file='{}'", file("o.json")),
        "addon.\"y\".on_error=open",
        "addon.x.http=['*', 'a:1']",
        "addon.x.outbox=['private', 'b:2']",
        "addon.x.calls=3",
        "addon.x.kv=true",
        "addon.x.kv_keys=4",
        "state='memory:'",
        "admin.token=12345678a",
        "admin.listen=\"*:1\"",
        "log.format=json",
    ];
    let config = sources(directory.path(), changes.map(set).into()).load().expect("a configuration");
    let listener = config.listeners.first().expect("a listener");
    assert_eq!(listener.addons.as_deref(), Some(&["x".to_owned(), "y".to_owned()][..]));
    let grants: Vec<_> = config.addon("x").grants.http.iter().map(ToString::to_string).collect();
    assert_eq!((grants.join(" "), config.addon("x").limits.calls), ("* a:1".to_owned(), 3));
    let outbox: Vec<_> = config.addon("x").grants.outbox.iter().map(ToString::to_string).collect();
    assert_eq!(outbox, ["private", "b:2"]);
    assert_eq!((config.addon("x").grants.kv, config.addon("x").limits.kv.keys), (true, 4));
    assert_eq!((config.addon("y").policy, config.log.format), (FailurePolicy::new(OnError::Open), LogFormat::Json));
}
