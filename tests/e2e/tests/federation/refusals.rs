//! Who is not spoken with.

use serde_json::{Value, json};
use tollgate_e2e::{Federation, Home, encoded, json_request};
use tollgate_tests::{Authority, Curl, Echo, eventually};

const QUERY: &str = "/_matrix/federation/v1/query/profile";

/// The path of a profile as clients ask for it.
fn profile(user: &str) -> String {
    format!("/_matrix/client/v3/profile/{}/displayname", encoded(user))
}

/// What somebody gets who asks the proxy in the place of its homeserver, with this in X-Matrix.
async fn sent_out(home: &Home, server: &str, fields: &str) -> (u16, String) {
    let url = format!("https://{server}{QUERY}?user_id=%40a%3A{server}");
    let curl = Curl::new(&url).args(&["--noproxy", "", "--proxy", &home.tollgate.url_of("outbound"), "--cacert"]);
    let answer = curl.arg(home.authority()).args(&["--header", &format!("Authorization: X-Matrix {fields}")]).run().await;
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

pub(crate) async fn strangers_in_disguise_are_not_spoken_with(federation: &Federation) {
    let [one, other] = &federation.homes;
    let strangers = Authority::new();
    let origin = Echo::tls(&strangers.localhost(), &["http/1.1"]).await;
    let name = format!("localhost:{}", origin.address().port());
    federation.registration.list(&[&one.name, &other.name, &name]);
    let user = format!("@nobody:{name}");
    for home in &federation.homes {
        let mut alice = home.user("alice").await;
        // Once the list is there, it is the certificate that nobody takes.
        eventually(async || {
            let answer = alice.ask("GET", &profile(&user), &Value::Null).await;
            assert!(!answer.status.is_success(), "{}", answer.text());
            home.flows("outbound", QUERY).await.first().is_some_and(|flow| flow.ends_with(" 502"))
        })
        .await;
    }
    federation.registration.list(&[&one.name, &other.name]);
    assert_eq!(origin.requests(), 0);
}

pub(crate) async fn paths_outside_of_the_table_go_nowhere(federation: &Federation) {
    let mut client = federation.homes[0].client().await;
    for (method, target, status, errcode) in [
        ("GET", "/_matrix/federation/v1/timestamp_to_event/%21a%3Ab", 404, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/client/v3/voip/turnServer", 404, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/federation/v1/send/1", 405, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/federation/v1/publicRooms", 403, "M_FORBIDDEN"),
        ("GET", "/_matrix/federation/v1/query/directory", 400, "M_MISSING_PARAM"),
    ] {
        let answer = client.ask(json_request(method, target, &Value::Null)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errcode"]), (status, &json!(errcode)), "{method} {target}");
    }
}

pub(crate) async fn unlisted_servers_are_not_asked(federation: &Federation) {
    let origin = Echo::tls(&federation.internet.localhost(), &["http/1.1"]).await;
    let name = format!("localhost:{}", origin.address().port());
    let user = format!("@nobody:{name}");
    for home in &federation.homes {
        let mut alice = home.user("alice").await;
        let before = home.flows("outbound", QUERY).await.len();
        let answer = alice.ask("GET", &profile(&user), &Value::Null).await;
        assert!(!answer.status.is_success(), "{}", answer.text());
        let refused = home.flows("outbound", QUERY).await;
        assert!(refused.len() > before && refused[0].ends_with(" 403"), "{refused:?}");
        // Nor do clients get to invite anybody there.
        let room = alice.create_room(&json!({ "preset": "private_chat" })).await;
        let target = format!("/_matrix/client/v3/rooms/{room}/invite");
        let answer = alice.ask("POST", &target, &json!({ "user_id": user })).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errcode"]), (403, &json!("M_FORBIDDEN")), "{}", answer.text());
        let answer = alice.ask("POST", "/_matrix/client/v3/createRoom", &json!({ "invite": [user] })).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errcode"]), (403, &json!("M_FORBIDDEN")), "{}", answer.text());
        let media = format!("/_matrix/client/v1/media/download/{name}/abc");
        assert_eq!(alice.ask("GET", &media, &Value::Null).await.status, 403);
    }
    assert_eq!(origin.requests(), 0);
}

pub(crate) async fn unlisted_servers_are_not_heard(federation: &Federation) {
    let [one, other] = &federation.homes;
    let mut client = one.client().await;
    for (authorization, status, errcode) in [
        (None, 401, "M_UNAUTHORIZED"),
        (Some("X-Matrix key=\"ed25519:a\",sig=\"AA\"".to_owned()), 401, "M_UNAUTHORIZED"),
        (Some("X-Matrix origin=\"unlisted.example\",key=\"ed25519:a\",sig=\"AA\"".to_owned()), 403, "M_FORBIDDEN"),
        (Some(format!("X-Matrix origin=\"{}.\",key=\"ed25519:a\",sig=\"AA\"", other.name)), 401, "M_UNAUTHORIZED"),
        // Listed for whom quotes count, and not for whom commas do, such as the homeserver.
        (
            Some(format!("X-Matrix origin=\"{}\",x=\"a,origin=unlisted.example,key=ed25519:a,sig=AA,y=\"", other.name)),
            401,
            "M_UNAUTHORIZED",
        ),
    ] {
        let answer = client.ask(query(authorization.as_deref())).await;
        let page = answer.json();
        assert_eq!((answer.status.as_u16(), &page["errcode"]), (status, &json!(errcode)), "{authorization:?}: {page}");
    }
    assert_eq!(one.synapse.received("marker-of-refusals"), Vec::<String>::new());
    // Listed, but it never said that: the homeserver finds out, or the proxy where it verifies.
    for (home, claimed) in [(one, other), (other, one)] {
        let claim = format!("X-Matrix origin=\"{}\",key=\"ed25519:a\",sig=\"AA\"", claimed.name);
        assert_eq!(home.client().await.ask(query(Some(&claim))).await.status, 401);
    }
    assert_eq!(other.synapse.received("marker-of-refusals"), Vec::<String>::new());
}

/// A question of one homeserver to another.
fn query(authorization: Option<&str>) -> http::Request<tollgate_tests::BoxBody> {
    let mut request = json_request("GET", &format!("{QUERY}?user_id=%40marker-of-refusals%3Ab"), &Value::Null);
    if let Some(authorization) = authorization {
        request.headers_mut().insert("authorization", authorization.parse().expect("a value"));
    }
    request
}

pub(crate) async fn claims_lead_nowhere(federation: &Federation) {
    let [one, other] = &federation.homes;
    let origin = Echo::tls(&federation.internet.localhost(), &["http/1.1"]).await;
    let unlisted = format!("localhost:{}", origin.address().port());
    let own = &one.name;
    let fields = |destination: &str| format!("origin=\"{own}\",destination=\"{destination}\",key=\"ed25519:a\",sig=\"AA\"");
    // What is claimed is on the list, where it goes is not; and the other way round.
    assert_eq!(sent_out(one, &unlisted, &fields(&other.name)).await.0, 403);
    assert_eq!(sent_out(one, &other.name, &fields(&unlisted)).await.0, 403);
    assert_eq!(sent_out(one, &unlisted, &fields(&unlisted)).await.0, 403);
    assert_eq!(sent_out(one, &unlisted, &format!("origin=\"{own}\"")).await.0, 401);
    assert_eq!(origin.requests(), 0);
    // It arrives where both are the same, and is no proof there.
    let before = other.flows("inbound", QUERY).await.len();
    let (status, text) = sent_out(one, &other.name, &fields(&other.name)).await;
    assert_eq!(status, 401, "{text}");
    assert_eq!(other.flows("inbound", QUERY).await.len(), before + 1);
}

pub(crate) async fn who_leaves_the_list_is_heard_no_more(federation: &Federation) {
    let [one, other] = &federation.homes;
    let (mut alice, mut bob) = (one.user("alice").await, other.user("bob").await);
    let all = [one.name.as_str(), other.name.as_str()];
    assert_eq!(bob.ask("GET", &profile(&alice.id), &Value::Null).await.status, 200);
    federation.registration.list(&all[..1]);
    // Each asks for the list anew, and then knows nobody but the first.
    eventually(async || alice.ask("GET", &profile(&bob.id), &Value::Null).await.status != 200).await;
    eventually(async || bob.ask("GET", &profile(&alice.id), &Value::Null).await.status != 200).await;
    let last = |flows: Vec<String>| flows.first().is_some_and(|flow| flow.ends_with(" 403"));
    assert!(last(one.flows("outbound", QUERY).await));
    federation.registration.list(&all);
    eventually(async || alice.ask("GET", &profile(&bob.id), &Value::Null).await.status == 200).await;
    eventually(async || bob.ask("GET", &profile(&alice.id), &Value::Null).await.status == 200).await;
}

pub(crate) async fn rules_hold_for_clients(federation: &Federation) {
    let [one, other] = &federation.homes;
    let (mut alice, bob) = (one.user("alice").await, other.user("bob").await);
    let room = alice.create_room(&json!({ "preset": "private_chat" })).await;
    let thread = json!({ "msgtype": "m.text", "body": "a", "m.relates_to": { "rel_type": "m.thread", "event_id": "$a" } });
    let message = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/1");
    let public = format!("/_matrix/client/v3/rooms/{room}/state/m.room.join_rules");
    for (method, target, body, status, errcode) in [
        ("POST", "/_matrix/client/v3/createRoom", json!({ "room_version": "11" }), 400, "M_UNSUPPORTED_ROOM_VERSION"),
        ("POST", "/_matrix/client/v3/createRoom", json!({ "invite": [bob.id, alice.id] }), 403, "M_FORBIDDEN"),
        // The homeserver itself has another code for a thread of nothing.
        ("PUT", message.as_str(), thread, 400, "M_FORBIDDEN"),
        ("PUT", public.as_str(), json!({ "join_rule": "public" }), 400, "M_INVALID_ROOM_STATE"),
    ] {
        let answer = alice.ask(method, target, &body).await;
        let page = answer.json();
        assert_eq!((answer.status.as_u16(), &page["errcode"]), (status, &json!(errcode)), "{method} {target} {body}: {page}");
    }
    let state = alice.get(&format!("/_matrix/client/v3/rooms/{room}/state/m.room.create/")).await;
    assert_eq!(state["room_version"], "10");
}
