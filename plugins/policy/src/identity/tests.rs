use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tollgate_sdk::{
    Addon, Error, Flow, RequestVerdict, ResponseVerdict, http,
    serde_json::json,
    testing::{Harness, TestRequest, TestResponse},
};

use super::*;

/// Writes into the request who sent it.
struct Probe {
    identity: Identity,
}

impl Addon for Probe {
    type Options = Value;

    fn configure(options: Value) -> Result<Self, OptionErrors> {
        let mut errors = OptionErrors::default();
        let identity = Identity::read(options.as_object().expect("an object"), &mut errors);
        errors.or_ok(Self { identity })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let mut subscriptions = vec![Subscription::to(Event::Request), Subscription::to(Event::Response)];
        subscriptions.extend(self.identity.subscriptions());
        subscriptions
    }

    fn request(&mut self, _: &Flow, request: &mut Request<'_>) -> Result<RequestVerdict, Error> {
        if let Some(denied) = Identity::refuses(request) {
            request.set_header("X-Refused", denied.errcode)?;
        }
        self.identity.request(request);
        request.set_header("X-Asker", format!("{:?}", self.identity.asker(request)))?;
        Ok(RequestVerdict::Next)
    }

    fn response(&mut self, _: &Flow, request: &Request<'_>, response: &mut Response<'_>) -> Result<ResponseVerdict, Error> {
        self.identity.response(request, response);
        Ok(ResponseVerdict::Next)
    }
}

/// A homeserver on which `t` and `t2` are tokens of `@a:b`, `u` is one of `@u:b`, and `service` acts as anybody.
#[derive(Clone, Default)]
struct Homeserver {
    asked: Arc<AtomicUsize>,
    urls: Arc<Mutex<Vec<String>>>,
}

impl Homeserver {
    fn harness(&self, options: Value) -> Harness<Probe> {
        let homeserver = self.clone();
        Harness::configure(options).expect("options").with_http(move |request| homeserver.answer(request))
    }

    fn answer(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.urls.lock().expect("a lock").push(request.url.clone());
        let (_, bearer) = request.headers.iter().find(|(name, _)| name == "Authorization").expect("a token");
        let user = match bearer.as_slice() {
            b"Bearer t" | b"Bearer t2" => "@a:b",
            b"Bearer u" => "@u:b",
            b"Bearer service" if request.url.ends_with("?user_id=@c:b") => "@c:b",
            b"Bearer service" => "@service:b",
            b"Bearer down" => return Err(http::Error::Timeout),
            b"Bearer broken" => return Ok(http::Response::new(500)),
            b"Bearer odd" => "nobody",
            _ => return Ok(http::Response::new(401).with_body(r#"{"errcode":"M_UNKNOWN_TOKEN","soft_logout":true}"#)),
        };
        Ok(http::Response::new(200).with_body(json!({ "user_id": user }).to_string()))
    }

    /// Questions since the last call.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

fn asker(harness: &Harness<Probe>, request: TestRequest) -> String {
    let done = harness.exchange(request, |_| TestResponse::new(200));
    let sent = done.sent.as_ref().expect("a request");
    sent.header("x-asker").expect("an asker").to_owned()
}

fn with_token(token: &str) -> TestRequest {
    TestRequest::get("/_matrix/client/v3/sync").with_header("Authorization", format!("Bearer {token}"))
}

const A: &str = "Known(\"@a:b\")";
const REFUSED: &str = "Refused(Refusal { errcode: \"M_UNKNOWN_TOKEN\", error: \"\", soft_logout: Some(true) })";

#[test]
fn the_homeserver_says_who_asks() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({}));
    for (token, expected) in [
        ("t", A),
        ("u", "Known(\"@u:b\")"),
        ("x", REFUSED),
        ("down", "Unanswered"),
        ("broken", "Unanswered"),
        ("odd", "Unanswered"),
    ] {
        assert_eq!(asker(&harness, with_token(token)), expected, "{token}");
    }
    assert_eq!(asker(&harness, TestRequest::get("/?access_token=t")), A);
    assert_eq!(homeserver.asked(), 6);
    assert_eq!(asker(&harness, TestRequest::get("/")), "Anonymous");
    assert!(asker(&harness, TestRequest::get("/?access_token=a%20b")).starts_with("Illegal"));
    assert_eq!(homeserver.asked(), 0);
}

#[test]
fn answers_are_kept_for_their_time() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({}));
    for (token, seconds) in [("t", 300), ("x", 30)] {
        let first = asker(&harness, with_token(token));
        harness.pass(Duration::from_secs(seconds - 1));
        assert_eq!(asker(&harness, with_token(token)), first);
        assert_eq!(homeserver.asked(), 1, "{token}");
        harness.pass(Duration::from_secs(1));
        assert_eq!(asker(&harness, with_token(token)), first);
        assert_eq!(homeserver.asked(), 1, "{token}");
    }
}

#[test]
fn times_are_options() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({"whoami": {"cacheMilliseconds": 0, "unknownCacheMilliseconds": 1000}}));
    for (token, asked) in [("t", 3), ("x", 1)] {
        for _ in 0..3 {
            asker(&harness, with_token(token));
        }
        assert_eq!(homeserver.asked(), asked, "{token}");
    }
}

#[test]
fn no_answer_is_not_kept() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({}));
    for token in ["down", "broken", "odd"] {
        asker(&harness, with_token(token));
        asker(&harness, with_token(token));
        assert_eq!(homeserver.asked(), 2, "{token}");
    }
}

#[test]
fn services_act_as_users() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({}));
    let request = |query: &str| TestRequest::get(&format!("/{query}")).with_header("Authorization", "Bearer service");
    assert_eq!(asker(&harness, request("")), "Known(\"@service:b\")");
    assert_eq!(asker(&harness, request("?user_id=@c:b")), "Known(\"@c:b\")");
    assert_eq!(asker(&harness, request("")), "Known(\"@service:b\")");
    assert_eq!(homeserver.asked(), 2);
}

#[test]
fn the_document_names_the_homeserver() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({"homeserverUrl": "https://home.test/base/"}));
    assert_eq!(asker(&harness, with_token("t")), A);
    let urls = homeserver.urls.lock().expect("a lock").clone();
    assert_eq!(urls, ["https://home.test/base/_matrix/client/v3/account/whoami"]);
}

#[test]
fn without_a_store_all_is_asked() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({})).without_kv();
    for _ in 0..2 {
        let done = harness.exchange(with_token("t"), |_| TestResponse::new(200));
        assert_eq!(done.sent.as_ref().and_then(|sent| sent.header("x-asker")), Some(A));
        assert!(done.log.iter().any(|line| line.message.starts_with("kv is not granted")), "{:?}", done.log);
    }
    assert_eq!(homeserver.asked(), 2);
}

#[test]
fn logouts_are_noticed() {
    for (method, path, forgets_others) in [
        ("POST", "/_matrix/client/v3/logout", false),
        ("POST", "/_matrix/client/r0/logout/", false),
        ("POST", "/_matrix/client/v3/logout/all", true),
        ("POST", "/_matrix/client/v3/account/password", true),
        ("POST", "/_matrix/client/v3/account/deactivate", true),
        ("POST", "/_matrix/client/v3/delete_devices", true),
        ("DELETE", "/_matrix/client/v3/devices/ABC", true),
        ("POST", "/_synapse/admin/v1/deactivate/@a:b", true),
        ("POST", "/_synapse/admin/v1/reset_password/%40a%3Ab", true),
        ("PUT", "/_synapse/admin/v2/users/@a:b", true),
        ("DELETE", "/_synapse/admin/v2/users/@a:b/devices/ABC", true),
        ("POST", "/_synapse/admin/v2/users/@a:b/delete_devices", true),
    ] {
        let homeserver = Homeserver::default();
        let harness = homeserver.harness(json!({}));
        let end = |status| {
            let request = TestRequest::new(method, path).with_header("Authorization", "Bearer t");
            let _ = harness.exchange(request, |_| TestResponse::new(status));
        };
        for token in ["t", "t2", "u"] {
            asker(&harness, with_token(token));
        }
        end(500);
        for token in ["t", "t2", "u"] {
            asker(&harness, with_token(token));
        }
        assert_eq!(homeserver.asked(), 3, "{path} failed");
        end(200);
        homeserver.asked();
        asker(&harness, with_token("t2"));
        assert_eq!(homeserver.asked(), usize::from(forgets_others), "{path}: others");
        asker(&harness, with_token("u"));
        assert_eq!(homeserver.asked(), 0, "{path}: other users");
        if !path.starts_with("/_synapse") {
            asker(&harness, with_token("t"));
            assert_eq!(homeserver.asked(), 1, "{path}: its own");
        }
    }
}

#[test]
fn refused_tokens_are_forgotten() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({}));
    for (token, asked_again) in [("t", 1), ("x", 0)] {
        asker(&harness, with_token(token));
        let _ = harness.exchange(with_token(token), |_| TestResponse::new(401));
        homeserver.asked();
        asker(&harness, with_token(token));
        assert_eq!(homeserver.asked(), asked_again, "{token}");
    }
}

#[test]
fn an_answer_from_before_a_logout_is_not_kept() {
    type Forget = fn(&Cache<'_>);
    let forgets: [Forget; 2] =
        [|cache| cache.forget_token(&Token { secret: "t".to_owned(), acts_as: None }), |cache| cache.forget_user("@a:b")];
    for forget in forgets {
        let homeserver = Homeserver::default();
        let asked = homeserver.clone();
        let harness = homeserver.harness(json!({"homeserverUrl": "http://home.test"})).with_http(move |request| {
            // Another flow is logged out while this one waits for its answer.
            forget(&Cache::new("http://home.test", &Settings::default()));
            asked.answer(request)
        });
        for _ in 0..2 {
            assert_eq!(asker(&harness, with_token("t")), A);
            assert_eq!(homeserver.asked(), 1);
        }
    }
}

#[test]
fn forms_are_refused_where_tokens_are_taken() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({}));
    let refused = |path: &str, content_type: &str| {
        let request = TestRequest::post(path).with_header("Content-Type", content_type).with_body("a");
        let done = harness.exchange(request, |_| TestResponse::new(200));
        done.sent.as_ref().expect("a request").header("x-refused").is_some()
    };
    for content_type in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=a"] {
        assert!(refused("/_matrix/client/v3/rooms/!a:b/ban", content_type), "{content_type}");
        assert!(!refused("/_matrix/client/v3/auth/m.login.terms/fallback/web", content_type), "{content_type}");
        assert!(!refused("/oauth2/token", content_type), "{content_type}");
    }
    assert!(!refused("/_matrix/client/v3/rooms/!a:b/ban", "application/json"));
}

#[test]
fn questions_wait_for_other_requests_of_the_addon() {
    for (refused, expected, asked) in [(3, A, 1), (usize::MAX, "Unanswered", 0)] {
        let homeserver = Homeserver::default();
        let (answering, tries) = (homeserver.clone(), AtomicUsize::new(0));
        let harness = homeserver.harness(json!({"whoami": {"timeoutMilliseconds": 500}})).with_http(move |request| {
            let is_busy = tries.fetch_add(1, Ordering::Relaxed) < refused;
            if is_busy { Err(http::Error::Busy(64)) } else { answering.answer(request) }
        });
        assert_eq!(asker(&harness, with_token("t")), expected);
        assert_eq!(homeserver.asked(), asked);
    }
}

#[test]
fn only_homeservers_refuse_tokens() {
    for (body, expected) in [
        (r#"{"errcode":"M_UNKNOWN_TOKEN"}"#, "Refused"),
        (r#"{"errcode":"M_USER_LOCKED","error":"locked","soft_logout":true}"#, "Refused"),
        (r#"{"errcode":"NONE"}"#, "Unanswered"),
        (r#"{"error":"of a proxy"}"#, "Unanswered"),
        ("<html>", "Unanswered"),
    ] {
        let harness = Homeserver::default().harness(json!({})).with_http(move |_| Ok(http::Response::new(401).with_body(body)));
        assert!(asker(&harness, with_token("t")).starts_with(expected), "{body}");
    }
}

#[test]
fn strangers_have_few_places() {
    let homeserver = Homeserver::default();
    let harness = homeserver.harness(json!({"whoami": {"unknownCacheMilliseconds": 86_400_000}}));
    asker(&harness, with_token("t"));
    for number in 0..9_000 {
        asker(&harness, with_token(&format!("made-up-{number}")));
    }
    homeserver.asked();
    let kept = (0..0x1000).filter(|place| harness.kv("whoami.refused", &format!("{place:03x}")).is_some()).count();
    assert!(kept > 3_000, "{kept} of 4,096");
    assert_eq!(asker(&harness, with_token("t")), A);
    assert_eq!(homeserver.asked(), 0);
}
