//! Message hooks that keep failing or take too long: what becomes of their sockets, and of others.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{RawOrigin, SocketClient, SocketEnd, addons::Hosted, sockets};

const TEXT: u8 = 0x81;
/// Three failures, and then for so long that no test sees the end of it.
const LONG: &str = "{ failures = 3, within = \"10m\", first = \"1h\", longest = \"1h\" }";

/// Does this with what holds `bad`, and changes what holds `good`.
fn script(bad: &Value) -> Value {
    json!({"rules": [{"on": "websocket-message", "do": [
        {"message": {"holding": ["bad", [bad]]}},
        {"message": {"holding": ["good", [{"message": "upper"}]]}},
    ]}]})
}

async fn echoing() -> RawOrigin {
    sockets("", SocketEnd::echo).await
}

/// What a text comes back as.
async fn answer(socket: &mut SocketClient, text: &str) -> String {
    socket.send(TEXT, text).await;
    socket.frame().await.shown().1
}

#[tokio::test]
async fn hooks_over_their_time_end_their_socket_alone() {
    for (action, budget, most) in [(json!("spin"), "cpu", "20ms"), (json!({"wait": 600_000}), "wall", "300ms")] {
        for on_error in ["closed", "open"] {
            let origin = echoing().await;
            let host = Hosted::before(&origin.url())
                .scripted("a", &script(&action))
                .set("addon.a.on_error", on_error)
                .set(&format!("addon.a.{budget}"), most)
                .start()
                .await;
            let mut other = SocketClient::open(host.address(), "").await;
            let mut client = SocketClient::open(host.address(), "").await;
            assert_eq!((answer(&mut other, "good").await, answer(&mut client, "good").await), ("GOOD".into(), "GOOD".into()));
            assert_eq!(host.admin().over_budget("a", budget).await, 0);
            client.send(TEXT, "bad").await;
            if on_error == "open" {
                assert_eq!(client.frame().await.shown(), (TEXT, "bad".to_owned()), "{budget}");
                assert_eq!(answer(&mut client, "good").await, "good", "{budget}");
            } else {
                let close = client.frame().await;
                assert_eq!((close.code(), &close.payload[2..]), (1011, &b"addon a failed"[..]), "{budget}");
                client.expect_end().await;
            }
            assert_eq!(answer(&mut other, "good").await, "GOOD", "{budget}");
            assert_eq!(host.admin().over_budget("a", budget).await, 1, "{budget}, {on_error}");
            host.logged(&format!("over its {budget} budget of {most}")).await;
        }
    }
}

#[tokio::test]
async fn messages_do_not_pass_one_that_a_hook_waits_with() {
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &script(&json!({"wait": 300}))).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    for text in ["bad", "good", "other"] {
        client.send(TEXT, text).await;
    }
    for text in ["bad", "GOOD", "other"] {
        assert_eq!(client.frame().await.shown().1, text);
    }
}

#[tokio::test]
async fn failing_message_hooks_are_quarantined() {
    for on_error in ["closed", "open"] {
        let origin = echoing().await;
        let host = Hosted::before(&origin.url())
            .scripted("a", &script(&json!("trap")))
            .set("addon.a.quarantine", LONG)
            .set("addon.a.on_error", on_error)
            .start()
            .await;
        let mut old = SocketClient::open(host.address(), "").await;
        assert_eq!(answer(&mut old, "good").await, "GOOD");
        for _ in 0..3 {
            assert_eq!(host.admin().status("a").await["quarantine"]["state"], "none");
            let mut client = SocketClient::open(host.address(), "").await;
            client.send(TEXT, "bad").await;
            let frame = client.frame().await;
            assert!(if on_error == "open" { frame.shown().1 == "bad" } else { frame.code() == 1011 }, "{frame:?}");
        }
        assert_eq!(host.admin().status("a").await["quarantine"]["state"], "quarantined");
        let mut client = SocketClient::open(host.address(), "").await;
        client.send(TEXT, "good").await;
        let frame = client.frame().await;
        if on_error == "open" {
            assert_eq!(frame.shown(), (TEXT, "good".to_owned()));
        } else {
            assert_eq!((frame.code(), &frame.payload[2..]), (1011, &b"addon a is quarantined"[..]));
        }
        // Its instance did no harm.
        assert_eq!(answer(&mut old, "good").await, "GOOD", "{on_error}");
    }
}
