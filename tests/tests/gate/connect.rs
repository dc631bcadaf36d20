//! Addons decide about CONNECT.

use serde_json::json;
use tollgate_tests::{Authority, Client, Echo, RawClient, RawOrigin, Version, addons::Hosted, eventually};

use crate::{
    common::{asked, gate, is_intercepted, refused, within_tls},
    intercepting::{Ca, connect, tls},
};

#[tokio::test]
async fn addons_decide_over_the_lists() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let script = json!({"rules": [
        {"on": "connect", "filter": "~d localhost", "do": [{"rule": "tunnel"}]},
        {"on": "connect", "filter": "~d 127.0.0.1", "do": [{"rule": "intercept"}]},
    ]});
    let host = gate(Some(&ca), &upstreams, &script).set("listener.forward.tls.tunnel", "[\"127.0.0.1\"]").start().await;
    let proxy = host.address_of("forward");
    // Without the addon it is the other way round.
    assert!(!is_intercepted(proxy, &ca, &upstreams, "localhost", port).await);
    assert!(is_intercepted(proxy, &ca, &upstreams, "127.0.0.1", port).await);
}

#[tokio::test]
async fn without_an_opinion_the_lists_decide() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let script = json!({"rules": [{"on": "connect"}]});
    let host = gate(Some(&ca), &upstreams, &script).set("listener.forward.tls.tunnel", "[\"127.0.0.1\"]").start().await;
    let proxy = host.address_of("forward");
    assert!(is_intercepted(proxy, &ca, &upstreams, "localhost", port).await);
    assert!(!is_intercepted(proxy, &ca, &upstreams, "127.0.0.1", port).await);
    assert_eq!(host.admin().counter("a", "calls").await, 4);
}

#[tokio::test]
async fn addons_refuse() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [
        {"on": "connect", "do": [{"refuse": [451, "M_NO", "{host} is not for you"]}]},
        {"on": "response", "do": [{"set-status": 200}]},
    ]});
    for ca in [Some(&ca), None] {
        let host = gate(ca, &upstreams, &script).start().await;
        let answer = refused(host.address_of("forward"), &format!("LocalHost.:{}", origin.address().port())).await;
        let body = json!({"errcode": "M_NO", "error": "localhost is not for you"});
        assert_eq!((answer.status, answer.json()), (451, body), "{answer:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn the_first_opinion_counts() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let tunnel = json!({"rules": [{"on": "connect", "filter": "~h X-Pass", "do": [{"rule": "tunnel"}]}, {"on": "connect"}]});
    let refuse = json!({"rules": [{"on": "connect", "do": [{"refuse": [403, "M_NO", "no"]}]}]});
    let host = gate(None, &upstreams, &tunnel).scripted("b", &refuse).start().await;
    let proxy = host.address_of("forward");
    let authority = origin.address().to_string();
    assert_eq!(refused(proxy, &authority).await.status, 403);
    let mut client = RawClient::connect(proxy).await;
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nX-Pass: 1\r\n\r\n")).await;
    assert_eq!(client.response_head().await.status, 200);
    assert_eq!((host.admin().counter("a", "calls").await, host.admin().counter("b", "calls").await), (2, 1));
}

#[tokio::test]
async fn hooks_see_the_request_and_change_nothing() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let told = "told {listener} {method} {host} {port} {authority} {fields} {connect} {user}";
    let script = json!({"rules": [{"on": "connect", "do": [
        {"try": {"set": ["X-A", "b"]}}, {"try": {"set-target": "/"}}, {"try": {"set-upstream": "http://127.0.0.1:1"}},
        {"try": {"note": ["a", "b"]}}, {"log": told}, {"log": "tried {tried} {note:a}"}, {"rule": "tunnel"},
    ]}]});
    let host = gate(None, &upstreams, &script).start().await;
    let authority = origin.address().to_string();
    let mut client = RawClient::connect(host.address_of("forward")).await;
    let secret = "Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA==";
    let fields = format!("User-Agent: test\r\n{secret}\r\nProxy-Connection: keep-alive\r\nX-Hop: 1\r\nConnection: X-Hop\r\n");
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n")).await;
    assert_eq!(client.response_head().await.status, 200);
    let port = origin.address().port();
    let expected = format!("told forward CONNECT 127.0.0.1 {port} {authority} Host={authority},User-Agent=test none none");
    let tried = format!("tried {0}|{0}|{0}|done b", "the message is read-only in this hook");
    eventually(async || host.times_logged(&expected) == 1 && host.times_logged(&tried) == 1).await;
    assert_eq!(host.times_logged("c2VjcmV0"), 0);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn flows_inside_name_their_connect() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1", "h2"]).await;
    let script = json!({"rules": [
        {"on": "connect", "do": [{"note": ["seen", "outside"]}, {"log": "outer {id} {connect}"}]},
        {"on": "request", "do": [{"set": ["X-Connect", "{connect}"]}, {"set": ["X-Count", "{count} {note:seen}"]}]},
        {"on": "finish", "filter": "~m CONNECT", "do": [{"log": "over {id} {status} {complete} {note:seen}"}]},
    ]});
    let host = gate(Some(&ca), &upstreams, &script).start().await;
    let authority = format!("localhost:{}", origin.address().port());
    for version in Version::BOTH {
        let before = host.admin().get("/flows").await.json()["flows"].as_array().map_or(0, Vec::len);
        let alpn = if version == Version::Http2 { "h2" } else { "http/1.1" };
        let stream = connect(host.address_of("forward"), &authority).await;
        let stream = tls(stream, "localhost", ca.trusted(&[alpn])).await.expect("TLS");
        let mut client = Client::within(stream, version, &format!("https://{authority}")).await;
        let named: Vec<String> = [client.get("/").await, client.get("/").await].iter().map(named).collect();
        let [outer, again] = &named[..] else { panic!("two answers") };
        assert_eq!(outer, again);
        assert_eq!(host.times_logged(&format!("outer {outer} none")), 1, "{}", host.logs());
        assert_eq!(host.times_logged(&format!("over {outer} ")), 0, "it is not over");
        drop(client);
        eventually(async || host.times_logged(&format!("over {outer} 200 true outside")) == 1).await;
        eventually(async || host.admin().get("/flows").await.json()["flows"].as_array().map_or(0, Vec::len) == before + 3).await;
        let flows = host.admin().get("/flows?limit=3").await.json();
        let inside =
            flows["flows"].as_array().into_iter().flatten().filter(|flow| flow["connect"] == json!(outer.parse::<u64>().ok()));
        assert_eq!(inside.count(), 2, "{flows:#}");
        let closing = flows["flows"].as_array().into_iter().flatten().find(|flow| flow["method"] == "CONNECT").cloned();
        assert_eq!(closing.map(|flow| (flow["connect"].clone(), flow["status"].clone())), Some((json!(null), json!(200))));
    }
}

/// What a request inside has told the origin: instances and notes are its own.
fn named(answer: &tollgate_tests::Answer) -> String {
    let echoed = answer.json();
    let header = |name: &str| {
        let mut fields = echoed["headers"].as_array().into_iter().flatten();
        fields.find(|field| field[0] == name).and_then(|field| field[1].as_str()).map(str::to_owned)
    };
    assert_eq!(header("x-count").as_deref(), Some("1 none"), "{echoed:#}");
    header("x-connect").expect("the flow of CONNECT")
}

#[tokio::test]
async fn tunnels_finish_once() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [
        {"on": "connect", "do": [{"rule": "tunnel"}]},
        {"on": "finish", "do": [{"log": "over {method} {status} {complete} {count}"}]},
    ]});
    let host = gate(None, &upstreams, &script).start().await;
    let authority = origin.address().to_string();
    let mut client = RawClient::connect(host.address_of("forward")).await;
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await;
    assert_eq!(client.response_head().await.status, 200);
    drop(client);
    eventually(async || host.times_logged("over CONNECT 200 true 1") == 1).await;
    assert_eq!(refused(host.address_of("forward"), "127.0.0.1:1").await.status, 502);
    eventually(async || host.times_logged("over CONNECT 502 ") == 1).await;
}

#[tokio::test]
async fn what_does_not_ask_for_connect_sees_none() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let asks = json!({"rules": [{"on": "connect", "filter": "~d elsewhere.test", "do": ["trap"]}, {"on": "finish"}]});
    let script = json!({"rules": [{"on": "finish", "do": [{"log": "over {method}"}]}]});
    let host = gate(Some(&ca), &upstreams, &script).scripted("b", &asks).start().await;
    assert_eq!(within_tls(host.address_of("forward"), &ca, "localhost", port).await.status, 200);
    eventually(async || host.times_logged("over GET") == 1 && host.admin().counter("b", "calls").await == 2).await;
    assert_eq!(host.times_logged("over CONNECT"), 0);
}

#[tokio::test]
async fn what_lists_deny_reaches_no_hook() {
    let upstreams = Authority::new();
    let script = json!({"rules": [{"on": "connect", "do": [{"rule": "tunnel"}]}]});
    let host = gate(None, &upstreams, &script)
        .set("listener.forward.targets.deny", "[\"denied.test\"]")
        .set("listener.forward.targets.connect_ports", "[443]")
        .start()
        .await;
    for authority in ["denied.test:443", "127.0.0.1:444", "169.254.169.254:443"] {
        assert_eq!(refused(host.address_of("forward"), authority).await.status, 403, "{authority}");
    }
    assert_eq!(host.admin().counter("a", "calls").await, 0);
}

#[tokio::test]
async fn no_hook_leads_past_the_lists() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "connect", "do": [{"rule": "tunnel"}]}]});
    let host = gate(None, &upstreams, &script).set("listener.forward.targets.deny", "[\"127.0.0.0/8\", \"::1\"]").start().await;
    // The name may be looked up; no address of it may be dialled.
    let answer = refused(host.address_of("forward"), &format!("localhost:{}", origin.address().port())).await;
    assert_eq!((answer.status, origin.connections()), (403, 0));
    let host = gate(None, &upstreams, &script).start().await;
    assert_eq!(refused(host.address_of("forward"), &host.address_of("forward").to_string()).await.status, 403);
}

#[tokio::test]
async fn what_options_ignore_is_a_tunnel_that_no_hook_sees() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let script = json!({"rules": [{"on": "connect", "do": [{"refuse": [403, "M_NO", "no"]}]}]});
    let host: Hosted = gate(Some(&ca), &upstreams, &script).start().await;
    let authority = format!("localhost:{}", origin.address().port());
    assert_eq!(refused(host.address_of("forward"), &authority).await.status, 403);
    host.set_options("ignore_hosts = [\"^localhost\"]").await;
    let pinned = (*upstreams.client_config(&["http/1.1"])).clone();
    assert!(tls(connect(host.address_of("forward"), &authority).await, "localhost", pinned).await.is_ok());
    assert_eq!(host.admin().counter("a", "calls").await, 1);
}

#[tokio::test]
async fn bodies_make_no_connect() {
    let upstreams = Authority::new();
    let script = json!({"rules": [{"on": "connect"}]});
    let host = gate(None, &upstreams, &script).start().await;
    assert_eq!(asked(host.address_of("forward"), "127.0.0.1:1", "Content-Length: 1\r\n").await.status, 400);
    assert_eq!(host.admin().counter("a", "calls").await, 0);
}
