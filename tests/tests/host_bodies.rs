//! Bodies that hooks want to see whole: their caps, and what goes on when a hook has edited one or has not.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{Client, Echo, RawClient, RawOrigin, Version, addons::Hosted};

fn request(fields: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// Shows the body that it sees in a field of the same message.
fn showing(event: &str, body: &Value) -> Value {
    json!({"rules": [{"on": event, "body": body, "do": [{"set": ["X-Body", "{body} {cut}"]}]}]})
}

#[tokio::test]
async fn edited_bodies_fit_both_versions() {
    let origin = Echo::http1().await;
    let editing = json!({"rules": [
        {"on": "request", "body": "full", "do": [{"set-body": "{body} and more"}]},
        {"on": "response", "body": "full", "do": [{"set": ["X-Len", "{header:content-length}"]}, {"set-body": "short"}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &editing).start().await;
    for version in Version::BOTH {
        let request = http::Request::post("/").body(tollgate_tests::full("some")).expect("a request");
        let answer = Client::connect(version, host.address()).await.ask(request).await;
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("short", Some("5")), "{version:?}");
    }
}

#[tokio::test]
async fn chunked_bodies_are_shown_whole() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("request", &json!("full"))).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.send("3\r\ndef\r\n0\r\n\r\n").await;
    client.response().await;
    let seen = origin.only_request();
    assert_eq!((seen.fields.get("x-body"), seen.text().as_str()), (Some("abcdef false"), "abcdef"));
}

#[tokio::test]
async fn trailers_survive_being_collected() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    let origin = RawOrigin::answering(chunked).await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("response", &json!("full"))).start().await;
    for version in Version::BOTH {
        let request = http::Request::get("/").header("te", "trailers").body(tollgate_tests::empty()).expect("a request");
        let answer = Client::connect(version, host.address()).await.ask(request).await;
        assert_eq!((answer.header("x-body"), answer.text().as_str()), (Some("ok false"), "ok"), "{version:?}");
        assert_eq!(answer.trailers.get("x-sum").and_then(|sum| sum.to_str().ok()), Some("1"), "{version:?}");
    }
}

#[tokio::test]
async fn bodies_are_seen_only_if_asked_for() {
    let origin = RawOrigin::ok().await;
    let collecting = showing("response", &json!("full"));
    let host = Hosted::before(&origin.url())
        .scripted("a", &json!({"rules": [{"on": "response", "do": [{"set": ["X-Unasked", "{body} {cut}"]}]}]}))
        .scripted("b", &collecting)
        .start()
        .await;
    let answer = host.get("/").await;
    assert_eq!((answer.header("x-body"), answer.header("x-unasked")), (Some("ok false"), Some("unseen false")));
}

#[tokio::test]
async fn own_edits_are_seen_unasked() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "response", "do": [{"set-body": "mine"}, {"set": ["X-Body", "{body} {cut}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    assert_eq!(host.get("/").await.header("x-body"), Some("mine false"));
}

#[tokio::test]
async fn unasked_uploads_are_read_and_thrown_away() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"set-body": "mine"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    for _ in 0..2 {
        client.send(request("", &vec![b'u'; 100_000])).await;
        assert_eq!(client.response().await.text(), "ok");
    }
    assert_eq!(origin.requests().iter().map(tollgate_tests::Request::text).collect::<Vec<_>>(), ["mine", "mine"]);
    origin.assert_strict();
}

#[tokio::test]
async fn capped_requests_are_refused_above() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("request", &json!({"refuse": 5}))).start().await;
    for (body, status) in [("four", 200), ("fives", 200), ("sixsix", 413)] {
        let answer = host.post("/", body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.json()["errcode"] == "M_TOO_LARGE", status == 413);
    }
    let seen: Vec<_> = origin.requests().iter().map(|request| request.fields.get("x-body").map(str::to_owned)).collect();
    assert_eq!(seen, [Some("four false".to_owned()), Some("fives false".to_owned())]);
}

#[tokio::test]
async fn capped_requests_pass_unseen_above() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("request", &json!({"pass-unseen": 5}))).start().await;
    for body in ["fives", "sixsix"] {
        assert_eq!(host.post("/", body).await.status, 200);
    }
    let seen: Vec<_> =
        origin.requests().iter().map(|request| (request.text(), request.fields.get("x-body").map(str::to_owned))).collect();
    assert_eq!(seen, [("fives".to_owned(), Some("fives false".to_owned())), ("sixsix".to_owned(), None)]);
    host.logged("passes unseen").await;
}

#[tokio::test]
async fn capped_requests_are_cut_above() {
    let origin = RawOrigin::ok().await;
    let mut options = showing("request", &json!({"truncate": 5}));
    options["rules"][0]["do"]
        .as_array_mut()
        .expect("actions")
        .extend([json!({"try": {"set-body": "other"}}), json!({"set": ["X-Tried", "{tried}"]})]);
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    assert_eq!(host.post("/", "sixsix").await.status, 200);
    let seen = origin.only_request();
    assert_eq!((seen.fields.get("x-body"), seen.text().as_str()), (Some("sixsi true"), "sixsix"));
    assert_eq!(seen.fields.get("x-tried"), Some("the message is read-only in this hook"));
}

#[tokio::test]
async fn capped_responses_are_refused_above() {
    let origin = RawOrigin::ok().await;
    for (cap, status) in [(3, 200), (2, 200), (1, 502)] {
        let host = Hosted::before(&origin.url()).scripted("a", &showing("response", &json!({"refuse": cap}))).start().await;
        let answer = host.get("/").await;
        assert_eq!((answer.status.as_u16(), answer.header("x-body").is_some()), (status, status == 200), "{cap}");
    }
}

#[tokio::test]
async fn capped_responses_pass_unseen_above() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("response", &json!({"pass-unseen": 1}))).start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.text().as_str(), answer.header("x-body")), ("ok", None));
}

#[tokio::test]
async fn capped_responses_are_cut_above() {
    let origin = RawOrigin::ok().await;
    let mut options = showing("response", &json!({"truncate": 1}));
    let tries = [json!({"try": {"set-body": "other"}}), json!({"set": ["X-Tried", "{tried}"]})];
    options["rules"][0]["do"].as_array_mut().expect("actions").extend(tries);
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.text().as_str(), answer.header("x-body")), ("ok", Some("o true")));
    assert_eq!(answer.header("x-tried"), Some("the message is read-only in this hook"));
}

#[tokio::test]
async fn caps_hold_for_replaced_bodies() {
    let origin = RawOrigin::ok().await;
    let replacing = json!({"rules": [{"on": "request", "do": [{"set-body": "0123456789"}]}]});
    let looking = json!({"rules": [{"on": "request", "body": {"truncate": 5}, "do": [
        {"set": ["X-Body", "{body} {cut}"]}, {"try": {"set-body": "other"}}, {"set": ["X-Tried", "{tried}"]},
    ]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &replacing).scripted("b", &looking).start().await;
    host.get("/").await;
    let seen = origin.only_request();
    assert_eq!((seen.fields.get("x-body"), seen.text().as_str()), (Some("01234 true"), "0123456789"));
    assert_eq!(seen.fields.get("x-tried"), Some("the message is read-only in this hook"));
}

#[tokio::test]
async fn set_bodies_keep_to_the_limit() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [
        {"try": {"fill-body": 65_535}}, {"try": {"fill-body": 65_536}}, {"try": {"fill-body": 65_537}}, {"set": ["X-Tried", "{tried}"]},
    ]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.max_body", "64KiB").start().await;
    host.get("/").await;
    let seen = origin.only_request();
    assert_eq!(seen.fields.get("x-tried"), Some("done|done|too large: 65537 bytes in a body, limit 65536"));
    assert_eq!(seen.body.len(), 65_536);
}

#[tokio::test]
async fn answers_without_body_cannot_get_one() {
    let options = json!({"rules": [{"on": "response", "do": [{"try": {"set-body": "body"}}, {"set": ["X-Tried", "{tried}"]}]}]});
    let refused = Some("not legal: body: this response can have none");
    // What GET is told of another body holds for none that the addon may have set.
    let (strong, weak) = (Some("\"strong\""), Some("W/\"strong\""));
    for (method, status, tag) in [("HEAD", "200 OK", weak), ("GET", "204 No Content", strong), ("GET", "304 Not Modified", weak)]
    {
        let origin = RawOrigin::answering(format!("HTTP/1.1 {status}\r\nETag: \"strong\"\r\n\r\n")).await;
        let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
        let mut client = RawClient::connect(host.address()).await;
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let answer = client.response_to(method).await;
            assert_eq!((answer.fields.get("x-tried"), answer.fields.get("etag")), (refused, tag), "{method} {status}");
        }
    }
}

#[tokio::test]
async fn made_answers_to_head_keep_their_length() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"respond": [200, [], "four"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response_to("HEAD").await.fields.get("content-length"), Some("4"));
    }
}

#[tokio::test]
async fn made_answers_without_body_send_none() {
    let origin = RawOrigin::ok().await;
    for status in [204, 304] {
        let options = json!({"rules": [{"on": "request", "do": [{"respond": [status, [], "four"]}]}]});
        let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
        let mut client = RawClient::connect(host.address()).await;
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.response().await.status, status);
        }
    }
}

#[tokio::test]
async fn statuses_without_body_take_it_away() {
    for actions in [json!([{"set-status": 204}]), json!([{"set-body": "new"}, {"set-status": 304}])] {
        let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nold body").await;
        let options = json!({"rules": [{"on": "response", "do": actions}]});
        let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
        let mut client = RawClient::connect(host.address()).await;
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = client.response().await;
            assert!(answer.status >= 204 && answer.body.is_empty(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn statuses_with_body_frame_an_empty_one() {
    let origin = RawOrigin::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let options = json!({"rules": [{"on": "response", "do": [{"set-status": 200}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
}

#[tokio::test]
async fn head_turned_into_get_is_answered() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nthe body").await;
    let options = json!({"rules": [{"on": "request", "do": [{"set-method": "GET"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = Client::connect(Version::Http2, host.address()).await;
    for _ in 0..2 {
        let answer = client.ask(http::Request::head("/").body(tollgate_tests::empty()).expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-length"), answer.body.len()), (200, Some("8"), 0));
    }
    let mut client = RawClient::connect(host.address()).await;
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.response_to("HEAD").await;
        assert_eq!((answer.status, answer.fields.get("content-length")), (200, Some("8")));
    }
}

#[tokio::test]
async fn get_turned_into_head_is_framed() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n").await;
    let options = json!({"rules": [
        {"on": "request", "do": [{"set-method": "HEAD"}]},
        {"on": "response", "filter": "~p ^/filled", "do": [{"set-body": "{method}"}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    for (path, body) in [("/", ""), ("/filled", "HEAD"), ("/", "")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{path}");
    }
}

#[tokio::test]
async fn collected_uploads_are_asked_for() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("request", &json!("full"))).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    assert_eq!(client.response_head().await.status, 100);
    client.send("body").await;
    assert_eq!(client.response().await.text(), "ok");
    let seen = origin.only_request();
    assert_eq!((seen.fields.get("x-body"), seen.fields.get("expect")), (Some("body false"), None));
}

#[tokio::test]
async fn refused_uploads_are_not_asked_for() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"refuse": [403, "M_FORBIDDEN", "no"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.interim.len()), (403, 0));
}

#[tokio::test]
async fn half_sent_bodies_reach_nobody() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "body": "full", "do": [{"log": "was called"}]},
        {"on": "finish", "do": [{"log": "ended with {received} bytes."}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf.").await;
    drop(client);
    host.logged("ended with 5 bytes.").await;
    assert_eq!((origin.connections(), host.times_logged("was called")), (0, 0));
}

#[tokio::test]
async fn large_bodies_go_through_a_guest() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "body": "full", "do": [{"set-body": "{body}"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.cpu", "10s").start().await;
    let body: Vec<u8> = (0..4_u32 << 20).map(|place| b'a' + u8::try_from(place % 23).expect("small")).collect();
    assert_eq!(host.post("/", body.clone()).await.status, 200);
    assert!(origin.only_request().body == body, "another body");
}

#[tokio::test]
async fn head_turned_into_get_with_another_status_is_answered() {
    let origin = RawOrigin::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello").await;
    let options = json!({"rules": [
        {"on": "request", "do": [{"set-method": "GET"}]}, {"on": "response", "do": [{"set-status": 200}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.response_to("HEAD").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}
