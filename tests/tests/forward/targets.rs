//! Who may use a forward listener, and where to.

use std::net::IpAddr;

use tollgate_tests::{Client, Port, RawClient, RawOrigin, Tollgate, Version};

use crate::common::{assert_error, assert_refused, connect, get};

async fn with(settings: &[(&str, &str)]) -> Tollgate {
    let builder = Tollgate::builder().forward("main").set("listener.main.targets.connect_ports", "any");
    let set = |builder: tollgate_tests::Builder, (key, value): &(&str, &str)| builder.set(&format!("listener.main.{key}"), value);
    settings.iter().fold(builder, set).start().await
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[tokio::test]
async fn clients_of_other_addresses_are_not_served() {
    let origin = RawOrigin::ok().await;
    // From .2 to .3.
    let tollgate = with(&[("clients", "[\"127.0.0.2/31\"]")]).await;
    let ask = async |source: &str, request: String| {
        let mut client = RawClient::connect_from(ip(source), tollgate.address()).await;
        client.send(request).await;
        client.response().await
    };
    let url = format!("{}/", origin.url());
    for source in ["127.0.0.2", "127.0.0.3"] {
        assert_eq!(ask(source, get(&url, "")).await.text(), "ok", "{source}");
    }
    let served = origin.connections();
    for source in ["127.0.0.1", "127.0.0.4", "127.9.9.9"] {
        let text = "clients of your address may not use this listener";
        assert_error(&ask(source, get(&url, "")).await, 403, "M_FORBIDDEN", text);
        assert_error(&ask(source, connect(origin.address())).await, 403, "M_FORBIDDEN", text);
        // Not even whether a name is known.
        assert_error(&ask(source, get("http://nowhere.invalid/", "")).await, 403, "M_FORBIDDEN", text);
        // Nor that there is a controller.
        assert_error(&ask(source, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()).await, 403, "M_FORBIDDEN", text);
    }
    assert_eq!(origin.connections(), served);
    let answer = Client::fetch(Version::Http2, tollgate.address(), &url).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn by_default_every_client_of_this_machine_is_served() {
    let (origin, tollgate) = (RawOrigin::ok().await, with(&[]).await);
    for source in ["127.0.0.1", "127.0.0.2", "127.255.0.1"] {
        let mut client = RawClient::connect_from(ip(source), tollgate.address()).await;
        client.send(get(&origin.url(), "")).await;
        assert_eq!(client.response().await.text(), "ok", "{source}");
    }
}

#[tokio::test]
async fn lists_decide_about_names_ports_and_addresses() {
    let origin = RawOrigin::ok().await;
    let port = origin.address().port();
    let (by_address, by_name) = (format!("http://127.0.0.1:{port}/"), format!("http://localhost:{port}/"));
    let (named, elsewhere) = (format!("[\"localhost:{port}\"]"), format!("[\"localhost:{}\"]", port ^ 1));
    let at = format!("[\"127.0.0.1:{port}\"]");
    for (allow, deny, address, name) in [
        ("[\"private\"]", "[]", true, true),
        ("[\"*\"]", "[]", false, false),
        ("[]", "[]", false, false),
        (&named, "[]", false, true),
        (&elsewhere, "[]", false, false),
        // What is denied by its address is denied under every name.
        ("[\"private\", \"localhost\"]", "[\"127.0.0.0/8\"]", false, false),
        ("[\"private\", \"localhost\"]", "[\"127.0.0.1\"]", false, false),
        ("[\"private\"]", "[\"127.0.0.2/31\"]", true, true),
        ("[\"private\"]", "[\"localhost\"]", true, false),
        ("[\"private\"]", "[\"private\"]", false, false),
        (&at, "[]", true, true),
        ("[\"private\"]", &at, false, false),
        ("[\"private\"]", &elsewhere, true, true),
    ] {
        let tollgate = with(&[("targets.allow", allow), ("targets.deny", deny)]).await;
        let before = origin.connections();
        for (url, is_allowed) in [(&by_address, address), (&by_name, name)] {
            let answer = RawClient::ask(tollgate.address(), get(url, "")).await;
            if is_allowed {
                assert_eq!(answer.text(), "ok", "{allow} {deny} {url}");
            } else {
                assert_error(&answer, 403, "M_FORBIDDEN", "targets.");
            }
        }
        if !address && !name {
            assert_eq!(origin.connections(), before, "{allow} {deny}");
        }
    }
}

#[tokio::test]
async fn the_rule_is_named_and_no_address() {
    let tollgate =
        with(&[("targets.allow", "[\"*\", \"10.0.0.0/8\"]"), ("targets.deny", "[\"*.b.test\", \"127.0.0.0/8\"]")]).await;
    for (url, text) in [
        ("http://a.b.test/", "targets.deny has \"*.b.test\""),
        ("http://192.168.0.1/", "nothing in targets.allow is about it"),
        ("http://169.254.169.254/latest/meta-data", "link-local addresses and those of clouds' metadata must be named"),
    ] {
        assert_refused(tollgate.address(), get(url, ""), 403, text).await;
    }
    let answer = RawClient::ask(tollgate.address(), get("http://localhost:1/", "")).await;
    assert_error(&answer, 403, "M_FORBIDDEN", "targets.deny has \"127.0.0.0/8\"");
    assert!(!answer.json()["error"].as_str().expect("a text").contains("127.0.0.1"));
}

#[tokio::test]
async fn metadata_of_clouds_is_not_reached_unless_named() {
    let tollgate = with(&[]).await;
    for host in [
        "169.254.169.254",
        "169.254.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "0xa9fea9fe",
        "2852039166",
        "169.254.43518",
    ] {
        let text = "must be named in targets.allow";
        assert_refused(tollgate.address(), get(&format!("http://{host}/"), ""), 403, text).await;
        assert_refused(tollgate.address(), connect(format!("{host}:80")), 403, text).await;
    }
}

#[tokio::test]
async fn nothing_leads_back_into_the_proxy() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .listener("reverse", &origin.url())
        .forward("main")
        .set("listener.main.targets.connect_ports", "any")
        .set("listener.main.targets.allow", "[\"*\", \"private\", \"127.0.0.1\", \"localhost\"]")
        .start()
        .await;
    for listener in ["main", "reverse", "admin"] {
        let port = tollgate.address_of(listener).port();
        for host in
            ["127.0.0.1", "localhost", "LOCALHOST", "127.1", "0x7f000001", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]", "[::]"]
        {
            let target = format!("{host}:{port}");
            let text = "it leads back into this proxy";
            assert_refused(tollgate.address(), connect(&target), 403, text).await;
            let mut client = RawClient::connect(tollgate.address()).await;
            client.send(get(&format!("http://{target}/addons"), "")).await;
            assert_error(&client.response().await, 403, "M_FORBIDDEN", text);
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn redirects_are_for_the_client() {
    let inside = RawOrigin::ok().await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", inside.url());
    let origin = RawOrigin::answering(redirect).await;
    let denied = format!("[\"{}\"]", inside.address());
    let tollgate = with(&[("targets.deny", &denied)]).await;
    let answer = RawClient::ask(tollgate.address(), get(&origin.url(), "")).await;
    let location = answer.fields.get("location").expect("a location").to_owned();
    assert_eq!(answer.status, 302);
    assert_refused(tollgate.address(), get(&location, ""), 403, "targets.deny has").await;
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn dead_targets_fail_as_upstreams_do() {
    let tollgate = with(&[]).await;
    let nobody = Port::reserve();
    let dead = nobody.address();
    for (url, text) in
        [(format!("http://{dead}/"), "cannot connect"), ("http://nowhere.invalid/".to_owned(), "cannot be resolved")]
    {
        assert_error(&RawClient::ask(tollgate.address(), get(&url, "")).await, 502, "M_UNKNOWN", text);
    }
}

#[tokio::test]
async fn silent_targets_time_out() {
    let silent = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        std::future::pending::<()>().await;
    })
    .await;
    let tollgate = with(&[("timeouts.response", "200ms")]).await;
    assert_error(&RawClient::ask(tollgate.address(), get(&silent.url(), "")).await, 504, "M_UNKNOWN", "no response in time");
}

#[tokio::test]
async fn lists_change_while_serving() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            if request.target == "/tunnel" {
                let _ = conversation.send("open").await;
            }
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let tollgate = Tollgate::builder().forward("main").config_toml("targets = { connect_ports = \"any\" }").start().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let mut tunnel = RawClient::connect(tollgate.address()).await;
    tunnel.send(connect(origin.address())).await;
    assert_eq!(tunnel.response_head().await.status, 200);
    client.send(get(&origin.url(), "")).await;
    assert_eq!(client.response().await.text(), "ok");
    let changed = tollgate.config().replace("targets = {", "targets = { deny = [\"127.0.0.1\"],");
    std::fs::write(tollgate.config_path(), &changed).expect("a file");
    tollgate.reload().await;
    // The same connection, and a kept one to the target.
    client.send(get(&origin.url(), "")).await;
    assert_error(&client.response().await, 403, "M_FORBIDDEN", "targets.deny has \"127.0.0.1\"");
    assert_refused(tollgate.address(), connect(origin.address()), 403, "targets.deny").await;
    // A tunnel that stands goes on.
    tunnel.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(tunnel.response().await.text(), "ok");
    let closed = changed.replace("mode = \"forward\"", "mode = \"forward\"\nclients = [\"10.0.0.0/8\"]");
    std::fs::write(tollgate.config_path(), closed).expect("a file");
    tollgate.reload().await;
    assert_refused(tollgate.address(), get(&origin.url(), ""), 403, "clients of your address").await;
}

#[tokio::test]
async fn an_open_proxy_does_not_start_by_accident() {
    let ended = Tollgate::builder().forward("main").set("listener.main.clients", "any").run().await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("listener.0.targets.allow: is missing"), "{}", ended.stderr);
}
