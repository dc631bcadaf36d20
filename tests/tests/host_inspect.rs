//! What is asked beside what is granted, as `inspect` and `check` print it.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Ended, Tollgate,
    addons::{drop_in, guest},
};

/// A subscription that does nothing, or with these keys more.
fn rule(event: &str, more: &Value) -> Value {
    let mut rule = json!({"on": event});
    rule.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    rule
}

/// `tollgate inspect` of the scripted guest as `a`, with these rules and settings in a file.
async fn inspect(rules: &Value, settings: &str) -> Ended {
    let home = tempfile::tempdir().expect("a directory");
    drop_in(home.path(), "a", &guest("scripted"));
    std::fs::write(home.path().join("a.json"), json!({"rules": rules, "token": "hunter2"}).to_string()).expect("a file");
    let config = home.path().join("tollgate.toml");
    std::fs::write(&config, format!("[addon.a]\noptions_file = \"a.json\"\n{settings}")).expect("a file");
    let (file, config) = (home.path().join("a.wasm"), config.to_string_lossy().into_owned());
    Tollgate::run(&["inspect", &file.to_string_lossy(), "--config", &config, "--set", "addon.a.memory=32MiB"]).await
}

/// The line that begins so.
fn line<'a>(ended: &'a Ended, start: &str) -> &'a str {
    let found = ended.stdout.lines().find(|line| line.trim_start().starts_with(start));
    found.unwrap_or_else(|| panic!("no line begins with {start}: {ended:?}"))
}

#[tokio::test]
async fn inspect_holds_what_is_asked_against_what_is_granted() {
    let rules = json!([rule("request", &json!({"body": {"refuse": 5}})), rule("finish", &json!({"filter": "~h secret"}))]);
    let ended = inspect(&rules, "events = [\"finish\"]\nbodies = false\nwithhold_headers = [\"cookie\"]\n").await;
    assert!(ended.status.success(), "{ended:?}");
    for (start, is_granted) in [
        ("tollgate:addon/flow@0.1.0", true),
        ("tollgate:addon/kv@0.1.0, every call is denied", false),
        ("tollgate:addon/log@0.1.0", true),
        ("wasi:cli/environment@", false),
        ("[0]   event   request", false),
        ("body    whole, up to 5 bytes, beyond: refuse", false),
        ("[1]   event   finish", true),
        ("filter  every flow", true),
        ("filter  ~h secret", false),
    ] {
        let line = line(&ended, start);
        let end = if is_granted { " granted" } else { " NOT GRANTED" };
        assert!(line.ends_with(end), "{line}");
    }
    for part in [
        "it would be refused\n  [0] request: the event is not granted (events)\n",
        "withhold_headers = [\"cookie\"]",
        "memory           = \"32MiB\"",
        "instances        = 2000",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
}

#[tokio::test]
async fn inspect_says_when_all_is_granted() {
    let ended = inspect(&json!([rule("request", &json!({"body": "full"}))]), "").await;
    assert!(ended.status.success() && !ended.stdout.contains("it would be refused"), "{ended:?}");
    assert!(line(&ended, "[0]   event   request").ends_with(" granted"), "{ended:?}");
    let ended = inspect(&json!([]), "kv = true\n").await;
    assert!(line(&ended, "tollgate:addon/kv@0.1.0").ends_with(" granted"), "{ended:?}");
    let ended = inspect(&json!([]), "edit = 3\n").await;
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("addon.a.edit = 3: must be true or false"), "{}", ended.stderr);
}

#[tokio::test]
async fn check_tells_of_greedy_addons() {
    let plugins = tempfile::tempdir().expect("a directory");
    drop_in(plugins.path(), "a", &guest("raw"));
    let directory = plugins.path().to_str().expect("a path");
    let check = ["check", "--reverse", "http://127.0.0.1:1@0", "--plugins", directory, "--set", "addon.a.events=[\"finish\"]"];
    let ended = Tollgate::run(&check).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    for part in ["FAILED a\n", "[0] response: the event is not granted (events)", "[1] upstream-error: the event"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}
