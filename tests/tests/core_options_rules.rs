//! Options of the core that change what is asked and answered, and choose which flows addons see.
#![cfg(test)]

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tollgate_tests::{Answer, Client, Echo, RawClient, RawOrigin, Tollgate, Version, addons::Hosted, empty, eventually, within};

/// Answers everything by itself.
fn blocking() -> Value {
    json!({"rules": [{"on": "request", "do": [{"respond": [403, [], "blocked by the addon"]}]}]})
}

async fn ask(version: Version, tollgate: &Tollgate, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = http::Request::get(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Client::connect(version, tollgate.address()).await.ask(request.body(empty()).expect("a request")).await
}

/// An origin that answers with a field when it is told to.
async fn held(go_on: &Arc<Notify>) -> RawOrigin {
    let gate = Arc::clone(go_on);
    RawOrigin::start(move |mut conversation| {
        let gate = Arc::clone(&gate);
        async move {
            while conversation.request().await.is_some() {
                gate.notified().await;
                let _ = conversation.send("HTTP/1.1 200 OK\r\nX-Old: 1\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn validators_and_codings_are_taken_from_requests() {
    let origin = Echo::http1().await;
    let script =
        json!({"rules": [{"on": "request", "do": [{"set": ["X-Told", "{header:accept-encoding} {header:if-none-match}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let headers =
        [("if-none-match", "\"a\""), ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"), ("accept-encoding", "gzip")];
    for version in Version::BOTH {
        host.set_options("").await;
        let echoed = ask(version, &host, "/", &headers).await.echoed();
        assert!(headers.iter().all(|(name, value)| echoed.header(name) == Some(value)), "{echoed:?}");
        host.set_options("anticache = true").await;
        let echoed = ask(version, &host, "/", &headers).await.echoed();
        assert_eq!([0, 1, 2].map(|place: usize| echoed.header(headers[place].0)), [None, None, Some("gzip")]);
        host.set_options("anticomp = true").await;
        let echoed = ask(version, &host, "/", &headers).await.echoed();
        assert_eq!((echoed.header("if-none-match"), echoed.header("accept-encoding")), (Some("\"a\""), Some("identity")));
        // Addons see what is left.
        assert_eq!(echoed.header("x-told"), Some("identity \"a\""));
        assert_eq!(ask(version, &host, "/", &[]).await.echoed().header("accept-encoding"), Some("identity"));
    }
}

#[tokio::test]
async fn blocked_requests_go_nowhere() {
    let origin = Echo::http1().await;
    let script = json!({"rules": [{"on": "request", "do": [{"log": "saw {target}"}]}, {"on": "finish", "do": [{"log": "finished {target}"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    host.set_options("block_list = ['/~u secret/404', ':~p ^/tea$:418', '/~u gone/444', '/~u both/500', '/~u both/501']").await;
    for version in Version::BOTH {
        for (target, status) in [("/secret", 404), ("/tea", 418), ("/both", 501), ("/both-secret", 501)] {
            let answer = ask(version, &host, target, &[]).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, ""), "{version:?} {target}");
        }
        for target in ["/gone", "/gone-secret"] {
            let request = http::Request::get(target).body(empty()).expect("a request");
            assert!(Client::connect(version, host.address()).await.try_ask(request).await.is_err(), "{version:?} {target}");
        }
        assert_eq!(ask(version, &host, "/open", &[]).await.status, 200);
    }
    eventually(async || host.times_logged("finished /open") == 2).await;
    assert_eq!((host.times_logged("saw "), host.times_logged("finished "), origin.requests()), (2, 2, 2));
}

#[tokio::test]
async fn what_is_closed_without_an_answer_gets_no_byte() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    tollgate.set_options("block_list = ['/~all/444']").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect_end().await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn fields_are_modified_after_the_addons() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nX-Old: 1\r\nx-old: 2\r\nContent-Length: 2\r\n\r\nok").await;
    let script = json!({"rules": [
        {"on": "request", "do": [{"set": ["X-Request", "{header:x-old}"]}]},
        {"on": "response", "do": [{"set": ["X-Response", "{header:x-old}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    host.set_options(
        "modify_headers = ['/~q/X-Old/new', '/~q/x-old/newer', '/~s/X-Old/', '/~s & ~c 200/X-Added/yes', '/~m POST/X-No/1', '/X-Both/b']",
    )
    .await;
    for version in Version::BOTH {
        let answer = ask(version, &host, "/", &[("x-old", "mine")]).await;
        assert_eq!(answer.header("x-old"), None, "{version:?}");
        assert_eq!((answer.header("x-added"), answer.header("x-both")), (Some("yes"), Some("b")), "{version:?}");
        assert_eq!(answer.header("x-no"), None, "{version:?}");
        assert_eq!(answer.header("x-response"), Some("1"), "{version:?}");
    }
    for request in origin.requests() {
        assert_eq!(request.fields.all("x-old").collect::<Vec<_>>(), ["new", "newer"]);
        assert_eq!((request.fields.get("x-request"), request.fields.get("x-both")), (Some("mine"), Some("b")));
        assert!(!request.fields.has("x-no") && !request.fields.has("x-added"));
    }
}

#[tokio::test]
async fn answers_of_addons_are_modified_and_those_of_the_core_are_not() {
    let script = json!({"rules": [{"on": "request", "filter": "~u mine", "do": [{"respond": [200, [["X-Old", "1"]], "mine"]}]}]});
    let host = Hosted::before("http://127.0.0.1:1").scripted("a", &script).start().await;
    host.set_options("modify_headers = ['/X-Old/new']").await;
    assert_eq!(host.get("/mine").await.header("x-old"), Some("new"));
    let failed = host.get("/").await;
    assert_eq!((failed.status.as_u16(), failed.header("x-old")), (502, None));
}

#[tokio::test]
async fn flows_under_way_keep_their_options() {
    let go_on = Arc::new(Notify::new());
    let origin = held(&go_on).await;
    let host = Hosted::before(&origin.url()).start().await;
    for version in Version::BOTH {
        for (before, after, first, second) in [
            ("", "modify_headers = ['/~s/X-Old/new']", "1", "new"),
            ("modify_headers = ['/~s/X-Old/new']", "", "new", "1"),
            ("modify_headers = ['/~s/X-Old/a']", "modify_headers = ['/~s/X-Old/b']", "a", "b"),
        ] {
            host.set_options(before).await;
            let count = origin.requests().len();
            let mut client = Client::connect(version, host.address()).await;
            let asked = tokio::spawn(client.start(http::Request::get("/").body(empty()).expect("a request")));
            eventually(async || origin.requests().len() == count + 1).await;
            host.set_options(after).await;
            go_on.notify_one();
            let response = within(asked).await.expect("a task").expect("a response");
            assert_eq!(Answer::read(response).await.expect("a body").header("x-old"), Some(first), "{version:?} {after}");
            // Another flow of the same connection.
            client.ready().await.expect("a connection");
            let asked = tokio::spawn(client.start(http::Request::get("/").body(empty()).expect("a request")));
            eventually(async || origin.requests().len() == count + 2).await;
            go_on.notify_one();
            let response = within(asked).await.expect("a task").expect("a response");
            assert_eq!(Answer::read(response).await.expect("a body").header("x-old"), Some(second), "{version:?} {after}");
        }
    }
}

#[tokio::test]
async fn ignored_hosts_pass_without_addons() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &blocking()).with(|builder| builder.forward("forward")).start().await;
    let port = origin.address().port();
    let elsewhere = "GET / HTTP/1.1\r\nHost: ignored.test\r\n\r\n";
    let forward = format!("GET {}/ HTTP/1.1\r\nHost: ignored.test\r\n\r\n", origin.url());
    for (options, is_ignored) in [
        (String::new(), false),
        (format!("ignore_hosts = ['^127\\.0\\.0\\.1:{port}$']"), true),
        ("ignore_hosts = ['nothing', '0\\.0\\.1']".to_owned(), true),
        ("ignore_hosts = ['^127\\.0\\.0\\.1$']".to_owned(), true),
        (format!("ignore_hosts = [':{port}0$']"), false),
        // What a client claims is nothing to go by.
        ("ignore_hosts = ['ignored']".to_owned(), false),
        ("allow_hosts = ['^127\\.']".to_owned(), false),
        ("allow_hosts = ['elsewhere', 'ignored']".to_owned(), true),
        // Nor do rules see what is ignored.
        ("ignore_hosts = ['^127']\nblock_list = ['/~all/418']\nmodify_headers = ['/~s/X-No/1']".to_owned(), true),
    ] {
        host.set_options(&options).await;
        let answers =
            [RawClient::ask(host.address(), elsewhere).await, RawClient::ask(host.address_of("forward"), &forward).await];
        for answer in answers {
            assert_eq!(answer.status, if is_ignored { 200 } else { 403 }, "{options}");
            assert!(!answer.fields.has("x-no"), "{options}");
        }
        let http2 = ask(Version::Http2, &host, "/", &[]).await;
        assert_eq!(http2.status, if is_ignored { 200 } else { 403 }, "{options}");
    }
}

#[tokio::test]
async fn hosts_are_found_in_any_case() {
    let origin = RawOrigin::ok().await;
    let upstream = format!("http://LocalHost:{}", origin.address().port());
    let host = Hosted::before(&upstream).scripted("a", &blocking()).start().await;
    host.set_options("ignore_hosts = ['^LOCALhost:']").await;
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn tunnels_can_be_blocked() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::forward().await;
    let connect = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address());
    for (options, status) in [("block_list = ['/~d ^127/403']", 403), ("block_list = ['/~d elsewhere/403']", 200)] {
        tollgate.set_options(options).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(&connect).await;
        assert_eq!(client.response_head().await.status, status, "{options}");
    }
}
