//! The server that the addon `callback` asks.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{Hosted, HostedBuilder, bundled};
use crate::body::{BoxBody, full};

/// A callback server. It stops when it is dropped.
pub struct CallbackServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Called {
    /// Path of the URL.
    pub path: String,
    /// As sent.
    pub content_type: String,
    /// What was sent; null if it is no JSON.
    pub told: Value,
}

/// What a callback server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    is_held: bool,
}

struct Shared {
    answer: Box<dyn Fn(&Called) -> Reply + Send + Sync>,
    calls: Mutex<Vec<Called>>,
    release: watch::Sender<bool>,
}

impl CallbackServer {
    /// Answers each call so, on a port of 127.0.0.1.
    pub async fn start(answer: impl Fn(&Called) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (release, _) = watch::channel(false);
        let shared = Arc::new(Shared { answer: Box::new(answer), calls: Mutex::default(), release });
        let answering = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&answering);
                let service = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(shared.answer(request).await) }
                });
                connections.spawn(async move {
                    // How a connection ends is for the test to see.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, shared, task }
    }

    /// Answers each call with this value.
    pub async fn answering(value: Value) -> Self {
        Self::start(move |_| Reply::json(&value)).await
    }

    /// A URL of it.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Called> {
        self.shared.calls.lock().clone()
    }

    /// What the calls to this path were told.
    #[must_use]
    pub fn told(&self, path: &str) -> Vec<Value> {
        self.shared.calls.lock().iter().filter(|call| call.path == path).map(|call| call.told.clone()).collect()
    }

    /// Lets go of all that is held, and of all that would be.
    pub fn release(&self) {
        self.shared.release.send_replace(true);
    }
}

impl Drop for CallbackServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody> {
        let path = request.uri().path().to_owned();
        let content_type = request.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let called = Called { path, content_type, told: serde_json::from_slice(&body).unwrap_or_default() };
        let reply = (self.answer)(&called);
        let mut released = self.release.subscribe();
        self.calls.lock().push(called);
        if reply.is_held {
            let _ = released.wait_for(|is_released| *is_released).await;
        }
        let response = Response::builder().status(reply.status).header("content-type", reply.content_type);
        response.body(full(reply.body)).expect("a response")
    }
}

impl Reply {
    /// This value.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::typed("application/json", value.to_string())
    }

    /// Nothing is to be done.
    #[must_use]
    pub fn nothing() -> Self {
        Self::json(&json!({}))
    }

    /// This text of this type.
    #[must_use]
    pub fn typed(content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status: 200, content_type, body: body.into(), is_held: false }
    }

    /// With this status.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Not before the server is told to let go.
    #[must_use]
    pub const fn held(mut self) -> Self {
        self.is_held = true;
        self
    }
}

impl Hosted {
    /// Before this upstream, with the addon `callback`: it does nothing yet, and is granted all that it needs. Options are locked
    /// through the listener `forward`.
    #[must_use]
    pub fn with_callback(upstream: &str) -> HostedBuilder {
        Self::before(upstream)
            .guest("callback", &bundled("callback"), &json!({}))
            .set("addon.callback.http", "[\"private\"]")
            .set("addon.callback.kv", true)
            .with_controller()
    }
}
