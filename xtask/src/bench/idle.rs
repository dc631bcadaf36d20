//! Connections that wait.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::process::{command, works};

/// How long one of them may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked whether somebody wants to be let in.
const GLANCE: Duration = Duration::from_micros(200);

/// Descriptors that this process needs besides.
const OTHERS: u64 = 300;

/// The key of the example in RFC 6455, 1.3, and what a server answers to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A text of five bytes from a client, masked with zeros, and one from a server.
const ASKED: [u8; 11] = [0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];
const ANSWERED: [u8; 7] = [0x81, 0x05, b'h', b'e', b'l', b'l', b'o'];

/// As many as are wanted, or as the limit of descriptors allows where each needs `each` of them here. That limit is raised to
/// the hard one, for this process and what it starts from then on.
pub(crate) fn possible(wanted: u64, each: u64) -> Result<u64> {
    let limits = || fs::read_to_string("/proc/self/limits").context("cannot read /proc/self/limits");
    let (_, hard) = open_files(&limits()?).context("there is no limit of descriptors")?;
    let id = std::process::id().to_string();
    // Where this fails, there are fewer, and the next lines tell.
    works(command("prlimit").args(["--pid", &id, &format!("--nofile={hard}:{hard}")]));
    let (soft, _) = open_files(&limits()?).context("there is no limit of descriptors")?;
    Ok(wanted.min(soft.saturating_sub(OTHERS) / each))
}

/// Soft and hard.
fn open_files(limits: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line.split_whitespace().map(|word| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() });
    Some((numbers.next()??, numbers.next()??))
}

/// A connection on which a request was answered, and which is kept; with the head of the answer.
pub(crate) fn kept(address: SocketAddr, path: &str) -> Result<(TcpStream, String)> {
    let mut stream = connect(address)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: matrix.example.org\r\n\r\n").as_bytes())?;
    let head = head(&mut stream)?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).context("the answer has no length")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{}", head.lines().next().unwrap_or_default());
    stream.read_exact(&mut vec![0; length])?;
    Ok((stream, head))
}

/// An origin of WebSockets: what the proxy asks of it is answered here, in turn.
pub(crate) struct Echo(TcpListener);

/// Both ends of a WebSocket through a proxy.
pub(crate) struct Socket {
    client: TcpStream,
    server: TcpStream,
}

impl Echo {
    pub(crate) fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of 127.0.0.1 is free")?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    pub(crate) fn open(&self, proxy: SocketAddr) -> Result<Socket> {
        let mut client = connect(proxy)?;
        let handshake = format!(
            "GET / HTTP/1.1\r\nHost: matrix.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        client.write_all(handshake.as_bytes())?;
        let mut server = self.accept()?;
        let asked = head(&mut server)?;
        ensure!(asked.contains(KEY), "the handshake arrives with another key: {asked}");
        let switch = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        server.write_all(switch.as_bytes())?;
        let answered = head(&mut client)?;
        ensure!(answered.starts_with("HTTP/1.1 101 "), "{}", answered.lines().next().unwrap_or_default());
        Ok(Socket { client, server })
    }

    fn accept(&self) -> Result<TcpStream> {
        let start = Instant::now();
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    patient(&stream)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && start.elapsed() < PATIENCE => sleep(GLANCE),
                Err(error) => return Err(error).context("no handshake comes to the origin"),
            }
        }
    }
}

impl Socket {
    /// A message there and back.
    pub(crate) fn talk(&mut self) -> Result<()> {
        self.client.write_all(&ASKED)?;
        let mut frame = [0; ASKED.len()];
        self.server.read_exact(&mut frame)?;
        // Whatever it is masked with.
        ensure!(frame.first() == Some(&0x81), "another frame arrives than was sent: {frame:?}");
        self.server.write_all(&ANSWERED)?;
        let mut frame = [0; ANSWERED.len()];
        self.client.read_exact(&mut frame)?;
        ensure!(frame == ANSWERED, "another frame comes back than was sent: {frame:?}");
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    patient(&stream)?;
    Ok(stream)
}

fn patient(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    Ok(stream.set_read_timeout(Some(PATIENCE))?)
}

/// Byte by byte, as what follows is not for it.
fn head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
        ensure!(head.len() < 16 << 10, "the head does not end");
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 20000                files\n";
        assert_eq!(open_files(limits), Some((1024, 20_000)));
        assert_eq!(open_files(&limits.replace("20000", "unlimited")), Some((1024, u64::MAX)));
        assert_eq!(open_files("Max processes 1 2\n"), None);
    }

    #[test]
    fn sockets_talk_with_nothing_between() {
        // What a client sends without a proxy, it sends to the origin itself.
        let echo = Echo::listen().expect("a port");
        let mut socket = echo.open(echo.address().expect("its address")).expect("a socket");
        socket.talk().expect("there and back");
    }
}
