//! Guests that trap, fail, spin, wait or take too much, and what the client and the other flows get.
#![cfg(test)]

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tollgate_tests::{
    Answer, Client, RawOrigin, Version,
    addons::{Hosted, Load},
};

/// Does this in the request hook.
fn doing(actions: &Value) -> Value {
    json!({"rules": [{"on": "request", "do": actions}]})
}

/// Name, actions, counter that counts it, and what the log says.
fn failures() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        ("trap", json!(["trap"]), "traps", "unreachable"),
        ("panic", json!([{"panic": "oh no"}]), "traps", "panicked at "),
        ("recurse", json!(["recurse"]), "traps", "stack"),
        ("take", json!([{"take": 100 << 20}]), "traps", "memory limit of 67108864"),
        ("fail", json!([{"fail": "not today"}]), "errors", "not today"),
        ("spin", json!(["spin"]), "deadlines", "cpu budget of 50ms"),
        ("wait", json!([{"wait": 60_000}]), "deadlines", "wall budget of 2s"),
        ("verdict", json!([{"respond": [99, [], ""]}]), "impossible_verdicts", "status 99"),
    ]
}

/// A proxy for each kind of failure at `/NAME`, with this policy.
async fn failing(origin: &RawOrigin, event: &str, policy: &str) -> Hosted {
    let rules: Vec<_> = failures()
        .into_iter()
        .map(|(name, actions, ..)| json!({"on": event, "filter": format!("~p ^/{name}$"), "do": actions}))
        .collect();
    Hosted::before(&origin.url())
        .scripted("a", &json!({"rules": rules}))
        .set("addon.a.on_error", policy)
        .set("addon.a.wall", "2s")
        .start()
        .await
}

#[tokio::test]
async fn failures_are_answered_503_if_closed() {
    let origin = RawOrigin::ok().await;
    let host = failing(&origin, "request", "closed").await;
    for (name, ..) in failures() {
        let answer = host.get(&format!("/{name}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (503, Some("application/json")), "{name}");
        assert_eq!(answer.json(), json!({"errcode": "M_UNKNOWN", "error": "addon a failed"}), "{name}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(host.get("/fine").await.text(), "ok");
}

#[tokio::test]
async fn failures_pass_unedited_if_open() {
    let origin = RawOrigin::ok().await;
    let host = failing(&origin, "request", "open").await;
    for (name, ..) in failures() {
        let answer = host.get(&format!("/{name}")).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"), "{name}");
    }
    assert_eq!(origin.targets(), failures().iter().map(|(name, ..)| format!("/{name}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn failed_responses_become_503_if_closed() {
    let origin = RawOrigin::ok().await;
    let host = failing(&origin, "response", "closed").await;
    for (name, ..) in failures() {
        assert_eq!(host.get(&format!("/{name}")).await.status, 503, "{name}");
    }
}

#[tokio::test]
async fn failed_responses_pass_unedited_if_open() {
    let origin = RawOrigin::ok().await;
    let host = failing(&origin, "response", "open").await;
    for (name, ..) in failures() {
        assert_eq!(host.get(&format!("/{name}")).await.text(), "ok", "{name}");
    }
}

#[tokio::test]
async fn failures_are_counted_by_kind() {
    let origin = RawOrigin::ok().await;
    let host = failing(&origin, "request", "closed").await;
    for (name, _, counter, said) in failures() {
        let before = host.admin().counter("a", counter).await;
        host.get(&format!("/{name}")).await;
        assert_eq!(host.admin().counter("a", counter).await, before + 1, "{name}");
        host.logged(said).await;
    }
    assert_eq!(host.admin().counter("a", "calls").await, failures().len() as u64);
}

#[tokio::test]
async fn panics_are_logged_with_their_message() {
    let origin = RawOrigin::ok().await;
    let host = failing(&origin, "request", "closed").await;
    host.get("/panic").await;
    host.logged("oh no").await;
    assert!(host.logs().contains("trapped: panicked at "), "{}", host.logs());
}

#[tokio::test]
async fn spinning_guests_harm_no_other_flow() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &json!({"rules": [{"on": "request", "filter": "~p ^/spin$", "do": ["spin"]}]}))
        .scripted("innocent", &json!({"rules": [{"on": "response", "do": [{"set": ["X-Seen", "1"]}]}]}))
        // Flows that are kept away would not spin.
        .set("addon.a.quarantine", "false")
        .start()
        .await;
    let load = Load::of_ok(host.address(), 4, "/fine");
    for _ in 0..10 {
        let spinning: Vec<_> = (0..4).map(|_| tokio::spawn(Client::fetch(Version::Http1, host.address(), "/spin"))).collect();
        for spin in spinning {
            assert_eq!(spin.await.expect("a flow").status, 503);
        }
    }
    load.more(20).await;
    load.stop_unharmed().await;
    assert_eq!(host.admin().counter("a", "deadlines").await, 40);
    // None of them ran to its end on a thread that serves.
    assert_eq!(host.admin().counter("a", "calls_aside").await, 40);
}

#[tokio::test]
async fn flows_go_by_while_guests_spin() {
    let origin = RawOrigin::ok().await;
    let spinning = json!({"rules": [{"on": "request", "filter": "~p ^/spin", "do": [{"log": "spins at {target}"}, "spin"]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &spinning).set("addon.a.cpu", "1m").start().await;
    // More than there are threads that serve.
    let crowd = 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let spins: Vec<_> = (0..crowd)
        .map(|number| {
            let address = host.address();
            tokio::spawn(async move { Client::fetch(Version::Http1, address, &format!("/spin{number}.")).await })
        })
        .collect();
    for number in 0..crowd {
        host.logged(&format!("spins at /spin{number}.")).await;
    }
    for version in Version::BOTH {
        for _ in 0..10 {
            assert_eq!(Client::fetch(version, host.address(), "/fine").await.status, 200);
        }
    }
    assert!(spins.iter().all(|spin| !spin.is_finished()), "flows waited for guests");
}

#[tokio::test]
async fn waiting_guests_use_no_processor() {
    let origin = RawOrigin::ok().await;
    // Waiting takes six times the budget of the processor.
    let host = Hosted::before(&origin.url()).scripted("a", &doing(&json!([{"wait": 300}]))).start().await;
    assert_eq!(host.get("/").await.text(), "ok");
}

#[tokio::test]
async fn failed_instances_are_called_no_more() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "do": ["trap"]},
        {"on": "response", "do": [{"set": ["X-Seen", "1"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.on_error", "open").start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.text().as_str(), answer.header("x-seen")), ("ok", None));
}

#[tokio::test]
async fn earlier_addons_see_the_503() {
    let origin = RawOrigin::ok().await;
    let looking = json!({"rules": [{"on": "response", "do": [{"append": ["X-Seen", "{status} {origin}"]}]}]});
    let mut failing = doing(&json!(["trap"]));
    failing["rules"].as_array_mut().expect("rules").push(looking["rules"][0].clone());
    let host =
        Hosted::before(&origin.url()).scripted("a", &looking).scripted("b", &failing).scripted("c", &looking).start().await;
    let answer = host.get("/").await;
    let seen: Vec<_> = answer.headers.get_all("x-seen").iter().filter_map(|value| value.to_str().ok()).collect();
    assert_eq!((answer.status.as_u16(), seen), (503, vec!["503 core"]));
    // The one that failed is not asked again.
    assert_eq!(host.times_logged("a hook failed"), 1);
}

#[tokio::test]
async fn memory_is_limited_as_configured() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/below$", "do": [{"take": 4 << 20}]},
        {"on": "request", "filter": "~p ^/above$", "do": [{"take": 9 << 20}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.memory", "8MiB").start().await;
    assert_eq!(host.get("/below").await.status, 200);
    assert_eq!(host.get("/above").await.status, 503);
    let peak = host.admin().counter("a", "memory_peak_bytes").await;
    assert!((4 << 20..=8 << 20).contains(&peak), "{peak}");
    assert_eq!(host.admin().status("a").await["memory_limit_bytes"], 8 << 20);
}

#[tokio::test]
async fn lines_over_the_rate_are_dropped() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &doing(&json!([{"log-flood": 5_000}])))
        .set("addon.a.cpu", "5s")
        .start()
        .await;
    assert_eq!(host.get("/").await.text(), "ok");
    // A burst of two seconds' worth, and what the flood itself lasts.
    let dropped = host.admin().counter("a", "log_lines_dropped").await;
    assert!((1..=3_000).contains(&dropped), "{dropped}");
    host.logged("more log lines than it may").await;
}

/// A proxy with room for two instances, and two flows that hold them for two seconds.
async fn crowded(origin: &RawOrigin) -> (Hosted, Vec<JoinHandle<Answer>>) {
    let host = Hosted::before(&origin.url())
        .scripted("a", &doing(&json!([{"log": "holding {target}"}, {"wait": 2_000}])))
        .set("limits.instances", 2)
        .set("addon.a.instances", 2)
        .start()
        .await;
    let held = ["/1", "/2"].map(|path| tokio::spawn(Client::fetch(Version::Http1, host.address(), path))).into();
    host.logged("holding /1").await;
    host.logged("holding /2").await;
    (host, held)
}

#[tokio::test]
async fn flows_beyond_the_instances_are_refused() {
    let origin = RawOrigin::ok().await;
    let (host, held) = crowded(&origin).await;
    assert_eq!(host.get("/3").await.status, 503);
    assert_eq!(host.admin().counter("a", "without_instance").await, 1);
    host.logged("no instance: all 2 ").await;
    for flow in held {
        assert_eq!(flow.await.expect("a flow").status, 200);
    }
    assert_eq!(host.get("/4").await.status, 200);
}

#[tokio::test]
async fn options_change_while_all_instances_are_in_use() {
    let origin = RawOrigin::ok().await;
    let (host, held) = crowded(&origin).await;
    let answer = host.admin().put_options("a", &json!({"tag": "new"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for flow in held {
        assert_eq!(flow.await.expect("a flow").status, 200);
    }
}

#[tokio::test]
async fn random_bytes_are_counted() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/below$", "do": [{"random": 65_536}]},
        {"on": "request", "filter": "~p ^/above$", "do": [{"random": 65_537}]},
        {"on": "response", "do": [{"random": 65_536}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    assert_eq!(host.get("/below").await.status, 200);
    assert_eq!(host.get("/above").await.status, 503);
    host.logged("over its budget of random bytes").await;
}
