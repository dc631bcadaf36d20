//! A path in the ways in which a server behind may read it.

use percent_encoding::percent_decode_str;

/// How often a path is decoded at most: by a proxy in between, by the server, and by one that does it twice.
const MAX_DECODINGS: usize = 4;

/// The segments of a path without query, as those read it that split first and decode once, and, where that is something else, as
/// those do that decode first, merge slashes, resolve dots and take a backslash for a slash. Without empty segments.
pub(crate) fn readings(target: &str) -> Vec<Vec<String>> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let plain: Vec<String> = path.split('/').filter(|piece| !piece.is_empty()).map(decoded).collect();
    let tidied = tidied(path);
    if tidied == plain { vec![plain] } else { vec![plain, tidied] }
}

/// The segment as a word of a route: lower case, without what stands behind a semicolon (RFC 3986, 3.3).
pub(crate) fn word(segment: &str) -> String {
    name(segment).to_ascii_lowercase()
}

/// The segment without what stands behind a semicolon.
pub(crate) fn name(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(name, _)| name)
}

/// Decoded once; what is no UTF-8 becomes U+FFFD.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn tidied(path: &str) -> Vec<String> {
    let mut path = path.to_owned();
    for _ in 0..MAX_DECODINGS {
        let next = decoded(&path);
        if next == path {
            break;
        }
        path = next;
    }
    let mut segments = Vec::new();
    for piece in path.split(['/', '\\']) {
        match name(piece) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(piece.to_owned()),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_read_in_one_way() {
        assert_eq!(readings("/rooms/!a%3Ab/send/?x=%2F"), [["rooms", "!a:b", "send"]]);
        assert_eq!(readings("*"), [["*"]]);
    }

    #[test]
    fn encoded_slashes_separate_or_not() {
        assert_eq!(readings("/a%2Fb/c"), [vec!["a/b", "c"], vec!["a", "b", "c"]]);
        assert_eq!(readings("/a%252Fb").last(), Some(&vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn dots_and_backslashes_lead_elsewhere() {
        for path in ["/x/../a", "/x/..%2Fa", "/x\\..\\a", "/x/..;y/a", "/%2e/x/%2E%2E/a", "/x/%252e%252e/a"] {
            assert_eq!(readings(path).last(), Some(&vec!["a".to_owned()]), "{path}");
        }
    }
}
