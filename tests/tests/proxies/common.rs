//! A SOCKS 5 server for tests, and what they share.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tollgate_tests::{Builder, Conversation, RawOrigin, Tollgate};

/// Connects clients to wherever they ask, by names as they are given; it stops when it is dropped.
pub(crate) struct Socks {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Socks {
    /// For everybody, or for who has these credentials. Every name leads to 127.0.0.1.
    pub(crate) async fn start(credentials: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let asked = Arc::clone(&shared);
                tasks.spawn(async move { serve(stream, credentials, &asked).await });
            }
        });
        Self { address, asked, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("socks5://{}", self.address)
    }

    pub(crate) fn url_for(&self, user: &str) -> String {
        format!("socks5://{user}@{}", self.address)
    }

    /// Hosts and ports that were asked for, in their order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Drop for Socks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, credentials: Option<(&str, &str)>, asked: &Mutex<Vec<String>>) -> Option<()> {
    let [5, count] = read(&mut stream).await? else { return None };
    let methods = take(&mut stream, count).await?;
    let method = if credentials.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff]).await.ok()?;
        return None;
    }
    stream.write_all(&[5, method]).await.ok()?;
    if let Some((user, password)) = credentials {
        let [1, length] = read(&mut stream).await? else { return None };
        let given = take(&mut stream, length).await?;
        let [length] = read(&mut stream).await?;
        let is_known = given == user.as_bytes() && take(&mut stream, length).await? == password.as_bytes();
        stream.write_all(&[1, u8::from(!is_known)]).await.ok()?;
        is_known.then_some(())?;
    }
    let [5, 1, 0, kind] = read(&mut stream).await? else { return None };
    let host = match kind {
        1 => std::net::Ipv4Addr::from(read::<4>(&mut stream).await?).to_string(),
        3 => {
            let [length] = read(&mut stream).await?;
            String::from_utf8(take(&mut stream, length).await?).ok()?
        }
        _ => return None,
    };
    let port = u16::from_be_bytes(read(&mut stream).await?);
    asked.lock().push(format!("{host}:{port}"));
    let Ok(mut upstream) = TcpStream::connect(("127.0.0.1", port)).await else {
        stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
        return None;
    };
    stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await.ok()?;
    copy_bidirectional(&mut stream, &mut upstream).await.ok().map(drop)
}

async fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.ok().map(|_| bytes)
}

async fn take(stream: &mut TcpStream, count: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::from(count)];
    stream.read_exact(&mut bytes).await.ok().map(|_| bytes)
}

/// A second proxy, for the first one to go through: a forward listener that tunnels anywhere.
pub(crate) async fn second() -> Tollgate {
    Tollgate::forward().await
}

/// A listener before an upstream, by way of a proxy.
pub(crate) fn by_way_of(proxy: &str, upstream: &str) -> Builder {
    Tollgate::builder().upstream(upstream).set("listener.main.proxy", format!("{proxy:?}"))
}

/// An HTTP proxy that keeps what it is asked and answers each head with the same; it stops when it is dropped.
pub(crate) struct Scripted {
    origin: RawOrigin,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Answers so.
    pub(crate) async fn start(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heads);
        let origin = RawOrigin::start(move |mut conversation| {
            let (answer, heads) = (answer.clone(), Arc::clone(&shared));
            async move {
                while let Some(head) = head(&mut conversation).await {
                    heads.lock().push(head);
                    if conversation.send(&answer).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { origin: origin.await, heads }
    }

    /// Answers with this status and the body `no`.
    pub(crate) async fn answering(status: &str) -> Self {
        let fields = "Content-Length: 2\r\nProxy-Authenticate: Basic realm=\"x\"\r\n";
        Self::start(format!("HTTP/1.1 {status}\r\n{fields}\r\nno")).await
    }

    pub(crate) fn url(&self) -> String {
        self.origin.url()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    pub(crate) fn connections(&self) -> usize {
        self.origin.connections()
    }

    /// Heads of all requests, each with its empty line.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }

    /// What each request is about.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.heads().iter().filter_map(|head| head.split(' ').nth(1)).map(str::to_owned).collect()
    }
}

/// The head of a request in whatever form, and nothing after it.
pub(crate) async fn head(conversation: &mut Conversation) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend_from_slice(&conversation.take(1).await?);
    }
    String::from_utf8(head).ok()
}
