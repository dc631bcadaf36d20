//! What WebSockets cost, in numbers: memory of idle ones, messages a second. Not a test: nothing here fails, and it is run by
//! `cargo xtask measure`.
#![cfg(test)]
#![allow(clippy::print_stdout, reason = "the numbers are what this is for")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tollgate_tests::{accept_of, addons::Hosted, from_client};

const TEXT: u8 = 0x81;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const IDLE: u64 = 10_000;
/// Descriptors that a process needs beyond those of sockets.
const OTHERS: u64 = 300;
/// Bytes of a message, as in a chat.
const LENGTH: usize = 100;
const MESSAGES: usize = 300_000;
const ROUNDS: usize = 10_000;

fn rule(actions: &Value) -> Value {
    json!({"rules": [{"on": "websocket-message", "do": actions}]})
}

/// Descriptors that a socket needs here, where both ends of it are, and as many in the proxy.
const EACH: u64 = 2;

/// So many sockets are possible, with as many descriptors as the system lets a process have: more than the limit says, if that can
/// be raised.
fn possible() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = IDLE * EACH + OTHERS;
    let most = limit.maximum.unwrap_or(wanted);
    let set = |most: u64| setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) }).is_ok();
    let have = if most < wanted && set(wanted) { wanted } else { most };
    set(have);
    let count = IDLE.min(have.saturating_sub(OTHERS) / EACH);
    if count < IDLE {
        println!("{count} sockets, not {IDLE}: a process may have no more than {have} descriptors");
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn memory_of_idle_sockets() {
    let (count, frame) = (possible(), from_client(TEXT, [b'x'; LENGTH]));
    for (what, is_seen, talks) in [
        ("nobody subscribes", false, false),
        ("an addon subscribes, no message yet", true, false),
        ("an addon subscribes, after a message", true, true),
    ] {
        let (url, _origin) = origin(0).await;
        let mut host = Hosted::before(&url);
        if is_seen {
            host = host.scripted("a", &rule(&json!([]))).set("limits.instances", count + 100);
        }
        let host = host
            .set("limits.connections", count + 100)
            .set("limits.guest_memory", "64GiB")
            .with(|builder| builder.log("info"))
            .start()
            .await;
        if is_seen {
            host.settled("a").await;
        }
        let mut open = Vec::new();
        let mut before = 0;
        for number in 0..count {
            let mut socket = connect(host.address()).await;
            if talks {
                there_and_back(&mut socket, &frame).await;
            }
            open.push(socket);
            if number == 99 {
                // What there is once for all of them.
                before = host.private_memory();
            }
        }
        let each = host.private_memory().saturating_sub(before) / (count - 100);
        println!("{count} idle WebSockets, {what}: {:.1} KiB each", f64::from(u32::try_from(each).expect("little")) / 1024.0);
    }
}

/// An origin whose sockets read so many bytes of frames and then send one frame, and after that send one for each that they get.
async fn origin(bytes: usize) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut sockets = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            sockets.spawn(counting(stream, bytes));
        }
    });
    (url, serving)
}

async fn counting(mut stream: TcpStream, bytes: usize) {
    stream.set_nodelay(true).expect("a socket");
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await.expect("a handshake");
    assert!(head[..read].ends_with(b"\r\n\r\n"));
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_of(KEY)
    );
    stream.write_all(switch.as_bytes()).await.expect("sent");
    if bytes > 0 {
        let (mut left, mut buffer) = (bytes, vec![0; 1 << 18]);
        while left > 0 {
            let most = left.min(buffer.len());
            left -= stream.read(&mut buffer[..most]).await.expect("frames");
        }
        stream.write_all(b"\x81\x01x").await.expect("sent");
    }
    let mut frame = vec![0; from_client(TEXT, [b'x'; LENGTH]).len()];
    while stream.read_exact(&mut frame).await.is_ok() {
        stream.write_all(b"\x81\x01x").await.expect("sent");
    }
}

/// A socket without what tests look at.
async fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

async fn there_and_back(socket: &mut TcpStream, frame: &[u8]) {
    socket.write_all(frame).await.expect("sent");
    let mut answer = [0; 3];
    socket.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer[..2], *b"\x81\x01");
}

/// Hundredths of a second that threads which serve were on the processor.
fn ticks(host: &Hosted) -> f64 {
    f64::from(u32::try_from(host.cpu_of_threads("tokio-rt-worker")).expect("not so long"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn messages_a_second() {
    let frame = from_client(TEXT, [b'x'; LENGTH]);
    for (what, script) in [
        ("nobody subscribes", None),
        ("an addon looks", Some(rule(&json!([])))),
        ("an addon edits", Some(rule(&json!([{"message": "upper"}])))),
    ] {
        let (url, _origin) = origin(frame.len() * MESSAGES).await;
        let mut host = Hosted::before(&url);
        if let Some(script) = &script {
            host = host.scripted("a", script);
        }
        let host = host.with(|builder| builder.log("info")).start().await;
        if script.is_some() {
            host.settled("a").await;
        }
        let mut client = connect(host.address()).await;
        let many = frame.repeat(1_000);
        let (start, before) = (Instant::now(), ticks(&host));
        for _ in 0..MESSAGES / 1_000 {
            client.write_all(&many).await.expect("sent");
        }
        let mut answer = [0; 3];
        client.read_exact(&mut answer).await.expect("an answer");
        let (took, ticks) = (start.elapsed(), ticks(&host) - before);
        let count = f64::from(u32::try_from(MESSAGES).expect("few"));
        let rate = count / took.as_secs_f64();
        println!(
            "{what}: {rate:.0} messages of {LENGTH} bytes a second on one socket, {:.2} µs of processor each",
            ticks * 1e4 / count
        );
        let start = Instant::now();
        for _ in 0..ROUNDS {
            there_and_back(&mut client, &frame).await;
        }
        println!("{what}: {:?} there and back, one after the other", start.elapsed() / u32::try_from(ROUNDS).expect("few"));
    }
}
