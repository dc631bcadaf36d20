//! What tests of forward listeners share.

use std::net::SocketAddr;

use tollgate_tests::{RawClient, Response};

/// A request for a URL in absolute form, with these lines, each with its end.
pub(crate) fn get(url: &str, lines: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: elsewhere.test\r\n{lines}\r\n")
}

/// A request for a tunnel.
pub(crate) fn connect(authority: impl std::fmt::Display) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

/// Whether a response is an error of the core with this text in it.
#[track_caller]
pub(crate) fn assert_error(response: &Response, status: u16, errcode: &str, text: &str) {
    let json = response.json();
    assert_eq!((response.status, json["errcode"].as_str()), (status, Some(errcode)), "{response:?}");
    assert!(json["error"].as_str().is_some_and(|error| error.contains(text)), "{text}: {json}");
}

/// Sends this over a new connection: it must get this error, and then the end.
pub(crate) async fn assert_refused(address: SocketAddr, request: impl AsRef<[u8]>, status: u16, text: &str) {
    let case = request.as_ref().escape_ascii().to_string();
    let mut client = RawClient::connect(address).await;
    client.send(&request).await;
    let response = client.try_response("GET").await.unwrap_or_else(|error| panic!("{case}: {error}"));
    let errcode = if status == 403 { "M_FORBIDDEN" } else { "M_UNKNOWN" };
    assert_error(&response, status, errcode, text);
    assert_eq!(response.fields.get("connection"), Some("close"), "{case}");
    client.expect_end().await;
}
