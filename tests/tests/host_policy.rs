//! What becomes of a flow whose hook failed: by event, with a second try, with an answer of one's own.
#![cfg(test)]

use http::StatusCode;
use serde_json::{Value, json};
use tollgate_tests::{Answer, RawOrigin, addons::Hosted, eventually};

/// How often chance is tried before it is no chance any more.
const TRIES: usize = 200;

fn rules(rules: &Value) -> Value {
    json!({ "rules": rules })
}

/// A proxy whose one addon follows this script, with this `on_error`.
async fn hosted(origin: &RawOrigin, script: &Value, on_error: &str) -> Hosted {
    Hosted::before(&origin.url())
        .scripted("a", script)
        .set("addon.a.on_error", on_error)
        // Chance fails often, and that is not what is looked at here.
        .set("addon.a.quarantine", "false")
        .start()
        .await
}

/// Asks until an answer came of a second try.
async fn healed(host: &Hosted) -> Answer {
    for _ in 0..TRIES {
        let before = host.admin().counter("a", "retries").await;
        let answer = host.get("/").await;
        if host.admin().counter("a", "retries").await > before && answer.status == StatusCode::OK {
            return answer;
        }
    }
    panic!("no second try of {TRIES} went well: {}", host.logs());
}

#[tokio::test]
async fn each_event_has_its_policy() {
    let origin = RawOrigin::ok().await;
    let script = rules(&json!([
        {"on": "request", "filter": "~p ^/request$", "do": ["trap"]},
        {"on": "response", "filter": "~p ^/response$", "do": ["trap"]},
    ]));
    for (on_error, request, response) in [
        ("{ response = \"open\" }", 503, 200),
        ("{ default = \"open\", response = \"closed\" }", 200, 503),
        ("{ default = \"closed\", request = \"open\", response = \"retry-open\" }", 200, 200),
    ] {
        let host = hosted(&origin, &script, on_error).await;
        assert_eq!(host.get("/request").await.status, request, "{on_error}");
        assert_eq!(host.get("/response").await.status, response, "{on_error}");
    }
}

#[tokio::test]
async fn upstream_errors_have_their_policy() {
    let script = rules(&json!([{"on": "upstream-error", "do": ["trap"]}]));
    let host = Hosted::before("http://127.0.0.1:1")
        .scripted("a", &script)
        .set("addon.a.on_error", "{ upstream-error = \"open\" }")
        .start()
        .await;
    assert_eq!(host.get("/").await.status, 502);
}

#[tokio::test]
async fn second_tries_are_in_fresh_instances() {
    let origin = RawOrigin::ok().await;
    // The first try counts, too, and edits before it fails.
    let script = rules(&json!([
        {"on": "request", "do": [{"append": ["X-Try", "{count}"]}, {"sometimes": "trap"}]},
        {"on": "response", "do": [{"set": ["X-Count", "{count}"]}]},
    ]));
    let host = hosted(&origin, &script, "retry").await;
    let answer = healed(&host).await;
    // Only the second try's edit is sent, and its instance is the flow's from then on.
    let sent = origin.requests();
    assert_eq!(sent.last().map(|request| request.fields.all("x-try").collect::<Vec<_>>()), Some(vec!["1"]));
    assert_eq!(answer.header("x-count"), Some("2"));
    host.logged("policy=\"retry\"").await;
}

#[tokio::test]
async fn second_tries_of_responses_see_them_unedited() {
    let origin = RawOrigin::ok().await;
    let script = rules(&json!([
        {"on": "response", "body": "full", "do": [{"set-body": "{body}!"}, {"set-status": 201}, {"sometimes": {"fail": "no"}},
            {"set-status": 200}]},
    ]));
    let host = hosted(&origin, &script, "retry").await;
    assert_eq!(healed(&host).await.text(), "ok!");
}

#[tokio::test]
async fn what_fails_twice_is_closed_or_open() {
    let origin = RawOrigin::ok().await;
    let script = rules(&json!([{"on": "request", "do": [{"append": ["X-Try", "1"]}, "trap"]}]));
    for (on_error, status, last) in [("retry", 503, "closed"), ("retry-open", 200, "open")] {
        let host = hosted(&origin, &script, on_error).await;
        assert_eq!(host.get("/").await.status, status, "{on_error}");
        assert_eq!(host.admin().counter("a", "traps").await, 2);
        assert_eq!(host.admin().counter("a", "retries").await, 1);
        host.logged(&format!("policy=\"{last}\"")).await;
        assert_eq!((host.times_logged("a hook failed"), host.times_logged("policy=\"retry\"")), (2, 1), "{}", host.logs());
        let metrics = host.admin().get("/metrics").await.text();
        assert!(metrics.contains("tollgate_addon_retries_total{addon=\"a\"} 1\n"), "{metrics}");
    }
    assert_eq!(origin.only_request().fields.all("x-try").count(), 0);
}

#[tokio::test]
async fn only_what_may_heal_is_tried_again() {
    let origin = RawOrigin::ok().await;
    let script = rules(&json!([
        {"on": "request", "filter": "~p ^/wait$", "do": [{"wait": 60_000}]},
        {"on": "request", "filter": "~p ^/verdict$", "do": [{"respond": [99, [], ""]}]},
        {"on": "request", "filter": "~p ^/spin$", "do": ["spin"]},
        {"on": "request", "filter": "~p ^/fail$", "do": [{"fail": "no"}]},
    ]));
    let host = Hosted::before(&origin.url())
        .scripted("a", &script)
        .set("addon.a.on_error", "retry")
        .set("addon.a.wall", "500ms")
        .start()
        .await;
    for (path, retries) in [("/wait", 0), ("/verdict", 0), ("/spin", 1), ("/fail", 2)] {
        assert_eq!(host.get(path).await.status, 503, "{path}");
        assert_eq!(host.admin().counter("a", "retries").await, retries, "{path}");
    }
    assert_eq!(host.admin().counter("a", "deadlines").await, 3);
}

#[tokio::test]
async fn last_hooks_are_tried_again() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin, &rules(&json!([{"on": "finish", "do": ["trap"]}])), "{ finish = \"retry\" }").await;
    assert_eq!(host.get("/").await.status, 200);
    eventually(async || host.admin().counter("a", "traps").await == 2).await;
    host.logged("policy=\"open\"").await;
    assert_eq!(host.times_logged("a hook failed"), 2, "{}", host.logs());
}

#[tokio::test]
async fn failed_hooks_are_logged_once() {
    let origin = RawOrigin::ok().await;
    for event in ["request", "response", "finish"] {
        let host = hosted(&origin, &rules(&json!([{"on": event, "do": [{"fail": "not today"}]}])), "open").await;
        assert_eq!(host.get("/").await.status, 200);
        host.logged("not today").await;
        host.get("/").await;
        eventually(async || host.times_logged("a hook failed") == 2).await;
        assert_eq!(host.times_logged("not today"), 2, "{event}: {}", host.logs());
    }
}

#[tokio::test]
async fn answers_are_as_configured() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &rules(&json!([{"on": "request", "do": ["trap"]}])))
        .set("addon.a.error_status", 451)
        .set("addon.a.error_body", "\"not <b>now</b>\"")
        .set("addon.a.error_type", "\"text/html; charset=utf-8\"")
        .start()
        .await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (451, Some("text/html; charset=utf-8")));
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("not <b>now</b>", Some("14")));
    let head = host.ask("HEAD", "/", &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.text().as_str()), (451, Some("14"), ""));
}

#[tokio::test]
async fn statuses_change_the_usual_answer() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &rules(&json!([{"on": "response", "do": ["trap"]}])))
        .set("addon.a.error_status", 500)
        .start()
        .await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (500, Some("application/json")));
    assert_eq!(answer.json(), json!({"errcode": "M_UNKNOWN", "error": "addon a failed"}));
}

/// Three pieces of a body.
async fn in_pieces() -> RawOrigin {
    RawOrigin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")
        .await
}

#[tokio::test]
async fn first_pieces_are_tried_again() {
    let origin = in_pieces().await;
    let script =
        rules(&json!([{"on": "response-chunk", "do": [{"piece": "upper"}, {"piece": {"nth": [1, [{"sometimes": "trap"}]]}}]}]));
    let host = hosted(&origin, &script, "retry-open").await;
    let healed = async {
        for _ in 0..TRIES {
            let before = host.admin().counter("a", "retries").await;
            let text = host.get("/").await.text();
            if host.admin().counter("a", "retries").await > before && text != "onetwothree" {
                return text;
            }
        }
        panic!("no second try of {TRIES} went well: {}", host.logs());
    };
    // The fresh instance goes on with the rest.
    assert_eq!(healed.await, "ONETWOTHREE");
}

#[tokio::test]
async fn later_pieces_are_not_tried_again() {
    let origin = in_pieces().await;
    let script = rules(&json!([{"on": "response-chunk", "do": [{"piece": {"nth": [2, ["trap"]]}}]}]));
    let host = hosted(&origin, &script, "retry-open").await;
    assert_eq!(host.get("/").await.text(), "onetwothree");
    assert_eq!((host.admin().counter("a", "traps").await, host.admin().counter("a", "retries").await), (1, 0));
}

#[tokio::test]
async fn stopped_uploads_are_answered_as_configured() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &rules(&json!([{"on": "request-chunk", "do": ["trap"]}])))
        .set("addon.a.on_error", "{ default = \"open\", request-chunk = \"retry\" }")
        .set("addon.a.error_status", 500)
        .set("addon.a.error_body", "sorry")
        .start()
        .await;
    let answer = host.post("/", "hello").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (500, "sorry"));
    assert_eq!((host.admin().counter("a", "traps").await, host.admin().counter("a", "retries").await), (2, 1));
}

#[tokio::test]
async fn closed_events_after_an_open_failure_have_a_fresh_instance() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [
        {"on": "request", "do": ["trap"]},
        {"on": "response", "do": [{"set": ["X-Seen", "{count}"]}]},
    ]});
    for (policy, seen) in [("{default=\"closed\", request=\"open\"}", Some("1")), ("open", None)] {
        let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.on_error", policy).start().await;
        let answer = host.get("/").await;
        assert_eq!((answer.status.as_u16(), answer.header("x-seen")), (200, seen), "{policy}");
    }
}
