//! Guests that take memory, tables, handles and stack until there is none, and guests that trap in every way there is.
#![cfg(test)]

use serde_json::json;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, Siege, hostile},
};

fn guests(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names.iter().map(|name| ((*name).to_owned(), hostile(name))).collect()
}

/// Guests that end in a trap, and what the log says of it.
const TRAPS: [(&str, &str); 16] = [
    ("grow-memory-trap", "memory limit of 67108864"),
    ("grow-table", "table limit of 10000"),
    ("many-handles", "over its budget of 256 handles"),
    ("recurse", "call stack exhausted"),
    ("recurse-realloc", "call stack exhausted"),
    ("reenter", "cannot leave component instance"),
    ("realloc-outside", "realloc return"),
    ("realloc-unaligned", "realloc return"),
    ("load-outside", "out of bounds memory access"),
    ("divide", "integer divide by zero"),
    ("call-nothing", "uninitialized element"),
    ("unreachable", "unreachable"),
    ("exit", "exit"),
    ("kept-borrow", "borrow"),
    ("used-later", "unknown handle"),
    ("flood-random", "over its budget of random bytes"),
];

#[tokio::test]
async fn traps_of_every_kind_end_one_flow() {
    let siege = Siege::by(guests(&TRAPS.map(|(name, _)| name)), |builder| builder.set("addon.grow-memory-trap.cpu", "5s")).await;
    for (name, said) in TRAPS {
        siege.repels(name, "traps", said).await;
    }
    siege.is_lifted().await;
}

#[tokio::test]
async fn all_memory_of_many_guests_is_given_back() {
    let siege = Siege::by(guests(&["grow-memory"]), |builder| builder.set("addon.grow-memory.cpu", "20s")).await;
    for _ in 0..3 {
        let flows: Vec<_> = (0..8)
            .map(|_| {
                let address = siege.address();
                tokio::spawn(async move { Client::fetch(Version::Http1, address, "/grow-memory").await })
            })
            .collect();
        for flow in flows {
            assert_eq!(flow.await.expect("a flow").text(), "ok");
        }
    }
    // A mebibyte at a time, upon the 64 KiB that it began with.
    assert_eq!(siege.admin().counter("grow-memory", "memory_peak_bytes").await, (63 << 20) + (64 << 10));
    // That is 512 MiB, if eight of them were there at one time.
    siege.is_lifted().await;
}

#[tokio::test]
async fn forgotten_handles_go_with_the_flow() {
    let siege = Siege::by(guests(&["leak-handles"]), |builder| builder).await;
    // A hundred each: were they kept, the third flow would have none left.
    for _ in 0..20 {
        assert_eq!(siege.ask("leak-handles").await.text(), "ok");
    }
    siege.is_lifted().await;
}

#[tokio::test]
async fn handles_of_configure_work_in_hooks() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).unknown("kept-handle", &hostile("kept-handle")).start().await;
    let status = host.admin().until("kept-handle", |status| !status["warning"].is_null()).await;
    assert_eq!(status["state"], "replay");
    for _ in 0..3 {
        assert_eq!(host.get("/kept-handle").await.text(), "ok");
    }
}

#[tokio::test]
async fn tables_beyond_their_limit_are_refused_at_load() {
    let host = Hosted::before("http://127.0.0.1:1").unknown("large-table", &hostile("large-table")).start().await;
    let status = host.admin().status("large-table").await;
    assert_eq!(status["state"], json!("failed"));
    let why = status["error"].as_str().expect("an error");
    assert!(why.contains("table"), "{why}");
}
