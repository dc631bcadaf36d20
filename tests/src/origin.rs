//! An origin that answers exactly what it is told to, keeps every byte it sees and reads all of them strictly.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    patience::within,
    raw::duplicate,
    wire::{Request, Wire, WireError},
};

/// Bytes of one connection that are kept; what comes after is only counted.
const KEPT: usize = 1 << 20;

/// A listener with a script for its connections. It stops when it is dropped.
pub struct RawOrigin {
    address: SocketAddr,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    seen: Mutex<Vec<Vec<u8>>>,
    received: AtomicUsize,
    violations: Mutex<Vec<String>>,
    aborted: AtomicUsize,
}

/// One connection of a [`RawOrigin`], for its script. Whatever is still to come when it is dropped is left unread.
pub struct Conversation {
    /// Number of the connection, from 0.
    pub index: usize,
    wire: Wire,
    socket: std::net::TcpStream,
    record: Arc<Record>,
}

impl RawOrigin {
    /// Runs the script for every connection.
    pub async fn start<S, F>(script: S) -> Self
    where
        S: Fn(Conversation) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        Self::on(listener, script)
    }

    /// Runs the script for every connection of a listener that is there.
    pub fn on<S, F>(listener: TcpListener, script: S) -> Self
    where
        S: Fn(Conversation) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("an address");
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            let mut scripts = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let index = shared.connections.fetch_add(1, SeqCst);
                shared.open.fetch_add(1, SeqCst);
                scripts.spawn(script(Conversation::new(index, stream, Arc::clone(&shared))));
            }
        });
        Self { address, record, task }
    }

    /// Answers every whole request with these bytes and goes on; so it sees all that comes.
    pub async fn answering(response: impl Into<Bytes>) -> Self {
        let response = response.into();
        Self::start(move |mut conversation| {
            let response = response.clone();
            async move {
                while conversation.request().await.is_some() {
                    if conversation.send(&response).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Answers 200 with the body `ok`.
    pub async fn ok() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    /// Answers the first request of each connection with these bytes, then closes.
    pub async fn closing(response: impl Into<Bytes>) -> Self {
        let response = response.into();
        Self::start(move |mut conversation| {
            let response = response.clone();
            async move {
                if conversation.request().await.is_some() {
                    let _ = conversation.send(&response).await;
                }
                conversation.close().await;
            }
        })
        .await
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// As an upstream is written.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.record.connections.load(SeqCst)
    }

    /// Connections whose script goes on.
    #[must_use]
    pub fn open(&self) -> usize {
        self.record.open.load(SeqCst)
    }

    /// Requests that scripts have read whole, in the order of their ends.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.record.requests.lock().clone()
    }

    /// Targets of these.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.record.requests.lock().iter().map(|request| request.target.clone()).collect()
    }

    /// The only request.
    #[must_use]
    #[track_caller]
    pub fn only_request(&self) -> Request {
        let requests = self.requests();
        self.assert_strict();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// What each connection saw, its first mebibyte.
    #[must_use]
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.record.seen.lock().clone()
    }

    /// Bytes that all connections received.
    #[must_use]
    pub fn received(&self) -> usize {
        self.record.received.load(SeqCst)
    }

    /// What came that is no well-formed request.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.record.violations.lock().clone()
    }

    /// Requests that ended before their end: not one that an origin would act upon.
    #[must_use]
    pub fn aborted(&self) -> usize {
        self.record.aborted.load(SeqCst)
    }

    /// Panics if anything came that is no well-formed request.
    #[track_caller]
    pub fn assert_strict(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "the origin saw what is no request: {violations:?}");
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Conversation {
    fn new(index: usize, stream: TcpStream, record: Arc<Record>) -> Self {
        stream.set_nodelay(true).expect("no delay");
        let socket = duplicate(&stream);
        // Not `into_split`: its half for writing closes the connection in good order, even one that is to be reset.
        let (reader, writer) = tokio::io::split(stream);
        let mut wire = Wire::new(reader, writer);
        {
            let mut seen = record.seen.lock();
            let connections = seen.len().max(index + 1);
            seen.resize_with(connections, Vec::new);
        }
        let shared = Arc::clone(&record);
        wire.on_read(move |bytes| {
            shared.received.fetch_add(bytes.len(), SeqCst);
            let mut seen = shared.seen.lock();
            let room = KEPT.saturating_sub(seen[index].len());
            seen[index].extend_from_slice(&bytes[..bytes.len().min(room)]);
        });
        Self { index, wire, socket, record }
    }

    /// Reads a request to its end and records it. None if the connection ends instead, or holds what is no request: that is a
    /// violation.
    pub async fn request(&mut self) -> Option<Request> {
        let request = self.wire.request().await;
        let request = self.check(request)?;
        if let Some(request) = &request {
            self.record.requests.lock().push(request.clone());
        }
        request
    }

    /// Reads the head of a request, for scripts that answer early. It is not recorded.
    pub async fn head(&mut self) -> Option<Request> {
        let head = self.wire.request_head().await;
        self.check(head)?
    }

    /// The next piece of the body whose head was read. None at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, WireError> {
        self.wire.piece().await
    }

    /// Reads what is left of the body and records the request.
    pub async fn rest(&mut self, mut request: Request) -> Option<Request> {
        let rest = self.wire.rest(&mut request.body).await;
        request.trailers = self.check(rest)?;
        self.record.requests.lock().push(request.clone());
        Some(request)
    }

    fn check<T>(&self, read: Result<T, WireError>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(WireError::Io(_) | WireError::Truncated) => {
                self.record.aborted.fetch_add(1, SeqCst);
                None
            }
            Err(error) => {
                self.record.violations.lock().push(format!("connection {}: {error}", self.index));
                None
            }
        }
    }

    /// Takes exactly so many bytes, whatever they are. None if the connection ends before.
    pub async fn take(&mut self, count: usize) -> Option<Bytes> {
        self.wire.take(count).await.ok()
    }

    /// Everything until the peer closes its side.
    pub async fn take_all(&mut self) -> Bytes {
        match self.wire.take_all().await {
            Ok(bytes) => bytes,
            Err(_) => self.wire.buffer.split().freeze(),
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes).await
    }

    /// Closes the sending side.
    pub async fn half_close(&mut self) {
        let _ = self.wire.finish().await;
    }

    /// Closes the sending side, and reads until the peer has closed its own, so that nothing sent is lost by a reset.
    pub async fn close(mut self) {
        let _ = self.wire.finish().await;
        let _ = within(self.wire.take_all()).await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let socket = self.socket.try_clone().expect("a descriptor");
        let stream = TcpStream::from_std(socket).expect("a socket");
        stream.set_zero_linger().expect("linger");
    }

    /// The connection underneath.
    pub const fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.record.open.fetch_sub(1, SeqCst);
    }
}
