//! What addons keep between flows.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, HostedBuilder, guest, rebuilt, take_out},
    eventually,
};

/// Does what the client's fields say, in flows whose path begins so, and answers with what it came to.
fn asking(path: &str) -> Value {
    let kv = json!({
        "op": "{header:x-op}", "bucket": "{header:x-bucket}", "key": "{header:x-key}", "value": "{header:x-value}",
        "fill": "{header:x-fill}", "expected": "{header:x-expected}", "ttl": "{header:x-ttl}",
    });
    json!({"rules": [{"on": "request", "filter": format!("~p ^{path}"), "do": [{"kv": kv}, {"respond": [200, [], "{kv}"]}]}]})
}

fn granted(origin: &RawOrigin, options: &Value) -> HostedBuilder {
    Hosted::before(&origin.url()).scripted("a", options).set("addon.a.kv", true)
}

/// Runs one operation in a flow of its own. `op` is its name and, after spaces, settings like `key=k`; without any it is about
/// key `k` of bucket `b`.
async fn kv(host: &Hosted, op: &str) -> String {
    at(host, "/", op).await
}

async fn at(host: &Hosted, path: &str, op: &str) -> String {
    let mut words = op.split(' ');
    let mut fields = vec![("x-op".to_owned(), words.next().unwrap_or_default().to_owned())];
    fields.extend(words.filter_map(|word| word.split_once('=')).map(|(name, value)| (format!("x-{name}"), value.to_owned())));
    for (name, value) in [("x-bucket", "b"), ("x-key", "k")] {
        if fields.iter().all(|(set, _)| set != name) {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = host.ask("GET", path, &fields).await;
    assert_eq!(answer.status, 200, "{op}: {}", answer.text());
    answer.text()
}

async fn status(host: &Hosted) -> Value {
    host.admin().status("a").await["kv"].clone()
}

#[tokio::test]
async fn operations_do_what_they_say() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).start().await;
    for (op, came_to) in [
        ("get", "none"),
        ("set value=1", "set"),
        ("get", "1"),
        ("get key=other", "none"),
        ("get bucket=other", "none"),
        ("insert value=2", "false"),
        ("swap expected=0 value=3", "false"),
        ("swap expected=1 value=3", "true"),
        ("increment value=-5", "-2"),
        ("swap expected=-2", "true"),
        ("delete", "false"),
        ("swap value=4", "true"),
        ("delete", "true"),
        ("insert value=5", "true"),
        ("get", "5"),
    ] {
        assert_eq!(kv(&host, op).await, came_to, "{op}");
    }
}

#[tokio::test]
async fn values_outlive_flows_options_code_and_absence() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).start().await;
    assert_eq!(kv(&host, "set value=kept").await, "set");
    assert_eq!(host.admin().reload("a").await.status, 200);
    assert_eq!(kv(&host, "get").await, "kept");
    assert_eq!(host.admin().put_options("a", &asking("/")).await.status, 200);
    host.drop_in("a", &rebuilt(1));
    host.admin().in_force("a", &rebuilt(1)).await;
    assert_eq!(kv(&host, "get").await, "kept");
    take_out(&host.plugins(), "a");
    host.admin().until("a", |status| status["state"] == "missing").await;
    assert_eq!(status(&host).await["keys"], 1);
    host.drop_in("a", &guest("scripted"));
    host.admin().in_force("a", &guest("scripted")).await;
    assert_eq!(kv(&host, "get").await, "kept");
    host.reload().await;
    assert_eq!(kv(&host, "get").await, "kept");
}

#[tokio::test]
async fn without_the_grant_all_is_denied() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &asking("/")).start().await;
    for op in ["get", "set value=1", "insert value=1", "swap value=1", "delete", "increment", "get bucket=/"] {
        assert_eq!(kv(&host, op).await, "denied: kv is not granted, or this is no hook", "{op}");
    }
    let shown = host.admin().get("/addons/a").await.json();
    assert_eq!((&shown["grants"]["kv"], &shown["kv"]["keys"]), (&json!(false), &json!(0)));
    assert_eq!(shown["kv"]["operations"]["get"], json!({"denied": 2}));
}

#[tokio::test]
async fn configure_keeps_nothing() {
    let origin = RawOrigin::ok().await;
    let set = json!({"kv": {"op": "set", "bucket": "b", "key": "k", "value": "1"}});
    let host =
        granted(&origin, &asking("/")).scripted("early", &json!({"configure": [set]})).set("addon.early.kv", true).start().await;
    let early = host.admin().status("early").await;
    assert!(early["state"] == "failed" && early["error"].to_string().contains("denied"), "{early}");
    assert_eq!(early["kv"]["keys"], 0, "{early}");
}

#[tokio::test]
async fn addons_do_not_see_each_other() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/a")).scripted("other", &asking("/other")).set("addon.other.kv", true).start().await;
    assert_eq!(at(&host, "/a", "set value=a").await, "set");
    assert_eq!(at(&host, "/other", "get").await, "none");
    assert_eq!(at(&host, "/other", "insert value=other").await, "true");
    assert_eq!(at(&host, "/a", "get").await, "a");
    assert_eq!(at(&host, "/a", "delete").await, "true");
    assert_eq!(at(&host, "/other", "get").await, "other");
}

#[tokio::test]
async fn entries_live_as_long_as_they_are_told() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).start().await;
    assert_eq!(kv(&host, "set key=long value=1 ttl=3600000").await, "set");
    assert_eq!(kv(&host, "insert value=1 ttl=50").await, "true");
    assert_eq!(kv(&host, "increment key=n ttl=50").await, "1");
    eventually(async || kv(&host, "get").await == "none" && kv(&host, "get key=n").await == "none").await;
    assert_eq!(kv(&host, "insert value=2").await, "true");
    assert_eq!(kv(&host, "increment key=n").await, "1");
    assert_eq!(kv(&host, "get key=long").await, "1");
}

#[tokio::test]
async fn one_of_fifty_inserts() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).start().await;
    let flows = (0..50).map(|number| {
        let host = &host;
        async move { kv(host, &format!("insert value={number}")).await }
    });
    let came_to = futures_util::future::join_all(flows).await;
    assert_eq!(came_to.iter().filter(|done| *done == "true").count(), 1, "{came_to:?}");
    let winner = came_to.iter().position(|done| done == "true").expect("one");
    assert_eq!(kv(&host, "get").await, winner.to_string());
}

#[tokio::test]
async fn concurrent_increments_add_up() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).start().await;
    let mut sums = futures_util::future::join_all((0..50).map(|_| kv(&host, "increment value=2"))).await;
    sums.sort_by_key(|sum| sum.parse::<i64>().unwrap_or_default());
    assert_eq!(sums, (1..=50).map(|number| (2 * number).to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn illegal_operations_name_what_is_wrong() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).set("addon.a.max_body", 1000).start().await;
    let long = |letter: &str, count: usize| letter.repeat(count);
    for (op, came_to) in [
        ("set bucket= value=1".to_owned(), "invalid: bucket \"\"".to_owned()),
        ("set bucket=a/b value=1".to_owned(), "invalid: bucket \"a/b\"".to_owned()),
        (format!("set bucket={} value=1", long("b", 64)), "set".to_owned()),
        (format!("set bucket={} value=1", long("b", 65)), format!("invalid: bucket \"{}\"", long("b", 64))),
        ("set key= value=1".to_owned(), "invalid: key of 0 bytes, not 1 to 1024".to_owned()),
        (format!("set key={} value=1", long("k", 1024)), "set".to_owned()),
        (format!("set key={} value=1", long("k", 1025)), "invalid: key of 1025 bytes, not 1 to 1024".to_owned()),
        ("set value=1 ttl=0".to_owned(), "invalid: time to live of 0".to_owned()),
        ("set value=1 ttl=1".to_owned(), "set".to_owned()),
        ("set key=ever value=1 ttl=9223372036854775807".to_owned(), "set".to_owned()),
        ("set key=large fill=1048576".to_owned(), "set".to_owned()),
        ("set key=large fill=1048577".to_owned(), "too large: a value of 1048577 bytes, limit 1048576".to_owned()),
        ("set key=word value=word".to_owned(), "set".to_owned()),
        ("increment key=word".to_owned(), "invalid: number to increment".to_owned()),
        ("set key=most value=9223372036854775807".to_owned(), "set".to_owned()),
        ("increment key=most".to_owned(), "invalid: sum beyond 64 bits".to_owned()),
        ("get key=most".to_owned(), "9223372036854775807".to_owned()),
        ("get key=ever".to_owned(), "1".to_owned()),
    ] {
        assert_eq!(kv(&host, &op).await, came_to, "{op:.80}");
    }
}

#[tokio::test]
async fn quotas_hold_below_at_above() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).set("addon.a.kv_bytes", "64KiB").set("addon.a.kv_keys", 2).start().await;
    // 64 bytes for the entry, one each for bucket and key.
    let room = (64 << 10) - 66;
    for (bytes, came_to) in
        [(room - 1, "set".to_owned()), (room, "set".to_owned()), (room + 1, "too large: 65537 bytes, quota 65536".to_owned())]
    {
        assert_eq!(kv(&host, &format!("set fill={bytes}")).await, came_to);
    }
    assert_eq!(status(&host).await["bytes"], 65536);
    assert_eq!(kv(&host, "set value=1").await, "set");
    assert_eq!(kv(&host, "set key=2 value=1").await, "set");
    for op in ["set", "insert", "swap", "increment"] {
        assert_eq!(kv(&host, &format!("{op} key=3 value=1")).await, "too large: 3 keys, quota 2", "{op}");
    }
    assert_eq!(kv(&host, "delete key=2").await, "true");
    assert_eq!(kv(&host, "set key=3 value=1").await, "set");
    assert_eq!(status(&host).await["keys"], 2);
}

#[tokio::test]
async fn writes_stay_though_the_hook_fails() {
    let origin = RawOrigin::ok().await;
    let mut rules = asking("/ask");
    let set = json!({"kv": {"op": "set", "bucket": "b", "key": "k", "value": "kept"}});
    let rule = json!({"on": "request", "filter": "~p ^/fail", "do": [{"set": ["X-Edited", "1"]}, set, "trap"]});
    rules["rules"].as_array_mut().expect("rules").push(rule);
    let host = granted(&origin, &rules).set("addon.a.on_error", "open").start().await;
    assert_eq!(host.get("/fail").await.status, 200);
    assert!(!origin.only_request().fields.has("x-edited"));
    assert_eq!(at(&host, "/ask", "get").await, "kept");
}

#[tokio::test]
async fn a_hook_that_wrote_is_not_run_again() {
    let origin = RawOrigin::ok().await;
    for (first, kv, times) in [
        ("delete", json!({"op": "get"}), 2),
        ("delete", json!({"op": "set"}), 1),
        ("delete", json!({"op": "insert"}), 1),
        ("set", json!({"op": "insert"}), 2),
        ("delete", json!({"op": "swap", "value": "1"}), 1),
        ("set", json!({"op": "swap", "value": "1"}), 2),
        ("delete", json!({"op": "delete"}), 2),
        ("set", json!({"op": "delete"}), 1),
        ("delete", json!({"op": "increment"}), 1),
        ("delete", json!({"op": "set", "bucket": "/"}), 2),
    ] {
        let mut rules = asking("/ask");
        let mut wrote = kv.clone();
        wrote["bucket"] = kv.get("bucket").cloned().unwrap_or_else(|| json!("b"));
        wrote["key"] = json!("k");
        let rule = json!({"on": "request", "filter": "~p ^/fail", "do": [{"kv": wrote}, "trap"]});
        rules["rules"].as_array_mut().expect("rules").push(rule);
        let host = granted(&origin, &rules).set("addon.a.on_error", "retry").start().await;
        at(&host, "/ask", &format!("{first} value=7")).await;
        assert_eq!(host.get("/fail").await.status, 503, "{kv}");
        assert_eq!(host.times_logged("a hook failed"), times, "{first}, {kv}: {}", host.logs());
    }
}

#[tokio::test]
async fn who_fills_a_quota_fills_no_other() {
    let origin = RawOrigin::ok().await;
    let kv_flood = json!({"op": "set", "bucket": "b", "key": "{id}-{count}", "fill": "1000", "times": 500});
    let flood = json!({"rules": [{"on": "request", "filter": "~p ^/flood", "do": [{"kv": kv_flood}, {"respond": [200, [], "{kv:ok}"]}]}]});
    let host = granted(&origin, &asking("/a"))
        .scripted("hostile", &flood)
        .set("addon.hostile.kv", true)
        .set("addon.hostile.kv_bytes", "1MiB")
        .set("addon.hostile.cpu", "30s")
        .start()
        .await;
    let floods = futures_util::future::join_all((0..8).map(|_| host.get("/flood")));
    let others = async {
        for number in 1..=50 {
            assert_eq!(at(&host, "/a", "increment").await, number.to_string());
        }
    };
    let (floods, ()) = futures_util::future::join(floods, others).await;
    let kept: u64 = floods.iter().map(|answer| answer.text().parse::<u64>().expect("a number")).sum();
    let hostile = host.admin().status("hostile").await["kv"].clone();
    assert_eq!((&hostile["keys"], &hostile["operations"]["set"]["ok"]), (&json!(kept), &json!(kept)), "{hostile}");
    assert_eq!(hostile["operations"]["set"]["too_large"], json!(4000 - kept), "{hostile}");
    let bytes = hostile["bytes"].as_u64().expect("bytes");
    assert!((1 << 20) - 1100 < bytes && bytes <= 1 << 20, "{hostile}");
    assert_eq!(at(&host, "/a", "get").await, "50");
}

#[tokio::test]
async fn operations_are_counted() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking("/")).start().await;
    for op in ["set value=1", "get", "get", "get bucket=/", "insert value=1"] {
        kv(&host, op).await;
    }
    let shown = status(&host).await;
    let operations = json!({"get": {"ok": 2, "invalid": 1}, "insert": {"ok": 1}, "set": {"ok": 1}});
    assert_eq!(shown, json!({"operations": operations, "bytes": 67, "keys": 1}));
    let metrics = host.admin().get("/metrics").await.text();
    for line in [
        "tollgate_addon_kv_operations_total{addon=\"a\",op=\"get\",outcome=\"ok\"} 2",
        "tollgate_addon_kv_operations_total{addon=\"a\",op=\"get\",outcome=\"invalid\"} 1",
        "tollgate_addon_kv_bytes{addon=\"a\"} 67",
        "tollgate_addon_kv_keys{addon=\"a\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}
