//! Code and options that change while flows go by: no request is lost, and no flow sees two generations.
#![cfg(test)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tollgate_tests::{
    Answer, Client, RawOrigin, Version,
    addons::{
        Hosted, Load, core_module, drop_in, drop_in_slowly, empty_component, exporting, guest, importing, rebuilt, take_out,
    },
    eventually,
};

/// Shows in the response what the request hook and what the response hook belong to.
fn versioned(tag: &str) -> Value {
    json!({"tag": tag, "rules": [
        {"on": "request", "do": [{"note": ["asked", "{tag} {build} {generation}"]}]},
        {"on": "response", "do": [{"set": ["X-Asked", "{note:asked}"]}, {"set": ["X-Answered", "{tag} {build} {generation}"]}]},
    ]})
}

/// What is wrong with an answer if an addon must be in force.
fn always(answer: &Answer) -> Result<(), String> {
    match (answer.status.as_u16(), answer.header("x-asked"), answer.header("x-answered")) {
        (200, Some(asked), Some(answered)) if asked == answered => Ok(()),
        (status, asked, answered) => Err(format!("{status}, asked {asked:?}, answered {answered:?}")),
    }
}

/// What is wrong with an answer if there may be no addon.
fn at_times(answer: &Answer) -> Result<(), String> {
    if answer.header("x-asked").is_none() && answer.header("x-answered").is_none() && answer.status == 200 {
        return Ok(());
    }
    always(answer)
}

async fn answered(host: &Hosted) -> String {
    host.get("/").await.header("x-answered").unwrap_or("nobody").to_owned()
}

async fn with_addon(origin: &RawOrigin) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await
}

fn load(host: &Hosted, check: fn(&Answer) -> Result<(), String>) -> Load {
    Load::start(host.address(), 4, "/", check)
}

#[tokio::test]
async fn dropped_addons_serve_the_next_flow() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).options("a", &versioned("new")).start().await;
    let load = load(&host, at_times);
    assert_eq!(answered(&host).await, "nobody");
    host.drop_in("a", &guest("scripted"));
    host.admin().in_force("a", &guest("scripted")).await;
    assert!(answered(&host).await.starts_with("new guest-build-00000000 "));
    load.more(50).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn replaced_code_takes_over() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    for number in 1..=3 {
        host.drop_in("a", &rebuilt(number));
        host.admin().in_force("a", &rebuilt(number)).await;
        let answered = answered(&host).await;
        assert!(answered.starts_with(&format!("old guest-build-{number:08} ")), "{answered}");
        load.more(20).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn removed_addons_leave_the_chain() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, at_times);
    take_out(&host.plugins(), "a");
    eventually(async || answered(&host).await == "nobody").await;
    load.more(50).await;
    load.stop_unharmed().await;
    assert_eq!(host.admin().status("a").await["state"], "missing");
}

#[tokio::test]
async fn renamed_addons_leave_no_gap() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("same")).options("b", &versioned("same")).start().await;
    let load = load(&host, always);
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "b")] {
        std::fs::rename(host.plugins().join(format!("{from}.wasm")), host.plugins().join(format!("{to}.wasm"))).expect("a name");
        host.admin().in_force(to, &guest("scripted")).await;
        host.admin().until(from, |status| status["state"] == "missing").await;
        load.more(20).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn slow_copies_take_over_when_they_end() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    // Written over the old file, in the place that is watched.
    drop_in_slowly(&host.plugins(), "a", &rebuilt(1), 20, Duration::from_millis(30)).await;
    host.admin().in_force("a", &rebuilt(1)).await;
    assert!(answered(&host).await.starts_with("old guest-build-00000001 "));
    load.more(20).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn stalled_copies_are_refused_until_they_end() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    let component = rebuilt(1);
    std::fs::write(host.plugins().join("a.wasm"), &component[..component.len() / 2]).expect("a file");
    let why = host.admin().refused("a").await;
    assert!(why.contains("not a valid component"), "{why}");
    load.more(20).await;
    assert!(answered(&host).await.starts_with("old guest-build-00000000 "));
    std::fs::write(host.plugins().join("a.wasm"), &component).expect("a file");
    let status = host.admin().in_force("a", &component).await;
    assert_eq!(status["error"], Value::Null);
    load.more(20).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn bad_files_leave_the_old_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    let before = host.admin().status("a").await;
    let mut cut = guest("scripted");
    cut.truncate(cut.len() - 1000);
    for (component, said) in [
        (b"not wasm".to_vec(), "not WebAssembly"),
        (core_module(), "core WebAssembly module"),
        (empty_component(), "not an addon"),
        (exporting("tollgate:addon/hooks@0.2.0"), "another version of the contract"),
        (exporting("tollgate:addon/hooks@0.1.0"), "does not fit the world"),
        (importing("wasi:http/types@0.2.0"), "imports what addons are not given"),
        (cut, "not a valid component"),
    ] {
        host.drop_in("a", &component);
        let now = host.admin().until("a", |status| status["error"].as_str().is_some_and(|error| error.contains(said))).await;
        assert_eq!((&now["sha256"], &now["generation"]), (&before["sha256"], &before["generation"]), "{said}");
        let ready = host.admin().get("/health/ready").await;
        assert_eq!((ready.status.as_u16(), &ready.json()["addons"]["failed"]), (503, &json!(["a"])), "{said}");
        load.more(10).await;
    }
    load.stop_unharmed().await;
    assert!(answered(&host).await.starts_with("old guest-build-00000000 "));
    host.drop_in("a", &guest("scripted"));
    host.admin().until("a", |status| status["error"].is_null()).await;
    assert_eq!(host.admin().get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn put_options_are_live_when_answered() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    for number in 0..20 {
        let tag = format!("put-{number}");
        let status = host.admin().put_options("a", &versioned(&tag)).await;
        assert_eq!(status.status, 200, "{}", status.text());
        let generation = status.json()["generation"].clone();
        assert_eq!(answered(&host).await, format!("{tag} guest-build-00000000 {generation}"));
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
    assert!(answered(&host).await.starts_with("put guest-build-00000001 "));
}

#[tokio::test]
async fn changed_options_files_take_over() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    // One that was put goes with the next change of the file.
    host.admin().put_options("a", &versioned("put")).await;
    for tag in ["first", "second"] {
        host.write_options("a", &versioned(tag));
        eventually(async || answered(&host).await.starts_with(&format!("{tag} "))).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn refused_options_leave_the_old_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    let mut refused = versioned("refused");
    refused["refused"] = json!([["rules[1].on", "must not be"], ["table", "too small"]]);
    let answer = host.admin().put_options("a", &refused).await;
    assert_eq!(answer.status, 400);
    let errors = json!([{"path": "rules[1].on", "message": "must not be"}, {"path": "table", "message": "too small"}]);
    assert_eq!((&answer.json()["errcode"], &answer.json()["errors"]), (&json!("M_BAD_JSON"), &errors));
    assert!(answered(&host).await.starts_with("old "));
    host.write_options("a", &refused);
    let why = host.admin().refused("a").await;
    assert_eq!(why, "options refused: rules[1].on: must not be; table: too small");
    assert!(answered(&host).await.starts_with("old "));
    load.more(20).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn traps_in_configure_leave_the_old_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
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
    assert!(answered(&host).await.starts_with("old "));
}

#[tokio::test]
async fn unreadable_options_leave_the_old_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    std::fs::write(host.options_file("a"), "{\"tag\": ").expect("a file");
    host.admin().until("a", |status| status["error"].as_str().is_some_and(|error| error.contains("not JSON"))).await;
    assert!(answered(&host).await.starts_with("old "));
    std::fs::remove_file(host.options_file("a")).expect("a file");
    host.admin().until("a", |status| status["error"].as_str().is_some_and(|error| error.contains("cannot read"))).await;
    assert!(answered(&host).await.starts_with("old "));
    host.write_options("a", &versioned("back"));
    eventually(async || answered(&host).await.starts_with("back ")).await;
}

#[tokio::test]
async fn identical_content_changes_nothing() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let before = host.admin().status("a").await;
    host.drop_in("a", &guest("scripted"));
    host.write_options("a", &versioned("old"));
    // What comes later is in force: so the files above were looked at.
    host.drop_in("z", &rebuilt(9));
    host.admin().in_force("z", &rebuilt(9)).await;
    let after = host.admin().status("a").await;
    assert_eq!((&after["generation"], &after["error"]), (&before["generation"], &Value::Null));
}

#[tokio::test]
async fn asked_reloads_make_a_generation() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    let mut last = host.admin().status("a").await["generation"].as_u64().expect("a number");
    for _ in 0..5 {
        let answer = host.admin().reload("a").await;
        let generation = answer.json()["generation"].as_u64().expect("a number");
        assert!(answer.status == 200 && generation > last, "{generation} after {last}");
        assert!(answered(&host).await.ends_with(&format!(" {generation}")));
        last = generation;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn vanished_directories_leave_addons_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    let aside = host.plugins().with_extension("aside");
    std::fs::rename(host.plugins(), &aside).expect("a name");
    eventually(async || {
        let ready = host.admin().get("/health/ready").await;
        ready.status == 503 && !ready.json()["addons"]["directory"].is_null()
    })
    .await;
    load.more(20).await;
    assert!(answered(&host).await.starts_with("old guest-build-00000000 "));
    // Another directory with newer code takes its place, and is watched like the first.
    std::fs::create_dir(host.plugins()).expect("a directory");
    drop_in(&host.plugins(), "a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
    eventually(async || host.admin().get("/health/ready").await.status == 200).await;
    host.drop_in("a", &rebuilt(2));
    host.admin().in_force("a", &rebuilt(2)).await;
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

/// An origin that answers `/held` when it is let, and everything else at once.
async fn holding() -> (RawOrigin, watch::Sender<bool>) {
    let (let_go, held) = watch::channel(false);
    let origin = RawOrigin::start(move |mut conversation| {
        let mut held = held.clone();
        async move {
            while let Some(request) = conversation.request().await {
                if request.target == "/held" && held.wait_for(|is_over| *is_over).await.is_err() {
                    return;
                }
                if conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (origin, let_go)
}

#[tokio::test]
async fn started_flows_keep_their_generation() {
    let (origin, let_go) = holding().await;
    let host = with_addon(&origin).await;
    let before = answered(&host).await;
    let flow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/held"));
    eventually(async || origin.targets().contains(&"/held".to_owned())).await;
    host.admin().put_options("a", &versioned("new")).await;
    host.drop_in("a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
    assert!(answered(&host).await.starts_with("new guest-build-00000001 "));
    let_go.send_replace(true);
    let answer = flow.await.expect("a flow");
    assert_eq!((answer.header("x-asked"), answer.header("x-answered")), (Some(before.as_str()), Some(before.as_str())));
}

#[tokio::test]
async fn removed_addons_end_their_flows() {
    let (origin, let_go) = holding().await;
    let host = with_addon(&origin).await;
    let before = answered(&host).await;
    let flow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/held"));
    eventually(async || origin.targets().contains(&"/held".to_owned())).await;
    take_out(&host.plugins(), "a");
    eventually(async || answered(&host).await == "nobody").await;
    let_go.send_replace(true);
    let answer = flow.await.expect("a flow");
    assert_eq!((answer.header("x-asked"), answer.header("x-answered")), (Some(before.as_str()), Some(before.as_str())));
}

#[tokio::test]
async fn addons_do_not_join_started_flows() {
    let (origin, let_go) = holding().await;
    let host = Hosted::before(&origin.url()).options("a", &versioned("new")).start().await;
    let flow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/held"));
    eventually(async || origin.targets().contains(&"/held".to_owned())).await;
    host.drop_in("a", &guest("scripted"));
    host.admin().in_force("a", &guest("scripted")).await;
    let_go.send_replace(true);
    assert_eq!(flow.await.expect("a flow").header("x-answered"), None);
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
    let before = answered(&host).await;
    let flow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/slow"));
    host.logged("in the hook").await;
    assert_eq!(host.admin().put_options("a", &slow("new")).await.status, 200);
    assert!(answered(&host).await.starts_with("new "));
    let answer = flow.await.expect("a flow");
    assert_eq!((answer.header("x-asked"), answer.header("x-answered")), (Some(before.as_str()), Some(before.as_str())));
}

#[tokio::test]
async fn old_generations_go_with_their_flows() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    for number in 0..10 {
        host.admin().put_options("a", &versioned(&number.to_string())).await;
        load.more(10).await;
    }
    load.stop_unharmed().await;
    host.admin().until("a", |status| status["instances_live"] == 0).await;
}

/// Most of them changes of options, as in tests of a Matrix server; every fiftieth is one of code.
#[tokio::test]
async fn a_thousand_reloads_lose_nothing() {
    const RELOADS: u32 = 1_000;
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = load(&host, always);
    let start = Instant::now();
    let mut early = 0;
    for number in 1..=RELOADS {
        if number % 50 == 0 {
            host.drop_in("a", &rebuilt(number));
            host.admin().in_force("a", &rebuilt(number)).await;
        } else if number % 10 == 0 {
            assert_eq!(host.admin().reload("a").await.status, 200);
        } else {
            let answer = host.admin().put_options("a", &versioned(&format!("tag-{number}"))).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        if number == RELOADS / 5 {
            early = host.rss();
        }
    }
    let (took, late) = (start.elapsed(), host.rss());
    let tally = load.stop_unharmed().await;
    let generation = host.admin().status("a").await["generation"].as_u64().expect("a number");
    eprintln!(
        "{RELOADS} reloads in {took:.1?} under {} requests, lost: {}; memory after a fifth {} MiB, at the end {} MiB",
        tally.requests,
        tally.failures.len(),
        early >> 20,
        late >> 20,
    );
    assert!(generation > u64::from(RELOADS), "{generation}");
    assert!(late < early + (64 << 20), "memory grows: {} MiB, then {} MiB", early >> 20, late >> 20);
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
    let load = load(&host, always);
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
    let load = load(&host, always);
    let admin = host.admin();
    let puts: Vec<_> = (0..20)
        .map(|number| tokio::spawn(async move { admin.put_options("a", &versioned(&format!("put-{number}"))).await }))
        .collect();
    for put in puts {
        assert_eq!(put.await.expect("an answer").status, 200);
    }
    let tag = host.admin().get("/addons/a/options").await.json()["tag"].as_str().expect("a tag").to_owned();
    assert!(answered(&host).await.starts_with(&format!("{tag} ")), "{tag}");
    load.stop_unharmed().await;
}

#[tokio::test]
async fn bad_files_do_not_bar_options() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    host.drop_in("a", b"not wasm");
    let why = host.admin().refused("a").await;
    assert_eq!(host.admin().put_options("a", &versioned("new")).await.status, 200);
    assert!(answered(&host).await.starts_with("new guest-build-00000000 "));
    assert_eq!(host.admin().status("a").await["error"], json!(why));
}

#[tokio::test]
async fn put_options_go_with_their_addon() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
    take_out(&host.plugins(), "a");
    eventually(async || answered(&host).await == "nobody").await;
    host.drop_in("a", &guest("scripted"));
    host.admin().in_force("a", &guest("scripted")).await;
    assert!(answered(&host).await.starts_with("old "));
}

#[tokio::test]
async fn switched_links_take_over() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).options("a", &versioned("linked")).start().await;
    for number in 1..=2 {
        // As a deployment does it: a new file elsewhere, and a link that is switched to it at once.
        let (file, link) = (host.directory().join(format!("{number}.wasm")), host.plugins().join("a.link"));
        std::fs::write(&file, rebuilt(number)).expect("a file");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        std::fs::rename(&link, host.plugins().join("a.wasm")).expect("a name");
        host.admin().in_force("a", &rebuilt(number)).await;
        assert!(answered(&host).await.starts_with(&format!("linked guest-build-{number:08} ")));
    }
}

#[tokio::test]
async fn damaged_caches_are_compiled_anew() {
    let origin = RawOrigin::ok().await;
    let cache = tempfile::tempdir().expect("a directory");
    let start = async || {
        Hosted::before(&origin.url()).scripted("a", &versioned("a")).with(|builder| builder.cache(cache.path())).start().await
    };
    let host = start().await;
    host.admin().frozen("a").await;
    drop(host);
    let mut damaged = 0;
    let mut folders = vec![cache.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if entry.metadata().is_ok_and(|metadata| metadata.len() > 1_000) {
                let mut content = std::fs::read(&path).expect("a file");
                content.truncate(content.len() / 2);
                std::fs::write(&path, content).expect("a file");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "nothing is cached");
    let host = start().await;
    assert!(answered(&host).await.starts_with("a guest-build-00000000 "));
    host.admin().frozen("a").await;
    assert!(answered(&host).await.starts_with("a guest-build-00000000 "));
}
