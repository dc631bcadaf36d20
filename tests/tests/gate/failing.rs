//! Hooks for CONNECT that fail.

use serde_json::{Value, json};
use tollgate_tests::{Authority, Echo, RawClient, RawOrigin, eventually};

use crate::{
    common::{gate, is_intercepted, refused},
    intercepting::Ca,
};

fn script(action: &Value) -> Value {
    json!({"rules": [
        {"on": "connect", "do": [{"note": ["a", "left"]}, action, {"rule": "tunnel"}]},
        {"on": "finish", "do": [{"log": "over {status} {note:a}"}]},
    ]})
}

#[tokio::test]
async fn failed_hooks_close_or_leave_it_to_the_lists() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    for action in [json!("trap"), json!({"fail": "no"}), json!("spin"), json!({"refuse": [200, "M_NO", "no error"]})] {
        let host = gate(Some(&ca), &upstreams, &script(&action)).start().await;
        let answer = refused(host.address_of("forward"), &format!("localhost:{port}")).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("addon a failed")), "{action}");
        // Nothing of what it did is left.
        eventually(async || host.times_logged("over 503 none") == 1).await;
        let host = gate(Some(&ca), &upstreams, &script(&action)).set("addon.a.on_error", "open").start().await;
        assert!(is_intercepted(host.address_of("forward"), &ca, &upstreams, "localhost", port).await, "{action}");
    }
}

#[tokio::test]
async fn nothing_is_looked_into_without_an_authority() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "connect", "do": [{"rule": "intercept"}]}]});
    let host = gate(None, &upstreams, &script).start().await;
    assert_eq!(refused(host.address_of("forward"), &origin.address().to_string()).await.status, 503);
    eventually(async || host.times_logged("the listener has no authority (tls.ca)") == 1).await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn who_may_only_look_decides_nothing() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "connect", "filter": "~h X-Rule", "do": [{"rule": "tunnel"}]}, {"on": "connect"}]});
    let host = gate(None, &upstreams, &script).set("addon.a.edit", "false").start().await;
    let authority = origin.address().to_string();
    for (fields, expected) in [("", 200), ("X-Rule: 1\r\n", 503)] {
        let mut client = RawClient::connect(host.address_of("forward")).await;
        client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n")).await;
        assert_eq!(client.response_head().await.status, expected, "{fields}");
    }
}

#[tokio::test]
async fn quarantined_addons_refuse() {
    let upstreams = Authority::new();
    let rule = "{ failures = 2, within = \"10m\", first = \"1h\", longest = \"1h\" }";
    let host = gate(None, &upstreams, &script(&json!("trap"))).set("addon.a.quarantine", rule).start().await;
    for expected in ["addon a failed", "addon a failed", "addon a is quarantined"] {
        let answer = refused(host.address_of("forward"), "127.0.0.1:1").await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some(expected)));
    }
}

#[tokio::test]
async fn clients_that_leave_amid_a_hook_are_finished_once() {
    let upstreams = Authority::new();
    let waiting = json!({"rules": [
        {"on": "connect", "do": [{"note": ["a", "left"]}, {"log": "waiting"}, {"wait": 500}, {"rule": "tunnel"}]},
        {"on": "finish", "do": [{"log": "over {status} {note:a}"}]},
    ]});
    let host = gate(None, &upstreams, &waiting).start().await;
    let mut client = RawClient::connect(host.address_of("forward")).await;
    client.send("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n").await;
    eventually(async || host.times_logged("waiting") == 1).await;
    drop(client);
    eventually(async || host.times_logged("over none none") == 1).await;
    assert_eq!(host.admin().get("/flows").await.json()["flows"][0]["error"], "the client went away");
}

#[tokio::test]
async fn subscriptions_to_connect_have_no_body() {
    let upstreams = Authority::new();
    for rule in [json!({"on": "connect", "body": "full"}), json!({"on": "connect", "filter": "~b x"})] {
        let host = gate(None, &upstreams, &json!({"rules": [rule]})).start().await;
        let error = host.admin().refused("a").await;
        assert!(error.contains("[0] connect: ") && error.contains("body"), "{error}");
    }
}
