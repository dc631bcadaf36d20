//! The fence of `version-clamp` over the wire, each row of its tables with each method, as clients and homeservers meet it.
#![cfg(test)]

#[allow(dead_code, reason = "tests of interception use the rest")]
#[path = "intercept/common.rs"]
mod common;
#[path = "fence/table.rs"]
mod table;

use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Answer, Authority, Client, Echo, Version,
    addons::{Hosted, HostedBuilder, bundled},
    empty,
};

use crate::{
    common::{Ca, connect, tls},
    table::{Expected, MATRIX, TIM, TIM_OUTBOUND, Table},
};

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];

fn fenced(upstream: &str, fence: &Value) -> HostedBuilder {
    fenced_with(upstream, &json!({ "fence": fence }))
}

fn fenced_with(upstream: &str, options: &Value) -> HostedBuilder {
    Hosted::before(upstream).guest("version-clamp", &bundled("version-clamp"), options)
}

/// The same with a forward listener `outbound` that looks into CONNECT.
fn with_outbound(host: HostedBuilder, ca: &Ca, upstreams: &Authority) -> HostedBuilder {
    let text = |path: std::path::PathBuf| format!("{:?}", path.to_string_lossy());
    host.with(|builder| {
        builder
            .forward("outbound")
            .set("listener.outbound.targets.connect_ports", "any")
            .set("listener.outbound.upstream_ca", text(upstreams.ca()))
            .set("listener.outbound.tls", format!("{{ca = {}, key = {}}}", text(ca.path("ca.pem")), text(ca.path("ca.key"))))
    })
}

/// A client inside of CONNECT to this port of `localhost`.
async fn inside(host: &Hosted, ca: &Ca, port: u16, version: Version) -> Client {
    let own = format!("localhost:{port}");
    let alpn = if version == Version::Http2 { "h2" } else { "http/1.1" };
    let stream = tls(connect(host.address_of("outbound"), &own).await, "localhost", ca.trusted(&[alpn])).await.expect("TLS");
    Client::within(stream, version, &format!("https://{own}")).await
}

async fn ask(client: &mut Client, method: &str, target: &str) -> Answer {
    client.ask(Request::builder().method(method).uri(target).body(empty()).expect("a request")).await
}

/// Asks for everything that the table knows, and for what is beside it.
async fn every_row_decides(table: &Table, client: &mut Client, origin: &Echo) {
    let mut asked = 0;
    for case in table.cases(&METHODS) {
        let before = origin.requests();
        let answer = ask(client, case.method, &case.target).await;
        let told = format!("{} {}: {} {}", case.method, case.target, answer.status, answer.text());
        let status = answer.status.as_u16();
        let errcode =
            || if case.method == "HEAD" { None } else { Some(answer.json()["errcode"].as_str().expect("a code").to_owned()) };
        let is_code = |code: &str| errcode().is_none_or(|own| own == code);
        match case.expected {
            Expected::Passes => {
                assert_eq!(status, 200, "{told}");
                assert!(case.method == "HEAD" || answer.echoed().target == case.target, "{told}");
            }
            Expected::Method(ref allowed) => {
                assert!(status == 405 && is_code("M_UNRECOGNIZED"), "{told}");
                let mut told_to_be: Vec<_> = answer.header("allow").unwrap_or_default().split(", ").collect();
                told_to_be.sort_unstable();
                assert_eq!(told_to_be, *allowed, "{told}");
            }
            Expected::Unknown => assert!(status == 404 && is_code("M_UNRECOGNIZED"), "{told}"),
            Expected::Query => assert!(status == 400 && is_code("M_MISSING_PARAM"), "{told}"),
            Expected::Refused(expected, code) => assert!(status == expected && is_code(code), "{told}"),
        }
        assert_eq!(origin.requests() - before, usize::from(case.expected == Expected::Passes), "{told}");
        asked += 1;
    }
    assert!(asked > table.rows.len() * METHODS.len(), "{asked}");
}

#[tokio::test]
async fn every_row_of_matrix_decides_over_the_wire() {
    let origin = Echo::http1().await;
    let host = fenced(&origin.url(), &json!("matrix-v1.11")).start().await;
    for version in Version::BOTH {
        every_row_decides(&Table::read(MATRIX), &mut Client::connect(version, host.address()).await, &origin).await;
    }
}

#[tokio::test]
async fn every_row_of_tim_decides_on_the_way_in() {
    let origin = Echo::http1().await;
    let host = fenced(&origin.url(), &json!("tim")).start().await;
    for version in Version::BOTH {
        every_row_decides(&Table::read(TIM), &mut Client::connect(version, host.address()).await, &origin).await;
    }
}

#[tokio::test]
async fn every_row_of_tim_decides_on_the_way_out() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let fence = json!({ "main": "tim", "outbound": "tim-outbound" });
    let host = with_outbound(fenced("http://127.0.0.1:9", &fence), &ca, &upstreams).start().await;
    for version in Version::BOTH {
        let mut client = inside(&host, &ca, origin.address().port(), version).await;
        every_row_decides(&Table::read(TIM_OUTBOUND), &mut client, &origin).await;
    }
}

#[tokio::test]
async fn listeners_have_fences_of_their_own() {
    let origin = Echo::http1().await;
    let fence = json!({ "main": "tim", "other": "matrix-v1.11" });
    let host = fenced(&origin.url(), &fence);
    let host = host.with(|builder| builder.listener("other", &origin.url()).listener("open", &origin.url())).start().await;
    for (listener, target, status) in [
        ("main", "/_synapse/admin/v1/users", 200),
        ("other", "/_synapse/admin/v1/users", 404),
        ("main", "/_matrix/client/v3/voip/turnServer", 404),
        ("other", "/_matrix/client/v3/voip/turnServer", 200),
        ("open", "/anything", 200),
    ] {
        let answer = Client::fetch(Version::Http1, host.address_of(listener), target).await;
        assert_eq!(answer.status, status, "{listener} {target}");
    }
}

#[tokio::test]
async fn open_hosts_are_where_requests_go() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let behind = Echo::http1().await;
    let options = |host: &str| {
        let fence = json!({ "main": "tim", "outbound": "tim-outbound" });
        json!({ "fence": fence, "open_hosts": [host], "deny": ["GET /closed/{...}"] })
    };
    for (open, status) in [("LOCALHOST", 200), ("host", 404), ("localhost.test", 404)] {
        let host = with_outbound(fenced_with(&behind.url(), &options(open)), &ca, &upstreams).start().await;
        let mut client = inside(&host, &ca, origin.address().port(), Version::Http1).await;
        assert_eq!(ask(&mut client, "GET", "/realms/a?b=c").await.status, status, "{open}");
        assert_eq!(ask(&mut client, "GET", "/closed/a").await.status, 404, "{open}");
        // What clients claim opens nothing.
        let claimed = host.ask("GET", "/realms/a", &[("host", open)]).await;
        assert_eq!(claimed.status, 404, "{open}");
    }
    assert_eq!(behind.requests(), 0);
}
