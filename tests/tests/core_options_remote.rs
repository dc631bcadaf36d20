//! `map_remote`: requests that go elsewhere, and where they may not go.
#![cfg(test)]

use serde_json::json;
use tollgate_tests::{Client, Echo, RawClient, RawOrigin, Response, Tollgate, Version, addons::Hosted};

const GET: &str = "GET /old/x?q HTTP/1.1\r\nHost: client.test\r\n\r\n";

/// Asks a forward listener for a URL.
async fn ask(tollgate: &Tollgate, url: &str) -> Response {
    RawClient::ask(tollgate.address(), format!("GET {url} HTTP/1.1\r\nHost: client.test\r\n\r\n")).await
}

async fn answering(text: &str) -> RawOrigin {
    RawOrigin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await
}

#[tokio::test]
async fn paths_are_mapped_and_the_upstream_stays() {
    let origin = Echo::http1().await;
    let script = json!({"rules": [{"on": "request", "do": [{"set": ["X-Told", "{target}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    host.set_options(r"map_remote = ['|/old/(\w)|/new/\1\g<1>', '|~m POST|/new|/newer']").await;
    for version in Version::BOTH {
        let echoed = Client::fetch(version, host.address(), "/old/x?q").await.echoed();
        // Addons see what the client asked for.
        assert_eq!((echoed.target.as_str(), echoed.header("x-told")), ("/new/xx?q", Some("/old/x?q")), "{version:?}");
        let post = http::Request::post("/old/x").body(tollgate_tests::empty()).expect("a request");
        let echoed = Client::connect(version, host.address()).await.ask(post).await.echoed();
        assert_eq!(echoed.target, "/newer/xx", "{version:?}");
    }
}

#[tokio::test]
async fn named_hosts_are_where_requests_go() {
    let (old, new) = (answering("old").await, answering("new").await);
    let tollgate = Tollgate::builder().upstream(&old.url()).set("listener.main.preserve_host", "true").start().await;
    tollgate.set_options(&format!("map_remote = ['|^http://client.test/old/|{}/there/']", new.url())).await;
    assert_eq!(RawClient::ask(tollgate.address(), GET).await.text(), "new");
    let request = new.only_request();
    assert_eq!((request.target.as_str(), request.fields.get("host")), ("/there/x?q", Some(new.address().to_string().as_str())));
    // Another host's path of the same name is not meant.
    assert_eq!(RawClient::ask(tollgate.address(), GET.replace("client", "other")).await.text(), "old");
    tollgate.set_options("").await;
    assert_eq!(RawClient::ask(tollgate.address(), GET).await.text(), "old");
}

#[tokio::test]
async fn clients_of_reverse_listeners_cannot_choose_private_hosts() {
    let (origin, other) = (RawOrigin::ok().await, RawOrigin::ok().await);
    let tollgate = Tollgate::before(&origin.url()).await;
    let at = other.address();
    for (rule, host, target) in [
        // The path says where to.
        (r"|^http://client.test/([^/]+)/|http://\1/", "client.test".to_owned(), format!("/{at}/")),
        (r"|^http://client.test/([0-9]+)/|http://127.0.0.1:\1/", "client.test".to_owned(), format!("/{}/", at.port())),
        // So does what stays of Host.
        ("|^http://client.test|http://127.0.0.1", format!("client.test:{}", at.port()), "/".to_owned()),
    ] {
        tollgate.set_options(&format!("map_remote = ['{rule}']")).await;
        let answer = RawClient::ask(tollgate.address(), format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, 403, "{rule}: {}", answer.text());
        assert!(answer.text().contains("does not spell it out"), "{rule}: {}", answer.text());
    }
    assert_eq!((origin.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn nothing_is_mapped_back_into_the_proxy() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).listener("other", &origin.url()).start().await;
    tollgate.set_options(&format!("map_remote = ['|^http://client.test/|http://{}/']", tollgate.address_of("other"))).await;
    let answer = RawClient::ask(tollgate.address(), GET).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("leads back into this proxy"), "{}", answer.text());
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn targets_of_forward_listeners_hold_for_new_hosts() {
    let (open, closed) = (answering("open").await, answering("closed").await);
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("listener.main.targets.deny", format!("[\"localhost:{}\"]", closed.address().port()))
        .start()
        .await;
    let closed_url = format!("http://localhost:{}", closed.address().port());
    assert_eq!(ask(&tollgate, &format!("{closed_url}/")).await.status, 403);
    tollgate.set_options(&format!("map_remote = ['|^{}/to/|{closed_url}/']", open.url())).await;
    let answer = ask(&tollgate, &format!("{}/to/x", open.url())).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("targets.deny"), "{}", answer.text());
    assert_eq!(closed.connections(), 0);
    // What may be reached may be mapped to, and from anywhere that may be asked for.
    tollgate.set_options(&format!("map_remote = ['|^http://127.0.0.1:1/|{}/']", open.url())).await;
    assert_eq!(ask(&tollgate, "http://127.0.0.1:1/x").await.text(), "open");
    assert_eq!(open.targets(), ["/x"]);
}

#[tokio::test]
async fn addresses_of_new_hosts_are_held_against_the_lists() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().forward("main").set("listener.main.targets.deny", "[\"127.0.0.1\"]").start().await;
    // A name that nothing is said about, with an address that is denied.
    let mapped = format!("map_remote = ['|^http://192.0.2.1/|http://localhost:{}/']", origin.address().port());
    tollgate.set_options(&mapped).await;
    let answer = ask(&tollgate, "http://192.0.2.1/x").await;
    assert!(answer.status == 403 || answer.status == 502, "{}", answer.text());
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn what_becomes_no_url_is_a_failure() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    tollgate.set_options("map_remote = ['|^http://|ftp://']").await;
    let answer = RawClient::ask(tollgate.address(), GET).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("map_remote"), "{}", answer.text());
    assert_eq!(origin.connections(), 0);
}
