//! Code that changes while flows go by: no request is lost, and no flow sees two generations.
#![cfg(test)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{
        Hosted, Load, core_module, drop_in, drop_in_slowly, empty_component, exporting, guest, importing, rebuilt, seen_whole,
        seen_whole_if_at_all, take_out, versioned,
    },
    eventually,
};

async fn with_addon(origin: &RawOrigin) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await
}

#[tokio::test]
async fn dropped_addons_serve_the_next_flow() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).options("a", &versioned("new")).start().await;
    let load = Load::start(host.address(), 4, "/", seen_whole_if_at_all);
    assert_eq!(host.answered().await, "nobody");
    host.drop_in("a", &guest("scripted"));
    host.admin().in_force("a", &guest("scripted")).await;
    assert!(host.answered().await.starts_with("new guest-build-00000000 "));
    load.more(50).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn replaced_code_takes_over() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    for number in 1..=3 {
        host.drop_in("a", &rebuilt(number));
        host.admin().in_force("a", &rebuilt(number)).await;
        let answered = host.answered().await;
        assert!(answered.starts_with(&format!("old guest-build-{number:08} ")), "{answered}");
        load.more(20).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn removed_addons_leave_the_chain() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole_if_at_all);
    take_out(&host.plugins(), "a");
    eventually(async || host.answered().await == "nobody").await;
    load.more(50).await;
    load.stop_unharmed().await;
    assert_eq!(host.admin().status("a").await["state"], "missing");
}

#[tokio::test]
async fn renamed_addons_leave_no_gap() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("same")).options("b", &versioned("same")).start().await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
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
    let load = Load::start(host.address(), 4, "/", seen_whole);
    // Written over the old file, in the place that is watched.
    drop_in_slowly(&host.plugins(), "a", &rebuilt(1), 20, Duration::from_millis(30)).await;
    host.admin().in_force("a", &rebuilt(1)).await;
    assert!(host.answered().await.starts_with("old guest-build-00000001 "));
    load.more(20).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn stalled_copies_are_refused_until_they_end() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    let component = rebuilt(1);
    std::fs::write(host.plugins().join("a.wasm"), &component[..component.len() / 2]).expect("a file");
    let why = host.admin().refused("a").await;
    assert!(why.contains("not a valid component"), "{why}");
    load.more(20).await;
    assert!(host.answered().await.starts_with("old guest-build-00000000 "));
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
    let load = Load::start(host.address(), 4, "/", seen_whole);
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
    assert!(host.answered().await.starts_with("old guest-build-00000000 "));
    host.drop_in("a", &guest("scripted"));
    host.admin().until("a", |status| status["error"].is_null()).await;
    assert_eq!(host.admin().get("/health/ready").await.status, 200);
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
async fn vanished_directories_leave_addons_in_force() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    let aside = host.plugins().with_extension("aside");
    std::fs::rename(host.plugins(), &aside).expect("a name");
    eventually(async || {
        let ready = host.admin().get("/health/ready").await;
        ready.status == 503 && !ready.json()["addons"]["directory"].is_null()
    })
    .await;
    // The directory is looked for every half second: twice nobody finds it, and the addon stays all the time.
    let start = Instant::now();
    eventually(async || {
        assert!(host.answered().await.starts_with("old guest-build-00000000 "));
        start.elapsed() > Duration::from_millis(1_100)
    })
    .await;
    // Another directory with newer code takes its place, and is watched like the first.
    std::fs::create_dir(host.plugins()).expect("a directory");
    drop_in(&host.plugins(), "a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
    eventually(async || host.admin().get("/health/ready").await.status == 200).await;
    host.drop_in("a", &rebuilt(2));
    host.admin().in_force("a", &rebuilt(2)).await;
    load.stop_unharmed().await;
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
    let before = host.answered().await;
    let flow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/held"));
    eventually(async || origin.targets().contains(&"/held".to_owned())).await;
    host.admin().put_options("a", &versioned("new")).await;
    host.drop_in("a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
    assert!(host.answered().await.starts_with("new guest-build-00000001 "));
    let_go.send_replace(true);
    let answer = flow.await.expect("a flow");
    assert_eq!((answer.header("x-asked"), answer.header("x-answered")), (Some(before.as_str()), Some(before.as_str())));
}

#[tokio::test]
async fn removed_addons_end_their_flows() {
    let (origin, let_go) = holding().await;
    let host = with_addon(&origin).await;
    let before = host.answered().await;
    let flow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/held"));
    eventually(async || origin.targets().contains(&"/held".to_owned())).await;
    take_out(&host.plugins(), "a");
    eventually(async || host.answered().await == "nobody").await;
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
async fn old_generations_go_with_their_flows() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
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
    let load = Load::start(host.address(), 4, "/", seen_whole);
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
            early = host.settled("a").await;
        }
    }
    let (took, late) = (start.elapsed(), host.settled("a").await);
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
        assert!(host.answered().await.starts_with(&format!("linked guest-build-{number:08} ")));
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
    assert!(host.answered().await.starts_with("a guest-build-00000000 "));
    host.admin().frozen("a").await;
    assert!(host.answered().await.starts_with("a guest-build-00000000 "));
}
