//! Options and settings that change while flows go by: no request is lost, and no flow sees two generations.
#![cfg(test)]

use serde_json::json;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, Load, guest, rebuilt, seen_whole, take_out, versioned},
    eventually,
};

async fn with_addon(origin: &RawOrigin) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await
}

#[tokio::test]
async fn put_options_are_live_when_answered() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    for number in 0..20 {
        let tag = format!("put-{number}");
        let status = host.admin().put_options("a", &versioned(&tag)).await;
        assert_eq!(status.status, 200, "{}", status.text());
        let generation = status.json()["generation"].clone();
        assert_eq!(host.answered().await, format!("{tag} guest-build-00000000 {generation}"));
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn put_options_outlive_new_code() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    host.admin().put_options("a", &versioned("put")).await;
    host.drop_in("a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
    assert!(host.answered().await.starts_with("put guest-build-00000001 "));
}

#[tokio::test]
async fn changed_options_files_take_over() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    // One that was put goes with the next change of the file.
    host.admin().put_options("a", &versioned("put")).await;
    for tag in ["first", "second"] {
        host.write_options("a", &versioned(tag));
        eventually(async || host.answered().await.starts_with(&format!("{tag} "))).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn refused_options_leave_the_old_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    let mut refused = versioned("refused");
    refused["refused"] = json!([["rules[1].on", "must not be"], ["table", "too small"]]);
    let answer = host.admin().put_options("a", &refused).await;
    assert_eq!(answer.status, 400);
    let errors = json!([{"path": "rules[1].on", "message": "must not be"}, {"path": "table", "message": "too small"}]);
    assert_eq!((&answer.json()["errcode"], &answer.json()["errors"]), (&json!("M_BAD_JSON"), &errors));
    assert!(host.answered().await.starts_with("old "));
    host.write_options("a", &refused);
    let why = host.admin().refused("a").await;
    assert_eq!(why, "options refused: rules[1].on: must not be; table: too small");
    assert!(host.answered().await.starts_with("old "));
    load.more(20).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn traps_in_configure_leave_the_old_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    let mut trapping = versioned("trapping");
    trapping["configure"] = json!([{"panic": "not with me"}]);
    let answer = host.admin().put_options("a", &trapping).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("not with me"), "{}", answer.text());
    host.write_options("a", &trapping);
    let why = host.admin().refused("a").await;
    assert!(why.contains("configure failed: panicked at") && why.contains("not with me"), "{why}");
    load.more(20).await;
    load.stop_unharmed().await;
    assert!(host.answered().await.starts_with("old "));
}

#[tokio::test]
async fn unreadable_options_leave_the_old_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    std::fs::write(host.options_file("a"), "{\"tag\": ").expect("a file");
    host.admin().until("a", |status| status["error"].as_str().is_some_and(|error| error.contains("not JSON"))).await;
    assert!(host.answered().await.starts_with("old "));
    std::fs::remove_file(host.options_file("a")).expect("a file");
    host.admin().until("a", |status| status["error"].as_str().is_some_and(|error| error.contains("cannot read"))).await;
    assert!(host.answered().await.starts_with("old "));
    host.write_options("a", &versioned("back"));
    eventually(async || host.answered().await.starts_with("back ")).await;
}

#[tokio::test]
async fn asked_reloads_make_a_generation() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    let mut last = host.admin().status("a").await["generation"].as_u64().expect("a number");
    for _ in 0..5 {
        let answer = host.admin().reload("a").await;
        let generation = answer.json()["generation"].as_u64().expect("a number");
        assert!(answer.status == 200 && generation > last, "{generation} after {last}");
        assert!(host.answered().await.ends_with(&format!(" {generation}")));
        last = generation;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn changed_settings_make_a_generation() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": ["trap"]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    assert_eq!(host.get("/").await.status, 503);
    std::fs::write(host.config_path(), host.config() + "on_error = \"open\"\n").expect("a file");
    host.reload().await;
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn running_hooks_end_in_their_generation() {
    let origin = RawOrigin::ok().await;
    let slow = |tag: &str| {
        let mut options = versioned(tag);
        options["rules"][0]["filter"] = json!("~p ^/slow$");
        options["rules"][0]["do"] = json!([{"log": "in the hook"}, {"wait": 700}, {"note": ["asked", "{tag} {generation}"]}]);
        options["rules"][1]["do"] = json!([{"set": ["X-Asked", "{note:asked}"]}, {"set": ["X-Answered", "{tag} {generation}"]}]);
        options
    };
    let host = Hosted::before(&origin.url()).scripted("a", &slow("old")).start().await;
    let before = host.answered().await;
    let flow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/slow"));
    host.logged("in the hook").await;
    assert_eq!(host.admin().put_options("a", &slow("new")).await.status, 200);
    assert!(host.answered().await.starts_with("new "));
    let answer = flow.await.expect("a flow");
    assert_eq!((answer.header("x-asked"), answer.header("x-answered")), (Some(before.as_str()), Some(before.as_str())));
}

#[tokio::test]
async fn chains_are_swapped_whole() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted(
            "a",
            &json!({"rules": [
                {"on": "request", "do": [{"note": ["asked", "{generation}"]}]},
                {"on": "response", "do": [{"set": ["X-Answered", "{generation}"]}]},
            ]}),
        )
        .scripted("b", &json!({"rules": [{"on": "response", "do": [{"set": ["X-Asked", "{note:asked}"]}]}]}))
        .start()
        .await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    for _ in 0..20 {
        for name in ["a", "b"] {
            assert_eq!(host.admin().reload(name).await.status, 200);
        }
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn changed_orders_mix_in_no_flow() {
    let origin = RawOrigin::ok().await;
    let signing = |name: &str| {
        json!({"rules": [
            {"on": "request", "do": [{"note": ["asked", format!("{name}{{note:asked}}")]}]},
            {"on": "response", "do": [{"set": ["X-Asked", "{note:asked}"]}, {"note": ["answered", format!("{{note:answered}}{name}")]},
                {"set": ["X-Answered", "{note:answered}"]}]},
        ]})
    };
    let host = Hosted::before(&origin.url())
        .with(|builder| builder.config_toml("addons = [\"a\", \"b\"]"))
        .scripted("a", &signing("a"))
        .scripted("b", &signing("b"))
        .start()
        .await;
    // Asked by the first, then by the second; answered by the second, then by the first.
    let load = Load::start(host.address(), 4, "/", |answer| match (answer.header("x-asked"), answer.header("x-answered")) {
        (Some("banone"), Some("noneba")) | (Some("abnone"), Some("noneab")) => Ok(()),
        other => Err(format!("{} {other:?}", answer.status)),
    });
    let (one, other) = (host.config(), host.config().replace("[\"a\", \"b\"]", "[\"b\", \"a\"]"));
    for round in 0..6 {
        std::fs::write(host.config_path(), if round % 2 == 0 { &other } else { &one }).expect("a file");
        host.reload().await;
        load.more(10).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn concurrent_changes_take_turns() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    let admin = host.admin();
    let puts: Vec<_> = (0..20)
        .map(|number| tokio::spawn(async move { admin.put_options("a", &versioned(&format!("put-{number}"))).await }))
        .collect();
    for put in puts {
        assert_eq!(put.await.expect("an answer").status, 200);
    }
    let tag = host.admin().get("/addons/a/options").await.json()["tag"].as_str().expect("a tag").to_owned();
    assert!(host.answered().await.starts_with(&format!("{tag} ")), "{tag}");
    load.stop_unharmed().await;
}

#[tokio::test]
async fn bad_files_do_not_bar_options() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    host.drop_in("a", b"not wasm");
    let why = host.admin().refused("a").await;
    assert_eq!(host.admin().put_options("a", &versioned("new")).await.status, 200);
    assert!(host.answered().await.starts_with("new guest-build-00000000 "));
    assert_eq!(host.admin().status("a").await["error"], json!(why));
}

#[tokio::test]
async fn put_options_go_with_their_addon() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
    take_out(&host.plugins(), "a");
    eventually(async || host.answered().await == "nobody").await;
    host.drop_in("a", &guest("scripted"));
    host.admin().in_force("a", &guest("scripted")).await;
    assert!(host.answered().await.starts_with("old "));
}

#[tokio::test]
async fn own_generations_change_with_the_options_alone() {
    let origin = RawOrigin::ok().await;
    let showing = |tag: &str| {
        json!({"tag": tag, "rules": [
            {"on": "request", "do": [{"note": ["asked", "{own-generation}"]}]},
            {"on": "response", "do": [{"set": ["X-Own", "{note:asked} {own-generation}"]}]},
        ]})
    };
    let host = Hosted::before(&origin.url()).scripted("a", &showing("old")).scripted("b", &json!({})).start().await;
    let own = async || {
        let answer = host.get("/").await;
        let shown = answer.header("x-own").unwrap_or_default().to_owned();
        let (asked, answered) = shown.split_once(' ').expect("two names");
        assert!(asked == answered && asked.len() == 16 && asked.bytes().all(|byte| byte.is_ascii_hexdigit()), "{shown}");
        asked.to_owned()
    };
    let first = own().await;
    // Neither a snapshot nor another addon makes a new one.
    host.admin().frozen("a").await;
    assert_eq!(host.admin().reload("b").await.status, 200);
    assert_eq!(own().await, first);
    let mut seen = vec![first];
    host.admin().put_options("a", &showing("new")).await;
    seen.push(own().await);
    host.admin().put_options("a", &showing("old")).await;
    seen.push(own().await);
    host.admin().put_options("a", &showing("old")).await;
    seen.push(own().await);
    let last = own().await;
    // Nor does new code: what is counted is so as long as the options are in force.
    assert_eq!(host.admin().reload("a").await.status, 200);
    assert_eq!(own().await, last);
    host.drop_in("a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
    assert_eq!(own().await, last);
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all);
}
