//! Who has the lock, for how long, and who may take it away; and options outside of locks.
#![cfg(test)]

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin, Tollgate,
    addons::{Controller, Hosted, versioned},
    eventually,
};

const WRONG: &str = "refusing to unlock, wrong id supplied";
const NOT_LOCKED: &str = "options were not locked, mismatched lock/unlock calls";

async fn host(origin: &RawOrigin) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &versioned("file")).with_controller().start().await
}

fn admin(host: &Tollgate) -> Controller {
    Controller::at(host.admin())
}

async fn tag(host: &Hosted) -> String {
    host.answered().await.split(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn everybody_sees_who_has_it() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let body = json!({"options": {"a": versioned("locked"), "anticache": true}, "owner": "TestAll/\u{e4}", "ttl": 3600});
    let id = host.controller().try_lock(&body).await.json()["reset_id"].as_str().expect("an id").to_owned();
    for way in [host.controller(), admin(&host)] {
        let answer = way.get("/options/lock").await;
        let holder = answer.json();
        assert_eq!((answer.status, &holder["owner"]), (200, &json!("TestAll/\u{e4}")));
        assert_eq!(holder["options"], json!(["a", "anticache"]));
        assert!(holder["ttl_seconds_left"].as_f64().is_some_and(|left| left > 0.0 && left <= 3600.0), "{holder}");
        assert!(holder["since_milliseconds"].as_u64().is_some_and(|since| since > 1_600_000_000_000), "{holder}");
        // What unlocks is nowhere to be seen.
        for path in ["/options/lock", "/options", "/options/a", "/addons", "/metrics"] {
            assert!(!way.get(path).await.text().contains(&id), "{path}");
        }
    }
    assert!(!host.logs().contains(&id));
    assert_eq!(host.controller().get("/options").await.json()["lock"]["options"], json!(["a", "anticache"]));
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    let id = host.controller().lock(&json!({})).await;
    let holder = host.controller().get("/options/lock").await.json();
    let expected = [Value::Null, Value::Null, json!([])];
    assert_eq!(["owner", "ttl_seconds_left", "options"].map(|key| holder[key].clone()), expected);
    assert!(!host.logs().contains(&id));
}

#[tokio::test]
async fn locks_with_a_ttl_unlock_themselves() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let body = json!({"options": {"a": versioned("locked"), "anticache": true}, "owner": "who sleeps", "ttl": 0.5});
    let first = host.controller().try_lock(&body).await.json()["reset_id"].as_str().expect("an id").to_owned();
    eventually(async || host.controller().get("/options/lock").await.status == 404).await;
    assert_eq!(tag(&host).await, "file");
    assert_eq!(host.controller().option("anticache").await["value"], json!(false));
    host.logged("the ttl of the lock is over lock.owner=Some(\"who sleeps\")").await;
    let told = format!("{NOT_LOCKED}; the lock is no more: it unlocked itself, as its ttl of 0.5 s was over");
    for _ in 0..2 {
        let answer = host.controller().unlock(&first).await;
        assert_eq!((answer.status, answer.text()), (400, told.clone()));
    }
    // Whoever has it now keeps it.
    let second = host.controller().lock(&json!({"a": versioned("second")})).await;
    let answer = host.controller().unlock(&first).await;
    assert_eq!((answer.status, answer.text()), (400, told.replace(NOT_LOCKED, WRONG)));
    assert_eq!(host.controller().unlock("0123456789abcdef").await.text(), WRONG);
    assert_eq!(tag(&host).await, "second");
    assert_eq!(host.controller().unlock(&second).await.text(), "{}\n");
    assert_eq!(host.controller().unlock(&second).await.text(), NOT_LOCKED);
}

#[tokio::test]
async fn a_lock_that_was_given_back_does_not_end_the_next_one() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let body = json!({"options": {"a": versioned("first")}, "ttl": 0.4});
    let id = host.controller().try_lock(&body).await.json()["reset_id"].as_str().expect("an id").to_owned();
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    let second = host.controller().lock(&json!({"a": versioned("second")})).await;
    // Twice the time that the first had.
    let start = Instant::now();
    eventually(async || start.elapsed() > Duration::from_millis(800)).await;
    assert_eq!(tag(&host).await, "second");
    assert_eq!(host.controller().unlock(&second).await.text(), "{}\n");
    assert_eq!(host.times_logged("the ttl of the lock is over"), 0);
}

#[tokio::test]
async fn operators_can_force_it_open() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let id = host.controller().lock(&json!({"a": versioned("locked")})).await;
    for (path, status, reason) in [
        ("/options/unlock?force=true", 403, "the admin listener alone"),
        ("/options/unlock?force=1", 400, "force=true"),
        ("/options/unlock?force=false", 415, "application/json"),
    ] {
        let answer = host.controller().send("POST", path, "", "").await;
        assert_eq!((answer.status, answer.text().contains(reason)), (status, true), "{path}: {}", answer.text());
    }
    assert_eq!(tag(&host).await, "locked");
    // No id, and no body at all.
    let answer = admin(&host).send("POST", "/options/unlock?force=true", "", "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}\n"));
    assert_eq!(tag(&host).await, "file");
    let answer = host.controller().unlock(&id).await;
    assert_eq!((answer.status, answer.text()), (400, format!("{NOT_LOCKED}; the lock is no more: somebody forced it open")));
    let answer = admin(&host).send("POST", "/options/unlock?force=true", "", "").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn every_option_is_listed() {
    let origin = RawOrigin::ok().await;
    let options = json!({"tag": "x", "token": "hunter2hunter2", "rules": []});
    let host = Hosted::before(&origin.url()).scripted("a", &options).with_controller().start().await;
    for way in [host.controller(), admin(&host)] {
        let page = way.get("/options").await.json();
        assert_eq!(page["lock"], Value::Null);
        let all = page["options"].as_array().expect("a list").clone();
        let names: Vec<&str> = all.iter().filter_map(|option| option["name"].as_str()).collect();
        assert!(["a", "anticache", "body_size_limit", "log_level"].iter().all(|name| names.contains(name)), "{names:?}");
        for option in &all {
            let name = option["name"].as_str().expect("a name");
            assert_eq!(&way.option(name).await, option);
            assert!(["type", "help"].iter().all(|key| option[key].as_str().is_some_and(|text| !text.is_empty())), "{option}");
            assert!(option.get("default").is_some() && option["locked"] == json!(false), "{option}");
        }
        let shown = way.option("a").await;
        assert_eq!(shown["value"], json!({"tag": "x", "token": "[redacted]", "rules": []}));
        assert_eq!((&shown["type"], &shown["default"]), (&json!("addon"), &json!({})));
    }
}

#[tokio::test]
async fn what_is_shown_can_be_locked() {
    let origin = RawOrigin::ok().await;
    let options = json!({"tag": "x", "token": "hunter2hunter2", "rules": []});
    let host = Hosted::before(&origin.url()).scripted("a", &options).with_controller().start().await;
    let all = host.controller().get("/options").await.json()["options"].as_array().expect("a list").clone();
    let shown: serde_json::Map<String, Value> =
        all.iter().map(|option| (option["name"].as_str().expect("a name").to_owned(), option["value"].clone())).collect();
    // Each alone, then all at once: names and values as they are shown are those that the lock takes.
    let each = shown.iter().map(|(name, value)| json!({ name: value }));
    for options in each.chain([Value::Object(shown.clone())]) {
        let id = host.controller().lock(&options).await;
        for (name, value) in options.as_object().expect("an object") {
            let option = host.controller().option(name).await;
            assert_eq!((&option["value"], &option["locked"]), (value, &json!(true)), "{name}");
        }
        assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
        assert_eq!(host.controller().get("/options").await.json()["options"], json!(all));
    }
    // A secret that is nobody's.
    let answer = host.controller().try_lock(&json!({"options": {"a": {"configure": [{"log": "[redacted]"}]}}})).await;
    assert_eq!((answer.status, answer.text().contains("a.configure[0].log: ")), (400, true), "{}", answer.text());
}

#[tokio::test]
async fn options_of_the_core_can_be_put() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let put = async |body: &str| host.controller().send("PUT", "/options", "", body).await;
    let value = async |name: &str| host.controller().option(name).await["value"].clone();
    let answer = put(r#"{"anticache": true, "body_size_limit": "3m"}"#).await;
    assert_eq!((answer.status, answer.json()["options"].as_array().is_some()), (200, true));
    assert_eq!((value("anticache").await, value("body_size_limit").await), (json!(true), json!("3m")));
    for (body, path, message) in [
        (r#"{"anticache": false, "body_size_limit": 1.5}"#, "body_size_limit", ""),
        (r#"{"anticache": false, "no": 1}"#, "no", "there is no such option"),
        (r#"{"anticache": false, "a": {}}"#, "a", "/addons/NAME/options"),
    ] {
        let answer = put(body).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!((answer.status, &error["path"]), (400, &json!(path)), "{body}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(message)), "{error}");
    }
    for body in ["", "[]", "{", "{\"anticache\": false,}"] {
        assert_eq!(put(body).await.status, 400, "{body}");
    }
    assert_eq!((value("anticache").await, value("body_size_limit").await), (json!(true), json!("3m")));
    // A lock gives back what was put.
    let id = host.controller().lock(&json!({"anticache": false})).await;
    assert_eq!(value("anticache").await, json!(false));
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert_eq!(value("anticache").await, json!(true));
    assert_eq!(put(r#"{"body_size_limit": null}"#).await.status, 200);
    assert_eq!(value("body_size_limit").await, Value::Null);
}

#[tokio::test]
async fn the_log_level_is_an_option() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &versioned("file"))
        .with_controller()
        .with(|builder| builder.log("info"))
        .start()
        .await;
    let logged = async |target: &str| {
        host.get(target).await;
        host.controller().get("/health/live").await;
        host.logs().contains(&format!("request.path={target} "))
    };
    assert!(!logged("/before").await);
    let id = host.controller().lock(&json!({"log_level": "debug"})).await;
    host.get("/locked").await;
    host.logged("request.path=/locked ").await;
    // What is configured meanwhile waits.
    fs::write(host.config_path(), host.config() + "\n# changed\n").expect("a file");
    host.reload().await;
    host.get("/reloaded").await;
    host.logged("request.path=/reloaded ").await;
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    assert!(!logged("/after").await);
    assert_eq!(host.controller().send("PUT", "/options", "", r#"{"log_level": "debug"}"#).await.status, 200);
    host.get("/put").await;
    host.logged("request.path=/put ").await;
    assert!(!host.logs().contains("request.path=/after "));
}

#[tokio::test]
async fn without_a_token_nobody_locks() {
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("admin.controller_host", "mitm.code")
        .set("admin.token", "hunter2hunter2")
        .start()
        .await;
    for way in [Controller::through(tollgate.address()), admin(&tollgate)] {
        for path in ["/options/lock", "/options/unlock", "/options/unlock?force=true"] {
            assert_eq!(way.post(path, "{}").await.status, 401, "{path}");
        }
        assert_eq!(way.get("/options").await.status, 401);
        let lines = "Content-Type: application/json\r\nAuthorization: Bearer hunter2hunter2\r\n";
        let answer = way.send("POST", "/options/lock", lines, "{}").await;
        assert_eq!(answer.status, 200);
        assert_eq!(way.send("POST", "/options/unlock", lines, &answer.text()).await.status, 200);
    }
}
