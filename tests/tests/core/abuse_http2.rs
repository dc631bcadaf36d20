//! Clients that abuse HTTP/2: they are stopped, the process stays small, and others are served meanwhile.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tollgate_tests::{Client, Frame, FrameClient, RawOrigin, Tollgate, Version, block, eventually};

/// Memory that abuse may cost.
const SLACK: u64 = 40 << 20;

/// After so long without progress a client takes itself for held up.
const HELD_UP: Duration = Duration::from_secs(1);

const GET: [(&str, &[u8]); 4] = [(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/")];

/// Sends frames over and over until the connection ends, or at most so many times; meanwhile and afterwards others are
/// served. Tells whether the connection ended.
async fn abuse(tollgate: &Tollgate, mut client: FrameClient, times: usize, mut frames: impl FnMut(u32) -> Vec<Frame>) -> bool {
    let before = tollgate.rss();
    let mut is_ended = false;
    for number in 0..times {
        let stream = u32::try_from(number).expect("a number") * 2 + 1;
        // Whoever does not read is held up in sending before long: nothing is kept for later.
        match timeout(HELD_UP, client.try_send(&frames(stream))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                is_ended = true;
                break;
            }
            Err(_) => break,
        }
    }
    assert_eq!(Client::fetch(Version::Http2, tollgate.address(), "/").await.text(), "ok");
    drop(client);
    eventually(async || tollgate.rss() < before + SLACK).await;
    assert!(tollgate.peak_rss() < before + SLACK, "{} MiB more", tollgate.peak_rss().saturating_sub(before) >> 20);
    is_ended
}

async fn warm() -> (RawOrigin, Tollgate) {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").start().await;
    assert_eq!(Client::fetch(Version::Http2, tollgate.address(), "/").await.text(), "ok");
    (origin, tollgate)
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let (origin, tollgate) = warm().await;
    let client = FrameClient::connect(tollgate.address()).await;
    let is_ended =
        abuse(&tollgate, client, 200_000, |stream| vec![Frame::headers(stream, &GET, true), Frame::reset(stream)]).await;
    assert!(is_ended);
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn resets_that_the_server_is_made_to_send_end_the_connection() {
    let (_origin, tollgate) = warm().await;
    let client = FrameClient::connect(tollgate.address()).await;
    // A window that overflows is the stream's error.
    let overflow = |stream| Frame::new(8, 0, stream, Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]));
    assert!(abuse(&tollgate, client, 200_000, |stream| vec![Frame::headers(stream, &GET, true), overflow(stream)]).await);
}

#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let (_origin, tollgate) = warm().await;
    for payload in [Bytes::new(), block(&[("x", &[b'y'; 1000])])] {
        let mut client = FrameClient::connect(tollgate.address()).await;
        client.send(&[Frame::new(1, 1, 1, block(&GET))]).await;
        assert!(abuse(&tollgate, client, 200_000, |_| vec![Frame::new(9, 0, 1, payload.clone())]).await);
    }
}

#[tokio::test]
async fn header_bombs_are_refused() {
    let (origin, tollgate) = warm().await;
    // One entry of the table, and then a byte each to repeat it.
    let mut bomb = block(&GET).to_vec();
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa0, 0x1e]);
    bomb.extend([b'y'; 3999]);
    bomb.extend([0xbe; 10_000]);
    let client = FrameClient::connect(tollgate.address()).await;
    abuse(&tollgate, client, 100, |stream| vec![Frame::new(1, 5, stream, bomb.clone())]).await;
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn pings_that_are_not_read_stay_bounded() {
    let (_origin, tollgate) = warm().await;
    let client = FrameClient::connect(tollgate.address()).await;
    let pings: Vec<Frame> = (0..100).map(|_| Frame::new(6, 0, 0, Bytes::from_static(&[0; 8]))).collect();
    abuse(&tollgate, client, 5_000, |_| pings.clone()).await;
}

#[tokio::test]
async fn settings_that_are_not_read_stay_bounded() {
    let (_origin, tollgate) = warm().await;
    let client = FrameClient::connect(tollgate.address()).await;
    let settings: Vec<Frame> = (0..100).map(|_| Frame::new(4, 0, 0, Bytes::new())).collect();
    abuse(&tollgate, client, 5_000, |_| settings.clone()).await;
}

#[tokio::test]
async fn empty_data_stays_bounded() {
    let (_origin, tollgate) = warm().await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    let post: [(&str, &[u8]); 4] = [(":method", b"POST"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/")];
    client.send(&[Frame::headers(1, &post, false)]).await;
    let pieces: Vec<Frame> = (0..100).map(|_| Frame::data(1, Bytes::new(), false)).collect();
    abuse(&tollgate, client, 5_000, |_| pieces.clone()).await;
}

#[tokio::test]
async fn answers_that_are_not_taken_stay_bounded() {
    let body = "x".repeat(1 << 20);
    let origin = RawOrigin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").start().await;
    let before = tollgate.peak_rss();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = FrameClient::connect(tollgate.address()).await;
        // No window at all for what the server sends.
        client.send(&[Frame::new(4, 0, 0, Bytes::from_static(&[0, 4, 0, 0, 0, 0]))]).await;
        let asked: Vec<Frame> = (0..100).map(|number| Frame::headers(number * 2 + 1, &GET, true)).collect();
        client.send(&asked).await;
        clients.push(client);
    }
    eventually(async || origin.requests().len() == 200).await;
    let grown = tollgate.peak_rss().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB more", grown >> 20);
}
