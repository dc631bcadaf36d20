//! Who is not spoken with.

use serde_json::{Value, json};
use tollgate_e2e::{Federation, encoded, json_request};
use tollgate_tests::{Authority, Echo};

pub(crate) async fn strangers_in_disguise_are_not_spoken_with(federation: &Federation) {
    let strangers = Authority::new();
    let origin = Echo::tls(&strangers.localhost(), &["http/1.1"]).await;
    for home in &federation.homes {
        let mut alice = home.user("alice").await;
        let name = format!("localhost:{}", origin.address().port());
        let target = format!("/_matrix/client/v3/profile/{}", encoded(&format!("@nobody:{name}")));
        let answer = alice.ask("GET", &target, &Value::Null).await;
        assert!(!answer.status.is_success(), "{}", answer.text());
    }
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
