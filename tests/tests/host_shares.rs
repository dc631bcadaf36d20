//! Whose the instances are: addons that take all they can get leave every other one its own.
#![cfg(test)]

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, guest, take_out},
    eventually,
};

/// Takes flows whose path begins with the name, and keeps its instance for as long as it may.
fn holding(name: &str) -> Value {
    json!({"rules": [{"on": "request", "filter": format!("~p ^/{name}/"), "do": [{"log": format!("{name} holds one")}, {"wait": 60_000}]}]})
}

fn quick(name: &str) -> Value {
    json!({"rules": [{"on": "request", "filter": format!("~p ^/{name}/"), "do": [{"respond": [200, [], "served"]}]}]})
}

/// So many flows through each of these addons at once, until each of them is held or refused. The flows go on in the set.
async fn flood(host: &Hosted, names: &[String], each: usize) -> JoinSet<StatusCode> {
    let mut flows = JoinSet::new();
    for name in names {
        for _ in 0..each {
            let (address, target) = (host.address(), format!("/{name}/"));
            flows.spawn(async move {
                let request = http::Request::get(target).body(tollgate_tests::empty()).expect("a request");
                let mut client = Client::connect(Version::Http1, address).await;
                let response = client.start(request).await.expect("a response");
                response.status()
            });
        }
    }
    let mut refused = 0;
    eventually(async || {
        while let Some(ended) = flows.try_join_next() {
            assert_eq!(ended.expect("a flow"), StatusCode::SERVICE_UNAVAILABLE);
            refused += 1;
        }
        host.times_logged("holds one") + refused == names.len() * each
    })
    .await;
    flows
}

#[tokio::test]
async fn greedy_addons_starve_nobody() {
    let origin = RawOrigin::ok().await;
    for (addons, all, own) in [(2, 8, 2), (5, 20, 2), (9, 18, 1)] {
        let names: Vec<String> = (1..addons).map(|number| format!("greedy-{number}")).collect();
        let builder = Hosted::before(&origin.url()).scripted("modest", &quick("modest")).set("limits.instances", all);
        let host = names.iter().fold(builder, |builder, name| builder.scripted(name, &holding(name))).start().await;
        assert_eq!(host.admin().counter("modest", "instances_reserved").await, own, "{addons}");
        let held = flood(&host, &names, all).await;
        // They have all that is not the last one's own.
        assert_eq!(held.len(), all - usize::try_from(own).expect("a few"), "{addons}");
        for _ in 0..5 {
            assert_eq!(host.get("/modest/").await.text(), "served", "{addons}");
        }
        assert_eq!(host.admin().counter("modest", "without_instance").await, 0, "{addons}");
    }
}

#[tokio::test]
async fn a_lonely_addon_has_all_instances() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("greedy", &holding("greedy")).set("limits.instances", 8).start().await;
    assert_eq!(flood(&host, &["greedy".to_owned()], 10).await.len(), 8);
}

#[tokio::test]
async fn shares_change_with_what_is_in_force() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &quick("a"))
        .options("b", &quick("b"))
        .set("limits.instances", 100)
        .set("addon.b.instances", 10)
        .start()
        .await;
    let share = async |name: &str| {
        let status = host.admin().get(&format!("/addons/{name}")).await.json();
        (status["instances_reserved"].as_u64(), status["instances_shared"].as_u64())
    };
    assert_eq!((share("a").await, share("b").await), ((Some(50), Some(50)), (Some(0), Some(50))));
    host.drop_in("b", &guest("scripted"));
    host.admin().in_force("b", &guest("scripted")).await;
    // More than its budget is nobody's own.
    assert_eq!((share("a").await, share("b").await), ((Some(25), Some(65)), (Some(10), Some(65))));
    take_out(&host.plugins(), "b");
    eventually(async || share("a").await == (Some(50), Some(50))).await;
    // One that no listener calls needs none.
    std::fs::write(host.config_path(), host.config().replacen("upstream =", "addons = []\nupstream =", 1)).expect("a file");
    host.reload().await;
    assert_eq!(share("a").await, (Some(0), Some(100)));
}

#[tokio::test]
async fn all_last_hooks_get_their_turn() {
    const FLOWS: usize = 64;
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "finish", "do": [{"wait": 2}, {"log": "finished {target}"}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &script)
        .scripted("b", &script)
        .set("limits.instances", 3)
        .set("addon.a.instances", 2)
        .start()
        .await;
    let mut flows = JoinSet::new();
    for number in 0..FLOWS {
        let address = host.address();
        flows.spawn(async move { Client::fetch(Version::Http1, address, &format!("/{number}.")).await.status });
    }
    while let Some(status) = flows.join_next().await {
        assert_eq!(status.expect("a flow"), 200);
    }
    eventually(async || (0..FLOWS).all(|number| host.times_logged(&format!("finished /{number}.")) == 2)).await;
    for name in ["a", "b"] {
        let status = host.admin().until(name, |status| status["instances_live"] == 0).await;
        assert_eq!((&status["calls"], &status["without_instance"]), (&json!(FLOWS), &json!(0)), "{name}");
    }
}
