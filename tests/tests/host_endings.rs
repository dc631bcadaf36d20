//! How flows end, and who is told: finish, upstream errors, and hooks whose client has left.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{Client, RawClient, RawOrigin, Version, addons::Hosted, eventually};

/// Says in the log how each flow ended.
fn finishing() -> Value {
    json!([{"log": "finish of {target}: {status} {complete} {origin} {received} {delivered} ({error})."}])
}

async fn finishes(host: &Hosted, path: &str) -> String {
    let start = format!("finish of {path}: ");
    host.logged(&start).await;
    // The next flow's finish comes after everything that this one can still bring.
    host.get("/after").await;
    host.logged("finish of /after: ").await;
    let logs = host.logs();
    let mut told = logs
        .lines()
        .filter_map(|line| line.split_once(&start))
        .filter_map(|(_, rest)| rest.split_once(")."))
        .map(|(told, _)| told);
    let first = told.next().unwrap_or_default().to_owned();
    assert_eq!(told.next(), None, "told twice: {logs}");
    first
}

#[tokio::test]
async fn finish_tells_of_whole_flows() {
    let origin = RawOrigin::ok().await;
    let host =
        Hosted::before(&origin.url()).scripted("a", &json!({"rules": [{"on": "finish", "do": finishing()}]})).start().await;
    host.post("/whole", "12345").await;
    assert_eq!(finishes(&host, "/whole").await, "200 true upstream 5 2 (none");
}

#[tokio::test]
async fn finish_tells_of_made_answers() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/made$", "do": [{"respond": [202, [], "made"]}]},
        {"on": "finish", "do": finishing()},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    host.get("/made").await;
    assert_eq!(finishes(&host, "/made").await, "202 true addon a 0 4 (none");
}

#[tokio::test]
async fn finish_tells_of_dropped_flows() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/dropped$", "do": ["drop"]},
        {"on": "finish", "do": finishing()},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET /dropped HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect_end().await;
    let told = finishes(&host, "/dropped").await;
    assert_eq!(told, "none false none 0 0 (dropped by addon a");
}

#[tokio::test]
async fn finish_tells_of_refusing_upstreams() {
    let (origin, options) = (
        RawOrigin::ok().await,
        json!({"rules": [
            {"on": "request", "filter": "~p ^/refused$", "do": [{"set-upstream": "http://127.0.0.1:1"}]},
            {"on": "finish", "do": finishing()},
        ]}),
    );
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    assert_eq!(host.get("/refused").await.status, 502);
    let told = finishes(&host, "/refused").await;
    assert!(told.starts_with("502 true core 0 "), "{told}");
}

#[tokio::test]
async fn finish_tells_of_clients_that_left() {
    // The origin never ends its answer to /left.
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let answer = if request.target == "/left" {
                "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            };
            if conversation.send(answer).await.is_err() {
                return;
            }
        }
    })
    .await;
    let host =
        Hosted::before(&origin.url()).scripted("a", &json!({"rules": [{"on": "finish", "do": finishing()}]})).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.response_head().await;
    client.take(9).await;
    drop(client);
    let told = finishes(&host, "/left").await;
    assert!(told.starts_with("200 false upstream 0 9 ("), "{told}");
}

#[tokio::test]
async fn finish_tells_of_upstreams_that_left() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            if request.target == "/broken" {
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").await;
                return conversation.reset();
            }
            if conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    })
    .await;
    let host =
        Hosted::before(&origin.url()).scripted("a", &json!({"rules": [{"on": "finish", "do": finishing()}]})).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_to_end().await;
    let told = finishes(&host, "/broken").await;
    assert!(told.starts_with("200 false upstream 0 "), "{told}");
}

#[tokio::test]
async fn finish_comes_after_a_failed_hook() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/failed$", "do": ["trap"]},
        {"on": "finish", "do": finishing()},
    ]});
    for (policy, status, expected) in [("closed", 503, "503 true core 0 "), ("open", 200, "200 true upstream 0 2 ")] {
        let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.on_error", policy).start().await;
        assert_eq!(host.get("/failed").await.status, status, "{policy}");
        let told = finishes(&host, "/failed").await;
        assert!(told.starts_with(expected), "{policy}: {told}");
    }
}

#[tokio::test]
async fn abandoned_hooks_run_to_their_end() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/left$", "do": [{"log": "before the wait"}, {"wait": 500}, {"log": "after the wait"}]},
        {"on": "finish", "do": finishing()},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    for version in Version::BOTH {
        let before = host.times_logged("before the wait");
        let mut client = Client::connect(version, host.address()).await;
        let flow = tokio::spawn(client.start(http::Request::get("/left").body(tollgate_tests::empty()).expect("a request")));
        eventually(async || host.times_logged("before the wait") > before).await;
        assert_eq!(host.times_logged("after the wait"), before, "{version:?}");
        flow.abort();
        drop(client);
        eventually(async || host.times_logged("after the wait") > before).await;
        eventually(async || host.times_logged("finish of /left: none false") > before).await;
    }
    // Nothing of it went upstream, not even a connection.
    assert_eq!(origin.connections(), 0);
    assert_eq!(host.get("/after").await.text(), "ok");
    assert_eq!(origin.targets(), ["/after"]);
}

#[tokio::test]
async fn abandoned_edits_are_discarded() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "do": [{"set-target": "/edited"}, {"log": "edited"}, {"wait": 300}]},
        {"on": "finish", "do": [{"log": "ended as {target}."}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n").await;
    host.logged("edited").await;
    drop(client);
    host.logged("ended as /left.").await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn upstream_errors_can_be_answered() {
    let origin = RawOrigin::closing("").await;
    let answering = json!({"rules": [{"on": "upstream-error", "do": [{"respond": [200, [["X-By", "a"]], "{kind}"]}]}]});
    let looking = json!({"rules": [{"on": "response", "do": [{"set": ["X-Origin", "{origin}"]}]}, {"on": "upstream-error"}]});
    let host = Hosted::before(&origin.url()).scripted("a", &answering).scripted("b", &looking).start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.header("x-by")), (200, "Closed", Some("a")));
    assert_eq!(answer.header("x-origin"), Some("addon a"));
}

#[tokio::test]
async fn upstream_errors_ask_last_addon_first() {
    let origin = RawOrigin::closing("").await;
    let answering = |name: &str| json!({"rules": [{"on": "upstream-error", "do": [{"log": format!("{name} was asked")}, {"respond": [200, [], name]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &answering("a")).scripted("b", &answering("b")).start().await;
    assert_eq!(host.get("/").await.text(), "b");
    assert_eq!(host.times_logged("a was asked"), 0);
}

#[tokio::test]
async fn upstream_errors_name_their_kind() {
    let silent = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        conversation.take(1).await;
    })
    .await;
    let garbled = RawOrigin::answering("no HTTP at all\r\n\r\n").await;
    let answering = json!({"rules": [{"on": "upstream-error", "do": [{"respond": [200, [], "{kind}"]}]}]});
    let host = Hosted::before("http://127.0.0.1:1")
        .scripted("a", &answering)
        .with(|builder| {
            builder
                .listener("silent", &silent.url())
                .listener("garbled", &garbled.url())
                .listener("nameless", "http://name.invalid")
                .listener("tls", &garbled.url().replace("http:", "https:"))
        })
        .set("timeouts.response", "200ms")
        .start()
        .await;
    for (listener, kind) in
        [("main", "Connect"), ("silent", "Timeout"), ("garbled", "Protocol"), ("nameless", "Dns"), ("tls", "Tls")]
    {
        assert_eq!(Client::fetch(Version::Http1, host.address_of(listener), "/").await.text(), kind, "{listener}");
    }
}

#[tokio::test]
async fn unanswered_upstream_errors_pass_response_hooks() {
    let silent = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        conversation.take(1).await;
    })
    .await;
    let looking =
        json!({"rules": [{"on": "response", "do": [{"set": ["X-Seen", "{status} {origin}"]}]}, {"on": "upstream-error"}]});
    let host = Hosted::before("http://127.0.0.1:1")
        .scripted("a", &looking)
        .with(|builder| builder.listener("silent", &silent.url()))
        .set("timeouts.response", "200ms")
        .start()
        .await;
    let refused = host.get("/").await;
    assert_eq!((refused.status.as_u16(), refused.header("x-seen")), (502, Some("502 core")));
    assert_eq!(refused.json()["errcode"], "M_UNKNOWN");
    let late = Client::fetch(Version::Http1, host.address_of("silent"), "/").await;
    assert_eq!((late.status.as_u16(), late.header("x-seen")), (504, Some("504 core")));
}

#[tokio::test]
async fn upstream_errors_of_failing_addons_are_503() {
    for (policy, status) in [("closed", 503), ("open", 502)] {
        let options = json!({"rules": [{"on": "upstream-error", "do": ["trap"]}]});
        let host = Hosted::before("http://127.0.0.1:1").scripted("a", &options).set("addon.a.on_error", policy).start().await;
        assert_eq!(host.get("/").await.status, status, "{policy}");
    }
}

#[tokio::test]
async fn errors_of_upstreams_pass_unchanged() {
    let origin = RawOrigin::answering("HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 4\r\n\r\nbusy").await;
    let options = json!({"rules": [{"on": "upstream-error", "do": [{"respond": [200, [], "no"]}]}, {"on": "response"}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.text().as_str()), (503, "Busy", "busy"));
    assert_eq!(answer.fields.get("retry-after"), Some("9"));
}

#[tokio::test]
async fn last_hooks_wait_for_room_and_nobody_for_them() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "finish", "do": [{"wait": 50}, {"log": "finished {target}"}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &script)
        .set("addon.a.edit", false)
        .set("addon.a.events", "[\"finish\"]")
        .set("addon.a.instances", 1)
        .start()
        .await;
    // Their hooks take turns, for a second; the clients have long been answered.
    let mut client = Client::connect(Version::Http1, host.address()).await;
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}.")).await.status, 200);
    }
    assert!(host.times_logged("finished /") < 20, "somebody waited for a last hook");
    eventually(async || (0..20).all(|number| host.times_logged(&format!("finished /{number}.")) == 1)).await;
    let status = host.admin().status("a").await;
    assert_eq!((&status["calls"], &status["without_instance"]), (&json!(20), &json!(0)));
}
