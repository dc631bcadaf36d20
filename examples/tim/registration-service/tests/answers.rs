//! The service over a socket.
#![cfg(test)]

use std::{net::SocketAddr, path::Path, sync::Arc};

use serde_json::{Value, json};
use tempfile::TempDir;
use tim_registration_service::{REPORT_LIMIT, REPORTS, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct Running {
    address: SocketAddr,
    service: Arc<Service>,
    directory: TempDir,
}

impl Running {
    async fn start(data: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("data.json");
        std::fs::write(&file, data).expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let service = Service::new(file, false);
        tokio::spawn(Arc::clone(&service).serve(listener));
        Self { address, service, directory }
    }

    fn write(&self, data: &str) {
        std::fs::write(self.directory.path().join("data.json"), data).expect("a file");
    }

    /// Status and body.
    async fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        // A service that has heard enough may close before all is sent.
        let _ = stream.write_all((head + body).as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, body.to_owned())
    }

    async fn get(&self, target: &str) -> (u16, String) {
        self.ask("GET", target, "").await
    }
}

fn json_of(body: &str) -> Value {
    serde_json::from_str(body).expect("JSON")
}

const DATA: &str = r#"{"federation":{"version":3,"domainList":[{"domain":"a.example","isInsurance":false,"telematikID":"1"}]},
    "support":{"hs1":{"support_page":"https://a.example/"}}}"#;

#[tokio::test]
async fn lists_are_sent_when_they_are_news() {
    let service = Running::start(DATA).await;
    for (target, status) in [
        ("/backend/federation", 200),
        ("/backend/federation?version=2", 200),
        ("/backend/federation?version=", 200),
        ("/backend/federation?version=3", 304),
        ("/backend/federation?a=b&version=3", 304),
    ] {
        let (found, body) = service.get(target).await;
        assert_eq!(found, status, "{target}");
        if status == 200 {
            assert_eq!(json_of(&body)["domainList"][0]["domain"], "a.example");
        } else {
            assert_eq!(body, "");
        }
    }
    service.write(&DATA.replace("\"version\":3", "\"version\":4"));
    assert_eq!(service.get("/backend/federation?version=3").await.0, 200);
}

#[tokio::test]
async fn bad_data_is_no_list() {
    let service = Running::start(DATA).await;
    for bad in ["", "[", "{}", r#"{"federation":{"version":"3","domainList":[]}}"#, r#"{"federation":{"version":3}}"#] {
        service.write(bad);
        for target in ["/backend/federation", "/backend/well-known-support/hs1", "/actuator/health/readiness"] {
            assert_eq!(service.get(target).await.0, 503, "{bad} {target}");
        }
    }
    service.write(DATA);
    assert_eq!(service.get("/actuator/health/readiness").await, (200, json!({ "status": "UP" }).to_string()));
}

#[tokio::test]
async fn support_pages_are_by_server_name() {
    let service = Running::start(DATA).await;
    let (status, body) = service.get("/backend/well-known-support/hs%31").await;
    assert_eq!((status, json_of(&body)["support_page"].as_str()), (200, Some("https://a.example/")));
    for target in ["/backend/well-known-support/hs2", "/backend/well-known-support/", "/backend/well-known-support/hs1/x"] {
        assert_eq!(service.get(target).await.0, 404, "{target}");
    }
}

#[tokio::test]
async fn reports_are_objects_of_a_bounded_size() {
    let service = Running::start(DATA).await;
    let report = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length.saturating_sub(8)));
    for (body, status) in [
        (report(20), 200),
        (report(REPORT_LIMIT), 200),
        (report(REPORT_LIMIT + 1), 413),
        ("[]".to_owned(), 400),
        ("{".to_owned(), 400),
    ] {
        assert_eq!(service.ask("POST", "/add-performance-data", &body).await.0, status, "{}", body.len());
    }
    assert_eq!(service.service.reports().len(), 2);
    let (status, body) = service.get("/add-performance-data").await;
    assert_eq!((status, json_of(&body).as_array().map(Vec::len)), (200, Some(2)));
}

#[tokio::test]
async fn the_oldest_report_makes_room() {
    let service = Running::start(DATA).await;
    for number in 0..=REPORTS {
        assert_eq!(service.ask("POST", "/add-performance-data", &json!({ "number": number }).to_string()).await.0, 200);
    }
    let reports = service.service.reports();
    assert_eq!((reports.len(), &reports[0]["number"]), (REPORTS, &json!(1)));
}

#[tokio::test]
async fn everything_else_is_a_page_of_nothing() {
    let service = Running::start(DATA).await;
    for (method, target) in [("GET", "/"), ("POST", "/backend/federation"), ("PUT", "/backend/well-known-support/hs1")] {
        let (status, body) = service.ask(method, target, "").await;
        assert!(status == 404 && body.contains("HTTP Status 404 – Not Found"), "{method} {target}: {body}");
    }
}

#[tokio::test]
async fn the_data_of_the_example_can_be_used() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../registration.json");
    let service = Running::start(&std::fs::read_to_string(file).expect("a file")).await;
    let (status, body) = service.get("/backend/federation").await;
    assert_eq!((status, json_of(&body)["domainList"].as_array().map(Vec::len)), (200, Some(2)));
    assert_eq!(service.get("/backend/well-known-support/hs1").await.0, 200);
}
