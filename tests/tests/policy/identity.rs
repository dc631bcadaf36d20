//! Who is asking: what the homeserver is asked, what is kept of its answers, and when that is forgotten.

use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, Version,
    addons::{Guarded, Homeserver, hooks},
    full,
};

const SYNC: &str = "/_matrix/client/v3/sync";

/// Rejects everything of somebody known.
fn closed_to_users() -> Value {
    let reject = json!({"action": "reject", "rejectionErrorCode": "M_KNOWN", "rejectionErrorMessage": "", "matchRules": []});
    hooks(&[("known", "beforeAuthenticatedRequest", reject)])
}

async fn is_known(guarded: &Guarded, target: &str, token: Option<&str>) -> bool {
    guarded.ask("GET", target, token, "").await.json()["errcode"] == "M_KNOWN"
}

#[tokio::test]
async fn tokens_are_asked_about_once() {
    let guarded = Guarded::by(&closed_to_users()).await;
    for _ in 0..10 {
        assert!(is_known(&guarded, SYNC, Some("george-token")).await);
        assert!(is_known(&guarded, &format!("{SYNC}?access_token=george-token"), None).await);
        assert!(!is_known(&guarded, SYNC, Some("nobodys")).await);
        assert!(!is_known(&guarded, SYNC, None).await);
    }
    assert_eq!(guarded.homeserver.questions(), 2);
    assert!(!guarded.host.logs().contains("george-token"), "a token in the log");
}

#[tokio::test]
async fn tokens_are_found_where_homeservers_find_them() {
    let guarded = Guarded::by(&closed_to_users()).await;
    for (fields, query, expected) in [
        (vec!["bearer george-token"], "", true),
        (vec!["Basic Zm9v"], "", false),
        (vec!["Basic Zm9v"], "?access_token=george-token", true),
        (vec!["Bearer george-token"], "?access_token=nobodys", true),
        (vec!["Bearer nobodys"], "?access_token=george-token", false),
        (vec!["Bearer george-token", "Bearer nobodys"], "", true),
        (vec![], "?a=b;access_token=george-token", true),
        (vec![], "?acc%65ss_token=george-token", true),
        (vec![], "?ACCESS_TOKEN=george-token", false),
        (vec![], "?access_token=", false),
    ] {
        let mut request = Request::get(format!("{SYNC}{query}"));
        for field in &fields {
            request = request.header("authorization", *field);
        }
        let mut client = Client::connect(Version::Http1, guarded.host.address()).await;
        let answer = client.ask(request.body(full("")).expect("a request")).await;
        assert_eq!(answer.json()["errcode"] == "M_KNOWN", expected, "{fields:?} {query}: {}", answer.text());
    }
}

#[tokio::test]
async fn identities_do_not_hide_in_forms() {
    let guarded = Guarded::by(&closed_to_users()).await;
    let smuggled = r#"{"user_id":"@x:home","reason":"&access_token=george-token&"}"#;
    for (kind, body, expected) in [
        ("application/x-www-form-urlencoded", smuggled, 403),
        ("Application/X-WWW-Form-URLEncoded; charset=utf-8", smuggled, 403),
        ("application/json", smuggled, 200),
        ("application/x-www-form-urlencoded", r#"{"user_id":"@x:home"}"#, 200),
    ] {
        let request = Request::post("/_matrix/client/v3/rooms/!a:home/ban").header("content-type", kind).body(full(body));
        let mut client = Client::connect(Version::Http1, guarded.host.address()).await;
        let answer = client.ask(request.expect("a request")).await;
        assert_eq!(answer.status.as_u16(), expected, "{kind} {body}: {}", answer.text());
    }
}

#[tokio::test]
async fn logged_out_tokens_are_forgotten() {
    let guarded = Guarded::by(&hooks(&[(
        "known",
        "beforeAuthenticatedRequest",
        json!({"action": "reject", "rejectionErrorCode": "M_KNOWN", "rejectionErrorMessage": "",
            "matchRules": [{"type": "route", "regex": "/sync$"}]}),
    )]))
    .await;
    let (george, peter) = (Some("george-token"), Some("peter-token"));
    assert!(is_known(&guarded, SYNC, george).await && is_known(&guarded, SYNC, peter).await);
    assert_eq!(guarded.ask("POST", "/_matrix/client/v3/logout", george, "{}").await.status, 200);
    assert!(!is_known(&guarded, SYNC, george).await);
    assert!(is_known(&guarded, SYNC, peter).await);
    assert_eq!(guarded.homeserver.questions(), 3);
}

#[tokio::test]
async fn refused_tokens_are_forgotten() {
    let guarded = Guarded::by(&hooks(&[(
        "known",
        "beforeAuthenticatedRequest",
        json!({"action": "reject", "rejectionErrorCode": "M_KNOWN", "rejectionErrorMessage": "",
            "matchRules": [{"type": "route", "regex": "/sync$"}]}),
    )]))
    .await;
    let george = Some("george-token");
    assert!(is_known(&guarded, SYNC, george).await);
    guarded.homeserver.end("george-token");
    assert!(is_known(&guarded, SYNC, george).await, "nobody told yet");
    assert_eq!(guarded.ask("GET", "/_matrix/client/v3/pushers", george, "").await.status, 401);
    assert!(!is_known(&guarded, SYNC, george).await);
}

#[tokio::test]
async fn homeservers_do_not_share_answers() {
    let (first, second) = (Homeserver::start().await, Homeserver::start().await);
    second.end("george-token");
    let host =
        Guarded::builder(&first, &closed_to_users()).with(|builder| builder.listener("second", &second.url())).start().await;
    for (listener, expected) in [("main", true), ("second", false), ("main", true), ("second", false)] {
        let mut client = Client::connect(Version::Http1, host.address_of(listener)).await;
        let answer = client.ask(Guarded::request("GET", SYNC, Some("george-token"), "")).await;
        assert_eq!(answer.json()["errcode"] == "M_KNOWN", expected, "{listener}");
    }
}

#[tokio::test]
async fn the_document_names_another_homeserver() {
    let (before, other) = (Homeserver::start().await, Homeserver::start().await);
    let mut policy = closed_to_users();
    policy["homeserverUrl"] = json!(other.url());
    let guarded = Guarded::before(before, &policy).await;
    assert!(is_known(&guarded, SYNC, Some("george-token")).await);
    assert_eq!((guarded.homeserver.questions(), other.questions()), (0, 1));
}

#[tokio::test]
async fn without_kv_everything_is_asked() {
    let homeserver = Homeserver::start().await;
    let host = Guarded::builder(&homeserver, &closed_to_users()).set("addon.policy.kv", "false").start().await;
    let guarded = Guarded { host, homeserver };
    for _ in 0..3 {
        assert!(is_known(&guarded, SYNC, Some("george-token")).await);
    }
    assert_eq!(guarded.homeserver.questions(), 3);
    assert!(guarded.host.times_logged("kv is not granted") > 0);
}

#[tokio::test]
async fn a_full_store_costs_questions_and_no_flow() {
    let homeserver = Homeserver::start().await;
    // Room for the cache's own note and one answer.
    let host = Guarded::builder(&homeserver, &closed_to_users()).set("addon.policy.kv_keys", "2").start().await;
    let guarded = Guarded { host, homeserver };
    for name in ["a", "b", "c", "d"] {
        for _ in 0..2 {
            assert!(is_known(&guarded, SYNC, Some(&format!("{name}-token"))).await);
        }
    }
    assert_eq!(guarded.homeserver.questions(), 7);
    assert_eq!(guarded.host.times_logged("the store is full"), 1);
}
