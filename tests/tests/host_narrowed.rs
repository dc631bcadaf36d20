//! Grants and budgets that an operator takes away while the addon is in force.
#![cfg(test)]

use serde_json::{Value, json};
use tokio::sync::watch;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, HostedBuilder, core_module, rebuilt},
    eventually,
};

/// Asks for requests and responses, with bodies, and marks both.
fn asking() -> Value {
    json!({"rules": [
        {"on": "request", "body": "full", "do": [{"try": {"set": ["X-Asked", "1"]}}]},
        {"on": "response", "do": [{"try": {"set": ["X-Seen", "1"]}}]},
    ]})
}

fn hosted(origin: &RawOrigin) -> HostedBuilder {
    Hosted::before(&origin.url()).scripted("a", &asking())
}

/// Adds these lines to what the configuration says about the addon, and has it read again. Gives back what it was before.
async fn narrow(host: &Hosted, lines: &str) -> String {
    let before = host.config();
    std::fs::write(host.config_path(), format!("{before}\n{lines}\n")).expect("a file");
    host.reload().await;
    before
}

async fn restore(host: &Hosted, config: &str) {
    std::fs::write(host.config_path(), config).expect("a file");
    host.reload().await;
}

#[tokio::test]
async fn addons_that_ask_for_what_was_taken_away_are_withdrawn() {
    let origin = RawOrigin::ok().await;
    // Whether an order of the listener names it or not.
    for order in ["", "addons = [\"a\"]"] {
        for (lines, said) in [
            ("events = [\"response\"]", "[0] request: the event is not granted (events)"),
            ("bodies = false", "[0] request: bodies are not granted (bodies)"),
        ] {
            let host =
                Hosted::before(&origin.url()).with(|builder| builder.config_toml(order)).scripted("a", &asking()).start().await;
            assert_eq!(host.get("/").await.header("x-seen"), Some("1"));
            let before = narrow(&host, lines).await;
            let asked = origin.requests().len();
            let answer = host.get("/").await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["error"].as_str()),
                (503, Some("addon a is not loaded")),
                "{lines}"
            );
            assert_eq!((answer.header("x-seen"), origin.requests().len()), (None, asked), "{lines}");
            let status = host.admin().status("a").await;
            assert_eq!((&status["state"], &status["sha256"]), (&json!("failed"), &Value::Null), "{lines}");
            assert!(status["error"].as_str().is_some_and(|error| error.contains(said)), "{status:#}");
            let ready = host.admin().get("/health/ready").await;
            assert_eq!((ready.status.as_u16(), &ready.json()["addons"]["missing"]), (503, &json!(["a"])), "{lines}");
            assert_eq!(host.times_logged("is withdrawn"), 1);
            // New code that asks for the same is not let in either.
            host.drop_in("a", &rebuilt(1));
            eventually(async || host.times_logged("addon not loaded") == 2).await;
            assert_eq!(host.get("/").await.status, 503, "{lines}");
            restore(&host, &before).await;
            assert_eq!(host.get("/").await.header("x-seen"), Some("1"), "{lines}");
            assert_eq!(host.admin().get("/health/ready").await.status, 200);
        }
    }
}

#[tokio::test]
async fn open_ones_are_withdrawn_and_flows_pass() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).set("addon.a.on_error", "open").start().await;
    narrow(&host, "events = [\"response\"]").await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-seen")), (200, None));
    assert_eq!(origin.only_request().fields.get("x-asked"), None);
}

#[tokio::test]
async fn options_that_ask_for_less_bring_it_back() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).start().await;
    narrow(&host, "events = [\"response\"]").await;
    assert_eq!(host.get("/").await.status, 503);
    let modest = json!({"rules": [{"on": "response", "do": [{"set": ["X-Seen", "2"]}]}]});
    host.write_options("a", &modest);
    eventually(async || host.get("/").await.status == 200).await;
    assert_eq!(host.get("/").await.header("x-seen"), Some("2"));
    assert_eq!(host.admin().get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn flows_under_way_keep_what_they_had() {
    let (let_go, held) = watch::channel(false);
    let origin = RawOrigin::start(move |mut conversation| {
        let mut held = held.clone();
        async move {
            while let Some(request) = conversation.request().await {
                if request.target == "/held" && held.wait_for(|is_over| *is_over).await.is_err() {
                    return;
                }
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    for lines in ["events = [\"request\"]", "edit = false"] {
        let _ = let_go.send_replace(false);
        let host = hosted(&origin).start().await;
        let seen = origin.requests().len();
        let flow = tokio::spawn(Client::fetch(Version::Http2, host.address(), "/held"));
        eventually(async || origin.requests().len() > seen).await;
        narrow(&host, lines).await;
        assert_eq!(host.get("/").await.header("x-seen"), None, "{lines}");
        let_go.send_replace(true);
        assert_eq!(flow.await.expect("a flow").header("x-seen"), Some("1"), "{lines}");
    }
}

#[tokio::test]
async fn what_is_taken_away_is_gone_though_new_code_is_refused() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).start().await;
    let before = host.admin().status("a").await;
    host.drop_in("a", &core_module());
    assert!(host.admin().refused("a").await.contains("core WebAssembly module"));
    assert_eq!(host.get("/").await.header("x-seen"), Some("1"));
    // The code in force can do without them, and goes on so.
    narrow(&host, "edit = false\ncpu = \"20ms\"").await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-seen")), (200, None));
    let status = host.admin().status("a").await;
    assert_eq!((&status["sha256"], &status["read_only"]), (&before["sha256"], &json!(true)));
    assert_eq!((&status["limits"]["cpu"], &status["grants"]["edit"]), (&json!("20ms"), &json!(false)));
    assert!(status["error"].as_str().is_some_and(|error| error.contains("core WebAssembly module")), "{status:#}");
    // Without these it cannot.
    narrow(&host, "bodies = false").await;
    assert_eq!(host.get("/").await.status, 503);
    assert_eq!(host.admin().status("a").await["state"], "failed");
}

#[tokio::test]
async fn what_is_taken_away_is_gone_though_new_options_are_refused() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).start().await;
    host.write_options("a", &json!({"refused": [["", "no"]]}));
    narrow(&host, "write_headers = [\"x-asked\"]").await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-seen")), (200, None));
    assert!(host.admin().refused("a").await.contains("options refused: no"));
    assert_eq!(origin.only_request().fields.get("x-asked"), Some("1"));
}

#[tokio::test]
async fn budgets_that_it_cannot_do_with_leave_the_old_ones() {
    let origin = RawOrigin::ok().await;
    let capped = json!({"rules": [{"on": "response", "body": {"refuse": 1_000}, "do": [{"set": ["X-Seen", "1"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &capped).start().await;
    narrow(&host, "max_body = 999").await;
    assert!(host.admin().refused("a").await.contains("a body cap of 1000 bytes is over max_body (999)"));
    assert_eq!(host.get("/").await.header("x-seen"), Some("1"));
    assert_eq!(host.admin().status("a").await["limits"]["max_body"], "10MiB");
}
