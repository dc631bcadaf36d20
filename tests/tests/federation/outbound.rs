//! Where the homeserver's own requests go.

use serde_json::json;
use tollgate_tests::{
    Authority, Echo, Manner, NameServer, RawClient, RawOrigin, Response, SrvRecord,
    addons::{Hosted, HostedBuilder},
};

use super::{
    common::{guarded, refusal},
    intercept::{Ca, ask, inside},
};

fn outbound(domains: &[&str]) -> HostedBuilder {
    let domains: Vec<_> = domains.iter().map(|domain| json!({"domain": domain})).collect();
    let list = json!({"version": 1, "domainList": domains});
    let host = guarded("http://127.0.0.1:9", &json!({"outbound": ["out"], "list": list, "allow_http": true}));
    host.with(|builder| builder.forward("out").set("listener.out.targets.connect_ports", "any"))
}

fn line(destination: &str) -> String {
    format!("Authorization: X-Matrix origin=\"own.de\",destination=\"{destination}\",key=\"k\",sig=\"s\"\r\n")
}

/// A request for a server that goes to this port of localhost, without TLS.
async fn send(host: &Hosted, port: u16, destination: &str) -> Response {
    let authority = format!("localhost:{port}");
    let request = format!(
        "PUT http://{authority}/_matrix/federation/v1/send/1 HTTP/1.1\r\nHost: {authority}\r\n{}Content-Length: 2\r\n\r\n{{}}",
        line(destination)
    );
    RawClient::ask(host.address_of("out"), request).await
}

#[tokio::test]
async fn requests_go_to_the_server_that_they_are_for() {
    let origin = RawOrigin::ok().await;
    let port = origin.address().port();
    let own = format!("localhost:{port}");
    let host = outbound(&[&own, "192.0.2.1:1"]).start().await;
    assert_eq!(send(&host, port, &own).await.status, 200);
    // Listed, but not there.
    let (status, errcode, error) = refusal(&send(&host, port, "192.0.2.1:1").await);
    let expected = (403, "M_FORBIDDEN", "the request is for 192.0.2.1:1 and goes elsewhere");
    assert_eq!((status, &*errcode, &*error), expected);
    assert_eq!(refusal(&send(&host, port, "c.de").await).2, "not part of federation");
    let none = format!("GET http://{own}/anything HTTP/1.1\r\nHost: {own}\r\n\r\n");
    let none = RawClient::ask(host.address_of("out"), none).await;
    assert_eq!(
        refusal(&none),
        (401, "M_UNAUTHORIZED".into(), "missing X-Matrix authorization header with destination field".into())
    );
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn services_are_found_by_a_name_server() {
    let origin = RawOrigin::ok().await;
    let port = origin.address().port();
    let records = vec![SrvRecord::new("_matrix-fed._tcp.fed.example", "localhost", port)];
    let names = NameServer::start(records, Manner::Knows).await;
    let start = |is_granted: bool| {
        let host = outbound(&["fed.example", "other.example"]).set("nameservers", format!("[\"{}\"]", names.address()));
        host.set("addon.federation.dns", is_granted).start()
    };
    let host = start(true).await;
    for _ in 0..3 {
        assert_eq!(send(&host, port, "fed.example").await.status, 200);
    }
    assert_eq!(names.asked(), 1);
    // Nobody could be asked for a delegation, so this is not the last word.
    assert_eq!(send(&host, port, "other.example").await.status, 503);
    let host = start(false).await;
    assert_eq!(send(&host, port, "fed.example").await.status, 503);
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn name_servers_that_fail_are_no_way_round() {
    let origin = RawOrigin::ok().await;
    let names = NameServer::start(Vec::new(), Manner::Fails).await;
    let host = outbound(&["fed.example"]).set("nameservers", format!("[\"{}\"]", names.address()));
    let host = host.set("addon.federation.dns", true).start().await;
    let (status, _, error) = refusal(&send(&host, origin.address().port(), "fed.example").await);
    assert_eq!((status, &*error), (503, "cannot find out where fed.example is"));
    assert!(names.asked() > 0 && origin.requests().is_empty());
}

#[tokio::test]
async fn inside_of_tls_it_is_the_same() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let own = format!("localhost:{port}");
    let text = |name: &str| format!("{:?}", ca.path(name).to_string_lossy());
    let host = outbound(&[&own]).with(|builder| {
        builder
            .set("listener.out.upstream_ca", format!("{:?}", upstreams.ca().to_string_lossy()))
            .set("listener.out.tls", format!("{{ca = {}, key = {}}}", text("ca.pem"), text("ca.key")))
    });
    let host = host.start().await;
    let mut wire = inside(host.address_of("out"), &ca, "localhost", port).await;
    let request =
        |destination: &str| format!("GET /_matrix/federation/v1/version HTTP/1.1\r\nHost: {own}\r\n{}\r\n", line(destination));
    assert_eq!(ask(&mut wire, request(&own)).await.status, 200);
    assert_eq!(ask(&mut wire, request("c.de")).await.status, 403);
    assert_eq!(ask(&mut wire, request(&own)).await.status, 200);
}
