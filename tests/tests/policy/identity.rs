//! Who is asking: what the homeserver is asked, what is kept of its answers, and when that is forgotten.

use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, Version,
    addons::{Guarded, Homeserver, Service, hooks},
    eventually, full,
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
        (vec![], "?a;b=c&access_token=george-token", true),
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
async fn credentials_that_mean_more_than_one_thing_are_refused() {
    let guarded = Guarded::by(&closed_to_users()).await;
    let acting = |bytes: usize| format!("?user_id=@{}:home", "-".repeat(bytes - "@:home".len()));
    for (fields, query, expected) in [
        (vec!["Bearer george-token"], "?access_token=nobodys".to_owned(), (401, "M_MISSING_TOKEN")),
        (vec!["Bearer george-token", "Bearer nobodys"], String::new(), (401, "M_MISSING_TOKEN")),
        (vec![], "?access_token=nobodys&access_token=george-token".to_owned(), (401, "M_MISSING_TOKEN")),
        (vec![], "?a=b;access_token=george-token".to_owned(), (400, "M_INVALID_PARAM")),
        (vec!["Bearer george-token"], "?user_id=george".to_owned(), (400, "M_INVALID_PARAM")),
        (vec!["Bearer george-token"], acting(255), (403, "M_KNOWN")),
        (vec!["Bearer george-token"], acting(256), (400, "M_INVALID_PARAM")),
        // Percent-encoded, so much would be more than homeservers take in one line.
        (vec!["Bearer george-token"], acting(5_500), (400, "M_INVALID_PARAM")),
    ] {
        let mut request = Request::get(format!("{SYNC}{query}"));
        for field in &fields {
            request = request.header("authorization", *field);
        }
        let mut client = Client::connect(Version::Http1, guarded.host.address()).await;
        let answer = client.ask(request.body(full("")).expect("a request")).await;
        let found = (answer.status.as_u16(), answer.json()["errcode"].as_str().unwrap_or_default().to_owned());
        assert_eq!((found.0, found.1.as_str()), expected, "{fields:?} {query}: {}", answer.text());
    }
    assert_eq!(guarded.homeserver.requests().len(), 0);
}

#[tokio::test]
async fn forms_do_not_come_to_the_api() {
    let guarded = Guarded::by(&closed_to_users()).await;
    let smuggled = r#"{"user_id":"@x:home","reason":"&access_token=george-token&"}"#;
    let url_encoded = "application/x-www-form-urlencoded";
    let ban = "/_matrix/client/v3/rooms/!a:home/ban";
    let large = "a=&".repeat(1 << 20);
    for version in Version::BOTH {
        for (target, kind, body, expected) in [
            (ban, url_encoded, smuggled, 403),
            (ban, "Application/X-WWW-Form-URLEncoded; charset=utf-8", smuggled, 403),
            (ban, "multipart/form-data; boundary=a", "--a--", 403),
            (ban, url_encoded, large.as_str(), 403),
            ("/_matrix/media/v3/upload", "multipart/form-data; boundary=a", "--a--", 403),
            ("/_synapse/admin/v1/x", url_encoded, smuggled, 403),
            (ban, "application/json", smuggled, 200),
            (ban, url_encoded, "", 200),
            ("/_matrix/client/v3/auth/m.login.terms/fallback/web", url_encoded, "session=a", 200),
            ("/_synapse/client/pick_username/account_details", url_encoded, "username=a", 200),
            ("/oauth2/token", url_encoded, "a=b", 200),
        ] {
            let request = Request::post(target).header("content-type", kind).header("content-length", body.len());
            let mut client = Client::connect(version, guarded.host.address()).await;
            let answer = client.ask(request.body(full(body.to_owned())).expect("a request")).await;
            assert_eq!(answer.status.as_u16(), expected, "{version:?} {target} {kind}: {}", answer.text());
        }
    }
    let compressed = Request::post(ban).header("content-type", url_encoded).header("content-encoding", "gzip");
    let mut client = Client::connect(Version::Http1, guarded.host.address()).await;
    assert_eq!(client.ask(compressed.body(full("no gzip")).expect("a request")).await.status, 403);
    assert_eq!(guarded.host.times_logged("quarantine"), 0);
}

#[tokio::test]
async fn questions_wait_for_consultations_and_fail_closed() {
    let service = Service::start().await;
    let pass = service.told(r#"{"action":"pass.unmodified"}"#);
    let mut policy = hooks(&[
        (
            "held",
            "beforeAnyRequest",
            json!({"action": "consult.RESTServiceURL", "RESTServiceURL": service.at(&format!("/held/{pass}"))}),
        ),
        (
            "known",
            "beforeAuthenticatedRequest",
            json!({"action": "reject", "rejectionErrorCode": "M_KNOWN", "rejectionErrorMessage": "",
                "matchRules": [{"type": "route", "regex": "/sync$"}]}),
        ),
    ]);
    policy["whoami"] = json!({"timeoutMilliseconds": 1_000});
    let homeserver = Homeserver::start().await;
    let host = Guarded::builder(&homeserver, &policy).set("addon.policy.calls", "1").start().await;
    let guarded = Guarded { host, homeserver };
    let address = guarded.host.address();
    let held = tokio::spawn(async move {
        Client::connect(Version::Http1, address).await.ask(Guarded::request("GET", "/held", None, "")).await
    });
    eventually(async || service.asked(&format!("/held/{pass}")).len() == 1).await;
    let answer = guarded.ask("GET", SYNC, Some("george-token"), "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (503, Some("M_UNKNOWN")), "{}", answer.text());
    service.release();
    assert_eq!(held.await.expect("an answer").status, 200);
    assert!(is_known(&guarded, SYNC, Some("george-token")).await);
    assert_eq!(guarded.homeserver.requests().len(), 1, "what was held, and nothing of the user's");
}

#[tokio::test]
async fn refusals_are_the_homeservers() {
    let guarded = Guarded::by(&json!({})).await;
    for _ in 0..2 {
        let answer = guarded.ask("POST", "/_matrix/client/v3/createRoom", Some("nobodys"), "{}").await;
        let expected = json!({"errcode": "M_UNKNOWN_TOKEN", "error": "unknown token", "soft_logout": true});
        assert_eq!((answer.status.as_u16(), answer.json()), (401, expected));
    }
    assert_eq!((guarded.homeserver.questions(), guarded.homeserver.requests().len()), (1, 0));
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
    // Room for two notes of the cache's own and one answer.
    let host = Guarded::builder(&homeserver, &closed_to_users()).set("addon.policy.kv_keys", "3").start().await;
    let guarded = Guarded { host, homeserver };
    for name in ["a", "b", "c", "d"] {
        for _ in 0..2 {
            assert!(is_known(&guarded, SYNC, Some(&format!("{name}-token"))).await);
        }
    }
    assert_eq!(guarded.homeserver.questions(), 7);
    assert_eq!(guarded.host.times_logged("the store is full"), 1);
}

#[tokio::test]
async fn logouts_count_though_the_store_is_full() {
    let policy = || {
        hooks(&[(
            "known",
            "beforeAuthenticatedRequest",
            json!({"action": "reject", "rejectionErrorCode": "M_KNOWN", "rejectionErrorMessage": "",
                "matchRules": [{"type": "route", "regex": "/sync$"}]}),
        )])
    };
    let (george, peter) = (Some("george-token"), Some("peter-token"));
    for (ended, by) in [("logout", george), ("logout/all", george), ("logout/all", peter)] {
        let homeserver = Homeserver::start().await;
        // Room for two notes and the answer about one token, and for no seal.
        let host = Guarded::builder(&homeserver, &policy()).set("addon.policy.kv_keys", "3").start().await;
        let guarded = Guarded { host, homeserver };
        assert!(is_known(&guarded, SYNC, george).await && is_known(&guarded, SYNC, peter).await);
        assert!(is_known(&guarded, SYNC, george).await);
        assert_eq!(guarded.homeserver.questions(), 2, "the first is kept");
        assert_eq!(guarded.ask("POST", &format!("/_matrix/client/v3/{ended}"), by, "{}").await.status, 200);
        guarded.homeserver.end("george-token");
        assert!(!is_known(&guarded, SYNC, george).await, "{ended} {by:?}");
    }
}
