//! Clients that do not go on: what the proxy holds for each of them.

use tokio::net::{TcpSocket, TcpStream};
use tollgate_tests::{RawClient, RawOrigin, Tollgate, eventually};

/// Clients at one time.
const COUNT: usize = 200;
/// Memory that each may cost, what the allocator keeps included. Twice of what was seen, and a fifth of what large buffers would be.
const EACH: u64 = 250 << 10;

/// Connects with next to no room in the client's system, so that what is sent stays with the proxy.
async fn connect(tollgate: &Tollgate) -> RawClient {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("room");
    let stream: TcpStream = socket.connect(tollgate.address()).await.expect("a connection");
    RawClient::over(stream)
}

#[tokio::test]
async fn who_does_not_read_a_fast_body_holds_little_of_it() {
    let origin = RawOrigin::start(|mut conversation| async move {
        let piece = vec![b'x'; 1 << 20];
        while conversation.request().await.is_some() {
            let mut sent = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n").await;
            for _ in 0..200 {
                if sent.is_ok() {
                    sent = conversation.send(&piece).await;
                }
            }
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut warm = connect(&tollgate).await;
    warm.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    warm.response_head().await;
    drop(warm);
    let before = tollgate.rss();
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        let mut client = connect(&tollgate).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    eventually(async || origin.requests().len() > COUNT).await;
    // Whatever is to come has come when nothing changes any more.
    let mut last = 0;
    eventually(async || std::mem::replace(&mut last, tollgate.rss()) == tollgate.rss()).await;
    let each = tollgate.rss().saturating_sub(before) / COUNT as u64;
    assert!(each < EACH, "{} KiB each", each >> 10);
}

#[tokio::test]
async fn who_stalls_within_a_chunk_line_holds_no_buffer() {
    const MOST: u64 = 60 << 10;
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let open = async |count: usize| {
        let mut clients = Vec::new();
        for _ in 0..count {
            let mut client = RawClient::connect(tollgate.address()).await;
            // The first chunk is whole, and of the next one there is one digit.
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1").await;
            clients.push(client);
        }
        eventually(async || origin.open() >= count).await;
        clients
    };
    drop(open(COUNT / 4).await);
    eventually(async || origin.open() == 0).await;
    let before = tollgate.rss();
    let clients = open(COUNT).await;
    let each = tollgate.rss().saturating_sub(before) / COUNT as u64;
    drop(clients);
    assert!(each < MOST, "{} KiB each", each >> 10);
}
