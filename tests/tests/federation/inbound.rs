//! Who comes in.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use tollgate_tests::RawOrigin;

use super::common::{ask, guarded, refusal, request};

fn list() -> Value {
    json!({"version": 1, "domainList": [{"domain": "a.de"}, {"domain": "b.de"}]})
}

#[tokio::test]
async fn listed_servers_come_in_and_no_others() {
    let origin = RawOrigin::ok().await;
    let host = guarded(&origin.url(), &json!({"inbound": ["main"], "list": list()})).start().await;
    assert_eq!(ask(&host, "A.de").await.status, 200);
    let unlisted = (403, "M_FORBIDDEN".to_owned(), "not part of federation".to_owned());
    assert_eq!(refusal(&ask(&host, "c.de").await), unlisted);
    let line = "GET /_matrix/federation/v1/version";
    let none = refusal(&request(&host, line, "", "").await);
    let missing = "missing X-Matrix authorization header with origin field".to_owned();
    assert_eq!(none, (401, "M_UNAUTHORIZED".to_owned(), missing));
    // Whatever a path looks like, there is no way round.
    for target in ["//_matrix/federation/v1/version", "/_matrix/%66ederation/v1/send/1", "/_matrix/x/..%2ffederation/v1/version"]
    {
        assert_eq!(request(&host, &format!("GET {target}"), "", "").await.status, 401, "{target}");
    }
    for target in ["/_matrix/key/v2/server", "/_matrix/federation/v1/openid/userinfo", "/_matrix/client/v3/sync"] {
        assert_eq!(request(&host, &format!("GET {target}"), "", "").await.status, 200, "{target}");
    }
    assert_eq!(request(&host, "GET /_matrix/media/v3/download/b.de/1", "", "").await.status, 200);
    assert_eq!(request(&host, "GET /_matrix/media/v3/download/c.de/1", "", "").await.status, 403);
    assert_eq!(origin.requests().len(), 5);
}

#[tokio::test]
async fn no_origin_hides_within_another_parameter() {
    let origin = RawOrigin::ok().await;
    let host = guarded(&origin.url(), &json!({"inbound": ["main"], "list": list()})).start().await;
    // Homeservers split at each comma, and take the last origin.
    for rest in [
        r#"x="a,origin=localhost:42415,destination=home.de,key=ed25519:k1,sig=ABC,y=""#,
        r#"x="a\",origin=evil.de,z=""#,
        r#"x="a",x="b""#,
    ] {
        let field = format!("Authorization: X-Matrix origin=\"a.de\",{rest}\r\n");
        let response = request(&host, "GET /_matrix/federation/v1/version", &field, "").await;
        let (status, errcode, error) = refusal(&response);
        assert_eq!((status, &*errcode), (401, "M_UNAUTHORIZED"), "{rest}");
        assert!(error.starts_with("malformed X-Matrix authorization header"), "{error}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn users_of_other_servers_are_not_invited() {
    let origin = RawOrigin::ok().await;
    let host = guarded(&origin.url(), &json!({"inbound": ["main"], "list": list()})).start().await;
    let room = "POST /_matrix/client/v3/createRoom";
    assert_eq!(request(&host, room, "", r#"{"invite":["@u:a.de"]}"#).await.status, 200);
    let refused = refusal(&request(&host, room, "", r#"{"invite":["@u:a.de","@u:c.de"]}"#).await);
    assert_eq!(refused, (403, "M_FORBIDDEN".to_owned(), "c.de is not part of the federation".to_owned()));
    let invite = "POST /_matrix/client/v3/rooms/!r:a.de/inv%69te";
    assert_eq!(request(&host, invite, "", r#"{"user_id":"@u:c.de"}"#).await.status, 403);
    let between = "PUT /_matrix/federation/v2/invite/!r:a.de/$e";
    let field = "Authorization: X-Matrix origin=\"a.de\"\r\n";
    let event = |user: &str| format!(r#"{{"room_version":"10","event":{{"state_key":"{user}","sender":"@v:a.de"}}}}"#);
    assert_eq!(request(&host, between, field, &event("@u:b.de")).await.status, 200);
    assert_eq!(request(&host, between, field, &event("@u:c.de")).await.status, 403);
    // What version 1 sends is the event, whatever is within it.
    let decoy = |user: &str, sender: &str| {
        format!(r#"{{"state_key":"{user}","sender":"{sender}","event":{{"state_key":"@u:b.de","sender":"@v:a.de"}}}}"#)
    };
    let before = "PUT /_matrix/federation/v1/invite/!r:a.de/$e";
    for (user, sender) in [("@u:c.de", "@v:a.de"), ("@u:b.de", "@v:c.de")] {
        assert_eq!(request(&host, before, field, &decoy(user, sender)).await.status, 403, "{user} {sender}");
    }
    assert_eq!(request(&host, between, &format!("{field}Content-Encoding: x-unknown\r\n"), &event("@u:b.de")).await.status, 415);
    let state = r#"{"initial_state":[{"type":"m.room.member","state_key":"@u:c.de","content":{"membership":"invite"}}]}"#;
    assert_eq!(request(&host, room, "", state).await.status, 403);
    assert_eq!(request(&host, invite, "", r#"{"user_id":"@u:a.de","medium":"email","address":"x"}"#).await.status, 400);
    // What was let through has its body as it came.
    assert_eq!(origin.requests().last().map(|request| request.body.clone()), Some(event("@u:b.de").into_bytes()));
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn without_enforcement_all_come_in() {
    let origin = RawOrigin::ok().await;
    let host = guarded(&origin.url(), &json!({"inbound": ["main"], "enforce": false})).start().await;
    assert_eq!(ask(&host, "c.de").await.status, 200);
    host.logged("the homeserver federates with everybody").await;
}

/// A homeserver that knows the keys of `127.0.0.1:9`, which nobody else could ask.
async fn homeserver(key: &SigningKey) -> RawOrigin {
    let public = STANDARD_NO_PAD.encode(key.verifying_key().as_bytes());
    let document = format!(
        r#"{{"server_name":"127.0.0.1:9","valid_until_ts":99999999999999,"verify_keys":{{"ed25519:k":{{"key":"{public}"}}}}}}"#
    );
    let value: Value = serde_json::from_str(&document).expect("JSON");
    // In canonical form keys are in order.
    let canonical = format!(
        r#"{{"server_name":"127.0.0.1:9","valid_until_ts":99999999999999,"verify_keys":{{"ed25519:k":{{"key":"{public}"}}}}}}"#
    );
    let mut signed = value;
    signed["signatures"] =
        json!({"127.0.0.1:9": {"ed25519:k": STANDARD_NO_PAD.encode(key.sign(canonical.as_bytes()).to_bytes())}});
    let keys = json!({"server_keys": [signed]}).to_string();
    RawOrigin::start(move |mut conversation| {
        let keys = keys.clone();
        async move {
            while let Some(request) = conversation.request().await {
                let body = if request.target.starts_with("/_matrix/key/") { &keys } else { "ok" };
                let _ = conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn signatures_are_of_the_request_that_comes() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let origin = homeserver(&key).await;
    let list = json!({"version": 1, "domainList": [{"domain": "127.0.0.1:9"}]});
    let options = json!({"inbound": ["main"], "list": list, "verify_signatures": true, "server_name": "own.de"});
    let host = guarded(&origin.url(), &options).set("addon.federation.http", "[]").start().await;
    let sign = |content: &str, uri: &str| {
        let signed =
            format!(r#"{{"content":{content},"destination":"own.de","method":"PUT","origin":"127.0.0.1:9","uri":"{uri}"}}"#);
        let sig = STANDARD_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
        format!("Authorization: X-Matrix origin=\"127.0.0.1:9\",destination=\"own.de\",key=\"ed25519:k\",sig=\"{sig}\"\r\n")
    };
    let (uri, body) = ("/_matrix/federation/v1/send/1?a=b", r#"{ "pdus": [], "edus": [{"b":1,"a":"ü"}] }"#);
    let field = sign(r#"{"edus":[{"a":"ü","b":1}],"pdus":[]}"#, uri);
    let put = async |uri: &str, field: &str, body: &str| request(&host, &format!("PUT {uri}"), field, body).await;
    assert_eq!(put(uri, &field, body).await.status, 200);
    for (uri, field, body) in [
        (uri, &*field, "{\"pdus\":[1],\"edus\":[]}"),
        ("/_matrix/federation/v1/send/2?a=b", &field, body),
        (uri, &field.replace("ed25519:k", "ed25519:other"), body),
        (uri, &field.replace("destination=\"own.de\"", "destination=\"other.de\""), body),
        (uri, &field.replace("sig=\"", "sig=\"A"), body),
        (uri, "Authorization: X-Matrix origin=\"127.0.0.1:9\"\r\n", body),
    ] {
        let (status, errcode, error) = refusal(&put(uri, field, body).await);
        assert_eq!((status, &*errcode), (401, "M_UNAUTHORIZED"), "{uri} {field} {error}");
        assert!(error.starts_with("no good signature of 127.0.0.1:9: "), "{error}");
    }
    // The keys were asked for once, and again for none that is not there.
    let asked = origin.targets().iter().filter(|target| target.starts_with("/_matrix/key/")).count();
    assert_eq!((asked, origin.requests().len()), (1, 2));
}
