//! Guests that hand the host what is no value of its type, lies beyond their memory, or is far too much.
#![cfg(test)]

use serde_json::Value;
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, Siege, escaped, hostile, hostile_as},
};

/// Where the answer of a guest is.
const PLACE: u32 = 8192;

/// Words as they are in memory.
fn words<const N: usize>(words: [u32; N]) -> String {
    escaped(&words.map(u32::to_le_bytes).concat())
}

/// An answering guest for this path.
fn answering(name: &str, place: &str, answer: &str) -> (String, Vec<u8>) {
    (name.to_owned(), hostile_as(name, "answering", &[("place", place), ("answer", answer)]))
}

/// `respond` with status 200 and these lists: places and lengths of fields and body.
const fn respond(headers: [u32; 2], body: [u32; 2]) -> [u32; 7] {
    [0, 2, 200, headers[0], headers[1], body[0], body[1]]
}

#[tokio::test]
async fn answers_that_are_none_are_traps() {
    let bad_text = format!("{}\\ff\\fe\\80", words([1, PLACE + 12, 3]));
    let table = [
        ("place-outside", "0xfffffff0", words([0]), "pointer out of bounds"),
        ("place-unaligned", "8193", words([0]), "pointer not aligned"),
        ("result-unknown", "8192", words([7]), "discriminant"),
        ("verdict-unknown", "8192", words([0, 77]), "discriminant"),
        ("text-not-utf8", "8192", bad_text, "utf-8"),
        ("text-outside", "8192", words([1, 0xffff_fff0, 100]), "out of bounds"),
        ("text-endless", "8192", words([1, 0, u32::MAX]), "out of bounds"),
        ("fields-outside", "8192", words(respond([0xffff_fff0, 100], [0, 0])), "out of bounds"),
        ("fields-unaligned", "8192", words(respond([8193, 1], [0, 0])), "not aligned"),
        ("fields-endless", "8192", words(respond([8, 1 << 31], [0, 0])), "out of bounds"),
        ("body-outside", "8192", words(respond([0, 0], [65_535, 2])), "out of bounds"),
        ("body-endless", "8192", words(respond([0, 0], [0, 1 << 31])), "out of bounds"),
    ];
    let guests: Vec<_> = table.iter().map(|(name, place, answer, _)| answering(name, place, answer)).collect();
    let siege = Siege::by(guests, |builder| builder).await;
    for (name, .., said) in &table {
        siege.repels(name, "traps", said).await;
    }
    assert_eq!(siege.origin().targets().iter().filter(|target| *target != "/fine").count(), 0);
    siege.is_lifted().await;
}

#[tokio::test]
async fn pieces_that_are_none_are_traps() {
    // A result, and in it an action with its list, and whether that was all.
    let table = [
        ("action-unknown", words([0, 9, 0, 0, 0]), "discriminant"),
        ("piece-outside", words([0, 1, 0xffff_fff0, 100, 0]), "out of bounds"),
        ("piece-endless", words([0, 1, 0, u32::MAX, 0]), "out of bounds"),
        ("piece-of-200-mb", words([0, 1, 65_536, 200_000_000, 0]), "too much data"),
    ];
    let guests =
        table.iter().map(|(name, answer, _)| ((*name).to_owned(), hostile_as(name, "answering-chunks", &[("answer", answer)])));
    let siege = Siege::by(guests, |builder| builder.set("addon.piece-of-200-mb.memory", "256MiB")).await;
    for (name, _, said) in &table {
        siege.repels(name, "traps", said).await;
    }
    siege.is_lifted().await;
}

/// Calls of the host, and what the log says of each.
const CALLS: [(&str, &str, &str); 17] = [
    (
        "name-outside",
        "(call $append_header (local.get $request) (i32.const -16) (i32.const 100) (i32.const 0) (i32.const 0) (global.get $answer))",
        "out of bounds",
    ),
    (
        "name-endless",
        "(call $append_header (local.get $request) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0) (global.get $answer))",
        "out of bounds",
    ),
    (
        "name-not-utf8",
        "(call $append_header (local.get $request) (i32.const 8192) (i32.const 10) (i32.const 0) (i32.const 0) (global.get $answer))",
        "utf-8",
    ),
    (
        "values-outside",
        "(call $set_header (local.get $request) (i32.const 8192) (i32.const 8) (i32.const -16) (i32.const 100) (global.get $answer))",
        "out of bounds",
    ),
    (
        "values-unaligned",
        "(call $set_header (local.get $request) (i32.const 8192) (i32.const 8) (i32.const 8193) (i32.const 1) (global.get $answer))",
        "not aligned",
    ),
    (
        "values-endless",
        "(call $set_header (local.get $request) (i32.const 8192) (i32.const 8) (i32.const 0) (i32.const 0x80000000) (global.get $answer))",
        "out of bounds",
    ),
    ("body-of-4-gib", "(call $set_body (local.get $request) (i32.const 0) (i32.const -1) (global.get $answer))", "out of bounds"),
    ("level-unknown", "(call $log (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))", "discriminant"),
    ("log-endless", "(call $log (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0))", "out of bounds"),
    (
        "fields-of-log-endless",
        "(call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0x10000000))",
        "out of bounds",
    ),
    ("handle-unknown", "(call $method (i32.const 12345) (global.get $answer))", "unknown handle"),
    ("handle-of-another-type", "(call $block (local.get $request))", "handle"),
    ("handle-dropped-twice", "(call $drop_request (local.get $request))", "unknown handle"),
    ("room-outside", "(call $method (local.get $request) (i32.const 0xfffffffc))", "out of bounds"),
    ("room-unaligned", "(call $method (local.get $request) (i32.const 513))", "not aligned"),
    ("random-endless", "(call $random (i64.const -1) (global.get $answer))", "over its budget of random bytes"),
    ("print-at-once", "(call $print (call $stdout) (i32.const 0) (i32.const 4097) (global.get $answer))", "4096"),
];

#[tokio::test]
async fn calls_with_impossible_arguments_are_traps() {
    let guests = CALLS.map(|(name, call, _)| (name.to_owned(), hostile_as(name, "calling", &[("call", call)])));
    let siege = Siege::by(guests, |builder| builder).await;
    for (name, _, said) in CALLS {
        siege.repels(name, "traps", said).await;
    }
    siege.is_lifted().await;
}

#[tokio::test]
async fn made_responses_of_40_000_fields_fail_the_hook() {
    let siege = Siege::by([("many-headers".to_owned(), hostile("many-headers"))], |builder| builder).await;
    siege.repels("many-headers", "impossible_verdicts", "40000 header fields, limit 256").await;
    siege.is_lifted().await;
}

#[tokio::test]
async fn requests_of_40_000_fields_are_told_to_the_guest() {
    let siege =
        Siege::by([("many-values".to_owned(), hostile("many-values"))], |builder| builder.set("addon.many-values.cpu", "20s"))
            .await;
    assert_eq!(siege.ask("many-values").await.text(), "ok");
    let requests = siege.origin().requests();
    let seen = requests.iter().find(|request| request.target == "/many-values").expect("a request");
    let count = seen.fields.0.len();
    assert!((200..=256).contains(&count), "{count}");
    siege.is_lifted().await;
}

fn large_body(name: &str, bytes: u64) -> (String, Vec<u8>) {
    (name.to_owned(), hostile_as(name, "large-body", &[("bytes", &bytes.to_string())]))
}

#[tokio::test]
async fn bodies_are_measured_before_they_are_copied() {
    let limit = 10 << 20;
    let guests = [large_body("at", limit), large_body("above", limit + 1), large_body("far-above", 200_000_000)];
    let siege = Siege::by(guests, |mut builder| {
        for name in ["at", "above", "far-above"] {
            builder = builder.set(&format!("addon.{name}.memory"), "256MiB").set(&format!("addon.{name}.cpu"), "20s");
        }
        builder
    })
    .await;
    for name in ["at", "above"] {
        assert_eq!(siege.ask(name).await.text(), "ok", "{name}");
    }
    let requests = siege.origin().requests();
    let seen = |target: &str| {
        let request = requests.iter().find(|request| request.target == target).expect("a request");
        (request.body.len() as u64, request.fields.get("x-taken").is_some())
    };
    assert_eq!((seen("/at"), seen("/above")), ((limit, true), (5, false)));
    siege.repels("far-above", "traps", "too much data").await;
    siege.is_lifted().await;
}

/// Why a guest that answers `configure` with these bytes is not loaded.
async fn refusals(answers: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let mut builder = Hosted::before("http://127.0.0.1:1");
    for (name, answer) in answers {
        builder = builder.unknown(name, &hostile_as(name, "configuring", &[("answer", answer)]));
    }
    let host = builder.start().await;
    let mut refusals = Vec::new();
    for (name, _) in answers {
        let status = host.admin().status(name).await;
        assert_eq!((status["state"].as_str(), &status["sha256"]), (Some("failed"), &Value::Null), "{name}");
        refusals.push((*name, status["error"].as_str().expect("an error").to_owned()));
    }
    refusals
}

/// A list of this one subscription.
fn subscription(event: u32, filter: [u32; 2], body: [u32; 6]) -> String {
    let [kind, rest @ ..] = body;
    words([0, PLACE + 16, 1, 0, event, filter[0], filter[1], 0, kind, 0, rest[0], rest[1], rest[2], rest[3], rest[4]])
}

#[tokio::test]
async fn configurations_that_are_none_are_refused() {
    let none = [0; 6];
    let table = [
        ("result-unknown", words([9]), "discriminant"),
        ("list-outside", words([0, 0xffff_fff0, 3]), "out of bounds"),
        ("list-unaligned", words([0, 8193, 1]), "not aligned"),
        ("list-endless", words([0, 0, 1 << 31]), "out of bounds"),
        ("errors-endless", words([1, 0, 1 << 31]), "out of bounds"),
        ("event-unknown", subscription(99, [0, 0], none), "discriminant"),
        ("filter-outside", subscription(1, [0xffff_fff0, 100], none), "out of bounds"),
        ("body-unknown", subscription(1, [0, 0], [5, 0, 0, 0, 0, 0]), "discriminant"),
        ("cap-unknown", subscription(1, [0, 0], [1, 9, 0, 0, 0, 0]), "discriminant"),
        ("many", words([0, 16_384, 257]), "257 of them, limit 256"),
    ];
    let answers: Vec<_> = table.iter().map(|(name, answer, _)| (*name, answer.clone())).collect();
    for ((name, why), (.., said)) in refusals(&answers).await.into_iter().zip(&table) {
        assert!(why.contains(said), "{name}: {why}");
    }
}

#[tokio::test]
async fn filters_are_measured() {
    let origin = RawOrigin::ok().await;
    let filter = |length: usize| {
        let filter = "~p ^/never$".to_owned() + &" ".repeat(length - 11);
        serde_json::json!({"rules": [{"on": "request", "filter": filter}]})
    };
    let host =
        Hosted::before(&origin.url()).scripted("at", &filter(64 << 10)).scripted("above", &filter((64 << 10) + 1)).start().await;
    assert_eq!(host.admin().status("at").await["error"], Value::Null);
    let status = host.admin().status("above").await;
    assert_eq!(status["error"], "subscriptions refused: [0] request: a filter of 65537 bytes, limit 65536");
}

#[tokio::test]
async fn refused_options_are_cut() {
    let refused: Vec<_> = (0..1_000).map(|number| (format!("options[{number}]"), "x".repeat(5_000))).collect();
    let host = Hosted::before("http://127.0.0.1:1").scripted("a", &serde_json::json!({"refused": refused})).start().await;
    let status = host.admin().status("a").await;
    let why = status["error"].as_str().expect("an error");
    // A hundred of them, each with a kibibyte of its text.
    assert!(why.contains("options[99]: ") && !why.contains("options[100]: "), "{why}");
    assert!(why.len() < 120 << 10, "{}", why.len());
}
