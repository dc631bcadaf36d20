//! Whom users want to be invited by.

use tim_rules::TimRules;
use tollgate_sdk::{
    http::{Error, Request, Response},
    serde_json::{Value, json},
    testing::{Harness, TestRequest},
};

use super::common::{CLIENT, assert_passes, assert_refused, harness, verdict};

fn proxied(policy: &str) -> Value {
    json!({
        "concept": "proxy", "home_domain": "home.de", "admin_token": "secret",
        "invite_rejection_policy": policy, "insured_domains": ["kasse.de"],
    })
}

/// A homeserver on which the token is `@inviter:home.de`'s, and these account data are `@invitee:home.de`'s.
fn homeserver(options: &Value, global: Value) -> Harness<TimRules> {
    harness(options).with_http(move |request: &Request| match request.url.as_str() {
        "http://upstream.test/_matrix/client/v3/account/whoami" => {
            assert_eq!(request.headers, [("Authorization".to_owned(), b"Bearer t".to_vec())]);
            Ok(Response::new(200).with_body(r#"{"user_id":"@inviter:home.de"}"#))
        }
        "http://upstream.test/_synapse/admin/v1/users/%40invitee%3Ahome.de/accountdata" => {
            assert_eq!(request.headers, [("Authorization".to_owned(), b"Bearer secret".to_vec())]);
            Ok(Response::new(200).with_body(json!({ "account_data": { "global": global, "rooms": {} } }).to_string()))
        }
        other => Err(Error::Denied(other.to_owned())),
    })
}

fn pro(config: &Value) -> Value {
    json!({ "de.gematik.tim.account.permissionconfig.pro.v1": config })
}

fn invited(harness: &Harness<TimRules>, invitee: &str) -> (u16, String) {
    let request = TestRequest::post(&format!("{CLIENT}/rooms/!r:home.de/invite")).with_header("Authorization", "Bearer t");
    verdict(&harness.request(request.with_json(&json!({ "user_id": invitee }))))
}

#[test]
fn invitations_name_a_user() {
    let target = format!("{CLIENT}/rooms/!a:b/invite");
    let other = json!({ "medium": "email", "address": "a@b", "id_server": "c" }).to_string();
    assert_refused("POST", &target, &other, 400, "M_BAD_JSON");
    assert_refused("POST", &target, r#"{"user_id":7}"#, 400, "M_BAD_JSON");
    assert_refused("POST", &target, r#"{"user_id":"@a:b","user_id":"@c:d"}"#, 400, "M_BAD_JSON");
    for key in ["medium", "address", "id_server", "id_access_token"] {
        assert_refused("POST", &target, &json!({ "user_id": "@a:b", key: "x" }).to_string(), 400, "M_BAD_JSON");
        assert_refused("POST", &target, &json!({ "user_id": "@a:b", key: null }).to_string(), 400, "M_BAD_JSON");
    }
    assert_passes("POST", &target, r#"{"user_id":"@a:b"}"#);
}

#[test]
fn invitees_of_this_homeserver_are_asked_for() {
    let excepted = json!({ "@inviter:home.de": {} });
    for (policy, config, status) in [
        ("allow all", None, 200),
        ("block all", None, 403),
        ("block all", Some(json!({ "defaultSetting": "allow all" })), 200),
        ("allow all", Some(json!({ "defaultSetting": "block all" })), 403),
        ("allow all", Some(json!({ "defaultSetting": "allow all", "userExceptions": excepted })), 403),
        ("allow all", Some(json!({ "defaultSetting": "block all", "userExceptions": excepted })), 200),
        ("allow all", Some(json!({ "defaultSetting": "other" })), 403),
        ("allow all", Some(json!("no object")), 403),
    ] {
        let global = config.as_ref().map_or(json!({}), pro);
        assert_eq!(invited(&homeserver(&proxied(policy), global), "@invitee:home.de").0, status, "{policy} {config:?}");
    }
    // What others want, their own proxies know.
    assert_eq!(invited(&homeserver(&proxied("block all"), json!({})), "@a:other.de").0, 200);
    // Of the concept `client`, nobody is asked.
    assert_eq!(invited(&harness(&json!({ "invite_rejection_policy": "block all" })), "@invitee:home.de").0, 200);
}

#[test]
fn other_ways_to_invite_are_no_way_round() {
    let blocking = homeserver(&proxied("block all"), json!({}));
    let put = |target: &str, body: Value| {
        let request = TestRequest::put(&format!("{CLIENT}{target}")).with_header("Authorization", "Bearer t");
        verdict(&blocking.request(request.with_json(&body))).0
    };
    let member = "/rooms/!r:home.de/state/m.room.member/%40invitee%3Ahome.de";
    assert_eq!(put(member, json!({ "membership": "invite" })), 403);
    assert_eq!(put(member, json!({ "membership": "ban" })), 200);
    assert_eq!(put("/createRoom/1", json!({ "invite": ["@invitee:home.de"] })), 403);
    assert_eq!(put("/createRoom/1", json!({ "invite": ["@a:other.de"] })), 200);
}

#[test]
fn other_homeservers_invite_whom_they_may() {
    let event = |sender: &str, membership: &str| json!({ "type": "m.room.member", "sender": sender, "state_key": "@invitee:home.de", "content": { "membership": membership } });
    let put = |harness: &Harness<TimRules>, version: &str, body: &Value| {
        verdict(&harness.request(TestRequest::put(&format!("/_matrix/federation/{version}/invite/!r/$e")).with_json(body)))
    };
    let insured = pro(&json!({ "defaultSetting": "allow all", "groupExceptions": [{ "groupName": "isInsuredPerson" }] }));
    let harness = homeserver(&proxied("allow all"), insured);
    for (sender, membership, status) in
        [("@a:praxis.de", "invite", 200), ("@a:kasse.de", "invite", 403), ("@a:praxis.de", "join", 403)]
    {
        let event = event(sender, membership);
        assert_eq!(put(&harness, "v2", &json!({ "event": event, "room_version": "10" })).0, status, "{sender} {membership}");
        assert_eq!(put(&harness, "v1", &event).0, status, "{sender} {membership}");
    }
    // Each version is judged by what homeservers read of it.
    let (wanted, unwanted) = (event("@a:praxis.de", "invite"), event("@a:kasse.de", "invite"));
    let beside = |mut event: Value, other: &Value| {
        event["event"] = other.clone();
        event
    };
    assert_eq!(put(&harness, "v1", &beside(unwanted.clone(), &wanted)).0, 403);
    assert_eq!(put(&harness, "v1", &beside(wanted.clone(), &unwanted)).0, 200);
    assert_eq!(put(&harness, "v2", &beside(wanted.clone(), &unwanted)).0, 403);
    assert_eq!(put(&harness, "v2", &wanted).0, 403);
    assert_eq!(put(&harness, "v2", &json!({ "event": {} })), (403, "M_FORBIDDEN".to_owned()));
}

#[test]
fn homeservers_that_do_not_tell_let_nothing_through() {
    let answering = |answer: fn(&str) -> Result<Response, Error>| {
        let whoami =
            |url: &str| url.ends_with("/whoami").then(|| Ok(Response::new(200).with_body(r#"{"user_id":"@inviter:home.de"}"#)));
        harness(&proxied("allow all")).with_http(move |request| whoami(&request.url).unwrap_or_else(|| answer(&request.url)))
    };
    assert_eq!(invited(&answering(|_| Ok(Response::new(404))), "@invitee:home.de"), (502, "M_UNKNOWN".to_owned()));
    assert_eq!(
        invited(&answering(|_| Ok(Response::new(200).with_body("{}"))), "@invitee:home.de"),
        (502, "M_UNKNOWN".to_owned())
    );
    assert_eq!(invited(&answering(|_| Err(Error::Timeout)), "@invitee:home.de"), (403, "M_FORBIDDEN".to_owned()));
    let logged_out =
        harness(&proxied("allow all")).with_http(|_| Ok(Response::new(401).with_body(r#"{"errcode":"M_UNKNOWN_TOKEN"}"#)));
    assert_eq!(invited(&logged_out, "@invitee:home.de"), (401, "M_UNKNOWN_TOKEN".to_owned()));
}
