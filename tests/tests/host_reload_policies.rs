//! Changes of code, options and grants while hooks fail, are tried again and are quarantined: no flow is lost, and none sees two
//! generations.
#![cfg(test)]

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, Load, guest, rebuilt, seen_whole, seen_whole_if_at_all, versioned},
    eventually,
};

/// As [`versioned`], with hooks that fail half of the times.
fn failing(tag: &str) -> Value {
    let mut options = versioned(tag);
    for rule in options["rules"].as_array_mut().expect("rules") {
        rule["do"].as_array_mut().expect("actions").push(json!({"sometimes": "trap"}));
    }
    options
}

/// Changes everything that can be changed, round after round, under load.
async fn change_all(host: &Hosted, load: &Load, options: fn(&str) -> Value, settings: &[&str]) {
    let plain = host.config();
    for round in 0..12_u32 {
        let answer = host.admin().put_options("a", &options(&round.to_string())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let setting = settings[round as usize % settings.len()];
        std::fs::write(host.config_path(), format!("{plain}\n{setting}\n")).expect("a file");
        host.reload().await;
        host.drop_in("a", &rebuilt(round));
        assert_eq!(host.admin().reload("a").await.status, 200);
        host.admin().in_force("a", &rebuilt(round)).await;
        load.more(20).await;
    }
    std::fs::write(host.config_path(), plain).expect("a file");
    host.reload().await;
}

#[tokio::test]
async fn no_flow_is_lost_while_hooks_are_tried_again() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &failing("old"))
        .set("addon.a.on_error", "retry-open")
        .set("addon.a.quarantine", "false")
        .start()
        .await;
    let load = Load::start(host.address(), 4, "/", seen_whole_if_at_all);
    load.more(20).await;
    change_all(&host, &load, failing, &["cpu = \"40ms\"", "kv = true", "withhold_headers = [\"cookie\"]"]).await;
    load.more(20).await;
    load.stop_unharmed().await;
    assert!(host.admin().counter("a", "retries").await > 20);
    host.admin().until("a", |status| status["instances_live"] == 0).await;
}

#[tokio::test]
async fn no_flow_is_lost_while_the_addon_is_quarantined_again_and_again() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &failing("old"))
        .set("addon.a.on_error", "open")
        .set("addon.a.quarantine", "{ failures = 3, share = 1, first = \"20ms\", longest = \"50ms\" }")
        .start()
        .await;
    let load = Load::start(host.address(), 4, "/", seen_whole_if_at_all);
    load.more(20).await;
    change_all(&host, &load, failing, &["cpu = \"40ms\"", "kv = true"]).await;
    load.more(20).await;
    load.stop_unharmed().await;
    let status = host.admin().status("a").await;
    assert!(status["quarantine"]["times"].as_u64().is_some_and(|times| times > 5), "{status:#}");
}

#[tokio::test]
async fn no_flow_is_lost_while_grants_come_and_go() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    load.more(20).await;
    let settings = [
        "write_headers = [\"x-*\"]",
        "read_headers = [\"x-*\"]",
        "bodies = false",
        "events = [\"request\", \"response\"]\nkv = true",
        "http = [\"*\"]\nwithhold_headers = [\"cookie\"]",
    ];
    change_all(&host, &load, versioned, &settings).await;
    load.more(20).await;
    load.stop_unharmed().await;
}

/// With a grant that the addon cannot do without: each flow is seen whole or refused, and none passes unseen.
#[tokio::test]
async fn no_flow_passes_unseen_while_an_addon_is_withdrawn_and_comes_back() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await;
    let load = Load::start(host.address(), 4, "/", |answer| {
        if answer.status == 503 && answer.json()["error"] == "addon a is not loaded" { Ok(()) } else { seen_whole(answer) }
    });
    load.more(20).await;
    let plain = host.config();
    for _ in 0..10 {
        std::fs::write(host.config_path(), format!("{plain}\nevents = [\"request\"]\n")).expect("a file");
        host.reload().await;
        assert_eq!(host.get("/").await.status, 503);
        load.more(10).await;
        std::fs::write(host.config_path(), &plain).expect("a file");
        host.reload().await;
        assert_eq!(host.get("/").await.status, 200);
        load.more(10).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn endless_configures_hold_up_nobody() {
    let origin = RawOrigin::ok().await;
    let spinners = ["s1", "s2", "s3", "s4", "s5", "s6"];
    let builder = Hosted::before(&origin.url()).options("good", &versioned("good"));
    let builder = spinners.iter().fold(builder, |builder, name| {
        let key = format!("addon.{name}.configure");
        builder.options(name, &json!({"configure": ["spin"]})).set(&key, "5m").set(&format!("addon.{name}.on_error"), "open")
    });
    let host = builder.start().await;
    let is_loading = async |name: &str| host.admin().status(name).await["state"] == "loading";
    for name in spinners {
        host.drop_in(name, &guest("scripted"));
        eventually(async || is_loading(name).await).await;
    }
    // Their code is compiled: they are in `configure` now, and stay there.
    tokio::time::sleep(Duration::from_millis(200)).await;
    host.drop_in("good", &rebuilt(7));
    host.admin().in_force("good", &rebuilt(7)).await;
    assert!(host.answered().await.starts_with("good guest-build-00000007 "));
    // New options and new code of what is in force, too.
    assert_eq!(host.admin().put_options("good", &versioned("better")).await.status, 200);
    host.drop_in("good", &rebuilt(8));
    host.admin().in_force("good", &rebuilt(8)).await;
    assert!(host.answered().await.starts_with("better guest-build-00000008 "));
    for name in spinners {
        assert!(is_loading(name).await, "{name} is done: {}", host.admin().status(name).await);
    }
}
