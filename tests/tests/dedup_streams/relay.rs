//! Streams on a host of their own: which ones are relayed there.

use serde_json::json;
use tollgate_tests::{RawOrigin, addons::HostedBuilder};

use super::{ADA, HOME, STREAMING, arrives, boost, hosted, instance, mastodon, message, open, page, post, shown, stream, ws};

const V2: &str = "/api/v2/instance";
const NOT_RELAYED: &str = "streams have a host of their own, and are not relayed there";

/// A server that says its streams are at this URL, with the addon before it, which may send flows anywhere on this machine.
async fn naming(url: &str) -> (RawOrigin, HostedBuilder) {
    let url = url.to_owned();
    let origin = mastodon(move |target| match target {
        V2 => instance(&url),
        HOME => page(&[boost("2", &post("1", "a")), post("3", "c")]),
        _ => None,
    })
    .await;
    let builder = hosted(&origin, &json!({"streaming_hosts": ["localhost"]})).set("addon.dedup.upstreams", r#"["private"]"#);
    (origin, builder)
}

/// One that streams.
async fn streaming() -> RawOrigin {
    mastodon(|target| match target {
        "/api/v1/streaming/user" => {
            Some(("text/event-stream", format!("event: update\ndata: {}\n\n", boost("4", &post("3", "c")))))
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn streams_go_where_the_instance_says() {
    for (asks_first, is_listed) in [(true, false), (false, false), (false, true)] {
        let streams = streaming().await;
        // By name it is of another site.
        let named = if is_listed { streams.url().replace("127.0.0.1", "localhost") } else { streams.url() };
        let (origin, builder) = naming(&ws(&named)).await;
        let host = builder.start().await;
        if asks_first {
            let document = host.get(V2).await.json();
            assert_eq!(document["configuration"]["urls"]["streaming"], format!("ws://{}", host.address()));
        }
        let mut client = stream(&host).await;
        assert!(arrives(&mut client, message(&["user"], "update", &post("1", "a"))).await);
        let handshake = streams.requests().pop().expect("a handshake");
        assert_eq!((handshake.target.as_str(), handshake.fields.get("authorization")), (STREAMING, Some(ADA.1)));
        assert_eq!(handshake.fields.get("host"), named.strip_prefix("http://"));
        // What was seen there was seen.
        assert_eq!(shown(&host, HOME).await, ["3"]);
        assert_eq!(host.ask("GET", "/api/v1/streaming/user", &[ADA]).await.text(), "", "a repeat");
        assert_eq!(streams.targets(), [STREAMING, "/api/v1/streaming/user"]);
        assert_eq!(origin.targets(), [V2, HOME]);
        assert_eq!(origin.requests()[0].fields.get("authorization"), None);
        assert_eq!(host.times_logged(NOT_RELAYED), 0, "{}", host.logs());
        assert_eq!(host.admin().counter("dedup", "errors").await, 0);
    }
}

#[tokio::test]
async fn streams_of_hosts_that_are_not_allowed_go_to_the_upstream() {
    let elsewhere = streaming().await;
    let other_site = ws(&elsewhere.url().replace("127.0.0.1", "elsewhere.localhost"));
    for (url, grants) in [
        // Not of the site, whatever is granted.
        (other_site.as_str(), r#"["private", "*"]"#),
        (&ws(&elsewhere.url().replace("127.0.0.1", "127.0.0.2")), r#"["private", "*"]"#),
        (&ws(&elsewhere.url().replace("127.0.0.1", "0x7f.1")), r#"["private", "*"]"#),
        // Of the site, and not granted.
        (&ws(&elsewhere.url()), "[]"),
        (&ws(&elsewhere.url()), r#"["*"]"#),
        (&ws(&elsewhere.url()), r#"["127.0.0.1:1"]"#),
        (&format!("{}/path", ws(&elsewhere.url())), r#"["private"]"#),
    ] {
        let (origin, builder) = naming(url).await;
        let host = builder.set("addon.dedup.upstreams", grants).start().await;
        for _ in 0..2 {
            let mut client = stream(&host).await;
            assert!(arrives(&mut client, message(&["user"], "update", &post("1", "a"))).await);
        }
        assert_eq!(origin.targets(), [V2, STREAMING, STREAMING], "{url} {grants}");
        assert_eq!(elsewhere.connections(), 0, "{url} {grants}");
        host.logged(NOT_RELAYED).await;
        assert_eq!(host.times_logged(NOT_RELAYED), 1, "{url} {grants}");
    }
}

/// What its name leads to is asked about when it is dialled.
#[tokio::test]
async fn names_do_not_lead_to_addresses_that_are_not_granted() {
    let elsewhere = streaming().await;
    let (_origin, builder) = naming(&ws(&elsewhere.url().replace("127.0.0.1", "localhost"))).await;
    let host = builder.set("addon.dedup.upstreams", r#"["*"]"#).start().await;
    let client = tollgate_tests::SocketClient::offer(host.address(), STREAMING, "").await;
    assert_eq!(client.response.status, 502);
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn streams_are_relayed_also_where_they_are_not_judged() {
    let streams = streaming().await;
    let (origin, builder) = naming(&ws(&streams.url())).await;
    let host = builder.start().await;
    let mut client = open(&host, "/api/v1/streaming?stream=public", "").await;
    for _ in 0..2 {
        assert!(arrives(&mut client, message(&["public"], "update", &boost("2", &post("1", "a")))).await, "nobody's");
    }
    assert_eq!((streams.requests().len(), origin.targets()), (1, vec![V2.to_owned()]));
}

#[tokio::test]
async fn the_listener_s_own_url_is_where_clients_find_streams() {
    let (_origin, builder) = naming("wss://elsewhere.test").await;
    let builder = builder.set("listener.main.rewrite", "true");
    let host = builder.set("listener.main.public_url", "\"https://fedi.test\"").start().await;
    assert_eq!(host.get(V2).await.json()["configuration"]["urls"]["streaming"], "wss://fedi.test");
}
