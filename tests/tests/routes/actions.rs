//! What becomes of requests that a route is for.

use http::Request;
use serde_json::json;
use tollgate_tests::{Client, RawClient, RawOrigin, Version, empty};

use crate::common::{answering, before};

const SERVER: &str = "[[listener.route]]\npath = '/.well-known/matrix/server'\nmethod = ['GET']\n\
    answer = { json = { 'm.server' = '{host}:443' } }\n";

fn request(method: &str, target: &str, host: Option<&str>) -> Request<tollgate_tests::BoxBody> {
    let request = Request::builder().method(method).uri(target);
    let request = host.into_iter().fold(request, |request, host| request.header("host", host));
    request.body(empty()).expect("a request")
}

#[tokio::test]
async fn a_host_names_its_server_itself() {
    let origin = RawOrigin::ok().await;
    let tollgate = before(&origin, SERVER).start().await;
    for (host, server) in
        [("a.test", "a.test:443"), ("A.test:8448", "A.test:443"), ("[::1]:8448", "[::1]:443"), ("10.0.0.7", "10.0.0.7:443")]
    {
        let target = format!("http://{host}/.well-known/matrix/server?x=y");
        for version in Version::BOTH {
            let answer = Client::connect(version, tollgate.address()).await.ask(request("GET", &target, None)).await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "m.server": server })), "{version:?} {host}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert!(answer.header("date").is_some());
        }
    }
    let head = Client::connect(Version::Http1, tollgate.address())
        .await
        .ask(request("HEAD", "/.well-known/matrix/server", Some("a.test")))
        .await;
    let length = json!({"m.server": "a.test:443"}).to_string().len().to_string();
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, Some(length.as_str()), 0));
    assert_eq!(origin.requests().len(), 0);
    let post = Client::connect(Version::Http1, tollgate.address())
        .await
        .ask(request("POST", "/.well-known/matrix/server", Some("a.test")))
        .await;
    assert_eq!((post.text().as_str(), origin.requests().len()), ("ok", 1));
}

#[tokio::test]
async fn without_a_host_something_is_missing() {
    let origin = RawOrigin::ok().await;
    let tollgate = before(&origin, SERVER).start().await;
    for request in ["GET /.well-known/matrix/server HTTP/1.0\r\n\r\n", "GET /.well-known/matrix/server HTTP/1.1\r\nHost:\r\n\r\n"]
    {
        let answer = RawClient::ask(tollgate.address(), request).await;
        assert_eq!((answer.status, answer.json()["errcode"].as_str()), (400, Some("M_MISSING_PARAM")), "{request}");
        assert_eq!(answer.json()["error"], "the request names no host");
    }
    assert_eq!(origin.connections(), 0);
}

const DEFAULT: &str = "{\"contacts\":[{\"role\":\"m.role.admin\"}]}";

/// Where a registration service knows nothing, a default is told; whatever else it says is passed on.
#[tokio::test]
async fn a_status_becomes_a_default() {
    let origin = RawOrigin::ok().await;
    let service = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let status = request.fields.get("x-status").unwrap_or("404").to_owned();
            if conversation
                .send(format!("HTTP/1.1 {status} X\r\nX-From: service\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}"))
                .await
                .is_err()
            {
                return;
            }
        }
    })
    .await;
    let routes = format!(
        "upstreams = [{{ name = 'registration', url = '{}' }}]\n[[listener.route]]\npath = '/.well-known/matrix/support'\n\
         upstream = 'registration'\ntarget = '/backend/well-known-support/tim.test?'\n\
         on_status = {{ 404 = {{ json = {{ contacts = [{{ role = 'm.role.admin' }}] }} }}, 503 = {{ status = 502, body = 'gone' }} }}\n",
        service.url()
    );
    let tollgate = before(&origin, &routes).start().await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        for (status, expected, text) in
            [("404", 200, DEFAULT), ("503", 502, "gone"), ("200", 200, "{\"a\":1}"), ("500", 500, "{\"a\":1}")]
        {
            let request = Request::get("/.well-known/matrix/support?a=b").header("x-status", status).body(empty());
            let answer = client.ask(request.expect("a request")).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (expected, text), "{version:?} {status}");
            // Nothing of the other response is left.
            assert_eq!(answer.header("x-from").is_some(), text == "{\"a\":1}", "{status}");
            assert_eq!(service.targets().pop().as_deref(), Some("/backend/well-known-support/tim.test"));
        }
        let head = client.ask(request("HEAD", "/.well-known/matrix/support", None)).await;
        let length = DEFAULT.len().to_string();
        assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, Some(length.as_str()), 0));
    }
    service.assert_strict();
    // What is not passed on does not cost a connection.
    assert!(service.connections() <= 2, "{} of {}", service.connections(), service.requests().len());
    assert_eq!(origin.requests().len(), 0);
}

/// What an upstream has done is not undone by what cannot be told in its place.
#[tokio::test]
async fn what_does_not_fit_leaves_the_response_as_it_is() {
    let origin = RawOrigin::answering("HTTP/1.1 404 No\r\nX-From: upstream\r\nContent-Length: 2\r\n\r\nno").await;
    let routes = "[[listener.route]]\npath = '/{x}'\non_status = { 404 = { json = { x = '{x}' } } }\n\
        [[listener.route]]\npath = '/made/{x}'\nanswer.json = { x = '{x}' }\n";
    let tollgate = before(&origin, routes).start().await;
    for version in Version::BOTH {
        let answer = Client::fetch(version, tollgate.address(), "/%ff").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.header("x-from")), (404, "no", Some("upstream")));
        assert_eq!(Client::fetch(version, tollgate.address(), "/a").await.json(), json!({"x": "a"}));
        assert_eq!(Client::fetch(version, tollgate.address(), "/made/%ff").await.status, 400);
    }
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn documents_have_a_bound() {
    let origin = RawOrigin::ok().await;
    let copies = "{x}".repeat(1000);
    let routes = format!("[[listener.route]]\npath = '/{{x}}'\nanswer.json = {{ x = '{copies}' }}\n");
    let tollgate = before(&origin, &routes).start().await;
    let get = async |bytes: usize| Client::fetch(Version::Http1, tollgate.address(), &format!("/{}", "x".repeat(bytes))).await;
    assert_eq!(get(200).await.body.len(), 200_000 + r#"{"x":""}"#.len());
    let answer = get(300).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("too long a document"), "{}", answer.text());
}

#[tokio::test]
async fn the_first_route_that_fits_is_taken() {
    let (origin, other) = (answering("origin").await, answering("other").await);
    let answer = |text: &str, of: &str| format!("[[listener.route]]\n{of}\nanswer.body = '{text}'\n");
    let routes = [
        answer("host", "path = '/a'\nhost = ['h.test']"),
        answer("post", "path = '/a'\nmethod = ['POST']"),
        answer("field", "path = '/a'\nfilter = '~hq \"(?i)x-field: 1\"'"),
        answer("exact", "path = '/a'"),
        answer("one", "path = '/a/{x}'"),
        format!("[[listener.route]]\npath = '/a/{{rest...}}'\nupstream = '{}'\n", other.url()),
    ];
    let tollgate = before(&origin, &routes.concat()).start().await;
    for version in Version::BOTH {
        for (method, target, field, expected) in [
            ("GET", "http://h.test/a", "", "host"),
            ("POST", "http://h.test/a", "", "host"),
            ("POST", "/a?x", "", "post"),
            ("GET", "/a", "1", "field"),
            ("GET", "/%61", "", "exact"),
            ("GET", "/a/b", "", "one"),
            ("GET", "/a/b/c", "", "other"),
            ("GET", "/a/", "", "other"),
            ("GET", "/A", "", "origin"),
            ("GET", "/b/a", "", "origin"),
        ] {
            let request =
                Request::builder().method(method).uri(target).header("x-field", field).body(empty()).expect("a request");
            let answer = Client::connect(version, tollgate.address()).await.ask(request).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, expected), "{version:?} {method} {target}");
        }
    }
    // Without a target the path stays as it was, and so does the listener's way with Host.
    assert_eq!(other.targets()[..2], ["/a/b/c", "/a/"]);
    assert_eq!(other.requests()[0].fields.get("host"), other.url().strip_prefix("http://"));
}

#[tokio::test]
async fn targets_are_made_of_what_was_found() {
    let origin = RawOrigin::ok().await;
    let routes = "[[listener.route]]\npath = '/old/{a}/{rest...}'\ntarget = '/new/{rest}/{a}.json'\n\
        [[listener.route]]\npath = '/query/{a}'\ntarget = '/q?a={a}&host={host}'\n\
        [[listener.route]]\nfilter = '~p ^/bare'\ntarget = '/bare?'\n";
    let tollgate = before(&origin, routes).start().await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        for (target, expected) in [
            ("/old/x/y/z?q=%2F&&", "/new/y/z/x.json?q=%2F&&"),
            ("/old/%C3%A4%2F/y", "/new/y/%C3%A4%2F.json"),
            ("http://h.test:1/query/a%26b?gone", "/q?a=a%26b&host=h.test"),
            ("/bare/x?gone", "/bare"),
        ] {
            assert_eq!(client.get(target).await.status, 200, "{version:?} {target}");
            assert_eq!(origin.targets().pop().as_deref(), Some(expected), "{version:?} {target}");
        }
    }
    origin.assert_strict();
}

#[tokio::test]
async fn clients_are_sent_elsewhere() {
    let origin = RawOrigin::ok().await;
    let redirect = |path: &str, status: &str, location: &str| {
        format!("[[listener.route]]\npath = '{path}'\nredirect = {{ {status} location = '{location}' }}\n")
    };
    let routes = [
        redirect("/a/{x}", "", "https://b.test/{x}"),
        redirect("/b/{rest...}", "status = 308,", "https://{host}/{rest}"),
        redirect("/c", "status = 301,", "/d?"),
        redirect("/e", "status = 303,", "/f?x=y"),
        redirect("/g", "status = 307,", "http://{host}:81"),
    ];
    let tollgate = before(&origin, &routes.concat()).start().await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        for (target, status, location) in [
            ("/a/x%20y?q", 302, "https://b.test/x%20y?q"),
            ("http://h.test:8080/b/c/d", 308, "https://h.test/c/d"),
            ("/c?token=secret", 301, "/d"),
            ("/e?gone", 303, "/f?x=y"),
            ("http://h.test/g", 307, "http://h.test:81/"),
        ] {
            let answer = client.get(target).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (status, Some(location)), "{version:?} {target}");
            assert_eq!(answer.body.len(), 0, "{version:?} {target}");
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn answers_go_out_as_they_are_written() {
    let origin = RawOrigin::ok().await;
    let routes = "[[listener.route]]\npath = '/page'\n\
        answer = { status = 410, body = '<p>{x}', headers = { Content-Type = 'text/html', ETag = '\"1\"', Link = ['<a>', '<b>'] } }\n\
        [[listener.route]]\npath = '/none'\nanswer = { status = 204, headers = { Allow = 'GET' } }\n";
    let tollgate = before(&origin, routes).start().await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        let page = client.get("/page").await;
        assert_eq!((page.status.as_u16(), page.text().as_str()), (410, "<p>{x}"));
        assert_eq!((page.header("content-type"), page.header("etag")), (Some("text/html"), Some("\"1\"")));
        let links: Vec<_> = page.headers.get_all("link").iter().collect();
        assert_eq!(links, ["<a>", "<b>"]);
        let none = client.get("/none").await;
        assert_eq!((none.status.as_u16(), none.body.len(), none.header("allow")), (204, 0, Some("GET")));
        assert!(none.header("content-type").is_none() && none.header("content-length").is_none());
    }
}
