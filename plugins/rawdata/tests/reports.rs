//! What is reported, and what is not.
#![cfg(test)]
#![allow(clippy::panic, reason = "helpers of tests")]

use rawdata::Rawdata;
use tollgate_sdk::{
    Chunk, ChunkAction, FailureKind, Origin, UpstreamFailure, http,
    serde_json::{Value, from_slice, json},
    testing::{Exchange, Harness, TestRequest, TestResponse},
};

fn options() -> Value {
    json!({
        "url": "https://reports.test/add-performance-data", "profession_id": "1.2.3", "telematik_id": "5-2", "home_domain": "home.de",
        "outbound_listeners": ["out"],
    })
}

fn harness(options: Value) -> Harness<Rawdata> {
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

fn exchange(request: TestRequest) -> Exchange {
    harness(options()).exchange(request, |_| TestResponse::new(200).with_body("\u{e4}\u{e4}"))
}

fn reports(done: &Exchange) -> Vec<Value> {
    assert_eq!(done.failures, []);
    done.outbox.iter().map(|letter| from_slice(&letter.body).expect("JSON")).collect()
}

/// Operation of the one report; empty where there is none. The body comes in pieces of so many bytes.
fn operation_of(method: &str, path: &str, body: &str, piece: usize) -> String {
    let mut flow = harness(options()).flow(TestRequest::new(method, path).with_body(body));
    for data in body.as_bytes().chunks(piece) {
        let verdict = flow.request_chunk(Chunk { data: data.to_vec(), is_last: false });
        assert_eq!(verdict.map(|verdict| verdict.action), Ok(ChunkAction::Pass));
    }
    assert_eq!(flow.finish(Some(TestResponse::new(200))), Ok(()));
    let letters = flow.outbox();
    assert!(letters.len() <= 1);
    let operation = |letter: &http::Request| from_slice::<Value>(&letter.body).expect("JSON")["operation"].clone();
    letters.first().map(|letter| operation(letter).as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

fn operation(method: &str, path: &str, body: &str) -> String {
    operation_of(method, path, body, 7)
}

#[test]
fn a_report_has_all_that_is_known() {
    let agent = json!({
        "Produktversion": "1.9.0", "Produkttypversion": null, "Auspraegung": "Messenger-Client", "Plattform": "web",
        "OS": "Linux", "OS-Version": "6.1", "client_id": "abc", "Matrix-Domain": "other.de",
    });
    let request =
        TestRequest::post("/_matrix/client/v3/login").with_header("UserAgent", agent.to_string()).with_body("\u{1f600}");
    let done = exchange(request);
    let letter = done.outbox.first().expect("a letter");
    assert_eq!((letter.method.as_str(), letter.url.as_str()), ("POST", "https://reports.test/add-performance-data"));
    let expected = json!({
        "start": "2025-01-01T00:00:00.000Z",
        "durationInMs": 1,
        "operation": "MP_CLIENT_LOGIN_REQUEST_ACCESS_TOKEN",
        "status": 200,
        "message": {
            "Inst-ID": "TIM.UC_100 57_02", "M-Dom": "home.de", "UA-A": "Messenger-Client", "UA-cid": "abc", "UA-OS-VERSION": "6.1",
            "UA-OS": "Linux", "UA-P": "web", "UA-PV": "1.9.0", "profOID": "1.2.3", "Res": 200, "sizeIn": 4, "sizeOut": 4, "tID": "5-2",
        },
    });
    assert_eq!(reports(&done), [expected]);
}

#[test]
fn what_has_a_default_is_left_out() {
    let harness = harness(json!({ "url": "http://reports.test/" }));
    let done = harness.exchange(TestRequest::get("/_matrix/client/v3/login"), |_| TestResponse::new(500));
    let [report] = reports(&done).try_into().expect("one report");
    assert_eq!(report["message"], json!({ "Inst-ID": "TIM.UC_100 57_01", "profOID": "", "Res": 500 }));
}

#[test]
fn each_route_has_its_operation() {
    let (within, room) = ("MP_EXCHANGE_EVENT_WITHIN_ORGANISATION", "/_matrix/client/v3/rooms/!r:home.de");
    let client = "/_matrix/client/v3";
    let mut rows = vec![
        ("POST", format!("{client}/user/@a:home.de/openid/request_token"), "MP_CLIENT_LOGIN_REQUEST_OPENID_TOKEN"),
        ("POST", format!("{client}/user_directory/search"), "MP_INVITE_WITHIN_ORGANISATION_SEARCH"),
        ("POST", format!("{client}/createRoom"), within),
        ("POST", format!("{room}/invite"), within),
        ("GET", "/_matrix/federation/v1/event/$e".to_owned(), "MP_EXCHANGE_EVENT_OUTSIDE_ORGANISATION_RECEIVER"),
        ("PUT", "/_matrix/federation/v1/invite/!r/$e".to_owned(), "MP_INVITE_OUTSIDE_ORGANISATION_INVITE_RECEIVER"),
        ("PUT", "/_matrix/federation/v2/invite/!r/$e".to_owned(), "MP_INVITE_OUTSIDE_ORGANISATION_INVITE_RECEIVER"),
    ];
    for (method, paths) in [
        ("GET", "aliases joined_members members messages state state/m.room.name state/a/b context/$e event/$e"),
        ("POST", "ban forget join kick leave read_markers unban upgrade receipt/m.read/$e report/$e"),
        ("PUT", "state/m.room.name state/a/b send/m.room.message/1 redact/$e/1 typing/@a:b"),
    ] {
        rows.extend(paths.split(' ').map(|path| (method, format!("{room}/{path}"), within)));
    }
    for (method, paths) in [
        (
            "GET",
            "publicRooms joined_rooms directory/room/%23a directory/list/room/!r user/@a:b/rooms/!r/tags user/@a:b/rooms/!r/account_data/x",
        ),
        ("POST", "publicRooms join/!r knock/!r"),
        ("PUT", "directory/room/%23a directory/list/room/!r user/@a:b/rooms/!r/tags/t user/@a:b/rooms/!r/account_data/x"),
        ("DELETE", "directory/room/%23a user/@a:b/rooms/!r/tags/t"),
    ] {
        rows.extend(paths.split(' ').map(|path| (method, format!("{client}/{path}"), within)));
    }
    for path in ["hierarchy", "relations/$e", "relations/$e/m.thread", "relations/$e/m.thread/m.room.message"] {
        rows.push(("GET", format!("/_matrix/client/v1/rooms/!r/{path}"), within));
    }
    for (method, path, expected) in rows {
        assert_eq!(operation(method, &path, ""), expected, "{method} {path}");
    }
}

#[test]
fn other_requests_are_not_reported() {
    for (method, path) in [
        ("GET", "/_matrix/client/v3/sync"),
        ("GET", "/_matrix/client/v3/account/whoami"),
        ("POST", "/_matrix/client/v3/logout"),
        ("PUT", "/_matrix/client/v3/presence/@a:b/status"),
        ("DELETE", "/_matrix/client/v3/login"),
        ("OPTIONS", "/_matrix/client/v3/login"),
        ("GET", "/_matrix/client/v3/user/@a:b/account_data/x"),
        ("GET", "/_matrix/federation/v1/version"),
        ("POST", "/_matrix/media/v3/upload"),
        ("GET", "/_matrix/client/v3/rooms/!r/event"),
    ] {
        assert_eq!(operation(method, path, ""), "", "{method} {path}");
    }
}

#[test]
fn invitations_are_within_or_outside() {
    let (within, outside) = ("MP_INVITE_WITHIN_ORGANISATION_INVITE", "MP_INVITE_OUTSIDE_ORGANISATION_INVITE_SENDER");
    for (user, expected) in [("@a:home.de", within), ("@a:other.de", outside)] {
        let (one, list) = (json!({ "user_id": user }).to_string(), json!({ "invite": [user] }).to_string());
        assert_eq!(operation("POST", "/_matrix/client/v3/rooms/!r/invite", &one), expected);
        assert_eq!(operation("POST", "/_matrix/client/v3/createRoom", &list), expected);
    }
}

#[test]
fn large_invitations_are_not_looked_at() {
    let room = |bytes: usize| format!("{{\"invite\":[\"@a:home.de\"],\"x\":\"{}\"}}", "x".repeat(bytes - 32));
    for (bytes, is_known) in [((256 << 10) - 1, true), (256 << 10, true), ((256 << 10) + 1, false)] {
        let body = room(bytes);
        assert_eq!(body.len(), bytes);
        let operation = operation_of("POST", "/_matrix/client/v3/createRoom", &body, 64 << 10);
        assert_eq!(operation == "MP_INVITE_WITHIN_ORGANISATION_INVITE", is_known, "{bytes}: {operation}");
    }
}

#[test]
fn requests_of_homeservers_have_their_path_and_no_user_agent() {
    let agent = json!({ "OS": "Linux" }).to_string();
    let get = || TestRequest::get("/_matrix/federation/v1/event/$e?access_token=secret").with_header("useragent", &agent);
    let [report] = reports(&exchange(get())).try_into().expect("one report");
    assert_eq!(report["message"]["Inst-ID"], "TIM.UC_100 62_02/_matrix/federation/v1/event/$e");
    assert_eq!(report["message"].get("UA-OS"), None);
    let facts = tollgate_sdk::testing::Facts { listener: "out".to_owned(), ..Default::default() };
    let done = harness(options()).with_facts(facts).exchange(get(), |_| TestResponse::new(200));
    assert_eq!(
        reports(&done).first().map(|report| report["operation"].clone()),
        Some(json!("MP_EXCHANGE_EVENT_OUTSIDE_ORGANISATION_SENDER"))
    );
}

#[test]
fn what_another_addon_answered_is_not_reported() {
    let login = || TestRequest::get("/_matrix/client/v3/login");
    let refused = TestResponse { origin: Origin::Addon("fence".to_owned()), ..TestResponse::new(403) };
    assert_eq!(reports(&harness(options()).exchange(login(), |_| refused)), Vec::<Value>::new());
    let failure = UpstreamFailure { kind: FailureKind::Connect, message: "no".to_owned() };
    let [report] = reports(&harness(options()).exchange(login(), |_| failure)).try_into().expect("one report");
    assert_eq!(report["status"], 502);
}

#[test]
fn a_full_outbox_fails_nothing() {
    let login = || TestRequest::get("/_matrix/client/v3/login");
    for harness in [harness(options()).with_outbox_room(0), harness(options()).without_outbox()] {
        let done = harness.exchange(login(), |_| TestResponse::new(200));
        assert_eq!((done.response().status, done.failures.len(), done.outbox.len()), (200, 0, 0));
        assert_eq!(done.log.len(), 1);
    }
}

#[test]
fn without_a_url_it_is_idle() {
    assert!(harness(json!({ "home_domain": "a" })).subscriptions().is_empty());
    for (options, expected) in [
        (json!({ "url": "reports" }), "url: must be an http:// or https:// URL"),
        (json!({ "token": "a b" }), "token: must be a token: visible ASCII characters without spaces"),
        (json!({ "timeout_seconds": 0 }), "timeout_seconds: must be from 1 to 60"),
        (json!({ "timeout_seconds": 61 }), "timeout_seconds: must be from 1 to 60"),
        (json!({ "lifetime_seconds": 86_401 }), "lifetime_seconds: must be from 1 to 86400"),
    ] {
        let Err(errors) = Harness::<Rawdata>::configure(options.clone()) else { panic!("{options} is taken") };
        assert_eq!(errors.to_string(), expected);
    }
    assert!(Harness::<Rawdata>::configure(json!({ "timeout_seconds": 60, "lifetime_seconds": 86_400 })).is_ok());
    let Err(errors) = Harness::<Rawdata>::configure(json!({ "ur": "" })) else { panic!("it is taken") };
    assert!(errors.to_string().starts_with("ur: unknown field `ur`, expected one of `url`"), "{errors}");
}
