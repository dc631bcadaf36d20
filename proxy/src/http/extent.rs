//! How much of what was asked for a response's body is.

use http::StatusCode;

use super::Headers;

/// How much of a whole the body of a response is, by its status and fields as they came (RFC 9110, 14.4 and 15.3.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// All of it. So is that of a 206 that names no range: Mastodon says so of a feed that is being made anew.
    #[default]
    Whole,
    /// All of it, and Content-Range says so: `bytes 0-8/9`.
    Ranged,
    /// A part, several, or what nobody can tell.
    Part,
}

impl Extent {
    /// Of a response with this status and these fields.
    #[must_use]
    pub fn of(status: StatusCode, headers: &Headers) -> Self {
        if status != StatusCode::PARTIAL_CONTENT {
            return Self::Whole;
        }
        let mut ranges = headers.get_all("content-range");
        match (ranges.next(), ranges.next()) {
            (None, _) if headers.get("content-type").is_some_and(is_in_parts) => Self::Part,
            (None, _) => Self::Whole,
            (Some(range), None) if is_all(range) => Self::Ranged,
            _ => Self::Part,
        }
    }
}

/// Whether a Content-Type is that of several parts at once, which have their ranges within.
fn is_in_parts(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"multipart/byteranges")
}

/// Whether a Content-Range goes from the first byte to the last of a length that it knows.
fn is_all(range: &[u8]) -> bool {
    let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?;
    let ends = || {
        let (unit, rest) = std::str::from_utf8(range).ok()?.split_once(' ')?;
        let (first, rest) = rest.split_once('-')?;
        let (last, length) = rest.split_once('/')?;
        let is_of_bytes = unit.eq_ignore_ascii_case("bytes");
        is_of_bytes.then_some((number(first)?, number(last)?, number(length)?))
    };
    ends().is_some_and(|(first, last, length)| first == 0 && last.checked_add(1) == Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Field;

    fn extent(status: u16, fields: &[(&'static str, &'static str)]) -> Extent {
        let headers: Headers = fields.iter().map(|(name, value)| Field::from_static(name, value)).collect();
        Extent::of(StatusCode::from_u16(status).expect("a status"), &headers)
    }

    #[test]
    fn parts_are_told_from_wholes() {
        for (range, expected) in [
            ("bytes 0-8/9", Extent::Ranged),
            ("Bytes 0-0/1", Extent::Ranged),
            ("bytes 0-7/9", Extent::Part),
            ("bytes 0-9/9", Extent::Part),
            ("bytes 1-8/9", Extent::Part),
            ("bytes 0-8/*", Extent::Part),
            ("bytes */9", Extent::Part),
            ("bytes 0-+8/9", Extent::Part),
            ("bytes 0-8/9 ", Extent::Part),
            ("bytes 0-18446744073709551615/0", Extent::Part),
            ("bytes 0-18446744073709551616/18446744073709551617", Extent::Part),
            ("items 0-8/9", Extent::Part),
            ("", Extent::Part),
        ] {
            assert_eq!(extent(206, &[("Content-Range", range)]), expected, "{range:?}");
        }
    }

    #[test]
    fn without_a_range_the_type_tells() {
        assert_eq!(extent(206, &[]), Extent::Whole);
        assert_eq!(extent(206, &[("Content-Type", "application/json")]), Extent::Whole);
        assert_eq!(extent(206, &[("Content-Type", "Multipart/ByteRanges; boundary=x")]), Extent::Part);
        assert_eq!(extent(206, &[("Content-Range", "bytes 0-8/9"), ("Content-Range", "bytes 0-8/9")]), Extent::Part);
        assert_eq!(extent(200, &[("Content-Range", "bytes 1-8/9")]), Extent::Whole);
    }
}
