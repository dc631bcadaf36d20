//! More changes at one time than anybody makes on purpose, while flows go by: none is lost, and what is in force at the end is
//! what is there at the end.
#![cfg(test)]

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, Load, drop_in, guest, hostile, rebuilt, seen_whole, versioned},
    eventually,
};

/// Names of all addons whose code is in force.
async fn in_force(host: &Hosted) -> Vec<String> {
    let answer = host.admin().get("/addons").await.json();
    let addons = answer["addons"].as_array().into_iter().flatten();
    addons.filter(|addon| !addon["sha256"].is_null()).filter_map(|addon| addon["name"].as_str().map(str::to_owned)).collect()
}

async fn with_addon(origin: &RawOrigin) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &versioned("storm")).start().await
}

#[tokio::test]
async fn a_thousand_files_at_once_are_all_loaded() {
    const FILES: usize = 1_000;
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 2, "/", seen_whole);
    load.more(20).await;
    let before = host.rss();
    // Called for a path that nobody asks for.
    let component = hostile("unreachable");
    let aside = tempfile::tempdir_in(host.directory()).expect("a directory");
    for number in 0..FILES {
        fs::write(aside.path().join(format!("many-{number:03}.wasm")), &component).expect("a file");
    }
    for number in 0..FILES {
        let name = format!("many-{number:03}.wasm");
        fs::rename(aside.path().join(&name), host.plugins().join(&name)).expect("a name");
    }
    // Patience is for a hundred at a time.
    for hundreds in 1..=FILES / 100 {
        eventually(async || in_force(&host).await.len() > hundreds * 100).await;
    }
    load.more(20).await;
    let grown = host.rss().saturating_sub(before);
    for number in 0..FILES {
        fs::remove_file(host.plugins().join(format!("many-{number:03}.wasm"))).expect("a file");
    }
    eventually(async || in_force(&host).await == ["a"]).await;
    load.more(20).await;
    load.stop_unharmed().await;
    eprintln!("a thousand addons took {} MiB", grown >> 20);
    assert!(grown < 1 << 30, "{} MiB", grown >> 20);
}

#[tokio::test]
async fn a_file_renamed_all_the_time_stays_in_force() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("same")).options("b", &versioned("same")).start().await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    load.more(20).await;
    let file = |name: &str| host.plugins().join(format!("{name}.wasm"));
    for round in 0..250 {
        fs::rename(file("a"), file("b")).expect("a name");
        // As long as nothing, and as long as a look at the directory takes to settle: both are of interest.
        sleep(Duration::from_millis(round % 25)).await;
        fs::rename(file("b"), file("a")).expect("a name");
        sleep(Duration::from_millis(round % 7)).await;
    }
    eventually(async || in_force(&host).await == ["a"]).await;
    load.more(20).await;
    load.stop_unharmed().await;
    host.drop_in("a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
}

#[tokio::test]
async fn a_directory_that_comes_and_goes_takes_nothing_along() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    load.more(20).await;
    let aside = host.plugins().with_extension("aside");
    for round in 0..40 {
        fs::rename(host.plugins(), &aside).expect("a name");
        sleep(Duration::from_millis(round * 7 % 150)).await;
        if round % 4 == 0 {
            // An empty one in its place, for less time than it takes to settle.
            fs::create_dir(host.plugins()).expect("a directory");
            sleep(Duration::from_millis(20)).await;
            fs::remove_dir(host.plugins()).expect("a directory");
        }
        fs::rename(&aside, host.plugins()).expect("a name");
        sleep(Duration::from_millis(round * 3 % 50)).await;
    }
    eventually(async || host.admin().get("/health/ready").await.status == 200).await;
    load.more(20).await;
    load.stop_unharmed().await;
    drop_in(&host.plugins(), "a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
}

#[tokio::test]
async fn options_written_a_thousand_times_end_with_the_last() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    load.more(20).await;
    for number in 0..1_000 {
        // Every tenth is no JSON, and changes nothing.
        if number % 10 == 0 {
            fs::write(host.options_file("a"), "{").expect("a file");
        } else {
            host.write_options("a", &versioned(&number.to_string()));
        }
        sleep(Duration::from_millis(if number % 100 == 0 { 150 } else { 1 })).await;
    }
    host.write_options("a", &versioned("last"));
    eventually(async || host.answered().await.starts_with("last ")).await;
    load.more(20).await;
    load.stop_unharmed().await;
    host.admin().until("a", |status| status["error"].is_null() && status["instances_live"] == 0).await;
}

#[tokio::test]
async fn files_written_over_and_over_end_with_the_last() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    load.more(20).await;
    let file = host.plugins().join("a.wasm");
    let (old, new) = (guest("scripted"), rebuilt(3));
    for number in 0..300 {
        // In its place, half of it at first, as a compiler that is interrupted does it.
        let component = if number % 2 == 0 { &new } else { &old };
        fs::write(&file, &component[..component.len() / 2]).expect("a file");
        sleep(Duration::from_millis(number % 5)).await;
        fs::write(&file, component).expect("a file");
    }
    fs::write(&file, &new).expect("a file");
    host.admin().in_force("a", &new).await;
    host.admin().until("a", |status| status["error"].is_null()).await;
    load.more(20).await;
    load.stop_unharmed().await;
}

/// One in ten is one of code, the others of options, and with one in three a flow is under way. `TOLLGATE_TEST_RELOADS` is how
/// many, if not ten thousand: these take about half a minute.
#[tokio::test]
async fn thousands_of_reloads_keep_memory_flat() {
    let reloads: u32 = std::env::var("TOLLGATE_TEST_RELOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000);
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let builds = [0, 1, 2, 3].map(rebuilt);
    let mut client = Client::connect(Version::Http1, host.address()).await;
    let (start, mut flows, mut tag) = (std::time::Instant::now(), 0, 0);
    // The least that was seen in the second fifth and in the last one: a compiler at work, or one that has just ended, takes
    // some hundred MiB for a moment, and what leaks is never given back.
    let (mut early, mut late) = (u64::MAX, u64::MAX);
    let before = host.admin().status("a").await["generation"].as_u64().expect("a number");
    for number in 1..=reloads {
        let change = async {
            if number % 10 == 0 {
                host.drop_in("a", &builds[number as usize / 10 % builds.len()]);
                host.admin().reload("a").await
            } else {
                tag = number;
                host.admin().put_options("a", &versioned(&number.to_string())).await
            }
        };
        let answer = if number % 3 == 0 {
            let (answer, flow) = tokio::join!(change, client.get("/"));
            assert_eq!(seen_whole(&flow), Ok(()), "{number}");
            flows += 1;
            answer
        } else {
            change.await
        };
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
        if number % 20 == 0 {
            match number * 5 / reloads {
                1 => early = early.min(host.rss()),
                4.. => late = late.min(host.rss()),
                _ => {}
            }
        }
    }
    let took = start.elapsed();
    // A changed file may be seen before it is asked for, and then it is loaded twice.
    let generation = host.admin().status("a").await["generation"].as_u64().expect("a number");
    assert!(generation >= before + u64::from(reloads), "{generation}");
    let build = reloads / 10 % 4;
    assert!(host.answered().await.starts_with(&format!("{tag} guest-build-{build:08} ")), "{}", host.answered().await);
    host.admin().until("a", |status| status["instances_live"] == 0).await;
    eprintln!(
        "{reloads} reloads in {took:.1?} beside {flows} flows; memory in the second fifth {} MiB, in the last {} MiB",
        early >> 20,
        late >> 20
    );
    assert!(early < u64::MAX && late < early + (48 << 20), "memory grows: {} MiB, then {} MiB", early >> 20, late >> 20);
}

#[tokio::test]
async fn changes_from_all_sides_end_with_the_last() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let load = Load::start(host.address(), 4, "/", seen_whole);
    load.more(20).await;
    let admin = host.admin();
    let options = tokio::spawn(async move {
        for number in 0..100 {
            let answer = admin.put_options("a", &versioned(&number.to_string())).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    });
    let reloads = tokio::spawn(async move {
        for _ in 0..50 {
            assert_eq!(admin.reload("a").await.status, 200);
        }
    });
    for number in 1..=20 {
        host.drop_in("a", &rebuilt(number % 4));
        if number % 5 == 0 {
            host.reload().await;
        }
        sleep(Duration::from_millis(u64::from(number) * 10)).await;
    }
    options.await.expect("all options were taken");
    reloads.await.expect("all reloads went well");
    host.drop_in("a", &rebuilt(9));
    host.admin().in_force("a", &rebuilt(9)).await;
    eventually(async || host.answered().await.starts_with("99 guest-build-00000009 ")).await;
    load.more(20).await;
    load.stop_unharmed().await;
    assert_eq!(host.admin().status("a").await["error"], Value::Null);
    assert_eq!(host.admin().get("/health/ready").await.json()["addons"]["failed"], json!([]));
}
