//! Requests of addons of their own: what they may take, and what happens around them meanwhile.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawClient, RawOrigin,
    addons::{Hosted, HostedBuilder, Service, guest, rebuilt},
    eventually,
};

/// Requests with X-Url have it fetched and are answered with what it came to; the others pass.
fn asking(mut fetch: Value) -> Value {
    fetch["url"] = json!("{header:x-url}");
    json!({"rules": [{"on": "request", "filter": "~hq ^x-url:", "do": [
        {"fetch": fetch}, {"respond": [200, [], "{build} {fetched:ok} {fetched}"]},
    ]}]})
}

fn granted(origin: &RawOrigin, options: &Value) -> HostedBuilder {
    Hosted::before(&origin.url()).scripted("a", options).set("addon.a.http", "[\"private\"]")
}

/// What it came to: how many requests had a response, and how the last one ended.
async fn fetch(host: &Hosted, url: &str) -> String {
    let answer = host.ask("GET", "/", &[("x-url", url)]).await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.text());
    answer.text().split_once(' ').map(|(_, fetched)| fetched.to_owned()).unwrap_or_default()
}

/// Starts a flow that fetches this, and leaves it there.
async fn waiting(host: &Hosted, url: &str) -> RawClient {
    let mut client = RawClient::connect(host.address()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nx-url: {url}\r\n\r\n")).await;
    client
}

async fn in_flight(host: &Hosted) -> Value {
    host.admin().get("/addons/a").await.json()["http"]["in_flight"].clone()
}

#[tokio::test]
async fn responses_have_a_limit() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(json!({"max-response": 1000}))).set("addon.a.max_body", "2000").start().await;
    for framing in ["length", "chunked"] {
        for (bytes, is_taken) in [(999, true), (1000, true), (1001, false)] {
            let fetched = fetch(&host, &service.at(&format!("/{framing}/{bytes}"))).await;
            let too_large = "0 the body of the response is over 1000 bytes";
            assert_eq!(fetched.starts_with("1 200 "), is_taken, "{framing} {bytes}: {fetched:.80}");
            assert_eq!(fetched == too_large, !is_taken, "{framing} {bytes}: {fetched:.80}");
        }
    }
    let mut length = asking(json!({}));
    length["rules"][0]["do"][1]["respond"][2] = json!("- {fetched:length}");
    for (limit, is_legal) in [(None, true), (Some(2000), true), (Some(2001), false)] {
        length["rules"][0]["do"][0]["fetch"]["max-response"] = json!(limit);
        let host = granted(&origin, &length).set("addon.a.max_body", "2000").start().await;
        assert_eq!(fetch(&host, &service.at("/length/2000")).await == "2000", is_legal, "{limit:?}");
        let over = fetch(&host, &service.at("/length/2001")).await;
        let expected = if is_legal {
            "the body of the response is over 2000 bytes"
        } else {
            "no legal request: 2001 bytes of max-response, limit 2000"
        };
        assert_eq!(over, expected, "{limit:?}");
    }
}

#[tokio::test]
async fn bombs_end_at_the_limit() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&vec![0; 20_000_000]).expect("gzip");
    let gzip = gzip.finish().expect("gzip");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip.len());
    let (origin, bomb) = (RawOrigin::ok().await, RawOrigin::answering([head.as_bytes(), &gzip].concat()).await);
    let host = granted(&origin, &asking(json!({"max-response": 1_000_000}))).start().await;
    assert_eq!(fetch(&host, &bomb.url()).await, "0 the body of the response is over 1000000 bytes");
}

#[tokio::test]
async fn illegal_requests_are_not_sent() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let url = service.at("/");
    let many: Vec<_> = (0..257).map(|number| json!([format!("X-{number}"), "1"])).collect();
    let cases = [
        json!({"method": "CONNECT"}),
        json!({"method": "G T"}),
        json!({"method": "M".repeat(65)}),
        json!({"url": url.replace("http://", "http://user:hunter2@")}),
        json!({"url": url.replace("http://", "ftp://")}),
        json!({"url": "/relative"}),
        json!({"headers": [["Host", "other"]]}),
        json!({"headers": [["content-length", "1"]]}),
        json!({"headers": [["Transfer-Encoding", "chunked"]]}),
        json!({"headers": [["X-A", "a\r\nX-B: b"]]}),
        json!({"headers": [["X A", "1"]]}),
        json!({"headers": many}),
        json!({"headers": [["X-A", "a".repeat(65_536)]]}),
        json!({"method": "POST", "fill": 1001}),
    ];
    let actions: Vec<_> = cases
        .into_iter()
        .enumerate()
        .map(|(number, mut fetch)| {
            fetch["url"] = fetch.get("url").cloned().unwrap_or_else(|| json!(url));
            json!({"on": "request", "filter": format!("~p ^/{number}$"), "do": [{"fetch": fetch}, {"respond": [200, [], "{fetched}"]}]})
        })
        .collect();
    let host = granted(&origin, &json!({"rules": actions})).set("addon.a.max_body", "1000").start().await;
    for number in 0..actions.len() {
        let fetched = host.get(&format!("/{number}")).await.text();
        assert!(fetched.starts_with("no legal request: ") && !fetched.contains("hunter2"), "{number}: {fetched}");
    }
    assert_eq!(service.origin().connections(), 0);
    let full = granted(&origin, &asking(json!({"method": "POST", "fill": 1000}))).set("addon.a.max_body", "10000").start().await;
    assert!(fetch(&full, &service.at("/")).await.starts_with("1 200 POST / fff"));
}

#[tokio::test]
async fn timeouts_cover_all_of_a_call() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(json!({"timeout": 50, "redirects": 1}))).start().await;
    for path in ["/silent", "/stuck", "/redirect/302?/silent"] {
        assert_eq!(fetch(&host, &service.at(path)).await, "0 no response within the timeout", "{path}");
    }
    // What was broken off is closed.
    eventually(|| async { service.origin().open() == 0 }).await;
    assert_eq!(in_flight(&host).await, 0);
}

#[tokio::test]
async fn the_wall_of_the_hook_ends_a_call() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(json!({"timeout": 3_600_000}))).set("addon.a.wall", "100ms").start().await;
    assert_eq!(host.ask("GET", "/", &[("x-url", &service.at("/silent"))]).await.status, 503);
    host.logged("over its wall budget of 100ms").await;
    eventually(|| async { service.origin().open() == 0 }).await;
    let status = host.admin().get("/addons/a").await.json();
    assert_eq!((&status["http"]["requests"]["abandoned"], &status["deadlines"]), (&json!(1), &json!(1)), "{status}");
    assert_eq!(in_flight(&host).await, 0);
    assert_eq!(host.get("/").await.text(), "ok");
}

#[tokio::test]
async fn slow_services_delay_only_their_own_flows() {
    const FLOWS: usize = 200;
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(json!({"timeout": 600_000}))).set("addon.a.calls", FLOWS).start().await;
    let mut clients = Vec::new();
    for _ in 0..FLOWS {
        clients.push(waiting(&host, &service.at("/held")).await);
    }
    // All of them wait at once: each has its own request.
    eventually(|| async { service.origin().requests().len() == FLOWS }).await;
    assert_eq!(in_flight(&host).await, FLOWS);
    for _ in 0..10 {
        assert_eq!(host.get("/").await.text(), "ok");
    }
    service.release();
    for mut client in clients {
        let response = client.response().await;
        assert_eq!((response.status, response.text().ends_with("200 released")), (200, true), "{response:?}");
    }
    assert_eq!(in_flight(&host).await, 0);
}

#[tokio::test]
async fn an_addon_has_so_many_calls_at_one_time() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(json!({}))).set("addon.a.calls", 2).start().await;
    let _one = waiting(&host, &service.at("/held")).await;
    eventually(|| async { in_flight(&host).await == 1 }).await;
    assert_eq!(fetch(&host, &service.at("/")).await, "1 200 GET / ");
    let _two = waiting(&host, &service.at("/held")).await;
    eventually(|| async { in_flight(&host).await == 2 }).await;
    assert_eq!(fetch(&host, &service.at("/")).await, "0 2 requests were made already");
    service.release();
    eventually(|| async { in_flight(&host).await == 0 }).await;
    assert_eq!(fetch(&host, &service.at("/")).await, "1 200 GET / ");
}

#[tokio::test]
async fn a_hook_makes_so_many_requests() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    for (times, ended) in [(63, "63 200 GET / "), (64, "64 200 GET / "), (65, "64 64 requests were made already")] {
        let host = granted(&origin, &asking(json!({"times": times}))).set("addon.a.cpu", "5s").start().await;
        assert_eq!(fetch(&host, &service.at("/")).await, ended);
    }
    // Each hook of a flow has its own.
    let each = json!({"fetch": {"url": service.at("/"), "times": 40}});
    let rules = json!({"rules": [
        {"on": "request", "do": [each]},
        {"on": "response", "do": [each, {"set": ["X-Fetched", "{fetched:ok}"]}]},
    ]});
    let host = granted(&origin, &rules).set("addon.a.cpu", "5s").start().await;
    assert_eq!(host.get("/").await.header("x-fetched"), Some("80"));
}

#[tokio::test]
async fn nothing_is_left_of_a_call_whose_client_went() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(json!({"timeout": 600_000}))).start().await;
    let client = waiting(&host, &service.at("/held")).await;
    eventually(|| async { service.origin().requests().len() == 1 }).await;
    drop(client);
    assert_eq!(host.get("/").await.text(), "ok");
    service.release();
    host.admin().until("a", |status| status["instances_live"] == 0 && status["http"]["in_flight"] == 0).await;
    let status = host.admin().get("/addons/a").await.json();
    assert_eq!((&status["http"]["requests"], &status["traps"]), (&json!({"ok": 1}), &json!(0)), "{status}");
}

#[tokio::test]
async fn calls_outlast_a_reload() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(json!({}))).start().await;
    let mut client = waiting(&host, &service.at("/held")).await;
    eventually(|| async { service.origin().requests().len() == 1 }).await;
    let next = rebuilt(1);
    host.drop_in("a", &next);
    host.admin().in_force("a", &next).await;
    service.release();
    assert_eq!(client.response().await.text(), "guest-build-00000000 1 200 released");
    let answer = host.ask("GET", "/", &[("x-url", &service.at("/held"))]).await;
    assert_eq!(answer.text(), "guest-build-00000001 1 200 released");
}

#[tokio::test]
async fn grants_are_reloaded() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = Hosted::before(&origin.url()).guest("a", &guest("scripted"), &asking(json!({}))).start().await;
    let denied = fetch(&host, &service.at("/")).await;
    assert!(denied.starts_with("0 denied: "), "{denied}");
    let plain = host.config();
    std::fs::write(host.config_path(), format!("{plain}\nhttp = [\"127.0.0.1:{}\"]\n", service.port())).expect("a file");
    host.reload().await;
    assert_eq!(fetch(&host, &service.at("/")).await, "1 200 GET / ");
    std::fs::write(host.config_path(), plain).expect("a file");
    host.reload().await;
    // The connection is still kept, and no longer theirs.
    let denied = fetch(&host, &service.at("/")).await;
    assert!(denied.starts_with("0 denied: "), "{denied}");
}

#[tokio::test]
async fn calls_are_counted_by_what_became_of_them() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host =
        granted(&origin, &asking(json!({}))).set("addon.a.http", json!([format!("127.0.0.1:{}", service.port())])).start().await;
    for path in ["/", "/length/5", "/garbage"] {
        fetch(&host, &service.at(path)).await;
    }
    fetch(&host, "http://elsewhere.example/").await;
    let status = host.admin().get("/addons/a").await.json();
    assert_eq!(status["http"]["requests"], json!({"denied": 1, "ok": 2, "protocol": 1}), "{status}");
    let metrics = host.admin().get("/metrics").await.text();
    for line in [
        "tollgate_addon_http_requests_total{addon=\"a\",outcome=\"ok\"} 2",
        "tollgate_addon_http_requests_total{addon=\"a\",outcome=\"denied\"} 1",
        "tollgate_addon_http_in_flight{addon=\"a\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(metrics.contains("tollgate_addon_http_seconds_total{addon=\"a\"} "), "{metrics}");
}

#[tokio::test]
async fn a_hook_that_sent_something_is_not_run_again() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let gone = RawOrigin::ok().await.url();
    for (url, times) in
        [(service.at("/"), 1), (service.at("/garbage"), 1), (gone, 2), ("http://elsewhere.example/".to_owned(), 2)]
    {
        let rules = json!({"rules": [{"on": "request", "do": [{"fetch": {"url": url}}, {"panic": "{fetched}"}]}]});
        let host = granted(&origin, &rules).set("addon.a.on_error", "retry").start().await;
        assert_eq!(host.get("/").await.status, 503, "{url}");
        assert_eq!(host.times_logged("a hook failed"), times, "{url}: {}", host.logs());
    }
    assert_eq!(service.origin().targets(), ["/", "/garbage"]);
}
