//! The addon `dedup` on the wire: pages over REST, and where clients find streams.
#![cfg(test)]

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::{
    Answer, Client, RawOrigin, Version,
    addons::{Hosted, HostedBuilder, bundled},
    empty,
};

const HOME: &str = "/api/v1/timelines/home";

/// What the origin answers to a target: status line and fields, and the body.
type Served = (String, Vec<u8>);

/// A server that answers so.
async fn mastodon(serve: impl Fn(&str) -> Served + Send + Sync + Clone + 'static) -> RawOrigin {
    RawOrigin::start(move |mut conversation| {
        let serve = serve.clone();
        async move {
            while let Some(request) = conversation.request().await {
                let (head, body) = serve(&request.target);
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                if conversation.send([head.as_bytes(), &body].concat()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// Pages by the `page` of the query.
async fn paged(pages: &'static [&'static [&'static str]]) -> RawOrigin {
    mastodon(move |target| {
        let page: usize = target.rsplit("page=").next().and_then(|page| page.parse().ok()).unwrap_or(0);
        json_page(pages[page])
    })
    .await
}

fn json_page(items: &[&str]) -> Served {
    ("200 OK\r\nContent-Type: application/json; charset=utf-8".to_owned(), format!("[ {} ]\n", items.join(" , ")).into_bytes())
}

fn hosted(origin: &RawOrigin, options: &Value) -> HostedBuilder {
    let mut all = json!({"streaming": false});
    for (key, value) in options.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    Hosted::before(&origin.url()).guest("dedup", &bundled("dedup"), &all).set("addon.dedup.kv", true)
}

async fn get(host: &Hosted, target: &str) -> Answer {
    host.ask("GET", target, &[("Authorization", "Bearer ada-token")]).await
}

async fn shown(host: &Hosted, target: &str) -> Vec<String> {
    ids(&get(host, target).await)
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().expect("an array").iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

const A: &str = r#"{"id":"1", "uri":"https://posts.test/a","content":"1e3 \u00e9"}"#;
const A_BOOSTED: &str = r#"{"id":"2","uri":"https://posts.test/2","reblog":{"id":"1","uri":"https://posts.test/a"}}"#;
const A_AGAIN: &str = r#"{"id":"3","uri":"https://posts.test/3","reblog":{"id":"1","uri":"https://posts.test/a"}}"#;
const B: &str = r#"{"id":"4","uri":"https:\/\/posts.test\/b"}"#;

#[tokio::test]
async fn repeats_do_not_reach_the_client() {
    let origin = paged(&[&[A], &[A_BOOSTED, B], &[B, A_AGAIN, A]]).await;
    let host = hosted(&origin, &json!({"explain": true})).start().await;
    let first = get(&host, HOME).await;
    assert_eq!((first.text(), first.header("x-tollgate-dedup")), (format!("[ {A} ]\n"), Some("kept=1 dropped=0")));
    let second = get(&host, &format!("{HOME}?page=1")).await;
    assert_eq!((second.text(), second.header("x-tollgate-dedup")), (format!("[{B}]"), Some("kept=1 dropped=1")));
    assert_eq!(get(&host, &format!("{HOME}?page=2")).await.text(), format!("[{B},{A}]"));
    // Refreshes, and a new generation of the addon, show the same.
    assert_eq!(host.admin().reload("dedup").await.status, 200);
    for (page, expected) in [(0, &["1"][..]), (1, &["4"]), (2, &["4", "1"])] {
        assert_eq!(shown(&host, &format!("{HOME}?page={page}")).await, expected);
    }
    let others = host.ask("GET", &format!("{HOME}?page=1"), &[("Authorization", "Bearer bob-token")]).await;
    assert_eq!(ids(&others), ["2", "4"]);
    assert!(!host.logs().contains("ada-token"));
    assert_eq!(host.admin().counter("dedup", "errors").await, 0);
}

#[tokio::test]
async fn nothing_else_reaches_the_addon() {
    let origin = paged(&[&[A, A_BOOSTED]]).await;
    let host = hosted(&origin, &json!({})).start().await;
    for target in ["/", "/api/v1/statuses/1/context", "/api/v1/timelines/home/x", "/api/v1/timelines/direct", "/api/v1/bookmarks"]
    {
        assert_eq!(shown(&host, target).await, ["1", "2"], "{target}");
    }
    assert_eq!(ids(&host.get(HOME).await), ["1", "2"], "without a token");
    assert_eq!(host.ask("POST", HOME, &[("Authorization", "Bearer ada-token")]).await.text(), format!("[ {A} , {A_BOOSTED} ]\n"));
    assert_eq!(host.admin().counter("dedup", "instances_created").await, 0);
    for (target, authorization) in [
        (HOME.to_owned(), "bearer ada-token"),
        (format!("{HOME}?access_token=ada-token"), ""),
        ("/api/v1/timelines/%70ublic?local=1".to_owned(), "Bearer ada-token"),
        ("/api/v1/timelines/tag/a%20b".to_owned(), "Bearer ada-token"),
        ("/api/v1/timelines/list/1".to_owned(), "Bearer ada-token"),
        ("/api/v1/timelines/link?url=x".to_owned(), "Bearer ada-token"),
        ("/api/v1/trends/statuses".to_owned(), "Bearer ada-token"),
    ] {
        let fields = [("authorization", authorization)];
        let fields = if authorization.is_empty() { &[][..] } else { &fields };
        assert_eq!(ids(&host.ask("GET", &target, fields).await), ["1"], "{target}");
    }
}

#[tokio::test]
async fn of_pages_at_one_time_one_wins() {
    const PAGES: [&[&str]; 2] = [&[A_BOOSTED, B], &[A_AGAIN, B]];
    let origin = paged(&PAGES).await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut asking = JoinSet::new();
    for index in 0..16 {
        let address = host.address();
        asking.spawn(async move {
            let target = format!("{HOME}?page={}", index % 2);
            let request =
                http::Request::get(target).header("authorization", "Bearer ada-token").body(empty()).expect("a request");
            (index % 2, ids(&Client::connect(Version::Http1, address).await.ask(request).await))
        });
    }
    let all = asking.join_all().await;
    let mut shown: Vec<_> = all.iter().map(|(page, ids)| (*page, ids.clone())).collect();
    shown.sort();
    shown.dedup();
    // All that asked for the same were shown the same, and the boosts were shown on one page alone.
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert_eq!(shown.iter().filter(|(_, ids)| ids.len() == 2).count(), 1, "{shown:?}");
}

#[tokio::test]
async fn coded_pages_are_filtered_and_coded_again() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip")
    };
    let origin = mastodon(move |target| {
        let (head, body) = json_page(if target.contains("page=1") { &[A_BOOSTED, B] } else { &[A] });
        let head = if target.contains("anew") { head.replace("200 OK", "206 Partial Content") } else { head };
        (format!("{head}\r\nContent-Encoding: gzip\r\nETag: \"x\""), gzip(&body))
    })
    .await;
    let host = hosted(&origin, &json!({})).start().await;
    let fields = [("Authorization", "Bearer ada-token"), ("Accept-Encoding", "gzip")];
    let first = host.ask("GET", HOME, &fields).await;
    assert_eq!((first.header("etag"), first.body.as_ref()), (Some("\"x\""), gzip(&json_page(&[A]).1).as_slice()));
    let second = host.ask("GET", &format!("{HOME}?page=1"), &fields).await;
    assert_eq!((second.header("content-encoding"), second.header("etag")), (Some("gzip"), Some("W/\"x\"")));
    assert_eq!(second.body.as_ref(), gzip(format!("[{B}]").as_bytes()));
    // A feed that is made anew (206 without Content-Range) is filtered like any other.
    let anew = host.ask("GET", &format!("{HOME}?anew&page=1"), &fields).await;
    assert_eq!((anew.status.as_u16(), anew.body.as_ref()), (206, gzip(format!("[{B}]").as_bytes()).as_slice()));
}

#[tokio::test]
async fn feeds_that_are_made_anew_are_filtered() {
    let origin = mastodon(|target| {
        let (head, body) = json_page(if target.contains("page=1") { &[A_BOOSTED, B] } else { &[A] });
        (format!("{}\r\nLink: <x>; rel=\"next\"", head.replace("200 OK", "206 Partial Content")), body)
    })
    .await;
    let host = hosted(&origin, &json!({})).start().await;
    for (target, expected) in [(HOME.to_owned(), format!("[ {A} ]\n")), (format!("{HOME}?page=1"), format!("[{B}]"))] {
        let answer = get(&host, &target).await;
        assert_eq!((answer.status.as_u16(), answer.text(), answer.header("link")), (206, expected, Some("<x>; rel=\"next\"")));
    }
}

#[tokio::test]
async fn pages_are_refilled_from_the_own_upstream() {
    let origin = mastodon(|target| {
        let (items, next) = match target.rsplit("page=").next() {
            Some("1") => (&[A_BOOSTED][..], "page=2"),
            Some("2") => (&[A_AGAIN][..], "page=3"),
            Some("3") => (&[B][..], "page=4"),
            _ => (&[A][..], "page=1"),
        };
        let (head, body) = json_page(items);
        (format!("{head}\r\nLink: <https://elsewhere.test{HOME}?{next}>; rel=\"next\""), body)
    })
    .await;
    let host = hosted(&origin, &json!({"empty_page": "refill"})).start().await;
    assert_eq!(shown(&host, HOME).await, ["1"]);
    let answer = get(&host, &format!("{HOME}?page=1")).await;
    assert_eq!(ids(&answer), ["4"]);
    let link = format!("<https://elsewhere.test{HOME}?page=4>; rel=\"next\"");
    assert_eq!(answer.header("link"), Some(link.as_str()));
    assert_eq!(origin.targets()[1..], ["1", "2", "3"].map(|page| format!("{HOME}?page={page}")));
    for request in origin.requests() {
        assert_eq!(request.fields.get("authorization"), Some("Bearer ada-token"));
    }
}

#[tokio::test]
async fn a_full_store_lets_pages_pass() {
    let origin = paged(&[&[A], &[A_BOOSTED, B], &[A_AGAIN, A_BOOSTED]]).await;
    // The secret and one post.
    let host = hosted(&origin, &json!({})).set("addon.dedup.kv_keys", 2).start().await;
    assert_eq!(shown(&host, HOME).await, ["1"]);
    assert_eq!(shown(&host, &format!("{HOME}?page=1")).await, ["2", "4"]);
    host.logged("the store is full (kv_bytes, kv_keys): timelines pass unfiltered").await;
    // What needs no room is done.
    assert_eq!(shown(&host, &format!("{HOME}?page=2")).await, ["2"]);
    assert_eq!(host.admin().counter("dedup", "errors").await, 0);
}

#[tokio::test]
async fn a_page_takes_few_operations() {
    let origin = paged(&[&[A, B], &[A_BOOSTED, B]]).await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut before = [0; 4];
    // The secret is looked for, and at first made. So are the posts, all at once; those that were deleted are looked for if there are repeats.
    for (page, taken) in [(0, [1, 1, 1, 1]), (0, [1, 1, 0, 0]), (1, [2, 1, 0, 0])] {
        get(&host, &format!("{HOME}?page={page}")).await;
        let kv = host.admin().status("dedup").await["kv"].clone();
        let count = |operation: &str| kv["operations"][operation]["ok"].as_u64().expect("a number");
        let now = ["get", "get_many", "insert", "insert_many"].map(count);
        let more: Vec<u64> = now.iter().zip(before).map(|(now, before)| now - before).collect();
        assert_eq!(more, taken, "page {page}");
        // With 64 for an entry, and the names of buckets.
        assert_eq!(kv["bytes"], (64 + 6 + 1 + 32) + 2 * (64 + 5 + 24 + 24), "{kv}");
        before = now;
    }
}

#[tokio::test]
async fn who_walks_upwards_passes_a_page_of_repeats() {
    let origin = paged(&[&[A], &[A_AGAIN, A_BOOSTED], &[B]]).await;
    let host = hosted(&origin, &json!({})).start().await;
    assert_eq!(shown(&host, HOME).await, ["1"]);
    for (query, expected) in [("min_id=1&page=1", &["3"][..]), ("min_id=3&page=2", &["4"]), ("since_id=1&page=1", &[])] {
        assert_eq!(shown(&host, &format!("{HOME}?{query}")).await, expected, "{query}");
    }
}

#[tokio::test]
async fn without_a_store_pages_are_refused_and_nothing_else() {
    let origin = paged(&[&[A]]).await;
    let host = hosted(&origin, &json!({})).set("addon.dedup.kv", false).start().await;
    assert_eq!(get(&host, HOME).await.status, 503);
    assert_eq!(shown(&host, "/api/v1/bookmarks").await, ["1"]);
}

#[tokio::test]
async fn large_pages_pass_unseen() {
    let large: &'static str = Box::leak(format!("\"{}\"", "x".repeat(4 << 20)).into_boxed_str());
    let pages: &'static [&'static [&'static str]] = Box::leak(vec![&*vec![A, A_BOOSTED, large].leak()].into_boxed_slice());
    let origin = paged(pages).await;
    let host = hosted(&origin, &json!({})).start().await;
    assert_eq!(get(&host, HOME).await.body, json_page(pages[0]).1);
}

#[tokio::test]
async fn streams_are_found_at_the_proxy() {
    let origin = mastodon(|target| {
        let body = match target {
            "/api/v1/instance" => r#"{"uri":"posts.test", "urls":{"streaming_api" : "wss://127.0.0.1"}}"#,
            _ => r#"{"configuration":{"urls":{"streaming":"wss:\/\/127.0.0.1"} ,"x":1e3}}"#,
        };
        ("200 OK\r\nContent-Type: application/json".to_owned(), body.as_bytes().to_vec())
    })
    .await;
    let host = hosted(&origin, &json!({})).start().await;
    let address = host.address();
    let expected = format!(r#"{{"uri":"posts.test", "urls":{{"streaming_api" : "ws://{address}"}}}}"#);
    assert_eq!(host.get("/api/v1/instance").await.text(), expected);
    let expected = format!(r#"{{"configuration":{{"urls":{{"streaming":"ws://{address}"}} ,"x":1e3}}}}"#);
    assert_eq!(host.get("/api/v2/instance").await.text(), expected);
    let host = hosted(&origin, &json!({"public_url": "https://fedi.test"})).start().await;
    assert!(host.get("/api/v2/instance").await.text().contains(r#""streaming":"wss://fedi.test""#));
}
