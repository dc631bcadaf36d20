//! Two proxies with the addon `dedup` on one store show together what one would, and a restart forgets nothing.
#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::{
    Client, RawOrigin, RedisServer, Version,
    addons::{Hosted, bundled},
    empty, eventually,
};

const ROUNDS: u64 = 40;

/// Two pages of a home timeline for each hundred of `max_id`: the upper one has a boost of a post, the lower one another boost of
/// it and the post itself; each has a post of its own.
async fn mastodon() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let max: u64 = request.target.rsplit("max_id=").next().and_then(|max| max.parse().ok()).expect("a max_id");
            let body = page(max).to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
            if conversation.send(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await.is_err() {
                return;
            }
        }
    })
    .await
}

fn page(max: u64) -> Value {
    let round = max / 100;
    let uri = |name: &str| format!("https://posts.test/{round}/{name}");
    let post = |id: u64, name: &str| json!({"id": (round * 100 + id).to_string(), "uri": uri(name)});
    let boost =
        |id: u64| json!({"id": (round * 100 + id).to_string(), "uri": uri(&format!("boost-{id}")), "reblog": post(1, "post")});
    match max % 100 {
        50 => json!([boost(49), post(48, "upper")]),
        _ => json!([boost(39), post(38, "lower"), post(1, "post")]),
    }
}

async fn proxy(origin: &RawOrigin, state: &str, mode: &str) -> Hosted {
    let options = json!({"streaming": false, "mode": mode});
    let host = Hosted::before(&origin.url()).guest("dedup", &bundled("dedup"), &options);
    host.set("addon.dedup.kv", true).set("state", format!("'{state}'")).start().await
}

async fn shown(address: std::net::SocketAddr, max: u64) -> Vec<u64> {
    let target = format!("/api/v1/timelines/home?max_id={max}");
    let request = http::Request::get(target).header("authorization", "Bearer ada-token").body(empty()).expect("a request");
    let answer = Client::connect(Version::Http1, address).await.ask(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let items = answer.json();
    let id = |item: &Value| item["id"].as_str().and_then(|id| id.parse::<u64>().ok()).expect("an id") % 100;
    items.as_array().expect("an array").iter().map(id).collect()
}

/// Both pages, each twice through both proxies at one time; what each page showed.
async fn at_once(hosts: &[Hosted], round: u64) -> BTreeMap<u64, BTreeSet<Vec<u64>>> {
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        for host in hosts {
            for max in [round * 100 + 50, round * 100 + 40] {
                let address = host.address();
                asking.spawn(async move { (max % 100, shown(address, max).await) });
            }
        }
    }
    let mut pages: BTreeMap<u64, BTreeSet<Vec<u64>>> = BTreeMap::new();
    for (page, ids) in asking.join_all().await {
        pages.entry(page).or_default().insert(ids);
    }
    pages
}

async fn two_proxies_show_what_one_would(mode: &str) {
    let (origin, server) = (mastodon().await, RedisServer::start().await);
    let hosts = [proxy(&origin, &server.url(), mode).await, proxy(&origin, &server.url(), mode).await];
    for round in 1..=ROUNDS {
        let pages = at_once(&hosts, round).await;
        // All that asked for a page were shown the same, whoever they asked.
        assert!(pages.len() == 2 && pages.values().all(|shown| shown.len() == 1), "{mode}, round {round}: {pages:?}");
        let all: Vec<u64> = pages.values().flatten().flatten().copied().collect();
        // What is on one page alone is never lost, and the post is carried by one of its boosts, on one page.
        let carriers = all.iter().filter(|id| ![48, 38].contains(*id)).copied().collect::<Vec<_>>();
        assert!(all.contains(&48) && all.contains(&38), "{mode}, round {round}: {pages:?}");
        assert!(matches!(*carriers, [49 | 39]), "{mode}, round {round}: {pages:?}");
        // Asked again they say the same.
        assert_eq!(at_once(&hosts, round).await, pages, "{mode}, round {round}");
    }
    for host in &hosts {
        assert_eq!(host.admin().counter("dedup", "errors").await, 0, "{mode}");
    }
}

#[tokio::test]
async fn two_proxies_agree_on_which_entry_carries_a_post() {
    two_proxies_show_what_one_would("entries").await;
}

#[tokio::test]
async fn two_proxies_show_a_post_once() {
    two_proxies_show_what_one_would("once").await;
}

#[tokio::test]
async fn what_was_seen_outlives_the_proxy() {
    let origin = mastodon().await;
    let directory = tempfile::tempdir().expect("a directory");
    let state = format!("redb:{}", directory.path().join("state").display());
    for (round, signal) in [(1, Signal::TERM), (2, Signal::KILL)] {
        let mut host = proxy(&origin, &state, "entries").await;
        assert_eq!(shown(host.address(), round * 100 + 50).await, [49, 48]);
        let since = Instant::now();
        // A kill takes what is younger than a second.
        eventually(async || signal == Signal::TERM || since.elapsed() > Duration::from_millis(1_500)).await;
        host.signal(signal);
        host.ended().await;
        let mut host = proxy(&origin, &state, "entries").await;
        assert_eq!(shown(host.address(), round * 100 + 40).await, [38], "{signal:?}");
        assert_eq!(shown(host.address(), round * 100 + 50).await, [49, 48], "{signal:?}");
        host.signal(Signal::TERM);
        host.ended().await;
    }
}

#[tokio::test]
async fn what_was_seen_is_known_when_the_store_is_back() {
    let (origin, mut server) = (mastodon().await, RedisServer::start().await);
    let url = server.url();
    server.kill();
    let hosts = [proxy(&origin, &url, "entries").await, proxy(&origin, &url, "entries").await];
    for host in &hosts {
        let page = host.admin().get("/health/ready").await;
        assert_eq!((page.status.as_u16(), page.json()["state"].clone()), (503, json!("connection refused")));
        let refused = host.ask("GET", "/api/v1/timelines/home?max_id=150", &[("Authorization", "Bearer ada-token")]).await;
        assert_eq!(refused.status, 503);
    }
    server.restart().await;
    for host in &hosts {
        eventually(async || host.admin().get("/health/ready").await.status == 200).await;
    }
    assert_eq!(shown(hosts[0].address(), 150).await, [49, 48]);
    assert_eq!(shown(hosts[1].address(), 140).await, [38]);
}
