//! Forward listeners, the controller, and the flags that make them.

use super::*;
use crate::targets::Targets;

const FORWARD: &str = "[[listener]]\nname = 'f'\nmode = 'forward'\nbind = '127.0.0.1:0'\n";

fn forward(text: &str) -> Forward {
    let config = load(&format!("{FORWARD}{text}")).expect(text);
    match config.listeners.into_iter().next().map(|listener| listener.mode) {
        Some(Mode::Forward(forward)) => forward,
        other => panic!("no forward listener: {other:?}"),
    }
}

fn flags(changes: Vec<Change>) -> Result<Config, ConfigErrors> {
    let overrides = changes.into_iter().map(|change| Override { source: "--flag".to_owned(), change }).collect();
    Sources { file: None, overrides }.load()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn is_client(forward: &Forward, address: &str) -> bool {
    forward.clients.contains(address.parse().expect(address))
}

#[test]
fn by_default_only_this_machine_is_served() {
    let forward = forward("");
    for (client, is_served) in [("127.0.0.1", true), ("::1", true), ("10.0.0.7", false), ("8.8.8.8", false)] {
        assert_eq!(is_client(&forward, client), is_served, "{client}");
    }
    assert_eq!(forward.targets, Targets::default());
}

#[test]
fn clients_and_targets_are_read() {
    let one = forward(
        "clients = ['10.0.0.0/8', 'loopback']\ntargets = { allow = ['a:1'], deny = ['*'], connect_ports = [1, '65535'] }",
    );
    assert!(is_client(&one, "10.0.0.7") && is_client(&one, "127.0.0.1") && !is_client(&one, "11.0.0.1"));
    assert_eq!(one.targets.allow.iter().chain(&one.targets.deny).map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "*"]);
    assert_eq!(one.targets.connect_ports, Some(vec![1, 65535]));
    assert_eq!(forward("targets.connect_ports = 'any'").targets.connect_ports, None);
    assert_eq!(forward("targets.connect_ports = []").targets.connect_ports, Some(vec![]));
    assert!(is_client(&forward("clients = 'any'\ntargets.allow = ['*']"), "8.8.8.8"));
}

#[test]
fn a_proxy_for_anybody_says_where_to() {
    for clients in ["'any'", "['any']", "['0.0.0.0/0']", "['loopback', '::/0']"] {
        let error = only_error(&format!("{FORWARD}clients = {clients}\ntargets.deny = ['private']"));
        assert!(error.starts_with("listener.0.targets.allow: is missing: listener.0.clients lets in anybody"), "{error}");
    }
}

#[test]
fn broken_lists_are_refused_by_name() {
    for (text, expected) in [
        ("clients = []", "listener.0.clients: must name somebody, like [\"loopback\"]"),
        ("clients = 3", "listener.0.clients = 3: must be \"any\", \"loopback\" or an array of networks like \"10.0.0.0/8\""),
        (
            "clients = ['loopback', 'me']",
            "listener.0.clients.1 = \"me\": must be \"any\", \"loopback\", an IP address or a network like \"10.0.0.0/8\"",
        ),
        (
            "targets.allow = ['*', 'http://a']",
            "listener.0.targets.allow.1 = \"http://a\": must be \"host\", \"host:port\", \"*.domain\", a network like \"10.0.0.0/8\", \
             \"*\" (any public address) or \"private\" (all other addresses)",
        ),
        ("targets.alow = ['*']", "listener.0.targets.alow: unknown key; did you mean allow?"),
        (
            "targets.connect_ports = 'all'",
            "listener.0.targets.connect_ports = \"all\": must be \"any\" or an array of ports like [443]",
        ),
        ("targets.connect_ports = [0]", "listener.0.targets.connect_ports.0 = 0: must be a port from 1 to 65535"),
        ("targets.connect_ports = [65536]", "listener.0.targets.connect_ports.0 = 65536: must be a port from 1 to 65535"),
        ("upstream = 'http://h'", "listener.0.upstream = \"http://h\": must not be set where mode is forward"),
        ("preserve_host = true", "listener.0.preserve_host = true: must not be set where mode is forward"),
        ("trust_forwarded = true", "listener.0.trust_forwarded = true: must not be set where mode is forward"),
    ] {
        assert_eq!(only_error(&format!("{FORWARD}{text}")), expected);
    }
    for text in ["clients = 'loopback'", "targets.deny = ['private']"] {
        let error = only_error(&format!("{LISTENER}{text}"));
        assert!(error.ends_with("must not be set where mode is reverse"), "{error}");
    }
}

#[test]
fn controllers_need_a_forward_listener_and_are_not_for_anybody() {
    let controller = |listeners: &str, admin: &str| load(&format!("{listeners}[admin]\ncontroller_host = 'Mitm.code'\n{admin}"));
    let config = controller(FORWARD, "").expect("a configuration");
    let admin = config.admin.expect("an admin listener");
    assert_eq!((admin.controller_host.as_deref(), admin.listen.is_some()), (Some("mitm.code"), true));
    assert!(controller(LISTENER, "").expect_err("reverse").to_string().contains("needs a forward listener"));
    let open = format!("{FORWARD}clients = 'any'\ntargets.allow = ['*']\n");
    assert!(controller(&open, "").expect_err("open").to_string().contains("needs admin.token"));
    assert!(controller(&open, "token = '12345678'").is_ok());
    let alone = controller(FORWARD, "listen = 'none'").expect("a configuration");
    assert_eq!(alone.admin.and_then(|admin| admin.listen), None);
    let error = only_error(&format!("{FORWARD}[admin]\nlisten = 'none'"));
    assert_eq!(error, "admin.listen = \"none\": must be an address where admin.controller_host is not set");
}

#[test]
fn one_process_is_made_of_flags() {
    let config = flags(vec![
        Change::Reverse(text("http://hs1:8008@3000")),
        Change::Reverse(text("http://hs2:8008@*:3001")),
        Change::Forward(text("8080")),
        Change::Forward(text("[::1]:8080")),
        Change::ControllerHost(text("mitm.code")),
        Change::Grant(text("callback=*, private")),
        Change::Grant(text("callback=a.test:8")),
        set("listener.forward-8080.clients=10.0.0.0/8"),
    ])
    .expect("a configuration");
    let listeners: Vec<_> = config.listeners.iter().map(|one| format!("{} {}", one.name, one.bind)).collect();
    assert_eq!(
        listeners,
        ["reverse-3000 127.0.0.1:3000", "reverse-3001 0.0.0.0:3001", "forward-8080 127.0.0.1:8080", "forward-8080-2 [::1]:8080"]
    );
    let grants: Vec<_> = config.addon("callback").grants.http.iter().map(ToString::to_string).collect();
    assert_eq!(grants, ["*", "private", "a.test:8"]);
    // The controller alone turns no admin listener on.
    assert_eq!(config.admin.expect("a controller").listen, None);
    let both = vec![Change::Forward(text("1")), Change::Admin(text("9901")), Change::ControllerHost(text("c"))];
    assert_eq!(flags(both).expect("a configuration").admin.and_then(|admin| admin.listen).map(|at| at.port()), Some(9901));
}

#[test]
fn the_ready_file_is_valid() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/callback/tollgate.toml");
    let config = Sources { file: Some(file), overrides: vec![] }.load().expect("a configuration");
    let listeners: Vec<_> = config.listeners.iter().map(|one| format!("{} {} {}", one.name, one.bind, upstream(one))).collect();
    let expected = ["hs1 0.0.0.0:3000 http://hs1:8008", "hs2 0.0.0.0:3001 http://hs2:8008", "forward 0.0.0.0:8080 forward"];
    assert_eq!(listeners, expected);
    assert!(config.listeners.iter().all(|listener| listener.addons.as_deref() == Some(&["callback".to_owned()][..])));
    let grants: Vec<_> = config.addon("callback").grants.http.iter().map(ToString::to_string).collect();
    assert_eq!(grants, ["*", "private"]);
    assert_eq!(config.admin.and_then(|admin| admin.controller_host).as_deref(), Some("mitm.code"));
}

#[test]
fn grants_add_to_those_of_the_file() {
    let with = |text: &str| load_with(&format!("{LISTENER}[addon.x]\n{text}"), vec![Change::Grant("x=private".to_owned())]);
    let config = with("http = ['a.test']").expect("a configuration");
    assert_eq!(config.addon("x").grants.http.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.test", "private"]);
    assert!(with("http = 'a.test'").is_err());
}

#[test]
fn broken_flags_are_told_all_at_once() {
    let errors = flags(vec![
        Change::Forward(text("nowhere")),
        Change::Reverse(text("http://h")),
        Change::Grant(text("callback")),
        Change::Grant(text("callback=,http://h")),
        Change::ControllerHost(text("127.0.0.1")),
        Change::Plugins(text("/nowhere")),
    ]);
    let errors = errors.expect_err("errors").to_string();
    for part in [
        "listener.0.bind = \"nowhere\"",
        "must be UPSTREAM@[HOST:]PORT",
        "must be NAME=GRANT,GRANT, like \"callback=*,private\"",
        "addon.callback.http.0 = \"\"",
        "addon.callback.http.1 = \"http://h\"",
        "admin.controller_host = \"127.0.0.1\"",
        "plugins = \"/nowhere\"",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
}

/// A forward listener with files for TLS.
fn with_tls(tls: &str) -> Result<Config, ConfigErrors> {
    let directory = directory(&format!("{FORWARD}tls = {{ {tls} }}\n"));
    for name in ["ca.pem", "ca.key"] {
        fs::write(directory.path().join(name), "what is in it is seen later").expect("a file");
    }
    sources(directory.path(), vec![]).load()
}

#[test]
fn interception_is_read() {
    let intercept = |tls: &str| match with_tls(tls).expect(tls).listeners.remove(0).mode {
        Mode::Forward(forward) => forward.intercept.expect("interception"),
        Mode::Reverse(_) => panic!("a reverse listener"),
    };
    let plain = intercept("ca = 'ca.pem'");
    assert!(plain.ca.ends_with("ca.pem") && plain.key.is_none() && plain.only.is_none() && plain.tunnel.is_empty());
    assert_eq!(plain.certificates.get(), 1000);
    let all = intercept(
        "ca = 'ca.pem', key = 'ca.key', intercept = ['a.test'], tunnel = ['*.bank.test', '10.0.0.0/8'], certificates = 7",
    );
    assert!(all.key.is_some_and(|key| key.ends_with("ca.key")));
    assert_eq!((all.only.map(|only| only.len()), all.tunnel.len(), all.certificates.get()), (Some(1), 2, 7));
    assert_eq!(forward("").intercept, None);
    for (number, is_legal) in [(0, false), (1, true), (100_000, true), (100_001, false)] {
        assert_eq!(with_tls(&format!("ca = 'ca.pem', certificates = {number}")).is_ok(), is_legal, "{number}");
    }
}

#[test]
fn broken_interception_is_told() {
    for (tls, expected) in [
        ("ca = 'nowhere'", "listener.0.tls.ca = \"nowhere\": the file cannot be read"),
        ("ca = 'ca.pem', key = 'nowhere'", "listener.0.tls.key = \"nowhere\": the file cannot be read"),
        ("ca = 'ca.pem', cert = 'ca.pem'", "listener.0.tls.cert = \"ca.pem\": must not be set where tls.ca is"),
        ("cert = 'ca.pem', key = 'ca.key', tunnel = ['a.test']", "listener.0.tls.tunnel: must not be set where tls.ca is not"),
        ("ca = 'ca.pem', tunnel = ['*']", "listener.0.tls.tunnel.0 = \"*\": must be \"host\""),
        ("ca = 'ca.pem', intercept = ['a', 'private']", "listener.0.tls.intercept.1 = \"private\": must be \"host\""),
        ("ca = 'ca.pem', tunnel = ['a b']", "listener.0.tls.tunnel.0 = \"a b\": must be"),
        ("ca = 'ca.pem', certificates = 0", "listener.0.tls.certificates = 0: must be a whole number from 1 to 100000"),
    ] {
        let error = with_tls(tls).expect_err(tls).to_string();
        assert!(error.contains(expected), "{tls}: {error}");
    }
    let error = only_error(&format!("{LISTENER}tls = {{ ca = 'ca.pem', key = 'ca.key' }}"));
    assert_eq!(error, "listener.0.tls.ca = \"ca.pem\": must not be set where mode is reverse");
}

#[test]
fn users_are_read_from_table_and_file() {
    let hash = crate::users::hash(b"secret", crate::users::Kind::Bcrypt(4)).expect("a hash");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    std::fs::write(&file, format!("bea:{hash}\n")).expect("a file");
    assert_eq!(forward("").users, None);
    let both = forward(&format!("users = {{ ann = '{hash}' }}\nusers_file = '{}'", file.display())).users.expect("users");
    assert_eq!((both.users.len(), both.file.as_deref()), (2, Some(file.as_path())));
    // Nobody is in both.
    std::fs::write(&file, format!("ann:{hash}\n")).expect("a file");
    let error = only_error(&format!("{FORWARD}users = {{ ann = '{hash}' }}\nusers_file = '{}'", file.display()));
    assert!(error.contains("listener.0.users_file") && error.contains("line 1: ann is there twice"), "{error}");
    let large = "#".repeat((4 << 20) + 1);
    std::fs::write(&file, large).expect("a file");
    assert!(only_error(&format!("{FORWARD}users_file = '{}'", file.display())).contains("larger than 4096 KiB"));
}

#[test]
fn mirroring_is_off_unless_it_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, "x").expect("a file");
    for (more, expected) in [
        ("", Mirroring::Off),
        (", mirror = 'off'", Mirroring::Off),
        (", mirror = 'prefer'", Mirroring::Prefer),
        (", mirror = 'require'", Mirroring::Require),
    ] {
        let forward = forward(&format!("tls = {{ ca = '{}'{more} }}", ca.display()));
        assert_eq!(forward.intercept.map(|intercept| intercept.mirror), Some(expected), "{more}");
    }
    assert!(load(&format!("{FORWARD}tls.mirror = 'prefer'")).is_err());
}
