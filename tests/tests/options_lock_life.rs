//! What a lock holds stays, and what it changed comes back, whatever happens in between.
#![cfg(test)]

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use http::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::{
    Client, RawClient, RawOrigin, Version,
    addons::{CallbackServer, Controller, Hosted, Reply, Shelf, guest, rebuilt, take_out, versioned},
    empty, eventually,
};

/// The scripted addon `a` with the options `file` in its file.
async fn host(origin: &RawOrigin) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &versioned("file")).with_controller().start().await
}

async fn tag(host: &Hosted) -> String {
    host.answered().await.split(' ').next().unwrap_or_default().to_owned()
}

async fn lock(host: &Hosted, tag: &str) -> String {
    host.controller().lock(&json!({"a": versioned(tag)})).await
}

/// Unlocks: everything must come back.
async fn unlock(host: &Hosted, id: &str) {
    let answer = host.controller().unlock(id).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}\n"));
    assert_eq!(host.controller().get("/options/lock").await.status, 404);
}

/// The document in force and where it is from, byte for byte.
async fn document(host: &Hosted) -> (String, Value) {
    let answer = host.admin().get("/addons/a/options").await;
    (answer.text(), host.admin().status("a").await["options"]["source"].clone())
}

#[tokio::test]
async fn documents_come_back_byte_for_byte() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    // In an order of its own.
    let put = r#"{"tag": "put", "rules": [], "copies": 1, "configure": [], "table": 3}"#;
    for is_put in [false, true] {
        if is_put {
            let answer = host.admin().send(http::Method::PUT, "/addons/a/options", put).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let before = document(&host).await;
        let id = lock(&host, "locked").await;
        let (_, source) = document(&host).await;
        assert_eq!((tag(&host).await.as_str(), source), ("locked", json!("lock")));
        unlock(&host, &id).await;
        assert_eq!(document(&host).await, before);
    }
}

#[tokio::test]
async fn reloads_change_nothing() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    for base in ["file", "put"] {
        if base == "put" {
            host.admin().put_options("a", &versioned("put")).await;
        }
        let before = document(&host).await;
        let id = lock(&host, "locked").await;
        assert_eq!(host.admin().reload("a").await.status, 200);
        let new = rebuilt(if base == "put" { 1 } else { 2 });
        host.drop_in("a", &new);
        host.admin().in_force("a", &new).await;
        assert_eq!(tag(&host).await, "locked");
        unlock(&host, &id).await;
        assert_eq!((tag(&host).await.as_str(), document(&host).await), (base, before));
    }
}

#[tokio::test]
async fn what_is_gone_and_back_is_still_locked() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    for base in ["file", "put"] {
        if base == "put" {
            host.admin().put_options("a", &versioned("put")).await;
        }
        let before = document(&host).await;
        let id = lock(&host, "locked").await;
        take_out(&host.plugins(), "a");
        eventually(async || host.answered().await == "nobody").await;
        host.drop_in("a", &guest("scripted"));
        eventually(async || tag(&host).await == "locked").await;
        unlock(&host, &id).await;
        assert_eq!((tag(&host).await.as_str(), document(&host).await), (base, before));
    }
}

#[tokio::test]
async fn an_addon_that_is_gone_does_not_keep_the_lock() {
    let origin = RawOrigin::ok().await;
    let host =
        Hosted::before(&origin.url()).scripted("a", &versioned("file")).scripted("b", &json!({})).with_controller().start().await;
    let id = host.controller().lock(&json!({"a": versioned("locked"), "b": {}, "anticache": true})).await;
    take_out(&host.plugins(), "a");
    eventually(async || host.answered().await == "nobody").await;
    let answer = host.controller().unlock(&id).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"not_restored": {"a": "the addon is gone"}})));
    assert_eq!(host.controller().get("/options/lock").await.status, 404);
    assert_eq!(host.controller().option("anticache").await["value"], json!(false));
    // Back, it is as it would be without any lock.
    host.drop_in("a", &guest("scripted"));
    eventually(async || tag(&host).await == "file").await;
    let id = lock(&host, "again").await;
    unlock(&host, &id).await;
    assert_eq!(tag(&host).await, "file");
}

#[tokio::test]
async fn changes_of_its_file_wait_for_the_unlock() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &versioned("file"))
        .scripted("b", &versioned("file"))
        .set("listener.main.addons", "[\"a\"]")
        .with_controller()
        .start()
        .await;
    for base in ["file", "put"] {
        if base == "put" {
            host.admin().put_options("a", &versioned("put")).await;
        }
        let id = lock(&host, "locked").await;
        let generation = host.admin().status("a").await["generation"].clone();
        host.write_options("a", &versioned("new"));
        // The one that is written later is seen by now: so is the first.
        host.write_options("b", &versioned(base));
        let sha256 = |status: &Value| status["options"]["sha256"].clone();
        let before = sha256(&host.admin().status("b").await);
        if base == "put" {
            host.admin().until("b", |status| sha256(status) != before).await;
        }
        assert_eq!(tag(&host).await, "locked");
        assert_eq!(host.admin().status("a").await["generation"], generation);
        unlock(&host, &id).await;
        eventually(async || tag(&host).await == "new").await;
        assert_eq!(document(&host).await.1, json!("file"));
        host.write_options("a", &versioned("file"));
        eventually(async || tag(&host).await == "file").await;
    }
}

#[tokio::test]
async fn a_file_that_broke_meanwhile_leaves_what_was() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    for base in ["file", "put"] {
        if base == "put" {
            host.admin().put_options("a", &versioned("put")).await;
        }
        let before = document(&host).await;
        let id = lock(&host, "locked").await;
        let good = fs::read(host.options_file("a")).expect("a file");
        fs::write(host.options_file("a"), "{").expect("a file");
        unlock(&host, &id).await;
        assert_eq!((tag(&host).await.as_str(), document(&host).await), (base, before));
        host.admin().until("a", |status| status["error"].as_str().is_some_and(|error| error.contains("not JSON"))).await;
        assert_eq!(tag(&host).await, base);
        fs::write(host.options_file("a"), good).expect("a file");
        eventually(async || tag(&host).await == "file").await;
    }
}

#[tokio::test]
async fn what_is_locked_cannot_be_put() {
    let origin = RawOrigin::ok().await;
    let host =
        Hosted::before(&origin.url()).scripted("a", &versioned("file")).scripted("b", &json!({})).with_controller().start().await;
    let id = host.controller().lock(&json!({"a": versioned("locked"), "anticache": true})).await;
    let answer = host.admin().put_options("a", &versioned("put")).await;
    assert_eq!(answer.status, 409);
    assert!(answer.json()["error"].as_str().is_some_and(|error| error.contains("locked")), "{}", answer.text());
    assert_eq!(tag(&host).await, "locked");
    assert_eq!(host.admin().put_options("b", &json!({"tag": "x"})).await.status, 200);
    let put = async |body: &Value| host.controller().send("PUT", "/options", "", &body.to_string()).await;
    let answer = put(&json!({"anticache": false, "body_size_limit": "1k"})).await;
    assert_eq!((answer.status, answer.text().contains("anticache")), (409, true), "{}", answer.text());
    assert_eq!(host.controller().option("body_size_limit").await["value"], Value::Null);
    assert_eq!(put(&json!({"body_size_limit": "2k"})).await.status, 200);
    unlock(&host, &id).await;
    assert_eq!(tag(&host).await, "file");
    // What was put and not locked stays.
    assert_eq!(host.controller().option("body_size_limit").await["value"], json!("2k"));
    assert_eq!(host.controller().option("anticache").await["value"], json!(false));
    assert_eq!(host.admin().status("b").await["options"]["source"], json!("put"));
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
}

#[tokio::test]
async fn a_reload_of_the_configuration_keeps_the_lock() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let id = host.controller().lock(&json!({"a": versioned("locked"), "anticache": true})).await;
    // Other budgets are a load of their own; other options wait.
    let config = host.config();
    let file = host.options_file("a");
    let inline =
        config.replace(&format!("options_file = \"{}\"", file.display()), "cpu = \"60ms\"\noptions = {tag = \"inline\"}");
    assert_ne!(config, inline);
    fs::write(host.config_path(), inline).expect("a file");
    host.reload().await;
    assert_eq!(host.admin().status("a").await["limits"]["cpu"], json!("60ms"));
    assert_eq!(tag(&host).await, "locked");
    let holder = host.controller().get("/options/lock").await;
    assert_eq!((holder.status, &holder.json()["options"]), (200, &json!(["a", "anticache"])));
    assert_eq!(host.controller().option("anticache").await["value"], json!(true));
    unlock(&host, &id).await;
    let status = host.admin().status("a").await;
    assert_eq!((&status["options"]["source"], &status["limits"]["cpu"]), (&json!("inline"), &json!("60ms")));
    assert_eq!(host.answered().await, "nobody");
    assert_eq!(host.controller().option("anticache").await["value"], json!(false));
}

#[tokio::test]
async fn new_addons_may_come_meanwhile() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let id = lock(&host, "locked").await;
    host.drop_in("later", &guest("scripted"));
    host.admin().in_force("later", &guest("scripted")).await;
    assert_eq!(host.admin().put_options("later", &json!({"tag": "put"})).await.status, 200);
    assert_eq!(tag(&host).await, "locked");
    assert_eq!(host.controller().option("later").await["locked"], json!(false));
    unlock(&host, &id).await;
    assert_eq!(tag(&host).await, "file");
    assert_eq!(host.admin().status("later").await["options"]["source"], json!("put"));
}

#[tokio::test]
async fn new_code_comes_back_with_the_old_options() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    host.admin().put_options("a", &versioned("put")).await;
    let id = lock(&host, "locked").await;
    let new = rebuilt(1);
    host.drop_in("a", &new);
    host.admin().in_force("a", &new).await;
    unlock(&host, &id).await;
    let status = host.admin().status("a").await;
    assert_eq!((tag(&host).await.as_str(), &status["options"]["source"]), ("put", &json!("put")));
    assert_eq!(status["sha256"], json!(tollgate_tests::addons::sha256(&new)));
    assert_eq!(status["error"], Value::Null);
}

#[tokio::test]
async fn a_servers_options_wait_for_the_unlock() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("0")).await);
    let host = shelf.before(&origin.url(), "").with_controller().start().await;
    for round in 0..3 {
        let (before, after) = (round.to_string(), (round + 1).to_string());
        assert_eq!(tag(&host).await, before);
        if round == 1 {
            host.admin().put_options("a", &versioned("put")).await;
        }
        let id = lock(&host, "locked").await;
        let generation = host.admin().status("a").await["generation"].clone();
        shelf.put(versioned(&after));
        // The second of these was sent after an answer with the new document was dealt with.
        shelf.asked(3).await;
        assert_eq!((tag(&host).await.as_str(), &host.admin().status("a").await["generation"]), ("locked", &generation));
        if round == 2 {
            assert_eq!(host.admin().reload("a").await.status, 200);
            assert_eq!(tag(&host).await, "locked");
        }
        unlock(&host, &id).await;
        assert_eq!((tag(&host).await, document(&host).await.1), (after, json!("url")));
    }
    // What was put and what the server still has stay as they were.
    host.admin().put_options("a", &versioned("put")).await;
    let (id, before) = (lock(&host, "locked").await, "put");
    shelf.asked(2).await;
    unlock(&host, &id).await;
    assert_eq!((tag(&host).await.as_str(), document(&host).await.1), (before, json!("put")));
}

#[tokio::test]
async fn callbacks_that_are_pending_are_answered() {
    let origin = RawOrigin::ok().await;
    let stub = json!({"respond_status_code": 418, "respond_body": {"x": 1}});
    let server = CallbackServer::start(move |_| Reply::json(&stub).held()).await;
    let host = Hosted::with_callback(&origin.url()).start().await;
    let id = host.controller().lock(&json!({"callback": {"callback_request_url": server.at("/request")}})).await;
    let mut client = Client::connect(Version::Http1, host.address()).await;
    let flow = tokio::spawn(client.start(Request::get("/held").body(empty()).expect("a request")));
    eventually(async || server.calls().len() == 1).await;
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(host.get("/after").await.text(), "ok");
    let id = host.controller().lock(&json!({"callback": {}})).await;
    assert!(!flow.is_finished());
    server.release();
    assert_eq!(flow.await.expect("a flow").expect("a response").status(), 418);
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!((server.calls().len(), origin.targets()), (1, vec!["/after".to_owned()]));
}

#[tokio::test]
async fn a_hundred_racers_have_it_one_at_a_time() {
    const RACERS: usize = 100;
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    host.admin().put_options("a", &versioned("before")).await;
    let (before, ways) = (document(&host).await, [host.controller(), Controller::at(host.address_of("admin"))]);
    let (inside, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (address, mut racers) = (host.address(), JoinSet::new());
    for racer in 0..RACERS {
        let (way, inside, held) = (ways[racer % 2], Arc::clone(&inside), Arc::clone(&held));
        racers.spawn(async move {
            let own = racer.to_string();
            let body = json!({"options": {"a": versioned(&own), "anticache": racer % 3 == 0}, "owner": own});
            let answer = loop {
                let answer = way.try_lock(&body).await;
                if answer.status == 200 {
                    break answer;
                }
                assert_eq!((answer.status, answer.text().as_str()), (400, "options already locked, did you forget to unlock?"));
                assert_eq!(way.unlock("0123456789abcdef").await.status, 400);
            };
            assert!(!inside.swap(true, SeqCst), "{racer} is not alone");
            let flow = Client::fetch(Version::Http1, address, "/").await;
            assert_eq!(flow.header("x-answered").and_then(|seen| seen.split(' ').next()), Some(own.as_str()));
            held.fetch_add(1, SeqCst);
            assert!(inside.swap(false, SeqCst));
            let id = answer.json()["reset_id"].as_str().expect("an id").to_owned();
            assert_eq!(way.unlock(&id).await.text(), "{}\n");
            id
        });
    }
    let ids: BTreeSet<String> = racers.join_all().await.into_iter().collect();
    assert_eq!((ids.len(), held.load(SeqCst)), (RACERS, RACERS));
    assert_eq!((document(&host).await, tag(&host).await.as_str()), (before, "before"));
    assert_eq!(host.controller().option("anticache").await["value"], json!(false));
    assert_eq!(host.controller().get("/options/lock").await.status, 404);
}

#[tokio::test]
async fn who_goes_away_leaves_no_lock() {
    let origin = RawOrigin::ok().await;
    // Configured for long enough to go away meanwhile.
    let slow = json!({"configure": [{"wait": 500}]});
    let host = Hosted::before(&origin.url()).scripted("a", &json!({})).with_controller().start().await;
    let request = host.controller().request(
        "POST",
        "/options/lock",
        "Content-Type: application/json\r\n",
        &json!({"options": {"a": slow}}).to_string(),
    );
    let mut client = RawClient::connect(host.address_of("forward")).await;
    client.send(request).await;
    host.logged("an admin request").await;
    client.reset();
    host.logged("who locked the options is gone").await;
    host.logged("options unlocked").await;
    assert_eq!(host.admin().status("a").await["options"]["source"], json!("file"));
    eventually(async || host.admin().get("/options/lock").await.status == 404).await;
}
