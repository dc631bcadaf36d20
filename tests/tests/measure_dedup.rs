//! What the addon `dedup` costs, in numbers: the store for each post, and the processor for each page. Not a test: nothing here fails,
//! and it is run by `cargo xtask measure`.
#![cfg(test)]
#![allow(clippy::print_stdout, reason = "the numbers are what this is for")]

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawOrigin, RedisServer, Version,
    addons::{Hosted, bundled},
    empty,
};

/// Posts that are shown to the stores, on pages of so many.
const POSTS: u64 = 200_000;
const LARGE: u64 = 200;
/// Pages for each of the times that are compared.
const PAGES: u64 = 200;

/// Pages of `limit` posts that nobody saw before: those of a number, from `max_id` down.
async fn mastodon() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let number = |name: &str| -> u64 {
                let value = request.target.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                value.and_then(|value| value.parse().ok()).expect("a number")
            };
            let (limit, max) = (number("limit"), number("max_id"));
            let post = |id: u64| {
                json!({
                    "id": id.to_string(), "created_at": "2026-01-01T00:00:00.000Z", "uri": format!("https://posts.test/users/ada/statuses/{id}"),
                    "content": "x".repeat(1_000), "reblog": null, "edited_at": null,
                })
            };
            let body = Value::from((max - limit..max).rev().map(post).collect::<Vec<_>>()).to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
            if conversation.send(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn proxy(origin: &RawOrigin, state: &str) -> Hosted {
    let host = Hosted::before(&origin.url()).guest("dedup", &bundled("dedup"), &json!({"streaming": false}));
    let host = host.set("addon.dedup.kv", true).set("addon.dedup.kv_keys", 1_000_000).set("addon.dedup.kv_bytes", "'256MiB'");
    let host = host.set("state", format!("'{state}'")).start().await;
    host.admin().frozen("dedup").await;
    host
}

async fn get(client: &mut Client, path: &str, limit: u64, max: u64) {
    let request = http::Request::get(format!("{path}?limit={limit}&max_id={max}"));
    let request = request.header("authorization", "Bearer ada-token").body(empty()).expect("a request");
    assert_eq!(client.ask(request).await.status, 200);
}

/// Time on the processor that a process has used.
fn used(host: &Hosted) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", host.pid())).expect("a process");
    let of = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        stat.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or_default()
    };
    Duration::from_nanos(tasks.flatten().map(of).sum())
}

#[tokio::test]
#[ignore = "measures"]
async fn size_of_the_store() {
    let origin = mastodon().await;
    let (directory, server) = (tempfile::tempdir().expect("a directory"), RedisServer::start().await);
    let file = directory.path().join("state");
    for state in ["memory:".to_owned(), format!("redb:{}", file.display()), server.url()] {
        let host = proxy(&origin, &state).await;
        let mut client = Client::connect(Version::Http1, host.address()).await;
        get(&mut client, "/api/v1/timelines/home", LARGE, LARGE).await;
        let before = host.rss();
        for page in 2..=POSTS / LARGE {
            get(&mut client, "/api/v1/timelines/home", LARGE, page * LARGE).await;
        }
        let kv = host.admin().status("dedup").await["kv"].clone();
        let redis = server.ask("INFO memory").await;
        let redis = redis.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap_or_default().to_owned();
        let size = match state.split(':').next() {
            Some("redb") => format!("the file has {}", std::fs::metadata(&file).expect("a file").len()),
            Some("redis") => format!("the server uses {redis}"),
            _ => format!("the process has grown by {}", host.rss().saturating_sub(before)),
        };
        println!("{POSTS} posts in {state}: {} keys of {} bytes as counted, {size}", kv["keys"], kv["bytes"]);
    }
}

#[tokio::test]
#[ignore = "measures"]
async fn processor_for_a_page() {
    let origin = mastodon().await;
    let host = proxy(&origin, "memory:").await;
    let mut client = Client::connect(Version::Http1, host.address()).await;
    // New posts, repeats of these, and pages that the addon is not shown.
    for (what, path, step) in [
        ("no dedup", "/api/v1/bookmarks", 20),
        ("20 new posts", "/api/v1/timelines/home", 20),
        ("the same 20 again", "/api/v1/timelines/home", 0),
    ] {
        let mut times = Vec::new();
        for page in 1..=PAGES {
            let before = used(&host);
            get(&mut client, path, 20, 20 + page * step).await;
            times.push(used(&host).saturating_sub(before));
        }
        times.sort_unstable();
        println!("{what}: {:?} on the processor for a page, median of {PAGES}", times[times.len() / 2]);
    }
}
