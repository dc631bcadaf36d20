//! What HEAD is told: what GET would be, or nothing.
#![cfg(test)]

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_tests::{
    Answer, Client, RawOrigin, Version,
    addons::{Hosted, guest},
    empty,
};

/// Fields that tell of a body.
const ABOUT_BODY: [&str; 6] = ["etag", "content-length", "digest", "content-encoding", "vary", "content-range"];

async fn ask(host: &Hosted, version: Version, method: &str, target: &str) -> Answer {
    let request = http::Request::builder().method(method).uri(target).body(empty()).expect("a request");
    Client::connect(version, host.address()).await.ask(request).await
}

/// Status and fields that tell of a body.
fn told(answer: &Answer) -> (u16, Vec<Option<&str>>) {
    (answer.status.as_u16(), ABOUT_BODY.iter().map(|name| answer.header(name)).collect())
}

/// An upstream that answers GET with eight bytes, and HEAD without them.
async fn eight_bytes() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let body = if request.method == "HEAD" { "" } else { "the body" };
            let head = "HTTP/1.1 200 OK\r\nETag: \"strong\"\r\nDigest: x\r\nContent-Length: 8\r\n\r\n";
            let _ = conversation.send(format!("{head}{body}")).await;
        }
    })
    .await
}

/// HEAD and GET are answered alike, with a length.
async fn assert_same(host: &Hosted, target: &str) {
    for version in Version::BOTH {
        let (head, get) = (ask(host, version, "HEAD", target).await, ask(host, version, "GET", target).await);
        assert_eq!(told(&head), told(&get), "{version:?} {target}");
        let length = get.body.len().to_string();
        assert!(!get.body.is_empty() && head.body.is_empty(), "{version:?} {target}");
        assert_eq!(head.header("content-length"), Some(length.as_str()), "{version:?} {target}");
    }
}

#[tokio::test]
async fn made_answers_tell_head_what_get_has() {
    let origin = eight_bytes().await;
    let made = json!({"rules": [
        {"on": "request", "filter": "~p ^/made", "do": [{"respond": [200, [["X-A", "1"]], "four"]}]},
        {"on": "request", "filter": "~p ^/refused", "do": [{"refuse": [403, "M_FORBIDDEN", "no"]}]},
        {"on": "request", "filter": "~p ^/failed", "do": ["trap"]},
        {"on": "request", "filter": "~p ^/gone", "do": [{"set-upstream": "http://127.0.0.1:1"}]},
        {"on": "upstream-error", "do": [{"respond": [502, [], "nobody is there"]}]},
        {"on": "response", "filter": "~p ^/replaced", "do": [{"respond": [201, [], "another"]}]},
    ]});
    // Before it another that sees all answers, and cannot edit bodies: its code has no call for that.
    let host = Hosted::before(&origin.url())
        .guest("a", &guest("raw"), &json!({}))
        .scripted("b", &made)
        .set("listener.main.addons", "[\"a\", \"b\"]")
        .start()
        .await;
    for target in ["/made", "/refused", "/failed", "/gone", "/replaced", "/"] {
        assert_same(&host, target).await;
    }
}

#[tokio::test]
async fn answers_of_the_core_tell_head_what_get_has() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while conversation.request().await.is_some() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    })
    .await;
    let host = Hosted::before(&origin.url()).set("timeouts.flow", "\"200ms\"").start().await;
    assert_same(&host, "/").await;
    let host = Hosted::before("http://127.0.0.1:1").start().await;
    assert_same(&host, "/").await;
}

/// Where a hook may edit what GET gets, whatever it subscribed to, HEAD is told nothing that would not hold.
#[tokio::test]
async fn head_tells_nothing_that_get_would_not() {
    let origin = eight_bytes().await;
    let set = json!([{"set-body": "longer than before"}]);
    let rules: [Value; 6] = [
        json!({"on": "response", "filter": "~m GET", "body": "full", "do": set}),
        json!({"on": "response", "filter": "~m GET", "do": set}),
        json!({"on": "response", "filter": "~m GET & ~bs body", "body": "full", "do": set}),
        json!({"on": "response", "do": [{"try": {"set-body": "longer than before"}}]}),
        json!({"on": "response-chunk", "filter": "~m GET", "do": [{"piece": "double"}]}),
        json!({"on": "response-chunk", "filter": "~m GET", "body": "full", "do": [{"piece": "double"}]}),
    ];
    for rule in rules {
        let host = Hosted::before(&origin.url()).scripted("a", &json!({"rules": [rule]})).start().await;
        for version in Version::BOTH {
            let (head, get) = (ask(&host, version, "HEAD", "/").await, ask(&host, version, "GET", "/").await);
            assert!(get.body.len() > 8, "{version:?} {rule}: {get:?}");
            assert_eq!((head.status.as_u16(), head.header("etag")), (200, Some("W/\"strong\"")), "{version:?} {rule}");
            assert_eq!(get.header("etag"), Some("W/\"strong\""), "{version:?} {rule}");
            assert_eq!((head.header("content-length"), head.header("digest")), (None, None), "{version:?} {rule}");
        }
    }
}

/// What nobody edits stays as it was told, for HEAD as for GET.
#[tokio::test]
async fn head_tells_all_that_nobody_can_edit() {
    let origin = eight_bytes().await;
    let set = |filter: &str| json!({"rules": [{"on": "response", "filter": filter, "do": [{"set-body": "x"}]}]});
    let without_the_call = Hosted::before(&origin.url()).guest("a", &guest("raw"), &json!({}));
    let elsewhere = Hosted::before(&origin.url()).scripted("a", &set("~p ^/other"));
    let for_posts = Hosted::before(&origin.url()).scripted("a", &set("~m POST"));
    let read_only = json!({"rules": [{"on": "response", "filter": "~m GET", "body": "full"}]});
    let without_the_grant = Hosted::before(&origin.url()).scripted("a", &read_only).set("addon.a.edit", false);
    for builder in [without_the_call, elsewhere, for_posts, without_the_grant] {
        let host = builder.start().await;
        assert_same(&host, "/").await;
        let head = ask(&host, Version::Http1, "HEAD", "/").await;
        assert_eq!((head.header("etag"), head.header("digest")), (Some("\"strong\""), Some("x")));
    }
}
