//! What is kept, and under which names: what proxies of other versions that share a store rely on.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{ADA, HOME, boost, edited, harness, post, shown, uri};
use sha2::{Digest as _, Sha256};
use tollgate_sdk::serde_json::json;

const SECRET: [u8; 32] = [7; 32];
/// The first second of 2025, when flows of tests start.
const STARTED: u32 = 1_735_689_600;

fn digest(key: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new_with_prefix(key);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// Key of the post `a` in Ada's home timeline, and what stands for an entry.
fn names(mode: &str, entry: &str) -> (String, Vec<u8>) {
    let scope = digest(&SECRET, &["scope", mode, "http://upstream.test", "user", "ada-token"]);
    let post = digest(&scope, &["post", "home", &uri("a")]);
    let key = post[..12].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    (key, digest(&scope, &["entry", entry])[..8].to_vec())
}

#[test]
fn a_post_takes_forty_eight_bytes() {
    let harness = harness(json!({})).with_kv("secret", "1", SECRET);
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let (key, entry) = names("Entries", "1");
    let record = harness.kv("posts", &key).expect("a record");
    assert_eq!(record, [&STARTED.to_be_bytes()[..], &entry, &[0; 4], &1_u64.to_be_bytes()].concat());
    assert_eq!(key.len() + record.len(), 48);
}

#[test]
fn an_edit_takes_twenty_more() {
    let harness = harness(json!({})).with_kv("secret", "1", SECRET);
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", edited(post("1", "a"), 0))]), ["2"]);
    let ((key, first), (_, second)) = (names("Entries", "1"), names("Entries", "2"));
    let at = (STARTED + 24 * 3600 + 4 * 3600).to_be_bytes();
    let (one, two) = (1_u64.to_be_bytes(), 2_u64.to_be_bytes());
    let record = [&STARTED.to_be_bytes()[..], &first, &[0; 4], &one, &second, &at, &two].concat();
    assert_eq!(harness.kv("posts", &key), Some(record));
}

#[test]
fn once_takes_four_more() {
    let harness = harness(json!({ "mode": "once" })).with_kv("secret", "1", SECRET);
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let (key, _) = names("Once", "1");
    assert_eq!(harness.kv("posts", &key).map(|record| key.len() + record.len()), Some(52));
}

#[test]
fn secrets_are_made_once() {
    let harness = harness(json!({}));
    assert_eq!(harness.kv("secret", "1"), None);
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let secret = harness.kv("secret", "1").expect("a secret");
    assert_eq!(secret.len(), 32);
    assert_eq!(shown(&harness, HOME, "Bearer other", &[post("1", "a")]), ["1"]);
    assert_eq!(harness.kv("secret", "1"), Some(secret.clone()));
    // Each store has its own.
    let other = common::harness(json!({}));
    assert_eq!(shown(&other, HOME, ADA, &[post("1", "a")]), ["1"]);
    assert_ne!(other.kv("secret", "1"), Some(secret));
}

#[test]
fn what_is_no_record_is_replaced() {
    let (key, entry) = names("Entries", "2");
    for broken in [&b""[..], b"1234", b"123456789012345", b"12345678901234567"] {
        let harness = harness(json!({})).with_kv("secret", "1", SECRET).with_kv("posts", &key, broken);
        assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a")), post("1", "a")]), ["2"]);
        assert_eq!(harness.kv("posts", &key), Some([&STARTED.to_be_bytes()[..], &entry, &[0; 4], &2_u64.to_be_bytes()].concat()));
    }
}
