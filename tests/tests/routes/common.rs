//! What tests of routes share.

use tollgate_tests::{Builder, RawOrigin, Tollgate};

/// An origin that answers with this text.
pub(crate) async fn answering(text: &str) -> RawOrigin {
    RawOrigin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await
}

/// A listener before this upstream, with the further ones and routes of this text.
pub(crate) fn before(origin: &RawOrigin, routes: &str) -> Builder {
    Tollgate::builder().upstream(&origin.url()).config_toml(routes)
}
