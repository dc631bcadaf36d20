//! Where a body ends (RFC 9112, 6).

use http::{Method, StatusCode};

use super::ParseError;
use crate::http::{Headers, Version};

/// How a body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// Until the connection ends; responses only.
    UntilClose,
}

use ParseError::Malformed;

impl Framing {
    /// Of a request. Refuses every form in which two recipients could disagree: both length and coding, a repeated or
    /// listed length, a coding that is not exactly one `chunked`, a coding on HTTP/1.0.
    pub fn of_request(headers: &Headers, version: Version) -> Result<Self, ParseError> {
        match (coding(headers, version)?, length(headers, false)?) {
            (true, Some(_)) => Err(Malformed("both Content-Length and Transfer-Encoding")),
            (true, None) => Ok(Self::Chunked),
            (false, Some(0) | None) => Ok(Self::None),
            (false, Some(length)) => Ok(Self::Length(length)),
        }
    }

    /// Of a response to a request with this method. As strict, but equal lengths may be repeated (RFC 9110, 8.6).
    pub fn of_response(method: &Method, status: StatusCode, headers: &Headers, version: Version) -> Result<Self, ParseError> {
        let (is_chunked, length) = (coding(headers, version)?, length(headers, true)?);
        if is_chunked && length.is_some() {
            return Err(Malformed("both Content-Length and Transfer-Encoding"));
        }
        if !may_have_body(method, status) {
            return Ok(Self::None);
        }
        Ok(match (is_chunked, length) {
            (true, _) => Self::Chunked,
            (false, Some(0)) => Self::None,
            (false, Some(length)) => Self::Length(length),
            (false, None) => Self::UntilClose,
        })
    }
}

/// Whether a response can have a body (RFC 9110, 6.4.1).
#[must_use]
pub fn may_have_body(method: &Method, status: StatusCode) -> bool {
    let has_none = *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || (*method == Method::CONNECT && status.is_success());
    !has_none
}

fn coding(headers: &Headers, version: Version) -> Result<bool, ParseError> {
    let mut all = headers.get_all("transfer-encoding");
    let Some(first) = all.next() else { return Ok(false) };
    if all.next().is_some() {
        return Err(Malformed("more than one Transfer-Encoding"));
    }
    if version != Version::Http11 {
        return Err(Malformed("Transfer-Encoding without HTTP/1.1"));
    }
    if first.eq_ignore_ascii_case(b"chunked") { Ok(true) } else { Err(Malformed("a Transfer-Encoding that is not chunked")) }
}

fn length(headers: &Headers, may_repeat: bool) -> Result<Option<u64>, ParseError> {
    let mut found = None;
    for value in headers.get_all("content-length") {
        let length = parse_length(value).ok_or(Malformed("not a Content-Length"))?;
        match found {
            None => found = Some(length),
            Some(earlier) if may_repeat && earlier == length => {}
            Some(_) => return Err(Malformed("more than one Content-Length")),
        }
    }
    Ok(found)
}

/// Digits only: no sign, no blank, no list.
fn parse_length(value: &[u8]) -> Option<u64> {
    let is_digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    is_digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Field;

    fn headers(fields: &[(&'static str, &'static str)]) -> Headers {
        fields.iter().map(|(name, value)| Field::from_static(name, value)).collect()
    }

    fn request(fields: &[(&'static str, &'static str)]) -> Result<Framing, ParseError> {
        Framing::of_request(&headers(fields), Version::Http11)
    }

    #[test]
    fn one_clear_framing_is_taken() {
        assert_eq!(request(&[]), Ok(Framing::None));
        assert_eq!(request(&[("Content-Length", "0")]), Ok(Framing::None));
        assert_eq!(request(&[("Content-Length", "12")]), Ok(Framing::Length(12)));
        assert_eq!(request(&[("Transfer-Encoding", "Chunked")]), Ok(Framing::Chunked));
    }

    #[test]
    fn two_readings_are_refused() {
        for fields in [
            &[("Content-Length", "1"), ("Transfer-Encoding", "chunked")][..],
            &[("Transfer-Encoding", "chunked"), ("Content-Length", "1")],
            &[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
            &[("Transfer-Encoding", "gzip, chunked")],
            &[("Transfer-Encoding", "chunked, identity")],
            &[("Transfer-Encoding", "xchunked")],
            &[("Transfer-Encoding", "\"chunked\"")],
            &[("Transfer-Encoding", "")],
            &[("Content-Length", "1"), ("Content-Length", "1")],
            &[("Content-Length", "1, 1")],
            &[("Content-Length", "+1")],
            &[("Content-Length", "-1")],
            &[("Content-Length", "0x1")],
            &[("Content-Length", "1_0")],
            &[("Content-Length", "")],
            &[("Content-Length", "18446744073709551616")],
        ] {
            assert!(request(fields).is_err(), "{fields:?}");
        }
        assert!(Framing::of_request(&headers(&[("Transfer-Encoding", "chunked")]), Version::Http10).is_err());
    }

    #[test]
    fn answers_without_body_have_none() {
        let fields = headers(&[("Content-Length", "5")]);
        let of = |method: Method, status| Framing::of_response(&method, status, &fields, Version::Http11);
        assert_eq!(of(Method::HEAD, StatusCode::OK), Ok(Framing::None));
        assert_eq!(of(Method::GET, StatusCode::NOT_MODIFIED), Ok(Framing::None));
        assert_eq!(of(Method::GET, StatusCode::NO_CONTENT), Ok(Framing::None));
        assert_eq!(of(Method::GET, StatusCode::OK), Ok(Framing::Length(5)));
    }

    #[test]
    fn answers_without_length_end_with_the_connection() {
        let of = |fields: &[(&'static str, &'static str)]| {
            Framing::of_response(&Method::GET, StatusCode::OK, &headers(fields), Version::Http11)
        };
        assert_eq!(of(&[]), Ok(Framing::UntilClose));
        assert_eq!(of(&[("Content-Length", "3"), ("Content-Length", "3")]), Ok(Framing::Length(3)));
        assert!(of(&[("Content-Length", "3"), ("Content-Length", "4")]).is_err());
    }
}
