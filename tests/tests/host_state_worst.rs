//! What addons keep when there is no room for more, and what is told of a server that fails.
#![cfg(test)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawOrigin, RedisServer, Version,
    addons::{Hosted, HostedBuilder},
    eventually,
};

/// Sets and gets below `/set` and `/get`, and answers with what it came to.
fn keeping(name: &str) -> Value {
    let rule = |op: &str| {
        let kv = json!({"kv": {"op": op, "bucket": "b", "key": "{header:x-key}", "value": "{header:x-value}"}});
        json!({"on": "request", "filter": format!("~p ^/{name}/{op}"), "do": [kv, {"respond": [200, [], "{kv}"]}]})
    };
    json!({"rules": [rule("set"), rule("get")]})
}

fn host(origin: &RawOrigin, state: &str) -> HostedBuilder {
    let mut host = Hosted::before(&origin.url()).set("state", format!("'{state}'"));
    for name in ["greedy", "modest"] {
        host = host.scripted(name, &keeping(name)).set(&format!("addon.{name}.kv"), true);
    }
    host
}

async fn readiness(host: &Hosted) -> (u16, Value) {
    let answer = host.admin().get("/health/ready").await;
    (answer.status.as_u16(), answer.json())
}

/// Writes values of these many bytes until the store has room for no more, and goes on trying until it is told to end.
async fn fill(address: SocketAddr, bytes: usize, refused: &AtomicU32) {
    let (mut client, value) = (Client::connect(Version::Http1, address).await, "x".repeat(bytes));
    for number in 0_u32.. {
        let request = http::Request::get("/greedy/set").header("x-key", number.to_string());
        let request = request.header("x-value", &value).body(tollgate_tests::empty()).expect("a request");
        match client.try_ask(request).await {
            Ok(answer) if answer.text() == "set" => {}
            Ok(answer) => {
                assert!(answer.text().contains("no room"), "{}", answer.text());
                refused.fetch_add(1, SeqCst);
            }
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn a_full_file_keeps_what_others_were_told_is_kept() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    let state = format!("redb:{}", path.display());
    let start = || host(&origin, &state).set("state_bytes", "'16MiB'").set("addon.greedy.kv_bytes", "'256MiB'").start();
    let mut host = start().await;
    let (address, refused) = (host.address(), Arc::new(AtomicU32::new(0)));
    let counter = Arc::clone(&refused);
    let greedy = tokio::spawn(async move { fill(address, 7_000, &counter).await });
    let (mut kept, mut full, mut since_full) = (Vec::new(), 0, None);
    for number in 0_u32.. {
        let key = number.to_string();
        let answer = host.ask("GET", "/modest/set", &[("x-key", &key), ("x-value", &key)]).await.text();
        if answer == "set" {
            kept.push((key, Instant::now()));
            full += u32::from(since_full.is_some());
        } else {
            assert!(answer.contains("no room"), "{answer}");
        }
        if refused.load(SeqCst) > 0 {
            let since = *since_full.get_or_insert_with(Instant::now);
            // Long enough that some of what was kept in a full file is old, or nothing is kept in it.
            if since.elapsed() > Duration::from_millis(2_500) {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(std::fs::metadata(&path).expect("a file").len() <= 16 << 20);
    for (key, _) in &kept {
        assert_eq!(host.ask("GET", "/modest/get", &[("x-key", key)]).await.text(), *key);
    }
    assert_eq!(host.times_logged("is lost"), 0, "{}", host.logs());
    let killed = Instant::now();
    host.signal(Signal::KILL);
    host.ended().await;
    greedy.await.expect("a filler");
    let host = start().await;
    let mut old = 0;
    for (key, at) in &kept {
        let found = host.ask("GET", "/modest/get", &[("x-key", key)]).await.text();
        let is_old = killed.saturating_duration_since(*at) > Duration::from_secs(1);
        old += u32::from(is_old);
        assert!(found == *key || (found == "none" && !is_old), "{key}: {found}");
    }
    assert!(old > 10, "{old} old of {}, {full} in a full file", kept.len());
    assert!(std::fs::metadata(&path).expect("a file").len() <= 16 << 20);
}

#[tokio::test]
async fn readiness_tells_kinds_and_no_words_of_servers() {
    let origin = RawOrigin::ok().await;
    let mut server = RedisServer::start().await;
    server.ask("CONFIG SET requirepass hunter22").await;
    let host = host(&origin, &server.url()).set("state_timeout", "500ms").start().await;
    let told = async |kind: &str| {
        eventually(async || matches!(readiness(&host).await, (503, page) if page["state"] == kind)).await;
    };
    // What the server says: "NOAUTH Authentication required."
    told("authentication failed").await;
    assert_eq!(host.ask("GET", "/modest/get", &[("x-key", "k")]).await.text(), "no store: authentication failed");
    host.logged("NOAUTH").await;
    server.kill();
    told("connection refused").await;
    server.restart().await;
    eventually(async || readiness(&host).await.0 == 200).await;
    server.ask("CONFIG SET maxmemory 1").await;
    told("the server has no memory left").await;
    host.logged("OOM").await;
    server.ask("CONFIG SET maxmemory 0").await;
    eventually(async || readiness(&host).await.0 == 200).await;
    server.ask("REPLICAOF 127.0.0.1 1").await;
    told("the server is a read only replica").await;
    host.logged("You can't write against a read only replica").await;
    server.ask("REPLICAOF NO ONE").await;
    eventually(async || readiness(&host).await.0 == 200).await;
    server.stop();
    told("no answer within 500ms").await;
    server.go_on();
    eventually(async || readiness(&host).await.0 == 200).await;
    // An error that nobody knows.
    drop(server);
    let liar = RawOrigin::start(|mut conversation| async move {
        while conversation.send("-ERR the secret is 12345\r\n".repeat(8)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let host = self::host(&origin, &liar.url().replace("http:", "redis:")).start().await;
    let (status, page) = readiness(&host).await;
    assert!(status == 503 && page["state"] == "the server answered with an error", "{page}");
    assert!(!page.to_string().contains("12345") && host.logs().contains("12345"), "{page}");
}
