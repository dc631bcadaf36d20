//! What is refused, and how.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::server;
use federation::Federation;
use tollgate_sdk::{
    Event, RequestVerdict,
    serde_json::{Value, json},
    testing::{Facts, Harness, TestRequest},
};

fn options(more: &Value) -> Value {
    let mut options = json!({
        "inbound": ["in"], "outbound": ["out"],
        "list": {"version": 1, "domainList": [{"domain": "a.de"}, {"domain": "b.de"}, {"domain": "[::1]:8449"}]},
    });
    for (key, value) in more.as_object().expect("an object") {
        options[key] = value.clone();
    }
    options
}

fn harness(listener: &str, more: &Value) -> Harness<Federation> {
    let facts = Facts { listener: listener.to_owned(), ..Facts::default() };
    Harness::configure(options(more)).expect("legal options").with_facts(facts).with_matched(Event::Request, &[0, 1, 2, 3])
}

/// 200, or status, code and text of the refusal.
fn judge(harness: &Harness<Federation>, request: TestRequest) -> (u16, String, String) {
    match harness.request(request).verdict.expect("no failure") {
        RequestVerdict::Next => (200, String::new(), String::new()),
        RequestVerdict::Refuse(refusal) => (refusal.status, refusal.errcode, refusal.error),
        verdict => panic!("{verdict:?}"),
    }
}

fn inbound(request: TestRequest) -> (u16, String, String) {
    judge(&harness("in", &json!({})), request)
}

/// A request to the destination's own host.
fn to(path: &str, destination: &str) -> TestRequest {
    let mut request = TestRequest::get(path);
    request.upstream = format!("https://{destination}:8448");
    request.with_header("Authorization", format!("X-Matrix origin=\"own.de\",destination=\"{destination}\",key=\"k\",sig=\"s\""))
}

fn refusal(status: u16, errcode: &str, error: &str) -> (u16, String, String) {
    (status, errcode.to_owned(), error.to_owned())
}

#[test]
fn servers_are_known_by_their_origin() {
    assert_eq!(inbound(server("a.de")).0, 200);
    assert_eq!(inbound(server("A.DE")).0, 200);
    assert_eq!(inbound(server("[0:0::1]:8449")).0, 200);
    let unlisted = refusal(403, "M_FORBIDDEN", "not part of federation");
    for origin in ["c.de", "a.de:8448", "[::1]", "x.a.de", "a.de.c.de"] {
        assert_eq!(inbound(server(origin)), unlisted, "{origin}");
    }
    for origin in ["a.de.", "a.de/", "", "a.de:", " a.de"] {
        assert_eq!(inbound(server(origin)).0, 401, "{origin}");
    }
    let missing = refusal(401, "M_UNAUTHORIZED", "missing X-Matrix authorization header with origin field");
    let request = || TestRequest::get("/_matrix/federation/v1/version");
    assert_eq!(inbound(request()), missing);
    assert_eq!(inbound(request().with_header("Authorization", "Bearer a.de")), missing);
    assert_eq!(inbound(request().with_header("Authorization", "X-Matrix key=\"1\"")), missing);
    let several = |other: &str| inbound(server("a.de").with_header("Authorization", other));
    assert_eq!(several("X-Matrix origin=a.de").0, 200);
    assert_eq!(several("X-Matrix origin=b.de").0, 401);
    assert_eq!(several("X-Matrix origin=c.de").0, 401);
    assert_eq!(several("Bearer x").0, 401);
}

#[test]
fn some_paths_need_no_server() {
    for path in ["/_matrix/key/v2/server", "/.well-known/matrix/server", "/_matrix/federation/v1/openid/userinfo?access_token=x"]
    {
        assert_eq!(inbound(TestRequest::get(path)).0, 200, "{path}");
    }
    assert_eq!(inbound(TestRequest::get("/_matrix/federation/v1/openid/../version")).0, 401);
}

#[test]
fn media_are_of_listed_servers() {
    let unlisted = refusal(403, "M_FORBIDDEN", "c.de is not part of the federation");
    for prefix in ["/_matrix/media/v3/download", "/_matrix/client/v1/media/thumbnail"] {
        assert_eq!(inbound(TestRequest::get(&format!("{prefix}/a.de/1"))).0, 200, "{prefix}");
        assert_eq!(inbound(TestRequest::get(&format!("{prefix}/A%2ede/1"))).0, 200, "{prefix}");
        assert_eq!(inbound(TestRequest::get(&format!("{prefix}/c.de/1"))), unlisted, "{prefix}");
        assert_eq!(inbound(TestRequest::get(&format!("{prefix}/..%2fa.de/1"))).0, 403, "{prefix}");
    }
    let with = |path: &str| server("a.de").with_path(path);
    assert_eq!(inbound(with("/_matrix/media/r0/download/a.de/1")).0, 200);
    assert_eq!(inbound(with("/_matrix/media/r0/download/c.de/1")).0, 403);
    assert_eq!(inbound(TestRequest::get("/_matrix/media/r0/download/a.de/1")).0, 401);
}

trait WithPath {
    fn with_path(self, path: &str) -> Self;
}

impl WithPath for TestRequest {
    fn with_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path_and_query);
        self
    }
}

#[test]
fn users_are_invited_from_listed_servers() {
    let unlisted = refusal(403, "M_FORBIDDEN", "c.de is not part of the federation");
    let room = |body: Value| inbound(TestRequest::post("/_matrix/client/v3/createRoom").with_json(&body));
    assert_eq!(room(json!({"invite": ["@u:a.de", "@v:b.de"], "name": "x"})).0, 200);
    assert_eq!(room(json!({})).0, 200);
    assert_eq!(room(json!({"invite": null})).0, 200);
    assert_eq!(room(json!({"invite": ["@u:a.de", "@v:c.de"]})), unlisted);
    let bad = refusal(400, "M_BAD_JSON", "Failed to deserialize request body");
    for body in [json!({"invite": "@u:a.de"}), json!([]), json!({"invite": ["u"]}), json!(null), json!([["@u:a.de"]])] {
        assert_eq!(room(body.clone()), bad, "{body}");
    }
    let invite = |body: &str| inbound(TestRequest::post("/_matrix/client/v3/rooms/!r:a.de/invite").with_body(body));
    assert_eq!(invite(r#"{"user_id":"@u:a.de"}"#).0, 200);
    assert_eq!(invite(r#"{"user_id":"@u:c.de"}"#), unlisted);
    assert_eq!(invite(r#"{"user_id":"@u:a.de","user_id":"@u:c.de"}"#), bad);
    assert_eq!(invite(r#"{"medium":"email","address":"x"}"#), refusal(400, "M_BAD_JSON", "InviteUser.Request.userId is missing"));
    let member = |user: &str, membership: &str| {
        let path = format!("/_matrix/client/v3/rooms/!r:a.de/state/m.room.member/{user}");
        inbound(TestRequest::put(&path).with_json(&json!({"membership": membership})))
    };
    assert_eq!(member("@u:a.de", "invite").0, 200);
    assert_eq!(member("@u:c.de", "invite"), unlisted);
    assert_eq!(member("@u%3Ac.de", "invite"), unlisted);
    assert_eq!(member("@u:c.de", "ban").0, 200);
}

#[test]
fn invitations_between_servers_are_of_listed_users() {
    for side in ["in", "out"] {
        let harness = harness(side, &json!({}));
        let invite = |version: &str, body: Value| {
            let path = format!("/_matrix/federation/{version}/invite/!r:a.de/$e");
            let mut request = to(&path, "a.de").with_json(&body);
            "PUT".clone_into(&mut request.method);
            request.headers.retain(|(name, _)| name != "Authorization");
            let field = "X-Matrix origin=\"a.de\",destination=\"a.de\",key=\"k\",sig=\"s\"";
            judge(&harness, request.with_header("Authorization", field))
        };
        let event = |invited: &str, sender: &str| json!({"state_key": invited, "sender": sender});
        let whole = |invited: &str, sender: &str| json!({"room_version": "10", "event": event(invited, sender)});
        let unlisted = refusal(403, "M_FORBIDDEN", "c.de is not part of the federation");
        assert_eq!(invite("v2", whole("@u:a.de", "@v:b.de")).0, 200, "{side}");
        assert_eq!(invite("v2", whole("@u:c.de", "@v:b.de")), unlisted, "{side}");
        assert_eq!(invite("v2", whole("@u:a.de", "@v:c.de")), unlisted, "{side}");
        assert_eq!(invite("v1", event("@u:a.de", "@v:b.de")).0, 200, "{side}");
        assert_eq!(invite("v1", event("@u:a.de", "@v:c.de")), unlisted, "{side}");
        assert_eq!(invite("v1", json!({"sender": "@u:a.de"})).0, 400, "{side}");
        // A body with both is judged by what homeservers read of it.
        for (invited, sender) in [("@u:c.de", "@v:b.de"), ("@u:a.de", "@v:c.de")] {
            let decoy = json!({"state_key": "@u:a.de", "sender": "@u:a.de", "event": event(invited, sender)});
            assert_eq!(invite("v2", decoy), unlisted, "{side}");
            let decoy = json!({"state_key": invited, "sender": sender, "event": event("@u:a.de", "@u:a.de")});
            assert_eq!(invite("v1", decoy), unlisted, "{side}");
        }
        assert_eq!(invite("v2", event("@u:a.de", "@v:b.de")).0, 400, "{side}");
        assert_eq!(invite("v1", whole("@u:a.de", "@v:b.de")).0, 400, "{side}");
    }
}

#[test]
fn nobody_is_invited_by_the_first_state_of_a_room() {
    let room = |state: Value| {
        let room = json!({"initial_state": [{"type": "m.room.topic", "content": {}}, state]});
        inbound(TestRequest::post("/_matrix/client/v3/createRoom").with_json(&room))
    };
    let member = |user: &str| json!({"type": "m.room.member", "state_key": user, "content": {"membership": "invite"}});
    assert_eq!(room(member("@u:a.de")).0, 200);
    assert_eq!(room(member("@u:c.de")), refusal(403, "M_FORBIDDEN", "c.de is not part of the federation"));
    assert_eq!(room(json!({"type": "m.room.member"})).0, 400);
    assert_eq!(room(json!({"type": "m.room.name", "state_key": "@u:c.de"})).0, 200);
}

#[test]
fn nobody_is_invited_by_an_address() {
    let no_user = refusal(400, "M_BAD_JSON", "InviteUser.Request.userId is missing");
    for key in ["medium", "address", "id_server", "id_access_token"] {
        let body = json!({"user_id": "@u:a.de", key: "x"});
        let invite = TestRequest::post("/_matrix/client/v3/rooms/!r:a.de/invite").with_json(&body);
        assert_eq!(inbound(invite), no_user, "{key}");
        let body = json!({"user_id": "@u:a.de", key: null});
        let invite = TestRequest::post("/_matrix/client/v3/rooms/!r:a.de/invite").with_json(&body);
        assert_eq!(inbound(invite), no_user, "{key}: null");
    }
    let room = |invited: Value| {
        let body = json!({"invite": ["@u:a.de"], "invite_3pid": invited});
        inbound(TestRequest::post("/_matrix/client/v3/createRoom").with_json(&body))
    };
    assert_eq!(room(json!([{"medium": "email", "address": "x"}])), no_user);
    assert_eq!(room(json!([])).0, 200);
}

#[test]
fn bodies_that_are_judged_have_no_coding() {
    let room = |coding: &str| {
        let room = TestRequest::post("/_matrix/client/v3/createRoom").with_json(&json!({"invite": ["@u:a.de"]}));
        inbound(room.with_header("Content-Encoding", coding))
    };
    let coded = refusal(415, "M_UNRECOGNIZED", "a body with a Content-Encoding is not taken here");
    for coding in ["gzip", "x-unknown", "identity, gzip"] {
        assert_eq!(room(coding), coded, "{coding}");
    }
    assert_eq!(room("Identity").0, 200);
    assert_eq!(inbound(server("a.de").with_header("Content-Encoding", "gzip")).0, 200);
}

#[test]
fn own_users_are_of_a_listed_server_too() {
    for (own, expected) in [("a.de", 200), ("own.de", 403)] {
        let harness = harness("in", &json!({"server_name": own}));
        let room = TestRequest::post("/_matrix/client/v3/createRoom").with_json(&json!({"invite": ["@u:a.de"]}));
        assert_eq!(judge(&harness, room).0, expected, "{own}");
    }
}

#[test]
fn outbound_the_destination_is_listed() {
    let harness = harness("out", &json!({}));
    let missing = refusal(401, "M_UNAUTHORIZED", "missing X-Matrix authorization header with destination field");
    let path = "/_matrix/federation/v1/send/1";
    assert_eq!(judge(&harness, to(path, "a.de")).0, 200);
    assert_eq!(judge(&harness, to(path, "c.de")), refusal(403, "M_FORBIDDEN", "not part of federation"));
    assert_eq!(judge(&harness, TestRequest::get(path)), missing);
    assert_eq!(judge(&harness, TestRequest::get(path).with_header("Authorization", "X-Matrix origin=a.de")), missing);
    // What is of no known kind is no better.
    assert_eq!(judge(&harness, TestRequest::get("/index.html")), missing);
    for path in ["/_matrix/key/v2/server", "/_matrix/push/v1/notify", "/recaptcha/api/siteverify", "/.well-known/matrix/server"] {
        assert_eq!(judge(&harness, TestRequest::get(path)).0, 200, "{path}");
    }
    assert_eq!(judge(&harness, TestRequest::get("/_matrix/push/../federation/v1/version")), missing);
    assert_eq!(judge(&harness, TestRequest::get("/_matrix/pusher")), missing);
}

#[test]
fn unchecked_paths_and_hosts_are_a_choice() {
    let harness = harness("out", &json!({"unchecked_paths": [], "unchecked_hosts": ["SSO.de"]}));
    assert_eq!(judge(&harness, TestRequest::get("/_matrix/push/v1/notify")).0, 401);
    let at = |host: &str| {
        let mut request = TestRequest::get("/auth/login");
        request.upstream = format!("https://{host}");
        judge(&harness, request).0
    };
    assert_eq!((at("sso.de"), at("sso.de:8443"), at("x.sso.de"), at("sso.de.x")), (200, 200, 401, 401));
}

#[test]
fn other_listeners_are_not_looked_at() {
    let harness = harness("other", &json!({}));
    assert_eq!(judge(&harness, server("c.de")).0, 200);
}

#[test]
fn without_enforcement_nobody_is_asked() {
    for options in [options(&json!({"enforce": false})), json!({"inbound": ["in"], "enforce": false}), json!({})] {
        let harness = Harness::<Federation>::configure(options).expect("legal options");
        assert!(harness.subscriptions().is_empty());
    }
}

#[test]
fn texts_can_be_others() {
    let texts = json!({"texts": {"domain_not_listed": "{domain} kann nicht in der Föderation gefunden werden"}});
    let request = TestRequest::get("/_matrix/media/v3/download/c.de/1");
    let (_, _, text) = judge(&harness("in", &texts), request);
    assert_eq!(text, "c.de kann nicht in der Föderation gefunden werden");
}

#[test]
fn bad_options_are_named() {
    for (more, part) in [
        (json!({"url": "https://a.test"}), "list: must not be set where \"url\" is"),
        (json!({"list": null}), "url: must be set, or \"list\""),
        (json!({"list": {"version": 1}}), "list: the list is none: missing field `domainList`"),
        (json!({"list": null, "url": "ftp://a"}), "url: must be a URL"),
        (json!({"interval": "999ms"}), "interval: is \"999ms\", must be a duration from 1s to 1day"),
        (json!({"interval": "soon"}), "interval"),
        (json!({"timeout": "99ms"}), "timeout"),
        (json!({"timeout": "46s"}), "timeout"),
        (json!({"version_parameter": "a b"}), "version_parameter"),
        (json!({"outbound": ["in"]}), "outbound[0]: \"in\" is in \"inbound\", too"),
        (json!({"inbound": ["it's"]}), "inbound[0]"),
        (json!({"server_name": "a b"}), "server_name"),
        (json!({"unchecked_paths": ["/"]}), "unchecked_paths[0]"),
        (json!({"unchecked_paths": ["a"]}), "unchecked_paths[0]"),
        (json!({"unchecked_hosts": ["a:1"]}), "unchecked_hosts[0]"),
        (json!({"texts": {"no_list": ""}}), "texts.no_list"),
        (json!({"texts": {"nothing": "x"}}), "texts.nothing"),
        (json!({"unknown": 1}), "unknown"),
    ] {
        let error = Harness::<Federation>::configure(options(&more)).expect_err("illegal").to_string();
        assert!(error.contains(part), "{more}: {error}");
    }
    for more in [json!({"interval": "1s"}), json!({"interval": "1day"}), json!({"timeout": "100ms"}), json!({"timeout": "45s"})] {
        assert!(Harness::<Federation>::configure(options(&more)).is_ok(), "{more}");
    }
}
