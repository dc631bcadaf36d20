//! A stand-in for the registration service of a TI-Messenger provider, to try messenger proxies with.
//!
//! | Path | Answer |
//! |---|---|
//! | `GET /backend/federation` | the federation list; 304 if `?version=` is its version |
//! | `GET /backend/well-known-support/{serverName}` | the support page of this server, or 404 |
//! | `POST /add-performance-data` | takes a report, one JSON object, and writes it to standard output |
//! | `GET /add-performance-data` | the reports that came, at most the last [`REPORTS`] |
//! | `GET /actuator/health/readiness` | `{"status":"UP"}`, or 503 while there is no good data |
//!
//! Everything else is a page with the status 404. There are no credentials, no directory, and no signatures: it belongs on
//! loopback.

mod data;

use std::{collections::VecDeque, io::Write, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

pub use data::{Data, DataError};

/// Bytes of a report; over it 413.
pub const REPORT_LIMIT: usize = 64 << 10;

/// Reports that are kept; the oldest makes room.
pub const REPORTS: usize = 1000;

/// Connections at once; more wait until one ends.
pub const CONNECTION_LIMIT: usize = 256;

/// Where each messenger service's support page is, followed by its server name.
const SUPPORT: &str = "/backend/well-known-support/";

/// What all connections share.
#[derive(Debug)]
pub struct Service {
    data: PathBuf,
    is_loud: bool,
    reports: Mutex<VecDeque<Value>>,
}

impl Service {
    /// With the data of this file, which is read for each request; `is_loud` writes reports to standard output.
    #[must_use]
    pub fn new(data: PathBuf, is_loud: bool) -> Arc<Self> {
        Arc::new(Self { data, is_loud, reports: Mutex::default() })
    }

    /// The reports that came, at most the last [`REPORTS`], the oldest first.
    #[must_use]
    pub fn reports(&self) -> Vec<Value> {
        self.reports.lock().iter().cloned().collect()
    }

    /// Serves connections of this listener until the future is dropped, which closes them all.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= CONNECTION_LIMIT {
                connections.join_next().await;
            }
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely; they come back when other connections end.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let service = Arc::clone(&self);
            connections.spawn(async move {
                let respond = service_fn(move |request| {
                    let service = Arc::clone(&service);
                    async move { Ok::<_, std::convert::Infallible>(service.respond(request).await) }
                });
                // A client that goes away is no news.
                let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), respond).await;
            });
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let is_get = request.method() == Method::GET;
        match path.as_str() {
            "/backend/federation" if is_get => self.with_data(|data| federation(data, request.uri().query().unwrap_or_default())),
            "/actuator/health/readiness" if is_get => self.with_data(|_| page(StatusCode::OK, &json!({ "status": "UP" }))),
            "/add-performance-data" if is_get => page(StatusCode::OK, &Value::Array(self.reports())),
            "/add-performance-data" if request.method() == Method::POST => self.take(request).await,
            other => match other.strip_prefix(SUPPORT) {
                Some(server) if is_get && !server.is_empty() => self.with_data(|data| support(data, server)),
                _ => not_found(),
            },
        }
    }

    fn with_data(&self, answer: impl FnOnce(&Data) -> Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        match Data::read(&self.data) {
            Ok(data) => answer(&data),
            Err(error) => page(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": error.to_string() })),
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(body) = Limited::new(request.into_body(), REPORT_LIMIT).collect().await else {
            return page(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "the report is too large, or was cut" }));
        };
        let report = match serde_json::from_slice::<Value>(&body.to_bytes()) {
            Ok(report) if report.is_object() => report,
            _ => return page(StatusCode::BAD_REQUEST, &json!({ "error": "a report is one JSON object" })),
        };
        if self.is_loud {
            // Nobody reads it: then nobody misses it.
            let _ = writeln!(std::io::stdout(), "{report}");
        }
        let mut reports = self.reports.lock();
        if reports.len() >= REPORTS {
            reports.pop_front();
        }
        reports.push_back(report);
        drop(reports);
        page(StatusCode::OK, &json!({}))
    }
}

fn federation(data: &Data, query: &str) -> Response<Full<Bytes>> {
    let known = query.split('&').find_map(|pair| pair.strip_prefix("version="));
    if known.is_some_and(|known| known == data.version().to_string()) {
        return empty(StatusCode::NOT_MODIFIED);
    }
    page(StatusCode::OK, data.federation())
}

fn support(data: &Data, server: &str) -> Response<Full<Bytes>> {
    let server = percent_encoding::percent_decode_str(server).decode_utf8_lossy();
    data.support(&server).map_or_else(|| empty(StatusCode::NOT_FOUND), |found| page(StatusCode::OK, found))
}

fn page(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A page for people.
fn not_found() -> Response<Full<Bytes>> {
    let page = "<!doctype html><html lang=\"en\"><title>HTTP Status 404 – Not Found</title><h1>HTTP Status 404 – Not Found</h1></html>\n";
    let mut response = Response::new(Full::new(Bytes::from_static(page.as_bytes())));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
