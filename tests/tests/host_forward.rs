//! Addons on forward listeners: what they are told, and that the lists hold whatever they do.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Echo, Port, RawClient, RawOrigin, Response,
    addons::{Hosted, HostedBuilder},
    eventually,
};

/// Before this origin by a reverse listener, and with a forward listener.
fn before(origin: &str, script: &Value) -> HostedBuilder {
    Hosted::before(origin).scripted("a", script).with(|builder| builder.forward("forward"))
}

async fn ask(host: &Hosted, url: &str) -> Response {
    let request = format!("GET {url} HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n");
    RawClient::ask(host.address_of("forward"), request).await
}

#[tokio::test]
async fn addons_are_told_where_a_flow_goes() {
    let origin = Echo::http1().await;
    let told = "{listener} {upstream} {authority} {sent:host} {target} {tls}";
    let script = json!({"rules": [
        {"on": "request", "filter": "~u ^http://127", "do": [{"set": ["X-Told", told]}]},
        {"on": "response", "do": [{"set": ["X-Seen", "yes"]}]},
    ]});
    let host = before(&origin.url(), &script).start().await;
    let answer = ask(&host, &format!("{}/a?b", origin.url())).await;
    let at = origin.address();
    let echoed = answer.json();
    let header = |name: &str| {
        echoed["headers"].as_array().into_iter().flatten().find(|field| field[0] == name).map(|field| field[1].clone())
    };
    assert_eq!(header("x-told"), Some(json!(format!("forward http://{at} {at} {at} /a?b false"))), "{echoed:#}");
    assert_eq!(header("x-forwarded-for"), None);
    assert_eq!(answer.fields.get("x-seen"), Some("yes"));
}

#[tokio::test]
async fn listeners_that_share_an_addon_are_told_apart() {
    let (hs1, hs2) = (RawOrigin::ok().await, RawOrigin::ok().await);
    let respond = |name: &str| json!({"on": "request", "filter": format!("~l {name}"), "do": [{"respond": [200, [], name]}]});
    let script = json!({"rules": [respond("hs2"), respond("forward")]});
    let host = before(&hs1.url(), &script).with(|builder| builder.listener("hs2", &hs2.url())).start().await;
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(RawClient::ask(host.address(), plain).await.text(), "ok");
    assert_eq!(RawClient::ask(host.address_of("hs2"), plain).await.text(), "hs2");
    assert_eq!(ask(&host, &hs1.url()).await.text(), "forward");
    assert_eq!((hs1.connections(), hs2.connections()), (1, 0));
}

#[tokio::test]
async fn addons_answer_for_targets_that_are_not_there() {
    let script = json!({"rules": [
        {"on": "request", "filter": "~p ^/early", "do": [{"respond": [200, [], "early"]}]},
        {"on": "upstream-error", "do": [{"respond": [200, [], "instead"]}]},
    ]});
    let nobody = Port::reserve();
    let host = before(&nobody.url(), &script).start().await;
    assert_eq!(ask(&host, "http://nowhere.invalid/early").await.text(), "early");
    assert_eq!(ask(&host, "http://nowhere.invalid/late").await.text(), "instead");
    assert_eq!(ask(&host, &format!("{}/late", nobody.url())).await.text(), "instead");
}

#[tokio::test]
async fn no_hook_decides_about_what_the_lists_deny() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [
        {"on": "upstream-error", "do": [{"respond": [200, [], "instead"]}]},
        {"on": "response", "do": [{"set-status": 200}]},
    ]});
    let denied = "[\"127.0.0.1\", \"denied.test\"]";
    let host = before(&origin.url(), &script).set("listener.forward.targets.deny", denied).start().await;
    let port = origin.address().port();
    for url in [origin.url(), format!("http://localhost:{port}"), "http://denied.test".to_owned()] {
        let answer = ask(&host, &url).await;
        assert_eq!((answer.status, answer.json()["errcode"].as_str()), (403, Some("M_FORBIDDEN")), "{url}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn lists_hold_after_a_way_round() {
    let origin = RawOrigin::ok().await;
    let port = origin.address().port();
    let url = format!("http://localhost:{port}");
    // Away and back again.
    let nobody = Port::reserve();
    let script = json!({"rules": [{"on": "request", "do": [{"set-upstream": nobody.url()}, {"set-upstream": url}]}]});
    let allowed = before(&origin.url(), &script).start().await;
    assert_eq!(ask(&allowed, &url).await.text(), "ok");
    let host = before(&origin.url(), &script).set("listener.forward.targets.deny", "[\"127.0.0.1\"]").start().await;
    assert_eq!(ask(&host, &url).await.status, 403);
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn addons_need_grants_for_what_clients_choose() {
    let (origin, other) = (RawOrigin::ok().await, RawOrigin::ok().await);
    let fetch = json!({"rules": [{"on": "request", "do": [
        {"fetch": {"url": format!("{}/own", other.url())}}, {"respond": [200, [], "{fetched}"]},
    ]}]});
    for (granted, is_granted) in [("[]", false), ("[\"private\"]", true)] {
        let host = before(&origin.url(), &fetch).set("addon.a.http", granted).start().await;
        // The target of this flow, but nobody who configures has named it.
        let text = ask(&host, &other.url()).await.text();
        assert_eq!(!text.contains("denied"), is_granted, "{text}");
    }
    assert_eq!(other.requests().len(), 1);
    // By the same addon, what the configuration names needs none.
    let own = json!({"rules": [{"on": "request", "do": [
        {"fetch": {"url": format!("{}/own", origin.url())}}, {"respond": [200, [], "{fetched}"]},
    ]}]});
    let host = before(&origin.url(), &own).start().await;
    assert!(!host.get("/").await.text().contains("denied"));
}

#[tokio::test]
async fn addons_send_flows_elsewhere_with_a_grant() {
    let (origin, other) = (RawOrigin::ok().await, Echo::http1().await);
    let script = json!({"rules": [{"on": "request", "do": [{"set-upstream": other.url()}]}]});
    let deny = format!("[\"{}\"]", other.address());
    let host = before(&origin.url(), &script).set("listener.forward.targets.deny", &deny).start().await;
    // The lists are about what clients choose.
    assert_eq!(ask(&host, &format!("{}/sent", origin.url())).await.json()["target"], "/sent");
    assert_eq!(ask(&host, &other.url()).await.status, 403);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn tunnels_pass_addons_unseen() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [
        {"on": "request", "do": [{"respond": [418, [], ""]}]}, {"on": "response"}, {"on": "finish"},
    ]});
    let host = before(&origin.url(), &script).set("listener.forward.targets.connect_ports", "any").start().await;
    let mut client = RawClient::connect(host.address_of("forward")).await;
    client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address())).await;
    assert_eq!(client.response_head().await.status, 200);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "ok");
    drop(client);
    eventually(async || host.admin().get("/flows").await.json()["flows"][0]["method"] == "CONNECT").await;
    assert_eq!(host.admin().counter("a", "calls").await, 0);
}
