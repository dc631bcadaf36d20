//! Guessed passwords: whom they keep waiting, and whom not.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::join_all;
use serde_json::json;
use tollgate_tests::{Authority, RawClient, RawOrigin, Tollgate, eventually};

use crate::{
    common::{connect_with, gate},
    intercepting::{Ca, tls},
};

/// Credentials of `ann`.
fn basic(password: &str) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("ann:{password}")))
}

/// The hash of `right` by bcrypt, as a setting.
async fn hashed(cost: &str) -> String {
    let ended = Tollgate::run_with(&["hash-password", "--bcrypt", cost], b"right\n").await;
    format!("{:?}", ended.stdout.trim_end())
}

fn request(password: &str) -> String {
    format!("GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n{}\r\n", basic(password))
}

/// A client at this address of the machine, that has sent a password.
async fn guess(proxy: std::net::SocketAddr, source: [u8; 4], password: &str) -> RawClient {
    let mut client = RawClient::connect_from(IpAddr::from(source), proxy).await;
    client.send(request(password)).await;
    client
}

#[tokio::test]
async fn guesses_hold_up_no_handshakes() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let host = gate(Some(&ca), &upstreams, &json!({}));
    let host = host.set("listener.forward.users.ann", hashed("9").await).start().await;
    let proxy = host.address_of("forward");
    // From now on it is remembered.
    drop(connect_with(proxy, "localhost:1", &basic("right")).await);
    let mut guesses = Vec::new();
    for number in 0..48_u8 {
        guesses.push(guess(proxy, [127, 0, 1, number / 4], &format!("wrong {number}")).await);
    }
    let all = tokio::spawn(join_all(guesses.into_iter().map(|mut client| async move { client.response().await.status })));
    let stream = connect_with(proxy, "127.0.0.1:1", &basic("right")).await;
    let shaken = tls(stream, "127.0.0.1", ca.trusted(&["http/1.1"])).await;
    assert!(shaken.is_ok() && !all.is_finished(), "the guesses were verified first");
    assert!(all.await.expect("a task").iter().all(|status| *status == 407));
}

#[tokio::test]
async fn four_guesses_of_a_client_wait() {
    let upstreams = Authority::new();
    let host = gate(None, &upstreams, &json!({})).set("listener.forward.users.ann", hashed("12").await);
    let host = host.start().await;
    let proxy = host.address_of("forward");
    for guesses in [3, 4, 5] {
        let source = [127, 0, 1, guesses];
        let mut clients = Vec::new();
        for number in 0..guesses {
            clients.push(guess(proxy, source, &format!("wrong {guesses} {number}")).await);
        }
        let answers = join_all(clients.iter_mut().map(RawClient::response)).await;
        let busy = answers.iter().filter(|answer| answer.status == 503).count();
        assert_eq!(busy, usize::from(guesses.saturating_sub(4)), "{guesses}");
    }
    // Whatever one client does, another one is let in.
    let mut crowd = Vec::new();
    for number in 0..80 {
        crowd.push(guess(proxy, [127, 0, 2, 1], &format!("wrong {number}")).await);
    }
    assert_eq!(guess(proxy, [127, 0, 2, 2], "right").await.response().await.status, 502);
}

#[tokio::test]
async fn what_was_verified_outlives_reloads() {
    let upstreams = Authority::new();
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    let (ann, bea) = (hashed("10").await, hashed("4").await);
    std::fs::write(&file, format!("ann:{}\n", ann.trim_matches('"'))).expect("a file");
    let path = format!("{:?}", file.to_string_lossy());
    let host = gate(None, &upstreams, &json!({})).set("listener.forward.users_file", path).start().await;
    let first = format!("GET {}/ HTTP/1.1\r\nHost: a\r\n{}\r\n", origin.url(), basic("right"));
    let status = async || RawClient::ask(host.address_of("forward"), first.clone()).await.status;
    assert_eq!(status().await, 200);
    let once = host.cpu_of_threads("passwords");
    assert!(once > 0);
    for _ in 0..3 {
        host.reload().await;
        assert_eq!(status().await, 200);
    }
    // Another user changes nothing for this one.
    std::fs::write(&file, format!("ann:{}\nbea:{}\n", ann.trim_matches('"'), bea.trim_matches('"'))).expect("a file");
    host.reload().await;
    assert_eq!(status().await, 200);
    assert_eq!(host.cpu_of_threads("passwords"), once);
    // Its hash does.
    std::fs::write(&file, format!("ann:{}\n", hashed("11").await.trim_matches('"'))).expect("a file");
    host.reload().await;
    assert_eq!(status().await, 200);
    eventually(async || host.cpu_of_threads("passwords") > once).await;
}
