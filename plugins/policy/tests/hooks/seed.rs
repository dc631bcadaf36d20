//! The example of the manual.

use tollgate_sdk::{
    serde_json::{self, Value, json},
    testing::TestRequest,
};

use super::common::{answer, by, errcode, exchange, payloads, policy, reject, told, with_service};

/// As it is there, but for trailing commas, which the proxy takes off.
const EXAMPLE: &str = include_str!("seed.json");

fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap()
}

fn post(target: &str) -> TestRequest {
    by("me", TestRequest::post(target)).with_body("{}")
}

#[test]
fn it_loads_without_a_warning() {
    assert_eq!(policy(example()).log(), []);
}

#[test]
fn banning_is_forbidden_but_in_one_room() {
    let policy = policy(example());
    let done = exchange(&policy, post("/_matrix/client/r0/rooms/!some-room:server/ban"));
    let wanted = json!({ "errcode": "M_FORBIDDEN", "error": "Banning is forbidden on this server. We're nice like that!" });
    assert_eq!((done.response().status, done.response().json::<Value>()), (403, wanted));
    assert!(exchange(&policy, post("/_matrix/client/r0/rooms/!some-room-exception:server/ban")).sent.is_some());
    let get = by("me", TestRequest::get("/_matrix/client/r0/rooms/!some-room:server/ban"));
    assert!(exchange(&policy, get).sent.is_some());
}

#[test]
fn every_message_says_hello() {
    let request = by("me", TestRequest::put("/_matrix/client/r0/rooms/!a:b/send/m.room.message/1"));
    let done = exchange(&policy(example()), request.with_body(r#"{"msgtype":"m.text","body":"Bye"}"#));
    assert_eq!(done.sent.unwrap().text(), r#"{"msgtype":"m.text","body":"Hello!"}"#);
}

#[test]
fn rooms_are_created_as_the_service_says() {
    let create = || post("/_matrix/client/r0/createRoom");
    let harness = with_service(example(), |request| {
        let is_asked = request.url == "http://hook-rest-service:8080/reject/with-33-percent-chance";
        Ok(answer(&if is_asked { reject("M_UNLUCKY") } else { json!({}) }))
    });
    let done = exchange(&harness, create());
    assert_eq!((errcode(&done).as_deref(), told(&done).len()), (Some("M_UNLUCKY"), 1));

    let harness = with_service(example(), |_| Ok(answer(&json!({ "action": "pass.unmodified" }))));
    let done = exchange(&harness, create());
    let info = "We're asynchronously logging this /createRoom call and telling you about it here.";
    assert_eq!(done.response().json::<Value>(), json!({ "from": "homeserver", "info": info }));
    let told = payloads(&done);
    assert_eq!((told.len(), &told[1]["response"]["statusCode"]), (2, &json!(200)));

    let done = exchange(&policy(example()), create());
    assert_eq!(done.response().json::<Value>()["error"], "REST service down. Rejecting you to be on the safe side");
}

/// The JSON of the addon's page, of which the last one is the example about searching as it was meant.
fn page() -> Vec<Value> {
    let page = include_str!("../../README.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"))).collect()
}

#[test]
fn examples_of_the_page_load_and_do_what_they_say() {
    for example in page() {
        assert_eq!(policy(example).log(), []);
    }
    let policy = policy(page().pop().unwrap());
    let search = |request: TestRequest| exchange(&policy, request).response().status;
    let target = "/_matrix/client/v3/user_directory/search";
    let found =
        [by("george", TestRequest::post(target)), by("me", TestRequest::post(target)), TestRequest::post(target)].map(search);
    assert_eq!(found, [200, 403, 403]);
}

/// The rule is inverted: who is listed does not match it, and is not let pass. `README.md` has what was meant.
#[test]
fn searching_does_what_it_says_and_not_what_was_meant() {
    let policy = policy(example());
    let search =
        |user: &str| exchange(&policy, by(user, TestRequest::post("/_matrix/client/r0/user_directory/search"))).response().status;
    assert_eq!((search("george"), search("me")), (403, 200));
}
