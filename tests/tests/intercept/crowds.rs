//! Many hosts at once, in a bounded room.

use tokio::task::JoinSet;
use tollgate_tests::{Authority, eventually};

use crate::common::{Ca, connect, metric, tls};

/// Handshakes with so many hosts, `each` times each, at most 50 at once.
async fn handshakes(ca: &Ca, proxy: std::net::SocketAddr, hosts: usize, each: usize) {
    let mut crowd = JoinSet::new();
    for number in 0..hosts * each {
        let (host, config) = (format!("host-{}.test", number % hosts), ca.trusted(&["http/1.1"]));
        while crowd.len() >= 50 {
            crowd.join_next().await.expect("a task").expect("a handshake");
        }
        crowd.spawn(async move {
            let stream = connect(proxy, &format!("{host}:443")).await;
            tls(stream, &host, config).await.expect("TLS");
        });
    }
    while let Some(done) = crowd.join_next().await {
        done.expect("a handshake");
    }
}

#[tokio::test]
async fn a_thousand_hosts_are_minted_once_each() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).log("warn").start().await;
    handshakes(&ca, tollgate.address(), 1000, 2).await;
    assert_eq!(metric(&tollgate, "tollgate_certificates_minted_total").await, 1000);
    assert_eq!(metric(&tollgate, "tollgate_certificates_kept").await, 1000);
}

#[tokio::test]
async fn no_more_are_kept_than_there_is_room_for() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).set("listener.main.tls.certificates", 10).log("warn").start().await;
    handshakes(&ca, tollgate.address(), 200, 1).await;
    assert_eq!(metric(&tollgate, "tollgate_certificates_minted_total").await, 200);
    assert_eq!(metric(&tollgate, "tollgate_certificates_kept").await, 10);
    eventually(async || metric(&tollgate, "tollgate_connections_active").await == 0).await;
}
