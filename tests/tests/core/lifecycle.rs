//! The life of the process: how it starts and refuses to, takes over changes, and ends.

use std::sync::Arc;

use rustix::process::Signal;
use tokio::{net::TcpStream, sync::Notify};
use tollgate_tests::{Answer, Client, Conversation, RawClient, RawOrigin, Tollgate, Version, empty, eventually, within};

use crate::common::request;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An origin that answers when it is told to.
async fn held(go_on: &Arc<Notify>) -> RawOrigin {
    let gate = Arc::clone(go_on);
    RawOrigin::start(move |mut conversation| {
        let gate = Arc::clone(&gate);
        async move {
            while conversation.request().await.is_some() {
                gate.notified().await;
                let _ = conversation.send(OK).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn flows_under_way_end_well() {
    for (signal, version) in [(Signal::TERM, Version::Http1), (Signal::TERM, Version::Http2), (Signal::INT, Version::Http1)] {
        let go_on = Arc::new(Notify::new());
        let origin = held(&go_on).await;
        let mut tollgate = Tollgate::before(&origin.url()).await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let asked = tokio::spawn(client.start(http::Request::get("/").body(empty()).expect("a request")));
        eventually(async || origin.requests().len() == 1).await;
        tollgate.signal(signal);
        eventually(async || TcpStream::connect(tollgate.address()).await.is_err()).await;
        assert!(tollgate.is_running());
        go_on.notify_one();
        let response = within(asked).await.expect("a task").expect("a response");
        if version == Version::Http1 {
            assert_eq!(response.headers()["connection"], "close");
        }
        assert_eq!(Answer::read(response).await.expect("a body").text(), "ok");
        assert_eq!(tollgate.ended().await.code(), Some(0), "{version:?}");
    }
}

#[tokio::test]
async fn bodies_under_way_end_well() {
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let origin = RawOrigin::start(move |mut conversation: Conversation| {
        let gate = Arc::clone(&gate);
        async move {
            conversation.request().await;
            let _ = conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").await;
            gate.notified().await;
            let _ = conversation.send("1\r\nc\r\n0\r\n\r\n").await;
            conversation.take_all().await;
        }
    })
    .await;
    let mut tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    client.response_head().await;
    assert_eq!(client.piece().await.expect("a body").expect("a piece"), "ab");
    tollgate.terminate();
    tollgate.logged("stopping").await;
    go_on.notify_one();
    assert_eq!(client.piece().await.expect("a body").expect("a piece"), "c");
    assert!(client.piece().await.expect("a body").is_none());
    assert_eq!(tollgate.ended().await.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_hold_a_stop_up() {
    let origin = RawOrigin::ok().await;
    let mut tollgate = Tollgate::before(&origin.url()).await;
    let mut fresh = RawClient::connect(tollgate.address()).await;
    let mut used = RawClient::connect(tollgate.address()).await;
    used.send(request("GET", "", "")).await;
    used.response().await;
    let mut http2 = Client::connect(Version::Http2, tollgate.address()).await;
    http2.get("/").await;
    tollgate.terminate();
    fresh.expect_end().await;
    used.expect_end().await;
    http2.ended().await;
    assert_eq!(tollgate.ended().await.code(), Some(0));
}

#[tokio::test]
async fn grace_ends_what_goes_on() {
    let origin = held(&Arc::new(Notify::new())).await;
    let mut tollgate = Tollgate::builder().upstream(&origin.url()).config_toml("[timeouts]\ngrace = \"200ms\"").start().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    eventually(async || origin.requests().len() == 1).await;
    tollgate.terminate();
    assert_eq!(tollgate.ended().await.code(), Some(0));
    client.expect_end().await;
}

#[tokio::test]
async fn tunnels_go_on_within_the_grace() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
        while let Some(bytes) = conversation.take(1).await {
            let _ = conversation.send(bytes).await;
        }
    })
    .await;
    let mut tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "Connection: Upgrade\r\nUpgrade: x\r\n", "")).await;
    client.response_head().await;
    tollgate.terminate();
    tollgate.logged("stopping").await;
    client.send("x").await;
    assert_eq!(client.take(1).await, "x");
    drop(client);
    assert_eq!(tollgate.ended().await.code(), Some(0));
}

#[tokio::test]
async fn second_signals_end_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let origin = held(&Arc::new(Notify::new())).await;
        let mut tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("GET", "", "")).await;
        eventually(async || origin.requests().len() == 1).await;
        tollgate.terminate();
        tollgate.logged("stopping").await;
        assert!(tollgate.is_running());
        tollgate.signal(second);
        tollgate.ended().await;
        client.expect_end().await;
        tollgate.logged("second signal").await;
    }
}

#[tokio::test]
async fn draining_proxies_are_not_ready() {
    let go_on = Arc::new(Notify::new());
    let origin = held(&go_on).await;
    let mut tollgate = Tollgate::before(&origin.url()).await;
    let ready = async |tollgate: &Tollgate| {
        RawClient::ask(tollgate.admin(), "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .status
    };
    assert_eq!(ready(&tollgate).await, 200);
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    eventually(async || origin.requests().len() == 1).await;
    tollgate.terminate();
    eventually(async || ready(&tollgate).await == 503).await;
    let live = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(RawClient::ask(tollgate.admin(), live).await.status, 200);
    go_on.notify_one();
    assert_eq!(client.response().await.text(), "ok");
    tollgate.ended().await;
}

#[tokio::test]
async fn changed_upstreams_are_taken_over() {
    let go_on = Arc::new(Notify::new());
    let old = held(&go_on).await;
    let new = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew").await;
    let tollgate = Tollgate::before(&old.url()).await;
    let mut under_way = RawClient::connect(tollgate.address()).await;
    under_way.send(request("GET", "", "")).await;
    eventually(async || old.requests().len() == 1).await;
    let mut http2 = Client::connect(Version::Http2, tollgate.address()).await;
    let held = tokio::spawn(http2.start(http::Request::get("/").body(empty()).expect("a request")));
    eventually(async || old.requests().len() == 2).await;
    std::fs::write(tollgate.config_path(), tollgate.config().replace(&old.url(), &new.url())).expect("a file");
    tollgate.reload().await;
    assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.text(), "new");
    assert_eq!(http2.get("/").await.text(), "new");
    // Flows keep what they started with; their connections take the new from the next request on.
    go_on.notify_waiters();
    assert_eq!(under_way.response().await.text(), "ok");
    assert_eq!(Answer::read(within(held).await.expect("a task").expect("a response")).await.expect("a body").text(), "ok");
    under_way.send(request("GET", "", "")).await;
    assert_eq!(under_way.response().await.text(), "new");
    assert_eq!(old.requests().len(), 2);
}

#[tokio::test]
async fn broken_changes_change_nothing() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let good = tollgate.config();
    let taken = RawOrigin::ok().await;
    for (broken, text) in [
        ("nonsense".to_owned(), "tollgate.toml"),
        (good.replace("upstream =", "upsteam ="), "upsteam"),
        (good.replace("http://", "ftp://"), "must start with http"),
        (format!("{good}\n[timeouts]\nidle = \"never\""), "timeouts.idle"),
        (
            good.replace("name = \"main\"\nbind = \"127.0.0.1:0\"", &format!("name = \"main\"\nbind = \"{}\"", taken.address())),
            "cannot bind",
        ),
    ] {
        std::fs::write(tollgate.config_path(), broken).expect("a file");
        tollgate.reload().await;
        assert!(tollgate.logs().contains(text), "{text}");
        assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.text(), "ok", "{text}");
    }
    std::fs::remove_file(tollgate.config_path()).expect("a file");
    tollgate.reload().await;
    assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.text(), "ok");
}

#[tokio::test]
async fn changed_files_are_found_without_a_signal() {
    let origin = RawOrigin::ok().await;
    let new = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew").await;
    let tollgate = Tollgate::before(&origin.url()).await;
    std::fs::write(tollgate.config_path(), tollgate.config().replace(&origin.url(), &new.url())).expect("a file");
    eventually(async || RawClient::ask(tollgate.address(), request("GET", "", "")).await.text() == "new").await;
}

#[tokio::test]
async fn listeners_come_and_go() {
    let origin = RawOrigin::ok().await;
    let port = RawOrigin::ok().await.address();
    let tollgate = Tollgate::before(&origin.url()).await;
    let before = tollgate.config();
    let more = format!("{before}\n[[listener]]\nname = \"more\"\nbind = \"{port}\"\nupstream = \"{}\"\n", origin.url());
    std::fs::write(tollgate.config_path(), more).expect("a file");
    tollgate.reload().await;
    let mut client = RawClient::connect(port).await;
    client.send(request("GET", "", "")).await;
    assert_eq!(client.response().await.text(), "ok");
    std::fs::write(tollgate.config_path(), before).expect("a file");
    tollgate.reload().await;
    eventually(async || TcpStream::connect(port).await.is_err()).await;
    client.expect_end().await;
    assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.text(), "ok");
}

#[tokio::test]
async fn all_errors_are_listed() {
    let ended = Tollgate::builder()
        .listener("main", "ftp://127.0.0.1")
        .config_toml("[limits]\nheader_count = 0\nunknown = 1\n[timeouts]\nidle = 5\n[addon.x]\non_error = \"maybe\"")
        .set("listener.main.tls", "{cert = \"/no/such/file\"}")
        .set("log.level", "loud")
        .run()
        .await;
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    for text in [
        "listener.0.upstream",
        "limits.header_count = 0",
        "limits.unknown",
        "timeouts.idle = 5",
        "addon.x.on_error",
        "listener.0.tls.cert",
        "listener.0.tls.key",
        "log.level",
    ] {
        assert!(ended.stderr.contains(text), "{text}: {}", ended.stderr);
    }
    assert!(ended.stderr.lines().all(|line| line.starts_with("error: ")), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 8, "{}", ended.stderr);
}

#[tokio::test]
async fn wrong_command_lines_are_refused() {
    for arguments in [
        &["run"][..],
        &["run", "--config", "/no/such/file"],
        &["run", "--reverse", "nonsense"],
        &["run", "--reverse", "http://a@b@c"],
        &["run", "--reverse", "http://127.0.0.1:1@0", "--set", "nonsense"],
        &["run", "--reverse", "http://127.0.0.1:1@0", "--plugins", "/no/such/directory"],
        &["run", "--colour"],
        &["serve"],
    ] {
        let ended = Tollgate::run(arguments).await;
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("error"), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn taken_addresses_are_told() {
    let taken = RawOrigin::ok().await;
    let port = taken.address().port().to_string();
    let ended = Tollgate::run(&["run", "--reverse", &format!("http://127.0.0.1:1@{port}"), "--set", "plugins=\"/\""]).await;
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("cannot bind") && ended.stderr.contains(&port), "{}", ended.stderr);
}

#[tokio::test]
async fn valid_configurations_are_checked_without_serving() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tollgate.toml");
    let text = "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\nupstream = \"http://127.0.0.1:2\"\n";
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("text");
    let ended = Tollgate::run(&["check", "--config", path]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("1 listener"), "{}", ended.stdout);
    std::fs::write(&file, text.replace("127.0.0.1:1", "nowhere")).expect("a file");
    let ended = Tollgate::run(&["check", "--config", path]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("listener.0.bind"), "{}", ended.stderr);
}

#[tokio::test]
async fn variables_and_flags_go_over_the_file() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .env("TOLLGATE_SET", "listener.main.via=variable\nlimits.request_body=1")
        .start()
        .await;
    let response = RawClient::ask(tollgate.address(), request("POST", "Content-Length: 2\r\n", "ab")).await;
    assert_eq!(response.status, 413);
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_eq!(response.fields.get("via"), Some("1.1 variable"));
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .env("TOLLGATE_SET", "listener.main.via=variable")
        .set("listener.main.via", "flag")
        .start()
        .await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_eq!(response.fields.get("via"), Some("1.1 flag"));
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("trace").start().await;
    let lines = "Authorization: Bearer s3cret-a\r\nCookie: s3cret-b\r\nSec-WebSocket-Protocol: s3cret-c\r\n";
    let text = format!("GET /path?access_token=s3cret-d HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    assert_eq!(RawClient::ask(tollgate.address(), &text).await.status, 200);
    let mut client = Client::connect(Version::Http2, tollgate.address()).await;
    let get = http::Request::get("/path?access_token=s3cret-d").header("authorization", "s3cret-a").header("cookie", "s3cret-b");
    client.ask(get.body(empty()).expect("a request")).await;
    // Refused ones are logged too, if at all.
    RawClient::ask(tollgate.address(), text.replace("Host: a", "Host: a\r\nContent-Length: x")).await;
    tollgate.logged("flow ended").await;
    let logs = tollgate.logs();
    let line = logs.lines().find(|line| line.contains("s3cret")).unwrap_or_default();
    assert!(line.is_empty(), "{line}");
}
