//! Where what addons keep is kept: in memory, in a file, on a Redis server.
#![cfg(test)]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tollgate_tests::{
    Authority, Client, RawOrigin, RedisServer, Version,
    addons::{Hosted, HostedBuilder, Load},
    eventually,
};

/// Does what the fields say in flows below `/kv`, and answers with what it came to; below `/must` it fails where it is not done.
fn asking() -> Value {
    let kv = |must: bool| {
        json!({"kv": {
            "op": "{header:x-op}", "bucket": "b", "key": "{header:x-key}", "value": "{header:x-value}",
            "expected": "{header:x-expected}", "ttl": "{header:x-ttl}", "must": must,
        }})
    };
    let rule = |path: &str, must: bool| json!({"on": "request", "filter": format!("~p ^/{path}"), "do": [kv(must), {"respond": [200, [], "{kv}"]}]});
    json!({"rules": [rule("kv", false), rule("must", true)]})
}

fn host(origin: &RawOrigin, state: &str) -> HostedBuilder {
    Hosted::before(&origin.url()).scripted("a", &asking()).set("addon.a.kv", true).set("state", format!("'{state}'"))
}

/// `op` is its name and, after spaces, settings like `key=k`.
fn fields(op: &str) -> Vec<(String, String)> {
    let mut words = op.split(' ');
    let mut fields = vec![("x-op".to_owned(), words.next().unwrap_or_default().to_owned())];
    fields.extend(words.filter_map(|word| word.split_once('=')).map(|(name, value)| (format!("x-{name}"), value.to_owned())));
    if fields.iter().all(|(name, _)| name != "x-key") {
        fields.push(("x-key".to_owned(), "k".to_owned()));
    }
    fields
}

async fn kv(host: &Hosted, op: &str) -> String {
    let (status, text) = at(host, "/kv", op).await;
    assert_eq!(status, 200, "{op}: {text}");
    text
}

async fn at(host: &Hosted, path: &str, op: &str) -> (u16, String) {
    let fields = fields(op);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = host.ask("GET", path, &fields).await;
    (answer.status.as_u16(), answer.text())
}

async fn readiness(host: &Hosted) -> (u16, Value) {
    let answer = host.admin().get("/health/ready").await;
    (answer.status.as_u16(), answer.json())
}

fn redb(path: &Path) -> String {
    format!("redb:{}", path.display())
}

#[tokio::test]
async fn all_stores_do_the_same() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let server = RedisServer::start().await;
    for state in ["memory:".to_owned(), redb(&directory.path().join("state")), server.url()] {
        let host = host(&origin, &state).start().await;
        for (op, came_to) in [
            ("get", "none"),
            ("set value=1", "set"),
            ("get", "1"),
            ("insert value=2", "false"),
            ("swap expected=0 value=3", "false"),
            ("swap expected=1 value=3", "true"),
            ("increment value=-5", "-2"),
            ("insert-many key=p1,k,p2,p1 value=x ttl=3600000", "true,false,true,false"),
            ("insert-many key=p2,p3 value=x", "false,true"),
            ("get-many key=p3,none,k", "x,none,-2"),
            ("scan key=p value=2", "p1=x,p2=x;p2"),
            ("scan key=p value=2 expected=p2", "p3=x;none"),
            ("scan key=p value=2 expected=k", "invalid: cursor: it is not of a scan with this prefix"),
            ("scan key=none value=9", "k=-2,p1=x,p2=x,p3=x;none"),
            ("scan key=p value=1001", "invalid: limit of 1001 entries, not 1 to 1000"),
            ("swap expected=-2", "true"),
            ("delete", "false"),
            ("set value=1 ttl=0", "invalid: time to live of 0"),
            ("set key=most value=9223372036854775807", "set"),
            ("increment key=most", "invalid: sum beyond 64 bits"),
            ("increment key=p1", "invalid: number to increment"),
        ] {
            assert_eq!(kv(&host, op).await, came_to, "{state}: {op}");
        }
        assert_eq!(kv(&host, "set key=short value=1 ttl=50").await, "set");
        eventually(async || kv(&host, "get key=short").await == "none").await;
        let shown = host.admin().status("a").await["kv"].clone();
        assert_eq!(shown["operations"]["insert_many"], json!({"ok": 2}), "{state}: {shown}");
        assert_eq!(shown["operations"]["scan"], json!({"ok": 3, "invalid": 2}), "{state}: {shown}");
        eventually(async || host.admin().status("a").await["kv"]["keys"] == 4).await;
        let metrics = host.admin().get("/metrics").await.text();
        for line in [
            "tollgate_state_up 1",
            "tollgate_state_requests_total{outcome=\"ok\"}",
            "tollgate_state_request_duration_seconds_count",
        ] {
            assert!(metrics.contains(line), "{state}: {line} is not in {metrics}");
        }
        assert_eq!((readiness(&host).await.0, readiness(&host).await.1["state"].clone()), (200, Value::Null), "{state}");
    }
}

#[tokio::test]
async fn a_batch_that_did_nothing_may_be_tried_again() {
    let origin = RawOrigin::ok().await;
    for (first, wrote, times) in [("k", "k", 2), ("other", "k", 1)] {
        let mut rules = asking();
        let kv_ = json!({"kv": {"op": "insert-many", "bucket": "b", "key": wrote, "value": "x"}});
        rules["rules"].as_array_mut().expect("rules").push(json!({"on": "request", "filter": "~p ^/fail", "do": [kv_, "trap"]}));
        let host = Hosted::before(&origin.url()).scripted("a", &rules).set("addon.a.kv", true).set("state", "'memory:'");
        let host = host.set("addon.a.on_error", "retry").start().await;
        kv(&host, &format!("set key={first} value=1")).await;
        assert_eq!(host.get("/fail").await.status, 503);
        assert_eq!(host.times_logged("a hook failed"), times, "{first}: {}", host.logs());
    }
}

#[tokio::test]
async fn a_restart_keeps_what_was_kept() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let state = redb(&directory.path().join("state"));
    let mut first = host(&origin, &state).set("addon.a.kv_keys", 2).start().await;
    assert_eq!(kv(&first, "set value=kept").await, "set");
    assert_eq!(kv(&first, "set key=2 value=kept ttl=3600000").await, "set");
    first.terminate();
    assert!(first.ended().await.success());
    let second = host(&origin, &state).set("addon.a.kv_keys", 2).start().await;
    assert_eq!((kv(&second, "get").await, kv(&second, "get key=2").await), ("kept".to_owned(), "kept".to_owned()));
    assert_eq!(kv(&second, "set key=3 value=x").await, "too large: 3 keys, quota 2");
}

#[tokio::test]
async fn killed_amid_writes_it_loses_a_second_at_most() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let state = redb(&directory.path().join("state"));
    let mut last = 0;
    for round in 0..3 {
        let mut host = host(&origin, &state).start().await;
        let (address, counter) = (host.address(), Arc::new(AtomicU32::new(last)));
        // Each writes numbers of its own, and remembers when it was told that they are kept.
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let (mut client, mut kept) = (Client::connect(Version::Http1, address).await, Vec::new());
                    loop {
                        let number = counter.fetch_add(1, SeqCst);
                        let value = format!("{number:08}").repeat(64);
                        let request = http::Request::get("/kv").header("x-op", "set").header("x-key", number.to_string());
                        let request = request.header("x-value", value).body(tollgate_tests::empty()).expect("a request");
                        match client.try_ask(request).await {
                            Ok(answer) if answer.text() == "set" => kept.push((number, Instant::now())),
                            _ => return kept,
                        }
                    }
                })
            })
            .collect();
        // More than the second that may be lost; killed in the midst.
        let start = Instant::now();
        eventually(async || start.elapsed() > Duration::from_millis(1_700 + 130 * round) && counter.load(SeqCst) > last + 50)
            .await;
        let killed = Instant::now();
        host.signal(Signal::KILL);
        host.ended().await;
        let kept: Vec<_> = join_all(writers).await.into_iter().flat_map(|kept| kept.expect("a writer")).collect();
        let mut host = self::host(&origin, &state).start().await;
        let mut old = 0;
        for (number, at) in &kept {
            let found = kv(&host, &format!("get key={number}")).await;
            let is_old = killed.saturating_duration_since(*at) > Duration::from_secs(1);
            old += u32::from(is_old);
            assert!(found == format!("{number:08}").repeat(64) || (found == "none" && !is_old), "{number}: {found}");
        }
        assert!(old > 0, "{} writes, none old", kept.len());
        last = counter.load(SeqCst);
        // Its quota is what is there.
        let (mut keys, mut next) = (0, "none".to_owned());
        loop {
            let page = kv(&host, &format!("scan key=none value=500 expected={next}")).await;
            let (entries, more) = page.rsplit_once(';').expect("a page");
            keys += entries.split(',').filter(|entry| !entry.is_empty()).count();
            next = more.to_owned();
            if next == "none" {
                break;
            }
        }
        assert_eq!(host.admin().status("a").await["kv"]["keys"], json!(keys));
        host.terminate();
        host.ended().await;
    }
}

#[tokio::test]
async fn a_file_has_one_proxy() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    let first = host(&origin, &redb(&path)).start().await;
    assert_eq!(kv(&first, "set value=1").await, "set");
    let second = host(&origin, &redb(&path)).run().await;
    assert!(!second.status.success() && second.stdout.is_empty(), "{second:?}");
    assert!(second.stderr.contains(&format!("state: {}: another process uses it", path.display())), "{}", second.stderr);
    assert_eq!(kv(&first, "get").await, "1");
}

#[tokio::test]
async fn a_file_that_is_no_store_ends_the_start() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    std::fs::write(&path, "my diary").expect("a file");
    let ended = host(&origin, &redb(&path)).run().await;
    assert!(!ended.status.success() && ended.stderr.contains(&*path.to_string_lossy()), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "my diary");
}

#[tokio::test]
async fn the_default_is_a_file_where_something_may_be_kept() {
    let origin = RawOrigin::ok().await;
    for (is_granted, is_made) in [(true, true), (false, false)] {
        let host = Hosted::before(&origin.url()).scripted("a", &asking()).set("addon.a.kv", is_granted).start().await;
        let file = host.directory().join("state/tollgate/state.redb");
        kv(&host, "set value=1").await;
        assert_eq!(file.exists(), is_made);
    }
}

#[tokio::test]
async fn two_proxies_agree_on_who_was_first() {
    let origin = RawOrigin::ok().await;
    let server = RedisServer::start().await;
    let hosts = [host(&origin, &server.url()).start().await, host(&origin, &server.url()).start().await];
    for round in 0..3 {
        let inserts = (0..40).map(|number| {
            let host = &hosts[number % 2];
            async move { kv(host, &format!("insert key=post-{round} value={number}")).await }
        });
        let ended = join_all(inserts).await;
        assert_eq!(ended.iter().filter(|done| *done == "true").count(), 1, "{ended:?}");
        let winner = ended.iter().position(|done| done == "true").expect("one");
        for host in &hosts {
            assert_eq!(kv(host, &format!("get key=post-{round}")).await, winner.to_string());
        }
    }
}

#[tokio::test]
async fn a_proxy_starts_while_redis_is_down() {
    let origin = RawOrigin::ok().await;
    let mut server = RedisServer::start().await;
    server.kill();
    let host = host(&origin, &server.url()).start().await;
    let (status, page) = readiness(&host).await;
    assert!(status == 503 && page["state"].to_string().contains("refused"), "{page}");
    assert_eq!(host.get("/plain").await.status, 200);
    assert!(kv(&host, "get").await.starts_with("no store: "));
    assert!(host.admin().get("/metrics").await.text().contains("tollgate_state_up 0"));
    server.restart().await;
    eventually(async || readiness(&host).await.0 == 200).await;
    assert_eq!(kv(&host, "set value=1").await, "set");
    assert_eq!(readiness(&host).await.1["state"], Value::Null);
}

#[tokio::test]
async fn policies_decide_while_redis_is_away() {
    let origin = RawOrigin::ok().await;
    let mut server = RedisServer::start().await;
    let closed = host(&origin, &server.url()).start().await;
    let open = host(&origin, &server.url()).set("addon.a.on_error", "open").start().await;
    let load = Load::of_ok(closed.address(), 4, "/plain");
    for host in [&closed, &open] {
        assert_eq!(at(host, "/must", "set value=1").await, (200, "set".to_owned()));
    }
    for _ in 0..2 {
        server.kill();
        eventually(async || at(&closed, "/must", "get").await.0 == 503).await;
        // The origin answers, as if there were no addon.
        eventually(async || at(&open, "/must", "get").await == (200, "ok".to_owned())).await;
        load.more(50).await;
        server.restart().await;
        for host in [&closed, &open] {
            eventually(async || at(host, "/must", "set value=1").await == (200, "set".to_owned())).await;
        }
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn flows_are_served_as_soon_as_redis_is_back() {
    let origin = RawOrigin::ok().await;
    let mut server = RedisServer::start().await;
    let rule = "{ failures = 3, within = \"10m\", first = \"1h\", longest = \"1h\" }";
    let mut script = asking();
    let rules = script["rules"].as_array_mut().expect("rules");
    rules.push(json!({"on": "request", "filter": "~p ^/bad", "do": ["trap"]}));
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.kv", true);
    let host = host.set("state", format!("'{}'", server.url())).set("addon.a.quarantine", rule).start().await;
    assert_eq!(at(&host, "/must", "set value=1").await.0, 200);
    server.kill();
    eventually(async || at(&host, "/must", "get").await.0 == 503).await;
    for _ in 0..30 {
        assert_eq!(at(&host, "/must", "get").await.0, 503);
    }
    // They are counted all the same.
    let status = host.admin().status("a").await;
    assert!(status["kv"]["operations"]["get"]["unavailable"].as_u64() >= Some(30), "{status}");
    assert!(host.times_logged("a hook failed") >= 30, "{status}");
    assert_eq!(status["quarantine"], json!({"state": "none", "seconds_left": null, "failures": 0, "times": 0}));
    server.restart().await;
    eventually(async || readiness(&host).await.0 == 200).await;
    assert_eq!(at(&host, "/must", "set value=1").await, (200, "set".to_owned()));
    // What the store has no part in counts as ever.
    for _ in 0..3 {
        assert_eq!(host.get("/bad").await.status, 503);
    }
    assert_eq!(host.admin().status("a").await["quarantine"]["times"], 1);
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_no_other_flow() {
    let origin = RawOrigin::ok().await;
    let server = RedisServer::start().await;
    let host = host(&origin, &server.url()).set("state_timeout", "500ms").start().await;
    let load = Load::of_ok(host.address(), 4, "/plain");
    assert_eq!(kv(&host, "set value=1").await, "set");
    server.stop();
    let answers = join_all((0..40).map(|_| at(&host, "/must", "get"))).await;
    assert!(answers.iter().all(|(status, _)| *status == 503), "{answers:?}");
    load.more(100).await;
    eventually(async || readiness(&host).await.0 == 503).await;
    server.go_on();
    eventually(async || readiness(&host).await.0 == 200).await;
    // A quarantine, if it came to that, ends as well.
    eventually(async || at(&host, "/kv", "get").await == (200, "1".to_owned())).await;
    load.stop_unharmed().await;
}

#[tokio::test]
async fn redis_is_spoken_to_in_tls() {
    let origin = RawOrigin::ok().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = RedisServer::tls(&authority.localhost()).await;
    let url = format!("rediss://localhost:{}", server.address().port());
    let with = |authority: &Authority| host(&origin, &url).set("state_ca", format!("'{}'", authority.ca().display()));
    let trusting = with(&authority).start().await;
    assert_eq!(kv(&trusting, "set value=1").await, "set");
    assert_eq!(kv(&trusting, "get").await, "1");
    let doubting = with(&stranger).start().await;
    let (status, page) = readiness(&doubting).await;
    assert!(status == 503 && page["state"].to_string().contains("TLS failed"), "{page}");
    assert!(kv(&doubting, "get").await.starts_with("no store: "));
}

#[tokio::test]
async fn passwords_come_from_files_and_variables() {
    let origin = RawOrigin::ok().await;
    let server = RedisServer::start().await;
    server.ask("CONFIG SET requirepass hunter22").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "hunter22\n").expect("a file");
    let by_file = host(&origin, &server.url()).set("state_password_file", format!("'{}'", file.display())).start().await;
    assert_eq!(kv(&by_file, "set value=1").await, "set");
    let by_variable =
        host(&origin, &server.url()).with(|builder| builder.env("TOLLGATE_STATE_PASSWORD", "hunter22")).start().await;
    assert_eq!(kv(&by_variable, "get").await, "1");
    let without = host(&origin, &server.url()).start().await;
    assert!(kv(&without, "get").await.starts_with("no store: "));
    assert_eq!(readiness(&without).await.0, 503);
    for host in [&by_file, &by_variable, &without] {
        assert!(!host.logs().contains("hunter22"), "{}", host.logs());
    }
    let url = server.url().replace("//", "//u:hunter22@");
    let ended = host(&origin, &url).run().await;
    assert!(ended.stderr.contains("must have no password") && !ended.stderr.contains("hunter22"), "{}", ended.stderr);
}
