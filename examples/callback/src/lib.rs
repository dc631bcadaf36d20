//! Callbacks for a test suite in Rust: a server that the addon `callback` asks, and the lock of the options. It needs `serde_json`
//! alone and no runtime: copy it.
//!
//! ```no_run
//! use callback_example::{CallbackServer, Lock};
//! use serde_json::json;
//!
//! # let forward = "127.0.0.1:8080".parse().expect("an address");
//! let server = CallbackServer::start(|_callback| json!({"respond_status_code": 504}));
//! let lock = Lock::take(forward, &json!({"callback": {"callback_request_url": server.url("/request"), "filter": "~u /sync"}}));
//! // Now every /sync fails with 504.
//! drop(lock);
//! // Now none does.
//! ```

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc, reason = "tests fail by panicking")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// Name of the controller: `admin.controller_host`.
pub const CONTROLLER: &str = "http://mitm.code";

/// How long an answer may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the addon tells of a flow, in its middle.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Path of the URL that was called.
    pub path: String,
    /// `method`, `url`, `access_token`, `request_body`; of a response `response_code` and `response_body`, too.
    pub told: Value,
}

/// Answers callbacks, each in a thread of its own: one that waits holds up its flow alone. It stops when it is dropped.
pub struct CallbackServer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

/// Options for the time of a test. They are what they were before when this is dropped.
pub struct Lock {
    forward: SocketAddr,
    reset_id: String,
}

impl CallbackServer {
    /// Answers each callback so, on a port of 127.0.0.1: `json!({})` changes nothing.
    pub fn start(answer: impl Fn(Callback) -> Value + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (answer, is_over) = (Arc::new(answer), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(SeqCst) {
                    return;
                }
                let answer = Arc::clone(&answer);
                // A proxy that goes away is no news: its flow is over.
                thread::spawn(move || stream.and_then(|stream| converse(&stream, &*answer)));
            }
        });
        Self { address, is_over }
    }

    /// A URL of it, for `callback_request_url` and `callback_response_url`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for CallbackServer {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        // Whoever waits for a connection looks up.
        let _ = TcpStream::connect(self.address);
    }
}

impl Lock {
    /// Sets these options, each by the name of its addon, through this forward listener. Panics if somebody has the lock.
    #[must_use]
    pub fn take(forward: SocketAddr, options: &Value) -> Self {
        let (status, answer) = ask(forward, "POST", &format!("{CONTROLLER}/options/lock"), "", &json!({ "options": options }));
        let reset_id = answer.get("reset_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        assert!(status == 200 && !reset_id.is_empty(), "no lock: {status} {answer}");
        Self { forward, reset_id }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let url = format!("{CONTROLLER}/options/unlock");
        let (status, answer) = ask(self.forward, "POST", &url, "", &json!({ "reset_id": self.reset_id }));
        // A second panic would end the process and hide the first.
        assert!(status == 200 || thread::panicking(), "not unlocked: {status} {answer}");
    }
}

/// Sends a request, to a server or with a whole URL to a forward listener; status, and body as JSON, or as a text if it is none.
/// Null is no body.
#[must_use]
pub fn ask(address: SocketAddr, method: &str, target: &str, token: &str, body: &Value) -> (u16, Value) {
    try_ask(address, method, target, token, body).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

fn try_ask(address: SocketAddr, method: &str, target: &str, token: &str, body: &Value) -> io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = target.strip_prefix("http://").and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let host = host.unwrap_or_else(|| address.to_string());
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let fields = format!("Host: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nConnection: close");
    write!(stream, "{method} {target} HTTP/1.1\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = BufReader::new(stream);
    let (first, length) = head(&mut answer)?;
    let mut body = Vec::new();
    answer.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {first}")))?;
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    Ok((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
}

/// One callback on its connection.
fn converse(stream: &TcpStream, answer: &dyn Fn(Callback) -> Value) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (first, length) = head(&mut reader)?;
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = answer(Callback { path, told: serde_json::from_slice(&body)? }).to_string();
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close", body.len());
    let mut writer = stream;
    write!(writer, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}")
}

/// The first line of a message, and what its Content-Length says.
fn head(reader: &mut impl BufRead) -> io::Result<(String, Option<u64>)> {
    let mut lines = reader.lines().map(|line| line.map(|line| line.trim_end().to_owned()));
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut length = None;
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok(),
            None if line.is_empty() => break,
            _ => {}
        }
    }
    Ok((first, length))
}
