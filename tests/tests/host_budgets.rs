//! Budgets as configured: what is below and at them, what is above, what the operator is told then, and what is counted.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, guest},
};

const NOWHERE: &str = "http://127.0.0.1:1";

/// Does this in the request hook at `/below` and that at `/above`.
fn around(below: &Value, above: &Value) -> Value {
    json!({"rules": [
        {"on": "request", "filter": "~p ^/below$", "do": [below]},
        {"on": "request", "filter": "~p ^/above$", "do": [above]},
    ]})
}

/// With this setting the hook at `/below` is fine; the one at `/above` fails, is counted as over this budget, and the log says
/// why.
async fn holds(setting: (&str, &str), (below, above): (&Value, &Value), budget: &str, said: &str) {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &around(below, above)).set(setting.0, setting.1).start().await;
    assert_eq!(host.get("/below").await.status, 200, "{setting:?}: {}", host.logs());
    assert_eq!(host.admin().over_budget("a", budget).await, 0, "{setting:?}");
    assert_eq!(host.get("/above").await.status, 503, "{setting:?}");
    assert_eq!(host.admin().over_budget("a", budget).await, 1, "{setting:?}");
    host.logged(said).await;
    let line = format!("tollgate_addon_over_budget_total{{addon=\"a\",budget=\"{budget}\"}} 1\n");
    let metrics = host.admin().get("/metrics").await.text();
    assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
}

#[tokio::test]
async fn time_on_the_processor_is_limited() {
    let setting = ("addon.a.cpu", "20ms");
    holds(setting, (&json!({"wait": 100}), &json!("spin")), "cpu", "over its cpu budget of 20ms").await;
}

#[tokio::test]
async fn large_bodies_take_more_time() {
    let rules = json!({"rules": [
        {"on": "request", "filter": "~p ^/shown$", "body": "full", "do": ["spin"]},
        {"on": "request", "filter": "~p ^/unseen$", "do": ["spin"]},
    ]});
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &rules)
        .set("addon.a.cpu", "20ms")
        .set("addon.a.cpu_per_mib", "10ms")
        .set("addon.a.quarantine", "false")
        .start()
        .await;
    for (path, bytes, budget) in [("/unseen", 3 << 20, "20ms"), ("/shown", 0, "20ms"), ("/shown", 3 << 19, "35ms")] {
        let request = http::Request::post(path).body(tollgate_tests::full(vec![b'a'; bytes])).expect("a request");
        assert_eq!(Client::connect(Version::Http1, host.address()).await.ask(request).await.status, 503, "{path}");
        host.logged(&format!("over its cpu budget of {budget}")).await;
    }
}

#[tokio::test]
async fn time_in_all_is_limited() {
    let setting = ("addon.a.wall", "500ms");
    holds(setting, (&json!({"wait": 1}), &json!({"wait": 60_000})), "wall", "over its wall budget of 500ms").await;
}

#[tokio::test]
async fn memory_is_limited() {
    let setting = ("addon.a.memory", "8MiB");
    let said = "it had asked for more than its memory limit of 8388608";
    holds(setting, (&json!({"take": 4 << 20}), &json!({"take": 9 << 20})), "memory", said).await;
}

#[tokio::test]
async fn all_guests_share_the_memory_of_the_process() {
    let origin = RawOrigin::ok().await;
    let taking = |bytes: usize| json!({"rules": [{"on": "request", "do": [{"take": bytes}, {"log": "took"}, {"wait": 2_000}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &taking(36 << 20))
        .scripted("b", &taking(20 << 20))
        .set("limits.guest_memory", "64MiB")
        .set("listener.main.addons", "[\"a\"]")
        .with(|builder| builder.listener("other", &origin.url()))
        .set("listener.other.addons", "[\"b\"]")
        .start()
        .await;
    let held = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/"));
    host.logged("took").await;
    // What one of them may have at one time is more than the other has left, and so is what a second one of its own wants.
    assert_eq!(host.get("/").await.status, 503);
    host.logged("it had asked for more than its all_memory limit of 67108864").await;
    assert_eq!(host.admin().over_budget("a", "all_memory").await, 1);
    assert_eq!(Client::fetch(Version::Http1, host.address_of("other"), "/").await.status, 200);
    assert_eq!(host.admin().over_budget("b", "all_memory").await, 0);
    assert_eq!(held.await.expect("a flow").status, 200);
    // What ended gives it back.
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn handles_are_limited() {
    // One is that of the request.
    let said = "over its budget of 10 handles";
    holds(("addon.a.handles", "10"), (&json!({"hold": 9}), &json!({"hold": 10})), "handles", said).await;
}

#[tokio::test]
async fn random_bytes_are_limited() {
    // The guest asks for eight at a time.
    let said = "over its budget of random bytes, 104 a hook";
    holds(("addon.a.random", "104"), (&json!({"random": 104}), &json!({"random": 105})), "random", said).await;
}

#[tokio::test]
async fn calls_carry_what_they_may() {
    let said = "over its hostcall_bytes of 64KiB";
    let edits = (&json!({"fill-body": 65_536}), &json!({"fill-body": 65_537}));
    holds(("addon.a.hostcall_bytes", "64KiB"), edits, "hostcall", said).await;
}

#[tokio::test]
async fn guest_stack_is_limited() {
    let said = "over its guest stack of 64KiB";
    holds(("limits.guest_stack", "64KiB"), (&json!({"descend": 100}), &json!({"descend": 5_000})), "stack", said).await;
}

#[tokio::test]
async fn guest_stack_can_be_deeper() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"descend": 30_000}]}]});
    for (stack, status) in [("512KiB", 503), ("4MiB", 200)] {
        let host = Hosted::before(&origin.url()).scripted("a", &options).set("limits.guest_stack", stack).start().await;
        assert_eq!(host.get("/").await.status, status, "{stack}: {}", host.logs());
        assert_eq!(host.admin().status("a").await["limits"]["guest_stack"], stack);
    }
}

#[tokio::test]
async fn guest_stack_changes_with_a_restart() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    std::fs::write(host.config_path(), host.config() + "\n[limits]\nguest_stack = \"1MiB\"\n").expect("a file");
    host.reload().await;
    host.logged("this change takes a restart key=\"limits.guest_stack\"").await;
    assert_eq!(host.admin().status("a").await["limits"]["guest_stack"], "512KiB");
}

#[tokio::test]
async fn tables_are_limited() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).set("addon.a.table", 1).start().await;
    let error = host.admin().refused("a").await;
    assert!(error.starts_with("cannot be instantiated: ") && error.contains("its table limit of 1)"), "{error}");
    assert_eq!(host.admin().over_budget("a", "table").await, 1);
}

#[tokio::test]
async fn configure_has_a_budget_of_its_own() {
    let options = |action: Value| json!({"configure": [action]});
    let host = Hosted::before(NOWHERE)
        .scripted("spinning", &options(json!("spin")))
        .set("addon.spinning.configure", "50ms")
        .scripted("waiting", &options(json!({"wait": 60_000})))
        .set("addon.waiting.configure", "50ms")
        .scripted("patient", &options(json!({"wait": 200})))
        .set("addon.patient.wall", "10ms")
        .start()
        .await;
    for name in ["spinning", "waiting"] {
        assert_eq!(host.admin().refused(name).await, "configure failed: over its configure budget of 50ms");
        assert_eq!(host.admin().over_budget(name, "configure").await, 1);
    }
    let patient = host.admin().frozen("patient").await;
    assert_eq!((&patient["error"], &patient["over_budget"]["configure"]), (&Value::Null, &json!(0)));
}

/// Tries these edits and shows how they ended.
async fn tried(edits: &[Value], settings: &[(&str, &str)]) -> (Vec<String>, Hosted) {
    let origin = RawOrigin::ok().await;
    let mut actions: Vec<Value> = edits.iter().map(|edit| json!({"try": edit})).collect();
    actions.push(json!({"respond": [200, [], "{tried}"]}));
    let builder = Hosted::before(&origin.url()).scripted("a", &json!({"rules": [{"on": "request", "do": actions}]}));
    let host = settings.iter().fold(builder, |builder, (key, value)| builder.set(key, value)).start().await;
    let answer = host.ask("GET", "/", &[("X-One", "1")]).await;
    (answer.text().split('|').map(str::to_owned).collect(), host)
}

#[tokio::test]
async fn bodies_are_as_large_as_configured() {
    let (ended, host) = tried(&[json!({"fill-body": 100}), json!({"fill-body": 101})], &[("addon.a.max_body", "100")]).await;
    assert_eq!(ended, ["done", "too large: 101 bytes in a body, limit 100"]);
    assert_eq!((host.admin().over_budget("a", "body").await, host.admin().over_budget("a", "headers").await), (1, 0));
}

#[tokio::test]
async fn headers_are_as_many_as_configured() {
    // The proxy adds X-Forwarded-For, -Host and -Proto and what the client sends besides X-One is Host.
    let (ended, host) = tried(&vec![json!({"append": ["X-Two", "2"]}); 12], &[("addon.a.header_count", "10")]).await;
    let done = ended.iter().take_while(|ended| *ended == "done").count();
    assert!((1..10).contains(&done), "{ended:?}");
    assert!(ended.iter().skip(done).all(|ended| ended == "too large: 11 header fields, limit 10"), "{ended:?}");
    assert_eq!(host.admin().over_budget("a", "headers").await, 12 - done as u64);
}

#[tokio::test]
async fn headers_are_as_large_as_configured() {
    let append = |bytes: usize| json!({"append": ["X-Two", "x".repeat(bytes)]});
    let (ended, host) = tried(&[append(500), append(1_024), append(1)], &[("addon.a.header_bytes", "1KiB")]).await;
    assert_eq!((ended.first().map(String::as_str), ended.last().map(String::as_str)), (Some("done"), Some("done")));
    assert!(ended.get(1).is_some_and(|ended| ended.ends_with(" bytes of header fields, limit 1024")), "{ended:?}");
    assert_eq!(host.admin().over_budget("a", "headers").await, 1);
}

#[tokio::test]
async fn headers_are_measured_to_the_byte() {
    // Of the two fields that come, four for each included.
    const BEFORE: usize = "X-A1".len() + 4 + "Content-Length2".len() + 4;
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok").await;
    for edit in ["append", "set"] {
        for (bytes, expected) in [(1_023, "done"), (1_024, "done"), (1_025, "too large: 1025 bytes of header fields, limit 1024")]
        {
            let value = "x".repeat(bytes - BEFORE - "X-B".len() - 4);
            let script =
                json!({"rules": [{"on": "response", "do": [{"try": {edit: ["X-B", value]}}, {"log": "it is {tried}."}]}]});
            let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.header_bytes", "1KiB").start().await;
            assert_eq!(host.get("/").await.header("x-b").map(str::len), (expected == "done").then_some(value.len()), "{bytes}");
            host.logged(&format!("it is {expected}.")).await;
        }
    }
}

/// Lines dropped, and for which budget, after this was logged with this setting.
async fn dropped(action: Value, settings: &[(&str, &str)]) -> (u64, u64, u64) {
    let origin = RawOrigin::ok().await;
    let builder = Hosted::before(&origin.url()).scripted("a", &json!({"rules": [{"on": "request", "do": [action]}]}));
    let host = settings.iter().fold(builder.set("addon.a.cpu", "5s"), |builder, (key, value)| builder.set(key, value));
    let host = host.start().await;
    assert_eq!(host.get("/").await.status, 200);
    let admin = host.admin();
    let (lines, bytes) = (admin.over_budget("a", "log_lines").await, admin.over_budget("a", "log_bytes").await);
    (admin.counter("a", "log_lines_dropped").await, lines, bytes)
}

#[tokio::test]
async fn log_lines_are_as_many_as_configured() {
    let setting = [("addon.a.log_lines", "10")];
    assert_eq!(dropped(json!({"log-flood": 20}), &setting).await, (0, 0, 0));
    // What the flood lasts earns a few more lines.
    let (dropped, lines, bytes) = dropped(json!({"log-flood": 2_000}), &setting).await;
    assert!((1..=1_980).contains(&dropped) && lines == dropped && bytes == 0, "{dropped} {lines} {bytes}");
}

#[tokio::test]
async fn log_bytes_are_as_many_as_configured() {
    let setting = [("addon.a.log_bytes", "1KiB")];
    assert_eq!(dropped(json!({"log": "x".repeat(1_900)}), &setting).await, (0, 0, 0));
    assert_eq!(dropped(json!({"log": "x".repeat(2_049)}), &setting).await, (1, 0, 1));
    assert_eq!(dropped(json!({"log": "x"}), &[("addon.a.log_bytes", "0")]).await, (1, 0, 1));
}

#[tokio::test]
async fn one_addon_leaves_instances_to_others() {
    let origin = RawOrigin::ok().await;
    let holding = json!({"rules": [{"on": "request", "filter": "~p ^/a", "do": [{"log": "holding {target}"}, {"wait": 2_000}]}]});
    let quick = json!({"rules": [{"on": "request", "filter": "~p ^/b", "do": [{"set": ["X-B", "1"]}]}]});
    let host =
        Hosted::before(&origin.url()).scripted("a", &holding).scripted("b", &quick).set("limits.instances", 8).start().await;
    // Half of half of them is its own, and half is shared.
    let status = host.admin().get("/addons/a").await.json();
    assert_eq!((&status["limits"]["instances"], &status["instances_reserved"]), (&json!(8), &json!(2)));
    assert_eq!(status["instances_shared"], 4);
    let paths = ["/a1", "/a2", "/a3", "/a4", "/a5", "/a6"];
    let held = paths.map(|path| tokio::spawn(Client::fetch(Version::Http1, host.address(), path)));
    for path in paths {
        host.logged(&format!("holding {path}")).await;
    }
    assert_eq!(host.get("/a7").await.status, 503);
    assert_eq!(host.get("/b").await.status, 200);
    host.logged("no instance: its own 2 are in use, and so are the 4 that all share").await;
    assert_eq!(host.admin().counter("a", "without_instance").await, 1);
    for flow in held {
        assert_eq!(flow.await.expect("a flow").status, 200);
    }
    assert_eq!(host.get("/a8").await.status, 200);
}

#[tokio::test]
async fn instances_of_all_addons_are_limited_too() {
    let origin = RawOrigin::ok().await;
    let holding = json!({"rules": [{"on": "request", "filter": "~p ^/a", "do": [{"log": "holding {target}"}, {"wait": 2_000}]}]});
    let quick = json!({"rules": [{"on": "request", "filter": "~p ^/b"}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &holding)
        .scripted("b", &quick)
        .set("limits.instances", 2)
        .set("addon.a.instances", 2)
        .start()
        .await;
    // With one for each, a budget of two is no claim to the other's.
    let held = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/a1"));
    host.logged("holding /a1").await;
    assert_eq!(host.get("/a2").await.status, 503);
    host.logged("no instance: its own 1 are in use, and so are the 0 that all share").await;
    let (over, without) = (host.admin().over_budget("a", "instances").await, host.admin().counter("a", "without_instance").await);
    assert_eq!((over, without), (0, 1));
    assert_eq!(host.get("/b").await.status, 200);
    assert_eq!(held.await.expect("a flow").status, 200);
}

#[tokio::test]
async fn one_addon_may_have_fewer_instances() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "filter": "~p ^/hold", "do": [{"log": "holding"}, {"wait": 2_000}]},
        {"on": "request", "filter": "~p ^/more", "do": []}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.instances", 1).start().await;
    let held = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/hold"));
    host.logged("holding").await;
    assert_eq!(host.get("/more").await.status, 503);
    host.logged("no instance: all 1 of this addon are in use").await;
    assert_eq!(host.admin().over_budget("a", "instances").await, 1);
    assert_eq!(held.await.expect("a flow").status, 200);
    assert_eq!(host.get("/more").await.status, 200);
}

#[tokio::test]
async fn budgets_are_shown_as_configured() {
    let settings = [
        ("cpu", json!("30ms")),
        ("cpu_per_mib", json!("2ms")),
        ("wall", json!("3s")),
        ("configure", json!("4s")),
        ("memory", json!("32MiB")),
        ("table", json!(5_000)),
        ("handles", json!(20)),
        ("max_body", json!("1MiB")),
        ("header_count", json!(50)),
        ("header_bytes", json!("8KiB")),
        ("random", json!("1KiB")),
        ("hostcall_bytes", json!("3MiB")),
        ("log_lines", json!(7)),
        ("log_bytes", json!("9KiB")),
        ("calls", json!(12)),
        ("kv_bytes", json!("64KiB")),
        ("kv_keys", json!(13)),
        ("outbox_messages", json!(14)),
        ("outbox_bytes", json!("128KiB")),
        ("instances", json!(11)),
        ("instance", json!("shared")),
    ];
    let builder = Hosted::before(NOWHERE).guest("a", &guest("scripted"), &json!({})).unknown("b", &guest("scripted"));
    let host = settings.iter().fold(builder, |builder, (key, value)| builder.set(&format!("addon.a.{key}"), value)).start().await;
    let shown = host.admin().get("/addons/a").await.json();
    for (key, value) in &settings {
        assert_eq!(&shown["limits"][key], value, "{key}");
    }
    assert_eq!(shown["limits"].as_object().map(serde_json::Map::len), Some(settings.len() + 1), "{shown:#}");
    let defaults = host.admin().status("b").await["limits"].clone();
    for (key, value) in [
        ("cpu", json!("50ms")),
        ("cpu_per_mib", json!("50ms")),
        ("wall", json!("60s")),
        ("configure", json!("10s")),
        ("memory", json!("64MiB")),
        ("table", json!(10_000)),
        ("handles", json!(256)),
        ("guest_stack", json!("512KiB")),
        ("max_body", json!("10MiB")),
        ("header_count", json!(256)),
        ("header_bytes", json!("64KiB")),
        ("random", json!("64KiB")),
        ("hostcall_bytes", json!("20816KiB")),
        ("log_lines", json!(1_000)),
        ("log_bytes", json!("256KiB")),
        ("calls", json!(1_000)),
        ("kv_bytes", json!("16MiB")),
        ("kv_keys", json!(100_000)),
        ("outbox_messages", json!(1_000)),
        ("outbox_bytes", json!("4MiB")),
        ("instances", json!(2_000)),
        ("instance", json!("flow")),
    ] {
        assert_eq!(defaults[key], value, "{key}");
    }
}
