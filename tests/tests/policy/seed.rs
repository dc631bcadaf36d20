//! The policy of `examples/policy/` at work.

use http::Method;
use serde_json::json;
use tollgate_tests::{
    addons::{Guarded, Homeserver, Service},
    eventually,
};

const POLICY: &str = include_str!("../../../examples/policy/policy.json");
const CREATE: &str = "/_matrix/client/r0/createRoom";
const SEARCH: &str = "/_matrix/client/r0/user_directory/search";

/// Under the example's policy, as it is written but for the service: it asks `chance`, and tells `dump`.
async fn enforced(chance: &str, dump: &str) -> Guarded {
    let guarded = Guarded::by(&json!({})).await;
    enforce(&guarded, &with_service(chance, dump)).await;
    guarded
}

fn with_service(chance: &str, dump: &str) -> String {
    POLICY
        .replace("http://hook-rest-service:8080/reject/with-33-percent-chance", chance)
        .replace("http://hook-rest-service:8080/dump", dump)
}

async fn enforce(guarded: &Guarded, policy: &str) {
    let answer = guarded.host.admin().send(Method::PUT, "/addons/policy/options", policy.to_owned()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let warnings = answer.json()["warnings"].clone();
    assert_eq!(warnings.as_array().map(Vec::len), Some(2), "its two needless commas: {warnings}");
}

#[tokio::test]
async fn banning_is_forbidden_but_for_one_room() {
    let service = Service::start().await;
    let guarded = enforced(&service.at("/"), &service.at("/")).await;
    for (room, token, expected) in [
        ("!some-room:server", Some("george-token"), 403),
        ("%21some-room%3Aserver", Some("george-token"), 403),
        ("!some-room-exception:server", Some("george-token"), 200),
        ("!other-room:server", Some("george-token"), 200),
        ("!some-room:server", None, 200),
    ] {
        let answer = guarded.ask("POST", &format!("/_matrix/client/r0/rooms/{room}/ban"), token, "{}").await;
        assert_eq!(answer.status.as_u16(), expected, "{room} {token:?}: {}", answer.text());
        if expected == 403 {
            let expected =
                json!({"errcode": "M_FORBIDDEN", "error": "Banning is forbidden on this server. We're nice like that!"});
            assert_eq!(answer.json(), expected);
        }
    }
}

#[tokio::test]
async fn every_message_says_hello() {
    let service = Service::start().await;
    let guarded = enforced(&service.at("/"), &service.at("/")).await;
    let target = "/_matrix/client/r0/rooms/!a:server/send/m.room.message/1";
    let body = r#"{"msgtype":"m.text","body":"no"}"#;
    assert_eq!(guarded.ask("PUT", target, Some("george-token"), body).await.status, 200);
    assert_eq!(guarded.homeserver.last_request().text(), r#"{"msgtype":"m.text","body":"Hello!"}"#);
    let other = "/_matrix/client/r0/rooms/!a:server/send/m.room.topic/1";
    assert_eq!(guarded.ask("PUT", other, Some("george-token"), body).await.status, 200);
    assert_eq!(guarded.homeserver.last_request().text(), body);
}

#[tokio::test]
async fn room_creation_is_consulted_and_told() {
    let service = Service::start().await;
    let pass = service.telling(r#"{"action":"pass.unmodified"}"#);
    let reject = service.telling(
        r#"{"action":"reject","responseStatusCode":403,"rejectionErrorCode":"M_FORBIDDEN","rejectionErrorMessage":"luck"}"#,
    );
    let dump = service.told(r#"{"action":"pass.unmodified"}"#);
    let (dump_path, dump_url) = (format!("/told/{dump}"), service.at(&format!("/told/{dump}")));
    let room = r#"{"name":"Room name","preset":"private_chat"}"#;
    let down = "REST service down. Rejecting you to be on the safe side";
    for (chance, expected) in [(pass, Ok(())), (reject, Err("luck")), (service.at("/closed"), Err(down))] {
        let guarded = enforced(&chance, &dump_url).await;
        let told = service.asked(&dump_path).len();
        let answer = guarded.ask("POST", CREATE, Some("george-token"), room).await;
        let Err(message) = expected else {
            let info = "We're asynchronously logging this /createRoom call and telling you about it here.";
            assert_eq!((answer.status.as_u16(), &answer.json()["info"]), (200, &json!(info)));
            eventually(async || service.asked(&dump_path).len() == told + 1).await;
            let payload = service.asked(&dump_path).pop().expect("a call");
            assert_eq!(payload["meta"]["hookId"], "custom-hook-to-capture-and-log-room-creation-details");
            assert_eq!(payload["meta"]["authenticatedMatrixUserId"], "@george:home");
            assert_eq!(
                (&payload["request"]["payload"], &payload["response"]["payload"]),
                (&json!(room), &json!(Homeserver::ANSWER))
            );
            let asked = service.origin().requests();
            assert!(asked.iter().all(|request| request.fields.get("authorization") == Some("Bearer SOME_TOKEN")));
            continue;
        };
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (403, &json!(message)), "{chance}");
        assert_eq!(guarded.homeserver.requests().len(), 0);
    }
}

/// Its `invert` makes the first of the two hooks match all but the three users: what the document says of `invert` holds here, and
/// not what it says of the example.
#[tokio::test]
async fn the_directory_is_closed_to_the_three_users_as_the_rule_says() {
    let service = Service::start().await;
    let guarded = enforced(&service.at("/"), &service.at("/")).await;
    for (token, expected) in [
        (Some("george-token"), 403),
        (Some("peter-token"), 403),
        (Some("admin-token"), 403),
        (Some("paul-token"), 200),
        (None, 200),
    ] {
        assert_eq!(guarded.ask("POST", SEARCH, token, "{}").await.status.as_u16(), expected, "{token:?}");
    }
    let wrong = r#"{"type": "matrixUserID", "regex": "^@(george|peter|admin):", "invert": true}"#;
    assert!(POLICY.contains(wrong));
    let corrected = with_service(&service.at("/"), &service.at("/")).replace(wrong, &wrong.replace("true", "false"));
    enforce(&guarded, &corrected).await;
    for (token, expected) in [(Some("george-token"), 200), (Some("paul-token"), 403), (None, 403)] {
        assert_eq!(guarded.ask("POST", SEARCH, token, "{}").await.status.as_u16(), expected, "{token:?}");
    }
}
