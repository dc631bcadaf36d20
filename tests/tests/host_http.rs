//! Requests of addons of their own: what they reach, and what comes back.
#![cfg(test)]

use std::{io::Write as _, net::SocketAddr};

use serde_json::{Value, json};
use tollgate_tests::{
    Authority, Echo, RawOrigin,
    addons::{Hosted, HostedBuilder, Service},
    eventually,
};

/// Makes the request that the client's fields describe, and answers with what it came to.
fn asking() -> Value {
    with(json!({}))
}

/// The same with these settings of the request.
fn with(mut fetch: Value) -> Value {
    fetch["url"] = json!("{header:x-url}");
    json!({"rules": [{"on": "request", "do": [{"fetch": fetch}, {"respond": [200, [["X-Url", "{fetched:url}"]], "{fetched}"]}]}]})
}

fn granted(origin: &RawOrigin, options: &Value, grants: &[&str]) -> HostedBuilder {
    Hosted::before(&origin.url()).scripted("a", options).set("addon.a.http", json!(grants))
}

async fn fetch(host: &Hosted, url: &str) -> String {
    let answer = host.ask("GET", "/", &[("x-url", url)]).await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.text());
    answer.text()
}

#[track_caller]
fn assert_denied(fetched: &str, url: &str) {
    assert!(fetched.starts_with("denied: "), "{url}: {fetched}");
}

#[tokio::test]
async fn grants_decide_what_is_reached() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let port = service.port();
    let ip = format!("127.0.0.1:{port}");
    let name = format!("localhost:{port}");
    // Nobody is asked for the address of what is not granted at any: that would not be denied, but unknown.
    let nowhere = format!("nowhere.invalid:{port}");
    for (grants, reached, denied) in [
        (vec![], vec![], vec![&ip, &name, &nowhere]),
        (vec!["127.0.0.1:1", "127.0.0.1", "localhost"], vec![], vec![&ip, &name, &nowhere]),
        (vec![ip.as_str()], vec![&ip], vec![&name, &nowhere]),
        (vec![name.as_str()], vec![&name], vec![&ip, &nowhere]),
        (vec!["private"], vec![&ip, &name], vec![]),
        (vec!["*"], vec![], vec![&ip, &name]),
    ] {
        let host = granted(&origin, &asking(), &grants).start().await;
        for authority in reached {
            let url = format!("http://{authority}/a");
            assert_eq!(fetch(&host, &url).await, "200 GET /a ", "{grants:?} {url}");
        }
        for authority in denied {
            let url = format!("http://{authority}/denied");
            assert_denied(&fetch(&host, &url).await, &url);
        }
    }
    assert!(!service.origin().targets().contains(&"/denied".to_owned()));
}

#[tokio::test]
async fn names_that_lead_inside_are_not_public() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let host = granted(&origin, &asking(), &["*", "*.localhost"]).start().await;
    for authority in
        ["localhost", "LOCALHOST", "127.1", "0x7f000001", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]"]
    {
        let url = format!("http://{authority}:{}/", service.port());
        assert_denied(&fetch(&host, &url).await, &url);
    }
    let link_local = "http://169.254.169.254/latest/meta-data";
    assert_denied(&fetch(&host, link_local).await, link_local);
    assert_eq!(service.origin().connections(), 0);
}

#[tokio::test]
async fn the_configured_upstream_needs_no_grant() {
    let (origin, other) = (Service::start().await, Service::start().await);
    let rules = json!({"rules": [{"on": "request", "do": [
        {"set-upstream": other.at("")}, {"fetch": {"url": "{header:x-url}"}}, {"respond": [200, [], "{fetched}"]},
    ]}]});
    let host = Hosted::before(&origin.at("")).scripted("a", &rules).start().await;
    assert_eq!(fetch(&host, &origin.at("/own")).await, "200 GET /own ");
    assert_denied(&fetch(&host, &other.at("/chosen")).await, "the upstream that the addon chose");
    let by_name = format!("http://localhost:{}/", origin.port());
    assert_denied(&fetch(&host, &by_name).await, &by_name);
}

#[tokio::test]
async fn own_listeners_are_never_reached() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let wide = |builder: tollgate_tests::Builder| builder.listener("wide", &origin.url());
    let host = granted(&origin, &with(json!({"redirects": 1})), &["*", "private", "localhost", "127.0.0.1"])
        .with(wide)
        .set("listener.wide.bind", "\"0.0.0.0:0\"")
        .set("listener.wide.addons", "[]")
        .start()
        .await;
    let port = |name: &str| host.address_of(name).port();
    for authority in [
        format!("127.0.0.1:{}", port("main")),
        format!("localhost:{}", port("main")),
        format!("0.0.0.0:{}", port("main")),
        format!("[::ffff:127.0.0.1]:{}", port("main")),
        format!("127.0.0.1:{}", port("wide")),
        format!("127.7.7.7:{}", port("wide")),
        format!("127.0.0.1:{}", port("admin")),
    ] {
        let url = format!("http://{authority}/");
        assert_denied(&fetch(&host, &url).await, &url);
        assert_denied(&fetch(&host, &service.at(&format!("/redirect/302?{url}"))).await, &url);
    }
    // Another's port on the same addresses is nobody's loop.
    assert_eq!(fetch(&host, &service.at("/a")).await, "200 GET /a ");
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn an_upstream_that_is_a_listener_is_no_way_round() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &asking(), &[]).start().await;
    let inner = host.address();
    let toml = format!("\n[[listener]]\nname = \"outer\"\nbind = \"127.0.0.2:0\"\nupstream = \"http://{inner}\"\n");
    std::fs::write(host.config_path(), host.config().replacen("\n[addon.", &format!("{toml}\n[addon."), 1)).expect("a file");
    host.reload().await;
    let line = host.logs().lines().rev().find(|line| line.contains("listening") && line.contains("outer")).map(str::to_owned);
    let address = line.and_then(|line| line.split("listener.address=").nth(1)?.split(' ').next().map(str::to_owned));
    let address: SocketAddr = address.expect("an address").parse().expect("an address");
    let mut client = tollgate_tests::Client::connect(tollgate_tests::Version::Http1, address).await;
    let request =
        http::Request::get("/").header("x-url", format!("http://{inner}/")).body(tollgate_tests::empty()).expect("a request");
    let answer = client.ask(request).await;
    assert_denied(&answer.text(), "the listener behind the listener");
}

#[tokio::test]
async fn redirects_are_followed_as_often_as_asked() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let grant = format!("127.0.0.1:{}", service.port());
    let host = granted(&origin, &asking(), &[&grant]).start().await;
    assert_eq!(fetch(&host, &service.at("/redirect/302?/end")).await, "302 moved");
    let twice = granted(&origin, &with(json!({"redirects": 2})), &[&grant]).start().await;
    let two = service.at("/redirect/301?/redirect/308?../end%23x#fragment");
    let answer = twice.ask("GET", "/", &[("x-url", &two)]).await;
    assert_eq!((answer.text(), answer.header("x-url")), ("200 GET /end%23x ".to_owned(), Some(&*service.at("/end%23x"))));
    let three = service.at("/redirect/301?/redirect/302?/redirect/307?/end");
    assert_eq!(fetch(&twice, &three).await, "307 moved");
    let nowhere = fetch(&twice, &service.at("/redirect/302?ftp://a/hunter2")).await;
    assert!(nowhere.starts_with("no HTTP: ") && !nowhere.contains("hunter2"), "{nowhere}");
    for denied in [format!("http://localhost:{}/", service.port()), "http://127.0.0.1:1/".to_owned()] {
        assert_denied(&fetch(&twice, &service.at(&format!("/redirect/302?{denied}"))).await, &denied);
    }
}

#[tokio::test]
async fn redirects_change_methods_and_drop_credentials() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let (ip, name) = (format!("127.0.0.1:{}", service.port()), format!("localhost:{}", service.port()));
    let fields =
        json!([["Authorization", "Bearer hunter2"], ["Cookie", "a=hunter2"], ["Content-Type", "text/plain"], ["X-Kept", "1"]]);
    let post = with(json!({"method": "POST", "body": "body", "headers": fields, "redirects": 1}));
    let host = granted(&origin, &post, &[&ip, &name]).start().await;
    for (status, location, seen, has_credentials) in [
        (302, "/end".to_owned(), "200 GET /end ", true),
        (303, format!("http://{name}/end"), "200 GET /end ", false),
        (307, "/end".to_owned(), "200 POST /end body", true),
        (308, format!("http://{name}/end"), "200 POST /end body", false),
    ] {
        assert_eq!(fetch(&host, &service.at(&format!("/redirect/{status}?{location}"))).await, seen, "{status}");
        let last = service.origin().requests().pop().expect("a request");
        assert_eq!(last.fields.has("authorization"), has_credentials, "{status}: {last:?}");
        assert_eq!(last.fields.has("cookie"), has_credentials, "{status}: {last:?}");
        assert_eq!(last.fields.has("content-type"), last.method == "POST", "{status}: {last:?}");
        assert_eq!(last.fields.get("x-kept"), Some("1"), "{status}");
    }
    service.origin().assert_strict();
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let post = with(json!({"method": "PUT", "body": "{method} body", "headers": [["X-Case", "1"], ["x-case", "2"]]}));
    let host = granted(&origin, &post, &["private"]).start().await;
    assert_eq!(fetch(&host, &service.at("/a b?c=%2F#fragment")).await, "200 PUT /a%20b?c=%2F GET body");
    let sent = service.origin().only_request();
    let names: Vec<_> = sent.fields.names().collect();
    assert_eq!(names, ["Host", "X-Case", "x-case", "Content-Length"]);
    assert_eq!(sent.fields.get("host"), Some(&*format!("127.0.0.1:{}", service.port())));
}

#[tokio::test]
async fn responses_come_whole_and_without_codings() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&[b'g'; 1000]).expect("gzip");
    let gzip = gzip.finish().expect("gzip");
    let coded = |coding: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let rules = |method: &str, limit: u64| {
        let fetch = json!({"url": "{header:x-url}", "method": method, "max-response": limit});
        json!({"rules": [{"on": "request", "do": [{"fetch": fetch}, {"respond": [200, [], "{fetched:length} {fetched:names} {fetched:trailers}"]}]}]})
    };
    let host = granted(&origin, &rules("GET", 1000), &["private"]).start().await;
    for (response, seen) in [
        (coded("gzip", &gzip), "1000  "),
        (coded("GZIP, identity", &gzip), "1000  "),
        (coded("unknown", b"abc"), "3 content-encoding,content-length "),
        (coded("gzip", b"no gzip"), "no HTTP: the body is not coded as Content-Encoding says"),
        (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".to_vec(), "0 x-a "),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n".to_vec(), "0 content-length "),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\n5".to_vec(),
            "1 content-length ",
        ),
    ] {
        let coder = RawOrigin::answering(response).await;
        let shown = fetch(&host, &coder.url()).await;
        assert!(shown.starts_with(seen), "{shown:?} is not {seen:?}");
    }
    assert_eq!(fetch(&host, &service.at("/chunked/3")).await, "3  x-sum");
    assert_eq!(fetch(&host, &service.at("/a")).await, "7 content-length ");
    let host = granted(&origin, &rules("HEAD", 0), &["private"]).start().await;
    assert_eq!(fetch(&host, &service.at("/a")).await, "0 content-length ");
}

#[tokio::test]
async fn failures_tell_their_kind_and_no_secrets() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let refused = {
        let gone = RawOrigin::ok().await;
        gone.url()
    };
    let authority = Authority::new();
    let unknown = Echo::tls(&authority.localhost(), &["http/1.1"]).await;
    let options = with(json!({"timeout": 60_000, "headers": [["Authorization", "Bearer hunter2"]]}));
    let host = granted(&origin, &options, &["private", &"n".repeat(64)]).start().await;
    for (url, kind) in [
        (format!("http://{}/", "n".repeat(64)), "no address: http://nnn"),
        (refused, "no connection: http://127.0.0.1:"),
        (unknown.url(), "no trust: https://127.0.0.1:"),
        (service.at("").replace("http:", "https:"), "no trust: https://127.0.0.1:"),
        (service.at("/closed"), "closed: http://127.0.0.1:"),
        (service.at("/cut"), "closed: "),
        (service.at("/garbage"), "no HTTP: http://127.0.0.1:"),
    ] {
        let failed = fetch(&host, &format!("{url}?access_token=hunter2")).await;
        assert!(failed.starts_with(kind), "{url}: {failed}");
        assert!(!failed.contains("hunter2"), "{failed}");
    }
    assert!(!host.logs().contains("hunter2"));
}

#[tokio::test]
async fn trusted_services_are_reached_over_tls() {
    let origin = RawOrigin::ok().await;
    let authority = Authority::new();
    let rules = json!({"rules": [{"on": "request", "do": [
        {"fetch": {"url": "{header:x-url}"}}, {"respond": [200, [], "{fetched:version}"]},
    ]}]});
    let host = granted(&origin, &rules, &["private"])
        .with(|builder| builder.env("SSL_CERT_FILE", &authority.ca().to_string_lossy()))
        .start()
        .await;
    for (alpn, version) in [(&["h2", "http/1.1"][..], "2"), (&["http/1.1"], "1.1")] {
        let service = Echo::tls(&authority.localhost(), alpn).await;
        let url = format!("https://localhost:{}/", service.address().port());
        assert_eq!(fetch(&host, &url).await, version);
        assert_eq!(fetch(&host, &url).await, version);
        assert_eq!(service.connections(), 1);
    }
    let other = Echo::tls(&authority.identity("other", &["other.example"]), &["http/1.1"]).await;
    let failed = fetch(&host, &format!("https://localhost:{}/", other.address().port())).await;
    assert!(failed.starts_with("no trust: "), "{failed}");
}

#[tokio::test]
async fn the_listeners_trust_holds_for_its_own_upstream_alone() {
    let authority = Authority::new();
    let upstream = Echo::tls(&authority.localhost(), &["h2", "http/1.1"]).await;
    let other = Echo::tls(&authority.localhost(), &["h2", "http/1.1"]).await;
    let host = Hosted::before(&upstream.url())
        .scripted("a", &asking())
        .set("addon.a.http", json!(["private"]))
        .set("listener.main.upstream_ca", json!(authority.ca()))
        .start()
        .await;
    let own = fetch(&host, &format!("{}/own", upstream.url())).await;
    assert!(own.starts_with("200 "), "{own}");
    let failed = fetch(&host, &other.url()).await;
    assert!(failed.starts_with("no trust: "), "{failed}");
}

#[tokio::test]
async fn kept_connections_serve_only_those_who_may() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let named = |name: &str| {
        json!({"rules": [{"on": "request", "filter": format!("~hq ^x-who:.{name}"), "do": [
            {"fetch": {"url": "{header:x-url}"}}, {"respond": [200, [], "{fetched}"]},
        ]}]})
    };
    let host = Hosted::before(&origin.url())
        .scripted("a", &named("a"))
        .scripted("b", &named("b"))
        .set("addon.a.http", "[\"private\"]")
        .set("addon.b.http", "[\"*\"]")
        .start()
        .await;
    let url = format!("http://localhost:{}/", service.port());
    let ask = async |who: &str| host.ask("GET", "/", &[("x-url", &url), ("x-who", who)]).await.text();
    assert_eq!(ask("a").await, "200 GET / ");
    assert_denied(&ask("b").await, &url);
    assert_eq!(ask("a").await, "200 GET / ");
    assert_eq!(service.origin().connections(), 1);
}

#[tokio::test]
async fn requests_are_for_hooks_alone() {
    let (origin, service) = (RawOrigin::ok().await, Service::start().await);
    let told = json!({"rules": [{"on": "finish", "do": [{"fetch": {"method": "POST", "url": service.at("/told"), "body": "{status}"}}]}]});
    let host = granted(&origin, &told, &["private"])
        .scripted("early", &json!({"configure": [{"fetch": {"url": service.at("/early")}}]}))
        .set("addon.early.http", "[\"private\"]")
        .start()
        .await;
    let status = host.admin().status("early").await;
    assert!(status["state"] == "failed" && status["error"].to_string().contains("denied"), "{status}");
    assert_eq!(host.get("/").await.status, 200);
    eventually(|| async { service.origin().targets() == ["/told"] }).await;
    assert_eq!(service.origin().only_request().text(), "200");
}
