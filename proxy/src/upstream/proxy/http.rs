//! CONNECT (RFC 9110, 9.3.6), asked of a proxy.

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::ProxyError;
use crate::{
    http::{Field, Origin},
    http1::{HeadLimits, parse},
    targets::Target,
};

/// Of the head of an answer.
const LIMITS: HeadLimits = HeadLimits { count: 100, bytes: 16 * 1024 };
/// Interim responses before it.
const MAX_INTERIM: usize = 8;

/// Has everything from now on go to the target. Nothing that comes from there is taken.
pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &Origin,
    authorization: Option<&Field>,
) -> Result<(), ProxyError> {
    let target = Target::spelled(target);
    let authority = format!("{}:{}", target.authority.host(), target.port());
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(field) = authorization {
        for piece in [field.name(), b": ", field.value(), b"\r\n"] {
            request.extend_from_slice(piece);
        }
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(ProxyError::Closed)?;
    stream.flush().await.map_err(ProxyError::Closed)?;
    for _ in 0..=MAX_INTERIM {
        match status(stream).await? {
            status if status.is_success() => return Ok(()),
            StatusCode::SWITCHING_PROTOCOLS => return Err(ProxyError::Malformed("it switched protocols")),
            status if status.is_informational() => {}
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(ProxyError::Credentials),
            status => return Err(ProxyError::Refused(status)),
        }
    }
    Err(ProxyError::Malformed("too many interim responses"))
}

/// Of the next head. It is read byte by byte: what comes after it is not the proxy's any more.
async fn status(stream: &mut (impl AsyncRead + Unpin)) -> Result<StatusCode, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LIMITS.bytes {
            return Err(ProxyError::Malformed("the head of its answer is too large"));
        }
        head.push(stream.read_u8().await.map_err(ProxyError::Closed)?);
    }
    let response = parse::response(&Bytes::from(head), LIMITS);
    response.map(|head| head.status).map_err(|_| ProxyError::Malformed("its answer is not HTTP/1.1"))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What the proxy is sent, what it made of it, and what of its bytes is left.
    async fn asked(target: &str, answer: &[u8]) -> (String, Result<(), ProxyError>, Vec<u8>) {
        let (mut near, mut far) = duplex(1 << 20);
        far.write_all(answer).await.expect("room");
        let field = Field::from_static("Proxy-Authorization", "Basic x");
        let made = connect(&mut near, &target.parse().expect(target), Some(&field)).await;
        let mut request = vec![0; 4096];
        let count = far.read(&mut request).await.expect("a request");
        request.truncate(count);
        far.shutdown().await.expect("an end");
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.expect("an end");
        (String::from_utf8(request).expect("text"), made, rest)
    }

    #[tokio::test]
    async fn what_comes_after_the_answer_is_left() {
        let answer = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nSSH-2.0";
        let (request, made, rest) = asked("https://[::1]", answer).await;
        assert_eq!(request, "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic x\r\n\r\n");
        assert!(made.is_ok() && rest == b"SSH-2.0", "{made:?} {rest:?}");
    }

    #[tokio::test]
    async fn addresses_are_asked_for_in_one_way_of_writing() {
        for (target, expected) in [
            ("http://010.0.0.1", "8.0.0.1:80"),
            ("https://0x7f.1:8443", "127.0.0.1:8443"),
            ("http://10.0.0.1.", "10.0.0.1:80"),
            ("http://[::FFFF:10.0.0.1]", "10.0.0.1:80"),
            ("http://[0::0001]", "[::1]:80"),
            ("http://A.test.", "A.test.:80"),
        ] {
            let (request, ..) = asked(target, b"HTTP/1.1 200 OK\r\n\r\n").await;
            assert!(request.starts_with(&format!("CONNECT {expected} HTTP/1.1\r\nHost: {expected}\r\n")), "{target}: {request}");
        }
    }

    #[tokio::test]
    async fn answers_are_read_with_care() {
        let padding = |bytes: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(bytes - 24)).into_bytes();
        for (answer, expected) in [
            (b"HTTP/1.1 407 No\r\n\r\n".to_vec(), "credentials"),
            (b"HTTP/1.1 403 No\r\n\r\n".to_vec(), "403 Forbidden"),
            (b"HTTP/1.1 302 No\r\n\r\n".to_vec(), "302 Found"),
            (b"HTTP/1.1 101 No\r\n\r\n".to_vec(), "switched"),
            (b"SSH-2.0\r\n\r\n".to_vec(), "not HTTP/1.1"),
            (b"HTTP/1.1 100 Continue\r\n\r\n".repeat(9), "too many"),
            (padding(LIMITS.bytes - 1), ""),
            (padding(LIMITS.bytes), ""),
            (padding(LIMITS.bytes + 1), "too large"),
        ] {
            let made = asked("http://a.test", &answer).await.1;
            let text = made.err().map_or(String::new(), |error| error.to_string());
            assert!(text.contains(expected) && text.is_empty() == expected.is_empty(), "{expected}: {text}");
        }
    }
}
