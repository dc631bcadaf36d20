//! Requests that addons have sent later: where to, how often, how many, and what nobody waits for.
#![cfg(test)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, HostedBuilder, Service},
    eventually, within,
};

/// Has the request sent that the client's field names, and answers with how that ended.
fn posting(mut post: Value) -> Value {
    post["url"] = json!("{header:x-url}");
    post["method"] = json!("POST");
    post["body"] = json!("report");
    json!({"rules": [{"on": "request", "do": [{"post": post}, {"respond": [200, [], "{tried}"]}]}]})
}

fn granted(origin: &RawOrigin, options: &Value) -> HostedBuilder {
    Hosted::before(&origin.url()).scripted("a", options).set("addon.a.outbox", "[\"private\"]")
}

async fn post(host: &Hosted, url: &str) -> String {
    let answer = host.ask("GET", "/", &[("x-url", url)]).await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.text());
    answer.text()
}

async fn outbox(host: &Hosted) -> Value {
    host.admin().status("a").await["outbox"].clone()
}

async fn until(host: &Hosted, outcome: &str, count: u64) -> Value {
    host.admin().until("a", |status| status["outbox"]["requests"][outcome] == count).await["outbox"].clone()
}

/// A server that answers the first ones so, then 204.
async fn failing(times: usize, response: &'static str) -> RawOrigin {
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    RawOrigin::start(move |mut conversation| {
        let seen = std::sync::Arc::clone(&seen);
        async move {
            while conversation.request().await.is_some() {
                let first = seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < times;
                let answer = if first { response } else { "HTTP/1.1 204 No Content\r\n\r\n" };
                if conversation.send(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn nobody_waits_for_what_is_sent_later() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &posting(json!({"headers": [["X-Report", "{id}"]]}))).start().await;
    // It does not answer, and the client has its response.
    assert_eq!(post(&host, &service.at("/held")).await, "done");
    eventually(async || service.origin().targets() == ["/held"]).await;
    assert_eq!(outbox(&host).await["waiting"], 1);
    service.release();
    let counters = until(&host, "delivered", 1).await;
    assert_eq!((&counters["waiting"], &counters["waiting_bytes"], &counters["tries"]), (&json!(0), &json!(0), &json!(1)));
    let requests = service.origin().requests();
    let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert_eq!((request.method.as_str(), request.text().as_str()), ("POST", "report"));
    assert!(request.fields.get("x-report").is_some());
    let metrics = host.admin().get("/metrics").await.text();
    assert!(metrics.contains("tollgate_addon_outbox_requests_total{addon=\"a\",outcome=\"delivered\"} 1"), "{metrics}");
    assert!(metrics.contains("tollgate_addon_outbox_tries_total{addon=\"a\"} 1"), "{metrics}");
    assert!(metrics.contains("tollgate_addon_outbox_waiting{addon=\"a\"} 0"), "{metrics}");
}

#[tokio::test]
async fn grants_decide_where_to() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let port = service.port();
    let (ip, name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    for (grants, granted, denied) in [
        (json!([]), vec![], vec![&ip, &name]),
        (json!(["127.0.0.1:1"]), vec![], vec![&ip, &name]),
        (json!([ip]), vec![&ip], vec![&name]),
        (json!(["private"]), vec![&ip, &name], vec![]),
    ] {
        // What may be called may not be sent to later.
        let host = Hosted::before(&origin.url()).scripted("a", &posting(json!({})));
        let host = host.set("addon.a.http", "[\"private\"]").set("addon.a.outbox", &grants).start().await;
        for authority in granted {
            assert_eq!(post(&host, &format!("http://{authority}/a")).await, "done", "{grants} {authority}");
        }
        for authority in denied {
            let ended = post(&host, &format!("http://{authority}/denied")).await;
            assert!(ended.starts_with("denied: "), "{grants} {authority}: {ended}");
        }
        // The listener's own upstream is no exception.
        let own = post(&host, &origin.url()).await;
        assert_eq!(own == "done", grants == json!(["private"]), "{own}");
    }
    assert!(!service.origin().targets().contains(&"/denied".to_owned()));
}

#[tokio::test]
async fn names_that_lead_inside_are_not_reached() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = Hosted::before(&origin.url()).scripted("a", &posting(json!({}))).set("addon.a.outbox", "[\"*\"]").start().await;
    // The name may be public; its address is looked at when it is dialled.
    assert_eq!(post(&host, &format!("http://localhost:{}/a", service.port())).await, "done");
    until(&host, "rejected", 1).await;
    assert_eq!(service.origin().connections(), 0);
}

#[tokio::test]
async fn own_listeners_are_not_reached() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "filter": "~hq ^x-url:", "do": [
        {"post": {"url": "{header:x-url}"}}, {"respond": [200, [], "{tried}"]},
    ]}]});
    let host = granted(&origin, &options).start().await;
    for (index, url) in [host.url(), format!("http://{}/options", (*host).admin())].into_iter().enumerate() {
        assert_eq!(post(&host, &url).await, "done");
        until(&host, "rejected", index as u64 + 1).await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn what_fails_is_tried_again() {
    let origin = RawOrigin::ok().await;
    for response in
        ["HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "garbage\r\n\r\n"]
    {
        let target = failing(2, response).await;
        let host = granted(&origin, &posting(json!({}))).start().await;
        assert_eq!(post(&host, &target.url()).await, "done");
        let counters = until(&host, "delivered", 1).await;
        assert_eq!((&counters["tries"], target.requests().len()), (&json!(3), 3), "{response}");
    }
}

#[tokio::test]
async fn who_asks_for_time_gets_it() {
    let origin = RawOrigin::ok().await;
    let target = failing(1, "HTTP/1.1 429 Slow down\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n").await;
    let host = granted(&origin, &posting(json!({}))).start().await;
    let start = Instant::now();
    assert_eq!(post(&host, &target.url()).await, "done");
    until(&host, "delivered", 1).await;
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_try_ends_with_its_timeout() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &posting(json!({"timeout": 100}))).start().await;
    assert_eq!(post(&host, &service.at("/silent")).await, "done");
    host.admin().until("a", |status| status["outbox"]["tries"].as_u64() >= Some(2)).await;
    assert_eq!(outbox(&host).await["waiting"], 1);
}

#[tokio::test]
async fn what_is_rejected_or_over_is_given_up() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &posting(json!({"lifetime": 100}))).start().await;
    let rejecting = failing(usize::MAX, "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(post(&host, &rejecting.url()).await, "done");
    until(&host, "rejected", 1).await;
    let failing = failing(usize::MAX, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(post(&host, &failing.url()).await, "done");
    until(&host, "expired", 1).await;
    assert_eq!((rejecting.requests().len(), failing.requests().len()), (1, 1));
    host.logged("is not sent again").await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &posting(json!({}))).start().await;
    assert_eq!(post(&host, &service.at(&format!("/redirect/307?{}", service.at("/other")))).await, "done");
    until(&host, "rejected", 1).await;
    assert_eq!(service.origin().requests().len(), 1);
}

#[tokio::test]
async fn so_many_wait_and_no_more() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &posting(json!({}))).set("addon.a.outbox_messages", "3").start().await;
    for _ in 0..3 {
        assert_eq!(post(&host, &service.at("/held")).await, "done");
    }
    let full = "the outbox is full: 3 requests wait, limit 3 (outbox_messages)";
    assert_eq!(post(&host, &service.at("/held")).await, full);
    let counters = outbox(&host).await;
    assert_eq!((&counters["waiting"], &counters["requests"]["full"]), (&json!(3), &json!(1)));
    service.release();
    until(&host, "delivered", 3).await;
    assert_eq!(post(&host, &service.at("/held")).await, "done");
}

#[tokio::test]
async fn so_many_bytes_wait_and_no_more() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let url = service.at("/held");
    let fits = (64 << 10) - 256 - url.len();
    for (bytes, is_taken) in [(fits - 1, true), (fits, true), (fits + 1, false)] {
        let host = granted(&origin, &posting(json!({"fill": bytes}))).set("addon.a.outbox_bytes", "64KiB").start().await;
        let ended = post(&host, &url).await;
        assert_eq!(ended == "done", is_taken, "{bytes}: {ended}");
        assert_eq!(ended.contains("limit 65536 (outbox_bytes)"), !is_taken, "{bytes}: {ended}");
    }
}

#[tokio::test]
async fn a_hook_puts_in_sixty_four() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    for times in [63, 64, 65] {
        let host = granted(&origin, &posting(json!({"times": times}))).start().await;
        let ended = post(&host, &service.at("/a")).await;
        assert_eq!((ended.matches("done").count(), ended.contains("limit 64")), (times.min(64), times > 64), "{times}");
        until(&host, "delivered", times.min(64) as u64).await;
    }
}

#[tokio::test]
async fn illegal_requests_are_told_so() {
    let origin = RawOrigin::ok().await;
    for (post_options, url, expected) in [
        (json!({}), "ftp://a/", "invalid: "),
        (json!({}), "http://a:b@127.0.0.1/", "invalid: "),
        (json!({"headers": [["Host", "a"]]}), "http://127.0.0.1/", "invalid: "),
        (json!({"timeout": 60_000}), "http://127.0.0.1:9/", "done"),
        (json!({"timeout": 60_001}), "http://127.0.0.1:9/", "invalid: 60001 ms of timeout, limit 1 to 60000"),
        (json!({"lifetime": 86_400_000}), "http://127.0.0.1:9/", "done"),
        (json!({"lifetime": 86_400_001}), "http://127.0.0.1:9/", "invalid: 86400001 ms of lifetime, limit 1 to 86400000"),
    ] {
        let host = granted(&origin, &posting(post_options.clone())).start().await;
        let ended = post(&host, url).await;
        assert!(ended.starts_with(expected), "{post_options} {url}: {ended}");
    }
}

#[tokio::test]
async fn configure_sends_nothing() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let early = json!({"configure": [{"post": {"url": service.at("/a")}}]});
    let host =
        granted(&origin, &posting(json!({}))).scripted("early", &early).set("addon.early.outbox", "[\"private\"]").start().await;
    let status = host.admin().status("early").await;
    assert!(status["state"] == "failed" && status["error"].to_string().contains("denied"), "{status}");
    assert_eq!(service.origin().connections(), 0);
}

#[tokio::test]
async fn a_hook_that_put_something_in_is_not_run_again() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let options = json!({"rules": [{"on": "request", "do": [
        {"post": {"method": "POST", "url": service.at("/a")}}, {"fail": "afterwards"},
    ]}]});
    let host = granted(&origin, &options).set("addon.a.on_error", "retry").start().await;
    assert_eq!(host.get("/").await.status, 503);
    until(&host, "delivered", 1).await;
    assert_eq!(service.origin().targets(), ["/a"]);
}

#[tokio::test]
async fn what_waits_is_tried_once_more_at_the_end() {
    let origin = RawOrigin::ok().await;
    let target = failing(1, "HTTP/1.1 503 Later\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n").await;
    let mut host = granted(&origin, &posting(json!({}))).start().await;
    assert_eq!(post(&host, &target.url()).await, "done");
    host.logged("requests of an outbox wait").await;
    assert_eq!(target.requests().len(), 1);
    host.terminate();
    assert!(within(host.ended()).await.success());
    assert_eq!(target.requests().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_silent_holds_up_no_end() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let mut host = granted(&origin, &posting(json!({}))).start().await;
    assert_eq!(post(&host, &service.at("/silent")).await, "done");
    eventually(async || service.origin().targets() == ["/silent"]).await;
    host.terminate();
    assert!(within(host.ended()).await.success());
}

#[tokio::test]
async fn it_outlives_a_change_of_options() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &posting(json!({}))).start().await;
    assert_eq!(post(&host, &service.at("/held")).await, "done");
    let before = host.admin().status("a").await["generation"].clone();
    host.write_options("a", &json!({"rules": []}));
    host.admin().until("a", |status| status["generation"] != before).await;
    assert_eq!(outbox(&host).await["waiting"], 1);
    service.release();
    until(&host, "delivered", 1).await;
}

#[tokio::test]
async fn sixty_four_are_under_way_to_all_servers() {
    let origin = RawOrigin::ok().await;
    let mut services = Vec::new();
    for _ in 0..10 {
        services.push(Service::start().await);
    }
    let host = granted(&origin, &posting(json!({"times": 8}))).start().await;
    let asked = || services.iter().map(|service| service.origin().targets().len()).sum::<usize>();
    for service in &services {
        assert_eq!(post(&host, &service.at("/held")).await, ["done"; 8].join("|"));
    }
    eventually(async || asked() == 64).await;
    assert_eq!((outbox(&host).await["waiting"].clone(), outbox(&host).await["tries"].clone()), (json!(80), json!(64)));
    assert_eq!(asked(), 64);
    services.iter().for_each(Service::release);
    until(&host, "delivered", 80).await;
}

#[tokio::test]
async fn answers_are_not_kept() {
    let origin = RawOrigin::ok().await;
    // Larger than anybody wants, and one that never ends.
    for (length, body) in [(8 << 20, 8 << 20), (100, 10)] {
        let target = RawOrigin::start(move |mut conversation| async move {
            while conversation.request().await.is_some() {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                if conversation.send(head.as_bytes()).await.is_err() || conversation.send(&vec![b'x'; body]).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let host = granted(&origin, &posting(json!({"timeout": 500}))).start().await;
        assert_eq!(post(&host, &target.url()).await, "done");
        assert_eq!(until(&host, "delivered", 1).await["tries"], 1, "{length}");
    }
}

#[tokio::test]
async fn grants_that_are_taken_away_stop_what_waits() {
    let origin = RawOrigin::ok().await;
    let private = "outbox = [\"private\"]";
    // Of the last one nothing is left in the configuration's file.
    for (old, new) in [(private, "outbox = [\"127.0.0.1:1\"]"), (private, "outbox = []"), ("[addon.a]", "[addon.b]")] {
        let target = failing(usize::MAX, "HTTP/1.1 503 Later\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n").await;
        let host = Hosted::before(&origin.url()).scripted("a", &posting(json!({})));
        let host = host.with(|builder| builder.config_toml("outbox = [\"private\"]")).start().await;
        assert_eq!(post(&host, &target.url()).await, "done");
        host.logged("requests of an outbox wait").await;
        host.change_config(old, new).await;
        let counters = until(&host, "revoked", 1).await;
        assert_eq!((&counters["waiting"], target.requests().len()), (&json!(0), 1));
        host.logged("not granted any more").await;
    }
}
