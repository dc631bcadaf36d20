//! Signatures of requests, and the keys they are held against.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use federation::Federation;
use tollgate_sdk::{
    Event, RequestVerdict, http,
    serde_json::{Value, json},
    testing::{Harness, TestRequest},
};

const URI: &str = "/_matrix/federation/v1/version";
const FOREVER: u64 = 99_999_999_999_999;

/// What servers say of their keys, by the start of the URL, and how often they were asked.
#[derive(Clone, Default)]
struct World {
    documents: Arc<Mutex<Vec<(&'static str, Value)>>>,
    asked: Arc<AtomicUsize>,
}

impl World {
    fn says(self, url: &'static str, document: Value) -> Self {
        self.documents.lock().expect("a lock").push((url, document));
        self
    }

    fn harness(&self) -> Harness<Federation> {
        let world = self.clone();
        let list = json!({"version": 1, "domainList": [{"domain": "a.de"}, {"domain": "b.de:1"}]});
        let options = json!({"inbound": ["test"], "list": list, "verify_signatures": true, "server_name": "own.de"});
        let harness = Harness::configure(options).expect("legal options").with_matched(Event::Request, &[0, 1]);
        harness.with_http(move |request| {
            if request.url.contains("/_matrix/key/") {
                world.asked.fetch_add(1, SeqCst);
            }
            let documents = world.documents.lock().expect("a lock");
            let found = documents.iter().find(|(url, _)| request.url.starts_with(url));
            Ok(found.map_or(http::Response::new(404), |(_, document)| http::Response::new(200).with_body(document.to_string())))
        })
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn sign(key: &SigningKey, canonical: &str) -> String {
    STANDARD_NO_PAD.encode(key.sign(canonical.as_bytes()).to_bytes())
}

/// A server's document with one key, signed by it.
fn document(server: &str, key: &SigningKey, until: u64) -> Value {
    let public = STANDARD_NO_PAD.encode(key.verifying_key().as_bytes());
    let canonical =
        format!(r#"{{"server_name":"{server}","valid_until_ts":{until},"verify_keys":{{"ed25519:k":{{"key":"{public}"}}}}}}"#);
    let mut document: Value = tollgate_sdk::serde_json::from_str(&canonical).expect("JSON");
    document["signatures"] = json!({server: {"ed25519:k": sign(key, &canonical)}});
    document
}

/// A request that this key has signed.
fn signed(origin: &str, key: &SigningKey) -> TestRequest {
    let sig = sign(key, &format!(r#"{{"destination":"own.de","method":"GET","origin":"{origin}","uri":"{URI}"}}"#));
    let field = format!("X-Matrix origin=\"{origin}\",destination=\"own.de\",key=\"ed25519:k\",sig=\"{sig}\"");
    TestRequest::get(URI).with_header("Authorization", field)
}

/// Nothing, or why it was refused.
fn judge(harness: &Harness<Federation>, request: TestRequest) -> Result<(), String> {
    match harness.request(request).verdict.expect("no failure") {
        RequestVerdict::Next => Ok(()),
        RequestVerdict::Refuse(refusal) => {
            assert_eq!((refusal.status, refusal.errcode.as_str()), (401, "M_UNAUTHORIZED"), "{}", refusal.error);
            Err(refusal.error)
        }
        verdict => panic!("{verdict:?}"),
    }
}

const AT_B: &str = "https://b.de:1/_matrix/key/v2/server";
const NO_KEYS: &str = "no good signature of b.de:1: the server's keys cannot be had";

#[test]
fn keys_come_from_the_server_and_are_kept() {
    let world = World::default().says(AT_B, document("b.de:1", &key(1), FOREVER));
    let harness = world.harness();
    for _ in 0..3 {
        assert_eq!(judge(&harness, signed("b.de:1", &key(1))), Ok(()));
    }
    let other = judge(&harness, signed("b.de:1", &key(2)));
    assert_eq!(other, Err("no good signature of b.de:1: it is not the request that was signed".to_owned()));
    assert_eq!(world.asked.load(SeqCst), 1);
    // However long the server says.
    harness.pass(Duration::from_hours(7 * 24 + 1));
    assert_eq!((judge(&harness, signed("b.de:1", &key(1))), world.asked.load(SeqCst)), (Ok(()), 2));
}

#[test]
fn keys_come_from_where_the_delegation_leads() {
    let at = "https://m.a.de:443/_matrix/key/v2/server";
    let delegation = json!({"m.server": "m.a.de:443"});
    let world = World::default().says(at, document("a.de", &key(1), FOREVER)).says("https://a.de/.well-known", delegation);
    assert_eq!(judge(&world.harness(), signed("a.de", &key(1))), Ok(()));
}

#[test]
fn keys_that_prove_nothing_are_none() {
    let good = document("b.de:1", &key(1), FOREVER);
    let change = |path: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(path).expect(path) = value;
        changed
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs() * 1000;
    let forged = STANDARD_NO_PAD.encode(key(2).verifying_key().as_bytes());
    for (why, document) in [
        ("of another server", document("c.de", &key(1), FOREVER)),
        ("no longer valid", document("b.de:1", &key(1), now - 1000)),
        ("longer than was signed", change("/valid_until_ts", json!(FOREVER + 1))),
        ("another key", change("/verify_keys/ed25519:k/key", json!(forged))),
        ("no signature", change("/signatures", json!({}))),
        ("another's signature", change("/signatures/b.de:1/ed25519:k", json!("AA"))),
        ("no keys", change("/verify_keys", json!({}))),
        ("no object", json!([])),
    ] {
        let world = World::default().says(AT_B, document);
        let harness = world.harness();
        for number in [1, 2] {
            assert_eq!(judge(&harness, signed("b.de:1", &key(number))), Err(NO_KEYS.to_owned()), "{why}");
        }
        // From the server and from the homeserver, once.
        assert_eq!(world.asked.load(SeqCst), 2, "{why}");
    }
    let soon = World::default().says(AT_B, document("b.de:1", &key(1), now + 600_000));
    assert_eq!(judge(&soon.harness(), signed("b.de:1", &key(1))), Ok(()));
}

#[test]
fn who_has_no_keys_is_asked_again_after_a_minute() {
    let world = World::default();
    let harness = world.harness();
    for _ in 0..3 {
        assert_eq!(judge(&harness, signed("b.de:1", &key(1))), Err(NO_KEYS.to_owned()));
    }
    assert_eq!(world.asked.load(SeqCst), 2);
    let world = world.says(AT_B, document("b.de:1", &key(1), FOREVER));
    harness.pass(Duration::from_mins(1));
    assert_eq!((judge(&harness, signed("b.de:1", &key(1))), world.asked.load(SeqCst)), (Ok(()), 3));
}

#[test]
fn too_many_keys_are_none() {
    for (count, expected) in [(15, Ok(())), (16, Ok(())), (17, Err(NO_KEYS.to_owned()))] {
        let (key, public) = (key(1), STANDARD_NO_PAD.encode(key(1).verifying_key().as_bytes()));
        let mut keys: Vec<_> = (1..count).map(|index| format!("ed25519:a{index:02}")).collect();
        keys.push("ed25519:k".to_owned());
        let keys: Vec<_> = keys.iter().map(|id| format!(r#""{id}":{{"key":"{public}"}}"#)).collect();
        let canonical = format!(r#"{{"server_name":"b.de:1","valid_until_ts":{FOREVER},"verify_keys":{{{}}}}}"#, keys.join(","));
        let mut document: Value = tollgate_sdk::serde_json::from_str(&canonical).expect("JSON");
        document["signatures"] = json!({"b.de:1": {"ed25519:k": sign(&key, &canonical)}});
        let world = World::default().says(AT_B, document);
        assert_eq!(judge(&world.harness(), signed("b.de:1", &key)), expected, "{count}");
    }
}

#[test]
fn requests_for_others_are_refused() {
    let world = World::default().says(AT_B, document("b.de:1", &key(1), FOREVER));
    let harness = world.harness();
    let sig = sign(&key(1), &format!(r#"{{"destination":"c.de","method":"GET","origin":"b.de:1","uri":"{URI}"}}"#));
    let field = format!("X-Matrix origin=\"b.de:1\",destination=\"c.de\",key=\"ed25519:k\",sig=\"{sig}\"");
    let refused = judge(&harness, TestRequest::get(URI).with_header("Authorization", field));
    assert_eq!(refused, Err("no good signature of b.de:1: the destination is another server".to_owned()));
    // Servers from before there was a destination sign that of whom they mean.
    let sig = sign(&key(1), &format!(r#"{{"destination":"own.de","method":"GET","origin":"b.de:1","uri":"{URI}"}}"#));
    let field = format!("X-Matrix origin=\"b.de:1\",key=\"ed25519:k\",sig=\"{sig}\"");
    assert_eq!(judge(&harness, TestRequest::get(URI).with_header("Authorization", field)), Ok(()));
    // Each field is held against the key.
    let both = signed("b.de:1", &key(1)).with_header("Authorization", "X-Matrix origin=\"b.de:1\",key=\"ed25519:k\",sig=\"AA\"");
    assert!(judge(&harness, both).is_err());
}

#[test]
fn signatures_need_a_name() {
    let options = json!({"inbound": ["test"], "list": {"version": 1, "domainList": []}, "verify_signatures": true});
    let error = Harness::<Federation>::configure(options).expect_err("illegal").to_string();
    assert!(error.contains("server_name: must be set where \"verify_signatures\" is"), "{error}");
}
