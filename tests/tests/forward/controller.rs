//! The pages of the admin listener under the controller's name.

use http::Request;
use serde_json::json;
use tollgate_tests::{
    Client, Curl, RawClient, RawOrigin, Tollgate, Version,
    addons::{Admin, Hosted},
    empty, eventually,
};

use crate::common::{assert_error, assert_refused, connect};

async fn start() -> Tollgate {
    Tollgate::builder()
        .forward("main")
        .set("listener.main.targets.connect_ports", "any")
        .set("admin.controller_host", "mitm.code")
        .start()
        .await
}

#[tokio::test]
async fn the_same_pages_are_at_its_name() {
    let tollgate = start().await;
    let expected = Admin::at(tollgate.admin()).get("/addons").await;
    for request in [
        "GET http://mitm.code/addons HTTP/1.1\r\nHost: mitm.code\r\n\r\n",
        "GET http://mitm.code:80/addons HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n",
        "GET http://MITM.Code./addons HTTP/1.1\r\nHost: mitm.code\r\n\r\n",
        "GET /addons HTTP/1.1\r\nHost: mitm.code\r\n\r\n",
        "GET /addons HTTP/1.1\r\nHost: mitm.code:80\r\n\r\n",
        "GET /addons HTTP/1.0\r\nHost: mitm.code\r\n\r\n",
    ] {
        let answer = RawClient::ask(tollgate.address(), request).await;
        assert_eq!((answer.status, answer.fields.get("content-type")), (200, Some("application/json")), "{request}");
        assert_eq!(answer.json(), expected.json(), "{request}");
    }
    let request = Request::get("http://mitm.code/addons").body(empty()).expect("a request");
    let answer = Client::connect(Version::Http2, tollgate.address()).await.ask(request).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected.json()));
    let curl = Curl::new("http://mitm.code/health/live").args(&["--noproxy", "", "--proxy", &tollgate.url()]).run().await;
    let page: serde_json::Value = serde_json::from_slice(&curl.body).expect("JSON");
    assert_eq!((curl.status, page), (200, json!({"main": true})));
}

#[tokio::test]
async fn a_connection_serves_controller_and_targets() {
    let (origin, tollgate) = (RawOrigin::ok().await, start().await);
    let mut client = RawClient::connect(tollgate.address()).await;
    let page = "GET http://mitm.code/health/live HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let unknown = "POST http://mitm.code/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned();
    let flow = format!("GET {}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.url());
    for (request, status) in [(&page, 200), (&flow, 200), (&unknown, 404), (&page, 200), (&flow, 200)] {
        client.send(request).await;
        assert_eq!(client.response().await.status, status, "{request}");
    }
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn documents_can_be_sent_to_it() {
    let origin = RawOrigin::ok().await;
    let script = |text: &str| json!({"rules": [{"on": "response", "do": [{"set": ["X-Said", text]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &script("before"))
        .with(|builder| builder.forward("forward").set("admin.controller_host", "mitm.code"))
        .start()
        .await;
    let put = async |lines: &str| {
        let body = script("after").to_string();
        let head = format!("PUT http://mitm.code/addons/a/options HTTP/1.1\r\nHost: mitm.code\r\n{lines}");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        RawClient::ask(host.address_of("forward"), request).await
    };
    // A page of a stranger, in a browser that uses this proxy.
    for lines in
        ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Origin: https://mitm.code\r\n", "Sec-Fetch-Site: cross-site\r\n"]
    {
        assert_error(&put(lines).await, 403, "M_FORBIDDEN", "pages of other origins");
    }
    assert_eq!(host.get("/").await.header("x-said"), Some("before"));
    assert_eq!(put("Origin: http://mitm.code\r\n").await.status, 200);
    assert_eq!(host.get("/").await.header("x-said"), Some("after"));
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("admin.controller_host", "mitm.code")
        .set("admin.token", "hunter2hunter2")
        .start()
        .await;
    for (path, token, status) in [
        ("/addons", "", 401),
        ("/addons", "Authorization: Bearer hunter2hunter3\r\n", 401),
        // What is for the proxy is not for its controller.
        ("/addons", "Proxy-Authorization: Bearer hunter2hunter2\r\n", 401),
        ("/addons", "Authorization: Bearer hunter2hunter2\r\n", 200),
        ("/health/ready", "", 200),
    ] {
        let request = format!("GET http://mitm.code{path} HTTP/1.1\r\nHost: mitm.code\r\n{token}\r\n");
        assert_eq!(RawClient::ask(tollgate.address(), request).await.status, status, "{path} {token}");
    }
}

#[tokio::test]
async fn it_is_at_port_80_and_in_cleartext_alone() {
    let tollgate = start().await;
    let text = "the controller is at http://mitm.code/ alone";
    for request in [
        "GET http://mitm.code:81/addons HTTP/1.1\r\nHost: mitm.code\r\n\r\n".to_owned(),
        "GET https://mitm.code/addons HTTP/1.1\r\nHost: mitm.code\r\n\r\n".to_owned(),
        // What a page would send that a stranger serves under this name, with an address that leads here.
        format!("GET /addons HTTP/1.1\r\nHost: mitm.code:{}\r\n\r\n", tollgate.address().port()),
        connect("mitm.code:80"),
        connect("mitm.code:443"),
    ] {
        assert_refused(tollgate.address(), request, 403, text).await;
    }
    assert_refused(tollgate.address(), "GET /addons HTTP/1.1\r\nHost: a.mitm.code\r\n\r\n", 400, "forward proxy").await;
}

#[tokio::test]
async fn reverse_listeners_know_no_controller() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .listener("reverse", &origin.url())
        .forward("main")
        .set("admin.controller_host", "mitm.code")
        .start()
        .await;
    for target in ["/addons", "http://mitm.code/addons"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: mitm.code\r\n\r\n");
        assert_eq!(RawClient::ask(tollgate.address_of("reverse"), request).await.text(), "ok", "{target}");
    }
    assert_eq!(origin.targets(), ["/addons", "/addons"]);
}

#[tokio::test]
async fn without_a_name_there_is_none() {
    let tollgate = Tollgate::forward().await;
    assert_refused(tollgate.address(), "GET /addons HTTP/1.1\r\nHost: mitm.code\r\n\r\n", 400, "forward proxy").await;
}

#[tokio::test]
async fn no_addon_sees_it() {
    let origin = RawOrigin::ok().await;
    let everything = json!({"rules": [
        {"on": "request", "do": [{"respond": [418, [], "seen"]}]}, {"on": "response"}, {"on": "finish"},
    ]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &everything)
        .with(|builder| builder.forward("forward").set("admin.controller_host", "mitm.code"))
        .start()
        .await;
    let forward = host.address_of("forward");
    for target in ["http://mitm.code/health/live", "/health/live"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: mitm.code\r\n\r\n");
        assert_eq!(RawClient::ask(forward, request).await.status, 200, "{target}");
    }
    assert_eq!(host.admin().counter("a", "calls").await, 0);
    let request = format!("GET {}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.url());
    assert_eq!(RawClient::ask(forward, request).await.status, 418);
    eventually(async || host.admin().counter("a", "calls").await == 3).await;
}

#[tokio::test]
async fn flags_alone_make_it() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .env("TOLLGATE_FORWARD", "0")
        .env("TOLLGATE_REVERSE", &format!("{0}@0 {0}@0", origin.url()))
        .env("TOLLGATE_CONTROLLER_HOST", "mitm.code")
        .env("TOLLGATE_GRANT", "callback=*,private")
        .set("admin.listen", "none")
        .start()
        .await;
    let page = "GET http://mitm.code/health/live HTTP/1.1\r\nHost: mitm.code\r\n\r\n";
    let live = RawClient::ask(tollgate.address_of("forward-0"), page).await.json();
    assert_eq!(live, json!({"reverse-0": true, "reverse-0-2": true, "forward-0": true}));
    for listener in ["reverse-0", "reverse-0-2"] {
        let answer = RawClient::ask(tollgate.address_of(listener), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.text(), "ok");
    }
}

#[tokio::test]
async fn head_gets_no_body() {
    let tollgate = start().await;
    let forward = tollgate.address();
    for path in ["/options", "/addons", "/health/live", "/nothing"] {
        let at_name = ("http://mitm.code", "mitm.code".to_owned(), forward);
        let on_admin = ("", tollgate.admin().to_string(), tollgate.admin());
        for (base, host, address) in [at_name, on_admin] {
            let mut client = RawClient::connect(address).await;
            let request = |method: &str| format!("{method} {base}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            client.send(request("HEAD")).await;
            let head = client.response_to("HEAD").await;
            assert!(head.fields.get("content-length").is_some_and(|length| length != "0"), "{path}: {head:?}");
            // Nothing of a body stands in the way of the next answer.
            client.send(request("GET")).await;
            let whole = client.response().await;
            assert!([head.status, 200].contains(&whole.status) && !whole.text().is_empty(), "{path}: {whole:?}");
        }
        let mut client = Client::connect(Version::Http2, forward).await;
        let request = Request::head(format!("http://mitm.code{path}")).body(empty()).expect("a request");
        let head = client.ask(request).await;
        assert!(head.body.is_empty() && head.header("content-length").is_some_and(|length| length != "0"), "{path}: {head:?}");
    }
}
