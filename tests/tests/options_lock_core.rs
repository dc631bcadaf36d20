//! Options of the core for the time of a lock: what they do to flows, and that a changed configuration waits.
#![cfg(test)]

use std::fs;

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{CallbackServer, Hosted},
};

#[tokio::test]
async fn they_do_what_they_say_until_the_unlock() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    let callback = json!({"callback_request_url": server.at("/request")});
    let id = host.controller().lock(&json!({"body_size_limit": "1k", "callback": callback})).await;
    // Too large for the options: nobody is asked about it.
    assert_eq!(host.post("/large", vec![b'x'; 5000]).await.status, 413);
    assert_eq!((server.calls().len(), origin.requests().len()), (0, 0));
    for (bytes, status) in [(1023, 200), (1024, 200), (1025, 413)] {
        assert_eq!(host.post("/edge", vec![b'x'; bytes]).await.status, status, "{bytes}");
    }
    assert_eq!(server.calls().len(), 2);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(host.post("/large", vec![b'x'; 5000]).await.text(), "ok");
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn what_is_configured_waits_where_it_is_locked() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).with_controller().start().await;
    let value = async |name: &str| host.controller().option(name).await["value"].clone();
    let id = host.controller().lock(&json!({"body_size_limit": "1k"})).await;
    fs::write(host.config_path(), host.config() + "\n[options]\nbody_size_limit = \"2k\"\nanticomp = true\n").expect("a file");
    host.reload().await;
    assert_eq!((value("body_size_limit").await, value("anticomp").await), (json!("1k"), json!(true)));
    assert_eq!(host.post("/", vec![b'x'; 1500]).await.status, 413);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(value("body_size_limit").await, json!("2k"));
    for (bytes, status) in [(1500, 200), (2500, 413)] {
        assert_eq!(host.post("/", vec![b'x'; bytes]).await.status, status, "{bytes}");
    }
    assert_eq!(value("allow_hosts").await, json!([]));
}

#[tokio::test]
async fn options_that_exclude_each_other_are_refused_together() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).with_controller().start().await;
    let id = host.controller().lock(&json!({"allow_hosts": ["a"]})).await;
    let put = async |body: &Value| host.controller().send("PUT", "/options", "", &body.to_string()).await;
    assert_eq!(put(&json!({"ignore_hosts": ["b"]})).await.status, 400);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(put(&json!({"ignore_hosts": ["b"]})).await.status, 200);
    let id = host.controller().lock(&json!({"ignore_hosts": [], "allow_hosts": ["a"]})).await;
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    let id = host.controller().lock(&json!({"ignore_hosts": []})).await;
    // It would not go with what comes back.
    assert_eq!(put(&json!({"allow_hosts": ["a"]})).await.status, 400);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(host.controller().option("ignore_hosts").await["value"], json!(["b"]));
}
