//! What many tests of the core expect.

use std::net::SocketAddr;

use tollgate_tests::{RawClient, Response};

/// Whether a response is one of the core's own errors.
#[track_caller]
pub(crate) fn assert_core_error(response: &Response, status: u16, case: &str) {
    let json = response.json();
    assert_eq!(response.status, status, "{case}: {response:?}");
    assert_eq!(response.fields.get("content-type"), Some("application/json"), "{case}: {response:?}");
    assert!(json["errcode"].as_str().is_some_and(|code| code.starts_with("M_")), "{case}: {json}");
    assert!(json["error"].as_str().is_some_and(|error| !error.is_empty()), "{case}: {json}");
}

/// Sends these bytes over a new connection: they must get this error, and then the end.
pub(crate) async fn assert_refused(address: SocketAddr, bytes: impl AsRef<[u8]>, status: u16) {
    let case = bytes.as_ref().escape_ascii().to_string();
    let mut client = RawClient::connect(address).await;
    client.send(&bytes).await;
    let response = client.try_response("GET").await.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_core_error(&response, status, &case);
    assert_eq!(response.fields.get("connection"), Some("close"), "{case}");
    client.expect_end().await;
}

/// A request in whose head these lines stand, each with its end.
pub(crate) fn request(method: &str, lines: &str, body: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n{body}")
}
