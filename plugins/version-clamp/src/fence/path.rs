//! Paths of requests, taken apart.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The segments of a path, split on raw slashes and then percent-decoded. `/a/` has two, of which the last is empty.
///
/// None where the path is not absolute, an escape is broken, or a server might see a dot segment: `.` or `..`, also encoded
/// (RFC 3986, 6.2.2.2) and between encoded slashes or backslashes.
pub(super) fn segments(path: &str) -> Option<Vec<Cow<'_, [u8]>>> {
    path.strip_prefix('/')?.split('/').map(decode).collect()
}

/// One segment, decoded; none for a broken escape or a dot segment.
pub(super) fn decode(segment: &str) -> Option<Cow<'_, [u8]>> {
    let mut rest = segment;
    while let Some((_, behind)) = rest.split_once('%') {
        let is_escape = matches!(behind.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
        if !is_escape {
            return None;
        }
        rest = behind;
    }
    let decoded: Cow<'_, [u8]> = percent_decode(segment.as_bytes()).into();
    let has_dots = decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|piece| matches!(piece, b"." | b".."));
    (!has_dots).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<Vec<String>> {
        let segments = segments(path)?;
        Some(segments.iter().map(|segment| String::from_utf8_lossy(segment).into_owned()).collect())
    }

    #[test]
    fn segments_are_split_then_decoded() {
        assert_eq!(read("/a/%62%2Fc/").as_deref(), Some(&["a".to_owned(), "b/c".to_owned(), String::new()][..]));
        assert_eq!(read("/").as_deref(), Some(&[String::new()][..]));
    }

    #[test]
    fn dot_segments_are_refused_in_disguise() {
        for path in ["/.", "/a/..", "/a/../b", "/%2e", "/%2E%2e/a", "/.%2e", "/a%2F..%2Fb", "/..%5Ca", "/a\\..", "/%2e/"] {
            assert_eq!(read(path), None, "{path}");
        }
        for path in ["/...", "/.a", "/a..", "/a..b", "/.well-known", "/%2e%2e%2e"] {
            assert!(read(path).is_some(), "{path}");
        }
    }

    #[test]
    fn broken_escapes_are_refused() {
        for path in ["/%", "/a%4", "/%zz", "/%4/a", "/%%41", "/%+1"] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn other_targets_are_refused() {
        for path in ["*", "", "a", "http://a/b"] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
