//! Addons that keep failing, and the flows that are kept away from them.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, HostedBuilder, guest},
    eventually,
};

/// Three failures, and then for so long that no test sees the end of it.
const LONG: &str = "{ failures = 3, within = \"10m\", first = \"1h\", longest = \"1h\" }";

/// Traps at `/bad`, waits at `/slow`, and signs responses.
fn script() -> Value {
    json!({"rules": [
        {"on": "request", "filter": "~p ^/bad$", "do": ["trap"]},
        {"on": "request", "filter": "~p ^/slow$", "do": [{"log": "waiting"}, {"wait": 3_000}]},
        {"on": "request", "filter": "~p ^/endless$", "do": [{"log": "waiting"}, {"wait": 600_000}]},
        {"on": "request"},
        {"on": "response", "do": [{"set": ["X-Seen", "1"]}]},
    ]})
}

fn hosted(origin: &RawOrigin, quarantine: &str) -> HostedBuilder {
    Hosted::before(&origin.url()).scripted("a", &script()).set("addon.a.quarantine", quarantine)
}

/// So many flows fail.
async fn fail(host: &Hosted, times: usize) {
    for _ in 0..times {
        assert_eq!(host.get("/bad").await.json()["error"], "addon a failed");
    }
}

async fn quarantine(host: &Hosted) -> Value {
    host.admin().status("a").await["quarantine"].clone()
}

/// What of the metrics is about quarantines: is there one, how many, how many flows.
async fn counted(host: &Hosted) -> Vec<String> {
    let metrics = host.admin().get("/metrics").await.text();
    let names = ["addon_quarantined", "addon_quarantines_total", "addon_refused_in_quarantine_total"];
    let value = |name: &str| {
        let start = format!("tollgate_{name}{{addon=\"a\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or("none").to_owned()
    };
    names.map(value).into()
}

#[tokio::test]
async fn failing_addons_are_quarantined() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, LONG).start().await;
    fail(&host, 2).await;
    assert_eq!(quarantine(&host).await, json!({"state": "none", "seconds_left": null, "failures": 2, "times": 0}));
    assert_eq!(counted(&host).await, ["0", "0", "0"]);
    fail(&host, 1).await;
    let refused = host.get("/good").await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (503, Some("application/json")));
    assert_eq!(refused.json(), json!({"errcode": "M_UNKNOWN", "error": "addon a is quarantined"}));
    assert_eq!((origin.connections(), host.admin().counter("a", "calls").await), (0, 3));
    let status = quarantine(&host).await;
    assert_eq!((&status["state"], &status["times"]), (&json!("quarantined"), &json!(1)));
    assert!(status["seconds_left"].as_f64().is_some_and(|seconds| seconds > 3_000.0 && seconds <= 3_600.0), "{status}");
    assert_eq!(counted(&host).await, ["1", "1", "1"]);
    host.logged("addon quarantined: it keeps failing").await;
    // A line for the whole quarantine, not for each flow.
    assert_eq!(host.times_logged("a hook failed"), 3);
}

#[tokio::test]
async fn health_tells_of_quarantines() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, LONG).start().await;
    let ready = host.admin().get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["addons"]["quarantined"]), (200, &json!([])));
    fail(&host, 3).await;
    let ready = host.admin().get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["addons"]["quarantined"]), (200, &json!(["a"])));
}

#[tokio::test]
async fn answers_in_quarantine_are_as_configured() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, LONG).set("addon.a.error_body", "sorry").set("addon.a.error_status", 500).start().await;
    for _ in 0..4 {
        let answer = host.get("/bad").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (500, "sorry"));
    }
    assert_eq!(host.admin().counter("a", "refused_in_quarantine").await, 1);
}

#[tokio::test]
async fn open_addons_in_quarantine_are_passed() {
    let origin = RawOrigin::ok().await;
    let mut script = script();
    script["rules"].as_array_mut().expect("rules").push(json!({"on": "finish", "do": [{"log": "finished {target}"}]}));
    let host = Hosted::before(&origin.url())
        .scripted("a", &script)
        .set("addon.a.on_error", "open")
        .set("addon.a.quarantine", LONG)
        .start()
        .await;
    for flow in 1..=3 {
        assert_eq!(host.get("/bad").await.text(), "ok");
        // The end of the first two is told before there is a quarantine.
        eventually(async || flow == 3 || host.times_logged("finished /bad") == flow).await;
    }
    let answer = host.get("/good").await;
    assert_eq!((answer.text().as_str(), answer.header("x-seen")), ("ok", None));
    // The third flow and this one end without a word to the addon.
    eventually(async || host.times_logged("hook.event=finish error=quarantined") == 2).await;
    assert!(!host.logs().contains("finished /good"), "{}", host.logs());
    assert_eq!(host.admin().counter("a", "refused_in_quarantine").await, 1);
}

#[tokio::test]
async fn last_hooks_count_as_failures() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &json!({"rules": [{"on": "finish", "do": ["trap"]}]}))
        .set("addon.a.quarantine", LONG)
        .start()
        .await;
    for flow in 1..=3 {
        assert_eq!(host.get("/").await.status, 200);
        eventually(async || host.admin().counter("a", "traps").await == flow).await;
    }
    assert_eq!(quarantine(&host).await["state"], "quarantined");
    // Nothing is left of such a flow that could be refused.
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn few_failures_among_many_flows_do_no_harm() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, LONG).start().await;
    for _ in 0..4 {
        fail(&host, 1).await;
        for _ in 0..3 {
            assert_eq!(host.get("/good").await.header("x-seen"), Some("1"));
        }
    }
    assert_eq!(quarantine(&host).await["state"], "none");
}

#[tokio::test]
async fn flows_that_live_are_left_alone() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, LONG).start().await;
    let slow = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/slow"));
    host.logged("waiting").await;
    fail(&host, 3).await;
    assert_eq!(host.get("/good").await.status, 503);
    let answer = slow.await.expect("a flow");
    assert_eq!((answer.text().as_str(), answer.header("x-seen")), ("ok", Some("1")));
}

#[tokio::test]
async fn a_good_probe_ends_it() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, "{ failures = 3, first = \"1ms\" }").start().await;
    fail(&host, 3).await;
    eventually(async || host.get("/good").await.status == 200).await;
    assert_eq!(quarantine(&host).await, json!({"state": "none", "seconds_left": null, "failures": 0, "times": 1}));
    assert_eq!(counted(&host).await[..2], ["0", "1"]);
    host.logged("the quarantine is over").await;
    assert_eq!(host.get("/good").await.header("x-seen"), Some("1"));
}

#[tokio::test]
async fn one_soon_after_another_lasts_longer() {
    let origin = RawOrigin::ok().await;
    let rule = "{ failures = 3, within = \"1h\", first = \"100ms\", longest = \"400ms\" }";
    let host = hosted(&origin, rule).start().await;
    for (round, seconds) in ["0.1", "0.2", "0.4", "0.4"].into_iter().enumerate() {
        fail(&host, 3).await;
        let begun = || host.logs().lines().filter(|line| line.contains("addon quarantined: it keeps failing")).count();
        eventually(async || begun() == round + 1).await;
        let logs = host.logs();
        let last = logs.lines().rfind(|line| line.contains("addon quarantined: it keeps failing")).expect("a line");
        assert!(last.contains(&format!(" seconds={seconds} ")), "{last}");
        // The probe ends it, so that the next one is one of its own.
        eventually(async || host.get("/good").await.status == 200).await;
    }
    assert_eq!(quarantine(&host).await["times"], 4);
}

#[tokio::test]
async fn a_bad_probe_makes_it_last() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, "{ failures = 3, first = \"100ms\", longest = \"1h\" }").start().await;
    fail(&host, 3).await;
    for seconds in ["0.1", "0.2", "0.4"] {
        host.logged(&format!(" seconds={seconds}")).await;
        let traps = host.admin().counter("a", "traps").await;
        eventually(async || {
            host.get("/bad").await;
            host.admin().counter("a", "traps").await > traps
        })
        .await;
    }
    host.logged(" seconds=0.8").await;
    assert_eq!(quarantine(&host).await["times"], 1);
    assert_eq!(host.times_logged("the addon stays quarantined"), 3, "{}", host.logs());
}

#[tokio::test]
async fn one_flow_at_a_time_is_let_through() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, "{ failures = 3, first = \"500ms\" }").start().await;
    fail(&host, 3).await;
    host.admin().until("a", |status| status["quarantine"]["seconds_left"] == 0.0).await;
    let probe = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/slow"));
    host.logged("waiting").await;
    assert_eq!(quarantine(&host).await["state"], "probing");
    for _ in 0..10 {
        assert_eq!(host.get("/good").await.json()["error"], "addon a is quarantined");
    }
    assert_eq!(probe.await.expect("a flow").status, 200);
    assert_eq!(host.get("/good").await.status, 200);
}

#[tokio::test]
async fn endless_probes_end() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, "{ failures = 3, first = \"100ms\", longest = \"1h\" }").set("addon.a.wall", "1s").start().await;
    fail(&host, 3).await;
    host.admin().until("a", |status| status["quarantine"]["seconds_left"] == 0.0).await;
    // Even if nobody waits for it any more.
    let probe = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/endless"));
    host.logged("waiting").await;
    probe.abort();
    host.logged("the addon stays quarantined").await;
    eventually(async || host.get("/good").await.status == 200).await;
}

#[tokio::test]
async fn new_generations_begin_anew() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, LONG).start().await;
    let mut changed = script();
    changed["tag"] = json!("new");
    for options in [None, Some(changed)] {
        fail(&host, 3).await;
        assert_eq!(host.get("/good").await.status, 503);
        let answer = match &options {
            None => host.admin().reload("a").await,
            Some(options) => host.admin().put_options("a", options).await,
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(host.get("/good").await.status, 200, "{options:?}");
    }
    assert_eq!(quarantine(&host).await["times"], 2);
}

#[tokio::test]
async fn crowds_are_nobodys_fault() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, "{ failures = 1, first = \"1h\", longest = \"1h\" }").set("limits.instances", 1).start().await;
    let held = tokio::spawn(Client::fetch(Version::Http1, host.address(), "/slow"));
    host.logged("waiting").await;
    for _ in 0..3 {
        assert_eq!(host.get("/good").await.json()["error"], "addon a failed");
    }
    assert_eq!(held.await.expect("a flow").status, 200);
    assert_eq!((host.get("/good").await.status.as_u16(), quarantine(&host).await["state"].as_str()), (200, Some("none")));
}

#[tokio::test]
async fn quarantine_can_be_off() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, "false").start().await;
    fail(&host, 30).await;
    assert_eq!(host.get("/good").await.status, 200);
}

#[tokio::test]
async fn twenty_failures_are_enough_by_default() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &json!({"rules": [{"on": "request", "do": ["trap"]}]}))
        .unknown("b", &guest("scripted"))
        // The default but for its end, which a slow machine might see.
        .set("addon.a.quarantine.first", "1h")
        .set("addon.a.quarantine.within", "10m")
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(host.get("/").await.json()["error"], "addon a failed");
    }
    assert_eq!(host.get("/").await.json()["error"], "addon a is quarantined");
    assert_eq!(host.admin().status("b").await["quarantine"]["state"], "none");
}
