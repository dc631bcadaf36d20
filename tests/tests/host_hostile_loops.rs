//! Guests that never come to an end, wherever they are when they begin not to.
#![cfg(test)]

use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, Load, Siege, guest, hostile, seen_whole, versioned},
    empty, eventually,
};

fn guests(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names.iter().map(|name| ((*name).to_owned(), hostile(name))).collect()
}

/// Where a flow's guest loops, and which budget ends it.
const LOOPS: [(&str, &str); 7] = [
    ("loop-request", "cpu budget of 50ms"),
    ("loop-request-chunk", "cpu budget of 50ms"),
    ("loop-response", "cpu budget of 50ms"),
    ("loop-realloc", "cpu budget of 50ms"),
    ("loop-post", "cpu budget of 50ms"),
    ("loop-calls", "cpu budget of 50ms"),
    ("loop-waits", "budget of"),
];

#[tokio::test]
async fn loops_are_ended_wherever_they_are() {
    let names = LOOPS.map(|(name, _)| name);
    let siege = Siege::by(guests(&names), |builder| builder.set("addon.loop-waits.wall", "2s")).await;
    for (name, said) in LOOPS {
        siege.repels(name, "deadlines", said).await;
    }
    siege.is_lifted().await;
}

/// No tick comes while an instruction fills 255 MiB or the host copies a body of 10 MiB.
#[tokio::test]
async fn what_the_engine_cannot_stop_is_counted() {
    let names = ["loop-fill", "loop-copy"];
    let siege = Siege::by(guests(&names), |mut builder| {
        for name in names {
            builder = builder.set(&format!("addon.{name}.memory"), "256MiB");
        }
        builder
    })
    .await;
    for name in names {
        siege.repels(name, "deadlines", "cpu budget of 50ms").await;
    }
    // Fifty times, if each were counted as one tick.
    let fills = siege.times_logged("filled");
    assert!(fills < 40, "{fills}");
    siege.is_lifted().await;
}

#[tokio::test]
async fn many_loops_at_once_harm_nobody() {
    let names = ["loop-request", "loop-realloc", "loop-calls"];
    let siege = Siege::by(guests(&names), |builder| builder).await;
    let mut flows = Vec::new();
    for name in names {
        for _ in 0..8 {
            let (address, target) = (siege.address(), format!("/{name}"));
            flows.push(tokio::spawn(async move { Client::fetch(Version::Http1, address, &target).await }));
        }
    }
    for flow in flows {
        assert_eq!(flow.await.expect("a flow").status, 503);
    }
    siege.is_lifted().await;
}

/// Not on threads that serve, but for the first moments; and where they get what the machine has left over.
#[tokio::test]
async fn loops_run_behind_everything_else() {
    const LOOPS: u64 = 8;
    let siege = Siege::by(guests(&["loop-request"]), |builder| builder).await;
    for _ in 0..LOOPS {
        assert_eq!(siege.ask("loop-request").await.status, 503);
    }
    let [aside, last] = ["addon-aside", "addon-last"].map(|name| siege.cpu_of_threads(name));
    // Of five hundredths of a second each, of which each of the threads is told a part less, as the system rounds down. How much
    // of it is in the last lane depends on how busy the machine is.
    assert!(last > 0 && aside + last >= LOOPS * 3, "aside {aside}, last {last}");
    siege.is_lifted().await;
}

#[tokio::test]
async fn loops_after_the_answer_keep_nobody() {
    let siege = Siege::by(guests(&["loop-finish"]), |builder| builder).await;
    assert_eq!(siege.ask("loop-finish").await.text(), "ok");
    siege.tells("loop-finish", "cpu budget of 50ms").await;
    assert_eq!(siege.admin().counter("loop-finish", "deadlines").await, 1);
    siege.is_lifted().await;
}

#[tokio::test]
async fn loops_in_the_middle_of_a_body_break_it_off() {
    let siege = Siege::by(guests(&["loop-response-chunk"]), |builder| builder).await;
    for version in Version::BOTH {
        let request = http::Request::get("/loop-response-chunk").body(empty()).expect("a request");
        assert!(Client::connect(version, siege.address()).await.try_ask(request).await.is_err(), "{version:?}");
    }
    siege.tells("loop-response-chunk", "cpu budget of 50ms").await;
    siege.admin().until("loop-response-chunk", |status| status["deadlines"] == 2).await;
    siege.is_lifted().await;
}

#[tokio::test]
async fn edits_before_a_loop_in_post_return_are_dropped() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .unknown("loop-post", &hostile("loop-post"))
        .set("addon.loop-post.on_error", "open")
        .start()
        .await;
    assert_eq!(host.get("/loop-post").await.text(), "ok");
    let request = origin.only_request();
    assert_eq!((request.method.as_str(), request.fields.get("x-edited")), ("GET", None));
}

#[tokio::test]
async fn sleeps_end_with_their_wall_time() {
    let siege = Siege::by(guests(&["sleep"]), |builder| builder.set("addon.sleep.wall", "500ms")).await;
    let sleepers: Vec<_> = (0..50)
        .map(|_| {
            let address = siege.address();
            tokio::spawn(async move { Client::fetch(Version::Http1, address, "/sleep").await })
        })
        .collect();
    siege.admin().until("sleep", |status| status["instances_live"] == 50).await;
    siege.load().more(50).await;
    for sleeper in sleepers {
        assert_eq!(sleeper.await.expect("a flow").status, 503);
    }
    assert_eq!(siege.admin().counter("sleep", "deadlines").await, 50);
    siege.tells("sleep", "wall budget of 500ms").await;
    siege.is_lifted().await;
}

/// All at once, since each takes its ten seconds.
#[tokio::test]
async fn loops_before_the_first_flow_are_refused() {
    const NAMES: [&str; 3] = ["loop-start", "loop-configure", "loop-post-configure"];
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    load.more(20).await;
    for name in NAMES {
        host.drop_in(name, &hostile(name));
    }
    // One that loops takes nothing out of force, either.
    host.drop_in("a", &hostile("loop-realloc-first"));
    for name in NAMES.into_iter().chain(["a"]) {
        let why = host.admin().refused(name).await;
        assert!(why.starts_with("configure failed: over its ") && why.ends_with("budget of 10s"), "{name}: {why}");
        let is_in_force = !host.admin().status(name).await["sha256"].is_null();
        assert_eq!(is_in_force, name == "a", "{name}");
    }
    load.more(20).await;
    load.stop_unharmed().await;
    assert!(host.answered().await.starts_with("old "));
    host.drop_in("a", &guest("scripted"));
    eventually(async || host.admin().status("a").await["error"].is_null()).await;
}
