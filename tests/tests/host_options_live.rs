//! What is accepted is live, at once and for each flow as a whole.
#![cfg(test)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::task::JoinSet;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, Service, seen_whole, versioned},
    eventually,
};

fn number(answer: &tollgate_tests::Answer) -> Option<usize> {
    answer.header("x-answered")?.split(' ').next()?.parse().ok()
}

#[tokio::test]
async fn the_next_request_is_served_by_what_was_put() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("0")).start().await;
    let mut kept = Vec::new();
    for version in [Version::Http1, Version::Http2] {
        for _ in 0..4 {
            kept.push(Client::connect(version, host.address()).await);
        }
    }
    for round in 1..=200 {
        let answer = host.admin().put_options("a", &versioned(&round.to_string())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let client = &mut kept[round % 8];
        let answer = client.ask(http::Request::get("/").body(tollgate_tests::empty()).expect("a request")).await;
        assert_eq!((number(&answer), seen_whole(&answer)), (Some(round), Ok(())));
        if round % 10 == 0 {
            assert_eq!(number(&host.get("/").await), Some(round));
        }
    }
}

#[tokio::test]
async fn every_accepted_document_is_a_generation() {
    let host = Hosted::before("http://127.0.0.1:1").scripted("a", &versioned("0")).start().await;
    let mut last = 0;
    // The same one, too.
    for round in [1, 2, 2, 3] {
        let answer = host.admin().put_options("a", &versioned(&round.to_string())).await.json();
        let generation = answer["generation"].as_u64().expect("a number");
        assert!(generation > last, "{generation} after {last}");
        last = generation;
    }
}

#[tokio::test]
async fn flows_in_flight_keep_their_generation() {
    let service = Service::start().await;
    let host = Hosted::before(&service.at("")).scripted("a", &versioned("1")).start().await;
    let flows: Vec<_> = [Version::Http1, Version::Http2, Version::Http1]
        .map(|version| tokio::spawn(Client::fetch(version, host.address(), "/held")))
        .into();
    eventually(async || service.origin().requests().len() == flows.len()).await;
    for round in 2..=5 {
        assert_eq!(host.admin().put_options("a", &versioned(&round.to_string())).await.status, 200);
        assert_eq!(number(&host.get("/").await), Some(round));
    }
    service.release();
    for flow in flows {
        let answer = flow.await.expect("a flow");
        assert_eq!((answer.status.as_u16(), number(&answer), seen_whole(&answer)), (200, Some(1), Ok(())));
    }
}

#[tokio::test]
async fn two_hundred_changes_under_load_lose_nothing() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("0")).start().await;
    let (begun, done, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (address, mut clients) = (host.address(), JoinSet::new());
    for client in 0..4 {
        let (begun, done, is_over) = (Arc::clone(&begun), Arc::clone(&done), Arc::clone(&is_over));
        let version = if client % 2 == 0 { Version::Http1 } else { Version::Http2 };
        clients.spawn(async move {
            let (mut requests, mut client) = (0, Client::connect(version, address).await);
            while !is_over.load(SeqCst) {
                let oldest = done.load(SeqCst);
                let answer = client.ask(http::Request::get("/").body(tollgate_tests::empty()).expect("a request")).await;
                let newest = begun.load(SeqCst);
                let seen = number(&answer).unwrap_or(usize::MAX);
                assert!((oldest..=newest).contains(&seen), "{seen} is not from {oldest} to {newest}: {}", answer.status);
                assert_eq!(seen_whole(&answer), Ok(()));
                requests += 1;
            }
            requests
        });
    }
    for round in 1..=200 {
        begun.store(round, SeqCst);
        assert_eq!(host.admin().put_options("a", &versioned(&round.to_string())).await.status, 200);
        done.store(round, SeqCst);
    }
    is_over.store(true, SeqCst);
    let requests: Vec<usize> = clients.join_all().await;
    assert!(requests.iter().all(|requests| *requests > 0), "{requests:?}");
}
