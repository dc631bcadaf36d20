//! Probes, and levels of log lines for a while.
#![cfg(test)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Method, Request};
use serde_json::{Value, json};
use tollgate_tests::{Client, RawOrigin, Tollgate, Version, addons::Admin, empty, eventually};

const NOWHERE: &str = "http://127.0.0.1:1";
const READY: [&str; 2] = ["/health/ready", "/actuator/health/readiness"];

/// Before nothing, with these dependencies.
async fn depending(dependencies: &[String]) -> Tollgate {
    Tollgate::builder().upstream(NOWHERE).config_toml(&dependencies.join("\n")).start().await
}

fn entry(name: &str, url: &str, more: &str) -> String {
    format!("[[dependency]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n")
}

/// Status and entries of readiness.
async fn readiness(tollgate: &Tollgate) -> (u16, Value) {
    let answer = Admin::at(tollgate.admin()).get("/health/ready").await;
    (answer.status.as_u16(), answer.json()["dependencies"].clone())
}

/// One whose health can be changed.
async fn server(is_well: &Arc<AtomicBool>) -> RawOrigin {
    let is_well = Arc::clone(is_well);
    RawOrigin::start(move |mut conversation| {
        let is_well = Arc::clone(&is_well);
        async move {
            while conversation.request().await.is_some() {
                let status = if is_well.load(SeqCst) { "204 No Content\r\n" } else { "500 Oh\r\nContent-Length: 0\r\n" };
                if conversation.send(format!("HTTP/1.1 {status}\r\n")).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn dependencies_decide_about_readiness() {
    let is_well = Arc::new(AtomicBool::new(true));
    let (server, other) = (server(&is_well).await, RawOrigin::ok().await);
    let url = format!("{}/health?key=hunter2", server.url());
    let dependencies = [entry("homeserver", &url, "cache = \"0s\""), entry("other", &other.url(), "status = 200")];
    let tollgate = depending(&dependencies).await;
    assert_eq!(readiness(&tollgate).await, (200, json!({"homeserver": true, "other": true})));
    let asked = server.only_request();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/health?key=hunter2"));
    is_well.store(false, SeqCst);
    for path in READY {
        let answer = Admin::at(tollgate.admin()).get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["ready"]), (503, &json!(false)));
        assert_eq!(answer.json()["dependencies"], json!({"homeserver": false, "other": true}));
        assert!(!answer.text().contains("hunter2") && !answer.text().contains("127.0.0.1"), "{}", answer.text());
    }
    tollgate.logged("dependency.name=\"homeserver\" why=\"status 500\"").await;
    is_well.store(true, SeqCst);
    assert_eq!(readiness(&tollgate).await.0, 200);
    tollgate.logged("a dependency is there again").await;
    assert_eq!(tollgate.logs().matches("a dependency is not as it has to be").count(), 1);
    assert!(!tollgate.logs().contains("hunter2"));
}

#[tokio::test]
async fn only_the_status_that_is_wanted_is_good() {
    let redirects = RawOrigin::answering("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
    let well = RawOrigin::ok().await;
    let dependencies = [
        entry("redirects", &redirects.url(), ""),
        entry("wanted", &redirects.url(), "status = 302"),
        entry("other", &well.url(), "status = 204"),
        entry("refused", NOWHERE, ""),
        entry("nowhere", "http://nowhere.invalid/", ""),
    ];
    let tollgate = depending(&dependencies).await;
    let expected = json!({"redirects": false, "wanted": true, "other": false, "refused": false, "nowhere": false});
    assert_eq!(readiness(&tollgate).await, (503, expected));
}

#[tokio::test]
async fn answers_count_for_a_while() {
    let (kept, fresh) = (RawOrigin::ok().await, RawOrigin::ok().await);
    let dependencies = [entry("kept", &kept.url(), "cache = \"1h\""), entry("fresh", &fresh.url(), "cache = \"0s\"")];
    let tollgate = depending(&dependencies).await;
    for _ in 0..5 {
        assert_eq!(readiness(&tollgate).await.0, 200);
    }
    assert_eq!((kept.requests().len(), fresh.requests().len()), (1, 5));
}

#[tokio::test]
async fn who_does_not_answer_is_asked_once_and_not_for_ever() {
    let silent = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        std::future::pending::<()>().await;
    })
    .await;
    let tollgate = depending(&[entry("silent", &silent.url(), "timeout = \"500ms\"\ncache = \"1h\"")]).await;
    let looks = futures_util::future::join_all((0..20).map(|_| readiness(&tollgate))).await;
    assert!(looks.iter().all(|look| *look == (503, json!({"silent": false}))), "{looks:?}");
    assert_eq!(silent.requests().len(), 1);
    tollgate.logged("no answer within 500ms").await;
}

#[tokio::test]
async fn an_answer_that_nobody_waited_for_counts_no_longer_than_others() {
    let (may_answer, asked) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
    let (permits, seen) = (Arc::clone(&may_answer), Arc::clone(&asked));
    let slow = RawOrigin::start(move |mut conversation| {
        let (permits, seen) = (Arc::clone(&permits), Arc::clone(&seen));
        async move {
            while conversation.request().await.is_some() {
                let status = if seen.swap(true, SeqCst) { "500 Oh" } else { "200 OK" };
                let _permit = permits.acquire().await;
                let _ = conversation.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
            }
        }
    })
    .await;
    let tollgate = depending(&[entry("slow", &slow.url(), "cache = \"0s\"")]).await;
    let look = tokio::time::timeout(Duration::from_millis(300), readiness(&tollgate)).await;
    assert!(look.is_err(), "{look:?}");
    eventually(async || asked.load(SeqCst)).await;
    may_answer.add_permits(1);
    // Once the first answer has come, whoever asks has the second.
    eventually(async || readiness(&tollgate).await == (503, json!({"slow": false}))).await;
    assert_eq!(readiness(&tollgate).await.0, 503);
}

#[tokio::test]
async fn the_proxy_does_not_ask_itself() {
    let is_well = Arc::new(AtomicBool::new(true));
    let server = server(&is_well).await;
    let tollgate = Tollgate::before(&server.url()).await;
    let own = depending(&[entry("other", &tollgate.url(), "")]).await;
    assert_eq!(readiness(&own).await.0, 200);
    // Its own port is known only once it runs.
    own.change_config(&tollgate.url(), &own.url()).await;
    eventually(async || readiness(&own).await == (503, json!({"other": false}))).await;
}

#[tokio::test]
async fn dependencies_change_with_the_configuration() {
    let tollgate = depending(&[entry("gone", NOWHERE, "")]).await;
    assert_eq!(readiness(&tollgate).await, (503, json!({"gone": false})));
    let server = RawOrigin::ok().await;
    let url = |at: &str| format!("url = \"{at}\"");
    tollgate.change_config(&url(NOWHERE), &url(&server.url())).await;
    tollgate.change_config("\"gone\"", "\"here\"").await;
    eventually(async || readiness(&tollgate).await == (200, json!({"here": true}))).await;
}

#[tokio::test]
async fn liveness_has_an_entry_for_each_listener() {
    let builder = Tollgate::builder().upstream(NOWHERE).forward("forward");
    let tollgate = builder.start().await;
    for path in ["/health/live", "/actuator/health/liveness"] {
        let live = Admin::at(tollgate.admin()).get(path).await;
        assert_eq!((live.status.as_u16(), live.json()), (200, json!({"main": true, "forward": true})));
    }
}

/// What a change of levels says.
async fn level(tollgate: &Tollgate, method: Method, path: &str) -> (u16, Value) {
    let answer = Admin::at(tollgate.admin()).send(method, path, "").await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn levels_hold_for_a_while() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").set("log.reset_after", "\"1s\"").start().await;
    let ask = async || Client::fetch(Version::Http1, tollgate.address(), "/").await.status;
    assert_eq!(ask().await, 200);
    assert!(!tollgate.logs().contains("flow ended"));
    let (status, now) = level(&tollgate, Method::PUT, "/actuator/logging/DEBUG/tollgate%3A%3Aflow").await;
    assert_eq!((status, &now["level"]), (202, &json!("info,tollgate::flow=debug")));
    assert!(now["resets_in_seconds"].as_u64().is_some_and(|left| left <= 1), "{now}");
    assert_eq!(ask().await, 200);
    tollgate.logged("flow ended").await;
    tollgate.logged("log levels are again what they were").await;
    let before = json!({"level": "info", "resets_in_seconds": null});
    assert_eq!(level(&tollgate, Method::GET, "/actuator/logging").await, (200, before));
    let told = tollgate.logs().matches("flow ended").count();
    assert_eq!(ask().await, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(tollgate.logs().matches("flow ended").count(), told);
}

#[tokio::test]
async fn levels_are_reset_when_asked_and_bad_ones_are_refused() {
    let tollgate = Tollgate::builder().upstream(NOWHERE).log("warn").start().await;
    let (status, now) = level(&tollgate, Method::PUT, "/actuator/logging/trace").await;
    assert_eq!((status, &now["level"]), (202, &json!("trace")));
    assert!(now["resets_in_seconds"].as_u64().is_some_and(|left| (1700..=1800).contains(&left)), "{now}");
    let before = json!({"level": "warn", "resets_in_seconds": null});
    assert_eq!(level(&tollgate, Method::DELETE, "/actuator/logging").await, (200, before.clone()));
    for (method, path, status) in [
        (Method::PUT, "/actuator/logging/loud", 400),
        (Method::PUT, "/actuator/logging/info,a=debug", 400),
        (Method::PUT, "/actuator/logging/info/a%20b", 400),
        (Method::PUT, "/actuator/logging/info/a%2Cb", 400),
        (Method::PUT, "/actuator/logging/info/a/b", 404),
        (Method::POST, "/actuator/logging/info", 405),
        (Method::PUT, "/actuator/logging", 405),
        (Method::PUT, "/actuator/logging/levels", 405),
    ] {
        assert_eq!(level(&tollgate, method.clone(), path).await.0, status, "{method} {path}");
    }
    assert_eq!(level(&tollgate, Method::GET, "/actuator/logging").await, (200, before));
    let levels = level(&tollgate, Method::GET, "/actuator/logging/levels").await.1;
    assert_eq!(levels["acceptedValues"], json!(["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"]));
}

#[tokio::test]
async fn levels_are_not_for_everybody() {
    let tollgate = Tollgate::builder().upstream(NOWHERE).set("admin.token", "\"the-right-token\"").start().await;
    assert_eq!(level(&tollgate, Method::PUT, "/actuator/logging/trace").await.0, 401);
    let request = Request::put("/actuator/logging/trace").header("authorization", "Bearer the-right-token");
    assert_eq!(Admin::at(tollgate.admin()).ask(request.body(empty()).expect("a request")).await.status, 202);
}
