//! Where addons may send flows.
#![cfg(test)]

use serde_json::json;
use tollgate_tests::{
    Echo, RawOrigin,
    addons::{Hosted, guest},
};

/// Sends every flow to `url`, and says how that edit ended.
fn sending(url: &str) -> serde_json::Value {
    json!({"rules": [
        {"on": "request", "do": [{"try": {"set-upstream": url}}, {"note": ["tried", "{tried}"]}]},
        {"on": "response", "do": [{"set": ["X-Tried", "{note:tried}"]}]},
    ]})
}

async fn host(origin: &RawOrigin, url: &str, granted: &str) -> Hosted {
    let host = Hosted::before(&origin.url()).guest("a", &guest("scripted"), &sending(url));
    host.set("addon.a.upstreams", granted).start().await
}

#[tokio::test]
async fn flows_go_where_the_configuration_grants_it() {
    let (origin, other) = (RawOrigin::ok().await, Echo::http1().await);
    let port = other.url().rsplit(':').next().expect("a port").to_owned();
    let (named, at) = (format!("[\"127.0.0.1:{port}\"]"), other.url());
    for (granted, is_granted) in [
        ("[]", false),
        ("[\"*\"]", false),
        ("[\"127.0.0.1:1\"]", false),
        ("[\"localhost\"]", false),
        ("[\"private\"]", true),
        (&named, true),
    ] {
        let host = host(&origin, &at, granted).await;
        let answer = host.get("/there").await;
        let (tried, is_there) = (answer.header("x-tried").expect("a field").to_owned(), answer.text() != "ok");
        assert_eq!((tried == "done", is_there), (is_granted, is_granted), "{granted}: {tried}");
        assert!(is_granted || tried.contains("which is not granted (upstreams)"), "{granted}: {tried}");
    }
}

#[tokio::test]
async fn the_configured_upstream_is_always_granted() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin, &origin.url(), "[]").await;
    let answer = host.get("/").await;
    assert_eq!((answer.text().as_str(), answer.header("x-tried")), ("ok", Some("done")));
}

#[tokio::test]
async fn names_are_asked_again_by_address() {
    let (origin, other) = (RawOrigin::ok().await, Echo::http1().await);
    let by_name = other.url().replace("127.0.0.1", "localhost");
    // A public name that leads inside.
    let host = host(&origin, &by_name, "[\"*\"]").await;
    assert_eq!(host.get("/").await.status, 502);
    assert_eq!(other.requests(), 0);
}

#[tokio::test]
async fn no_flow_is_sent_to_the_admin_listener() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "request", "do": [
        {"set-upstream": "http://{header:x-admin}"}, {"set-method": "PUT"}, {"set-target": "/addons/a/options"},
    ]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &json!({})).start().await;
    let admin = (*host).admin().to_string();
    let text = script.to_string().replace("{header:x-admin}", &admin);
    host.admin().put_options("a", &serde_json::from_str(&text).expect("JSON")).await;
    let answer = host.post("/", "{\"rules\":[]}").await;
    assert_eq!(answer.status, 502);
    assert_eq!(host.post("/", "{}").await.status, 502, "the options were changed");
}
