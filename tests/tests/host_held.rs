//! How much of bodies all flows together hold for hooks.
#![cfg(test)]

use std::{io::Write as _, sync::Arc};

use http::Request;
use serde_json::json;
use tokio::sync::Semaphore;
use tollgate_tests::{
    Answer, Client, RawClient, RawOrigin, Version,
    addons::{Hosted, sha256},
    eventually, full,
};

/// The least that can be set.
const LIMIT: usize = 64 << 10;

/// An origin that answers when there is a permit, with as many bytes as it was sent.
async fn gated() -> (RawOrigin, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&permits);
    let origin = RawOrigin::start(move |mut conversation| {
        let permits = Arc::clone(&shared);
        async move {
            while let Some(request) = conversation.request().await {
                permits.acquire().await.expect("a permit").forget();
                let body = vec![b'r'; request.body.len()];
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                if conversation.send([head.as_bytes(), &body].concat()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (origin, permits)
}

async fn host(origin: &RawOrigin, event: &str) -> Hosted {
    let script = json!({"rules": [{"on": event, "filter": "~m POST", "body": "full"}]});
    Hosted::before(&origin.url()).scripted("a", &script).set("limits.held_bodies", LIMIT).start().await
}

fn post(bytes: usize) -> Request<tollgate_tests::BoxBody> {
    Request::post("/").body(full(vec![b'q'; bytes])).expect("a request")
}

async fn status(host: &Hosted, bytes: usize) -> u16 {
    Client::connect(Version::Http1, host.address()).await.ask(post(bytes)).await.status.as_u16()
}

#[tokio::test]
async fn the_limit_holds_below_at_above() {
    let (origin, permits) = gated().await;
    permits.add_permits(100);
    for event in ["request", "response"] {
        let host = host(&origin, event).await;
        for (bytes, expected) in [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 503), (LIMIT, 200)] {
            assert_eq!(status(&host, bytes).await, expected, "{event} {bytes}");
            // What a flow held is given back.
            eventually(async || host.admin().get("/metrics").await.text().contains("tollgate_held_bodies_bytes 0")).await;
        }
    }
}

#[tokio::test]
async fn flows_share_what_may_be_held() {
    let (origin, permits) = gated().await;
    let host = host(&origin, "request").await;
    let mut first = Client::connect(Version::Http2, host.address()).await;
    let held = tokio::spawn(first.start(post(LIMIT - 100)));
    eventually(async || origin.requests().len() == 1).await;
    let answer = Client::connect(Version::Http1, host.address()).await.ask(post(101)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (503, Some("M_UNKNOWN")));
    assert!(answer.text().contains("holds as many bodies as it may"), "{}", answer.text());
    // Those that nobody has to hold go by.
    permits.add_permits(3);
    let request = Request::put("/").body(full(vec![b'q'; LIMIT])).expect("a request");
    assert_eq!(Client::connect(Version::Http1, host.address()).await.ask(request).await.status, 200);
    assert_eq!(held.await.expect("a task").expect("a response").status(), 200);
    eventually(async || host.admin().get("/metrics").await.text().contains("tollgate_held_bodies_bytes 0")).await;
    assert_eq!(status(&host, 101).await, 200);
}

#[tokio::test]
async fn what_is_sent_on_is_held_no_more() {
    // Answers that never end, of which more than the cap is there at once.
    let origin = RawOrigin::start(|mut conversation| async move {
        while conversation.request().await.is_some() {
            let piece = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na000\r\n".to_vec(), vec![b'r'; 0xa000]].concat();
            let _ = conversation.send([&piece[..], b"\r\n"].concat()).await;
        }
    })
    .await;
    let script = json!({"rules": [{"on": "response", "body": {"pass-unseen": 1_000}}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("limits.held_bodies", LIMIT).start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(host.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response_head().await.status, 200);
        // A client that does not take it has it held for as long.
        let mut got = 0;
        while got < 0xa000 {
            got += client.piece().await.expect("a body").expect("a piece").len();
        }
        holds(&host, 0).await;
        clients.push(client);
    }
}

async fn holds(host: &Hosted, bytes: usize) {
    let wanted = format!("tollgate_held_bodies_bytes {bytes}\n");
    eventually(async || host.admin().get("/metrics").await.text().contains(&wanted)).await;
}

#[tokio::test]
async fn bodies_in_the_ledger_count_until_there_is_no_room() {
    const SENT: usize = 30_000;
    for more in [LIMIT - SENT - 1, LIMIT - SENT, LIMIT - SENT + 1] {
        let (origin, permits) = gated().await;
        let script = json!({"rules": [{"on": "request", "body": "full", "do": [{"fill-body": more}]}]});
        let host = Hosted::before(&origin.url()).scripted("a", &script).set("limits.held_bodies", LIMIT).start().await;
        let mut client = Client::connect(Version::Http1, host.address()).await;
        let flow = tokio::spawn(client.start(post(SENT)));
        eventually(async || origin.requests().len() == 1).await;
        // With the body that was sent, the ledger keeps the one that came; beyond the limit only its hash.
        holds(&host, if SENT + more <= LIMIT { SENT + more } else { more }).await;
        permits.add_permits(1);
        let answer = Answer::read(flow.await.expect("a task").expect("a response")).await.expect("an answer");
        assert_eq!(answer.body.len(), more);
        holds(&host, 0).await;
        let mut flows = json!([]);
        eventually(async || {
            flows = host.admin().get("/flows").await.json()["flows"].clone();
            flows.as_array().is_some_and(|flows| flows.len() == 1)
        })
        .await;
        let change = &flows[0]["mutations"][0]["changes"][0];
        assert_eq!(change["before"], json!({"bytes": SENT, "sha256": sha256(&vec![b'q'; SENT])}), "{more}");
        assert_eq!(change["after"], json!({"bytes": more, "sha256": sha256(&vec![b'b'; more])}), "{more}");
    }
}

#[tokio::test]
async fn answers_of_addons_count_until_they_are_sent() {
    let (origin, _permits) = gated().await;
    let script = json!({"rules": [{"on": "request", "do": [{"respond-bytes": [200, [], vec![b'x'; 10_000]]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    assert_eq!(host.get("/").await.body.len(), 10_000);
    holds(&host, 0).await;
}

/// A long stream of which hooks saw the start: neither that nor what it is without its coding is held while the rest goes by.
#[tokio::test]
async fn what_was_decoded_is_held_no_longer_than_it_is_shown() {
    let noise: Vec<u8> =
        (0_u32..20_000).map(|number| u8::try_from(number.wrapping_mul(2_654_435_761) >> 24).unwrap_or_default()).collect();
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    coder.write_all(&noise).expect("coded");
    let coded = coder.finish().expect("coded");
    let start = coded.clone();
    let origin = RawOrigin::start(move |mut conversation| {
        let coded = coded.clone();
        async move {
            while conversation.request().await.is_some() {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                    coded.len()
                );
                let _ = conversation.send([head.as_bytes(), &coded, b"\r\n"].concat()).await;
                conversation.take_all().await;
            }
        }
    })
    .await;
    let script = json!({"rules": [{"on": "response", "body": {"truncate": 10_000}, "do": [{"set": ["X-Seen", "{length}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("limits.held_bodies", LIMIT).start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(host.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response_head().await.fields.get("x-seen"), Some("10000"));
        let mut got = 0;
        while got < start.len() {
            got += client.piece().await.expect("a body").expect("a piece").len();
        }
        holds(&host, 0).await;
        clients.push(client);
    }
}

#[tokio::test]
async fn what_codings_hide_counts_too() {
    let coded = |bytes: usize| {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        coder.write_all(&vec![b'q'; bytes]).expect("coded");
        coder.finish().expect("coded")
    };
    // Both are held while a hook is shown one of them.
    let most = (0..LIMIT).rev().find(|bytes| bytes + coded(*bytes).len() <= LIMIT).expect("a size");
    let (origin, permits) = gated().await;
    permits.add_permits(100);
    let host = host(&origin, "request").await;
    for (bytes, expected) in [(most, 200), (most + 1, 503), (most, 200)] {
        let request = Request::post("/").header("content-encoding", "gzip").body(full(coded(bytes))).expect("a request");
        let answer = Client::connect(Version::Http1, host.address()).await.ask(request).await;
        assert_eq!(answer.status, expected, "{bytes}");
        holds(&host, 0).await;
    }
}

#[tokio::test]
async fn nothing_is_held_after_a_storm() {
    let (origin, permits) = gated().await;
    permits.add_permits(100_000);
    let script = json!({"rules": [
        {"on": "request", "filter": "~p ^/edit", "body": "full", "do": [{"fill-body": 20_000}]},
        {"on": "response", "filter": "~p ^/edit", "body": "full", "do": [{"set-body": "{body}{body}"}]},
        {"on": "request", "filter": "~p ^/fail", "body": "full", "do": [{"fill-body": 20_000}, "trap"]},
        {"on": "response", "filter": "~p ^/cut", "body": {"truncate": 100}},
        {"on": "request", "filter": "~p ^/refuse", "body": {"refuse": 100}},
        {"on": "request", "filter": "~p ^/made", "body": "full", "do": [{"respond": [200, [], "{body}"]}]},
        {"on": "response", "filter": "~p ^/replace", "do": [{"respond": [200, [], "other"]}]},
        {"on": "request-chunk", "filter": "~p ^/piece", "do": [{"piece": {"fill": 100_000}}]},
        {"on": "finish", "do": []},
    ]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &script)
        .scripted(
            "b",
            &json!({"rules": [{"on": "response", "filter": "~m POST", "body": "full", "do": [{"append": ["X-B", "1"]}]}]}),
        )
        .set("limits.held_bodies", "256KiB")
        .set("addon.a.quarantine", "false")
        .start()
        .await;
    let mut flows = tokio::task::JoinSet::new();
    for number in 0..400_usize {
        let (version, address) = (Version::BOTH[number % 2], host.address());
        flows.spawn(async move {
            let path = ["edit", "fail", "cut", "refuse", "made", "replace", "piece", "pass"][number / 2 % 8];
            let request = Request::post(format!("/{path}")).body(full(vec![b'q'; number * 97 % 50_000])).expect("a request");
            // Dropped, it takes its connection along.
            let mut client = Client::connect(version, address).await;
            let answer = client.start(request);
            // Some leave before the end.
            if number % 5 == 0 {
                let _ = tokio::time::timeout(std::time::Duration::from_millis(number as u64 % 20), answer).await;
            } else if let Ok(response) = answer.await {
                let _ = Answer::read(response).await;
            }
        });
    }
    while let Some(flow) = flows.join_next().await {
        flow.expect("a flow");
    }
    // A storm of which nothing arrived would hold nothing, either.
    let metrics = host.admin().get("/metrics").await.text();
    let served = |class: &str| {
        let start = format!("tollgate_flows_total{{listener=\"main\",status=\"{class}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse::<u64>().ok()).unwrap_or_default()
    };
    assert!(served("2xx") > 0 && served("5xx") > 0, "{metrics}");
    holds(&host, 0).await;
    host.admin().until("a", |status| status["instances_live"] == 0).await;
    assert_eq!(status(&host, 1_000).await, 200);
}
