//! Ways of asking that are to get past a route, into one, or out of what one leads to.

use tollgate_tests::{Client, RawClient, RawOrigin, SocketClient, SocketEnd, Version, sockets};

use crate::common::{answering, before};

const CLOSED: &str = "[[listener.route]]\npath = '/admin/{rest...}'\nanswer = { status = 403, body = 'closed' }\n\
    [[listener.route]]\npath = '/files/{name}'\ntarget = '/data/{name}'\n\
    [[listener.route]]\npath = '/tree/{rest...}'\ntarget = '/data/{rest}'\n\
    [[listener.route]]\npath = '/go/{rest...}'\nredirect.location = '/{rest}'\n";

#[tokio::test]
async fn no_way_of_writing_a_path_leads_past_a_route() {
    let origin = RawOrigin::ok().await;
    let tollgate = before(&origin, CLOSED).start().await;
    for target in [
        "/x/../admin/y",
        "/x/%2e%2e/admin/y",
        "//admin/y",
        "/./admin/y",
        "/admin;x=y/z",
        "/..;/admin/y",
        "/x/..%2fadmin/y",
        "/x/..%5cadmin/y",
        "/admin/../files/x",
        "/files/..%2fadmin%2fy",
        "/files/..",
    ] {
        for version in Version::BOTH {
            let answer = Client::fetch(version, tollgate.address(), target).await;
            assert_eq!(answer.status, 400, "{version:?} {target}: {}", answer.text());
            assert!(answer.text().contains("read in several ways"), "{target}: {}", answer.text());
        }
    }
    let raw = RawClient::ask(tollgate.address(), "GET /admin\\y HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((raw.status, origin.connections()), (400, 0));
    for target in ["/admin/y", "/%61dmin/y", "/admin/", "/admin/x%2fy", "http://a/admin/x?/../..", "/admin/./y"] {
        let answer = Client::fetch(Version::Http1, tollgate.address(), target).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (403, "closed"), "{target}");
    }
    assert_eq!(origin.connections(), 0);
    // What no route is about in any reading is nobody's business.
    for target in ["/x//y", "/x/../y", "/x;y", "/x%2f..%2fy"] {
        assert_eq!(Client::fetch(Version::Http1, tollgate.address(), target).await.text(), "ok", "{target}");
        assert_eq!(origin.targets().pop().as_deref(), Some(target));
    }
}

#[tokio::test]
async fn no_mixture_of_readings_leads_past_a_route() {
    let origin = RawOrigin::ok().await;
    let routes = "[[listener.route]]\npath = '/a/admin'\nanswer = { status = 403, body = 'closed' }\n\
        [[listener.route]]\npath = '/x/b/admin'\nanswer = { status = 403, body = 'closed' }\n\
        [[listener.route]]\npath = '/files/{name}'\ntarget = '/data/{name}'\n";
    let tollgate = before(&origin, routes).start().await;
    for target in [
        "/a//../admin",
        "/a/;/../admin",
        "/a/.;/../admin",
        "/x/b/..;/../b/admin",
        "/x/b/..;/../admin",
        "/x//../b/admin",
        "/x/b;/;/../admin",
        "/a%2Fadmin",
        "/a%2fadmin",
        "/a%5Cadmin",
        "/x/b%2Fadmin",
        "/x%2Fb%2Fadmin",
    ] {
        for version in Version::BOTH {
            let answer = Client::fetch(version, tollgate.address(), target).await;
            assert_eq!(answer.status, 400, "{version:?} {target}: {}", answer.text());
        }
    }
    assert_eq!(origin.connections(), 0);
    for (target, expected) in [("/files/a%2Fb", "/data/a%2Fb"), ("/a%2Fb", "/a%2Fb"), ("/a//../b", "/a//../b")] {
        assert_eq!(Client::fetch(Version::Http1, tollgate.address(), target).await.text(), "ok", "{target}");
        assert_eq!(origin.targets().pop().as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn what_was_found_stays_where_it_is_put() {
    let origin = RawOrigin::ok().await;
    let tollgate = before(&origin, CLOSED).start().await;
    for version in Version::BOTH {
        for (target, expected) in [
            ("/files/a%2Fb", "/data/a%2Fb"),
            ("/files/a%3fb%23c", "/data/a%3Fb%23c"),
            ("/files/a%0d%0aX:%201%0d%0a%0d%0aGET%20%2fadmin", "/data/a%0D%0AX:%201%0D%0A%0D%0AGET%20%2Fadmin"),
            ("/files/%20HTTP%2f1.1", "/data/%20HTTP%2F1.1"),
            ("/files/%252e%252e", "/data/%252e%252e"),
            ("/files/%00%ff", "/data/%00%FF"),
        ] {
            assert_eq!(Client::fetch(version, tollgate.address(), target).await.text(), "ok", "{version:?} {target}");
            assert_eq!(origin.targets().pop().as_deref(), Some(expected), "{version:?} {target}");
        }
        let before = origin.requests().len();
        for target in
            ["/tree/a/../../x", "/tree/a/%2e%2e/x", "/tree/a/..%2f..%2fx", "/tree/a//x", "/tree//evil.test/", "/go//evil.test/"]
        {
            let answer = Client::fetch(version, tollgate.address(), target).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (400, None), "{version:?} {target}");
        }
        assert_eq!(origin.requests().len(), before);
        let answer = Client::fetch(version, tollgate.address(), "/go/a%0d%0aSet-Cookie:%20b=c/%5cevil.test").await;
        assert_eq!(answer.header("location"), Some("/a%0D%0ASet-Cookie:%20b=c/%5Cevil.test"));
        assert!(answer.header("set-cookie").is_none());
    }
    origin.assert_strict();
    assert!(origin.requests().iter().all(|request| !request.fields.has("x")));
}

#[tokio::test]
async fn bodies_do_not_become_requests() {
    let origin = RawOrigin::ok().await;
    let tollgate = before(&origin, "[[listener.route]]\npath = '/a'\nanswer.body = 'answer'\n").start().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for body in [
        format!("Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()),
    ] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(format!("POST /a HTTP/1.1\r\nHost: a\r\n{body}GET /next HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.response().await.text(), "answer", "{body}");
        assert_eq!(client.response().await.text(), "ok", "{body}");
        assert_eq!(origin.targets().pop().as_deref(), Some("/next"), "{body}");
    }
    assert_eq!(origin.targets(), ["/next", "/next"]);
    // Nor is a body awaited that nobody wants.
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "answer");
}

#[tokio::test]
async fn asterisks_and_tunnels_are_no_paths() {
    let (origin, other) = (answering("origin").await, answering("other").await);
    let routes = format!(
        "[[listener.route]]\npath = '/{{rest...}}'\nanswer.body = 'path'\n[[listener.route]]\nfilter = '~m OPTIONS'\nupstream = '{}'\n",
        other.url()
    );
    let tollgate = before(&origin, &routes).start().await;
    let ask = async |line: &str| RawClient::ask(tollgate.address(), format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(ask("OPTIONS *").await.text(), "other");
    assert_eq!(other.targets(), ["*"]);
    assert_eq!(ask("OPTIONS http://a").await.text(), "other");
    assert_eq!(ask("OPTIONS /").await.text(), "path");
    assert_eq!(ask("CONNECT a:443").await.status, 405);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn sockets_go_where_routes_lead() {
    let (origin, sockets) = (RawOrigin::ok().await, sockets("", SocketEnd::echo).await);
    let routes = format!(
        "[[listener.route]]\npath = '/live/{{room}}'\nupstream = '{}'\ntarget = '/rooms/{{room}}'\n\
         [[listener.route]]\npath = '/none'\nanswer = {{ status = 403, body = 'no sockets here' }}\n",
        sockets.url()
    );
    let tollgate = before(&origin, &routes).start().await;
    let mut client = SocketClient::offer(tollgate.address(), "/live/a%2Fb?token=x", "").await;
    assert_eq!(client.response.status, 101);
    client.send(0x81, "hello").await;
    assert_eq!(client.frame().await.shown(), (0x81, "hello".to_owned()));
    assert_eq!(sockets.targets(), ["/rooms/a%2Fb?token=x"]);
    let mut refused = SocketClient::offer(tollgate.address(), "/none", "").await;
    assert_eq!(refused.response.status, 403);
    assert_eq!(refused.raw().take(15).await, "no sockets here");
    assert_eq!(origin.connections(), 0);
}
