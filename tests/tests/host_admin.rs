//! What the admin listener tells of addons, to whom, and what `check` and `inspect` print.
#![cfg(test)]

use http::{Method, Request};
use serde_json::{Value, json};
use tollgate_tests::{
    RawClient, RawOrigin, Tollgate,
    addons::{Admin, Hosted, drop_in, empty_component, guest, sha256},
    empty,
};

const NOWHERE: &str = "http://127.0.0.1:1";

fn showing_secret() -> Value {
    json!({"token": "hunter2hunter2", "tag": "shown", "rules": [
        {"on": "response", "filter": "~p ^/a", "body": {"truncate": 10}, "do": [{"set": ["X-Secret", "{token} {tag}"]}]},
        {"on": "finish"},
    ]})
}

#[tokio::test]
async fn addons_are_told_whole() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing_secret()).start().await;
    host.get("/a").await;
    host.admin().frozen("a").await;
    let status = host.admin().until("a", |status| status["calls"] == 2 && status["instances_live"] == 0).await;
    let page = host.admin().get("/addons").await;
    assert_eq!((page.header("content-type"), page.header("cache-control")), (Some("application/json"), Some("no-store")));
    assert_eq!(page.json()["generation"], 1);
    for (key, value) in [
        ("name", json!("a")),
        ("file", json!(host.plugins().join("a.wasm"))),
        ("sha256", json!(sha256(&guest("scripted")))),
        ("generation", json!(1)),
        ("state", json!("snapshot")),
        ("error", Value::Null),
        ("warning", Value::Null),
        ("memory_limit_bytes", json!(64 << 20)),
        ("calls", json!(2)),
        ("traps", json!(0)),
        ("errors", json!(0)),
        ("deadlines", json!(0)),
        ("impossible_verdicts", json!(0)),
        ("without_instance", json!(0)),
        ("instances_created", json!(1)),
        ("log_lines_dropped", json!(0)),
        (
            "subscriptions",
            json!([
                {"event": "response", "filter": "~p ^/a", "body_cap": 10, "over_cap": "truncate"},
                {"event": "finish", "filter": "", "body_cap": null, "over_cap": null},
            ]),
        ),
    ] {
        assert_eq!(status[key], value, "{key}");
    }
    assert!(status["hook_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{status}");
    assert!(status["memory_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{status}");
}

#[tokio::test]
async fn single_addons_have_pages() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    assert_eq!(host.admin().get("/addons/a").await.json()["name"], "a");
    let missing = host.admin().get("/addons/b").await;
    assert_eq!((missing.status.as_u16(), &missing.json()["errcode"]), (404, &json!("M_NOT_FOUND")));
}

#[tokio::test]
async fn options_are_shown_without_secrets() {
    let host = Hosted::before(NOWHERE).scripted("a", &showing_secret()).start().await;
    let options = host.admin().get("/addons/a/options").await;
    assert_eq!((&options.json()["token"], &options.json()["tag"]), (&json!("[redacted]"), &json!("shown")));
    assert!(!options.text().contains("hunter2"), "{}", options.text());
}

#[tokio::test]
async fn shown_options_can_be_put_back() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing_secret()).start().await;
    let mut options = host.admin().get("/addons/a/options").await.json();
    options["tag"] = json!("changed");
    assert_eq!(host.admin().put_options("a", &options).await.status, 200);
    assert_eq!(host.get("/a").await.header("x-secret"), Some("hunter2hunter2 changed"));
    options["token"] = json!("another-secret");
    assert_eq!(host.admin().put_options("a", &options).await.status, 200);
    assert_eq!(host.get("/a").await.header("x-secret"), Some("another-secret changed"));
}

#[tokio::test]
async fn unknown_place_holders_are_refused() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    let answer = host.admin().put_options("a", &json!({"token": "[redacted]"})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["errcode"]), (400, &json!("M_BAD_JSON")));
    assert!(answer.text().contains("token"), "{}", answer.text());
}

#[tokio::test]
async fn put_options_must_be_json() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    let before = host.admin().status("a").await["generation"].clone();
    for body in ["", "{", "tag = 1"] {
        assert_eq!(host.admin().send(Method::PUT, "/addons/a/options", body).await.status, 400, "{body}");
    }
    let array = host.admin().send(Method::PUT, "/addons/a/options", "[]").await;
    assert_eq!((array.status.as_u16(), &array.json()["errors"][0]["path"]), (400, &json!("")));
    assert_eq!(host.admin().status("a").await["generation"], before);
}

#[tokio::test]
async fn put_options_are_limited() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    let mut client = RawClient::connect(host.address_of("admin")).await;
    client.send("PUT /addons/a/options HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16777217\r\n\r\n").await;
    let piece = vec![b' '; 1 << 20];
    for _ in 0..17 {
        client.send(&piece).await;
    }
    assert_eq!(client.response().await.status, 413);
}

#[tokio::test]
async fn secrets_stay_out_of_the_log() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &showing_secret())
        .with(|builder| builder.log("trace,cranelift_codegen=info,wasmtime=info,regalloc2=info"))
        .start()
        .await;
    let mut refused = showing_secret();
    refused["refused"] = json!([["token", "is not to my taste"]]);
    let answer = host.admin().put_options("a", &refused).await;
    assert!(answer.status == 400 && !answer.text().contains("hunter2"), "{}", answer.text());
    host.write_options("a", &refused);
    host.admin().refused("a").await;
    for page in ["/addons", "/addons/a", "/addons/a/options", "/metrics", "/health/ready"] {
        assert!(!host.admin().get(page).await.text().contains("hunter2"), "{page}");
    }
    assert!(!host.logs().contains("hunter2"), "{}", host.logs());
}

#[tokio::test]
async fn unknown_pages_are_404() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/addon"),
        (Method::GET, "/addons/a/secrets"),
        (Method::GET, "/addons/b/options"),
        (Method::PUT, "/addons/b/options"),
        (Method::POST, "/addons/b/reload"),
        (Method::GET, "/health"),
    ] {
        let answer = host.admin().send(method.clone(), path, "{}").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errcode"]), (404, &json!("M_NOT_FOUND")), "{method} {path}");
    }
}

#[tokio::test]
async fn unserved_methods_are_405() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    for (method, path, allowed) in [
        (Method::POST, "/addons", "GET"),
        (Method::DELETE, "/addons/a", "GET"),
        (Method::GET, "/addons/a/reload", "POST"),
        (Method::POST, "/addons/a/options", "GET, PUT"),
        (Method::POST, "/metrics", "GET"),
        (Method::PUT, "/health/live", "GET"),
    ] {
        let answer = host.admin().send(method.clone(), path, "{}").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
}

#[tokio::test]
async fn foreign_hosts_are_refused() {
    let host = Hosted::before(NOWHERE).start().await;
    for (name, status) in [
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost", 200),
        ("localhost:80", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
    ] {
        for path in ["/addons", "/health/live"] {
            let request = Request::get(path).header("host", name).body(empty()).expect("a request");
            assert_eq!(host.admin().ask(request).await.status, status, "{name} {path}");
        }
    }
}

#[tokio::test]
async fn foreign_origins_are_refused() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    let own = host.url_of("admin");
    for (origin, status) in [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        ("https://localhost", 403),
        (own.as_str(), 200),
    ] {
        let request = Request::post("/addons/a/reload").header("origin", origin).body(empty()).expect("a request");
        assert_eq!(host.admin().ask(request).await.status, status, "{origin}");
    }
    assert_eq!(host.admin().status("a").await["generation"], 2);
}

/// Asks with this value of Authorization.
async fn authorized(admin: Admin, path: &str, authorization: Option<&str>) -> u16 {
    let mut request = Request::get(path);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    admin.ask(request.body(empty()).expect("a request")).await.status.as_u16()
}

#[tokio::test]
async fn tokens_are_asked_for() {
    let host =
        Hosted::before(NOWHERE).set("admin.listen", "\"0.0.0.0:0\"").set("admin.token", "\"the-right-token\"").start().await;
    for path in ["/addons", "/metrics", "/addons/a/options"] {
        for wrong in [
            None,
            Some("Bearer the-wrong-token"),
            Some("Bearer the-right-tokenx"),
            Some("Bearer "),
            Some("Basic the-right-token"),
        ] {
            assert_eq!(authorized(host.admin(), path, wrong).await, 401, "{path} {wrong:?}");
        }
    }
    assert_eq!(authorized(host.admin(), "/addons", Some("Bearer the-right-token")).await, 200);
    assert!(!host.logs().contains("the-right-token"));
}

#[tokio::test]
async fn health_needs_no_token() {
    let host = Hosted::before(NOWHERE).set("admin.token", "\"the-right-token\"").start().await;
    for path in ["/health/live", "/health/ready", "/actuator/health/liveness", "/actuator/health/readiness"] {
        assert_eq!(authorized(host.admin(), path, None).await, 200, "{path}");
    }
}

#[tokio::test]
async fn reachable_listeners_need_a_token() {
    let ended = Tollgate::builder().upstream(NOWHERE).set("admin.listen", "\"0.0.0.0:0\"").run().await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("admin.listen") && ended.stderr.contains("admin.token"), "{}", ended.stderr);
}

#[tokio::test]
async fn missing_addons_make_unready() {
    let host = Hosted::before(NOWHERE).options("a", &json!({})).set("listener.main.addons", "[\"b\"]").start().await;
    let ready = host.admin().get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["addons"]["missing"]), (503, &json!(["a", "b"])));
    assert_eq!(host.admin().status("b").await["state"], "missing");
    for (name, status) in [("a", 503), ("b", 200)] {
        host.drop_in(name, &guest("scripted"));
        host.admin().in_force(name, &guest("scripted")).await;
        for path in ["/health/ready", "/actuator/health/readiness"] {
            assert_eq!(host.admin().get(path).await.status, status, "{path} with {name}");
        }
    }
    assert_eq!(host.admin().get("/health/live").await.status, 200);
}

#[tokio::test]
async fn metrics_have_their_names() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing_secret()).start().await;
    host.get("/a").await;
    host.admin().until("a", |status| status["calls"] == 2).await;
    let metrics = host.admin().get("/metrics").await;
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")), "{metrics:?}");
    let text = metrics.text();
    for line in [
        "tollgate_flows_total{listener=\"main\",status=\"2xx\"} 1",
        "tollgate_flows_active{listener=\"main\"} 0",
        "tollgate_flow_duration_seconds_count{listener=\"main\"} 1",
        "tollgate_connections_total{listener=\"main\"} 1",
        "tollgate_upstream_failures_total{listener=\"main\",kind=\"connect\"} 0",
        "tollgate_addon_calls_total{addon=\"a\"} 2",
        "tollgate_addon_traps_total{addon=\"a\"} 0",
        "tollgate_addon_errors_total{addon=\"a\"} 0",
        "tollgate_addon_deadlines_total{addon=\"a\"} 0",
        "tollgate_addon_impossible_verdicts_total{addon=\"a\"} 0",
        "tollgate_addon_without_instance_total{addon=\"a\"} 0",
        "tollgate_addon_instances_total{addon=\"a\"} 1",
        "tollgate_addon_instances_live{addon=\"a\"} 0",
        "tollgate_addon_generation{addon=\"a\"} 1",
        "tollgate_addon_over_budget_total{addon=\"a\",budget=\"cpu\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    for start in ["tollgate_connections_active{", "tollgate_addon_hook_seconds_total{", "tollgate_addon_memory_peak_bytes{"] {
        assert!(text.lines().any(|shown| shown.starts_with(start)), "{start} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

/// The arguments of `tollgate check` for these addons, with the settings of one.
async fn check(addons: &[(&str, Vec<u8>)], settings: &[&str]) -> tollgate_tests::Ended {
    let plugins = tempfile::tempdir().expect("a directory");
    for (name, component) in addons {
        drop_in(plugins.path(), name, component);
    }
    let directory = plugins.path().to_str().expect("a path");
    let mut arguments = vec!["check", "--reverse", "http://127.0.0.1:1@0", "--plugins", directory];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    Tollgate::run(&arguments).await
}

#[tokio::test]
async fn check_tells_that_all_is_well() {
    let ended = check(&[("one", guest("scripted")), ("two", guest("raw"))], &["addon.one.options={tag=\"x\"}"]).await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains("ok     one\nok     two\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("the configuration is valid: 1 listener(s), 2 addon(s)"), "{}", ended.stdout);
}

#[tokio::test]
async fn check_tells_of_addons_that_fail() {
    let addons = [("bad", empty_component()), ("good", guest("scripted")), ("odd", guest("scripted"))];
    let ended = check(&addons, &["addon.odd.options={colour=\"red\"}", "addon.gone.cpu=\"1ms\""]).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    for part in [
        "FAILED bad\n",
        "not an addon",
        "ok     good\n",
        "FAILED odd\n",
        "options refused: colour: unknown field",
        "FAILED gone\n",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(ended.stderr.contains("bad") && ended.stderr.contains("odd") && ended.stderr.contains("gone"), "{}", ended.stderr);
}

#[tokio::test]
async fn check_refuses_wrong_settings_first() {
    let ended = check(&[("a", empty_component())], &["addon.a.cpu=\"1h\"", "addon.a.colour=1"]).await;
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("addon.a.cpu") && ended.stderr.contains("addon.a.colour"), "{}", ended.stderr);
}

#[tokio::test]
async fn inspect_tells_what_an_addon_asks_for() {
    let directory = tempfile::tempdir().expect("a directory");
    drop_in(directory.path(), "my-addon", &guest("raw"));
    let ended = Tollgate::run(&["inspect", directory.path().join("my-addon.wasm").to_str().expect("a path")]).await;
    assert!(ended.status.success(), "{ended:?}");
    let sha256 = sha256(&guest("raw"));
    for part in [
        "name           my-addon\n",
        &sha256,
        "\n  tollgate:addon/flow@0.1.0   ",
        "\n  [0]   event   response   ",
        "\n  [1]   event   upstream-error   ",
        "\n  [2]   event   finish   ",
        "\n        filter  every flow   ",
        "instances are copies of a configured one\n",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn inspect_refuses_what_is_no_addon() {
    let directory = tempfile::tempdir().expect("a directory");
    drop_in(directory.path(), "bad", &empty_component());
    let ended = Tollgate::run(&["inspect", directory.path().join("bad.wasm").to_str().expect("a path")]).await;
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("not an addon"), "{}", ended.stderr);
    assert_eq!(Tollgate::run(&["inspect", "/nowhere.wasm"]).await.status.code(), Some(1));
}
