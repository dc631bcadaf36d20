//! Users of forward listeners, and their passwords.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Method, Request};
use serde_json::json;
use tollgate_tests::{
    Answer, Authority, Client, Echo, RawClient, RawOrigin, Response, Tollgate, Version, addons::HostedBuilder, eventually,
};

use crate::{
    common::{connect_with, gate},
    intercepting::{Ca, tls},
};

const SECRET: &str = "s3cret:w\u{f6}rd";

/// A hash as the command line makes it.
async fn hashed(arguments: &[&str], password: &str) -> String {
    let line = format!("{password}\n");
    let ended = Tollgate::run_with(&[&["hash-password"], arguments].concat(), line.as_bytes()).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!ended.stdout.contains(password), "{}", ended.stdout);
    ended.stdout.trim_end().to_owned()
}

/// With the user `ann`.
async fn with_ann(gate: HostedBuilder) -> HostedBuilder {
    let hash = hashed(&["--bcrypt", "4"], SECRET).await;
    gate.set("listener.forward.users.ann", format!("{hash:?}"))
}

fn basic(name: &str, password: &str) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

async fn ask(proxy: std::net::SocketAddr, first: &str, host: &str, fields: &str) -> Response {
    RawClient::ask(proxy, format!("{first} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await
}

/// That somebody is asked for a password.
fn challenged(answer: &Response) {
    assert_eq!((answer.status, answer.json()["errcode"].as_str()), (407, Some("M_FORBIDDEN")), "{answer:?}");
    assert_eq!(answer.fields.get("proxy-authenticate"), Some("Basic realm=\"tollgate\", charset=\"UTF-8\""));
}

#[tokio::test]
async fn nobody_passes_without_a_password() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "connect"}, {"on": "request"}]});
    let builder = gate(None, &upstreams, &script).set("admin.controller_host", "mitm.code");
    let host = with_ann(builder).await.start().await;
    let proxy = host.address_of("forward");
    let authority = origin.address().to_string();
    let whole = format!("GET {}/", origin.url());
    let connect = format!("CONNECT {authority}");
    for first in [&whole, &connect, "GET http://mitm.code/options", "GET /", "OPTIONS *"] {
        for fields in [
            String::new(),
            basic("ann", ""),
            basic("ann", "s3cret"),
            basic("Ann", SECRET),
            basic("", SECRET),
            basic("bea", SECRET),
            basic("ann", SECRET).replace("Basic", "Bearer"),
            basic("ann", SECRET).replace("Proxy-", ""),
            format!("{0}{0}", basic("ann", SECRET)),
            "Proxy-Authorization: Basic !\r\n".to_owned(),
        ] {
            challenged(&ask(proxy, first, &authority, &fields).await);
        }
    }
    assert_eq!((origin.connections(), host.admin().counter("a", "calls").await), (0, 0));
    assert_eq!(ask(proxy, &whole, &authority, &basic("ann", SECRET)).await.status, 200);
    assert_eq!(ask(proxy, "GET http://mitm.code/options", "mitm.code", &basic("ann", SECRET)).await.status, 200);
    let mut client = RawClient::connect(proxy).await;
    client.send(format!("{connect} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", basic("ann", SECRET))).await;
    assert_eq!(client.response_head().await.status, 200);
    assert!(host.logs().contains("proxy.user=\"ann\""), "{}", host.logs());
}

#[tokio::test]
async fn http2_asks_for_passwords_too() {
    let upstreams = Authority::new();
    let origin = Echo::http1().await;
    let host = with_ann(gate(None, &upstreams, &json!({}))).await.start().await;
    let mut client = Client::connect(Version::Http2, host.address_of("forward")).await;
    let request = |password: &str| {
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("ann:{password}")));
        let request = Request::get(format!("{}/", origin.url())).header("proxy-authorization", value);
        request.body(tollgate_tests::empty()).expect("a request")
    };
    let refused: Answer = client.ask(request("wrong")).await;
    assert_eq!((refused.status.as_u16(), refused.header("proxy-authenticate").is_some()), (407, true));
    let answer = client.ask(request(SECRET)).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().to_ascii_lowercase().contains("proxy-auth"), "{}", answer.text());
    // There is no CONNECT, whoever asks.
    let connect = Request::builder().method(Method::CONNECT).uri(origin.address().to_string());
    let refused = client.try_ask(connect.body(tollgate_tests::empty()).expect("a request")).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 405));
}

#[tokio::test]
async fn requests_inside_need_no_password_and_know_the_user() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let script = json!({"rules": [
        {"on": "connect", "do": [{"log": "outside {user} {fields}"}]},
        {"on": "request", "do": [{"set": ["X-User", "{user}"]}]},
    ]});
    let file = ca.path("users");
    let (ann, bea) =
        (hashed(&["--user", "ann", "--bcrypt", "4"], SECRET).await, hashed(&["--user", "bea", "--bcrypt", "4"], "for bea").await);
    std::fs::write(&file, format!("{ann}\n{bea}\n")).expect("a file");
    let path = format!("{:?}", file.to_string_lossy());
    let host = gate(Some(&ca), &upstreams, &script).set("listener.forward.users_file", path).start().await;
    let authority = format!("localhost:{}", origin.address().port());
    let stream = connect_with(host.address_of("forward"), &authority, &basic("ann", SECRET)).await;
    let stream = tls(stream, "localhost", ca.trusted(&["http/1.1"])).await.expect("TLS");
    let mut inside = Client::within(stream, Version::Http1, &format!("https://{authority}")).await;
    let answer = inside.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("[\"x-user\",\"ann\"]"), "{}", answer.text());
    eventually(async || host.times_logged(&format!("outside ann Host={authority} addon")) == 1).await;
    eventually(async || host.admin().get("/flows").await.json()["flows"][0]["proxy_user"] == "ann").await;
    // Until the user is gone.
    std::fs::write(&file, format!("{bea}\n")).expect("a file");
    host.reload().await;
    assert_eq!(inside.get("/").await.status, 403);
}

#[tokio::test]
async fn credentials_go_nowhere() {
    let upstreams = Authority::new();
    let origin = Echo::http1().await;
    let recording = tempfile::tempdir().expect("a directory");
    let file = recording.path().join("all.har");
    let script = json!({"rules": [{"on": "request", "do": [{"set": ["X-Fields", "{names}"]}]}, {"on": "connect"}]});
    let builder =
        gate(None, &upstreams, &script).set("record.file", format!("{:?}", file.to_string_lossy())).set("record.secrets", "true");
    let host = with_ann(builder).await.start().await;
    let proxy = host.address_of("forward");
    let authority = origin.address().to_string();
    let token = BASE64_STANDARD.encode(format!("ann:{SECRET}"));
    let answer = ask(proxy, &format!("GET {}/", origin.url()), &authority, &basic("ann", SECRET)).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains(&token) && !answer.text().to_ascii_lowercase().contains("proxy-auth"), "{}", answer.text());
    let mut client = RawClient::connect(proxy).await;
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", basic("ann", SECRET))).await;
    assert_eq!(client.response_head().await.status, 200);
    drop(client);
    challenged(&ask(proxy, "GET http://a.test/", "a.test", &basic("ann", "wr0ng")).await);
    eventually(async || std::fs::read_to_string(&file).is_ok_and(|har| har.contains("CONNECT") && har.contains("\"GET\""))).await;
    let (har, logs) = (std::fs::read_to_string(&file).expect("a file"), host.logs());
    let wrong = BASE64_STANDARD.encode("ann:wr0ng");
    for secret in [token.as_str(), &wrong, SECRET, "wr0ng", "$2y$"] {
        assert!(!har.contains(secret) && !logs.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn files_of_htpasswd_are_taken_and_followed() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    let line = hashed(&["--user", "ann"], "one").await;
    assert!(line.starts_with("ann:$argon2id$"), "{line}");
    let cheap = hashed(&["--user", "bea", "--bcrypt", "4"], "two").await;
    std::fs::write(&file, format!("# who\n{line}\n{cheap}\n")).expect("a file");
    let path = format!("{:?}", file.to_string_lossy());
    let host = gate(None, &upstreams, &json!({})).set("listener.forward.users_file", path).start().await;
    let proxy = host.address_of("forward");
    let first = format!("GET {}/", origin.url());
    let status = async |name: &str, password: &str| ask(proxy, &first, "a", &basic(name, password)).await.status;
    assert_eq!((status("ann", "one").await, status("bea", "two").await, status("ann", "two").await), (200, 200, 407));
    std::fs::write(&file, format!("{cheap}\n# ann is gone\n")).expect("a file");
    eventually(async || status("ann", "one").await == 407).await;
    assert_eq!(status("bea", "two").await, 200);
    // A broken file changes nothing.
    std::fs::write(&file, "bea:two\n").expect("a file");
    eventually(async || host.times_logged("listener.1.users_file") >= 1).await;
    assert_eq!(status("bea", "two").await, 200);
    assert_eq!(host.times_logged("bea:two"), 0);
}

#[tokio::test]
async fn a_password_is_paid_for_once() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    // At this cost, fifty more would take fifty times as long.
    let hash = hashed(&["--bcrypt", "10"], SECRET).await;
    let host = gate(None, &upstreams, &json!({})).set("listener.forward.users.ann", format!("{hash:?}")).start().await;
    let proxy = host.address_of("forward");
    let first = format!("GET {}/", origin.url());
    let before = host.cpu_of_threads("passwords");
    assert_eq!(ask(proxy, &first, "a", &basic("ann", SECRET)).await.status, 200);
    let once = host.cpu_of_threads("passwords") - before;
    let before = host.cpu_of_threads("passwords");
    for _ in 0..50 {
        assert_eq!(ask(proxy, &first, "a", &basic("ann", SECRET)).await.status, 200);
    }
    let again = host.cpu_of_threads("passwords") - before;
    assert!(again < once * 10, "{once:?} for the first one, {again:?} for fifty more");
}

#[tokio::test]
async fn passwords_are_not_asked_of_those_who_may_not_come() {
    let upstreams = Authority::new();
    let builder = with_ann(gate(None, &upstreams, &json!({}))).await;
    let host = builder.set("listener.forward.clients", "[\"127.0.0.2\"]").start().await;
    let proxy = host.address_of("forward");
    let request = format!("GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("ann", SECRET));
    assert_eq!(RawClient::ask(proxy, request.clone()).await.status, 403);
    let mut client = RawClient::connect_from("127.0.0.2".parse().expect("an address"), proxy).await;
    client.send(request).await;
    assert_eq!(client.response().await.status, 502);
}

#[tokio::test]
async fn broken_users_do_not_start() {
    let upstreams = Authority::new();
    for (key, value, expected) in [
        ("users", "{}".to_owned(), "must name somebody"),
        ("users", "{ ann = \"s3cret\" }".to_owned(), "is no hash by argon2 or bcrypt"),
        ("users", "{ \"a:b\" = \"s3cret\" }".to_owned(), "no colon"),
        ("users", "{ ann = 1 }".to_owned(), "users.ann"),
        ("users_file", "\"nowhere\"".to_owned(), "cannot be read"),
    ] {
        let ended = gate(None, &upstreams, &json!({})).set(&format!("listener.forward.{key}"), &value).run().await;
        assert_eq!(ended.status.code(), Some(2), "{value}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected) && !ended.stderr.contains("s3cret"), "{value}: {}", ended.stderr);
    }
    let ended = Tollgate::builder().upstream("http://127.0.0.1:1").set("listener.main.users_file", "\"a\"").run().await;
    assert!(ended.stderr.contains("must not be set where mode is reverse"), "{}", ended.stderr);
}

#[tokio::test]
async fn passwords_are_hashed_from_a_line() {
    for (input, is_taken) in
        [(&b"a\n"[..], true), (b"a\r\n", true), (b"a", true), (b"", false), (b"\n", false), (&[b'x'; 1100], false)]
    {
        let ended = Tollgate::run_with(&["hash-password", "--bcrypt", "4"], input).await;
        assert_eq!(ended.status.success(), is_taken, "{input:?} {}", ended.stderr);
        assert_eq!(ended.stdout.starts_with("$2y$04$"), is_taken);
    }
    let ended = Tollgate::run_with(&["hash-password", "--user", "a:b"], b"a\n").await;
    assert!(!ended.status.success() && ended.stderr.contains("colon"), "{}", ended.stderr);
}
