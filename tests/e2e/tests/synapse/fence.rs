//! What is not of Matrix v1.11 does not reach the homeserver.

use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tollgate_e2e::{Stage, User, Versions};
use tollgate_tests::{Answer, Client, Version, empty};

/// Sends a request that must not arrive, and tells the refusal.
async fn refused(stage: &Stage, user: &mut User, method: &str, target: &str) -> Answer {
    let separator = if target.contains('?') { '&' } else { '?' };
    let marker = format!("marker={}", user.id.trim_start_matches('@'));
    let answer = user.ask(method, &format!("{target}{separator}{marker}"), &Value::Null).await;
    assert_eq!(stage.synapse.received(&marker), Vec::<String>::new(), "{method} {target}");
    // Scripts in browsers get to see why.
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {target}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {target}");
    answer
}

#[tokio::test]
async fn unknown_paths_are_fenced_off() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        for (method, target) in [
            ("GET", "/_synapse/admin/v1/server_version"),
            ("GET", "/_synapse/admin/v2/users"),
            ("GET", "/_synapse/client/password_reset"),
            ("GET", "/_matrix/client/unstable/org.matrix.msc2716/rooms/a/batch_send"),
            ("GET", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"),
            ("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"),
            ("GET", "/_matrix/client/r0/sync"),
            ("GET", "/_matrix/client/r0/login"),
            ("GET", "/_matrix/client/v3/sync/"),
            ("GET", "//_matrix/client/v3/sync"),
            ("GET", "/_matrix/client/v3/../../../_synapse/admin/v1/server_version"),
            ("GET", "/_matrix/client/v3/%2e%2e/%2e%2e/%2e%2e/_synapse/admin/v1/server_version"),
            ("GET", "/_matrix/client/v3/profile/..%2F..%2Fa/b/c"),
            ("GET", "/_matrix"),
            ("GET", "/health"),
            ("GET", "/"),
        ] {
            let answer = refused(&stage, &mut alice, method, target).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["errcode"]),
                (404, &json!("M_UNRECOGNIZED")),
                "{version:?} {target}"
            );
        }
    }
}

#[tokio::test]
async fn same_paths_arrive_without_addon() {
    let stage = Stage::bare().await;
    let mut alice = stage.user(Version::Http1, "alice").await;
    for target in ["/_synapse/admin/v1/server_version?bare", "/_matrix/client/r0/account/whoami?bare"] {
        assert_eq!(alice.ask("GET", target, &Value::Null).await.status, 200, "{target}");
        assert_eq!(stage.synapse.received(target).len(), 1);
    }
}

#[tokio::test]
async fn wrong_methods_are_told_right_ones() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        for (method, target, allowed) in [
            ("PUT", "/_matrix/client/v3/sync", "GET, HEAD, OPTIONS"),
            ("DELETE", "/_matrix/client/v3/account/whoami", "GET, HEAD, OPTIONS"),
            ("GET", "/_matrix/client/v3/createRoom", "OPTIONS, POST"),
            ("TRACE", "/_matrix/client/v3/login", "GET, HEAD, OPTIONS, POST"),
        ] {
            let answer = refused(&stage, &mut alice, method, target).await;
            let allow = answer.header("allow").map(|allow| {
                let mut methods: Vec<_> = allow.split(", ").collect();
                methods.sort_unstable();
                methods.join(", ")
            });
            assert_eq!((answer.status.as_u16(), allow.as_deref()), (405, Some(allowed)), "{version:?} {method} {target}");
            assert_eq!(answer.json()["errcode"], "M_UNRECOGNIZED");
        }
    }
}

#[tokio::test]
async fn missing_query_is_named() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        for (target, missing) in [
            ("/_matrix/client/v1/media/thumbnail/localhost/a?width=1", "height"),
            ("/_matrix/client/v3/keys/changes?from=a&%66rom=b", "to"),
        ] {
            let answer = refused(&stage, &mut alice, "GET", target).await;
            let page = answer.json();
            assert_eq!((answer.status.as_u16(), &page["errcode"]), (400, &json!("M_MISSING_PARAM")), "{version:?} {target}");
            assert!(page["error"].as_str().is_some_and(|error| error.contains(missing)), "{page}");
        }
    }
}

#[tokio::test]
async fn preflight_passes_on_known_paths() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, stage.tollgate.address()).await;
        let mut preflight = async |target: &str| {
            let request = Request::options(target)
                .header("origin", "https://app.example.org")
                .header("access-control-request-method", "PUT")
                .header("access-control-request-headers", "authorization, content-type");
            client.ask(request.body(empty()).expect("a request")).await
        };
        let known = preflight("/_matrix/client/v3/rooms/%21a%3Ab/send/m.room.message/1").await;
        assert_eq!(known.status, 204, "{version:?}: {}", known.text());
        assert!(is_from_synapse(&known.headers), "{:?}", known.headers);
        assert!(
            known.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PUT")),
            "{:?}",
            known.headers
        );
        let unknown = preflight("/_synapse/admin/v1/server_version").await;
        assert_eq!((unknown.status.as_u16(), is_from_synapse(&unknown.headers)), (404, false), "{version:?}");
    }
}

#[tokio::test]
async fn head_follows_get() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        for (target, status) in [
            (Versions::PATH, 200),
            ("/_matrix/client/v3/account/whoami", 200),
            ("/_matrix/client/v3/createRoom", 405),
            ("/_synapse/admin/v1/server_version", 404),
        ] {
            let answer = alice.ask("HEAD", target, &Value::Null).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{version:?} {target}");
            assert_eq!(is_from_synapse(&answer.headers), status == 200, "{version:?} {target}");
        }
    }
}

fn is_from_synapse(headers: &HeaderMap) -> bool {
    headers.get("server").is_some_and(|server| server.as_bytes().starts_with(b"Synapse/"))
}
