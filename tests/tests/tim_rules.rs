//! The addon `tim-rules` at work: what it lets through and what not, over the wire.
#![cfg(test)]

use std::{
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Answer, Client, RawClient, Version,
    addons::{Homeserver, Hosted, HostedBuilder, bundled},
    empty, full,
};

const CLIENT: &str = "/_matrix/client/v3";

fn builder(homeserver: &Homeserver, options: &Value) -> HostedBuilder {
    Hosted::before(&homeserver.url()).guest("tim-rules", &bundled("tim-rules"), options)
}

async fn ruled() -> (Hosted, Homeserver) {
    let homeserver = Homeserver::start().await;
    (builder(&homeserver, &json!({})).start().await, homeserver)
}

async fn ask(host: &Hosted, version: Version, method: &str, target: &str, body: impl Into<bytes::Bytes>) -> Answer {
    let body = body.into();
    let request = Request::builder().method(method).uri(target).header("authorization", "Bearer a-token");
    let request = if body.is_empty() { request.body(empty()) } else { request.body(full(body)) };
    Client::connect(version, host.address()).await.ask(request.expect("a request")).await
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, errcode: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.json()["errcode"], errcode, "{what}");
    assert_eq!(answer.headers.get("access-control-allow-origin").map(http::HeaderValue::as_bytes), Some(&b"*"[..]), "{what}");
}

#[tokio::test]
async fn each_rule_refuses_what_it_is_for() {
    let (host, homeserver) = ruled().await;
    let room = format!("{CLIENT}/rooms/!a:home");
    let long = json!({ "presence": "online", "status_msg": "x".repeat(251) }).to_string();
    let thread = r#"{"m.relates_to":{"rel_type":"m.thread","event_id":"$e"}}"#;
    let reaction = r#"{"m.relates_to":{"rel_type":"m.annotation","event_id":"$e","key":"no"}}"#;
    let rows = [
        ("POST", format!("{CLIENT}/register?kind=guest"), "{}", 403, "M_FORBIDDEN"),
        ("POST", format!("{CLIENT}/register?x=1;kind=guest"), "{}", 403, "M_FORBIDDEN"),
        ("PUT", format!("{CLIENT}/presence/@a:home/status"), &long, 403, "M_TOO_LARGE"),
        ("POST", format!("{CLIENT}/createRoom"), r#"{"room_version":"11"}"#, 400, "M_UNSUPPORTED_ROOM_VERSION"),
        ("POST", format!("{room}/upgrade"), r#"{"new_version":"11"}"#, 400, "M_UNSUPPORTED_ROOM_VERSION"),
        (
            "POST",
            format!("{CLIENT}/createRoom"),
            r#"{"creation_content":{"type":"de.gematik.tim.roomtype.default.v2"}}"#,
            400,
            "M_BAD_JSON",
        ),
        ("POST", format!("{CLIENT}/createRoom"), r#"{"invite":["@a:b","@c:d"]}"#, 403, "M_FORBIDDEN"),
        ("POST", format!("{CLIENT}/createRoom"), r#"{"visibility":"private","visibility":"public"}"#, 400, "M_BAD_JSON"),
        ("POST", format!("{room}/invite"), r#"{"medium":"email","address":"a@b"}"#, 400, "M_BAD_JSON"),
        ("POST", format!("{room}/invite"), r#"{"user_id":"@a:b","medium":"email","address":"a@b"}"#, 400, "M_BAD_JSON"),
        ("POST", format!("{CLIENT}/createRoom"), r#"{"invite_3pid":[{"medium":"email","address":"a@b"}]}"#, 400, "M_BAD_JSON"),
        (
            "POST",
            format!("{CLIENT}/createRoom"),
            r#"{"initial_state":[{"type":"m.room.member","state_key":"@a:b","content":{"membership":"invite"}}]}"#,
            400,
            "M_BAD_JSON",
        ),
        ("PUT", format!("{room}/send/m.room.message/1"), thread, 400, "M_FORBIDDEN"),
        ("PUT", format!("{room}/send/m.reaction/1"), reaction, 400, "M_BAD_JSON"),
        ("PUT", format!("{room}/state/m.room.join_rules"), r#"{"join_rule":"public"}"#, 400, "M_INVALID_ROOM_STATE"),
        ("GET", format!("{CLIENT}/pushrules/global"), "", 400, "M_MISSING_PARAM"),
        ("PUT", format!("{CLIENT}/pushrules/global/override/"), "{}", 400, "M_INVALID_PARAM"),
    ];
    for version in [Version::Http1, Version::Http2] {
        for (method, target, body, status, errcode) in &rows {
            let answer = ask(&host, version, method, target, (*body).to_owned()).await;
            assert_refused(&answer, *status, errcode, target);
        }
    }
    assert_eq!(homeserver.requests().len(), 0);
}

#[tokio::test]
async fn disguised_requests_come_to_the_rules() {
    let (host, homeserver) = ruled().await;
    for target in [
        "/_matrix/client/r0/createRoom",
        "/_matrix/client/v1/createRoom/",
        "/_matrix/client/unstable/org.matrix.msc1/createRoom/txn",
        "/_matrix/client/v3/%63reateRoom",
        "/_matrix/client/v3/%2563reateRoom",
        "/_matrix%2Fclient%2Fv3%2FcreateRoom",
        "//_matrix/client/v3//createRoom",
        "/_matrix/client/v3/x/../createRoom",
        "/_matrix/client/v3/x%2F..%2FcreateRoom",
        "/_matrix/client/v3/createRoom;x=y",
        "/_MATRIX/CLIENT/V3/CREATEROOM",
        "/%5Fmatrix/client/v3/createRoom?x=y",
    ] {
        for method in ["POST", "PUT"] {
            let body = r#"{"room_version":"1"}"#;
            let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let mut client = RawClient::connect(host.address()).await;
            client.send(request).await;
            let response = client.response().await;
            assert_eq!(
                (response.status, &response.json()["errcode"]),
                (400, &json!("M_UNSUPPORTED_ROOM_VERSION")),
                "{method} {target}"
            );
        }
    }
    assert_eq!(homeserver.requests().len(), 0);
}

/// A path in other ways of writing, which servers may take for the same.
fn disguises(path: &str) -> Vec<String> {
    let (start, end) = path.rsplit_once('/').expect("a path");
    let encoded = end.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let twice = encoded.replace('%', "%25");
    let client = |version: &str| path.replacen("/client/v3/", &format!("/client/{version}/"), 1);
    let mut written = vec![
        format!("{path}/"),
        format!("{path};x=y"),
        format!("/{path}"),
        format!("{start}//{end}"),
        format!("{start}/./{end}"),
        format!("{start}/x/../{end}"),
        format!("{start}/x/%2E%2e/{end}"),
        format!("{start}%2F{end}"),
        format!("{start}%252f{end}"),
        format!("{start}\\{end}"),
        format!("{start}/{encoded}"),
        format!("{start}/{twice}"),
        path.replacen("_matrix", "_matri%78", 1),
    ];
    written.extend(["r0", "v1", "v2", "v99", "unstable", "unstable/org.example", "api/v1", "V3"].map(client));
    written
}

#[tokio::test]
async fn no_rule_is_got_round_by_how_a_path_is_written() {
    let (host, homeserver) = ruled().await;
    let long = json!({ "status_msg": "x".repeat(251) }).to_string();
    let mut client = RawClient::connect(host.address()).await;
    for (method, path, query, body) in [
        ("POST", "createRoom", "", r#"{"room_version":"1"}"#),
        ("POST", "register", "?kind=guest", "{}"),
        ("PUT", "presence/@a:home/status", "", &long),
        ("POST", "rooms/!a:home/upgrade", "", r#"{"new_version":"1"}"#),
        ("POST", "rooms/!a:home/invite", "", "{}"),
        ("PUT", "rooms/!a:home/send/m.room.message/1", "", r#"{"m.relates_to":{"rel_type":"m.thread"}}"#),
        ("PUT", "rooms/!a:home/state/m.room.join_rules", "", r#"{"join_rule":"public"}"#),
    ] {
        for target in disguises(&format!("{CLIENT}/{path}")) {
            let length = body.len();
            client.send(format!("{method} {target}{query} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")).await;
            let response = client.response().await;
            assert!([400, 403].contains(&response.status), "{method} {target}: {}", response.status);
            assert!(response.json()["errcode"].is_string(), "{method} {target}: {}", response.text());
        }
    }
    assert_eq!(homeserver.requests().len(), 0);
}

#[tokio::test]
async fn edits_touch_nothing_else() {
    let (host, homeserver) = ruled().await;
    let body = "{ \"visibility\":\"public\" , \"x\": 1.0e400, \"y\":12345678901234567890.10 }";
    for version in [Version::Http1, Version::Http2] {
        let answer = ask(&host, version, "POST", &format!("{CLIENT}/createRoom"), body).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, Homeserver::ANSWER));
        let expected = body.replacen('{', "{\"creation_content\":{\"m.federate\":false},\"room_version\":\"10\",", 1);
        assert_eq!(homeserver.last_request().text(), expected);
    }
    let untouched = "{ \"room_version\" :\"9\", \"x\": 1.0e400 }";
    ask(&host, Version::Http1, "POST", &format!("{CLIENT}/createRoom"), untouched).await;
    assert_eq!(homeserver.last_request().text(), untouched);
}

#[tokio::test]
async fn forms_register_nobody() {
    let (host, homeserver) = ruled().await;
    for (kind, status) in
        [("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=x", 415), ("text/plain", 200)]
    {
        let body = r#"{"x":"&kind=guest&y="}"#;
        let request = Request::post(format!("{CLIENT}/register")).header("content-type", kind).body(full(body));
        let answer = Client::connect(Version::Http1, host.address()).await.ask(request.expect("a request")).await;
        assert_eq!(answer.status, status, "{kind}: {}", answer.text());
    }
    assert_eq!(homeserver.requests().len(), 1);
}

/// Homeservers do not look at codings: what is judged has none.
#[tokio::test]
async fn coded_bodies_are_not_taken() {
    let (host, homeserver) = ruled().await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(br#"{"room_version":"10"}"#).expect("a vector takes all");
    let coded = encoder.finish().expect("a vector takes all");
    for (coding, status) in [("gzip", 415), ("x-unknown", 415), ("gzip, gzip, gzip, gzip, gzip", 503)] {
        let request = Request::post(format!("{CLIENT}/createRoom")).header("content-encoding", coding).body(full(coded.clone()));
        let answer = Client::connect(Version::Http1, host.address()).await.ask(request.expect("a request")).await;
        assert_eq!(answer.status, status, "{coding}: {}", answer.text());
    }
    let plain = Request::post(format!("{CLIENT}/createRoom")).header("content-encoding", "identity");
    let plain = plain.body(full(r#"{"room_version":"1"}"#)).expect("a request");
    assert_eq!(Client::connect(Version::Http1, host.address()).await.ask(plain).await.status, 400);
    assert_eq!(homeserver.requests().len(), 0);
}

#[tokio::test]
async fn bodies_over_the_cap_are_refused() {
    let homeserver = Homeserver::start().await;
    let host = builder(&homeserver, &json!({})).set("addon.tim-rules.max_body", "1000").start().await;
    let body = |bytes: usize| format!("{{\"room_version\":\"10\",\"x\":\"{}\"}}", "x".repeat(bytes - 28));
    for (bytes, status) in [(999, 200), (1000, 200), (1001, 413)] {
        assert_eq!(body(bytes).len(), bytes);
        assert_eq!(
            ask(&host, Version::Http1, "POST", &format!("{CLIENT}/createRoom"), body(bytes)).await.status,
            status,
            "{bytes}"
        );
    }
    assert_eq!(homeserver.requests().len(), 2);
}

#[tokio::test]
async fn other_requests_pass_by() {
    let (host, homeserver) = ruled().await;
    for (method, target) in [
        ("GET", format!("{CLIENT}/sync?x=y")),
        ("POST", "/_matrix/media/v3/upload".to_owned()),
        ("PUT", format!("{CLIENT}/rooms/!a:home/typing/@a:home")),
        ("POST", format!("{CLIENT}/rooms/!a:home/leave")),
        ("GET", format!("{CLIENT}/rooms/!a:home/state/m.room.join_rules")),
        ("GET", format!("{CLIENT}/pushrules/global/")),
    ] {
        let body = if method == "GET" { "" } else { "no JSON" };
        assert_eq!(ask(&host, Version::Http1, method, &target, body).await.status, 200, "{target}");
        assert_eq!(homeserver.last_request().target, target);
    }
    assert_eq!(host.admin().counter("tim-rules", "calls").await, 1, "of push rules alone");
}

fn hours_ago(hours: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
    u64::try_from(now).expect("a time") - hours * 3_600_000
}

#[tokio::test]
async fn old_events_are_not_redacted() {
    let homeserver = Homeserver::answering(|request| {
        let answer = |hours| json!({ "origin_server_ts": hours_ago(hours) }).to_string();
        match request.target.rsplit('/').next().unwrap_or_default() {
            "%24new" => Homeserver::response(200, &answer(23)),
            "%24old" => Homeserver::response(200, &answer(25)),
            "%24gone" => Homeserver::response(404, r#"{"errcode":"M_NOT_FOUND","error":"gone"}"#),
            "%24token" => Homeserver::response(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"who?"}"#),
            _ => Homeserver::response(200, "{}"),
        }
    })
    .await;
    let host = builder(&homeserver, &json!({})).start().await;
    for (event, status, errcode) in [
        ("$new", 200, None),
        ("$old", 403, Some("M_FORBIDDEN")),
        ("$gone", 502, Some("M_UNKNOWN")),
        ("$token", 401, Some("M_UNKNOWN_TOKEN")),
    ] {
        let answer = ask(&host, Version::Http1, "PUT", &format!("{CLIENT}/rooms/!a:home/redact/{event}/1"), "{}").await;
        assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (status, errcode), "{event}");
    }
    let sent = format!("{CLIENT}/rooms/!a:home/send/m.room.redaction/1");
    assert_eq!(ask(&host, Version::Http1, "PUT", &sent, r#"{"redacts":"$old"}"#).await.status, 403);
    let requests = homeserver.requests();
    let redactions = requests.iter().filter(|request| request.method == "PUT").count();
    assert_eq!((redactions, requests.len()), (1, 6));
    let questions = requests.iter().filter(|request| request.method == "GET");
    assert!(questions.into_iter().all(|request| request.fields.get("authorization") == Some("Bearer a-token")));
}

#[tokio::test]
async fn a_homeserver_that_is_gone_lets_no_redaction_through() {
    let homeserver = Homeserver::answering(|_| b"HTTP/1.1 garbage\r\n\r\n".to_vec()).await;
    let host = builder(&homeserver, &json!({})).start().await;
    let answer = ask(&host, Version::Http1, "PUT", &format!("{CLIENT}/rooms/!a:home/redact/$e/1"), "{}").await;
    assert_refused(&answer, 403, "M_FORBIDDEN", "a redaction");
    assert!(homeserver.requests().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn users_who_said_nothing_have_a_permission() {
    let homeserver = Homeserver::answering(|request| {
        if request.target.contains("permissionconfig.v1") {
            Homeserver::response(404, r#"{"errcode":"M_NOT_FOUND","error":"no"}"#)
        } else {
            Homeserver::response(403, r#"{"errcode":"M_FORBIDDEN","error":"no"}"#)
        }
    })
    .await;
    let host = builder(&homeserver, &json!({ "invite_rejection_policy": "block all" })).start().await;
    let target = |kind: &str| format!("{CLIENT}/user/@a:home/account_data/de.gematik.tim.account.permissionconfig.{kind}");
    let answer = ask(&host, Version::Http1, "GET", &target("v1"), "").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, r#"{"defaultSetting":"block all"}"#));
    assert_eq!(ask(&host, Version::Http1, "GET", &target("pro.v1"), "").await.status, 403);
}

#[tokio::test]
async fn invitees_may_not_want_to_be_invited() {
    let homeserver = Homeserver::answering(|request| match request.target.as_str() {
        "/_synapse/admin/v1/users/%40b%3Ahome/accountdata" => {
            let config = json!({ "defaultSetting": "allow all", "userExceptions": { "@a:home": {} } });
            let global = json!({ "de.gematik.tim.account.permissionconfig.pro.v1": config });
            Homeserver::response(200, &json!({ "account_data": { "global": global } }).to_string())
        }
        "/_synapse/admin/v1/users/%40c%3Ahome/accountdata" => Homeserver::response(200, r#"{"account_data":{"global":{}}}"#),
        _ => Homeserver::response(200, "{}"),
    })
    .await;
    let options = json!({ "concept": "proxy", "home_domain": "home", "admin_token": "admin-token" });
    let host = builder(&homeserver, &options).start().await;
    for (user, status) in [("@b:home", 403), ("@c:home", 200), ("@b:other", 200)] {
        let body = json!({ "user_id": user }).to_string();
        let answer = ask(&host, Version::Http1, "POST", &format!("{CLIENT}/rooms/!a:home/invite"), body).await;
        assert_eq!(answer.status, status, "{user}: {}", answer.text());
    }
    let event = json!({ "event": { "sender": "@a:home", "state_key": "@b:home", "content": { "membership": "invite" } } });
    let answer = ask(&host, Version::Http1, "PUT", "/_matrix/federation/v2/invite/!a:other/$e", event.to_string()).await;
    assert_refused(&answer, 403, "M_FORBIDDEN", "a federated invitation");
    let event = |key: &str| json!({ "sender": "@a:home", "state_key": key, "content": { "membership": "invite" } });
    let mut decoy = event("@b:home");
    decoy["event"] = event("@c:home");
    let answer = ask(&host, Version::Http1, "PUT", "/_matrix/federation/v1/invite/!a:other/$e", decoy.to_string()).await;
    assert_refused(&answer, 403, "M_FORBIDDEN", "a federated invitation of version 1");
}

#[tokio::test]
async fn unknown_options_are_refused_with_a_hint() {
    let homeserver = Homeserver::start().await;
    let host = builder(&homeserver, &json!({})).start().await;
    let answer = host.admin().put_options("tim-rules", &json!({ "rules": { "thread": false } })).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("rules.thread") && answer.text().contains("`threads`"), "{}", answer.text());
    let answer = host.admin().put_options("tim-rules", &json!({ "rules": { "threads": false } })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let thread = r#"{"m.relates_to":{"rel_type":"m.thread"}}"#;
    let answer = ask(&host, Version::Http1, "PUT", &format!("{CLIENT}/rooms/!a:home/send/m.room.message/1"), thread).await;
    assert_eq!(answer.status, 200);
}
