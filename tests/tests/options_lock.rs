//! The lock on options, row by row as complement-crypto's controller has it, by its name and on the admin listener.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin, Response,
    addons::{CallbackServer, Controller, Hosted},
};

const LOCKED: &str = "options already locked, did you forget to unlock?";
const WRONG: &str = "refusing to unlock, wrong id supplied";
const NOT_LOCKED: &str = "options were not locked, mismatched lock/unlock calls";
const JSON: &str = "Content-Type: application/json\r\n";

fn ways(host: &Hosted) -> [Controller; 2] {
    [host.controller(), Controller::at(host.address_of("admin"))]
}

async fn host() -> Hosted {
    Hosted::with_callback("http://127.0.0.1:1").start().await
}

#[track_caller]
fn assert_text(answer: &Response, status: u16, text: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, text));
    assert_eq!(answer.fields.get("content-type"), Some("text/plain; charset=utf-8"));
}

/// That nothing is locked, nor anything changed by what was refused; `before` of [`state`].
async fn assert_untouched(host: &Hosted, before: &Value, case: &str) {
    assert_eq!(&state(host).await, before, "{case}");
}

async fn state(host: &Hosted) -> Value {
    let status = host.admin().status("callback").await;
    let options = host.controller().get("/options").await.json();
    json!([options, status["generation"], status["options"]["sha256"], status["error"]])
}

#[tokio::test]
async fn locks_are_taken_and_given_back() {
    let host = host().await;
    for way in ways(&host) {
        for body in ["{}", r#"{"options":{}}"#, r#"{"options":{"callback":{}}}"#, r#"{"reset_id":"0123456789abcdef"}"#] {
            let answer = way.post("/options/lock", body).await;
            assert_eq!((answer.status, answer.fields.get("content-type")), (200, Some("application/json")), "{body}");
            let id = answer.json()["reset_id"].as_str().expect("an id").to_owned();
            assert!(id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
            assert_ne!(id, "0123456789abcdef");
            assert_eq!(answer.text(), format!("{{\"reset_id\":\"{id}\"}}\n"));
            // As the client of the original does: what it was sent is sent back.
            let answer = way.post("/options/unlock", &answer.text()).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "{}\n"), "{body}");
            assert_eq!(answer.fields.get("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn only_one_has_it() {
    let host = host().await;
    for way in ways(&host) {
        let id = way.lock(&json!({})).await;
        let before = state(&host).await;
        for other in ways(&host) {
            for body in ["{}", r#"{"options":{"callback":{}}}"#, r#"{"options":{"no-such":1}}"#] {
                assert_text(&other.post("/options/lock", body).await, 400, LOCKED);
            }
            for body in [
                "{}".to_owned(),
                r#"{"reset_id":"0123456789abcdef"}"#.to_owned(),
                r#"{"reset_id":null}"#.to_owned(),
                r#"{"reset_id":["x"]}"#.to_owned(),
                r#"{"reset_id":""}"#.to_owned(),
                format!(r#"{{"reset_id":"{}"}}"#, id.to_uppercase() + "0"),
                format!(r#"{{"reset_id":"{}"}}"#, &id[..15]),
            ] {
                assert_text(&other.post("/options/unlock", &body).await, 400, WRONG);
            }
            assert_untouched(&host, &before, "refused").await;
        }
        assert_eq!(way.unlock(&id).await.status, 200);
        for other in ways(&host) {
            assert_text(&other.unlock(&id).await, 400, NOT_LOCKED);
            assert_text(&other.post("/options/unlock", "{}").await, 400, NOT_LOCKED);
        }
    }
}

#[tokio::test]
async fn bodies_say_that_they_are_json() {
    let host = host().await;
    let before = state(&host).await;
    for way in ways(&host) {
        for path in ["/options/lock", "/options/unlock"] {
            for lines in
                ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type:\r\n"]
            {
                let answer = way.send("POST", path, lines, "{}").await;
                assert_text(&answer, 415, "needs `Content-Type: application/json`");
            }
        }
        assert_untouched(&host, &before, "415").await;
        for lines in ["Content-Type: application/json; charset=utf-8\r\n", "content-type: Application/JSON\r\n"] {
            let answer = way.send("POST", "/options/lock", lines, "{}").await;
            assert_eq!(answer.status, 200, "{lines}");
            assert_eq!(way.post("/options/unlock", &answer.text()).await.status, 200);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_locked_changes_nothing() {
    let host = host().await;
    let before = state(&host).await;
    for way in ways(&host) {
        for (body, reason) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("{}x", "not JSON"),
            ("{'a': 1}", "not JSON"),
            (r#"{"options":{},}"#, "not JSON"),
            (r#"{"options":{"callback":{},"callback":{}}}"#, "ambiguous"),
            ("[]", "an object"),
            ("null", "an object"),
            ("\"x\"", "an object"),
            (r#"{"options":null}"#, "options: "),
            (r#"{"options":[]}"#, "options: "),
            (r#"{"options":"callback"}"#, "options: "),
            (r#"{"option":{}}"#, "\"option\""),
            (r#"{"options":{"no_such":1}}"#, "no_such: there is no such option"),
            (r#"{"options":{"callback.filter":"~q"}}"#, "callback.filter: there is no such option"),
            (r#"{"options":{"anticache":"yes"}}"#, "anticache: "),
            (r#"{"options":{"anticache":null}}"#, "anticache: "),
            (r#"{"options":{"body_size_limit":"xx"}}"#, "body_size_limit: "),
            (r#"{"options":{"callback":"str"}}"#, "callback: must be an object"),
            (r#"{"options":{"callback":null}}"#, "callback: must be an object"),
            (r#"{"options":{"callback":[]}}"#, "callback: must be an object"),
            (r#"{"options":{"callback":{"callback_request_url":5}}}"#, "callback"),
            (r#"{"options":{"callback":{"callback_url":"http://h/"}}}"#, "callback"),
            (r#"{"options":{"callback":{"callback_request_url":"ftp://h/"}}}"#, "callback.callback_request_url: must be a URL"),
            (r#"{"owner":1}"#, "owner: "),
            (r#"{"ttl":0}"#, "ttl: "),
            (r#"{"ttl":86400.5}"#, "ttl: "),
            (r#"{"ttl":"5"}"#, "ttl: "),
        ] {
            let answer = way.post("/options/lock", body).await;
            assert_eq!(answer.status, 400, "{body}: {}", answer.text());
            assert!(answer.text().contains(reason), "{body}: {}", answer.text());
            assert_eq!(answer.fields.get("content-type"), Some("text/plain; charset=utf-8"), "{body}");
            assert_untouched(&host, &before, body).await;
        }
        for body in ["", "{", "[]", "null"] {
            assert_eq!(way.post("/options/unlock", body).await.status, 400, "{body}");
        }
        let id = way.lock(&json!({})).await;
        for body in ["", "{", "[]", "null", "5"] {
            let answer = way.post("/options/unlock", body).await;
            assert_eq!((answer.status, answer.text().is_empty()), (400, false), "{body}");
        }
        assert_eq!(way.unlock(&id).await.status, 200);
    }
}

#[tokio::test]
async fn one_refused_option_keeps_all_others_out() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = Hosted::with_callback(&origin.url()).scripted("a-first", &json!({})).scripted("z-last", &json!({})).start().await;
    let generation = async |name: &str| host.admin().status(name).await["generation"].clone();
    let before = (state(&host).await, generation("a-first").await, generation("z-last").await);
    let good = json!({"callback_response_url": server.at("/")});
    let refused = json!({"refused": [["rules[1].on", "is not to my liking"]]});
    for (options, reasons) in [
        (json!({"callback": good, "a-first": {}, "z-last": refused}), &["z-last.rules[1].on: is not to my liking"][..]),
        (json!({"callback": good, "a-first": refused, "z-last": {}}), &["a-first.rules[1].on: is not to my liking"]),
        (json!({"callback": good, "anticache": 5}), &["anticache: "]),
        (json!({"anticache": true, "body_size_limit": "1k", "callback": {"timeout": 0}}), &["callback.timeout: "]),
        (json!({"anticache": true, "callback": good, "no": 1}), &["no: there is no such option"]),
        // All that is wrong, at once.
        (
            json!({"a-first": refused, "callback": {"timeout": 0}, "anticache": 1, "no": 1, "z-last": 1}),
            &["a-first.rules[1].on: ", "callback.timeout: ", "anticache: ", "no: ", "z-last: must be an object"],
        ),
    ] {
        let answer = host.controller().try_lock(&json!({ "options": options })).await;
        assert_eq!(answer.status, 400);
        for reason in reasons {
            assert!(answer.text().contains(reason), "{reason}: {}", answer.text());
        }
        let now = (state(&host).await, generation("a-first").await, generation("z-last").await);
        assert_eq!(now, before, "{options}");
        assert_eq!(host.get("/").await.text(), "ok");
    }
    assert_eq!(server.calls().len(), 0);
    host.controller().lock(&json!({"callback": good, "a-first": {}, "z-last": {}, "anticache": true})).await;
    // All in one swap.
    let after = [generation("a-first").await, generation("callback").await, generation("z-last").await];
    assert!(after[0] == after[1] && after[1] == after[2] && after[0] != before.1, "{after:?}");
}

#[tokio::test]
async fn filters_that_cannot_be_read_are_told() {
    let host = host().await;
    let before = state(&host).await;
    for (filter, place, reason) in [
        (json!("~z"), "position 0", "~z"),
        (json!("~m GET & (~u a"), "position", ""),
        (json!("~u ("), "position", ""),
        (json!("~c x"), "position", ""),
    ] {
        for url in [Some("callback_request_url"), Some("callback_response_url"), None] {
            let mut body = json!({"options": {"callback": {"filter": filter}}});
            if let Some(url) = url {
                body["options"]["callback"][url] = "http://127.0.0.1:1/".into();
            }
            // Beside no URL it is read within parentheses.
            let place = if url.is_some() { place } else { "position" };
            let answer = host.controller().try_lock(&body).await;
            assert_eq!(answer.status, 400, "{body}");
            let text = answer.text();
            assert!(["callback: ", "filter", place, reason].iter().all(|part| text.contains(part)), "{body}: {text}");
            assert_untouched(&host, &before, &text).await;
        }
    }
    let body = json!({"options": {"callback": {"callback_request_url": "http://127.0.0.1:1/", "filter": 5}}});
    assert_eq!(host.controller().try_lock(&body).await.status, 400);
    assert_untouched(&host, &before, "5").await;
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let host = host().await;
    for way in ways(&host) {
        for (path, allowed, refused) in [
            ("/options/lock", "GET, OPTIONS, POST", &["PUT", "DELETE", "PATCH"][..]),
            ("/options/unlock", "OPTIONS, POST", &["GET", "PUT", "DELETE"]),
            ("/options", "GET, OPTIONS, PUT", &["POST", "DELETE"]),
            ("/options/anticache", "GET, OPTIONS", &["POST", "PUT", "DELETE"]),
        ] {
            for method in refused {
                let answer = way.send(method, path, JSON, "{}").await;
                assert_eq!((answer.status, answer.fields.get("allow")), (405, Some(allowed)), "{method} {path}");
            }
            let answer = way.send("OPTIONS", path, "", "").await;
            assert_eq!((answer.status, answer.fields.get("allow"), answer.text().as_str()), (200, Some(allowed), ""), "{path}");
        }
        for path in ["/options/lock/", "/options/unlock/", "/options/", "/options/lock/x", "/option", "/options/no-such"] {
            for method in ["GET", "POST"] {
                let answer = way.send(method, path, JSON, "{}").await;
                assert_eq!(answer.status, 404, "{method} {path}");
            }
        }
        assert_eq!(way.get("/options/lock").await.status, 404);
    }
}

#[tokio::test]
async fn strangers_pages_cannot_lock() {
    let host = host().await;
    for way in ways(&host) {
        for lines in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
            let answer = way.send("POST", "/options/lock", &format!("{lines}{JSON}"), "{}").await;
            assert_eq!(answer.status, 403, "{lines}");
        }
        assert_eq!(way.get("/options/lock").await.status, 404);
    }
}

#[tokio::test]
async fn values_replace_and_come_back() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    // With digits that a reader of numbers would change.
    let first = format!(r#"{{"timeout": 5.10e0, "filter": "~p ^/a$", "callback_request_url": "{}"}}"#, server.at("/first"));
    assert_eq!(host.admin().send(http::Method::PUT, "/addons/callback/options", first).await.status, 200);
    let before = state(&host).await;
    // What is not named is off, not what it was.
    let id = host.controller().lock(&json!({"callback": {"callback_request_url": server.at("/second")}})).await;
    host.get("/b").await;
    assert_eq!((server.told("/first").len(), server.told("/second").len()), (0, 1));
    assert_eq!(host.controller().option("callback").await["locked"], json!(true));
    assert_eq!(host.controller().unlock(&id).await.text(), "{}\n");
    host.get("/b").await;
    host.get("/a").await;
    assert_eq!((server.told("/first").len(), server.told("/second").len()), (1, 1));
    let after = state(&host).await;
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
}

#[tokio::test]
async fn the_same_options_are_a_new_generation() {
    let host = host().await;
    let options = json!({"send_error": {"count": 1, "status": 504}});
    for round in 0..3 {
        let id = host.controller().lock(&json!({ "callback": options })).await;
        assert_eq!((host.get("/").await.status.as_u16(), host.get("/").await.status.as_u16()), (504, 502), "{round}");
        assert_eq!(host.controller().unlock(&id).await.status, 200);
    }
    // Also where they are in force already.
    assert_eq!(host.admin().put_options("callback", &options).await.status, 200);
    assert_eq!((host.get("/").await.status.as_u16(), host.get("/").await.status.as_u16()), (504, 502));
    let before = host.admin().status("callback").await["generation"].as_u64();
    host.controller().lock(&json!({ "callback": options })).await;
    assert!(host.admin().status("callback").await["generation"].as_u64() > before);
    assert_eq!((host.get("/").await.status.as_u16(), host.get("/").await.status.as_u16()), (504, 502));
}
