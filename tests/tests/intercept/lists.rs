//! What is looked into, what is a blind tunnel, and what is refused.

use tollgate_tests::{Authority, Echo, RawOrigin, Tollgate, eventually};

use crate::common::{Ca, ask, connect, inside, outcome, refused, tls, wire};

#[tokio::test]
async fn pinned_hosts_are_tunnels() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let tollgate = ca.before(&upstreams).set("listener.main.tls.tunnel", "[\"localhost\", \"10.0.0.0/8\"]").start().await;
    // The client trusts the origin's own authority, and nobody else: nothing is between them.
    let pinned = (*upstreams.client_config(&["http/1.1"])).clone();
    let stream = connect(tollgate.address(), &format!("LocalHost:{port}")).await;
    let mut wire = wire(tls(stream, "localhost", pinned).await.expect("the origin's certificate"));
    assert_eq!(ask(&mut wire, "GET / HTTP/1.1\r\nHost: whatever.test\r\n\r\n").await.status, 200);
    // What the list does not name is looked into.
    let mut wire = inside(tollgate.address(), &ca, "127.0.0.1", port).await;
    assert_eq!(ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")).await.status, 200);
    assert_eq!(outcome(&tollgate, "tls").await, 1);
}

#[tokio::test]
async fn only_what_is_named_is_looked_into() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let builder = ca.before(&upstreams).set("listener.main.tls.intercept", "[\"localhost\"]");
    let tollgate = builder.start().await;
    for (host, is_intercepted) in [("localhost", true), ("127.0.0.1", false)] {
        let stream = connect(tollgate.address(), &format!("{host}:{port}")).await;
        assert_eq!(tls(stream, host, ca.trusted(&["http/1.1"])).await.is_ok(), is_intercepted, "{host}");
    }
}

#[tokio::test]
async fn options_make_tunnels_of_ignored_hosts() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let own = format!("localhost:{}", origin.address().port());
    let tollgate = ca.before(&upstreams).start().await;
    tollgate.set_options("ignore_hosts = [\"^localhost\"]").await;
    let pinned = (*upstreams.client_config(&["http/1.1"])).clone();
    assert!(tls(connect(tollgate.address(), &own).await, "localhost", pinned).await.is_ok());
    tollgate.set_options("").await;
    assert!(tls(connect(tollgate.address(), &own).await, "localhost", ca.trusted(&[])).await.is_ok());
}

#[tokio::test]
async fn lists_of_targets_hold() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let deny = "[\"denied.test\", \"127.0.0.2\"]";
    let tollgate = ca.before(&upstreams).set("listener.main.targets.deny", deny).start().await;
    for host in ["denied.test", "DENIED.test.", "127.0.0.2", "169.254.169.254"] {
        assert_eq!(refused(tollgate.address(), &format!("{host}:443")).await.status, 403, "{host}");
    }
    let tollgate = ca.before(&upstreams).set("listener.main.targets.deny", "[\"127.0.0.0/8\", \"::1\"]").start().await;
    // The name may be looked up; its addresses may not be dialled.
    let mut wire = inside(tollgate.address(), &ca, "localhost", port).await;
    let answer = ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")).await;
    assert_eq!((answer.status, origin.connections()), (403, 0));
    let tollgate = ca.before(&upstreams).set("listener.main.targets.connect_ports", "[443]").start().await;
    assert_eq!(refused(tollgate.address(), &format!("localhost:{port}")).await.status, 403);
}

#[tokio::test]
async fn the_proxy_does_not_look_into_itself() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).start().await;
    for address in [tollgate.address(), tollgate.admin()] {
        let port = address.port();
        let mut wire = inside(tollgate.address(), &ca, "127.0.0.1", port).await;
        let answer = ask(&mut wire, format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.text().contains("leads back into this proxy"), "{answer:?}");
    }
}

#[tokio::test]
async fn lists_that_have_changed_hold_for_connections_that_are_there() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let port = origin.address().port();
    let tollgate = ca.before(&upstreams).start().await;
    let mut wire = inside(tollgate.address(), &ca, "localhost", port).await;
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    assert_eq!(ask(&mut wire, &request).await.status, 200);
    let changed = tollgate.config().replace("mode = \"forward\"", "mode = \"forward\"\ntargets.deny = [\"localhost\"]");
    std::fs::write(tollgate.config_path(), changed).expect("a file");
    tollgate.reload().await;
    assert_eq!(ask(&mut wire, &request).await.status, 403);
}

#[tokio::test]
async fn stops_do_not_wait_for_silent_clients() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = RawOrigin::ok().await;
    let mut tollgate: Tollgate = ca.before(&upstreams).start().await;
    let silent = connect(tollgate.address(), &format!("localhost:{}", origin.address().port())).await;
    tollgate.terminate();
    assert!(tollgate.ended().await.success());
    drop(silent);
    eventually(async || origin.connections() == 0).await;
}
