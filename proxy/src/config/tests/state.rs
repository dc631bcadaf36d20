//! `state` and what goes with it.

use super::*;

fn state(text: &str) -> State {
    load(&format!("{text}\n{LISTENER}")).expect("a configuration").state
}

#[test]
fn stores_are_told_apart() {
    assert_eq!(state("state = 'memory:'").store, StateStore::Memory);
    for text in ["state = 'redb:kept/state'", "state = 'file:kept/state'"] {
        let StateStore::File(path) = state(text).store else { panic!("{text}") };
        assert!(path.ends_with("kept/state"), "{path:?}");
    }
    let StateStore::Redis(server) = state("state = 'redis://h/1'").store else { panic!("no server") };
    assert_eq!((&*server.host, server.database, server.tls), ("h", 1, false));
    let StateStore::Default(path) = state("").store else { panic!("no home") };
    assert!(path.is_absolute() && path.ends_with("tollgate/state.redb"), "{path:?}");
}

#[test]
fn limits_of_the_store_hold_below_at_above() {
    for (key, below, least, most, above) in [
        ("state_bytes", "16777215", "'16MiB'", "'1024GiB'", "1099511627777"),
        ("state_timeout", "'9ms'", "'10ms'", "'1m'", "'60001ms'"),
    ] {
        for legal in [least, most] {
            state(&format!("{key} = {legal}"));
        }
        for illegal in [below, above] {
            let error = only_error(&format!("{key} = {illegal}\n{LISTENER}"));
            assert!(error.starts_with(&format!("{key} = ")) && error.contains("must be"), "{error}");
        }
    }
    assert_eq!((state("").bytes, state("").timeout), (1 << 30, Duration::from_secs(2)));
}

#[test]
fn secrets_of_servers_are_for_servers() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, " hunter2\n").expect("a file");
    let StateStore::Redis(server) = state(&format!("state = 'redis://h'\nstate_password_file = '{}'", file.display())).store
    else {
        panic!("no server")
    };
    assert_eq!(server.password.as_deref(), Some("hunter2"));
    assert!(!format!("{server:?}").contains("hunter2"));
    for (text, problem) in [
        ("state = 'memory:'\nstate_password_file = 'x'", "is for a state that is redis:// or rediss://"),
        ("state = 'memory:'\nstate_ca = 'x'", "is for a state that is redis:// or rediss://"),
        ("state = 'redis://h'\nstate_ca = 'x'", "is for a state that is rediss://"),
        ("state = 'rediss://h'\nstate_ca = 'x'", "the file cannot be read"),
        ("state = 'redis://h'\nstate_password_file = 'x'", "the file cannot be read"),
        ("state = 'redb:'", "must be \"memory:\""),
    ] {
        let error = only_error(&format!("{text}\n{LISTENER}"));
        assert!(error.contains(problem), "{error}");
    }
}
